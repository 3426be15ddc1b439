"""Backups and restores: whole or not there, whoever is killed in the middle; and what a restored file must not do again."""

import asyncio
import ctypes
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import StorageError
from storage import backup, files, inspection, migrations
from storage.database import Database
from storage.migrations import MIGRATIONS

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 3, 4, 15, 30, 12, tzinfo=UTC)
STAMP = "2026-03-04T15:00:00.000000+00:00"
TICKET = json.dumps({"instrument": {"symbol": "KO"}})


def fill(db: sqlite3.Connection, *, cards: int = 2, orders: int = 3) -> None:
    """A little of everything: open cards, orders, an update and a message that were not finished, and a sale under way."""
    for n in range(cards):
        values = (f"01CARD{n:020}", 7, "open", "h", TICKET, STAMP)
        db.execute(
            "INSERT INTO tickets (ticket_id, owner, state, terms_hash, ticket, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )
    for n in range(1, orders + 1):
        db.execute(
            "INSERT INTO orders (number, order_ref, owner, account, client_id, order_id, epoch, con_id, symbol, currency, side, quantity, "
            "order_type, tif, state, filled, reason, sent_at) VALUES (?, ?, 7, 'DU1', 0, ?, 1, 5, 'KO', 'USD', 'BUY', '1', 'MARKET', 'DAY', "
            "'FILLED', '1', '', ?)",
            (n, f"01REF{n}", n, STAMP),
        )
    db.execute("INSERT INTO updates (update_id, user, raw, received_at) VALUES (1, 7, '{}', ?)", (STAMP,))
    db.execute(
        "INSERT INTO messages (chat, kind, text, buttons, data, subject, is_edit, urgent, created_at) "
        "VALUES (7, 'reply', 'x', '[]', '{}', '', 0, 0, ?)",
        (STAMP,),
    )
    db.execute(
        "INSERT INTO closings (ticket_id, protection, state, begun_at) VALUES ('01CARD00000000000000000000', '[]', 'selling', ?)",
        (STAMP,),
    )
    db.execute("INSERT INTO wishes VALUES ('connection_wanted', 'yes')")


def made(path: Path, **more: int) -> None:
    """A database as a bot leaves it."""

    async def work() -> None:
        opened = await Database.open(path)
        await opened.write(fill, **more)
        await opened.close()

    asyncio.run(work())


def ask(path: Path, sql: str, *values: object) -> list[Any]:
    """Rows of a file."""
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(sql, values).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made(tmp_path / "greenlight.db")
    return tmp_path / "greenlight.db"


@pytest.fixture
def folder(path: Path) -> Path:
    return files.backups_of(path)


# --- making them ----------------------------------------------------------------------------------------------------------


async def test_a_backup_while_others_write(tmp_path: Path) -> None:
    """It is one moment, has what was committed, not what is under way, and nobody waits for it; one file, for its owner alone."""
    path = tmp_path / "greenlight.db"
    opened = await Database.open(path)
    await opened.write(fill)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO wishes VALUES ('half', 'done')")
    one = await asyncio.to_thread(backup.make, path, tmp_path / "b", NOW)
    other.execute("COMMIT")
    other.close()
    assert one.path.name == "greenlight-20260304-153012Z.db"
    assert one.path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in (tmp_path / "b").iterdir()] == [one.path.name]
    assert backup.check(one.path).counts["orders"] == 3
    assert ask(one.path, "SELECT key FROM wishes") == [("connection_wanted",)]
    assert await opened.read(lambda db: db.execute("SELECT count(*) FROM wishes").fetchone()[0]) == 2
    await opened.close()


async def test_writers_do_not_wait_for_a_backup(tmp_path: Path) -> None:
    """Commits go on while copies are made one after the other."""
    path = tmp_path / "greenlight.db"
    opened = await Database.open(path)
    await opened.write(fill)
    copies = asyncio.create_task(
        asyncio.to_thread(
            lambda: [backup.make(path, tmp_path / "b", NOW + timedelta(seconds=n)) for n in range(10)]
        )
    )
    count = 0
    while not copies.done():
        await opened.write(
            lambda db: db.execute("INSERT INTO audit (at, kind, detail) VALUES ('', 'x', 'y')")
        )
        count += 1
    assert count > 10
    assert len(backup.found(tmp_path / "b")) == 10
    rows = [backup.check(one.path).counts["audit"] for one in reversed(await copies)]
    assert rows == sorted(rows, reverse=True)
    await opened.close()


def test_the_oldest_go(path: Path, folder: Path) -> None:
    """As many as are wanted stay, the newest; other files in the folder are none of its business."""
    for day in range(5):
        backup.make(path, folder, NOW + timedelta(days=day))
    backup.make(path, folder, NOW, before=9)
    (folder / "notes.txt").write_text("mine")
    backup.prune(folder, 2)
    assert [b.at.day for b in backup.found(folder) if not b.migrates] == [8, 7]
    assert [b.path.name for b in backup.found(folder) if b.migrates] == [
        "greenlight-20260304-153012Z-before-v9.db"
    ]
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize("gone", ["nothing", "damaged", "folder"])
def test_a_backup_that_cannot_be_made_says_why(path: Path, tmp_path: Path, gone: str) -> None:
    """One sentence, and no file that could be taken for a backup."""
    folder = tmp_path / "b"
    if gone == "nothing":
        path.unlink()
    elif gone == "damaged":
        damage(path)
    else:
        folder.write_text("a file")
    with pytest.raises(StorageError) as wrong:
        backup.make(path, folder, NOW)
    assert "\n" not in str(wrong.value)
    assert backup.found(folder) == ()
    assert folder.is_file() or not folder.exists() or list(folder.iterdir()) == []


def damage(path: Path) -> None:
    """Overwrite pages in the middle of a file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 8192)


CHILD = """
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
sys.path.insert(0, {root!r})
from core.errors import StorageError
from storage import backup
path, folder = Path(sys.argv[2]), Path(sys.argv[3])
left = int(sys.argv[4])
def count(event, args):
    global left
    if event in ("os.rename", "os.remove", "sqlite3.connect", "os.chown", "os.mkdir"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
if left:
    sys.addaudithook(count)
if len(sys.argv) > 5:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
try:
    if sys.argv[1] == "backup":
        backup.make(path, folder, datetime(2026, 3, 5, tzinfo=UTC))
    else:
        backup.restore(path, None, folder, datetime(2026, 3, 6, tzinfo=UTC))
except StorageError as problem:
    print(problem)
    sys.exit(1)
"""


def child(
    what: str,
    path: Path,
    folder: Path,
    kill_at: int = 0,
    *,
    bytes_at_most: int | None = None,
    deadly: bool = False,
) -> subprocess.CompletedProcess[str]:
    """A backup or restore in a process of its own: killed at the nth step that others can see, or out of room at a byte."""

    def limit() -> None:
        if bytes_at_most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_at_most, bytes_at_most))

    return subprocess.run(
        [
            sys.executable,
            "-c",
            CHILD.format(root=str(ROOT)),
            what,
            path,
            folder,
            str(kill_at),
            *(["deadly"] if deadly else []),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        preexec_fn=limit,
    )


def test_killed_inside_a_backup(path: Path, folder: Path) -> None:
    """SIGKILL at each step: either the backup counts and is whole, or there is none, and the next one sweeps up."""
    steps = 0
    while True:
        done = child("backup", path, folder, steps + 1)
        for one in backup.found(folder):
            assert backup.check(one.path).counts["orders"] == 3
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        steps += 1
    assert steps >= 4
    assert [p.name for p in folder.iterdir()] == ["greenlight-20260305-000000Z.db"]


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_killed_in_the_middle_of_the_bytes(path: Path, folder: Path, part: float) -> None:
    """Killed by the system at a byte of the copy, it leaves nothing that counts."""
    room = int(path.stat().st_size * part)
    done = child("backup", path, folder, bytes_at_most=room, deadly=True)
    assert done.returncode == -signal.SIGXFSZ
    assert backup.found(folder) == ()
    backup.make(path, folder, NOW)
    assert len(list(folder.iterdir())) == 1


def test_no_room_for_a_backup(path: Path, folder: Path) -> None:
    """A disk that takes no more is one sentence, and what was written of the backup is gone."""
    done = child("backup", path, folder, bytes_at_most=path.stat().st_size // 2)
    assert done.returncode == 1, done.stderr
    assert "could not be made" in done.stdout
    assert list(folder.iterdir()) == []


# --- putting them back ----------------------------------------------------------------------------------------------------


def test_nothing_that_was_open_stays_open(path: Path, folder: Path) -> None:
    """Cards, requests, messages and sales of the backup may have been done since, so none of them is taken up again."""
    backup.make(path, folder, NOW)
    done = backup.restore(path, None, folder, NOW)
    assert done.cards == 2
    assert ask(path, "SELECT DISTINCT state FROM tickets") == [("expired",)]
    assert ask(path, "SELECT count(*) FROM updates WHERE finished_at IS NULL") == [(0,)]
    assert ask(path, "SELECT count(*) FROM messages WHERE state = 'waiting'") == [(0,)]
    assert ask(path, "SELECT count(*) FROM closings WHERE ended_at IS NULL") == [(0,)]
    assert path.stat().st_mode & 0o777 == 0o600
    facts = json.loads(ask(path, "SELECT value FROM wishes WHERE key = 'restored'")[0][0])
    assert facts["sales"] == ["KO"]
    assert facts["last_update"] == STAMP


def test_what_is_newer_is_not_forgotten(path: Path, folder: Path) -> None:
    """From the file that is replaced, where it is sound: the numbers that were given, the lines that were seen, wishes, jobs that were done."""
    backup.make(path, folder, NOW)
    ask(path, "UPDATE wishes SET value = 'no' WHERE key = 'connection_wanted'")
    ask(path, "UPDATE orders SET number = 41 WHERE number = 3")
    ask(path, "INSERT INTO updates (update_id, user, raw, received_at) VALUES (2, 7, '{}', ?)", STAMP)
    ask(path, "INSERT INTO jobs VALUES ('summary', '2026-03-04', ?, '{}')", STAMP)
    done = backup.restore(path, None, folder, NOW)
    assert ask(
        path, "SELECT value FROM wishes WHERE key IN ('connection_wanted', 'order_numbers_from') ORDER BY key"
    ) == [
        ("no",),
        ("41",),
    ]
    assert ask(path, "SELECT count(*) FROM updates WHERE finished_at IS NOT NULL") == [(2,)]
    assert ask(path, "SELECT job FROM jobs") == [("summary",)]
    assert done.kept is not None
    assert ask(done.kept, "SELECT max(number) FROM orders") == [(41,)]


@pytest.mark.parametrize("loss", ["damaged", "gone", "log"])
def test_numbers_leap_where_nobody_knows(path: Path, folder: Path, loss: str) -> None:
    """Where the newer file cannot be read, numbers that may have been given are left out; it is kept all the same, its log beside it."""
    backup.make(path, folder, NOW)
    if loss == "gone":
        path.unlink()
    else:
        damage(path)
    if loss == "log":
        files.log_of(path).write_bytes(b"log" * 100)
    done = backup.restore(path, None, folder, NOW)
    assert ask(path, "SELECT value FROM wishes WHERE key = 'order_numbers_from'") == [("1000",)]
    assert (done.kept is None) is (loss == "gone")
    if loss == "log":
        assert done.kept is not None
        assert files.log_of(done.kept).read_bytes() == b"log" * 100
    assert not files.log_of(path).exists() or not files.log_of(path).stat().st_size


async def test_not_while_a_bot_runs(tmp_path: Path) -> None:
    """Whoever has the database open keeps it."""
    path = tmp_path / "greenlight.db"
    opened = await Database.open(path)
    await opened.write(fill)
    one = backup.make(path, tmp_path / "b", NOW)
    with pytest.raises(StorageError, match="Another Greenlight"):
        backup.restore(path, one.path, tmp_path / "b", NOW)
    assert await opened.read(lambda db: db.execute("SELECT count(*) FROM orders").fetchone()[0]) == 3
    await opened.close()


def newer(path: Path) -> None:
    ask(path, "PRAGMA user_version = 999")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.unlink()
    ask(path, "CREATE TABLE other (x)")


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [damage, newer, empty, foreign, half, Path.unlink])
def test_a_backup_that_is_none_is_refused(path: Path, folder: Path, harm: Callable[[Path], None]) -> None:
    """One sentence with its name; the database stays what it was. `latest` passes it over and takes the next."""
    backup.make(path, folder, NOW)
    bad = backup.make(path, folder, NOW + timedelta(days=1)).path
    harm(bad)
    with pytest.raises(StorageError) as wrong:
        backup.restore(path, bad, folder, NOW)
    assert str(bad) in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert ask(path, "SELECT count(*) FROM tickets WHERE state = 'open'") == [(2,)]
    done = backup.restore(path, None, folder, NOW)
    assert done.backup.name == "greenlight-20260304-153012Z.db"
    assert len(done.passed_over) == (0 if harm is Path.unlink else 1)


def test_no_backup_at_all(path: Path, folder: Path) -> None:
    """`latest` of nothing is a sentence."""
    with pytest.raises(StorageError, match="no backup in"):
        backup.restore(path, None, folder, NOW)


def test_killed_inside_a_restore(tmp_path: Path) -> None:
    """SIGKILL at each step: the bot starts with all of the old file or all of the backup, or refuses and says what to run; that mends it."""
    refused = steps = 0
    while True:
        place = tmp_path / str(steps)
        path, folder = place / "greenlight.db", place / "backups"
        made(path)
        backup.make(path, folder, NOW)
        ask(path, "UPDATE orders SET number = 41 WHERE number = 3")
        done = child("restore", path, folder, steps + 1)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        steps += 1
        if files.coming_of(path).exists():
            refused += 1
            assert "greenlight restore latest" in refusal(path)
            with pytest.raises(StorageError, match="cut off"):
                inspection.look(path)
        else:
            assert ask(path, "SELECT max(number) FROM orders") in ([(3,)], [(41,)])
        again = child("restore", path, folder)
        assert again.returncode == 0, again.stdout + again.stderr
        assert ask(path, "SELECT DISTINCT state FROM tickets") == [("expired",)]
        assert ask(path, "SELECT value FROM wishes WHERE key = 'order_numbers_from'") == [("41",)]
        assert not files.coming_of(path).exists()
        aside = list(place.glob("*.before-restore-*Z"))
        assert any(ask(one, "SELECT max(number) FROM orders") == [(41,)] for one in aside)
    assert steps >= 8
    assert refused >= 2


# --- before a migration ---------------------------------------------------------------------------------------------------

STEP = "CREATE TABLE more (x TEXT) STRICT; INSERT INTO more VALUES ('a'); INSERT INTO more VALUES ('b');"


def clock() -> datetime:
    return NOW


def test_backed_up_before_a_migration(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older file is copied first, under a name that says for what; the next start makes no second one."""
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, STEP))
    for _ in range(2):
        asyncio.run(open_and_close(path))
    (one,) = backup.found(folder)
    assert one.path.name == f"greenlight-20260304-153012Z-before-v{len(MIGRATIONS) + 1}.db"
    assert backup.check(one.path).version == len(MIGRATIONS)
    assert ask(path, "SELECT count(*) FROM more") == [(2,)]
    backup.restore(path, one.path, folder, NOW)
    assert backup.check(path).version == len(MIGRATIONS) + 1


async def open_and_close(path: Path) -> None:
    opened = await Database.open(path, None, clock)
    await opened.close()


def refusal(path: Path, **more: Any) -> str:
    """The one line with which a file is refused at the start."""
    with pytest.raises(StorageError) as wrong:
        asyncio.run(open_and_close(path))
    (line,) = str(wrong.value).splitlines()
    return line


def test_no_migration_without_a_backup(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the backup fails, nothing is changed, and the line says why and what to do."""
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, STEP))
    folder.write_text("a file where the folder should be")
    line = refusal(path)
    assert f"from version {len(MIGRATIONS)} to {len(MIGRATIONS) + 1}" in line
    assert "BACKUP_DIR" in line
    assert ask(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


MIGRATING = """
import os, signal, sqlite3, sys
sys.path.insert(0, {root!r})
from storage import migrations
migrations.MIGRATIONS = (*migrations.MIGRATIONS, {step!r})
left = int(sys.argv[2])
def count(statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.set_trace_callback(count)
migrations.migrate(db)
"""


def test_killed_inside_a_migration(path: Path) -> None:
    """SIGKILL at each statement of a step: the file is of the old version without a trace of the new, and the next start brings it up."""
    kills = 0
    while True:
        done = subprocess.run(
            [sys.executable, "-c", MIGRATING.format(root=str(ROOT), step=STEP), path, str(kills + 1)],
            capture_output=True,
            check=False,
            timeout=30,
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        kills += 1
        assert ask(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]
        assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'more'") == []
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert kills >= 6
    assert ask(path, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]
    assert ask(path, "SELECT x FROM more") == [("a",), ("b",)]


# --- the start ------------------------------------------------------------------------------------------------------------


def text_file(path: Path) -> None:
    path.write_text("this is no database\n" * 500)


def a_byte_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


@pytest.mark.parametrize("backups", [0, 2, 5])
@pytest.mark.parametrize("harm", [damage, half, text_file, a_byte_short])
def test_a_damaged_file_is_not_traded_with(
    path: Path, folder: Path, harm: Callable[[Path], None], backups: int
) -> None:
    """One sentence: what is wrong, that nothing is traded, and which backups there are; following it, the bot starts again."""
    for day in range(backups):
        backup.make(path, folder, NOW + timedelta(days=day))
    harm(path)
    before = path.read_bytes()
    line = refusal(path)
    assert str(path) in line
    assert "Nothing is traded" in line
    assert path.read_bytes() == before
    if not backups:
        assert "There are no backups" in line
        return
    assert "greenlight restore latest" in line
    assert f"2026-03-0{3 + backups} 15:30" in line
    assert ("and 2 older" in line) is (backups == 5)
    backup.restore(path, None, folder, NOW)
    asyncio.run(open_and_close(path))


@pytest.mark.parametrize("beside", ["-wal", "-shm", "-journal"])
def test_an_empty_file_beside_it_does_no_harm(path: Path, beside: str) -> None:
    """A log of no bytes, as a crash can leave it, is an empty log."""
    path.with_name(path.name + beside).write_bytes(b"")
    asyncio.run(open_and_close(path))
    assert ask(path, "SELECT count(*) FROM orders") == [(3,)]


OPENING = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from core.errors import StorageError
from storage.database import Database
try:
    asyncio.run(Database.open(Path(sys.argv[1])))
except StorageError as problem:
    print(problem)
    sys.exit(1)
"""


def as_anybody() -> None:
    """Root without the right to pass over the modes of files."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(
            24, capability, 0, 0, 0
        )  # PR_CAPBSET_DROP, which holds from the next program on


@pytest.mark.parametrize("locked", ["folder", "file"])
def test_a_place_that_is_not_ours_to_write(path: Path, locked: str) -> None:
    """A folder or a file that cannot be written is one sentence with the path, and no trace."""
    place = path.parent if locked == "folder" else path
    mode = place.stat().st_mode
    if locked == "folder":
        files.lock_of(path).unlink()
    place.chmod(0o500 if locked == "folder" else 0o400)
    try:
        done = subprocess.run(
            [sys.executable, "-c", OPENING.format(root=str(ROOT)), path],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            preexec_fn=as_anybody,
        )
    finally:
        place.chmod(mode)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("\n") == 1
    assert str(path) in done.stdout
