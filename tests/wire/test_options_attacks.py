"""Attacks on the order path of options, each kept from coming true again: cards that outlive what they close, cash and limits that are used twice."""

import asyncio
from datetime import date

import pytest

from tests.kit import PATIENCE_SECONDS, House, Json
from tests.wire.attacks import alive, compared, desk_of, later, orders
from tests.wire.test_options_chat import desk as desk
from tests.wire.test_options_chat import expiry, held, labels, pin, sent, share


async def two_closing_cards(house: House, name: str, button: str) -> tuple[Json, Json, Json]:
    """The positions, and two cards from one Close button under them, neither of them sent yet."""
    shown = await house.phone.asks("/positions AAPL", name)
    tapped = next(label for label in labels(shown) if label.startswith(button))
    await house.phone.taps(tapped, shown)
    one = await house.phone.hears(f"CLOSE 1 {name}", after=shown["id"])
    await house.phone.taps(tapped, shown)
    return shown, one, await house.phone.hears(f"CLOSE 1 {name}", after=one["id"])


async def spread_of(house: House, day: date, symbol: str = "AAPL", **sides: tuple[str, str]) -> None:
    """Fix bid and ask of options: `C180=("4.90", "5.10")`."""
    for name, (bid, ask) in sides.items():
        terms = {"expiry": f"{day:%Y%m%d}", "strike": float(name[1:]), "right": name[0]}
        await house.control.post("/tws/option", symbol=symbol, bid=bid, ask=ask, **terms)


async def working(house: House, card: Json) -> None:
    """The order of the card works."""
    await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])


async def step(house: House, seconds: float) -> None:
    """So much time passes, and whatever the chat is told of it, if anything, is there."""
    seen = (await house.control.get("/telegram/events", after=0, timeout=0))["last"]
    await later(house, seconds)
    await house.control.get("/telegram/events", after=seen, timeout=1)


async def test_a_closing_card_never_opens(desk: House) -> None:
    """Two cards that close the same put: once the first is filled, the second would sell a put that nobody holds. It is not sent."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, P180="5.00")
    card = await phone.asks(f"/option AAPL put 180 {day} 1", "BUY 1 AAPL 180 P")
    await sent(desk, card, "FILLED BUY 1 AAPL 180 P")
    _, first, second = await two_closing_cards(desk, "AAPL 180 P", "Close AAPL 180 P")
    await sent(desk, first, "FILLED SELL 1 AAPL 180 P")
    await later(desk, 61)  # not the same order within a minute
    await share(desk, "180.00")
    await pin(desk, day, P180="5.00")
    await phone.taps("Send", second)
    await phone.hears("Not sent.*closes what is not held any more", after=second["id"])
    assert await held(desk) == {}


async def test_a_closing_card_is_not_sent_beside_one_that_works(desk: House) -> None:
    """The same while the first still works; and its Close button says so instead of drawing a third."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, C180="5.00", C185="2.80")
    card = await phone.asks(f"/strategy bull call spread AAPL 180/185 {day} 1", "BULL_CALL_SPREAD")
    await sent(desk, card, "FILLED BUY 1 AAPL BULL_CALL_SPREAD")
    shown, one, two = await two_closing_cards(desk, "AAPL BULL_CALL_SPREAD", "Close AAPL 180/185")
    await desk.control.post("/tws/fills", mode="hold")
    await phone.taps("Send", one)
    await working(desk, one)
    await later(desk, 61)
    await share(desk, "180.00")
    await pin(desk, day, C180="5.00", C185="2.80")
    await phone.taps("Send", two)
    await phone.hears("Not sent.*closes what is not held any more", after=two["id"])
    await phone.taps(next(name for name in labels(shown) if name.startswith("Close AAPL 180/185")), shown)
    await phone.hears("It is on its way out already", after=two["id"])
    sent_orders = [o for o in (await desk.control.book())["orders"] if o["symbol"] == "AAPL"]
    assert len(sent_orders) == 2


async def test_one_cash_does_not_secure_the_puts_of_two_symbols(desk: House) -> None:
    """Puts on two companies, both drawn before either is sent: the second is refused when the first has left, because together they need more than there is."""
    phone = desk.phone
    one = await phone.asks("/strategy CASH_SECURED_PUT BRK.B 410 30d 2", "SELL 2 BRK.B 410 P")
    two = await phone.asks("/strategy CASH_SECURED_PUT SPY d30 30d 1", "SELL 1 SPY")
    assert labels(one) == labels(two) == ["Send", "Discard"]
    await desk.control.post("/tws/fills", mode="hold")
    await phone.taps("Send", one)
    await working(desk, one)
    await phone.taps("Send", two)
    await phone.hears(
        "Not sent: SELL 1 SPY.*more than the cash that is there beside other puts", after=two["id"]
    )


async def test_a_refused_step_of_the_price_is_not_asked_for_ever(desk: House) -> None:
    """A broker that refuses to move a limit is asked three times, in growing pauses; then the order stays where it is and nobody is told again."""
    phone, day = desk.phone, expiry(desk)
    await spread_of(desk, day, C180=("4.80", "5.20"), C185=("2.70", "3.10"))
    card = await phone.asks(f"/strategy bull call spread AAPL 180/185 {day} 1", "BULL_CALL_SPREAD")
    await desk.control.post("/tws/fills", mode="hold")
    await phone.taps("Send", card)
    await working(desk, card)
    await desk.control.post("/tws/reject", count=100)

    async def refusals() -> int:
        return len([m for m in await phone.chat() if "Not changed: it works on" in m["text"]])

    async with asyncio.timeout(PATIENCE_SECONDS):
        while await refusals() < 3:
            await step(desk, 21)
    for _ in range(3):
        await step(desk, 60)
    assert await refusals() == 3
    assert [(o["limit"], o["status"]) for o in await orders(desk)] == [("2.1", "Submitted")]


async def test_an_option_in_nickels_is_closed_from_its_button(desk: House) -> None:
    """Options of BRK.B have ticks of five cents above three dollars: the middle of 4.00 and 4.25 is none of them, and 4.15 is asked."""
    phone, day = desk.phone, expiry(desk)
    await spread_of(desk, day, "BRK B", P410=("4.00", "4.00"))
    card = await phone.asks(f"/option BRK.B put 410 {day} 1", "BUY 1 BRK.B 410 P")
    await sent(desk, card, "FILLED BUY 1 BRK.B 410 P")
    await spread_of(desk, day, "BRK B", P410=("4.00", "4.25"))
    shown = await phone.asks("/positions", "BRK.B 410 P")
    await phone.taps(next(name for name in labels(shown) if name.startswith("Close BRK.B")), shown)
    card = await phone.hears("CLOSE 1 BRK.B 410 P", after=shown["id"])
    assert "Starts at 4.15, at least 4.00" in card["text"]
    assert labels(card) == ["Send", "Discard"]


async def test_a_limit_between_two_ticks_is_said_to_be_none(desk: House) -> None:
    """Such a limit cannot be reached by any step, and the broker would refuse it: the line is answered with the prices beside it."""
    phone, day = desk.phone, expiry(desk)
    await spread_of(desk, day, "BRK B", P410=("4.00", "4.10"))
    await phone.asks(f"/option BRK.B put 410 {day} 1 @ 4.03", "4.03 lies between two prices .* 4.00 or 4.05")
    await phone.asks(
        f"/strategy bull call spread AAPL 180/185 {day} 1 @ 2.005", "2.005 lies between .* 2.00 or 2.01"
    )


async def test_a_fresh_card_keeps_the_limit_that_was_named(desk: House) -> None:
    """A smaller quantity, and the same plan after its time, are asked for within the price that their owner wrote."""
    phone, day = desk.phone, expiry(desk)
    await spread_of(desk, day, C180=("4.90", "5.10"), C185=("2.70", "2.90"))
    card = await phone.asks(
        f"/strategy bull call spread AAPL 180/185 {day} 400 @ 2.15", "Starts at debit 2.15\n"
    )
    await phone.taps(next(name for name in labels(card) if name.startswith("Make it ")), card)
    smaller = await phone.hears("BUY 1. AAPL BULL_CALL_SPREAD.*Starts at debit 2.15\n", after=card["id"])
    await later(desk, 130)
    await share(desk, "180.00")
    await spread_of(desk, day, C180=("5.00", "5.20"), C185=("2.70", "2.90"))
    await phone.taps("Send", smaller)
    await phone.hears("too old to send.*Starts at debit 2.15\n", after=smaller["id"])


async def test_a_spread_with_a_worthless_leg_can_be_closed(desk: House) -> None:
    """Nobody bids for the long put any more: the spread is closed as one all the same, and the leg is given away."""
    phone, day = desk.phone, expiry(desk)
    await spread_of(desk, day, P170=("1.00", "1.00"), P165=("0.50", "0.50"))
    card = await phone.asks(f"/strategy bull put spread AAPL 165/170 {day} 1", "BULL_PUT_SPREAD")
    await sent(desk, card, "FILLED BUY 1 AAPL BULL_PUT_SPREAD")
    await spread_of(desk, day, P170=("0.05", "0.10"), P165=("0", "0.05"))
    shown = await phone.asks("/positions AAPL", "BULL_PUT_SPREAD")
    await phone.taps(next(name for name in labels(shown) if name.startswith("Close AAPL")), shown)
    card = await phone.hears("CLOSE 1 AAPL BULL_PUT_SPREAD", after=shown["id"])
    assert "at most debit 0.10" in card["text"]
    await phone.taps("Send", card)
    await working(desk, card)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await held(desk):
            await step(desk, 5.1)
    await phone.hears("FILLED CLOSE 1 AAPL BULL_PUT_SPREAD", after=card["id"])
    assert await held(desk) == {}


async def test_a_short_option_that_nobody_bids_for_is_worth_nothing_and_closed(desk: House) -> None:
    """It is measured, so that it holds up nobody's entries, and its Close button leads to a card that can be sent."""
    phone, day = desk.phone, expiry(desk)
    await spread_of(desk, day, C215=("0", "0.01"), P170=("1.00", "1.02"))
    own = {"symbol": "AAPL", "expiry": f"{day:%Y%m%d}", "strike": 215, "right": "C"}
    await desk.control.post("/tws/external", side="SELL", quantity=1, **own)
    await compared(desk)
    await later(desk, 200)
    await spread_of(desk, day, C215=("0", "0.01"), P170=("1.00", "1.02"))
    shown = await phone.asks("/positions AAPL", "-1 AAPL 215 C.*Total [^–]*$")
    card = await phone.asks("/strategy LONG_PUT MSFT atm 30d 1", "MSFT")
    assert "exposure of the account cannot be measured" not in card["text"]
    close = next(name for name in labels(shown) if name.startswith("Close AAPL 215 C"))
    await phone.taps(close, shown)
    card = await phone.hears("CLOSE 1 AAPL 215 C", after=card["id"])
    await sent(desk, card, "FILLED BUY 1 AAPL 215 C")
    assert await held(desk) == {}


async def test_shares_below_a_naked_call_leave_when_it_is_bought_back(desk: House) -> None:
    """Everything is closed: the call that somebody sold elsewhere first, then the shares, and no card of it stays open."""
    phone, day = desk.phone, expiry(desk)
    await spread_of(desk, day, C185=("3.00", "3.00"))
    own = {"symbol": "AAPL", "expiry": f"{day:%Y%m%d}", "strike": 185, "right": "C"}
    await desk.control.post("/tws/external", side="SELL", quantity=1, **own)
    await compared(desk)
    asked = await phone.asks("/flatten", "Close everything at market")
    await phone.taps(next(name for name in labels(asked) if name.startswith("Close ")), asked)
    sure = await phone.hears("Halt, and close", after=asked["id"])
    await phone.taps("Yes, close everything now", sure)
    await phone.hears("FILLED BUY 1 AAPL 185 C", after=sure["id"])
    await phone.hears("FILLED SELL 40 AAPL", after=sure["id"])
    assert await held(desk) == {}
    await phone.hears("SELL 40 AAPL.*replaced by a newer one", after=sure["id"])
    open_cards = [m for m in await phone.chat() if m["id"] > sure["id"] and "Send" in labels(m)]
    assert open_cards == []


async def test_everything_is_closed_although_a_part_covers_another(desk: House) -> None:
    """The long put of a collar covers a put that is owed: it leaves when that one is bought back, and nothing stays."""
    phone, day = desk.phone, expiry(desk)
    await spread_of(desk, day, C185=("3.00", "3.00"), P170=("1.00", "1.00"), P165=("0.50", "0.50"))
    card = await phone.asks("/buy AAPL 60", "BUY 60 AAPL")
    await sent(desk, card, "FILLED BUY 60 AAPL")
    card = await phone.asks(f"/option sell AAPL call 185 {day} 1", "SELL 1 AAPL 185 C")
    await sent(desk, card, "FILLED SELL 1 AAPL 185 C")
    card = await phone.asks(f"/strategy bull put spread AAPL 165/170 {day} 1", "BULL_PUT_SPREAD")
    await sent(desk, card, "FILLED BUY 1 AAPL BULL_PUT_SPREAD")
    asked = await phone.asks("/flatten", "Close everything at market")
    await phone.taps(next(name for name in labels(asked) if name.startswith("Close ")), asked)
    sure = await phone.hears("Halt, and close", after=asked["id"])
    await phone.taps("Yes, close everything now", sure)
    await phone.hears("FILLED CLOSE 1 AAPL COLLAR", after=sure["id"])
    told = await phone.hears(
        "HALTED, and 5 of 5 holdings|closing 5|5 holdings on their way", after=sure["id"]
    )
    assert "stays" not in told["text"]
    assert await held(desk) == {}


async def test_a_call_that_is_filled_counts_before_its_execution_is_told(desk: House) -> None:
    """A status says that the call is sold; neither its execution nor the position came yet. Its shares are not sold away from under it.

    `positions` is held back: the simulated TWS tells them with the fill, a real one seconds behind it.
    """
    phone, day, bot = desk.phone, expiry(desk), desk_of(desk)
    card = await phone.asks("/buy AAPL 60", "BUY 60 AAPL")
    await sent(desk, card, "FILLED BUY 60 AAPL")
    await pin(desk, day, C185="3.00")
    call = await phone.asks(f"/option sell AAPL call 185 {day} 1", "SELL 1 AAPL 185 C")
    shares = await phone.asks("/sell AAPL 100", "SELL 100 AAPL")
    await desk.control.post("/tws/lose", what="execution")
    before = bot.broker.positions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(bot.broker), "positions", property(lambda _: before))
        await phone.taps("Send", call)
        await phone.sees(lambda m: m["id"] == call["id"] and "FILLED" in m["text"])
        await phone.taps("Send", shares)
        await phone.hears("Not sent: SELL 100 AAPL.*cover no call that is owed", after=shares["id"])


async def test_the_cash_behind_puts_buys_nothing_else(desk: House) -> None:
    """82,000 of 104,000 stand behind two puts: shares for 36,000 are refused, at a card that was drawn before as well as at a new one; what the rest pays passes."""
    phone = desk.phone
    early = await phone.asks("/buy AAPL 200 sl 179", "BUY 200 AAPL")
    puts = await phone.asks("/strategy CASH_SECURED_PUT BRK.B 410 30d 2", "SELL 2 BRK.B 410 P")
    assert labels(early)[0] == labels(puts)[0] == "Send"
    await sent(desk, puts, "FILLED SELL 2 BRK.B 410 P")
    why = r"82,000.00 USD of cash stand behind puts .*That is 36,004.00 USD, and 2\d,\d{3}.\d\d USD are left for it"
    await phone.taps("Send", early)
    refused = await phone.hears(f"Not sent: BUY 200 AAPL.*{why}", after=early["id"])
    card = await phone.asks("/buy AAPL 200 sl 179", f"BUY 200 AAPL.*{why}")
    assert card["id"] > refused["id"]
    fits = next(name for name in labels(card) if name.startswith("Make it "))
    assert "Send" not in labels(card)
    await phone.taps(fits, card)
    smaller = await phone.hears(f"BUY {fits.split()[-1]} AAPL", after=card["id"])
    assert 120 <= int(fits.split()[-1]) < 140
    await sent(desk, smaller, f"FILLED BUY {fits.split()[-1]} AAPL")


async def test_an_order_that_would_open_now_is_neither_moved_nor_left(desk: House) -> None:
    """What a closing order works to sell was sold in TWS meanwhile, and the shares behind a call were: no limit is moved, and both are taken back."""
    phone, day = desk.phone, expiry(desk)
    own = {"symbol": "AAPL", "expiry": f"{day:%Y%m%d}"}
    card = await phone.asks("/buy AAPL 60", "BUY 60 AAPL")
    await sent(desk, card, "FILLED BUY 60 AAPL")
    await pin(desk, day, P170="1.00")
    card = await phone.asks(f"/option AAPL put 170 {day} 1", "BUY 1 AAPL 170 P")
    await sent(desk, card, "FILLED BUY 1 AAPL 170 P")
    await desk.control.post("/tws/fills", mode="hold")
    await spread_of(desk, day, P170=("0.80", "1.20"), C185=("2.80", "3.20"))
    for line in (f"/option sell AAPL put 170 {day} 1", f"/option sell AAPL call 185 {day} 1"):
        card = await phone.asks(line, "(CLOSE|SELL) 1 AAPL 1")
        await phone.taps("Send", card)
        await working(desk, card)
    await desk.control.post("/tws/external", side="SELL", quantity=1, strike=170, right="P", **own)
    await desk.control.post("/tws/external", symbol="AAPL", side="SELL", quantity=100)
    await compared(desk)
    limits = [o["limit"] for o in await alive(desk)]
    await step(desk, 6)
    assert [o["limit"] for o in await alive(desk)] == limits == ["1.0", "3.0"]
    await step(desk, 6)
    await phone.hears("SELL 1 AAPL 170 P.*What it was to close is not held any more")
    await phone.hears("SELL 1 AAPL 185 C.*The shares behind the call that it sells are gone")
    await phone.hears("Cancelled SELL 1 AAPL 170 P")
    await phone.hears("Cancelled SELL 1 AAPL 185 C")
    assert await alive(desk) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("BULL_PUT_SPREAD AAPL 170/175 {day} 1 credit 6", "At credit 6.00 it would gain whatever happens"),
        ("BULL_CALL_SPREAD AAPL 180/185 {day} 1 @ -1", "At credit 1.00 it would gain whatever happens"),
        ("BULL_PUT_SPREAD AAPL 170/175 {day} 1 @ 1.2", "At debit 1.20 it would lose whatever happens"),
    ],
)
async def test_a_price_that_cannot_be_meant_is_said_to_be_none(desk: House, line: str, why: str) -> None:
    """More than the width, the wrong sign: the answer names the market and how each way is written, and there is no card."""
    await desk.phone.asks(
        "/strategy " + line.format(day=expiry(desk)), f"{why}.*The market is .*is written debit"
    )


async def test_a_strike_beyond_all_that_are_listed_is_refused(desk: House) -> None:
    await desk.phone.asks(f"/option AAPL call +500% {expiry(desk)}", "strikes are listed from")
