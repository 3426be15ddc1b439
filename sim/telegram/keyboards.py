"""Reading reply_markup: inline keyboards, reply keyboards, their removal, and the request to reply. Pure.

Refusals are Telegram's, in the order in which the Bot API server and the library under it look at things.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sim.telegram.errors import bad_request
from sim.telegram.links import checked_link
from sim.telegram.params import Params
from sim.telegram.people import Json

_MOST_BUTTONS = 100
_LONGEST_DATA = 64  # bytes
_LONGEST_COPY = 256  # characters
_STYLES = ("danger", "success", "primary")
_LOOPBACK = {"127.0.0.1", "localhost"}

#: Requests that a button of a reply keyboard can make, and why a group cannot have it.
_REQUESTS: dict[str, tuple[type, str]] = {
    "request_contact": (bool, "phone number can be requested in private chats only"),
    "request_location": (bool, "location can be requested in private chats only"),
    "request_poll": (dict, "poll can be requested in private chats only"),
    "web_app": (dict, "Web App buttons can be used in private chats only"),
    "request_users": (dict, "users can be requested in private chats only"),
    "request_user": (dict, "users can be requested in private chats only"),
    "request_chat": (dict, "chats can be requested in private chats only"),
    "request_managed_bot": (dict, "bots can be requested in private chats only"),
}


@dataclass(frozen=True)
class Markup:
    """`inline` goes into the message; `other` (a reply keyboard, its removal, a request to reply) to those who read it."""

    inline: Json | None = None
    other: Json | None = None


def markup_of(params: Params, chat: Json) -> Markup:
    """What reply_markup asks for in a chat; nothing where it is missing or empty."""
    given = params.json("reply_markup", dict, "reply keyboard markup", expected_as="reply markup")
    if not given:
        return Markup()
    private = chat["type"] == "private"
    rows = _rows(given, "keyboard", _reply_button, private)
    inline = _rows(given, "inline_keyboard", _inline_button, private)
    if rows:
        flags = ("is_persistent", "resize_keyboard", "one_time_keyboard", "selective")
        return Markup(other={"keyboard": rows} | _set(given, flags) | _placeholder(given))
    if inline:
        return Markup(inline={"inline_keyboard": inline})
    if given.get("remove_keyboard") or given.get("hide_keyboard"):
        return Markup(other={"remove_keyboard": True} | _set(given, ("selective",)))
    if given.get("force_reply"):
        return Markup(other={"force_reply": True} | _set(given, ("selective",)) | _placeholder(given))
    return Markup()


def inline_of(params: Params, chat: Json) -> Json | None:
    """The inline keyboard, where nothing else is possible: an edit."""
    markup = markup_of(params, chat)
    if markup.other is not None:
        raise bad_request("inline keyboard expected")
    return markup.inline


def _set(given: Json, names: tuple[str, ...]) -> Json:
    return {name: True for name in names if given.get(name)}


def _placeholder(given: Json) -> Json:
    text = str(given.get("input_field_placeholder") or "")
    return {"input_field_placeholder": text[:64]} if text else {}


def _rows(given: Json, name: str, read: Callable[[Any, bool], Json], private: bool) -> list[list[Json]]:
    rows = given.get(name)
    if rows is None:
        return []
    of = "" if name == "keyboard" else " of the InlineKeyboardMarkup"
    if not isinstance(rows, list):
        raise bad_request(f'field "{name}" must be of type Array')
    if not all(isinstance(row, list) for row in rows):
        raise bad_request(f'field "{name}"{of} must be an Array of Arrays')
    if sum(len(row) for row in rows) > _MOST_BUTTONS:
        raise bad_request("reply markup is too long")
    return [[read(button, private) for button in row] for row in rows if row]


def _text(button: Json, what: str) -> str:
    text = button.get("text")
    if text is None:
        raise bad_request(f"can't parse {what}: Can't find field \"text\"")
    if not isinstance(text, str | int | float) or isinstance(text, bool):
        raise bad_request(f'can\'t parse {what}: Field "text" must be of type String')
    if not str(text).strip():
        raise bad_request(f"{what} text must be non-empty")
    return str(text)


def _look(button: Json) -> Json:
    icon, style = button.get("icon_custom_emoji_id"), button.get("style")
    return ({"style": style} if style in _STYLES else {}) | (
        {"icon_custom_emoji_id": str(icon)} if icon else {}
    )


def _reply_button(button: Any, private: bool) -> Json:
    what = "keyboard button"
    if isinstance(button, str):
        button = {"text": button}
    if not isinstance(button, dict):
        raise bad_request(f"can't parse {what}: KeyboardButton must be a String or an Object")
    read = {"text": _text(button, what)} | _look(button)
    for name, (kind, elsewhere) in _REQUESTS.items():
        value = button.get(name)
        if value is None or value is False:
            continue
        if not isinstance(value, kind):
            raise bad_request(
                f'can\'t parse {what}: Field "{name}" must be of type {"Boolean" if kind is bool else "Object"}'
            )
        if not private:
            raise bad_request(elsewhere)
        if name == "web_app":
            return read | {name: {"url": _web_app(button[name], what)}}
        return read | {name: value}
    return read


def _inline_button(button: Any, private: bool) -> Json:
    what = "inline keyboard button"
    if not isinstance(button, dict):
        raise bad_request(f"can't parse {what}: InlineKeyboardButton must be an Object")
    read = {"text": _text(button, what)} | _look(button)
    for name, kind in _KINDS.items():
        value = button.get(name)
        if value is None or (value == "" and name in ("url", "callback_data")):
            continue
        return read | {name: kind(value, private)}
    raise bad_request(f"can't parse {what}: Text buttons are unallowed in the inline keyboard")


def _url(value: Any, private: bool) -> str:
    return _link(str(value), "inline keyboard button URL")


def _link(url: str, what: str) -> str:
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme and scheme not in ("http", "https", "tg", "ton", "tonsite"):
        raise bad_request(f"{what} '{url}' is invalid: Unsupported URL protocol")
    link = checked_link(url)
    if not link:
        raise bad_request(f"{what} '{url}' is invalid: Wrong HTTP URL")
    return link


def _data(value: Any, private: bool) -> str:
    if len(str(value).encode()) > _LONGEST_DATA:
        raise bad_request("BUTTON_DATA_INVALID")
    return str(value)


def _unavailable(value: Any, private: bool) -> Json:
    """Payments and games: not for a message of these kinds."""
    raise bad_request("BUTTON_TYPE_INVALID")


def _query(value: Any, private: bool) -> str:
    if not isinstance(value, str):
        raise bad_request("can't parse inline keyboard button: inline query must be of type String")
    return value


def _chosen(value: Any, private: bool) -> Json:
    known = ("allow_user_chats", "allow_bot_chats", "allow_group_chats", "allow_channel_chats")
    chosen = _object(value, "switch_inline_query_chosen_chat")
    if not any(chosen.get(name) for name in known):
        raise bad_request("at least one chat type must be allowed")
    return {"query": str(chosen.get("query") or "")} | _set(chosen, known)


def _login(value: Any, private: bool) -> Json:
    login = _object(value, "login_url")
    url = _link(str(login.get("url") or ""), "inline keyboard button login URL")
    kept = {name: str(login[name]) for name in ("forward_text", "bot_username") if login.get(name)}
    return {"url": url} | kept | _set(login, ("request_write_access",))


def _app(value: Any, private: bool) -> Json:
    url = _web_app(_object(value, "web_app"), "inline keyboard button")
    if not private:
        raise bad_request("BUTTON_TYPE_INVALID")
    return {"url": url}


def _copy(value: Any, private: bool) -> Json:
    text = str(_object(value, "copy_text").get("text") or "")
    if not 0 < len(text) <= _LONGEST_COPY:
        raise bad_request("BUTTON_COPY_TEXT_INVALID")
    return {"text": text}


def _object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise bad_request(f'can\'t parse inline keyboard button: Field "{name}" must be of type Object')
    return value


def _web_app(app: Json, what: str) -> str:
    """The address of a web app: https anywhere, http only on this machine, as Telegram's test servers have it."""
    url = str(app.get("url") or "")
    return web_app_link(url, f"{what} Web App URL")


def web_app_link(url: str, what: str) -> str:
    """A checked address of a web app."""
    link = _link(url, what)
    parts = urlsplit(link)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise bad_request(f"{what} '{url}' is invalid: Only HTTPS links are allowed")
    return link


#: What an inline button does, in the order in which Telegram looks for it.
_KINDS: dict[str, Callable[[Any, bool], Any]] = {
    "url": _url,
    "callback_data": _data,
    "callback_game": _unavailable,
    "pay": _unavailable,
    "switch_inline_query": _query,
    "switch_inline_query_chosen_chat": _chosen,
    "switch_inline_query_current_chat": _query,
    "login_url": _login,
    "web_app": _app,
    "copy_text": _copy,
    "disabled": lambda value, private: {},
}
