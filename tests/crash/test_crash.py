"""A sample of `make crash`, and the proof that it bites: bots that are wrong on purpose are found out."""

import fcntl
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.crash.mutations import MUTATIONS
from tests.crash.named import FAULTS, Row
from tests.kit import ROOT

WRONG = {
    "no_intent": ("market", "after send placeOrder", "has .*, the file does not|a stranger's|its card is"),
    "resend_at_start": ("limit", "after send placeOrder", "orders at the broker have the reference"),
    "tap_not_consumed": ("market", "COMMIT record_sending", "its card is open|was tapped, is still open"),
    "halt_in_memory": ("halt", "COMMIT record_cancel", "the file says ACTIVE"),
    "halt_forgets": ("halt", "after COMMIT keep_trading", "works at the broker|never: |nobody said"),
    "executions_by_full_id": ("correct", "COMMIT record", "rows of the execution"),
    "legs_are_fills": (
        "combo",
        "before COMMIT record_sending",
        "its executions as a whole are|the leg .* moved by",
    ),
    "whole_is_held": ("combo", "before COMMIT record_sending", "cannot explain a holding"),
    "beyond_the_final_limit": ("reprice", "before COMMIT record_sending", "stood at .* approved were"),
    "change_again_at_start": (
        "reprice",
        "after send placeOrder",
        "orders and changes were sent, the broker saw",
    ),
    "premium_stays": ("assign", "heard Execution", "/lots says a gain of"),
    "nudged_again": ("assign", "COMMIT run_job", "said . times: option_ended"),
}
"""Of each mutation: a flow and the boundaries at which it must show, and the difference that it makes.

A tap that nobody took down leaves an open card behind: beside its order, or, where the order was settled before the
bot looked for its card again, beside nothing.
"""


def crash(*words: str) -> subprocess.CompletedProcess[str]:
    """A run of the recorder, as `make crash` starts it."""
    return subprocess.run(
        [sys.executable, "-m", "tests.crash", "--workers", "2", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=220,
        check=False,
    )


@pytest.mark.timeout(240)
def test_a_sample_of_kills() -> None:
    """Sixty lives of the bot end somewhere, in flows of every kind; chat, file and broker tell one story each time."""
    done = crash("--kills", "60", "--seed", "1")
    assert re.search(r"\d\d in-process kills in 60 runs, 0 runs differ", done.stdout), (
        done.stdout + done.stderr
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(240)
def test_real_sigkills() -> None:
    """Programs that end by a real SIGKILL: after the intent is written down, and after it has left."""
    done = crash("--kills", "0", "--sigkill", "4", "--flow", "fill")
    assert re.search(r"4 SIGKILLs in 4 runs, 0 runs differ", done.stdout), done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each named crash: tried once, whichever process of the tests asks first."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "named-crashes").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if not (lines := file.read()):
            done = crash("--named")
            lines = "\n".join(line for line in done.stdout.splitlines() if line.startswith("{"))
            assert lines.count("\n") == len(FAULTS) - 1, done.stdout + done.stderr
            file.write(lines)
    told = [json.loads(line) for line in lines.splitlines()]
    return {result["job"]["called"]: result for result in told}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", FAULTS, ids=[fault[0] for fault in FAULTS])
def test_named_crash(results: dict[str, Any], fault: Row) -> None:
    """The bot died exactly there, what was armed in the world has fired, and the books agree."""
    name, _, boundary, trouble = fault
    result = results[name]
    assert result["died_at"][0].startswith(boundary)
    assert result["differences"] == []
    assert result["lives"] > 1
    for path, body in trouble:
        fault_name = path.removeprefix("/tws/")
        fired = {
            key: count for key, count in result["faults"].items() if key.startswith(fault_name.rstrip("s"))
        }
        assert sum(fired.values()) > 0, (path, body, result["faults"])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_what_is_wrong_is_found(mutation: str) -> None:
    """A bot with one of its promises taken out does not pass."""
    flow, at, difference = WRONG[mutation]
    done = crash("--kills", "4", "--mutate", mutation, "--flow", flow, "--at", at, "--shown", "9")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(difference, done.stdout), done.stdout
