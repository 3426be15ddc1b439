"""`greenlight health`: what the running bot says of itself, believed only while it is fresh."""

import asyncio
import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import health
from tests.kit import House, end
from tests.wire.test_doctor import as_a_program

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def note(tmp_path: Path, **changes: Any) -> Path:
    """A note that was written at NOW by a bot that is well."""
    told = {
        "at": NOW.isoformat(),
        "wanted": True,
        "connected": True,
        "reconciled": True,
        "ready": True,
        "trouble": "",
        "polled_seconds_ago": 3.0,
        **changes,
    }
    path = tmp_path / "greenlight.db.health"
    path.write_text(json.dumps(told), "utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "healthy", "sentence"),
    [
        ({}, True, "broker connected, the books agree; Telegram last heard 3 s ago."),
        ({"reconciled": False, "ready": False}, False, "the books are being compared"),
        ({"connected": False, "reconciled": False, "ready": False}, False, "broker not connected"),
        ({"ready": False, "trouble": "TWS has lost it."}, False, "TWS has lost it; Telegram"),
        ({"wanted": False, "connected": False, "ready": False}, True, "disconnected at your wish"),
        ({"polled_seconds_ago": None}, False, "Telegram not heard yet"),
        ({"polled_seconds_ago": 61.0}, False, "last heard 61 s ago"),
    ],
)
def test_the_verdict(tmp_path: Path, changes: dict[str, Any], healthy: bool, sentence: str) -> None:
    """Reconciled and polling is healthy, and so is a bot that was told to stay away from the broker; nothing else is."""
    verdict, line = health.judge(note(tmp_path, **changes), NOW)
    assert verdict is healthy
    assert sentence in line


@pytest.mark.parametrize("seconds", [21, 3600, -3600])
def test_a_note_that_is_not_of_now_is_not_believed(tmp_path: Path, seconds: int) -> None:
    """Whoever wrote it was killed or hangs, or the clock was set."""
    verdict, line = health.judge(note(tmp_path), NOW + timedelta(seconds=seconds))
    assert not verdict
    assert f"{seconds} s old" in line


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"at": "yesterday"}', '{"at": "2026-03-02T15:00:00", "polled_seconds_ago": 1}']
)
def test_a_file_that_is_no_note(tmp_path: Path, text: str) -> None:
    """Half a file, or somebody else's, is said to be that."""
    path = tmp_path / "greenlight.db.health"
    path.write_text(text, "utf-8")
    verdict, line = health.judge(path, NOW)
    assert not verdict
    assert "is not a note" in line


async def test_the_bot_is_asked_as_a_program(house: House) -> None:
    """Not there, well, killed and stopped in order: one line and an exit code each, and an orderly stop leaves no note."""
    code, out, errors = await as_a_program(house, "health")
    assert (code, errors) == (1, "")
    assert out.startswith("not healthy: no Greenlight is running")
    process = await house.spawn()
    await house.ready()
    path = health.note_of(house.state / "greenlight.db")
    await until(house, path, lambda now: now["ready"] and now["polled_seconds_ago"] is not None)
    assert path.stat().st_mode & 0o777 == 0o600
    code, out, errors = await as_a_program(house, "health")
    assert (code, errors, len(out.splitlines())) == (0, "", 1)
    assert out.startswith("healthy: broker connected, the books agree; Telegram last heard")
    await end(process, signal.SIGKILL)
    assert path.exists()
    process = await house.spawn()
    await house.phone.hears("Connected", after=(await house.phone.chat())[-1]["id"])
    assert (await end(process))[0] == 0
    assert not path.exists()


async def until(house: House, path: Path, wanted: Callable[[dict[str, Any]], Any]) -> None:
    """Wait for a note like that; the bot's own polls are what time is measured by."""
    async with asyncio.timeout(20):
        seen = 0
        while not wanted(told(path)):
            seen = (await house.control.get("/telegram/events", after=seen, timeout=0.2))["last"]


def told(path: Path) -> dict[str, Any]:
    """The note, or one of a bot that is not ready."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {"ready": False}
    return found


async def test_a_note_that_cannot_be_written_holds_up_nothing(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a folder stands in its place, the log says so and the bot works on; health then says that it knows nothing."""
    path = health.note_of(house.state / "greenlight.db")
    path.mkdir()
    (path / "in the way").touch()
    async with house.bot():
        await house.ready()
        await house.phone.asks("/status", "Broker connected")
    assert f"{path} cannot be written" in caplog.text
    assert health.judge(path, NOW) == (False, f"{path} cannot be read: Is a directory.")
