"""The Telegram part of the control port: arrange what people do and what goes wrong, read what truly happened."""

from typing import Annotated, Any, Literal, Protocol, TypeVar

from aiohttp import web
from pydantic import Field

from sim.control import Answer, Body, Wrong, events, get, look, post
from sim.telegram import strangers
from sim.telegram.botapi import BotApi
from sim.telegram.engine import Engine
from sim.telegram.faults import Faults
from sim.telegram.flood import FloodLimit
from sim.telegram.inline import ask
from sim.telegram.methods import METHODS
from sim.telegram.people import Json
from sim.telegram.roles import ChatName, Roles, chat_number, told
from sim.telegram.view import seen

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ChatQuery(Body):
    user: int | None = None
    chat: ChatName = "private"


class MessageBody(Body):
    text: str
    user: int | None = None
    chat: ChatName = "private"
    forward: bool = False
    reply_to: int | None = None


class EditBody(Body):
    message_id: int
    text: str


class PressBody(Body):
    message_id: int
    data: str | None = None
    button: str | None = None
    user: int | None = None
    repeat: Annotated[int, Field(ge=1, le=100)] = 1
    late: bool = False


class UpdateBody(Body):
    kind: Literal["message", "edited_message", "callback_query"] = "message"
    content: dict[str, Any]


class BlockBody(Body):
    blocked: bool
    user: int | None = None


class BotBody(Body):
    privacy: bool | None = None
    inline: bool | None = None


class GoneBody(Body):
    gone: bool
    user: int


class InlineBody(Body):
    query: str
    user: int | None = None


class FaultBody(Body):
    kind: Literal["outage", "429", "409", "500", "garbage", "black_hole", "slow", "lost_answer", "clear"]
    method: str | None = None
    count: Count | None = None
    seconds: Seconds | None = None
    retry_after: Count = 1


class FloodBody(Body):
    per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    burst: Count = 1


class StrangersBody(Body):
    per_second: Annotated[float, Field(gt=0, le=10_000)]
    seconds: Annotated[float, Field(gt=0, le=600)]
    people: Annotated[int, Field(ge=1, le=100_000)] = 100
    text: Annotated[str, Field(max_length=4096, pattern=r"\S")] = "/buy AAPL 1"


class Doors(Protocol):
    """Where the server listens, and with what it is opened."""

    @property
    def token(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def page_url(self) -> str: ...


B = TypeVar("B", bound=Body)


class Control:
    """The routes, over the engine, the faults and the Bot API's counters."""

    def __init__(self, engine: Engine, faults: Faults, api: BotApi, doors: Doors) -> None:
        self._engine = engine
        self._faults = faults
        self._api = api
        self._doors = doors

    def routes(self) -> list[web.RouteDef]:
        """Everything under /telegram."""
        return [
            get("/telegram", self._about),
            get("/telegram/counts", self._counts),
            get("/telegram/commands", self._commands),
            look("/telegram/chat", ChatQuery, self._chat),
            events("/telegram/events", self._engine.journal),
            post("/telegram/message", MessageBody, told(self._message)),
            post("/telegram/edit", EditBody, told(self._edit)),
            post("/telegram/press", PressBody, told(self._press)),
            post("/telegram/update", UpdateBody, told(self._update)),
            post("/telegram/block", BlockBody, told(self._block)),
            post("/telegram/bot", BotBody, self._bot),
            post("/telegram/gone", GoneBody, told(self._gone)),
            post("/telegram/inline", InlineBody, told(self._inline)),
            *Roles(self._engine).routes(),
            post("/telegram/strangers", StrangersBody, self._strangers),
            post("/telegram/fault", FaultBody, self._fault),
            post("/telegram/flood", FloodBody, self._flood),
        ]

    def _about(self) -> Answer:
        """The token, the bot, the person at the chat page, the group, and where to find the page and the Bot API."""
        return {
            "token": self._doors.token,
            "bot": self._engine.bot,
            "user": self._engine.owner,
            "group": self._engine.group,
            "url": self._doors.page_url,
            "api_url": self._doors.address,
        }

    def _counts(self) -> Answer:
        """Calls by method, faults that fired by kind, and how many updates the bot has not confirmed."""
        return {
            "calls": dict(self._api.calls),
            "faults": dict(self._faults.fired),
            "waiting": len(self._engine.updates),
        }

    def _commands(self) -> Answer:
        """The command menu as the person sees it, and as the bot has set it by scope."""
        return {"menu": self._engine.command_menu(), "scopes": self._engine.commands}

    def _chat(self, query: ChatQuery) -> Answer:
        """A chat's messages as its people see them: of the person at the page, of ?user=ID, of ?chat=group or a number."""
        engine = self._engine
        chat_id = chat_number(engine, self._who(query.user), query.chat)
        if chat_id not in engine.chats and chat_id < 0:
            raise Wrong(f"there is no group {chat_id}")
        return {"messages": [seen(m, engine.bot["id"]) for m in engine.history(chat_id)]}

    def _message(self, body: MessageBody) -> Answer:
        """A person writes: the one at the page or `user`, privately or in the group, as a forward, as a reply."""
        ids = self._engine.say(
            self._who(body.user),
            body.text,
            in_group=body.chat == "group",
            chat_id=body.chat if isinstance(body.chat, int) else None,
            forward=body.forward,
            reply_to=body.reply_to,
        )
        return ids | self._latest()

    def _edit(self, body: EditBody) -> Answer:
        """A person changes a message of their own."""
        return self._engine.edit(body.message_id, body.text) | self._latest()

    def _press(self, body: PressBody) -> Answer:
        """A person taps a button, named by data or visible text; `repeat` delivers it again, `late` allows one that has gone."""
        data = self._button_data(body)
        pressed = self._engine.press(body.message_id, data, user_id=body.user, repeat=body.repeat)
        return {"update_id": pressed["update_ids"][0]} | pressed | self._latest()

    def _button_data(self, body: PressBody) -> str:
        if (body.data is None) == (body.button is None):
            raise Wrong('name the button by either "data" or "button" (its visible text)')
        message = self._engine.messages.get(body.message_id)
        if message is None:
            raise Wrong(f"there is no message {body.message_id}")
        if body.late and body.data is not None:
            return body.data
        buttons = [button for row in seen(message, 0)["buttons"] for button in row if "data" in button]
        key, wanted = ("data", body.data) if body.data is not None else ("text", body.button)
        for button in buttons:
            if button[key] == wanted:
                return str(button["data"])
        shown = ", ".join(f"{button['text']!r} ({button['data']})" for button in buttons) or "none"
        raise Wrong(f"message {body.message_id} has no button with {key} {wanted!r}; it shows: {shown}")

    def _update(self, body: UpdateBody) -> Answer:
        """An update with any content, as a Telegram of another age might send it."""
        return self._engine.inject(body.kind, body.content) | self._latest()

    async def _strangers(self, body: StrangersBody) -> Answer:
        """People whom nobody knows write to the bot in private, so many lines a second in all; answers after the last line."""
        sent = await strangers.write(self._engine, body.per_second, body.seconds, body.people, body.text)
        return sent | self._latest()

    def _block(self, body: BlockBody) -> Answer:
        """A person blocks the bot, or takes it back."""
        self._engine.block(self._who(body.user), body.blocked)
        return self._latest()

    def _bot(self, body: BotBody) -> Answer:
        """What a person tells BotFather: privacy mode in groups (on unless told), inline queries (none unless told)."""
        for name, value in (("privacy", body.privacy), ("inline", body.inline)):
            if value is not None:
                self._engine.set(name, value)
        return None

    def _gone(self, body: GoneBody) -> Answer:
        """A person's account is deleted (or, as it is a game, there again): the bot cannot write to it."""
        user = int(self._engine.person(body.user)["id"])
        others = [number for number in self._engine.settings.get("deactivated", []) if number != user]
        self._engine.set("deactivated", [*others, user] if body.gone else others)
        return None

    def _inline(self, body: InlineBody) -> Answer:
        """A person types the bot's name and a query in some chat."""
        return ask(self._engine, self._who(body.user), body.query) | self._latest()

    def _fault(self, body: FaultBody) -> Answer:
        """Arm a fault for calls of a method, or of any; "clear" ends them all, and a flood limit."""
        if body.method is not None and body.method.lower() not in METHODS.keys() | {"getupdates"}:
            raise Wrong(f"method: the Bot API here has no {body.method}")
        if body.kind == "clear":
            self._faults.clear()
            return None
        self._faults.arm(body.kind, body.method, body.count, body.seconds, body.retry_after)
        if body.kind in ("outage", "black_hole", "409"):
            self._api.interrupt()
        return None

    def _flood(self, body: FloodBody) -> Answer:
        """Allow so many sends and edits a second in one chat, `burst` at once; null is no limit, as in the beginning."""
        self._faults.flood = FloodLimit(body.per_second, body.burst)
        return None

    def _who(self, user: int | None) -> int:
        return int(self._engine.owner["id"]) if user is None else user

    def _latest(self) -> Json:
        """When what was just arranged took place, as the events have it."""
        event: dict[str, Any] = self._engine.journal.latest() or {}
        return {key: event[key] for key in ("seq", "at_ns") if key in event}
