"""How much: values, positions, losses and counts, against what the owner allows. None of these keeps anybody from getting out."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from zoneinfo import ZoneInfo

from core.model import Account, Denial, Order, OrderType, Sent, Side, Ticket, Trading, TradingState
from core.risk.terms import Limits, Snapshot, at_risk, reduces, value, worst_price

ZERO, HUNDRED = Decimal(0), Decimal(100)
EXCHANGE = ZoneInfo("America/New_York")
SHARES = frozenset({"STK", "CASH"})
CHEAP = Decimal(5)


def _unmeasured(code: str, what: str) -> Denial:
    return Denial(
        code,
        f"{what} cannot be measured: price or exchange rate is not known yet.",
        remedy="try again in a few seconds",
    )


def symbol_allowed(ticket: Ticket, _snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The owner's lists: nothing that is denied, and where there is a list of what is allowed, nothing else."""
    symbol = ticket.instrument.symbol
    if symbol in limits.denied_symbols:
        return Denial(
            "SYMBOL",
            f"{symbol} is on your list of what is never bought (DENIED_SYMBOLS).",
            remedy="another symbol",
        )
    if limits.allowed_symbols and symbol not in limits.allowed_symbols:
        return Denial(
            "SYMBOL",
            f"{symbol} is not on your list of what may be bought (ALLOWED_SYMBOLS).",
            remedy="another symbol",
        )
    return None


def order_size(ticket: Ticket, _snapshot: Snapshot, limits: Limits) -> Denial | None:
    """No more shares, or contracts (of the leg that has most), than one order may have: nobody types that many on purpose."""
    shares = ticket.instrument.kind in SHARES
    most = limits.max_order_shares if shares else limits.max_order_contracts
    times = max((abs(leg.ratio) for leg in ticket.instrument.legs if leg.option), default=1)
    if ticket.quantity * times <= most:
        return None
    what = "shares" if shares else "contracts"
    return Denial(
        "ORDER_SIZE",
        f"That is more {what} than one order may have (MAX_ORDER_{what.upper()}).",
        f"{ticket.quantity * times:,f}",
        f"{most:,f}",
        fits=max(int(most / times), 0) or None,
    )


def order_value(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """One order is not worth more than MAX_ORDER_VALUE_BASE."""
    worth = value(ticket, snapshot)
    if worth is None:
        return _unmeasured("ORDER_VALUE", "The value of the order")
    words = "The order is worth more than MAX_ORDER_VALUE_BASE."
    return _over("ORDER_VALUE", words, worth, limits.max_order_value_base, worth, ticket, snapshot)


def hour_value(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """What was sent in an hour, with this, is not worth more than MAX_HOUR_VALUE."""
    since = snapshot.now - timedelta(hours=1)
    return _sent_value("HOUR_VALUE", "in an hour", ticket, snapshot, limits.max_hour_value_base, since)


def day_value(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """What was sent today (New York), with this, is not worth more than MAX_DAY_VALUE."""
    return _sent_value(
        "DAY_VALUE", "today", ticket, snapshot, limits.max_day_value_base, day_began(snapshot.now)
    )


def day_began(now: datetime) -> datetime:
    """Midnight in New York before a moment; what was at that very moment was yesterday's."""
    return now.astimezone(EXCHANGE).replace(hour=0, minute=0, second=0, microsecond=0)


def _sent_value(
    code: str, when: str, ticket: Ticket, snapshot: Snapshot, limit: Decimal, since: datetime
) -> Denial | None:
    worth = value(ticket, snapshot)
    if worth is None or snapshot.sent is None:
        return _unmeasured(code, f"What was sent {when}")
    before = sum((s.worth for s in snapshot.sent if s.worth is not None and s.at > since), ZERO)
    return _over(
        code,
        f"The entries sent {when} would be worth more than MAX_{code}_BASE.",
        before + worth,
        limit,
        worth,
        ticket,
        snapshot,
    )


def _total(values: Iterable[Decimal | None]) -> Decimal | None:
    total = ZERO
    for one in values:
        if one is None:
            return None
        total += one
    return total


def _over(
    code: str, words: str, figure: Decimal, limit: Decimal, worth: Decimal, ticket: Ticket, snapshot: Snapshot
) -> Denial | None:
    """A denial where the figure is above its limit, with the quantity that would fit."""
    if figure <= limit:
        return None
    room = limit - (figure - worth)
    fits = max(int(room * ticket.quantity / worth), 0) if worth > 0 else 0
    base = snapshot.account.currency if snapshot.account else ""
    return Denial(code, words, f"{figure:,.2f} {base}", f"{limit:,.2f} {base}", fits=fits or None)


def collar(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """A limit is not further through the market than the collar: above it for a purchase, below it for a sale."""
    if ticket.order_type is not OrderType.LIMIT or ticket.limit_price is None:
        return None
    market = snapshot.quote.far_side(ticket.side) if snapshot.quote else None
    if market is None or market <= 0:
        return _unmeasured("COLLAR", "How far the limit is from the market")
    percent = limits.max_collar_percent_below_5 if market < CHEAP else limits.max_collar_percent
    width = market * percent / HUNDRED
    through = (ticket.limit_price - market) * ticket.side.sign
    if through <= width:
        return None
    tick = ticket.instrument.min_tick
    edge = market + ticket.side.sign * width
    if tick > 0:
        rounding = ROUND_FLOOR if ticket.side is Side.BUY else ROUND_CEILING
        edge = (edge / tick).to_integral_value(rounding) * tick
    return Denial(
        "COLLAR",
        f"The limit is far through the market of {market:f}.",
        f"{ticket.limit_price:f}",
        f"{edge:f}",
        f"@ {edge:f} or {'less' if ticket.side is Side.BUY else 'more'}",
    )


def position_cap(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The position, with everything that is working, stays under MAX_POSITION_SIZE in the account's base currency."""
    if ticket.side is Side.SELL:
        return None  # `sale_covered` is its measure
    instrument = ticket.instrument
    held, price = snapshot.long_at_most(instrument.con_id), worst_price(ticket, snapshot.quote)
    rate = snapshot.account.rate(instrument.currency) if snapshot.account else None
    if held is None or price is None or rate is None or snapshot.account is None:
        return Denial(
            "POSITION_CAP",
            "The size of the position cannot be measured: holding, price or exchange rate is not known yet.",
            remedy="try again in a few seconds",
        )
    unit = price * rate * instrument.multiplier
    waiting = snapshot.working_quantity(instrument.con_id, ticket.side)
    after = max(held + ticket.quantity + waiting, ZERO)
    if after * unit <= limits.max_position_size:
        return None
    fits = max(int(limits.max_position_size / unit - held - waiting), 0) if unit > 0 else 0
    base = snapshot.account.currency
    return Denial(
        "POSITION_CAP",
        f"The position in {instrument.symbol}{f', with the {waiting:f} that wait,' if waiting else ''} would be larger than MAX_POSITION_SIZE.",
        f"{after * unit:,.2f} {base}",
        f"{limits.max_position_size:,f} {base}",
        fits=fits or None,
    )


def gross_exposure(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """Everything held, everything that works and this, long and short added up, is not worth more than a part of net liquidation.

    Working entries count at their worst, not netted against anything.
    """
    account, worth = snapshot.account, value(ticket, snapshot)
    if account is None or account.net_liquidation is None or worth is None:
        return _unmeasured("GROSS_EXPOSURE", "The exposure of the account")
    before = exposure(snapshot)
    if before is None:
        return _unmeasured("GROSS_EXPOSURE", "The exposure of the account")
    limit = account.net_liquidation * limits.max_gross_exposure_percent / HUNDRED
    return _over(
        "GROSS_EXPOSURE",
        f"Everything held and on its way would be worth more than {limits.max_gross_exposure_percent:f} % of the account.",
        before + worth,
        limit,
        worth,
        ticket,
        snapshot,
    )


def exposure(snapshot: Snapshot) -> Decimal | None:
    """What everything held and every order that works is worth in base currency, long and short added up; None where a part is not known."""
    account, positions = snapshot.account, snapshot.positions
    if account is None or positions is None:
        return None
    held = _total(_exposed(p.market_value, account.rate(p.currency)) for p in positions if p.signed_quantity)
    waiting = _total(
        _plan_worth(o)
        if o.kind != "STK" and o.worth is not None
        else o.worth
        if price is None
        else _exposed(price * o.remaining * o.multiplier, account.rate(o.currency))
        for o in snapshot.working
        if not o.protects and o.remaining > 0
        for price in [max(_limits_of(o), default=o.stop_price or snapshot.price_of(o.con_id))]
    )
    return None if held is None or waiting is None else held + waiting


def _plan_worth(order: Order) -> Decimal | None:
    """What is left of an options order, by the most that it can lose."""
    return (
        None if order.worth is None or not order.quantity else order.worth * order.remaining / order.quantity
    )


def _exposed(worth: Decimal | None, rate: Decimal | None) -> Decimal | None:
    return None if worth is None or rate is None else abs(worth) * rate


def risk_per_trade(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """What is lost at the stop stays under MAX_PORTFOLIO_RISK of net liquidation."""
    if ticket.side is Side.SELL:
        return None
    lost = at_risk(ticket, snapshot, limits)
    worth = snapshot.account.net_liquidation if snapshot.account else None
    if lost is None or worth is None or snapshot.account is None:
        return Denial(
            "RISK_PER_TRADE",
            "What this order could lose cannot be measured: no stop, and no average range of the last sessions to assume one.",
            remedy="give it a stop: sl 180",
        )
    allowed = worth * limits.max_portfolio_risk
    if lost <= allowed:
        return None
    fits = max(int(allowed * ticket.quantity / lost), 0) if lost > 0 else 0
    assumed = (
        ""
        if ticket.stop_loss is not None
        else f", measured at {limits.assumed_stop_atr:f} x ATR because it has no stop"
    )
    return Denial(
        "RISK_PER_TRADE",
        f"It could lose more than MAX_PORTFOLIO_RISK of the account{assumed}.",
        f"{lost:,.2f} {snapshot.account.currency}",
        f"{allowed:,.2f} {snapshot.account.currency}",
        fits=fits or None,
    )


def day_loss(_ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """A day that has lost its measure takes no new entries. The trading state follows the same figure (see `tightened`)."""
    percent = lost_percent(snapshot.account)
    if percent is None:
        return Denial(
            "DAY_LOSS",
            "What the account lost today is not known yet.",
            remedy="it comes a few seconds after connecting",
        )
    if percent < limits.reduce_at_day_loss_percent:
        return None
    return Denial(
        "DAY_LOSS",
        "The account has lost its measure for today (REDUCE_AT_DAY_LOSS_PERCENT); nothing new is opened.",
        f"{percent:.2f} %",
        f"{limits.reduce_at_day_loss_percent:f} %",
        "tomorrow",
    )


def lost_percent(account: Account | None) -> Decimal | None:
    """What the account lost today, as a percentage of what it was worth before; below zero is a gain. None where it is not known."""
    if account is None or account.day_gain is None or account.net_liquidation is None:
        return None
    # The gain is told at once, net liquidation every three minutes: in a fast fall their difference is more than the account was worth.
    before = account.worth_before or account.net_liquidation - account.day_gain
    return -account.day_gain * HUNDRED / before if before > 0 else None


def tightened(
    account: Account | None, sent: Iterable[Sent], trading: Trading, now: datetime, limits: Limits
) -> tuple[TradingState, str] | None:
    """The state that the day's loss or a run of rejections calls for, and why; None where they call for none."""
    count = recent_rejects(sent, trading, now)
    if count >= limits.halt_at_rejects:
        return TradingState.HALTED, f"The broker has rejected {count} orders within five minutes."
    percent = lost_percent(account)
    if percent is None:
        return None
    if percent >= limits.halt_at_day_loss_percent:
        return TradingState.HALTED, f"The account has lost {percent:.2f} % today."
    if percent >= limits.reduce_at_day_loss_percent:
        return TradingState.REDUCING, f"The account has lost {percent:.2f} % today."
    return None


def same_order(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The same order again within a minute is most likely a slip: it is asked for once more."""
    if snapshot.confirmed:
        return None
    if snapshot.sent is None:
        return _uncounted("SAME_ORDER")
    since = snapshot.now - timedelta(seconds=limits.same_order_seconds)
    before = [s.at for s in _others(ticket, snapshot.sent) if s.terms == ticket.same_terms and s.at > since]
    if not before:
        return None
    return Denial(
        "SAME_ORDER",
        f"The same order left {(snapshot.now - max(before)).total_seconds():.0f} s ago.",
        remedy="confirm it if you mean a second one",
    )


def _others(ticket: Ticket, sent: Iterable[Sent]) -> Iterable[Sent]:
    """What left, without the order that this is a change of: a change is no further entry."""
    return (s for s in sent if ticket.modifies is None or s.number != ticket.modifies)


def _uncounted(code: str) -> Denial:
    return Denial(code, "What was sent lately is not known yet.", remedy="try again in a few seconds")


def orders_per_minute(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """No more entries a minute than a person makes on purpose."""
    return _count(
        ticket,
        "ORDERS_PER_MINUTE",
        "a minute",
        snapshot,
        snapshot.now - timedelta(minutes=1),
        limits.max_orders_per_minute,
    )


def orders_per_day(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """No more entries a day (New York) than planned."""
    return _count(
        ticket, "ORDERS_PER_DAY", "a day", snapshot, day_began(snapshot.now), limits.max_orders_per_day
    )


def _count(
    ticket: Ticket, code: str, what: str, snapshot: Snapshot, since: datetime, limit: int
) -> Denial | None:
    if snapshot.sent is None:
        return _uncounted(code)
    count = sum(1 for s in _others(ticket, snapshot.sent) if s.worth is not None and s.at > since)
    if count < limit:
        return None
    return Denial(
        code, f"That would be more entries {what} than MAX_{code}.", f"{count + 1}", f"{limit}", "wait"
    )


def fills_per_symbol(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """No more filled entries in one symbol an hour (orders, not their parts): more is a loop, or a chase."""
    if snapshot.sent is None:
        return _uncounted("FILLS_PER_SYMBOL")
    since = snapshot.now - timedelta(hours=1)
    con_id = ticket.instrument.con_id
    count = sum(
        1
        for s in _others(ticket, snapshot.sent)
        if s.filled_at is not None and s.worth is not None and s.filled_at > since and s.con_id == con_id
    )
    if count < limits.max_filled_orders_per_symbol_hour:
        return None
    return Denial(
        "FILLS_PER_SYMBOL",
        f"{count} entries in {ticket.instrument.symbol} were filled within an hour.",
        f"{count + 1}",
        f"{limits.max_filled_orders_per_symbol_hour}",
        "wait",
    )


def rejects(_ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """Several rejections in five minutes mean that something is wrong that the next order would meet too."""
    if snapshot.sent is None:
        return _uncounted("REJECTS")
    count = recent_rejects(snapshot.sent, snapshot.trading, snapshot.now)
    if count < limits.halt_at_rejects:
        return None
    return Denial(
        "REJECTS",
        f"The broker has rejected {count} orders within five minutes.",
        f"{count}",
        f"{limits.halt_at_rejects}",
        "read why (/orders), then /resume",
    )


def recent_rejects(sent: Iterable[Sent], trading: Trading, now: datetime) -> int:
    """How many orders the broker rejected in the last five minutes, and since the owner opened again."""
    since = now - timedelta(minutes=5)
    if trading.since is not None and trading.state is TradingState.ACTIVE:
        since = max(since, trading.since)
    return sum(1 for s in sent if s.rejected_at is not None and s.rejected_at > since)


def crossing(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """It does not trade with an order of ours that rests on the other side, at its price or at one that is asked for it.

    A way out does not wait for an order that is on its way out itself.
    """
    untouched, exits = {o.number for o in snapshot.working if not o.filled}, reduces(ticket, snapshot)
    far = snapshot.quote.far_side(ticket.side) if snapshot.quote else None
    price = ticket.limit_price if ticket.order_type is OrderType.LIMIT else far
    if ticket.order_type is OrderType.STOP or price is None:
        return None
    resting = [
        o
        for o in snapshot.working
        if o.con_id == ticket.instrument.con_id
        and o.side is not ticket.side
        and o.remaining > 0
        and not _sleeps(o, untouched)
        and not (exits and o.cancel_requested_at is not None)
        and any((price - limit) * ticket.side.sign >= 0 for limit in _limits_of(o))
    ]
    if not resting:
        return None
    first = resting[0]
    crossed = next(limit for limit in _limits_of(first) if (price - limit) * ticket.side.sign >= 0)
    return Denial(
        "CROSSING",
        f"It would trade with your own order #{first.number} at {crossed:f}.",
        remedy=f"/cancel {first.number} first",
    )


def _sleeps(order: Order, untouched: AbstractSet[int]) -> bool:
    """Whether it does nothing before its entry is filled, of which not one share is."""
    return order.protects and order.parent in untouched


def _limits_of(order: Order) -> list[Decimal]:
    asked = order.change.limit_price if order.change else None
    return [limit for limit in (order.limit_price, asked) if limit is not None]


def excess_liquidity(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """After the order, by the broker's own forecast, enough of the account stays free of margin.

    The forecast is the card's; at the tap what it takes is held against what is free now, and the less of both counts.
    """
    forecast, account = snapshot.what_if, snapshot.account
    worth = account.net_liquidation if account else None
    told = forecast.excess_liquidity_after if forecast else None
    if forecast is None or told is None or account is None or worth is None or worth <= 0:
        return Denial(
            "EXCESS_LIQUIDITY",
            "The broker has not said what the order does to margin.",
            remedy="the same again in a few seconds",
        )
    takes, now_free = forecast.maintenance_margin_change, account.excess_liquidity
    if takes is None or now_free is None:
        return _unmeasured("EXCESS_LIQUIDITY", "What stays free of margin")
    free = min(told, now_free - takes)
    least = limits.min_excess_liquidity_percent
    if free * HUNDRED / worth >= least:
        return None
    fits = None
    if takes > 0 and ticket.quantity > 0:
        room = free + takes - worth * least / HUNDRED
        fits = max(int(room * ticket.quantity / takes), 0) or None
    return Denial(
        "EXCESS_LIQUIDITY",
        "It would leave too little of the account free of margin (MIN_EXCESS_LIQUIDITY_PERCENT).",
        f"{free * HUNDRED / worth:.1f} %",
        f"{least:f} %",
        fits=fits,
    )
