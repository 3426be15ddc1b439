"""How the running bot tells programs beside it whether it works: a small note next to the database, written anew every few seconds.

The note is made in the loop and written in a thread, so that a loop that hangs shows by the age of its note, and a disk that hangs
holds up nothing.
"""

import asyncio
import contextlib
import json
import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.services import Desk

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
FRESH_SECONDS = 20.0
LEAVING_SECONDS = 1.0
HEARD_SECONDS = 60.0
"""A poll waits up to 25 seconds for news and 10 more for the answer; a pause after an outage is 30 at most."""


def note_of(database: Path) -> Path:
    """Where the bot with this database leaves its note."""
    return database.with_name(database.name + ".health")


async def keep(desk: Desk, every_seconds: float = EVERY_SECONDS) -> None:
    """Write the note for as long as the bot runs; none is left behind by a bot that stops in order."""
    path, said = note_of(desk.settings.database_path), False
    writing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writing.set_result(None)
    try:
        while True:
            writing = asyncio.ensure_future(asyncio.to_thread(_write, path, json.dumps(facts(desk))))
            try:
                await asyncio.shield(writing)
                said = False
            except OSError as problem:
                if not said:
                    log.warning("%s cannot be written: %s", path, problem.strerror)
                said = True
            await asyncio.sleep(every_seconds)
    finally:
        await asyncio.wait({writing}, timeout=LEAVING_SECONDS)
        with contextlib.suppress(OSError):
            path.unlink()


def facts(desk: Desk) -> dict[str, Any]:
    """What the note says."""
    link = desk.broker.link
    return {
        "at": desk.clock.now().isoformat(),
        "wanted": link.wanted,
        "connected": link.connected,
        "reconciled": link.reconciled,
        "ready": link.ready,
        "trouble": link.trouble,
        "polled_seconds_ago": desk.last_poll_seconds(),
    }


def judge(path: Path, now: datetime) -> tuple[bool, str]:
    """Whether the bot works, and one line that says why or why not."""
    try:
        told = json.loads(path.read_text("utf-8"))
        age = (now - datetime.fromisoformat(told["at"])).total_seconds()
        polled = told["polled_seconds_ago"]
        broker = _broker(told)
        heard = "not heard yet" if polled is None else f"last heard {polled + max(age, 0):.0f} s ago"
    except FileNotFoundError:
        return False, f"no Greenlight is running on this database (there is no {path})."
    except OSError as problem:
        return False, f"{path} cannot be read: {problem.strerror}."
    except (ValueError, KeyError, TypeError):
        return False, f"{path} is not a note of this Greenlight."
    if abs(age) > FRESH_SECONDS:
        return False, f"the last sign of life is {age:.0f} s old: Greenlight was killed, or hangs."
    polling = polled is not None and polled <= HEARD_SECONDS
    working = told["ready"] or not told["wanted"]
    return bool(polling and working), f"{broker}; Telegram {heard}."


def _broker(told: dict[str, Any]) -> str:
    if not told["wanted"]:
        return "broker disconnected at your wish (/connect brings it back)"
    if told["trouble"]:
        return str(told["trouble"]).rstrip(".")
    if not told["connected"]:
        return "broker not connected, trying again by itself"
    return "broker connected" + (
        ", the books agree" if told["reconciled"] else ", the books are being compared"
    )


def _write(path: Path, text: str) -> None:
    """All of it or none of it, for us alone."""
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new, path)
