"""Lots and closures, derived from executions and what they cost: one engine, and a table of methods that only order the lots.

Every execution deals its quantity out in pieces: what closes older lots of the other side, and what is left opens a lot. Its commission
is dealt out with it, in cents by what is left, the last piece taking the remainder: so pieces always add up to the execution, exactly.
A commission goes into the basis of what is bought and off the proceeds of what is sold (IRS Publication 550, "Basis of Investment
Property"). One that is not known, or not in the currency of the trade, is counted as not known yet: the figures say `provisional`.

What was held before executions were known comes first, as lots of the broker's average cost: provisional for good, since neither
their true basis nor their date is known here.

The books are a function of the executions and these lots alone: neither their order nor their repetition changes anything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from heapq import heappop, heappush
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from core.model import Commission, Execution, OpeningLot, Side

ZERO, CENT = Decimal(0), Decimal("0.01")
EXCHANGE_ZONE = ZoneInfo("America/New_York")
"""Whose calendar says on which day a trade was: the trade date counts, not the day in UTC."""

Method = Callable[[int, Execution], Any]
"""The sort key of a lot, from the number of its execution in time and the execution: the smallest is closed first."""


def _fifo(number: int, _execution: Execution) -> int:
    return number


METHODS: dict[str, Method] = {"FIFO": _fifo}
"""By the name that an election is written down with."""

_Told = TypeVar("_Told", Execution, Commission)


class Term(StrEnum):
    """How long a lot was held, as the tax sees it: SHORT up to one year, LONG for more, UNKNOWN where its date is not known."""

    SHORT = "SHORT"
    LONG = "LONG"
    UNKNOWN = "UNKNOWN"


class Assumed(Execution):
    """The trade that an opening lot stands for, as if it were known: one purchase or sale at the broker's average cost."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of the execution that opened it. Money in `currency`.

    `cost` is the basis of what is left, commission in it; for a short (`signed_quantity` below zero) it is minus what its sale brought,
    commission off. `assumed` means that it was held when the books were opened: the time of its opening is only the latest possible.
    """

    opening: Execution
    signed_quantity: Decimal
    cost: Decimal
    provisional: bool

    @property
    def assumed(self) -> bool:
        """Whether it was held when the books were opened, by nobody knows which trade."""
        return isinstance(self.opening, Assumed)

    @property
    def account(self) -> str:
        """Whose it is."""
        return self.opening.account

    @property
    def con_id(self) -> int:
        """The broker's number of the instrument."""
        return self.opening.con_id

    @property
    def symbol(self) -> str:
        """The ticker."""
        return self.opening.symbol

    @property
    def currency(self) -> str:
        """What its money is in."""
        return self.opening.currency

    @property
    def opened_at(self) -> datetime:
        """When it was opened."""
        return self.opening.time

    @property
    def trade_key(self) -> str:
        """The execution that opened it."""
        return self.opening.key


@dataclass(frozen=True, slots=True)
class Closure:
    """A piece of a lot that a later execution closed. Money in `currency`, commissions in it; `quantity` is positive.

    `side` is that of the execution that closed: SELL for a long, BUY for a short. A loss is a negative gain. `assumed` as in Lot.
    """

    opening: Execution
    closing: Execution
    quantity: Decimal
    proceeds: Decimal
    cost_basis: Decimal
    term: Term
    provisional: bool

    @property
    def assumed(self) -> bool:
        """Whether it was held when the books were opened, by nobody knows which trade."""
        return isinstance(self.opening, Assumed)

    @property
    def account(self) -> str:
        """Whose it is."""
        return self.opening.account

    @property
    def con_id(self) -> int:
        """The broker's number of the instrument."""
        return self.opening.con_id

    @property
    def symbol(self) -> str:
        """The ticker."""
        return self.opening.symbol

    @property
    def currency(self) -> str:
        """What its money is in."""
        return self.opening.currency

    @property
    def opened_at(self) -> datetime:
        """When it was opened."""
        return self.opening.time

    @property
    def closed_at(self) -> datetime:
        """When it was closed."""
        return self.closing.time

    @property
    def side(self) -> Side:
        """The side that closed it."""
        return self.closing.side

    @property
    def gain(self) -> Decimal:
        """What it brought, less what it cost."""
        return self.proceeds - self.cost_basis

    @property
    def open_key(self) -> str:
        """The execution that opened it."""
        return self.opening.key

    @property
    def close_key(self) -> str:
        """The execution that closed it."""
        return self.closing.key


@dataclass(frozen=True, slots=True)
class Books:
    """Open lots in the order of their opening, closures in the order of their closing, and trades whose commission is not known."""

    lots: tuple[Lot, ...]
    closures: tuple[Closure, ...]
    unknown_commissions: frozenset[str]


@dataclass(frozen=True, slots=True)
class TaxTransaction:
    """A line for the tax records: what opened (no gain yet: None), or what one lot brought when it was closed. Money in `currency`.

    `trade_key` is the execution that this line is part of, `lot_key` the one that opened the lot.
    """

    type: Side
    ticker: str
    currency: str
    quantity: Decimal
    cost_basis: Decimal | None
    proceeds: Decimal | None
    gain: Decimal | None
    term: Term | None
    at: datetime
    trade_key: str
    lot_key: str
    provisional: bool


def book(
    executions: Iterable[Execution],
    commissions: Iterable[Commission],
    *,
    openings: Iterable[OpeningLot] = (),
    adjustments: Iterable[OpeningLot] = (),
    method: str = "FIFO",
    multipliers: Mapping[int, Decimal] | None = None,
    zone: tzinfo = EXCHANGE_ZONE,
) -> Books:
    """The books of every account and instrument in `executions`.

    `openings` were there before any of them; `adjustments` are differences to the broker that its owner took over, each a trade that nobody
    knows, at its time. Of an execution's revisions the highest counts, one of quantity zero is none; trades are taken by time, within one second by key.
    `multipliers` has the units per contract of those con_ids where it is not 1. Raises KeyError for an unknown `method`.
    """
    order, units, fees = METHODS[method], multipliers or {}, _latest(commissions)
    shelves: defaultdict[tuple[str, int], list[tuple[Any, int, _Deal]]] = defaultdict(list)
    closures: list[Closure] = []
    unknown: list[str] = []
    before = sorted(openings, key=lambda lot: (lot.account, lot.con_id))
    for number, opening in enumerate(before, start=-len(before)):
        deal = _Deal(_as_execution(opening), None, None)
        heappush(shelves[opening.account, opening.con_id], (order(number, deal.execution), number, deal))
    history = _latest(executions)
    history |= {
        one.key: one for a in adjustments for one in [_as_execution(a, f"adjustment-{a.at.isoformat()}")]
    }
    for number, key in enumerate(_in_time(history)):
        execution = history[key]
        assumed = isinstance(execution, Assumed)
        fee = None if assumed else _fee(execution, fees.get(key))
        if fee is None and not assumed:
            unknown.append(key)
        deal = _Deal(execution, fee, None if assumed else units.get(execution.con_id))
        shelf = shelves[execution.account, execution.con_id]
        while shelf and deal.left and shelf[0][2].side is not deal.side:
            lot = shelf[0][2]
            closures.append(_close(lot, deal, zone))
            if not lot.left:
                heappop(shelf)
        if deal.left:
            heappush(shelf, (order(number, execution), number, deal))
    kept = sorted((number, deal) for shelf in shelves.values() for _, number, deal in shelf)
    return Books(tuple(_lot(deal) for _, deal in kept), tuple(closures), frozenset(unknown))


def tax_transactions(books: Books) -> tuple[TaxTransaction, ...]:
    """A line for every known execution that opened (whole, however it was closed) and one for every closure, in time.

    The money of a trade's lines of its own side (basis of what it bought, proceeds of what it sold) adds up to that trade.
    """
    lines = [
        TaxTransaction(
            c.side, c.symbol, c.currency, c.quantity, c.cost_basis, c.proceeds, c.gain, c.term, c.closed_at, c.close_key, c.open_key, c.provisional,
        )
        for c in books.closures
    ]  # fmt: skip
    opened: dict[str, list[Closure | Lot]] = {}
    pieces: tuple[Closure | Lot, ...] = (*books.closures, *books.lots)
    for piece in pieces:
        if piece.assumed:
            continue  # nobody knows when and how it was opened: that was no trade of these books
        opened.setdefault(piece.opening.key, []).append(piece)
    lines += [_opening(key, pieces, key in books.unknown_commissions) for key, pieces in opened.items()]
    return tuple(sorted(lines, key=lambda line: (line.at, line.trade_key)))


def is_long_term(acquired: date, sold: date) -> bool:
    """Whether more than a year lies between: counted from the day after `acquired`, the day `sold` included.

    The count's first day comes again a year later, and from that day on the holding is long-term (Rev. Rul. 66-97; Publication 550,
    "Holding Period"). A count that starts on 29 February starts its second year on 1 March.
    """
    first = acquired + timedelta(days=1)
    try:
        again = first.replace(year=first.year + 1)
    except ValueError:
        again = date(first.year + 1, 3, 1)
    return sold >= again


class _Deal:
    """An execution whose quantity and commission are dealt out piece by piece."""

    __slots__ = ("execution", "fee", "fee_left", "known", "left", "price", "side")

    def __init__(
        self,
        execution: Execution,
        fee: Decimal | None,
        multiplier: Decimal | None,
    ) -> None:
        self.execution, self.side, self.left = execution, execution.side, execution.quantity
        self.price = execution.price if multiplier is None else execution.price * multiplier
        self.known = fee is not None
        self.fee = self.fee_left = fee or ZERO

    def take(self, quantity: Decimal) -> Decimal:
        """What `quantity` of the rest cost, or brought, with its part of the commission; the last piece takes all that is left."""
        self.left -= quantity
        fee, self.fee_left = self.fee_left, ZERO
        if fee and self.left:
            self.fee_left = (self.fee * self.left / self.execution.quantity).quantize(CENT)
            fee -= self.fee_left
        cost = self.price * quantity
        return cost + fee if self.side is Side.BUY else cost - fee


def _close(lot: _Deal, deal: _Deal, zone: tzinfo) -> Closure:
    """Match as much as possible of an open lot with the execution that closes it."""
    opening, closing = lot.execution, deal.execution
    quantity = min(lot.left, deal.left)
    first, second = lot.take(quantity), deal.take(quantity)
    if isinstance(closing, Assumed):
        second = first  # nobody knows what it brought: neither gain nor loss, and provisional
    known = lot.known and deal.known
    if lot.side is Side.SELL:
        return Closure(opening, closing, quantity, first, second, Term.SHORT, not known)
    term = _term(opening.time, closing.time, zone)
    if term is Term.SHORT and isinstance(opening, Assumed):
        term = Term.UNKNOWN  # it was held at that time, and who knows for how long before
    return Closure(opening, closing, quantity, second, first, term, not known)


def _lot(deal: _Deal) -> Lot:
    """What is still open of an execution."""
    quantity, sign = deal.left, deal.side.sign
    return Lot(deal.execution, quantity * sign, deal.take(quantity) * sign, not deal.known)


def _opening(key: str, pieces: list[Closure | Lot], provisional: bool) -> TaxTransaction:
    """The line of an execution that opened, from the pieces that its lot went into."""
    opening = pieces[0].opening
    side, quantity, money = opening.side, ZERO, ZERO
    for piece in pieces:
        if isinstance(piece, Lot):
            quantity += abs(piece.signed_quantity)
            money += piece.cost * side.sign
        else:
            quantity += piece.quantity
            money += piece.cost_basis if side is Side.BUY else piece.proceeds
    cost, proceeds = (money, None) if side is Side.BUY else (None, money)
    return TaxTransaction(
        side, opening.symbol, opening.currency, quantity, cost, proceeds, None, None, opening.time, key, key, provisional,
    )  # fmt: skip


def _as_execution(opening: OpeningLot, name: str = "opening") -> "Assumed":
    """What was there before, in the form of the execution that nobody knows; its key is like no execution's."""
    return Assumed(
        exec_id=f"{name}-{opening.account}-{opening.con_id}", account=opening.account, con_id=opening.con_id, symbol=opening.symbol,
        currency=opening.currency, side=Side.BUY if opening.signed_quantity > 0 else Side.SELL, quantity=abs(opening.signed_quantity),
        price=opening.average_cost, time=opening.at, client_id=0, order_id=0, perm_id=0, order_ref="",
    )  # fmt: skip


def _term(opened_at: datetime, closed_at: datetime, zone: tzinfo) -> Term:
    """The term of a long, by the days of the exchange; calendars are only asked near the year."""
    held = (closed_at - opened_at).days
    if held < 364:
        return Term.SHORT
    if held > 368:
        return Term.LONG
    return (
        Term.LONG
        if is_long_term(opened_at.astimezone(zone).date(), closed_at.astimezone(zone).date())
        else Term.SHORT
    )


def _latest(told: Iterable[_Told]) -> dict[str, _Told]:
    """By key, of everything told about one execution the highest revision; of equals the last."""
    latest: dict[str, _Told] = {}
    for one in told:
        key = one.key
        known = latest.setdefault(key, one)
        if known is not one and _revision(one) >= _revision(known):
            latest[key] = one
    return latest


def _revision(told: Execution | Commission) -> int:
    tail = told.exec_id.rpartition(".")[2]
    return int(tail) if tail.isdigit() else 0


def in_time(executions: Iterable[Execution]) -> list[Execution]:
    """What truly happened, oldest first: of an execution's revisions the highest, and none of quantity zero."""
    history = _latest(executions)
    return [history[key] for key in _in_time(history)]


def _in_time(history: Mapping[str, Execution]) -> list[str]:
    """The keys of what truly happened (a quantity of zero takes an execution back), oldest first."""
    keys = sorted(key for key, execution in history.items() if execution.quantity)
    keys.sort(key=lambda key: history[key].time)
    return keys


def _fee(execution: Execution, commission: Commission | None) -> Decimal | None:
    """What the execution cost in its own currency; None where that is not known."""
    if commission is None or commission.currency != execution.currency or not commission.amount.is_finite():
        return None
    return commission.amount
