"""Sales of shares that stops and targets protect, on real wires: never more for sale than is held, never bare for longer than must be."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest

from core import closing
from core.errors import NoAnswer, NotConnected
from tests.kit import PATIENCE_SECONDS, House, Json, end
from tests.wire.test_bracket import bought_with_bracket

OVER = ("Filled", "Cancelled", "Inactive", "ApiCancelled")


async def orders(house: House, symbol: str = "MSFT") -> list[Json]:
    """The broker's orders of a symbol that are open."""
    return [
        o for o in (await house.control.book())["orders"] if o["status"] not in OVER and o["symbol"] == symbol
    ]


async def protection(house: House, symbol: str = "MSFT") -> list[tuple[str, float]]:
    """(type, quantity) of the broker's open sales, sorted."""
    return sorted(
        (o["type"], float(o["quantity"])) for o in await orders(house, symbol) if o["side"] == "SELL"
    )


async def position(house: House, symbol: str = "MSFT") -> float:
    """What the broker says is held."""
    return sum(
        float(p["quantity"]) for p in (await house.control.book())["positions"] if p["symbol"] == symbol
    )


async def price(house: House, bid: float, symbol: str = "MSFT") -> None:
    """Move the market there; orders that it reaches trade before this returns."""
    await house.control.post(
        "/tws/price", symbol=symbol, bid=bid, ask=round(bid + 0.02, 2), last=round(bid + 0.01, 2)
    )


async def sent(house: House, line: str, pattern: str) -> Json:
    """A card that was asked for and sent."""
    card = await house.phone.asks(line, pattern)
    await house.phone.taps("Send", card)
    return card


async def until(house: House, fits: Callable[[list[Json]], Any], symbol: str = "MSFT") -> list[Json]:
    """The broker's open orders of a symbol as soon as they fit."""
    seen = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not fits(found := await orders(house, symbol)):
            seen = (await house.control.get("/tws/events", after=seen, timeout=5))["last"]
    return found


def pending(count: int) -> Callable[[list[Json]], bool]:
    """So many cancels wait for the broker's word."""
    return lambda found: sum(o["status"] == "PendingCancel" for o in found) == count


async def taking_down(house: House, line: str = "/sell MSFT all") -> tuple[Json, list[Json]]:
    """A sale was sent and its protection is asked to go, which the broker does not confirm: (the card, the pending orders)."""
    await house.control.post("/tws/cancels", mode="hold")
    card = await sent(house, line, "SELL 10 MSFT")
    return card, await until(house, pending(2))


async def confirm(house: House, found: list[Json]) -> None:
    """The broker confirms cancels; from now on it does so at once."""
    await house.control.post("/tws/cancels", mode="auto")
    for order in found:
        await house.control.post("/tws/cancel", order=order["perm_id"])


async def second_bracket(house: House, line: str = "/buy MSFT 10 sl 390 tp 430") -> None:
    """Ten more MSFT with a stop and a target of their own."""
    card = await sent(house, line, "BUY 10 MSFT.*Position 10 → 20")
    await house.phone.hears("FILLED BUY 10 MSFT.*Position 10 → 20", after=card["id"])


async def working(house: House, terms: str) -> Json:
    """The card of an order, once it works."""
    return await house.phone.sees(lambda m: terms in m["text"] and "working" in m["text"], terms)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closing that gives the broker little time to confirm."""
    monkeypatch.setattr(closing, "EVIDENCE_SECONDS", 0.2)
    monkeypatch.setattr(closing, "QUIET_SECONDS", 0.1)


# --- how much may stand -----------------------------------------------------------------------------------------------


async def test_two_brackets_and_a_sale_of_half(live: House) -> None:
    """Of two brackets the older goes with the shares that are sold, so that no stop is left to open a short."""
    await bought_with_bracket(live)
    await second_bracket(live)
    card = await sent(live, "/sell MSFT 10", "SELL 10 MSFT.*Position 20 → 10")
    await live.phone.hears("FILLED SELL 10 MSFT", after=card["id"])
    assert await protection(live) == [("LMT", 10), ("STP", 10)]
    await price(live, 389.0)
    assert await position(live) == 0
    await live.phone.hears("Stop hit: FILLED SELL 10 MSFT.*Position 10 → 0")
    await price(live, 379.0)
    assert await position(live) == 0


async def test_a_sale_beside_one_that_moved_the_protection(live: House) -> None:
    """A second limit that would need the protection moved again is refused while the first works, so both can fill and the stop too."""
    await bought_with_bracket(live)
    await sent(live, "/sell MSFT 4 @ 430", "SELL 4 MSFT")
    await working(live, "SELL 4 MSFT @ 430")
    told = await live.phone.asks("/sell MSFT 3 @ 435", "has moved the protection of MSFT already")
    assert told["buttons"] == []
    await price(live, 436.0)
    await live.phone.hears("FILLED SELL 4 MSFT.*Position 10 → 6")
    await price(live, 379.0)
    assert await position(live) == 0


async def test_a_working_sale_takes_its_shares_from_the_protection(live: House) -> None:
    """Shares on sale are not protected too: a market sale beside a limit leaves a stop for the rest only."""
    await bought_with_bracket(live)
    card = await sent(live, "/buy MSFT 10", "BUY 10 MSFT.*Position 10 → 20")
    await live.phone.hears("FILLED BUY 10 MSFT", after=card["id"])
    await sent(live, "/sell MSFT 10 @ 430", "SELL 10 MSFT @ 430")
    await working(live, "SELL 10 MSFT @ 430")
    assert await protection(live) == [("LMT", 10), ("LMT", 10), ("STP", 10)]
    await sent(live, "/sell MSFT 5", "SELL 5 MSFT")
    await live.phone.hears("FILLED SELL 5 MSFT")
    assert await protection(live) == [("LMT", 5), ("LMT", 10), ("STP", 5)]
    await price(live, 431.0)
    await price(live, 379.0)
    assert await position(live) == 0


async def test_a_working_sale_from_elsewhere_counts(live: House) -> None:
    """What is on sale in TWS is not protected again after a sale of ours that failed."""
    await bought_with_bracket(live)
    await live.control.post("/tws/external", symbol="MSFT", side="SELL", quantity=5, price=430, working=True)
    await live.phone.hears("Placed elsewhere: SELL 5 MSFT")
    card = await live.phone.asks("/sell MSFT 5", "SELL 5 MSFT")
    await live.control.post("/tws/reject", code=201, message="Order rejected - reason:not today")
    await live.phone.taps("Send", card)
    await live.phone.hears("sale did not happen.*Protected again: SELL 5 MSFT")
    await until(live, lambda found: len(found) == 3)
    assert await protection(live) == [("LMT", 5), ("LMT", 5), ("STP", 5)]


async def test_two_sales_at_once(live: House) -> None:
    """A second sale of the same share is refused while the first still moves the protection; nothing is put back beside it."""
    await bought_with_bracket(live)
    first = await live.phone.asks("/sell MSFT all @ 430", "SELL 10 MSFT @ 430")
    second = await live.phone.asks("/sell MSFT all @ 435", "SELL 10 MSFT @ 435")
    await live.control.post("/tws/cancels", mode="hold")
    await live.phone.taps("Send", first)
    found = await until(live, pending(2))
    await live.phone.taps("Send", second)
    await live.phone.hears("A sale of 10 MSFT is under way", after=second["id"])
    await confirm(live, found)
    await working(live, "SELL 10 MSFT @ 430")
    assert await protection(live) == [("LMT", 10)]
    await price(live, 436.0)
    await price(live, 379.0)
    assert await position(live) == 0


# --- entries at work --------------------------------------------------------------------------------------------------


async def test_a_waiting_entry_keeps_its_bracket(live: House) -> None:
    """Selling other shares of the same symbol leaves the stop and target of a purchase that waits alone."""
    await price(live, 170.0, "AAPL")
    await sent(live, "/buy AAPL 10 @ 160 sl 150 tp 200 gtc", "BUY 10 AAPL @ 160")
    await working(live, "BUY 10 AAPL @ 160")
    await sent(live, "/sell AAPL all", "SELL 40 AAPL")
    await live.phone.hears("FILLED SELL 40 AAPL.*Position 40 → 0")
    await price(live, 159.0, "AAPL")
    await live.phone.hears("FILLED BUY 10 AAPL")
    assert await protection(live, "AAPL") == [("LMT", 10), ("STP", 10)]


async def test_a_part_filled_entry_is_not_stripped(live: House) -> None:
    """The bought part of a purchase that still works is sold after that purchase was cancelled, and until then the refusal says so."""
    await live.control.post("/tws/fills", mode="hold")
    await price(live, 400.0)
    card = await sent(live, "/buy MSFT 10 @ 400.02 sl 380 tp 440", "BUY 10 MSFT")
    await working(live, "BUY 10 MSFT @ 400.02")
    (entry,) = [o for o in await orders(live) if o["side"] == "BUY"]
    await live.control.post("/tws/fill", order=entry["ref"], quantity=4)
    shown = await live.phone.sees(lambda m: m["id"] == card["id"] and "4/10" in m["text"])
    told = await live.phone.asks("/sell MSFT 4 @ 410", "still buys MSFT.*/cancel 1")
    assert told["buttons"] == []
    await live.phone.taps("Cancel", shown)
    await until(live, lambda found: not any(o["side"] == "BUY" for o in found))
    await live.phone.sees(lambda m: m["id"] == card["id"] and "cancelled 4/10" in m["text"])
    await live.control.post("/tws/fills", mode="auto")
    await sent(live, "/sell MSFT 4", "SELL 4 MSFT")
    await live.phone.hears("FILLED SELL 4 MSFT.*Position 4 → 0")
    assert await protection(live) == []


# --- what is put back, and when ---------------------------------------------------------------------------------------


async def test_halves_come_back_together(live: House, impatient: None) -> None:
    """While one half of a bracket is still on its way out nothing is put back; then both are, and cancel each other."""
    await bought_with_bracket(live)
    _, found = await taking_down(live)
    (stop,), (target,) = ([o for o in found if o["type"] == kind] for kind in ("STP", "LMT"))
    await live.control.post("/tws/cancel", order=stop["perm_id"])
    await live.phone.hears("sale did not happen.*did not confirm.*put back as soon as")
    assert await protection(live) == [("LMT", 10)]
    await confirm(live, [target])
    await live.phone.hears("Protected again.*Protected again")
    back = await until(live, lambda now: len(now) == 2)
    assert await protection(live) == [("LMT", 10), ("STP", 10)]
    assert len({o["oca_group"] for o in back}) == 1
    await price(live, 441.0)
    await price(live, 379.0)
    assert await position(live) == 0


async def test_a_half_that_stayed_is_taken_along(
    live: House, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cancel of one half was lost and the other half is gone, both are made anew, because only one group cancels itself."""
    await bought_with_bracket(live)
    assert live.desk is not None
    broker = type(live.desk.broker)
    cancel = broker.cancel
    lost: list[Any] = []

    def cancel_but_one(self: Any, order: Any) -> None:
        if order.limit_price is None or lost:
            cancel(self, order)
        else:
            lost.append(order)

    monkeypatch.setattr(broker, "cancel", cancel_but_one)
    await live.control.post("/tws/cancels", mode="hold")
    card = await sent(live, "/sell MSFT all", "SELL 10 MSFT")
    await confirm(live, [o for o in await until(live, pending(1)) if o["type"] == "STP"])
    await live.phone.hears("sale did not happen.*did not confirm")
    assert await protection(live) == [("LMT", 10)]
    await live.control.post("/tws/drop")
    await live.phone.hears("Protected again.*Protected again", after=card["id"])
    back = await until(live, lambda now: len(now) == 2)
    assert await protection(live) == [("LMT", 10), ("STP", 10)]
    assert len({o["oca_group"] for o in back}) == 1


async def test_late_confirmations(live: House, impatient: None) -> None:
    """Cancels that are confirmed after the sale was given up leave nothing bare: the protection is put back when they are."""
    await bought_with_bracket(live)
    card, found = await taking_down(live)
    await live.phone.hears("sale did not happen.*did not confirm")
    await live.phone.sees(lambda m: m["id"] == card["id"] and "did not confirm" in m["text"])
    await confirm(live, found)
    await live.phone.hears("Protected again: SELL 10 MSFT stop 380")
    assert await position(live) == 10
    await until(live, lambda now: len(now) == 2)
    assert await protection(live) == [("LMT", 10), ("STP", 10)]


async def test_killed_while_cancels_are_under_way(house: House) -> None:
    """kill -9 before the cancels are confirmed: the next start waits for them, and then protects the holding again."""
    process = await house.spawn()
    await house.ready()
    await bought_with_bracket(house)
    card, found = await taking_down(house)
    await end(process, signal.SIGKILL)
    process = await house.spawn()
    try:
        await house.phone.hears("sale did not happen.*interrupted.*put back as soon as", after=card["id"])
        assert len(await orders(house)) == 2
        await confirm(house, found)
        await house.phone.hears("Protected again.*Protected again", after=card["id"])
        await until(house, lambda now: len(now) == 2)
        assert await protection(house) == [("LMT", 10), ("STP", 10)]
    finally:
        await end(process)


async def test_cancels_that_were_lost(live: House) -> None:
    """Cancels that never reached the broker leave the protection where it was: nothing is sold, nothing doubled, and it is said."""
    await bought_with_bracket(live)
    card = await live.phone.asks("/sell MSFT all", "SELL 10 MSFT")
    await live.control.post("/tws/half_open", on=True)
    await live.phone.taps("Send", card)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "Taking its protection down" in m["text"])
    await live.control.post("/tws/drop")
    await live.control.post("/tws/half_open", on=False)
    await live.phone.hears("Its cancel did not reach the broker", after=card["id"])
    await live.phone.hears("sale did not happen.*Still protected by", after=card["id"])
    assert await protection(live) == [("LMT", 10), ("STP", 10)]


async def test_two_brackets_come_back_as_two(live: House) -> None:
    """After a sale that failed each card has a group of its own again, so that the stop of one does not cancel the other's."""
    await bought_with_bracket(live)
    await second_bracket(live)
    card = await live.phone.asks("/sell MSFT all", "SELL 20 MSFT")
    await live.control.post("/tws/reject", code=201, message="Order rejected - reason:not today")
    await live.phone.taps("Send", card)
    await live.phone.hears("sale did not happen.*Protected again")
    found = await until(live, lambda now: len(now) == 4)
    assert len({o["oca_group"] for o in found}) == 2
    await price(live, 389.0)
    assert await position(live) == 10
    assert await protection(live) == [("LMT", 10), ("STP", 10)]


async def test_a_part_sold_is_not_protected_again(live: House) -> None:
    """A sale that filled in part and was then cancelled leaves stop and target for the rest."""
    await bought_with_bracket(live)
    await sent(live, "/sell MSFT all @ 430", "SELL 10 MSFT @ 430")
    card = await working(live, "SELL 10 MSFT @ 430")
    (sale,) = await orders(live)
    await live.control.post("/tws/fill", order=sale["ref"], quantity=4)
    shown = await live.phone.sees(lambda m: m["id"] == card["id"] and "4/10" in m["text"])
    await live.phone.taps("Cancel", shown)
    await live.phone.hears("ended without selling everything.*Protected again")
    await until(live, lambda now: len(now) == 2)
    assert await protection(live) == [("LMT", 6), ("STP", 6)]


async def test_a_sale_that_nobody_has_seen(live: House) -> None:
    """While the sale is UNKNOWN its shares have no stop, and that is said; once it is settled they are protected again."""
    await bought_with_bracket(live)
    await live.control.post("/tws/swallow", count=1)
    card = await sent(live, "/sell MSFT all", "SELL 10 MSFT")
    await live.phone.hears("While it is UNKNOWN it may still sell")
    shown = await live.phone.sees(lambda m: m["id"] == card["id"] and m["buttons"])
    await live.phone.taps("I looked in TWS: it is not there", shown)
    await live.phone.hears("sale did not happen.*Protected again")
    await until(live, lambda now: len(now) == 2)
    assert await protection(live) == [("LMT", 10), ("STP", 10)]


# --- what a person asks to cancel -------------------------------------------------------------------------------------


async def test_cancel_all_is_the_last_word(live: House) -> None:
    """Stop, target and sale that a person cancels together stay cancelled: nothing leaves that nobody asked for."""
    await bought_with_bracket(live)
    await sent(live, "/sell MSFT 4 @ 430", "SELL 4 MSFT")
    await working(live, "SELL 4 MSFT @ 430")
    await live.phone.asks("/cancel all", "Cancel asked")
    await live.phone.hears("ended without selling everything.*10 MSFT have no stop or target")
    assert await orders(live) == []


async def test_cancel_all_while_protection_goes(live: House) -> None:
    """A person who cancels everything while a sale takes its protection down means the sale too, and none of it comes back."""
    await bought_with_bracket(live)
    _, found = await taking_down(live)
    await live.phone.asks("/cancel all", "Cancel asked")
    await confirm(live, found)
    await live.phone.hears("You asked to cancel #2, #3 meanwhile, so the sale was not sent")
    assert await orders(live) == []
    assert await position(live) == 10


async def test_a_target_that_was_cancelled_stays_away(live: House) -> None:
    """Of a bracket whose target a person cancels while the sale works, only the stop is made whole again."""
    await bought_with_bracket(live)
    await sent(live, "/sell MSFT 4 @ 430", "SELL 4 MSFT")
    await working(live, "SELL 4 MSFT @ 430")
    await live.phone.asks("/cancel 2", "Cancel asked: #2")
    await until(live, lambda now: len(now) == 2)
    await live.phone.asks("/cancel 4", "Cancel asked: #4")
    await live.phone.hears("ended without selling everything.*Protected again: SELL 10 MSFT stop 380")
    await until(live, lambda now: [float(o["quantity"]) for o in now] == [10])
    assert await protection(live) == [("STP", 10)]


async def test_a_stop_that_was_cancelled_in_tws_stays_away(live: House) -> None:
    """What a sale only made smaller, and somebody cancelled in TWS meanwhile, is not placed again."""
    await bought_with_bracket(live)
    await sent(live, "/sell MSFT 4 @ 430", "SELL 4 MSFT")
    await working(live, "SELL 4 MSFT @ 430")
    (stop,) = [o for o in await orders(live) if o["type"] == "STP"]
    await live.control.post("/tws/cancel", order=stop["perm_id"])
    await live.phone.hears("Cancelled SELL 6 MSFT stop 380")
    await live.phone.asks("/cancel 4", "Cancel asked: #4")
    await live.phone.hears("ended without selling everything.*Protected again: SELL 10 MSFT @ 440")
    assert await protection(live) == [("LMT", 10)]


# --- in between -------------------------------------------------------------------------------------------------------


async def test_a_comparison_while_a_sale_begins(live: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sale whose first commit is just done is not taken for one that an earlier run left: it is sold, once."""
    await bought_with_bracket(live)
    assert live.desk is not None
    closer, ledger = live.desk.executor.closer, type(live.desk.ledger)
    begin = ledger.begin_closing

    async def begin_and_compare(self: Any, *args: Any) -> None:
        await begin(self, *args)
        await closer.resume()

    monkeypatch.setattr(ledger, "begin_closing", begin_and_compare)
    card = await sent(live, "/sell MSFT all", "SELL 10 MSFT")
    await live.phone.hears("FILLED SELL 10 MSFT.*Position 10 → 0", after=card["id"])
    assert await orders(live) == []


async def test_no_price_after_the_protection_is_down(live: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a price nothing is sold, and the protection is put back at once with the broker's words."""
    await bought_with_bracket(live)
    _, found = await taking_down(live)
    assert live.desk is not None

    async def no_quote(*_: Any) -> None:
        raise NoAnswer("There is no price for MSFT now.")

    monkeypatch.setattr(type(live.desk.broker), "quote", no_quote)
    await confirm(live, found)
    await live.phone.hears("sale did not happen.*Not sold. There is no price for MSFT now.*Protected again")
    await until(live, lambda now: len(now) == 2)
    assert await protection(live) == [("LMT", 10), ("STP", 10)]


async def test_the_line_goes_while_the_protection_is_down(live: House, impatient: None) -> None:
    """A holding that is bare when the line is cut is protected again as soon as the books have been compared."""
    await bought_with_bracket(live)
    card, found = await taking_down(live)
    await live.control.post("/tws/refuse", on=True)
    await live.control.post("/tws/drop")
    await live.phone.hears("Broker not reachable", after=card["id"])
    await confirm(live, found)
    await live.control.post("/tws/refuse", on=False)
    await live.phone.hears("sale did not happen.*Protected again", after=card["id"])
    await until(live, lambda now: len(now) == 2)
    assert await protection(live) == [("LMT", 10), ("STP", 10)]


async def test_the_line_goes_before_the_protection_is_back(
    live: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protection that could not be written to the socket is tried again after the next comparison, and comes back once."""
    await bought_with_bracket(live)
    assert live.desk is not None
    broker = type(live.desk.broker)
    place = broker.place
    failures = [NotConnected("The line is gone.")]

    def place_or_fail(self: Any, written: Any, instrument: Any) -> None:
        if written[0].protects and failures:
            raise failures.pop()
        place(self, written, instrument)

    monkeypatch.setattr(closing, "RETRY_SECONDS", 0.1)
    card = await live.phone.asks("/sell MSFT all", "SELL 10 MSFT")
    monkeypatch.setattr(broker, "place", place_or_fail)
    await live.control.post("/tws/reject", code=201, message="Order rejected - reason:not today")
    await live.phone.taps("Send", card)
    await until(live, lambda now: len(now) == 2)
    await live.phone.hears("sale did not happen.*Protected again")
    assert not failures
    assert await protection(live) == [("LMT", 10), ("STP", 10)]


async def test_a_price_that_moves_while_the_protection_goes(live: House) -> None:
    """A sale that was approved gets out although the price has moved since: nobody is held in a falling share."""
    await bought_with_bracket(live)
    _, found = await taking_down(live)
    await price(live, 390.0)
    await confirm(live, found)
    await live.phone.hears("FILLED SELL 10 MSFT.*Position 10 → 0")
    assert await orders(live) == []


async def test_a_price_that_moved_keeps_nobody_in(live: House) -> None:
    """A way out at market is what was asked for, whatever the price has done since the card: in a falling market a card for each step would hold it."""
    await bought_with_bracket(live)
    card = await live.phone.asks("/sell MSFT all", "SELL 10 MSFT")
    await price(live, 390.0)
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED SELL 10 MSFT.*Position 10 → 0", after=card["id"])
    assert await protection(live) == []


async def test_a_refused_sale_says_one_thing(live: House) -> None:
    """More shares than are held are refused as a short, and not for a size that a sale does not have."""
    told = await live.phone.asks("/sell AAPL 4000", "would open a short")
    assert told["text"].count("⛔") == 1
