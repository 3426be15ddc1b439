"""Rate limits as the API documents them: requests, input and output tokens a minute, each a bucket that refills all the time."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sim.clock import Clock
from sim.model.errors import ApiError

UNUSUAL = {"requests": 1_000_000, "input-tokens": 1_000_000_000, "output-tokens": 1_000_000_000}
"""So much a minute that nobody meets the limit without asking for one."""


@dataclass
class Bucket:
    """What is left of `limit` a minute at the moment `at`."""

    limit: int
    left: float
    at: datetime

    def refill(self, now: datetime) -> None:
        """Add what has come in since the last look."""
        came = (now - self.at).total_seconds() * self.limit / 60
        self.left, self.at = min(float(self.limit), self.left + came), now

    def wait(self, needed: float) -> int:
        """Whole seconds until `needed` is there, at least 1; a minute where it never will be."""
        return min(60, max(1, math.ceil((needed - self.left) * 60 / self.limit)))

    def full_at(self) -> datetime:
        """When it will be full again."""
        return self.at + timedelta(seconds=(self.limit - self.left) * 60 / self.limit)


class RateLimits:
    """The three buckets of an organization, by the simulated clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self.clear()

    def clear(self) -> None:
        """Back to limits that nobody meets."""
        for name, limit in UNUSUAL.items():
            self.set(name, limit)

    def set(self, name: str, limit: int) -> None:
        """Allow so much a minute from now on, beginning with a full bucket."""
        self._buckets[name] = Bucket(limit, limit, self._clock.now())

    def admit(self, input_tokens: int) -> None:
        """Take one request and its input tokens. ApiError 429 with retry-after where a bucket does not have them."""
        needed = {"requests": 1.0, "input-tokens": float(input_tokens), "output-tokens": 1.0}
        for name, bucket in self._refilled():
            if bucket.left < needed[name]:
                words = f"{bucket.limit:,} {name.replace('-', ' ')} per minute"
                raise ApiError(
                    429,
                    "rate_limit_error",
                    f"This request would exceed your organization's rate limit of {words}.",
                    headers={"retry-after": str(bucket.wait(needed[name]))},
                )
        self._buckets["requests"].left -= 1
        self._buckets["input-tokens"].left -= input_tokens

    def spend(self, output_tokens: int) -> None:
        """Take what an answer cost; a bucket may go below nothing, and then nobody is admitted until it has recovered."""
        self._buckets["output-tokens"].left -= output_tokens

    def headers(self) -> dict[str, str]:
        """The anthropic-ratelimit headers at this moment; `tokens` is the tighter of the two token limits."""
        rows = dict(self._refilled())
        tokens = min(
            (rows["input-tokens"], rows["output-tokens"]), key=lambda bucket: bucket.left / bucket.limit
        )
        return {
            f"anthropic-ratelimit-{name}-{what}": value
            for name, bucket in {**rows, "tokens": tokens}.items()
            for what, value in {
                "limit": str(bucket.limit),
                "remaining": str(max(0, math.floor(bucket.left))),
                "reset": f"{bucket.full_at():%Y-%m-%dT%H:%M:%SZ}",
            }.items()
        }

    def _refilled(self) -> Iterable[tuple[str, Bucket]]:
        now = self._clock.now()
        for bucket in self._buckets.values():
            bucket.refill(now)
        return self._buckets.items()
