"""The gate and its slow twin over as many random orders as one likes: of shares, and half as many plans of options.

    python -m tests.core.risk_reference_run --pairs 100000 --seed 1

Prints how often each rule denied, what share passed wholly, and the first pair on which the two do not say the same. It exits with 1 where
there is one, or where a rule denied in fewer than 1 % of the pairs that it is for, or fewer than 10 % (of plans 30 %) passed: then it has
not been tried enough.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import Any

from core import risk
from core.model import Denial, Ticket
from core.risk import Limits, RuleRow, Snapshot
from tests.core.risk_pairs import pair
from tests.core.risk_plan_pairs import plan_pair
from tests.core.risk_reference import verdict

LEAST_FIRED = 0.01
Maker = Callable[[Random], tuple[Ticket, Snapshot, Limits]]
LEAST_PASSED: dict[Maker, float] = {pair: 0.10, plan_pair: 0.30}


@dataclass
class Found:
    """What a run has seen. `fired` counts the pairs in which each rule denied, by its name."""

    make: Maker = pair
    pairs: int = 0
    passed: int = 0
    exits: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    @property
    def too_rare(self) -> list[str]:
        """Rules that denied in too few pairs; what is counted beside them is a limit that is not set, and a figure that is none."""
        names = self.names
        if (
            self.make is plan_pair
        ):  # what holds for every order, and measures it the same way, is tried with shares
            names = [name for row in risk.RULES if (name := row.rule.__name__) == "cash_kept" or row.plans]
        return [name for name in names if self.fired[name] < LEAST_FIRED * self.pairs]

    @property
    def names(self) -> list[str]:
        """The rules that these orders are asked, and the two denials that are none's."""
        rows = [row for row in risk.RULES if row.plans in (None, self.make is plan_pair)]
        return [*(row.rule.__name__ for row in rows), "LIMIT_MISSING", "NOT_A_NUMBER"]

    @property
    def fine(self) -> bool:
        """Whether the two agree, and were tried enough."""
        return (
            not self.differences and not self.too_rare and self.passed >= LEAST_PASSED[self.make] * self.pairs
        )


def plain(value: Any) -> dict[str, Any]:
    """The fields of a value by their names."""
    return {f.name: getattr(value, f.name) for f in fields(value)}


def compare(pairs: int, seed: int, *, make: Maker = pair, most: int = 1) -> Found:
    """Ask both about so many pairs; the run ends at so many differences."""
    found, r = Found(make), Random(seed)
    rules = risk.RULES
    names: list[str] = []
    risk.RULES = tuple(_noting(row, names) for row in rules)
    try:
        for number in range(pairs):
            ticket, snapshot, limits = make(r)
            names.clear()
            found.pairs += 1
            _one(found, number, ticket, snapshot, limits)
            found.fired.update(set(names))
            if len(found.differences) >= most:
                break
    finally:
        risk.RULES = rules
    return found


def _one(found: Found, number: int, ticket: Ticket, snapshot: Snapshot, limits: Limits) -> None:
    codes = [denial.code for denial in risk.check(ticket, snapshot, limits)]
    expected = verdict(ticket, plain(snapshot), plain(limits))
    found.passed += not codes
    found.fired.update({code for code in codes if code in ("LIMIT_MISSING", "NOT_A_NUMBER")})
    if "NOT_A_NUMBER" not in codes:
        found.exits += risk.reduces(ticket, snapshot)
    if codes != expected:
        found.differences.append("\n".join(_told(number, codes, expected, ticket, snapshot, limits)))


def _noting(row: RuleRow, names: list[str]) -> RuleRow:
    rule = row.rule

    def noted(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
        denial = rule(ticket, snapshot, limits)
        if denial is not None:
            names.append(rule.__name__)
        return denial

    noted.__name__ = rule.__name__
    return replace(row, rule=noted)


def _told(
    number: int, codes: list[str], expected: list[str], ticket: Ticket, snapshot: Snapshot, limits: Limits
) -> Iterator[str]:
    yield f"pair {number}: the gate says {codes}, the reference {expected}"
    yield f"  only the gate: {[c for c in codes if c not in expected]}; only the reference: {[c for c in expected if c not in codes]}"
    yield f"  {ticket}"
    yield f"  {snapshot}"
    yield f"  {limits}"


def main() -> int:
    """Returns 1 where anything differs, or was not tried enough."""
    parser = argparse.ArgumentParser(prog="python -m tests.core.risk_reference_run", description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    fine = [
        _run("shares", pair, asked.pairs, asked.seed),
        _run("plans", plan_pair, asked.pairs // 2, asked.seed),
    ]
    sys.stdout.write("no difference\n" if all(fine) else "NOT FINE\n")
    return 0 if all(fine) else 1


def _run(what: str, make: Maker, pairs: int, seed: int) -> bool:
    begun, say = time.monotonic(), sys.stdout.write
    found = compare(pairs, seed, make=make)
    say(f"{what}, seed {seed}: {found.pairs} pairs in {time.monotonic() - begun:.0f} s\n")
    say(
        f"  passed wholly: {found.passed} ({found.passed / found.pairs:.1%}); orders that only close: {found.exits}\n"
    )
    for name in found.names:
        say(f"  {found.fired[name]:7d}  {found.fired[name] / found.pairs:6.2%}  {name}\n")
    for difference in found.differences:
        say(difference + "\n")
    if found.too_rare:
        say(f"too rare: {', '.join(found.too_rare)}\n")
    return found.fine


if __name__ == "__main__":
    sys.exit(main())
