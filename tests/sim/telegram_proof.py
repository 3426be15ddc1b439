"""The markup of the simulated Telegram against Telegram's own code, on as many random texts as one likes.

    python -m tests.sim.telegram_proof --texts 100000 --refused 20000 --seed 1

For each markup it goes on until Telegram has accepted and refused so many texts, and prints what was compared:
the plain text and every entity, or the words of the refusal with its byte offset; then, for accepted texts, what is
found in the plain text, and what is kept of overlapping entities. It exits with 1 where anything differs.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from random import Random
from typing import Any

from sim.telegram.entities import Entity, find_entities, tidy, with_mentions
from sim.telegram.errors import ApiError
from sim.telegram.markup import parse
from tests.sim import telegram_oracle, telegram_texts

Parsed = tuple[str, list[Entity]] | str
Parser = Callable[[str, str], tuple[str, list[Entity]]]

#: The Bot API's name of each mode, TDLib's, and the generator of well-formed texts.
MARKUPS: dict[str, tuple[dict[str, Any], Callable[[Random], str]]] = {
    "HTML": (telegram_oracle.HTML, telegram_texts.html),
    "MarkdownV2": (telegram_oracle.MARKDOWN, telegram_texts.markdown),
    "Markdown": (telegram_oracle.MARKDOWN_LEGACY, telegram_texts.markdown_legacy),
}

_STYLES = {"bold", "italic", "underline", "strikethrough", "spoiler"}
_FOUND = {"url", "email", "mention", "hashtag", "cashtag", "bot_command", "bank_card_number"}
#: A link of the first Markdown without a target: Telegram's code may cut a letter in two there, and then its process ends.
_DEADLY = re.compile(r"\[[^\]]*[^\x00-\x7f][^\]]*\](?!\()")
_MARKDOWN_3 = ("**", "__", "~~", "||", "`", "[")


def ours(parser: Parser, markup: str, mode: str) -> Parsed:
    """Text and entities, or the complaint, worded as TDLib words it."""
    try:
        return parser(markup, mode)
    except ApiError as error:
        complaint = error.description.removeprefix("Bad Request: ")
        return complaint.removeprefix("can't parse entities: ").replace("text must be", "Text must be")


_FAMILY = {"expandable_blockquote": "blockquote", "text_mention": "text_link"}


def same_order(parsed: Parsed) -> Parsed:
    """Entities that nest alike at the same place in one order: Telegram's sorting leaves them as it likes."""
    if isinstance(parsed, str):
        return parsed
    groups = groupby(
        parsed[1],
        key=lambda e: (e["offset"], e["length"], _FAMILY.get(e["type"], e["type"]), "language" in e),
    )
    return parsed[0], [entity for _, group in groups for entity in sorted(group, key=repr)]


def look(entities: list[Entity]) -> list[Entity]:
    """Styles in one piece each and after the rest: inside TDLib a style is cut where another begins."""
    spans = sorted(
        (e["type"], e["offset"], e["offset"] + e["length"]) for e in entities if e["type"] in _STYLES
    )
    pieces: list[tuple[str, int, int]] = []
    for kind, start, end in spans:
        if pieces and pieces[-1][0] == kind and pieces[-1][2] >= start:
            pieces[-1] = kind, pieces[-1][1], max(pieces[-1][2], end)
        else:
            pieces.append((kind, start, end))
    styles = [{"type": kind, "offset": start, "length": end - start} for kind, start, end in pieces]
    return [entity for entity in entities if entity["type"] not in _STYLES] + styles


def shrunk(name: str, what: str, markup: str, parser: Parser = parse) -> str:
    """A shorter markup that still differs in the same respect."""

    def differs(text: str) -> bool:
        return any(kind == what for kind, *_ in compare(name, text, Counter(), parser))

    size = len(markup) // 2
    while size:
        for at in range(0, len(markup), size):
            while at < len(markup) and differs(shorter := markup[:at] + markup[at + size :]):
                markup = shorter
        size //= 2
    return markup


def depth(entities: list[Entity]) -> int:
    """How many entities lie over one unit at most."""
    edges = sorted(edge for e in entities for edge in ((e["offset"], 1), (e["offset"] + e["length"], -1)))
    level = deepest = 0
    for _, step in edges:
        level += step
        deepest = max(deepest, level)
    return deepest


def kept(markup_mode: dict[str, Any], markup: str) -> tuple[Any, Any] | None:
    """What we and Telegram keep of an accepted text.

    None where Telegram would read its clients' Markdown in it, or refuses it for an address that cleaning has spoilt.
    """
    raw = telegram_oracle.execute(type="parseTextEntities", text=markup, parse_mode=markup_mode)
    text = f"({raw['text']})"
    if any(mark in text for mark in _MARKDOWN_3):
        return None
    entities = [e | {"offset": e["offset"] + 1} for e in raw["entities"]]
    theirs = telegram_oracle.put_in_order(text, entities)
    if theirs is None:
        return None
    mine = tidy(text, with_mentions(telegram_oracle.entity(e) for e in entities))
    if any(
        mark in mine[0] for mark in _MARKDOWN_3
    ):  # once a character between two stars has been cleaned away
        return None
    mine = mine[0], [e for e in mine[1] if e["type"] not in _FOUND]
    return (mine[0], look(mine[1])), (theirs[0], look(theirs[1]))


def compare(
    name: str, markup: str, counts: Counter[str], parser: Parser = parse
) -> Iterator[tuple[str, Any, Any]]:
    """What differs for one markup: what it is about, ours, Telegram's. Counts what was compared."""
    mode, _ = MARKUPS[name]
    if name == "Markdown" and _DEADLY.search(markup):
        counts["left out"] += 1
        return
    theirs = telegram_oracle.parse(markup, mode)
    mine = ours(parser, markup, name)
    if same_order(mine) != same_order(theirs):
        yield "parsed", mine, theirs
    if isinstance(theirs, str):
        counts["refused"] += 1
        counts["refused at a byte offset"] += "byte offset" in theirs
        return
    text, entities = theirs
    counts["accepted"] += 1
    counts["entities"] += len(entities)
    counts["deepest"] = max(counts["deepest"], depth(entities))
    counts.update(f"  {entity['type']}" for entity in entities)
    found = telegram_oracle.find_entities(text)
    counts["found"] += len(found)
    counts.update(f"  {entity['type']}" for entity in found)
    if (mine_found := find_entities(text)) != found:
        yield "found", mine_found, found
    if entities and (pair := kept(mode, markup)):
        counts["kept"] += 1
        if pair[0] != pair[1]:
            yield "kept", *pair


def run(
    name: str, texts: int, refused: int, seed: int, parser: Parser = parse
) -> tuple[Counter[str], list[tuple[str, str, Any, Any]]]:
    """Compare until Telegram has accepted `texts` and refused `refused`; the counts and the differences."""
    random = Random(f"{name} {seed}")
    generate = MARKUPS[name][1]
    counts: Counter[str] = Counter()
    differences: list[tuple[str, str, Any, Any]] = []
    while counts["accepted"] < texts or counts["refused"] < refused:
        markup = generate(random)
        if counts["accepted"] >= texts or random.random() < 0.15:
            markup = telegram_texts.broken(random, markup)
        differences += [(what, markup, *pair) for what, *pair in compare(name, markup, counts, parser)]
    return counts, differences


def main() -> int:
    """Run from the command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--texts", type=int, default=100_000, help="accepted texts for each markup")
    options.add_argument("--refused", type=int, default=20_000, help="refused texts for each markup")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--markup", choices=MARKUPS, action="append", help="only this one")
    options.add_argument("--show", type=int, default=5, help="differences to print")
    chosen = options.parse_args()
    total = 0
    for name in chosen.markup or MARKUPS:
        counts, differences = run(name, chosen.texts, chosen.refused, chosen.seed)
        total += len(differences)
        main_counts = {key: value for key, value in counts.items() if not key.startswith(" ")}
        kinds = {key.strip(): value for key, value in sorted(counts.items()) if key.startswith(" ")}
        sys.stdout.write(
            f"{name}, seed {chosen.seed}: {_told(main_counts)}, differences {len(differences)}\n"
        )
        sys.stdout.write(f"  {_told(kinds)}\n")
        for what, markup, *_ in sorted(differences, key=lambda d: len(d[1]))[: chosen.show]:
            short = shrunk(name, what, markup)
            for _, mine, theirs in (found for found in compare(name, short, Counter()) if found[0] == what):
                sys.stdout.write(f"  {what} of {short!r}\n    ours:   {mine!r}\n    theirs: {theirs!r}\n")
    sys.stdout.write(f"differences in all: {total}\n")
    return min(total, 1)


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{key} {value:,}" for key, value in counts.items())


if __name__ == "__main__":
    sys.exit(main())
