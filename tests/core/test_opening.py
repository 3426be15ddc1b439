"""What was held before the books: today's holdings with the known trades taken back, against a broker who reckons average cost."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lots import book
from core.model import Commission, Execution, History, OpeningLot, OptionTerms, Position, Right, Side
from core.opening import opening_lots
from tests.values import AAPL, ACCOUNT, NOW, execution

AT = NOW + timedelta(hours=1)


def fills(*trades: tuple[str, str], fee: str = "0", realized: str | None = None) -> History:
    """Trades of (signed quantity, price) a minute apart."""
    done = tuple(
        execution(
            quantity.lstrip("-"),
            price,
            side=Side.SELL if quantity.startswith("-") else Side.BUY,
            exec_id=f"a{number}.01",
            time=NOW + timedelta(minutes=number),
        )
        for number, (quantity, price) in enumerate(trades)
    )
    known = None if realized is None else Decimal(realized)
    return History(done, tuple(Commission(e.exec_id, Decimal(fee), "USD", known) for e in done))


def held(quantity: str, cost: str | None) -> list[Position]:
    return [
        Position(
            ACCOUNT, AAPL.con_id, "AAPL", "USD", Decimal(quantity), None if cost is None else Decimal(cost)
        )
    ]


def opened(positions: Sequence[Position], history: History) -> list[tuple[str, str]]:
    """(signed quantity, average cost) of every opening lot."""
    lots = opening_lots(ACCOUNT, positions, history, AT)
    assert lots is not None
    return [(f"{lot.signed_quantity:f}", f"{lot.average_cost:.4f}") for lot in lots]


@pytest.mark.parametrize(
    ("positions", "history", "expected"),
    [
        (held("40", "92.5"), History(), [("40", "92.5000")]),
        (held("-40", "92.5"), History(), [("-40", "92.5000")]),
        ([], History(), []),
        (held("0", "0"), History(), []),
        (held("10", "100.1"), fills(("10", "100"), fee="1.00"), []),  # all of it is known
        (held("30", "92.5"), fills(("-10", "110"), fee="1.00"), [("40", "92.5000")]),  # sold some today
        # 40 at 92.50 and 10 at 100 with a commission of 1.00 are 50 at 94.02.
        (held("50", "94.02"), fills(("10", "100"), fee="1.00"), [("40", "92.5000")]),
        (held("45", "94.02"), fills(("10", "100"), ("-5", "99"), fee="1.00"), [("40", "92.5000")]),
        (held("-50", "93.98"), fills(("-10", "100"), fee="1.00"), [("-40", "92.5000")]),  # a short that grew
        # All 40 sold at 110 for a gain of 699 after 1.00: the basis was 3,700.
        ([], fills(("-40", "110"), fee="1.00", realized="699"), [("40", "92.5000")]),
        (held("0", "0"), fills(("-40", "110"), fee="1.00", realized="699"), [("40", "92.5000")]),
        # A sale of 50 through zero: four fifths of its commission closed the 40.
        (held("-10", "110"), fills(("-50", "110"), fee="1.00", realized="699.20"), [("40", "92.5000")]),
        ([], fills(("40", "90"), fee="1.00", realized="99"), [("-40", "92.5000")]),  # a short bought back
        ([], fills(("-40", "110")), [("40", "110.0000")]),  # nobody says what it cost
    ],
)
def test_taken_back(positions: list[Position], history: History, expected: list[tuple[str, str]]) -> None:
    """Quantity and cost of what was there before, for every way in which the known trades can lie behind it."""
    assert opened(positions, history) == expected


def test_not_yet() -> None:
    """While a cost is not known, or a trade is so fresh that position and commission may follow, nothing is written down."""
    assert opening_lots(ACCOUNT, held("40", None), History(), AT) is None
    fresh = fills(("10", "100"))
    assert opening_lots(ACCOUNT, held("50", "94"), fresh, NOW + timedelta(seconds=29)) is None
    assert opening_lots(ACCOUNT, held("50", "94"), fresh, NOW + timedelta(seconds=30)) is not None


def test_other_accounts_do_not_count() -> None:
    """Positions and trades of another account say nothing about this one."""
    assert opening_lots("DU7", held("40", "92.5"), fills(("10", "100")), AT) == ()


trades = st.lists(
    st.tuples(
        st.integers(-30, 30).filter(bool), st.decimals("1", "400", places=2), st.decimals("0", "3", places=2)
    ),
    max_size=12,
)


@given(st.integers(-50, 50), st.decimals("1", "400", places=2), trades)
def test_any_day_is_taken_back(start: int, cost: Decimal, rows: list[tuple[int, Decimal, Decimal]]) -> None:
    """Whatever was traded before the bot's first look: lots add up to the holding, and the first holding has its cost again."""
    quantity, average = Decimal(start), Decimal(cost)
    executions: list[Execution] = []
    commissions: list[Commission] = []
    for number, (moved, price, fee) in enumerate(rows):
        done = execution(
            abs(moved),
            str(price),
            side=Side.BUY if moved > 0 else Side.SELL,
            exec_id=f"b{number:03}.01",
            time=NOW + timedelta(seconds=number),
        )
        after = quantity + moved
        realized = None
        if quantity * moved < 0:
            closing = min(abs(quantity), Decimal(abs(moved)))
            gain = (price - average) * closing * (1 if quantity > 0 else -1)
            realized = gain - fee * closing / abs(moved)
        if quantity * moved >= 0:
            average = (average * quantity + price * moved + fee) / after
        elif quantity * after < 0:
            average = price + fee / abs(moved) * (1 if moved > 0 else -1)
        quantity = after
        executions.append(done)
        commissions.append(Commission(done.exec_id, fee, "USD", realized))
    history = History(tuple(executions), tuple(commissions))
    lots = opening_lots(ACCOUNT, held(str(quantity), str(average)) if quantity else [], history, AT)
    assert lots is not None
    books = book(executions, commissions, openings=lots)
    assert sum((lot.signed_quantity for lot in books.lots), Decimal(0)) == quantity
    if start:
        (lot,) = lots
        assert lot.signed_quantity == start
        assert abs(lot.average_cost - cost) < Decimal("0.000001")
    else:
        assert lots == ()


def test_lots_start_from_them() -> None:
    """The sale of shares that were there before closes them at the broker's cost, and is no short."""
    lots = opening_lots(ACCOUNT, held("30", "92.5"), fills(("-10", "110"), fee="1.00"), AT)
    assert lots == (OpeningLot(ACCOUNT, AAPL.con_id, "AAPL", "USD", Decimal(40), Decimal("92.5"), AT),)


CALL = OptionTerms(date(2026, 12, 18), Decimal(190), Right.CALL)


def contracts(history: History) -> History:
    """The same trades, of an option."""
    return replace(
        history,
        executions=tuple(replace(e, kind="OPT", option=CALL, con_id=7001) for e in history.executions),
    )


def held_contracts(quantity: str, cost: str) -> list[Position]:
    return [replace(p, con_id=7001, option=CALL) for p in held(quantity, cost)]


@pytest.mark.parametrize(
    ("positions", "history", "expected"),
    [
        (held_contracts("4", "360.05"), History(), [("4", "360.0500")]),
        # 4 at 360.05 and 2 at 4.00 with a commission of 1.30 are 6 at 373.5833...
        (held_contracts("6", "373.583333333333"), fills(("2", "4"), fee="1.30"), [("4", "360.0500")]),
        # 3 sold at 5.00 for a gain of 416.25 after 3.60: they had cost 1,080.15.
        ([], fills(("-3", "5"), fee="3.60", realized="416.25"), [("3", "360.0500")]),
        ([], fills(("2", "1.50"), fee="1.30", realized="417.80"), [("-2", "359.5500")]),  # written before, bought back
        ([], fills(("-3", "5")), [("3", "500.0000")]),  # nobody says what they cost
        ([], fills(("-2", "0"), realized="-720.10"), [("2", "360.0500")]),  # expired
    ],
)  # fmt: skip
def test_contracts_are_taken_back(
    positions: list[Position], history: History, expected: list[tuple[str, str]]
) -> None:
    """The broker's cost and gain are of whole contracts, the prices of its executions per unit."""
    told = contracts(history)
    assert opened(positions, told) == expected
    lots = opening_lots(ACCOUNT, positions, told, AT)
    assert lots is not None
    assert {lot.option for lot in lots} == {CALL}


def test_a_combination_is_taken_back_by_its_legs() -> None:
    """What the order of a combination has filled is nothing that is held."""
    whole = replace(fills(("1", "1.93")).executions[0], kind="BAG", con_id=28812380)
    legs = contracts(fills(("1", "3.59"))).executions
    lots = opening_lots(ACCOUNT, held_contracts("2", "360"), History((whole, *legs)), AT)
    assert lots is not None
    assert [(lot.con_id, lot.signed_quantity, lot.average_cost) for lot in lots] == [
        (7001, Decimal(1), Decimal(361))
    ]
