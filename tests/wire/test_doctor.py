"""`greenlight doctor` on real wires: what works, what does not and what to do about it, without a trace in the world it looks at."""

import asyncio
import json
import re
import signal
import sqlite3
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import health
from bot.__main__ import COMMANDS, WORDS
from bot.clock import SystemClock
from bot.doctor import CHECKS, Finding, Mark, examine, look_at_telegram, report, unreadable, works
from bot.settings import SettingsError, load
from storage.database import Database
from storage.migrations import MIGRATIONS
from tests.kit import House, WorldClock, end
from tests.wire.outside import hooked, may_mount

NOT_LOOKED_AT = "not looked at"


@dataclass
class Told:
    """A report: its lines by what they are about, and the exit code that goes with it."""

    lines: dict[str, Finding]
    text: str
    code: int

    def says(self, what: str, mark: Mark, *sentences: str) -> None:
        """The line about `what` bears this mark and these words."""
        line = self.lines[what]
        assert line.mark is mark, self.text
        for sentence in sentences:
            assert sentence in line.said, self.text


async def doctor(house: House, **changes: Any) -> Told:
    """What the doctor finds, in this process."""
    settings = house.settings(**changes)
    findings = await examine(settings, WorldClock(house.world))
    secrets = [settings.telegram_bot_token.get_secret_value()]
    return Told({one.what: one for one in findings}, report(findings, secrets), 0 if works(findings) else 1)


async def as_a_program(house: House, *words: str, **environment: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of `greenlight` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        *words,
        cwd=house.state,
        env={"PYTHONIOENCODING": "utf-8", **house.environment(**environment)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    return int(process.returncode or 0), out.decode(), errors.decode()


def model(house: House, **changes: str) -> dict[str, str]:
    """Settings with the simulated model behind them."""
    world = house.world.model
    return {
        "anthropic_api_key": world.api_key,
        "anthropic_base_url": world.address,
        "anthropic_model": world.model,
        **changes,
    }


async def test_all_is_well(house: House) -> None:
    """As a program against a healthy world: every line is a check mark, the five checks in their order, exit code 0, no secret."""
    changes = {name.upper(): value for name, value in model(house).items()}
    code, out, errors = await as_a_program(house, "doctor", **changes)
    assert (code, errors) == (0, ""), out
    lines = out.splitlines()
    assert [line.partition(":")[0] for line in lines[1:-1]] == [
        f"✅ {what}"
        for what in ("Settings", "Telegram", "Allowed users", *CHECKS, "Database", "Disk", "Model")
    ]
    assert lines[-1] == "Everything that is needed works."
    assert "DU1234567, PAPER" in out
    assert f"@{house.world.telegram.bot_username}" in out
    assert len(lines) <= 24
    for secret in (house.world.telegram.token, house.world.model.api_key):
        assert secret not in out
        assert secret.rpartition(":")[2] not in out


async def test_it_places_nothing_and_changes_nothing(house: House) -> None:
    """The broker's book is what it was; of orders only one what-if was named, nothing was bound, and no file was made."""
    await house.control.post("/tws/external", symbol="MSFT", side="BUY", quantity=5, price=100, working=True)
    before, files = await house.control.book(), sorted(house.state.iterdir())
    before.pop("figures")  # they move with the prices
    told = await doctor(house)
    assert told.code == 0, told.text
    told.says(
        "Order structure",
        Mark.FINE,
        "BUY 1 AAPL at market",
        "margin",
        "commission $1.00",
        "nothing was placed",
    )
    told.says("Open orders", Mark.FINE, "1 (0 by Greenlight, 1 from elsewhere)")
    after = await house.control.book()
    after.pop("figures")
    assert after == before
    assert sorted(house.state.iterdir()) == files
    counts = await house.control.get("/tws/counts")
    assert counts["clients"] == []
    asked = counts["requests"]
    assert asked["place_order"] == 1  # the what-if: the book above knows of no order
    assert not {"cancel_order", "global_cancel", "open_orders", "auto_open_orders"} & asked.keys()
    calls = (await house.control.get("/telegram/counts"))["calls"]
    assert {name.lower() for name in calls} == {"getme", "getwebhookinfo", "getchat"}


async def test_positions_status_and_our_own_orders_are_told(house: House) -> None:
    """Holdings are counted, the server's time is shown, and an order that the bot left is told from one that it did not."""
    async with house.bot():
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10 @ 150 gtc", "BUY 10 AAPL")
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    told = await doctor(house)
    assert told.code == 0, told.text
    held = (await house.control.book())["positions"]
    told.says("Positions", Mark.FINE, f"{len(held)} loaded", "AAPL")
    told.says("Status", Mark.FINE, "clock shows", "AAPL has live market data (bid ")
    told.says("Open orders", Mark.FINE, "1 (1 by Greenlight, 0 from elsewhere)")
    told.says("Database", Mark.FINE, f"can be used (version {len(MIGRATIONS)}")


async def test_tws_is_not_running(house: House) -> None:
    """A refused connection: what to look at, from the port to the restart; the other four checks wait; exit code 1."""
    await house.control.post("/tws/refuse", on=True)
    code, out, errors = await as_a_program(house, "doctor")
    assert (code, errors) == (1, "")
    assert "❌ Connection: Cannot connect to TWS or IB Gateway at 127.0.0.1:" in out
    for part in (
        "Is it running",
        "API port",
        "7497",
        "ActiveX and Socket Clients enabled",
        "127.0.0.1 trusted",
        "Restart TWS",
    ):
        assert part in out
    assert f"⚠️ {', '.join(CHECKS[1:])}: {NOT_LOOKED_AT}: the connection comes first." in out
    assert out.splitlines()[-1].startswith("1 thing to put right")


async def test_everything_hangs(house: House) -> None:
    """TWS, Telegram and the model accept and say nothing: each is told, within thirty seconds."""
    await house.control.post("/tws/hang", on=True)
    await house.control.post("/telegram/fault", kind="black_hole")
    await house.control.post("/model/fault", kind="stall", on="models", count="always")
    async with asyncio.timeout(30):
        told = await doctor(house, **model(house))
    assert told.code == 1
    told.says("Connection", Mark.BAD, "accepts the connection but does not answer")
    told.says("Telegram", Mark.BAD, "no answer")
    told.says("Model", Mark.BAD, "answer")  # where the SDK loads slowly, the limit of the check is met first


async def test_tws_falls_silent_after_connecting(house: House) -> None:
    """Half-open behind the handshake: what was asked is told as unanswered, within thirty seconds."""
    await house.control.post("/tws/delay", milliseconds=300)  # so that the line is cut between two questions
    async with asyncio.timeout(30):
        asking = asyncio.create_task(doctor(house))
        while "account_updates" not in (await house.control.get("/tws/counts"))["requests"]:
            pass
        await house.control.post("/tws/half_open", on=True)
        told = await asking
    assert told.code == 1
    told.says("Positions", Mark.FINE, "4 loaded")
    for what in ("Status", "Order structure", "Open orders"):
        told.says(what, Mark.BAD, "did not answer")


async def test_read_only_api(house: House) -> None:
    """The connection works and holdings are seen, but orders are not: the box to untick is named."""
    await house.control.post("/tws/read_only", on=True)
    told = await doctor(house)
    assert told.code == 1
    for what in ("Connection", "Positions", "Status"):
        assert told.lines[what].mark is Mark.FINE, told.text
    told.says("Order structure", Mark.BAD, "Untick Read-Only API")
    told.says("Open orders", Mark.BAD, "Read-Only")


async def test_not_logged_in(house: House) -> None:
    """The port is open but nobody has logged in: the weekly login is named."""
    await house.control.post("/tws/not_logged_in", on=True)
    told = await doctor(house)
    assert told.code == 1
    told.says("Connection", Mark.BAD, "waits for its login")


async def test_wrong_account(house: House) -> None:
    """An account that the login does not have: both are named."""
    told = await doctor(house, ibkr_account_id="DU7654321")
    assert told.code == 1
    told.says("Connection", Mark.BAD, "IBKR_ACCOUNT_ID is DU7654321, but this login has DU1234567")
    told.says("Positions", Mark.NOTE, NOT_LOOKED_AT)


async def test_several_accounts(house: House) -> None:
    """Where there are several, the setting that chooses is named."""
    await house.control.post("/tws/accounts", add="DU7777777")
    told = await doctor(house)
    assert told.code == 1
    told.says("Connection", Mark.BAD, "several accounts (DU1234567, DU7777777)", "IBKR_ACCOUNT_ID")
    assert (await doctor(house, ibkr_account_id="DU7777777")).code == 0


async def test_beside_a_running_bot(live: House) -> None:
    """With the settings of a bot that runs: everything is looked at under an id of its own, and the bot notices nothing."""
    epoch = live.desk.broker.link.epoch if live.desk else 0
    note = health.note_of(live.settings().database_path)
    async with asyncio.timeout(10):
        while not (note.exists() and health.judge(note, WorldClock(live.world).now())[0]):
            await live.control.get("/telegram/events", after=10**9, timeout=0.2)
    told = await doctor(live)
    assert told.code == 0, told.text
    told.says("Connection", Mark.FINE, "answers client 9", "(API version 178); account DU1234567, PAPER")
    told.says("Database", Mark.FINE, "in use by a running Greenlight")
    told.says("Running Greenlight", Mark.FINE, "broker connected, the books agree; Telegram last heard")
    for what in CHECKS[1:]:
        assert told.lines[what].mark is Mark.FINE, told.text
    assert live.desk is not None
    assert live.desk.broker.link.ready
    assert live.desk.broker.link.epoch == epoch
    assert (await live.control.get("/telegram/counts"))["faults"] == {}
    await live.phone.asks("/status", "Broker connected, and the books agree")


async def test_a_bot_that_is_about_to_connect_keeps_its_client_id(live: House) -> None:
    """While the bot's line is down and it pauses, the doctor does not take the number under which it comes back."""
    before = (await live.control.get("/tws/counts"))["clients"]
    await live.control.post("/tws/refuse", on=True)
    await live.control.post("/tws/drop")
    await live.phone.hears("connection to TWS is down")
    await live.control.post("/tws/refuse", on=False)
    told = await doctor(live)
    told.says("Connection", Mark.FINE, "answers client 9")
    async with asyncio.timeout(20):
        while (await live.control.get("/tws/counts"))["clients"] != before:
            await live.control.get("/tws/events", after=10**9, timeout=0.2)
    shown = "".join(message["text"] for message in await live.phone.chat())
    assert "is in use" not in shown


async def test_a_bot_that_hangs_is_told(house: House) -> None:
    """The lock is held but the note is old: everything else may be in order, and it is a failure all the same."""
    process = await house.spawn()
    await house.ready()
    note = health.note_of(house.state / "greenlight.db")
    process.send_signal(signal.SIGSTOP)
    try:
        told = json.loads(note.read_text("utf-8"))
        note.write_text(json.dumps({**told, "at": "2020-01-01T00:00:00+00:00"}), "utf-8")
        found = await doctor(house)
    finally:
        process.send_signal(signal.SIGCONT)
    assert found.code == 1
    found.says("Running Greenlight", Mark.BAD, "the last sign of life is", "hangs")
    assert (await end(process))[0] == 0


async def test_client_id_of_somebody_else(live: House) -> None:
    """The same id in use, but no Greenlight on this database: that is a failure."""
    told = await doctor(live, database_path=live.state / "other.db")
    assert told.code == 1
    told.says("Connection", Mark.BAD, "Client id 0 is in use at TWS")
    told.says("Database", Mark.FINE, "not there yet")


async def test_a_live_account_is_named(tmp_path: Path) -> None:
    """LIVE is told by the account, and that it is real money."""
    from tests import kit

    async with kit.house(tmp_path, accounts=("U1234567",)) as house:
        told = await doctor(house)
        assert told.code == 0, told.text
        told.says("Connection", Mark.NOTE, "account U1234567, LIVE: real money", "paper account first")


@pytest.mark.parametrize(
    ("data", "mark", "sentence", "code"),
    [("delayed", Mark.NOTE, "DELAYED", 0), ("none", Mark.BAD, "market data", 1)],
)
async def test_market_data_that_is_late_or_missing(
    house: House, data: str, mark: Mark, sentence: str, code: int
) -> None:
    """Delayed data is said and will do; none at all is said with the broker's reason."""
    await house.control.post("/tws/market", data=data)
    told = await doctor(house)
    assert told.code == code, told.text
    told.says("Status", mark, sentence)


async def test_clocks_apart(house: House) -> None:
    """A computer whose clock is off by an hour hears by how much."""
    await house.control.post("/clock", advance=3600)
    findings = {one.what: one for one in await examine(house.settings(), SystemClock())}
    assert findings["Status"].mark is Mark.NOTE
    assert "from this computer's" in findings["Status"].said


class Apart:
    """The Clock port on a clock that is wrong by so much."""

    def __init__(self, seconds: float) -> None:
        self._right, self._wrong = SystemClock(), timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._right.now() + self._wrong

    def monotonic(self) -> float:
        return self._right.monotonic()


@pytest.mark.parametrize(
    ("seconds", "way"),
    [(90, "(89|90|91) s ahead of"), (-3600, "3,(599|600|601) s behind"), (5, ""), (-5, "")],
)
async def test_this_computers_clock_against_telegrams(house: House, seconds: int, way: str) -> None:
    """A clock that is off makes commands seem late: told by how much, and which way, whatever the broker's says."""
    findings = {one.what: one for one in await look_at_telegram(house.settings(), Apart(seconds))}
    if not way:
        assert findings.keys() == {"Telegram", "Allowed users"}
        return
    assert findings["Clock"].mark is Mark.BAD
    assert re.search(f"{way} Telegram's", findings["Clock"].said)  # whose time is told in whole seconds


async def test_a_webhook_takes_the_messages(house: House) -> None:
    """Somebody has set a webhook for the bot: a failure, with where the messages go, and nothing of its path."""
    async with hooked(house.world.telegram.address, "https://hooks.example.com/secret-path") as hook:
        told = await doctor(house, telegram_api_url=hook.address)
        assert told.code == 1
        told.says("Telegram", Mark.FINE, "the token answers")
        told.says("Webhook", Mark.BAD, "go to hooks.example.com", "greenlight setup")
        assert "secret-path" not in told.text
        assert "getUpdates" not in hook.calls


async def test_an_allowed_user_who_never_wrote(house: House) -> None:
    """A bot may not write first, so that the owner is told to tap Start."""
    told = await doctor(house, telegram_allowed_users=f"{house.world.telegram.user_id}, 55")
    assert told.code == 0
    told.says("Allowed users", Mark.NOTE, "2; 55 has never written to this bot", "tap Start")


@pytest.mark.skipif(not may_mount(), reason="no tmpfs can be mounted here")
@pytest.mark.parametrize(
    ("size", "code", "line"),
    [("1m", 1, "❌ Disk: only 1 MB free in "), ("100m", 0, "⚠️ Disk: only 105 MB free in ")],
)
async def test_little_room_on_the_disk(house: House, size: str, code: int, line: str) -> None:
    """A disk that fills up is told before the database cannot grow."""
    room = house.state / "room"
    room.mkdir()
    program = f'mount -t tmpfs -o size={size} none "$1" && shift && exec "$@"'
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-m", "sh", "-c", program, "-", str(room), sys.executable, "-m", "bot", "doctor"),
        env={"PYTHONIOENCODING": "utf-8", **house.environment(DATABASE_PATH=str(room / "greenlight.db"))},
        cwd=house.state,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == code, out.decode()
    assert f"\n{line}{room}: make room" in out.decode()


@pytest.mark.parametrize("columns", [80, 100])
async def test_one_screen(house: House, columns: int) -> None:
    """Whether all is well, or everything that can be wrong at once is: no more than 24 lines of a terminal."""
    good = await doctor(house, **model(house))
    await house.control.post("/tws/refuse", on=True)
    bad = await doctor(
        house,
        telegram_bot_token="123456789:AAwrong-token_wrong-token",
        database_path=Path("/proc/nowhere/greenlight.db"),
        **model(house, anthropic_api_key="sk-ant-wrong"),
    )
    for told in (good, bad):
        lines = report(list(told.lines.values()), columns=columns).splitlines()
        assert len(lines) + 1 <= 24, "\n".join(lines)  # and the line above all of them
        assert max(map(len, lines)) < columns


async def test_telegram_does_not_know_the_token(house: House) -> None:
    """A token that Telegram refuses: who has the right one."""
    told = await doctor(house, telegram_bot_token="123456789:AAwrong-token_wrong-token")
    assert told.code == 1
    told.says("Telegram", Mark.BAD, "TELEGRAM_BOT_TOKEN", "@BotFather")
    assert "AAwrong" not in told.text
    assert told.lines["Connection"].mark is Mark.FINE


async def test_telegram_hangs_behind_the_first_answer(house: House) -> None:
    """The token answered, then nothing: told within ten seconds and a little."""
    await house.control.post("/telegram/fault", kind="black_hole", method="getWebhookInfo")
    async with asyncio.timeout(14):
        findings = await look_at_telegram(house.settings(), WorldClock(house.world))
    assert findings[0].mark is Mark.BAD
    assert "no answer from" in findings[0].said


async def test_telegram_is_down(house: House) -> None:
    """No Telegram: what to check, and the token does not show in the reason."""
    await house.control.post("/telegram/fault", kind="outage")
    told = await doctor(house)
    assert told.code == 1
    told.says("Telegram", Mark.BAD, "no answer from", "TELEGRAM_API_URL")
    assert house.world.telegram.token not in told.text


async def test_nobody_is_allowed(house: House) -> None:
    """An empty allow list is no failure, but the way to fill it is told."""
    told = await doctor(house, telegram_allowed_users="")
    assert told.code == 0
    told.says("Allowed users", Mark.NOTE, "nobody", "TELEGRAM_ALLOWED_USERS")


async def test_model_key_unset(house: House) -> None:
    """Without a key everything else works, and it says what is off."""
    told = await doctor(house)
    assert told.code == 0
    told.says("Model", Mark.NOTE, "ANTHROPIC_API_KEY is not set: /analyze is off")


async def test_model_key_wrong(house: House) -> None:
    """A key that is set must work; it is not shown."""
    told = await doctor(house, **model(house, anthropic_api_key="sk-ant-wrong-canary"))
    assert told.code == 1
    told.says("Model", Mark.BAD, "refuses the key or the model", "ANTHROPIC_API_KEY")
    assert "canary" not in told.text


async def test_model_down(house: House) -> None:
    """A service that cannot be reached is told as that, not as a wrong key."""
    told = await doctor(house, **model(house, anthropic_base_url=f"http://127.0.0.1:{free_of_listeners()}"))
    assert told.code == 1
    told.says("Model", Mark.BAD, "cannot be reached", "ANTHROPIC_BASE_URL")


def free_of_listeners() -> int:
    """A port at which nobody answers."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def test_settings_that_cannot_be_used(house: House) -> None:
    """One line for each mistake, naming the variable; exit code 1, and nothing was asked of anybody."""
    code, out, errors = await as_a_program(house, "doctor", IBKR_PORT="seven", TELEGRAM_BOT_TOKEN="canary")
    assert (code, errors) == (1, "")
    assert "❌ Settings: IBKR_PORT: " in out
    assert "❌ Settings: TELEGRAM_BOT_TOKEN: must look like" in out
    assert "canary" not in out
    assert not (await house.control.get("/tws/counts"))["connections"]


def test_env_file_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .env of other bytes is one line, not a trace."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"TELEGRAM_BOT_TOKEN=\xff\xfe")
    with pytest.raises(SettingsError) as wrong:
        load()
    (found,) = unreadable(wrong.value)
    assert (found.mark, found.what) == (Mark.BAD, "Settings")
    assert ".env: is not a UTF-8 text file" in found.said


async def test_a_database_in_every_state(house: House) -> None:
    """Damaged, newer, older, mid-crash or in the wrong place: said in words, and not a byte of it is changed."""
    path = house.state / "greenlight.db"
    await (await Database.open(path)).close()
    whole = path.read_bytes()

    async def look(mark: Mark, sentence: str) -> None:
        before = {
            file: file.read_bytes()
            for file in house.state.glob("greenlight.db*")
            if file.is_file() and file.suffix != ".db-shm"
        }
        told = await doctor(house)
        told.says("Database", mark, sentence)
        after = {
            file: file.read_bytes()
            for file in house.state.glob("greenlight.db*")
            if file.is_file() and file.suffix != ".db-shm"
        }
        assert after == before

    await look(Mark.FINE, f"can be used (version {len(MIGRATIONS)} of {len(MIGRATIONS)})")
    books = sqlite3.connect(path)
    books.execute("PRAGMA user_version = 0")
    books.close()
    await look(Mark.FINE, f"version 0 of {len(MIGRATIONS)}")
    books = sqlite3.connect(path)
    books.execute("PRAGMA user_version = 99")
    books.close()
    await look(Mark.BAD, "use the newer Greenlight that wrote it")
    path.write_bytes(b"this is no database, whatever its name may say" * 100)
    await look(Mark.BAD, "file is not a database")
    path.write_bytes(whole[: len(whole) // 2])
    await look(Mark.BAD, "cannot be opened")
    nowhere = await doctor(house, database_path=path / "greenlight.db")
    nowhere.says("Database", Mark.BAD, "must be a file in a folder")


async def test_a_database_that_a_kill_left_behind(house: House) -> None:
    """After kill -9 the log beside the file is read along and both stay as they are, for the bot to take up."""
    process = await house.spawn()
    await house.ready()
    await end(process, 9)
    left = {
        file: file.read_bytes()
        for file in house.state.glob("greenlight.db*")
        if file.is_file() and file.suffix != ".db-shm"
    }
    assert any(file.suffix == ".db-wal" and content for file, content in left.items())
    told = await doctor(house)
    told.says("Database", Mark.FINE, f"version {len(MIGRATIONS)} of {len(MIGRATIONS)}")
    assert {file: file.read_bytes() for file in left} == left


@pytest.mark.parametrize("words", [("docter",), ("run", "fast"), ("--loud",)])
async def test_a_wrong_command_line_is_one_line(house: House, words: tuple[str, ...]) -> None:
    """What cannot be meant is answered with what would be right, and nothing runs."""
    code, out, errors = await as_a_program(house, *words)
    assert (code, out) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith("greenlight: ")
    assert f"greenlight [{WORDS}]" in line


async def test_help_names_the_commands(house: House) -> None:
    """--help says what there is, and that this is no advice."""
    code, out, _ = await as_a_program(house, "--help")
    assert code == 0
    for part in (*COMMANDS, *COMMANDS.values(), "not financial advice"):
        assert part in " ".join(out.split())


def test_a_name_from_outside_cannot_steer_the_terminal() -> None:
    """What Telegram or TWS say is shown without control characters, and a secret in it is covered."""
    found = Finding(Mark.FINE, "Telegram", "the token 1:abc answers as \x1b[2J\nEvil\u202e.")
    text = report([found], ["1:abc"])
    assert "1:abc" not in text
    assert text.count("\n") == 1
    assert not {"\x1b", "\u202e"} & set(text)
