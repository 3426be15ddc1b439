"""Attacks on the line: what was asked and lost in a gap is told, a refusal is never lost with an older answer, and the panic button always works."""

from collections.abc import Awaitable, Callable

import pytest

from tests.kit import House
from tests.wire import faults
from tests.wire.attacks import (
    alive,
    change_asked,
    compared,
    cut,
    desk_of,
    during_a_comparison,
    heard,
    hide_orders,
    later,
    only,
    orders,
    resting,
    unknown,
)

Lose = Callable[[House], Awaitable[None]]
GONE = "Connectivity between IBKR and Trader Workstation has been lost."
BACK = "Connectivity between IBKR and Trader Workstation has been restored."
LOST_CHANGE = "Not changed: it works on with its old terms. The change did not reach the broker"
LOST_CANCEL = "Your cancel did not reach the broker: the order works on"


async def lost_cancel(house: House) -> None:
    """A cancel that was asked and never came to the broker. `cancel` is wrapped: the simulated TWS swallows orders only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk_of(house).broker, "cancel", lambda order: None)
        await house.phone.asks("/cancel 1", "Cancel asked: #1")


async def lost_change(house: House) -> None:
    """A change that was sent and never came to the broker."""
    await house.control.post("/tws/swallow", count=1)
    await change_asked(house, "/modify 1 @ 151", "CHANGE #1")


async def test_a_refused_change_during_a_comparison(live: House) -> None:
    """The change is asked and refused while an older answer is still to be booked: the refusal does not go with that answer."""
    await resting(live)
    async with during_a_comparison(live):
        await live.control.post("/tws/reject", code=201, message="Order rejected - reason: test", count=1)
        card = await change_asked(live, "/modify 1 @ 151", "CHANGE #1")
        await heard(live)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "Not changed" in m["text"])
    assert only(live).change is None


async def test_a_refused_cancel_during_a_comparison(live: House) -> None:
    """The same with a cancel that the broker would not take: the order is not shown as being cancelled for ever."""
    await resting(live)
    (order,) = await orders(live)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk_of(live).broker, "cancel", lambda _: None)  # what it said of it comes below
        async with during_a_comparison(live):
            await live.phone.asks("/cancel 1", "Cancel asked: #1")
            text = "OrderId 9 that needs to be cancelled cannot be cancelled, state: PreSubmitted."
            await live.control.post("/tws/message", code=10148, text=text, order=order["ref"])
            await heard(live)
    await compared(live)
    assert only(live).cancel_requested_at is None


@pytest.mark.parametrize("code", [1101, 1102])
@pytest.mark.parametrize(
    ("lose", "words"), [(lost_change, LOST_CHANGE), (lost_cancel, LOST_CANCEL)], ids=["change", "cancel"]
)
async def test_what_was_lost_while_tws_was_cut_off(live: House, code: int, lose: Lose, words: str) -> None:
    """Our own line held, that of TWS to IBKR did not: what it swallowed is told as lost."""
    await resting(live)
    await lose(live)
    await live.control.post("/tws/message", code=1100, text=GONE)
    await live.control.post("/tws/message", code=code, text=BACK)
    await live.phone.hears(words)


@pytest.mark.parametrize(
    ("lose", "words"), [(lost_change, LOST_CHANGE), (lost_cancel, LOST_CANCEL)], ids=["change", "cancel"]
)
async def test_the_first_answer_after_a_gap_lacks_the_order(live: House, lose: Lose, words: str) -> None:
    """What was lost with the line is told as soon as an answer shows the order, though the first one, of a TWS that still loads, does not."""
    await resting(live)
    await lose(live)
    await cut(live)
    await hide_orders(live)
    await live.control.post("/tws/refuse", on=False)
    await live.phone.hears("Connected.*compared|While you were away")
    await unknown(live, 1)
    await hide_orders(live, False)
    await later(live)
    await compared(live)
    await live.phone.hears(words)
    assert (only(live).change, only(live).cancel_requested_at) == (None, None)


async def test_cancel_all_of_more_than_fit_into_the_limit(
    live: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more orders than the broker takes messages in a second all are cancelled all the same, in portions."""
    prices = [f"{40 + n / 100:.2f}" for n in range(22)]
    for price in prices:
        await faults.resting(live, f"/buy KO 1 @ {price}")
    await live.control.post("/clock", advance=2)
    monkeypatch.setattr("core.wire.MESSAGES_PER_SECOND", 21)
    asked = await live.phone.says("/cancel all")
    for price in prices:
        await live.phone.hears(f"Cancelled BUY 1 KO @ {price}", after=asked)
    assert not await alive(live)


async def test_room_for_cancels_is_not_taken_while_they_are_written_down(
    live: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions that use up the limit during the commit of three cancels keep none of the three back. `record_cancel` is wrapped for that."""
    prices = [f"{40 + n / 100:.2f}" for n in range(3)]
    for price in prices:
        await faults.resting(live, f"/buy KO 1 @ {price}")
    await live.control.post("/clock", advance=2)
    desk = desk_of(live)
    real, budget = desk.ledger.record_cancel, desk.broker._budget  # type: ignore[attr-defined]  # of the real broker

    async def slow(*args: object) -> None:
        await real(*args)  # type: ignore[arg-type]  # handed on as they came
        budget.take(44 - budget._used())

    monkeypatch.setattr(desk.executor._ledger, "record_cancel", slow)
    asked = await live.phone.says("/cancel all")
    for price in prices:
        await live.phone.hears(f"Cancelled BUY 1 KO @ {price}", after=asked)
    assert not await alive(live)
