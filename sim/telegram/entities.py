"""Texts with entities: counting in UTF-16, finding commands and links in plain text, tidying up before a message is kept.

Pure. An entity is Telegram's MessageEntity as JSON.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Any

from sim.telegram.found import find, places
from sim.telegram.links import checked_link, mentioned_user

Entity = dict[str, Any]

#: Where entities share offset and length, the outer one (the lower number) first.
_NESTING = {
    "blockquote": 0,
    "expandable_blockquote": 0,
    "pre": 11,
    "code": 20,
    "text_link": 49,
    "text_mention": 49,
    "bold": 90,
    "italic": 91,
    "underline": 92,
    "strikethrough": 93,
    "spoiler": 94,
    "custom_emoji": 99,
    "date_time": 21,
}
_FOUND_NESTING = 50  # commands, mentions, links and all else that is found in the text

#: These overlap freely; everything else stands apart from its kind, only a quote may hold the rest.
_STYLES = {"bold", "italic", "underline", "strikethrough", "spoiler"}
_QUOTES = {"blockquote", "expandable_blockquote"}

#: No style applies inside these.
_LITERAL = {"code", "pre", "date_time"}

#: Nothing is found inside these.
_CLAIMING = {"code", "pre", "text_link", "text_mention", "custom_emoji", "date_time"}

_TRIMMED = " \n"
_GONE = re.compile("[\\r\u2028-\u202e\u030a\u0333\u033f]")
_TURNING = re.compile("[\u200e\u200f](?=[\u200e\u200f])")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class ParseError(ValueError):
    """Broken markup; the words are Telegram's, without "can't parse entities: "."""


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, in which Telegram counts offsets."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def sort_entities(entities: Iterable[Entity]) -> list[Entity]:
    """By offset, the longer first, then in the order in which Telegram nests them."""
    return sorted(entities, key=lambda e: (e["offset"], -e["length"], _nesting(e)))


def _nesting(entity: Entity) -> int:
    """A block with a language goes before one without."""
    return _NESTING.get(entity["type"], _FOUND_NESTING) - ("language" in entity)


def find_entities(text: str) -> list[Entity]:
    """The commands, mentions, tags, links and addresses that Telegram makes out in a plain text."""
    return [
        {"type": kind, "offset": offset, "length": length}
        for kind, offset, length in places(text, find(text))
    ]


def with_mentions(entities: Iterable[Entity]) -> list[Entity]:
    """A link whose address names a user becomes a mention of the number, once the address has been cleaned."""
    named = ((entity, mentioned_user(_clean_text(entity.get("url", "")))) for entity in entities)
    return [
        {"type": "text_mention", "offset": entity["offset"], "length": entity["length"], "user": user}
        if user
        else entity
        for entity, user in named
    ]


def tidy(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """What Telegram keeps of a text: odd characters and surrounding space gone, entities merged, links and commands found."""
    text, entities = _clean(text, normalize(entities, utf16_length(text)))
    body = text.strip(_TRIMMED)
    lead = len(text) - len(text.lstrip(_TRIMMED))
    shifted = [entity | {"offset": entity["offset"] - lead} for entity in entities]
    kept = normalize(shifted, utf16_length(body))
    taken = [_span(entity) for entity in kept if entity["type"] in _CLAIMING]
    fences = [_span(entity) for entity in kept if entity["type"] in _QUOTES]
    found = [
        entity
        for entity in find_entities(body)
        if not any(_met(_span(entity), taken)) and _fits(_span(entity), fences)
    ]
    return body, sort_entities(kept + found)


def normalize(entities: Iterable[Entity], length: int) -> list[Entity]:
    """The entities of a text of `length` units as Telegram keeps them.

    Nothing reaches out of the text, a style is one entity where it meets itself, and code knows no styles.
    """
    meant = (entity for entity in entities if entity.get("url") != "")
    inside = sort_entities(cut for entity in meant for cut in [_cut(entity, 0, length)] if cut)
    quotes = _apart(entity for entity in inside if entity["type"] in _QUOTES)
    fences = [_span(entity) for entity in quotes]
    rest = _apart(entity for entity in inside if entity["type"] not in _STYLES | _QUOTES)
    whole = [entity for entity in rest if _fits(_span(entity), fences)]
    code = [_span(entity) for entity in whole if entity["type"] in _LITERAL]
    styles = [
        {"type": kind, "offset": start, "length": end - start}
        for kind in _STYLES
        for span in _union(_span(entity) for entity in inside if entity["type"] == kind)
        for start, end in _minus(span, code)
    ]
    return sort_entities(quotes + whole + styles)


def _clean(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """Carriage returns and characters that turn or strike the text disappear, the rest of `_clean_text` too."""
    gone: list[int] = []  # in UTF-16 units
    at = length = 0
    for match in _GONE.finditer(text):
        length += utf16_length(text[at : match.start()])
        at = match.start()
        gone.append(length)
    if gone:
        entities = [
            entity | {"offset": start, "length": end - start}
            for entity in entities
            for start, end in [[place - bisect_left(gone, place) for place in _span(entity)]]
        ]
    return _clean_text(text), [entity | _cleaned(entity) for entity in entities]


def _cleaned(entity: Entity) -> Entity:
    """The words in an entity are cleaned as well; a link that is none any more goes with the next `normalize`."""
    if "language" in entity:
        return {"language": _clean_text(entity["language"])}
    return {"url": checked_link(_clean_text(entity["url"]))} if "url" in entity else {}


def _clean_text(text: str) -> str:
    """Control characters become spaces, some characters disappear, of marks that turn the text in a row one stays."""
    return _TURNING.sub("\u200c", _CONTROL.sub(" ", _GONE.sub("", text)))


Span = tuple[int, int]


def _span(entity: Entity) -> Span:
    return entity["offset"], entity["offset"] + entity["length"]


def _cut(entity: Entity, start: int, end: int) -> Entity | None:
    first, last = max(entity["offset"], start), min(entity["offset"] + entity["length"], end)
    return entity | {"offset": first, "length": last - first} if first < last else None


def _apart(entities: Iterable[Entity]) -> list[Entity]:
    """Those that do not overlap one before them; they come in order."""
    kept: list[Entity] = []
    for entity in entities:
        if not kept or entity["offset"] >= _span(kept[-1])[1]:
            kept.append(entity)
    return kept


def _met(span: Span, others: list[Span]) -> Iterator[Span]:
    """Those of `others`, which lie in order and apart, that a span overlaps."""
    first = bisect_right(others, span[0], key=lambda other: other[1])
    return takewhile(lambda other: other[0] < span[1], islice(others, first, None))


def _fits(span: Span, fences: list[Span]) -> bool:
    """Whether a span lies inside or outside of each fence, not across."""
    return all(start <= span[0] and span[1] <= end for start, end in _met(span, fences))


def _union(spans: Iterable[Span]) -> list[Span]:
    """The same places, where spans that touch are one."""
    united: list[Span] = []
    for start, end in sorted(spans):
        if united and start <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((start, end))
    return united


def _minus(span: Span, holes: list[Span]) -> list[Span]:
    """What is left of a span outside the holes, which lie in order and apart."""
    pieces, start = [], span[0]
    for hole_start, hole_end in _met(span, holes):
        if start < hole_start:
            pieces.append((start, hole_start))
        start = hole_end
    return pieces + ([(start, span[1])] if start < span[1] else [])
