"""Texts with entities: counting in UTF-16, finding commands and links in plain text, tidying up before a message is kept.

Pure. An entity is Telegram's MessageEntity as JSON.
"""

import re
from collections.abc import Iterable
from typing import Any

Entity = dict[str, Any]

#: Where entities share offset and length, the outer one first.
_NESTING = {
    kind: rank
    for rank, kind in enumerate(
        (
            "blockquote", "expandable_blockquote", "mention", "hashtag", "cashtag", "bot_command", "url", "email",
            "text_link", "text_mention", "pre", "code", "bold", "italic", "underline", "strikethrough", "spoiler",
            "custom_emoji",
        )
    )
}  # fmt: skip

#: Nothing is found or nested inside these.
_LITERAL = {"code", "pre"}

_FOUND = re.compile(
    r"(?P<url>(?<![\w@/.])https?://[^\s<>\"'«»]+[^\s<>\"'«».,:;!?()\[\]{}])"
    r"|(?P<email>(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<bot_command>(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>]))"
    r"|(?P<mention>(?<!\w)@[A-Za-z0-9_]{3,32}(?!\w))"
    r"|(?P<hashtag>(?<![\w#])#\w*[^\W\d]\w*)"
    r"|(?P<cashtag>(?<![\w$])\$(?:1INCH|[A-Z]{1,8})(?![\w$]))"
)


class ParseError(ValueError):
    """Broken markup; the words are Telegram's, without "can't parse entities: "."""


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, in which Telegram counts offsets."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def sort_entities(entities: Iterable[Entity]) -> list[Entity]:
    """By offset, the longer first, then in the order in which Telegram nests them."""
    return sorted(entities, key=lambda e: (e["offset"], -e["length"], _NESTING.get(e["type"], 99)))


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
    """What is kept of a text that was sent: without surrounding space, with the entities that Telegram finds by itself."""
    body = text.strip()
    lead = utf16_length(text[: len(text) - len(text.lstrip())])
    end = utf16_length(body)
    kept = []
    for entity in entities:
        start = max(entity["offset"] - lead, 0)
        stop = min(entity["offset"] + entity["length"] - lead, end)
        if start < stop:
            kept.append(entity | {"offset": start, "length": stop - start})
    taken = [e for e in kept if e["type"] in _LITERAL or e["type"] in ("text_link", "text_mention")]
    found = [
        e
        for e in find_entities(body)
        if not any(
            e["offset"] < t["offset"] + t["length"] and t["offset"] < e["offset"] + e["length"] for t in taken
        )
    ]
    return body, sort_entities(kept + found)
