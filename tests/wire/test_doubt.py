"""What is not certain: trades made elsewhere, words out of order, ids that begin anew, lines that die. Nothing is sold twice."""

import asyncio
from typing import Any

import pytest

from core import ib_messages
from tests.kit import House, Json

OVER = ("Filled", "Cancelled", "Inactive", "ApiCancelled")


async def working(house: House) -> list[Json]:
    """The broker's orders that are open."""
    return [o for o in (await house.control.book())["orders"] if o["status"] not in OVER]


async def sent(house: House, line: str, pattern: str) -> Json:
    """A card that was asked for and sent."""
    card = await house.phone.asks(line, pattern)
    await house.phone.taps("Send", card)
    return card


async def test_a_sale_in_tws_leaves_nothing_to_sell_again(house: House) -> None:
    """Shares that were sold by another client are not sold a second time, although their fills are told to that client only."""
    async with house.bot(ibkr_client_id=5):
        await house.ready()
        card = await house.phone.asks("/sell AAPL all", "SELL 40 AAPL")
        await house.control.post("/tws/external", symbol="AAPL", side="SELL", quantity=40)
        await house.phone.asks("/positions", "^(?!.*AAPL).*Total")
        await house.phone.taps("Send", card)
        await house.phone.hears("open a short", after=card["id"])
        held = [p for p in (await house.control.book())["positions"] if p["symbol"] == "AAPL"]
        assert not held or float(held[0]["quantity"]) == 0


async def test_a_status_that_runs_ahead_of_its_fill_counts(live: House) -> None:
    """Filled is told before the execution: the shares count as sold at once, and the message says what is left."""
    await live.control.post("/tws/fill_first", count=1)
    await sent(live, "/sell AAPL all", "SELL 40 AAPL")
    await live.phone.hears("FILLED SELL 40 AAPL.*Position 40 → 0")
    await live.phone.asks("/sell AAPL all", "nothing of AAPL")


async def test_fills_are_counted_once_around_a_comparison(live: House) -> None:
    """A fill that lands between the questions of a comparison is counted once."""
    await live.control.post("/tws/fills", mode="hold")
    card = await sent(live, "/buy MSFT 10", "BUY 10 MSFT")
    await live.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    (order,) = await working(live)
    comparing = asyncio.create_task(live.phone.says("/connect"))
    for _ in range(5):
        await live.control.post("/tws/fill", order=order["ref"], quantity=2)
    await comparing
    await live.phone.hears("FILLED BUY 10 MSFT.*Position 0 → 10")
    await live.phone.asks("/sell MSFT 11", "open a short")


@pytest.mark.parametrize("line", ["/cancel 1", "/sell MSFT 4"])
async def test_another_client_id_changes_nothing_of_the_former(house: House, line: str) -> None:
    """Orders that were placed under another client id are neither cancelled nor changed: their ids mean nothing here."""
    async with house.bot(ibkr_client_id=3):
        await house.ready()
        await house.control.post("/tws/price", symbol="MSFT", bid=400.00, ask=400.02, last=400.01)
        card = await sent(house, "/buy MSFT 10 sl 380 tp 440", "BUY 10 MSFT")
        await house.phone.sees(lambda m: m["id"] == card["id"] and m["text"].count("working") == 2)
        await sent(house, "/buy AAPL 10 @ 150", "BUY 10 AAPL @ 150")
        await house.phone.hears("BUY 10 AAPL @ 150.*working")
        before = await working(house)
    said = (await house.phone.chat())[-1]["id"]
    async with house.bot(ibkr_client_id=7):
        await house.phone.hears("Connected", after=said)
        number = next(o.number for o in house.desk.executor.orders if o.symbol == "AAPL") if house.desk else 0
        told = await house.phone.asks(line.replace("1", str(number)), "client id 3|SELL 4 MSFT")
        if told["buttons"]:
            await house.phone.taps("Send", told)
            await house.phone.hears("client id", after=told["id"])
        assert [(o["perm_id"], o["quantity"], o["status"]) for o in await working(house)] == [
            (o["perm_id"], o["quantity"], o["status"]) for o in before
        ]


async def never_seen(house: House) -> tuple[Any, int]:
    """An order that was lost on its way, in an earlier run, and the broker's ids begun anew; returns (its order, its id)."""
    async with house.bot() as desk:
        await house.ready()
        card = await house.phone.asks("/buy AAPL 7 @ 150", "BUY 7 AAPL @ 150")
        await house.control.post("/tws/swallow", count=1)
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "UNKNOWN" in m["text"])
        lost = desk.executor.orders[0]
    await house.control.post("/tws/roll_back_ids", next=lost.order_id)
    return lost, lost.order_id


async def test_an_order_id_that_began_anew_hits_nobody_else(house: House) -> None:
    """A lost order and a new one share an order id: the lost one is not cancelled by it, and fills of the new one are not its own."""
    lost, _ = await never_seen(house)
    said = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("Connected", after=said)
        refused = await house.phone.asks(f"/cancel {lost.number}", "never confirmed|no open order")
        await house.control.post("/tws/duplicate", count=20)
        card = await sent(house, "/buy AAPL 10", "BUY 10 AAPL at market")
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        assert not [m for m in await house.phone.chat() if "FILLED BUY 7" in m["text"]]
        await house.phone.hears(
            "Not at the broker.*BUY 7 AAPL|BUY 7 AAPL.*never reached", after=min(said, refused["id"])
        )


async def test_a_cancel_that_was_lost_can_be_asked_again(live: House) -> None:
    """A cancel on a line that is dead already is told after the reconnect, and the order can be cancelled again."""
    card = await sent(live, "/buy AAPL 10 @ 150", "BUY 10 AAPL @ 150")
    shown = await live.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    await live.control.post("/tws/half_open", on=True)
    await live.phone.taps("Cancel", shown)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "cancel asked" in m["text"])
    await live.control.post("/tws/drop")
    await live.control.post("/tws/half_open", on=False)
    await live.phone.hears("cancel did not reach|Cancelled BUY 10", after=card["id"])
    if await working(live):
        shown = await live.phone.sees(lambda m: m["id"] == card["id"] and m["buttons"])
        await live.phone.taps("Cancel", shown)
        await live.phone.hears("Cancelled BUY 10 AAPL", after=card["id"])


async def test_a_restored_line_does_not_mend_another_trouble(house: House) -> None:
    """1102 after 1100 clears what 1100 said, and nothing else: a wrong account stays wrong."""
    async with house.bot(ibkr_account_id="DU9999999"):
        await house.phone.asks("/buy AAPL 10", "DU9999999")
        await house.control.post(
            "/tws/message", code=1100, text="Connectivity between IB and TWS has been lost."
        )
        await house.control.post("/tws/message", code=1102, text="Connectivity restored - data maintained.")
        await house.phone.hears("Broker not reachable")
        await house.phone.asks("/status", "DU9999999")
        told = await house.phone.asks("/buy AAPL 10", "DU9999999")
        assert told["buttons"] == []
    assert ib_messages.LINK_LOST


async def test_lost_connectivity_stops_orders_until_it_is_back(live: House) -> None:
    """After 1100 nothing leaves, with the reason; after 1102 the books are compared and orders leave again."""
    await live.control.post("/tws/message", code=1100, text="Connectivity between IB and TWS has been lost.")
    told = await live.phone.asks("/buy AAPL 10", "lost its own connection")
    assert told["buttons"] == []
    await live.control.post("/tws/message", code=1102, text="Connectivity restored - data maintained.")
    await live.phone.hears("BUY 10 AAPL|lost its own", after=told["id"] - 1)
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL|compared")
    if card["buttons"]:
        await live.phone.taps("Send", card)
        await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])


async def test_a_flapping_line_ends_nothing(house: House) -> None:
    """A TWS that drops every connection at once does not end the process, and does not fill the chat."""
    from tests.kit import end

    process = await house.spawn()
    await house.ready()
    seen = 0
    for _ in range(40):
        await house.control.post("/tws/drop")
        seen = (await house.control.get("/tws/events", after=seen, timeout=0.2))["last"]
    try:
        assert process.returncode is None
        await house.phone.asks("/positions AAPL", "AAPL|not known")
        assert len([m for m in await house.phone.chat() if "not reachable" in m["text"]]) < 10
    finally:
        code, errors = await end(process)
    assert code == 0, errors


async def test_a_day_order_of_yesterday_does_not_block_an_exit(house: House) -> None:
    """A sale that was for its day, and ended at the broker while the bot was away, is settled and the shares can be sold."""
    async with house.bot():
        await house.ready()
        await sent(house, "/sell AAPL all @ 230", "SELL 40 AAPL")
        await house.phone.hears("SELL 40 AAPL @ 230.*working")
    for order in await working(house):
        await house.control.post("/tws/cancel", order=order["ref"])
    await house.control.post("/clock", advance=2 * 86_400)
    said = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("Connected", after=said)
        if house.desk and house.desk.executor.orders:
            await house.control.post("/clock", advance=10)
            await house.phone.hears(
                "SELL 40 AAPL.*(not at the broker|cancelled)|Not at the broker", after=said
            )
        card = await house.phone.asks("/sell AAPL all", "SELL 40 AAPL at market")
        assert card["buttons"]


async def test_a_person_settles_what_stays_unknown(house: House) -> None:
    """An order that stays unknown is settled by its owner, who looked in TWS, and counts no more."""
    async with house.bot():
        await house.ready()
        card = await house.phone.asks("/buy AAPL 7 @ 150", "BUY 7 AAPL @ 150")
        await house.control.post("/tws/swallow", count=1)
        await house.phone.taps("Send", card)
        shown = await house.phone.sees(
            lambda m: m["id"] == card["id"] and "UNKNOWN" in m["text"] and m["buttons"]
        )
        await house.phone.taps("I looked in TWS: it is not there", shown)
        await house.phone.hears("Settled by you", after=card["id"])
        await house.phone.asks("/orders", "No open orders")


async def test_a_sale_that_was_lost_leaves_its_shares_protected_again(live: House) -> None:
    """The sale is lost after its protection was taken down: once it is proved absent, the protection is put back."""
    await live.control.post("/tws/price", symbol="MSFT", bid=400.00, ask=400.02, last=400.01)
    card = await sent(live, "/buy MSFT 10 sl 380 tp 440", "BUY 10 MSFT")
    await live.phone.sees(lambda m: m["id"] == card["id"] and m["text"].count("working") == 2)
    await live.control.post("/tws/cancels", mode="hold")
    sale = await sent(live, "/sell MSFT all", "SELL 10 MSFT")
    await live.phone.sees(lambda m: m["id"] == sale["id"] and "Send" not in str(m["buttons"]))
    seen = 0
    while not (pending := [o for o in await working(live) if o["status"] == "PendingCancel"]):
        seen = (await live.control.get("/tws/events", after=seen, timeout=5))["last"]
    await live.control.post("/tws/swallow", count=1)
    await live.control.post("/tws/cancels", mode="auto")
    for order in pending:
        await live.control.post("/tws/cancel", order=order["ref"])
    await live.phone.hears("Protected again", after=sale["id"])
    await live.phone.sees(lambda m: m["id"] == card["id"] and m["text"].count("working") == 2)
    assert {o["type"] for o in await working(live)} == {"LMT", "STP"}
