"""`greenlight setup` in a terminal: a program types the answers, the world is simulated, and each thing that can be wrong is."""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import pty
import re
import resource
import signal
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot import envfile
from tests import kit
from tests.kit import ROOT, House
from tests.wire.outside import hanging_up, hooked, not_tws
from tests.wire.test_doctor import as_a_program, free_of_listeners

PATIENCE_SECONDS = 40.0
WRONG_TOKEN = "123456789:AAwrong-canary-token"
NOT_SET = "not set"
"""As the value of a variable: it is not in the environment."""


class Terminal:
    """A program in a terminal of its own, and what is on the screen."""

    def __init__(self, process: asyncio.subprocess.Process, screen: int) -> None:
        self.process, self._screen = process, screen
        self.shown = ""
        self._seen = 0
        self._more, self._over = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().add_reader(screen, self._read)

    @classmethod
    async def start(
        cls, *words: str, cwd: Path, env: dict[str, str], inside: Callable[[], object] = lambda: None
    ) -> "Terminal":
        """Run Python in it, after `inside`."""
        screen, keys = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            cwd=cwd,
            env=env,
            stdin=keys,
            stdout=keys,
            stderr=keys,
            start_new_session=True,
            preexec_fn=lambda: (fcntl.ioctl(0, termios.TIOCSCTTY, 0), inside()),
        )
        os.close(keys)
        return cls(process, screen)

    def _read(self) -> None:
        try:
            came = os.read(self._screen, 65536)
        except OSError:  # nobody is left on the other side
            came = b""
        if not came:
            asyncio.get_running_loop().remove_reader(self._screen)
            self._over.set()
        self.shown += came.decode("utf-8", "replace").replace("\r\n", "\n")
        self._more.set()

    async def hears(self, pattern: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait until the screen shows this behind what was heard before."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := re.search(pattern, self.shown[self._seen :], re.DOTALL)):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(
                f"no {pattern!r} behind {self.shown[: self._seen]!r}: {self.shown[self._seen :]!r}"
            ) from None
        self._seen += found.end()
        return found[0]

    def types(self, line: str) -> None:
        """Type a line and Enter."""
        os.write(self._screen, f"{line}\n".encode())

    async def gives_up(self, key: str) -> None:
        """Press Ctrl-C or Ctrl-D; once more where it came in the instant between the prompt and the reading, as a person would."""
        while True:
            os.write(self._screen, key.encode())
            with contextlib.suppress(AssertionError):
                await self.hears("Given up. Nothing was written", seconds=5)
                return

    async def ends(self) -> int:
        """Its exit code, when it is over and everything is on the screen."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._over.wait()
            return await self.process.wait()

    async def close(self) -> None:
        """Leave nothing behind."""
        asyncio.get_running_loop().remove_reader(self._screen)
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        os.close(self._screen)


Start = Callable[..., Awaitable[Terminal]]


@pytest.fixture
async def setup(house: House) -> AsyncIterator[Start]:
    """Start the setup in a folder with this .env (None: as it is) and these variables in its environment; `inside` runs in its process first."""
    begun: list[Terminal] = []

    async def start(
        text: str | None = "",
        program: tuple[str, ...] = ("-m", "bot", "setup"),
        inside: Callable[[], object] = lambda: None,
        **more: str,
    ) -> Terminal:
        folder = house.state / "home"
        folder.mkdir(exist_ok=True)
        if text is not None:
            (folder / ".env").write_bytes(text.encode())
            (folder / ".env").chmod(0o644)
        here = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "TERM": "dumb",
            "TELEGRAM_API_URL": house.world.telegram.address,
            "ANTHROPIC_BASE_URL": house.world.model.address,
            "ANTHROPIC_MODEL": house.world.model.model,
        }
        wanted = {name: value for name, value in (here | more).items() if value != NOT_SET}
        terminal = await Terminal.start(*program, cwd=folder, env=wanted, inside=inside)
        begun.append(terminal)
        return terminal

    yield start
    for terminal in begun:
        await terminal.close()


def written(house: House) -> dict[str, str]:
    """What .env says now."""
    return envfile.values((house.state / "home" / ".env").read_text("utf-8"))


def in_order(house: House, **changes: str) -> str:
    """A .env with which everything works, or one with these differences; an empty value leaves the line out."""
    lines = {
        "TELEGRAM_BOT_TOKEN": house.world.telegram.token,
        "TELEGRAM_ALLOWED_USERS": str(house.world.telegram.user_id),
        "IBKR_PORT": str(house.world.tws.port),
        "ANTHROPIC_API_KEY": house.world.model.api_key,
        **changes,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items() if value)


def no_secret(house: House, terminal: Terminal, *more: str) -> None:
    """Nothing of a token or a key was on the screen."""
    world = house.world
    for secret in (world.telegram.token, world.model.api_key, *more):
        assert secret not in terminal.shown
        assert secret.rpartition(":")[2] not in terminal.shown


async def test_from_nothing_to_a_bot_that_runs(house: House, setup: Start) -> None:
    """Every answer typed once, the id read from the first message; the file is private, and doctor and bot work with it."""
    terminal = await setup(None)
    await terminal.hears("BotFather.*Token: ")
    terminal.types(house.world.telegram.token)
    await terminal.hears(f"✅ Telegram: the token answers as .*@{house.world.telegram.bot_username}")
    await terminal.hears("skip: ")
    terminal.types("")
    await terminal.hears("Waiting up to")
    await house.phone.says("/whoami")
    await terminal.hears(rf"id {house.world.telegram.user_id}\) wrote: /whoami\n.*yes or no\): ")
    terminal.types("yes")
    await terminal.hears(f"✅ Allowed users: {house.world.telegram.user_id}")
    await terminal.hears(r"Host .*\[127.0.0.1\]: ")
    terminal.types("")
    await terminal.hears(r"port .*7496 live.*\[7497\]: ")
    terminal.types(str(house.world.tws.port))
    await terminal.hears("✅ Connection: .*account DU1234567, PAPER.*✅ Open orders")
    await terminal.hears("API key, or Enter for none: ")
    terminal.types(house.world.model.api_key)
    await terminal.hears("✅ Model: the key and .* are accepted")
    await terminal.hears("is written .*Start it with: greenlight run")
    assert await terminal.ends() == 0
    no_secret(house, terminal)
    path = house.state / "home" / ".env"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == [".env"]
    assert written(house) == {
        "TELEGRAM_BOT_TOKEN": house.world.telegram.token,
        "TELEGRAM_ALLOWED_USERS": str(house.world.telegram.user_id),
        "IBKR_HOST": "127.0.0.1",
        "IBKR_PORT": str(house.world.tws.port),
        "ANTHROPIC_API_KEY": house.world.model.api_key,
    }
    counts = await house.control.get("/tws/counts")
    assert counts["clients"] == []
    assert (await house.control.book())["orders"] == []
    bot = await setup(None, ("-m", "bot", "run"))
    await house.ready()
    await house.phone.hears("Your id: ")  # the first message was left for the bot, which answers it now
    bot.process.terminate()
    assert await bot.ends() == 0


async def test_what_is_there_is_looked_at_and_kept(house: House, setup: Start) -> None:
    """Where everything is in order nothing is asked; only the mode of the file changes."""
    text = f"# mine\nUNKNOWN='x y' # why\n\n{in_order(house)}MAX_POSITION_SIZE=500\n"
    terminal = await setup(text)
    await terminal.hears("has everything already")
    assert await terminal.ends() == 0
    no_secret(house, terminal)
    path = house.state / "home" / ".env"
    assert (path.read_text("utf-8"), path.stat().st_mode & 0o777) == (text, 0o600)


async def test_only_what_is_missing_is_asked(house: House, setup: Start) -> None:
    """One empty line in a commented file is filled where it stands, and every other byte stays."""
    text = "# mine\r\n" + in_order(house, TELEGRAM_BOT_TOKEN="").replace("\n", "\r\n")
    terminal = await setup(f"{text}TELEGRAM_BOT_TOKEN='' # from @BotFather\r\n# end")
    await terminal.hears("Token: ")
    terminal.types(house.world.telegram.token)
    assert await terminal.ends() == 0
    after = (house.state / "home" / ".env").read_bytes().decode()
    assert after == f"{text}TELEGRAM_BOT_TOKEN={house.world.telegram.token} # from @BotFather\r\n# end"


async def test_a_token_until_it_is_right(house: House, setup: Start) -> None:
    """One that cannot be, one that Telegram does not know, and Telegram away: said, and asked again until it answers."""
    terminal = await setup(in_order(house, TELEGRAM_BOT_TOKEN=""))
    await terminal.hears("Token: ")
    terminal.types("no token canary")
    await terminal.hears("TELEGRAM_BOT_TOKEN: must look like 123456789:ABC.*Token: ")
    terminal.types(WRONG_TOKEN)
    await terminal.hears("❌ Telegram: TELEGRAM_BOT_TOKEN: Telegram does not know this token.*Enter or again")
    terminal.types("what")
    await terminal.hears("Enter or again")
    await house.control.post("/telegram/fault", kind="outage")
    terminal.types("o")
    await terminal.hears("Token: ")
    terminal.types(house.world.telegram.token)
    await terminal.hears("❌ Telegram: no answer from .*Enter or again")
    await house.control.post("/telegram/fault", kind="clear")
    terminal.types("")
    await terminal.hears("✅ Telegram: the token answers")
    assert await terminal.ends() == 0
    assert written(house)["TELEGRAM_BOT_TOKEN"] == house.world.telegram.token
    no_secret(house, terminal, WRONG_TOKEN, "canary")


async def test_somebody_else_writes_first(house: House, setup: Start) -> None:
    """A stranger is named and not allowed; what is no private message is passed over; the next one is the owner."""
    terminal = await setup(in_order(house, TELEGRAM_ALLOWED_USERS=""))
    await terminal.hears("skip: ")
    await house.control.post("/telegram/message", text="/start in the group", chat="group")
    await house.control.post("/telegram/update", kind="message", content={"no": "message"})
    await house.control.post("/telegram/message", text="let \x1b[2J me in", user=666)
    terminal.types("")
    await terminal.hears(r"\(id 666\) wrote: let  \[2J me in\n.*yes or no\): ")
    terminal.types("")
    await terminal.hears("Not allowed.*skip: ")
    terminal.types("")
    await terminal.hears("Waiting up to")
    await house.phone.says("me")
    await terminal.hears(rf"id {house.world.telegram.user_id}\) wrote: me.*yes or no\): ")
    terminal.types("y")
    assert await terminal.ends() == 0
    assert written(house)["TELEGRAM_ALLOWED_USERS"] == str(house.world.telegram.user_id)


async def test_nobody_writes(house: House, setup: Start) -> None:
    """The waiting has an end; an id can be typed, one that is none is refused."""
    program = (
        "import os, pathlib; from bot.clock import SystemClock; from bot.setup import Setup; "
        "os._exit(Setup(pathlib.Path('.env'), os.environ, SystemClock(), 0.5).run())"
    )
    terminal = await setup(in_order(house, TELEGRAM_ALLOWED_USERS=""), ("-c", program))
    await terminal.hears("skip: ")
    terminal.types("")
    await terminal.hears("nobody wrote in this time.*skip: ")
    terminal.types("@ada")
    await terminal.hears("TELEGRAM_ALLOWED_USERS: must be user ids.*@ada is none.*skip: ")
    terminal.types("5, 7")
    await terminal.hears("✅ Allowed users: 5, 7")
    await terminal.hears("is written")


async def test_messages_cannot_be_fetched(house: House, setup: Start) -> None:
    """Another program that polls, Telegram away and an answer that is none: each is said, and who skips hears what is left."""
    terminal = await setup(in_order(house, TELEGRAM_ALLOWED_USERS=""))
    await terminal.hears("skip: ")
    for fault, sentence in (
        ("409", "another program fetches"),
        ("outage", "no answer from"),
        ("garbage", "no answer from"),
    ):
        await house.control.post("/telegram/fault", kind=fault)
        terminal.types("")
        await terminal.hears(f"❌ Telegram: {sentence}.*skip: ")
        await house.control.post("/telegram/fault", kind="clear")
    terminal.types("skip")
    await terminal.hears("⚠️ Allowed users: nobody")
    await terminal.hears("has everything already.*Not in order yet: TELEGRAM_ALLOWED_USERS")
    assert await terminal.ends() == 1


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong: how it is arranged (a control route with its body) and mended, and what the screen says of it."""

    what: str
    route: str
    said: str
    body: dict[str, Any] = field(default_factory=lambda: {"on": True})
    mended: dict[str, Any] = field(default_factory=lambda: {"on": False})
    mended_at: str = ""

    async def arrange(self, house: House) -> None:
        await house.control.post(self.route, **self.body)

    async def mend(self, house: House) -> None:
        await house.control.post(self.mended_at or self.route, **self.mended)


def telegram(kind: str, said: str, **more: Any) -> Trouble:
    return Trouble(kind, "/telegram/fault", said, {"kind": kind, **more}, {"kind": "clear"})


def of_model(kind: str, said: str, **more: Any) -> Trouble:
    body = {"kind": kind, "on": "models", "count": "always", **more}
    return Trouble(kind, "/model/fault", said, body, {}, "/model/clear")


TELEGRAM = (
    telegram("outage", "no answer from .*Check the network"),
    telegram("500", "no answer from .*Internal Server Error"),
    telegram("429", "no answer from .*Flood control exceeded", retry_after=7),
    telegram("garbage", "no answer from .*TELEGRAM_API_URL"),
    telegram("black_hole", "no answer from .*in time"),
)
TWS = (
    Trouble("the port is closed", "/tws/refuse", "Connection: Cannot connect to TWS.*Is it running"),
    Trouble("it is silent", "/tws/hang", "Connection: .*accepts the connection but does not answer"),
    Trouble("nobody has logged in", "/tws/not_logged_in", "Connection: .*waits for its login"),
    Trouble("it is read-only", "/tws/read_only", "Order structure, Open orders: .*Untick Read-Only API"),
    Trouble(
        "it has no market data",
        "/tws/market",
        "Status: .*market data",
        {"data": "none"},
        {"data": "live"},
    ),
)
MODEL = (
    of_model("wrong_key", "refuses the key.*Check ANTHROPIC_API_KEY"),
    of_model("forbidden", "refuses the key or the model"),
    of_model("credit", "spending limit.*credit balance is too low"),
    of_model("billing", "spending limit"),
    of_model("spend_cap", "spending limit"),
    of_model("tier_cap", "spending limit"),
    of_model("429", "rate limit is reached"),
    of_model("529", "overloaded"),
    of_model("500", "overloaded or in trouble"),
    of_model("504", "did not answer in time"),
    of_model("html", "cannot be reached"),
    of_model("not_http", "cannot be reached"),
    of_model("garbage", "cannot be (read|reached)"),
)


async def test_everything_that_can_be_wrong_with_telegram(house: House, setup: Start) -> None:
    """One after the other, each said with what to do; when nothing is wrong any more, Enter goes on."""
    await walk(house, await started(house, setup, TELEGRAM[0]), TELEGRAM, "Telegram", "✅ Telegram: ")


async def test_everything_that_can_be_wrong_with_tws(house: House, setup: Start) -> None:
    """The same for TWS."""
    await walk(house, await started(house, setup, TWS[0]), TWS, "", "✅ Connection: .*✅ Order structure: ")


async def test_everything_that_can_be_wrong_with_the_model(house: House, setup: Start) -> None:
    """The same for the model's service."""
    await walk(house, await started(house, setup, MODEL[0]), MODEL, "Model", "✅ Model: ")


async def started(house: House, setup: Start, first: Trouble) -> Terminal:
    await first.arrange(house)
    return await setup(in_order(house))


async def walk(house: House, terminal: Terminal, troubles: tuple[Trouble, ...], what: str, end: str) -> None:
    """From the first trouble, which is there already, to the last, and to the end of all of them."""
    for now, then in zip(troubles, (*troubles[1:], None), strict=True):
        await terminal.hears(f"❌ {what}[^\n]*{now.said}.*Enter or again: [^\n]*: $")
        await now.mend(house)
        if then:
            await then.arrange(house)
        terminal.types("")
    await terminal.hears(end)
    assert await terminal.ends() == 0
    no_secret(house, terminal)


async def test_no_network_at_all(house: House, setup: Start) -> None:
    """Names that nobody resolves: each of the three is said, and whoever goes on hears what is left."""
    nowhere = "http://nowhere.invalid"
    terminal = await setup(
        in_order(house, IBKR_HOST="nowhere.invalid"), TELEGRAM_API_URL=nowhere, ANTHROPIC_BASE_URL=nowhere
    )
    for said in (
        "❌ Telegram: no answer from",
        "❌ Connection: Cannot connect.*nowhere.invalid",
        "❌ Model: .*cannot be reached",
    ):
        await terminal.hears(f"{said}.*Enter or again: [^\n]*: $")
        terminal.types("leave")
    await terminal.hears("Not in order yet: Telegram, TWS, Model")
    assert await terminal.ends() == 1


async def test_a_webhook_is_removed_where_that_is_wished(house: House, setup: Start) -> None:
    """It keeps messages from whoever polls; it stays until it is told to go."""
    async with hooked(house.world.telegram.address, "https://hooks.example.com/secret-path") as hook:
        terminal = await setup(in_order(house), TELEGRAM_API_URL=hook.address)
        await terminal.hears("❌ Webhook: .*hooks.example.com.*Enter or again: ")
        terminal.types("")
        await terminal.hears("❌ Webhook: .*Enter or again: ")
        assert hook.url
        terminal.types("remove")
        await terminal.hears("✅ Telegram: ")
        assert await terminal.ends() == 0
        assert not hook.url
        assert "secret-path" not in terminal.shown


async def test_what_listens_is_no_tws(house: House, setup: Start) -> None:
    """A web server, and a port that hangs up, instead of TWS; changed until it is one."""
    async with not_tws() as web, hanging_up() as other:
        terminal = await setup(in_order(house, IBKR_PORT=str(web)))
        for port, said in ((other, f":{web} "), (house.world.tws.port, f":{other} ")):
            await terminal.hears(f"❌ Connection: .*{said}.*no TWS.*Enter or again: [^\n]*: $")
            terminal.types("change")
            for answer in ("", str(port), "", ""):
                await terminal.hears("(Host|port|Client id|Account)[^\n]*: $")
                terminal.types(answer)
        await terminal.hears("✅ Connection: ")
        assert await terminal.ends() == 0


async def test_the_client_id_is_taken(live: House, setup: Start) -> None:
    """By a program that is no Greenlight of this database: another id can be given."""
    terminal = await setup(in_order(live))
    await terminal.hears("❌ Connection: Client id 0 is in use.*Enter or again: ")
    terminal.types("change")
    for answer in ("", "", "5", ""):
        await terminal.hears("(Host|port|Client id|Account)[^\n]*: $")
        terminal.types(answer)
    await terminal.hears("✅ Connection: [^\n]*answers client 5")
    assert await terminal.ends() == 0
    assert written(live)["IBKR_CLIENT_ID"] == "5"


async def test_an_account_that_the_login_does_not_have(house: House, setup: Start) -> None:
    """The one that it has is offered."""
    terminal = await setup(in_order(house, IBKR_ACCOUNT_ID="DU7654321"))
    await terminal.hears("IBKR_ACCOUNT_ID is DU7654321, but.*1: DU1234567, PAPER\nWhich account.*: $")
    terminal.types("du1234567")
    await terminal.hears("✅ Connection: ")
    assert await terminal.ends() == 0
    assert written(house)["IBKR_ACCOUNT_ID"] == "DU1234567"


async def test_a_model_that_does_not_exist(house: House, setup: Start) -> None:
    """Its name can be typed anew, unless the environment has it."""
    text = in_order(house, ANTHROPIC_MODEL="claude-nobody")
    terminal = await setup(text, ANTHROPIC_MODEL=NOT_SET)
    await terminal.hears("❌ Model: .*model: claude-nobody.*Enter or again: [^\n]*: $")
    terminal.types("model")
    await terminal.hears(r"Model \[claude-nobody\]: ")
    terminal.types(house.world.model.model)
    await terminal.hears("✅ Model: ")
    assert await terminal.ends() == 0
    assert written(house)["ANTHROPIC_MODEL"] == house.world.model.model
    terminal = await setup(text, ANTHROPIC_MODEL="claude-nobody")
    assert "model:" not in await terminal.hears("Enter or again: [^\n]*: $")


async def test_a_bot_that_runs_keeps_its_messages(live: House, setup: Start) -> None:
    """Two that fetch messages take them from each other; so the setup fetches none, and asks for the id that the bot tells."""
    terminal = await setup(None, **environment(live, TELEGRAM_ALLOWED_USERS=NOT_SET))
    for _ in range(2):
        await terminal.hears("A Greenlight is running .*write /whoami.*skip: $")
        terminal.types("")
    await terminal.hears("skip: $")
    answer = await live.phone.asks("/whoami", "Your id")
    terminal.types(str(live.world.telegram.user_id))
    assert await terminal.ends() == 0
    assert str(live.world.telegram.user_id) in answer["text"]
    assert written(live) == {"TELEGRAM_ALLOWED_USERS": str(live.world.telegram.user_id)}
    assert "Conflict" not in terminal.shown


def small_files() -> None:
    """No file may grow beyond a few bytes, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))


def like_anybody() -> None:
    """As root, but not above what the modes of files say: without the two capabilities that are (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(
            24, capability, 0, 0, 0
        )  # PR_CAPBSET_DROP; refused to others, who do not have them


async def test_the_disk_is_full(house: House, setup: Start) -> None:
    """Said at the end, and the file is as it was: not half of it, not empty, and nothing beside it."""
    text = in_order(house, ANTHROPIC_API_KEY="")
    terminal = await setup(text, inside=small_files)
    await terminal.hears("Enter for none: ")
    terminal.types(house.world.model.api_key)
    await terminal.hears(r"❌ [^\n]*\.env: File too large. Nothing was written: it is as it was")
    assert await terminal.ends() == 1
    path = house.state / "home" / ".env"
    assert (path.read_text("utf-8"), os.listdir(path.parent)) == (text, [".env"])


async def test_a_folder_that_is_not_ours_to_write(house: House, setup: Start) -> None:
    """Said before the first question."""
    folder = house.state / "home"
    folder.mkdir()
    (folder / ".env").write_text(in_order(house), "utf-8")
    folder.chmod(0o555)
    terminal = await setup(None, inside=like_anybody)
    await terminal.hears("❌ [^\n]*home is not ours to write; start this where .env may be written")
    assert await terminal.ends() == 1
    assert "1 of 4" not in terminal.shown


async def test_a_file_that_is_not_ours_to_read(house: House, setup: Start) -> None:
    """Somebody else's .env: said, and left alone."""
    folder = house.state / "home"
    folder.mkdir()
    (folder / ".env").write_text("TELEGRAM_BOT_TOKEN=1:abc\n", "utf-8")
    (folder / ".env").chmod(0)
    terminal = await setup(None, inside=like_anybody)
    await terminal.hears(r"❌ [^\n]*\.env: Permission denied. Nothing was written")
    assert await terminal.ends() == 1


async def test_a_folder_of_that_name(house: House, setup: Start) -> None:
    """A folder called .env, as Docker makes one for a file that is not there."""
    (house.state / "home" / ".env").mkdir(parents=True)
    terminal = await setup(None)
    await terminal.hears(r"❌ \.env: Is a directory. Nothing was written")
    assert await terminal.ends() == 1


@pytest.mark.parametrize("there", [True, False])
async def test_a_link_is_followed_and_stays(house: House, setup: Start, there: bool) -> None:
    """.env may be a link to where it really lies, be that there already or not."""
    folder, real = house.state / "home", house.state / "elsewhere"
    folder.mkdir()
    real.mkdir()
    (folder / ".env").symlink_to(real / "settings")
    if there:
        (real / "settings").write_text("# mine\n", "utf-8")
    terminal = await setup(None, **environment(house, IBKR_PORT=NOT_SET))
    await terminal.hears("Host .*: ")
    terminal.types("")
    await terminal.hears("port .*: ")
    terminal.types(str(house.world.tws.port))
    assert await terminal.ends() == 0
    assert (folder / ".env").is_symlink()
    assert os.listdir(real) == ["settings"]
    assert written(house) == {"IBKR_HOST": "127.0.0.1", "IBKR_PORT": str(house.world.tws.port)}
    assert (
        (real / "settings").read_text("utf-8").startswith("# mine\n" if there else "# Greenlight's settings")
    )
    assert (real / "settings").stat().st_mode & 0o777 == 0o600


async def test_links_that_lead_nowhere(house: House, setup: Start) -> None:
    """Two links that name each other."""
    folder = house.state / "home"
    folder.mkdir()
    (folder / ".env").symlink_to(folder / "other")
    (folder / "other").symlink_to(folder / ".env")
    terminal = await setup(None)
    await terminal.hears(r"❌ \.env: Too many levels of symbolic links. Nothing was written")
    assert await terminal.ends() == 1


async def test_values_that_need_quotes(house: House, setup: Start) -> None:
    """Spaces, quotes, hashes and backslashes in what is there are kept, and what is typed is read again as it was."""
    text = in_order(house, ANTHROPIC_MODEL="", IBKR_HOST="") + (
        "MINE='it is # not a comment'\nYOURS=\"a \\\"b\\\" c\" # one\nANTHROPIC_MODEL='claude-nobody'   # two\n"
    )
    terminal = await setup(text, ANTHROPIC_MODEL=NOT_SET)
    for name in ('it\'s # a "model" of \\ ours', house.world.model.model):
        await terminal.hears("❌ Model: .*Enter or again: [^\n]*: $")
        terminal.types("m")
        await terminal.hears(r"Model \[[^\n]*\]: $")
        terminal.types(name)
    assert await terminal.ends() == 0
    after = (house.state / "home" / ".env").read_text("utf-8")
    assert after == text.replace("'claude-nobody'", house.world.model.model)


async def test_the_wrong_place_and_several_accounts(house: House, setup: Start) -> None:
    """A port that is none, one where nobody listens, and a login with several accounts: changed until it is right."""
    await house.control.post("/tws/accounts", add="DU7777777")
    await house.control.post("/tws/accounts", add="U5555555")
    terminal = await setup(in_order(house, IBKR_PORT=str(free_of_listeners())))
    await terminal.hears("❌ Connection: Cannot connect.*Enter or again")
    terminal.types("change")
    await terminal.hears("Host .*: ")
    terminal.types("")
    await terminal.hears("port .*: ")
    terminal.types("seven")
    await terminal.hears("IBKR_PORT: must be a whole number.*port .*: ")
    terminal.types(str(house.world.tws.port))
    await terminal.hears("Client id .*: ")
    terminal.types("3")
    await terminal.hears("Account.*: ")
    terminal.types("")
    await terminal.hears(
        r"several accounts \(DU1234567, DU7777777, U5555555\).*"
        "1: DU1234567, PAPER\n  2: DU7777777, PAPER\n  3: U5555555, LIVE: real money\nWhich account.*: "
    )
    terminal.types("4")
    await terminal.hears("4 is none of them.*Which account.*: ")
    terminal.types("2")
    await terminal.hears("answers client 3 .*account DU7777777, PAPER")
    assert await terminal.ends() == 0
    told = written(house)
    assert (told["IBKR_CLIENT_ID"], told["IBKR_ACCOUNT_ID"]) == ("3", "DU7777777")


async def test_tws_left_for_later(house: House, setup: Start) -> None:
    """Who goes on without TWS has the rest written, and hears what is left."""
    await house.control.post("/tws/refuse", on=True)
    terminal = await setup(in_order(house, ANTHROPIC_API_KEY=""))
    await terminal.hears("Enter or again")
    terminal.types("leave")
    await terminal.hears("Enter for none: ")
    terminal.types("")
    await terminal.hears("⚠️ Model: ANTHROPIC_API_KEY is not set")
    await terminal.hears("Not in order yet: TWS")
    assert await terminal.ends() == 1


async def test_a_live_account_is_named(tmp_path: Path, setup: Start) -> None:
    """LIVE is said to be real money."""
    async with kit.house(tmp_path / "live", accounts=("U1234567",)) as live:
        terminal = await setup(None, **environment(live))
        await terminal.hears("⚠️ Connection: .*account U1234567, LIVE: real money")
        assert await terminal.ends() == 0


async def test_a_key_until_it_is_right(house: House, setup: Start) -> None:
    """A wrong key, then a service that is overloaded: said, asked again, and nothing of either is shown."""
    terminal = await setup(in_order(house, ANTHROPIC_API_KEY="sk-ant-wrong-canary"))
    await terminal.hears("❌ Model: .*refuses the key.*Enter or again")
    terminal.types("other")
    await terminal.hears("Enter for none: ")
    await house.control.post("/model/fault", kind="529", on="models", count="always")
    terminal.types(house.world.model.api_key)
    await terminal.hears("❌ Model: .*Enter or again")
    await house.control.post("/model/clear")
    terminal.types("a")
    await terminal.hears("✅ Model: ")
    assert await terminal.ends() == 0
    assert written(house)["ANTHROPIC_API_KEY"] == house.world.model.api_key
    no_secret(house, terminal, "canary")


@pytest.mark.parametrize("where", ["Token: ", "skip: ", "Waiting up to", "Looking at it"])
@pytest.mark.parametrize("key", ["\x03", "\x04"])
async def test_given_up_on_the_way(house: House, setup: Start, where: str, key: str) -> None:
    """Ctrl-C anywhere, and Ctrl-D at a question, leave the file byte for byte, its mode and its folder."""
    if key == "\x04" and not where.endswith(": "):
        return
    await house.control.post("/tws/hang", on=True)
    missing = {"Token: ": "TELEGRAM_BOT_TOKEN", "Looking at it": "ANTHROPIC_API_KEY"}.get(
        where, "TELEGRAM_ALLOWED_USERS"
    )
    text = in_order(house, **{missing: ""})
    terminal = await setup(text)
    if where == "Waiting up to":
        await terminal.hears("skip: ")
        terminal.types("")
    await terminal.hears(where)
    await terminal.gives_up(key)
    assert await terminal.ends() == 130
    path = house.state / "home" / ".env"
    assert (path.read_text("utf-8"), path.stat().st_mode & 0o777) == (text, 0o644)
    assert os.listdir(path.parent) == [".env"]


async def test_the_environment_wins_and_is_not_written(house: House, setup: Start) -> None:
    """What it sets is looked at; where that does not work, the place to put it right is named."""
    terminal = await setup(
        None, **environment(house, IBKR_PORT=str(free_of_listeners()), TELEGRAM_BOT_TOKEN=WRONG_TOKEN)
    )
    await terminal.hears(
        "❌ Telegram: .*The environment sets TELEGRAM_BOT_TOKEN.*Enter or again: look again, leave"
    )
    terminal.types("leave")
    await terminal.hears("❌ Connection: .*Enter or again")
    terminal.types("change")
    await terminal.hears("Host .*: ")
    terminal.types("localhost")
    await terminal.hears("IBKR_PORT is .*the environment sets it.*Client id.*: ")
    terminal.types("")
    await terminal.hears("Account.*: ")
    terminal.types("")
    await terminal.hears("Enter or again")
    terminal.types("l")
    await terminal.hears("Not in order yet: Telegram, TWS")
    assert await terminal.ends() == 1
    assert written(house) == {"IBKR_HOST": "localhost", "IBKR_CLIENT_ID": "0"}
    no_secret(house, terminal, WRONG_TOKEN)


async def test_what_has_to_be_put_right_by_hand(house: House, setup: Start) -> None:
    """A bad line that is not asked for, one of the environment, and a file that is no text end it before the first question."""
    terminal = await setup(in_order(house, MAX_POSITION_SIZE="lots"), IBKR_PORT="seven")
    await terminal.hears("MAX_POSITION_SIZE: ")
    assert await terminal.ends() == 1
    assert "IBKR_PORT: " in terminal.shown
    assert "put it right there" in terminal.shown
    (house.state / "home" / ".env").write_bytes(b"\xff")
    terminal = await setup(None)
    await terminal.hears("not a UTF-8 text file")
    assert await terminal.ends() == 1
    assert (house.state / "home" / ".env").read_bytes() == b"\xff"


async def test_a_bad_line_that_is_asked_for_is_asked_anew(house: House, setup: Start) -> None:
    """A port that is none in the file is told, and a right one is asked for."""
    terminal = await setup(in_order(house, IBKR_HOST="127.0.0.1", IBKR_PORT="seven"))
    await terminal.hears("⚠️ IBKR_PORT: .*It is asked anew.*port .*7497\\]: ")
    terminal.types(str(house.world.tws.port))
    assert await terminal.ends() == 0
    assert written(house)["IBKR_PORT"] == str(house.world.tws.port)


async def test_a_file_that_cannot_be_replaced(house: House, setup: Start) -> None:
    """Where a folder has come into its place, that is said, and nothing is left beside it."""
    terminal = await setup(in_order(house, ANTHROPIC_API_KEY=""))
    await terminal.hears("Enter for none: ")
    path = house.state / "home" / ".env"
    path.rename(house.state / "old")
    path.mkdir()
    terminal.types(house.world.model.api_key)
    await terminal.hears("Nothing was written")
    assert await terminal.ends() == 1
    assert os.listdir(house.state / "home") == [".env"]
    assert os.listdir(path) == []


async def test_beside_a_running_bot(live: House, setup: Start) -> None:
    """With everything in order a running bot is noticed, and notices nothing."""
    terminal = await setup(None, **environment(live))
    await terminal.hears("✅ Connection: [^\n]*answers client 9")
    assert await terminal.ends() == 0
    await live.phone.asks("/status", "Broker connected, and the books agree")


async def test_without_a_terminal(house: House) -> None:
    """In a pipe it says that it needs a terminal, and does nothing."""
    code, out, errors = await as_a_program(house, "setup")
    assert (code, out) == (2, "")
    assert "needs a terminal" in errors


def environment(house: House, **changes: str) -> dict[str, str]:
    """Everything that works, from the environment alone."""
    more = {
        "ANTHROPIC_API_KEY": house.world.model.api_key,
        "ANTHROPIC_BASE_URL": house.world.model.address,
        "ANTHROPIC_MODEL": house.world.model.model,
    }
    known = {name: value for name, value in house.environment().items() if name not in ("PATH", "PYTHONPATH")}
    return known | more | changes
