"""The broker's books: positions at average cost, corrections, records that can be written down and read again."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.tws.book import Counters, Execution, Order, Position, Record, read, written
from sim.tws.contracts import BY_ID
from sim.tws.engine import Engine
from sim.tws.errors import Refused
from sim.tws.market import Market, Pin
from sim.tws.terms import terms

AAPL = BY_ID[265598]
NOON = datetime(2026, 3, 4, 17, tzinfo=UTC)
ACCOUNT = "DU1"


class Deaf:
    """A listener that hears nothing."""

    def opened(self, order: Order) -> None: ...
    def status(self, order: Order) -> None: ...
    def executed(self, order: Order, execution: Execution) -> None: ...
    def commissioned(self, order: Order, execution: Execution) -> None: ...
    def failed(self, order: Order, code: int, text: str) -> None: ...
    def settled(self, execution: Execution) -> None: ...
    def account_changed(self, account: str, con_id: int) -> None: ...


def broker(price: str = "100") -> Engine:
    """A broker with one account, and a market in AAPL at `price`, a cent on either side."""
    engine = Engine(1, Market(1), Deaf())
    engine.ledger.open_account(ACCOUNT, NOON)
    at = Decimal(price)
    engine.market.pin(AAPL.con_id, Pin(NOON, at - Decimal("0.01"), at + Decimal("0.01"), at))
    return engine


def trade(engine: Engine, order_id: int, action: str, quantity: int, price: str) -> Execution:
    """A fill at a price of our choice."""
    engine.rules.fills = False
    said = {
        "action": action,
        "totalQuantity": str(quantity),
        "orderType": "LMT",
        "lmtPrice": "1" if action == "BUY" else "1000",
    }
    engine.place(1, order_id, AAPL, "SMART", terms(said), NOON)
    order = engine.register.find(1, order_id)
    assert order is not None
    return engine.fill(order, Decimal(quantity), Decimal(price), NOON + timedelta(seconds=order_id))


def flat(engine: Engine) -> Position:
    """The position in AAPL, flat to begin with."""
    position = engine.ledger.positions[ACCOUNT, AAPL.con_id]
    position.quantity = position.average_cost = position.opening = position.opening_cost = Decimal(0)
    return position


def test_average_cost_with_commissions() -> None:
    engine = broker()
    position = flat(engine)
    trade(engine, 1, "BUY", 10, "100")
    trade(engine, 2, "BUY", 10, "110")
    assert (position.quantity, position.average_cost) == (Decimal(20), Decimal("105.1"))
    sold = trade(engine, 3, "SELL", 5, "120")
    assert sold.realized == Decimal("73.5")
    assert (position.quantity, position.average_cost) == (Decimal(15), Decimal("105.1"))
    trade(engine, 4, "SELL", 20, "90")
    assert (position.quantity, position.average_cost) == (Decimal(-5), Decimal(90))


def test_cash_is_what_was_paid() -> None:
    engine = broker()
    before = engine.ledger.accounts[ACCOUNT].cash["USD"]
    trade(engine, 1, "BUY", 10, "100")
    trade(engine, 2, "SELL", 10, "101")
    assert engine.ledger.accounts[ACCOUNT].cash["USD"] - before == Decimal(8)


fills = st.lists(
    st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(2, 50), st.integers(5_000, 20_000)),
    min_size=1,
    max_size=6,
)


@given(fills, st.data())
def test_a_correction_leaves_the_books_as_if_it_had_always_been_so(
    made: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    wrong = data.draw(st.integers(0, len(made) - 1))
    price = data.draw(st.integers(5_000, 20_000))
    right = [(a, n, price if i == wrong else p) for i, (a, n, p) in enumerate(made)]
    books = []
    for history in (made, right):
        engine = broker()
        done = [trade(engine, i + 1, a, n, str(Decimal(p) / 100)) for i, (a, n, p) in enumerate(history)]
        if history is made:
            engine.correct(done[wrong].exec_id, None, Decimal(price) / 100)
        position = engine.ledger.positions[ACCOUNT, AAPL.con_id]
        account = engine.ledger.accounts[ACCOUNT]
        books.append((position.quantity, round(position.average_cost, 6), round(position.realized, 6), account.cash["USD"], round(account.realized, 6)))  # fmt: skip
    assert books[0] == books[1]


@given(fills)
def test_shares_and_money_add_up(made: list[tuple[str, int, int]]) -> None:
    engine = broker()
    before = engine.ledger.accounts[ACCOUNT].cash["USD"]
    done = [trade(engine, i + 1, a, n, str(Decimal(p) / 100)) for i, (a, n, p) in enumerate(made)]
    position = engine.ledger.positions[ACCOUNT, AAPL.con_id]
    assert position.quantity == 40 + sum(e.sign * e.quantity for e in done)
    paid = sum((e.sign * e.quantity * e.price + e.commission for e in done), Decimal(0))
    assert before - engine.ledger.accounts[ACCOUNT].cash["USD"] == paid


def test_every_record_survives_being_written_down() -> None:
    engine = broker()
    trade(engine, 1, "BUY", 10, "100")
    records: list[Record] = list(engine.changed.values())
    assert {type(record).__name__ for record in records} == {
        "Account",
        "Position",
        "Order",
        "Execution",
        "Counters",
    }
    for record in records:
        assert read(type(record), written(record)) == record


def test_the_same_seed_makes_the_same_broker() -> None:
    one, two = broker(), broker()
    for engine in (one, two):
        trade(engine, 1, "BUY", 10, "100")
    assert [written(record) for record in one.changed.values()] == [
        written(record) for record in two.changed.values()
    ]


def test_order_ids_go_up_and_survive() -> None:
    engine = broker()
    trade(engine, 7, "BUY", 1, "100")
    assert engine.register.next_id(1) == 8
    again = Engine(1, Market(1), Deaf())
    again.restore(engine.changed.values())
    assert again.register.next_id(1) == 8
    with pytest.raises(Refused) as caught:
        again.place(
            1, 5, AAPL, "SMART", terms({"action": "BUY", "totalQuantity": "1", "orderType": "MKT"}), NOON
        )
    assert caught.value.code == 103
    assert isinstance(engine.changed["counters", "all"], Counters)


def test_a_limit_fills_when_the_price_passed_it_between_two_looks() -> None:
    engine = Engine(1, Market(1), Deaf())
    engine.ledger.open_account(ACCOUNT, NOON)
    engine.run(NOON)
    low = min(engine.market.quote(AAPL.con_id, NOON + timedelta(minutes=n)).ask for n in range(1, 300))
    said = {"action": "BUY", "totalQuantity": "1", "orderType": "LMT", "lmtPrice": str(low)}
    engine.place(1, 1, AAPL, "SMART", terms(said), NOON)
    order = engine.register.find(1, 1)
    assert order is not None
    engine.run(NOON + timedelta(minutes=300))
    assert order.status == "Filled"
    assert order.average <= low
    assert order.completed is not None
    assert NOON < order.completed < NOON + timedelta(minutes=300)
