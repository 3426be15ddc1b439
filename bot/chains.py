"""A page of an option chain on a phone: the table, and the buttons that turn it. Pure functions.

Everything that a button needs is in the button: which message it turns, of what, which expiry and from which strike on. So a page can be
turned after a restart, and an old page too. A line of the table is at most 34 characters long, which a narrow phone shows unbroken.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from html import escape

from bot.text import badge, quote_line
from core.model import Buttons, Link, OptionQuote, Quote, Right, Side
from core.options.plan import ChainPage, ChainRow

WIDTH = 34
DASH = "–"
EXPIRIES_A_PAGE, EXPIRIES_A_ROW, STRIKES_A_ROW = 12, 3, 4
TABLE, EXPIRIES, STRIKES, STRIKE = "t", "e", "k", "s"


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody is in a chain. `name` is that of the message; `shows` what its buttons offer: turning the table, the expiries from
    place `at` on, the strikes, or one strike (place `at` among all of them) to trade. `first` None means around the price.
    """

    name: str
    symbol: str
    expiry: date
    first: int | None = None
    shows: str = TABLE
    at: int = 0

    def written(self) -> str:
        """The data of a button, at most 64 bytes."""
        first = "" if self.first is None else str(self.first)
        return f"chain:{self.name}:{self.symbol}:{self.expiry:%Y%m%d}:{first}:{self.shows}:{self.at}"

    @classmethod
    def read(cls, argument: str) -> "Place | None":
        """What `written` made, without the word before the first colon; None for anything else."""
        parts = argument.split(":")
        if len(parts) != 6 or parts[4] not in (TABLE, EXPIRIES, STRIKES, STRIKE):
            return None
        name, symbol, day, first, shows, at = parts
        try:
            expiry = date.fromisoformat(day)
            return cls(name, symbol, expiry, int(first) if first else None, shows, int(at))
        except ValueError:
            return None


def page_text(page: ChainPage, link: Link) -> str:
    """The strikes of a page with calls and puts; what nobody told is a dash, and late figures say so."""
    symbol, day = escape(page.underlying.symbol), page.expiry
    left = (
        "expires today"
        if page.days_left == 0
        else f"{page.days_left} day{'s' if page.days_left != 1 else ''} left"
    )
    lines = [f"<b>{symbol} options · {day.day} {day:%b %y}</b> · {left}", badge(link), quote_line(page.spot)]
    if _is_delayed(page):
        lines.append("⚠️ DELAYED: these are no prices of now.")
    table = "\n".join(_table(page))
    until = page.first + len(page.rows)
    where = f"Strikes {page.first + 1} to {until} of {len(page.strikes)}" if page.rows else "No strikes here."
    return "\n".join([*lines, f"<pre>{escape(table)}</pre>", where])


def _is_delayed(page: ChainPage) -> bool:
    return any(q is not None and q.delayed for row in page.rows for q in (row.call, row.put))


def _table(page: ChainPage) -> list[str]:
    lines = [f"{'strike':<8}{'bid/ask':^11}{'IV':>5}{'Δ':>5}{'OI':>5}"]
    spot = _spot(page.spot)
    for place, row in enumerate(page.rows):
        before = page.rows[place - 1].strike if place else None
        if spot is not None and _between(before, spot, row.strike, page.first == 0):
            lines.append(_mark(spot))
        lines += _row(row)
    last = page.rows[-1].strike if page.rows else None
    if (
        spot is not None
        and last is not None
        and spot > last
        and page.first + len(page.rows) == len(page.strikes)
    ):
        lines.append(_mark(spot))
    return lines


def _between(before: Decimal | None, spot: Decimal, strike: Decimal, is_start: bool) -> bool:
    """Whether the price lies just below this strike."""
    return spot <= strike and (spot > before if before is not None else is_start)


def _spot(quote: Quote | None) -> Decimal | None:
    if quote is None:
        return None
    if quote.bid is not None and quote.ask is not None:
        return (quote.bid + quote.ask) / 2
    return quote.last


def _mark(spot: Decimal) -> str:
    return f" {spot:,.2f} ".center(WIDTH, "─")


def _row(row: ChainRow) -> list[str]:
    strike = f"{row.strike.normalize():f}"[:6]
    return [f"{strike:<6}C {_figures(row.call)}", f"{'':<6}P {_figures(row.put)}"]


def _figures(quote: OptionQuote | None) -> str:
    bid, ask = (_price(quote.bid), _price(quote.ask)) if quote else (DASH, DASH)
    volatility = DASH if quote is None or quote.volatility is None else f"{quote.volatility * 100:.0f}%"
    delta = DASH if quote is None or quote.delta is None else _delta(quote.delta)
    return f"{f'{bid}/{ask}':^11}{volatility:>5}{delta:>5}{_count(quote.open_interest if quote else None):>5}"


def _price(value: Decimal | None) -> str:
    """A price in five characters."""
    if value is None:
        return DASH
    return f"{value:.2f}" if value < 100 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def _delta(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)


def _count(value: int | None) -> str:
    """A number of contracts in five characters."""
    if value is None:
        return DASH
    if value < 10_000:
        return str(value)
    return f"{value / 1000:.0f}k" if value < 1_000_000 else f"{value / 1_000_000:.1f}M"


def buttons(page: ChainPage, place: Place) -> Buttons:
    """What can be done from here: turn the table, take another expiry, or trade one of its strikes."""
    here = replace(place, expiry=page.expiry, first=page.first)
    return {TABLE: _turning, EXPIRIES: _expiries, STRIKES: _strikes, STRIKE: _sides}[place.shows](page, here)


def _turning(page: ChainPage, here: Place) -> Buttons:
    table = replace(here, shows=TABLE, at=0)
    size, count = max(len(page.rows), 1), len(page.strikes)
    turn = []
    if page.first > 0:
        turn.append(("▲ lower", replace(table, first=max(page.first - size, 0)).written()))
    if page.first + size < count:
        turn.append(
            ("▼ higher", replace(table, first=min(page.first + size, max(count - size, 0))).written())
        )
    chosen = page.expiries.index(page.expiry) if page.expiry in page.expiries else 0
    other = replace(here, shows=EXPIRIES, at=chosen // EXPIRIES_A_PAGE * EXPIRIES_A_PAGE)
    rows = [tuple(turn)] if turn else []
    trade = (("Trade a strike", replace(here, shows=STRIKES).written()),) if page.rows else ()
    return (*rows, (("Other expiries", other.written()), *trade))


def _expiries(page: ChainPage, here: Place) -> Buttons:
    shown = page.expiries[here.at : here.at + EXPIRIES_A_PAGE]
    days = [
        (
            f"{'• ' if day == page.expiry else ''}{day.day} {day:%b %y}",
            replace(here, expiry=day, first=None, shows=TABLE, at=0).written(),
        )
        for day in shown
    ]
    turn = []
    if here.at > 0:
        turn.append(("◀ sooner", replace(here, at=max(here.at - EXPIRIES_A_PAGE, 0)).written()))
    if here.at + EXPIRIES_A_PAGE < len(page.expiries):
        turn.append(("later ▶", replace(here, at=here.at + EXPIRIES_A_PAGE).written()))
    return (*_in_rows(days, EXPIRIES_A_ROW), *([tuple(turn)] if turn else []), _back(here, TABLE))


def _strikes(page: ChainPage, here: Place) -> Buttons:
    each = [
        (f"{row.strike.normalize():f}", replace(here, shows=STRIKE, at=page.first + number).written())
        for number, row in enumerate(page.rows)
    ]
    return (*_in_rows(each, STRIKES_A_ROW), _back(here, TABLE))


def _sides(page: ChainPage, here: Place) -> Buttons:
    row = next((r for n, r in enumerate(page.rows) if page.first + n == here.at), None)
    if row is None:
        return _strikes(page, here)
    strike = f"{row.strike.normalize():f}"
    rows = []
    for right, quote in ((Right.CALL, row.call), (Right.PUT, row.put)):
        if quote is None:
            continue
        name = f"{'call' if right is Right.CALL else 'put'} {strike}"
        rows.append(
            tuple(
                (
                    f"{side.capitalize()} {name}",
                    f"opt:{side}:{here.symbol}:{right}:{strike}:{page.expiry:%Y%m%d}",
                )
                for side in Side
            )
        )
    return (*rows, _back(here, STRIKES))


def _back(here: Place, to: str) -> tuple[tuple[str, str], ...]:
    return (("◀ Back", replace(here, shows=to, at=0).written()),)


def _in_rows(each: list[tuple[str, str]], width: int) -> list[tuple[tuple[str, str], ...]]:
    return [tuple(each[at : at + width]) for at in range(0, len(each), width)]
