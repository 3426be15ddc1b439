"""Methods that change what is there: edits, deletions, pins, reactions, the end of a poll."""

from sim.telegram.content import caption_of, preview_of, text_of
from sim.telegram.engine import Engine, text_fields, without_reply
from sim.telegram.errors import bad_request
from sim.telegram.keyboards import inline_of
from sim.telegram.media import input_media
from sim.telegram.methods.common import (
    Method,
    chat_of,
    has_right,
    message_of,
    own_message,
    record,
    revise,
    writable_chat,
)
from sim.telegram.methods.sending import location_of
from sim.telegram.params import Params
from sim.telegram.people import Json

_DELETABLE = 48 * 3600  # seconds

#: The emoji that Telegram offers as reactions to everybody.
_REACTIONS = """
❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤‍🔥 🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴
😭 🤓 👻 👨‍💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡
"""


def edit_message_text(engine: Engine, params: Params) -> Json:
    """Another text for a text message; without reply_markup its keyboard goes."""
    text, entities = text_of(engine, params)
    message = own_message(engine, params)
    if "text" not in message:
        raise bad_request("there is no text in the message to edit")
    content = text_fields("text", text, entities) | preview_of(params)
    return revise(engine, params, "editMessageText", message, content)


def edit_message_caption(engine: Engine, params: Params) -> Json:
    """Another caption for a picture or a file."""
    caption = caption_of(engine, params)
    message = own_message(engine, params)
    if not message.keys() & {"photo", "document", "animation", "audio", "video", "voice"}:
        raise bad_request("there is no caption in the message to edit")
    return revise(engine, params, "editMessageCaption", message, caption)


def edit_message_media(engine: Engine, params: Params) -> Json:
    """Another picture or file in place of the one before."""
    params.required("media")
    media = params.json("media", dict, "input media")
    message = own_message(engine, params)
    if not message.keys() & {"text", "photo", "document", "animation", "audio", "video"}:
        raise bad_request("message can't be edited")
    content = {"text": None, "entities": None, "link_preview_options": None}
    return revise(
        engine,
        params,
        "editMessageMedia",
        message,
        content | input_media(engine, params, media, album=False),
    )


def edit_message_reply_markup(engine: Engine, params: Params) -> Json:
    """Another keyboard under a message, or none."""
    return revise(engine, params, "editMessageReplyMarkup", own_message(engine, params), {})


def edit_live_location(engine: Engine, params: Params) -> Json:
    """A live place has moved."""
    message, location = _live(engine, params), location_of(params)
    moved = {"live_period": message["location"]["live_period"]} | location
    return revise(engine, params, "editMessageLiveLocation", message, {"location": moved})


def stop_live_location(engine: Engine, params: Params) -> Json:
    """A live place moves no more."""
    message = _live(engine, params)
    still = {key: message["location"][key] for key in ("latitude", "longitude")}
    return revise(engine, params, "stopMessageLiveLocation", message, {"location": still})


def _live(engine: Engine, params: Params) -> Json:
    message = own_message(engine, params)
    if "live_period" not in message.get("location", {}):
        raise bad_request("message can't be edited")
    return message


def stop_poll(engine: Engine, params: Params) -> Json:
    """Nobody can vote any more; the poll as it ended, which also comes as an update."""
    message = own_message(engine, params, "message with poll to stop not found")
    poll = message.get("poll")
    if poll is None:
        raise bad_request("message is not a poll")
    if poll["is_closed"]:
        raise bad_request("poll has already been closed")
    closed: Json = poll | {"is_closed": True}
    markup = inline_of(params, message["chat"])
    changed = {key: value for key, value in message.items() if key != "reply_markup"} | {"poll": closed}
    engine.keep(changed | ({"reply_markup": markup} if markup else {}))
    engine.updates.add("poll", closed, engine.clock.now())
    record(engine, "stopPoll", engine.messages[message["message_id"]])
    return closed


# Deleting


def _deletable(engine: Engine, message: Json) -> str:
    """Why a message cannot be deleted, empty where it can."""
    chat = message["chat"]
    own = message["from"]["id"] == engine.bot["id"]
    if not own and not has_right(engine, chat, "can_delete_messages"):
        return "message can't be deleted"
    if engine.clock.now().timestamp() - message["date"] > _DELETABLE:
        return "message can't be deleted for everyone"
    return ""


def _delete(engine: Engine, message: Json) -> None:
    engine.remove(message)
    record(engine, "deleteMessage", message)


def delete_message(engine: Engine, params: Params) -> bool:
    """A message goes: the bot's own, in a private chat the person's too, in a group with the right to; up to 48 hours old."""
    message = message_of(engine, params, "message to delete not found")
    if reason := _deletable(engine, message):
        raise bad_request(reason)
    _delete(engine, message)
    return True


def delete_messages(engine: Engine, params: Params) -> bool:
    """Several messages go; those that are missing or cannot go are passed over."""
    numbers = params.numbers("message_ids", 100)
    chat = chat_of(engine, params)
    for number in numbers:
        message = engine.messages.get(number)
        if message is not None and message["chat"]["id"] == chat["id"] and not _deletable(engine, message):
            _delete(engine, message)
    return True


# Pins and reactions


def _may_pin(engine: Engine, chat: Json) -> None:
    if not has_right(engine, chat, "can_pin_messages"):
        raise bad_request("not enough rights to manage pinned messages in the chat")


def pin_chat_message(engine: Engine, params: Params) -> bool:
    """A message pinned above the chat, with a line in it that says so, of which the bot hears too."""
    message = message_of(engine, params, "message to pin not found")
    chat = writable_chat(engine, params)
    _may_pin(engine, chat)
    engine.pin(chat["id"], message["message_id"])
    record(engine, "pinChatMessage", message)
    line = engine.new_message(chat, engine.bot) | {"pinned_message": without_reply(message)}
    engine.deliver("message", line)
    return True


def unpin_chat_message(engine: Engine, params: Params) -> bool:
    """One pin less: that of message_id, or the latest."""
    chat = writable_chat(engine, params)
    _may_pin(engine, chat)
    number = params.integer("message_id") if params.has("message_id") else None
    if not engine.unpin(chat["id"], number):
        raise bad_request("message to unpin not found")
    engine.journal.record("unpinChatMessage", chat_id=chat["id"])
    return True


def unpin_all_chat_messages(engine: Engine, params: Params) -> bool:
    """Nothing pinned any more."""
    chat = writable_chat(engine, params)
    _may_pin(engine, chat)
    engine.pin(chat["id"], None)
    engine.journal.record("unpinChatMessage", chat_id=chat["id"])
    return True


def set_message_reaction(engine: Engine, params: Params) -> bool:
    """The bot's one reaction to a message, or none."""
    given = params.json("reaction", list, "reaction types", expected_as="ReactionType") or []
    reactions = [_reaction(reaction) for reaction in given]
    message = message_of(engine, params, "message to react not found")
    writable_chat(engine, params)
    if len(reactions) > 1:
        raise bad_request("REACTIONS_TOO_MANY")
    present = engine.reactions.get(str(message["message_id"]), {}).values()
    for reaction in reactions:
        known = reaction.get("emoji") in _REACTIONS.split()
        if not known and not any(reaction in kept for kept in present):
            raise bad_request("REACTION_INVALID")
    engine.set_reaction(message, engine.bot["id"], reactions)
    engine.journal.record(
        "setMessageReaction",
        chat_id=message["chat"]["id"],
        message_id=message["message_id"],
        reaction=reactions,
    )
    return True


def _reaction(given: object) -> Json:
    if not isinstance(given, dict):
        raise bad_request("can't parse ReactionType: expected an Object")
    kind = given.get("type")
    if kind == "emoji" and isinstance(given.get("emoji"), str):
        return {"type": "emoji", "emoji": given["emoji"].replace("\ufe0f", "")}
    if kind == "custom_emoji" and given.get("custom_emoji_id"):
        return {"type": "custom_emoji", "custom_emoji_id": str(given["custom_emoji_id"])}
    raise bad_request("can't parse ReactionType: invalid reaction type specified")


CHANGING: dict[str, Method] = {
    "deleteMessage": delete_message,
    "deleteMessages": delete_messages,
    "editMessageCaption": edit_message_caption,
    "editMessageLiveLocation": edit_live_location,
    "editMessageMedia": edit_message_media,
    "editMessageReplyMarkup": edit_message_reply_markup,
    "editMessageText": edit_message_text,
    "pinChatMessage": pin_chat_message,
    "setMessageReaction": set_message_reaction,
    "stopMessageLiveLocation": stop_live_location,
    "stopPoll": stop_poll,
    "unpinAllChatMessages": unpin_all_chat_messages,
    "unpinChatMessage": unpin_chat_message,
}
