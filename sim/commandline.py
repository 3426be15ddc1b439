"""What the programs of the simulated world share on the command line, and the one that runs a single server by itself."""

import argparse
import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from sim.world import AlreadyRunning, Name, PortTaken, World


class Alone(NamedTuple):
    """A server that runs by itself: what it is, and an example of its use."""

    what: str
    usual_port: int
    """The port of the real thing, or one that is easy to remember; for the examples."""
    use: str


ALONE: dict[Name, Alone] = {
    "tws": Alone(
        "A simulated Trader Workstation that executes orders, for any client of the TWS API.",
        7497,
        "then connect your program to 127.0.0.1:7497, as to a paper account's TWS",
    ),
    "telegram": Alone(
        "A simulated Telegram for one bot: the Bot API, and a chat page in the browser.",
        8081,
        "then give your bot the printed address and token, and open the chat page",
    ),
    "model": Alone(
        "A simulated Messages API: scripted answers, every failure on demand, and a demo analyst of plain rules.",
        8082,
        "then give the printed address and key to your client, as ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY",
    ),
}


def port(text: str) -> int:
    """A port of the command line. ArgumentTypeError for anything but 0 to 65535."""
    if not (text.isascii() and text.isdigit()) or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def add_shared(parser: argparse.ArgumentParser, state: str) -> None:
    """The options that every program of the world has; `state` is where it remembers unless told otherwise."""
    state = os.environ.get("SIM_STATE", state)
    parser.add_argument(
        "--state",
        type=Path,
        default=Path(state),
        metavar="DIR",
        help=f"where everything is remembered over a restart (default: {state})",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="what prices, ids and names are drawn from (default: 1)",
    )


def add_accounts(parser: argparse.ArgumentParser) -> None:
    """The option that names the broker's accounts."""
    parser.add_argument(
        "--account",
        action="append",
        metavar="ID",
        help="an account of the broker login, more than once for several (default: DU1234567; U1234567 looks like a live one)",
    )


def say_places(world: World) -> None:
    """Print where everything listens, a line each."""
    print(*(f"{name}: {address}" for name, address in world.places().items()), sep="\n", flush=True)
    print("\nSIMULATED: no real money, no real broker.", flush=True)


def stopped() -> asyncio.Event:
    """Set by the first Ctrl-C, SIGTERM or closed terminal from now on."""
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    return stop


def finished(running: Coroutine[Any, Any, int], state: Path | None) -> int:
    """Run to the end. Returns the exit code; a world that cannot start is told in a line, and is a 1."""
    try:
        return asyncio.run(running)
    except (AlreadyRunning, PortTaken) as error:
        print(f"sim: {error}", file=sys.stderr)
    except (OSError, sqlite3.Error) as error:
        print(f"sim: the state in {state} cannot be used: {error}", file=sys.stderr)
    return 1


def alone(name: Name) -> int:
    """Run one server with its control port until a signal ends it. Returns the exit code: 0, or 1 where it cannot start; 2 exits for wrong options."""
    options = _options(name)
    return finished(_run_alone(name, options), options.state)


def _options(name: Name) -> argparse.Namespace:
    row = ALONE[name]
    program = os.environ.get("SIM_NAME", f"python -m sim.{name}")
    parser = argparse.ArgumentParser(
        prog=program,
        description=f"{row.what} Listens on 127.0.0.1 only, and prints where. Ctrl-C ends it.",
        epilog=f"examples:\n"
        f"  {program} --port {row.usual_port}\n    {row.use}\n"
        f"  {program} --forget\n    a fresh one at any free port, which leaves nothing behind\n\n"
        "The control port arranges situations and tells what truly happened; GET / there lists every route.\n"
        "exit codes: 0 ended by a signal, 1 could not start (a line says why), 2 wrong options",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=port,
        default=0,
        metavar="PORT",
        help=f"port of the {name} server (0, the default: any free one)",
    )
    parser.add_argument(
        "--control-port",
        type=port,
        default=0,
        metavar="PORT",
        help="port of the control port (0, the default: any free one)",
    )
    add_shared(parser, f".sim/{name}")
    parser.add_argument("--forget", action="store_true", help="remember nothing, whatever --state says")
    if name == "tws":
        add_accounts(parser)
    options = parser.parse_args()
    if options.forget:
        options.state = None
    return options


async def _run_alone(name: Name, options: argparse.Namespace) -> int:
    stop = stopped()
    ports = {f"{name}_port": options.port, "control_port": options.control_port}
    accounts = tuple(getattr(options, "account", None) or ("DU1234567",))
    async with World(options.state, options.seed, accounts=accounts, servers=(name,), **ports) as world:
        say_places(world)
        await stop.wait()
        print("Stopping.", flush=True)
    return 0
