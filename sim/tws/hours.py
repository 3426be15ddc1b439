"""When the New York exchanges are open: regular sessions with holidays and half days."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
OPEN, CLOSE, EARLY_CLOSE = time(9, 30), time(16), time(13)
PRE_MARKET, POST_MARKET = time(4), time(20)


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
    day = moment.astimezone(NEW_YORK).date()
    if not is_session(day):
        return False
    opening, closing = session(day)
    return opening <= moment < closing


def new_york_day(moment: datetime) -> str:
    """The date in New York, in ISO form: what "today" is to the broker."""
    return moment.astimezone(NEW_YORK).date().isoformat()


def sessions_back(day: date, count: int) -> list[date]:
    """The last `count` session days up to and including `day`, oldest first."""
    found: list[date] = []
    while len(found) < count:
        if is_session(day):
            found.append(day)
        day -= timedelta(1)
    return found[::-1]


def next_open(moment: datetime) -> datetime:
    """The next opening after `moment`, aware UTC."""
    day = moment.astimezone(NEW_YORK).date()
    while not is_session(day) or session(day)[0] <= moment:
        day += timedelta(1)
    return session(day)[0]


def next_close(moment: datetime) -> datetime:
    """The next regular closing after `moment`, aware UTC."""
    day = moment.astimezone(NEW_YORK).date()
    while not is_session(day) or session(day)[1] <= moment:
        day += timedelta(1)
    return session(day)[1]


def wire_hours(
    moment: datetime, regular: bool, days: int = 6, *, always: bool = False, closed: bool = False
) -> str:
    """Trading hours as contract details carry them: `20260105:0930-20260105:1600;20260110:CLOSED`.

    They agree with an exchange that is `always` open: then each session begins where the one before it closed, so that every moment
    lies in one and each session day still has its regular close. And with one that is `closed` now: then today's session is not held.
    """
    day = moment.astimezone(NEW_YORK).date()
    coming = [day + timedelta(n) for n in range(days)]
    if always:
        return ";".join(_since_the_last(today) for today in coming if is_session(today))
    parts = []
    for today in coming:
        if not is_session(today) or (closed and is_open(moment) and today == day):
            parts.append(f"{today:%Y%m%d}:CLOSED")
            continue
        close = EARLY_CLOSE if is_half_day(today) else CLOSE
        late = time(17) if is_half_day(today) else POST_MARKET
        start, end = (OPEN, close) if regular else (PRE_MARKET, late)
        parts.append(f"{today:%Y%m%d}:{start:%H%M}-{today:%Y%m%d}:{end:%H%M}")
    return ";".join(parts)


def _since_the_last(day: date) -> str:
    before = sessions_back(day - timedelta(1), 1)[0]
    begin, end = (EARLY_CLOSE if is_half_day(one) else CLOSE for one in (before, day))
    return f"{before:%Y%m%d}:{begin:%H%M}-{day:%Y%m%d}:{end:%H%M}"
