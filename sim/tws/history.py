"""What a request for historical bars means: end, duration and bar size from TWS's wording, and bars that are kept up to date."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sim.tws import hours
from sim.tws.errors import Refused
from sim.tws.market import Bar, Market

_SIZES: dict[str, timedelta | str] = {
    **{f"{n} secs": timedelta(seconds=n) for n in (5, 10, 15, 30)},
    "1 min": timedelta(minutes=1),
    **{f"{n} mins": timedelta(minutes=n) for n in (2, 3, 5, 10, 15, 20, 30)},
    "1 hour": timedelta(hours=1),
    **{f"{n} hours": timedelta(hours=n) for n in (2, 3, 4, 8)},
    "1 day": "day",
    "1 week": "week",
    "1W": "week",
    "1 month": "month",
    "1M": "month",
}
_WHAT = frozenset({"TRADES", "MIDPOINT", "BID", "ASK", "ADJUSTED_LAST"})
_MOST_BARS = 100_000


@dataclass(frozen=True, slots=True)
class Question:
    """Which bars are wanted."""

    con_id: int
    start: datetime
    end: datetime
    size: timedelta | str
    regular: bool


class Kept:
    """A request whose last bar is kept up to date."""

    def __init__(self, question: Question, style: int, what: str, last: Bar) -> None:
        self._question, self._last = question, last
        self.size, self.style, self.what = question.size, style, what

    def news(self, market: Market, now: datetime) -> list[Bar]:
        """The bars that are new or not what they were."""
        question = self._question
        start = self._last.start - timedelta(days=1) if isinstance(self.size, timedelta) else self._last.start
        bars = market.bars(question.con_id, start, now, question.size, question.regular)
        news = [bar for bar in bars if bar.start >= self._last.start and bar != self._last]
        if news:
            self._last = news[-1]
        return news


def question(
    con_id: int, end: str, duration: str, size: str, regular: bool, what: str, now: datetime
) -> Question:
    """The bars a request means. Refused (321 or 162) where it means none that exist."""
    if what not in _WHAT:
        raise Refused(321, f"Error validating request.-'bA' : cause - What to show {what!r} is not available")
    if size not in _SIZES:
        raise Refused(
            321,
            f"Error validating request.-'bA' : cause - Historical data bar size setting is invalid. Legal ones are: {', '.join(_SIZES)}.",
        )
    until = min(parse_moment(end), now) if end else now
    match = re.fullmatch(r"(\d{1,5}) ([SDWMY])", duration)
    if match is None or not int(match[1]):
        raise Refused(
            321,
            f"Error validating request.-'bA' : cause - Historical data query duration {duration!r} is invalid: a number and S, D, W, M or Y",
        )
    count = int(match[1])
    bar = _SIZES[size]
    start = _start(until, count, match[2])
    seconds = bar.total_seconds() if isinstance(bar, timedelta) else 86_400
    if (until - start).total_seconds() / seconds > _MOST_BARS:
        raise Refused(321, "Error validating request.-'bA' : cause - Time length exceeds max.")
    return Question(con_id, start, until, bar, regular)


def _start(until: datetime, count: int, unit: str) -> datetime:
    """Where a duration begins: days are session days, as many as asked for."""
    if unit == "S":
        return until - timedelta(seconds=count)
    if unit == "D" and count <= 365:
        day = until.astimezone(hours.NEW_YORK).date()
        if hours.is_session(day) and hours.session(day)[0] > until:
            day -= timedelta(1)
        first = hours.sessions_back(day, count)[0]
        return datetime.combine(first, hours.PRE_MARKET, hours.NEW_YORK).astimezone(UTC)
    return until - timedelta(days=count * {"D": 1, "W": 7, "M": 30.5, "Y": 365.25}[unit])


def parse_moment(text: str) -> datetime:
    """A moment as clients write it: `20260105 09:30:00 US/Eastern`, `20260105-14:30:00` (UTC), or without zone (New York)."""
    found = re.fullmatch(r"(\d{8})([ -])\s*(\d{2}:\d{2}:\d{2})(?: (\S+))?", text.strip())
    if found is None:
        raise Refused(
            10314,
            "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx",
        )
    try:
        zone = ZoneInfo(found[4]) if found[4] else (UTC if found[2] == "-" else hours.NEW_YORK)
        return (
            datetime.strptime(f"{found[1]} {found[3]}", "%Y%m%d %H:%M:%S")
            .replace(tzinfo=zone)
            .astimezone(UTC)
        )
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise Refused(
            10314, f"End Date/Time: The date, time, or time-zone entered is invalid: {error}"
        ) from error
