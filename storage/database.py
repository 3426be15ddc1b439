"""The one connection to the one file, and the rule of the house: a transaction is one function, run whole in the database's thread.

A transaction belongs to a connection, not to a task, so statements of two tasks on one connection would mix. Here they cannot: a
function with everything from BEGIN to COMMIT is one item in aiosqlite's queue, which is also the cheapest way (one hop, not six).
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import IO, Concatenate, ParamSpec, TypeVar

import aiosqlite

from core.errors import StorageError
from storage.migrations import migrate

P = ParamSpec("P")
T = TypeVar("T")


def lock_of(path: Path) -> Path:
    """The file beside a database by which its owner is known: it is locked for as long as somebody has the database open."""
    return path.with_name(path.name + ".lock")


class Database:
    """Opened once; `write` and `read` run functions over the sqlite3 connection."""

    def __init__(self, connection: aiosqlite.Connection, lock: IO[str]) -> None:
        self._connection, self._lock = connection, lock

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open and migrate. Raises StorageError where another process owns the file, it is damaged, or newer than this program."""
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
        connection = aiosqlite.connect(path, isolation_level=None)
        try:
            await connection
            database = cls(connection, lock)
            await database._run(_prepare)
            await database._run(migrate)
        except (sqlite3.Error, StorageError) as problem:
            await connection.close()
            # A connect that failed leaves its thread about to end; past the end of the loop it would print a trace behind our line.
            await asyncio.to_thread(connection._thread.join)
            lock.close()
            said = problem.__cause__ if isinstance(problem.__cause__, sqlite3.Error) else problem
            if isinstance(said, StorageError):
                raise
            raise StorageError(
                f"The database {path} cannot be opened: {said}. Restore a copy, or move it away."
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

        return await self._run(transaction)

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
        raise sqlite3.DatabaseError(f"it is damaged ({found})")
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")  # an intent that is committed is on the disk, whatever happens next
    db.execute("PRAGMA foreign_keys=ON")
    # Short, because one thread does all the work: whoever waits here keeps everybody waiting. The callers try again.
    db.execute("PRAGMA busy_timeout=500")
