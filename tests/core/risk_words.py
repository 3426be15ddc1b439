"""What the gate says, as a text that somebody can read: python -m tests.core.risk_words writes it anew beside this file."""

from collections.abc import Iterator
from pathlib import Path

from core import risk
from core.model import Denial
from tests.core.risk_cases import Case
from tests.core.risk_plan_cases import CASES

ROWS = {row.rule.__name__: row for row in risk.RULES}


def told() -> str:
    """Rule by rule, every sentence of its cases with figure, limit, remedy and the quantity that fits."""
    return "".join(f"{line}\n" for name in CASES for line in _of(name))


def _of(name: str) -> Iterator[str]:
    row = CASES[name]
    yield f"{name}"
    cases: list[Case] = [one for one, _ in (*row.denies, *row.missing)] + [
        outside for _, outside in row.edges
    ]
    seen = set()
    for one in cases:
        denial = ROWS[name].rule(one.ticket, one.moment, one.limits)
        if denial is not None and (line := _line(denial)) not in seen:
            seen.add(line)
            yield f"  {line}"


def _line(denial: Denial) -> str:
    parts = [f"{denial.code}: {denial.message}"]
    parts += [f"{label} {word}" for label, word in (("is", denial.figure), ("limit", denial.limit)) if word]
    parts += [f"remedy {denial.remedy}"] if denial.remedy else []
    parts += [f"fits {denial.fits}"] if denial.fits is not None else []
    return " | ".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("risk_words.txt").write_text(told(), "utf-8")
