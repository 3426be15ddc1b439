"""The control port: how a test or a person arranges a situation and reads what truly happened. HTTP and JSON on loopback.

Each server contributes its routes; here are the conventions they share. A body is a JSON object that a pydantic model
describes, a question's answer is a JSON object, and whatever is wrong with a request is said in one sentence with status 400.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Mapping[str, Any] | None
KEPT_EVENTS = 10_000
LONGEST_POLL = 120.0


class Body(BaseModel):
    """The shape of a request's JSON body: nothing but the fields it names, of their own types."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Wrong(ValueError):
    """What a request asked for cannot be; its text says why, and what could be."""


class EventLog:
    """What happened, numbered from 1, for readers that wait for more. Keeps the latest 10,000 events."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._events: list[dict[str, Any]] = []
        self._last = 0
        self._more = asyncio.Event()

    def add(self, kind: str, **details: Any) -> None:
        """Something happened."""
        self._last += 1
        event = {
            "seq": self._last,
            "at": self._now().isoformat(),
            "at_ns": time.perf_counter_ns(),
            "kind": kind,
            **details,
        }
        self._events.append(event)
        if len(self._events) > KEPT_EVENTS:
            del self._events[: KEPT_EVENTS // 10]
        self._more.set()
        self._more = asyncio.Event()

    async def after(self, seq: int, timeout: float) -> dict[str, Any]:  # noqa: ASYNC109 - the timeout is part of the answer, not an error
        """The events after `seq` as soon as there is one, or none at the timeout (seconds)."""
        if self._last <= seq:
            more = self._more
            try:
                async with asyncio.timeout(min(timeout, LONGEST_POLL)):
                    await more.wait()
            except TimeoutError:
                pass
        return {"events": [event for event in self._events if event["seq"] > seq], "last": self._last}

    def route(self, path: str) -> web.RouteDef:
        """The route that long-polls this log: `?after=SEQ&timeout=SECONDS`."""

        async def events(request: web.Request) -> web.StreamResponse:
            """What happened after ?after=SEQ; waits up to ?timeout=SECONDS for something."""
            try:
                seq, timeout = int(request.query.get("after", 0)), float(request.query.get("timeout", 0))
            except ValueError:
                raise Wrong("after is the number of an event, timeout a number of seconds") from None
            return web.json_response(await self.after(seq, timeout))

        return web.get(path, events)


B = TypeVar("B", bound=Body)


def get(path: str, question: Callable[[], Answer]) -> web.RouteDef:
    """A route that answers a question."""

    @functools.wraps(question)
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(question() or {})

    return web.get(path, handle)


def post(path: str, body: type[B], action: Callable[[B], Answer]) -> web.RouteDef:
    """A route that does something with a body; the action's docstring is what the list of routes says about it."""

    @functools.wraps(action)
    async def handle(request: web.Request) -> web.StreamResponse:
        text = await request.read()
        try:
            value = body.model_validate_json(text or b"{}")
        except ValidationError as error:
            raise Wrong(_sentence(error, body)) from None
        return web.json_response(action(value) or {})

    handle.__dict__["body"] = body
    return web.post(path, handle)


def _sentence(error: ValidationError, body: type[Body]) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    known = ", ".join(
        f"{name}{'' if info.is_required() else '?'}" for name, info in body.model_fields.items()
    )
    return f"{where + ': ' if where else ''}{first['msg']} (the body is a JSON object with: {known or 'nothing'})"


def application(routes: Iterable[web.RouteDef]) -> web.Application:
    """The control port's application: these routes, a list of them at /, and the door that keeps web pages out."""
    routes = list(routes)

    def index() -> Answer:
        """This list."""
        return {"routes": [_described(route) for route in routes]}

    routes.insert(0, get("/", index))
    app = web.Application(middlewares=[_door])
    app.add_routes(routes)
    return app


def _described(route: web.RouteDef) -> dict[str, Any]:
    text = (route.handler.__doc__ or "").strip().split("\n")[0]
    body: type[Body] | None = getattr(route.handler, "body", None)
    fields = (
        {name: "required" if info.is_required() else info.default for name, info in body.model_fields.items()}
        if body
        else {}
    )
    return {
        "method": route.method,
        "path": route.path,
        "does": text,
        **({"body": {k: _plain(v) for k, v in fields.items()}} if body else {}),
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@web.middleware
async def _door(request: web.Request, handler: Handler) -> web.StreamResponse:
    host = request.host.rsplit(":", 1)[0]
    if host not in {"127.0.0.1", "localhost"}:
        return web.json_response(
            {"error": f"this port answers to 127.0.0.1 and localhost, not to {host!r}"}, status=403
        )
    if "Origin" in request.headers:
        return web.json_response(
            {"error": "this port does not serve web pages: a request with an Origin is refused"}, status=403
        )
    try:
        return await handler(request)
    except Wrong as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        return web.json_response(
            {"error": f"{error.reason}: {request.method} {request.path} (GET / lists what there is)"},
            status=error.status,
        )
