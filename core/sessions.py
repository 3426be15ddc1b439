"""When an exchange trades, as the broker tells it: the text of contract details to sessions in aware UTC.

`20260105:0930-20260105:1600;20260110:CLOSED` in local time of the exchange, or in the old form `20260105:0930-1600`; several sessions of a
day are separated by commas, and one that opens the evening before belongs to the day on which it closes. What the text does not cover,
or says in a way that is not understood, is not known: None.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MEANT = {
    "EST": "America/New_York",
    "EST5EDT": "America/New_York",
    "CST": "America/Chicago",
    "MST": "America/Denver",
    "PST": "America/Los_Angeles",
    "JST": "Asia/Tokyo",
    "HKT": "Asia/Hong_Kong",
    "GB-Eire": "Europe/London",
}
"""Names that the broker uses for a place and its summer time, and the time zone database for less, or not at all."""

_TIMES = re.compile(r"(\d{4})-(?:(\d{8}):)?(\d{4})")
_DAY = re.compile(r"(\d{8}):(.+)")


@dataclass(frozen=True, slots=True, order=True)
class Session:
    """One session, aware UTC. `day` is its date at the exchange."""

    open: datetime
    close: datetime
    day: date


@dataclass(frozen=True, slots=True)
class Hours:
    """Sessions in time, and the span for which they are all that there are (None: nothing is known)."""

    sessions: tuple[Session, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def is_open(self, now: datetime) -> bool | None:
        """Whether a session is under way; None where that is not known."""
        if any(s.open <= now < s.close for s in self.sessions):
            return True
        known = self.since is not None and self.until is not None and self.since <= now < self.until
        return False if known else None

    def closed_last(self, now: datetime) -> Session | None:
        """The last session of the latest day that is wholly over; None where none is known."""
        over = None
        for _, own in groupby(self.sessions, key=lambda s: s.day):
            last = max(own, key=lambda s: s.close)
            if last.close <= now:
                over = last
        return over

    def next_open(self, now: datetime) -> datetime | None:
        """The next opening after `now`; None where none is known."""
        return next((s.open for s in self.sessions if s.open > now), None)

    def with_past(self, past: Iterable[Session]) -> "Hours":
        """The same with sessions remembered from before its own span: the broker tells only of today and what comes."""
        older = {s for s in past if self.since is None or s.close <= self.since}
        return Hours(tuple(sorted({*older, *self.sessions})), self.since, self.until)


@functools.lru_cache(maxsize=256)
def parse(told: str, zone_name: str) -> Hours:
    """The hours that contract details tell. Nothing where any part of the text, or the time zone, is not understood."""
    zone = _zone(zone_name)
    if zone is None:
        return Hours()
    try:
        days = [_day(part.strip(), zone) for part in told.split(";") if part.strip()]
    except ValueError:
        return Hours()
    if not days:
        return Hours()
    sessions = tuple(sorted({s for _, found in days for s in found}))
    if any(before.close > after.open for before, after in pairwise(sessions)):
        return Hours()
    begins = [_midnight(day, zone) for day, _ in days] + [s.open for s in sessions]
    ends = [_midnight(day + timedelta(1), zone) for day, _ in days] + [s.close for s in sessions]
    covered = sorted({day for day, _ in days} | {s.day for s in sessions})
    gapless = all(b - a == timedelta(1) for a, b in pairwise(covered))
    return Hours(sessions, min(begins), max(ends)) if gapless else Hours(sessions)


def _day(part: str, zone: ZoneInfo) -> tuple[date, list[Session]]:
    """One day and its sessions. ValueError for what is no such part."""
    named = _DAY.fullmatch(part)
    if named is None:
        raise ValueError(part)
    day = _date(named[1])
    if named[2] == "CLOSED":
        return day, []
    sessions = []
    for span in named[2].split(","):
        # Each later span of a day may name its date again.
        times = _TIMES.fullmatch(span.removeprefix(f"{named[1]}:"))
        if times is None:
            raise ValueError(part)
        ends = _date(times[2]) if times[2] else day
        opening, closing = _moment(day, times[1], zone), _moment(ends, times[3], zone)
        if not times[2] and closing <= opening:
            opening = _moment(day - timedelta(1), times[1], zone)  # the old form names the day of the close
        if not opening < closing <= opening + timedelta(days=7):
            raise ValueError(part)
        sessions.append(Session(opening, closing, ends))
    return day, sessions


def _date(digits: str) -> date:
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))


def _moment(day: date, clock: str, zone: ZoneInfo) -> datetime:
    if clock == "2400":
        return _midnight(day + timedelta(1), zone)
    return datetime.combine(day, time(int(clock[:2]), int(clock[2:])), zone).astimezone(UTC)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _zone(name: str) -> ZoneInfo | None:
    short = name.split(" (")[0].strip()
    try:
        return ZoneInfo(MEANT.get(short, short))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
