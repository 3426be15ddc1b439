"""`greenlight halt`: through the door where the bot runs, into its database where it does not."""

import asyncio
import contextlib
import time
from pathlib import Path

from pydantic_settings import BaseSettings

from bot import console
from bot.settings import Settings, SettingsError
from core.errors import GreenlightError, StorageError
from core.model import Trading, TradingState
from core.ports import Clock
from core.trading import KEY, as_text, of_text
from storage import inspection
from storage.database import Database
from storage.files import lock_of, same_owner
from storage.inspection import State
from storage.ledger import SqliteLedger

WORD = "halt"
SECONDS = 5.0
"""How long the bot may take to show that it listens; also how long one that starts or stops just now is waited for."""
AGAIN_SECONDS = 0.1
REASON = "Halted from the command line while Greenlight was not running."
AT_START = (
    "Greenlight is not running: nothing was cancelled. It is HALTED from now on: at its next start it cancels, first thing, what could "
    "open or add; until then, cancel in TWS."
)
NOT_HALTED = "It is NOT halted. Cancel in TWS."


class _Where(BaseSettings):
    """The one setting that halting needs."""

    model_config = Settings.model_config

    database_path: Path = Settings.model_fields["database_path"].default


def where() -> Path:
    """DATABASE_PATH, whatever is wrong with the other settings. Raises SettingsError where only .env could tell it, and cannot be read."""
    try:
        return _Where().database_path
    except (UnicodeDecodeError, OSError) as problem:
        if "database_path" in (told := _Where(_env_file=None)).model_fields_set:  # type: ignore[call-arg]  # pydantic-settings takes it
            return told.database_path
        why = problem.strerror if isinstance(problem, OSError) else "it is not a UTF-8 text file"
        raise SettingsError(f".env: cannot be read: {why}. Set DATABASE_PATH in the environment.") from None


def halt(database: Path, backups: Path | None, clock: Clock, seconds: float = SECONDS) -> str:
    """Halt; returns the lines to print. Raises GreenlightError with what is wrong and what to do where it is not certain to be halted."""
    database = database.absolute()
    until = clock.monotonic() + seconds
    while True:
        try:
            return "\n".join(console.ask(database, WORD, seconds))
        except (console.Unheard, console.Unanswered) as problem:
            why = problem
        if not inspection.in_use(database):
            try:
                return asyncio.run(_write_down(database, backups, clock))
            except StorageError as problem:
                if not inspection.in_use(database):  # else one has started just now
                    raise GreenlightError(f"{problem} {NOT_HALTED}") from None
        if clock.monotonic() >= until:
            raise GreenlightError(_unknown(database, why))
        time.sleep(AGAIN_SECONDS)


def _unknown(database: Path, why: GreenlightError) -> str:
    if isinstance(why, console.Unanswered) and why.heard:
        return f"A Greenlight runs on {database}. {why} Look into TWS for what still works there, and cancel it there; then ask again."
    return (
        f"A Greenlight runs on {database} and cannot be spoken with. {why} It is not known to be halted: end its process (kill -9; after "
        "that it is HALTED at its next start until the books are compared), run greenlight halt again, which keeps it so, and cancel in TWS."
    )


async def _write_down(database: Path, backups: Path | None, clock: Clock) -> str:
    """Write the state into a database that nobody has open. Raises StorageError where that cannot be."""
    if inspection.look(database).state is State.ABSENT:
        raise StorageError(
            f"There is no database {database}, so no Greenlight ever ran on it. Run this in the folder of its .env, or set DATABASE_PATH."
        )
    opened = await Database.open(database, backups, clock.now)
    try:
        with contextlib.suppress(OSError):
            same_owner(
                lock_of(database), database
            )  # root may have made it, and the bot must be able to take it
        ledger = SqliteLedger(opened, clock, ())
        before = of_text(kept := await ledger.recall(KEY))
        if kept is not None and before.state is TradingState.HALTED and before.since is not None:
            return (
                f"It was HALTED already, since {before.since:%Y-%m-%d %H:%M} UTC: {before.reason}\n{AT_START}"
            )
        trading = Trading(TradingState.HALTED, REASON, clock.now())
        await ledger.keep_trading(as_text(trading), f"{trading.state}: {trading.reason}", None, ())
    finally:
        await opened.close()
    return AT_START
