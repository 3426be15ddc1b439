"""The gate on real wires: each rule that lives by what the broker, the market or the clock says. None of them keeps anybody from getting out."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import kit
from tests.kit import House, Json
from tests.wire.faults import approve, fired
from tests.wire.test_panic import NEW_YORK, bought, labels, lets_in, orders, price, trading
from tests.wire.test_robust import working

Arrange = Callable[[House], Awaitable[None]]


async def refuses(house: House, line: str, why: str) -> Json:
    """A card that says why not, and cannot be sent."""
    card = await house.phone.asks(line, why)
    assert not {"Send", "Send a second one"} & set(labels(card)), card
    return card


async def gets_out(house: House, line: str = "/sell AAPL 5", terms: str = "SELL 5 AAPL") -> None:
    """A sale of what is held leaves, whatever stands against entries."""
    card = await approve(house, line, terms)
    await house.phone.sees(lambda m: m["id"] == card["id"] and re.search(r"#\d+ · ", m["text"]))
    await house.phone.settled()
    assert any(o["symbol"] == "AAPL" and o["side"] == "SELL" for o in (await house.control.book())["orders"])


async def _nothing(house: House) -> None:
    """The world is as it is."""


def _posts(path: str, **body: Any) -> Arrange:
    async def arrange(house: House) -> None:
        await house.control.post(path, **body)

    return arrange


def _does(*lines: tuple[str, str]) -> Arrange:
    async def arrange(house: House) -> None:
        for line, terms in lines:
            await bought(house, line, terms)

    return arrange


def _works(*lines: str) -> Arrange:
    async def arrange(house: House) -> None:
        for line in lines:
            await working(house, line)

    return arrange


async def _at_night(house: House) -> None:
    now = house.world.clock.now().astimezone(NEW_YORK)
    night = datetime(now.year, now.month, now.day, 23, 50, tzinfo=NEW_YORK)
    await house.control.post("/clock", advance=(night - now).total_seconds())


async def _jumped(house: House) -> None:
    await price(house, "KO", 90.00)


async def _wide(house: House) -> None:
    await house.control.post("/tws/price", symbol="KO", bid=58.0, ask=62.0, last=60.0)


@dataclass(frozen=True)
class Row:
    """What is set and arranged (`before` the bot starts, or while it runs), what is asked, why it is refused, and what would pass instead."""

    why: str
    settings: dict[str, str] = field(default_factory=dict)
    before: Arrange = _nothing
    then: Arrange = _nothing
    line: str = "/buy KO 10"
    passes: tuple[str, str] | None = None


ROWS = {
    "shares": Row("more shares than one order may have", {"max_order_shares": "9"}, passes=("/buy KO 9", "BUY 9 KO")),
    "value": Row("worth more than MAX_ORDER_VALUE_BASE", {"max_order_value_base": "600"}, passes=("/buy KO 9", "BUY 9 KO")),
    "value in an hour": Row(
        "in an hour would be worth more than MAX_HOUR_VALUE_BASE",
        {"max_hour_value_base": "1000"},
        then=_does(("/buy KO 9", "BUY 9 KO")),
        passes=("/buy KO 7", "BUY 7 KO"),
    ),
    "value in a day": Row(
        "today would be worth more than MAX_DAY_VALUE_BASE",
        {"max_day_value_base": "1000"},
        then=_does(("/buy KO 9", "BUY 9 KO")),
        passes=("/buy KO 7", "BUY 7 KO"),
    ),
    "what rests counts too": Row(
        "in an hour would be worth more than MAX_HOUR_VALUE_BASE",
        {"max_hour_value_base": "1000"},
        then=_works("/buy KO 10 @ 50"),
        passes=("/buy KO 8", "BUY 8 KO"),
    ),
    "position": Row("larger than MAX_POSITION_SIZE", {"max_position_size": "7500"}, passes=("/buy KO 4", "BUY 4 KO")),
    "position with what waits": Row(
        "with the 4 that wait", {"max_position_size": "7500"}, then=_works("/buy KO 4 @ 50")
    ),
    "gross exposure": Row("Everything held and on its way", {"max_gross_exposure_percent": "24"}, line="/buy KO 50"),
    "risk": Row("lose more than MAX_PORTFOLIO_RISK", {"max_portfolio_risk": "0.001"}, line="/buy KO 100 sl 50"),
    "collar": Row(
        "The limit is far through the market of 60.02",
        {"max_collar_percent": "2"},
        line="/buy KO 1 @ 61.23",
        passes=("/buy KO 1 @ 61.22", "BUY 1 KO @ 61.22"),
    ),
    "spread": Row("Bid and ask of KO lie far apart: 58 / 62", then=_wide),
    "jump": Row("KO is far from its last close", then=_jumped),
    "halt of the exchange": Row("The exchange has halted KO", then=_posts("/tws/halt", symbol="KO")),
    "closed market": Row(
        "The market of KO is closed",
        before=_posts("/tws/market", open=False),
        passes=("/buy KO 1 @ 60", "BUY 1 KO @ 60"),
    ),
    "restart of the servers": Row("restarts its servers now", {"entries_in_reset_window": "false"}, then=_at_night),
    "margin, silent": Row("has not said what the order does to margin", then=_posts("/tws/what_if_silent", count=1)),
    "margin, half told": Row("has not said what the order does to margin", then=_posts("/tws/what_if_gaps", count=1)),
    "margin, too little": Row("too little of the account free of margin", {"min_excess_liquidity_percent": "99"}),
    "loss not known": Row("What the account lost today is not known", before=_posts("/tws/pnl", mode="silent")),
    "loss not a number": Row("What the account lost today is not known", before=_posts("/tws/pnl", mode="unset")),
    "denied symbol": Row("never bought .DENIED_SYMBOLS", {"denied_symbols": "KO"}, passes=("/buy NVDA 1", "BUY 1 NVDA")),
    "not an allowed symbol": Row(
        "not on your list of what may be bought .ALLOWED_SYMBOLS",
        {"allowed_symbols": "NVDA"},
        passes=("/buy NVDA 1", "BUY 1 NVDA"),
    ),
    "own order": Row(
        r"It would trade with your own order #1 at 61",
        then=_works("/sell KO 10 @ 61"),
        line="/buy KO 1 @ 61.50",
        passes=("/buy KO 1 @ 60.99", "BUY 1 KO @ 60.99"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
async def test_refused_while_an_exit_leaves(house: House, name: str) -> None:
    """The entry is refused for that reason, what fits passes, and a sale of what is held goes all the same."""
    row = ROWS[name]
    await row.before(house)
    async with trading(house, **row.settings):
        await row.then(house)
        before = len((await house.control.book())["orders"])
        await refuses(house, row.line, row.why)
        assert len((await house.control.book())["orders"]) == before
        await gets_out(house)
        if row.passes:
            line, terms = row.passes
            assert labels(await house.phone.asks(line, terms))[0] == "Send"
        log = await house.phone.asks("/risk", "Last refused")
        assert re.search(r"BUY \d+ KO: [A-Z_]+", log["text"]), log["text"]


async def test_the_same_again_is_asked_twice(house: House) -> None:
    """The same order within a minute has another button; a card that was drawn before the first went asks too; another order does not."""
    async with trading(house, same_order_seconds="60"):
        early = await house.phone.asks("/buy KO 2", "BUY 2 KO")
        await bought(house, "/buy KO 2", "BUY 2 KO")
        await house.phone.taps("Send", early)
        fresh = await house.phone.hears("BUY 2 KO.*The same order left", after=early["id"])
        assert labels(fresh)[0] == "Send a second one"
        again = await house.phone.asks("/buy KO 2", "The same order left")
        assert len((await house.control.book())["orders"]) == 1
        await house.phone.taps("Send a second one", again)
        await house.phone.hears("FILLED BUY 2 KO", after=again["id"])
        await bought(house, "/buy KO 3", "BUY 3 KO")
        await house.control.post("/clock", advance=61)
        await bought(house, "/buy KO 2", "BUY 2 KO")
        assert len((await house.control.book())["orders"]) == 4


async def test_made_to_fit(house: House) -> None:
    """A refusal that a smaller order cures has a button; the card that it makes is the largest that passes, and it leaves."""
    async with trading(house, max_order_value_base="1000"):
        card = await refuses(house, "/buy KO 50", "worth more than MAX_ORDER_VALUE_BASE")
        assert labels(card) == ["Make it 16", "Discard"]
        await house.phone.taps("Make it 16", card)
        fits = await house.phone.hears("BUY 16 KO", after=card["id"])
        await house.phone.taps("Send", fits)
        await house.phone.hears("FILLED BUY 16 KO", after=fits["id"])
        await refuses(house, "/buy KO 17", "worth more than MAX_ORDER_VALUE_BASE")


async def test_several_limits_fit_at_once(house: House) -> None:
    """The button offers what passes all of them; where one cannot be cured by size there is none."""
    async with trading(house, max_order_value_base="1000", max_order_shares="12", denied_symbols="NVDA"):
        assert labels(await refuses(house, "/buy KO 50", "more shares"))[0] == "Make it 12"
        assert not labels(await refuses(house, "/buy NVDA 50", "DENIED_SYMBOLS"))


PACE = {
    "a minute": ({"max_orders_per_minute": "2"}, "more entries a minute than MAX_ORDERS_PER_MINUTE", timedelta(minutes=1)),
    "a day": ({"max_orders_per_day": "2"}, "more entries a day than MAX_ORDERS_PER_DAY", timedelta(days=1)),
    "filled": ({"max_filled_orders_per_symbol_hour": "2"}, "2 entries in KO were filled within an hour", timedelta(hours=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", PACE)
async def test_pace_is_counted_over_a_restart_and_ends(house: House, name: str) -> None:
    """Two pass and a third does not, also for the next run of the program; exits do not count and are not bound; with time it passes again."""
    settings, why, span = PACE[name]
    async with trading(house, **settings):
        await bought(house, "/buy KO 1", "BUY 1 KO")
        await gets_out(house, "/sell AAPL 3", "SELL 3 AAPL")
        await bought(house, "/buy KO 2", "BUY 2 KO")
        await refuses(house, "/buy KO 3", why)
    async with trading(house, **settings):
        await refuses(house, "/buy KO 3", why)
        await gets_out(house)
        if name == "filled":
            assert labels(await house.phone.asks("/buy NVDA 1", "BUY 1 NVDA"))[0] == "Send"
        await house.control.post("/clock", advance=span.total_seconds() + 1)
    async with trading(house, **settings):
        await lets_in(house)


async def test_a_card_is_judged_again_when_it_is_sent(house: House) -> None:
    """What a card was allowed a moment ago is refused at the tap, once the world says otherwise."""
    async with trading(house, max_orders_per_minute="1"):
        card = await house.phone.asks("/buy KO 2", "BUY 2 KO")
        await bought(house, "/buy KO 1", "BUY 1 KO")
        await house.phone.taps("Send", card)
        await house.phone.hears("Not sent: BUY 2 KO.*MAX_ORDERS_PER_MINUTE", after=card["id"])
        await house.control.post("/tws/halt", symbol="NVDA")
        await house.control.post("/clock", advance=61)
        assert len((await house.control.book())["orders"]) == 1


async def test_rejections_refuse_until_opened_again(house: House) -> None:
    """Fewer than the limit do not bind anybody; what is sold is not counted as an entry."""
    async with trading(house, halt_at_rejects="2"):
        await house.control.post("/tws/reject", code=201, message="not today", count=1)
        card = await approve(house, "/buy KO 1", "BUY 1 KO")
        await house.phone.hears("REJECTED", after=card["id"])
        await bought(house, "/buy KO 2", "BUY 2 KO")
        await house.phone.asks("/risk", "Rejections in 5 minutes: 1 of 2")
        await fired(house, "tws", reject=1)


@pytest.fixture
async def real_money(tmp_path: Path) -> AsyncIterator[House]:
    """A world whose account is a LIVE one."""
    async with kit.house(tmp_path, accounts=("U1234567",)) as made:
        yield made


@pytest.mark.parametrize("armed", ["", "U7654321"])
async def test_a_live_account_that_is_not_armed(real_money: House, armed: str) -> None:
    """Nothing leaves, not even a sale, and the card says how it is armed."""
    async with trading(real_money, live_account=armed):
        for line in ("/buy KO 1", "/sell KO 1"):
            await refuses(real_money, line, "U1234567 is a LIVE account.*LIVE_ACCOUNT=U1234567")
        assert not await orders(real_money)


async def test_a_live_account_that_is_armed_by_its_name(real_money: House) -> None:
    """It trades, and says LIVE wherever it does."""
    async with trading(real_money, live_account="U1234567"):
        card = await bought(real_money, "/buy KO 1", "BUY 1 KO")
        assert "LIVE" in card["text"]
        assert "SIMULATED" not in card["text"]
        await gets_out(real_money)
