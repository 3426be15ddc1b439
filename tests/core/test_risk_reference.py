"""The gate says what its slow twin says, on thousands of random orders; and a rule that is broken on purpose is found."""

import ast
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from core import risk
from core.model import Denial, Ticket
from core.risk import Limits, Rule, RuleRow, Snapshot, plans
from tests.core import risk_plan_reference, risk_reference
from tests.core.risk_plan_pairs import plan_pair
from tests.core.risk_reference_run import compare

PAIRS, PLANS = 5_000, 2_500
"""A sample: `make risk` asks about 100,000, and half as many plans."""

Breaker = Callable[[Ticket, Snapshot, Limits], tuple[Ticket, Snapshot, Limits]]


def test_the_gate_agrees_with_its_slow_twin() -> None:
    """Every order gets the same denials in the same order from both; every rule denies now and then, and enough orders pass."""
    found = compare(PAIRS, seed=6)
    assert found.differences == []
    assert found.too_rare == []
    assert found.passed >= 0.1 * found.pairs == 0.1 * PAIRS
    assert found.exits >= 0.1 * found.pairs


def test_the_gate_agrees_with_its_slow_twin_about_plans() -> None:
    """The same of options and combinations: each rule that only they have denies now and then, and three in ten pass."""
    found = compare(PLANS, seed=6, make=plan_pair)
    assert found.differences == []
    assert found.too_rare == []
    assert found.passed >= 0.3 * found.pairs == 0.3 * PLANS
    assert found.exits >= 0.1 * found.pairs


@pytest.mark.parametrize("room", [risk_reference, risk_plan_reference], ids=["all", "plans"])
def test_the_twin_knows_nothing_of_the_gate(room: ModuleType) -> None:
    """It imports the nouns and the standard library."""
    tree = ast.parse(Path(str(room.__file__)).read_text("utf-8"))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    ours = {
        name for name in names if name and name.split(".")[0] in {"core", "bot", "storage", "sim", "tests"}
    }
    assert ours <= {"core.model", "tests.core", "tests.core.risk_plan_reference"}
    assert room is risk_reference or ours == {"core.model"}


def swapped(name: str, made: Callable[[RuleRow], RuleRow]) -> tuple[RuleRow, ...]:
    """The rules with one of them changed."""
    assert name in {row.rule.__name__ for row in risk.RULES}
    return tuple(made(row) if row.rule.__name__ == name else row for row in risk.RULES)


def asking(name: str, change: Breaker) -> tuple[RuleRow, ...]:
    """The rules, one of them asked about something else than it should be."""

    def made(row: RuleRow) -> RuleRow:
        rule: Rule = row.rule

        def broken(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
            return rule(*change(ticket, snapshot, limits))

        broken.__name__ = name
        return replace(row, rule=broken)

    return swapped(name, made)


def limit(name: str, change: Callable[[Decimal], Decimal]) -> Breaker:
    """A limit that is read wrongly."""

    def changed(t: Ticket, s: Snapshot, limits: Limits) -> tuple[Ticket, Snapshot, Limits]:
        wrong: dict[str, Any] = {name: change(getattr(limits, name))}
        return t, s, replace(limits, **wrong)

    return changed


def gain_turned(t: Ticket, s: Snapshot, limits: Limits) -> tuple[Ticket, Snapshot, Limits]:
    """A loss taken for a gain."""
    if s.account is None or s.account.day_gain is None:
        return t, s, limits
    return t, replace(s, account=replace(s.account, day_gain=-s.account.day_gain)), limits


def rate_forgotten(t: Ticket, s: Snapshot, limits: Limits) -> tuple[Ticket, Snapshot, Limits]:
    """Dollars taken for base currency."""
    return t, s if s.account is None else replace(s, account=replace(s.account, currency="USD")), limits


def multiplier_forgotten(t: Ticket, s: Snapshot, limits: Limits) -> tuple[Ticket, Snapshot, Limits]:
    """A contract taken for a share."""
    return replace(t, instrument=replace(t.instrument, multiplier=Decimal(1))), s, limits


HAIR = Decimal("1E-13")
BROKEN: dict[str, Callable[[], tuple[RuleRow, ...]]] = {
    "the edge of a value denied": lambda: asking("order_value", limit("max_order_value_base", lambda v: v - HAIR)),
    "the edge of a day's loss let through": lambda: asking("day_loss", limit("reduce_at_day_loss_percent", lambda v: v + HAIR)),
    "the edge of the exposure denied": lambda: asking("gross_exposure", limit("max_gross_exposure_percent", lambda v: v - HAIR)),
    "the edge of the margin denied": lambda: asking("excess_liquidity", limit("min_excess_liquidity_percent", lambda v: v + HAIR)),
    "the edge of the collar denied": lambda: asking("collar", limit("max_collar_percent", lambda v: v - HAIR)),
    "a loss taken for a gain": lambda: asking("day_loss", gain_turned),
    "the rate forgotten": lambda: asking("position_cap", rate_forgotten),
    "the multiplier forgotten": lambda: asking("hour_value", multiplier_forgotten),
    "a percentage for a part": lambda: asking("risk_per_trade", limit("max_portfolio_risk", lambda v: v / 100)),
    "a second read for a minute": lambda: asking("same_order", lambda t, s, limits: (t, s, replace(limits, same_order_seconds=1))),
    "a rule of size that keeps exits": lambda: swapped("order_value", lambda row: replace(row, binds_exits=True)),
    "a rule of sanity that lets exits go": lambda: swapped("price_known", lambda row: replace(row, binds_exits=False)),
    "a missing limit let through": lambda: swapped("account_agrees", lambda row: replace(row, needs=())),
    "the cash behind puts forgotten": lambda: tuple(row for row in risk.RULES if row.rule.__name__ != "cash_kept"),
    "the cash behind puts for exits too": lambda: swapped("cash_kept", lambda row: replace(row, binds_exits=True)),
    "purchases that work cost nothing": lambda: asking("cash_kept", unprotected),
    "a rule left out": lambda: tuple(row for row in risk.RULES if row.rule.__name__ != "crossing"),
    "the order of the rules": lambda: (*risk.RULES[1:], risk.RULES[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge moved, a sign turned, a unit forgotten: the twin does not agree."""
    monkeypatch.setattr(risk, "RULES", BROKEN[name]())
    assert compare(PAIRS, seed=6).differences


def unprotected(t: Ticket, s: Snapshot, limits: Limits) -> tuple[Ticket, Snapshot, Limits]:
    """What works forgotten."""
    return t, replace(s, working=()), limits


def told_only(t: Ticket, s: Snapshot, limits: Limits) -> tuple[Ticket, Snapshot, Limits]:
    """The broker's count forgotten."""
    return t, replace(s, told=None), limits


def started(t: Ticket, s: Snapshot, limits: Limits) -> tuple[Ticket, Snapshot, Limits]:
    """Measured by where it starts and not by how far it may go."""
    return replace(t, final_limit=None), s, limits


def fresh(t: Ticket, s: Snapshot, limits: Limits) -> tuple[Ticket, Snapshot, Limits]:
    """The quotes of the legs taken for those of now."""
    if s.plan is None:
        return t, s, limits
    quotes = {con_id: quote and replace(quote, time=s.now) for con_id, quote in s.plan.quotes.items()}
    return t, replace(s, plan=replace(s.plan, quotes=quotes)), limits


def without(name: str) -> Callable[[], tuple[RuleRow, ...]]:
    return lambda: tuple(row for row in risk.RULES if row.rule.__name__ != name)


ONLY_PLANS = [row.rule.__name__ for row in risk.RULES if row.plans]
BROKEN_PLANS: dict[str, Callable[[], tuple[RuleRow, ...]]] = {
    **{f"{name} left out": without(name) for name in ONLY_PLANS},
    "the edge of a spread denied": lambda: asking("plan_spread", limit("max_spread_percent_options", lambda v: v - Decimal("1E-5"))),
    "the edge of the cap denied": lambda: asking("plan_cap", limit("max_position_size", lambda v: v - HAIR)),
    "the edge of the risk let through": lambda: asking("plan_risk", limit("max_portfolio_risk", lambda v: v + Decimal("1E-12"))),
    "the collar of shares for options": lambda: asking("plan_collar", limit("max_collar_percent_options", lambda v: v / 5)),
    "what works covers": lambda: asking("loss_bounded", unprotected),
    "only our own count": lambda: asking("loss_bounded", told_only),
    "cash beside what works": lambda: asking("cash_secured", unprotected),
    "the cash's rate forgotten": lambda: asking("cash_secured", rate_forgotten),
    "the cash behind puts is for shares only": lambda: swapped("cash_kept", lambda row: replace(row, plans=False)),
    "a plan costs what it starts at": lambda: asking("cash_kept", started),
    "a plan beside purchases that work": lambda: asking("cash_kept", unprotected),
    "where it starts for where it may end": lambda: asking("plan_cap", started),
    "the collar of where it starts": lambda: asking("plan_collar", started),
    "old quotes for fresh ones": lambda: asking("plan_priced", fresh),
    "a rule of loss that keeps exits": lambda: swapped("plan_cap", lambda row: replace(row, binds_exits=True)),
    "a rule of shape that lets exits go": lambda: swapped("plan_limit", lambda row: replace(row, binds_exits=False)),
    "shares' rules asked of plans": lambda: swapped("position_cap", lambda row: replace(row, plans=None)),
    "plans' rules asked of shares only": lambda: swapped("plan_risk", lambda row: replace(row, plans=False)),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_PLANS)
def test_a_broken_rule_of_plans_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One left out, an edge moved, a count or an order forgotten: the twin does not agree."""
    monkeypatch.setattr(risk, "RULES", BROKEN_PLANS[name]())
    assert compare(PLANS, seed=6, make=plan_pair).differences


MEASURES: dict[str, tuple[str, Callable[..., object]]] = {
    "a cover that is sold counts as closing": ("cash_tied", lambda *_: Decimal(0)),
    "shares cover for ever": ("free_shares", lambda *_: Decimal(10**6)),
    "what is held loses nothing": ("largest_loss", lambda *_: Decimal(0)),
    "every loss is risked like shares": ("risked", lambda *_: Decimal(0)),
    "any legs fit": ("misfit", lambda *_: ""),
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_broken_measure_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rules stand on, wrong on purpose: the twin does not agree, or the gate cannot go on."""
    measure, wrong = MEASURES[name]
    monkeypatch.setattr(plans, measure, wrong)
    try:
        assert compare(PLANS, seed=6, make=plan_pair).differences
    except ValueError:
        assert name == "any legs fit"
