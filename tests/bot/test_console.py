"""The command line's door, over real sockets and real processes: who gets in, what comes back, and that nothing at it harms the bot."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bot import console
from bot import halt as halting
from bot.clock import SystemClock
from bot.halt import AT_START
from core.errors import BadInput, GreenlightError
from core.model import Trading, TradingState
from core.trading import KEY, as_text, of_text
from storage.database import Database
from storage.files import lock_of, own
from storage.ledger import SqliteLedger

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 10.0
Act = Callable[[], Awaitable[Sequence[str]]]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a database would be; its name is short enough for a socket beside it."""
    path = tmp_path / "g.db"
    assert len(os.fsencode(f"{path}.door")) <= console.LONGEST, "run the tests with a shorter --basetemp"
    return path


async def until(true: Callable[[], Any]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110 - a file that appears sets no event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def listening(database: Path, **acts: Act) -> AsyncIterator[Path]:
    """The door, open."""
    keeping = asyncio.create_task(console.keep(database, acts))
    door = console.door_of(database)
    try:
        await until(lambda: door.is_socket() and door.stat().st_mode & 0o777 == 0o600)
        yield door
        assert not keeping.done()
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def ask(database: Path, word: str, seconds: float = PATIENCE_SECONDS) -> list[str]:
    """The caller's side, beside the loop that has to answer it."""
    return await asyncio.to_thread(console.ask, database, word, seconds)


async def raw(door: Path, sent: bytes) -> list[str]:
    """What comes back for these bytes."""
    return await asyncio.to_thread(_raw, door, sent)


def _raw(door: Path, sent: bytes) -> list[str]:
    got = b""
    with closing(socket.socket(socket.AF_UNIX)) as caller, contextlib.suppress(ConnectionError):
        caller.settimeout(PATIENCE_SECONDS)
        caller.connect(str(door))
        with contextlib.suppress(ConnectionError):
            caller.sendall(sent)
        while more := caller.recv(4096):
            got += more
    return got.decode().splitlines()


async def halted() -> list[str]:
    """An act that is done."""
    return ["HALTED.", "2 orders are being cancelled:\nBUY 10 AAPL, BUY 5 KO ✅"]


# --- a word and its answer ------------------------------------------------------------------------------------------------


async def test_a_word_and_what_its_act_says(database: Path) -> None:
    """Line by line, as often as it is asked; only its owner may come in, and a bot that stopped has left no door."""
    async with listening(database, halt=halted) as door:
        for _ in range(3):
            assert await ask(database, "halt") == [
                "HALTED.",
                "2 orders are being cancelled:",
                "BUY 10 AAPL, BUY 5 KO ✅",
            ]
        assert door == database.with_name("g.db.door")
        assert door.stat().st_mode & 0o777 == 0o600
    assert list(database.parent.iterdir()) == []
    with pytest.raises(console.Unheard, match="Nobody listens at"):
        await ask(database, "halt")


async def test_an_act_with_nothing_to_say(database: Path) -> None:
    """No lines are an answer too, and not the same as none."""

    async def silent() -> list[str]:
        return []

    async with listening(database, halt=silent):
        assert await ask(database, "halt") == []


async def test_an_act_that_fails(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its sentence, or the kind of an error that nobody foresaw, reaches the caller as an error; the next one is served."""
    problems: list[Exception] = [BadInput("That cannot be."), KeyError("secret detail")]

    async def fails() -> list[str]:
        raise problems.pop(0)

    async with listening(database, fails=fails, halt=halted):
        with pytest.raises(GreenlightError, match=r"^That cannot be\.$"):
            await ask(database, "fails")
        with pytest.raises(GreenlightError, match=r"error of the program \(KeyError\); the log has it"):
            await ask(database, "fails")
        assert (await ask(database, "halt"))[0] == "HALTED."
    assert "secret detail" in caplog.text


async def test_an_act_goes_on_without_its_caller_and_is_not_begun_twice(database: Path) -> None:
    """Who leaves ends nothing; who asks for the same meanwhile hears how that one ends; who asks later begins it anew."""
    may_end, begun, ended = asyncio.Event(), [], []

    async def slow() -> list[str]:
        begun.append("begun")
        await may_end.wait()
        ended.append("ended")
        return [f"end {len(ended)}"]

    async with listening(database, halt=slow) as door:
        callers = [await asyncio.open_unix_connection(str(door)) for _ in range(3)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            for reader, writer in callers:
                writer.write(b"halt\n")
                assert await reader.readline() == b"heard\n"
            assert begun == ["begun"]
            callers[0][1].close()
            may_end.set()
            for reader, writer in callers[1:]:
                assert await reader.read() == b"end 1\ndone\n"
                writer.close()
        assert begun == ["begun"]
        assert await ask(database, "halt") == ["end 2"]


async def test_an_act_that_does_not_end(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller hears in time that it is under way, and it stays so; a stopping bot ends it."""
    monkeypatch.setattr(console, "ACT_SECONDS", 0.2)
    ended: list[str] = []

    async def endless() -> list[str]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("with the bot")
        return []

    async with listening(database, halt=endless, other=halted):
        with pytest.raises(GreenlightError, match="halt is under way, and has not ended within 0 seconds"):
            await ask(database, "halt")
        assert not ended
        assert (await ask(database, "other"))[0] == "HALTED."
    assert ended == ["with the bot"]


# --- what else comes to a door --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"resume\n", "The running Greenlight knows no 'resume' here; it knows: halt."),
        (b"\n", "Nothing was asked."),
        (b"HALT \n", "The running Greenlight knows no 'HALT' here; it knows: halt."),
        (
            b"\xff\x00\x1b[2J\n",
            "The running Greenlight knows no '\\ufffd\\x00\\x1b[2J' here; it knows: halt.",
        ),
        (b"GET / HTTP/1.1\r\n\r\n", "The running Greenlight knows no 'GET / HTTP/1.1' here; it knows: halt."),
        (b"x" * 5000, "That is too long. Right would be one of: halt."),
        (b"x" * 3_000_000 + b"\n", "That is too long. Right would be one of: halt."),
    ],
    ids=["unknown", "empty", "case", "no text", "http", "long", "huge"],
)
async def test_what_is_no_word(database: Path, sent: bytes, said: str) -> None:
    """One sentence, no act, and the next caller is served."""
    async with listening(database, halt=halted) as door:
        assert await raw(door, sent) == [said, "failed"]
        assert (await ask(database, "halt"))[0] == "HALTED."


async def test_an_unknown_word_was_not_heard(database: Path) -> None:
    """An older bot that does not know a word says so, and nothing was done."""
    async with listening(database, other=halted):
        with pytest.raises(console.Unheard, match="knows no 'halt' here; it knows: other"):
            await ask(database, "halt")


async def test_silence_is_ended(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing, or half a word, loses the line after its time."""
    monkeypatch.setattr(console, "LINE_SECONDS", 0.1)
    async with listening(database, halt=halted) as door:
        assert await raw(door, b"") == []
        assert await raw(door, b"hal") == []


async def test_a_crowd_is_limited_and_passes(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a few at once are sent away with a sentence; once the crowd is gone, or its time over, the door serves again."""
    monkeypatch.setattr(console, "LINE_SECONDS", 1.0)
    async with listening(database, halt=halted) as door, contextlib.AsyncExitStack() as stack:
        crowd = []
        for _ in range(console.AT_ONCE):
            reader, writer = await asyncio.open_unix_connection(str(door))
            stack.callback(writer.close)
            crowd.append(reader)
        with pytest.raises(console.Unheard, match="Too many ask at once"):
            await ask(database, "halt")
        async with asyncio.timeout(PATIENCE_SECONDS):
            for reader in crowd:
                assert await reader.read() == b""
        assert (await ask(database, "halt"))[0] == "HALTED."


async def test_a_caller_who_hangs_up_early(database: Path) -> None:
    """Fifty who hang up at once are nothing to it."""
    async with listening(database, halt=halted) as door:
        for sent in (b"", b"halt\n", b"nonsense\n") * 17:
            with closing(socket.socket(socket.AF_UNIX)) as caller:
                caller.connect(str(door))
                caller.sendall(sent)
        assert (await asyncio.wait_for(_served(database), PATIENCE_SECONDS))[0] == "HALTED."


async def _served(database: Path) -> list[str]:
    """The answer, once those who hung up are gone."""
    while True:
        with contextlib.suppress(console.Unheard):
            return await ask(database, "halt")


# --- where it is ----------------------------------------------------------------------------------------------------------


async def test_the_door_of_a_killed_bot_is_replaced(database: Path) -> None:
    """Its socket lies there and nobody answers: that is said, and the next bot takes its place."""
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(console.door_of(database)))
        dead.listen()
    with pytest.raises(console.Unheard, match="Nobody listens at"):
        await ask(database, "halt")
    async with listening(database, halt=halted):
        assert (await ask(database, "halt"))[0] == "HALTED."


async def test_a_door_that_was_taken_away_is_there_again(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody tidied up: a moment later the command line works again."""
    monkeypatch.setattr(console, "LOOK_SECONDS", 0.05)
    async with listening(database, halt=halted) as door:
        door.unlink()
        await until(door.is_socket)
        assert (await asyncio.wait_for(_served(database), PATIENCE_SECONDS))[0] == "HALTED."
        assert door.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["file", "symlink", "dangling symlink", "folder"])
async def test_what_lies_in_the_way_stays(
    database: Path, kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither removed nor followed, by either side; the log says so once, and once it is gone the door opens."""
    monkeypatch.setattr(console, "LOOK_SECONDS", 0.02)
    door, precious = console.door_of(database), database.with_name("precious")
    precious.write_text("mine")
    match kind:
        case "file":
            door.write_text("mine")
        case "symlink":
            door.symlink_to(precious)
        case "dangling symlink":
            door.symlink_to(database.with_name("nowhere"))
        case "folder":
            door.mkdir()
    keeping = asyncio.create_task(console.keep(database, {"halt": halted}))
    await until(lambda: "no socket of ours" in caplog.text)
    with pytest.raises(console.Unheard, match="no socket of this Greenlight"):
        await ask(database, "halt")
    assert door.is_symlink() is ("symlink" in kind)
    assert precious.read_text() == "mine"
    assert not database.with_name("nowhere").exists()
    door.rmdir() if kind == "folder" else door.unlink()
    await until(door.is_socket)
    assert (await asyncio.wait_for(_served(database), PATIENCE_SECONDS))[0] == "HALTED."
    assert caplog.text.count("cannot speak with this bot") == 1
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


async def test_a_symlink_to_a_living_socket_is_not_followed(database: Path) -> None:
    """A door that leads elsewhere could say that all is done."""
    async with listening(database.with_name("other.db"), halt=halted) as elsewhere:
        console.door_of(database).symlink_to(elsewhere)
        with pytest.raises(console.Unheard, match="no socket of this Greenlight"):
            await ask(database, "halt")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a socket of somebody else's")
async def test_a_socket_of_somebody_else_is_not_asked(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its word would be worth nothing; nor is it taken away."""
    async with listening(database, halt=halted) as door:
        os.chown(door, 12345, 12345)
        with pytest.raises(console.Unheard, match="no socket of this Greenlight"):
            await ask(database, "halt")
        await used(database)
        os.chown(database, 12345, 12345)
        assert (await ask(database, "halt"))[0] == "HALTED.", "root asks the bot of another user"


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database whose path is too long for a socket beside it, and a place for temporary files."""
    folder = tmp_path / ("a-long-name-" * 10)
    folder.mkdir()
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    return folder / "greenlight.db"


async def test_a_path_too_long_for_a_socket(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The door is then in a small folder that only its owner may enter; relative or absolute, the database has one door."""
    async with listening(far, halt=halted) as door:
        assert door.parent.parent == far.parent.parent / "t"
        assert door.parent.stat().st_mode & 0o777 == 0o700
        assert (await ask(far, "halt"))[0] == "HALTED."
        monkeypatch.chdir(far.parent)
        assert (await ask(Path(far.name), "halt"))[0] == "HALTED."
        assert console.door_of(far.with_name("other.db")) != door
    assert list((far.parent.parent / "t").iterdir()) == []


async def test_a_folder_that_others_may_enter_is_not_used(
    far: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may have made it beforehand: neither side goes in, and it is said."""
    monkeypatch.setattr(console, "LOOK_SECONDS", 0.02)
    folder = console.door_of(far).parent
    folder.mkdir()
    folder.chmod(0o777)
    keeping = asyncio.create_task(console.keep(far, {"halt": halted}))
    await until(lambda: "not a folder for its owner alone" in caplog.text)
    assert list(folder.iterdir()) == []
    with pytest.raises(console.Unheard, match="not a folder for its owner alone"):
        await ask(far, "halt")
    folder.chmod(0o700)
    await until(console.door_of(far).is_socket)
    assert (await asyncio.wait_for(_served(far), PATIENCE_SECONDS))[0] == "HALTED."
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping


async def test_a_system_without_unix_sockets(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The bot says so and works on without a door; who asks hears it too."""
    monkeypatch.setattr(console, "LISTENS", False)
    await asyncio.wait_for(console.keep(database, {"halt": halted}), PATIENCE_SECONDS)
    assert "no unix sockets" in caplog.text
    with pytest.raises(console.Unheard, match="no unix sockets"):
        await ask(database, "halt")


# --- processes ------------------------------------------------------------------------------------------------------------

SMALL_BOT = """
import asyncio, os, signal, sys
from pathlib import Path
from bot import console
from bot import halt as halting
from storage.files import own

async def halt():
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return ["HALTED by the running bot."]

async def main():
    lock = own(Path(sys.argv[1]))
    print("has the lock", flush=True)
    if sys.argv[2] == "waits for it":
        await asyncio.to_thread(sys.stdin.readline)
    if sys.argv[2] == "no door":
        await asyncio.Event().wait()
    keeping = asyncio.create_task(console.keep(Path(sys.argv[1]), {"halt": halt}))
    while not console.door_of(Path(sys.argv[1])).is_socket():
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.005)
    print("listens", flush=True)
    await keeping

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def small_bot(database: Path, how: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that has the database's lock and, unless told otherwise, a door."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SMALL_BOT, str(database), how),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.stdout.readline() == b"has the lock\n"
            if how in ("", "dies"):
                assert await process.stdout.readline() == b"listens\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def halt(
    database: Path,
    limit: Callable[[], None] | None = None,
    cwd: Path = ROOT,
    without: Sequence[str] = (),
    changes: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, str, str]:
    """`greenlight halt` as a process: (exit code, output, errors)."""
    told = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TELEGRAM_BOT_TOKEN": "1:abc",
        "DATABASE_PATH": str(database),
        **changes,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "halt"),
        cwd=cwd,
        env={name: value for name, value in told.items() if name not in without},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=limit,
    )
    async with asyncio.timeout(3 * PATIENCE_SECONDS):
        out, errors = await process.communicate()
    return int(process.returncode or 0), out.decode(), errors.decode()


async def used(database: Path, kept: Trading | None = None) -> Path:
    """A database of a bot that ran, with this state kept."""
    opened = await Database.open(database)
    if kept is not None:
        await SqliteLedger(opened, SystemClock(), ()).remember(KEY, as_text(kept))
    await opened.close()
    return database


def kept(database: Path) -> tuple[Trading, list[str]]:
    """The trading state in the file, and what the log of it says."""
    with closing(sqlite3.connect(database)) as db:
        (text,) = db.execute("SELECT value FROM wishes WHERE key = ?", (KEY,)).fetchone() or (None,)
        return of_text(text), [
            row[0] for row in db.execute("SELECT detail FROM audit WHERE kind = 'trading'")
        ]


async def test_halt_of_a_running_bot(database: Path) -> None:
    """The command prints what the bot says, and does not touch the file."""
    async with small_bot(database, ""):
        assert await halt(database) == (0, "HALTED by the running bot.\n", "")
    assert not any(database.parent.glob(database.name))


class Looking(SystemClock):
    """Knows when the command has looked for bot and door in vain."""

    def __init__(self) -> None:
        self.looked = threading.Event()
        self._asked = 0

    def monotonic(self) -> float:
        """Asked at the beginning, and after each look."""
        self._asked += 1
        if self._asked > 1:
            self.looked.set()
        return super().monotonic()


async def test_halt_of_a_bot_that_just_starts(database: Path) -> None:
    """It has the lock and no door yet: the command waits for the door, and is heard."""
    await used(database)
    clock = Looking()
    async with small_bot(database, "waits for it") as process:
        asked = asyncio.create_task(asyncio.to_thread(halting.halt, database, None, clock, PATIENCE_SECONDS))
        assert await asyncio.to_thread(clock.looked.wait, PATIENCE_SECONDS)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        await process.stdin.drain()
        assert await asked == "HALTED by the running bot."
    assert kept(database) == (Trading(), [])


async def test_halt_while_the_bot_stops(database: Path) -> None:
    """A bot that ends before it took the word is not running: the file is written."""
    await used(database)
    clock = Looking()
    async with small_bot(database, "no door") as process:
        asked = asyncio.create_task(asyncio.to_thread(halting.halt, database, None, clock, PATIENCE_SECONDS))
        assert await asyncio.to_thread(clock.looked.wait, PATIENCE_SECONDS)
        process.kill()
        assert await asked == AT_START
    assert kept(database)[0].state is TradingState.HALTED


async def test_halt_of_a_bot_that_dies_of_it(database: Path) -> None:
    """It took the word and was killed over it: the file is written, and says it for the next start."""
    await used(database)
    async with small_bot(database, "dies"):
        assert await halt(database) == (0, f"{AT_START}\n", "")
    assert kept(database)[0].state is TradingState.HALTED


async def test_halt_of_a_bot_that_hangs(database: Path) -> None:
    """After five seconds: exit code 1 and what to do; doing that, it is halted."""
    await used(database)
    async with small_bot(database, "") as process:
        process.send_signal(signal.SIGSTOP)
        code, out, errors = await halt(database)
        assert (code, out, errors.count("\n")) == (1, "", 1)
        assert (
            "cannot be spoken with. It does not answer within 5 seconds. It is not known to be halted"
            in errors
        )
        assert "end its process" in errors
        assert "cancel in TWS" in errors
        process.kill()
        await process.wait()
        assert (await halt(database))[:2] == (0, f"{AT_START}\n")


async def test_halt_of_a_bot_whose_door_is_gone(database: Path) -> None:
    """The same where somebody has the database and nobody listens."""
    await used(database)
    async with small_bot(database, "no door"):
        with pytest.raises(
            GreenlightError, match=r"cannot be spoken with\. Nobody listens at .*cancel in TWS"
        ):
            await asyncio.to_thread(halting.halt, database, None, SystemClock(), 0.3)
    assert kept(database) == (Trading(), [])


# --- no bot ---------------------------------------------------------------------------------------------------------------


async def test_halt_without_a_bot(database: Path) -> None:
    """The file says HALTED from then on, with reason and time and a line in the log; asked again, it says since when."""
    await used(database)
    before = SystemClock().now()
    assert await halt(database) == (0, f"{AT_START}\n", "")
    trading, log = kept(database)
    assert trading.state is TradingState.HALTED
    assert "command line" in trading.reason
    assert trading.since is not None
    assert before <= trading.since <= SystemClock().now()
    assert log == [f"HALTED: {trading.reason}"]
    code, out, _ = await halt(database)
    assert (code, out) == (
        0,
        f"It was HALTED already, since {trading.since:%Y-%m-%d %H:%M} UTC: {trading.reason}\n{AT_START}\n",
    )
    assert kept(database) == (trading, log)
    with own(database):
        pass  # nobody has it any more


async def test_halt_tightens_what_was_kept(database: Path) -> None:
    """REDUCING becomes HALTED."""
    await used(database, Trading(TradingState.REDUCING, "The day's loss.", SystemClock().now()))
    assert (await halt(database))[:2] == (0, f"{AT_START}\n")
    assert kept(database)[0].state is TradingState.HALTED


async def test_halt_whatever_else_is_wrong_with_the_settings(database: Path) -> None:
    """It needs the database's place and nothing else."""
    await used(database)
    wrong = {"TELEGRAM_BOT_TOKEN": "no token", "IBKR_PORT": "x", "TIMEZONE": "Mars", "BACKUP_KEEP": "0"}
    assert await halt(database, changes=wrong) == (0, f"{AT_START}\n", "")
    assert kept(database)[0].state is TradingState.HALTED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can halt for somebody else")
async def test_halt_by_root_leaves_the_files_to_their_owner(database: Path) -> None:
    """The bot can start afterwards: neither lock nor log belong to root."""
    await used(database)
    os.chown(database, 12345, 12345)
    os.unlink(lock_of(database))
    assert (await halt(database))[0] == 0
    assert {path.stat().st_uid for path in database.parent.glob("g.db*")} == {12345}


def no_room() -> None:
    """In a process to be: no file grows."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def spoiled(database: Path, case: str) -> Path:
    """Something is wrong with it; returns what DATABASE_PATH says."""
    match case:
        case "a folder":
            database.mkdir()
        case "no database":
            database.write_bytes(b"something else" * 999)
        case "half restored":
            database.with_name(database.name + ".restoring").touch()
        case "no place":
            return Path("/proc/nowhere/greenlight.db")
    return database


@pytest.mark.parametrize(
    "case", ["absent", "a folder", "no database", "no place", "no room", "half restored"]
)
async def test_halt_where_it_cannot_be_written(database: Path, case: str) -> None:
    """One line that says so and what to do, exit code 1, and nothing is left behind."""
    if case in ("no room", "half restored"):
        await used(database)
    database = spoiled(database, case)
    limit = no_room if case == "no room" else None
    before = sorted(database.parent.glob("*"))
    code, out, errors = await halt(database, limit)
    assert (code, out, errors.count("\n")) == (1, "", 1), errors
    assert errors.startswith("greenlight halt: ")
    assert errors.endswith("It is NOT halted. Cancel in TWS.\n")
    assert "Traceback" not in errors
    assert str(database) in errors or "did not take it" in errors
    if case == "absent":
        assert sorted(database.parent.glob("*")) == before


@pytest.mark.parametrize("case", ["no text", "not to be read"])
async def test_halt_with_settings_that_cannot_be_read(database: Path, case: str) -> None:
    """Where nothing tells the database's place: exit code 2, and that nothing is halted. The environment is enough."""
    await used(database)
    broken = database.with_name(".env")
    if case == "no text":
        await asyncio.to_thread(broken.write_bytes, b"TIMEZONE=\xff\xfe")
    else:
        broken.symlink_to("/proc/self/mem")
    code, out, errors = await halt(database, without=("DATABASE_PATH",), cwd=database.parent)
    assert (code, out) == (2, "")
    assert ".env: cannot be read" in errors
    assert errors.endswith("It is NOT halted. Cancel in TWS.\n")
    assert (await halt(database, cwd=database.parent))[:2] == (0, f"{AT_START}\n")
