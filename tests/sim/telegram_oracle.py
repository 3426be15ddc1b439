"""Telegram's own text parser, offline: tdjson runs the code that Telegram's clients and servers share."""

import json
from typing import Any

from tdjson import td_execute

_KINDS = {
    "Bold": "bold",
    "Italic": "italic",
    "Underline": "underline",
    "Strikethrough": "strikethrough",
    "Spoiler": "spoiler",
    "Code": "code",
    "Pre": "pre",
    "PreCode": "pre",
    "TextUrl": "text_link",
    "MentionName": "text_mention",
    "CustomEmoji": "custom_emoji",
    "BlockQuote": "blockquote",
    "ExpandableBlockQuote": "expandable_blockquote",
    "DateTime": "date_time",
    "BotCommand": "bot_command",
    "Mention": "mention",
    "Hashtag": "hashtag",
    "Cashtag": "cashtag",
    "Url": "url",
    "EmailAddress": "email",
    "PhoneNumber": "phone_number",
    "BankCardNumber": "bank_card_number",
    "MediaTimestamp": "media_timestamp",
}
_EXTRAS = {"language": "language", "url": "url", "user_id": "user", "custom_emoji_id": "custom_emoji_id"}


def execute(**request: Any) -> dict[str, Any]:
    """A synchronous TDLib request; "type" stands for "@type"."""
    request["@type"] = request.pop("type")
    answer: dict[str, Any] = json.loads(td_execute(json.dumps(request).encode()) or b"{}")
    return answer


execute(type="setLogVerbosityLevel", new_verbosity_level=0)


def entity(raw: dict[str, Any]) -> dict[str, Any]:
    """A textEntity as the Bot API writes it."""
    kind = raw["type"]["@type"].removeprefix("textEntityType")
    known = {name: raw["type"][key] for key, name in _EXTRAS.items() if key in raw["type"]}
    return {"type": _KINDS[kind], "offset": raw["offset"], "length": raw["length"]} | known


def parse(text: str, mode: dict[str, Any]) -> tuple[str, list[dict[str, Any]]] | str:
    """What Telegram makes of a markup: text and entities, or its complaint without "Can't parse entities: "."""
    answer = execute(type="parseTextEntities", text=text, parse_mode=mode)
    if answer["@type"] == "error":
        complaint: str = answer["message"]
        return complaint.removeprefix("Can't parse entities: ")
    return answer["text"], [entity(raw) for raw in answer["entities"]]


def parse_html(text: str) -> tuple[str, list[dict[str, Any]]] | str:
    """The same for HTML."""
    return parse(text, {"@type": "textParseModeHTML"})


def parse_markdown(text: str) -> tuple[str, list[dict[str, Any]]] | str:
    """The same for MarkdownV2."""
    return parse(text, {"@type": "textParseModeMarkdown", "version": 2})


def find_entities(text: str) -> list[dict[str, Any]]:
    """What Telegram finds in a plain text by itself."""
    return [entity(raw) for raw in execute(type="getTextEntities", text=text)["entities"]]
