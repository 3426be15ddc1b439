"""Looks at a database file without changing a byte of it: is it there, is it in use, could this program work with it."""

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import StorageError
from storage.files import coming_of, lock_of
from storage.migrations import MIGRATIONS


class State(StrEnum):
    """What was found."""

    ABSENT = "absent"
    IN_USE = "in use"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that can be used. `version` is None where it was not read; one below `wanted` is brought up at the next start."""

    state: State
    version: int | None = None
    wanted: int = len(MIGRATIONS)


def look(path: Path) -> Found:
    """Raises StorageError with what is wrong and what to do where the bot could not work with the file.

    A file in use is not opened: whoever has it vouches for it.
    """
    if in_use(path):
        return Found(State.IN_USE)
    try:
        _ensure_writable(path)
        if coming_of(path).exists():
            raise StorageError(
                f"A restore of {path} was cut off before its end. Run it again: greenlight restore latest."
            )
        return Found(State.FREE, _version(path)) if path.exists() else Found(State.ABSENT)
    except (OSError, sqlite3.Error) as problem:
        if in_use(path):  # taken while we looked, so that what we saw may have been half of something
            return Found(State.IN_USE)
        raise StorageError(
            f"The database {path} cannot be opened: {problem}. Restore a backup (greenlight restore latest), or move it away."
        ) from problem


def in_use(path: Path) -> bool:
    """Whether a running Greenlight owns the file. The question is over in an instant and leaves the lock as it was."""
    try:
        lock = lock_of(path).open()
    except OSError:
        return False
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _ensure_writable(path: Path) -> None:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    for needed in (folder, path, lock_of(path)):
        if needed.exists() and not os.access(needed, os.R_OK | os.W_OK):
            raise StorageError(
                f"DATABASE_PATH {path} cannot be used: {needed} is not ours to write. Change its owner, or set another path."
            )
    if not folder.is_dir() or path.is_dir():
        raise StorageError(f"DATABASE_PATH {path} cannot be used: it must be a file in a folder.")


def _version(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    # Without a log to be read along, "immutable" keeps SQLite from making files beside this one.
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)) as db:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StorageError(
            f"The database is of version {version}, this program knows {len(MIGRATIONS)}: use the newer Greenlight that wrote it."
        )
    return int(version)
