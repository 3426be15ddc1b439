"""The gate says what its slow twin says, on thousands of random orders; and a rule that is broken on purpose is found."""

import ast
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core import risk
from core.model import Denial, Ticket
from core.risk import Limits, Rule, RuleRow, Snapshot
from tests.core import risk_reference
from tests.core.risk_reference_run import compare

PAIRS = 5_000
"""A sample: `make risk` asks about 100,000."""

Breaker = Callable[[Ticket, Snapshot, Limits], tuple[Ticket, Snapshot, Limits]]


def test_the_gate_agrees_with_its_slow_twin() -> None:
    """Every order gets the same denials in the same order from both; every rule denies now and then, and enough orders pass."""
    found = compare(PAIRS, seed=6)
    assert found.differences == []
    assert found.too_rare == []
    assert found.passed >= 0.1 * found.pairs == 0.1 * PAIRS
    assert found.exits >= 0.1 * found.pairs


def test_the_twin_knows_nothing_of_the_gate() -> None:
    """It imports the nouns and the standard library."""
    tree = ast.parse(Path(risk_reference.__file__).read_text("utf-8"))
    names = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    ours = {
        name for name in names if name and name.split(".")[0] in {"core", "bot", "storage", "sim", "tests"}
    }
    assert ours == {"core.model"}


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
    "a rule left out": lambda: tuple(row for row in risk.RULES if row.rule.__name__ != "crossing"),
    "the order of the rules": lambda: (*risk.RULES[1:], risk.RULES[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge moved, a sign turned, a unit forgotten: the twin does not agree."""
    monkeypatch.setattr(risk, "RULES", BROKEN[name]())
    assert compare(PAIRS, seed=6).differences
