"""Telegram's MarkdownV2: text with marks in, plain text and entities out, with Telegram's own complaints.

Pure. Offsets of entities count UTF-16 code units, those in complaints count UTF-8 bytes, as Telegram's do.
"""

from dataclasses import dataclass

from sim.telegram.dates import linked_date_time
from sim.telegram.entities import Entity, ParseError, sort_entities, utf16_length
from sim.telegram.links import checked_link, mentioned_user, number, own_link

_RESERVED = set("_*[]()~`>#+-=|{}.!\n")
_SPACE = " \t\r\n\v\0"

#: What opens an entity, the longer mark first, and what closes it again.
_OPENING = {"__": "Underline", "_": "Italic", "*": "Bold", "~": "Strikethrough", "||": "Spoiler", "[": "TextUrl",
            "![": "CustomEmoji", "```": "Pre", "`": "Code"}  # fmt: skip
_CLOSING = {"Underline": "__", "Italic": "_", "Bold": "*", "Strikethrough": "~", "Spoiler": "||", "TextUrl": "]",
            "CustomEmoji": "]", "Pre": "```", "PreCode": "```", "Code": "`"}  # fmt: skip
_KINDS = {"Pre": "pre", "PreCode": "pre", "BlockQuote": "blockquote"}


@dataclass
class _Open:
    """An entity that is not closed yet: Telegram's name of it, where it began in the result and in the source."""

    name: str
    offset: int
    piece: int
    start: int
    language: str = ""


def parse_markdown(markup: str) -> tuple[str, list[Entity]]:
    """The plain text and its entities. ParseError in Telegram's words where the markup is broken."""
    return _Parser(markup).run()


class _Parser:
    """One pass over a text; the state is where we are, what is open, and what has come out."""

    def __init__(self, markup: str) -> None:
        self._size = len(markup)
        self._source = markup + "\0\0\0"  # stoppers, so that looking ahead is always possible
        self._at = 0
        self._pieces: list[str] = []
        self._length = 0
        self._open: list[_Open] = []
        self._entities: list[Entity] = []
        self._line_start = True
        self._quoted = False

    def run(self) -> tuple[str, list[Entity]]:
        while self._at < self._size:
            self._step()
        if self._quoted and self._open[-1].name == "BlockQuote":
            self._end_of_quote()
        if self._open:
            raise self._unfinished()
        return "".join(self._pieces), sort_entities(self._entities)

    def _step(self) -> None:
        source, at = self._source, self._at
        character = source[at]
        if character == "\\" and 0 < ord(source[at + 1]) <= 126:
            self._put(source[at + 1], 2)
        elif character not in ("`" if self._in_code() else _RESERVED):
            self._put(character)
        elif self._closes():
            self._close()
        else:
            self._begin(character)

    def _in_code(self) -> bool:
        return bool(self._open) and self._open[-1].name in ("Code", "Pre", "PreCode")

    def _put(self, text: str, taken: int = 1) -> None:
        self._pieces.append(text)
        self._length += utf16_length(text)
        self._at += taken
        if text != "\r":
            self._line_start = text == "\n"

    def _broken(self, reason: str, position: int) -> ParseError:
        return ParseError(
            f"{reason} at byte offset {len(self._source[:position].encode('utf-8', 'surrogatepass'))}"
        )

    def _unfinished(self) -> ParseError:
        return self._broken(f"Can't find end of {self._open[-1].name} entity", self._open[-1].start)

    # Beginnings

    def _begin(self, character: str) -> None:
        source, at = self._source, self._at
        if character == "\n":
            self._put("\n")
            if self._quoted and source[self._at] != ">":
                self._end_of_quote()
        elif character == ">" and self._line_start:
            if not self._quoted:
                self._push("BlockQuote")
                self._quoted = True
            self._at += 1
        else:
            mark = next((mark for mark in _OPENING if source.startswith(mark, at)), None)
            if mark is None:
                raise ParseError(
                    f"Character '{character}' is reserved and must be escaped with the preceding '\\'"
                )
            self._push(_OPENING[mark])
            self._at += len(mark)
            if mark == "```":
                self._language()

    def _push(self, name: str) -> None:
        self._open.append(_Open(name, self._length, len(self._pieces), self._at))

    def _language(self) -> None:
        """Behind ``` up to white space stands the language of the block; the line break behind it does not count."""
        source, at = self._source, self._at
        end = at
        while source[end] not in _SPACE and source[end] != "`":
            end += 1
        if end != at and end < self._size and source[end] != "`":
            self._open[-1].name, self._open[-1].language = "PreCode", source[at:end]
            at = end
        if source[at] in "\r\n":
            at += 2 if source[at + 1] in "\r\n" and source[at + 1] != source[at] else 1
        self._at = at

    # Ends

    def _closes(self) -> bool:
        if not self._open:
            return False
        source, at, name = self._source, self._at, self._open[-1].name
        if self._quoted and name != "Spoiler" and source.startswith("||", at):
            line_end = at + 2 + (source[at + 2] == "\r" and source[at + 3] == "\n")
            return line_end >= self._size or (source[line_end] == "\n" and source[line_end + 1] != ">")
        if name == "BlockQuote":
            return False
        if name == "Italic":
            return source[at] == "_" and source[at + 1] != "_"
        return source.startswith(_CLOSING[name], at)

    def _close(self) -> None:
        entity = self._open[-1]
        if self._quoted and entity.name != "Spoiler" and self._source.startswith("||", self._at):
            self._at += 2
            for _ in range(self._at, self._size)[: 1 + (self._source[self._at] == "\r")]:
                self._put(self._source[self._at])
            self._end_of_quote(expandable=True)
            return
        self._open.pop()
        self._at += len(_CLOSING[entity.name])
        extra: Entity | None = {"language": entity.language} if entity.name == "PreCode" else {}
        kind = _KINDS.get(entity.name, entity.name.lower())
        if entity.name == "TextUrl":
            kind, extra = self._link(entity)
        elif entity.name == "CustomEmoji":
            kind, extra = self._emoji()
        if extra is not None:
            self._add(kind, entity, extra)

    def _add(self, kind: str, entity: _Open, extra: Entity) -> None:
        if self._length > entity.offset:
            self._entities.append(
                {"type": kind, "offset": entity.offset, "length": self._length - entity.offset} | extra
            )

    def _link(self, entity: _Open) -> tuple[str, Entity | None]:
        url = self._target() if self._source[self._at] == "(" else "".join(self._pieces[entity.piece :])
        if user := mentioned_user(url):
            return "text_mention", {"user": user}
        link = checked_link(url)
        return "text_link", {"url": link} if link else None

    def _emoji(self) -> tuple[str, Entity]:
        if self._source[self._at] != "(":
            raise ParseError("The entity must contain a tg://emoji or tg://time URL")
        url = self._target()
        identifier = next((value for key, value in own_link(url, "emoji") or [] if key == "id"), "")
        if number(identifier):
            return "custom_emoji", {"custom_emoji_id": identifier}
        moment = linked_date_time(url)
        if moment is None:
            raise ParseError("Invalid tg://emoji or tg://time URL specified")
        return "date_time", moment

    def _target(self) -> str:
        """What stands in the round brackets behind a link's text."""
        start = at = self._at + 1
        url = []
        while at < self._size and self._source[at] != ")":
            at += self._source[at] == "\\" and 0 < ord(self._source[at + 1]) <= 126
            url.append(self._source[at])
            at += 1
        if self._source[at] != ")":
            raise self._broken("Can't find end of a URL", start)
        self._at = at + 1
        return "".join(url)

    def _end_of_quote(self, *, expandable: bool = False) -> None:
        """A quote ends with its line; what has begun in it has to have ended before."""
        if self._open[-1].name != "BlockQuote":
            raise self._unfinished()
        self._add("expandable_blockquote" if expandable else "blockquote", self._open.pop(), {})
        self._quoted = False
