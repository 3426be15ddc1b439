"""The broker's door: floats become exact, every spelling of "unset" becomes None, and terms leave as the card showed them."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import ib_async as ib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ib_mapping, ib_messages
from core.lifecycle import advance
from core.model import OrderState, OrderType, Side, TimeInForce
from tests.values import AAPL, ACCOUNT, NOW, ORDER, TICKET, order, ticket

UNSET = ib.util.UNSET_DOUBLE


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (187.5, "187.5"),
        (100.0, "100"),
        (1e5, "100000"),
        (0, "0"),
        (-12.25, "-12.25"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        ("187.50", "187.5"),
        ("100", "100"),
        ("1E+3", "1000"),
        (Decimal("5.00"), "5"),
        (UNSET, None),
        (1e28, "1" + "0" * 28),
        (-0.0, "0"),
        (10**400, None),
        (str(UNSET), None),
        ("1.7976931348623157E308", None),
        (2**31 - 1, None),
        ("2147483647", None),
        (2**63 - 1, None),
        ("9223372036854775807", None),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        ("", None),
        ("n/a", None),
        (None, None),
    ],
)
def test_number(told: Any, meant: str | None) -> None:
    """What the broker writes for a number, and for none."""
    found = ib_mapping.number(told)
    assert (None if found is None else f"{found:f}") == meant


@given(st.floats() | st.integers() | st.text(max_size=12) | st.none() | st.binary(max_size=4) | st.booleans())
def test_number_never_raises_and_never_lets_a_strange_one_in(told: Any) -> None:
    """Whatever comes over the wire is a finite Decimal or None, and a finite float keeps its value."""
    found = ib_mapping.number(told)
    assert found is None or found.is_finite()
    if isinstance(told, float) and math.isfinite(told) and told not in ib_mapping.UNSET:
        assert found is not None
        assert float(found) == told


@pytest.mark.parametrize(
    ("told", "meant"),
    [(1.5, "1.5"), (0.0, None), (-1.0, None), (UNSET, None), (math.nan, None), (0.01, "0.01")],
)
def test_price(told: float, meant: str | None) -> None:
    """The broker's 0 and -1 are no prices."""
    assert ib_mapping.price(told) == (None if meant is None else Decimal(meant))


# --- what leaves ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "kind", "limit", "stop"),
    [
        (ticket(Side.BUY, 10), "MKT", UNSET, UNSET),
        (ticket(Side.SELL, 3, limit="187.55"), "LMT", 187.55, UNSET),
        (ticket(Side.BUY, 7, stop="190.10", tif=TimeInForce.GTC), "STP", UNSET, 190.1),
    ],
)
def test_an_order_leaves_with_the_terms_of_the_card(asked: Any, kind: str, limit: float, stop: float) -> None:
    """Side, count, type, prices, duration, account and name are those of the ticket, and prices that it lacks stay unset."""
    made = ib_mapping.order(asked, "01TICKET")
    assert (made.action, made.totalQuantity, made.orderType) == (asked.side, float(asked.quantity), kind)
    assert (made.lmtPrice, made.auxPrice, made.tif) == (limit, stop, asked.tif)
    assert (made.orderRef, made.account, made.transmit, made.whatIf) == ("01TICKET", ACCOUNT, True, False)


@given(st.decimals("0.01", "999999.99", places=2), st.integers(1, 1_000_000))
def test_the_way_out_and_back_changes_nothing(price: Decimal, count: int) -> None:
    """A price and a quantity survive the floats of the wire exactly."""
    made = ib_mapping.order(ticket(quantity=count, limit=str(price)), "R")
    back = ib_mapping.open_order(7, ib_mapping.contract(AAPL), made, ib.OrderState(status="Submitted"))
    assert (back.limit_price, back.quantity, back.order_ref) == (price, Decimal(count), "R")


def test_a_contract_is_named_by_its_id() -> None:
    """The instrument leaves with the id that the broker gave it, routed smartly."""
    made = ib_mapping.contract(AAPL)
    assert (made.conId, made.symbol, made.secType, made.currency) == (265598, "AAPL", "STK", "USD")
    assert (made.exchange, made.primaryExchange) == ("SMART", "NASDAQ")


# --- what comes -------------------------------------------------------------------------------------------------------


def details(**changes: Any) -> ib.ContractDetails:
    named = ib.Contract(
        secType="STK", conId=265598, symbol="AAPL", exchange="SMART", primaryExchange="NASDAQ", currency="USD"
    )
    told: dict[str, Any] = {"contract": named, "longName": "APPLE INC", "minTick": 0.01}
    told |= {"liquidHours": AAPL.hours, "timeZoneId": AAPL.time_zone, **changes}
    return ib.ContractDetails(**told)


def test_an_instrument() -> None:
    """Contract details become our instrument; a share has a multiplier of one."""
    assert ib_mapping.instrument(details()) == AAPL


@pytest.mark.parametrize("contract", [None, ib.Contract(symbol="AAPL")])
def test_details_without_an_identity_are_refused(contract: ib.Contract | None) -> None:
    """What has no id cannot be ordered."""
    with pytest.raises(ValueError, match="contract id"):
        ib_mapping.instrument(details(contract=contract))


@pytest.mark.parametrize(("kind", "late"), [(1, False), (2, False), (3, True), (4, True)])
def test_a_quote(kind: int, late: bool) -> None:
    """Sides that nobody quotes are None and not zero; delayed data say so; the time is the one that we heard it at."""
    told = ib.Ticker(marketDataType=kind)
    told.bid, told.ask, told.last = -1.0, 187.5, math.nan
    found = ib_mapping.quote(told, NOW)
    assert (found.bid, found.ask, found.last, found.time, found.delayed) == (
        None,
        Decimal("187.5"),
        None,
        NOW,
        late,
    )


def test_what_if() -> None:
    """A forecast with figures that the broker left unset."""
    told = ib.OrderState(
        initMarginChange="250.5", maintMarginChange=str(UNSET), equityWithLoanAfter="", commission=UNSET, commissionCurrency="USD", warningText="Mind."
    )  # fmt: skip
    found = ib_mapping.what_if(told)
    assert (found.initial_margin_change, found.maintenance_margin_change) == (Decimal("250.5"), None)
    assert (found.equity_with_loan_after, found.commission, found.commission_currency) == (None, None, "USD")
    assert found.warning == "Mind."


def test_a_position() -> None:
    """A short is negative."""
    raw = ib.Position(ACCOUNT, ib_mapping.contract(AAPL), -10.0, 187.5)
    found = ib_mapping.position(raw)
    assert (found.account, found.con_id, found.signed_quantity, found.average_cost) == (
        ACCOUNT,
        AAPL.con_id,
        Decimal(-10),
        Decimal("187.5"),
    )
    assert found.market_value is None


@pytest.mark.parametrize(
    ("told", "order_type", "limit", "stop"),
    [
        ({"orderType": "LMT", "lmtPrice": 99.5, "auxPrice": 0.0}, OrderType.LIMIT, "99.5", None),
        ({"orderType": "STP", "lmtPrice": 0.0, "auxPrice": 95.0}, OrderType.STOP, None, "95"),
        ({"orderType": "MKT", "lmtPrice": 0.0, "auxPrice": UNSET}, OrderType.MARKET, None, None),
        ({"orderType": "TRAIL", "auxPrice": 2.0}, OrderType.OTHER, None, None),
    ],
)
def test_an_open_order(
    told: dict[str, Any], order_type: OrderType, limit: str | None, stop: str | None
) -> None:
    """Types that the desk does not know are kept as special, and a price is only what the type makes a price."""
    raw = ib.Order(
        action="SELL",
        totalQuantity=5.0,
        clientId=3,
        permId=9,
        orderRef="R",
        account=ACCOUNT,
        tif="GTC",
        **told,
    )
    found = ib_mapping.open_order(7, ib_mapping.contract(AAPL), raw, ib.OrderState(status="PreSubmitted"))
    assert (found.order_type, found.side, found.quantity, found.tif) == (
        order_type,
        Side.SELL,
        Decimal(5),
        TimeInForce.GTC,
    )
    assert (found.limit_price, found.stop_price) == (limit and Decimal(limit), stop and Decimal(stop))
    assert (found.status, found.client_id, found.order_id, found.perm_id) == ("PreSubmitted", 3, 7, 9)
    assert (found.order_ref, found.account, found.con_id, found.filled) == ("R", ACCOUNT, AAPL.con_id, None)


def test_a_completed_order_without_a_quantity_leaves_ours_alone() -> None:
    """Completed orders carry 0 as their quantity, which says nothing and unfills nothing."""
    raw = ib.Order(
        action="BUY", totalQuantity=0.0, filledQuantity=10.0, orderType="MKT", permId=9, orderRef="01TICKET"
    )
    found = ib_mapping.open_order(0, ib_mapping.contract(AAPL), raw, ib.OrderState(status="Filled"))
    assert found.quantity is None
    after = advance(ORDER, found, snapshot=True)
    assert (after.quantity, after.filled, after.state) == (Decimal(10), Decimal(10), OrderState.FILLED)


def test_an_order_status() -> None:
    """A status names no order_ref and no instrument, which is not the same as naming an empty one."""
    found = ib_mapping.order_status(7, "Submitted", 0.0, 0.0, 9, 3, "")
    assert (found.order_id, found.filled, found.average_price, found.perm_id, found.client_id) == (
        7,
        Decimal(0),
        None,
        9,
        3,
    )
    assert (found.order_ref, found.quantity, found.side) == (None, None, None)


@pytest.mark.parametrize(("told", "side"), [("BOT", Side.BUY), ("SLD", Side.SELL)])
def test_an_execution(told: str, side: Side) -> None:
    """BOT is a purchase, SLD a sale, and an order typed into TWS has no order id."""
    time = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    raw = ib.Execution("a.01", time, ACCOUNT, "NASDAQ", told, 10.0, 187.5, 9, 3, 2**31 - 1)
    found = ib_mapping.execution(ib_mapping.contract(AAPL), raw)
    assert (found.exec_id, found.side, found.quantity, found.price) == (
        "a.01",
        side,
        Decimal(10),
        Decimal("187.5"),
    )
    assert (found.order_id, found.perm_id, found.client_id, found.time) == (0, 9, 3, time)
    assert (found.account, found.symbol, found.order_ref) == (ACCOUNT, "AAPL", "")


@pytest.mark.parametrize(
    "odd",
    [
        {"execId": ""},
        {"side": "1e5"},
        {"shares": float("nan")},
        {"shares": -3.0},
        {"price": float("inf")},
        {"price": ib.util.UNSET_DOUBLE},
    ],
    ids=str,
)
def test_an_execution_that_is_half_known_is_none(odd: dict[str, Any]) -> None:
    """What cannot be read is not booked as a fill of nothing, for nothing, or the other way round."""
    told = {"execId": "a.01", "side": "BOT", "shares": 10.0, "price": 187.5, **odd}
    with pytest.raises(ValueError, match="execution"):
        ib_mapping.execution(ib_mapping.contract(AAPL), ib.Execution(**told))


@pytest.mark.parametrize("con_id", [0, -1, 2**31])
def test_an_execution_of_no_contract_is_none(con_id: int) -> None:
    """The contract is what was traded."""
    raw = ib.Execution("a.01", side="BOT", shares=10.0, price=187.5)
    with pytest.raises(ValueError, match="execution"):
        ib_mapping.execution(ib.Contract(conId=con_id), raw)


def test_a_commission() -> None:
    """A report without an amount is none; a realized gain that is unset is unknown; a rebate is negative."""
    found = ib_mapping.commission(ib.CommissionReport("a.01", -0.35, "USD", UNSET))
    assert found is not None
    assert (found.amount, found.currency, found.realized, found.key) == (Decimal("-0.35"), "USD", None, "a")
    assert ib_mapping.commission(ib.CommissionReport("a.01", UNSET, "USD", 1.0)) is None


# --- the broker's messages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (
            201,
            "Order rejected - reason: Insufficient funds",
            ["rejected", "enough money", "Insufficient funds", "(201)"],
        ),
        (201, "No trading permissions", ["permission", "No trading permissions"]),
        (201, "Whatever", ["rejected", "Whatever"]),
        (10148, "OrderId 7 cannot be cancelled", ["cannot be cancelled", "(10148)"]),
        (99999, "A new thing.", ["A new thing", "(99999)"]),
        (99999, "  ", ["99999"]),
    ],
)
def test_plain_words(code: int, text: str, words: list[str]) -> None:
    """A person reads what it means, what to do, and the broker's own words with the code."""
    said = ib_messages.plain_words(code, text)
    assert all(word in said for word in words)
    assert ".." not in said
    assert said.endswith(".")


def test_a_hint_belongs_to_a_rejection_only() -> None:
    """The word margin in another message is no advice about money."""
    assert "make it smaller" not in ib_messages.plain_words(399, "Warning: margin note")


def test_an_order_of_ours_is_sent_like_its_ticket() -> None:
    """What is sent from the book of orders equals what the card had."""
    mine = order(quantity=TICKET.quantity)
    assert vars(ib_mapping.order(mine, "R")) == vars(ib_mapping.order(TICKET, "R"))


@pytest.mark.parametrize(
    ("told", "utc"),
    [
        ("20260302 10:30:00 US/Eastern", "2026-03-02T15:30:00+00:00"),
        ("20260302 16:30:00 Europe/Berlin", "2026-03-02T15:30:00+00:00"),
        ("20260302  10:30:00", None),
        ("20260302 10:30:00", None),
        ("20260302 10:30:00 Nowhere/Atall", None),
        ("20260302 10:30:00 ..", None),
        ("20261302 10:30:00 UTC", None),
        ("00010101 00:00:00 Asia/Tokyo", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_moment(told: str, utc: str | None) -> None:
    """Only a time whose zone is told and known is one."""
    found = ib_mapping.moment(told)
    assert (found and found.isoformat()) == utc
