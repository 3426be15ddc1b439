"""Which options there are: the expiries and strikes of a chain, and the number of each option. Pure functions of the calendar and of a usual price.

An option's number says what it is, so that none has to be remembered: beginning with 2^30 it holds which underlying it is on (8 bits), the
week of its expiry (11), which strike (10) and whether it is a call (1). Known contracts have smaller numbers.
"""

from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import NamedTuple

from sim.tws import hours

FIRST_ID = 1 << 30
"""Every option's number is at least this, and below 2^31."""
STRIKES = 100
"""How many strikes each expiry has."""
WEEKLIES, MONTHS, LEAPS = 8, 15, 2
"""Weekly expiries, then monthly ones up to so many months ahead, then so many Januaries."""
_WEEKS, _STEPS_OF_STRIKE = 1 << 11, 1 << 10
_FIRST_FRIDAY = date(2020, 1, 3)
_STEPS = (
    (Decimal(25), Decimal("0.5")),
    (Decimal(100), Decimal(1)),
    (Decimal(250), Decimal("2.5")),
    (Decimal(700), Decimal(5)),
)
"""How far strikes are apart below a usual price of the underlying; ten dollars from the last one on."""


class Parts(NamedTuple):
    """What an option's number says: which underlying, when it expires, which strike in steps from zero, and C or P."""

    slot: int
    expiry: date
    steps: int
    right: str


def step(usual: Decimal) -> Decimal:
    """How far the strikes of an underlying with this usual price are apart."""
    return next((size for below, size in _STEPS if usual < below), Decimal(10))


@lru_cache(maxsize=256)
def strikes(usual: Decimal) -> tuple[Decimal, ...]:
    """The strikes of every expiry, in order. They do not move with the market, so that what was listed stays listed."""
    size = step(usual)
    lowest = max(1, int((usual / size).to_integral_value(ROUND_FLOOR)) - STRIKES // 2)
    return tuple(size * n for n in range(lowest, lowest + STRIKES))


def _expiry(week: int) -> date:
    """When the options of a week end: on its Friday, or on the last session day before it."""
    day = _FIRST_FRIDAY + timedelta(weeks=week)
    while not hours.is_session(day):
        day -= timedelta(1)
    return day


def _week(day: date) -> int:
    return (day - _FIRST_FRIDAY + timedelta(6)).days // 7


@lru_cache(maxsize=1024)
def closes(expiry: date) -> datetime:
    """The moment at which options of an expiry are over, aware UTC."""
    return hours.session(expiry)[1]


def _third_friday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta((4 - first.weekday()) % 7 + 14)


def expiries(now: datetime) -> tuple[date, ...]:
    """The expiries that are listed at a moment, in order."""
    return _listed(_next_week(now))


def _next_week(now: datetime) -> int:
    week = _week(now.astimezone(hours.NEW_YORK).date())
    while closes(_expiry(week)) <= now:
        week += 1
    return week


@lru_cache(maxsize=64)
def _listed(week: int) -> tuple[date, ...]:
    found = {_expiry(week + n) for n in range(WEEKLIES)}
    start = _expiry(week)
    for n in range(MONTHS + 1):
        year, month = divmod(start.year * 12 + start.month - 1 + n, 12)
        found.add(_expiry(_week(_third_friday(year, month + 1))))
    found |= {_expiry(_week(_third_friday(start.year + n, 1))) for n in range(1, LEAPS + 1)}
    return tuple(sorted(day for day in found if day >= start))


def number(slot: int, expiry: date, steps: int, right: str) -> int:
    """The number of an option."""
    packed = (slot * _WEEKS + _week(expiry)) * _STEPS_OF_STRIKE + steps
    return FIRST_ID + packed * 2 + (right == "C")


def parts(con_id: int) -> Parts | None:
    """What a number says, or None where it is not that of an option."""
    if not FIRST_ID <= con_id < 2 * FIRST_ID:
        return None
    packed, call = divmod(con_id - FIRST_ID, 2)
    packed, steps = divmod(packed, _STEPS_OF_STRIKE)
    slot, week = divmod(packed, _WEEKS)
    return Parts(slot, _expiry(week), steps, "C" if call else "P")


def parse_right(text: str) -> str | None:
    """C or P as clients write them, empty where none is said, None where it is neither."""
    return {"C": "C", "CALL": "C", "P": "P", "PUT": "P", "": "", "0": "", "?": ""}.get(text.upper())


def local_symbol(root: str, expiry: date, right: str, strike: Decimal) -> str:
    """The name of an option in the form of the clearing house: `AAPL  261218C00190000`."""
    return f"{root:<6}{expiry:%y%m%d}{right}{int(strike * 1000):08d}"


def from_local_symbol(text: str) -> tuple[str, str, str, Decimal] | None:
    """Root, expiry (YYYYMMDD), right and strike of such a name; None where it is none."""
    root, tail = text[:-15].strip(), text[-15:]
    if not root or len(tail) < 15 or tail[6] not in "CP" or not (tail[:6] + tail[7:]).isdecimal():
        return None
    return root, f"20{tail[:6]}", tail[6], Decimal(int(tail[7:])) / 1000
