"""The part of the control port where people act: who there is, groups, files, reactions, votes, deleting, forwarding, web apps.

A person is named by number and is the owner where none is given; a chat is "private" (with the bot), "group" (the first
group) or a number. What somebody cannot do is a wrong request, in one sentence.
"""

import base64
import binascii
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import BeforeValidator, Field

from sim.control import Answer, Body, Wrong, get, look, post
from sim.telegram import crowd, sight
from sim.telegram.engine import Engine, PersonError
from sim.telegram.people import Json


def _chat_name(value: object) -> object:
    if isinstance(value, str) and value.lstrip("-").isdigit():  # in a query everything is a text
        return int(value)
    if value in ("private", "group") or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError("Input should be 'private' or 'group', or the number of a chat")


ChatName = Annotated[int | str, BeforeValidator(_chat_name)]


class PersonBody(Body):
    name: str
    id: int | None = None


class GroupBody(Body):
    title: str
    user: int | None = None
    members: list[int] = Field(default=[], description="the others in it, by number")
    bot: bool = Field(default=True, description="whether the bot is in it from the beginning")


class MemberBody(Body):
    chat: int
    member: int | Literal["bot"]
    place: Literal["member", "administrator", "left"]
    user: int | None = Field(default=None, description="who does it")


class StartBody(Body):
    user: int | None = None
    payload: str = ""


class UploadBody(Body):
    data: str = Field(description="the file in base64")
    name: str = "file"
    type: str = "application/octet-stream"
    caption: str = ""
    as_file: bool = False
    user: int | None = None
    chat: ChatName = "private"
    reply_to: int | None = None
    album: str | None = Field(default=None, description="those with the same word stand together")


class DeleteBody(Body):
    message_id: int
    user: int | None = None


class ForwardBody(Body):
    message_id: int
    user: int | None = None
    chat: ChatName = "private"


class ReactionBody(Body):
    message_id: int
    emoji: str | None = Field(description="null takes the reaction back")
    user: int | None = None


class VoteBody(Body):
    message_id: int
    options: list[int] = Field(description="numbers from 0; none takes the vote back")
    user: int | None = None


class WebAppBody(Body):
    data: str
    button: str
    user: int | None = None


class SeatQuery(Body):
    user: int | None = None
    chat: ChatName = "private"


B = TypeVar("B", bound=Body)


def told(action: Callable[[B], Answer]) -> Callable[[B], Answer]:
    """What people cannot do is a wrong request."""

    @functools.wraps(action)
    def act(body: B) -> Answer:
        try:
            return action(body)
        except PersonError as error:
            raise Wrong(str(error)) from None

    return act


def chat_number(engine: Engine, user_id: int, name: int | str) -> int:
    """The chat that a request means by "private", "group" or a number."""
    return int(user_id if name == "private" else engine.group["id"] if name == "group" else name)


class Roles:
    """The routes, over the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """What people can be made to do."""
        return [
            get("/telegram/people", self._people),
            get("/telegram/groups", self._groups),
            look("/telegram/seat", SeatQuery, told(self._seat)),
            post("/telegram/person", PersonBody, told(self._person)),
            post("/telegram/group", GroupBody, told(self._group)),
            post("/telegram/member", MemberBody, told(self._member)),
            post("/telegram/start", StartBody, told(self._start)),
            post("/telegram/upload", UploadBody, told(self._upload)),
            post("/telegram/delete", DeleteBody, told(self._delete)),
            post("/telegram/forward", ForwardBody, told(self._forward)),
            post("/telegram/reaction", ReactionBody, told(self._reaction)),
            post("/telegram/vote", VoteBody, told(self._vote)),
            post("/telegram/web_app", WebAppBody, told(self._web_app)),
        ]

    def _people(self) -> Answer:
        """Everybody who can be played: number, name, username, and whether they have blocked the bot."""
        blocked = self._engine.blocked
        return {
            "people": [person | {"blocked": person["id"] in blocked} for person in sight.people(self._engine)]
        }

    def _groups(self) -> Answer:
        """The groups and who is in them."""
        engine = self._engine
        groups = [chat for chat in engine.chats.values() if chat["type"] != "private"]
        return {"groups": [chat | {"members": sight.members(engine, chat["id"])} for chat in groups]}

    def _seat(self, query: SeatQuery) -> Answer:
        """A chat as one person has it: the command menu, the menu button, the bot's keyboard, the pin, unread messages."""
        engine = self._engine
        user_id = int(engine.person(self._who(query.user))["id"])
        chat_id = engine.chat_of(user_id, chat_number(engine, user_id, query.chat))["id"]
        unread = next(chat["unread"] for chat in sight.chats(engine, user_id) if chat["id"] == chat_id)
        return {
            "chat": chat_id,
            "commands": sight.commands(engine, user_id, chat_id),
            "menu": sight.menu_button(engine, user_id, chat_id),
            "keyboard": sight.keyboard(engine, user_id, chat_id),
            "pinned": sight.pinned(engine, chat_id, user_id),
            "blocked": chat_id in engine.blocked,
            "unread": unread,
        }

    def _person(self, body: PersonBody) -> Answer:
        """Somebody new who has never started the bot; the answer is their number and the rest of them."""
        return crowd.add_person(self._engine, body.name, body.id) | self._latest()

    def _group(self, body: GroupBody) -> Answer:
        """A person founds a group; the answer is its number and title."""
        chat = crowd.create_group(self._engine, self._who(body.user), body.title, body.members, bot=body.bot)
        return chat | self._latest()

    def _member(self, body: MemberBody) -> Answer:
        """A person adds a member to a group, removes one, or changes who administers it."""
        engine, user_id = self._engine, self._who(body.user)
        whom = int(engine.bot["id"]) if body.member == "bot" else int(body.member)
        crowd.place_member(engine, user_id, body.chat, whom, body.place)
        return self._latest()

    def _start(self, body: StartBody) -> Answer:
        """A person presses Start, with the payload of a link where there is one; takes a block back first."""
        engine, user_id = self._engine, self._who(body.user)
        engine.block(user_id, False)
        return engine.say(user_id, f"/start {body.payload}".strip()) | self._latest()

    def _upload(self, body: UploadBody) -> Answer:
        """A person sends a picture or a file."""
        try:
            data = base64.b64decode(body.data, validate=True)
        except (binascii.Error, ValueError):
            raise Wrong("data: the file has to be in base64") from None
        user_id = self._who(body.user)
        ids = crowd.upload(
            self._engine,
            user_id,
            data,
            name=body.name,
            content_type=body.type,
            caption=body.caption,
            chat_id=chat_number(self._engine, user_id, body.chat),
            as_file=body.as_file,
            reply_to=body.reply_to,
            album=body.album,
        )
        return ids | self._latest()

    def _delete(self, body: DeleteBody) -> Answer:
        """A person deletes a message for everybody; the bot is not told."""
        crowd.delete(self._engine, self._who(body.user), body.message_id)
        return self._latest()

    def _forward(self, body: ForwardBody) -> Answer:
        """A person forwards a message that they see to a chat of theirs."""
        engine, user_id = self._engine, self._who(body.user)
        message = engine.messages.get(body.message_id)
        if message is None:
            raise Wrong(f"there is no message {body.message_id}")
        to_chat = chat_number(engine, user_id, body.chat)
        ids = crowd.forward(
            engine, user_id, body.message_id, from_chat=message["chat"]["id"], to_chat=to_chat
        )
        return ids | self._latest()

    def _reaction(self, body: ReactionBody) -> Answer:
        """A person reacts to a message, or takes it back; the bot hears of it where it asked for message_reaction."""
        return crowd.react(self._engine, self._who(body.user), body.message_id, body.emoji) | self._latest()

    def _vote(self, body: VoteBody) -> Answer:
        """A person votes in a poll, or takes the vote back."""
        return crowd.vote(self._engine, self._who(body.user), body.message_id, body.options) | self._latest()

    def _web_app(self, body: WebAppBody) -> Answer:
        """The web app behind a button of the bot's keyboard sends data to the bot."""
        return crowd.web_app_data(self._engine, self._who(body.user), body.data, body.button) | self._latest()

    def _who(self, user: int | None) -> int:
        return int(self._engine.owner["id"]) if user is None else user

    def _latest(self) -> Json:
        """When what was just arranged took place, as the events have it."""
        event: dict[str, Any] = self._engine.journal.latest() or {}
        return {key: event[key] for key in ("seq", "at_ns") if key in event}
