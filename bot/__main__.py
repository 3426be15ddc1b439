"""`greenlight`, or `python -m bot`: runs the bot against the world that .env names, sets it up, looks at it, or starts a simulated one."""

import argparse
import asyncio
import contextlib
import importlib.metadata
import io
import os
import shutil
import signal
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bot.settings import Settings, SettingsError, load

COMMANDS = {
    "demo": "the whole thing in a box: simulated broker, chat page and bot; no account needed",
    "run": "run the bot until Ctrl-C or SIGTERM (also what happens without a word)",
    "halt": "cancel what could open or add, and let nothing more through until /resume; needs no Telegram, also while the bot is stopped",
    "setup": "ask for what is missing in .env, check each answer, and write it",
    "doctor": "say what works and what to do about what does not; looks, and changes nothing",
    "settings": "print every setting there is, explained, as .env may have them",
    "health": "ask the running bot whether it is reconciled and polling: one line, exit code 0 or 1",
    "backup": "copy the database to FILE, or into the folder of the backups, and read it back; also while the bot runs",
    "restore": "put a backup in the place of the database: FILE, or latest; not while the bot runs",
    "sim": "the simulated world for other programs, or one server of it: sim [tws | telegram | model]; --help after it explains",
}
"""The words that may follow `greenlight`, with what they do."""

FILES = {
    "backup": ("FILE", "?", "where to; it must not be there yet"),
    "restore": ("FILE|latest", None, "the backup to take; latest is the newest that is sound"),
}
"""What may follow a word: (how it is called, None where it must be there, what it is)."""

WORDS = " | ".join(COMMANDS)
WORLDS = ("demo", "sim")
WIDEST = 100
"""No line of a report is longer in a terminal, in columns; in a pipe every finding is one line."""
OURS = Path(__file__).resolve().parent.parent
HELP = "greenlight setup asks for what is missing, checks it and writes .env; greenlight demo needs no settings at all."
SERVERS = ("tws", "telegram", "model")
"""What may follow `greenlight sim`, to run that server by itself."""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"greenlight: {message}. Right would be: greenlight [{WORDS}]; --help explains.\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="greenlight",
        description="Trade your Interactive Brokers account from Telegram. Settings come from .env and the environment.",
        epilog="Educational software, not financial advice. Use a paper account first.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="say which version this is")
    commands = parser.add_subparsers(dest="command", metavar=WORDS)
    for word, what in COMMANDS.items():
        of_word = commands.add_parser(word, help=what, description=what[0].upper() + what[1:] + ".")
        if word in FILES:
            name, count, explained = FILES[word]
            of_word.add_argument("file", metavar=name, nargs=count, help=explained)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says. Returns the exit code; a command line that cannot be meant exits with 2."""
    words = sys.argv[1:] if words is None else words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show ✅ still hears the words
    first = words[0] if words else ""
    if first in WORLDS:
        return world(first, words[1:])
    if first and first not in COMMANDS and not first.startswith("-"):
        _parser().error(f"there is no {first!r}")
    told = _parser().parse_args(words)
    if told.version:
        _say(f"greenlight {version()}")
        return 0
    match told.command:
        case "doctor":
            return doctor()
        case "setup":
            return setup()
        case "settings":
            _say(Path(__file__).with_name("env.example").read_text("utf-8").rstrip("\n"))
            return 0
        case "health":
            return health()
        case "backup" | "restore":
            return keep_safe(told.command, told.file)
        case "halt":
            return halt()
    return run()


def world(word: str, options: Sequence[str]) -> int:
    """Become the simulated world, which is a program of its own; it remembers below the user's state directory unless told where."""
    home = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".local", "state")
    program, name, state = "sim", f"greenlight {word}", os.path.join(home, "greenlight", word)
    if word == "sim" and options and options[0] in SERVERS:
        part, options = options[0], options[1:]
        program, name, state = f"sim.{part}", f"{name} {part}", os.path.join(state, part)
    paths = os.pathsep.join(filter(None, (str(OURS), os.environ.get("PYTHONPATH"))))
    told = {"PYTHONPATH": paths, "SIM_NAME": name, "SIM_STATE": state}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-P", "-m", program, *options], os.environ | told)


def version() -> str:
    """Which version this is: of the checkout where it runs from one, else of the installed package."""
    if (project := OURS / "pyproject.toml").is_file():
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    return importlib.metadata.version("greenlight")


def _say(words: str) -> None:
    """Print. Where nobody reads on (`| head`) or it cannot be written, the exit code still tells."""
    try:
        print(words, flush=True)
    except OSError as problem:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(problem, BrokenPipeError):
            print(f"greenlight: what was found cannot be printed: {problem.strerror}.", file=sys.stderr)


def setup() -> int:
    """Hold the dialogue. 0 where .env has what the bot needs, 1 where something is left, 130 after Ctrl-C; 2 without a terminal."""
    # Imported late, as below.
    from bot.clock import SystemClock
    from bot.redaction import set_up
    from bot.setup import Setup

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(
            "greenlight: setup is a dialogue and needs a terminal; without one, fill in .env by hand (greenlight settings explains each line).",
            file=sys.stderr,
        )
        return 2
    set_up("CRITICAL", [])
    code = Setup(Path(".env"), os.environ, SystemClock()).run()
    sys.stdout.flush()
    os._exit(code)  # as the doctor does, and for the same reason


def health() -> int:
    """Print one line. 0 where the running bot could take an order now, as far as the roads are concerned, else 1."""
    from bot.clock import SystemClock
    from bot.health import judge, note_of

    try:
        healthy, line = judge(note_of(load().database_path), SystemClock().now())
    except SettingsError as wrong:
        healthy, line = False, "; ".join(str(wrong).splitlines())
    _say(f"{'healthy' if healthy else 'not healthy'}: {line}")
    return 0 if healthy else 1


def keep_safe(word: str, file: str | None) -> int:
    """Back up or restore. 0 where it was done, 1 with the reason where not, 2 for settings that cannot be used."""
    # Imported late, as below.
    from bot import backups
    from bot.clock import SystemClock
    from core.errors import GreenlightError

    try:
        settings = load()
        said = (
            backups.make(settings, file, SystemClock())
            if word == "backup"
            else backups.restore(settings, file or backups.LATEST, SystemClock())
        )
    except SettingsError as wrong:
        print(f"greenlight {word} cannot use these settings:\n{wrong}\n{HELP}", file=sys.stderr)
        return 2
    except GreenlightError as problem:
        print(f"greenlight {word}: {problem}", file=sys.stderr)
        return 1
    _say(said)
    return 0


def halt() -> int:
    """Halt, whatever state the bot is in. 0 where it is halted, 1 with what to do where that is not certain, 2 without a database to look for."""
    # Imported late, as below.
    from bot import halt as halting
    from bot.clock import SystemClock
    from core.errors import GreenlightError

    try:
        database, backups = halting.where(), None
        # Whatever else is wrong there, it must not keep anybody from halting.
        with contextlib.suppress(SettingsError, OSError):
            backups = load().backup_dir
        said = halting.halt(database, backups, SystemClock())
    except SettingsError as wrong:
        print(f"greenlight halt cannot use these settings:\n{wrong}\n{halting.NOT_HALTED}", file=sys.stderr)
        return 2
    except GreenlightError as problem:
        print(f"greenlight halt: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("greenlight halt: broken off, so it is not known to be halted.", file=sys.stderr)
        return 130
    _say(said)
    return 0


def doctor() -> int:
    """Print the report. 0 where everything that is needed works, else 1."""
    # Imported late, as below.
    from bot.clock import SystemClock
    from bot.doctor import examine, report, unreadable, works
    from bot.redaction import set_up

    columns = min(shutil.get_terminal_size().columns, WIDEST) if sys.stdout.isatty() else None
    _say("Greenlight looks at everything and changes nothing; at most 30 seconds.")
    try:
        settings = load()
    except SettingsError as wrong:
        _say(f"{report(unreadable(wrong), columns=columns)}\n{HELP}")
        return 1
    secrets = _secrets(settings)
    set_up("DEBUG" if settings.log_level == "DEBUG" else "CRITICAL", secrets)
    try:
        findings = asyncio.Runner().run(examine(settings, SystemClock()))
        _say(report(findings, secrets, columns))
        code = 0 if works(findings) else 1
    except KeyboardInterrupt:
        code = 130
    # A name server that does not answer holds a thread that nobody can end; closing the loop would wait for it.
    os._exit(code)


def _secrets(settings: Settings) -> list[str]:
    secrets = [settings.telegram_bot_token, settings.anthropic_api_key]
    return [secret.get_secret_value() for secret in secrets if secret is not None]


def run() -> int:
    """Run until told to stop. Returns the exit code: 0 after a stop, 2 for settings that cannot be used, 1 for anything else."""
    try:
        settings = load()
    except SettingsError as wrong:
        print(f"Greenlight cannot start with these settings:\n{wrong}\n{HELP}", file=sys.stderr)
        return 2
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    # Imported late, so that wrong settings are told at once and without the weight of the libraries.
    from telegram.error import InvalidToken

    from bot.app import running
    from bot.redaction import set_up
    from core.errors import GreenlightError, SecondInstance

    set_up(settings.log_level, _secrets(settings))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        async with running(settings) as (_, life):
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({life, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()
            stopping.cancel()
    except GreenlightError as problem:
        print(f"Greenlight cannot start: {problem}", file=sys.stderr)
        return 1
    except BaseExceptionGroup as several:
        if several.subgroup(InvalidToken):
            print(
                "TELEGRAM_BOT_TOKEN: Telegram does not know this token; ask @BotFather for the right one.",
                file=sys.stderr,
            )
            return 2
        if taken := several.subgroup(SecondInstance):
            print(f"Greenlight stops: {taken.exceptions[0]}", file=sys.stderr)
            return 1
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
