"""The Telegram part of the control port: arrange what people do and what goes wrong, read what truly happened."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from sim.telegram.botapi import BotApi
from sim.telegram.engine import Engine, PersonError
from sim.telegram.faults import KINDS, Faults
from sim.telegram.methods import METHODS
from sim.telegram.people import Json
from sim.telegram.view import seen

Handler = Callable[[web.Request], Awaitable[web.Response]]

#: Types of body values, as the complaints call them.
_NAMES: dict[type, str] = {str: "a string", int: "a whole number", bool: "true or false", float: "a number"}


class Doors(Protocol):
    """What the control port tells about where the server listens."""

    @property
    def token(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def page_url(self) -> str: ...


class Control:
    """The routes, over the engine and the faults."""

    def __init__(self, engine: Engine, faults: Faults, api: BotApi, doors: Doors) -> None:
        self._engine = engine
        self._faults = faults
        self._api = api
        self._doors = doors

    def routes(self) -> list[web.RouteDef]:
        """Everything under /telegram."""
        return [
            web.get("/telegram", _answered(self._about)),
            web.get("/telegram/chat", _answered(self._chat)),
            web.get("/telegram/events", _answered(self._events)),
            web.get("/telegram/counts", _answered(self._counts)),
            web.get("/telegram/commands", _answered(self._commands)),
            web.post("/telegram/message", _answered(self._message)),
            web.post("/telegram/edit", _answered(self._edit)),
            web.post("/telegram/press", _answered(self._press)),
            web.post("/telegram/block", _answered(self._block)),
            web.post("/telegram/fault", _answered(self._fault)),
        ]

    async def _about(self, request: web.Request) -> Json:
        return {
            "token": self._doors.token,
            "bot": self._engine.bot,
            "user": self._engine.owner,
            "group": self._engine.group,
            "url": self._doors.page_url,
            "api_url": self._doors.address,
        }

    async def _chat(self, request: web.Request) -> Json:
        engine = self._engine
        chat_id = (
            engine.group["id"]
            if request.query.get("chat") == "group"
            else _number(request, "user", engine.owner["id"])
        )
        return {"messages": [seen(message, engine.bot["id"]) for message in engine.history(int(chat_id))]}

    async def _events(self, request: web.Request) -> Json:
        events = await self._engine.journal.after(
            int(_number(request, "after", 0)), _number(request, "timeout", 0)
        )
        return {"events": events, "last": events[-1]["seq"] if events else self._engine.journal.last}

    async def _counts(self, request: web.Request) -> Json:
        return {
            "calls": dict(self._api.calls),
            "faults": dict(self._faults.fired),
            "waiting": len(self._engine.updates),
        }

    async def _commands(self, request: web.Request) -> Json:
        return {"menu": self._engine.command_menu(), "scopes": self._engine.commands}

    async def _message(self, request: web.Request) -> Json:
        body = await _body(request, {"text": str}, user=int, chat=str, forward=bool, reply_to=int)
        if body.get("chat", "private") not in ("private", "group"):
            raise _wrong('"chat" must be "private" or "group"')
        ids = self._engine.say(
            self._who(body),
            body["text"],
            in_group=body.get("chat") == "group",
            forward=body.get("forward", False),
            reply_to=body.get("reply_to"),
        )
        return ids | self._now()

    async def _edit(self, request: web.Request) -> Json:
        body = await _body(request, {"message_id": int, "text": str})
        return self._engine.edit(body["message_id"], body["text"]) | self._now()

    async def _press(self, request: web.Request) -> Json:
        body = await _body(
            request, {"message_id": int}, data=str, button=str, user=int, repeat=int, late=bool
        )
        if not 1 <= body.get("repeat", 1) <= 100:
            raise _wrong('"repeat" must be between 1 and 100')
        data = self._button_data(body)
        pressed = self._engine.press(
            body["message_id"], data, user_id=body.get("user"), repeat=body.get("repeat", 1)
        )
        return {"update_id": pressed["update_ids"][0]} | pressed | self._now()

    def _button_data(self, body: Json) -> str:
        """What the named button says; a late press may be of a button that has gone meanwhile."""
        if ("data" in body) == ("button" in body):
            raise _wrong('name the button by either "data" or "button" (its visible text)')
        message = self._engine.messages.get(body["message_id"])
        if message is None:
            raise PersonError(f"there is no message {body['message_id']}")
        if body.get("late") and "data" in body:
            return str(body["data"])
        buttons = [button for row in seen(message, 0)["buttons"] for button in row if "data" in button]
        key, wanted = ("data", body["data"]) if "data" in body else ("text", body["button"])
        for button in buttons:
            if button[key] == wanted:
                return str(button["data"])
        shown = ", ".join(f"{button['text']!r} ({button['data']})" for button in buttons) or "none"
        raise PersonError(
            f"message {body['message_id']} has no button with {key} {wanted!r}; it shows: {shown}"
        )

    async def _block(self, request: web.Request) -> Json:
        body = await _body(request, {"blocked": bool}, user=int)
        self._engine.block(self._who(body), body["blocked"])
        return self._now()

    async def _fault(self, request: web.Request) -> Json:
        body = await _body(request, {"kind": str}, method=str, count=int, seconds=float, retry_after=int)
        if body["kind"] == "clear":
            self._faults.clear()
        elif body["kind"] not in KINDS:
            raise _wrong(f'"kind" must be one of {", ".join(KINDS)}, or clear')
        else:
            if "method" in body and body["method"].lower() not in METHODS.keys() | {"getupdates"}:
                raise _wrong(f'"method": the Bot API here has no {body["method"]}')
            if body.get("count", 1) < 1 or body.get("seconds", 0) < 0 or body.get("retry_after", 1) < 1:
                raise _wrong('"count" and "retry_after" are at least 1, "seconds" is not negative')
            self._faults.arm(
                body["kind"],
                body.get("method"),
                body.get("count"),
                body.get("seconds"),
                body.get("retry_after", 1),
            )
            if body["kind"] in ("outage", "black_hole", "409"):
                self._api.interrupt()
        return self._now()

    def _who(self, body: Json) -> int:
        return int(body["user"] if "user" in body else self._engine.owner["id"])

    def _now(self) -> Json:
        last = self._engine.journal.latest()
        return {"at_ns": last["at_ns"], "seq": last["seq"]} if last else {}


def _wrong(reason: str) -> PersonError:
    return PersonError(reason)


def _answered(handler: Callable[[web.Request], Awaitable[Json]]) -> Handler:
    """JSON out; 400 with a sentence where something cannot be done."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return web.json_response(await handler(request))
        except PersonError as error:
            return web.json_response({"error": str(error)}, status=400)

    return answer


def _number(request: web.Request, name: str, default: float) -> float:
    """A number in the query."""
    try:
        return float(request.query.get(name, default))
    except ValueError:
        raise _wrong(f"{name!r} must be a number, not {request.query[name]!r}") from None


async def _body(request: web.Request, required: dict[str, type], **optional: type) -> Json:
    """The JSON object in the body, checked key by key."""
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        raise _wrong("the body must be JSON") from None
    if not isinstance(body, dict):
        raise _wrong("the body must be a JSON object")
    known = required | optional
    if unknown := body.keys() - known.keys():
        raise _wrong(f"unknown keys {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    if missing := required.keys() - body.keys():
        raise _wrong(f"missing keys: {', '.join(sorted(missing))}")
    return {key: _typed(key, value, known[key]) for key, value in body.items()}


def _typed(key: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(f'"{key}" must be {_NAMES[kind]}, not {json.dumps(value)}')
    return value
