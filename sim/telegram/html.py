"""Telegram's HTML markup: text with tags in, plain text and entities out, with Telegram's own complaints.

Pure. Offsets and lengths of entities count UTF-16 code units, those in complaints count UTF-8 bytes, as Telegram's do.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sim.telegram.dates import attribute_seconds, date_time
from sim.telegram.entities import Entity, ParseError, sort_entities, utf16_length
from sim.telegram.links import checked_link, lower, mentioned_user, number

_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_REFERENCE = re.compile(r"&(?:#[xX]([0-9a-fA-F]*)|#([0-9]*)|([a-zA-Z]*))")
_MARK = re.compile(r"[<&]")
_VISIBLE_SPACE = " \t\r\n\v"
_SPACE = f"{_VISIBLE_SPACE}\0"
_NAME_END = re.compile(f"[{_SPACE}>]")
_ATTRIBUTE_END = re.compile(f"[{_SPACE}>=/\"']")
_TOKEN = re.compile(r"[0-9A-Za-z.-]*")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_STYLES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
}
_TAGS = _STYLES.keys() | {"a", "code", "pre", "blockquote", "tg-emoji", "tg-time"}

#: What an attribute has to begin with to count, and what is left out of its value.
_ARGUMENTS = {("a", "href"): "", ("code", "class"): "language-", ("span", "class"): "tg-", ("tg-emoji", "emoji-id"): "",
              ("tg-time", "format"): ""}  # fmt: skip


@dataclass(frozen=True)
class _Tag:
    """An open tag: what its attributes say, where its entity begins in UTF-16 units and in pieces of text."""

    name: str
    argument: str
    unix_time: int
    offset: int
    piece: int


def parse_html(markup: str) -> tuple[str, list[Entity]]:
    """The plain text and its entities. ParseError in Telegram's words where the markup is broken."""
    source = markup + "\0"  # a stopper, so that every scan ends
    pieces: list[str] = []
    length = 0  # of the plain text so far, in UTF-16 units
    tags: list[_Tag] = []
    entities: list[Entity] = []
    position, end = 0, len(markup)
    while position < end:
        mark = _MARK.search(source, position, end)
        stop = mark.start() if mark else end
        piece = source[position:stop]
        if mark and mark[0] == "&":
            character, position = _reference(source, stop)
            piece += character
        else:
            position = stop
        pieces.append(piece)
        length += utf16_length(piece)
        if mark is None or mark[0] == "&":
            continue
        if source[stop + 1] == "/":
            position = _end_tag(source, stop, tags)
            tag = tags.pop()
            if length > tag.offset:
                _close(tag, length - tag.offset, pieces, entities)
        else:
            name, argument, unix_time, position = _start_tag(source, stop)
            tags.append(_Tag(name, argument, unix_time, length, len(pieces)))
    if tags:
        raise ParseError(f'Can\'t find end tag corresponding to start tag "{tags[-1].name}"')
    for entity in entities:
        if entity["type"] == "code":
            entity.pop("language", None)
    return _joined("".join(pieces)), sort_entities(entities)


def _joined(text: str) -> str:
    """Halves of surrogate pairs, which only numeric references can bring in, have to be a text together."""
    if _SURROGATE.search(text):
        raise ParseError(
            "Text contains invalid Unicode characters after decoding HTML entities, check for unmatched surrogate code units"
        )
    return text


def _reference(source: str, start: int) -> tuple[str, int]:
    """The character that the reference at `start` stands for, or the bare ampersand; and the position behind it."""
    match = _REFERENCE.match(source, start)
    assert match is not None, "the pattern matches every ampersand"
    hexadecimal, decimal, name = match.groups()
    if name is not None:
        character = _NAMED.get(name)
    else:
        digits, base = (decimal, 10) if hexadecimal is None else (hexadecimal, 16)
        code = int(digits, base) if digits and match.end() - start < 10 else 0
        character = chr(code) if 0 < code < 0x10FFFF else None
    if character is None:
        return "&", start + 1
    return character, match.end() + (source[match.end()] == ";")


def _byte(source: str, position: int) -> int:
    return len(source[:position].encode("utf-8", "surrogatepass"))


def _skip_space(source: str, position: int) -> int:
    while source[position] in _VISIBLE_SPACE:
        position += 1
    return position


def _until(pattern: re.Pattern[str], source: str, position: int) -> int:
    match = pattern.search(source, position)
    assert match is not None, "the stopper matches"
    return match.start()


def _start_tag(source: str, start: int) -> tuple[str, str, int, int]:
    """Name, argument, seconds (of a <tg-time>) and the position behind the tag that opens at `start`."""

    def broken(reason: str, at: int = start) -> ParseError:
        return ParseError(f"{reason} at byte offset {_byte(source, at)}")

    position = _until(_NAME_END, source, start + 1)
    if source[position] == "\0":
        raise broken("Unclosed start tag")
    name = lower(source[start + 1 : position])
    if name not in _TAGS:
        raise broken(f'Unsupported start tag "{name}"')
    argument, unix_time = "", 0
    while source[position] != ">":
        position = _skip_space(source, position)
        if source[position] == ">":
            break
        begin = position
        position = _until(_ATTRIBUTE_END, source, position)
        attribute = source[begin:position]
        if not attribute:
            raise broken(f'Empty attribute name in the tag "{name}"')
        position = _skip_space(source, position)
        value = ""
        if source[position] == "=":
            position = _skip_space(source, position + 1)
            if source[position] == "\0":
                raise broken(f'Unclosed start tag "{name}"')
            value, position = _attribute_value(source, position, broken)
            if source[position] == "\0":
                raise broken("Unclosed start tag")
            prefix = _ARGUMENTS.get((name, attribute))
            if prefix is not None and value.startswith(prefix):
                argument = value[len(prefix) :]
            elif (name, attribute) == ("tg-time", "unix"):
                unix_time = attribute_seconds(value)
        elif source[position] == "\0":
            raise broken(f'Unclosed start tag "{name}"')
        if (name, attribute) == ("blockquote", "expandable"):
            argument = attribute
    if name == "span" and argument != "spoiler":
        raise broken('Tag "span" must have class "tg-spoiler"')
    return name, argument, unix_time, position + 1


def _attribute_value(source: str, position: int, broken: Callable[[str, int], ParseError]) -> tuple[str, int]:
    quote = source[position]
    if quote not in "'\"":
        token = _TOKEN.match(source, position)
        assert token is not None, "the pattern matches the empty token"
        if source[token.end()] not in _SPACE + ">":
            raise broken("Unexpected end of name token", position)
        return lower(token[0]), token.end()
    value: list[str] = []
    position += 1
    while source[position] not in (quote, "\0"):
        if source[position] == "&":
            character, position = _reference(source, position)
        else:
            character, position = source[position], position + 1
        value.append(character)
    return "".join(value), position + (source[position] == quote)


def _end_tag(source: str, start: int, tags: list[_Tag]) -> int:
    """The position behind the end tag at `start`, which has to close the last open one (or any, where it has no name)."""
    if not tags:
        raise ParseError(f"Unexpected end tag at byte offset {_byte(source, start)}")
    position = _until(_NAME_END, source, start + 2)
    name = lower(source[start + 2 : position])
    position = _skip_space(source, position)
    if source[position] != ">":
        raise ParseError(f"Unclosed end tag at byte offset {_byte(source, start)}")
    if name not in ("", tags[-1].name):
        raise ParseError(
            f'Unmatched end tag at byte offset {_byte(source, start)}, expected "</{tags[-1].name}>", found "</{name}>"'
        )
    return position + 1


def _close(tag: _Tag, length: int, pieces: list[str], entities: list[Entity]) -> None:
    """Add what a closed tag means: an entity, a language for the block around or inside it, or nothing."""
    entity: Entity = {"type": "", "offset": tag.offset, "length": length}
    last = entities[-1] if entities else None
    fills = last is not None and (last["offset"], last["length"]) == (tag.offset, length)
    language = tag.argument
    match tag.name:
        case "a":
            url = tag.argument or "".join(pieces[tag.piece :])
            if user := mentioned_user(url):
                entities.append(entity | {"type": "text_mention", "user": user})
            elif link := checked_link(url):
                entities.append(entity | {"type": "text_link", "url": link})
        case "tg-emoji":
            entities.append(entity | {"type": "custom_emoji", "custom_emoji_id": _emoji(tag)})
        case "blockquote":
            entities.append(entity | {"type": "expandable_blockquote" if tag.argument else "blockquote"})
        case "tg-time":
            if (moment := date_time(tag.unix_time, tag.argument)) is not None:
                entities.append(entity | {"type": "date_time"} | moment)
        case "pre" if last and fills and last["type"] == "code" and last.get("language"):
            last["type"] = "pre"
        case "code" if last and fills and last["type"] == "pre" and not last.get("language") and language:
            last["language"] = language
        case "pre":
            entities.append(entity | {"type": "pre"})
        case "code":
            entities.append(entity | {"type": "code"} | ({"language": language} if language else {}))
        case style:
            entities.append(entity | {"type": _STYLES[style]})


def _emoji(tag: _Tag) -> str:
    if not number(tag.argument):
        raise ParseError("Invalid custom emoji identifier specified")
    return tag.argument
