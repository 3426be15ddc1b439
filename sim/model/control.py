"""The model's part of the control port: script answers, arm faults, read what was asked and what happened."""

import json
from collections import deque
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sim.model.faults import ALWAYS, ANSWERS, KINDS, Fault
from sim.model.script import read_script

if TYPE_CHECKING:
    from sim.model.server import ModelServer

LONGEST_WAIT = 60.0


def routes(server: "ModelServer") -> list[web.RouteDef]:
    """The routes under /model. Bad bodies are answered with 400 {"error": sentence}."""

    async def script(request: web.Request) -> web.Response:
        body = await _body(request, {"model", "answers"})
        model, answers = body.get("model"), body.get("answers")
        if not isinstance(model, str) or not model or model == server.model:
            raise _wrong(
                f"model is an id of your own, such as 'scripted-1', and not {server.model}, which answers by rule"
            )
        if not isinstance(answers, list):
            raise _wrong("answers is a list of objects")
        try:
            scripts = [read_script(answer) for answer in answers]
        except ValueError as error:
            raise _wrong(f"answers: {error}") from error
        queue = server.scripts.setdefault(model, deque())
        queue.extend(scripts)
        return web.json_response({"model": model, "queued": len(queue)})

    async def fault(request: web.Request) -> web.Response:
        server.faults.arm(_fault(await _body(request, {"kind", "count", "on", "seconds", "retry_after"})))
        return web.json_response({"armed": server.faults.armed()})

    async def clear(request: web.Request) -> web.Response:
        await _body(request, set())
        server.clear()
        return web.json_response({})

    async def requests(request: web.Request) -> web.Response:
        after = _figure(request, "after", 0)
        return web.json_response(
            {"requests": server.requests.after(int(after)), "last": server.requests.last}
        )

    async def events(request: web.Request) -> web.Response:
        after, seconds = _figure(request, "after", 0), _figure(request, "timeout", 0)
        found = await server.events.wait(int(after), min(seconds, LONGEST_WAIT))
        return web.json_response({"events": found, "last": server.events.last})

    async def counts(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "requests": server.outcomes.total(),
                "outcomes": server.outcomes,
                "faults": {"armed": server.faults.armed(), "fired": server.faults.fired},
                "scripts": {model: len(queue) for model, queue in server.scripts.items()},
            }
        )

    return [
        web.post("/model/script", script),
        web.post("/model/fault", fault),
        web.post("/model/clear", clear),
        web.get("/model/requests", requests),
        web.get("/model/events", events),
        web.get("/model/counts", counts),
    ]


def _wrong(sentence: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=json.dumps({"error": sentence}), content_type="application/json")


async def _body(request: web.Request, known: set[str]) -> dict[str, Any]:
    """The JSON object of a request that has no keys but the `known` ones."""
    try:
        body = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError) as error:
        raise _wrong("the body is not JSON: send an object") from error
    if not isinstance(body, dict):
        raise _wrong("the body is a JSON object")
    if unknown := sorted(body.keys() - known):
        raise _wrong(
            f"unknown key {unknown[0]!r:.80}: {', '.join(sorted(known)) or 'no keys'} would be right"
        )
    return body


def _figure(request: web.Request, name: str, default: float) -> float:
    """A number from 0 in the query."""
    try:
        value = float(request.query.get(name, default))
    except ValueError as error:
        raise _wrong(f"{name} is a number") from error
    if not 0 <= value < float("inf"):
        raise _wrong(f"{name} is a number from 0")
    return value


def _fault(body: dict[str, Any]) -> Fault:
    kind, count, on = body.get("kind"), body.get("count", 1), body.get("on", "messages")
    if kind not in KINDS:
        raise _wrong(f"kind is one of {', '.join(KINDS)}")
    if count != "always" and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise _wrong('count is a whole number from 1, or "always"')
    if on not in ("messages", "models") or (on == "models" and kind in ANSWERS):
        raise _wrong(f"on is 'messages' or 'models', and {kind} changes a message")
    return Fault(
        kind,
        ALWAYS if count == "always" else count,
        on,
        _seconds(body, "seconds"),
        _seconds(body, "retry_after"),
    )


def _seconds(body: dict[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise _wrong(f"{name} is a number of seconds from 0")
    return float(value)
