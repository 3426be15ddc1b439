"""When the exchanges are open: New York's sessions with holidays and half days, and the currency market's round the clock."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
OPEN, CLOSE, EARLY_CLOSE = time(9, 30), time(16), time(13)
PRE_MARKET, POST_MARKET = time(4), time(20)
FOREX_OPEN, FOREX_CLOSE = time(17, 15), time(17)
"""A day of the currency market begins on the evening before it."""


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th given weekday (Monday is 0) of a month; -1 is the last one."""
    if n > 0:
        first = date(year, month, 1)
        return first + timedelta((weekday - first.weekday()) % 7 + 7 * (n - 1))
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(1)
    return last - timedelta((last.weekday() - weekday) % 7)


def _easter(year: int) -> date:
    """Easter Sunday, by the anonymous Gregorian algorithm."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return date(year, month, day + 1)


@lru_cache(maxsize=64)
def holidays(year: int) -> frozenset[date]:
    """The days of a year on which the New York exchanges stay closed, beside weekends."""

    def observed(day: date) -> date:
        return day + timedelta({5: -1, 6: 1}.get(day.weekday(), 0))

    new_year = date(year, 1, 1)
    return frozenset(
        {
            new_year + timedelta(1)
            if new_year.weekday() == 6
            else new_year,  # a Saturday one is not made up for
            _nth(year, 1, 0, 3),
            _nth(year, 2, 0, 3),
            _easter(year) - timedelta(2),
            _nth(year, 5, 0, -1),
            observed(date(year, 6, 19)),
            observed(date(year, 7, 4)),
            _nth(year, 9, 0, 1),
            _nth(year, 11, 3, 4),
            observed(date(year, 12, 25)),
        }
    )


def is_session(day: date) -> bool:
    """Whether the exchanges open on that day."""
    return day.weekday() < 5 and day not in holidays(day.year)


def is_half_day(day: date) -> bool:
    """Whether a session ends early, at one o'clock."""
    eves = {date(day.year, 7, 3), date(day.year, 12, 24), _nth(day.year, 11, 3, 4) + timedelta(1)}
    return day in eves and is_session(day)


def session(day: date) -> tuple[datetime, datetime]:
    """Opening and closing of the regular session of a session day, aware UTC."""
    close = EARLY_CLOSE if is_half_day(day) else CLOSE
    return tuple(datetime.combine(day, at, NEW_YORK).astimezone(UTC) for at in (OPEN, close))  # type: ignore[return-value]


def is_open(moment: datetime) -> bool:
    """Whether a regular session is under way."""
    return SHARES.is_open(moment)


def new_york_day(moment: datetime) -> str:
    """The date in New York, in ISO form: what "today" is to the broker."""
    return moment.astimezone(NEW_YORK).date().isoformat()


def sessions_back(day: date, count: int) -> list[date]:
    """The last `count` session days up to and including `day`, oldest first."""
    return SHARES.sessions_back(day, count)


def next_open(moment: datetime) -> datetime:
    """The next opening after `moment`, aware UTC."""
    return SHARES.next_open(moment)


def next_close(moment: datetime) -> datetime:
    """The next regular closing after `moment`, aware UTC."""
    return SHARES.next_close(moment)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When something is traded: `SHARES`, `INDICES` or `FOREX`. Days are the broker's, those of New York."""

    name: str

    def is_session(self, day: date) -> bool:
        """Whether there is a session on that day. The currency market knows no holidays but Christmas and New Year."""
        if self.name == "forex":
            return day.weekday() < 5 and (day.month, day.day) not in {(1, 1), (12, 25)}
        return is_session(day)

    def session(self, day: date, regular: bool = True) -> tuple[datetime, datetime]:
        """Opening and closing of a session day, aware UTC; shares have longer hours beside the regular ones."""
        if self.name == "forex":
            return _moment(day - timedelta(1), FOREX_OPEN), _moment(day, FOREX_CLOSE)
        if regular or self.name == "indices":
            return session(day)
        late = time(17) if is_half_day(day) else POST_MARKET
        return _moment(day, PRE_MARKET), _moment(day, late)

    def day_of(self, moment: datetime) -> date:
        """The session day that a moment belongs to, or would belong to."""
        local = moment.astimezone(NEW_YORK)
        return local.date() + timedelta(self.name == "forex" and local.time() >= FOREX_CLOSE)

    def is_open(self, moment: datetime, regular: bool = True) -> bool:
        """Whether a session is under way."""
        day = self.day_of(moment)
        if not self.is_session(day):
            return False
        opening, closing = self.session(day, regular)
        return opening <= moment < closing

    def sessions_back(self, day: date, count: int) -> list[date]:
        """The last `count` session days up to and including `day`, oldest first."""
        found: list[date] = []
        while len(found) < count:
            if self.is_session(day):
                found.append(day)
            day -= timedelta(1)
        return found[::-1]

    def closed_before(self, moment: datetime) -> datetime:
        """When the last session before the session day of `moment` ended, aware UTC."""
        return self.session(self.sessions_back(self.day_of(moment) - timedelta(1), 1)[0])[1]

    def next_open(self, moment: datetime) -> datetime:
        """The next opening after `moment`, aware UTC."""
        day = self.day_of(moment)
        while not self.is_session(day) or self.session(day)[0] <= moment:
            day += timedelta(1)
        return self.session(day)[0]

    def next_close(self, moment: datetime) -> datetime:
        """The next regular closing after `moment`, aware UTC."""
        day = self.day_of(moment)
        while not self.is_session(day) or self.session(day)[1] <= moment:
            day += timedelta(1)
        return self.session(day)[1]


SHARES, INDICES, FOREX = Calendar("shares"), Calendar("indices"), Calendar("forex")


def _moment(day: date, at: time) -> datetime:
    return datetime.combine(day, at, NEW_YORK).astimezone(UTC)


def wire_hours(
    moment: datetime,
    regular: bool,
    days: int = 6,
    *,
    always: bool = False,
    closed: bool = False,
    calendar: Calendar = SHARES,
    zone: str = "US/Eastern",
) -> str:
    """Trading hours as contract details carry them, in the instrument's zone: `20260105:0930-20260105:1600;20260110:CLOSED`.

    They agree with an exchange that is `always` open: then each session begins where the one before it closed, so that every moment
    lies in one and each session day still has its regular close. And with one that is `closed` now: then today's session is not held.
    """
    day, local = calendar.day_of(moment), ZoneInfo(zone)
    coming = [day + timedelta(n) for n in range(days)]

    def wire(at: datetime) -> str:
        return f"{at.astimezone(local):%Y%m%d:%H%M}"

    if always:
        held = [today for today in coming if calendar.is_session(today)]
        before = [calendar.sessions_back(today - timedelta(1), 1)[0] for today in held]
        return ";".join(
            f"{wire(calendar.session(last)[1])}-{wire(calendar.session(today)[1])}"
            for last, today in zip(before, held, strict=True)
        )
    parts = []
    for today in coming:
        if not calendar.is_session(today) or (closed and calendar.is_open(moment) and today == day):
            parts.append(f"{today:%Y%m%d}:CLOSED")
            continue
        start, end = calendar.session(today, regular)
        parts.append(f"{wire(start)}-{wire(end)}")
    return ";".join(parts)
