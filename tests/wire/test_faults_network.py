"""The network's faults, each with what it must not do to an order: Telegram away or refusing, the broker's line in every kind of trouble, a model that fails."""

import re

import pytest

from tests.kit import House
from tests.wire.faults import agree, approve, approve_when_compared, at_broker, fired, in_file, resting, said
from tests.wire.test_analyze import with_model

FAILED = "No analysis|no verdict"


async def test_telegram_down_an_hour(live: House) -> None:
    """A fill of that hour is booked at once and told once; what was asked in it is answered; an old command trades nothing."""
    await resting(live)
    await live.control.post("/telegram/fault", kind="outage")
    (order,) = (await live.control.book())["orders"]
    await live.control.post("/tws/fill", order=order["ref"])
    await in_file(live, "SELECT 1 FROM orders WHERE state = 'FILLED'")
    await live.phone.says("/buy MSFT 1")
    asked = await live.phone.says("/positions")
    await live.control.post("/clock", advance=3600)
    await live.control.post("/telegram/fault", kind="clear")
    await live.phone.hears("FILLED BUY 10 AAPL")
    await live.phone.hears("Total", after=asked)
    await live.phone.hears("60 minutes.*BUY 1 MSFT", after=asked)
    await agree(live)
    assert await said(live, "FILLED BUY 10 AAPL") == 1
    assert len((await live.control.book())["orders"]) == 1
    await fired(live, "telegram", outage=1)


@pytest.mark.parametrize("method", ["sendMessage", "editMessageText", "getUpdates", "answerCallbackQuery"])
async def test_429_with_retry_after(live: House, method: str) -> None:
    """A flood limit is waited for as long as it says: everything arrives, once, and the order is one."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await live.control.post("/telegram/fault", kind="429", method=method, count=1, retry_after=1)
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    await live.phone.sees(lambda m: m["id"] == card["id"] and "FILLED" in m["text"])
    await agree(live)
    assert await said(live, "FILLED BUY 10 AAPL at") == 1
    await fired(live, "telegram", _429=1)


async def test_ib_reset(live: House) -> None:
    """TWS restarts with an order that works and one that it booked without a word: both are found again, and new ones leave."""
    await resting(live)
    await live.control.post("/tws/no_ack", count=1)
    silent = await approve(live, "/buy MSFT 5 @ 300", "BUY 5 MSFT")
    await at_broker(live, 2)
    await live.control.post("/tws/restart")
    await live.phone.sees(lambda m: m["id"] == silent["id"] and "working" in m["text"])
    for order in (await live.control.book())["orders"]:
        await live.control.post("/tws/fill", order=order["ref"])
    await live.phone.hears("FILLED BUY 10 AAPL")
    await live.phone.hears("FILLED BUY 5 MSFT")
    await approve(live, "/buy AAPL 1", "BUY 1 AAPL")
    await live.phone.hears("FILLED BUY 1 AAPL")
    await agree(live)
    await fired(live, "tws", restart=1, no_ack=1)


async def test_half_open(live: House) -> None:
    """Sent into a line that is dead and does not say so: the order is unknown until the broker says what became of it, and never sent again."""
    card = await live.phone.asks("/buy AAPL 10 @ 150", "BUY 10 AAPL")
    await live.control.post("/tws/half_open", on=True)
    await live.phone.taps("Send", card)
    await live.phone.hears("Broker not reachable", after=card["id"])
    await live.phone.sees(lambda m: m["id"] == card["id"] and re.search("sending|UNKNOWN", m["text"]))
    assert (await live.control.book())["orders"] == []
    refused = await live.phone.asks("/buy MSFT 1", "MSFT|connect|reach")
    assert not refused["buttons"]
    await live.control.post("/tws/half_open", on=False)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    await agree(live)
    assert len((await live.control.book())["orders"]) == 1
    await fired(live, "tws", half_open=1)


async def test_ib_reset_before_a_word_came(live: House) -> None:
    """The line goes between the writing and the first word, and stays away: nobody knows what became of the order, and that is what is said."""
    await live.control.post("/tws/no_ack", count=1)
    card = await approve(live, "/buy AAPL 10 @ 150", "BUY 10 AAPL")
    await at_broker(live, 1)
    await live.control.post("/tws/refuse", on=True)
    await live.control.post("/tws/drop")
    await live.phone.hears("Broker not reachable", after=card["id"])
    await fired(live, "tws", no_ack=1, refuse=1, drop=1)
    assert "UNKNOWN" in (await live.phone.asks("/orders", "BUY 10 AAPL"))["text"]


@pytest.mark.parametrize("restored", [1101, 1102])
async def test_1100_1101_1102(live: House, restored: int) -> None:
    """What fills while TWS is cut off from IBKR is booked and told once; nothing leaves in between, and orders leave again after it."""
    await resting(live)
    card = await live.phone.asks("/buy MSFT 1", "BUY 1 MSFT")
    await live.control.post(
        "/tws/message", code=1100, text="Connectivity between IBKR and TWS has been lost."
    )
    await live.phone.taps("Send", card)
    await live.phone.hears("lost its own connection", after=card["id"])
    (order,) = (await live.control.book())["orders"]
    await live.control.post("/tws/fill", order=order["ref"])
    await live.control.post("/tws/message", code=restored, text="Connectivity has been restored.")
    await live.phone.hears("FILLED BUY 10 AAPL")
    await approve_when_compared(live, "/buy AAPL 1", "BUY 1 AAPL at")
    await live.phone.hears("FILLED BUY 1 AAPL")
    books = await agree(live)
    assert {o["symbol"] for o in books.book["orders"]} == {"AAPL"}
    assert await said(live, "FILLED BUY 10 AAPL") == 1
    await fired(live, "tws", message=2)


async def test_flapping(live: House) -> None:
    """A line that is cut ten times, with a fill in the middle: the fill is booked and told once, the chat is not filled with it."""
    await resting(live)
    (order,) = (await live.control.book())["orders"]
    seen = 0
    for number in range(10):
        await live.control.post("/tws/drop")
        seen = (await live.control.get("/tws/events", after=seen, timeout=0.2))["last"]
        if number == 5:
            await live.control.post("/tws/fill", order=order["ref"])
    await live.phone.hears("FILLED BUY 10 AAPL|While you were away.*BUY 10 AAPL.*FILLED")
    # An order can be told as filled before its execution was: the comparison behind the last reconnect brings it.
    await in_file(live, "SELECT 1 FROM executions")
    await agree(live)
    assert await said(live, "FILLED BUY 10 AAPL|While you were away") == 1
    assert await said(live, "not reachable") <= 5
    await fired(live, "tws", drop=2)


async def test_port_open_but_gateway_not_logged_in(house: House) -> None:
    """A gateway without a login: nothing is sent, it is said why, and what filled meanwhile is told once there is one."""
    async with house.bot():
        await house.ready()
        await resting(house)
    (order,) = (await house.control.book())["orders"]
    await house.control.post("/tws/fill", order=order["ref"])
    await house.control.post("/tws/not_logged_in", on=True)
    async with house.bot():
        told = await house.phone.hears("does not answer.*login")
        refused = await house.phone.asks("/buy AAPL 1", "does not answer")
        assert not refused["buttons"]
        await house.control.post("/tws/not_logged_in", on=False)
        await house.phone.hears("While you were away.*BUY 10 AAPL.*FILLED", after=told["id"])
        await agree(house)
        assert len((await house.control.book())["orders"]) == 1
        await fired(house, "tws", not_logged_in=1)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("529", FAILED),
        ("cut", FAILED),
        ("slow", "confidence 78%"),
        ("garbage", FAILED),
        ("malformed", FAILED),
    ],
    ids=["down", "down in the middle", "slow", "garbage", "garbage inside"],
)
async def test_model_down_slow_garbage(house: House, kind: str, sentence: str) -> None:
    """A model that fails costs a proposal and nothing else: one sentence, no button that trades, and orders go on meanwhile."""
    async with house.bot(**with_model(house)):
        await house.ready()
        verdicts = [{"verdict": "BUY", "confidence": 78}] * 3
        await house.control.post("/model/script", model="scripted-1", answers=verdicts)
        await house.control.post(
            "/model/fault", kind=kind, count=1 if kind == "slow" else "always", seconds=1
        )
        asked = await house.phone.says("/analyze MSFT")
        await approve(house, "/buy AAPL 1", "BUY 1 AAPL")
        await house.phone.hears("FILLED BUY 1 AAPL", after=asked)
        told = await house.phone.hears(sentence, after=asked)
        assert bool(told["buttons"]) == (kind == "slow")
        books = await agree(house)
        assert [o["symbol"] for o in books.book["orders"]] == ["AAPL"]
        await fired(house, "model", **{f"_{kind}": 1})
