"""Generic ticks: which ones a client may ask for, and what they say. One row a request; what is not known is not sent."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sim.tws import answers, chains, history, hours
from sim.tws.codec import whole
from sim.tws.contracts import BASE, BY_ID, OPTIONABLE, Instrument, options
from sim.tws.errors import Refused
from sim.tws.market import Market

ALL = frozenset({"STK", "CASH", "IND", "OPT"})
_SHARES, _INDICES = frozenset({"STK"}), frozenset({"IND"})
_ALIASES = {220: 221, 47: 258, 59: 456}
_PRICE, _SIZE, _NUMBER, _TEXT = (
    answers.tick_price,
    answers.tick_size,
    answers.tick_generic,
    answers.tick_string,
)
_SHORTABLE = 25_000_000
_YEAR = timedelta(365)

Value = Decimal | int | str
Tick = tuple[Callable[..., bytes], int, Value]
"""How a tick is written, its type and its value."""


class View(NamedTuple):
    """Whose ticks are asked for, and when."""

    market: Market
    instrument: Instrument
    now: datetime


class Generic(NamedTuple):
    """A generic tick: its name in TWS's list, for which kinds it is legal, and what is sent; `steady` ones change once a day at most."""

    name: str
    legal: frozenset[str] = ALL
    ticks: Callable[[View], Iterator[Tick]] | None = None
    steady: bool = False


def _statistics(view: View) -> Iterator[Tick]:
    """Lows and highs of 13, 26 and 52 weeks, and the average volume of a day."""
    market, instrument, now = view
    if instrument.is_option:  # of which nobody keeps the past
        return
    what = "MIDPOINT" if instrument.is_forex else "TRADES"
    bars = market.bars(instrument.con_id, now - timedelta(weeks=52), now, "day", what=what)
    for kind, weeks in ((15, 13), (17, 26), (19, 52)):
        part = [bar for bar in bars if bar.start >= now - timedelta(weeks=weeks)]
        yield _PRICE, kind, min(bar.low for bar in part)
        yield _PRICE, kind + 1, max(bar.high for bar in part)
    if instrument.is_share:
        last = bars[-90:]
        yield _SIZE, 21, sum(bar.volume for bar in last) // len(last)


def _volatility(view: View) -> Iterator[Tick]:
    """The yearly volatility of the last thirty sessions."""
    calendar = view.instrument.calendar
    yesterday = calendar.sessions_back(calendar.day_of(view.now) - timedelta(1), 1)[0]
    yield _NUMBER, 23, history.volatility(view.market, _carrier(view), yesterday)


def _carrier(view: View) -> Instrument:
    """What an option is on; anything else is itself."""
    return BY_ID[view.instrument.underlying or view.instrument.con_id]


def _implied(view: View) -> Iterator[Tick]:
    """The volatility at which the options on it are traded."""
    if _carrier(view) in OPTIONABLE:
        yield _NUMBER, 24, Decimal(repr(view.market.options.volatility(view.instrument.symbol)))


def _open_interest(view: View) -> Iterator[Tick]:
    """How many contracts are open: calls and puts on a share, or of the option itself, which has them under its own type too."""
    counts = _counted(view, lambda market, option, _: market.options.open_interest(option))
    for kind, count in zip((27, 28), counts, strict=False):
        yield _SIZE, kind, count
    if view.instrument.is_option:
        yield _SIZE, 22, sum(counts)


def _option_volume(view: View) -> Iterator[Tick]:
    """How many contracts were traded today: calls and puts."""
    counts = _counted(view, lambda market, option, now: market.options.volume(option, now))
    for kind, count in zip((29, 30), counts, strict=False):
        yield _SIZE, kind, count


def _usual_option_volume(view: View) -> Iterator[Tick]:
    """How many contracts are traded on a usual day."""
    counts = _counted(view, lambda market, option, _: market.options.open_interest(option))
    if counts:
        yield _SIZE, 87, sum(counts) // 7


def _counted(view: View, count: Callable[[Market, Instrument, datetime], int]) -> tuple[int, ...]:
    """Calls and puts by a count of contracts; nothing for what has no options."""
    market, instrument, now = view
    if instrument.is_option:
        found = count(market, instrument, now)
        return (found, 0) if instrument.right == "C" else (0, found)
    if instrument not in OPTIONABLE:
        return ()
    strike = min(chains.strikes(instrument.price), key=lambda one: abs(one - instrument.price))
    near = options(now, instrument, strike=strike)
    # those at the usual price stand for their neighbours
    return tuple(40 * sum(count(market, one, now) for one in near if one.right == right) for right in "CP")


def _mark(view: View) -> Iterator[Tick]:
    yield _PRICE, 37, view.market.quote(view.instrument.con_id, view.now).last


def _trade(kind: int) -> Callable[[View], Iterator[Tick]]:
    """The last trade as price;size;milliseconds;volume;average;single."""

    def ticks(view: View) -> Iterator[Tick]:
        if not view.instrument.is_forex:
            quote = view.market.quote(view.instrument.con_id, view.now)
            day = view.market.day(view.instrument.con_id, view.now)
            at = int(quote.at.timestamp() * 1000)
            yield _TEXT, kind, f"{quote.last};{quote.last_size};{at};{day.volume};{day.average};true"

    return ticks


def _shortable(view: View) -> Iterator[Tick]:
    if view.instrument.is_share:
        yield _NUMBER, 46, Decimal(3)  # at least a thousand shares
        yield _SIZE, 89, _SHORTABLE


def _count(view: View) -> Iterator[Tick]:
    if view.instrument.is_share:
        yield _NUMBER, 54, Decimal(view.market.day(view.instrument.con_id, view.now).count)


def _trade_rate(view: View) -> Iterator[Tick]:
    if view.instrument.is_share:
        [bar] = [
            view.market.bar(view.instrument.con_id, view.now - timedelta(seconds=59), view.now, "TRADES")
        ]
        yield _NUMBER, 55, Decimal(bar.count)


def _volume_rate(view: View) -> Iterator[Tick]:
    if view.instrument.is_share:
        yield _NUMBER, 56, Decimal(_traded(view, 1))


def _last_regular(view: View) -> Iterator[Tick]:
    """The last trade of a regular session."""
    market, instrument, now = view
    if instrument.is_option:
        yield _PRICE, 57, market.quote(instrument.con_id, now).last
    elif not instrument.is_forex:
        inside = instrument.calendar.is_open(now)
        day = instrument.calendar.sessions_back(instrument.calendar.day_of(now), 1)[0]
        ended = instrument.calendar.session(day)[1] <= now
        if inside:
            yield _PRICE, 57, market.quote(instrument.con_id, now).last
        elif ended:
            yield _PRICE, 57, market.closing(instrument.con_id, day)
        else:
            yield _PRICE, 57, market.previous_close(instrument.con_id, now)


def _dividends(view: View) -> Iterator[Tick]:
    """What was paid in the past twelve months, what will be in the next, the next ex-date and its amount; commas where there is nothing."""
    on = _carrier(view)
    if not on.is_share:
        return
    known, today = view.market.options.dividends(on.symbol), view.now.astimezone(hours.NEW_YORK).date()
    coming = view.market.options.next_dividend(on.symbol, view.now)
    if on.currency != BASE or coming is None:
        yield _TEXT, 59, ",,,"
        return
    past = sum((one.amount for one in known if today - _YEAR < one.ex_date < coming.ex_date), Decimal(0))
    ahead = sum((one.amount for one in known if coming.ex_date <= one.ex_date < today + _YEAR), Decimal(0))
    yield _TEXT, 59, f"{past},{ahead},{coming.ex_date:%Y%m%d},{coming.amount}"


def _short_term(view: View) -> Iterator[Tick]:
    if view.instrument.is_share:
        for kind, minutes in ((63, 3), (64, 5), (65, 10)):
            yield _SIZE, kind, _traded(view, minutes)


def _traded(view: View, minutes: int) -> int:
    return view.market.volume_between(view.instrument.con_id, view.now - timedelta(minutes=minutes), view.now)


GENERIC: Mapping[int, Generic] = {
    100: Generic("Option Volume", ticks=_option_volume),
    101: Generic("Option Open Interest", ticks=_open_interest, steady=True),
    104: Generic("", ticks=_volatility, steady=True),
    105: Generic("Average Opt Volume", ticks=_usual_option_volume, steady=True),
    106: Generic("impvolat", ticks=_implied),
    162: Generic("Index Future Premium", _INDICES),
    165: Generic("Misc. Stats", ticks=_statistics, steady=True),
    221: Generic("Creditman Mark Price", ticks=_mark),
    225: Generic("Auction"),
    232: Generic("Pl Price", ticks=_mark),
    233: Generic("RTVolume", ticks=_trade(48)),
    236: Generic("inventory", ticks=_shortable, steady=True),
    258: Generic("Fundamentals"),
    292: Generic("Wide_news"),
    293: Generic("TradeCount", ticks=_count),
    294: Generic("TradeRate", ticks=_trade_rate),
    295: Generic("VolumeRate", ticks=_volume_rate),
    318: Generic("LastRTHTrade", ticks=_last_regular),
    375: Generic("RTTrdVolume", ticks=_trade(77)),
    411: Generic("rthistvol"),
    456: Generic("IBDividends", _SHARES | _INDICES | {"OPT"}, _dividends, steady=True),
    460: Generic("Bond Factor Multiplier"),
    577: Generic("EtfNavLast(navlast)"),
    586: Generic("IPOHLMPRC"),
    587: Generic("Pl Price Delayed"),
    588: Generic("Futures Open Interest"),
    595: Generic("Short-Term Volume X Mins", _SHARES, _short_term),
    614: Generic("EtfNavMisc(high/low)"),
    619: Generic("Creditman Slow Mark Price"),
    623: Generic("EtfFrozenNavLast(fznavlast)"),
}
_LISTED_ALIAS = {221: "220", 232: "221", 258: "47", 456: "59"}


def wanted(text: str, kind: str) -> tuple[list[int], bool]:
    """The generic ticks a client's list asks for, and whether it also wants the quotes (it does not with `mdoff`).

    Refused (321) where one of them is not legal for that kind of instrument.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    quotes = "mdoff" not in {name.lower() for name in names}
    found: list[int] = []
    for name in names:
        if name.lower() != "mdoff":
            number = whole(name.partition(":")[0]) or 0
            code = _ALIASES.get(number, number)
            if code not in GENERIC or kind not in GENERIC[code].legal or name.endswith(":"):
                raise Refused(321, _illegal(text, kind))
            found.append(code)
    if not quotes and not found:
        raise Refused(321, _illegal(text, kind))
    return found, quotes


def _illegal(text: str, kind: str) -> str:
    legal = ",".join(
        f"{code}{'/' + _LISTED_ALIAS[code] if code in _LISTED_ALIAS else ''}({generic.name})"
        for code, generic in GENERIC.items()
        if generic.name and kind in generic.legal
    )
    return f"Error validating request.-'bQ' : cause - Incorrect generic tick list of {text}.  Legal ones for ({kind}) are: {legal}"


def ticks(codes: list[int], view: View, first: bool) -> Iterator[Tick]:
    """What these generic ticks say; the steady ones only the `first` time."""
    for code in codes:
        say = GENERIC[code].ticks
        if say is not None and (first or not GENERIC[code].steady):
            yield from say(view)
