"""The rules that every order must pass: pure functions over (ticket, snapshot, limits), each a denial or None.

Every rule says whether it also binds an order that only reduces a position: identity, connection, freshness and the sanity of
quantity and price always do; rules of size, rate, loss, exposure, liquidity and count never do, because nobody may be kept from getting out.
The order of RULES is the order in which denials are shown (trading state, identity and mode, data, shape, limits, capital); all are
returned, not only the first. A limit that is missing, or no number, denies what it would bound.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from core.model import Denial, Leg, OptionTerms, Order, Ticket
from core.risk import plans
from core.risk.bounds import (
    collar,
    crossing,
    day_began,
    day_loss,
    day_value,
    excess_liquidity,
    fills_per_symbol,
    gross_exposure,
    hour_value,
    lost_percent,
    order_size,
    order_value,
    orders_per_day,
    orders_per_minute,
    position_cap,
    rejects,
    risk_per_trade,
    same_order,
    symbol_allowed,
    tightened,
)
from core.risk.data import delayed_data, exchange_halt, jump, price_known, reset_window, session, spread
from core.risk.options import (
    cash_kept,
    cash_secured,
    legs_fit,
    loss_bounded,
    not_expired,
    plan_cap,
    plan_collar,
    plan_crossing,
    plan_limit,
    plan_priced,
    plan_risk,
    plan_spread,
)
from core.risk.plans import PlanMarket, is_plan
from core.risk.road import (
    account_agrees,
    analyst_halted,
    approval,
    books_explain,
    connected,
    drift,
    trading_state,
)
from core.risk.shape import bracket_sides, price_sane, quantity_sane, sale_covered, stop_side
from core.risk.terms import (
    Limits,
    Rule,
    Snapshot,
    at_risk,
    drifted,
    judged,
    offered_stop,
    outlived,
    reduces,
    shrinking,
    stop_distance,
    value,
    worst_price,
)
from core.risk.usage import Unit, Use, usage

__all__ = [
    "RULES",
    "Limits",
    "PlanMarket",
    "Rule",
    "RuleRow",
    "Snapshot",
    "Unit",
    "Use",
    "at_risk",
    "bracket_sides",
    "check",
    "check_whole",
    "closed",
    "day_began",
    "drifted",
    "is_plan",
    "judged",
    "lost_percent",
    "offered_stop",
    "outlived",
    "reduces",
    "shrinking",
    "stop_distance",
    "tightened",
    "usage",
    "value",
    "worst_price",
]


BEYOND = 18
"""Digits before the point from which on a figure is none: no order of a person has it."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule, whether it binds an order that only reduces a position, the limits that it needs, and whether it binds new prices of a stop
    or target, which close what is held or bought with them, whatever is held now. One that `asks` needs the broker's forecast. `plans` says
    whether it is for options and combinations only (True), for everything but them (False), or for all (None).
    """

    rule: Rule
    binds_exits: bool
    needs: tuple[str, ...] = ()
    binds_protection: bool = True
    asks: bool = False
    plans: bool | None = None


def _entry(rule: Rule, *needs: str, asks: bool = False) -> RuleRow:
    return RuleRow(rule, False, needs, False, asks)


def _always(rule: Rule, *needs: str, binds_protection: bool = True) -> RuleRow:
    return RuleRow(rule, True, needs, binds_protection)


def _shares(row: RuleRow) -> RuleRow:
    """Not for options: they have a rule of their own for it."""
    return replace(row, plans=False)


def _options(row: RuleRow) -> RuleRow:
    """For options and combinations only."""
    return replace(row, plans=True)


RULES: tuple[RuleRow, ...] = (
    # trading state
    _entry(trading_state),
    _always(analyst_halted),
    # identity and mode
    _always(connected),
    _always(account_agrees, "live_account"),
    _always(approval, "max_approval_age_seconds"),
    _entry(books_explain),
    # data
    _always(price_known, "max_quote_age_seconds"),
    _options(_always(plan_priced, "max_quote_age_seconds")),
    _entry(drift, "max_drift_percent"),
    _entry(delayed_data),
    _entry(spread, "max_spread_percent"),
    _options(_entry(plan_spread, "max_spread_percent_options")),
    _entry(jump, "max_jump_percent"),
    _entry(exchange_halt),
    _entry(session),
    _entry(reset_window, "entries_in_reset_window"),
    # shape
    _always(quantity_sane),
    _options(_always(legs_fit)),
    _options(_always(plan_limit)),
    _options(_always(not_expired)),
    _shares(_always(price_sane, "max_price_factor")),
    _always(stop_side),
    _always(bracket_sides),
    _shares(_always(sale_covered, binds_protection=False)),
    _options(_entry(loss_bounded)),
    _options(_entry(cash_secured)),
    _entry(cash_kept),
    _shares(_always(crossing, binds_protection=False)),
    _options(_always(plan_crossing, binds_protection=False)),
    # limits
    _entry(symbol_allowed, "allowed_symbols", "denied_symbols"),
    _entry(order_size, "max_order_shares", "max_order_contracts"),
    _entry(order_value, "max_order_value_base"),
    _entry(hour_value, "max_hour_value_base"),
    _entry(day_value, "max_day_value_base"),
    _shares(_entry(collar, "max_collar_percent", "max_collar_percent_below_5")),
    _options(_entry(plan_collar, "max_collar_percent", "max_collar_percent_options")),
    _shares(_entry(position_cap, "max_position_size")),
    _options(_entry(plan_cap, "max_position_size")),
    _entry(gross_exposure, "max_gross_exposure_percent"),
    _shares(_entry(risk_per_trade, "max_portfolio_risk", "assumed_stop_atr")),
    _options(_entry(plan_risk, "max_portfolio_risk", "assumed_stop_atr")),
    _entry(day_loss, "reduce_at_day_loss_percent", "halt_at_day_loss_percent"),
    _entry(same_order, "same_order_seconds"),
    _entry(orders_per_minute, "max_orders_per_minute"),
    _entry(orders_per_day, "max_orders_per_day"),
    _entry(fills_per_symbol, "max_filled_orders_per_symbol_hour"),
    _entry(rejects, "halt_at_rejects"),
    # capital
    _entry(excess_liquidity, "min_excess_liquidity_percent", asks=True),
)


def _own(ticket: Ticket, snapshot: Snapshot) -> Iterator[Decimal | None]:
    """What every order is measured by, an exit too: its terms, its market, and what is held and works of it."""
    instrument, quote = ticket.instrument, snapshot.quote
    yield from (ticket.quantity, ticket.limit_price, ticket.stop_price, ticket.stop_loss, ticket.take_profit)
    yield from (ticket.reference_price, instrument.multiplier, instrument.min_tick, ticket.final_limit)
    yield from _of_legs(plans.legs_of(ticket))
    if snapshot.plan:
        yield snapshot.plan.spot
        for leg_quote in snapshot.plan.quotes.values():
            yield from (leg_quote.bid, leg_quote.ask) if leg_quote else ()
    if quote:
        yield from (quote.bid, quote.ask)
    mine = {leg.con_id for leg in plans.legs_of(ticket)} | {instrument.con_id}
    mine |= {snapshot.plan.shares_id} if snapshot.plan else set()
    for position in (*(snapshot.positions or ()), *(snapshot.told or ())):
        if position.con_id in mine or (position.option and position.symbol == instrument.symbol):
            yield position.signed_quantity
            yield from _of_option(position.option)
    for order in snapshot.working:
        optional = order.option is not None or order.legs
        if order.con_id in mine or (optional and order.symbol == instrument.symbol):
            yield from _of_order(order)


def _of_legs(legs: Iterable[Leg]) -> Iterator[Decimal | None]:
    for leg in legs:
        yield Decimal(leg.ratio)
        yield from _of_option(leg.option)


def _of_option(terms: OptionTerms | None) -> tuple[Decimal, ...]:
    return (terms.strike, terms.multiplier) if terms else ()


def _of_order(order: Order) -> Iterator[Decimal | None]:
    yield from (order.quantity, order.filled, order.limit_price, order.stop_price)
    if order.change:
        yield from (order.change.quantity, order.change.limit_price)
    yield from _of_option(order.option)
    yield from _of_legs(order.legs)


def _around(ticket: Ticket, snapshot: Snapshot) -> Iterator[Decimal | None]:
    """What an entry is measured by besides."""
    account, forecast = snapshot.account, snapshot.what_if
    yield snapshot.atr
    yield snapshot.quote.close if snapshot.quote else None
    if account:
        yield from (account.net_liquidation, account.excess_liquidity, account.day_gain, account.worth_before)
        yield from account.rates.values()
        yield account.cash
    if forecast:
        yield from (forecast.equity_with_loan_after, forecast.maintenance_margin_after)
        yield forecast.maintenance_margin_change
    for position in snapshot.positions or ():
        yield from (position.signed_quantity, position.market_value, position.market_price)
    for order in snapshot.working:
        yield from _of_order(order)
        yield from (order.worth, order.final_limit)
    for position in (*(snapshot.told or ()), *(snapshot.positions or ())):  # puts on whatever tie up cash
        yield position.signed_quantity if position.option else None
        yield from _of_option(position.option)
    yield from (sent.worth for sent in snapshot.sent or ())


def _measurable(figures: Iterable[Decimal | None]) -> bool:
    return all(f is None or (f.is_finite() and f.adjusted() < BEYOND) for f in figures)


def check(
    ticket: Ticket, snapshot: Snapshot, limits: Limits, *, protects: bool = False, asked: bool = True
) -> tuple[Denial, ...]:
    """Every denial, in the order of RULES; none means that the order may leave.

    `protects`: it is a stop or target that gets new prices. Not `asked`: the broker's forecast is still to come, so what needs it is left out.
    """
    exits = False
    known = _measurable(_own(ticket, snapshot))
    if known:
        exits = protects or reduces(ticket, snapshot)
        known = exits or _measurable(_around(ticket, snapshot))
    if not known:
        # Nothing can be measured against a figure that is no number, so no further rule is asked.
        return (
            Denial("NOT_A_NUMBER", "A quantity or price of this order, or of the market, is not a number."),
        )
    rows = (
        row
        for row in RULES
        if (row.binds_exits or not exits)
        and (row.binds_protection or not protects)
        and (asked or not row.asks)
        and row.plans in (None, is_plan(ticket))
    )
    return tuple(
        denial for row in rows if (denial := _missing(row, limits) or row.rule(ticket, snapshot, limits))
    )


def check_whole(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> tuple[Denial, ...]:
    """What bounds one order as a whole, however much of it is filled already: for an order that grows by a change."""
    found = (order_size(ticket, snapshot, limits), order_value(ticket, snapshot, limits))
    return tuple(denial for denial in found if denial is not None)


def closed(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """What the trading state alone says against the order: looked at once more in the last moment before it leaves."""
    entry = None if reduces(ticket, snapshot) else trading_state(ticket, snapshot, limits)
    return entry or analyst_halted(ticket, snapshot, limits)


def _missing(row: RuleRow, limits: Limits) -> Denial | None:
    """Why a rule cannot be asked: a limit that it needs is not there, or is no number."""
    for name in row.needs:
        limit = getattr(limits, name)
        if limit is None or (isinstance(limit, Decimal | float) and not Decimal(limit).is_finite()):
            return Denial(
                "LIMIT_MISSING",
                f"The limit {name.upper()} is not set, so nothing that it bounds is sent.",
                remedy=f"set {name.upper()}",
            )
    return None
