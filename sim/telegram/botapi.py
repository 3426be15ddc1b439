"""The Bot API over HTTP: /bot<token>/<method> and /file/bot<token>/<path>, long polling, and faults on order."""

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sim.telegram.engine import Engine
from sim.telegram.errors import (
    ApiError,
    conflict,
    internal_error,
    not_found,
    too_many_requests,
    unauthorized,
    webhook_active,
)
from sim.telegram.faults import Fault, Faults
from sim.telegram.methods import METHODS, TALKING, WORDED
from sim.telegram.methods.wires import file_id_of, set_allowed
from sim.telegram.params import Params
from sim.telegram.requests import read_params
from sim.telegram.webhook import Webhook

_LONGEST_POLL = 50.0


class BotApi:
    """The session side of the Bot API. `calls` counts what was asked for, by method."""

    def __init__(self, engine: Engine, faults: Faults, token: str) -> None:
        self._engine = engine
        self._faults = faults
        self._token = token
        self._poll: asyncio.Future[str] | None = None
        self._confirmed = 0
        self.calls: Counter[str] = Counter()
        self.polled = asyncio.Event()
        self._webhook = Webhook(engine, self._perform_answer)
        engine.updates.listen(lambda: self._end_poll("news"))

    def routes(self) -> list[web.RouteDef]:
        """Where the Bot API lives."""
        return [
            web.get("/file/bot{token:[^/]*}/{path:.*}", self._download),
            web.route("*", "/bot{token:[^/]*}/{method:.*}", self._call),
            web.route("*", "/bot{token:[^/]*}", self._nowhere),
        ]

    async def begin(self, app: web.Application) -> None:
        """Carry updates to a webhook from now on, where there is one."""
        self._webhook.start()

    async def end(self, app: web.Application) -> None:
        """Carry no more."""
        await self._webhook.stop()

    def interrupt(self) -> None:
        """Let a waiting poll look at the faults again."""
        self._end_poll("look")

    async def _call(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        try:
            if not hmac.compare_digest(request.match_info["token"].encode(), self._token.encode()):
                raise unauthorized()
            self.calls[name] += 1
            params = await read_params(request)
            fault = self._strike(name)
            if fault is not None and fault.kind != "lost_answer":
                await self._suffer(fault, request)
            body = await self._perform(name, params, request)
            if fault is not None and fault.kind == "lost_answer":
                return _hang_up(request)
            return _answer({"ok": True} | body)
        except ApiError as error:
            self._refused(name, error)
            return _answer(error.body(), error.code)
        except _DroppedError:
            return _hang_up(request)
        except _GarbledError:
            return web.Response(
                text="<html><body>upstream is having a moment</body></html>", content_type="text/html"
            )

    async def _perform(self, name: str, params: Params, request: web.Request) -> dict[str, Any]:
        if name.lower() == "getupdates":
            return {"result": await self._get_updates(params, request)}
        method = METHODS.get(name.lower())
        if method is None:
            raise not_found()
        if name.lower() in TALKING and (seconds := self._faults.flooded(params.text("chat_id"))):
            raise too_many_requests(seconds)
        result = method(self._engine, params)
        if name.lower() not in WORDED:
            return {"result": result}
        self._end_poll("look")  # there is a webhook now, or there is none any more
        self._webhook.wake()
        return dict(result)

    async def _perform_answer(self, name: str, values: dict[str, Any]) -> None:
        """Perform a method that came with the answer to an update; nobody hears what becomes of it but the journal."""
        self.calls[name] += 1
        try:
            method = METHODS.get(name.lower())
            if method is None or name.lower() in WORDED:
                raise not_found()
            method(self._engine, Params(values))
        except ApiError as error:
            self._refused(name, error)

    def _refused(self, name: str, error: ApiError) -> None:
        self._engine.journal.record(
            "refused", method=name, error_code=error.code, description=error.description
        )

    async def _nowhere(self, request: web.Request) -> web.Response:
        return _answer(ApiError(404, "Not Found").body(), 404)

    # Long polling

    async def _get_updates(self, params: Params, request: web.Request) -> list[dict[str, Any]]:
        offset, limit = params.integer("offset"), params.integer("limit", 100)
        limit = limit if 1 <= limit <= 100 else 100
        timeout = min(max(params.integer("timeout"), 0), _LONGEST_POLL)
        if self._engine.settings.get("webhook"):
            raise webhook_active()
        self._end_poll("conflict")
        self.polled.set()
        engine = self._engine
        set_allowed(engine, params)
        batch = engine.updates.fetch(offset, limit, engine.clock.now())
        if offset > self._confirmed:
            self._confirmed = offset
            engine.journal.record("confirmed", offset=offset)
        if not batch and timeout:
            engine.journal.record("poll", offset=offset, timeout=timeout)
            await self._news(timeout, request)
            batch = engine.updates.fetch(offset, limit, engine.clock.now())
        if batch:
            engine.journal.record("delivered", update_ids=[update["update_id"] for update in batch])
        return batch

    async def _news(self, seconds: float, request: web.Request) -> None:
        """Wait until there is an update, or until the time is up. ApiError where another poll takes over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            self._poll = mine = loop.create_future()
            try:
                async with asyncio.timeout_at(deadline):
                    reason = await mine
            except TimeoutError:
                return
            finally:
                if self._poll is mine:
                    self._poll = None
            if reason == "conflict":
                raise conflict()
            if self._engine.settings.get("webhook"):
                raise webhook_active()
            if reason == "news":
                return
            fault = self._strike("getUpdates")
            if fault is not None:
                await self._suffer(fault, request)

    def _end_poll(self, reason: str) -> None:
        poll, self._poll = self._poll, None
        if poll is not None and not poll.done():
            poll.set_result(reason)

    # Faults

    def _strike(self, method: str) -> Fault | None:
        fault = self._faults.strike(method)
        if fault is not None:
            self._engine.journal.record("fault", fault=fault.kind, method=method)
        return fault

    async def _suffer(self, fault: Fault, request: web.Request) -> None:
        """Go through a fault that strikes before the call is performed; only a slow call comes out again."""
        match fault.kind:
            case "slow":
                await asyncio.sleep(fault.seconds)
            case "429":
                raise too_many_requests(fault.retry_after)
            case "409":
                raise conflict()
            case "500":
                raise internal_error()
            case "garbage":
                raise _GarbledError
            case "black_hole":
                await fault.over.wait()
                raise _DroppedError
            case _:
                raise _DroppedError

    # Files

    async def _download(self, request: web.Request) -> web.Response:
        record = self._engine.file(file_id := file_id_of(request.match_info["path"]))
        known = hmac.compare_digest(request.match_info["token"].encode(), self._token.encode())
        if not known or record is None:
            return _answer(ApiError(404, "Not Found").body(), 404)
        return web.Response(
            body=self._engine.file_data(file_id), headers={"Content-Type": record["content_type"]}
        )


class _DroppedError(Exception):
    """The connection ends without an answer."""


class _GarbledError(Exception):
    """The answer is no JSON."""


def _answer(body: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), status=status, content_type="application/json")


def _hang_up(request: web.Request) -> web.Response:
    """Drop the connection; the response is for aiohttp, and reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
