"""The harness can tell a mutant that is noticed from one that is not, wherever the mutant is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
SAMPLE, CHECKS = "tests/mutation/sample.py", "tests/mutation/sample_checks.py"
SURVIVORS = {
    "within: LEAST <= figure <= MOST -> LEAST <= figure < MOST": "survived",  # the upper edge is not tried
    "halvings: figure // 2 -> figure / 2": "survived",  # nor an odd number
    "module: 5 -> 6": "survived",
    "module: 5 -> 4": "survived",
    "_named: 7 -> 8": "survived",  # runs when the module is imported, and its name alone is looked at
    "_named: 7 -> 6": "survived",
    "never_called: return figure + 1 -> return None": "not reached",
    "never_called: figure + 1 -> figure - 1": "not reached",
    "never_called: 1 -> 2": "not reached",
    "never_called: 1 -> 0": "not reached",
}
KILLED = (
    "within: LEAST <= figure <= MOST -> LEAST < figure <= MOST",
    "within: LEAST <= figure <= MOST -> LEAST <= figure > MOST",
    "within: return LEAST <= figure <= MOST -> return None",
    "halvings: count += 1 -> nothing",
    "halvings: while figure > 1 -> while False",
    "module: 2 -> 3",  # at import
    "module: 2 -> 1",
    "module: 'seven' -> 'XXsevenXX'",
    "_named: return (name, 7) -> return None",
)
HANGS = "halvings: 2 -> 1"


def mutate(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The harness, as `make mutants` runs it."""
    return subprocess.run(
        [sys.executable, "-m", "tests.mutation", *arguments],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_what_is_noticed_and_what_is_not(tmp_path: Path) -> None:
    """Exactly what the tests of the sample overlook survives; what they see is killed; what hangs is ended."""
    out = tmp_path / "verdicts"
    run = mutate("--file", SAMPLE, "--tests", CHECKS, "--patience", "1", "--out", str(out))
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    outcomes = {v["name"].removeprefix(f"{SAMPLE} "): v["outcome"] for v in verdicts}
    assert len(outcomes) == len(verdicts)
    assert {k: v for k, v in outcomes.items() if v not in ("killed", "timed out")} == SURVIVORS
    assert {outcomes[name] for name in KILLED} == {"killed"}
    assert outcomes[HANGS] == "timed out"
    assert run.returncode == 1
    assert "SURVIVED line 11" in run.stdout
    assert f"| {len(verdicts)} | {len(verdicts) - len(SURVIVORS)} | 1 | {len(SURVIVORS)} | 0 |" in run.stdout


@pytest.mark.parametrize("broken", ["def test_red() -> None:\n    assert False\n", "import nowhere\n"])
def test_red_tests_judge_nothing(tmp_path: Path, broken: str) -> None:
    """Tests that fail without any mutant would kill every one of them, so they are refused."""
    red = tmp_path / "red_checks.py"
    red.write_text(broken)
    run = mutate("--file", SAMPLE, "--tests", str(red))
    assert run.returncode == 1
    assert "do not pass without a mutant" in run.stderr
    assert "killed" not in run.stdout
