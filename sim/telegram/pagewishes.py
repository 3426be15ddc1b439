"""What the chat page may ask for, one function a wish: each takes the desk (who sits there, and which chat is open) and the fields.

A wish answers with a frame for the page; PersonError says in one sentence why it cannot be.
"""

import random
from collections.abc import Callable
from typing import Any, TypeVar

from sim.telegram import crowd, sight, webapp
from sim.telegram.engine import Engine, PersonError
from sim.telegram.people import Json

#: How many messages come with a chat, and with every look further back.
PAGE = 200

T = TypeVar("T")


class Desk:
    """One open page: the person who is played there (`user`) and the chat that is open (`chat`)."""

    def __init__(self, engine: Engine, token: str, port: int) -> None:
        self.engine = engine
        self.token = token
        self.port = port
        self.user: int = engine.owner["id"]
        self.chat: int = self.user
        self.pinned: Json | None = None

    def sit(self, user_id: int | None, chat_id: int | None) -> None:
        """Play a person, in a chat of theirs; the owner, and the private chat, where there is no such one."""
        person = self.engine.users.get(user_id) if user_id is not None else None
        self.user = self.engine.owner["id"] if person is None or person["is_bot"] else person["id"]
        open_one = chat_id is not None and self.engine.is_in(chat_id, self.user)
        self.chat = chat_id if open_one and chat_id is not None else self.user

    def surroundings(self) -> Json:
        """Who else is there, and the chats of the person."""
        return {"people": sight.people(self.engine), "chats": sight.chats(self.engine, self.user)}

    def greeting(self) -> Json:
        """Everything a page needs to begin, or to begin again after a broken connection or as another person."""
        engine = self.engine
        user = engine.users[self.user]
        return (
            {
                "type": "hello",
                "bot": {
                    "id": engine.bot["id"],
                    "name": engine.bot["first_name"],
                    "username": engine.bot["username"],
                },
                "user": {"id": self.user, "name": sight.full_name(user)},
                "owner": engine.owner["id"],
                "fetched": engine.updates.delivered,
                "now": engine.clock.now().timestamp(),
                "reactions": crowd.REACTIONS,
            }
            | self.surroundings()
            | self.contents()
        )

    def contents(self) -> Json:
        """The open chat."""
        shown = sight.contents(self.engine, self.user, self.chat, PAGE)
        self.pinned = shown["pinned"]
        return shown

    def own(self, message_id: int) -> Json:
        """A message that the person has written, in a chat where they still are."""
        message = self.engine.messages.get(message_id)
        if message is None or message["from"]["id"] != self.user:
            raise PersonError(f"there is no message {message_id} of yours")
        return message

    def seen(self, message_id: int) -> Json:
        """A message that the person sees."""
        message = self.engine.messages.get(message_id)
        if message is None or not self.engine.is_in(message["chat"]["id"], self.user):
            raise PersonError(f"there is no message {message_id} in your chats")
        return message


def _field(request: Json, name: str, kind: type[T]) -> T:
    value = request.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise PersonError(f"The page left out {name}, or sent something else in its place.")
    return value


def _maybe(request: Json, name: str, kind: type[T]) -> T | None:
    return None if request.get(name) is None else _field(request, name, kind)


def _numbers(request: Json, name: str) -> list[int]:
    values = _field(request, name, list)
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise PersonError(f"{name} is a list of numbers.")
    return values


def _done(**facts: Any) -> Json:
    return {"type": "done", **facts}


def _be(desk: Desk, request: Json) -> Json:
    user_id = _field(request, "user", int)
    if user_id not in desk.engine.users or user_id == desk.engine.bot["id"]:
        raise PersonError(f"there is no person {user_id}")
    desk.sit(user_id, _maybe(request, "chat", int))
    return desk.greeting()


def _open(desk: Desk, request: Json) -> Json:
    chat_id = _field(request, "chat", int)
    if not desk.engine.is_in(chat_id, desk.user):
        raise PersonError(f"there is no chat {chat_id} of yours")
    desk.chat = chat_id
    return {"type": "opened"} | desk.contents()


def _older(desk: Desk, request: Json) -> Json:
    """A page of older messages, or all of them back to `down_to` where the person wants to see that one."""
    before, down_to = _field(request, "before", int), _maybe(request, "down_to", int)
    older = [message for message in desk.engine.history(desk.chat) if message["message_id"] < before]
    first = max(len(older) - PAGE, 0)
    if down_to is not None:
        first = min(first, sum(message["message_id"] < down_to for message in older))
    views = [sight.view(desk.engine, message, desk.user) for message in older[first:]]
    return {"type": "older", "chat": desk.chat, "messages": views, "more": first > 0}


def _read(desk: Desk, request: Json) -> Json:
    desk.engine.mark_read(desk.user, desk.chat, _field(request, "up_to", int))
    return _done()


def _send(desk: Desk, request: Json) -> Json:
    text = _field(request, "text", str)[: crowd.LONGEST_TEXT]
    ids = desk.engine.say(desk.user, text, chat_id=desk.chat, reply_to=_maybe(request, "reply_to", int))
    return _done(id=ids["message_id"])


def _edit(desk: Desk, request: Json) -> Json:
    message = desk.own(_field(request, "id", int))
    desk.engine.edit(message["message_id"], _field(request, "text", str)[: crowd.LONGEST_TEXT])
    return _done(id=message["message_id"])


def _delete(desk: Desk, request: Json) -> Json:
    crowd.delete(desk.engine, desk.user, _field(request, "id", int))
    return _done()


def _forward(desk: Desk, request: Json) -> Json:
    to_chat = _maybe(request, "to", int)
    ids = crowd.forward(
        desk.engine, desk.user, _field(request, "id", int), from_chat=desk.chat, to_chat=to_chat
    )
    return _done(id=ids["message_id"])


def _press(desk: Desk, request: Json) -> Json:
    message_id, data = _field(request, "id", int), _field(request, "data", str)
    desk.seen(message_id)
    return {"type": "pressed", **desk.engine.press(message_id, data, user_id=desk.user)}


def _react(desk: Desk, request: Json) -> Json:
    crowd.react(desk.engine, desk.user, _field(request, "id", int), _maybe(request, "emoji", str))
    return _done()


def _vote(desk: Desk, request: Json) -> Json:
    crowd.vote(desk.engine, desk.user, _field(request, "id", int), _numbers(request, "options"))
    return _done()


def _block(desk: Desk, request: Json) -> Json:
    desk.engine.block(desk.user, _field(request, "blocked", bool))
    return _done()


def _person(desk: Desk, request: Json) -> Json:
    return _done(id=crowd.add_person(desk.engine, _field(request, "name", str))["id"])


def _group(desk: Desk, request: Json) -> Json:
    title, members = _field(request, "title", str), _numbers(request, "members")
    bot = desk.engine.bot["id"] in members
    others = [member for member in members if member != desk.engine.bot["id"]]
    return _done(id=crowd.create_group(desk.engine, desk.user, title, others, bot=bot)["id"])


def _member(desk: Desk, request: Json) -> Json:
    """Somebody's place in the open group: "member", "administrator" or "left"."""
    whom, place = _field(request, "user", int), _field(request, "place", str)
    if whom not in desk.engine.users:
        raise PersonError(f"there is no person {whom}")
    if place not in ("member", "administrator", "left"):
        raise PersonError("a place in a group is member, administrator or left")
    crowd.place_member(desk.engine, desk.user, desk.chat, whom, place)
    return _done()


def _app(desk: Desk, request: Json) -> Json:
    """Open a web app: of the menu button, of a message's button, or of the reply keyboard (which is told nothing)."""
    engine, source = desk.engine, _field(request, "source", str)
    text = _maybe(request, "text", str) or ""
    data = ""
    if source == "menu":
        button = sight.menu_button(engine, desk.user, desk.chat)
        url = str(button.get("url", ""))
    elif source == "keyboard":
        keyboard = sight.keyboard(engine, desk.user, desk.chat) or {}
        url = _url_of([key for row in keyboard.get("keyboard", []) for key in row], text)
    else:
        rows = desk.seen(_field(request, "id", int)).get("reply_markup", {}).get("inline_keyboard", [])
        url = _url_of([key for row in rows for key in row], text)
    if not url:
        raise PersonError("this button opens no web app any more")
    if wrong := webapp.allowed(url, desk.port):
        raise PersonError(wrong)
    if source != "keyboard":
        query_id = str(random.SystemRandom().randrange(10**17, 10**18))
        data = webapp.init_data(desk.token, engine.users[desk.user], query_id, engine.clock.now())
    theme = request.get("theme")
    colours = {str(key): str(value) for key, value in theme.items()} if isinstance(theme, dict) else {}
    return {"type": "app", "address": url, "url": webapp.with_data(url, data, colours)}


def _url_of(buttons: list[Any], text: str) -> str:
    for button in buttons:
        if isinstance(button, dict) and button.get("text") == text and "web_app" in button:
            return str(button["web_app"]["url"])
    return ""


def _app_data(desk: Desk, request: Json) -> Json:
    ids = crowd.web_app_data(
        desk.engine, desk.user, _field(request, "data", str), _field(request, "text", str)
    )
    return _done(id=ids["message_id"])


WISHES: dict[str, Callable[[Desk, Json], Json]] = {
    "app": _app,
    "app_data": _app_data,
    "be": _be,
    "block": _block,
    "delete": _delete,
    "edit": _edit,
    "forward": _forward,
    "group": _group,
    "member": _member,
    "older": _older,
    "open": _open,
    "person": _person,
    "press": _press,
    "react": _react,
    "read": _read,
    "send": _send,
    "vote": _vote,
}
