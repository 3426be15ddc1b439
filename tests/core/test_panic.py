"""The panic ladder over the real executor, book and file: what leaves in which order, and what of it a disk, a line or a limit can hold up."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from core.errors import NotConnected
from core.model import Order, OrderState, Outgoing, Role, Side, Ticket, Trading, TradingState
from core.panic import CANCELS_SECONDS, Halt, Panic
from core.planner import Planner
from core.trading import KEY, of_text
from tests.core.executor_desk import CLIENT, LIMITS, Desk
from tests.values import AAPL, BASE, OWNER, position

HALTED = TradingState.HALTED


class Ladder(Desk):
    """A desk with the ladder at it; `loud` is what was said without the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.loud: list[Halt] = []

        async def aloud(done: Halt) -> None:
            self.loud.append(done)

        async def build() -> Panic:
            return Panic(
                self.broker, self.ledger, self.bell, self, self.book, self.executor, self.trading, LIMITS, aloud,
                Planner(self.broker, self, self.cards),
            )  # fmt: skip

        self.panic = self.do(build())

    def kept(self) -> TradingState:
        """The state in the file."""
        (row,) = self.file("SELECT value FROM wishes WHERE key = ?", KEY)
        return of_text(row["value"]).state

    def cancelled(self) -> list[int]:
        """The numbers of what was cancelled at the broker, in order."""
        return [order.number for order in self.broker.cancelled]

    def entries(self, *prices: int) -> list[Order]:
        """Purchases of ten that rest at these prices."""
        return [self.works(limit_price=Decimal(price), worth=Decimal(10 * price)) for price in prices]

    def stop(self, quantity: int = 10) -> Order:
        """A stop that protects so many."""
        return self.works(side=Side.SELL, role=Role.STOP, quantity=Decimal(quantity), stop_price=Decimal(80), limit_price=None)  # fmt: skip


@pytest.fixture
def ladder(tmp_path: Path) -> Iterator[Ladder]:
    """A desk that is connected, holds ten AAPL, and is ACTIVE."""
    made = Ladder(tmp_path)
    with made:
        made.hold(10)
        yield made


def test_the_largest_first_and_only_what_adds(ladder: Ladder) -> None:
    """Entries go by their worth; a stop and a closing order stay; each cancel is on the disk before it leaves."""
    ladder.entries(50, 90, 70)
    stop = ladder.stop(5)
    closing = ladder.works(side=Side.SELL, quantity=Decimal(5), limit_price=Decimal(200))
    done = ladder.do(ladder.panic.halt("why", ladder.origin()))
    assert [o.number for o in done.cancelling] == ladder.cancelled() == [2, 3, 1]
    assert [o.number for o in done.staying] == [stop.number, closing.number]
    assert done.written
    assert done.connected
    assert not done.external
    assert ladder.broker.cancelled_on_disk == [True] * 3
    assert ladder.trading.now.state is ladder.kept() is HALTED


def test_blocked_before_written_and_written_before_cancelled(ladder: Ladder) -> None:
    """At the first commit memory says HALTED already, and nothing has been cancelled; at the second the file says so."""
    ladder.entries(50, 90)
    seen: list[tuple[TradingState, int, str]] = []

    def look() -> None:
        kinds = ",".join(row["kind"] for row in ladder.file("SELECT kind FROM audit ORDER BY id"))
        seen.append((ladder.trading.now.state, len(ladder.broker.cancelled), kinds))

    ladder.during_commits(look)
    ladder.do(ladder.panic.halt("why"))
    assert seen == [(HALTED, 0, "trading"), (HALTED, 0, "trading,cancel,cancel")]
    assert len(ladder.broker.cancelled) == 2


def test_a_disk_that_takes_nothing_holds_up_no_cancel(ladder: Ladder) -> None:
    """It is cancelled, said aloud at once, and written down as soon as that can be."""
    ladder.entries(50, 90)
    ladder.connection.dead = True
    done = ladder.do(ladder.panic.halt("why"))
    assert not done.written
    assert ladder.cancelled() == [2, 1]
    assert ladder.broker.cancelled_on_disk == [False, False]
    assert [halt.reason for halt in ladder.loud] == ["why"]
    ladder.connection.dead = False
    ladder.wait(2)
    assert ladder.kept() is HALTED
    said = [json.loads(row["data"])["reason"] for row in ladder.messages() if row["kind"] == "halted"]
    assert said == ["why"] * len(said)
    assert said


def test_as_many_at_a_time_as_the_limit_has_room_for(ladder: Ladder) -> None:
    """It answers after the first, and goes on by itself as room comes."""
    ladder.entries(*range(1, 31))
    ladder.broker.room = 7
    begun = ladder.start(ladder.panic.halt("why"))
    ladder.do(asyncio.wait_for(begun, 5))
    assert len(ladder.cancelled()) >= 7
    ladder.wait(1)
    assert ladder.cancelled() == list(range(30, 0, -1))
    assert set(ladder.broker.kept) == {7, 2}


def test_no_room_at_all_is_waited_for(ladder: Ladder) -> None:
    """The answer comes all the same; the cancels leave when there is room."""
    ladder.entries(50)
    ladder.broker.room = 0
    done = ladder.do(ladder.panic.halt("why"))
    assert [o.number for o in done.cancelling] == [1]
    assert ladder.cancelled() == []
    ladder.broker.room = 5
    ladder.wait(1)
    assert ladder.cancelled() == [1]


def test_without_the_broker_it_is_done_when_the_books_agree(ladder: Ladder) -> None:
    """What would be cancelled is told by what it was sent for; after the comparison it is done, once."""
    ladder.entries(50)
    stop = ladder.stop()
    up = ladder.broker.link
    ladder.broker.link = replace(up, connected=False, reconciled=False)
    ladder.broker.positions = None
    ladder.book.forget_positions()
    done = ladder.do(ladder.panic.halt("why"))
    assert ([o.number for o in done.cancelling], [o.number for o in done.staying]) == ([1], [stop.number])
    assert done.written
    assert not done.connected
    assert ladder.cancelled() == []
    with pytest.raises(NotConnected):
        ladder.panic.unprotected_by([stop])
    ladder.broker.link = up
    ladder.hold(10)
    ladder.do(ladder.panic.compared())
    ladder.wait(1)
    ladder.do(ladder.panic.compared())
    ladder.wait(1)
    assert ladder.cancelled() == [1]


@pytest.mark.parametrize("state", [TradingState.ACTIVE, TradingState.REDUCING])
def test_a_comparison_cancels_nothing_unless_halted(ladder: Ladder, state: TradingState) -> None:
    """Nor does one that only ends what an unclean stop has covered."""
    ladder.entries(50)
    ladder.trading.now = Trading(HALTED, before=Trading(state))
    ladder.do(ladder.panic.compared())
    ladder.wait(1)
    assert ladder.trading.now == Trading(state)
    assert ladder.cancelled() == []


def test_asked_twice_cancels_once(ladder: Ladder) -> None:
    """While the broker has not answered, the second finds nothing to add."""
    ladder.entries(50, 60)
    ladder.do(ladder.panic.halt("one"))
    done = ladder.do(ladder.panic.halt("two"))
    assert done.cancelling == ()
    assert ladder.cancelled() == [2, 1]
    assert ladder.trading.now.reason == "one"


def test_what_cannot_be_reached_is_named_and_holds_nothing_up(ladder: Ladder) -> None:
    """An order of another client id, and one that was typed by hand."""
    ladder.entries(50)
    far = ladder.works(client_id=CLIENT + 1, limit_price=Decimal(99))
    typed = ladder.works(owner=None, order_id=0)
    done = ladder.do(ladder.panic.halt("why"))
    assert [o.number for o in done.unreachable] == [far.number]
    assert [o.number for o in done.external] == [typed.number]
    ladder.wait(1)
    assert ladder.cancelled() == [1]


def test_what_the_rest_would_leave_bare(ladder: Ladder) -> None:
    """Every holding whose last order that closes it would go; one that keeps another is not named, nor one that never had any."""
    stop = ladder.stop(5)
    other = ladder.works(side=Side.SELL, quantity=Decimal(5), limit_price=Decimal(200))
    panic = ladder.panic
    assert panic.protecting() == (stop, other)
    assert panic.unprotected_by([stop, other]) == (("AAPL", Decimal(10)),)
    assert panic.unprotected_by([stop]) == ()
    ladder.says(other, cancel_requested_at=ladder.now())
    assert panic.unprotected_by([stop]) == (("AAPL", Decimal(10)),)
    ladder.says(stop, state=OrderState.CANCELLED)
    assert panic.unprotected_by([]) == ()


def test_holdings_are_what_is_certain(ladder: Ladder) -> None:
    """Of two counts the less; what the broker does not list any more is none; unknown is an error and not nothing."""
    ladder.broker.positions = (position(4),)
    assert [p.signed_quantity for p in ladder.panic.holdings()] == [4]
    ladder.broker.positions = ()
    assert ladder.panic.holdings() == ()
    ladder.broker.positions = None
    with pytest.raises(NotConnected):
        ladder.panic.holdings()


# --- closing everything -----------------------------------------------------------------------------------------------------------


def show(ticket: Ticket) -> Outgoing:
    """The message that becomes a card."""
    return Outgoing(OWNER, "reply", ticket.created_at, "card", subject=ticket.ticket_id)


def test_flatten_halts_waits_for_its_cancels_and_sells(ladder: Ladder) -> None:
    """The sale leaves when the broker has answered the cancels, or does not for seconds."""
    (entry,) = ladder.entries(50)
    flattening = ladder.start(ladder.panic.flatten(ladder.origin(), show))
    ladder.turns(400)
    assert ladder.cancelled() == [entry.number]
    assert ladder.broker.placed == []
    ladder.says(entry, state=OrderState.CANCELLED)
    done = ladder.do(asyncio.wait_for(flattening, 30))
    assert ladder.seconds < CANCELS_SECONDS
    ((ticket, problem),) = done.sent
    assert (ticket.side, ticket.quantity, problem) == (Side.SELL, Decimal(10), "")
    assert not done.left
    ((sold,),) = [left.orders for left in ladder.broker.placed]
    assert (sold.side, sold.quantity) == (Side.SELL, Decimal(10))
    assert sold.worth is None
    assert ladder.kept() is HALTED


def test_flatten_twice_sells_once(ladder: Ladder) -> None:
    """What is on its way out is named with that, and not sold again."""
    ladder.do(ladder.panic.flatten(ladder.origin(), show))
    again = ladder.do(ladder.panic.flatten(ladder.origin(), show))
    assert again.sent == ()
    ((left, why),) = again.left
    assert (left.con_id, why) == (AAPL.con_id, "All of it is on its way out already.")
    assert len(ladder.broker.placed) == 1


def test_a_preview_of_flatten_does_nothing(ladder: Ladder) -> None:
    """It says what a sale that rests already takes of it."""
    closing = ladder.works(side=Side.SELL, quantity=Decimal(4), limit_price=Decimal(200))
    (one,) = ladder.do(ladder.panic.leaving(OWNER))
    assert one.preview is not None
    assert one.preview.ticket.quantity == 6
    assert one.closing == (closing,)
    assert ladder.broker.placed == []
    assert ladder.cancelled() == []
    assert ladder.trading.now.state is TradingState.ACTIVE


# --- by itself, and back ------------------------------------------------------------------------------------------------------------


def test_three_rejections_halt_by_themselves(ladder: Ladder) -> None:
    """Heard from the book, told to everybody, and what rests is cancelled."""
    (entry,) = ladder.entries(50)
    watching = ladder.start(ladder.panic.watch())
    ladder.turns(50)
    for _ in range(2):
        ladder.works(state=OrderState.REJECTED)
    ladder.wait(1)
    assert ladder.trading.now.state is TradingState.ACTIVE
    ladder.works(state=OrderState.REJECTED)
    ladder.wait(1)
    assert ladder.trading.now.state is ladder.kept() is HALTED
    assert ladder.cancelled() == [entry.number]
    watching.cancel()


def test_resume_accepts_the_loss_of_now(ladder: Ladder) -> None:
    """What the day has lost is said with it, and kept as seen."""
    ladder.do(ladder.panic.halt("why"))
    ladder.broker.account = replace(BASE, day_gain=Decimal(-3500))
    ladder.do(ladder.panic.resume(ladder.origin()))
    assert ladder.trading.now.state is TradingState.ACTIVE
    assert ladder.trading.now.accepted is TradingState.REDUCING
    (told,) = [json.loads(row["data"]) for row in ladder.messages() if row["kind"] == "resumed"]
    assert "entries stay refused until tomorrow" in told["against"][0]
