"""Texts with entities: counting in UTF-16, finding commands and links in plain text, tidying up before a message is kept.

Pure. An entity is Telegram's MessageEntity as JSON.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

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
}
_FOUND_NESTING = 50  # commands, mentions, links and all else that is found in the text

#: These overlap freely; everything else stands apart from its kind, only a quote may hold the rest.
_STYLES = {"bold", "italic", "underline", "strikethrough", "spoiler"}
_QUOTES = {"blockquote", "expandable_blockquote"}

#: No style applies inside these.
_LITERAL = {"code", "pre"}

#: Nothing is found inside these.
_CLAIMING = {"code", "pre", "text_link", "text_mention"}

_TRIMMED = " \n"
_GONE = re.compile("[\\r\u2028-\u202e\u030a\u0333\u033f]")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")

_FOUND = re.compile(
    r"(?P<url>(?<![\w@/.])https?://(?:[\w-]+\.)+[\w-]+(?::\d+)?(?:[/?#](?:(?:\([^\s()]*\)|[^\s<>\"'«»()])*(?:\([^\s()]*\)|[^\s<>\"'«».,:;!?()\[\]{}]))?)?)"
    r"|(?P<email>(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<bot_command>(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>@]))"
    r"|(?P<mention>(?<!\w)@[A-Za-z0-9_]{4,32}(?!\w))"
    r"|(?P<hashtag>(?<!\w)#\w*[^\W\d_]\w*(?![\w#]))"
    r"|(?P<cashtag>(?<![\w$])\$(?:1INCH|[A-Z]{1,8})(?![\w$]))"
)


class ParseError(ValueError):
    """Broken markup; the words are Telegram's, without "can't parse entities: "."""


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, in which Telegram counts offsets."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def sort_entities(entities: Iterable[Entity]) -> list[Entity]:
    """By offset, the longer first, then in the order in which Telegram nests them."""
    return sorted(
        entities, key=lambda e: (e["offset"], -e["length"], _NESTING.get(e["type"], _FOUND_NESTING))
    )


def find_entities(text: str) -> list[Entity]:
    """The commands, mentions, tags, links and addresses that Telegram makes out in a plain text."""
    found = []
    at = position = 0
    for match in _FOUND.finditer(text):
        position += utf16_length(text[at : match.start()])
        at = match.start()
        found.append({"type": str(match.lastgroup), "offset": position, "length": utf16_length(match[0])})
    return found


def tidy(text: str, entities: list[Entity]) -> tuple[str, list[Entity]]:
    """What Telegram keeps of a text: odd characters and surrounding space gone, entities merged, links and commands found."""
    text, entities = _clean(text, entities)
    body = text.strip(_TRIMMED)
    lead = len(text) - len(text.lstrip(_TRIMMED))
    shifted = [entity | {"offset": entity["offset"] - lead} for entity in entities]
    kept = normalize(shifted, utf16_length(body))
    taken = [_span(entity) for entity in kept if entity["type"] in _CLAIMING]
    found = [entity for entity in find_entities(body) if not _overlaps(_span(entity), taken)]
    return body, sort_entities(kept + found)


def normalize(entities: Iterable[Entity], length: int) -> list[Entity]:
    """The entities of a text of `length` units as Telegram keeps them.

    Nothing reaches out of the text, a style is one entity where it meets itself, and code knows no styles.
    """
    inside = sort_entities(cut for entity in entities for cut in [_cut(entity, 0, length)] if cut)
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
    """Control characters become spaces; carriage returns and characters that turn or strike the text disappear."""
    gone = [utf16_length(text[: match.start()]) for match in _GONE.finditer(text)]
    if gone:
        text = _GONE.sub("", text)
        entities = [
            entity | {"offset": start, "length": end - start}
            for entity in entities
            for start, end in [[place - bisect_left(gone, place) for place in _span(entity)]]
        ]
    return _CONTROL.sub(" ", text), entities


Span = tuple[int, int]


def _span(entity: Entity) -> Span:
    return entity["offset"], entity["offset"] + entity["length"]


def _cut(entity: Entity, start: int, end: int) -> Entity | None:
    first, last = max(entity["offset"], start), min(entity["offset"] + entity["length"], end)
    return entity | {"offset": first, "length": last - first} if first < last else None


def _apart(entities: Iterable[Entity]) -> list[Entity]:
    """Those that do not overlap one before them."""
    kept: list[Entity] = []
    for entity in entities:
        if not _overlaps(_span(entity), map(_span, kept)):
            kept.append(entity)
    return kept


def _fits(span: Span, fences: Iterable[Span]) -> bool:
    """Whether a span lies inside or outside of each fence, not across."""
    return all(
        span[1] <= start or end <= span[0] or (start <= span[0] and span[1] <= end) for start, end in fences
    )


def _overlaps(span: Span, others: Iterable[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


def _union(spans: Iterable[Span]) -> list[Span]:
    """The same places, where spans that touch are one."""
    united: list[Span] = []
    for start, end in sorted(spans):
        if united and start <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((start, end))
    return united


def _minus(span: Span, holes: Iterable[Span]) -> list[Span]:
    """What is left of a span outside the holes."""
    pieces, start = [], span[0]
    for hole_start, hole_end in sorted(holes):
        if start < hole_start < span[1]:
            pieces.append((start, hole_start))
        if hole_end > start and hole_start < span[1]:
            start = hole_end
    return pieces + ([(start, span[1])] if start < span[1] else [])
