"""What happens to options after the fill: what their owner must hear in time, and what the broker's moves at no price mean."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from core.exercise import Ending, How, endings
from core.model import Dividend, Execution, Leg, OptionTerms, simple
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

    UNCLEAR: nothing says for sure. It was closed at no price before its last day and no shares moved (yet), or shares moved with it in
    another number than its own, or they may as well belong to another option.
    """

    EXPIRED = "expired"
    EXERCISED = "exercised"
    ASSIGNED = "assigned"
    UNCLEAR = "unclear"


_KINDS = {
    How.EXPIRED: EventKind.EXPIRED,
    How.EXERCISED: EventKind.EXERCISED,
    How.ASSIGNED: EventKind.ASSIGNED,
}


@dataclass(frozen=True, slots=True)
class Event:
    """The end of an option: `closing` is the execution that took it away, `shares` the one that moved the underlying at the strike with
    it, where one did. `key` stays the same over corrections, but for another kind it is another.
    """

    key: str
    kind: EventKind
    closing: Execution
    shares: Execution | None = None

    @property
    def at(self) -> datetime:
        """When the broker did it."""
        return self.closing.time

    @property
    def contracts(self) -> Decimal:
        """How many of the option came to an end."""
        return self.closing.quantity


def explained(executions: Iterable[Execution]) -> tuple[Event, ...]:
    """What the broker's moves of options at no price mean, the oldest first, told as the books count them (core.exercise)."""

    def event(ending: Ending) -> Event:
        kind = EventKind.UNCLEAR if ending.doubtful else _KINDS[ending.how]
        return Event(f"{ending.option.key}:{kind}", kind, ending.option, ending.shares)

    return tuple(event(ending) for ending in endings(executions))


def without_order(execution: Execution) -> bool:
    """Whether no order made it: the broker's own move."""
    return execution.order_id == 0 and execution.perm_id == 0 and not execution.order_ref
