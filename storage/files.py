"""The files beside a database, by name, and the lock by which its one owner is known."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from core.errors import StorageError


def lock_of(path: Path) -> Path:
    """The file beside a database by which its owner is known: it is locked for as long as somebody has the database open."""
    return path.with_name(path.name + ".lock")


def log_of(path: Path) -> Path:
    """SQLite's log of the latest commits: a part of the database for as long as it is there."""
    return path.with_name(path.name + "-wal")


def index_of(path: Path) -> Path:
    """SQLite's index of that log, which it can make anew."""
    return path.with_name(path.name + "-shm")


def coming_of(path: Path) -> Path:
    """What a restore is about to put in the place of a database; while it lies there, the restore was not finished."""
    return path.with_name(path.name + ".restoring")


def backups_of(path: Path) -> Path:
    """Where the backups of a database are kept, unless the owner says otherwise."""
    return path.parent / "backups"


def own(path: Path) -> IO[str]:
    """The lock of a database, taken until the returned file is closed. Raises StorageError where somebody has it, or it cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_of(path).open("w")
    except OSError as problem:
        raise StorageError(f"DATABASE_PATH {path} cannot be used: {problem.strerror}.") from problem
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StorageError(
            f"Another Greenlight uses {path}. Stop that one first, or give this one its own DATABASE_PATH."
        ) from None
    return lock


@contextlib.contextmanager
def owned(path: Path) -> Iterator[None]:
    """The same for as long as the block lasts."""
    with own(path):
        yield


def same_owner(path: Path, like: Path) -> None:
    """Give a file that root makes to whom the other one belongs: the bot must be able to use it. Raises OSError."""
    if os.geteuid() == 0:
        told = like.stat()
        os.chown(path, told.st_uid, told.st_gid)


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Raises OSError."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
