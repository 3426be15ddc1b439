"""What a message is made of, read from the parameters of a call: text with entities, caption, keyboard, picture, file."""

from typing import Any
from urllib.parse import urlsplit

from sim.telegram.engine import Engine, text_fields
from sim.telegram.entities import Entity, ParseError, sort_entities, tidy
from sim.telegram.errors import bad_request
from sim.telegram.html import parse_html
from sim.telegram.images import image_size
from sim.telegram.links import checked_link
from sim.telegram.markdown import parse_markdown
from sim.telegram.params import Params, Upload
from sim.telegram.people import Json

#: In code points, after parsing.
TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024

#: Entities that a bot can ask for, with the fields that belong to them.
_GIVEN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("bold", "italic", "underline", "strikethrough", "spoiler", "code"), ()),
    **dict.fromkeys(("blockquote", "expandable_blockquote"), ()),
    "pre": ("language",),
    "text_link": ("url",),
    "text_mention": ("user",),
    "custom_emoji": ("custom_emoji_id",),
}

_PARSERS = {"html": parse_html, "markdownv2": parse_markdown}


def text_of(engine: Engine, params: Params) -> tuple[str, list[Entity]]:
    """The text and entities of a text message."""
    text, entities = _formatted(engine, params, "text", "entities")
    if not text:
        raise bad_request("message text is empty")
    if len(text) > TEXT_LIMIT:
        raise bad_request("message is too long")
    return text, entities


def caption_of(engine: Engine, params: Params) -> Json:
    """The caption of a picture or file, as Message fields."""
    text, entities = _formatted(engine, params, "caption", "caption_entities")
    if len(text) > CAPTION_LIMIT:
        raise bad_request("message caption is too long")
    return text_fields("caption", text, entities)


def _formatted(
    engine: Engine, params: Params, text_name: str, entities_name: str
) -> tuple[str, list[Entity]]:
    text = params.text(text_name)
    mode = params.text("parse_mode").lower()
    if mode in ("", "none"):
        given = params.json(entities_name, list, "entities") or []
        return tidy(text, _resolved(engine, [entity for raw in given if (entity := _given(raw))]))
    parser = _PARSERS.get(mode)
    if parser is None:
        raise bad_request("unsupported parse_mode")
    try:
        plain, found = parser(text)
    except ParseError as error:
        raise bad_request(f"can't parse entities: {error}") from None
    return tidy(plain, _resolved(engine, found))


def _given(raw: Any) -> Entity | None:
    """An entity as the bot describes it; None for those that Telegram finds by itself, and for links that are none."""
    fields = _GIVEN.get(str(raw.get("type"))) if isinstance(raw, dict) else None
    if fields is None:
        return None
    offset, length = raw.get("offset"), raw.get("length")
    if not isinstance(offset, int) or not isinstance(length, int):
        raise bad_request('can\'t parse MessageEntity: fields "offset" and "length" must be of type Number')
    entity: Entity = {"type": raw["type"], "offset": offset, "length": length}
    entity |= {name: raw[name] for name in fields if raw.get(name)}
    if raw["type"] == "text_link":
        entity["url"] = checked_link(str(raw.get("url", "")))
    return entity if all(entity.get(name) for name in fields if name != "language") else None


def _resolved(engine: Engine, entities: list[Entity]) -> list[Entity]:
    """Mentions carry the user they mean; those of somebody unknown are dropped, as Telegram does."""
    resolved = []
    for entity in entities:
        if entity.get("type") != "text_mention":
            resolved.append(entity)
            continue
        user = entity.get("user")
        user_id = user.get("id") if isinstance(user, dict) else user
        known = engine.users.get(user_id) if isinstance(user_id, int) else None
        if known is not None:
            resolved.append(entity | {"user": known})
    return sort_entities(resolved)


def keyboard_of(params: Params) -> Json | None:
    """The inline keyboard, None where there is none. Other kinds of reply_markup are accepted and not kept."""
    markup = params.json("reply_markup", dict, "reply keyboard markup", expected_as="reply markup")
    if not markup or "inline_keyboard" not in markup:
        return None
    rows = markup["inline_keyboard"]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup should be an Array of Arrays')
    keyboard = [[_button(button) for button in row] for row in rows if row]
    return {"inline_keyboard": keyboard} if keyboard else None


def _button(button: Any) -> Json:
    def broken(reason: str) -> Exception:
        return bad_request(f"can't parse inline keyboard button: {reason}")

    if not isinstance(button, dict):
        raise broken("InlineKeyboardButton must be an Object")
    text = button.get("text")
    if text is None:
        raise broken('Can\'t find field "text"')
    if not isinstance(text, str):
        raise broken('Field "text" must be of type String')
    if not text.strip():
        raise bad_request("inline keyboard button text must be non-empty")
    style = {key: button[key] for key in ("style", "icon_custom_emoji_id") if button.get(key)}
    if data := button.get("callback_data"):
        if len(str(data).encode()) > 64:
            raise bad_request("BUTTON_DATA_INVALID")
        return {"text": text, "callback_data": str(data)} | style
    if url := button.get("url"):
        if urlsplit(str(url)).scheme not in ("http", "https", "tg"):
            raise bad_request(f"inline keyboard button URL '{url}' is invalid: Unsupported URL protocol")
        return {"text": text, "url": str(url)} | style
    if isinstance(button.get("copy_text"), dict):
        return {"text": text, "copy_text": {"text": str(button["copy_text"].get("text", ""))}} | style
    raise broken("Text buttons are unallowed in the inline keyboard")


def media_of(engine: Engine, params: Params, kind: str) -> Json:
    """The picture or file named `kind`: uploaded now, or known by its file_id; as Message fields."""
    upload = _upload(params, kind)
    if upload is not None:
        if not upload.data:
            raise bad_request("file must be non-empty")
        file_id = engine.keep_file(upload.name, upload.content_type, upload.data)
        return _media_fields(kind, file_id, upload.name, upload.content_type, upload.data)
    value = params.text(kind)
    if not value:
        raise bad_request(f"there is no {kind} in the request")
    record = engine.file(value)
    if record is None:
        if value.startswith(("http://", "https://")):
            raise bad_request("failed to get HTTP URL content")
        raise bad_request("wrong remote file identifier specified: Wrong string length")
    return _media_fields(kind, value, record["name"], record["content_type"], engine.file_data(value))


def _upload(params: Params, kind: str) -> Upload | None:
    value = params.text(kind)
    name = value.removeprefix("attach://") if value.startswith("attach://") else kind
    return params.uploads.get(name)


def _media_fields(kind: str, file_id: str, name: str, content_type: str, data: bytes) -> Json:
    common = {"file_id": file_id, "file_unique_id": file_id.lower(), "file_size": len(data)}
    if kind == "document":
        return {"document": common | {"file_name": name, "mime_type": content_type}}
    size = image_size(data)
    if size is None:
        raise bad_request("IMAGE_PROCESS_FAILED")
    width, height = size
    if width + height > 10_000 or max(size) > 20 * min(size):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return {"photo": [common | {"width": width, "height": height}]}
