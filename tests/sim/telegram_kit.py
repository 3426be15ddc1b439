"""What the tests of the simulated Telegram share: a server, its control port, and a hand to reach both."""

import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, FormData, web

from sim.clock import Clock
from sim.control import application
from sim.store import Store
from sim.telegram import TelegramServer
from sim.telegram.crowd import promote
from sim.telegram.engine import Engine

#: Two pixels.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGOQnxt+1s4KAAhLAlkuGEtRAAAAAElFTkSuQmCC"
)


@dataclass
class Kit:
    """A running server; `say`, `press` and the rest go over the control port."""

    server: TelegramServer
    clock: Clock
    http: ClientSession
    control_url: str

    @property
    def engine(self) -> Engine:
        """The chat world itself, for what people do in it."""
        return self.server._engine

    @property
    def user(self) -> int:
        return self.server.user_id

    @property
    def group(self) -> int:
        return int(self.engine.group["id"])

    @property
    def bot(self) -> int:
        return int(self.engine.bot["id"])

    def make_administrator(self) -> None:
        """The bot administers the group."""
        promote(self.engine, self.user, self.group, self.bot, True)

    async def done(self, method: str, **params: Any) -> Any:
        """The result of a call that succeeds."""
        answer = await self.call(method, **params)
        assert answer["ok"], answer
        return answer["result"]

    async def updates(self, *kinds: str) -> list[dict[str, Any]]:
        """What waits, and is confirmed by it; with `kinds`, these are wanted from now on."""
        wanted = {"allowed_updates": list(kinds)} if kinds else {}
        found: list[dict[str, Any]] = await self.done("getUpdates", **wanted)
        if found:
            await self.done("getUpdates", offset=found[-1]["update_id"] + 1)
        return found

    async def upload(
        self, method: str, *, files: dict[str, tuple[str, bytes]], **values: Any
    ) -> dict[str, Any]:
        """A multipart call with files by field: (name, content)."""
        form = FormData(default_to_multipart=True)
        for name, value in values.items():
            form.add_field(name, value if isinstance(value, str) else json.dumps(value))
        for name, (filename, data) in files.items():
            form.add_field(name, io.BytesIO(data), filename=filename, content_type="application/octet-stream")
        url = f"{self.server.address}/bot{self.server.token}/{method}"
        async with self.http.post(url, data=form) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def post(self, path: str, *, status: int = 200, **body: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.control_url}/telegram/{path}", json=body) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == status, answer
            return answer

    async def get(self, path: str = "", **query: Any) -> dict[str, Any]:
        url = f"{self.control_url}/telegram" + (f"/{path}" if path else "")
        async with self.http.get(url, params=query) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
            return answer

    async def say(self, text: str, **options: Any) -> dict[str, Any]:
        return await self.post("message", text=text, **options)

    async def chat(self, **query: Any) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = (await self.get("chat", **query))["messages"]
        return messages

    async def until(self, kind: str, after: int = 0, **facts: Any) -> dict[str, Any]:
        """The first event of a kind (with these facts) after a number."""
        while True:
            answer = await self.get("events", after=after, timeout=10)
            assert answer["events"], f"no {kind} came within 10 s"
            for event in answer["events"]:
                if event["kind"] == kind and facts.items() <= event.items():
                    return dict(event)
            after = answer["last"]

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A bare Bot API call; the whole answer."""
        async with self.http.post(
            f"{self.server.address}/bot{self.server.token}/{method}", json=params
        ) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def refusal(self, method: str, **params: Any) -> str:
        """The words with which a call is refused."""
        answer = await self.call(method, **params)
        assert not answer["ok"], answer
        return str(answer["description"])


@asynccontextmanager
async def telegram(path: Path | None = None, seed: int = 1, token: str | None = None) -> AsyncIterator[Kit]:
    """A server and its part of the control port on free ports of loopback."""
    clock, store = Clock(), Store(path)
    server = TelegramServer(clock, store, seed, token=token)
    await server.start()
    runner = web.AppRunner(application(server.control()), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with ClientSession() as http:
            yield Kit(server, clock, http, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
        await server.close()
        store.close()
