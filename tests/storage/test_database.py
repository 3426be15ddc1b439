"""The file and its one connection: settings asserted, transactions whole, and every reason not to open it told in a line."""

# ruff: noqa: ASYNC240 - a test may wait for its own small files

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.errors import StaleCard, StorageError
from storage import migrations
from storage.database import Database
from storage.migrations import MIGRATIONS, migrate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "greenlight.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(path)
    yield opened
    await opened.close()


def put(db: sqlite3.Connection, key: str, value: str = "x") -> None:
    db.execute("INSERT INTO wishes VALUES (?, ?)", (key, value))


def keys(db: sqlite3.Connection) -> list[str]:
    return [key for (key,) in db.execute("SELECT key FROM wishes ORDER BY key")]


# --- how it is opened -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1), ("user_version", len(MIGRATIONS))],
)
async def test_the_connection_is_set_for_safety(database: Database, name: str, value: object) -> None:
    """synchronous=FULL (2) puts a commit on the disk before an order leaves; nothing of it is left to defaults."""
    assert await database.read(lambda db: db.execute(f"PRAGMA {name}").fetchone()[0]) == value


async def test_every_table_is_strict(database: Database) -> None:
    """SQLite checks the type of every column of every table."""
    tables = await database.read(lambda db: db.execute("PRAGMA table_list").fetchall())
    ours = [row for row in tables if row["type"] == "table" and not row["name"].startswith("sqlite_")]
    named = {row["name"] for row in ours}
    assert named >= {"updates", "messages", "tickets", "orders", "executions", "commissions", "audit"}
    assert [row["name"] for row in ours if not row["strict"]] == []


async def test_a_wrong_type_is_refused(database: Database) -> None:
    """Text in a number's column is no row."""
    with pytest.raises(StorageError):
        await database.write(lambda db: db.execute("INSERT INTO wishes VALUES (x'00', 1)"))


async def test_the_folder_is_made(tmp_path: Path) -> None:
    """A path in a folder that is not there yet works at the first start."""
    opened = await Database.open(tmp_path / "a" / "b" / "greenlight.db")
    await opened.close()
    assert (tmp_path / "a" / "b" / "greenlight.db").exists()


async def test_what_was_written_is_there_after_closing(path: Path) -> None:
    """Close and open: the same rows."""
    first = await Database.open(path)
    await first.write(put, "kept")
    await first.close()
    second = await Database.open(path)
    assert await second.read(keys) == ["kept"]
    await second.close()


# --- transactions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [StaleCard("old"), sqlite3.OperationalError("disk I/O error"), RuntimeError("bug")]
)
async def test_a_failed_transaction_leaves_nothing(database: Database, error: Exception) -> None:
    """All or nothing: what was written before the error is gone, and the next transaction works."""

    def work(db: sqlite3.Connection) -> None:
        put(db, "half")
        raise error

    expected = StorageError if isinstance(error, sqlite3.Error) else type(error)
    with pytest.raises(expected):
        await database.write(work)
    await database.write(put, "whole")
    assert await database.read(keys) == ["whole"]


async def test_a_broken_rule_of_the_schema_is_a_storage_error(database: Database) -> None:
    """The driver's exceptions do not leave this room."""
    await database.write(put, "a")
    with pytest.raises(StorageError, match="nothing was done"):
        await database.write(put, "a")
    assert await database.read(keys) == ["a"]


async def test_transactions_of_many_tasks_do_not_mix(database: Database) -> None:
    """One task's rollback takes nothing of another's with it."""

    def pair(db: sqlite3.Connection, number: int) -> None:
        put(db, f"{number:03}a")
        if number % 3 == 0:
            raise StaleCard("no")
        put(db, f"{number:03}b")

    done = await asyncio.gather(*(database.write(pair, n) for n in range(60)), return_exceptions=True)
    assert sum(isinstance(one, StaleCard) for one in done) == 20
    kept = [n for n in range(60) if n % 3]
    assert await database.read(keys) == [f"{n:03}{part}" for n in kept for part in "ab"]


async def test_a_cancelled_write_is_whole_or_not_there(database: Database) -> None:
    """Who stops waiting does not stop the transaction in the middle."""

    def both(db: sqlite3.Connection) -> None:
        put(db, "a")
        put(db, "b")

    task = asyncio.create_task(database.write(both))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.read(keys) in ([], ["a", "b"])
    await database.write(put, "c")
    assert "c" in await database.read(keys)


async def test_after_closing_nothing_is_taken(path: Path) -> None:
    """Late work gets a clear error and not silence."""
    opened = await Database.open(path)
    await opened.close()
    with pytest.raises(StorageError):
        await opened.write(put, "late")


# --- reasons not to open ----------------------------------------------------------------------------------------------

SECOND = """
import asyncio, os, sys
from pathlib import Path
from core.errors import StorageError
from storage.database import Database
try:
    asyncio.run(Database.open(Path(sys.argv[1])))
except StorageError as refused:
    print(refused, flush=True)
os._exit(0)
"""


async def test_a_second_process_is_refused(database: Database, path: Path) -> None:
    """Two bots on one file would each think that they are the only one; the second says what to do and touches nothing."""
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SECOND, str(path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said = (await second.communicate())[0].decode()
    assert "Another Greenlight" in said
    assert str(path) in said
    assert await database.read(keys) == []


async def test_a_second_opening_is_refused_until_the_first_is_closed(path: Path) -> None:
    """The lock goes with the connection, so that a restart is not locked out."""
    first = await Database.open(path)
    with pytest.raises(StorageError, match="Another Greenlight"):
        await Database.open(path)
    await first.close()
    again = await Database.open(path)
    await again.close()


async def refusal(path: Path) -> str:
    """The one line with which the file is refused."""
    with pytest.raises(StorageError) as wrong:
        await Database.open(path)
    (line,) = str(wrong.value).splitlines()
    return line


async def test_a_newer_file_is_refused(path: Path) -> None:
    """An older program does not write into a schema that it does not know."""
    made = sqlite3.connect(path)
    made.execute("PRAGMA user_version = 999")
    made.close()
    line = await refusal(path)
    assert "999" in line
    assert "newer" in line
    made = sqlite3.connect(path)
    assert made.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    made.close()


@pytest.mark.parametrize("content", [b"this is not a database " * 200, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_a_damaged_file_is_refused_and_kept(path: Path, content: bytes) -> None:
    """The line names the file and what to do; the file stays as it was, for whoever may rescue it."""
    path.write_bytes(content)
    line = await refusal(path)
    assert str(path) in line
    assert "Restore" in line
    assert path.read_bytes() == content


async def test_a_refusal_leaves_no_lock(path: Path) -> None:
    """After the damaged file is moved away, the same process can start."""
    path.write_bytes(b"damaged" * 1000)
    await refusal(path)
    path.unlink()
    opened = await Database.open(path)
    await opened.close()


async def test_a_folder_is_no_database(path: Path) -> None:
    """A DATABASE_PATH that names a folder is told with its name."""
    path.mkdir()
    assert str(path) in await refusal(path)


async def test_a_path_that_cannot_be_is_told(tmp_path: Path) -> None:
    """Below a file there is no folder; the line names the setting."""
    (tmp_path / "file").write_text("x")
    assert "DATABASE_PATH" in await refusal(tmp_path / "file" / "greenlight.db")


# --- migrations -------------------------------------------------------------------------------------------------------


async def test_a_failing_migration_undoes_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that breaks in the middle leaves the file at the version before it, with nothing half made."""
    opened = await Database.open(path)
    await opened.write(put, "kept")
    await opened.close()
    broken = (*MIGRATIONS, "CREATE TABLE half (x TEXT) STRICT; INSERT INTO nowhere VALUES (1);")
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    assert str(path) in await refusal(path)
    monkeypatch.undo()
    again = await Database.open(path)
    assert await again.read(keys) == ["kept"]
    tables = await again.read(lambda db: [r[0] for r in db.execute("SELECT name FROM sqlite_master")])
    assert "half" not in tables
    await again.close()


async def test_a_new_migration_is_applied_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older file is brought up step by step, its rows stay, and the next start changes nothing."""
    opened = await Database.open(path)
    await opened.write(put, "kept")
    await opened.close()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (x TEXT) STRICT;"))
    for _ in range(2):
        again = await Database.open(path)
        version = await again.read(lambda db: db.execute("PRAGMA user_version").fetchone()[0])
        assert version == len(MIGRATIONS) + 1
        assert await again.read(keys) == ["kept"]
        await again.close()


def test_migrating_twice_is_migrating_once() -> None:
    """A file of this version is left alone."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db)
    before = db.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    migrate(db)
    assert db.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    db.close()
