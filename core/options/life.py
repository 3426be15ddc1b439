"""What happens to options after the fill: what their owner must hear in time, and what the broker's moves at no price mean."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from core.model import Dividend, Execution, Leg, OptionTerms, Right, Side, simple
from core.options.combine import ZERO
from core.options.notes import early_call, in_the_money
from core.options.plan import Group

EXPIRY_DAYS = (0, 1, 5)
"""Days before expiry at which it is told, the nearest first."""


class NudgeKind(StrEnum):
    """Why somebody should look at an option that they have."""

    EXPIRY = "expiry"
    IN_THE_MONEY = "in_the_money"
    EX_DIVIDEND = "ex_dividend"


@dataclass(frozen=True, slots=True)
class Nudge:
    """Something to hear about `group`. `key` stays the same while it is the same thing, so that it is said once; `facts` are for JSON."""

    key: str
    kind: NudgeKind
    group: Group
    facts: Mapping[str, Any] = field(default_factory=dict)


def nudges(
    groups: Sequence[Group],
    spots: Mapping[str, Decimal],
    values: Mapping[int, Decimal | None],
    dividends: Mapping[str, Dividend | None],
    today: date,
) -> tuple[Nudge, ...]:
    """Everything that is to be heard today, those included that were said already (their keys tell).

    `spots` and `dividends` by symbol, `values` (what is left of an option's price beyond what exercise would bring, per unit) by con_id.
    What is not known yields no nudge.
    """
    return tuple(nudge for group in groups for nudge in _nudges(group, spots, values, dividends, today))


def _nudges(
    group: Group,
    spots: Mapping[str, Decimal],
    values: Mapping[int, Decimal | None],
    dividends: Mapping[str, Dividend | None],
    today: date,
) -> Iterator[Nudge]:
    spot = spots.get(group.symbol)
    dividend = dividends.get(group.symbol)
    for expiry in sorted({leg.option.expiry for leg in group.legs if leg.option}):
        days = (expiry - today).days
        threshold = next((t for t in EXPIRY_DAYS if 0 <= days <= t), None)
        if threshold is not None:
            facts = {"days_left": days, "expiry": expiry, "spot": spot}
            yield _nudge(group, NudgeKind.EXPIRY, expiry.isoformat(), str(threshold), facts)
    for leg in group.legs:
        option = leg.option
        if option is None or leg.ratio > 0 or option.expiry < today or spot is None:
            continue
        deep = in_the_money(option, spot)
        facts = {**_told(group, leg, option), "spot": spot, "in_the_money": deep}
        if deep > 0:
            yield _nudge(group, NudgeKind.IN_THE_MONEY, str(leg.con_id), "", facts)
        value = values.get(leg.con_id)
        if dividend is not None and early_call(option, spot, dividend, value, today):
            more = {"ex_date": dividend.ex_date, "amount": dividend.amount, "time_value": value}
            day = dividend.ex_date.isoformat()
            yield _nudge(group, NudgeKind.EX_DIVIDEND, str(leg.con_id), day, {**facts, **more})


def _told(group: Group, leg: Leg, option: OptionTerms) -> dict[str, Any]:
    return {
        "con_id": leg.con_id,
        "label": option.label(group.symbol),
        "expiry": option.expiry,
        "strike": option.strike,
        "right": option.right,
        "contracts": -leg.ratio * group.count,
    }


def _nudge(group: Group, kind: NudgeKind, what: str, threshold: str, facts: Mapping[str, Any]) -> Nudge:
    return Nudge(f"{group.key}:{what}:{kind}:{threshold}", kind, group, simple(facts))


class EventKind(StrEnum):
    """What became of an option without an order.

    UNCLEAR: it was closed at no price before its last day, and no move of shares says why (yet).
    """

    EXPIRED = "expired"
    EXERCISED = "exercised"
    ASSIGNED = "assigned"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Event:
    """`contracts` of an option came to an end at `at`. `closing` is the execution that took them away (of perhaps more), `shares` those
    that moved `units` of the underlying for them at the strike; none where it expired.
    """

    key: str
    kind: EventKind
    symbol: str
    currency: str
    account: str
    con_id: int
    option: OptionTerms
    contracts: Decimal
    at: datetime
    closing: Execution
    shares: tuple[Execution, ...] = ()

    @property
    def units(self) -> Decimal:
        """Of the underlying that moved for these contracts, positive."""
        return self.contracts * self.option.multiplier if self.shares else ZERO

    @property
    def side(self) -> Side | None:
        """Which way the shares went; None where none moved."""
        return self.shares[0].side if self.shares else None


def without_order(execution: Execution) -> bool:
    """Whether no order made it: the broker's own move."""
    return execution.order_id == 0 and execution.perm_id == 0 and not execution.order_ref


def shares_side(option: OptionTerms, closing: Side) -> Side:
    """Which way shares go when an option is exercised (its closing was a sale) or assigned (a purchase)."""
    exercised = closing is Side.SELL
    return Side.BUY if exercised is (option.right is Right.CALL) else Side.SELL


def explained(executions: Iterable[Execution]) -> tuple[Event, ...]:
    """What the broker's moves of options at no price mean, the oldest first. A correction replaces what it corrects.

    Shares belong to an option that ended in the same second, at its strike, the right way. Whole matches come first; where shares moved
    for some of its contracts only, those were exercised or assigned and the others expired.
    """
    latest: dict[str, Execution] = {}
    for execution in executions:
        held = latest.get(execution.key)
        if held is None or execution.revision >= held.revision:
            latest[execution.key] = execution
    moves = [e for e in latest.values() if without_order(e)]
    moves.sort(key=lambda e: (e.time, e.exec_id))
    ended = [(e, e.option) for e in moves if e.option is not None and e.price == 0]
    pool = {e.exec_id: e.quantity for e in moves if e.kind == "STK" and e.option is None}
    stock = [e for e in moves if e.exec_id in pool]
    taken: dict[str, list[Execution]] = {closing.exec_id: [] for closing, _ in ended}
    left = {closing.exec_id: closing.quantity for closing, _ in ended}

    def belongs(shares: Execution, closing: Execution, option: OptionTerms) -> bool:
        return (
            (shares.account, shares.symbol, shares.currency)
            == (closing.account, closing.symbol, closing.currency)
            and shares.time.replace(microsecond=0) == closing.time.replace(microsecond=0)
            and shares.price == option.strike
            and shares.side is shares_side(option, closing.side)
        )

    for whole in (True, False):
        for closing, option in ended:
            fitting = [m for m in stock if pool[m.exec_id] and belongs(m, closing, option)]
            if whole:
                wanted = left[closing.exec_id] * option.multiplier
                fitting = [m for m in fitting if pool[m.exec_id] == wanted][:1]
            there = sum((pool[m.exec_id] for m in fitting), ZERO)
            contracts = min(there // option.multiplier, left[closing.exec_id])
            left[closing.exec_id] -= contracts
            owed = contracts * option.multiplier
            for shares in fitting:
                if part := min(pool[shares.exec_id], owed):
                    pool[shares.exec_id] -= part
                    owed -= part
                    taken[closing.exec_id].append(shares)
    return tuple(event for closing, option in ended for event in _events(closing, option, left, taken))


def _events(
    closing: Execution,
    option: OptionTerms,
    left: Mapping[str, Decimal],
    taken: Mapping[str, Sequence[Execution]],
) -> Iterator[Event]:
    rest = left[closing.exec_id]
    shares = tuple(taken[closing.exec_id])

    def event(kind: EventKind, contracts: Decimal, moved: tuple[Execution, ...]) -> Event:
        return Event(
            f"{closing.key}:{kind}",
            kind,
            closing.symbol,
            closing.currency,
            closing.account,
            closing.con_id,
            option,
            contracts,
            closing.time,
            closing,
            moved,
        )

    if shares:
        kind = EventKind.EXERCISED if closing.side is Side.SELL else EventKind.ASSIGNED
        yield event(kind, closing.quantity - rest, shares)
    if rest:
        kind = EventKind.EXPIRED if closing.time.date() >= option.expiry else EventKind.UNCLEAR
        yield event(kind, rest, ())
