"""Broken parts, one at a time: what the machine has to find. Each is put in by `broken` and taken out again."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from core import lifecycle, protection, reconcile, risk
from core.bookkeeper import Bookkeeper
from core.model import BrokerBook, Execution, Notice, Order, OrderState, Origin, Trading, TradingState
from core.orderbook import Mark
from core.panic import Panic
from core.trading import TradingSwitch, as_text
from storage import ledger
from tests.properties.life import STOCKS

Patch = Callable[[pytest.MonkeyPatch], None]


def executions_by_full_id(patch: pytest.MonkeyPatch) -> None:
    """A corrected execution is a second one, because its whole id is its key."""
    patch.setattr(Execution, "key", property(lambda self: self.exec_id))


def resend_of_unknown(patch: pytest.MonkeyPatch) -> None:
    """What is UNKNOWN after a comparison is sent once more."""
    reconcile = Bookkeeper._reconcile

    async def and_resend(self: Bookkeeper) -> None:
        await reconcile(self)
        for order in self._book.orders:
            if order.state is OrderState.UNKNOWN and not order.perm_id:
                self._broker.place([order], STOCKS[order.symbol])

    patch.setattr(Bookkeeper, "_reconcile", and_resend)


def tap_not_consumed(patch: pytest.MonkeyPatch) -> None:
    """The card stays open when its order is written down, and the file takes a reference twice."""

    def nothing(db: sqlite3.Connection, *values: Any) -> None:
        db.execute("DROP INDEX IF EXISTS orders_ref")

    patch.setattr(ledger, "_end_ticket", nothing)


def correction_as_second_fill(patch: pytest.MonkeyPatch) -> None:
    """What a correction names is added to what was filled before."""
    filled_by = lifecycle.filled_by

    def added(order: Order, executions: Sequence[Execution], *, corrected: bool = False) -> Order:
        after = filled_by(order, executions, corrected=corrected)
        if not corrected:
            return after
        return replace(after, filled=order.filled + list(executions)[-1].quantity)

    patch.setattr(lifecycle, "filled_by", added)
    patch.setattr(reconcile, "filled_by", added)  # or the next comparison would mend it


def leaves_before_the_books_agree(patch: pytest.MonkeyPatch) -> None:
    """The line counts as compared as soon as it is up."""
    reconcile = Bookkeeper._reconcile

    async def too_early(self: Bookkeeper) -> None:
        self._broker.mark_reconciled(self._broker.link.epoch)
        await reconcile(self)

    patch.setattr(Bookkeeper, "_reconcile", too_early)


def fills_while_away_are_lost(patch: pytest.MonkeyPatch) -> None:
    """Of a snapshot only the orders are taken over."""
    take_over = Bookkeeper._take_over

    async def without(self: Bookkeeper, told: BrokerBook, mark: Mark) -> None:
        await take_over(self, replace(told, executions=()), mark)

    patch.setattr(Bookkeeper, "_take_over", without)


def protection_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    """A sale leaves beside the stops and targets of what it sells."""
    patch.setattr(protection, "plan", lambda *_: protection.Plan())


def a_halt_cancels_nothing(patch: pytest.MonkeyPatch) -> None:
    """It blocks, and what works is left at work."""
    patch.setattr(Panic, "_withdraw", lambda self: self._first.set())


def a_halt_is_forgotten_at_the_start(patch: pytest.MonkeyPatch) -> None:
    """What was kept is not taken up."""

    async def load(self: TradingSwitch) -> None:
        self.now = Trading()

    patch.setattr(TradingSwitch, "load", load)


def a_halt_keeps_exits(patch: pytest.MonkeyPatch) -> None:
    """The trading state binds what makes a holding smaller, too."""
    first, *others = risk.RULES
    patch.setattr(risk, "RULES", (replace(first, binds_exits=True), *others))


def the_state_is_asked_too_early(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks at it again when an order is written down."""
    patch.setattr(risk, "closed", lambda *_: None)


def a_resume_overrides_a_later_halt(patch: pytest.MonkeyPatch) -> None:
    """What it has written is taken for true, whatever came meanwhile."""

    async def resume(
        self: TradingSwitch, origin: Origin, accepted: TradingState, notices: tuple[Notice, ...] = ()
    ) -> None:
        opened = Trading(TradingState.ACTIVE, "", self._clock.now(), accepted)
        await self._ledger.keep_trading(as_text(opened), "ACTIVE: resumed", origin, notices)
        self.now = opened

    patch.setattr(TradingSwitch, "resume", resume)


MUTATIONS: dict[str, tuple[Patch, str]] = {
    "executions keyed by full exec id": (executions_by_full_id, "executions|fill|held"),
    "tap not consumed": (tap_not_consumed, "sent again|another order|two changes"),
    "correction counted as a second fill": (correction_as_second_fill, "filled|orders"),
    "executions of a snapshot are lost": (fills_while_away_are_lost, "executions|fill|held"),
    "a halt cancels nothing": (a_halt_cancels_nothing, "nobody asked to cancel|still work"),
    "a halt is forgotten at the start": (
        a_halt_is_forgotten_at_the_start,
        "forgotten|at the start|it was|trading is",
    ),
    "a halt keeps exits": (a_halt_keeps_exits, "from being sold|could not be sold|sales|AAA|BBB"),
}
"""By name: what breaks it, and what the counterexample says. The machine finds each of them by itself."""

TOLD: dict[str, tuple[Patch, str]] = {
    "resend of UNKNOWN": (resend_of_unknown, "sent again|another order"),
    "orders leave before the books agree": (leaves_before_the_books_agree, "outside a reconciled epoch"),
    "protection is not counted": (protection_is_not_counted, "for sale"),
    "the state is asked too early": (the_state_is_asked_too_early, "left while HALTED"),
    "a resume overrides a later halt": (a_resume_overrides_a_later_halt, "a halt was forgotten"),
}
"""The same, of what needs a story of several steps: a test tells it."""


@contextlib.contextmanager
def broken(name: str) -> Iterator[None]:
    """One part is broken for as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        (MUTATIONS | TOLD)[name][0](patch)
        yield
