"""ib_async's words to ours and back: the one place where floats become Decimal and the broker's "unset" becomes None."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import ib_async as ib

from core.model import (
    Bar,
    Chain,
    Commission,
    Dividend,
    Execution,
    Instrument,
    Leg,
    OptionQuote,
    OptionTerms,
    Order,
    OrderReport,
    OrderType,
    Position,
    Quote,
    Right,
    Side,
    Ticket,
    TimeInForce,
    WhatIf,
)
from core.options.combine import con_id_of

OPTION, COMBINATION = "OPT", "BAG"  # the broker's kinds that are more than a contract id
ROUTE = "SMART"
KINDS = {kind.value: kind for kind in OrderType}
RIGHTS = {"C": Right.CALL, "CALL": Right.CALL, "P": Right.PUT, "PUT": Right.PUT}
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


def value(amount: Any) -> Decimal | None:
    """What a unit of something that can be worthless is worth; below zero it is none."""
    found = number(amount)
    return found if found is not None and found >= 0 else None


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
    return of.symbol.replace(" ", ".") if of.secType in ("STK", "", OPTION, COMBINATION) else of.symbol


def wire_symbol(symbol: str) -> str:
    """The broker's name of the same."""
    return symbol.replace(".", " ")


def day(told: str) -> date:
    """The day in the broker's 20261218, behind which a time of day may stand. Raises ValueError for a month and for anything else."""
    digits, behind = told[:8], told[8:9]
    if not (len(digits) == 8 and digits.isascii() and digits.isdigit()) or behind not in ("", " ", "-"):
        raise ValueError(f"no day can be read in {told!r}")
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))


def option_terms(of: ib.Contract) -> OptionTerms | None:
    """What makes it the option that it is; None for another kind of thing. Raises ValueError where any of it cannot be read."""
    if of.secType != OPTION:
        return None
    strike, right, multiplier = price(of.strike), RIGHTS.get(of.right), price(of.multiplier)
    if strike is None or right is None or multiplier is None:
        raise ValueError(f"an option without its strike, right or multiplier: {of!r}")
    return OptionTerms(
        day(of.lastTradeDateOrContractMonth), strike, right, multiplier, of.tradingClass.strip()
    )


def legs(of: ib.Contract, known: Mapping[int, OptionTerms]) -> tuple[Leg, ...]:
    """The parts of a combination. They come as contract ids, so their terms are those `known`. Raises ValueError where one cannot be read."""
    read = []
    for told in of.comboLegs:
        sign = 1 if told.action == "BUY" else -1
        if told.action not in ("BUY", "SELL", "SSHORT") or told.ratio <= 0 or not 0 < told.conId < 2**31:
            raise ValueError(f"a leg that cannot be read: {told!r}")
        read.append(Leg(told.conId, sign * told.ratio, known.get(told.conId)))
    return tuple(read)


def instrument(details: ib.ContractDetails) -> Instrument:
    """What contract details say. Raises ValueError where the broker sent none with an identity, or an option without its terms."""
    contract = details.contract
    if contract is None or not contract.conId:
        raise ValueError("contract details without a contract id")
    return Instrument(
        con_id=contract.conId,
        symbol=shown_symbol(contract),
        kind=contract.secType,
        exchange=contract.exchange or ROUTE,
        primary_exchange=contract.primaryExchange,
        currency=contract.currency,
        name=details.longName,
        min_tick=number(details.minTick) or Decimal("0.01"),
        multiplier=number(contract.multiplier) or Decimal(1),
        hours=details.liquidHours,
        time_zone=details.timeZoneId,
        option=option_terms(contract),
    )


def contract(of: Instrument | Order) -> ib.Contract:
    """The broker's name of a thing. Its con_id says it all, the rest is for the reader of a log; a combination is the list of its legs."""
    named = ib.Contract(
        secType=of.kind,
        symbol=wire_symbol(of.symbol) if of.kind in ("STK", OPTION, COMBINATION) else of.symbol,
        exchange=ROUTE,
        currency=of.currency,
    )
    if of.kind == COMBINATION:
        named.comboLegs = [
            ib.ComboLeg(leg.con_id, abs(leg.ratio), "BUY" if leg.ratio > 0 else "SELL", ROUTE)
            for leg in of.legs
        ]
        return named  # its con_id is ours, and the broker's own is the same for all of them
    named.conId = of.con_id
    if of.option is not None:
        _describe(named, of.option)
    elif isinstance(of, Instrument):
        named.primaryExchange = of.primary_exchange
    return named


def _describe(named: ib.Contract, terms: OptionTerms) -> None:
    named.lastTradeDateOrContractMonth = f"{terms.expiry:%Y%m%d}"
    named.strike, named.right = float(terms.strike), terms.right.value
    named.multiplier, named.tradingClass = f"{terms.multiplier:f}", terms.trading_class


def option_question(underlying: Instrument, terms: OptionTerms, *, every_strike: bool = False) -> ib.Contract:
    """An option by its terms, to be asked for by them; without its strike, all of that expiry and right."""
    named = ib.Contract(
        secType=OPTION,
        symbol=wire_symbol(underlying.symbol),
        exchange=ROUTE,
        currency=underlying.currency,
    )
    _describe(named, terms)
    if every_strike:
        named.strike = 0.0
    return named


def market_rule(details: ib.ContractDetails) -> int | None:
    """The number of the rule that says its ticks where it is routed smartly; None where none is named."""
    rules = dict(zip(details.validExchanges.split(","), details.marketRuleIds.split(","), strict=False))
    named = rules.get(ROUTE, "")
    return int(named) if named.isascii() and named.isdigit() and len(named) < 10 else None


def steps(told: Iterable[ib.PriceIncrement]) -> tuple[tuple[Decimal, Decimal], ...]:
    """(from this price on, the tick) of a rule, ascending."""
    read = ((number(one.lowEdge), price(one.increment)) for one in told)
    return tuple(sorted((low, tick) for low, tick in read if low is not None and tick is not None))


def standard_class(symbol: str) -> str:
    """What the exchanges call the options of a symbol that no split or merger has changed."""
    return symbol.replace(".", "").replace(" ", "")


def chain(underlying: Instrument, told: Iterable[ib.OptionChain]) -> Chain | None:
    """The standard options of an underlying, a hundred units each, as they are routed smartly; None where it has none.

    What was split or merged has a class of its own, with another multiplier or other things to deliver.
    """
    found = {}
    for one in told:
        if one.exchange != ROUTE or number(one.multiplier) != 100:
            continue
        expiries = sorted({read for text in one.expirations if (read := _day_or_none(text)) is not None})
        strikes = sorted({strike for bare in one.strikes if (strike := price(bare)) is not None})
        if expiries and strikes:
            found[one.tradingClass] = Chain(
                underlying.con_id, one.tradingClass, Decimal(100), tuple(expiries), tuple(strikes)
            )
    return found.get(standard_class(underlying.symbol))


def _day_or_none(told: str) -> date | None:
    try:
        return day(told)
    except ValueError:
        return None


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


def _figure(value: Any, low: float, high: float) -> float | None:
    """A figure of the broker's model; None where it is out of what can be, which is how the broker writes "not computed"."""
    return float(value) if isinstance(value, int | float) and low <= value <= high else None


def _contracts(value: Any) -> int | None:
    count = number(value)
    return int(count) if count is not None and count >= 0 else None


def option_quote(ticker: ib.Ticker, terms: OptionTerms | None, time: datetime) -> OptionQuote:
    """An option's market as it stands, with the Greeks of the broker's model; `time` is when its last tick was heard, by our own clock."""
    model = ticker.modelGreeks
    theta, vega = (None, None) if model is None else (model.theta, model.vega)
    interest = ticker.putOpenInterest if terms and terms.right is Right.PUT else ticker.callOpenInterest
    return OptionQuote(
        bid=price(ticker.bid),
        ask=price(ticker.ask),
        last=price(ticker.last),
        time=time,
        delayed=ticker.marketDataType in (3, 4),
        volatility=_figure(model.impliedVol, 1e-6, 100) if model else None,
        delta=_figure(model.delta, -1, 1) if model else None,
        gamma=_figure(model.gamma, 0, 1e6) if model else None,
        theta=None if theta == -2 else _figure(theta, -1e6, 1e6),  # -2 is "not computed" here too
        vega=_figure(vega, 0, 1e6),
        spot=_figure(model.undPrice, 1e-6, 1e9) if model else None,
        open_interest=_contracts(interest),
        volume=_contracts(ticker.volume),
    )


def dividend(told: Any) -> Dividend | None:
    """The next dividend in the broker's four figures; None where they name no date or no amount."""
    when, amount = getattr(told, "nextDate", None), price(getattr(told, "nextAmount", None))
    if isinstance(when, datetime):
        when = when.date()
    return Dividend(when, amount) if isinstance(when, date) and amount is not None else None


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


def _terms_or_known(named: ib.Contract, known: Mapping[int, OptionTerms]) -> OptionTerms | None:
    """The terms of an option as far as they can be read, else as they were told before."""
    try:
        return option_terms(named)
    except ValueError:
        return known.get(named.conId)


def position(raw: ib.Position, known: Mapping[int, OptionTerms] | None = None) -> Position:
    """A holding; the market's view of it comes with the portfolio. An option's average cost is of a whole contract, its multiplier in it."""
    return Position(
        account=raw.account,
        con_id=raw.contract.conId,
        symbol=shown_symbol(raw.contract),
        currency=raw.contract.currency,
        signed_quantity=number(raw.position) or Decimal(0),
        average_cost=number(raw.avgCost),
        option=_terms_or_known(raw.contract, known or {}),
        kind=raw.contract.secType or "STK",
    )


def open_order(
    order_id: int,
    named: ib.Contract,
    raw: ib.Order,
    state: ib.OrderState,
    known: Mapping[int, OptionTerms] | None = None,
) -> OrderReport:
    """An openOrder or completedOrder message. `known` are the terms of options by con_id: the legs of a combination come without them.

    An order whose option or legs cannot be read is reported all the same, without them: it works, whatever it is of.
    """
    order_type = KINDS.get(raw.orderType, OrderType.OTHER)
    try:
        parts = legs(named, known or {}) if named.secType == COMBINATION else ()
    except ValueError:
        parts = ()
    limit = number(raw.lmtPrice) if named.secType == COMBINATION else price(raw.lmtPrice)
    return OrderReport(
        status=state.status,
        client_id=raw.clientId,
        order_id=order_id,
        perm_id=raw.permId,
        order_ref=raw.orderRef or "",
        account=raw.account,
        con_id=con_id_of(parts) if parts else named.conId,
        symbol=shown_symbol(named),
        currency=named.currency,
        side=Side(raw.action) if raw.action in ("BUY", "SELL") else Side.SELL,
        quantity=number(raw.totalQuantity) or None,  # completed orders carry 0 here, which says nothing
        order_type=order_type,
        limit_price=limit if order_type is OrderType.LIMIT else None,
        stop_price=price(raw.auxPrice) if order_type is OrderType.STOP else None,
        tif=TimeInForce(raw.tif) if raw.tif in ("DAY", "GTC") else TimeInForce.DAY,
        filled=number(raw.filledQuantity),
        text=getattr(state, "completedStatus", "") or "",
        kind=named.secType or "STK",
        option=_terms_or_known(named, known or {}),
        legs=parts,
        ended_at=moment(getattr(state, "completedTime", "")),
    )


def order_status(
    order_id: int, status: str, filled: float, average: float, perm_id: int, client_id: int, why_held: str
) -> OrderReport:
    """An orderStatus message: it names no order_ref and no instrument.

    The average of a combination may be zero, or negative for a credit; where nothing is filled there is none, though the broker writes 0.
    """
    done = number(filled)
    return OrderReport(
        status=status,
        client_id=client_id,
        order_id=order_id,
        perm_id=perm_id,
        filled=done,
        average_price=number(average) if done else None,
        text=why_held,
    )


def execution(named: ib.Contract, raw: ib.Execution) -> Execution:
    """A fill. The broker writes BOT and SLD, and an unset order id for orders typed into TWS.

    An option that expired or was exercised is closed at a price of 0; only a combination has prices below it. Raises ValueError where it
    does not say what was traded, which way, how much of it and at what price: a fill that is half known is not booked as one of nothing,
    and the next comparison of the books asks again.
    """
    quantity, paid = number(raw.shares), number(raw.price)
    sides = {"BOT": Side.BUY, "SLD": Side.SELL}
    if not raw.execId or not 0 < named.conId < 2**31 or raw.side not in sides or paid is None:
        raise ValueError(f"an execution that cannot be read: {raw!r}")
    if quantity is None or quantity < 0:
        raise ValueError(f"an execution of no quantity that can be: {raw!r}")
    if paid < 0 and named.secType != COMBINATION:
        raise ValueError(f"an execution at a price below zero that can have none: {raw!r}")
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
        kind=named.secType or "STK",
        option=option_terms(named),
    )


def commission(raw: ib.CommissionReport) -> Commission | None:
    """What a fill cost; None where the report names no amount."""
    amount = number(raw.commission)
    if amount is None:
        return None
    return Commission(raw.execId, amount, raw.currency, number(raw.realizedPNL))
