"""Something broken between the bot and its Bot API, and between it and its model: true answers are passed on, or spoilt."""

import asyncio
import json
from collections import Counter
from typing import Any

import aiohttp
from aiohttp import web

from tests.endurance.bodies import ODD, Body, BodySpoiler

Json = dict[str, Any]
LARGEST = 64 * 1024 * 1024


class Relay:
    """An HTTP server on loopback that asks another one. `left` is how many answers are still spoilt."""

    def __init__(self, true: str, spoiler: BodySpoiler) -> None:
        self._true, self.spoiler = true, spoiler
        self.left = 0
        self.ended = asyncio.Event()
        """Set when the last one was spoilt."""
        self.spoilt: Counter[str] = Counter()
        """Spoilt answers by what was asked."""
        self.address = ""
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen."""
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = self._runner.addresses[0][0] + f":{self._runner.addresses[0][1]}"
        self.address = f"http://{self.address}"

    async def close(self) -> None:
        """Hang up."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def ask(self, request: web.Request, body: bytes) -> tuple[int, Any]:
        """What the true one answers: its status, and its JSON."""
        assert self._session is not None
        keep = {"content-type", "x-api-key", "authorization", "anthropic-version", "anthropic-beta"}
        headers = {k: v for k, v in request.headers.items() if k.lower() in keep}
        async with self._session.request(
            request.method, self._true + request.path_qs, data=body, headers=headers
        ) as answer:
            raw = await answer.read()
            try:
                return answer.status, json.loads(raw)
            except ValueError:
                return answer.status, raw.decode(errors="replace")

    def spend(self, what: str) -> bool:
        """Whether this answer is to be spoilt."""
        if self.left <= 0:
            return False
        self.left -= 1
        self.spoilt[what] += 1
        if not self.left:
            self.ended.set()
        return True

    async def send(self, request: web.Request, body: Body) -> web.StreamResponse:
        """Answer with it."""
        headers = {"Content-Type": "application/json", **body.headers}
        if body.status == 302:
            headers["Location"] = "/elsewhere"
        if not body.cut:
            return web.Response(status=body.status, body=body.data, headers=headers)
        answer = web.StreamResponse(headers={**headers, "Content-Length": str(len(body.data) + 100)})
        await answer.prepare(request)
        await answer.write(body.data)
        if request.transport is not None:
            request.transport.abort()
        return answer


class BrokenBotApi(Relay):
    """A Bot API. Updates get numbers of its own, so that malformed ones can be among the true ones."""

    def __init__(self, true: str, spoiler: BodySpoiler) -> None:
        super().__init__(true, spoiler)
        self._next, self._confirmed = 1, 0
        self._pending: dict[int, Json] = {}
        self._models: list[Json] = []
        """True updates, to be spoilt."""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        method, body = request.path.rpartition("/")[2].lower(), await request.read()
        if method == "getupdates":
            return await self._updates(request, body)
        status, told = await self.ask(request, body)
        if self.spend(method):
            return await self.send(request, self.spoiler.spoil(told))
        return web.json_response(told, status=status)

    async def _updates(self, request: web.Request, body: bytes) -> web.StreamResponse:
        asked = await request.post() if b"=" in body[:40] else json.loads(body or b"{}")
        offset = int(str(asked.get("offset") or 0))
        self._pending = {n: update for n, update in self._pending.items() if n >= offset}
        if self.left > 0 and self._models:
            self.spend("getupdates")
            true = {"ok": True, "result": [self._renumbered(u) for u in self._some()]}
            return await self.send(request, self.spoiler.spoil(true, self._spoil_updates))
        if not self._pending:
            assert self._session is not None
            ask = {"offset": self._confirmed, "timeout": 0 if self.left > 0 else asked.get("timeout", 0)}
            async with self._session.post(self._true + request.path, json=ask) as answer:
                told = json.loads(await answer.read())
            for update in told.get("result", []):
                self._confirmed = update["update_id"] + 1
                self._models.append(update)
                numbered = self._renumbered(update)
                self._pending[numbered["update_id"]] = numbered
        return web.json_response({"ok": True, "result": list(self._pending.values())})

    def _some(self) -> list[Json]:
        chance = self.spoiler.chance
        return [chance.choice(self._models) for _ in range(chance.choice((1, 1, 2, 5)))]

    def _renumbered(self, update: Json) -> Json:
        self._next += 1
        return {**update, "update_id": self._next}

    def _spoil_updates(self, true: Json) -> Json:
        """A sound list of updates that are not sound themselves; their numbers mostly are."""
        updates = []
        for one in true["result"]:
            spoilt = self.spoiler.values(one, self.spoiler.chance.random() < 0.4)
            if isinstance(spoilt, dict) and self.spoiler.chance.random() < 0.9:
                spoilt["update_id"] = one["update_id"]
            updates.append(spoilt)
        return {"ok": True, "result": updates}


class BrokenModel(Relay):
    """A Messages API. Its true answers are kept, so that the model need not be asked for each that is spoilt."""

    def __init__(self, true: str, spoiler: BodySpoiler) -> None:
        super().__init__(true, spoiler)
        self._models: list[Json] = []

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.left > 0 and self._models and self.spend("messages"):
            true = self.spoiler.chance.choice(self._models)
            return await self.send(request, self.spoiler.spoil(true, self._spoil_decision))
        status, told = await self.ask(request, body)
        if status == 200 and told.get("type") == "message":
            self._models.append(told)
        return web.json_response(told, status=status)

    def _spoil_decision(self, true: Json) -> Json:
        """A sound message whose decision is not."""
        spoilt: Json = json.loads(json.dumps(true))
        for block in spoilt["content"]:
            if block.get("type") == "text":
                decision = json.loads(block["text"])
                if self.spoiler.chance.random() < 0.7:
                    block["text"] = json.dumps(
                        self.spoiler.values(decision, self.spoiler.chance.random() < 0.3)
                    )
                else:
                    block["text"] = str(
                        self.spoiler.chance.choice((ODD[10], "HOLD", "```json\n{}\n```", "[" * 2000))
                    )
        return spoilt
