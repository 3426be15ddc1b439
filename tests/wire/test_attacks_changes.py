"""Attacks on /modify: no change makes more shares sell than are held, none becomes a second order, and none hangs for ever."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from core.model import Instrument, Order, OrderState
from tests.kit import House
from tests.wire.attacks import (
    alive,
    change_asked,
    compared,
    desk_of,
    filled,
    heard,
    hide_orders,
    holding,
    later,
    on_stop,
    only,
    orders,
    resting,
    unknown,
)


async def test_an_old_card_does_not_make_a_stop_larger_than_the_holding(live: House) -> None:
    """A card for a stop of ten, then a sale that leaves five and a stop of five: the card finds another order than it was drawn for."""
    before = await holding(live)
    await filled(live, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
    card = await live.phone.asks("/modify 2 stop 152", "CHANGE #2")
    desk = live.desk
    assert desk is not None
    async with asyncio.timeout(10):  # a sale is measured by the broker's positions too, which follow the fill
        while (
            next(p.signed_quantity for p in desk.broker.positions or () if p.symbol == "AAPL") < before + 10
        ):
            await live.phone.asks("/status", "Broker connected")
    await filled(live, f"/sell AAPL {before + 5:f}", f"SELL {before + 5:f} AAPL")
    await live.phone.taps("Send", card)
    await live.phone.hears("Not sent.*#2 is not what it was when this card was drawn", after=card["id"])
    assert await holding(live) == await on_stop(live) == 5


async def test_a_card_that_can_never_be_sent_any_more_loses_its_buttons(live: House) -> None:
    """A change card that was drawn from terms which the order does not have any more is drawn as it ended; a later tap says so."""
    await resting(live)
    old = await live.phone.asks("/modify 1 @ 151", "CHANGE #1.*151")
    new = await live.phone.asks("/modify 1 @ 152", "CHANGE #1.*152")
    await live.phone.taps("Send", new)
    await live.phone.sees(lambda m: m["id"] == new["id"] and "Changed." in m["text"])
    await live.phone.taps("Send", old)
    await live.phone.hears("Not sent.*#1 is not what it was when this card was drawn", after=old["id"])
    ended = await live.phone.sees(lambda m: m["id"] == old["id"] and "This card was refused" in m["text"])
    assert not ended["buttons"]
    await live.control.post(
        "/telegram/press", message_id=old["id"], data=old["buttons"][0][0]["data"], late=True
    )
    await live.phone.hears_toast("This card was refused. Nothing was sent.")
    (order,) = await orders(live)
    assert Decimal(order["limit"]) == 152


async def test_a_sale_that_moved_a_stop_keeps_its_quantity(live: House) -> None:
    """Made smaller it would leave shares bare whose stop it has taken down: that is refused with the way that works, another price is not."""
    before = await holding(live)
    await filled(live, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
    await resting(live, f"/sell AAPL {before + 10:f} @ 300", "SELL")
    refused = await live.phone.asks("/modify 3 qty 5", "A sale of AAPL is under way")
    assert not refused["buttons"]
    assert "/cancel 3, then /sell anew" in refused["text"]
    assert (await live.phone.asks("/modify 3 @ 301", "CHANGE #3"))["buttons"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("/modify 3 stop 155", "The stop loss must lie below the entry"),
        ("/modify 2 @ 145", "The take profit must lie above the entry"),
    ],
)
async def test_a_stop_and_a_target_stay_on_their_sides_of_an_entry_that_waits(
    live: House, line: str, why: str
) -> None:
    """Moved across the entry's price, it would sell what was bought at once."""
    await resting(live, "/buy AAPL 10 @ 150 sl 140 tp 200")
    refused = await live.phone.asks(line, f"CHANGE #.*{why}")
    assert not refused["buttons"]


async def test_filled_is_not_said_while_a_larger_quantity_is_asked(live: House) -> None:
    """Five sold of five, with a change to all on its way whose confirmation was lost: the rest is on sale, and not sold a second time."""
    held = await holding(live)
    await live.control.post("/tws/fills", mode="hold")
    card = await resting(live, "/sell AAPL 5 @ 300", "SELL 5 AAPL")
    (order,) = await orders(live)
    await live.control.post("/tws/lose", what="open_order", count=1)
    await change_asked(live, f"/modify 1 qty {held:f}", "CHANGE #1")
    await live.control.post("/tws/fill", order=order["ref"], quantity=5)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "5/" in m["text"])
    (order,) = await alive(live)
    assert Decimal(order["quantity"]) == held
    second = await live.phone.asks(f"/sell AAPL {held - 5:f} @ 301", f"SELL {held - 5:f} AAPL")
    assert not second["buttons"], second["text"]


async def test_a_change_does_not_outlive_its_order(house: House) -> None:
    """The change was swallowed and the order is settled as not at the broker: its card waits for no confirmation any more."""
    async with house.bot(ibkr_client_id=7) as desk:
        await house.ready()
        await resting(house)
        await house.control.post("/tws/swallow", count=1)
        card = await change_asked(house, "/modify 1 @ 151", "CHANGE #1")
        await hide_orders(house)
        await unknown(house, 1)
        await later(house)
        await compared(house)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "Change asked" not in m["text"])
        order = await desk.ledger.order(number=1)
        assert order is not None
        assert (order.state, order.change) == (OrderState.NOT_AT_BROKER, None)


async def test_a_warning_is_not_a_refusal(live: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker warns about the order while its change is on the way: "Not changed" is not said of what comes true a moment later.

    `place` is wrapped: a change that is held back on the wire cannot be had of the simulated TWS.
    """
    await resting(live)
    (order,) = await orders(live)
    broker, held_back = desk_of(live).broker, list[tuple[Sequence[Order], Instrument, int]]()
    with monkeypatch.context() as patch:
        patch.setattr(broker, "place", lambda *args: held_back.append(args))
        card = await change_asked(live, "/modify 1 @ 151", "CHANGE #1")
    text = "Order Event Warning: Attribute 'Outside Regular Trading Hours' is ignored. PlaceOrder is now being processed."
    await live.control.post("/tws/message", code=2109, text=text, order=order["ref"])
    await heard(live)
    await compared(live)
    broker.place(*held_back[0])
    await live.phone.sees(lambda m: m["id"] == card["id"] and "Changed." in m["text"])
    assert not [m for m in await live.phone.chat() if "Not changed" in m["text"]]


async def test_a_change_does_not_become_an_order_of_a_new_connection(
    live: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is written down the order ends, TWS restarts and counts from one: sent now, the change would be a second order.

    `record_sending` is wrapped, as a disk that takes so long.
    """
    await resting(live)
    (order,) = await orders(live)
    card = await live.phone.asks("/modify 1 @ 151", "CHANGE #1")
    desk = desk_of(live)
    real, epoch = desk.ledger.record_sending, desk.broker.link.epoch

    async def slow(*args: object) -> None:
        await real(*args)  # type: ignore[arg-type]  # handed on as they came
        await live.control.post("/tws/cancel", order=order["ref"])
        await live.control.post("/tws/restart", next=1)
        seen = 0
        while desk.broker.link.epoch == epoch or not desk.broker.link.connected:
            seen = (await live.control.get("/tws/events", after=seen, timeout=0.1))["last"]

    monkeypatch.setattr(desk.executor._ledger, "record_sending", slow)
    await live.phone.taps("Send", card)
    await live.phone.hears("Cancelled BUY 10 AAPL", after=card["id"])
    await live.phone.hears("Connected", after=card["id"])
    await compared(live)
    assert [o["status"] for o in await orders(live)] == ["Cancelled"]
    await live.phone.hears("The change was never sent", after=card["id"])


async def test_a_swallowed_change_of_a_stop_does_not_block_the_exit(live: House) -> None:
    """Without any gap, two answers that show the old terms are enough: the change is said to be lost, and the shares can be sold."""
    before = await holding(live)
    await filled(live, "/buy AAPL 10 sl 150", "BUY 10 AAPL")
    await live.control.post("/tws/swallow", count=1)
    await change_asked(live, "/modify 2 stop 152", "CHANGE #2")
    refused = await live.phone.asks(f"/sell AAPL {before + 10:f}", "A change of its stop #2 is not confirmed")
    await compared(live)
    await later(live)
    await compared(live)
    await live.phone.hears("Not changed: it works on with its old terms")
    assert (await live.phone.asks(f"/sell AAPL {before + 10:f}", "SELL"))["buttons"]
    assert "/cancel 2" in refused["text"], "meanwhile the way out is said"


async def test_what_is_offered_and_approved_at_once_is_one_change(live: House) -> None:
    """Two cards for one order, drawn from the same terms: the second finds them changed."""
    await resting(live)
    first = await live.phone.asks("/modify 1 @ 151", "CHANGE #1.*151")
    second = await live.phone.asks("/modify 1 @ 152", "CHANGE #1.*152")
    await asyncio.gather(*(live.phone.taps("Send", card) for card in (first, second)))
    await live.phone.hears("Not sent.*An earlier change of #1|Not sent.*#1 is not what it was")
    await live.phone.sees(lambda m: m["id"] in (first["id"], second["id"]) and "Changed." in m["text"])
    (order,) = await orders(live)
    assert Decimal(order["limit"]) == only(live).limit_price
