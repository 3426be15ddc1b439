"""The clock of the simulated world: it runs with the real one and can be moved forward, never back."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Aware UTC. Tests and the control port move it, so that nobody has to sleep."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The simulated moment, aware UTC."""
        return datetime.now(UTC) + self._ahead  # noqa: TID251 - this is the one place where sim reads the clock

    def advance(self, seconds: float) -> datetime:
        """Move forward by `seconds` (at least 0) and return the new moment. ValueError for a negative or non-finite one."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"the clock only moves forward, by a finite number of seconds, not {seconds}")
        self._ahead += timedelta(seconds=seconds)
        return self.now()
