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
_EXTRAS = {"language": "language", "url": "url", "user_id": "user", "custom_emoji_id": "custom_emoji_id",
           "unix_time": "unix_time"}  # fmt: skip
HTML: dict[str, Any] = {"@type": "textParseModeHTML"}
MARKDOWN: dict[str, Any] = {"@type": "textParseModeMarkdown", "version": 2}
MARKDOWN_LEGACY: dict[str, Any] = {"@type": "textParseModeMarkdown", "version": 1}
_LENGTHS = {"dateTimePartPrecisionNone": 0, "dateTimePartPrecisionShort": 1, "dateTimePartPrecisionLong": 2}


def execute(**request: Any) -> dict[str, Any]:
    """A synchronous TDLib request; "type" stands for "@type". Half a letter is sent as the bytes that it would be."""
    request["@type"] = request.pop("type")
    asked = json.dumps(request, ensure_ascii=False).encode("utf-8", "surrogatepass")
    answer: dict[str, Any] = json.loads(td_execute(asked) or b"{}")
    return answer


execute(type="setLogVerbosityLevel", new_verbosity_level=0)


def entity(raw: dict[str, Any]) -> dict[str, Any]:
    """A textEntity as the Bot API writes it."""
    kind = raw["type"]["@type"].removeprefix("textEntityType")
    known = {name: raw["type"][key] for key, name in _EXTRAS.items() if key in raw["type"]}
    if shown := _date_time_format(raw["type"].get("formatting_type")):
        known["date_time_format"] = shown
    return {"type": _KINDS[kind], "offset": raw["offset"], "length": raw["length"]} | known


def _date_time_format(how: dict[str, Any] | None) -> str:
    """How a moment is shown, as the Bot API writes it: r, or w, d or D, t or T."""
    if how is None or how["@type"] == "dateTimeFormattingTypeRelative":
        return "r" if how else ""
    date, time = (_LENGTHS[how[f"{part}_precision"]["@type"]] for part in ("date", "time"))
    return ("w" if how["show_day_of_week"] else "") + ("", "d", "D")[date] + ("", "t", "T")[time]


def parse(text: str, mode: dict[str, Any]) -> tuple[str, list[dict[str, Any]]] | str:
    """What Telegram makes of a markup: text and entities, or its complaint without "Can't parse entities: "."""
    answer = execute(type="parseTextEntities", text=text, parse_mode=mode)
    if answer["@type"] == "error":
        complaint: str = answer["message"]
        return complaint.removeprefix("Can't parse entities: ")
    return answer["text"], [entity(raw) for raw in answer["entities"]]


def parse_html(text: str) -> tuple[str, list[dict[str, Any]]] | str:
    """The same for HTML."""
    return parse(text, HTML)


def parse_markdown(text: str) -> tuple[str, list[dict[str, Any]]] | str:
    """The same for MarkdownV2."""
    return parse(text, MARKDOWN)


def parse_markdown_legacy(text: str) -> tuple[str, list[dict[str, Any]]] | str:
    """The same for the first Markdown."""
    return parse(text, MARKDOWN_LEGACY)


def find_entities(text: str) -> list[dict[str, Any]]:
    """What Telegram finds in a plain text by itself, without times such as 12:34, of which the Bot API knows nothing."""
    found = execute(type="getTextEntities", text=text)["entities"]
    return [entity(raw) for raw in found if raw["type"]["@type"] != "textEntityTypeMediaTimestamp"]


def put_in_order(text: str, entities: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]] | None:
    """The text and entities as Telegram keeps them; nothing is trimmed, and styles come in pieces.

    None where the address of a link is none any more once it has been cleaned, for which Telegram refuses it all.

    `entities` as TDLib writes them. parseMarkdown begins with that; with nothing to parse that is all it does.
    """
    answer = execute(
        type="parseMarkdown", text={"@type": "formattedText", "text": text, "entities": entities}
    )
    if answer["@type"] == "error":
        assert answer["message"].startswith("Entity URL "), answer
        return None
    return answer["text"], [entity(raw) for raw in answer["entities"]]
