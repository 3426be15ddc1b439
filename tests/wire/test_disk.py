"""The disk: full or failing while orders work, damaged at the start, and an older backup put back under a world that went on."""

import asyncio
import contextlib
import json
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot import backups
from bot.clock import SystemClock
from storage import backup
from tests.kit import House, Json, end
from tests.wire.test_robust import said, working

OVER = ("Filled", "Cancelled", "ApiCancelled", "Inactive")


# --- a disk that takes nothing more ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own of 16 MB, where the system lets us have one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill_up(folder: Path) -> Callable[[], None]:
    """Leave not a byte free; returns what makes room again."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return ballast.unlink


def forbid_growth(pid: int, database: Path) -> Callable[[], None]:
    """Every write behind the present end of the log is an I/O error for that process; returns what allows it again."""
    size = database.with_name(database.name + "-wal").stat().st_size
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    return lambda: (
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        and None
    )


@pytest.mark.parametrize("fault", ["disk full", "I/O error"])
async def test_disk_full_or_io_error_while_an_order_works(house: House, fault: str) -> None:
    """No order leaves, the owner hears of it once, the fill that comes meanwhile is booked when there is room, and all goes on."""
    with contextlib.ExitStack() as stack:
        place = house.state
        if fault == "disk full":
            place = stack.enter_context(small_disk(house.state / "disk"))
        database = place / "greenlight.db"
        bot = await house.spawn(DATABASE_PATH=str(database))
        await house.ready()
        await house.control.post("/tws/fills", mode="hold")
        first = await working(house, "/buy AAPL 10")
        card = await house.phone.asks("/buy KO 3", "BUY 3 KO")
        relieve = fill_up(place) if fault == "disk full" else forbid_growth(bot.pid, database)
        await house.control.post("/tws/fill", order=(await house.control.book())["orders"][0]["ref"])
        await house.phone.taps("Send", card)
        await house.phone.hears("Nothing can be written down", after=card["id"])
        assert len((await house.control.book())["orders"]) == 1, "an order left that was not written down"
        relieve()
        await house.phone.hears(
            "FILLED.* BUY 10 AAPL|FILLED BUY 10 AAPL|BUY 10 AAPL.*FILLED 10/10", after=card["id"]
        )
        await house.phone.hears("nothing was done", after=card["id"])
        await house.phone.sees(lambda m: m["id"] == first["id"] and "FILLED 10/10" in m["text"])
        assert len((await house.control.book())["orders"]) == 1
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
        assert len((await house.control.book())["orders"]) == 2
        trades = await house.phone.asks("/trades", "Trades")
        assert trades["text"].count("BUY 10 AAPL") == 1
        assert await said(house, "Nothing can be written down") == 1
        code, errors = await end(bot)
        assert code == 0
        assert ("disk is full" if fault == "disk full" else "disk I/O error") in errors
        with closing(sqlite3.connect(database)) as books:
            assert books.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert books.execute("SELECT count(*) FROM executions").fetchone() == (1,)


async def test_a_fill_while_nobody_asks_for_anything(house: House) -> None:
    """A fill that cannot be written down is told as trouble of the disk without anybody's asking, once; then it is booked."""
    bot = await house.spawn()
    await house.ready()
    await house.control.post("/tws/fills", mode="hold")
    first = await working(house, "/buy AAPL 10")
    await house.phone.settled()
    relieve = forbid_growth(bot.pid, house.state / "greenlight.db")
    await house.control.post("/tws/fill", order=(await house.control.book())["orders"][0]["ref"])
    await house.phone.hears("Nothing can be written down", after=first["id"])
    relieve()
    await house.phone.sees(lambda m: m["id"] == first["id"] and "FILLED 10/10" in m["text"])
    assert await said(house, "Nothing can be written down") == 1
    await end(bot)


# --- at the start ---------------------------------------------------------------------------------------------------------


async def run(house: House, *words: str, **changes: str) -> tuple[int, str, str]:
    """A command of `greenlight` in a process of its own: (exit code, output, errors)."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *words),
        cwd=house.state,
        env=house.environment(**changes),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        out, errors = await process.communicate()
    return int(process.returncode or 0), out.decode(), errors.decode()


async def test_corrupt_page_at_start(house: House) -> None:
    """A damaged database is one sentence and exit code 1, nothing reaches the broker; following the sentence, the bot is back."""
    async with house.bot():
        await house.ready()
    code, out, _ = await run(house, "backup")
    assert (code, out.count("\n")) == (0, 1)
    database = house.state / "greenlight.db"
    content = bytearray(database.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xff" * 8192
    database.write_bytes(content)
    before = (await house.control.get("/tws/counts"))["connections"]
    code, out, errors = await run(house, "run")
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert "greenlight restore latest" in errors
    assert "Traceback" not in errors
    assert (await house.control.get("/tws/counts"))["connections"] == before
    code, out, errors = await run(house, "restore", "latest")
    assert (code, errors) == (0, "")
    assert "is kept as" in out
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("A backup was restored", after=last)


@pytest.mark.parametrize("place", ["/proc/nowhere/greenlight.db", "/dev/null/greenlight.db"])
async def test_a_place_where_nothing_can_be_written(house: House, place: str) -> None:
    """A folder that cannot be made is one sentence with the setting's name, and exit code 1."""
    code, _, errors = await run(house, "run", DATABASE_PATH=place)
    assert (code, errors.count("\n")) == (1, 1)
    assert "DATABASE_PATH" in errors


async def test_backup_and_restore_beside_a_running_bot(live: House) -> None:
    """A backup can be made while the bot runs; a restore is refused with what to do."""
    code, out, errors = await run(live, "backup", "mine.db")
    assert (code, errors) == (0, "")
    assert "mine.db" in out
    code, out, errors = await run(live, "restore", "mine.db")
    assert (code, out) == (1, "")
    assert "Another Greenlight uses" in errors
    await live.phone.asks("/status", "Broker connected")


# --- an older backup ------------------------------------------------------------------------------------------------------


async def restored(house: House) -> str:
    """The latest backup is put back; returns what the terminal says."""
    return await asyncio.to_thread(backups.restore, house.settings(), backups.LATEST, SystemClock())


@pytest.fixture(params=["the newer file is sound", "the newer file is damaged"])
async def older(house: House, request: pytest.FixtureRequest) -> tuple[House, Json, Json, Json]:
    """A world that went on after a backup: a card that was open in it was sent and filled, an order of before was filled, a new one works,
    a bracket was bought. Then the backup was put back.
    """
    await house.control.post("/tws/price", symbol="MSFT", bid=400.00, ask=400.02, last=400.01)
    async with house.bot():
        await house.ready()
        await house.phone.asks("/lots", "AAPL|KO")
        before = await working(house, "/buy MSFT 3 @ 300")
        card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
        await asyncio.to_thread(backups.make, house.settings(), None, SystemClock())
        await house.phone.taps("Send", card)
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        bracket = await house.phone.asks("/buy MSFT 10 sl 380 tp 440", "BUY 10 MSFT")
        await house.phone.taps("Send", bracket)
        await house.phone.hears("FILLED BUY 10 MSFT", after=bracket["id"])
        await working(house, "/buy KO 5 @ 40")
        await house.phone.settled()
    reference = next(o["ref"] for o in (await house.control.book())["orders"] if float(o["quantity"]) == 3)
    await house.control.post("/tws/fill", order=reference)
    if "damaged" in request.param:
        (house.state / "greenlight.db").write_bytes(b"\xff" * 9000)
    await restored(house)
    return house, card, before, bracket


async def test_older_backup_restored(older: tuple[House, Json, Json, Json]) -> None:
    """What happened since is taken from the broker and told; no card of before sends a second order; ours stay ours."""
    house, card, before, _ = older
    orders = len((await house.control.book())["orders"])
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        told = await house.phone.hears("A backup was restored", after=last)
        assert "3 fills" in told["text"]
        assert "BUY 5 KO" in told["text"]
        assert "Cards that were open in it are over: 1" in told["text"]
        await house.phone.sees(lambda m: m["id"] == before["id"] and "FILLED 3/3" in m["text"])
        # The card that the backup shows as open: its order is at the broker, and there will be no second one.
        data = card["buttons"][0][0]["data"]
        await house.control.post("/telegram/press", message_id=card["id"], data=data, late=True)
        await house.phone.hears_toast("sent already; it is one order, not two")
        await house.phone.settled()
        assert len((await house.control.book())["orders"]) == orders
        # Positions and books agree, so nothing waits; the next number is none that was given.
        await house.control.post("/clock", advance=70)
        fresh = await house.phone.asks("/buy AAPL 1", "BUY 1 AAPL")
        assert fresh["buttons"]
        assert await said(house, "the books explain") == 0
        # The order that was sent after the backup is ours, and can be taken back from here.
        listed = await house.phone.asks("/orders", "BUY 5 KO")
        assert "EXTERNAL" not in listed["text"]
        with closing(sqlite3.connect(house.state / "greenlight.db")) as books:
            numbers = dict(
                books.execute("SELECT symbol || quantity || role, number FROM orders WHERE owner IS NOT NULL")
            )
            (parents,) = books.execute(
                "SELECT count(*) FROM orders WHERE parent = (SELECT number FROM orders WHERE symbol = 'MSFT' AND quantity = '10' AND role = 'ENTRY')"
            ).fetchone()
        assert parents == 2
        asked = await house.phone.says(f"/cancel {numbers['KO5ENTRY']}")
        await house.phone.hears("Cancelled BUY 5 KO|BUY 5 KO.*cancelled", after=asked)
        trades = (await house.phone.asks("/trades", "Trades"))["text"]
        assert [trades.count(one) for one in ("BUY 10 AAPL", "BUY 10 MSFT", "BUY 3 MSFT")] == [1, 1, 1]
        assert numbers.pop("MSFT3ENTRY") == 1
        assert min(numbers.values()) > 6, "numbers that were given after the backup are not given again"
    async with house.bot():
        await house.phone.asks("/status", "Broker connected")
    assert await said(house, "A backup was restored") == 1


async def test_restored_brackets_protect_as_before(older: tuple[House, Json, Json, Json]) -> None:
    """A sale of what such a bracket protects takes stop and target down first, as if nothing had been."""
    house, *_ = older
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot():
        await house.phone.hears("A backup was restored", after=last)
        card = await house.phone.asks("/sell MSFT 13", "SELL 13 MSFT")
        await house.phone.taps("Send", card)
        await house.phone.hears("FILLED SELL 13 MSFT", after=card["id"])
        open_ = [o for o in (await house.control.book())["orders"] if o["status"] not in OVER]
        assert [o["symbol"] for o in open_] == ["KO"]


async def test_requests_of_before_are_not_done_again(house: House) -> None:
    """A tap that the backup holds as unfinished was done after it; the restored file does not do it again."""
    async with house.bot():
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    raw = {
        "update_id": 1,
        "callback_query": {
            "id": "1",
            "from": {"id": house.world.telegram.user_id, "is_bot": False, "first_name": "Sam"},
            "chat_instance": "1",
            "data": card["buttons"][0][0]["data"],
        },
    }
    with closing(sqlite3.connect(house.state / "greenlight.db")) as books, books:
        books.execute(
            "INSERT INTO updates (update_id, user, raw, received_at) VALUES (1, ?, ?, '2026-01-01T00:00:00+00:00')",
            (house.world.telegram.user_id, json.dumps(raw)),
        )
    await asyncio.to_thread(backups.make, house.settings(), None, SystemClock())
    await restored(house)
    async with house.bot():
        await house.phone.hears("A backup was restored", after=card["id"])
        await house.phone.asks("/whoami", "Your id")
    assert (await house.control.book())["orders"] == []


# --- every day ------------------------------------------------------------------------------------------------------------

DAY = 86_400


async def test_daily_backup(house: House) -> None:
    """One a day, made up for at the next look; /status tells its age; the oldest go."""
    folder = house.state / "backups"
    async with house.bot(backup_keep=2) as desk:
        await house.ready()
        assert desk.backups is not None
        for day in range(4):
            for _ in range(2):
                await desk.backups.look()  # type: ignore[attr-defined]  # the part itself, and not what a command may see of it
            assert len(backup.found(folder)) == min(day + 1, 2)
            await house.control.post("/clock", advance=DAY)
        assert "Last backup: 24 h ago" in (await house.phone.asks("/status", "Open orders"))["text"]
    times = [one.at for one in backup.found(folder)]
    assert (times[0] - times[1]).total_seconds() == pytest.approx(DAY, abs=60)
    assert await said(house, "ackup of the database failed") == 0


async def test_daily_backup_that_fails_is_told_once(house: House) -> None:
    """A folder that cannot be used is told once, with what is wrong; when it can be used again, silence and a backup."""
    folder = house.state / "backups"
    folder.write_text("a file where the folder should be")
    async with house.bot() as desk:
        await house.ready()
        assert desk.backups is not None
        for _ in range(3):
            await desk.backups.look()  # type: ignore[attr-defined]
            await house.control.post("/clock", advance=601)
        await house.phone.hears("Today's backup of the database failed.*backups.*no backup yet")
        assert "⚠️ Last backup: none yet" in (await house.phone.asks("/status", "Open orders"))["text"]
        folder.unlink()
        await desk.backups.look()  # type: ignore[attr-defined]
        assert (
            "Last backup: less than an hour ago" in (await house.phone.asks("/status", "Open orders"))["text"]
        )
    assert await said(house, "backup of the database failed") == 1
    assert len(backup.found(folder)) == 1
