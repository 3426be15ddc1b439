"""Lots and closures, derived from executions and what they cost: one engine, and a table of methods that only order the lots.

Every execution deals its quantity out in pieces: what closes older lots of the other side, and what is left opens a lot. Its commission
is dealt out with it, in cents by what is left, the last piece taking the remainder: so pieces always add up to the execution, exactly.
A commission goes into the basis of what is bought and off the proceeds of what is sold (IRS Publication 550, "Basis of Investment
Property"). One that is not known, or not in the currency of the trade, is counted as not known yet: the figures say `provisional`.

Of a combination its legs count here, not its whole. A price is per unit, so a contract counts with its multiplier. An option that expires
closes at nothing; one that is exercised or assigned closes without a gain, and what it cost or brought goes over into the shares that
moved, lot by lot: into the basis of those bought, off or onto the proceeds of those sold (Publication 550, "Puts and Calls").

What was held before executions were known comes first, as lots of the broker's average cost: provisional for good, since neither
their true basis nor their date is known here.

The books are a function of the executions and these lots alone: neither their order nor their repetition changes anything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from core.exercise import Ending, How
from core.exercise import endings as endings_of
from core.model import Commission, Execution, OpeningLot, OptionTerms, Side

ZERO, ONE, CENT = Decimal(0), Decimal(1), Decimal("0.01")
EXCHANGE_ZONE = ZoneInfo("America/New_York")
"""Whose calendar says on which day a trade was: the trade date counts, not the day in UTC."""

Method = Callable[[int, Execution], Any]
"""The sort key of a lot, from the number of its execution in time and the execution: the smallest is closed first."""


def _fifo(number: int, _execution: Execution) -> int:
    return number


METHODS: dict[str, Method] = {"FIFO": _fifo}
"""By the name that an election is written down with."""

_Told = TypeVar("_Told", Execution, Commission)
BUY, SELL = Side.BUY, Side.SELL
"""As names of their own: a member of an enumeration is slow to look up (60 ns in Python 3.11), and it is done for every piece."""


class Term(StrEnum):
    """How long a lot was held, as the tax sees it: SHORT up to one year, LONG for more, UNKNOWN where its date is not known.

    MIXED is section 1256: six tenths long-term and four tenths short-term, however long it was held.
    """

    SHORT = "SHORT"
    LONG = "LONG"
    MIXED = "MIXED"
    UNKNOWN = "UNKNOWN"


SHORT = Term.SHORT
BROAD_INDEXES = frozenset({"SPX", "XSP", "OEX", "XEO", "NDX", "XND", "RUT", "MRUT", "DJX", "VIX"})
"""Their options are nonequity options under section 1256 (b) of the tax code: on broad indexes, not on shares or narrow ones."""


def is_section_1256(symbol: str, option: OptionTerms | None) -> bool:
    """Whether it is an option on a broad index, which the tax knows neither as short-term nor as long-term."""
    return option is not None and symbol in BROAD_INDEXES


class Assumed(Execution):
    """The trade that an opening lot stands for, as if it were known: one purchase or sale at the broker's average cost.

    Its price is that of a whole contract.
    """

    __slots__ = ()

    @property
    def multiplier(self) -> Decimal:
        """The broker's average cost has it in it already."""
        return ONE


class _Opened:
    """What a lot and a piece of one say of the execution that opened them."""

    __slots__ = ()

    opening: Execution

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
    def option(self) -> OptionTerms | None:
        """Which option it is; None for shares."""
        return self.opening.option

    @property
    def label(self) -> str:
        """Its name in the chat."""
        return self.opening.label

    @property
    def section_1256(self) -> bool:
        """Whether it is taxed by section 1256: options on broad indexes."""
        return is_section_1256(self.opening.symbol, self.opening.option)

    @property
    def currency(self) -> str:
        """What its money is in."""
        return self.opening.currency

    @property
    def opened_at(self) -> datetime:
        """When it was opened."""
        return self.opening.time


@dataclass(frozen=True, slots=True)
class Lot(_Opened):
    """What is left of the execution that opened it. Money in `currency`.

    `cost` is the basis of what is left, commission in it; for a short (`signed_quantity` below zero) it is minus what its sale brought,
    commission off. `assumed` means that it was held when the books were opened: the time of its opening is only the latest possible.
    `how` it came: shares that an exercise or an assignment brought have the option's premium in their cost.
    """

    opening: Execution
    signed_quantity: Decimal
    cost: Decimal
    provisional: bool
    how: How = How.TRADED

    @property
    def trade_key(self) -> str:
        """The execution that opened it."""
        return self.opening.key


@dataclass(frozen=True, slots=True)
class Closure(_Opened):
    """A piece of a lot that a later execution closed. Money in `currency`, commissions in it; `quantity` is positive.

    `side` is that of the execution that closed: SELL for a long, BUY for a short. A loss is a negative gain. `assumed` as in Lot.
    `how` it was closed. An option that was exercised or assigned has no gain (proceeds and basis are the same); `moved` is what went over
    into the shares: what the option had cost, or, below zero, what it had brought. Shares that closed so have it in their figures.
    """

    opening: Execution
    closing: Execution
    quantity: Decimal
    proceeds: Decimal
    cost_basis: Decimal
    term: Term
    provisional: bool
    how: How = How.TRADED
    moved: Decimal = ZERO

    @property
    def closed_at(self) -> datetime:
        """When it was closed."""
        return self.closing.time

    @property
    def closed_on(self) -> date:
        """The day that the tax goes by: the exchange's; of an expired option its last day at the latest."""
        day = self.closing.time.astimezone(EXCHANGE_ZONE).date()
        return min(day, self.option.expiry) if self.how is How.EXPIRED and self.option else day

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
    """Open lots in the order of their opening, closures in the order of their closing, and trades whose commission is not known.

    `unsure` are these, and shares that moved by an option whose premium is not known, or is not surely theirs. `hows` has, by key, what
    was no trade but the end of an option, or shares that moved by it.
    """

    lots: tuple[Lot, ...]
    closures: tuple[Closure, ...]
    unknown_commissions: frozenset[str]
    unsure: frozenset[str] = frozenset()
    hows: Mapping[str, How] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaxTransaction:
    """A line for the tax records: what opened (no gain yet: None), or what one lot brought when it was closed. Money in `currency`.

    `trade_key` is the execution that this line is part of, `lot_key` the one that opened the lot. `how` and `moved` as in Closure: an
    option that was exercised or assigned is no sale of its own. `label` is what was traded in full, `section_1256` an option on a broad index.
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
    label: str = ""
    how: How = How.TRADED
    moved: Decimal = ZERO
    section_1256: bool = False


def book(
    executions: Iterable[Execution],
    commissions: Iterable[Commission],
    *,
    openings: Iterable[OpeningLot] = (),
    adjustments: Iterable[OpeningLot] = (),
    method: str = "FIFO",
    zone: tzinfo = EXCHANGE_ZONE,
) -> Books:
    """The books of every account and instrument in `executions`.

    `openings` were there before any of them; `adjustments` are differences to the broker that its owner took over, each a trade that nobody
    knows, at its time. Of an execution's revisions the highest counts, one of quantity zero is none; trades are taken by time, within one second by key.
    A combination's own execution counts for nothing, those of its legs do. What the broker charges nothing for (the end of an option and
    the shares that it moves) needs no report of a commission. Raises KeyError for an unknown `method`.
    """
    order, fees = METHODS[method], _latest(commissions)
    shelves: defaultdict[tuple[str, int], list[tuple[Any, int, _Deal]]] = defaultdict(list)
    closures: list[Closure] = []
    unknown: list[str] = []
    unsure: set[str] = set()
    before = sorted(openings, key=lambda lot: (lot.account, lot.con_id))
    for number, opening in enumerate(before, start=-len(before)):
        deal = _Deal(_as_execution(opening), None)
        heappush(shelves[opening.account, opening.con_id], (order(number, deal.execution), number, deal))
    history = _latest(executions)
    ended = _ended(history)
    history |= {
        one.key: one for a in adjustments for one in [_as_execution(a, f"adjustment-{a.at.isoformat()}")]
    }
    numbers = count()

    def settle(deal: _Deal) -> None:
        execution, side = deal.execution, deal.side
        shelf = shelves[execution.account, execution.con_id]
        while shelf and deal.left:
            lot = shelf[0][2]
            if lot.side is side:
                break
            closures.append(_close(lot, deal, zone))
            if not lot.left:
                heappop(shelf)
        if deal.left:
            number = next(numbers)
            heappush(shelf, (order(number, execution), number, deal))

    for key in _in_time(history):
        execution = history[key]
        if ended and key in ended:
            if not ended[key].is_settled_by(key):
                continue  # the end of an option is settled right before the shares that it moves
            deals = _end(ended[key], fees, unknown)
            settle(next(deals))
            for deal in deals:
                if not deal.known:
                    unsure.add(deal.execution.key)
                settle(deal)
        elif isinstance(execution, Assumed):
            settle(_Deal(execution, None))
        elif execution.kind != "BAG":
            fee = _fee(execution, fees.get(key))
            if fee is None:
                unknown.append(key)
            settle(_Deal(execution, fee))
    kept = sorted((number, deal) for shelf in shelves.values() for _, number, deal in shelf)
    hows = {key: ending.how for key, ending in ended.items()}
    lots = tuple(_lot(deal) for _, deal in kept)
    return Books(lots, tuple(closures), frozenset(unknown), frozenset(unsure.union(unknown)), hows)


def tax_transactions(books: Books) -> tuple[TaxTransaction, ...]:
    """A line for every known execution that opened (whole, however it was closed) and one for every closure, in time.

    The money of a trade's lines of its own side (basis of what it bought, proceeds of what it sold) adds up to that trade, and for shares
    that moved by an option, to that and its premium.
    """
    lines = [
        TaxTransaction(
            c.side, c.symbol, c.currency, c.quantity, c.cost_basis, c.proceeds, c.gain, c.term, c.closed_at, c.close_key, c.open_key, c.provisional,
            c.label, c.how, c.moved, c.section_1256,
        )
        for c in books.closures
    ]  # fmt: skip
    opened: dict[str, list[Closure | Lot]] = {}
    pieces: tuple[Closure | Lot, ...] = (*books.closures, *books.lots)
    for piece in pieces:
        if piece.assumed:
            continue  # nobody knows when and how it was opened: that was no trade of these books
        opened.setdefault(piece.opening.key, []).append(piece)
    lines += [
        _opening(key, pieces, key in books.unsure, books.hows.get(key, How.TRADED))
        for key, pieces in opened.items()
    ]
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
    """An execution whose quantity and commission are dealt out piece by piece. Commission and premium of it are `fee`."""

    __slots__ = ("execution", "fee", "fee_left", "known", "left", "price", "side", "whole")
    how = How.TRADED
    over: list[tuple[Decimal, Decimal, bool]] | None = None

    def __init__(self, execution: Execution, fee: Decimal | None) -> None:
        self.execution, self.side = execution, execution.side
        self.whole = self.left = execution.quantity
        self.price = execution.price if execution.option is None else execution.price * execution.multiplier
        self.known = fee is not None
        self.fee = self.fee_left = fee or ZERO

    def take(self, quantity: Decimal) -> Decimal:
        """What `quantity` of the rest cost, or brought, with its part of the commission; the last piece takes all that is left."""
        fee = self.fee_left
        if quantity is self.left:  # the whole of it: nothing to reckon
            self.left = self.fee_left = ZERO
        else:
            self.left = left = self.left - quantity
            self.fee_left = (self.fee * left / self.whole).quantize(CENT) if fee and left else ZERO
            fee -= self.fee_left
        cost = self.price * quantity
        return cost + fee if self.side is BUY else cost - fee


class _End(_Deal):
    """The end of an option; where shares move with it, `over` is (shares, what they cost more for it, whether that is known) by lot."""

    __slots__ = ("how", "over")

    def __init__(self, ending: Ending, fee: Decimal | None) -> None:
        super().__init__(ending.option, fee)
        self.how = ending.how
        self.over = None if ending.shares is None else []
        self.known = self.known and not ending.doubtful


class _Part(_Deal):
    """Some of the shares that the end of an option moved; what it cost or brought is in the `fee`."""

    __slots__ = ("how",)

    def __init__(self, shares: Execution, quantity: Decimal, fee: Decimal | None, how: How) -> None:
        super().__init__(shares, fee)
        self.whole = self.left = quantity
        self.how = how


def _ended(history: Mapping[str, Execution]) -> dict[str, Ending]:
    """The ends of options, each by its own key and by that of the shares that it moved."""
    if "OPT" not in {execution.kind for execution in history.values()}:
        return {}
    found: dict[str, Ending] = {}
    for ending in endings_of(history.values()):
        found[ending.option.key] = ending
        if ending.shares is not None:
            found[ending.shares.key] = ending
    return found


def _end(ending: Ending, fees: Mapping[str, Commission], unknown: list[str]) -> Iterator[_Deal]:
    """The end of an option, and when that has met its lots, a part of the shares for each of them, with the premium that comes over.

    The broker takes no commission for either, so none that is told is none; one that cannot be added is unknown as ever.
    """
    option, shares = ending.option, ending.shares
    fee, share_fee = (
        ZERO if one is None or one.key not in fees else _fee(one, fees[one.key]) for one in (option, shares)
    )
    unknown += [one.key for one, paid in ((option, fee), (shares, share_fee)) if one and paid is None]
    end = _End(ending, fee)
    yield end
    if shares is None or end.over is None:
        return
    rest = shares.quantity - sum((quantity for quantity, _, _ in end.over), ZERO)
    if rest:
        end.over.append((rest, ZERO, False))  # of an option that these books know nothing of
    cost = _Deal(shares, share_fee)
    for quantity, moved, known in end.over:
        before = cost.fee_left
        cost.take(quantity)
        part = _Part(shares, quantity, before - cost.fee_left + moved, ending.how)
        part.known = known and cost.known
        yield part


def _close(lot: _Deal, deal: _Deal, zone: tzinfo) -> Closure:
    """Match as much as possible of an open lot with the execution that closes it."""
    opening, closing = lot.execution, deal.execution
    quantity = min(lot.left, deal.left)
    first, second = lot.take(quantity), deal.take(quantity)
    known, moved = lot.known and deal.known, ZERO
    if deal.over is not None:
        moved = (first - second) * lot.side.sign
        deal.over.append((quantity * closing.multiplier, moved, known))
        second = first
    elif isinstance(closing, Assumed):
        second = first  # nobody knows what it brought: neither gain nor loss, and provisional
    if opening.option is not None:
        term = _option_term(lot, deal, zone)
    elif lot.side is SELL:
        term = SHORT
    else:
        term = _term(opening.time, closing.time, zone)
    if lot.side is SELL:
        return Closure(opening, closing, quantity, first, second, term, not known, deal.how, moved)
    if term is SHORT and isinstance(opening, Assumed):
        term = Term.UNKNOWN  # it was held at that time, and who knows for how long before
    return Closure(opening, closing, quantity, second, first, term, not known, deal.how, moved)


def _option_term(lot: _Deal, deal: _Deal, zone: tzinfo) -> Term:
    """That of an option: an expired one was held until its last day, whenever the broker books it; one that was written is short-term."""
    opening, option = lot.execution, lot.execution.option
    if is_section_1256(opening.symbol, option):
        return Term.MIXED
    if lot.side is Side.SELL:
        return Term.SHORT
    if deal.how is not How.EXPIRED or option is None:
        return _term(opening.time, deal.execution.time, zone)
    ended = min(option.expiry, deal.execution.time.astimezone(zone).date())
    return Term.LONG if is_long_term(opening.time.astimezone(zone).date(), ended) else Term.SHORT


def _lot(deal: _Deal) -> Lot:
    """What is still open of an execution."""
    quantity, sign = deal.left, deal.side.sign
    overshot = (
        deal.how is not How.TRADED and deal.execution.option is not None
    )  # more ended than was held here
    how = How.TRADED if overshot else deal.how
    return Lot(deal.execution, quantity * sign, deal.take(quantity) * sign, overshot or not deal.known, how)


def _opening(key: str, pieces: list[Closure | Lot], provisional: bool, how: How) -> TaxTransaction:
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
        opening.label, how, ZERO, pieces[0].section_1256,
    )  # fmt: skip


def _as_execution(opening: OpeningLot, name: str = "opening") -> "Assumed":
    """What was there before, in the form of the execution that nobody knows; its key is like no execution's."""
    return Assumed(
        exec_id=f"{name}-{opening.account}-{opening.con_id}", account=opening.account, con_id=opening.con_id, symbol=opening.symbol,
        currency=opening.currency, side=Side.BUY if opening.signed_quantity > 0 else Side.SELL, quantity=abs(opening.signed_quantity),
        price=opening.average_cost, time=opening.at, client_id=0, order_id=0, perm_id=0, order_ref="",
        kind="STK" if opening.option is None else "OPT", option=opening.option,
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
