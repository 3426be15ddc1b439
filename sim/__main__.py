"""`python -m sim`: the world in a box, and the bot beside it."""

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections import deque
from functools import partial
from pathlib import Path

from sim.commandline import add_accounts, add_shared, finished, port, say_places, stopped
from sim.world import World

ROOT = Path(__file__).resolve().parent.parent
GRACE_SECONDS = 6.0
RESTARTS_A_MINUTE = 3
LONGEST_LINE = 2**20
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run until a signal ends it. Returns the exit code."""
    options = _options()
    return finished(_run(options), options.state)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=os.environ.get("SIM_NAME", "python -m sim"),
        description="A simulated broker (TWS), Telegram with a chat page, and Messages API on loopback, and the bot that uses them.",
        epilog="Each of the three also runs by itself: python -m sim.tws, sim.telegram, sim.model (or greenlight sim tws, ...); --help explains.",
    )
    for name in ("tws", "telegram", "model", "control"):
        parser.add_argument(
            f"--{name}-port",
            type=port,
            default=0,
            metavar="PORT",
            help=f"port of the {name} server (0, the default: any free one)",
        )
    add_shared(parser, ".demo")
    add_accounts(parser)
    parser.add_argument("--no-bot", action="store_true", help="only the world, without the bot")
    return parser.parse_args()


async def _run(options: argparse.Namespace) -> int:
    stop = stopped()
    world = World(
        options.state,
        options.seed,
        options.tws_port,
        options.telegram_port,
        options.model_port,
        options.control_port,
        tuple(options.account or ("DU1234567",)),
    )
    async with world:
        say_places(world)
        code = 0
        if options.no_bot:
            _invite(world)
            await stop.wait()
        else:
            code = await _keep_bot(world, options.state, stop)
        print("Stopping.", flush=True)
    return code


def _invite(world: World) -> None:
    print(f"Open this in a browser: {world.telegram.page_url}\n", flush=True)


def _environment(world: World, state: Path) -> dict[str, str]:
    """All that the bot gets to see: nothing of what surrounds us but what a program needs to run."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ") if name in os.environ}
    host, _, port = world.tws.address.partition(":")
    return kept | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "TELEGRAM_API_URL": world.telegram.address,
        "TELEGRAM_BOT_TOKEN": world.telegram.token,
        "TELEGRAM_ALLOWED_USERS": str(world.telegram.user_id),
        "IBKR_HOST": host,
        "IBKR_PORT": port,
        "ANTHROPIC_BASE_URL": world.model.address,
        "ANTHROPIC_API_KEY": world.model.api_key,
        "ANTHROPIC_MODEL": world.model.model,
        "DATABASE_PATH": str((state / "greenlight.db").resolve()),
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
    }


async def _keep_bot(world: World, state: Path, stop: asyncio.Event) -> int:
    """Run the bot until told to stop; one that dies is started again, three times a minute at most.

    The address is told once the bot hears. One that ends by itself before that has said why, and would say the same again:
    that is the end, with exit code 1.
    """
    environment = _environment(world, state)
    starts: deque[float] = deque(maxlen=RESTARTS_A_MINUTE + 1)
    inviting = asyncio.create_task(_invite_when_heard(world))
    try:
        while not stop.is_set():
            starts.append(time.monotonic())
            bot = await _start(state, environment)
            words = asyncio.create_task(_relay(bot, _log(state), world.telegram.polled))
            died = asyncio.create_task(bot.wait())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({died, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not died.done():
                await _end(bot)
                await words
                return 0
            said, code = await words, died.result()
            if code > 0 and not world.telegram.polled.is_set():
                print(
                    f"The bot could not start: {said or f'it ended with exit code {code}'}\n"
                    f"Everything that it said is in {_log(state)}. Mend that, or move {state} away to begin anew, and start again.",
                    flush=True,
                )
                return 1
            if len(starts) > RESTARTS_A_MINUTE and starts[-1] - starts[0] < 60:
                print(
                    f"The bot ended by itself with exit code {code}, too often to start it again ({_log(state)} has what it said). "
                    "The world stays up.",
                    flush=True,
                )
                await stop.wait()
                return 0
            print(f"The bot ended by itself with exit code {code}; starting it again in 2 s.", flush=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await stop.wait()
    finally:
        inviting.cancel()
    return 0


async def _invite_when_heard(world: World) -> None:
    await world.telegram.polled.wait()
    _invite(world)


def _log(state: Path) -> Path:
    return state / "bot.log"


async def _relay(bot: asyncio.subprocess.Process, log: Path, heard: asyncio.Event) -> str:
    """Write what the bot says on standard error into its log, and here too once it hears. Returns its last line, without a traceback."""
    assert bot.stderr is not None
    last = ""
    with log.open("w", encoding="utf-8", buffering=1) as kept:
        while line := await bot.stderr.readline():
            words = line.decode("utf-8", "replace").rstrip()
            print(words, file=kept)
            last = words or last
            if heard.is_set():
                print(words, file=sys.stderr, flush=True)
    return last


async def _start(state: Path, environment: dict[str, str]) -> asyncio.subprocess.Process:
    """The bot as a child of ours, in a session of its own: a Ctrl-C is for us, and we tell it."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        cwd=state,  # so that a .env lying about where we were started is not read
        env=environment,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
        start_new_session=True,
        preexec_fn=partial(_end_with_parent, os.getpid()) if sys.platform == "linux" else None,
    )


def _end_with_parent(parent: int) -> None:
    """Ask Linux for a SIGTERM when our parent dies, a kill included, so that no bot is left behind without its world."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # it died before it could be asked for


async def _end(bot: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        bot.terminate()
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            await bot.wait()
    except TimeoutError:
        print("The bot did not stop in time and is killed.", flush=True)
        with contextlib.suppress(ProcessLookupError):
            bot.kill()
        await bot.wait()


if __name__ == "__main__":
    sys.exit(main())
