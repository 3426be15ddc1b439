"""Lots and closures: worked examples, the calendar of the holding period, and any book against a naive one that moves single shares."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.exercise import How
from core.lots import Books, TaxTransaction, Term, book, is_long_term, tax_transactions
from core.model import Commission, Execution, OpeningLot, OptionTerms, Right, Side

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)


def fill(
    number: int,
    side: str,
    quantity: str,
    price: str,
    at: datetime | None = None,
    con_id: int = 1,
    revision: int = 1,
    account: str = "DU1",
) -> Execution:
    return Execution(
        exec_id=f"0000e0d5.{number:06}.01.{revision:02}", account=account, con_id=con_id, symbol=f"S{con_id}", currency="USD",
        side=Side(side), quantity=Decimal(quantity), price=Decimal(price), time=at or NOON + timedelta(minutes=number), client_id=0,
        order_id=number, perm_id=number, order_ref="",
    )  # fmt: skip


CALL = OptionTerms(date(2026, 3, 2), Decimal(50), Right.CALL)
PUT = replace(CALL, right=Right.PUT)


def option(
    number: int, side: str, contracts: str, price: str, terms: OptionTerms = CALL, at: datetime | None = None
) -> Execution:
    """A trade of an option on S1."""
    con_id = 11 if terms.right is Right.CALL else 12
    return replace(fill(number, side, contracts, price, at), con_id=con_id, kind="OPT", option=terms)


def end(
    number: int, side: str, contracts: str = "1", terms: OptionTerms = CALL, at: datetime | None = None
) -> Execution:
    """The broker's close of an option at nothing, by no order: SELL ends a long, BUY a short."""
    return replace(option(number, side, contracts, "0", terms, at), order_id=0, perm_id=0)


def moved(
    number: int, side: str, quantity: str = "100", price: str = "50", at: datetime | None = None
) -> Execution:
    """Shares that the end of an option moved, told in the second of the execution before."""
    when = at or NOON + timedelta(minutes=number - 1)
    return replace(fill(number, side, quantity, price, when), order_id=0, perm_id=0)


def fees(executions: Sequence[Execution], amount: str = "1.00") -> list[Commission]:
    return [Commission(execution.exec_id, Decimal(amount), "USD") for execution in executions]


def booked(*executions: Execution, fee: str = "1.00") -> Books:
    return book(executions, fees(executions, fee))


def row(*numbers: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(number) for number in numbers)


def money(books: Books) -> list[tuple[Decimal, ...]]:
    """(quantity, basis, proceeds, gain) of every closure."""
    return [(c.quantity, c.cost_basis, c.proceeds, c.gain) for c in books.closures]


def left(books: Books) -> list[tuple[Decimal, ...]]:
    """(signed quantity, cost) of every lot."""
    return [(lot.signed_quantity, lot.cost) for lot in books.lots]


def test_round_trip() -> None:
    """A commission adds to what was bought and takes from what was sold: 1,000 in, 1,200 out, two commissions of 1."""
    books = booked(fill(1, "BUY", "100", "10"), fill(2, "SELL", "100", "12"))
    assert money(books) == [row("100", "1001.00", "1199.00", "198.00")]
    assert books.lots == ()
    only = books.closures[0]
    assert (only.side, only.term, only.symbol, only.currency) == (Side.SELL, Term.SHORT, "S1", "USD")
    assert (only.open_key, only.close_key) == ("0000e0d5.000001.01", "0000e0d5.000002.01")
    assert not only.provisional


def test_first_in_first_out() -> None:
    """A sale closes the oldest lots first, whole and then in part."""
    books = booked(
        fill(1, "BUY", "100", "10"), fill(2, "BUY", "100", "20"), fill(3, "SELL", "150", "30"), fee="0"
    )
    assert money(books) == [
        row("100", "1000", "3000", "2000"), row("50", "1000", "1500", "500"),
    ]  # fmt: skip
    assert left(books) == [row("50", "1000")]


def test_last_piece_takes_the_remainder() -> None:
    """A commission of 1.00 on three shares sold one by one goes out as cents that add up to 1.00."""
    books = booked(fill(1, "BUY", "3", "10"), *(fill(n, "SELL", "1", "11") for n in (2, 3, 4)))
    parts = [closure.cost_basis - 10 for closure in books.closures]
    assert sorted(parts) == [Decimal("0.33"), Decimal("0.33"), Decimal("0.34")]
    odd = booked(
        fill(1, "BUY", "300", "10"), *(fill(n, "SELL", "1", "11") for n in range(2, 302)), fee="0.3462"
    )
    assert sum(closure.cost_basis for closure in odd.closures) == Decimal("3000.3462")


def test_short() -> None:
    """Sold first and bought back: the sale is the proceeds, the purchase the basis, and the gain is short-term however long it took."""
    books = booked(fill(1, "SELL", "100", "50"), fill(2, "BUY", "40", "45", NOON + timedelta(days=800)))
    assert money(books) == [row("40", "1801.00", "1999.60", "198.60")]
    assert (books.closures[0].side, books.closures[0].term) == (Side.BUY, Term.SHORT)
    assert left(books) == [row("-60", "-2999.40")]


def test_through_zero() -> None:
    """A sale larger than the holding closes it and opens a short; its commission is split by shares."""
    books = booked(fill(1, "BUY", "100", "10"), fill(2, "SELL", "150", "12"), fee="3.00")
    assert money(books) == [row("100", "1003.00", "1198.00", "195.00")]
    assert left(books) == [row("-50", "-599.00")]
    assert books.lots[0].trade_key == books.closures[0].close_key


def test_same_day_by_time() -> None:
    """Two purchases of one day are closed in the order of their time, whatever order they are told in."""
    late, early = fill(1, "BUY", "10", "20", NOON), fill(2, "BUY", "10", "10", NOON - timedelta(seconds=1))
    sale = fill(3, "SELL", "10", "30", NOON + timedelta(seconds=1))
    assert money(booked(sale, late, early, fee="0")) == [row("10", "100", "300", "200")]


def test_instruments_and_accounts_apart() -> None:
    """A sale of one instrument, or in one account, never closes a lot of another."""
    books = booked(
        fill(1, "BUY", "10", "10"),
        fill(2, "SELL", "10", "10", con_id=2),
        fill(3, "SELL", "10", "10", account="DU2"),
    )
    assert books.closures == ()
    assert [(lot.con_id, lot.account, lot.signed_quantity) for lot in books.lots] == [
        (1, "DU1", Decimal(10)), (2, "DU1", Decimal(-10)), (1, "DU2", Decimal(-10)),
    ]  # fmt: skip


def test_unknown_commission_is_provisional() -> None:
    """Without its commission a figure stands, but says that it is not final; each side's report settles its own part."""
    buy, sell = fill(1, "BUY", "10", "10"), fill(2, "SELL", "5", "12")
    none, one, both = (book([buy, sell], fees(known)) for known in ([], [buy], [buy, sell]))
    assert [(b.closures[0].provisional, b.lots[0].provisional) for b in (none, one, both)] == [
        (True, True), (True, False), (False, False),
    ]  # fmt: skip
    assert none.unknown_commissions == {buy.key, sell.key}
    assert [line.provisional for line in tax_transactions(one)] == [False, True]


@pytest.mark.parametrize("odd", [("1.00", "EUR"), ("NaN", "USD"), ("Infinity", "USD")])
def test_commission_that_cannot_be_added(odd: tuple[str, str]) -> None:
    """One in another currency, or that is no number, is not known yet rather than added up."""
    buy = fill(1, "BUY", "10", "10")
    lot = book([buy], [Commission(buy.exec_id, Decimal(odd[0]), odd[1])]).lots[0]
    assert (lot.provisional, lot.cost) == (True, Decimal(100))


def test_commission_of_nothing_and_less() -> None:
    """A commission of zero is known, and a rebate lowers the basis."""
    assert not booked(fill(1, "BUY", "10", "10"), fee="0").lots[0].provisional
    assert left(booked(fill(1, "BUY", "10", "10"), fee="-0.25")) == [row("10", "99.75")]


def test_corrections() -> None:
    """The highest revision of an execution counts, with the commission that is known for it; a quantity of zero takes it back."""
    wrong, right = fill(1, "BUY", "10", "10"), fill(1, "BUY", "10", "9", revision=2)
    for told in ([wrong, right], [right, wrong], [wrong, right, right]):
        assert left(book(told, fees([wrong]))) == [row("10", "91.00")]
    assert left(book([right], [*fees([right], "2.00"), *fees([wrong], "1.00")])) == [row("10", "92.00")]
    assert book([wrong, fill(1, "BUY", "0", "10", revision=2)], []) == Books((), (), frozenset())


def test_multiplier() -> None:
    """A contract of 100 units costs 100 times its price."""
    trades = [option(1, "BUY", "2", "1.50"), option(2, "SELL", "2", "2.00")]
    assert money(booked(*trades)) == [row("2", "301.00", "399.00", "98.00")]


def held(quantity: str, average_cost: str, at: datetime = NOON, con_id: int = 1) -> OpeningLot:
    return OpeningLot("DU1", con_id, f"S{con_id}", "USD", Decimal(quantity), Decimal(average_cost), at)


def test_held_before() -> None:
    """What was there before comes first in line, at the broker's cost: its sale has a basis, is no short, and stays provisional."""
    trades = [fill(1, "BUY", "10", "20"), fill(2, "SELL", "45", "30")]
    books = book(trades, fees(trades), openings=[held("40", "12.5")])
    assert money(books) == [
        row("40", "500.0", "1199.11", "699.11"), row("5", "100.50", "149.89", "49.39"),
    ]  # fmt: skip
    assert [(c.assumed, c.provisional, c.term) for c in books.closures] == [
        (True, True, Term.UNKNOWN), (False, False, Term.SHORT),
    ]  # fmt: skip
    assert left(books) == [row("5", "100.50")]
    assert books.unknown_commissions == frozenset()


def test_held_before_and_still() -> None:
    """What is left of it is a lot like any other, marked."""
    sale = fill(1, "SELL", "15", "30")
    (lot,) = book([sale], fees([sale]), openings=[held("40", "12.5")]).lots
    assert (lot.signed_quantity, lot.cost, lot.assumed, lot.provisional) == (
        Decimal(25), Decimal("312.5"), True, True,
    )  # fmt: skip


def test_short_held_before() -> None:
    """A short that was there before is bought back at a gain, short-term as every short."""
    buy = fill(1, "BUY", "40", "10")
    (closure,) = book([buy], fees([buy]), openings=[held("-40", "12.5")]).closures
    assert (closure.gain, closure.term, closure.side) == (Decimal("99.0"), Term.SHORT, Side.BUY)


@pytest.mark.parametrize(
    ("days", "term"), [(-1, Term.UNKNOWN), (365, Term.UNKNOWN), (366, Term.LONG), (2000, Term.LONG)]
)
def test_term_of_what_was_held_before(days: int, term: Term) -> None:
    """Held for more than a year since it was first seen is long-term; anything less may be either."""
    sale = fill(1, "SELL", "1", "1", NOON + timedelta(days=days))
    assert book([sale], fees([sale]), openings=[held("1", "1")]).closures[0].term is term


def test_held_before_is_no_transaction() -> None:
    """The tax records have its sale, tied to its lot, and no purchase on a day when nobody bought."""
    sale = fill(1, "SELL", "15", "30")
    (line,) = tax_transactions(book([sale], fees([sale]), openings=[held("40", "12.5")]))
    assert (line.type, line.cost_basis, line.gain, line.provisional) == (
        Side.SELL, Decimal("187.5"), Decimal("261.50"), True,
    )  # fmt: skip
    assert line.trade_key == sale.key
    assert line.lot_key == "opening-DU1-1"


def test_held_before_in_any_order() -> None:
    """Several of them are booked the same however they are told, each for its own instrument."""
    before = [held("1", "5", con_id=2), held("2", "6", con_id=1)]
    assert book([], [], openings=before) == book([], [], openings=before[::-1])


def test_unknown_method() -> None:
    """A method that does not exist is an error, not FIFO."""
    with pytest.raises(KeyError):
        book([], [], method="BEST")


@pytest.mark.parametrize(
    ("acquired", "sold", "long_term"),
    [
        ("2008-02-05", "2009-02-05", False), ("2008-02-05", "2009-02-06", True),  # IRS Publication 550, "Holding Period", its example
        ("2012-09-19", "2013-09-19", False), ("2012-09-19", "2013-09-20", True),  # J.K. Lasser's Your Income Tax 2013, 5.9, example 1
        ("2011-03-15", "2012-03-15", False), ("2011-03-15", "2012-03-16", True),  # over a 29 February: 366 days are one year
        ("2005-01-01", "2006-01-01", False), ("2005-01-01", "2006-01-02", True),
        ("2023-12-31", "2024-12-31", False), ("2023-12-31", "2025-01-01", True),
        ("2024-02-29", "2025-02-28", False), ("2024-02-29", "2025-03-01", True),  # acquired on a leap day
        ("2024-02-28", "2025-02-28", False), ("2024-02-28", "2025-03-01", True),  # the count starts on a leap day
        ("2023-02-28", "2024-02-28", False), ("2023-02-28", "2024-02-29", False), ("2023-02-28", "2024-03-01", True),  # month end to month end (Rev. Rul. 66-7)
        ("2023-03-01", "2024-03-01", False), ("2023-03-01", "2024-03-02", True),
        ("2024-05-05", "2024-05-05", False), ("2020-02-29", "2024-02-29", True),
    ],
)  # fmt: skip
def test_holding_period(acquired: str, sold: str, long_term: bool) -> None:
    """More than a year, counted from the day after the purchase: the same on paper and in the books."""
    first, last = date.fromisoformat(acquired), date.fromisoformat(sold)
    assert is_long_term(first, last) is long_term
    open_at, close_at = (datetime(d.year, d.month, d.day, 15, 0, tzinfo=UTC) for d in (first, last))
    books = booked(
        fill(1, "BUY", "1", "1", open_at), fill(2, "SELL", "1", "2", close_at + timedelta(minutes=1))
    )
    assert books.closures[0].term is (Term.LONG if long_term else Term.SHORT)


def test_day_of_the_exchange() -> None:
    """A trade after eight in the evening in New York is tomorrow in UTC, but the tax goes by the exchange's day."""
    evening = datetime(2025, 1, 11, 0, 30, tzinfo=UTC)  # 10 January, 19:30 in New York
    sold = datetime(2026, 1, 11, 15, 0, tzinfo=UTC)  # 11 January: a year and a day later
    assert (
        booked(fill(1, "BUY", "1", "1", evening), fill(2, "SELL", "1", "1", sold)).closures[0].term
        is Term.LONG
    )
    dusk = datetime(2026, 1, 11, 0, 30, tzinfo=UTC)
    assert (
        booked(fill(1, "BUY", "1", "1", evening), fill(2, "SELL", "1", "1", dusk)).closures[0].term
        is Term.SHORT
    )


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(-3, 3))
def test_a_year_is_365_or_366_days(acquired: date, off: int) -> None:
    """Long-term starts 366 days after the purchase, 367 where a 29 February is among the days counted, and stays."""
    counted = [acquired + timedelta(days=n) for n in range(1, 367)]
    first = 367 if any((d.month, d.day) == (2, 29) for d in counted[:365]) else 366
    assert is_long_term(acquired, acquired + timedelta(days=first + off)) is (off >= 0)


def test_tax_transactions() -> None:
    """Every opening is a line without a gain, every closed lot one with it, in time, tied to trade and lot."""
    trades = [fill(1, "BUY", "100", "10"), fill(2, "SELL", "60", "12"), fill(3, "SELL", "60", "13")]
    lines = tax_transactions(book(trades, fees(trades)))
    keys = [trade.key for trade in trades]
    told = [
        (
            line.type.value,
            str(line.quantity),
            line.cost_basis,
            line.proceeds,
            line.gain,
            line.trade_key,
            line.lot_key,
        )
        for line in lines
    ]
    assert told == [
        ("BUY", "100", Decimal("1001.00"), None, None, keys[0], keys[0]),
        ("SELL", "60", Decimal("600.60"), Decimal("719.00"), Decimal("118.40"), keys[1], keys[0]),
        ("SELL", "40", Decimal("400.40"), Decimal("519.33"), Decimal("118.93"), keys[2], keys[0]),
        ("SELL", "20", None, Decimal("259.67"), None, keys[2], keys[2]),
    ]
    assert [line.at for line in lines] == [trades[n].time for n in (0, 1, 2, 2)]
    assert {line.ticker for line in lines} == {"S1"}


trades_of_a_book = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 12),
        st.decimals("0.01", "400", places=2),
        st.integers(0, 6),  # minutes since the one before: none is common
        st.integers(1, 2),
        st.one_of(st.none(), st.decimals("-1", "5", places=4)),
    ),
    max_size=40,
)
Rows = list[tuple[str, int, Decimal, int, int, Decimal | None]]


def history(rows: Rows) -> tuple[list[Execution], list[Commission]]:
    at, executions, commissions = NOON, [], []
    for number, (side, quantity, price, minutes, con_id, fee) in enumerate(rows):
        at += timedelta(minutes=minutes)
        executions.append(fill(number, side, str(quantity), str(price), at, con_id))
        if fee is not None:
            commissions.append(Commission(executions[-1].exec_id, fee, "USD"))
    return executions, commissions


def share_by_share(
    executions: Sequence[Execution], commissions: Sequence[Commission]
) -> dict[tuple[str, str], tuple[int, Fraction]]:
    """The oracle: every share is its own lot, with an exact part of the commission. (open key, close key) -> (shares, gain)."""
    cost = {c.key: Fraction(c.amount) for c in commissions}
    waiting: dict[int, deque[tuple[Side, str, Fraction]]] = defaultdict(deque)
    told: dict[tuple[str, str], tuple[int, Fraction]] = {}
    for e in executions:
        each = Fraction(e.price) * -e.side.sign - cost.get(e.key, Fraction(0)) / int(e.quantity)
        for _ in range(int(e.quantity)):
            shares = waiting[e.con_id]
            if shares and shares[0][0] is not e.side:
                _, key, paid = shares.popleft()
                count, gain = told.get((key, e.key), (0, Fraction(0)))
                told[key, e.key] = (count + 1, gain + paid + each)
            else:
                shares.append((e.side, e.key, each))
    return told


@given(trades_of_a_book)
def test_agrees_with_single_shares(rows: Rows) -> None:
    """The same shares meet as when each is moved alone, and every gain is right to the cents that its commissions are dealt in."""
    executions, commissions = history(rows)
    told = {
        (c.open_key, c.close_key): (int(c.quantity), c.gain) for c in book(executions, commissions).closures
    }
    expected = share_by_share(executions, commissions)
    assert {pair: count for pair, (count, _) in told.items()} == {
        pair: count for pair, (count, _) in expected.items()
    }
    assert all(
        abs(Fraction(gain) - expected[pair][1]) <= Fraction(2, 100) for pair, (_, gain) in told.items()
    )


@given(trades_of_a_book)
def test_everything_ties(rows: Rows) -> None:
    """No share and no hundredth of a cent gets lost: in lots, in closures, and in every single trade of the tax records."""
    executions, commissions = history(rows)
    cost = {c.key: c.amount for c in commissions}
    books = book(executions, commissions)
    bought = sum((e.quantity * e.side.sign for e in executions), Decimal(0))
    assert sum((lot.signed_quantity for lot in books.lots), Decimal(0)) == bought
    dealt = sum((abs(lot.signed_quantity) for lot in books.lots), Decimal(0)) + 2 * sum(
        (c.quantity for c in books.closures), Decimal(0)
    )
    assert dealt == sum((e.quantity for e in executions), Decimal(0))
    paid = sum(
        (e.side.sign * e.quantity * e.price + cost.get(e.key, Decimal(0)) for e in executions), Decimal(0)
    )
    assert (
        sum((lot.cost for lot in books.lots), Decimal(0)) - sum((c.gain for c in books.closures), Decimal(0))
        == paid
    )
    lines: defaultdict[str, list[TaxTransaction]] = defaultdict(list)
    for line in tax_transactions(books):
        lines[line.trade_key].append(line)
    for e in executions:
        own = [line.cost_basis if e.side is Side.BUY else line.proceeds for line in lines[e.key]]
        assert sum(
            (amount for amount in own if amount is not None), Decimal(0)
        ) == e.quantity * e.price + e.side.sign * cost.get(e.key, Decimal(0))
        assert sum((line.quantity for line in lines[e.key]), Decimal(0)) == e.quantity
        assert {line.type for line in lines[e.key]} == {e.side}


@given(trades_of_a_book, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(rows: Rows, random: object) -> None:
    """The books are rebuilt the same from the same executions, however often and in whatever order they are told."""
    executions, commissions = history(rows)
    again, paid = [*executions, *executions[::2]], [*commissions, *commissions[::3]]
    random.shuffle(again)  # type: ignore[attr-defined]
    random.shuffle(paid)  # type: ignore[attr-defined]
    assert book(again, paid) == book(executions, commissions)


@given(trades_of_a_book)
def test_what_always_holds(rows: Rows) -> None:
    """One instrument is never held long and short at once, pieces are positive, and provisional means an unknown commission."""
    books = book(*history(rows))
    assert all(
        len({lot.signed_quantity > 0 for lot in books.lots if lot.con_id == con_id}) < 2 for con_id in (1, 2)
    )
    for closure in books.closures:
        assert closure.quantity > 0
        assert closure.opened_at <= closure.closed_at
        assert closure.provisional == bool({closure.open_key, closure.close_key} & books.unknown_commissions)
    assert all(lot.provisional == (lot.trade_key in books.unknown_commissions) for lot in books.lots)


# --- options ------------------------------------------------------------------------------------------------------------


def free(*executions: Execution) -> Books:
    """Without commissions: an end has none, a trade one of zero."""
    return book(executions, fees([e for e in executions if e.order_id], "0"))


SHARES = fill(1, "BUY", "100", "40")
# IRS Publication 550 (2023), chapter 4, "Options" with its table "Puts and Calls": the holder's and the writer's side of an end that is no
# trade. Its rules with a premium of $200, a strike of $50 and shares that cost $4,000: what each holding leaves in the books.
PUBLICATION_550 = {
    "call held, expired": (
        [option(2, "BUY", "1", "2"), end(3, "SELL")], [("-200", How.EXPIRED)], [],
    ),
    "call held, exercised": (
        [option(2, "BUY", "1", "2"), end(3, "SELL"), moved(4, "BUY")], [("0", How.EXERCISED)], [row("100", "5200")],
    ),
    "call written, expired": (
        [option(2, "SELL", "1", "2"), end(3, "BUY")], [("200", How.EXPIRED)], [],
    ),
    "call written, assigned": (
        [SHARES, option(2, "SELL", "1", "2"), end(3, "BUY"), moved(4, "SELL")], [("0", How.ASSIGNED), ("1200", How.ASSIGNED)], [],
    ),
    "put held, expired": (
        [option(2, "BUY", "1", "2", PUT), end(3, "SELL", terms=PUT)], [("-200", How.EXPIRED)], [],
    ),
    "put held, exercised": (
        [SHARES, option(2, "BUY", "1", "2", PUT), end(3, "SELL", terms=PUT), moved(4, "SELL")],
        [("0", How.EXERCISED), ("800", How.EXERCISED)], [],
    ),
    "put written, expired": (
        [option(2, "SELL", "1", "2", PUT), end(3, "BUY", terms=PUT)], [("200", How.EXPIRED)], [],
    ),
    "put written, assigned": (
        [option(2, "SELL", "1", "2", PUT), end(3, "BUY", terms=PUT), moved(4, "BUY")], [("0", How.ASSIGNED)], [row("100", "4800")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLICATION_550)
def test_publication_550(name: str) -> None:
    """Every cell of the table: gains of what was closed, how, and the basis of the shares that are left; nothing is provisional."""
    trades, gains, lots = PUBLICATION_550[name]
    books = free(*trades)
    assert [(f"{c.gain:f}", c.how) for c in books.closures] == [(gain, how) for gain, how in gains]
    assert left(books) == lots
    assert not any(c.provisional for c in books.closures)
    assert not any(lot.provisional for lot in books.lots)
    assert books.unknown_commissions == frozenset()


def test_publication_550_proceeds() -> None:
    """An assigned call sells for strike and premium, 5,200; an exercised put for strike less premium, 4,800."""
    for name, proceeds in (("call written, assigned", 5200), ("put held, exercised", 4800)):
        sale = free(*PUBLICATION_550[name][0]).closures[-1]
        assert (sale.proceeds, sale.cost_basis, sale.symbol) == (Decimal(proceeds), Decimal(4000), "S1")


# Lawrence McMillan, Options as a Strategic Investment, chapter 41, "Taxes": his four examples of an exercise or an assignment, with a
# commission of $25 on the option and another on the shares. (closes, right, strike, premium, commission, cost; proceeds below zero)
MCMILLAN = [
    ("SELL", Right.CALL, "50", "5", "85", "5610", How.EXERCISED),
    ("BUY", Right.CALL, "30", "3", "75", "-3200", How.ASSIGNED),
    ("SELL", Right.PUT, "45", "2", "85", "-4190", How.EXERCISED),
    ("BUY", Right.PUT, "40", "4", "75", "3700", How.ASSIGNED),
]


@pytest.mark.parametrize(("closes", "right", "strike", "premium", "commission", "cost", "how"), MCMILLAN)
def test_commissions_move_with_the_premium(
    closes: str, right: Right, strike: str, premium: str, commission: str, cost: str, how: How
) -> None:
    """What the option's own commission added to its cost goes over with it; that of the shares comes on top."""
    terms = replace(CALL, right=right, strike=Decimal(strike))
    shares = "BUY" if (closes == "SELL") is (right is Right.CALL) else "SELL"
    opens = "BUY" if closes == "SELL" else "SELL"
    story = [
        option(1, opens, "1", premium, terms),
        end(2, closes, terms=terms),
        moved(3, shares, price=strike),
    ]
    paid = [
        Commission(story[0].exec_id, Decimal(25), "USD"),
        Commission(story[2].exec_id, Decimal(commission), "USD"),
    ]
    (lot,) = book(story, paid).lots
    assert (lot.cost, lot.provisional, lot.how) == (Decimal(cost), False, how)


def test_lot_by_lot() -> None:
    """Two calls bought at different prices, both exercised at once: each brings its own hundred shares, at its own cost."""
    story = [
        option(1, "BUY", "1", "2"),
        option(2, "BUY", "1", "3"),
        end(3, "SELL", "2"),
        moved(4, "BUY", "200"),
    ]
    books = free(*story)
    assert [(lot.signed_quantity, lot.cost) for lot in books.lots] == [row("100", "5200"), row("100", "5300")]
    assert [(c.moved, c.gain) for c in books.closures] == [row("200", "0"), row("300", "0")]
    (line,) = [line for line in tax_transactions(books) if line.trade_key == story[3].key]
    assert (line.cost_basis, line.how, line.label) == (Decimal(10_500), How.EXERCISED, "S1")


def test_premium_over_partial_closings() -> None:
    """A premium on shares that are sold bit by bit goes out in cents that add up to it; the last piece takes the remainder."""
    story = [option(1, "BUY", "1", "2"), end(2, "SELL"), moved(3, "BUY"), *(fill(n, "SELL", "33", "60") for n in (4, 5, 6)), fill(7, "SELL", "1", "60")]  # fmt: skip
    sold = [c for c in free(*story).closures if c.how is How.TRADED]
    assert [c.cost_basis for c in sold] == [Decimal(1716), Decimal(1716), Decimal(1716), Decimal(52)]
    odd = [
        option(1, "BUY", "1", "1.00"),
        end(2, "SELL"),
        moved(3, "BUY"),
        *(fill(n, "SELL", "1", "60") for n in range(4, 104)),
    ]
    paid = [*fees([odd[0]], "0.3462"), *fees(odd[3:], "0")]
    closed = [c for c in book(odd, paid).closures if c.how is How.TRADED]
    assert sum(c.cost_basis for c in closed) == Decimal("5100.3462")


def test_partly_assigned() -> None:
    """Two calls were written and one is assigned: half of what they brought moves, the other call is still there."""
    story = [fill(1, "BUY", "200", "40"), option(2, "SELL", "2", "2"), end(3, "BUY"), moved(4, "SELL")]
    books = book(story, [*fees(story[:1], "0"), *fees(story[1:2], "1.05")])
    assert [(c.quantity, c.proceeds, c.gain) for c in books.closures] == [
        row("1", "199.47", "0"),
        row("100", "5199.47", "1199.47"),
    ]
    assert left(books) == [row("100", "4000"), row("-1", "-199.48")]


def test_days_of_the_exercise() -> None:
    """Shares of an exercised call are held from the day of the exercise; the year that the call was held counts for nothing."""
    exercised = NOON + timedelta(days=300)
    late = replace(CALL, expiry=date(2027, 3, 19))
    story = [
        option(1, "BUY", "1", "2", late), end(2, "SELL", terms=late, at=exercised), moved(3, "BUY", at=exercised),
        fill(4, "SELL", "40", "60", exercised + timedelta(days=365)), fill(5, "SELL", "60", "60", exercised + timedelta(days=366)),
    ]  # fmt: skip
    assert [c.term for c in free(*story).closures[1:]] == [Term.SHORT, Term.LONG]


def test_shares_keep_their_own_period() -> None:
    """Shares that an assigned call takes away are long- or short-term by how long they were held themselves."""
    late = NOON + timedelta(days=500)
    story = [SHARES, option(2, "SELL", "1", "2", at=late), end(3, "BUY", at=late), moved(4, "SELL", at=late)]
    assert [c.term for c in free(*story).closures] == [Term.SHORT, Term.LONG]


@pytest.mark.parametrize(("days", "term"), [(365, Term.SHORT), (366, Term.LONG)])
def test_term_of_an_expired_option(days: int, term: Term) -> None:
    """One that was held is long-term after a year, by its last day, even where the broker books its end on the Monday after."""
    last = (NOON + timedelta(days=days)).date()
    terms = replace(CALL, expiry=last)
    story = [
        option(1, "BUY", "1", "2", terms, NOON),
        end(2, "SELL", terms=terms, at=NOON + timedelta(days=days + 3)),
    ]
    (closure,) = free(*story).closures
    assert (closure.term, closure.closed_on) == (term, last)


def test_a_written_option_is_short_term() -> None:
    """However long it was written before it expired or was bought back."""
    late = NOON + timedelta(days=800)
    terms = replace(CALL, expiry=late.date())
    for closing in (end(2, "BUY", terms=terms, at=late), option(2, "BUY", "1", "0.5", terms, at=late)):
        assert [c.term for c in free(option(1, "SELL", "1", "2", terms), closing).closures] == [Term.SHORT]


@pytest.mark.parametrize(("symbol", "marked"), [("SPX", True), ("NDX", True), ("RUT", True), ("VIX", True), ("SPY", False), ("S1", False)])  # fmt: skip
def test_section_1256(symbol: str, marked: bool) -> None:
    """An option on a broad index is marked and is neither short- nor long-term; one on a fund is an option on shares."""
    story = [replace(e, symbol=symbol) for e in (option(1, "SELL", "1", "2"), option(2, "BUY", "1", "1"))]
    books = free(*story)
    assert [(c.section_1256, c.term) for c in books.closures] == [
        (marked, Term.MIXED if marked else Term.SHORT)
    ]
    assert {line.section_1256 for line in tax_transactions(books)} == {marked}
    assert not booked(replace(fill(1, "BUY", "1", "1"), symbol="SPX")).lots[0].section_1256


def test_the_whole_of_a_combination_is_nothing() -> None:
    """Its legs are the trades; the whole is no lot, no gain, and no commission that is missing."""
    whole = replace(fill(1, "BUY", "1", "1.93"), kind="BAG", con_id=28812380)
    legs = [option(2, "BUY", "1", "3.59"), option(3, "SELL", "1", "1.66", PUT)]
    books = book([whole, *legs], fees(legs))
    assert left(books) == [row("1", "360.00"), row("-1", "-165.00")]
    assert books.unknown_commissions == frozenset()


def test_an_option_held_before() -> None:
    """The broker's cost of a contract has its multiplier in it; exercised, it is moved as it is, and the shares are provisional."""
    before = OpeningLot("DU1", 11, "S1", "USD", Decimal(1), Decimal("201.05"), NOON, CALL)
    story = [end(1, "SELL"), moved(2, "BUY")]
    books = book(story, [], openings=[before])
    assert left(books) == [row("100", "5201.05")]
    assert (books.lots[0].provisional, books.closures[0].label) == (True, "S1 50 C 2 Mar 26")
    (line,) = [line for line in tax_transactions(books) if line.trade_key == story[1].key]
    assert line.provisional


def test_an_option_that_nobody_knew() -> None:
    """The end of an option that these books never held moves no premium that anybody knows: the shares say so."""
    books = free(end(1, "SELL"), moved(2, "BUY"))
    assert [(lot.label, lot.cost, lot.provisional) for lot in books.lots] == [
        ("S1 50 C 2 Mar 26", Decimal(0), True), ("S1", Decimal(5000), True),
    ]  # fmt: skip


def test_a_difference_that_was_taken_over_is_no_expiry() -> None:
    """An option that is gone without a word leaves with neither gain nor loss, as everything that is taken over."""
    bought = option(1, "BUY", "1", "2")
    gone = OpeningLot("DU1", 11, "S1", "USD", Decimal(-1), Decimal(0), NOON + timedelta(days=1), CALL)
    (closure,) = book([bought], fees([bought], "0"), adjustments=[gone]).closures
    assert (closure.gain, closure.how, closure.provisional) == (Decimal(0), How.TRADED, True)


def test_two_options_for_the_same_shares_are_provisional() -> None:
    """Where it is not sure which of two options the shares came by, both figures say that they may change."""
    story = [
        option(1, "BUY", "1", "2"), option(2, "SELL", "1", "3", PUT),
        end(3, "SELL", at=NOON + timedelta(days=1)), end(4, "BUY", terms=PUT, at=NOON + timedelta(days=1)), moved(5, "BUY", at=NOON + timedelta(days=1)),
    ]  # fmt: skip
    books = free(*story)
    assert [(c.how, c.provisional) for c in books.closures] == [(How.EXPIRED, True), (How.ASSIGNED, True)]
    assert [(lot.cost, lot.provisional) for lot in books.lots] == [(Decimal(4700), True)]


acts = st.lists(
    st.tuples(
        st.sampled_from(["trade", "shares", "expire", "exercise"]),
        st.sampled_from([CALL, PUT]),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 4),
        st.decimals("0.01", "40", places=2),
        st.decimals("0", "3", places=4),
    ),
    max_size=25,
)
Acts = list[tuple[str, OptionTerms, str, int, Decimal, Decimal]]


def life(rows: Acts) -> tuple[list[Execution], list[Commission]]:
    """A book of options and their shares in which nothing ends that is not held."""
    executions: list[Execution] = []
    commissions: list[Commission] = []
    held: dict[Right, int] = {Right.CALL: 0, Right.PUT: 0}
    for row_number, (act, terms, side, count, price, fee) in enumerate(rows):
        number = 2 * row_number
        has = held[terms.right]
        if act in {"trade", "shares"}:
            one = (
                fill(number, side, str(count * 30), str(price))
                if act == "shares"
                else option(number, side, str(count), str(price), terms)
            )
            executions.append(one)
            commissions.append(Commission(one.exec_id, fee, "USD"))
            held[terms.right] += 0 if act == "shares" else one.side.sign * count
        elif has:
            closes = Side.SELL if has > 0 else Side.BUY
            many = min(count, abs(has))
            executions.append(end(number, closes, str(many), terms))
            held[terms.right] += closes.sign * many
            if act == "exercise":
                goes = Side.BUY if (closes is Side.SELL) is (terms.right is Right.CALL) else Side.SELL
                executions.append(moved(number + 1, goes, str(many * 100)))
                commissions.append(Commission(executions[-1].exec_id, fee, "USD"))
    return executions, commissions


@given(acts)
def test_money_in_is_money_out(rows: Acts) -> None:
    """Whatever is traded, expires, is exercised and assigned: gains and the cost of what is left are the cash that moved, to the last digit."""
    executions, commissions = life(rows)
    books = book(executions, commissions)
    paid = sum((e.side.sign * e.quantity * e.price * e.multiplier for e in executions), Decimal(0))
    paid += sum((c.amount for c in commissions), Decimal(0))
    cost = sum((lot.cost for lot in books.lots), Decimal(0))
    assert cost - sum((c.gain for c in books.closures), Decimal(0)) == paid
    assert (
        sum((line.gain for line in tax_transactions(books) if line.gain is not None), Decimal(0))
        == cost - paid
    )
    for con_id in (1, 11, 12):
        assert sum((lot.signed_quantity for lot in books.lots if lot.con_id == con_id), Decimal(0)) == sum(
            (e.side.sign * e.quantity for e in executions if e.con_id == con_id), Decimal(0)
        )
    assert not any(c.provisional for c in books.closures)
    assert not any(lot.provisional for lot in books.lots)


@given(acts)
def test_premiums_arrive_where_they_left(rows: Acts) -> None:
    """What exercised and assigned options give away is what the shares that moved cost more, or brought less, than strike and commission."""
    executions, commissions = life(rows)
    books = book(executions, commissions)
    over = sum((c.moved for c in books.closures), Decimal(0))
    keys = {e.key for e in executions if e.kind == "STK" and not e.order_id}
    cost = {c.key: c.amount for c in commissions}
    strike = sum(
        (
            e.side.sign * e.quantity * e.price + cost.get(e.key, Decimal(0))
            for e in executions
            if e.key in keys
        ),
        Decimal(0),
    )
    lines = [line for line in tax_transactions(books) if line.trade_key in keys]
    bought = sum((line.cost_basis or Decimal(0) for line in lines if line.type is Side.BUY), Decimal(0))
    sold = sum((line.proceeds or Decimal(0) for line in lines if line.type is Side.SELL), Decimal(0))
    assert bought - sold == strike + over
    assert all(c.gain == 0 for c in books.closures if c.moved)


@given(acts, st.randoms(use_true_random=False))
def test_options_in_any_order_and_again(rows: Acts, random: object) -> None:
    """Told in any order, and some of it twice, the books with options are the same."""
    executions, commissions = life(rows)
    again = [*executions, *executions[::2]]
    random.shuffle(again)  # type: ignore[attr-defined]
    assert book(again, commissions[::-1]) == book(executions, commissions)


@given(acts, st.integers(0, 30))
def test_later_trades_change_nothing_before_them(rows: Acts, cut: int) -> None:
    """Books that grow day by day are those that are rebuilt at the end: what was closed is closed as it was."""
    executions, commissions = life(rows)
    day = [e for e in executions if e.time <= NOON + timedelta(minutes=cut)]
    whole = book(executions, commissions).closures
    assert book(day, commissions).closures == tuple(
        c for c in whole if c.closed_at <= NOON + timedelta(minutes=cut)
    )


def test_too_early_to_expire_is_provisional() -> None:
    """An option that went at nothing before its last day is booked as expired, and the figure says that it may change."""
    late = replace(CALL, expiry=NOON.date() + timedelta(days=30))
    (closure,) = free(option(1, "BUY", "1", "2", late), end(2, "SELL", terms=late)).closures
    assert (closure.gain, closure.how, closure.provisional) == (Decimal(-200), How.EXPIRED, True)
