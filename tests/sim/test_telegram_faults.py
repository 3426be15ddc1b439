"""Bad days on order, as the real python-telegram-bot sees them; and that each of them is counted."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from telegram import Bot
from telegram.error import Conflict, NetworkError, RetryAfter, TelegramError, TimedOut

from tests.sim.telegram_kit import Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


@pytest.fixture
async def bot(kit: Kit) -> AsyncIterator[Bot]:
    async with Bot(kit.server.token, base_url=f"{kit.server.address}/bot") as bot:
        yield bot


async def fired(kit: Kit) -> dict[str, int]:
    faults: dict[str, int] = (await kit.get("counts"))["faults"]
    return faults


async def test_too_many_requests_carries_the_time_to_wait(
    kit: Kit, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "true")  # without it the library warns about its own attribute
    await kit.post("fault", kind="429", method="sendMessage", retry_after=7, count=2)
    for _ in range(2):
        with pytest.raises(RetryAfter) as refused:
            await bot.send_message(kit.server.user_id, "x")
        assert refused.value.retry_after == timedelta(seconds=7)
    await bot.send_message(kit.server.user_id, "x")
    assert await fired(kit) == {"429": 2}
    assert (await kit.get("counts"))["calls"]["sendMessage"] == 3


async def test_a_conflict_and_a_server_error_and_garbage(kit: Kit, bot: Bot) -> None:
    await kit.post("fault", kind="409", method="getUpdates")
    with pytest.raises(Conflict):
        await bot.get_updates()
    await kit.post("fault", kind="500")
    with pytest.raises(NetworkError, match="Internal Server Error"):
        await bot.send_message(kit.server.user_id, "x")
    await kit.post("fault", kind="garbage")
    with pytest.raises(TelegramError):
        await bot.send_message(kit.server.user_id, "x")
    assert await kit.chat() == []
    assert await fired(kit) == {"409": 1, "500": 1, "garbage": 1}


async def test_a_lost_answer_has_been_performed_all_the_same(kit: Kit, bot: Bot) -> None:
    await kit.post("fault", kind="lost_answer", method="sendMessage")
    with pytest.raises(NetworkError):
        await bot.send_message(kit.server.user_id, "once")
    assert [message["text"] for message in await kit.chat()] == ["once"]


async def test_an_outage_ends_a_waiting_poll_and_everything_else_until_it_is_over(kit: Kit, bot: Bot) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=20))
    await kit.until("poll")
    await kit.post("fault", kind="outage")
    with pytest.raises(NetworkError):
        await poll
    with pytest.raises(NetworkError):
        await bot.send_message(kit.server.user_id, "x")
    await kit.post("fault", kind="clear")
    await bot.send_message(kit.server.user_id, "back")
    assert (await fired(kit))["outage"] >= 2


async def test_an_outage_can_last_for_a_simulated_while(kit: Kit, bot: Bot) -> None:
    await kit.post("fault", kind="outage", seconds=3600)
    with pytest.raises(NetworkError):
        await bot.send_message(kit.server.user_id, "x")
    kit.clock.advance(3601)
    await bot.send_message(kit.server.user_id, "back")


async def test_a_black_hole_swallows_a_call(kit: Kit, bot: Bot) -> None:
    await kit.post("fault", kind="black_hole", method="sendMessage")
    with pytest.raises(TimedOut):
        await bot.send_message(kit.server.user_id, "x", read_timeout=0.1)
    await bot.send_message(kit.server.user_id, "y")
    assert [message["text"] for message in await kit.chat()] == ["y"]


async def test_a_black_hole_swallows_a_poll_that_waits(kit: Kit, bot: Bot) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=20))
    await kit.until("poll")
    await kit.post("fault", kind="black_hole", method="getUpdates")
    await kit.until("fault", fault="black_hole")
    await kit.say("hello")
    await kit.post("fault", kind="clear")
    with pytest.raises(NetworkError):
        await poll
    assert len(await bot.get_updates()) == 1


async def test_a_slow_call_is_performed_in_the_end(kit: Kit, bot: Bot) -> None:
    await kit.post("fault", kind="slow", seconds=0.05, method="sendMessage")
    await bot.send_message(kit.server.user_id, "x")
    assert await fired(kit) == {"slow": 1}


async def test_a_flood_limit_counts_sends_and_edits_of_a_chat(kit: Kit) -> None:
    await kit.post("flood", per_second=0.5, burst=2)
    user = kit.server.user_id
    first = await kit.call("sendMessage", chat_id=user, text="one")
    assert (await kit.call("sendMessage", chat_id=user, text="two"))["ok"]
    at = {"chat_id": user, "message_id": first["result"]["message_id"]}
    refused = await kit.call("editMessageText", **at, text="three")
    assert refused == {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests: retry after 2",
        "parameters": {"retry_after": 2},
    }
    assert (await kit.call("sendChatAction", chat_id=user, action="typing"))["ok"]
    kit.clock.advance(2)
    assert (await kit.call("editMessageText", **at, text="three"))["ok"]
    assert await fired(kit) == {"flood": 1}
