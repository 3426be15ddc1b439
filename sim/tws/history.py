"""What a request for the past means: end, duration, bar size and what to show in TWS's wording, and bars that are kept up to date."""

import math
import re
import statistics
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sim.tws import hours
from sim.tws.bars import Bar
from sim.tws.contracts import Instrument
from sim.tws.errors import Refused
from sim.tws.market import Market

_SIZES: dict[str, timedelta | str] = {
    **{f"{n} secs": timedelta(seconds=n) for n in (1, 5, 10, 15, 30)},
    "1 min": timedelta(minutes=1),
    **{f"{n} mins": timedelta(minutes=n) for n in (2, 3, 5, 10, 15, 20, 30)},
    "1 hour": timedelta(hours=1),
    **{f"{n} hours": timedelta(hours=n) for n in (2, 3, 4, 8)},
    "1 day": "day",
    "1W": "week",
    "1M": "month",
}
_ALSO = {"1 week": "1W", "1 month": "1M"}
_LENGTH = {"day": 86_400, "week": 7 * 86_400, "month": 28 * 86_400}
_UNITS = {"S": 1, "D": 86_400, "W": 7 * 86_400, "M": 30 * 86_400, "Y": 365 * 86_400}
_TOO_LONG = {
    "S": (86_400, "Historical data request for greater than 86400 seconds rejected."),
    "D": (365, "Historical data requests for durations longer than 365 days must be made in years."),
    "W": (52, "Historical data request for durations longer than 52 weeks must be made in years."),
    "M": (12, "Historical data request for durations longer than 12 months must be made in years."),
}
_FINEST = {1: 2_000, 5: 86_400, 10: 86_400, 15: 86_400, 30: 86_400}
"""The longest duration, in seconds, that may be asked for in bars of so few seconds."""
_SHOWN = {
    "STK": frozenset({"TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST", "HISTORICAL_VOLATILITY", "SCHEDULE"}),
    "CASH": frozenset({"MIDPOINT", "BID", "ASK", "BID_ASK", "SCHEDULE"}),
    "IND": frozenset({"TRADES", "HISTORICAL_VOLATILITY", "SCHEDULE"}),
    "OPT": frozenset({"SCHEDULE"}),
}  # fmt: skip
_WHAT = _SHOWN["STK"] | {"OPTION_IMPLIED_VOLATILITY", "FEE_RATE", "REBATE_RATE", "AGGTRADES"}
_KEPT = frozenset({"TRADES", "MIDPOINT", "BID", "ASK"})
_MOST_BARS = 100_000
FIRST = datetime(1990, 1, 2, 14, 30, tzinfo=UTC)
"""Since when there are data of anything."""
_SESSIONS_A_YEAR, _VOLATILITY_OF = 252, 30


@dataclass(frozen=True, slots=True)
class Question:
    """Which bars are wanted, and what they show."""

    instrument: Instrument
    start: datetime
    end: datetime
    size: timedelta | str
    regular: bool
    what: str

    def answer(self, market: Market, start: datetime | None = None, now: datetime | None = None) -> list[Bar]:
        """The bars, from `start` and up to `now` where that is said."""
        start, end = start or self.start, now or self.end
        if self.what == "HISTORICAL_VOLATILITY":
            return _volatilities(market, self.instrument, start, end) if self.size == "day" else []
        what = "TRADES" if self.what == "ADJUSTED_LAST" else self.what  # nothing here was ever split
        return market.bars(self.instrument.con_id, start, end, self.size, self.regular, what)


class Kept:
    """A request whose last bar is kept up to date."""

    def __init__(self, question: Question, style: int, last: Bar) -> None:
        self.question, self._last = question, last
        self.style = style

    def news(self, market: Market, now: datetime) -> list[Bar]:
        """The bars that are new or not what they were."""
        bars = self.question.answer(market, self._last.start, now)
        news = [bar for bar in bars if bar.start >= self._last.start and bar != self._last]
        if news:
            self._last = news[-1]
        return news


def question(
    instrument: Instrument,
    end: str,
    duration: str,
    size: str,
    regular: bool,
    what: str,
    keep: bool,
    now: datetime,
) -> Question:
    """The bars a request means. Refused (321 or 162) where it means none that exist."""
    size = _ALSO.get(size, size)
    if size not in _SIZES:
        raise _invalid(f"Historical data bar size setting is invalid. Legal ones are: {', '.join(_SIZES)}")
    count, unit = _duration(duration)
    seconds, bar = count * _UNITS[unit], _SIZES[size]
    length = int(bar.total_seconds()) if isinstance(bar, timedelta) else _LENGTH[bar]
    shown(instrument, what, seconds)
    if what == "SCHEDULE" and bar != "day":
        raise _invalid("Historical schedule requests support only the bar size 1 day")
    if what == "ADJUSTED_LAST" and end:
        raise _invalid("End Date/Time is not supported for adjusted last")
    if keep and (end or what not in _KEPT or length < 5):
        raise _invalid(
            "Keep up to date takes no end date, bars of 5 secs or more, and TRADES, MIDPOINT, BID or ASK"
        )
    if length > seconds:
        raise _failed(f"invalid step: {size} in {duration}")
    until = min(parse_moment(end), now) if end else now
    try:
        start = _start(instrument, until, count, unit)
    except OverflowError:  # before the year 1
        raise _failed("Time length exceed max.") from None
    if seconds > _FINEST.get(length, seconds) or (until - start).total_seconds() / length > _MOST_BARS:
        raise _failed("Time length exceed max.")
    if until <= FIRST:
        raise _failed(
            f"HMDS query returned no data: {instrument.local_symbol}@{instrument.exchanges[0]} {what}"
        )
    return Question(instrument, max(start, FIRST), until, bar, regular, what)


def shown(instrument: Instrument, what: str, seconds: int) -> None:
    """Whether there is such data of an instrument. Refused (321 for what nobody knows, 162 for what it does not have)."""
    if what not in _WHAT:
        raise _invalid(f"What to show {what!r} is not available")
    if what not in _SHOWN[instrument.sec_type]:
        raise _failed(no_data(instrument, what, seconds))


def no_data(instrument: Instrument, what: str, seconds: int) -> str:
    """TWS's words for data that an instrument does not have."""
    where = "FXSUBPIP" if instrument.is_forex else instrument.listing
    kind = {"TRADES": "Last", "ADJUSTED_LAST": "Last"}.get(what, what.title())
    return f"No historical market data for {instrument.symbol}/{instrument.sec_type}@{where} {kind} {seconds}"


def _duration(text: str) -> tuple[int, str]:
    """A duration as TWS reads it: a bare number is seconds, units in either case."""
    if not text:
        raise _invalid("Historical data request duration not specified.")
    match = re.fullmatch(r"(\d{1,9})(?: ([SDWMY]))?", text.upper())
    if match is None:
        raise _invalid(
            "When specifying a unit, historical data request duration format is integer{SPACE}unit (S|D|W|M|Y)."
        )
    count, unit = int(match[1]), match[2] or "S"
    if count < (30 if unit == "S" else 1) or count > 2**31:
        raise _invalid("Historical data requested duration is invalid.")
    most, why = _TOO_LONG.get(unit, (100, "Historical data requested duration is invalid."))
    if count > most:
        raise _invalid(why)
    return count, unit


def _start(instrument: Instrument, until: datetime, count: int, unit: str) -> datetime:
    """Where a duration begins: days are session days, as many as asked for."""
    if unit == "S":
        return until - timedelta(seconds=count)
    if unit == "D":
        calendar = instrument.calendar
        day = calendar.day_of(until)
        if calendar.is_session(day) and calendar.session(day)[0] > until:
            day -= timedelta(1)
        return calendar.session(calendar.sessions_back(day, count)[0], regular=False)[0]
    return until - timedelta(days=count * {"W": 7, "M": 30.5, "Y": 365.25}[unit])


def volatility(market: Market, instrument: Instrument, day: date) -> Decimal:
    """The yearly standard deviation of the daily returns of the 30 sessions up to a session day, by their closes."""
    closes = _closes(market, instrument, day, _VOLATILITY_OF + 1)
    return _deviation([close for _, close in closes])


def _volatilities(market: Market, instrument: Instrument, start: datetime, end: datetime) -> list[Bar]:
    calendar = instrument.calendar
    first, last = calendar.day_of(start), calendar.day_of(end)
    wanted = [day for day in calendar.sessions_back(last, (last - first).days + 1) if day >= first]
    closes = _closes(market, instrument, last, len(wanted) + _VOLATILITY_OF)
    bars = []
    for at in range(_VOLATILITY_OF, len(closes)):
        value = _deviation([close for _, close in closes[at - _VOLATILITY_OF : at + 1]])
        moment = datetime.combine(closes[at][0], datetime.min.time(), UTC)
        bars.append(Bar(moment, value, value, value, value, -1, Decimal(-1), -1))
    return bars


def _closes(market: Market, instrument: Instrument, day: date, count: int) -> list[tuple[date, Decimal]]:
    days = instrument.calendar.sessions_back(day, count)
    return [(one, market.closing(instrument.con_id, one)) for one in days]


def _deviation(closes: list[Decimal]) -> Decimal:
    returns = [math.log(two / one) for one, two in pairwise(closes)]
    return round(Decimal(repr(statistics.stdev(returns) * math.sqrt(_SESSIONS_A_YEAR))), 8)


def sessions(question: Question) -> list[tuple[datetime, datetime, date]]:
    """Openings and closings of the sessions that a question is about, with their days."""
    calendar, day = question.instrument.calendar, question.instrument.calendar.day_of(question.start)
    found = []
    while day <= calendar.day_of(question.end):
        if calendar.is_session(day):
            found.append((*calendar.session(day, question.regular), day))
        day += timedelta(1)
    return found


def _invalid(cause: str) -> Refused:
    return Refused(321, f"Error validating request.-'bA' : cause - {cause}")


def _failed(cause: str) -> Refused:
    return Refused(162, f"Historical Market Data Service error message:{cause}")


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
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError) as error:
        raise Refused(
            10314, f"End Date/Time: The date, time, or time-zone entered is invalid: {error}"
        ) from error
