"""A sample of `make crash`, and the proof that it bites: bots that are wrong on purpose are found out."""

import fcntl
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.crash.mutations import MUTATIONS, WRONG
from tests.crash.named import FAULTS, Row
from tests.kit import ROOT

SOME = ("limit", "bracket", "modify", "cancel", "approve", "fill", "sale", "flatten", "reprice", "close")
"""Flows for the sample; the others are among the crashes by name, and all of them in `make crash`."""


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
    """Twenty lives of the bot end somewhere, in flows of shares and of options; chat, file and broker tell one story each time."""
    flows = [word for flow in SOME for word in ("--flow", flow)]
    done = crash("--kills", "20", "--seed", "1", *flows)
    assert re.search(r"\d\d in-process kills in 20 runs, 0 runs differ", done.stdout), (
        done.stdout + done.stderr
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(240)
def test_real_sigkills() -> None:
    """Programs that end by a real SIGKILL: after the intent is written down, and after it has left."""
    done = crash("--kills", "0", "--sigkill", "3", "--flow", "fill", "--flow", "combo")
    assert re.search(r"3 SIGKILLs in 3 runs, 0 runs differ", done.stdout), done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


def once(tmp_path_factory: pytest.TempPathFactory, option: str) -> list[dict[str, Any]]:
    """Results of one run of the recorder for many tests: tried once, whichever process of the tests asks first."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"crashes{option}").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if not (lines := file.read()):
            done = crash(option)
            lines = "\n".join(line for line in done.stdout.splitlines() if line.startswith("{"))
            assert "all of it took" in done.stdout, done.stdout + done.stderr
            file.write(lines)
    return [json.loads(line) for line in lines.splitlines()]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each named crash."""
    told = {result["job"]["called"]: result for result in once(tmp_path_factory, "--named")}
    assert len(told) == len(FAULTS)
    return told


@pytest.fixture(scope="module")
def wrong_ones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What became of the bots that are wrong on purpose, by what is wrong with them."""
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in MUTATIONS}
    for result in once(tmp_path_factory, "--bites"):
        told[result["job"]["mutations"][0]].append(result)
    return told


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
def test_what_is_wrong_is_found(wrong_ones: dict[str, list[dict[str, Any]]], mutation: str) -> None:
    """A bot with one of its promises taken out does not pass: it died where it was to die, and the books differ by just that."""
    _, at, difference = WRONG[mutation]
    died = [result for result in wrong_ones[mutation] if result["died_at"]]
    assert died
    assert all(at in result["died_at"][0] for result in died)
    found = [line for result in died for line in result["differences"]]
    assert any(re.search(difference, line) for line in found), found
