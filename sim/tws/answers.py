"""What TWS says about everything but orders, as framed messages by server version. Pure functions; the layouts follow IB's own decoder."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sim.tws import hours
from sim.tws.bars import Bar
from sim.tws.book import Position
from sim.tws.codec import UNSET_DOUBLE, frame, message
from sim.tws.contracts import BASE, BY_ID, Instrument
from sim.tws.market import Quote
from sim.tws.pricing import Model

ZONE = "US/Eastern"
_DERIVED = {
    "STK": ("CFD", "OPT", "IOPT", "WAR", "BAG"),
    "CASH": ("CFD",),
    "IND": ("CFD", "OPT", "IOPT", "WAR", "BAG"),
}
"""What TWS says can be traded on a symbol; it is listed, though not all of it exists here."""


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


def contract_fields(instrument: Instrument, exchange: str, right: str = "") -> tuple[object, ...]:
    """The eleven fields of a contract; TWS writes the right of a share differently from message to message."""
    return (
        instrument.wire_id,
        instrument.symbol,
        instrument.sec_type,
        _expiry(instrument),
        instrument.strike,
        instrument.right or right,
        "" if instrument.multiplier == 1 else instrument.multiplier,
        exchange,
        instrument.currency,
        instrument.local_symbol,
        instrument.trading_class,
    )


def _expiry(instrument: Instrument, form: str = "%Y%m%d") -> str:
    """The day on which an option expires; empty for anything else."""
    return "" if instrument.expiry is None else instrument.expiry.strftime(form)


def contract_details(
    version: int,
    request_id: int,
    instrument: Instrument,
    exchange: str,
    now: datetime,
    *,
    always: bool = False,
    closed: bool = False,
) -> bytes:
    """Everything about a contract. Its hours are those of an exchange that is `always` open, or `closed` now; else the calendar's."""
    exchanges = ",".join(instrument.exchanges)
    values: list[object] = [10]
    if version < 164:
        values.append(8)
    values += [
        request_id,
        instrument.symbol,
        instrument.sec_type,
        _expiry(instrument),
        instrument.strike,
        instrument.right,
        exchange,
        instrument.currency,
        instrument.local_symbol,
    ]
    values += [instrument.trading_class, instrument.trading_class, instrument.con_id, instrument.min_tick]
    if version < 164:
        values.append(100)  # the obsolete size multiplier
    on = BY_ID[instrument.underlying] if instrument.is_option else None
    values += [
        "" if instrument.multiplier == 1 else instrument.multiplier,
        instrument.order_types,
        exchanges,
        1,
        instrument.underlying,
        instrument.long_name,
        instrument.primary_exchange,
        _expiry(instrument, "%Y%m"),
    ]
    values += [instrument.industry, instrument.category, instrument.category, instrument.time_zone]
    values += [
        hours.wire_hours(
            now,
            regular,
            always=always,
            closed=closed,
            calendar=instrument.calendar,
            zone=instrument.time_zone,
        )
        for regular in (False, True)
    ]
    values += ["", 0]
    values += [0]  # security ids
    values += [
        4 if instrument.is_forex else 1,
        on.symbol if on else "",
        on.sec_type if on else "",
        ",".join([str(instrument.market_rule)] * len(instrument.exchanges)),
        _expiry(instrument),
        instrument.stock_type,
    ]
    if version == 163:
        values.append("1")
    if version >= 164:
        values += ["0.0001", "0.0001", "100"] if instrument.is_share else [1, 1, 1]
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
            instrument.listing,
            instrument.currency,
        ]
        derived = _DERIVED[instrument.sec_type] if instrument.currency == BASE or instrument.is_forex else ()
        values += [len(derived), *derived]
        if version >= 176:
            values += [instrument.long_name, ""]
    return message(*values)


def market_rule(rule: int, increments: Sequence[tuple[Decimal, Decimal]]) -> bytes:
    """The price steps of a market rule, each from a price on."""
    return message(93, rule, len(increments), *(value for pair in increments for value in pair))


def smart_components(request_id: int, exchanges: Sequence[tuple[str, str]]) -> bytes:
    """Exchanges by the letters that stand for them in ticks."""
    rows = ((bit, *exchange) for bit, exchange in enumerate(exchanges))
    return message(82, request_id, len(exchanges), *(value for row in rows for value in row))


def depth_exchanges() -> bytes:
    """Which exchanges have market depth: none here."""
    return message(80, 0)


def news_providers() -> bytes:
    """Who sends news: nobody here."""
    return message(85, 0)


def soft_dollar_tiers(request_id: int) -> bytes:
    """Soft dollar tiers: an account here has none."""
    return message(77, request_id, 0)


def option_parameters(
    request_id: int,
    exchange: str,
    underlying: int,
    trading_class: str,
    expiries: Sequence[date],
    strikes: Sequence[Decimal],
) -> bytes:
    """A class of options at an exchange: when they expire, and their strikes."""
    days = [f"{day:%Y%m%d}" for day in expiries]
    head = (75, request_id, exchange, underlying, trading_class, "100")
    return message(*head, len(days), *days, len(strikes), *strikes)


def option_parameters_end(request_id: int) -> bytes:
    """No more option classes."""
    return message(76, request_id)


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


def option_computation(
    request_id: int,
    kind: int,
    volatility: float | None,
    of: Model,
    vega: float,
    price: float,
    dividends: float,
    spot: float,
) -> bytes:
    """What a price of an option means: volatility and Greeks. -1 (of a volatility) and -2 (of a Greek) is what cannot be told."""
    told: list[object] = [-1 if volatility is None else _number(volatility)]
    told += [-2 if volatility is None else _number(of.delta), _number(price), _number(dividends)]
    told += [-2 if volatility is None else _number(one) for one in (of.gamma, vega, of.theta)]
    return message(21, request_id, kind, 0, *told, _number(spot))


def _number(value: float) -> Decimal:
    return round(Decimal(repr(value)), 10)


def tick_request_parameters(request_id: int, min_tick: Decimal, exchanges: str) -> bytes:
    """What a subscription to market data is about; `exchanges` names the letters by which its ticks call the exchanges."""
    return message(81, request_id, min_tick, exchanges, 3)


def snapshot_end(request_id: int) -> bytes:
    """A snapshot is complete."""
    return message(57, 1, request_id)


def market_data_type(request_id: int, kind: int) -> bytes:
    """Whether data are live (1), frozen (2), delayed (3) or both (4)."""
    return message(58, 1, request_id, kind)


def historical_data(
    version: int,
    request_id: int,
    span: tuple[datetime, datetime],
    bars: Sequence[Bar],
    size: timedelta | str,
    style: int,
    volumes: bool | None,
) -> bytes:
    """A whole answer of bars. They have volumes or not; None is an index, which has trades but no volume."""
    values: list[object] = [17, request_id, *(moment_text(moment, version) for moment in span), len(bars)]
    for bar in bars:
        values.append(_bar_date(bar, size, style, version))
        values += [bar.open, bar.high, bar.low, bar.close, *_volume(bar, volumes)]
    return message(*values)


def historical_update(
    version: int, request_id: int, bar: Bar, size: timedelta | str, style: int, volumes: bool | None
) -> bytes:
    """The latest bar of a request that is kept up to date."""
    volume, average, count = _volume(bar, volumes)
    date = _bar_date(bar, size, style, version)
    return message(90, request_id, count, date, bar.open, bar.close, bar.high, bar.low, average, volume)


def _volume(bar: Bar, volumes: bool | None) -> tuple[object, object, object]:
    if volumes is None:
        return 0, 0, bar.count
    return (bar.volume, bar.average, bar.count) if volumes else (-1, -1, -1)


def real_time_bar(request_id: int, bar: Bar, volumes: bool | None) -> bytes:
    """A bar of five seconds that has just ended."""
    shown = (bar.open, bar.high, bar.low, bar.close)
    return message(50, 3, request_id, int(bar.start.timestamp()), *shown, *_volume(bar, volumes))


def schedule(
    version: int, request_id: int, zone: str, found: Sequence[tuple[datetime, datetime, date]]
) -> bytes:
    """Sessions of the past, in the zone of their exchange."""
    local = ZoneInfo(zone)

    def text(moment: datetime) -> str:
        return f"{moment.astimezone(local):%Y%m%d-%H:%M:%S}"

    sessions = [(text(opening), text(closing), f"{day:%Y%m%d}") for opening, closing, day in found]
    ends = (sessions[0][0], sessions[-1][1]) if sessions else ("", "")
    return message(106, request_id, *ends, zone, len(sessions), *(part for one in sessions for part in one))


def histogram(request_id: int, volumes: Sequence[tuple[Decimal, int]]) -> bytes:
    """How much was traded at each price."""
    return message(89, request_id, len(volumes), *(value for pair in volumes for value in pair))


def past_midpoints(request_id: int, ticks: Sequence[Quote], done: bool) -> bytes:
    """Midpoints of the past."""
    rows = ((int(one.at.timestamp()), 0, one.middle, 0) for one in ticks)
    return message(96, request_id, len(ticks), *(value for row in rows for value in row), done)


def past_quotes(request_id: int, ticks: Sequence[Quote], done: bool) -> bytes:
    """Quotes of the past."""
    rows = ((int(one.at.timestamp()), 0, one.bid, one.ask, one.bid_size, one.ask_size) for one in ticks)
    return message(97, request_id, len(ticks), *(value for row in rows for value in row), done)


def past_trades(request_id: int, ticks: Sequence[Quote], exchange: str, done: bool) -> bytes:
    """Trades of the past."""
    rows = ((int(one.at.timestamp()), 0, one.last, one.last_size, exchange, "") for one in ticks)
    return message(98, request_id, len(ticks), *(value for row in rows for value in row), done)


def tick_by_tick(request_id: int, kind: int, tick: Quote, exchange: str) -> bytes:
    """One tick: a trade (kinds 1 and 2), a quote (3) or a midpoint (4)."""
    head = (99, request_id, kind, int(tick.at.timestamp()))
    if kind == 3:
        return message(*head, tick.bid, tick.ask, tick.bid_size, tick.ask_size, 0)
    if kind == 4:
        return message(*head, tick.middle)
    return message(*head, tick.last, tick.last_size, 0, exchange, "")


def _bar_date(bar: Bar, size: timedelta | str, style: int, version: int) -> str:
    """The date of a bar: a day for bars of a day and more, otherwise a local time (style 1) or seconds (style 2)."""
    if isinstance(size, str):
        return f"{bar.start:%Y%m%d}"
    return str(int(bar.start.timestamp())) if style == 2 else moment_text(bar.start, version)


def head_timestamp(request_id: int, moment: datetime, style: int) -> bytes:
    """Since when there are data."""
    return message(88, request_id, int(moment.timestamp()) if style == 2 else f"{moment:%Y%m%d-%H:%M:%S}")


# -- the account


def position(held: Position) -> bytes:
    """A position."""
    return message(
        61,
        3,
        held.account,
        *contract_fields(held.instrument, held.instrument.listing),
        held.quantity,
        rounded(held.average_cost),
    )


def positions_end() -> bytes:
    """No more positions."""
    return message(62, 1)


def position_multi(request_id: int, held: Position) -> bytes:
    """A position for a request of its own."""
    return message(
        71, 1, request_id, held.account, *contract_fields(held.instrument, held.instrument.listing), held.quantity, rounded(held.average_cost), ""
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
        7, 8, *contract_fields(instrument, instrument.listing, "0"), held.quantity, price, rounded(value), rounded(held.average_cost),
        rounded(unrealized), rounded(held.realized), held.account,
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


def pnl(request_id: int, *figures: Decimal | None) -> bytes:
    """Profit and loss of an account (daily, unrealized, realized); unset where it is not known."""
    return message(94, request_id, *(UNSET_DOUBLE if one is None else rounded(one) for one in figures))


def pnl_single(request_id: int, quantity: Decimal, *figures: Decimal | None) -> bytes:
    """Profit and loss of one position (daily, unrealized, realized) and its value; unset where it is not known."""
    return message(
        95, request_id, quantity, *(UNSET_DOUBLE if one is None else rounded(one) for one in figures)
    )


def rounded(value: Decimal) -> Decimal:
    """A computed price with no more digits than TWS shows."""
    return round(value, 8)


def moment_text(moment: datetime, version: int) -> str:
    """A local time; since version 174 its zone stands with it."""
    local = moment.astimezone(hours.NEW_YORK)
    return f"{local:%Y%m%d %H:%M:%S} {ZONE}" if version >= 174 else f"{local:%Y%m%d  %H:%M:%S}"
