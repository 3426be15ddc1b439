"""Writing behind: what the chat world remembers is put on disk right after the answer has left, not before."""

from collections.abc import Callable
from typing import Any

from sim.store import Store

_FORGOTTEN = object()


class Memory:
    """The store, with writes gathered until `flush`; `schedule` is called once for every gathering."""

    def __init__(self, store: Store, schedule: Callable[[Callable[[], None]], object]) -> None:
        self._store = store
        self._schedule = schedule
        self._pending: dict[tuple[str, str], Any] = {}

    def put(self, kind: str, key: str | int, value: Any) -> None:
        """Remember a JSON value under (kind, key)."""
        self._set(kind, key, value)

    def delete(self, kind: str, key: str | int) -> None:
        """Forget (kind, key)."""
        self._set(kind, key, _FORGOTTEN)

    def get(self, kind: str, key: str | int, default: Any = None) -> Any:
        """The value under (kind, key), or `default`."""
        self.flush()
        return self._store.get(kind, key, default)

    def all(self, kind: str) -> dict[str, Any]:
        """Every value of a kind by its key."""
        self.flush()
        return self._store.all(kind)

    def flush(self) -> None:
        """Write what is waiting, all of it or, where the process is killed, nothing."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        with self._store.together():
            for (kind, key), value in pending.items():
                if value is _FORGOTTEN:
                    self._store.delete(kind, key)
                else:
                    self._store.put(kind, key, value)

    def _set(self, kind: str, key: str | int, value: Any) -> None:
        first = not self._pending
        self._pending[kind, str(key)] = value
        if first:
            self._schedule(self.flush)
