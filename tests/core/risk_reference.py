"""The gate once more, slowly and written apart from it: the words of docs/risk.md as plain loops over fractions, which never round.

It imports the nouns and nothing else of the product; what only options and combinations are asked stands in `risk_plan_reference`.
`verdict` says the codes of every denial in their order; none means that the order may leave.
"""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from core.model import Mode, Order, OrderType, Role, Side, Ticket, TradingState
from tests.core import risk_plan_reference as plans
from tests.core.risk_plan_reference import Limits, State, may_still_trade, rate_of

NEW_YORK = ZoneInfo("America/New_York")
PLACES = {"US/Eastern": NEW_YORK, "EST": NEW_YORK, "Europe/London": ZoneInfo("Europe/London")}


def verdict(ticket: Ticket, state: State, limits: Limits) -> list[str]:
    """The code of each denial, in the order in which a person reads them."""
    state = {**state, "kept": {}}  # what several rules ask for is worked out once
    if not all(is_figure(f) for f in own_figures(ticket, state)):
        return ["NOT_A_NUMBER"]
    leaving = only_closes(ticket, state)
    if not leaving and not all(is_figure(f) for f in other_figures(ticket, state)):
        return ["NOT_A_NUMBER"]
    found = []
    for binds_exits, needed, rule, *only in GATE:
        if leaving and not binds_exits:
            continue
        if only and only[0] != plans.is_plan(ticket):
            continue
        if any(is_missing(limits[name]) for name in needed):
            found.append("LIMIT_MISSING")
            continue
        code = rule(ticket, state, limits)
        if code:
            found.append(code)
    return found


# --- figures ------------------------------------------------------------------------------------------------------------


def is_figure(told: Decimal | None) -> bool:
    """A number that can be reckoned with, or an unknown one, which has rules of its own."""
    return told is None or (told.is_finite() and abs(told) < 10**18)


def is_missing(limit: Any) -> bool:
    """Not set, or no number."""
    if limit is None:
        return True
    return isinstance(limit, Decimal | float) and str(limit).lower().lstrip("-+") in (
        "nan",
        "snan",
        "inf",
        "infinity",
    )


def own_figures(ticket: Ticket, state: State) -> list[Decimal | None]:
    """What is asked of every order, one that closes as well."""
    thing = ticket.instrument
    found: list[Decimal | None] = [ticket.quantity, ticket.reference_price, thing.multiplier, thing.min_tick]
    found += [ticket.limit_price, ticket.stop_price, ticket.stop_loss, ticket.take_profit]
    if state["quote"] is not None:
        found += [state["quote"].bid, state["quote"].ask]
    for name in ("positions", "told"):
        for p in state[name] or ():
            if p.con_id == thing.con_id:
                found.append(p.signed_quantity)
    for order in state["working"]:
        if order.con_id == thing.con_id:
            found += order_figures(order)
    return found + plans.figures(ticket, state)


def other_figures(ticket: Ticket, state: State) -> list[Decimal | None]:
    """What is asked of an order that opens or adds, besides."""
    found: list[Decimal | None] = [state["atr"]]
    if state["quote"] is not None:
        found.append(state["quote"].close)
    account, forecast = state["account"], state["what_if"]
    if account is not None:
        found += [account.net_liquidation, account.excess_liquidity, account.day_gain, account.worth_before]
        found += [*account.rates.values(), account.cash]
    if forecast is not None:
        found += [forecast.equity_with_loan_after, forecast.maintenance_margin_after]
        found.append(forecast.maintenance_margin_change)
    for p in state["positions"] or ():
        found += [p.signed_quantity, p.market_value, p.market_price]
    for order in state["working"]:
        found += [*order_figures(order), order.worth, order.final_limit]
    found += plans.option_figures(state)
    for sent in state["sent"] or ():
        found.append(sent.worth)
    return found


def order_figures(order: Order) -> list[Decimal | None]:
    """The figures of an order that works."""
    found = [order.quantity, order.filled, order.limit_price, order.stop_price]
    if order.change is not None:
        found += [order.change.quantity, order.change.limit_price]
    return found


# --- what is held, what works, what it is worth -------------------------------------------------------------------------


def total(positions: Iterable[Any], con_id: int) -> Fraction:
    """The holding, over all its lines."""
    result = Fraction(0)
    for p in positions:
        if p.con_id == con_id:
            result += Fraction(p.signed_quantity)
    return result


def certainly_held(ticket: Ticket, state: State) -> Fraction | None:
    """Of our count and the broker's the one nearer to zero; where they point different ways nothing is certain."""
    if state["positions"] is None:
        return None
    ours = total(state["positions"], ticket.instrument.con_id)
    if state["told"] is None:
        return ours
    theirs = total(state["told"], ticket.instrument.con_id)
    if (ours > 0 and theirs < 0) or (ours < 0 and theirs > 0):
        return Fraction(0)
    return ours if abs(ours) <= abs(theirs) else theirs


def waiting(ticket: Ticket, state: State, side: Side) -> Fraction:
    """What works on a side of the same thing, as a part of something else too; stops and targets that protect do not count."""
    result, sign = Fraction(0), 1 if side == Side.BUY else -1
    for order in state["working"]:
        if order.role == Role.ENTRY and ticket.instrument.con_id in {
            order.con_id,
            *(leg.con_id for leg in order.legs),
        }:
            result += max(sign * plans.moves(order).get(ticket.instrument.con_id, Fraction(0)), Fraction(0))
    return result


def only_closes(ticket: Ticket, state: State) -> bool:
    """Whether the order, with everything that waits beside it, can at most bring the holding to zero."""
    if plans.is_plan(ticket):
        return plans.plan_closes(ticket, state)
    held = certainly_held(ticket, state)
    if held is None:
        return False
    room = held if ticket.side == Side.SELL else -held
    return room > 0 and Fraction(ticket.quantity) + waiting(ticket, state, ticket.side) <= room


def far_side(ticket: Ticket, state: State) -> Fraction | None:
    """What the market asks of a purchase or bids for a sale."""
    if state["quote"] is None:
        return None
    told = state["quote"].ask if ticket.side == Side.BUY else state["quote"].bid
    return None if told is None else Fraction(told)


def worst(ticket: Ticket, state: State) -> Fraction | None:
    """The price that the order is measured at."""
    market = far_side(ticket, state)
    if ticket.order_type == OrderType.LIMIT:
        return None if ticket.limit_price is None else Fraction(ticket.limit_price)
    if ticket.order_type == OrderType.STOP and ticket.stop_price is not None:
        stop = Fraction(ticket.stop_price)
        if ticket.side == Side.BUY and market and market > stop:  # at 0 nobody quotes
            return market
        return stop
    if market is None:
        return None
    shown = Fraction(ticket.reference_price)
    return shown if shown > 0 else market


def unit_value(ticket: Ticket, state: State) -> Fraction | None:
    """What one share or contract of it is worth in base currency."""
    price, rate = worst(ticket, state), rate_of(ticket.instrument.currency, state)
    if price is None or rate is None:
        return None
    return price * Fraction(ticket.instrument.multiplier) * rate


def value(ticket: Ticket, state: State) -> Fraction | None:
    """What the order is worth in base currency."""
    if plans.is_plan(ticket):
        return plans.plan_value(ticket, state)
    unit = unit_value(ticket, state)
    return None if unit is None else unit * Fraction(ticket.quantity)


def net(state: State) -> Fraction | None:
    """What the account is worth in base currency."""
    account = state["account"]
    return None if account is None or account.net_liquidation is None else Fraction(account.net_liquidation)


def midnight(now: datetime) -> datetime:
    """When the day began in New York."""
    there = now.astimezone(NEW_YORK)
    return datetime(there.year, there.month, there.day, tzinfo=NEW_YORK)


# --- the rules ----------------------------------------------------------------------------------------------------------


def state_of_trading(ticket: Ticket, state: State, limits: Limits) -> str:
    now = state["trading"].state
    if now == TradingState.REDUCING:
        return "TRADING_STATE"
    return "TRADING_STATE" if now == TradingState.HALTED and ticket.decision_id is None else ""


def no_analyst_when_halted(ticket: Ticket, state: State, limits: Limits) -> str:
    halted = state["trading"].state == TradingState.HALTED
    return "TRADING_STATE" if halted and ticket.decision_id is not None else ""


def connection(ticket: Ticket, state: State, limits: Limits) -> str:
    link = state["link"]
    fine = link.connected and link.reconciled and link.trouble == ""
    return "" if fine else "CONNECTION"


def account(ticket: Ticket, state: State, limits: Limits) -> str:
    link = state["link"]
    if link.mode is None or link.account is None or link.account != ticket.account:
        return "ACCOUNT"
    if state["account"] is not None and state["account"].account != link.account:
        return "ACCOUNT"
    if link.mode == Mode.LIVE and link.account != limits["live_account"]:
        return "LIVE_READ_ONLY"
    return ""


def approved(ticket: Ticket, state: State, limits: Limits) -> str:
    yes = state["approved"]
    if yes is None or yes.user != ticket.owner or yes.terms_hash != ticket.terms_hash():
        return "APPROVAL"
    if yes.at < ticket.created_at or yes.at >= ticket.expires_at:
        return "APPROVAL"
    age = state["now"] - yes.at
    if age < timedelta(0) or age > timedelta(seconds=limits["max_approval_age_seconds"]):
        return "APPROVAL"
    return ""


def books(ticket: Ticket, state: State, limits: Limits) -> str:
    for drift in state["drifts"]:
        if drift.con_id == ticket.instrument.con_id:
            return "POSITION_DRIFT"
        if plans.is_plan(ticket) and drift.symbol == ticket.instrument.symbol:
            return "POSITION_DRIFT"
    return ""


def price(ticket: Ticket, state: State, limits: Limits) -> str:
    market, quote = far_side(ticket, state), state["quote"]
    if market is None or market <= 0:
        return "PRICE_UNKNOWN"
    if quote.bid is not None and quote.ask is not None and quote.bid > quote.ask:
        return "QUOTE_CROSSED"
    age, patience = state["now"] - quote.time, timedelta(seconds=limits["max_quote_age_seconds"])
    if age < -patience:
        return "QUOTE_TIME"
    if age > patience:
        return "QUOTE_OLD"
    return ""


def moved_since_card(ticket: Ticket, state: State, limits: Limits) -> str:
    market, shown = far_side(ticket, state), Fraction(ticket.reference_price)
    if shown <= 0:
        return "DRIFT"
    if market is None:
        return ""
    percent = abs(market - shown) / shown * 100
    return "DRIFT" if percent > Fraction(limits["max_drift_percent"]) else ""


def delayed(ticket: Ticket, state: State, limits: Limits) -> str:
    if state["link"].mode != Mode.LIVE or state["quote"] is None or not state["quote"].delayed:
        return ""
    return "" if ticket.order_type == OrderType.LIMIT else "DELAYED"


def spread(ticket: Ticket, state: State, limits: Limits) -> str:
    quote = state["quote"]
    if quote is None or quote.bid is None or quote.ask is None:
        return "SPREAD"
    bid, ask = Fraction(quote.bid), Fraction(quote.ask)
    middle = (bid + ask) / 2
    if middle <= 0 or bid >= ask:
        return "SPREAD"
    return "SPREAD" if (ask - bid) / middle * 100 > Fraction(limits["max_spread_percent"]) else ""


def jump(ticket: Ticket, state: State, limits: Limits) -> str:
    market = far_side(ticket, state)
    if market is None or state["quote"].close is None or state["quote"].close <= 0:
        return "JUMP"
    close = Fraction(state["quote"].close)
    return "JUMP" if abs(market - close) / close * 100 > Fraction(limits["max_jump_percent"]) else ""


def halted_there(ticket: Ticket, state: State, limits: Limits) -> str:
    quote = state["quote"]
    return "HALTED_BY_EXCHANGE" if quote is not None and quote.halted else ""


def session(ticket: Ticket, state: State, limits: Limits) -> str:
    if ticket.order_type in (OrderType.LIMIT, OrderType.STOP):
        return ""
    place = PLACES.get(ticket.instrument.time_zone)
    if place is None:
        return "SESSION"
    for day in ticket.instrument.hours.split(";"):
        opening, _, closing = day.partition("-")
        if not closing:
            continue
        begins = datetime.strptime(opening, "%Y%m%d:%H%M").replace(tzinfo=place)
        ends = datetime.strptime(closing, "%Y%m%d:%H%M").replace(tzinfo=place)
        if begins <= state["now"] < ends:
            return ""
    return "SESSION"


def reset_window(ticket: Ticket, state: State, limits: Limits) -> str:
    if limits["entries_in_reset_window"]:
        return ""
    there = state["now"].astimezone(NEW_YORK)
    name, clock = there.strftime("%A"), there.time()
    if name == "Friday" and clock >= time(23, 0):
        return "RESET_WINDOW"
    if name == "Saturday" and clock < time(3, 0):
        return "RESET_WINDOW"
    if clock >= time(23, 45) or clock < time(0, 45):
        return "RESET_WINDOW"
    return ""


def quantity(ticket: Ticket, state: State, limits: Limits) -> str:
    many = Fraction(ticket.quantity)
    if ticket.instrument.multiplier <= 0 or many <= 0 or many.denominator != 1:
        return "QUANTITY"
    return ""


def prices(ticket: Ticket, state: State, limits: Limits) -> str:
    if ticket.order_type == OrderType.LIMIT and ticket.limit_price is None:
        return "PRICE"
    if ticket.order_type == OrderType.STOP and ticket.stop_price is None:
        return "PRICE"
    market, factor = far_side(ticket, state), Fraction(limits["max_price_factor"])
    tick = Fraction(ticket.instrument.min_tick)
    for named in (ticket.limit_price, ticket.stop_price, ticket.stop_loss, ticket.take_profit):
        if named is None:
            continue
        one = Fraction(named)
        if one <= 0:
            return "PRICE"
        if tick > 0 and (one / tick).denominator != 1:
            return "TICK"
        if market is not None and market > 0 and (one * factor < market or one > market * factor):
            return "PRICE"
    return ""


def stop_side(ticket: Ticket, state: State, limits: Limits) -> str:
    market = far_side(ticket, state)
    if ticket.order_type != OrderType.STOP or ticket.stop_price is None or market is None:
        return ""
    stop = Fraction(ticket.stop_price)
    fine = stop > market if ticket.side == Side.BUY else stop < market
    return "" if fine else "STOP_SIDE"


def bracket(ticket: Ticket, state: State, limits: Limits) -> str:
    loss, profit = ticket.stop_loss, ticket.take_profit
    if (loss is not None or profit is not None) and only_closes(ticket, state):
        return "BRACKET"
    entry = worst(ticket, state)
    if entry is None:
        return ""
    buys = ticket.side == Side.BUY
    if loss is not None and not (loss < entry if buys else loss > entry):
        return "BRACKET"
    if profit is not None and not (profit > entry if buys else profit < entry):
        return "BRACKET"
    return ""


def covered(ticket: Ticket, state: State, limits: Limits) -> str:
    if ticket.side == Side.BUY:
        return ""
    held = certainly_held(ticket, state)
    if held is None:
        return "POSITION_UNKNOWN"
    if Fraction(ticket.quantity) + waiting(ticket, state, Side.SELL) > held:
        return "SHORT_SALE"
    world = plans.World(ticket, state)
    world.working = [o for o in world.working if o.role == Role.ENTRY]  # a stop moves away
    return "COVERS_CALL" if Fraction(ticket.quantity) > world.free(dict(world.least)) else ""


def cash_kept(ticket: Ticket, state: State, limits: Limits) -> str:
    if plans.is_plan(ticket):
        return plans.kept(ticket, state, plans.plan_costs(ticket))
    if ticket.side == Side.SELL:
        return ""
    price = worst(ticket, state)
    return plans.kept(
        ticket,
        state,
        None if price is None else max(price, Fraction(0)) * Fraction(ticket.instrument.multiplier),
    )


def own_order(ticket: Ticket, state: State, limits: Limits) -> str:
    if ticket.order_type == OrderType.STOP:
        return ""
    mine = far_side(ticket, state)
    if ticket.order_type == OrderType.LIMIT:
        mine = None if ticket.limit_price is None else Fraction(ticket.limit_price)
    if mine is None:
        return ""
    for order in state["working"]:
        if order.con_id != ticket.instrument.con_id or order.side == ticket.side:
            continue
        if may_still_trade(order) == 0 or is_asleep(order, state):
            continue
        if order.cancel_requested_at is not None and only_closes(ticket, state):
            continue
        for resting in limits_of(order):
            if (mine >= resting) if ticket.side == Side.BUY else (mine <= resting):
                return "CROSSING"
    return ""


def is_asleep(order: Order, state: State) -> bool:
    """A stop or target whose entry still waits for its first share."""
    if order.role == Role.ENTRY:
        return False
    return any(other.number == order.parent and other.filled == 0 for other in state["working"])


def limits_of(order: Order) -> list[Fraction]:
    """The limit that an order has, and the one that is asked for it."""
    found = []
    if order.limit_price is not None:
        found.append(Fraction(order.limit_price))
    if order.change is not None and order.change.limit_price is not None:
        found.append(Fraction(order.change.limit_price))
    return found


def symbol(ticket: Ticket, state: State, limits: Limits) -> str:
    name, allowed = ticket.instrument.symbol, limits["allowed_symbols"]
    if name in limits["denied_symbols"] or (len(allowed) > 0 and name not in allowed):
        return "SYMBOL"
    return ""


def size(ticket: Ticket, state: State, limits: Limits) -> str:
    in_shares = ticket.instrument.kind in ("STK", "CASH")
    most = limits["max_order_shares"] if in_shares else limits["max_order_contracts"]
    if any(ticket.quantity * abs(leg.ratio) > most for leg in ticket.instrument.legs if leg.option):
        return "ORDER_SIZE"
    return "ORDER_SIZE" if ticket.quantity > most and not ticket.instrument.legs else ""


def order_value(ticket: Ticket, state: State, limits: Limits) -> str:
    worth = value(ticket, state)
    return "ORDER_VALUE" if worth is None or worth > Fraction(limits["max_order_value_base"]) else ""


def worth_sent(state: State, since: datetime) -> Fraction:
    result = Fraction(0)
    for sent in state["sent"]:
        if sent.worth is not None and sent.at > since:
            result += Fraction(sent.worth)
    return result


def hour_value(ticket: Ticket, state: State, limits: Limits) -> str:
    worth = value(ticket, state)
    if worth is None or state["sent"] is None:
        return "HOUR_VALUE"
    together = worth + worth_sent(state, state["now"] - timedelta(minutes=60))
    return "HOUR_VALUE" if together > Fraction(limits["max_hour_value_base"]) else ""


def day_value(ticket: Ticket, state: State, limits: Limits) -> str:
    worth = value(ticket, state)
    if worth is None or state["sent"] is None:
        return "DAY_VALUE"
    together = worth + worth_sent(state, midnight(state["now"]))
    return "DAY_VALUE" if together > Fraction(limits["max_day_value_base"]) else ""


def collar(ticket: Ticket, state: State, limits: Limits) -> str:
    if ticket.order_type != OrderType.LIMIT or ticket.limit_price is None:
        return ""
    market = far_side(ticket, state)
    if market is None or market <= 0:
        return "COLLAR"
    if market < 5:
        width = market * Fraction(limits["max_collar_percent_below_5"]) / 100
    else:
        width = market * Fraction(limits["max_collar_percent"]) / 100
    limit = Fraction(ticket.limit_price)
    if ticket.side == Side.BUY:
        return "COLLAR" if limit > market + width else ""
    return "COLLAR" if limit < market - width else ""


def position_cap(ticket: Ticket, state: State, limits: Limits) -> str:
    if ticket.side == Side.SELL:
        return ""
    unit = unit_value(ticket, state)
    if unit is None or state["positions"] is None:
        return "POSITION_CAP"
    largest = total(state["positions"], ticket.instrument.con_id)
    if state["told"] is not None:
        largest = max(largest, total(state["told"], ticket.instrument.con_id))
    after = max(largest + Fraction(ticket.quantity) + waiting(ticket, state, Side.BUY), Fraction(0))
    return "POSITION_CAP" if after * unit > Fraction(limits["max_position_size"]) else ""


def gross_exposure(ticket: Ticket, state: State, limits: Limits) -> str:
    worth, whole = value(ticket, state), net(state)
    if worth is None or whole is None or state["positions"] is None:
        return "GROSS_EXPOSURE"
    for p in state["positions"]:
        if p.signed_quantity == 0:
            continue
        rate = rate_of(p.currency, state)
        if p.market_value is None or rate is None:
            return "GROSS_EXPOSURE"
        worth += abs(Fraction(p.market_value)) * rate
    on_its_way = worth_on_its_way(state["working"], state["positions"], state)
    if on_its_way is None:
        return "GROSS_EXPOSURE"
    worth += on_its_way
    return "GROSS_EXPOSURE" if worth * 100 > whole * Fraction(limits["max_gross_exposure_percent"]) else ""


def worth_on_its_way(orders: Iterable[Order], positions: Iterable[Any], state: State) -> Fraction | None:
    """What everything that works is worth; None where that of one is not known."""
    result = Fraction(0)
    for order in orders:
        if order.role != Role.ENTRY or may_still_trade(order) == 0:
            continue
        if order.kind != "STK" and order.worth is not None:
            if order.quantity == 0:
                return None
            result += Fraction(order.worth) * may_still_trade(order) / Fraction(order.quantity)
            continue
        rate, named = rate_of(order.currency, state), None
        if limits_of(order):
            named = max(limits_of(order))
        elif order.stop_price is not None and order.stop_price != 0:
            named = Fraction(order.stop_price)
        else:
            for p in positions:
                if p.con_id == order.con_id:
                    named = None if p.market_price is None else Fraction(p.market_price)
                    break
        if named is not None and rate is not None:
            result += abs(named * may_still_trade(order)) * Fraction(order.multiplier) * rate
        elif named is None and order.worth is not None:
            result += Fraction(order.worth)
        else:
            return None
    return result


def plan_cap(ticket: Ticket, state: State, limits: Limits) -> str:
    worth = value(ticket, state)
    if worth is None or state["positions"] is None:
        return "POSITION_CAP"
    if worth <= 0:
        return ""
    mine = [o for o in state["working"] if o.symbol == ticket.instrument.symbol]
    mine = [o for o in mine if o.owner is None or o.worth is not None]
    held, on_its_way = plans.held_at_risk(ticket, state), worth_on_its_way(mine, (), state)
    if held is None or on_its_way is None:
        return "POSITION_CAP"
    return "POSITION_CAP" if worth + held + on_its_way > Fraction(limits["max_position_size"]) else ""


def trade_risk(ticket: Ticket, state: State, limits: Limits) -> str:
    if ticket.side == Side.SELL:
        return ""
    entry, rate, whole = worst(ticket, state), rate_of(ticket.instrument.currency, state), net(state)
    distance = None
    if ticket.stop_loss is None:
        if state["atr"] is not None:
            distance = Fraction(state["atr"]) * Fraction(limits["assumed_stop_atr"])
    elif entry is not None:
        distance = abs(entry - Fraction(ticket.stop_loss))
    if distance is None or rate is None or whole is None:
        return "RISK_PER_TRADE"
    loss = distance * Fraction(ticket.quantity) * Fraction(ticket.instrument.multiplier) * rate
    return "RISK_PER_TRADE" if loss > whole * Fraction(limits["max_portfolio_risk"]) else ""


def day_loss(ticket: Ticket, state: State, limits: Limits) -> str:
    whole = net(state)
    if whole is None or state["account"].day_gain is None:
        return "DAY_LOSS"
    gain = Fraction(state["account"].day_gain)
    told = state["account"].worth_before
    yesterday = Fraction(told) if told else whole - gain
    if yesterday <= 0:
        return "DAY_LOSS"
    return "DAY_LOSS" if -gain / yesterday * 100 >= Fraction(limits["reduce_at_day_loss_percent"]) else ""


def same_again(ticket: Ticket, state: State, limits: Limits) -> str:
    if state["confirmed"]:
        return ""
    if state["sent"] is None:
        return "SAME_ORDER"
    for sent in state["sent"]:
        con_id, side, many, kind, limit, stop, tif = sent.terms
        same = con_id == ticket.instrument.con_id and side == ticket.side and many == ticket.quantity
        same = same and kind == ticket.order_type and limit == ticket.limit_price
        same = same and stop == ticket.stop_price and tif == ticket.tif
        if same and state["now"] - sent.at < timedelta(seconds=limits["same_order_seconds"]):
            return "SAME_ORDER"
    return ""


def per_minute(ticket: Ticket, state: State, limits: Limits) -> str:
    if state["sent"] is None:
        return "ORDERS_PER_MINUTE"
    many = 0
    for sent in state["sent"]:
        if sent.worth is not None and state["now"] - sent.at < timedelta(minutes=1):
            many += 1
    return "ORDERS_PER_MINUTE" if many + 1 > limits["max_orders_per_minute"] else ""


def per_day(ticket: Ticket, state: State, limits: Limits) -> str:
    if state["sent"] is None:
        return "ORDERS_PER_DAY"
    many = 0
    for sent in state["sent"]:
        if sent.worth is not None and sent.at > midnight(state["now"]):
            many += 1
    return "ORDERS_PER_DAY" if many + 1 > limits["max_orders_per_day"] else ""


def fills(ticket: Ticket, state: State, limits: Limits) -> str:
    if state["sent"] is None:
        return "FILLS_PER_SYMBOL"
    many = 0
    for sent in state["sent"]:
        own = sent.terms[0] == ticket.instrument.con_id and sent.worth is not None
        if own and sent.filled_at is not None and state["now"] - sent.filled_at < timedelta(hours=1):
            many += 1
    return "FILLS_PER_SYMBOL" if many + 1 > limits["max_filled_orders_per_symbol_hour"] else ""


def rejections(ticket: Ticket, state: State, limits: Limits) -> str:
    if state["sent"] is None:
        return "REJECTS"
    opened, many = state["trading"].since, 0
    for sent in state["sent"]:
        at = sent.rejected_at
        if at is None or state["now"] - at >= timedelta(minutes=5):
            continue
        if state["trading"].state == TradingState.ACTIVE and opened is not None and at <= opened:
            continue
        many += 1
    return "REJECTS" if many >= limits["halt_at_rejects"] else ""


def liquidity(ticket: Ticket, state: State, limits: Limits) -> str:
    forecast, whole = state["what_if"], net(state)
    if forecast is None or whole is None or whole <= 0:
        return "EXCESS_LIQUIDITY"
    if forecast.equity_with_loan_after is None or forecast.maintenance_margin_after is None:
        return "EXCESS_LIQUIDITY"
    if forecast.maintenance_margin_change is None or state["account"].excess_liquidity is None:
        return "EXCESS_LIQUIDITY"
    free = min(
        Fraction(forecast.equity_with_loan_after) - Fraction(forecast.maintenance_margin_after),
        Fraction(state["account"].excess_liquidity) - Fraction(forecast.maintenance_margin_change),
    )
    return "EXCESS_LIQUIDITY" if free / whole * 100 < Fraction(limits["min_excess_liquidity_percent"]) else ""


COLLARS = ("max_collar_percent", "max_collar_percent_below_5")
OPTIONS, SHARES = True, False
GATE: list[tuple[Any, ...]] = [
    (False, (), state_of_trading),
    (True, (), no_analyst_when_halted),
    (True, (), connection),
    (True, ("live_account",), account),
    (True, ("max_approval_age_seconds",), approved),
    (False, (), books),
    (True, ("max_quote_age_seconds",), price),
    (True, ("max_quote_age_seconds",), plans.priced, OPTIONS),
    (False, ("max_drift_percent",), moved_since_card),
    (False, (), delayed),
    (False, ("max_spread_percent",), spread),
    (False, ("max_spread_percent_options",), plans.plan_spread, OPTIONS),
    (False, ("max_jump_percent",), jump),
    (False, (), halted_there),
    (False, (), session),
    (False, ("entries_in_reset_window",), reset_window),
    (True, (), quantity),
    (True, (), plans.legs_fit, OPTIONS),
    (True, (), plans.only_limit, OPTIONS),
    (True, (), plans.expired, OPTIONS),
    (True, ("max_price_factor",), prices, SHARES),
    (True, (), stop_side),
    (True, (), bracket),
    (True, (), covered, SHARES),
    (False, (), plans.loss_ends, OPTIONS),
    (False, (), plans.secured, OPTIONS),
    (False, (), cash_kept),
    (True, (), own_order, SHARES),
    (True, (), plans.meets_own, OPTIONS),
    (False, ("allowed_symbols", "denied_symbols"), symbol),
    (False, ("max_order_shares", "max_order_contracts"), size),
    (False, ("max_order_value_base",), order_value),
    (False, ("max_hour_value_base",), hour_value),
    (False, ("max_day_value_base",), day_value),
    (False, COLLARS, collar, SHARES),
    (False, ("max_collar_percent", "max_collar_percent_options"), plans.plan_collar, OPTIONS),
    (False, ("max_position_size",), position_cap, SHARES),
    (False, ("max_position_size",), plan_cap, OPTIONS),
    (False, ("max_gross_exposure_percent",), gross_exposure),
    (False, ("max_portfolio_risk", "assumed_stop_atr"), trade_risk, SHARES),
    (False, ("max_portfolio_risk", "assumed_stop_atr"), plans.plan_risk, OPTIONS),
    (False, ("reduce_at_day_loss_percent", "halt_at_day_loss_percent"), day_loss),
    (False, ("same_order_seconds",), same_again),
    (False, ("max_orders_per_minute",), per_minute),
    (False, ("max_orders_per_day",), per_day),
    (False, ("max_filled_orders_per_symbol_hour",), fills),
    (False, ("halt_at_rejects",), rejections),
    (False, ("min_excess_liquidity_percent",), liquidity),
]
"""(whether it binds an order that only closes, the limits that it needs, the rule, whether it is for options or shares only), in their order."""
