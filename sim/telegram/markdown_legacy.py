"""Telegram's first Markdown, kept for old bots: four marks, no nesting, and a complaint for every mark that stays open.

Pure. Offsets of entities count UTF-16 code units, those in complaints count UTF-8 bytes, as Telegram's do.
"""

import re

from sim.telegram.entities import Entity, ParseError, utf16_length
from sim.telegram.links import checked_link, mentioned_user

_MARK = re.compile(r"\\[_*`\[]|[_*`\[]")
_LANGUAGE = re.compile("[^ \t\r\n\v\0`]+(?=[ \t\r\n\v\0])")
_LINE_BREAK = re.compile("\r\n|\n\r|\r|\n")
_STYLES = {"_": "italic", "*": "bold", "`": "code", "```": "pre", "[": "text_link"}
_ENDS = {"[": "]"}


def parse_markdown_legacy(markup: str) -> tuple[str, list[Entity]]:
    """The plain text and its entities. ParseError in Telegram's words where a mark is not closed."""
    pieces: list[str] = []
    entities: list[Entity] = []
    at = length = 0
    while mark := _MARK.search(markup, at):
        plain = markup[at : mark.start()] + (mark[0][1] if len(mark[0]) == 2 else "")
        pieces.append(plain)
        length += utf16_length(plain)
        at = mark.end()
        if len(mark[0]) == 2:
            continue
        inner, fields, at = _entity(markup, mark.start(), pieces)
        pieces.append(inner)
        size = utf16_length(inner)
        if size and fields:
            entities.append({"type": fields["type"], "offset": length, "length": size} | fields)
        length += size
    return "".join(pieces) + markup[at:], entities


def _entity(markup: str, start: int, pieces: list[str]) -> tuple[str, Entity, int]:
    """The text in the entity that opens at `start`, its fields (none where it is no link), and the position behind it.

    `pieces` are the plain text so far.
    """
    opening = "```" if markup.startswith("```", start) else markup[start]
    ending = _ENDS.get(opening, opening)
    begin = start + len(opening)
    fields: Entity = {"type": _STYLES[opening]}
    if opening == "```":
        if language := _LANGUAGE.match(markup, begin):
            fields["language"], begin = language[0], language.end()
        if line_break := _LINE_BREAK.match(markup, begin):
            begin = line_break.end()
    end = markup.find(ending, begin)
    if end < 0:
        raise ParseError(f"Can't find end of the entity starting at byte offset {_bytes(markup[:start])}")
    inner, at = markup[begin:end], end + len(ending)
    if opening == "[" and inner:
        if not markup.startswith("(", at):
            target = _slipped(inner, _bytes(markup[: start + 1]) - _bytes("".join(pieces)))
        else:
            target, bracket, _ = markup[at + 1 :].partition(")")
            at += 1 + len(target) + len(bracket)
        fields = _link(target)
    return inner, fields, at


def _link(target: str) -> Entity:
    if user := mentioned_user(target):
        return {"type": "text_mention", "user": user}
    link = checked_link(target)
    return {"type": "text_link", "url": link} if link else {}


def _slipped(inner: str, slip: int) -> str:
    """The text that Telegram takes for the link where a link has no target.

    It reads the markup from the place where it is writing the plain text, so that the text has already slipped by as many
    bytes as were left out before it: "[a.example]" links to ".examplee". Empty where that is no text at all.
    """
    data = inner.encode("utf-8", "surrogatepass")
    return (data[slip:] + data[-slip:]).decode("utf-8", "ignore") if slip <= len(data) else inner


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
