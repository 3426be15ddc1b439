"""The prompt cache: which part of a prompt was read from it and which was written, by the rules that the API documents."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from sim.clock import Clock

SMALLEST = 1024
"""Tokens below which a prefix is not cached."""
LOOK_BACK = 20
"""How many blocks before a breakpoint are looked at for what is cached already."""
MOST_BREAKPOINTS = 4
LIFETIMES = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1)}
KEPT = 10_000


class Segment(NamedTuple):
    """A block of a prompt: its text, its tokens, and how long a breakpoint on it keeps what comes before ("" without one)."""

    text: str
    tokens: int
    ttl: str = ""


class CacheUse(NamedTuple):
    """Tokens of a prompt that were read from the cache, and those written to it by lifetime. The rest is ordinary input."""

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0


class PromptCache:
    """Prefixes by model, forgotten when their time is over; every use begins it anew."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, tuple[datetime, str]] = {}

    def use(self, model: str, segments: Sequence[Segment]) -> CacheUse:
        """What a request with these segments reads and writes; it is cached from then on."""
        marks = [place for place, segment in enumerate(segments) if segment.ttl]
        if not marks:
            return CacheUse()
        now = self._clock.now()
        sizes = list(accumulate(segment.tokens for segment in segments))
        names = _names(model, segments)
        begin = max(0, marks[-1] - LOOK_BACK)
        known = [p for p in range(begin, marks[-1] + 1) if self._until.get(names[p], (now, ""))[0] > now]
        read = 0
        if known:
            read = sizes[known[-1]]
            ttl = self._until[names[known[-1]]][1]
            self._keep(names[known[-1]], ttl, now)
        written, done = {"5m": 0, "1h": 0}, read
        for mark in marks:
            if sizes[mark] >= SMALLEST and sizes[mark] > done:
                written[segments[mark].ttl] += sizes[mark] - done
                done = sizes[mark]
                self._keep(names[mark], segments[mark].ttl, now)
        return CacheUse(read, written["5m"], written["1h"])

    def clear(self) -> None:
        """Forget everything."""
        self._until.clear()

    def _keep(self, name: str, ttl: str, now: datetime) -> None:
        if len(self._until) >= KEPT:
            self._until = {name: kept for name, kept in self._until.items() if kept[0] > now}
        self._until[name] = (now + LIFETIMES[ttl], ttl)


def _names(model: str, segments: Sequence[Segment]) -> list[str]:
    """A name for the prompt up to and with each segment."""
    digest, names = blake2b(model.encode(errors="replace"), digest_size=16), []
    for segment in segments:
        digest.update(b"\0" + segment.text.encode(errors="replace"))
        names.append(digest.hexdigest())
    return names
