"""After a backup was restored: what happened since it was made is taken from the broker, once, at the first comparison of the books.

Executions of the day need nothing of this: every comparison books those that are missing. Orders that Greenlight sent after the backup are
strangers to the restored file; they bear the name of a card of ours, so they become orders of ours again, with their brackets. The chat
hears of all that in one message.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from ulid import ULID

from core.lifecycle import advance, filled_by
from core.model import BrokerBook, Execution, JobRun, Notice, Order, OrderReport, OrderType, Role
from core.orderbook import OrderBook
from core.ports import Broker, Clock, Ledger, Notifier
from core.reconcile import external

KEY = "restored"
_ROLES = {"": Role.ENTRY, "stop": Role.STOP, "target": Role.TARGET}


class Recovery:
    """Whoever remembers that a backup was restored, until its consequences are told."""

    def __init__(
        self,
        broker: Broker,
        ledger: Ledger,
        notifier: Notifier,
        clock: Clock,
        book: OrderBook,
        owners: Sequence[int],
    ) -> None:
        self._broker, self._ledger, self._notifier, self._clock, self._book = (
            broker,
            ledger,
            notifier,
            clock,
            book,
        )
        self._owners = tuple(owners)
        self._facts: dict[str, Any] | None = None
        self._claimed: list[Order] = []

    async def load(self) -> None:
        """See whether there was a restore whose consequences are not told yet."""
        told = await self._ledger.recall(KEY)
        facts = json.loads(told) if told else None
        if facts and await self._ledger.last_run(_job(facts)) is None:
            self._facts = facts

    async def claim(
        self,
        told: BrokerBook,
        strangers: tuple[Order, ...],
        known: Sequence[Order],
        executions_of: Callable[[Order], Sequence[Execution]],
    ) -> tuple[Order, ...]:
        """The strangers of a comparison, those of them that are ours as ours, and with them those of ours that are over today."""
        if self._facts is None:
            return strangers
        have = {order.order_ref for order in known}
        reports = {
            report.order_ref: report
            for report in (*map(_ended, told.completed_orders), *told.open_orders)
            if report.order_ref
            and report.order_ref not in have
            and report.account in ("", self._broker.link.account)
        }
        number, ours = self._book.next_number, dict[str, Order]()
        for ref in sorted(reports):  # an entry comes before the orders that hang on it
            owner = await self._owner(reports[ref], self._facts)
            if owner is not None:
                order = await self._ours(reports[ref], owner, number, told.epoch, ours)
                ours[ref] = filled_by(order, executions_of(order))
                number += 1
        self._claimed = list(ours.values())
        others = [order for order in strangers if order.order_ref not in ours]
        return (*ours.values(), *(replace(order, number=n) for n, order in enumerate(others, start=number)))

    async def _owner(self, report: OrderReport, facts: dict[str, Any]) -> int | None:
        """Whose order it is: bears the name of a card that the file knows, or that is newer than all which it knows. None: not ours."""
        card = (report.order_ref or "").partition(".")[0]
        if report.order_id and report.client_id != self._broker.link.client_id:
            return None
        ticket = await self._ledger.ticket(card)
        if ticket is not None:
            return ticket.owner
        try:
            ULID.from_str(card)
        except ValueError:
            return None
        return self._owners[0] if card > facts["newest_card"] and len(self._owners) == 1 else None

    async def _ours(
        self, report: OrderReport, owner: int, number: int, epoch: int, before: dict[str, Order]
    ) -> Order:
        card, _, which = (report.order_ref or "").partition(".")
        role = _ROLES.get(which) or (Role.STOP if report.order_type is OrderType.STOP else Role.TARGET)
        entry = before.get(card) or await self._ledger.order(order_ref=card)
        order = external(report, number, epoch, self._clock.now())
        order = replace(
            order,
            owner=owner,
            role=role,
            client_id=self._broker.link.client_id,
            sent_at=ULID.from_str(card).datetime,
            parent=entry.number if entry is not None and which in ("stop", "target") else None,
            reason=report.text if report.status == "Inactive" else "",
        )
        ticket = await self._ledger.ticket(card)
        if ticket is not None and ticket.instrument.legs:
            order = replace(order, legs=ticket.instrument.legs, name=ticket.instrument.name)
        if ticket is not None:
            order = replace(order, final_limit=ticket.final_limit)
        if order.kind != "STK" and not (ticket is not None and ticket.closes):
            order = replace(order, worth=self._worth(order))
        return advance(order, report, snapshot=True)

    def _worth(self, order: Order) -> Decimal:
        """An order for options that may open something counts as one that does, at its limit; what it was measured at is not known any more."""
        account = self._broker.account
        rate = (account.rate(order.currency) if account else None) or Decimal(1)
        return abs(order.limit_price or Decimal(0)) * order.quantity * order.multiplier * rate

    async def tell(self) -> None:
        """After the first comparison: say once what was restored and what came from the broker."""
        facts, claimed = self._facts, self._claimed
        if facts is None:
            return
        seen = {e.order_ref.partition(".")[0] for e in self._book.executions.values()} | {
            o.card for o in claimed
        }
        await self._ledger.found_sent([card for card in facts["cards"] if card in seen])
        last = _time(facts["last_execution"])
        fills = [e for e in self._book.executions.values() if last is None or e.time > last]
        said = {
            "known_until": facts["last_update"],
            "fills": len(fills),
            "numbers": [order.number for order in claimed],
            "cards": len(facts["cards"]),
            "sales": facts["sales"],
        }
        now = self._clock.now()
        if await self._ledger.run_job(
            JobRun(_job(facts), now.date(), now, said), [Notice(KEY, said, urgent=True)]
        ):
            self._notifier.wake()
        self._facts, self._claimed = None, []


def _job(facts: dict[str, Any]) -> str:
    return f"{KEY} {facts['restored_at']}"


def _time(told: str | None) -> datetime | None:
    return None if told is None else datetime.fromisoformat(told)


def _ended(report: OrderReport) -> OrderReport:
    """A completed order that the broker holds for good is one that it rejected."""
    if report.status != "Inactive":
        return report
    return replace(report, text=report.text or "The broker rejected the order.")
