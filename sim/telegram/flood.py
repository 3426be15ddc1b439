"""Telegram's patience with a bot that talks a lot: so many messages a second in one chat, a few more at once.

Pure, and without limit until one is set: the real figures are not published and change.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class FloodLimit:
    """A bucket for every chat that holds `burst` messages and fills with `per_second`; None is no limit."""

    per_second: float | None = None
    burst: int = 1
    _buckets: dict[str, tuple[float, datetime]] = field(default_factory=dict)

    def wait(self, chat: str, now: datetime) -> int:
        """0 where a message may go out now, and it is counted; else in how many whole seconds to come back."""
        if self.per_second is None:
            return 0
        level, since = self._buckets.get(chat, (float(self.burst), now))
        level = min(level + (now - since).total_seconds() * self.per_second, float(self.burst))
        if level < 1:
            return max(math.ceil((1 - level) / self.per_second), 1)
        self._buckets[chat] = (level - 1, now)
        return 0
