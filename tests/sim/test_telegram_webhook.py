"""Updates brought to an address of the bot, as a Bot API server of one's own does it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.sim.telegram_kit import Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


class Listener:
    """A bot behind a webhook: what came, and what it answers next."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: asyncio.Queue[tuple[dict[str, Any], str | None]] = asyncio.Queue()
        self.answers: list[web.Response] = []

    async def take(self, request: web.Request) -> web.Response:
        update = await request.json()
        self.heard.put_nowait((update, request.headers.get("X-Telegram-Bot-Api-Secret-Token")))
        return self.answers.pop(0) if self.answers else web.Response()

    async def text(self) -> str:
        update, _ = await asyncio.wait_for(self.heard.get(), 10)
        return str(update["message"]["text"])


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener, app = Listener(), web.Application()
    app.add_routes([web.post("/hook", listener.take)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield listener
    finally:
        await runner.cleanup()


async def test_updates_are_brought_with_the_secret_and_nobody_can_poll(kit: Kit) -> None:
    async with listening() as bot:
        await kit.say("before")
        answer = await kit.call("setWebhook", url=bot.url, secret_token="s3cret")
        assert answer == {"ok": True, "result": True, "description": "Webhook was set"}
        update, secret = await asyncio.wait_for(bot.heard.get(), 10)
        assert (update["message"]["text"], secret) == ("before", "s3cret")
        await kit.say("after")
        assert await bot.text() == "after"
        assert await kit.refusal("getUpdates") == (
            "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
        )
        assert (await kit.call("deleteWebhook"))["description"] == "Webhook was deleted"
        await kit.say("polled")
        assert [update["message"]["text"] for update in await kit.updates()] == ["polled"]


async def test_what_is_not_taken_comes_again_in_order(kit: Kit) -> None:
    async with listening() as bot:
        bot.answers = [web.Response(status=500), web.Response(status=502)]
        await kit.done("setWebhook", url=bot.url)
        await kit.say("one")
        await kit.say("two")
        assert [await bot.text() for _ in range(4)] == ["one", "one", "one", "two"]
        info = await kit.done("getWebhookInfo")
        assert info["last_error_message"] == "Wrong response from the webhook: 502 Bad Gateway"


async def test_an_answer_can_be_a_method(kit: Kit) -> None:
    async with listening() as bot:
        bot.answers = [web.json_response({"method": "sendMessage", "chat_id": kit.user, "text": "pong"})]
        await kit.done("setWebhook", url=bot.url)
        await kit.say("ping")
        assert (await kit.until("sendMessage"))["text"] == "pong"


async def test_a_poll_that_waits_ends_when_a_webhook_is_set(kit: Kit) -> None:
    async with listening() as bot:
        poll = asyncio.create_task(kit.call("getUpdates", timeout=30))
        await kit.until("poll")
        await kit.done("setWebhook", url=bot.url)
        assert (await asyncio.wait_for(poll, 10))["error_code"] == 409


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"url": "http://example.com/hook"}, "bad webhook: An HTTPS URL must be provided for webhook"),
        ({"url": "nonsense"}, "bad webhook: An HTTPS URL must be provided for webhook"),
        ({"url": "https://example.com/hook"}, "bad webhook: Failed to resolve host: Temporary failure in name resolution"),
        ({"url": "http://127.0.0.1:1/", "secret_token": "a b"}, "secret token contains unallowed characters"),
    ],
)  # fmt: skip
async def test_where_no_webhook_can_be(kit: Kit, params: dict[str, Any], words: str) -> None:
    assert await kit.refusal("setWebhook", **params) == f"Bad Request: {words}"
    assert (await kit.done("getWebhookInfo"))["url"] == ""
