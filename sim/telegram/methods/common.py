"""What the methods share: finding chats and messages, sending, changing, and telling the journal."""

from collections.abc import Callable
from typing import Any

from sim.telegram.content import formatted
from sim.telegram.engine import Engine, without_reply
from sim.telegram.entities import utf16_length
from sim.telegram.errors import bad_request
from sim.telegram.keyboards import Markup, inline_of, markup_of
from sim.telegram.kinds import FILES
from sim.telegram.params import Params
from sim.telegram.people import Json

Method = Callable[[Engine, Params], Any]


def chat_of(engine: Engine, params: Params, name: str = "chat_id") -> Json:
    """The chat that a parameter names: by number, or a group by @name."""
    return engine.chat(_chat_number(engine, params, name))


def writable_chat(engine: Engine, params: Params) -> Json:
    """The same where the bot may write."""
    chat = engine.writable(_chat_number(engine, params, "chat_id"))
    place = engine.place_of(chat["id"], engine.bot["id"])
    if place["status"] == "restricted" and not place["can_send_messages"]:
        raise bad_request("not enough rights to send text messages to the chat")
    return chat


def _chat_number(engine: Engine, params: Params, name: str) -> int:
    raw = params.text(name).strip()
    if not raw:
        raise bad_request(f"{name} is empty")
    if not raw.startswith("@"):
        return params.integer(name)
    wanted = raw[1:].lower()
    groups = (chat for chat in engine.chats.values() if chat["type"] != "private")
    named = next((chat["id"] for chat in groups if chat.get("username", "").lower() == wanted), None)
    if named is None:
        raise bad_request("chat not found")
    return int(named)


def message_of(engine: Engine, params: Params, missing: str) -> Json:
    """The message that chat_id and message_id name; `missing` are the words where there is none."""
    if not params.has("chat_id") and params.has("inline_message_id"):
        raise bad_request("MESSAGE_ID_INVALID")  # no message is sent via the bot here
    chat = chat_of(engine, params)
    if not params.has("message_id"):
        raise bad_request("message identifier is not specified")
    return engine.message(chat["id"], params.integer("message_id"), missing)


def own_message(engine: Engine, params: Params, missing: str = "message to edit not found") -> Json:
    """The same where it is the bot's own, which alone it can change."""
    message = message_of(engine, params, missing)
    if message["from"]["id"] != engine.bot["id"]:
        raise bad_request("message can't be edited")
    return message


def has_right(engine: Engine, chat: Json, right: str) -> bool:
    """Whether the bot is an administrator of a group with a right; in a private chat it has every right."""
    place = engine.place_of(chat["id"], engine.bot["id"])
    return chat["type"] == "private" or bool(place["status"] == "administrator" and place.get(right))


def record(engine: Engine, kind: str, message: Json) -> Json:
    """Tell the journal what the bot did to a message."""
    facts = {key: message[key] for key in ("text", "caption", "edit_date") if key in message}
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    engine.journal.record(
        kind,
        chat_id=message["chat"]["id"],
        message_id=message["message_id"],
        buttons=[[button["text"] for button in row] for row in rows],
        **facts,
    )
    return message


def send(engine: Engine, params: Params, kind: str, content: Json) -> Json:
    """A new message with `content`, and with all that every sending method can ask for."""
    chat = writable_chat(engine, params)
    markup = markup_of(params, chat)
    extras = reply_fields(engine, params, chat) | wishes(params) | {"reply_markup": markup.inline}
    message = engine.post(
        chat, {key: value for key, value in (content | extras).items() if value is not None}
    )
    record(engine, kind, message)
    show_keyboard(engine, message, markup)
    return message


def wishes(params: Params) -> Json:
    """Fields of a new message that are the same for every kind. Sound and threads have no place in it."""
    return {
        "has_protected_content": True if params.flag("protect_content") else None,
        "effect_id": params.text("message_effect_id") or None,
    }


def show_keyboard(engine: Engine, message: Json, markup: Markup) -> None:
    """Give a reply keyboard to those who shall have it, or take it away."""
    if markup.other is None:
        return
    chat_id = message["chat"]["id"]
    if markup.other.get("remove_keyboard"):
        engine.set_keyboard(chat_id, message["message_id"], None)
        return
    people = None
    if markup.other.get("selective") and message["chat"]["type"] != "private":
        people = _meant(engine, message)
    engine.set_keyboard(chat_id, message["message_id"], markup.other, people)


def _meant(engine: Engine, message: Json) -> list[int]:
    """Whom a message means: the one it replies to, and those it mentions."""
    people = [message["reply_to_message"]["from"]["id"]] if "reply_to_message" in message else []
    text = str(message.get("text", "")).encode("utf-16-le")
    names = {user.get("username", "").lower(): user["id"] for user in engine.users.values()}
    for entity in message.get("entities", []):
        if entity["type"] == "text_mention":
            people.append(entity["user"]["id"])
        elif entity["type"] == "mention":
            start = 2 * (entity["offset"] + 1)
            name = text[start : start + 2 * entity["length"] - 2].decode("utf-16-le", "replace").lower()
            people += [names[name]] if name in names else []
    return people


def revise(engine: Engine, params: Params, kind: str, message: Json, content: Json) -> Json:
    """The bot's message with other content, and with the keyboard of this call or none."""
    markup = {"reply_markup": inline_of(params, message["chat"])}
    return record(engine, kind, engine.revise(message, content | markup))


# Replies


def reply_fields(engine: Engine, params: Params, chat: Json) -> Json:
    """What a message says of the one it replies to. ApiError where that is not found, and the bot did not say it minds not."""
    given = params.json("reply_parameters", dict, "reply parameters")
    if given and not Params(given).has("message_id"):
        raise bad_request('can\'t find field "message_id"')
    inner = Params(given or {})
    number = inner.integer("message_id") or params.integer("reply_to_message_id")
    if not number:
        return {}
    elsewhere = chat_of(engine, inner) if inner.has("chat_id") else chat
    original = engine.messages.get(number)
    if original is None or original["chat"]["id"] != elsewhere["id"]:
        if inner.flag("allow_sending_without_reply") or params.flag("allow_sending_without_reply"):
            return {}
        raise bad_request("message to be replied not found")
    quote = _quote(engine, inner, original)
    if elsewhere["id"] == chat["id"]:
        return {"reply_to_message": without_reply(original)} | quote
    place = {} if elsewhere["type"] == "private" else {"chat": elsewhere, "message_id": number}
    kinds = (*FILES, "contact", "dice", "location", "poll", "venue", "link_preview_options")
    kept = {key: original[key] for key in (*kinds, "has_media_spoiler") if key in original}
    return {"external_reply": {"origin": origin_of(original)} | place | kept} | quote


def _quote(engine: Engine, inner: Params, original: Json) -> Json:
    if not inner.has("quote"):
        return {}
    text, entities = formatted(engine, inner, "quote", "quote_entities", "quote_parse_mode")
    whole = str(original.get("text", original.get("caption", "")))
    if not text or text not in whole:
        raise bad_request("QUOTE_TEXT_INVALID")
    quote: Json = {"text": text, "position": utf16_length(whole[: whole.index(text)]), "is_manual": True}
    styles = [entity for entity in entities if entity["type"] in _QUOTABLE]
    return {"quote": quote | ({"entities": styles} if styles else {})}


_QUOTABLE = {"bold", "italic", "underline", "strikethrough", "spoiler", "custom_emoji"}


def origin_of(message: Json) -> Json:
    """Where a message comes from, as MessageOrigin: what it was forwarded from, or who has written it."""
    origin: Json = message.get("forward_origin") or {
        "type": "user",
        "sender_user": message["from"],
        "date": message["date"],
    }
    return origin


def next_number(engine: Engine, of: str) -> int:
    """The next of a running number that survives a restart."""
    number = int(engine.settings.get(of, 0)) + 1
    engine.set(of, number)
    return number


def done(engine: Engine, params: Params) -> bool:
    """A method without consequences here."""
    return True
