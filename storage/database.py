"""The one connection to the one file, and the rule of the house: a transaction is one function, run whole in the database's thread.

A transaction belongs to a connection, not to a task, so statements of two tasks on one connection would mix. Here they cannot: a
function with everything from BEGIN to COMMIT is one item in aiosqlite's queue, which is also the cheapest way (one hop, not six).
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, Concatenate, ParamSpec, TypeVar

import aiosqlite

from core.errors import StorageError
from storage import backup, migrations
from storage.files import backups_of, coming_of, own

_OUR_FAULT = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)
P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """Opened once; `write` and `read` run functions over the sqlite3 connection."""

    def __init__(self, connection: aiosqlite.Connection, lock: IO[str]) -> None:
        self._connection, self._lock = connection, lock
        self.trouble = ""
        """Why the last transaction could not be written, where that was the disk's fault or a lock's; empty since one could."""

    @classmethod
    async def open(
        cls, path: Path, backups: Path | None = None, now: Callable[[], datetime] | None = None
    ) -> "Database":
        """Open and migrate; `backups` is the folder of the backups, and with `now` one is made there before the schema changes.

        Raises StorageError where another process owns the file, it is damaged, half restored, or newer than this program, or where it
        would have to be migrated and cannot be backed up first. Then nothing was changed.
        """
        folder = backups or backups_of(path)
        lock = own(path)
        connection = aiosqlite.connect(path, isolation_level=None)
        try:
            _ensure_usable(path)
            await connection
            database = cls(connection, lock)
            await database._run(_prepare)
            if now is not None:
                await asyncio.to_thread(_back_up, path, folder, await database._run(_version), now())
            await database._run(migrations.migrate)
        except (sqlite3.Error, StorageError) as problem:
            await _let_go(connection)
            lock.close()
            said = problem.__cause__ if isinstance(problem.__cause__, sqlite3.Error) else problem
            if isinstance(said, StorageError):
                raise
            raise StorageError(
                f"The database {path} cannot be used: {said}. Nothing is traded with it. {_way_out(folder)}"
            ) from problem
        return database

    async def write(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` as one transaction: all of it, or nothing and StorageError (or the GreenlightError that it raised itself)."""

        def transaction(db: sqlite3.Connection) -> T:
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db, *args, **kwargs)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return result

        try:
            done = await self._run(transaction)
        except StorageError as problem:
            if isinstance(problem.__cause__, sqlite3.DatabaseError) and not isinstance(
                problem.__cause__, _OUR_FAULT
            ):
                self.trouble = str(problem.__cause__)
            raise
        self.trouble = ""
        return done

    async def read(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work`, which only reads."""
        return await self._run(lambda db: work(db, *args, **kwargs))

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        # aiosqlite's public methods are one hop a statement; `_execute` is the queue behind all of them (versions are locked).
        try:
            return await self._connection._execute(lambda: work(self._connection._conn))  # type: ignore[no-any-return, no-untyped-call]
        except (sqlite3.Error, ValueError) as problem:
            raise StorageError(f"The database did not take it ({problem}); nothing was done.") from problem

    async def close(self) -> None:
        """Close the file and let go of it."""
        await self._connection.close()
        self._lock.close()


def _prepare(db: sqlite3.Connection) -> None:
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({backup.one_line(found)})")
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")  # an intent that is committed is on the disk, whatever happens next
    db.execute("PRAGMA foreign_keys=ON")
    # Short, because one thread does all the work: whoever waits here keeps everybody waiting. The callers try again.
    db.execute("PRAGMA busy_timeout=500")


async def _let_go(connection: aiosqlite.Connection) -> None:
    if connection._thread.is_alive():
        await connection.close()
        # A connect that failed leaves its thread about to end; past the end of the loop it would print a trace behind our line.
        await asyncio.to_thread(connection._thread.join)


def _ensure_usable(path: Path) -> None:
    # SQLite opens a file that it must not write for reading alone, and says so only at the first order.
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise StorageError(
            f"DATABASE_PATH {path} cannot be used: the file is not ours to write. Change its owner or mode, or set another path."
        )
    if coming_of(path).exists():
        raise StorageError(
            f"A restore of {path} was cut off before its end, so nothing is traded with it. Run it again: greenlight restore latest, "
            f"or the file that was meant; what was there before lies beside it as {path.name}.before-restore-..."
        )


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _back_up(path: Path, folder: Path, version: int, now: datetime) -> None:
    """A verified backup before the schema changes; a file that has no schema yet needs none."""
    wanted = len(migrations.MIGRATIONS)
    if not 0 < version < wanted:
        return
    try:
        backup.make(path, folder, now, before=wanted)
    except StorageError as problem:
        raise StorageError(
            f"The database {path} has to be brought from version {version} to {wanted}, and is backed up before that, which failed. "
            f"{problem} Make room there, or set BACKUP_DIR to another folder, and start again. Nothing was changed."
        ) from None


def _way_out(folder: Path) -> str:
    """What the owner of a damaged database can do."""
    try:
        there = backup.found(folder)
    except StorageError as problem:
        return f"Restore a copy of yours (greenlight restore FILE). {problem}"
    if not there:
        return (
            f"There are no backups in {folder}: Restore a copy of yours (greenlight restore FILE), or move the file away to begin anew; "
            "what is at the broker is found again."
        )
    times = ", ".join(f"{b.at:%Y-%m-%d %H:%M}" for b in there[:3])
    more = f" and {len(there) - 3} older" if len(there) > 3 else ""
    return f"Restore the newest backup with: greenlight restore latest. There are those of {times} UTC{more}, in {folder}."
