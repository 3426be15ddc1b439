"""The methods of the Bot API: one function a method, and the table METHODS by which they are found.

A method takes the chat world and the parameters and returns the JSON result; it refuses with ApiError.
getUpdates is not here: it waits, and waiting is the session's business (sim.telegram.botapi).
"""

from collections.abc import Callable
from typing import Any

from sim.telegram.content import caption_of, keyboard_of, media_of, text_of
from sim.telegram.engine import Engine, text_fields
from sim.telegram.errors import bad_request
from sim.telegram.params import Params
from sim.telegram.people import Json

Method = Callable[[Engine, Params], Any]

_ANSWER_LIMIT = 200


def _chat(engine: Engine, params: Params) -> Json:
    """The chat that chat_id names: a number, or @name of a group."""
    if not params.has("chat_id"):
        raise bad_request("chat_id is empty")
    chat_id = params.integer("chat_id")
    return engine.chat(chat_id)


def _message(engine: Engine, params: Params, missing: str) -> Json:
    chat = _chat(engine, params)
    if not params.has("message_id"):
        raise bad_request("message identifier is not specified")
    return engine.message(chat["id"], params.integer("message_id"), missing)


def _own_message(engine: Engine, params: Params) -> Json:
    message = _message(engine, params, "message to edit not found")
    if message["from"]["id"] != engine.bot["id"]:
        raise bad_request("message can't be edited")
    return message


def _record(engine: Engine, kind: str, message: Json) -> Json:
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


def _send(engine: Engine, params: Params, kind: str, content: Json) -> Json:
    chat = _chat(engine, params)
    reply = params.json("reply_parameters", dict, "reply parameters") or {}
    reply_to = Params(reply).integer("message_id") or params.integer("reply_to_message_id")
    extras: Json = {"reply_markup": keyboard_of(params)}
    if reply_to:
        original = engine.messages.get(reply_to)
        if original is not None and original["chat"]["id"] == chat["id"]:
            extras["reply_to_message"] = {k: v for k, v in original.items() if k != "reply_to_message"}
        elif not (reply.get("allow_sending_without_reply") or params.flag("allow_sending_without_reply")):
            raise bad_request("message to be replied not found")
    if params.flag("protect_content"):
        extras["has_protected_content"] = True
    fields = {key: value for key, value in (content | extras).items() if value is not None}
    return _record(engine, kind, engine.post(chat, fields))


def _revise(engine: Engine, params: Params, kind: str, message: Json, content: Json) -> Json:
    markup = {"reply_markup": keyboard_of(params)}
    return _record(engine, kind, engine.revise(message, content | markup))


def get_me(engine: Engine, params: Params) -> Json:
    """The bot itself."""
    return engine.bot | {
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def send_message(engine: Engine, params: Params) -> Json:
    """A new text message."""
    text, entities = text_of(engine, params)
    return _send(engine, params, "sendMessage", text_fields("text", text, entities))


def send_photo(engine: Engine, params: Params) -> Json:
    """A new picture."""
    _chat(engine, params)
    return _send(engine, params, "sendPhoto", caption_of(engine, params) | media_of(engine, params, "photo"))


def send_document(engine: Engine, params: Params) -> Json:
    """A new file."""
    _chat(engine, params)
    return _send(
        engine, params, "sendDocument", caption_of(engine, params) | media_of(engine, params, "document")
    )


def edit_message_text(engine: Engine, params: Params) -> Json:
    """Another text for a text message; without reply_markup its keyboard goes."""
    text, entities = text_of(engine, params)
    message = _own_message(engine, params)
    if "text" not in message:
        raise bad_request("there is no text in the message to edit")
    return _revise(engine, params, "editMessageText", message, text_fields("text", text, entities))


def edit_message_caption(engine: Engine, params: Params) -> Json:
    """Another caption for a picture or a file."""
    caption = caption_of(engine, params)
    message = _own_message(engine, params)
    if "text" in message:
        raise bad_request("there is no caption in the message to edit")
    return _revise(engine, params, "editMessageCaption", message, caption)


def edit_message_media(engine: Engine, params: Params) -> Json:
    """Another picture or file in place of the one before."""
    media = params.json("media", dict, "media")
    if not media:
        raise bad_request("there is no media in the request")
    message = _own_message(engine, params)
    kind = media.get("type")
    if kind not in ("photo", "document"):
        raise bad_request("can't parse InputMedia: type must be photo or document in the simulator")
    inner = Params({**media, kind: media.get("media")}, params.uploads)
    content = {"photo": None, "document": None} | caption_of(engine, inner) | media_of(engine, inner, kind)
    return _revise(engine, params, "editMessageMedia", message, content)


def edit_message_reply_markup(engine: Engine, params: Params) -> Json:
    """Another keyboard under a message, or none."""
    return _revise(engine, params, "editMessageReplyMarkup", _own_message(engine, params), {})


def delete_message(engine: Engine, params: Params) -> bool:
    """A message goes; in a private chat the bot may delete those of the person too, up to 48 hours old."""
    message = _message(engine, params, "message to delete not found")
    if engine.clock.now().timestamp() - message["date"] > 48 * 3600:
        raise bad_request("message can't be deleted for everyone")
    engine.remove(message)
    _record(engine, "deleteMessage", message)
    return True


def answer_callback_query(engine: Engine, params: Params) -> bool:
    """The end of a button's progress bar, with a toast or an alert where there is a text."""
    text = params.text("text")
    if len(text) > _ANSWER_LIMIT:
        raise bad_request("MESSAGE_TOO_LONG")
    query_id = params.text("callback_query_id")
    if engine.answer(query_id):
        engine.journal.record(
            "answerCallbackQuery",
            callback_query_id=query_id,
            text=text,
            show_alert=params.flag("show_alert"),
            url=params.text("url"),
        )
    return True


_ACTIONS = {
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
    "choose_sticker", "find_location", "record_video_note", "upload_video_note",
}  # fmt: skip


def send_chat_action(engine: Engine, params: Params) -> bool:
    """The bot is typing, for five seconds or until its next message."""
    if params.text("action").lower() not in _ACTIONS:
        raise bad_request("wrong parameter action in request")
    chat = _chat(engine, params)
    engine.journal.record("sendChatAction", chat_id=chat["id"], action=params.text("action").lower())
    return True


def _scope(engine: Engine, params: Params) -> str:
    """A command scope as a key: its type, with the chat where it is for one."""
    scope = params.json("scope", dict, "BotCommandScope") or {"type": "default"}
    kind = str(scope.get("type"))
    language = params.text("language_code")
    if kind in ("chat", "chat_administrators", "chat_member"):
        chat = engine.chat(Params(scope).integer("chat_id"))
        kind += f":{chat['id']}"
    elif kind not in ("default", "all_private_chats", "all_group_chats", "all_chat_administrators"):
        raise bad_request("can't parse BotCommandScope: Unsupported type specified")
    return f"{kind}/{language}" if language else kind


def set_my_commands(engine: Engine, params: Params) -> bool:
    """The command menu: up to 100 commands of 1-32 lower-case letters, digits and underscores."""
    commands = []
    listed = params.json("commands", list, "commands") or []
    if len(listed) > 100:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for entry in listed:
        if not isinstance(entry, dict):
            raise bad_request("can't parse BotCommand: expected an Object")
        name = str(entry.get("command", "")).removeprefix("/")
        description = str(entry.get("description", "")).strip()
        if not (
            0 < len(name) <= 32
            and all(c.isascii() and (c.islower() or c.isdigit() or c == "_") for c in name)
        ):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 0 < len(description) <= 256:
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        commands.append({"command": name, "description": description})
    engine.set_commands(_scope(engine, params), commands)
    engine.journal.record("setMyCommands", commands=[command["command"] for command in commands])
    return True


def get_my_commands(engine: Engine, params: Params) -> list[Json]:
    """The command menu of exactly this scope and language."""
    return engine.commands.get(_scope(engine, params), [])


def delete_my_commands(engine: Engine, params: Params) -> bool:
    """No command menu for this scope."""
    engine.set_commands(_scope(engine, params), None)
    engine.journal.record("setMyCommands", commands=[])
    return True


def get_chat(engine: Engine, params: Params) -> Json:
    """A chat as ChatFullInfo."""
    chat = _chat(engine, params)
    gifts = {
        "unlimited_gifts": False, "limited_gifts": False, "unique_gifts": False, "premium_subscription": False,
        "gifts_from_channels": False,
    }  # fmt: skip
    full: Json = chat | {
        "accent_color_id": chat["id"] % 7,
        "max_reaction_count": 11,
        "accepted_gift_types": gifts,
    }
    if pinned := engine.messages.get(engine.pinned.get(str(chat["id"]), 0)):
        full["pinned_message"] = pinned
    return full


def get_chat_member(engine: Engine, params: Params) -> Json:
    """A member of a chat: the owner created it, everybody else is a plain member."""
    _chat(engine, params)
    user = engine.users.get(params.integer("user_id"))
    if user is None:
        raise bad_request("PARTICIPANT_ID_INVALID")
    if user["id"] == engine.owner["id"]:
        return {"status": "creator", "user": user, "is_anonymous": False}
    return {"status": "member", "user": user}


def pin_chat_message(engine: Engine, params: Params) -> bool:
    """A message pinned above the chat."""
    message = _message(engine, params, "message to pin not found")
    engine.pin(message["chat"]["id"], message["message_id"])
    _record(engine, "pinChatMessage", message)
    return True


def unpin_chat_message(engine: Engine, params: Params) -> bool:
    """Nothing pinned any more."""
    chat = _chat(engine, params)
    if engine.pinned.get(str(chat["id"])) is None:
        raise bad_request("message to unpin not found")
    engine.pin(chat["id"], None)
    engine.journal.record("unpinChatMessage", chat_id=chat["id"])
    return True


def get_file(engine: Engine, params: Params) -> Json:
    """Where a file can be fetched."""
    file_id = params.text("file_id")
    record = engine.file(file_id)
    if record is None:
        raise bad_request("invalid file_id")
    return {
        "file_id": file_id,
        "file_unique_id": file_id.lower(),
        "file_size": record["size"],
        "file_path": f"files/{file_id}",
    }


def delete_webhook(engine: Engine, params: Params) -> bool:
    """There is never a webhook here; waiting updates go if the bot says so."""
    if params.flag("drop_pending_updates"):
        engine.updates.clear()
    return True


def get_webhook_info(engine: Engine, params: Params) -> Json:
    """No webhook, and how many updates wait."""
    info = {"url": "", "has_custom_certificate": False, "pending_update_count": len(engine.updates)}
    allowed = engine.updates.allowed
    return info | ({} if allowed is None else {"allowed_updates": allowed})


def done(engine: Engine, params: Params) -> bool:
    """A method without consequences here."""
    return True


#: Keyed by the name in lower case: Telegram does not care.
METHODS: dict[str, Method] = {
    name.lower(): method
    for name, method in {
        "answerCallbackQuery": answer_callback_query,
        "close": done,
        "deleteMessage": delete_message,
        "deleteMyCommands": delete_my_commands,
        "deleteWebhook": delete_webhook,
        "editMessageCaption": edit_message_caption,
        "editMessageMedia": edit_message_media,
        "editMessageReplyMarkup": edit_message_reply_markup,
        "editMessageText": edit_message_text,
        "getChat": get_chat,
        "getChatMember": get_chat_member,
        "getFile": get_file,
        "getMe": get_me,
        "getMyCommands": get_my_commands,
        "getWebhookInfo": get_webhook_info,
        "logOut": done,
        "pinChatMessage": pin_chat_message,
        "sendChatAction": send_chat_action,
        "sendDocument": send_document,
        "sendMessage": send_message,
        "sendPhoto": send_photo,
        "setMyCommands": set_my_commands,
        "unpinChatMessage": unpin_chat_message,
    }.items()
}

#: Those that put something into a chat, which is what flood limits count.
TALKING = {name for name in METHODS if name.startswith(("send", "edit"))} - {"sendchataction"}
