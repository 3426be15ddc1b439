"""Backups of the database: made while it is in use, read back before they count, kept by number, and put in its place again.

A backup is one file under its final name, or it is none: it is written under another name, put on the disk, read back (every page, the number
of rows of every table, the version) and only then renamed. It is a snapshot of one moment, read over a connection of its own, so nobody
who writes waits for it.
"""

import fcntl
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import StorageError
from storage import migrations, rows
from storage.files import coming_of, index_of, log_of, owned, same_owner, to_disk

KEPT_BEFORE_MIGRATIONS = 3
LEAP = 1000
"""How far the order numbers jump where nobody can say which were given after the backup."""
RESTORED, NUMBERS_FROM = "restored", "order_numbers_from"
_NAME = re.compile(r"greenlight-(\d{8}-\d{6})Z(-before-v\d+)?\.db")
_HALF = ".half"
_BESIDE = ("-journal", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was verified when it was made. `migrates` says that it was made because the schema was about to change."""

    path: Path
    at: datetime
    migrates: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database file holds: rows by table, and the latest that it knows of, in UTC; None where it knows of none."""

    version: int
    counts: Mapping[str, int]
    last_update: datetime | None
    last_execution: datetime | None
    last_order: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. `kept` is where the database that was there before lies now; None where there was none.

    `lost_after` are the times of the last update and execution that the backup knows of: what came later the broker has to tell.
    """

    backup: Path
    kept: Path | None
    contents: Contents
    cards: int
    passed_over: tuple[str, ...]


def found(folder: Path) -> tuple[Backup, ...]:
    """The backups in a folder, the newest first; none where there is no folder. Raises StorageError where it cannot be read."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as problem:
        raise StorageError(f"The backups in {folder} cannot be read: {problem.strerror}.") from problem
    backups = []
    for name in names:
        if told := _NAME.fullmatch(name):
            with suppress(ValueError):
                at = datetime.strptime(told[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
                backups.append(Backup(folder / name, at, told[2] is not None))
    return tuple(sorted(backups, key=lambda b: (b.at, b.path.name), reverse=True))


def make(database: Path, folder: Path, now: datetime, before: int | None = None) -> Backup:
    """A verified backup in the folder, named by the time; `before` is the version that the schema is about to have.

    Raises StorageError with what went wrong; then there is no new backup.
    """
    why = "" if before is None else f"-before-v{before}"
    if not database.is_file():
        raise StorageError(f"There is no database {database}, so there is nothing to back up.")
    path = folder / f"greenlight-{now.astimezone(UTC):%Y%m%d-%H%M%S}Z{why}.db"
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            same_owner(folder, database)
    except OSError as problem:
        raise StorageError(
            f"The folder for backups {folder} cannot be made: {problem.strerror}."
        ) from problem
    write(database, path)
    return Backup(path, now, before is not None)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the `keep` newest backups, and all but a few of those that were made before a migration."""
    every = found(folder)
    daily, migrating = [b for b in every if not b.migrates], [b for b in every if b.migrates]
    for old in (*daily[keep:], *migrating[KEPT_BEFORE_MIGRATIONS:]):
        with suppress(OSError):
            old.path.unlink()


def write(database: Path, target: Path) -> Contents:
    """A verified copy of the database as it is at this moment, under the name `target`. Raises StorageError; then `target` is not there."""
    if not database.is_file():
        raise StorageError(f"There is no database {database}, so there is nothing to back up.")
    half = target.with_name(f".{target.name}.{os.getpid()}{_HALF}")
    try:
        _sweep(target.parent)
        with _made(half):
            told = _copy(database, half)
            same_owner(half, database)
            to_disk(half)
            _compare(half, told)
            os.replace(half, target)
            to_disk(target.parent)
    except (OSError, sqlite3.Error) as problem:
        raise StorageError(f"The backup {target} could not be made: {_words(problem)}.") from problem
    return told


def check(path: Path) -> Contents:
    """What a file holds, after every page of it was read. Raises StorageError where it is no sound database of this program."""
    if not path.is_file():
        raise StorageError(f"There is no file {path}.")
    try:
        with closing(_reading(path)) as db:
            (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise StorageError(f"{path} is damaged: {one_line(said)}.")
            told = _contents(db)
    except sqlite3.Error as problem:
        raise StorageError(f"{path} is no database that can be read: {problem}.") from problem
    if "orders" not in told.counts or told.version < 1:
        raise StorageError(f"{path} is no database of Greenlight.")
    if told.version > len(migrations.MIGRATIONS):
        raise StorageError(
            f"{path} is of version {told.version}, this program knows {len(migrations.MIGRATIONS)}: use the newer Greenlight that wrote it."
        )
    return told


# --- back into its place -------------------------------------------------------------------------------------------------


def restore(database: Path, wanted: Path | None, folder: Path, now: datetime) -> Restored:
    """Put a backup (None: the newest that is sound) in the place of the database, which is kept beside it under another name.

    Nothing that was open in the backup stays open, because it may have been done since: cards, requests, messages and sales under way are
    ended, and the bot tells the rest when it has asked the broker. Raises StorageError; then the database is as it was, or, where this was
    cut off in the middle, the bot refuses to start and the same call puts it right.
    """
    with owned(database):
        backup, passed_over = (wanted, ()) if wanted is not None else _newest(folder)
        contents = check(backup)
        coming = coming_of(database)
        if coming.exists() and not database.exists():
            _set_aside(database, now)  # an earlier restore was cut off after its first step
        half = coming.with_name(coming.name + _HALF)
        try:
            with _made(half):
                _copy(backup, half)
                cards = _prepare(half, _known_since(database), backup, now)
                same_owner(half, database if database.exists() else database.parent)
                to_disk(half)
                check(half)
                os.replace(half, coming)  # from here on the bot does not start before this is finished
                to_disk(coming.parent)
            kept = _set_aside(database, now)
            os.replace(coming, database)
            to_disk(database.parent)
        except (OSError, sqlite3.Error) as problem:
            raise StorageError(f"{backup} could not be restored: {_words(problem)}.") from problem
    return Restored(backup, kept, contents, cards, passed_over)


def _newest(folder: Path) -> tuple[Path, tuple[str, ...]]:
    troubles = []
    for backup in found(folder):
        try:
            check(backup.path)
        except StorageError as problem:
            troubles.append(str(problem))
        else:
            return backup.path, tuple(troubles)
    more = f" {' '.join(troubles)}" if troubles else ""
    raise StorageError(f"There is no backup in {folder} that could be restored.{more}")


def _aside(database: Path) -> list[Path]:
    """What earlier restores have set aside, the newest last."""
    kept = database.parent.glob(f"{database.name}.before-restore-*Z")
    return sorted(kept)


def _set_aside(database: Path, now: datetime) -> Path | None:
    """Rename the database and its log, in an order in which neither is ever read with another's half."""
    kept = database.with_name(f"{database.name}.before-restore-{now.astimezone(UTC):%Y%m%d-%H%M%S-%f}Z")
    there = database.exists()
    if there:
        os.rename(database, kept)
    if log_of(database).exists() and not log_of(database).stat().st_size:
        log_of(database).unlink()
    if log_of(database).exists():
        last = kept if there else next(iter(_aside(database)[-1:]), kept)
        os.rename(log_of(database), log_of(last))
    index_of(database).unlink(missing_ok=True)
    to_disk(database.parent)
    return kept if there else None


def _known_since(database: Path) -> sqlite3.Connection | None:
    """The database that is to be replaced, where it is sound: what it knows and a backup cannot. None where it is not, or is not there."""
    path = database if database.exists() else next(iter(_aside(database)[-1:]), database)
    try:
        check(path)
        return _reading(path)
    except (StorageError, sqlite3.Error):
        return None


def _prepare(path: Path, newer: sqlite3.Connection | None, backup: Path, now: datetime) -> int:
    """Make a copy of a backup ready to go on with, in one commit; returns how many cards were open in it."""
    at = rows.text(now)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as db,
        closing(newer or sqlite3.connect(":memory:")) as other,
    ):
        db.row_factory = sqlite3.Row
        migrations.migrate(db)
        told = _contents(db)
        db.execute("BEGIN IMMEDIATE")
        cards = {
            row["ticket_id"]: row["owner"]
            for row in db.execute("SELECT ticket_id, owner FROM tickets WHERE state = 'open'")
        }
        sales = [
            json.loads(row["ticket"])["instrument"]["symbol"]
            for row in db.execute(
                "SELECT t.ticket FROM closings c JOIN tickets t USING (ticket_id) WHERE c.ended_at IS NULL"
            )
        ]
        (newest_card,) = db.execute("SELECT coalesce(max(ticket_id), '') FROM tickets").fetchone()
        numbers_from = _carry_over(db, other, at) if newer else _leap(told.last_order)
        db.execute("UPDATE tickets SET state = 'expired', ended_at = ? WHERE state = 'open'", (at,))
        db.execute(
            "UPDATE updates SET finished_at = ?, outcome = 'before a restore' WHERE finished_at IS NULL",
            (at,),
        )
        db.execute(
            "UPDATE messages SET state = 'failed', error = 'before a restore', ended_at = ? WHERE state = 'waiting'",
            (at,),
        )
        db.execute("UPDATE closings SET state = 'done', ended_at = ? WHERE ended_at IS NULL", (at,))
        facts: dict[str, Any] = {
            "restored_at": at,
            "backup": backup.name,
            "last_update": told.last_update and rows.text(told.last_update),
            "last_execution": told.last_execution and rows.text(told.last_execution),
            "last_number": told.last_order,
            "newest_card": newest_card,
            "cards": cards,
            "sales": sales,
        }
        for key, value in ((RESTORED, json.dumps(facts)), (NUMBERS_FROM, str(numbers_from))):
            _remember(db, key, value)
        rows.insert(db, "audit", {"at": at, "kind": "restored", "user": None, "detail": backup.name})
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode=DELETE")
    return len(cards)


def _remember(db: sqlite3.Connection, key: str, value: str) -> None:
    rows.insert(
        db,
        "wishes",
        {"key": key, "value": value},
        "ON CONFLICT DO UPDATE SET value = excluded.value",
    )


def _leap(last: int) -> int:
    return (last // LEAP + 1) * LEAP


def _carry_over(db: sqlite3.Connection, newer: sqlite3.Connection, at: str) -> int:
    """What must not be forgotten with the database that is replaced; returns the last order number that was given.

    Its wishes are the latest, a line of the chat that it has seen is not to be acted on again, and a job that it did is done.
    """
    for key, value in newer.execute("SELECT key, value FROM wishes"):
        _remember(db, key, value)
    seen = newer.execute(
        "SELECT update_id, user, raw, received_at FROM updates ORDER BY received_at DESC LIMIT 2000"
    )
    db.executemany(
        "INSERT INTO updates VALUES (?, ?, ?, ?, ?, 'before a restore') ON CONFLICT DO NOTHING",
        [(*row, at) for row in seen],
    )
    done = newer.execute("SELECT job, session, at, facts FROM jobs").fetchall() if _has(newer, "jobs") else []
    db.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", done)
    kept = newer.execute("SELECT value FROM wishes WHERE key = ?", (NUMBERS_FROM,)).fetchone()
    return max(_contents(newer).last_order, int(kept[0]) if kept else 0)


def _has(db: sqlite3.Connection, table: str) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


# --- copies --------------------------------------------------------------------------------------------------------------


def _sweep(folder: Path) -> None:
    """Delete what a backup that was killed left behind. One that is still being written has its file locked."""
    for half in folder.glob(f".*{_HALF}"):
        with suppress(OSError), half.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _delete(half)


@contextmanager
def _made(half: Path) -> Iterator[None]:
    """An empty file for us alone, locked while the block lasts; whatever of it is left at the end is deleted."""
    _delete(half)
    lock = os.open(half, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)
        _delete(half)


def _delete(half: Path) -> None:
    for name in ("", *_BESIDE):
        half.with_name(half.name + name).unlink(missing_ok=True)


def _reading(path: Path) -> sqlite3.Connection:
    """A connection that reads and changes nothing, the log beside the file included."""
    log = log_of(path)
    # Without a log to be read along, "immutable" keeps SQLite from making files beside this one.
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, isolation_level=None)


def _copy(source: Path, half: Path) -> Contents:
    """Every page of one moment of `source`, as one file without a log; returns what was in it at that moment."""
    # Not immutable: a bot that starts meanwhile may write into it.
    uri = f"{source.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as from_,
        closing(sqlite3.connect(half)) as to,
    ):
        from_.execute("BEGIN")
        told = _contents(from_)  # the first look fixes the moment
        from_.backup(to)
        from_.execute("COMMIT")
        to.execute("PRAGMA journal_mode=DELETE")
    return told


def _compare(half: Path, told: Contents) -> None:
    """Read a copy back. Raises StorageError where it is not whole."""
    read = check(half)
    if read != told:
        wrong = [name for name, count in told.counts.items() if read.counts.get(name) != count]
        raise StorageError(
            f"The backup is not what was copied ({', '.join(wrong) or 'other figures'}); it was thrown away."
        )


def _contents(db: sqlite3.Connection) -> Contents:
    names = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    counts = {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name, *_) in names}
    (version,) = db.execute("PRAGMA user_version").fetchone()

    def last(table: str, column: str) -> Any:
        return db.execute(f"SELECT max({column}) FROM {table}").fetchone()[0] if table in counts else None

    return Contents(
        version,
        counts,
        rows.moment(last("updates", "received_at")),
        rows.moment(last("executions", "time")),
        last("orders", "number") or 0,
    )


def one_line(said: str) -> str:
    """What SQLite says of damage, without its line ends and stars."""
    return " ".join(said.replace("*", " ").split())


def _words(problem: Exception) -> str:
    told = getattr(problem, "strerror", None) or str(problem)
    return str(told).rstrip(".")
