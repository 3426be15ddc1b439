"""Methods about the bot itself: who it is, its texts, command menus, menu buttons, and the rights it would like."""

import re
from typing import Any

from sim.telegram.engine import Engine
from sim.telegram.errors import bad_request
from sim.telegram.keyboards import web_app_link
from sim.telegram.methods.common import Method, chat_of
from sim.telegram.params import Params
from sim.telegram.people import Json

_MOST_COMMANDS = 100
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")

#: The bot's texts, with how long they can be.
_TEXTS = {"name": 64, "description": 512, "short_description": 120}

#: What an administrator can have; the last ones only in channels or supergroups.
RIGHTS = (
    "is_anonymous", "can_manage_chat", "can_delete_messages", "can_manage_video_chats", "can_restrict_members",
    "can_promote_members", "can_change_info", "can_invite_users", "can_post_stories", "can_edit_stories",
    "can_delete_stories", "can_send_welcome_messages",
)  # fmt: skip
GROUP_RIGHTS = (*RIGHTS, "can_pin_messages", "can_manage_topics", "can_manage_tags")
_CHANNEL_RIGHTS = (*RIGHTS, "can_post_messages", "can_edit_messages", "can_manage_direct_messages")


def get_me(engine: Engine, params: Params) -> Json:
    """The bot itself."""
    abilities = (
        "can_connect_to_business", "has_main_web_app", "has_topics_enabled",
        "allows_users_to_create_topics", "can_manage_bots", "supports_guest_queries", "supports_join_request_queries",
    )  # fmt: skip
    told = {"can_join_groups": True, "can_read_all_group_messages": not engine.settings.get("privacy", True)}
    told["supports_inline_queries"] = bool(engine.settings.get("inline", False))
    return engine.bot | dict.fromkeys(abilities, False) | told


def _language(params: Params) -> str:
    language = params.text("language_code")
    if language and not re.fullmatch("[a-z]{2}", language):
        raise bad_request("invalid language code specified")
    return language


def text_setter(name: str) -> Method:
    """The method that sets a text of the bot, in one language or for everybody."""

    def set_text(engine: Engine, params: Params) -> bool:
        text, language = params.text(name).strip(), _language(params)
        if len(text) > _TEXTS[name]:
            raise bad_request(f"{name.replace('_', ' ')} must be no longer than {_TEXTS[name]} characters")
        engine.set(f"{name}/{language}", text or None)
        if name == "name" and not language and text:
            engine.rename_bot(text)
        return True

    return set_text


def text_getter(name: str) -> Method:
    """The method that tells a text of the bot: in that language, else for everybody."""

    def get_text(engine: Engine, params: Params) -> Json:
        usual = engine.bot["first_name"] if name == "name" else ""
        found = engine.settings.get(f"{name}/{_language(params)}") or engine.settings.get(f"{name}/")
        return {name: found or usual}

    return get_text


# Commands


def _scope(engine: Engine, params: Params) -> str:
    """A command scope as a key: its type, the chat and person where it is for one, and the language where it has one."""
    scope = params.json("scope", dict, "BotCommandScope") or {"type": "default"}
    kind = scope.get("type")
    numbers: list[int] = []
    if kind in ("chat", "chat_administrators", "chat_member"):
        inner = Params(scope)
        if not inner.has("chat_id"):
            raise bad_request("can't parse BotCommandScope: Can't find field \"chat_id\"")
        chat = chat_of(engine, inner)
        if kind != "chat" and chat["type"] == "private":
            raise bad_request("can't use the scope in private chats")
        numbers.append(chat["id"])
        if kind == "chat_member":
            if inner.integer("user_id") <= 0:
                raise bad_request("can't parse BotCommandScope: Invalid user_id specified")
            numbers.append(inner.integer("user_id"))
    elif kind not in ("default", "all_private_chats", "all_group_chats", "all_chat_administrators"):
        raise bad_request("can't parse BotCommandScope: Unsupported type specified")
    key, language = ":".join([kind, *map(str, numbers)]), _language(params)
    return f"{key}/{language}" if language else key


def _command(entry: Any) -> Json:
    if not isinstance(entry, dict):
        raise bad_request("can't parse BotCommand: expected an Object")
    for name in ("command", "description"):
        if not isinstance(entry.get(name), str):
            raise bad_request(f"can't parse BotCommand: Can't find field \"{name}\"")
    command, description = entry["command"].removeprefix("/"), entry["description"].strip()
    if not _COMMAND.fullmatch(command):
        raise bad_request("BOT_COMMAND_INVALID")
    if not 0 < len(description) <= 256:
        raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": command, "description": description}


def set_my_commands(engine: Engine, params: Params) -> bool:
    """The command menu: up to 100 commands of 1-32 lower-case letters, digits and underscores."""
    listed = params.json("commands", list, "commands", expected_as="BotCommand") or []
    if len(listed) > _MOST_COMMANDS:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    commands = [_command(entry) for entry in listed]
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


# The button beside the field


def _private(engine: Engine, params: Params) -> int | None:
    """The private chat that chat_id names, None for all of them."""
    if not params.has("chat_id"):
        return None
    if params.integer("chat_id") <= 0:
        raise bad_request("invalid chat_id specified")
    return int(chat_of(engine, params)["id"])


def set_chat_menu_button(engine: Engine, params: Params) -> bool:
    """What the button beside the field does: the commands, a web app, or what is usual."""
    given = params.json("menu_button", dict, "menu button") or {"type": "default"}
    chat_id, kind = _private(engine, params), given.get("type")
    if kind not in ("default", "commands", "web_app"):
        raise bad_request("can't parse menu button: MenuButton has unsupported type")
    button: Json | None = {"type": kind}
    if kind == "web_app":
        app, text = given.get("web_app"), given.get("text")
        if not isinstance(app, dict) or not isinstance(text, str) or not text.strip():
            missing = "text" if isinstance(app, dict) else "web_app"
            raise bad_request(f"can't parse menu button: Can't find field \"{missing}\"")
        url = web_app_link(str(app.get("url") or ""), "menu button Web App URL")
        button = {"type": kind, "text": text, "web_app": {"url": url}}
    engine.set_menu_button(chat_id, None if kind == "default" else button)
    return True


def get_chat_menu_button(engine: Engine, params: Params) -> Json:
    """What the button beside the field does in a private chat, or in all that have none of their own."""
    chat_id = _private(engine, params)
    key = "default" if chat_id is None else str(chat_id)
    return engine.menu_buttons.get(key) or {"type": "commands" if chat_id is None else "default"}


# Rights


def rights_of(given: Json, names: tuple[str, ...]) -> Json:
    """Which of the rights are given."""
    return {name: bool(given.get(name)) for name in names}


def _channels(params: Params) -> tuple[str, tuple[str, ...]]:
    channels = params.flag("for_channels")
    return ("rights/channels", _CHANNEL_RIGHTS) if channels else ("rights/groups", GROUP_RIGHTS)


def set_default_rights(engine: Engine, params: Params) -> bool:
    """The rights that the bot would like to have where it is made an administrator."""
    key, names = _channels(params)
    given = params.json("rights", dict, "ChatAdministratorRights")
    engine.set(key, None if given is None else rights_of(given, names))
    return True


def get_default_rights(engine: Engine, params: Params) -> Json:
    """The same, as they are set."""
    key, names = _channels(params)
    kept: Json = engine.settings.get(key) or rights_of({}, names)
    return kept


PROFILE: dict[str, Method] = {
    "deleteMyCommands": delete_my_commands,
    "getChatMenuButton": get_chat_menu_button,
    "getMe": get_me,
    "getMyCommands": get_my_commands,
    "getMyDefaultAdministratorRights": get_default_rights,
    "getMyDescription": text_getter("description"),
    "getMyName": text_getter("name"),
    "getMyShortDescription": text_getter("short_description"),
    "setChatMenuButton": set_chat_menu_button,
    "setMyCommands": set_my_commands,
    "setMyDefaultAdministratorRights": set_default_rights,
    "setMyDescription": text_setter("description"),
    "setMyName": text_setter("name"),
    "setMyShortDescription": text_setter("short_description"),
}
