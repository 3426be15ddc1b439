"""The words of a message, read from the parameters of a call: text with entities, caption, quote, link preview."""

from typing import Any

from sim.telegram.engine import Engine, text_fields
from sim.telegram.entities import Entity, sort_entities, tidy, with_mentions
from sim.telegram.errors import bad_request
from sim.telegram.links import checked_link
from sim.telegram.markup import PARSERS, parse
from sim.telegram.params import Params
from sim.telegram.people import Json

#: In code points, after parsing.
TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024

_PREVIEW = ("is_disabled", "prefer_small_media", "prefer_large_media", "show_above_text")

#: Entities that a bot can ask for, with the fields that belong to them.
_GIVEN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("bold", "italic", "underline", "strikethrough", "spoiler", "code"), ()),
    **dict.fromkeys(("blockquote", "expandable_blockquote"), ()),
    "pre": ("language",),
    "text_link": ("url",),
    "text_mention": ("user",),
    "custom_emoji": ("custom_emoji_id",),
}


def text_of(engine: Engine, params: Params) -> tuple[str, list[Entity]]:
    """The text and entities of a text message."""
    text, entities = formatted(engine, params, "text", "entities")
    if not text:
        raise bad_request("message text is empty")
    if len(text) > TEXT_LIMIT:
        raise bad_request("message is too long")
    return text, entities


def caption_of(engine: Engine, params: Params) -> Json:
    """The caption of a picture or file, as Message fields."""
    text, entities = formatted(engine, params, "caption", "caption_entities")
    if len(text) > CAPTION_LIMIT:
        raise bad_request("message caption is too long")
    above = True if text and params.flag("show_caption_above_media") else None
    return text_fields("caption", text, entities) | {"show_caption_above_media": above}


def preview_of(params: Params) -> Json:
    """The options of a link's preview as Message fields, where there are any but the usual ones."""
    options = params.json("link_preview_options", dict, "link preview options") or {}
    if not options and params.flag("disable_web_page_preview"):
        options = {"is_disabled": True}
    kept: Json = {name: True for name in _PREVIEW if options.get(name)}
    if url := options.get("url"):
        kept["url"] = checked_link(str(url)) or str(url)
    return {"link_preview_options": kept or None}


def formatted(
    engine: Engine, params: Params, text_name: str, entities_name: str, mode_name: str = "parse_mode"
) -> tuple[str, list[Entity]]:
    """A text and its entities, from markup or from entities that are given; ApiError where either is broken."""
    mode = params.text(mode_name)
    plain, found = parse(params.text(text_name), mode)
    if mode.lower() not in PARSERS:
        given = params.json(entities_name, list, "entities") or []
        found = [entity for raw in given if (entity := _given(raw))]
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
    for entity in with_mentions(entities):
        if entity.get("type") != "text_mention":
            resolved.append(entity)
            continue
        user = entity.get("user")
        user_id = user.get("id") if isinstance(user, dict) else user
        known = engine.users.get(user_id) if isinstance(user_id, int) else None
        if known is not None:
            resolved.append(entity | {"user": known})
    return sort_entities(resolved)
