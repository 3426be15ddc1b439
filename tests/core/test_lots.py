"""Lots and closures: worked examples, the calendar of the holding period, and any book against a naive one that moves single shares."""

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lots import Books, TaxTransaction, Term, book, is_long_term, tax_transactions
from core.model import Commission, Execution, OpeningLot, Side

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
    trades = [fill(1, "BUY", "2", "1.50"), fill(2, "SELL", "2", "2.00")]
    books = book(trades, fees(trades), multipliers={1: Decimal(100)})
    assert money(books) == [row("2", "301.00", "399.00", "98.00")]


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
