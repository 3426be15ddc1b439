"""A Messages API under test: the server, the real SDK as its client, and its control routes, each over its own socket."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from anthropic import AsyncAnthropic
from anthropic.types import Message

from sim.clock import Clock
from sim.control import application
from sim.model import ModelServer
from sim.store import Store

TOLD = {
    "ticker": "AAPL",
    "facts": [
        {"id": "price", "value": "187.50", "unit": "USD"}, {"id": "sma20", "value": "181"}, {"id": "sma50", "value": "175"},
        {"id": "sma200", "value": "160"}, {"id": "macd", "value": "1.2"}, {"id": "macd_signal", "value": "0.8"},
        {"id": "rsi14", "value": "61.2"}, {"id": "atr14", "value": "3.10"},
    ],
}  # fmt: skip
PROMPT = f'<facts nonce="n1">{json.dumps(TOLD)}</facts nonce="n1">\nJudge AAPL.'
"""A case for BUY: price 187.50, ATR 3.10."""


@dataclass(frozen=True)
class Desk:
    """Everything a test needs to ask the model and to arrange what it answers."""

    server: ModelServer
    client: AsyncAnthropic
    http: TestClient[web.Request, web.Application]

    async def ask(self, **change: Any) -> Message:
        """messages.create with PROMPT for the demo analyst, changed by `change`."""
        asked: dict[str, Any] = {
            "model": self.server.model,
            "max_tokens": 8000,
            "messages": [{"role": "user", "content": PROMPT}],
        }
        message: Message = await self.client.messages.create(**(asked | change))
        return message

    async def post(self, path: str, body: Any) -> Any:
        """What the control port says to a POST it accepts."""
        async with self.http.post(path, json=body) as response:
            told = await response.json()
            assert response.status == 200, told
            return told

    async def counts(self) -> Any:
        """GET /model/counts."""
        async with self.http.get("/model/counts") as response:
            return await response.json()

    async def raw(
        self,
        path: str = "/v1/messages",
        data: bytes | io.BytesIO = b"{}",
        method: str = "POST",
        **headers: str | None,
    ) -> tuple[int, Any]:
        """(status, JSON) for a request without the SDK; a header given as None is left out."""
        usual: dict[str, str | None] = {"x-api-key": self.server.api_key, "anthropic-version": "2023-06-01"}
        wanted = usual | {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in wanted.items() if value is not None}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.server.address + path, data=data, headers=sent) as response,
        ):
            told = await response.json()
            assert response.headers["request-id"] == told["request_id"]
            return response.status, told


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    """A fresh server on a free port; its client does not retry."""
    server = ModelServer(Clock(), Store(None), seed=1)
    await server.start()
    app = application(server.control())
    async with (
        AsyncAnthropic(api_key=server.api_key, base_url=server.address, max_retries=0) as client,
        TestClient(TestServer(app)) as http,
    ):
        yield Desk(server, client, http)
    await server.close()


def said(message: Message) -> str:
    """All text of an answer."""
    return "".join(block.text for block in message.content if block.type == "text")
