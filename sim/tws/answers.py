"""Everything TWS says, as framed messages by server version. Pure functions of records; the layouts follow IB's own decoder."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sim.tws import hours
from sim.tws.book import Execution, Order, Position
from sim.tws.codec import UNSET_DOUBLE, UNSET_INTEGER, frame, message
from sim.tws.contracts import ORDER_TYPES, Instrument
from sim.tws.market import Bar
from sim.tws.money import Preview
from sim.tws.requests import Terms

ZONE = "US/Eastern"


# -- the connection


def hello(version: int, now: datetime) -> bytes:
    """The answer to a client's versions: ours, and the time."""
    return frame(f"{version}\0{now.astimezone(hours.NEW_YORK):%Y%m%d %H:%M:%S} EST\0".encode())


def next_valid_id(order_id: int) -> bytes:
    """The next order id the client may use."""
    return message(9, 1, order_id)


def managed_accounts(accounts: Iterable[str]) -> bytes:
    """The accounts of this login."""
    return message(15, 1, ",".join(accounts))


def error(version: int, request_id: int, code: int, text: str) -> bytes:
    """An error or a notice; `request_id` is -1 where it belongs to no request."""
    values: list[object] = [4, 2, request_id, code, text]
    if version >= 166:
        values.append("")  # why an order was rejected, as JSON
    return message(*values)


def current_time(now: datetime) -> bytes:
    """The time, in seconds."""
    return message(49, 1, int(now.timestamp()))


def user_info(request_id: int) -> bytes:
    """The white branding id: nobody's."""
    return message(107, request_id, "")


def family_codes(accounts: Sequence[str]) -> bytes:
    """The family codes of the accounts: none have any."""
    return message(78, len(accounts), *(value for account in accounts for value in (account, "")))


# -- contracts


def _contract(instrument: Instrument, exchange: str, right: str = "") -> tuple[object, ...]:
    return (
        instrument.con_id,
        instrument.symbol,
        instrument.sec_type,
        "",
        "0",
        right,
        "" if instrument.multiplier == 1 else instrument.multiplier,
        exchange,
        instrument.currency,
        instrument.local_symbol,
        instrument.trading_class,
    )


def contract_details(
    version: int, request_id: int, instrument: Instrument, exchange: str, now: datetime
) -> bytes:
    """Everything about a contract."""
    exchanges = ",".join(instrument.exchanges)
    values: list[object] = [10]
    if version < 164:
        values.append(8)
    values += [
        request_id,
        instrument.symbol,
        instrument.sec_type,
        "",
        "0",
        "",
        exchange,
        instrument.currency,
        instrument.local_symbol,
    ]
    values += [instrument.trading_class, instrument.trading_class, instrument.con_id, instrument.min_tick]
    if version < 164:
        values.append(100)  # the obsolete size multiplier
    values += ["", ORDER_TYPES, exchanges, 1, 0, instrument.long_name, instrument.primary_exchange, ""]
    values += [instrument.industry, instrument.category, instrument.category, instrument.time_zone]
    values += [hours.wire_hours(now, regular=False), hours.wire_hours(now, regular=True), "", 0]
    values += [0]  # security ids
    values += [
        1,
        "",
        "",
        ",".join([str(instrument.market_rule)] * len(instrument.exchanges)),
        "",
        instrument.stock_type,
    ]
    if version == 163:
        values.append("1")
    if version >= 164:
        values += ["0.0001", "0.0001", "100"]
    return message(*values)


def contract_details_end(request_id: int) -> bytes:
    """No more contracts."""
    return message(52, 1, request_id)


def symbol_samples(version: int, request_id: int, instruments: Sequence[Instrument]) -> bytes:
    """What a search for symbols found."""
    values: list[object] = [79, request_id, len(instruments)]
    for instrument in instruments:
        values += [
            instrument.con_id,
            instrument.symbol,
            instrument.sec_type,
            f"{instrument.primary_exchange}",
            instrument.currency,
        ]
        values += [5, "CFD", "OPT", "IOPT", "WAR", "BAG"] if instrument.currency == "USD" else [0]
        if version >= 176:
            values += [instrument.long_name, ""]
    return message(*values)


def market_rule(rule: int, increments: Sequence[tuple[Decimal, Decimal]]) -> bytes:
    """The price steps of a market rule, each from a price on."""
    return message(93, rule, len(increments), *(value for pair in increments for value in pair))


# -- market data


def tick_price(request_id: int, kind: int, price: Decimal, size: int | Decimal, mask: int = 0) -> bytes:
    """A price with its size."""
    return message(1, 6, request_id, kind, price, size, mask)


def tick_size(request_id: int, kind: int, size: int | Decimal) -> bytes:
    """A size alone."""
    return message(2, 6, request_id, kind, size)


def tick_string(request_id: int, kind: int, text: str) -> bytes:
    """A tick that is a text."""
    return message(46, 6, request_id, kind, text)


def tick_generic(request_id: int, kind: int, value: Decimal) -> bytes:
    """A tick that is a number."""
    return message(45, 6, request_id, kind, value)


def tick_request_parameters(request_id: int, min_tick: Decimal) -> bytes:
    """What a subscription to market data is about."""
    return message(81, request_id, min_tick, "9c0001", 3)


def snapshot_end(request_id: int) -> bytes:
    """A snapshot is complete."""
    return message(57, 1, request_id)


def market_data_type(request_id: int, kind: int) -> bytes:
    """Whether data are live (1), frozen (2), delayed (3) or both (4)."""
    return message(58, 1, request_id, kind)


def historical_data(
    request_id: int,
    start: datetime,
    end: datetime,
    bars: Sequence[Bar],
    size: timedelta | str,
    style: int,
    what: str,
    version: int,
) -> bytes:
    """A whole answer of bars."""
    values: list[object] = [17, request_id, _moment(start, version), _moment(end, version), len(bars)]
    for bar in bars:
        values.append(bar_date(bar, size, style, version))
        values += [bar.open, bar.high, bar.low, bar.close, *_volume(bar, what)]
    return message(*values)


def historical_update(
    request_id: int, bar: Bar, size: timedelta | str, style: int, what: str, version: int
) -> bytes:
    """The latest bar of a request that is kept up to date."""
    volume, average, count = _volume(bar, what)
    return message(
        90,
        request_id,
        count,
        bar_date(bar, size, style, version),
        bar.open,
        bar.close,
        bar.high,
        bar.low,
        average,
        volume,
    )


def _volume(bar: Bar, what: str) -> tuple[object, object, object]:
    return (bar.volume, bar.average, bar.count) if what in {"TRADES", "ADJUSTED_LAST"} else (-1, -1, -1)


def bar_date(bar: Bar, size: timedelta | str, style: int, version: int) -> str:
    """The date of a bar: a day for bars of a day and more, otherwise a local time (style 1) or seconds (style 2)."""
    if isinstance(size, str):
        return f"{bar.start:%Y%m%d}"
    return str(int(bar.start.timestamp())) if style == 2 else _moment(bar.start, version)


def realtime_bar(request_id: int, bar: Bar) -> bytes:
    """A bar of five seconds."""
    return message(
        50,
        3,
        request_id,
        int(bar.start.timestamp()),
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.average,
        bar.count,
    )


def head_timestamp(request_id: int, moment: datetime, style: int) -> bytes:
    """Since when there are data."""
    return message(88, request_id, int(moment.timestamp()) if style == 2 else f"{moment:%Y%m%d-%H:%M:%S}")


# -- orders


def order_status(order: Order, parent_id: int) -> bytes:
    """Where an order stands."""
    return message(
        3, order.order_id, order.status, order.filled, order.remaining, _price(order.average), order.perm_id, parent_id,
        order.last_price, order.client_id, order.why_held, 0,
    )  # fmt: skip


def open_order(version: int, order: Order, parent_id: int) -> bytes:
    """An order as a whole."""
    return _open_order(version, order.order_id, order.client_id, order.perm_id, parent_id, order.instrument, order.exchange, order.account, order.terms, order.status, order.stop, _state(order))  # fmt: skip


def previewed(
    version: int,
    client_id: int,
    order_id: int,
    instrument: Instrument,
    exchange: str,
    account: str,
    terms: Terms,
    preview: Preview,
) -> bytes:
    """The answer to a what-if order: its margin and commission, and no status later."""
    return _open_order(version, order_id, client_id, 0, terms.parent_id, instrument, exchange, account, terms, "PreSubmitted", None, _what_if(preview))  # fmt: skip


def _state(order: Order) -> tuple[object, ...]:
    """The figures of an order state: none known but the commission."""
    fee = order.commission
    return (
        *[UNSET_DOUBLE] * 9,
        UNSET_DOUBLE if fee is None else fee,
        UNSET_DOUBLE,
        UNSET_DOUBLE,
        "" if fee is None else order.instrument.currency,
        "",
    )


def _what_if(preview: Preview) -> tuple[object, ...]:
    before, after = preview.before, preview.after
    first = (before.initial, before.maintenance, before.net_liquidation)
    last = (after.initial, after.maintenance, after.net_liquidation)
    change = [b - a for a, b in zip(first, last, strict=True)]
    warning = "" if after.available >= 0 else "Your order would exceed the funds available for trading."
    return (*first, *change, *last, preview.commission, UNSET_DOUBLE, UNSET_DOUBLE, preview.currency, warning)


def _open_order(
    version: int, order_id: int, client_id: int, perm_id: int, parent_id: int, instrument: Instrument, exchange: str,
    account: str, terms: Terms, status: str, stop: Decimal | None, state: tuple[object, ...],
) -> bytes:  # fmt: skip
    raw = _Raw(terms.raw)
    values: list[object] = [
        5,
        order_id,
        *_contract(instrument, exchange, "?"),
        *_main(terms, account),
        client_id,
        perm_id,
    ]
    values += [*raw.zeros("outsideRth", "hidden", "discretionaryAmt"), *raw.texts("goodAfterTime"), ""]
    values += raw.texts("faGroup", "faMethod", "faPercentage")
    if version < 177:
        values.append("")
    values += [
        *raw.texts("modelCode", "goodTillDate", "rule80A"),
        raw.double("percentOffset"),
        *raw.texts("settlingFirm"),
    ]
    values += [
        *raw.zeros("shortSaleSlot"),
        *raw.texts("designatedLocation"),
        raw.get("exemptCode", "-1"),
        *raw.zeros("auctionStrategy"),
    ]
    values += raw.doubles("startingPrice", "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper")
    values += [
        raw.get("displaySize", UNSET_INTEGER),
        *raw.zeros("blockOrder", "sweepToFill", "allOrNone"),
        raw.integer("minQty"),
    ]
    values += [terms.oca_type or 3, 0, 0, UNSET_DOUBLE, parent_id, *raw.zeros("triggerMethod")]
    values += [
        raw.double("volatility"),
        raw.get("volatilityType", "0"),
        "None",
        UNSET_DOUBLE,
        0,
        "",
        "",
        "",
        "?",
        0,
        0,
        "",
    ]
    values += [*raw.zeros("continuousUpdate", "referencePriceType"), *_trail(terms, stop)]
    values += [UNSET_DOUBLE, UNSET_INTEGER, *_legs(terms, raw), *_scale(raw), *_hedge(raw)]
    values += [
        *raw.zeros("optOutSmartRouting"),
        *raw.texts("clearingAccount"),
        raw.get("clearingIntent", "IB"),
        *raw.zeros("notHeld"),
        0,
    ]
    values += [
        *_algo(raw),
        *raw.zeros("solicited"),
        terms.what_if,
        status,
        *state,
        *raw.zeros("randomizeSize", "randomizePrice"),
    ]
    values += [*_peg_bench(terms, raw), *_conditions(terms, raw)]
    values += [
        raw.get("adjustedOrderType", "None"),
        raw.double("triggerPrice"),
        _trail(terms, stop)[0],
        raw.double("lmtPriceOffset"),
    ]
    values += [
        *raw.doubles("adjustedStopPrice", "adjustedStopLimitPrice", "adjustedTrailingAmount"),
        *raw.zeros("adjustableTrailingUnit"),
    ]
    values += [
        *raw.texts("softDollarTierName", "softDollarTierVal"),
        "",
        *raw.zeros("cashQty", "dontUseAutoPriceForHedge"),
    ]
    values += raw.zeros("isOmsContainer", "discretionaryUpToLimitPrice", "usePriceMgmtAlgo")
    if version >= 158:
        values.append(raw.integer("duration"))
    if version >= 160:
        values.append(raw.integer("postToAts"))
    if version >= 162:
        values += raw.zeros("autoCancelParent")
    if version >= 170:
        values += _peg(raw)
    return message(*values)


def completed_order(version: int, order: Order) -> bytes:
    """An order that is done, as the list of completed orders shows it: without order id and client id."""
    terms, raw = order.terms, _Raw(order.terms.raw)
    values: list[object] = [
        101,
        *_contract(order.instrument, order.exchange, "?"),
        *_main(terms, order.account),
        order.perm_id,
    ]
    values += [
        *raw.zeros("outsideRth", "hidden", "discretionaryAmt"),
        *raw.texts("goodAfterTime", "faGroup", "faMethod", "faPercentage"),
    ]
    if version < 177:
        values.append("")
    values += [
        *raw.texts("modelCode", "goodTillDate", "rule80A"),
        raw.double("percentOffset"),
        *raw.texts("settlingFirm"),
    ]
    values += [*raw.zeros("shortSaleSlot"), *raw.texts("designatedLocation"), raw.get("exemptCode", "-1")]
    values += raw.doubles("startingPrice", "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper")
    values += [
        raw.get("displaySize", UNSET_INTEGER),
        *raw.zeros("sweepToFill", "allOrNone"),
        raw.integer("minQty"),
        terms.oca_type or 3,
    ]
    values += [
        *raw.zeros("triggerMethod"),
        raw.double("volatility"),
        raw.get("volatilityType", "0"),
        "None",
        UNSET_DOUBLE,
        0,
        0,
        0,
        "",
    ]
    values += [
        *raw.zeros("continuousUpdate", "referencePriceType"),
        *_trail(terms, order.stop),
        *_legs(terms, raw),
        *_scale(raw),
        *_hedge(raw),
    ]
    values += [
        *raw.texts("clearingAccount"),
        raw.get("clearingIntent", "IB"),
        *raw.zeros("notHeld"),
        0,
        *_algo(raw),
    ]
    values += [*raw.zeros("solicited"), order.status, *raw.zeros("randomizeSize", "randomizePrice")]
    values += [
        *_peg_bench(terms, raw),
        *_conditions(terms, raw),
        _trail(terms, order.stop)[0],
        raw.double("lmtPriceOffset"),
    ]
    values += [
        *raw.zeros("cashQty", "dontUseAutoPriceForHedge", "isOmsContainer"),
        "",
        order.filled,
        UNSET_INTEGER,
    ]
    values += [
        *raw.zeros("autoCancelParent"),
        "Not an insider or substantial shareholder",
        0,
        0,
        order.parent_perm_id,
    ]
    values += [_moment(order.completed or order.created, version), order.completed_text]
    if version >= 170:
        values += _peg(raw)
    return message(*values)


class _Raw:
    """The fields of an order as the client gave them, with what TWS writes where it gave none."""

    def __init__(self, raw: Mapping[str, str]) -> None:
        self.get = raw.get

    def texts(self, *names: str) -> list[str]:
        return [self.get(name, "") for name in names]

    def zeros(self, *names: str) -> list[str]:
        return [self.get(name, "0") for name in names]

    def double(self, name: str) -> str:
        return self.get(name, UNSET_DOUBLE)

    def doubles(self, *names: str) -> list[str]:
        return [self.get(name, UNSET_DOUBLE) for name in names]

    def integer(self, name: str) -> str:
        return self.get(name, UNSET_INTEGER)


def _main(terms: Terms, account: str) -> tuple[object, ...]:
    return (
        terms.action, terms.quantity, terms.type, terms.limit or "0", terms.aux or "0", terms.tif, terms.oca_group, account,
        terms.raw.get("openClose", ""), terms.raw.get("origin", "0"), terms.ref,
    )  # fmt: skip


def _trail(terms: Terms, stop: Decimal | None) -> tuple[object, object]:
    price = stop if stop is not None else terms.trail_stop
    return (UNSET_DOUBLE if price is None else price), (
        UNSET_DOUBLE if terms.trail_percent is None else terms.trail_percent
    )


def _legs(terms: Terms, raw: _Raw) -> list[object]:
    description = ",".join(
        f"{leg.con_id}|{leg.ratio if leg.action == 'BUY' else -leg.ratio}" for leg in terms.legs
    )
    values: list[object] = [description, len(terms.legs)]
    for leg in terms.legs:
        values += [
            leg.con_id,
            leg.ratio,
            leg.action,
            leg.exchange,
            leg.open_close,
            leg.short_sale_slot,
            leg.location,
            leg.exempt,
        ]
    values += [len(terms.leg_prices), *(price or UNSET_DOUBLE for price in terms.leg_prices)]
    return [*values, *_pairs(raw.get("smartComboRoutingParams", ""))]


def _pairs(text: str) -> list[object]:
    parts = text.split("\0") if text else []
    return [len(parts) // 2, *parts]


def _scale(raw: _Raw) -> list[object]:
    values: list[object] = [
        raw.integer("scaleInitLevelSize"),
        raw.integer("scaleSubsLevelSize"),
        raw.double("scalePriceIncrement"),
    ]
    if raw.get("scalePriceIncrement"):
        values += [
            raw.double("scalePriceAdjustValue"),
            raw.integer("scalePriceAdjustInterval"),
            raw.double("scaleProfitOffset"),
        ]
        values += [
            *raw.zeros("scaleAutoReset"),
            raw.integer("scaleInitPosition"),
            raw.integer("scaleInitFillQty"),
            *raw.zeros("scaleRandomPercent"),
        ]
    return values


def _hedge(raw: _Raw) -> list[str]:
    kind = raw.get("hedgeType", "")
    return [kind, *raw.texts("hedgeParam")] if kind else [""]


def _algo(raw: _Raw) -> list[object]:
    strategy = raw.get("algoStrategy", "")
    return [strategy, *_pairs(raw.get("algoParams", ""))] if strategy else [""]


def _peg_bench(terms: Terms, raw: _Raw) -> list[str]:
    if terms.type not in {"PEG BENCH", "PEGBENCH"}:
        return []
    return [
        *raw.zeros("referenceContractId", "isPeggedChangeAmountDecrease", "peggedChangeAmount", "referenceChangeAmount"),
        *raw.texts("referenceExchangeId"),
    ]  # fmt: skip


def _conditions(terms: Terms, raw: _Raw) -> list[object]:
    values: list[object] = [
        len(terms.conditions),
        *(text for condition in terms.conditions for text in condition),
    ]
    return (
        [*values, *raw.zeros("conditionsIgnoreRth", "conditionsCancelOrder")] if terms.conditions else values
    )


def _peg(raw: _Raw) -> list[str]:
    return [
        raw.integer("minTradeQty"),
        raw.integer("minCompeteSize"),
        *raw.doubles("competeAgainstBestOffset", "midOffsetAtWhole", "midOffsetAtHalf"),
    ]


def open_orders_end() -> bytes:
    """No more open orders."""
    return message(53, 1)


def completed_orders_end() -> bytes:
    """No more completed orders."""
    return message(102)


def order_bound(perm_id: int, client_id: int, order_id: int) -> bytes:
    """An order typed into TWS now has an id of a client."""
    return message(100, perm_id, client_id, order_id)


def execution(version: int, request_id: int, fill: Execution) -> bytes:
    """A fill; `request_id` is -1 for one that happens now."""
    values: list[object] = [11, request_id, fill.order_id, *_contract(fill.instrument, fill.exchange)]
    values += [
        fill.exec_id,
        _moment(fill.at, version),
        fill.account,
        fill.exchange,
        fill.side,
        fill.quantity,
        fill.price,
        fill.perm_id,
    ]
    values += [fill.client_id, 0, fill.cumulative, _price(fill.average), fill.ref, "", "", "", 2]
    if version >= 178:
        values.append(False)
    return message(*values)


def executions_end(request_id: int) -> bytes:
    """No more executions."""
    return message(55, 1, request_id)


def commission(fill: Execution) -> bytes:
    """What a fill cost and realized."""
    realized = fill.realized or UNSET_DOUBLE
    return message(59, 1, fill.exec_id, fill.commission, fill.currency, realized, UNSET_DOUBLE, "")


# -- the account


def position(held: Position) -> bytes:
    """A position."""
    return message(
        61,
        3,
        held.account,
        *_contract(held.instrument, held.instrument.primary_exchange),
        held.quantity,
        _price(held.average_cost),
    )


def positions_end() -> bytes:
    """No more positions."""
    return message(62, 1)


def position_multi(request_id: int, held: Position) -> bytes:
    """A position for a request of its own."""
    return message(
        71, 1, request_id, held.account, *_contract(held.instrument, held.instrument.primary_exchange), held.quantity, _price(held.average_cost), ""
    )  # fmt: skip


def position_multi_end(request_id: int) -> bytes:
    """No more positions for that request."""
    return message(72, 1, request_id)


def account_value(tag: str, value: object, currency: str, account: str) -> bytes:
    """One figure of an account."""
    return message(6, 2, tag, value, currency, account)


def portfolio(held: Position, price: Decimal) -> bytes:
    """A position with its value."""
    instrument = held.instrument
    value = held.quantity * price * instrument.multiplier
    unrealized = value - held.quantity * held.average_cost
    return message(
        7, 8, *_contract(instrument, instrument.primary_exchange, "0"), held.quantity, price, _price(value), _price(held.average_cost),
        _price(unrealized), _price(held.realized), held.account,
    )  # fmt: skip


def account_time(now: datetime) -> bytes:
    """When the account's figures were drawn up."""
    return message(8, 1, f"{now.astimezone(hours.NEW_YORK):%H:%M}")


def account_download_end(account: str) -> bytes:
    """All figures of an account have been sent."""
    return message(54, 1, account)


def account_value_multi(request_id: int, account: str, tag: str, value: object, currency: str) -> bytes:
    """One figure for a request of its own."""
    return message(73, 1, request_id, account, "", tag, value, currency)


def account_multi_end(request_id: int) -> bytes:
    """All figures for that request have been sent."""
    return message(74, 1, request_id)


def account_summary(request_id: int, account: str, tag: str, value: object, currency: str) -> bytes:
    """One figure of the account summary."""
    return message(63, 1, request_id, account, tag, value, currency)


def account_summary_end(request_id: int) -> bytes:
    """The account summary is complete."""
    return message(64, 1, request_id)


def pnl(request_id: int, daily: Decimal, unrealized: Decimal, realized: Decimal) -> bytes:
    """Profit and loss of an account."""
    return message(94, request_id, _price(daily), _price(unrealized), _price(realized))


def pnl_single(
    request_id: int, quantity: Decimal, daily: Decimal, unrealized: Decimal, realized: Decimal, value: Decimal
) -> bytes:
    """Profit and loss of one position."""
    return message(
        95, request_id, quantity, _price(daily), _price(unrealized), _price(realized), _price(value)
    )


def _price(value: Decimal) -> Decimal:
    """A computed price with no more digits than TWS shows."""
    return round(value, 8)


def _moment(moment: datetime, version: int) -> str:
    """A local time; since version 174 its zone stands with it."""
    local = moment.astimezone(hours.NEW_YORK)
    return f"{local:%Y%m%d %H:%M:%S} {ZONE}" if version >= 174 else f"{local:%Y%m%d  %H:%M:%S}"
