"""The manual of the simulated world is held against it: every route and field, and the programs that it prints."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sim.world import World

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("simulators*.md"))
MANUAL = (ROOT / "docs" / "simulators.md").read_text("utf-8")
ROUTE = re.compile(r"\| `?(GET|POST) (/(?!v1/)[\w./]*)")
EVERYWHERE = {"after", "timeout"}
"""Fields of every events route, told once for all of them."""


@pytest.fixture
async def routes() -> AsyncIterator[list[dict[str, Any]]]:
    async with World(None) as world, aiohttp.ClientSession() as http, http.get(world.control_url) as response:
        yield (await response.json())["routes"]


def documented() -> dict[tuple[str, str], str]:
    """The row of every route in the tables of the manual, with the rows that go on with it."""
    rows: dict[tuple[str, str], str] = {}
    for page in PAGES:
        last = None
        for line in page.read_text("utf-8").splitlines():
            if found := ROUTE.match(line):
                last = (found[1], found[2])
                assert last not in rows, f"{last} is told twice"
                rows[last] = line
            elif last and line.startswith("| |"):
                rows[last] += line
            else:
                last = None
    return rows


async def test_the_manual_has_every_route_and_no_other(routes: list[dict[str, Any]]) -> None:
    assert {(route["method"], route["path"]) for route in routes} == documented().keys()


async def test_the_manual_has_every_field(routes: list[dict[str, Any]]) -> None:
    """In the row of its route, or in a table of its own where the row says that the fields stand below."""
    rows = documented()
    below = "\n".join(page.read_text("utf-8") for page in PAGES)
    missing = []
    for route in routes:
        row = rows[route["method"], route["path"]]
        fields = {*route.get("body", ()), *route.get("query", ())}
        if route["path"].endswith("/events"):
            fields -= EVERYWHERE
        for name in sorted(fields):
            told = re.search(rf"\b{name}\b", row) or ("below" in row and f"\n| `{name}` |" in below)
            missing += [] if told else [f"{route['path']}: {name}"]
    assert missing == []


def program(name: str) -> str:
    """The program that stands between the marks of this name."""
    found = re.search(rf"<!-- {name} -->\s+```python\n(.*?)```\s+<!-- /{name} -->", MANUAL, re.DOTALL)
    assert found, name
    return found[1]


async def test_the_first_example_runs_as_it_is_printed() -> None:
    """With nothing changed but the port, since the usual one may be somebody's."""
    text = program("example")
    assert len(text.splitlines()) <= 16
    async with World(None, servers=("tws",)) as world:
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", text.replace("7497", str(world.tws.port))],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(r"Filled: 10 AAPL at \d+\.\d+\n", ran.stdout)


def test_the_fixture_works_as_it_is_printed(tmp_path: Path) -> None:
    (tmp_path / "test_printed.py").write_text(program("fixture"), "utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n", "utf-8"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
