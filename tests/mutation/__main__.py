"""Wrong versions of the rooms that decide about money, and whether the tests notice: `make mutants`.

    python -m tests.mutation                          every room of ROOMS
    python -m tests.mutation --room sizing            one of them
    python -m tests.mutation --file core/sizing.py --tests tests/core/test_sizing.py      a file against these tests
    python -m tests.mutation --only "order_size"      mutants whose name has this in it

Survivors are listed by name; "argued" says that docs/proof.md has that name, with the reason why no test can tell it from the original. Ends with 1
where a survivor is not argued, or fewer than 95 % are killed.
"""

import argparse
import ast
import contextlib
import importlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.operators import Mutant, enumerations, mutants
from tests.mutation.runner import HOUSE, KILLED, TIMED_OUT, How, Verdict, fields_of, judge

LEAST = 0.95
VENDORS = ("aiosqlite", "ib_async", "numpy", "pytest_asyncio", "ulid", "hypothesis.stateful", "unittest.mock")
"""Imported before the first fork, so that not every child has to."""


@dataclass(frozen=True)
class Room:
    """Files that are made wrong, and the tests that should notice."""

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = (
    Room(
        "risk",
        ("core/risk/*.py",),
        ("tests/core/test_risk*.py", "tests/core/test_usage.py", "tests/core/test_kill_risk.py"),
    ),
    Room(
        "sizing",
        ("core/sizing.py",),
        ("tests/core/test_sizing.py", "tests/core/test_entry_sizing.py", "tests/core/test_kill_sizing.py"),
    ),
    Room("executor", ("core/executor.py",), ("tests/core/test_executor*.py",)),
    Room("trading", ("core/trading.py",), ("tests/core/test_trading.py", "tests/core/test_kill_trading.py")),
    Room(
        "exposure", ("core/exposure.py",), ("tests/core/test_exposure.py", "tests/core/test_kill_exposure.py")
    ),
)


def found(patterns: tuple[str, ...]) -> list[str]:
    """The files that patterns mean, from the top of the house."""
    names: list[str] = []
    for pattern in patterns:
        matching = sorted(HOUSE.glob(pattern)) if "*" in pattern else []
        names += [str(p.relative_to(HOUSE)) for p in matching] or [pattern]
    return names


def main() -> int:
    """Returns 1 where something survives that nobody has argued."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--room", choices=[room.name for room in ROOMS], action="append")
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--tests", action="append", default=[])
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--patience",
        type=float,
        default=10.0,
        help="seconds of the processor, beside what the tests of a mutant take",
    )
    parser.add_argument("--out", type=Path, help="every verdict, one a line")
    parser.add_argument(
        "--again", type=Path, help="only what was not killed by these verdicts of an earlier run"
    )
    asked = parser.parse_args()
    left = _not_killed(asked.again) if asked.again else set()
    how = How(asked.jobs, asked.patience)
    rooms = [room for room in ROOMS if asked.room is None or room.name in asked.room]
    if asked.file:
        rooms = [Room("asked", tuple(asked.file), tuple(asked.tests))]
    for vendor in VENDORS:
        with contextlib.suppress(ImportError):
            importlib.import_module(vendor)
    enums = enumerations(ast.parse((HOUSE / "core/model.py").read_text(encoding="utf-8")))
    argued, verdicts, say = (HOUSE / "docs/proof.md").read_text(encoding="utf-8"), list[Verdict](), _say
    for room in rooms:
        begun = time.monotonic()
        made: list[Mutant] = [m for path in found(room.files) for m in mutants(HOUSE / path, path, enums)]
        made = [m for m in made if asked.only in m.name and (asked.again is None or m.name in left)]
        say(f"{room.name}: {len(made)} mutants\n")
        for verdict in judge(made, found(room.tests), how, say):
            verdicts.append(verdict)
            if verdict.outcome != KILLED:
                known = " (argued)" if _is_argued(verdict, argued) else ""
                say(f"{verdict.outcome.upper()}{known} line {verdict.mutant.line}: {verdict.mutant.name}\n")
        say(f"{room.name}: {time.monotonic() - begun:.0f} s\n")
    if asked.out:
        asked.out.write_text("".join(json.dumps(fields_of(v)) + "\n" for v in verdicts), encoding="utf-8")
    return _summary(verdicts, argued)


def _not_killed(verdicts: Path) -> set[str]:
    told = [json.loads(line) for line in verdicts.read_text(encoding="utf-8").splitlines()]
    return {v["name"] for v in told if v["outcome"] != KILLED}


def _is_argued(verdict: Verdict, proof: str) -> bool:
    return f"`{verdict.mutant.name}`" in proof


def _summary(verdicts: list[Verdict], argued: str) -> int:
    """A row for each file, and whether that is enough."""
    rows: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        row = rows.setdefault(verdict.mutant.path, Counter())
        dead = verdict.outcome in {KILLED, TIMED_OUT}
        row.update(["mutants", "killed" if dead else "survived"])
        row["hung"] += verdict.outcome == TIMED_OUT
        row["argued"] += not dead and _is_argued(verdict, argued)
    total: Counter[str] = sum(rows.values(), Counter())
    _say("| file | mutants | killed | of these hung | survived | of these argued | killed of all |\n")
    for name, row in [*rows.items(), ("all", total)]:
        figures = [row[k] for k in ("mutants", "killed", "hung", "survived", "argued")]
        share = row["killed"] / max(row["mutants"], 1)
        _say(f"| {name} | {' | '.join(map(str, figures))} | {share:.1%} |\n")
    enough = total["killed"] >= LEAST * total["mutants"] and total["survived"] == total["argued"]
    return 0 if enough else 1


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
