"""What the simulated world remembers over a restart, a kill included: JSON values by (kind, key) in one SQLite file."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Store:
    """A dictionary on disk. Writes go to the operating system at once (about 20 µs), so a killed process loses nothing."""

    def __init__(self, path: Path | None) -> None:
        """Open `path`, or keep everything in memory where it is None."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # the key of the chat page is in it
            path.chmod(0o600)
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "PRAGMA synchronous=OFF"
        )  # survives a killed process, which is what a simulator needs
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS item (kind TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (kind, key)) STRICT"
        )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Writes inside are one transaction: half the time, and a kill leaves all of them or none."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def put(self, kind: str, key: str | int, value: Any) -> None:
        """Remember a JSON value under (kind, key), in place of the one before."""
        self._db.execute(
            "INSERT INTO item VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            (kind, str(key), json.dumps(value)),
        )

    def get(self, kind: str, key: str | int, default: Any = None) -> Any:
        """The value under (kind, key), or `default`."""
        row = self._db.execute(
            "SELECT value FROM item WHERE kind = ? AND key = ?", (kind, str(key))
        ).fetchone()
        return default if row is None else json.loads(row[0])

    def all(self, kind: str) -> dict[str, Any]:
        """Every value of a kind by its key, in the order in which the keys were first put."""
        rows = self._db.execute("SELECT key, value FROM item WHERE kind = ? ORDER BY rowid", (kind,))
        return {key: json.loads(value) for key, value in rows}

    def delete(self, kind: str, key: str | int) -> None:
        """Forget (kind, key); nothing happens where it is not known."""
        self._db.execute("DELETE FROM item WHERE kind = ? AND key = ?", (kind, str(key)))

    def close(self) -> None:
        """Close the file."""
        self._db.close()
