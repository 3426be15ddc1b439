"""What a plan that passes can lose: the whole account before and after it, at every price of the shares that matters, whatever it was called.

The gate judges a plan by its own legs; here all that is held in the symbol is added up with it, and nothing of the gate's measures is used.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from core import risk
from core.model import OptionTerms, Position, Right, Side, Ticket
from core.risk import Snapshot
from tests.core.risk_cases import LIMITS, Case
from tests.core.risk_plan_cases import (
    C100,
    C105,
    C110,
    CLOSE,
    HELD,
    LATER,
    NAKED,
    P90,
    P95,
    P100,
    STOCK,
    bag,
    leg,
    line,
    owed,
    plan,
    shares,
    single,
    works,
)
from tests.core.risk_plan_pairs import plan_pair
from tests.values import BASE

D = Decimal
Line = tuple[Decimal, OptionTerms | None]
"""(units of it, what it is; None for shares)."""


def gained(lines: Sequence[Line], at: Decimal) -> Decimal:
    """What the lines are worth with the shares at a price, on the last day."""
    total = D(0)
    for units, option in lines:
        if option is None:
            total += units * at
        elif option.right is Right.CALL:
            total += units * max(at - option.strike, D(0))
        else:
            total += units * max(option.strike - at, D(0))
    return total


def largest_loss(lines: Sequence[Line], paid: Decimal) -> Decimal | None:
    """The most that they lose, looked up at each strike, at nothing and far above; None where it has no end."""
    prices = sorted({D(0), *(option.strike for _, option in lines if option)})
    far = prices[-1] + 1_000_000
    if gained(lines, far + 1) < gained(lines, far):
        return None
    return -min(gained(lines, at) - paid for at in (*prices, far))


def held(snapshot: Snapshot) -> list[Line]:
    """Everything in the symbol."""
    return [
        (p.signed_quantity * (p.option.multiplier if p.option else 1), p.option)
        for p in snapshot.positions or ()
        if p.symbol == "AAPL" and p.currency == "USD"
    ]


def stock(snapshot: Snapshot) -> tuple[Position, ...]:
    """The shares alone."""
    return tuple(p for p in snapshot.positions or () if p.option is None)


def added(asked: Ticket) -> tuple[list[Line], Decimal]:
    """What the plan brings when all of it trades at its furthest limit, and what is paid for it."""
    thing = asked.instrument
    limit = asked.limit_price if asked.final_limit is None else asked.final_limit
    assert limit is not None
    if thing.option is not None:
        sign = 1 if asked.side is Side.BUY else -1
        return [
            (sign * asked.quantity * thing.option.multiplier, thing.option)
        ], sign * limit * asked.quantity * 100
    lines = [
        (x.ratio * asked.quantity * (x.option.multiplier if x.option else 1), x.option) for x in thing.legs
    ]
    return lines, limit * asked.quantity * 100


def on_one_day(lines: Sequence[Line]) -> bool:
    """Whether they may be looked at as if all expired together: whatever is owned lasts as long as what is owed."""
    last = max((option.expiry for units, option in lines if option and units < 0), default=None)
    return last is None or all(option.expiry >= last for units, option in lines if option and units > 0)


def new_loss(asked: Ticket, snapshot: Snapshot) -> tuple[Decimal | None, Decimal | None]:
    """(the most that was lost before, the most that is lost after)"""
    lines, paid = added(asked)
    return largest_loss(held(snapshot), D(0)), largest_loss([*held(snapshot), *lines], paid)


@pytest.mark.parametrize("seed", range(6))
def test_no_plan_that_passes_loses_more_than_it_was_measured_at(seed: int) -> None:
    """Of a plan that only opens, the whole account loses at most its value more than before; and none makes a loss endless."""
    r, opened, tried = Random(seed), 0, 0
    while tried < 800:
        asked, snapshot, limits = plan_pair(r)
        tried += 1
        if risk.check(asked, snapshot, limits):
            continue
        if not on_one_day([*held(snapshot), *added(asked)[0]]):
            continue
        before, after = new_loss(asked, snapshot)
        assert before is None or after is not None
        closes = {
            p.con_id
            for p in (*(snapshot.positions or ()), *(snapshot.told or ()))
            if p.signed_quantity and p.option
        }
        ids = {x.con_id for x in asked.instrument.legs if x.option} or {asked.instrument.con_id}
        if risk.reduces(asked, snapshot) or ids & closes or before is None or after is None:
            continue
        if largest_loss(*added(asked)) is None:
            # Shares cover it: beside them alone, because what they make good elsewhere was measured whole when it was opened.
            before, after = new_loss(asked, replace(snapshot, positions=stock(snapshot)))
            assert before is not None
            assert after is not None
        opened += 1
        worth = risk.value(asked, snapshot)
        assert worth is not None
        rate = snapshot.account.rate("USD") if snapshot.account else None
        assert rate is not None
        assert (after - before) * rate <= worth + D("1E-9"), asked
    assert opened > 100


def codes(one: Case) -> list[str]:
    return [denial.code for denial in risk.check(one.ticket, one.moment, one.limits)]


UNLIMITED, CASH = "UNLIMITED_LOSS", "NOT_SECURED"
POOR: dict[str, Any] = {"account": replace(BASE, cash=D(5_000))}
TRICKS: dict[str, tuple[Case, str]] = {
    "the long call of a spread is sold alone": (plan(CLOSE, HELD, line(C105, -1)), UNLIMITED),
    "the long put of a spread is sold alone": (plan(single(Side.SELL, P95), line(P95, 1), line(P100, -1), **POOR), CASH),
    "one of two covers is sold, the other is on sale": (plan(CLOSE, line(C100, 2), line(C105, -1), working=(works(C100, Side.SELL, 1),)), UNLIMITED),
    "a call is covered by one that ends earlier": (plan(bag(C100, leg(Right.CALL, 105, -1, LATER))), UNLIMITED),
    "a cover is exchanged for one that ends earlier": (plan(bag(C100, leg(Right.CALL, 110, -1, LATER)), line(leg(Right.CALL, 105, expiry=LATER), -1), line(leg(Right.CALL, 110, expiry=LATER), 1)), UNLIMITED),
    "shares cover a call that works already": (plan(NAKED, shares(100), working=(works(C110, Side.SELL, 1),)), UNLIMITED),
    "shares are on sale": (plan(NAKED, shares(100), working=(works(STOCK, Side.SELL, 1),)), UNLIMITED),
    "shares beside a call that is owed are sold with a put": (plan(bag(owed(STOCK, 100), owed(P95)), shares(100), line(P95, 1), line(C105, -1)), UNLIMITED),
    "shares are sold short beside a call": (plan(bag(owed(STOCK, 100), C100)), UNLIMITED),
    "more calls are owed than owned": (plan(bag(C100, owed(C105, 2))), UNLIMITED),
    "two days in one plan": (plan(bag(C100, leg(Right.CALL, 110, 1, LATER))), "LEGS"),
    "the broker knows of a call that we do not": (plan(NAKED, shares(100), told=(shares(100), line(C110, -1))), UNLIMITED),
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_is_denied(trick: str) -> None:
    """What would leave somebody with more to lose than the card says is denied by name."""
    one, code = TRICKS[trick]
    assert code in codes(one)


def test_a_cover_that_is_made_worse_is_measured() -> None:
    """The long put of a spread is exchanged for a much lower one: the loss that this opens is the plan's value, not the price of a cheap put."""
    spread = (line(P100, -1), line(P95, 1))
    one = plan(bag(P90, owed(P95)), *spread)
    worth = risk.value(one.ticket, one.moment)
    before, after = new_loss(one.ticket, one.moment)
    assert before is not None
    assert after is not None
    assert worth == after - before == 500 - 87


def test_a_put_beside_a_covered_call_is_not_covered() -> None:
    """Shares stand behind the call; what the put can lose counts."""
    one = plan(bag(owed(C105), owed(P95)), shares(100))
    assert risk.value(one.ticket, one.moment) == 9_500 - 299


def test_shares_that_a_plan_buys_count_whole() -> None:
    """A combination that buys back a call and buys shares: the call closes, the shares are a hundred and not one."""
    one = plan(bag(STOCK, C105), line(C105, -1), shares(100))
    worth = risk.value(one.ticket, one.moment)
    assert worth is not None
    assert worth > 9_900


@pytest.mark.parametrize("ratio", [10**17, 10**30])
def test_large_ratios_break_nothing(ratio: int) -> None:
    """They are denied, whatever is multiplied with them."""
    asked = bag(C100, owed(C105), quantity=10**16)
    legs = (replace(C100, ratio=ratio), replace(C105, ratio=-ratio))
    one = plan(replace(asked, instrument=replace(asked.instrument, legs=legs)))
    assert codes(one)


def test_only_the_fall_of_shares_is_left_out_below_the_stop() -> None:
    """Where a plan falls faster than the shares that it is like at last, all of that is risked; of the shares only the way to the stop."""
    asked = bag(STOCK, owed(leg(Right.PUT, 80)), replace(P90, ratio=2), owed(P95), limit="100")
    assert (
        risk.at_risk(asked, plan(asked).moment, LIMITS) == 800
    )  # at 90: 1,500 lost, of which 700 lie below the stop at 97
