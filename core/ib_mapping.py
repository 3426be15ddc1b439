"""ib_async's words to ours and back: the one place where floats become Decimal and the broker's "unset" becomes None."""

import math
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import ib_async as ib

from core.model import (
    Bar,
    Commission,
    Execution,
    Instrument,
    Order,
    OrderReport,
    OrderType,
    Position,
    Quote,
    Side,
    Ticket,
    TimeInForce,
    WhatIf,
)

KINDS = {kind.value: kind for kind in OrderType}
UNSET = (ib.util.UNSET_DOUBLE, float(ib.util.UNSET_INTEGER), float(2**63 - 1))


def number(value: Any) -> Decimal | None:
    """A Decimal from the broker's door; None for empty, NaN, infinite and every spelling of "unset". Never raises."""
    try:
        bare, exact = float(value), Decimal(str(value))
    except (TypeError, ValueError, OverflowError, InvalidOperation):
        return None
    if not math.isfinite(bare) or bare in UNSET:
        return None
    return Decimal(f"{exact.normalize() + 0:f}")  # 100, not 1E+2, and no -0


def price(value: Any) -> Decimal | None:
    """A price; the broker writes 0 or -1 where there is none."""
    amount = number(value)
    return amount if amount is not None and amount > 0 else None


def moment(told: str) -> datetime | None:
    """A time with its zone, 20260302 10:30:00 US/Eastern, as UTC; None for none, one without a zone, and what cannot be read."""
    try:
        day, clock, zone = told.split(" ")
        # Not strptime, which takes ten times as long: there may be ten thousand of these in one answer.
        return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, KeyError, OSError, OverflowError):  # a zone that nobody knows is a KeyError
        return None


def shown_symbol(of: ib.Contract) -> str:
    """A symbol as people write it: the broker names a class of shares behind a space, BRK B, where everybody else writes BRK.B."""
    return of.symbol.replace(" ", ".") if of.secType in ("STK", "") else of.symbol


def wire_symbol(symbol: str) -> str:
    """The broker's name of the same."""
    return symbol.replace(".", " ")


def instrument(details: ib.ContractDetails) -> Instrument:
    """What contract details say. Raises ValueError where the broker sent none with an identity."""
    contract = details.contract
    if contract is None or not contract.conId:
        raise ValueError("contract details without a contract id")
    return Instrument(
        con_id=contract.conId,
        symbol=shown_symbol(contract),
        kind=contract.secType,
        exchange=contract.exchange or "SMART",
        primary_exchange=contract.primaryExchange,
        currency=contract.currency,
        name=details.longName,
        min_tick=number(details.minTick) or Decimal("0.01"),
        multiplier=number(contract.multiplier) or Decimal(1),
        hours=details.liquidHours,
        time_zone=details.timeZoneId,
    )


def contract(of: Instrument) -> ib.Contract:
    """The broker's name of an instrument: its con_id says it all, the rest is for the reader of a log."""
    return ib.Contract(
        secType=of.kind,
        conId=of.con_id,
        symbol=wire_symbol(of.symbol) if of.kind == "STK" else of.symbol,
        exchange="SMART",
        currency=of.currency,
        primaryExchange=of.primary_exchange,
    )


def order(of: Ticket | Order, order_ref: str = "", *, parent_id: int = 0, transmit: bool = True) -> ib.Order:
    """The order as it leaves, from the same terms that the card showed. What is not transmitted waits for the rest of its bracket."""
    made = ib.Order(
        action=of.side.value,
        totalQuantity=float(of.quantity),
        orderType=of.order_type.value,
        tif=of.tif.value,
        orderRef=order_ref,
        account=of.account,
        parentId=parent_id,
        transmit=transmit,
    )
    if isinstance(of, Order) and of.oca:
        made.ocaGroup, made.ocaType = of.oca, 1  # one cancels the other, never both filled
    if of.limit_price is not None:
        made.lmtPrice = float(of.limit_price)
    if of.stop_price is not None:
        made.auxPrice = float(of.stop_price)
    return made


def quote(ticker: ib.Ticker, time: datetime) -> Quote:
    """The top of the book as it stands; `time` is when its last tick was heard, by our own clock."""
    return Quote(
        bid=price(ticker.bid),
        ask=price(ticker.ask),
        last=price(ticker.last),
        time=time,
        delayed=ticker.marketDataType in (3, 4),
        halted=ticker.halted > 0,  # 1 by the exchange, 2 for its volatility; -1 and nan say nothing
        close=price(ticker.close),
    )


def bar(raw: ib.BarData) -> Bar | None:
    """One daily bar; None where a price is missing."""
    prices = [price(value) for value in (raw.open, raw.high, raw.low, raw.close)]
    if any(one is None for one in prices):
        return None
    day = raw.date.date() if isinstance(raw.date, datetime) else raw.date
    opened, high, low, close = (one for one in prices if one is not None)
    return Bar(day, opened, high, low, close, number(raw.volume))


def what_if(state: ib.OrderState) -> WhatIf:
    """The broker's forecast."""
    return WhatIf(
        initial_margin_change=number(state.initMarginChange),
        maintenance_margin_change=number(state.maintMarginChange),
        equity_with_loan_after=number(state.equityWithLoanAfter),
        commission=number(state.commission),
        commission_currency=state.commissionCurrency,
        warning=state.warningText,
        maintenance_margin_after=number(state.maintMarginAfter),
    )


def position(raw: ib.Position) -> Position:
    """A holding; the market's view of it comes with the portfolio."""
    return Position(
        account=raw.account,
        con_id=raw.contract.conId,
        symbol=shown_symbol(raw.contract),
        currency=raw.contract.currency,
        signed_quantity=number(raw.position) or Decimal(0),
        average_cost=number(raw.avgCost),
    )


def open_order(order_id: int, named: ib.Contract, raw: ib.Order, state: ib.OrderState) -> OrderReport:
    """An openOrder or completedOrder message."""
    order_type = KINDS.get(raw.orderType, OrderType.OTHER)
    return OrderReport(
        status=state.status,
        client_id=raw.clientId,
        order_id=order_id,
        perm_id=raw.permId,
        order_ref=raw.orderRef or "",
        account=raw.account,
        con_id=named.conId,
        symbol=shown_symbol(named),
        currency=named.currency,
        side=Side(raw.action) if raw.action in ("BUY", "SELL") else Side.SELL,
        quantity=number(raw.totalQuantity) or None,  # completed orders carry 0 here, which says nothing
        order_type=order_type,
        limit_price=price(raw.lmtPrice) if order_type is OrderType.LIMIT else None,
        stop_price=price(raw.auxPrice) if order_type is OrderType.STOP else None,
        tif=TimeInForce(raw.tif) if raw.tif in ("DAY", "GTC") else TimeInForce.DAY,
        filled=number(raw.filledQuantity),
        text=getattr(state, "completedStatus", "") or "",
        ended_at=moment(getattr(state, "completedTime", "")),
    )


def order_status(
    order_id: int, status: str, filled: float, average: float, perm_id: int, client_id: int, why_held: str
) -> OrderReport:
    """An orderStatus message: it names no order_ref and no instrument."""
    return OrderReport(
        status=status,
        client_id=client_id,
        order_id=order_id,
        perm_id=perm_id,
        filled=number(filled),
        average_price=price(average),
        text=why_held,
    )


def execution(named: ib.Contract, raw: ib.Execution) -> Execution:
    """A fill. The broker writes BOT and SLD, and an unset order id for orders typed into TWS.

    Raises ValueError where it does not say what was traded, which way, how much of it and at what price: a fill that is half known is
    not booked as one of nothing, and the next comparison of the books asks again.
    """
    quantity, paid = number(raw.shares), number(raw.price)
    sides = {"BOT": Side.BUY, "SLD": Side.SELL}
    if not raw.execId or not 0 < named.conId < 2**31 or raw.side not in sides or paid is None:
        raise ValueError(f"an execution that cannot be read: {raw!r}")
    if quantity is None or quantity < 0:
        raise ValueError(f"an execution of no quantity that can be: {raw!r}")
    return Execution(
        exec_id=raw.execId,
        account=raw.acctNumber,
        con_id=named.conId,
        symbol=shown_symbol(named),
        currency=named.currency,
        side=sides[raw.side],
        quantity=quantity,
        price=paid,
        time=raw.time,
        client_id=raw.clientId,
        order_id=raw.orderId if number(raw.orderId) is not None else 0,
        perm_id=raw.permId,
        order_ref=raw.orderRef or "",
    )


def commission(raw: ib.CommissionReport) -> Commission | None:
    """What a fill cost; None where the report names no amount."""
    amount = number(raw.commission)
    if amount is None:
        return None
    return Commission(raw.execId, amount, raw.currency, number(raw.realizedPNL))
