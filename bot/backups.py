"""`greenlight backup` and `greenlight restore`: the words of the command line for what storage.backup does."""

import os
from datetime import datetime, timedelta
from pathlib import Path

from bot.settings import Settings
from core.errors import StorageError
from core.ports import Clock
from storage import backup
from storage.files import backups_of

LATEST = "latest"


def folder_of(settings: Settings) -> Path:
    """Where the backups are kept."""
    return settings.backup_dir or backups_of(settings.database_path)


def make(settings: Settings, file: str | None, clock: Clock) -> str:
    """Back up now, whether the bot runs or not; returns the line to print. Raises StorageError."""
    database = settings.database_path
    if file is None:
        path = backup.make(database, folder_of(settings), clock.now()).path
    else:
        path = Path(file)
        if path.is_dir() or path.exists():
            raise StorageError(f"{path} is there already; give the backup another name. Nothing was written.")
        backup.write(database, path)
    told = backup.check(path)
    return f"Backed up {database} to {path}: {size(path)}, read back whole, {_known(told)}."


def restore(settings: Settings, file: str, clock: Clock) -> str:
    """Put a backup in the place of the database; returns the lines to print. Raises StorageError."""
    wanted = None if file == LATEST else Path(file)
    now = clock.now()
    done = backup.restore(settings.database_path, wanted, folder_of(settings), now)
    lines = [f"Passed over: {trouble}" for trouble in done.passed_over]
    lines.append(f"Restored {settings.database_path} from {done.backup}: {_known(done.contents)}.")
    if done.kept is not None:
        lines.append(f"What was there before is kept as {done.kept}.")
    last = done.contents.last_update
    gap = (
        f"Between {moment(last)} and now ({ago(now - last)}) it knows nothing"
        if last
        else "It knows of nothing"
    )
    lines.append(
        f"{gap}. The broker is asked for the trades of today at the next start, and you hear what was found; the chat's cards from before "
        f"are over, {done.cards} of them were open."
    )
    return "\n".join(lines)


def size(path: Path) -> str:
    """How large a file is, in words."""
    count = os.stat(path).st_size
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"


def moment(at: datetime | None) -> str:
    """A time in UTC, to the minute."""
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def ago(age: timedelta) -> str:
    """A span in words."""
    hours = max(age.total_seconds(), 0) / 3600
    if hours < 1:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def _known(told: backup.Contents) -> str:
    orders, executions = told.counts.get("orders", 0), told.counts.get("executions", 0)
    return (
        f"{orders} orders, {executions} executions, last line of the chat {moment(told.last_update)}, "
        f"last execution {moment(told.last_execution)}"
    )
