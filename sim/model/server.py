"""The Messages API over HTTP: keys, versions, request ids, limits, and the connection itself; what is said is decided elsewhere."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from aiohttp import web

from sim.clock import Clock
from sim.listening import HOST, listen
from sim.model import wire
from sim.model.control import routes
from sim.model.demo import DEMO_MODEL, LABEL, decide
from sim.model.errors import ApiError, invalid
from sim.model.facts import read_facts
from sim.model.faults import ANSWERS, ERRORS, Fault, Place, refusal
from sim.model.messages import (
    CONTEXT_TOKENS,
    MAX_TOKENS,
    VERSIONS,
    Answer,
    Ask,
    message,
    read_ask,
    text_block,
    thinking_block,
)
from sim.model.schema import conform
from sim.model.state import State
from sim.store import Store

LARGEST_BODY = 32 * 1024 * 1024
SECRET_HEADERS = {"authorization", "x-api-key", "cookie", "proxy-authorization"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Call(NamedTuple):
    """A request under way: its number ever since the state began, its id, its journal entry, and the headers its answer will have."""

    serial: int
    id: str
    entry: dict[str, Any]
    headers: dict[str, str]


CALL = web.RequestKey("call", Call)


class ModelServer:
    """A Messages API for one account with one key. `model` is the id of the demo analyst, `api_key` the key it accepts, fresh each run."""

    model = DEMO_MODEL

    def __init__(self, clock: Clock, store: Store, seed: int) -> None:
        self.api_key = f"sk-ant-simulated-{secrets.token_urlsafe(24)}"
        self.clock, self._store, self._seed = clock, store, seed
        self.state = State(clock)
        self._organization = str(
            UUID(bytes=blake2b(f"{seed}:organization".encode(), digest_size=16).digest())
        )
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on; 0 before start."""
        return self._port

    @property
    def address(self) -> str:
        """The base URL for the SDK."""
        return f"http://{HOST}:{self._port}"

    async def start(self, port: int = 0) -> None:
        """Listen on loopback, at any free port for 0. OSError where the port is taken."""
        app = web.Application(middlewares=[self._envelope], client_max_size=LARGEST_BODY)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{id}", self._model)
        # Handlers that hang on purpose end with their client, and at close.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
        self._port = await listen(self._runner, port)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def control(self) -> list[web.RouteDef]:
        """Its part of the control port, under /model."""
        return routes(self.state, self.address, self.api_key)

    @web.middleware
    async def _envelope(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What every answer has in common: a request id, the API's error shape, and an entry in the journal."""
        state = self.state
        serial = self._store.get("model", "requests", 0) + 1
        self._store.put("model", "requests", serial)
        request_id = self._id("req", serial)
        entry = state.requests.record(
            "request", request_id=request_id, method=request.method, path=request.path,
            headers={name: value for name, value in request.headers.items() if name.lower() not in SECRET_HEADERS},
            body=None, model=None, outcome=None, status=None,
        )  # fmt: skip
        headers = {"request-id": request_id, "anthropic-organization-id": self._organization}
        request[CALL] = Call(serial, request_id, entry, headers)
        try:
            self._admit(request)
            response = await self._speak(request, handler)
        except (asyncio.CancelledError, ConnectionError):
            state.done(entry, entry["outcome"] or "unanswered", None)
            state.events.record("gone", request_id=request_id)
            raise
        except ApiError as error:
            response = web.json_response(
                error.body(request_id), status=error.status, headers=headers | error.headers
            )
            state.done(entry, entry["outcome"] or error.kind, error.status)
        else:
            state.done(entry, entry["outcome"] or "answered", response.status)
        return response

    async def _speak(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer, with aiohttp's own refusals in the API's words."""
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge as error:
            raise ApiError(413, "request_too_large", "Request exceeds the maximum size") from error
        except web.HTTPMethodNotAllowed as error:
            raise ApiError(405, "invalid_request_error", "Method Not Allowed") from error
        except web.HTTPNotFound as error:
            raise ApiError(404, "not_found_error", "Not found") from error

    def _admit(self, request: web.Request) -> None:
        """ApiError for strangers: pages of a browser, wrong or missing keys, missing or unknown versions."""
        if request.host.partition(":")[0] not in (HOST, "localhost") or "Origin" in request.headers:
            raise ApiError(
                401,
                "authentication_error",
                "CORS requests are not allowed for this Organization because of its settings",
            )
        key = request.headers.get("x-api-key") or request.headers.get("Authorization", "").removeprefix(
            "Bearer "
        )
        if not key:
            raise ApiError(401, "authentication_error", "x-api-key header is required")
        if not secrets.compare_digest(key.encode(errors="surrogateescape"), self.api_key.encode()):
            raise ApiError(401, "authentication_error", "invalid x-api-key")
        version = request.headers.get("anthropic-version")
        if version is None:
            raise invalid("anthropic-version: header is required")
        if version not in VERSIONS:
            raise invalid(f"anthropic-version: {version!r:.40} is not a valid version")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        call, state = request[CALL], self.state
        ask = await self._read(request)
        fault = self._strike(request, "messages")
        try:
            state.limits.admit(ask.input_tokens)
        finally:
            call.headers.update(state.limits.headers())
        answer = self._answer(ask)
        if fault is not None and fault.kind in ANSWERS:
            answer = ANSWERS[fault.kind](answer)
        call.entry["outcome"] = call.entry["outcome"] or ("demo" if ask.model == DEMO_MODEL else "script")
        ask = replace(ask, cached=state.cache.use(ask.model, ask.segments))
        whole = message(ask, answer, self._id("msg", call.serial))
        state.limits.spend(whole["usage"]["output_tokens"])
        return await self._send(request, whole, fault, ask.stream)

    async def _count(self, request: web.Request) -> web.StreamResponse:
        ask = await self._read(request, counting=True)
        request[CALL].entry["outcome"] = "counted"
        return await self._send(request, {"input_tokens": ask.input_tokens}, None)

    async def _read(self, request: web.Request, *, counting: bool = False) -> Ask:
        """The checked request; its body goes into the journal first."""
        entry = request[CALL].entry
        try:
            entry["body"] = body = json.loads(await request.read(), parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise invalid("The request body is not valid JSON") from error
        model = entry["model"] = body.get("model") if isinstance(body, dict) else None
        self.state.events.record("request", request_id=entry["request_id"], path=request.path, model=model)
        ask = read_ask(
            body,
            request.headers["anthropic-version"],
            scripted=isinstance(model, str) and model in self.state.scripts,
            betas=",".join(request.headers.getall("anthropic-beta", ())),
            counting=counting,
        )
        self.state.must_know(ask.model)
        return ask

    async def _send(
        self, request: web.Request, value: dict[str, Any], fault: Fault | None, stream: bool = False
    ) -> web.StreamResponse:
        """`value` on its way, as a fault of the connection would have it."""
        kind = "text/event-stream; charset=utf-8" if stream else "application/json"
        head = (
            request[CALL].headers | {"Content-Type": kind} | ({"Cache-Control": "no-cache"} if stream else {})
        )
        body = wire.rendered(value, stream)
        if fault is not None and fault.kind in wire.BEHAVIOURS:
            return await wire.BEHAVIOURS[fault.kind](request, head, body, fault.seconds)
        if stream and self.state.pace:
            return await wire.paced(request, head, body, self.state.pace)
        return web.Response(body=body, headers=head)

    def _strike(self, request: web.Request, place: Place) -> Fault | None:
        """The fault armed for this request, noted; ApiError at once where the fault is one."""
        fault = self.state.faults.take(place)
        if fault is not None:
            request[CALL].entry["outcome"] = fault.kind
            self.state.events.record("fault", request_id=request[CALL].id, fault=fault.kind)
            if fault.kind in ERRORS:
                raise refusal(fault, self.clock.now())
        return fault

    def _answer(self, ask: Ask) -> Answer:
        """The demo's answer, or the next scripted one. ApiError where a script has run out."""
        if ask.model != DEMO_MODEL:
            return self.state.scripted(ask)
        decision = decide(read_facts(ask.prompt))
        if ask.choice.must:
            name = ask.choice.tool or next(iter(ask.tools))
            call = {"type": "tool_use", "name": name, "input": conform(decision, ask.tools[name])}
            return Answer((call,), "tool_use")
        said = decision if ask.schema is None else conform(decision, ask.schema)
        thoughts = f"{LABEL} the signals add up to {decision['decision']}."
        return Answer((*([thinking_block(thoughts)] if ask.thinking else []), text_block(json.dumps(said))))

    async def _models(self, request: web.Request) -> web.StreamResponse:
        fault = self._strike(request, "models")
        listed = self.state.known_models()
        if (after := request.query.get("after_id")) in listed:
            listed = listed[listed.index(after) + 1 :]
        if (before := request.query.get("before_id")) in listed:
            listed = listed[: listed.index(before)]
        limit = request.query.get("limit", "20")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= 1000:
            raise invalid("limit: Input should be a whole number from 1 to 1000")
        shown = listed[: int(limit)]
        page = {
            "data": [_model_info(name) for name in shown],
            "has_more": len(listed) > len(shown),
            "first_id": shown[0] if shown else None,
            "last_id": shown[-1] if shown else None,
        }
        return await self._send(request, page, fault)

    async def _model(self, request: web.Request) -> web.StreamResponse:
        fault = self._strike(request, "models")
        name = request.match_info["id"]
        self.state.must_know(name)
        return await self._send(request, _model_info(name), fault)

    def _id(self, prefix: str, serial: int) -> str:
        """An id as the API's look, the same for the same seed and count of requests."""
        return f"{prefix}_{blake2b(f'{self._seed}:{prefix}:{serial}'.encode(), digest_size=12).hexdigest()}"


def _no_number(name: str) -> None:
    """Python reads NaN and Infinity, the API does not."""
    raise ValueError(f"{name} is not JSON")


def _model_info(name: str) -> dict[str, Any]:
    title = (
        "Greenlight demo analyst (rules, not an AI)" if name == DEMO_MODEL else f"Scripted answers ({name})"
    )
    return {
        "type": "model", "id": name, "display_name": title, "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active", "line": None,
        "capabilities": None, "deprecated_at": None, "retires_at": None, "max_input_tokens": CONTEXT_TOKENS, "max_tokens": MAX_TOKENS,
    }  # fmt: skip
