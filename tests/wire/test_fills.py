"""The news of a fill and what they wait for: never more than their second, and nobody else waits with them."""

from datetime import timedelta

import pytest

from bot.fills import COSTS_SECONDS
from tests.kit import House, Json, WorldClock
from tests.wire.attacks import desk_of
from tests.wire.test_options_chat import desk as desk


async def filled_unpaid(house: House) -> Json:
    """An order is filled, its commission is never told, and no news can be sent; its card."""
    await house.control.post("/tws/commissions", mode="never")
    card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await house.control.post("/telegram/fault", kind="outage", method="sendMessage")
    await house.phone.taps("Send", card)
    await house.phone.sees(lambda m: m["id"] == card["id"] and "FILLED 10/10" in m["text"])
    return card


async def test_a_clock_set_back_does_not_silence_the_chat(
    desk: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The computer's clock is put right by an hour between a fill and its news."""
    card, clock = await filled_unpaid(desk), desk_of(desk).clock
    assert isinstance(clock, WorldClock)
    now, hour = clock._now, timedelta(hours=1)
    monkeypatch.setattr(clock, "_now", lambda: now() - hour)
    monkeypatch.setattr(clock, "_began", clock._began - hour)  # the monotonic one goes on
    await desk.control.post("/telegram/fault", kind="clear")
    await desk.phone.asks("/status", "Broker connected")
    await desk.phone.hears("FILLED BUY 10 AAPL", after=card["id"])


async def test_news_that_have_waited_go_first_again(desk: House) -> None:
    """Of a fill whose commission did not come in time; what else waits is less urgent."""
    card = await filled_unpaid(desk)
    for _ in range(4):
        await desk.phone.says("/status")
    await desk.phone.settled()
    await desk.control.post("/clock", advance=40 * COSTS_SECONDS)
    await desk.control.post("/telegram/fault", kind="clear")
    news = await desk.phone.hears("FILLED BUY 10 AAPL at", after=card["id"])
    answers = [
        m["id"] for m in await desk.phone.chat() if m["from"] == "bot" and "Broker connected" in m["text"]
    ]
    assert len([answer for answer in answers if answer < news["id"]]) <= 1  # one may have been on its way
