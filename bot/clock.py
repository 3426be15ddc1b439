"""The Clock port on the system's clocks: the one place of the product that reads them."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Wall time in aware UTC, and monotonic seconds."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - this is the port

    def monotonic(self) -> float:
        return time.monotonic()
