"""The only way to the market: what leaves, in which order with the disk, what does not leave, and what is said of either."""

import asyncio
import gc
import json
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.errors import BrokerError, Busy, Denied, StaleCard, StorageError
from core.model import (
    ChangeRequest,
    Drift,
    Order,
    OrderState,
    OrderType,
    Request,
    Role,
    Side,
    TimeInForce,
    Trading,
    TradingState,
)
from tests.core.executor_desk import CLIENT, EPOCH, LIMITS, Desk
from tests.values import AAPL, ACCOUNT, OWNER

BUY, SELL = Side.BUY, Side.SELL
ACK_SECONDS, ROOM_SECONDS = 3, 3
"""How long silence, and a full line, are borne."""
PORTION = 20
"""Cancels that leave at once: fewer than the broker's limit of messages a second."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as made:
        yield made


def limit(price: str = "100") -> dict[str, Any]:
    return {"order_type": OrderType.LIMIT, "limit_price": Decimal(price)}


def facts(row: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(row["data"])
    return told


def given_up_in_its_commit(desk: Desk, work: Coroutine[Any, Any, Any]) -> None:
    """Begun, and cancelled as soon as room was kept for it, which is the last thing before its commit."""
    task = desk.start(work)
    desk.broker.asked_for_room = lambda: desk.loop.call_soon(task.cancel)
    desk.turns(200)
    assert task.cancelled()


def halt_during_commits(desk: Desk) -> None:
    """Trading is halted while something is being written down."""

    def halt() -> None:
        desk.trading.now = Trading(TradingState.HALTED, "Enough.")

    desk.during_commits(halt)


# --- sending -------------------------------------------------------------------------------------------------------------


def test_what_leaves_is_what_the_card_showed(desk: Desk) -> None:
    """Every term of the card, the name of its connection, a number of its own; on disk before it is on the line, and open in the book."""
    desk.wait(1)
    ticket = desk.card(quantity=10, tif=TimeInForce.GTC, **limit())
    desk.wait(1)
    desk.send(ticket)
    (left,) = desk.broker.placed
    (order,) = left.orders
    assert order == Order(
        number=1,
        order_ref=ticket.ticket_id,
        owner=OWNER,
        account=ACCOUNT,
        client_id=CLIENT,
        order_id=100,
        epoch=EPOCH,
        con_id=AAPL.con_id,
        symbol="AAPL",
        currency="USD",
        side=BUY,
        quantity=Decimal(10),
        order_type=OrderType.LIMIT,
        limit_price=Decimal(100),
        stop_price=None,
        tif=TimeInForce.GTC,
        state=OrderState.SENDING,
        sent_at=desk.now(),
        worth=Decimal(1000),
    )
    assert (left.instrument, left.parent_id, left.on_disk) == (AAPL, 0, frozenset({1}))
    assert desk.executor.orders == desk.book.orders == (order,)
    assert desk.do(desk.ledger.order(number=1)) == order
    assert desk.broker.kept == [1]


def test_a_stop_order_and_a_decision_keep_their_own_figures(desk: Desk) -> None:
    """The stop price goes where a stop price goes; the decision behind a proposal stays known."""
    ticket = desk.card(order_type=OrderType.STOP, stop_price=Decimal(101))
    desk.send(ticket)
    (order,) = desk.broker.placed[0].orders
    assert (order.order_type, order.stop_price, order.limit_price) == (OrderType.STOP, Decimal(101), None)
    assert order.decision_id is None
    assert desk.executor._intents(replace(ticket, decision_id="01DECISION"))[0].decision_id == "01DECISION"


def test_a_bracket_is_three_orders_that_hang_together(desk: Desk) -> None:
    """Target and stop sell what the entry buys, for as long as it is held, each under a name and numbers of its own."""
    ticket = desk.card(stop_loss=Decimal(95), take_profit=Decimal(110), **limit())
    desk.send(ticket)
    (left,) = desk.broker.placed
    entry, target, stop = left.orders
    assert [o.number for o in left.orders] == [1, 2, 3]
    assert [o.order_id for o in left.orders] == [100, 101, 102]
    assert left.on_disk == {1, 2, 3}
    assert (entry.role, entry.parent, entry.tif) == (Role.ENTRY, None, TimeInForce.DAY)
    shared: dict[str, Any] = {
        "parent": 1,
        "side": SELL,
        "tif": TimeInForce.GTC,
        "worth": None,
        "perm_id": None,
    }
    name = ticket.ticket_id
    assert target == replace(
        entry,
        **shared,
        number=2,
        order_id=101,
        role=Role.TARGET,
        order_ref=f"{name}.target",
        order_type=OrderType.LIMIT,
        limit_price=Decimal(110),
    )
    assert stop == replace(
        entry,
        **shared,
        number=3,
        order_id=102,
        role=Role.STOP,
        order_ref=f"{name}.stop",
        order_type=OrderType.STOP,
        limit_price=None,
        stop_price=Decimal(95),
    )
    assert desk.broker.kept == [3]
    assert desk.book.orders == left.orders


def test_a_stop_alone_is_one_child(desk: Desk) -> None:
    """Without a target there is none."""
    desk.send(desk.card(stop_loss=Decimal(95), **limit()))
    assert [o.role for o in desk.broker.placed[0].orders] == [Role.ENTRY, Role.STOP]


def test_a_child_made_later_belongs_to_the_moment_in_which_it_is_made(desk: Desk) -> None:
    """A stop that is sent once more bears the connection and the time of today and nothing that the broker called its elder."""
    entry = desk.works(epoch=1, quantity=Decimal(7))
    desk.wait(30)
    child = desk.executor.child(
        entry, Role.STOP, Decimal(90), number=9, order_ref="again", parent=None, oca="group"
    )
    assert child == replace(
        entry,
        number=9,
        order_ref="again",
        order_id=100,
        epoch=EPOCH,
        perm_id=None,
        side=SELL,
        order_type=OrderType.STOP,
        limit_price=None,
        stop_price=Decimal(90),
        tif=TimeInForce.GTC,
        state=OrderState.SENDING,
        sent_at=desk.now(),
        role=Role.STOP,
        parent=None,
        oca="group",
    )
    short = desk.executor.child(
        replace(entry, side=SELL), Role.TARGET, Decimal(80), number=10, order_ref="t", parent=entry.number
    )
    assert (short.side, short.limit_price, short.stop_price, short.parent) == (
        BUY,
        Decimal(80),
        None,
        entry.number,
    )
    assert short.oca == ""


def test_numbers_go_on_from_order_to_order(desk: Desk) -> None:
    """No two orders share a number, whatever became of the earlier ones."""
    desk.send(desk.card(stop_loss=Decimal(95), **limit()))
    desk.says(desk.book.orders[0], state=OrderState.REJECTED)
    desk.send(desk.card(quantity=3, **limit()))
    assert [o.number for left in desk.broker.placed for o in left.orders] == [1, 2, 3]


def test_an_entry_is_counted_with_its_worth_and_an_exit_with_none(desk: Desk) -> None:
    """What only reduces a holding uses up nothing of the limits of value and pace, and asks for no forecast."""
    desk.hold(30)
    ticket = desk.card(SELL, 10)
    asked = desk.broker.forecasts
    desk.cards.forget(ticket.ticket_id)
    desk.send(ticket)
    assert desk.broker.placed[0].orders[0].worth is None
    assert desk.broker.forecasts == asked
    desk.send(desk.card(BUY, 10))
    assert desk.broker.placed[1].orders[0].worth == 1000


def test_what_is_said_of_a_sending(desk: Desk) -> None:
    """One message, to the owner of the card, in its place, at once; and the bell is rung for it."""
    ticket, rung = desk.card(**limit()), desk.bell.rung
    desk.send(ticket)
    said = desk.messages()[-1]
    assert (said["kind"], said["subject"], said["chat"], said["urgent"]) == (
        "order",
        ticket.ticket_id,
        OWNER,
        1,
    )
    assert len(desk.messages()) == 2
    assert desk.bell.rung > rung


def test_a_card_is_sent_once(desk: Desk) -> None:
    """The second tap finds the card used, and nothing leaves."""
    ticket = desk.card(**limit())
    desk.send(ticket)
    with pytest.raises(StaleCard):
        desk.send(ticket, confirmed=True)
    with pytest.raises(StaleCard):
        desk.do(desk.cards.open_card(ticket.ticket_id, OWNER))
    assert len(desk.broker.placed) == 1


def test_two_taps_at_once_send_one_order(desk: Desk) -> None:
    """Whoever has the lock first sends; the other is told."""
    ticket = desk.card(**limit())

    async def both() -> list[Any]:
        taps = (
            desk.executor.submit(ticket, desk.origin(), confirmed=True),
            desk.executor.submit(ticket, desk.origin(), confirmed=True),
        )
        return list(await asyncio.gather(*taps, return_exceptions=True))

    first, second = desk.do(both())
    assert first is None
    assert isinstance(second, StaleCard)
    assert len(desk.broker.placed) == 1
    assert len(desk.book.orders) == 1


def test_two_cards_at_once_get_two_numbers(desk: Desk) -> None:
    """The second is checked and numbered after the first is in the book."""
    cards = [desk.card(quantity=q, **limit()) for q in (5, 6)]

    async def both() -> None:
        await asyncio.gather(*(desk.executor.submit(c, desk.origin()) for c in cards))

    desk.do(both())
    assert [o.number for o in desk.book.orders] == [1, 2]
    assert len({o.order_id for o in desk.book.orders}) == 2


def test_a_card_past_its_time_is_not_sent(desk: Desk) -> None:
    """At its last second it is too old, a moment before it is not."""
    ticket = desk.card(**limit())
    desk.seconds = 119.9
    desk.send(ticket)
    late = desk.card(quantity=3, **limit())
    desk.seconds += 120
    with pytest.raises(StaleCard, match="too old"):
        desk.send(late)
    assert len(desk.broker.placed) == 1


def test_the_same_order_again_is_asked_for(desk: Desk) -> None:
    """Within a minute it is denied, and written into the log; confirmed it leaves."""
    desk.send(desk.card(quantity=5, **limit()))
    ticket = desk.card(quantity=5, **limit())
    with pytest.raises(Denied) as told:
        desk.send(ticket)
    assert [d.code for d in told.value.denials] == ["SAME_ORDER"]
    assert len(desk.broker.placed) == 1
    logged = desk.do(desk.ledger.audited("denied", 5))
    assert [line for _, line in logged] == ["BUY 5 AAPL: SAME_ORDER"]
    desk.send(ticket, confirmed=True)
    assert len(desk.broker.placed) == 2


def test_what_the_rules_deny_at_the_tap_does_not_leave(desk: Desk) -> None:
    """The price is asked anew, and every rule with it."""
    ticket = desk.card()
    assert desk.broker.price is not None
    desk.broker.price = replace(desk.broker.price, ask=Decimal(102))
    with pytest.raises(Denied) as told:
        desk.send(ticket)
    assert [d.code for d in told.value.denials] == ["DRIFT"]
    assert desk.broker.placed == []
    assert desk.book.orders == ()
    assert desk.do(desk.cards.open_card(ticket.ticket_id, OWNER)) == ticket


def test_another_users_tap_is_no_approval(desk: Desk) -> None:
    """The yes must be the owner's."""
    ticket = desk.card(**limit())
    with pytest.raises(Denied) as told:
        desk.do(desk.executor.submit(ticket, desk.origin(OWNER + 1)))
    assert [d.code for d in told.value.denials] == ["APPROVAL"]
    assert desk.broker.placed == []


def test_an_entry_without_a_stop_is_measured_by_its_range(tmp_path: Path) -> None:
    """The average range is asked for at the tap too: without it the risk could not be told."""
    with Desk(tmp_path, replace(LIMITS, max_portfolio_risk=Decimal("0.0009"))) as desk:
        desk.send(desk.card(quantity=10, **limit()))
        assert len(desk.broker.placed) == 1
        more = Request(BUY, "AAPL", Decimal(40), **limit())
        shown = desk.do(desk.cards.preview(more, OWNER))
        assert [d.code for d in shown.denials] == ["RISK_PER_TRADE"]


def test_without_the_brokers_forecast_an_entry_does_not_leave(desk: Desk) -> None:
    """The card's forecast is held against what is free at the tap."""
    ticket = desk.card(**limit())
    assert desk.broker.account is not None
    desk.broker.account = replace(desk.broker.account, excess_liquidity=Decimal(20_249))
    with pytest.raises(Denied) as told:
        desk.send(ticket)
    assert [d.code for d in told.value.denials] == ["EXCESS_LIQUIDITY"]


def test_entries_sent_meanwhile_count_against_the_forecast_of_a_card(desk: Desk) -> None:
    """Two cards of which each alone leaves enough free: together they do not."""
    assert desk.broker.account is not None
    desk.broker.account = replace(desk.broker.account, excess_liquidity=Decimal(20_499))
    first, second = desk.card(quantity=5, **limit()), desk.card(quantity=6, **limit())
    desk.wait(1)
    desk.send(first)
    with pytest.raises(Denied) as told:
        desk.send(second)
    assert [d.code for d in told.value.denials] == ["EXCESS_LIQUIDITY"]
    assert len(desk.broker.placed) == 1


def test_after_a_restart_the_forecast_is_asked_for_anew(desk: Desk) -> None:
    """The card is known from the file, its forecast is not."""
    ticket = desk.card(**limit())
    asked = desk.broker.forecasts
    desk.cards.forget(ticket.ticket_id)
    desk.send(ticket)
    assert desk.broker.forecasts == asked + 1
    assert len(desk.broker.placed) == 1


def test_no_room_on_the_line_means_nothing_was_done(desk: Desk) -> None:
    """Room for all orders of a bracket is kept before anything is written down."""
    ticket = desk.card(stop_loss=Decimal(95), take_profit=Decimal(110), **limit())
    desk.broker.room = 2
    with pytest.raises(Busy):
        desk.send(ticket)
    assert desk.file("SELECT * FROM orders") == []
    assert desk.do(desk.cards.open_card(ticket.ticket_id, OWNER)) == ticket
    desk.broker.room = 3
    desk.send(ticket)
    assert len(desk.broker.placed) == 1


def test_a_disk_that_says_no_means_nothing_leaves(desk: Desk) -> None:
    """The commit comes first."""
    ticket = desk.card(**limit())
    desk.connection.dead = True
    with pytest.raises(StorageError):
        desk.send(ticket)
    assert desk.broker.placed == []
    assert desk.book.orders == ()


def test_a_line_lost_during_the_commit_is_certain_knowledge(desk: Desk) -> None:
    """Another connection: its ids may mean others there, so nothing is written to it, and the orders are known never to have left."""
    ticket = desk.card(stop_loss=Decimal(95), **limit())

    def another_line() -> None:
        desk.broker.link = replace(desk.broker.link, epoch=EPOCH + 1)

    desk.during_commits(another_line)
    desk.send(ticket)
    assert desk.broker.placed == []
    assert desk.book.orders == ()
    for number in (1, 2):
        told = desk.do(desk.ledger.order(number=number))
        assert told is not None
        assert told.state is OrderState.NOT_AT_BROKER
        assert told.reason == "It was never sent: The connection changed while this was being written down."
    desk.wait(ACK_SECONDS + 1)
    assert not desk.doubt.is_set()


def test_a_line_that_has_no_room_after_all_is_certain_knowledge_too(desk: Desk) -> None:
    """Nothing was written, so nothing can be there."""
    ticket = desk.card(**limit())
    desk.broker.busy_when_placing = True
    desk.send(ticket)
    told = desk.do(desk.ledger.order(number=1))
    assert told is not None
    assert (told.state, told.reason) == (
        OrderState.NOT_AT_BROKER,
        "It was never sent: The limit is reached.",
    )


def test_a_tap_that_is_cancelled_in_its_commit_is_written_all_the_same(desk: Desk) -> None:
    """The program ends while the disk works: what was begun is on disk whole, to be found by the next comparison."""
    ticket = desk.card(**limit())
    given_up_in_its_commit(desk, desk.executor.submit(ticket, desk.origin()))
    assert [row["number"] for row in desk.file("SELECT number FROM orders")] == [1]
    assert desk.broker.placed == []


def test_what_was_written_and_then_lost_with_the_disk_is_used_all_the_same(desk: Desk) -> None:
    """The commit ended the card; that its orders never left cannot be written any more. Asked again, the card is used."""
    ticket = desk.card(**limit())

    def gone() -> None:
        desk.broker.link = replace(desk.broker.link, epoch=EPOCH + 1)
        desk.connection.dead = True

    desk.during_commits(gone)
    with pytest.raises(StorageError):
        desk.send(ticket)
    desk.connection.dead = False
    with pytest.raises(StaleCard):
        desk.do(desk.cards.open_card(ticket.ticket_id, OWNER))


def test_a_halt_during_the_commit_holds_an_entry_back(desk: Desk) -> None:
    """It was written down and does not leave, and the order says why."""
    ticket = desk.card(**limit())
    halt_during_commits(desk)
    desk.send(ticket)
    assert desk.broker.placed == []
    told = desk.do(desk.ledger.order(number=1))
    assert told is not None
    assert told.state is OrderState.NOT_AT_BROKER
    assert told.reason.startswith("It was never sent: Trading is HALTED")


def test_a_halt_during_the_commit_keeps_nobody_in(desk: Desk) -> None:
    """A sale of what is held leaves all the same."""
    desk.hold(10)
    ticket = desk.card(SELL, 10)
    halt_during_commits(desk)
    desk.send(ticket)
    assert len(desk.broker.placed) == 1


def test_orders_that_nobody_closes_are_written_to_the_line(desk: Desk) -> None:
    """As those are that protect a holding: a halt is no reason against them."""
    order = desk.works()
    desk.do(desk.executor.write([order], AAPL))
    assert [left.orders for left in desk.broker.placed] == [(order,)]


# --- silence -------------------------------------------------------------------------------------------------------------


def test_silence_is_asked_about(desk: Desk) -> None:
    """Three seconds without a word, and the broker is asked; not a moment earlier."""
    desk.send(desk.card(**limit()))
    desk.wait(ACK_SECONDS - 0.01)
    assert not desk.doubt.is_set()
    desk.wait(0.02)
    assert desk.doubt.is_set()


def test_an_order_that_is_confirmed_is_not_asked_about(desk: Desk) -> None:
    """Nor one that is over."""
    desk.send(desk.card(quantity=5, **limit()))
    desk.send(desk.card(quantity=6, **limit()))
    works, over = desk.book.orders
    desk.says(works, state=OrderState.WORKING)
    desk.says(over, state=OrderState.REJECTED)
    desk.wait(ACK_SECONDS + 1)
    assert not desk.doubt.is_set()


def test_one_silent_order_among_confirmed_ones_is_enough(desk: Desk) -> None:
    """Of a bracket the stop is not confirmed."""
    desk.send(desk.card(stop_loss=Decimal(95), **limit()))
    desk.says(desk.book.orders[0], state=OrderState.WORKING)
    desk.wait(ACK_SECONDS + 1)
    assert desk.doubt.is_set()


# --- a sale of protected shares ------------------------------------------------------------------------------------------


def test_a_sale_of_protected_shares_goes_the_longer_way(desk: Desk) -> None:
    """The stop is asked away first; the sale itself has not left yet."""
    desk.hold(10)
    stop = desk.works(
        role=Role.STOP, side=SELL, order_type=OrderType.STOP, limit_price=None, stop_price=Decimal(90)
    )
    desk.send(desk.card(SELL, 10))
    assert desk.broker.placed == []
    assert [o.number for o in desk.broker.cancelled] == [stop.number]
    (closing,) = desk.do(desk.ledger.unfinished_closings())
    assert closing.ticket.quantity == 10
    with pytest.raises(StaleCard):
        desk.do(desk.cards.open_card(closing.ticket.ticket_id, OWNER))


def test_a_sale_of_what_protection_leaves_over_goes_straight(desk: Desk) -> None:
    """Ten of twenty are protected, the other ten can be sold beside that."""
    desk.hold(20)
    desk.works(role=Role.STOP, side=SELL, order_type=OrderType.STOP, limit_price=None, stop_price=Decimal(90))
    desk.send(desk.card(SELL, 10))
    assert desk.broker.cancelled == []
    assert len(desk.broker.placed) == 1


def test_a_sale_beside_a_sale_that_moves_protection_is_denied(desk: Desk) -> None:
    """What stands in the way besides the rules is looked at under the lock."""
    desk.hold(20)
    desk.works(role=Role.STOP, side=SELL, order_type=OrderType.STOP, limit_price=None, stop_price=Decimal(90))
    first, second = desk.card(SELL, 15), desk.card(SELL, 4)
    desk.send(first)
    with pytest.raises(Denied) as told:
        desk.send(second)
    assert [d.code for d in told.value.denials] == ["SALE_UNDER_WAY"]
    assert [o.role for left in desk.broker.placed for o in left.orders] == [Role.STOP]  # it shrinks


# --- changes -------------------------------------------------------------------------------------------------------------


def test_a_change_is_written_down_and_asked(desk: Desk) -> None:
    """The order keeps its terms until the broker shows the new ones; the line gets the new ones under its old id."""
    order = desk.works(worth=Decimal(950))
    ticket = desk.change_card(ChangeRequest(order.number, quantity=Decimal(12), limit_price=Decimal(96)))
    desk.broker.kept.clear()
    rung = desk.bell.rung
    desk.send(ticket)
    (now,) = desk.book.orders
    assert now.change is not None
    assert (now.change.quantity, now.change.limit_price, now.change.ref) == (
        Decimal(12),
        Decimal(96),
        ticket.ticket_id,
    )
    assert now.change.asked_at == desk.now()
    assert (now.quantity, now.limit_price) == (Decimal(10), Decimal(95))
    assert now.worth == 12 * 96
    assert desk.do(desk.ledger.order(number=order.number)) == now
    (left,) = desk.broker.placed
    (written,) = left.orders
    assert (written.order_id, written.quantity, written.limit_price) == (
        order.order_id,
        Decimal(12),
        Decimal(96),
    )
    assert (left.instrument, left.parent_id) == (AAPL, 0)
    assert desk.broker.kept == [1]
    said = [(m["kind"], m["subject"], m["chat"], m["urgent"]) for m in desk.messages()[1:]]
    assert said == [("order", ticket.ticket_id, OWNER, 1), ("order", order.card, OWNER, 0)]
    assert desk.bell.rung > rung
    with pytest.raises(StaleCard):
        desk.do(desk.cards.open_card(ticket.ticket_id, OWNER))


def test_a_change_of_an_exit_counts_for_nothing(desk: Desk) -> None:
    """What had no worth gets none."""
    desk.hold(20)
    order = desk.works(side=SELL, limit_price=Decimal(105))
    desk.send(desk.change_card(ChangeRequest(order.number, limit_price=Decimal(104))))
    assert desk.book.orders[0].worth is None


def test_an_exit_that_is_changed_into_more_is_counted(desk: Desk) -> None:
    """Ten are sold short, ten would close them, twelve open two; an entry stays one, though it would close now."""
    desk.hold(-10)
    order = desk.works(quantity=Decimal(10))
    desk.send(desk.change_card(ChangeRequest(order.number, quantity=Decimal(12))))
    assert desk.book.orders[0].worth == 12 * 95


def test_an_entry_stays_counted_when_it_is_changed(desk: Desk) -> None:
    """Though what was sold short meanwhile makes it an exit now."""
    desk.hold(-20)
    order = desk.works(worth=Decimal(950))
    desk.send(desk.change_card(ChangeRequest(order.number, limit_price=Decimal(96))))
    assert desk.book.orders[0].worth == 960


def test_a_change_of_somebody_elses_order_is_told_on_its_card_only(desk: Desk) -> None:
    """An order from elsewhere has no card of its own."""
    order = desk.works(owner=None, worth=None)
    ticket = desk.change_card(ChangeRequest(order.number, limit_price=Decimal(94)))
    desk.send(ticket)
    assert [m["subject"] for m in desk.messages()[1:]] == [ticket.ticket_id]


@pytest.mark.parametrize(
    ("entry", "parent_id"),
    [
        ({}, 1001),
        ({"state": OrderState.FILLED, "filled": Decimal(10)}, 0),
        ({"client_id": CLIENT + 1}, 0),
    ],
)
def test_a_stop_names_its_entry_while_that_works(desk: Desk, entry: dict[str, Any], parent_id: int) -> None:
    """Else the broker would refuse it, or hang it on another order."""
    desk.hold(10)
    first = desk.works(order_ref="01CARD", **entry)
    stop = desk.works(
        order_ref="01CARD.stop", role=Role.STOP, side=SELL, order_type=OrderType.STOP, limit_price=None,
        stop_price=Decimal(90), parent=first.number,
    )  # fmt: skip
    desk.send(desk.change_card(ChangeRequest(stop.number, stop_price=Decimal(91))))
    assert desk.broker.placed[0].parent_id == parent_id


def test_a_change_of_an_order_that_is_over_says_so(desk: Desk) -> None:
    """It ended between card and tap; nothing is done to another order that works."""
    order = desk.works()
    other = desk.works()
    ticket = desk.change_card(ChangeRequest(order.number, limit_price=Decimal(94)))
    desk.says(order, state=OrderState.CANCELLED)
    with pytest.raises(StaleCard, match=f"Order #{order.number} is over"):
        desk.send(ticket)
    assert desk.broker.placed == []
    assert desk.book.orders == (other,)


def test_a_change_that_is_denied_is_not_asked(desk: Desk) -> None:
    """The order was filled in part meanwhile: it is not what the card was drawn from."""
    order = desk.works()
    ticket = desk.change_card(ChangeRequest(order.number, limit_price=Decimal(94)))
    desk.says(order, limit_price=Decimal(93))
    with pytest.raises(Denied) as told:
        desk.send(ticket)
    assert [d.code for d in told.value.denials] == ["CHANGED_SINCE"]
    assert desk.broker.placed == []


def test_a_change_without_room_is_not_written_down(desk: Desk) -> None:
    """The room is kept first."""
    order = desk.works()
    ticket = desk.change_card(ChangeRequest(order.number, limit_price=Decimal(94)))
    desk.broker.room = 0
    with pytest.raises(Busy):
        desk.send(ticket)
    assert desk.book.orders == (order,)


@pytest.mark.parametrize("broken", ["line", "limit"])
def test_a_change_that_never_left_is_taken_back(desk: Desk, broken: str) -> None:
    """Certain knowledge again: the order stands as it was, and both are told why."""
    order = desk.works()
    ticket = desk.change_card(ChangeRequest(order.number, limit_price=Decimal(94)))

    def another_line() -> None:
        desk.broker.link = replace(desk.broker.link, epoch=EPOCH + 1)

    if broken == "line":
        desk.during_commits(another_line)
    desk.broker.busy_when_placing = broken == "limit"
    desk.send(ticket)
    assert desk.broker.placed == []
    assert desk.book.orders == (order,)
    why = (
        "The connection changed while this was being written down."
        if broken == "line"
        else "The limit is reached."
    )
    assert any(f"The change was never sent: {why}" in str(facts(m)) for m in desk.messages())
    desk.wait(ACK_SECONDS + 1)
    assert not desk.doubt.is_set()


def test_a_change_that_is_not_answered_is_asked_about(desk: Desk) -> None:
    """As an order is; one that came true is not."""
    order = desk.works()
    desk.send(desk.change_card(ChangeRequest(order.number, limit_price=Decimal(94))))
    desk.wait(ACK_SECONDS + 1)
    assert desk.doubt.is_set()
    desk.doubt.clear()
    desk.says(order, change=None, limit_price=Decimal(94))
    desk.send(desk.change_card(ChangeRequest(order.number, limit_price=Decimal(93))))
    desk.says(order, change=None, limit_price=Decimal(93))
    desk.wait(ACK_SECONDS + 1)
    assert not desk.doubt.is_set()


def test_a_change_that_is_given_up_in_its_commit_is_written_all_the_same(desk: Desk) -> None:
    """Half a commit is none."""
    order = desk.works()
    ticket = desk.change_card(ChangeRequest(order.number, limit_price=Decimal(94)))
    given_up_in_its_commit(desk, desk.executor.submit(ticket, desk.origin()))
    told = desk.do(desk.ledger.order(number=order.number))
    assert told is not None
    assert told.change is not None


def test_a_change_that_was_written_and_then_lost_with_the_disk_is_used_all_the_same(desk: Desk) -> None:
    """As the card of an order is."""
    order = desk.works()
    ticket = desk.change_card(ChangeRequest(order.number, limit_price=Decimal(94)))

    def gone() -> None:
        desk.broker.link = replace(desk.broker.link, epoch=EPOCH + 1)
        desk.connection.dead = True

    desk.during_commits(gone)
    with pytest.raises(StorageError):
        desk.send(ticket)
    desk.connection.dead = False
    with pytest.raises(StaleCard):
        desk.do(desk.cards.open_card(ticket.ticket_id, OWNER))


def test_a_halt_during_the_commit_lets_the_change_of_an_exit_leave(desk: Desk) -> None:
    """A sale that rests is an exit, and its new price too."""
    desk.hold(10)
    order = desk.works(side=SELL, limit_price=Decimal(105))
    ticket = desk.change_card(ChangeRequest(order.number, limit_price=Decimal(104)))
    halt_during_commits(desk)
    desk.send(ticket)
    assert [o.limit_price for left in desk.broker.placed for o in left.orders] == [Decimal(104)]


def test_a_halt_during_the_commit_holds_the_change_of_an_entry_back(desk: Desk) -> None:
    """The entry stands as it was; its stop may still be moved, because it closes what the entry buys."""
    entry = desk.works(order_ref="01CARD")
    stop = desk.works(
        role=Role.STOP,
        side=SELL,
        order_type=OrderType.STOP,
        limit_price=None,
        stop_price=Decimal(90),
        order_ref="01CARD.stop",
        parent=entry.number,
    )
    for_entry = desk.change_card(ChangeRequest(entry.number, limit_price=Decimal(94)))
    for_stop = desk.change_card(ChangeRequest(stop.number, stop_price=Decimal(91)))
    halt_during_commits(desk)
    desk.send(for_entry)
    assert desk.broker.placed == []
    assert desk.book.current(entry) == entry
    assert any("The change was never sent: Trading is HALTED" in str(facts(m)) for m in desk.messages())
    desk.trading.now = Trading(TradingState.ACTIVE)
    desk.send(for_stop)
    assert [o.stop_price for left in desk.broker.placed for o in left.orders] == [Decimal(91)]
    moved = desk.book.current(stop)
    assert moved is not None
    assert moved.worth is None


# --- cancelling ----------------------------------------------------------------------------------------------------------


def cancel(desk: Desk, orders: list[Order], **more: Any) -> tuple[Order, ...]:
    return desk.do(desk.executor.cancel(orders, desk.origin(), **more))


def test_a_cancel_is_written_down_and_asked(desk: Desk) -> None:
    """The order stays open until the broker says that it is over; the one beside it is left alone."""
    order, other = desk.works(), desk.works()
    rung = desk.bell.rung
    desk.wait(5)
    asked = cancel(desk, [order])
    after = replace(order, cancel_requested_at=desk.now())
    assert asked == (after,)
    assert desk.book.orders == (after, other)
    assert desk.broker.cancelled == [after]
    assert desk.broker.cancelled_on_disk == [True]
    assert desk.broker.kept == [1]
    (said,) = desk.messages()
    assert (said["kind"], said["subject"], said["chat"]) == ("order", order.card, OWNER)
    assert desk.bell.rung > rung
    desk.wait(ACK_SECONDS - 0.01)
    assert not desk.doubt.is_set()
    desk.wait(0.02)
    assert desk.doubt.is_set()


def test_a_cancel_that_the_broker_confirms_is_not_asked_about(desk: Desk) -> None:
    """It is over, so there is no silence."""
    order = desk.works()
    cancel(desk, [order])
    desk.says(order, state=OrderState.CANCELLED)
    desk.wait(ACK_SECONDS + 1)
    assert not desk.doubt.is_set()


def test_what_is_over_is_not_cancelled(desk: Desk) -> None:
    """And what stands is cancelled as it stands now, not as it was when it was asked for."""
    over, part = desk.works(), desk.works()
    desk.says(over, state=OrderState.FILLED, filled=Decimal(10))
    desk.says(part, filled=Decimal(4), state=OrderState.PARTIAL)
    asked = cancel(desk, [over, part])
    assert [(o.number, o.filled) for o in asked] == [(part.number, Decimal(4))]
    assert len(desk.broker.cancelled) == 1


def test_an_announced_cancel_is_said_at_once(desk: Desk) -> None:
    """What is asked, and what was left alone, to whoever asked, before the broker answers."""
    own, foreign = desk.works(), desk.works(owner=None)
    rest = desk.works()
    asked = desk.do(
        desk.executor.cancel([own, foreign], desk.origin(OWNER + 1), announce=True, left_alone=[rest])
    )
    assert len(asked) == 2
    card, said = desk.messages()
    assert (card["kind"], card["subject"], card["urgent"]) == ("order", own.card, 0)
    assert (said["kind"], said["chat"], said["urgent"]) == ("cancel_asked", OWNER + 1, 1)
    assert facts(said) == {"numbers": [own.number, foreign.number], "left_alone": [rest.number]}


def test_an_unannounced_cancel_says_nothing_besides(desk: Desk) -> None:
    """The card tells it."""
    cancel(desk, [desk.works()], left_alone=[desk.works()])
    assert [m["kind"] for m in desk.messages()] == ["order"]


def test_nothing_to_cancel_is_announced_too(desk: Desk) -> None:
    """Whoever asked to cancel everything hears that only others' orders were there."""
    rest = desk.works()
    assert cancel(desk, [], announce=True, left_alone=[rest]) == ()
    (said,) = desk.messages()
    assert facts(said) == {"numbers": [], "left_alone": [rest.number]}


def test_many_cancels_go_in_portions(desk: Desk) -> None:
    """As many as fit into the limit at a time, each exactly once; what was left alone is named once."""
    orders = [desk.works() for _ in range(2 * PORTION + 5)]
    rest = desk.works()
    desk.broker.room = PORTION
    asked = cancel(desk, orders, announce=True, left_alone=[rest])
    assert [o.number for o in asked] == [o.number for o in orders]
    assert [o.number for o in desk.broker.cancelled] == [o.number for o in orders]
    assert desk.broker.kept == [PORTION, PORTION, 5]
    told = [facts(m) for m in desk.messages() if m["kind"] == "cancel_asked"]
    assert [len(t["numbers"]) for t in told] == [PORTION, PORTION, 5]
    assert [t["left_alone"] for t in told] == [[rest.number], [], []]


def test_a_full_portion_is_one_commit(desk: Desk) -> None:
    """Exactly as many as a portion has are not split, and leave no empty one behind."""
    cancel(desk, [desk.works() for _ in range(PORTION)], announce=True)
    assert desk.broker.kept == [PORTION]
    assert len([m for m in desk.messages() if m["kind"] == "cancel_asked"]) == 1


def test_a_cancel_waits_for_room(desk: Desk) -> None:
    """For a moment it waits until the limit allows it; nothing is written before."""
    order = desk.works()
    desk.broker.room = 0
    task = desk.start(desk.executor.cancel([order], desk.origin()))
    desk.wait(ROOM_SECONDS - 0.5)
    assert desk.broker.cancelled == []
    assert not task.done()
    tries = len(desk.broker.kept)
    assert 20 <= tries <= 30
    desk.broker.room = 1
    desk.wait(0.2)
    assert task.done()
    assert [o.number for o in desk.broker.cancelled] == [order.number]


def test_a_cancel_does_not_wait_for_ever(desk: Desk) -> None:
    """After seconds without room it says so, and the order stands as it stood."""
    order = desk.works()
    desk.broker.room = 0
    began = desk.seconds
    with pytest.raises(Busy):
        cancel(desk, [order])
    assert ROOM_SECONDS <= desk.seconds - began < ROOM_SECONDS + 0.2
    assert desk.book.orders == (order,)


def test_the_last_try_is_when_the_time_is_up(desk: Desk) -> None:
    """Not one more after it."""
    desk.broker.room = 0
    task = desk.start(desk.executor.cancel([desk.works()], desk.origin()))
    desk.turns(20)
    desk.seconds = float(ROOM_SECONDS)
    desk.turns(20)
    assert task.done()
    assert isinstance(task.exception(), Busy)


@pytest.mark.parametrize(
    "foreign", [{"client_id": CLIENT + 1}, {"order_id": 0}, {"epoch": 1, "perm_id": None}]
)
def test_a_cancel_that_could_hit_another_order_is_refused(desk: Desk, foreign: dict[str, Any]) -> None:
    """And nothing beside it is cancelled: it is all or none of a portion."""
    orders = [desk.works(), desk.works(**foreign)]
    assert [desk.executor.reaches(o) for o in orders] == [True, False]
    with pytest.raises(BrokerError, match="Nothing was sent"):
        cancel(desk, orders)
    assert desk.broker.cancelled == []
    assert desk.book.orders == tuple(orders)


def test_a_cancel_on_another_line_is_written_and_not_sent(desk: Desk) -> None:
    """The comparison that follows the new connection finds it lost, and says so."""
    order = desk.works()

    def another_line() -> None:
        desk.broker.link = replace(desk.broker.link, epoch=EPOCH + 1)

    desk.during_commits(another_line)
    (asked,) = cancel(desk, [order])
    assert asked.cancel_requested_at is not None
    assert desk.broker.cancelled == []
    assert desk.stored(order.number)["cancel_requested_at"] is not None


def test_a_cancel_waits_for_the_book(desk: Desk) -> None:
    """Whoever changes an order has the lock; a cancel sees the outcome."""
    order = desk.works()

    async def filled_meanwhile() -> tuple[Order, ...]:
        async with desk.book.lock:
            asking = asyncio.ensure_future(desk.executor.cancel([order], desk.origin()))
            for _ in range(20):
                await asyncio.sleep(0)
            assert desk.broker.cancelled == []
            await desk.book.book([(order, replace(order, state=OrderState.FILLED, filled=Decimal(10)))])
        return await asking

    assert desk.do(filled_meanwhile()) == ()


def test_a_cancel_that_is_given_up_in_its_commit_is_written_all_the_same(desk: Desk) -> None:
    """As with a sending: half a commit is none."""
    order = desk.works()
    given_up_in_its_commit(desk, desk.executor.cancel([order], desk.origin()))
    assert desk.stored(order.number)["cancel_requested_at"] is not None


def test_a_tap_on_cancel_ends_its_update(desk: Desk) -> None:
    """Every portion belongs to the update that asked for it."""
    origin = desk.origin()
    desk.do(desk.executor.cancel([desk.works()], origin))
    (row,) = desk.file("SELECT * FROM updates WHERE update_id = ?", origin.update_id)
    assert row["outcome"] == "cancel"


# --- a halt's cancels ----------------------------------------------------------------------------------------------------


def withdraw(desk: Desk, orders: list[Order]) -> tuple[Order, ...]:
    return desk.do(desk.executor.withdraw(orders, patience_seconds=1.0))


def test_a_halt_cancels_in_its_own_order(desk: Desk) -> None:
    """The first first; what is over, asked for already or beyond reach is passed over."""
    first, second, rest = desk.works(), desk.works(), desk.works(owner=None)
    foreign, over = desk.works(client_id=CLIENT + 1), desk.works()
    going = desk.works(cancel_requested_at=desk.now())
    desk.says(over, state=OrderState.FILLED, filled=Decimal(10))
    rung = desk.bell.rung
    desk.wait(5)
    asked = withdraw(desk, [second, foreign, over, going, first, rest])
    assert asked == tuple(replace(o, cancel_requested_at=desk.now()) for o in (second, first, rest))
    assert desk.broker.cancelled == list(asked)
    assert desk.broker.cancelled_on_disk == [True, True, True]
    assert desk.book.current(first) == asked[1]
    assert [(m["kind"], m["subject"], m["chat"]) for m in desk.messages()] == [
        ("order", second.card, OWNER),
        ("order", first.card, OWNER),
    ]
    assert desk.broker.kept[-1] == 3
    assert desk.bell.rung > rung
    desk.wait(ACK_SECONDS - 0.01)
    assert not desk.doubt.is_set()
    desk.wait(0.02)
    assert desk.doubt.is_set()


@pytest.mark.parametrize(("room", "count"), [(1, 1), (2, 2), (PORTION, PORTION), (100, PORTION)])
def test_a_halt_takes_a_portion_at_a_time(desk: Desk, room: int, count: int) -> None:
    """As many as there is room for, and never more than a portion."""
    orders = [desk.works() for _ in range(PORTION + 1)]
    desk.broker.room = room
    asked = withdraw(desk, orders)
    assert [o.number for o in asked] == [o.number for o in orders[:count]]


def test_a_halt_without_room_says_so(desk: Desk) -> None:
    """It asks for room for one, and is refused; nothing is written, and the book is free again."""
    order = desk.works()
    desk.broker.room = 0
    with pytest.raises(Busy):
        withdraw(desk, [order])
    assert desk.broker.kept == [1]
    assert desk.book.orders == (order,)
    assert not desk.book.lock.locked()


def test_a_halt_with_nothing_in_reach_needs_no_room(desk: Desk) -> None:
    """There is nothing to write."""
    foreign = desk.works(order_id=0)
    desk.broker.room = 0
    assert withdraw(desk, [foreign]) == ()
    assert desk.broker.kept == []
    assert not desk.book.lock.locked()


def test_a_disk_that_says_no_holds_up_no_halt(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The cancel leaves, and is remembered; the broker's word on it is booked as ever. The log says what the file lacks, and only then."""
    first, order = desk.works(), desk.works()
    withdraw(desk, [first])
    assert caplog.messages == []
    desk.connection.dead = True
    asked = withdraw(desk, [order])
    assert desk.broker.cancelled == [desk.book.current(first), *asked]
    assert desk.broker.cancelled_on_disk == [True, False]
    assert desk.book.current(order) == asked[0]
    assert caplog.messages == ["cancels leave that are not written down"]


@pytest.mark.parametrize("at_last", ["it gives up", "the program ends"])
def test_a_disk_that_hangs_holds_up_a_halt_for_a_second(
    desk: Desk, at_last: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Then it leaves, and what the disk says at last disturbs nobody."""
    order = desk.works()
    waiting, disturbed = list[asyncio.Future[None]](), list[str]()
    desk.loop.set_exception_handler(lambda _, told: disturbed.append(str(told)))

    async def hangs(work: Any) -> Any:
        waiting.append(asyncio.get_running_loop().create_future())
        await waiting[-1]

    desk.connection._execute = hangs  # type: ignore[method-assign]
    task = desk.start(desk.executor.withdraw([order], patience_seconds=1.0))
    desk.wait(0.9)
    assert desk.broker.cancelled == []
    desk.wait(0.2)
    assert task.done()
    assert [o.number for o in desk.broker.cancelled] == [order.number]
    assert caplog.messages == ["cancels leave that are not written down"]
    for one in waiting:
        if at_last == "it gives up":
            one.set_exception(StorageError("The disk gave up."))
        else:
            one.cancel()
    desk.turns(10)
    waiting.clear()
    gc.collect()
    desk.turns(10)
    assert disturbed == []


def test_whoever_holds_the_book_holds_up_a_halt_for_a_second(desk: Desk) -> None:
    """Somebody waits for a disk with the lock in his hand: the cancels leave without either."""
    order = desk.works()

    async def held() -> tuple[Order, ...]:
        async with desk.book.lock:
            return await desk.executor.withdraw([order], patience_seconds=1.0)

    began = desk.seconds
    asked = desk.do(held())
    assert desk.seconds - began == pytest.approx(1.0)
    assert asked == (replace(order, cancel_requested_at=desk.now()),)
    assert desk.broker.cancelled == [order]
    assert desk.broker.cancelled_on_disk == [False]
    assert desk.book.orders == asked
    assert not desk.book.lock.locked()


def test_a_halt_on_another_line_sends_nothing(desk: Desk) -> None:
    """Its ids would be those of others."""
    order = desk.works()

    def another_line() -> None:
        desk.broker.link = replace(desk.broker.link, epoch=EPOCH + 1)

    desk.during_commits(another_line)
    asked = withdraw(desk, [order])
    assert len(asked) == 1
    assert desk.broker.cancelled == []


# --- a person's word -----------------------------------------------------------------------------------------------------


def test_an_unknown_order_is_settled_by_its_owner(desk: Desk) -> None:
    """It is over, on disk and in the book, with the reason, and in the log with who said so."""
    other = desk.works(state=OrderState.UNKNOWN)
    order = desk.works(state=OrderState.UNKNOWN)
    settled = desk.do(desk.executor.settle(order.number, desk.origin()))
    assert settled == replace(
        order, state=OrderState.NOT_AT_BROKER, reason="Settled by you: not seen in TWS."
    )
    assert desk.do(desk.ledger.order(number=order.number)) == settled
    assert desk.book.orders == (other,)
    logged = desk.file("SELECT * FROM audit WHERE kind = 'settled'")
    assert [(row["detail"], row["user"]) for row in logged] == [(f"order #{order.number} AAPL", OWNER)]


def test_a_persons_word_waits_for_the_book(desk: Desk) -> None:
    """An order that was unknown is heard of while its owner looks: what is said then is about another state."""
    order = desk.works(state=OrderState.UNKNOWN)
    drift = Drift(ACCOUNT, AAPL.con_id, "AAPL", "USD", Decimal(30), Decimal(40), Decimal(100))
    desk.book.drifts = (drift,)

    async def heard_meanwhile() -> list[Any]:
        async with desk.book.lock:
            words = [
                asyncio.ensure_future(desk.executor.settle(order.number, desk.origin())),
                asyncio.ensure_future(desk.executor.take_over(AAPL.con_id, Decimal(40), desk.origin())),
            ]
            for _ in range(20):
                await asyncio.sleep(0)
            await desk.book.book([(order, replace(order, state=OrderState.WORKING))], silent=True)
            desk.book.drifts = ()
        return await asyncio.gather(*words, return_exceptions=True)

    assert [type(told) for told in desk.do(heard_meanwhile())] == [StaleCard, StaleCard]


@pytest.mark.parametrize("state", [OrderState.WORKING, OrderState.SENDING, OrderState.PARTIAL])
def test_an_order_that_is_known_cannot_be_settled(desk: Desk, state: OrderState) -> None:
    """Nor one that is not there."""
    order = desk.works(state=state)
    for number in (order.number, 99):
        with pytest.raises(StaleCard, match=f"Order #{number} is not unknown any more"):
            desk.do(desk.executor.settle(number, desk.origin()))
    assert desk.book.orders == (order,)


def test_a_difference_is_taken_over_with_the_figure_of_the_button(desk: Desk) -> None:
    """The broker's figure goes into the books; another figure, or another holding, is refused."""
    drift = Drift(ACCOUNT, AAPL.con_id, "AAPL", "USD", Decimal(30), Decimal(40), Decimal(100))
    other = replace(drift, con_id=1, symbol="MSFT")
    desk.book.drifts = (other, drift)
    assert [d.symbol for d in desk.executor.drifts] == ["MSFT", "AAPL"]
    for con_id, told in ((AAPL.con_id, 41), (2, 40)):
        with pytest.raises(StaleCard, match="The figures have changed"):
            desk.do(desk.executor.take_over(con_id, Decimal(told), desk.origin()))
    origin = desk.origin()
    assert desk.do(desk.executor.take_over(AAPL.con_id, Decimal(40), origin)) == drift
    assert [d.symbol for d in desk.executor.drifts] == ["MSFT"]
    (logged,) = desk.file("SELECT * FROM audit WHERE kind = 'adjusted'")
    assert logged["user"] == OWNER
