"""The rules that only options and combinations have: a limit, a market for every leg, an end to the loss, and cover for what is owed."""

from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal

from core.model import Account, Denial, OrderType, Side, Ticket
from core.options import combine, recognise
from core.risk import plans
from core.risk.bounds import EXCHANGE, exposure
from core.risk.terms import Limits, Snapshot, at_risk, beside, judged, value

ZERO, HUNDRED = Decimal(0), Decimal(100)


def legs_fit(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """Its legs are one thing: all on the same shares, and what it opens on the same day."""
    known = snapshot.positions is not None  # else `loss_bounded` says that nothing can be measured
    opening = plans.split(ticket, beside(ticket, snapshot))[1] if known else ()
    problem = plans.misfit(ticket, opening, snapshot.plan)
    return Denial("LEGS", problem, remedy="/help strategy lists what can be opened") if problem else None


def plan_limit(ticket: Ticket, _snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """Options leave with a limit, never at market, and are repriced only as far as was approved: from where they start towards the market."""
    start, worst = ticket.limit_price, ticket.worst_limit
    others = (ticket.stop_price, ticket.stop_loss, ticket.take_profit)
    if ticket.order_type is OrderType.LIMIT and start is not None and worst is not None and not any(others):
        toward = worst - start if ticket.instrument.legs else (worst - start) * ticket.side.sign
        if toward >= 0 and (ticket.instrument.legs or min(start, worst) > 0):
            return None
    return Denial(
        "LIMIT_ONLY",
        "Options are ordered with a limit that is a price, without stop or target, and never beyond the limit on the card.",
        remedy="@ with your price per share",
    )


def plan_priced(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """Every leg has a bid and an ask that are not crossed, and fresh: what has no market has no worst case that could be told."""
    for leg in plans.legs_of(ticket):
        quote = snapshot.plan.quotes.get(leg.con_id) if snapshot.plan else None
        name = leg.option.label(ticket.instrument.symbol) if leg.option else ticket.instrument.symbol
        if quote is None or quote.ask is None or quote.ask <= 0 or (quote.bid is None and leg.ratio < 0):
            return Denial(
                "PRICE_UNKNOWN",
                f"There is no market for {name} now, so nothing can be valued.",
                remedy="a nearer strike, or the same when the market is open",
            )
        if quote.bid is not None and quote.bid > quote.ask:
            return Denial(
                "QUOTE_CROSSED", f"The quote of {name} is crossed.", f"{quote.bid:f} / {quote.ask:f}", "bid below ask"
            )  # fmt: skip
        age, most = (snapshot.now - quote.time).total_seconds(), limits.max_quote_age_seconds
        if age < -most:
            return Denial(
                "QUOTE_TIME",
                f"The last quote of {name} is from the future: a clock is wrong.",
                f"{-age:.0f} s ahead",
                "now",
            )
        if age > most:
            return Denial(
                "QUOTE_OLD",
                f"The last quote of {name} is too old.",
                f"{age:.0f} s",
                f"{limits.max_quote_age_seconds:.0f} s",
                "try again",
            )
    return None


def _natural(ticket: Ticket, snapshot: Snapshot) -> tuple[Decimal | None, Decimal | None]:
    """(net bid, net ask) per unit, signed, of owning what the plan adds."""
    quotes, legs = snapshot.plan.quotes if snapshot.plan else {}, plans.legs_of(ticket)
    if plans.misfit(ticket, (), snapshot.plan):
        return None, None
    return combine.natural(legs, quotes)


def plan_spread(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """Bid and ask of the whole are near enough to each other to be a market, measured by what its options are worth together."""
    bid, ask = _natural(ticket, snapshot)
    quotes = snapshot.plan.quotes if snapshot.plan else {}
    gross = ZERO
    for leg in plans.legs_of(ticket):
        quote = quotes.get(leg.con_id)
        if leg.option and quote is not None and quote.bid is not None and quote.ask is not None:
            gross += abs(leg.ratio) * (quote.bid + quote.ask) / 2
    if bid is None or ask is None or gross <= 0:
        return Denial(
            "SPREAD", f"Bid and ask of {ticket.instrument.label} are not both known.", remedy="try again"
        )
    wide = (ask - bid) * HUNDRED / gross
    if wide <= limits.max_spread_percent_options:
        return None
    if not ticket.instrument.legs and ticket.side is Side.SELL:
        bid, ask = -ask, -bid
    return Denial(
        "SPREAD",
        f"Bid and ask of {ticket.instrument.label} lie far apart: {bid:f} / {ask:f}.",
        f"{wide:.1f} %",
        f"{limits.max_spread_percent_options:f} %",
        "nearer strikes or a nearer expiry, or raise MAX_SPREAD_PERCENT_OPTIONS",
    )


def plan_collar(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The limit is not further through the market than the collar: of what its options cost together that for options, five cents at
    least, and of the shares beside them that for shares.
    """
    _, ask = _natural(ticket, snapshot)
    limit = plans.signed_limit(ticket)
    if ask is None or limit is None or snapshot.plan is None:
        return Denial(
            "COLLAR", "How far the limit is from the market cannot be measured.", remedy="try again in a few seconds"
        )  # fmt: skip
    shares = ZERO
    for leg in plans.legs_of(ticket):
        quote = snapshot.plan.quotes.get(leg.con_id)
        side = None if quote is None else quote.ask if leg.ratio > 0 else quote.bid
        if leg.option is None and side is not None:
            shares += side * leg.ratio / ticket.instrument.multiplier
    width = max(abs(ask - shares) * limits.max_collar_percent_options / HUNDRED, plans.LEAST_COLLAR)
    width += abs(shares) * limits.max_collar_percent / HUNDRED
    if limit - ask <= width:
        return None
    edge = (ask + width).quantize(combine.TICK, ROUND_FLOOR)
    shown = edge if ticket.instrument.legs else edge * ticket.side.sign
    given = ticket.worst_limit
    return Denial(
        "COLLAR",
        f"The limit is far through the market of {ask if ticket.instrument.legs else ask * ticket.side.sign:f}.",
        f"{given:f}",
        f"{shown:.2f}",
        f"@ {shown:.2f} or better",
    )


def loss_bounded(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """There is an end to what it can lose, whatever it is called: calls that are owed, and shares that it sells, have calls that last as
    long or shares behind them that cover nothing else.
    """
    around = beside(ticket, snapshot)
    known = snapshot.plan is not None and snapshot.positions is not None
    if known and not plans.split(ticket, around)[1]:
        return None
    before = plans.free_shares(ticket, (), around)
    after = plans.free_shares(ticket, plans.legs_of(ticket), around)
    covered = known and after >= min(before, ZERO)
    found = judged(ticket, snapshot)
    if not known or (covered and found is None):
        return Denial(
            "LOSS_UNKNOWN",
            "What it could lose cannot be measured: a price is missing, or its legs do not fit.",
            remedy="try again in a few seconds",
        )
    if covered and found is not None and plans.new_loss(found) is not None:
        return None
    symbol = ticket.instrument.symbol
    return Denial(
        "UNLIMITED_LOSS",
        "Its loss would be unlimited: a call would be owed that neither a call that lasts as long nor free shares cover"
        f" ({max(before, ZERO):f} {symbol} are free).",
        "unlimited",
        "an end",
        "a spread (BEAR_CALL_SPREAD), or a covered call against shares that you hold; what covers another call is closed with it",
    )


def cash_secured(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """A put that is owed, and no other put that lasts as long covers, has its shares' price in cash, beside what others tie up."""
    account, around = snapshot.account, beside(ticket, snapshot)
    before, after = (plans.cash_tied(ticket, legs, around) for legs in ((), plans.legs_of(ticket)))
    if after <= before:
        return None
    rate = account.rate(ticket.instrument.currency) if account else None
    elsewhere = None if account is None else _tied_elsewhere(ticket, snapshot, account)
    if (
        account is None
        or account.cash is None
        or rate is None
        or elsewhere is None
        or snapshot.positions is None
    ):
        return Denial(
            "NOT_SECURED", "Whether the cash for the shares is there is not known yet.", remedy="try again in a few seconds"
        )  # fmt: skip
    if elsewhere + after * rate <= account.cash:
        return None
    room, takes = account.cash - elsewhere - before * rate, (after - before) * rate
    return Denial(
        "NOT_SECURED",
        "If it is assigned, the shares cost more than the cash that is there"
        f"{' beside other puts' if before or elsewhere else ''}.",
        f"{elsewhere + after * rate:,.2f} {account.currency}",
        f"{account.cash:,.2f} {account.currency}",
        "a lower strike, or BULL_PUT_SPREAD, whose loss is bounded by a second put; what covers another put is closed with it",
        fits=max(int(room * ticket.quantity / takes), 0) or None if takes > 0 else None,
    )


def _tied_elsewhere(ticket: Ticket, snapshot: Snapshot, account: Account) -> Decimal | None:
    """What puts on everything but the ticket's underlying tie up, in base currency; None where a rate is not known."""
    lines = (*(snapshot.told or ()), *(snapshot.positions or ()))
    names = {(p.symbol, p.currency) for p in lines if p.option}
    names |= {(o.symbol, o.currency) for o in snapshot.working if o.option or o.legs}
    total = ZERO
    for symbol, currency in sorted(names):
        if (symbol, currency) == (ticket.instrument.symbol, ticket.instrument.currency):
            continue
        mine, working = plans.relatives(symbol, currency, plans.NO_SHARES, lines, snapshot.working)
        tied, rate = recognise.secured(symbol, snapshot.least(mine), working), account.rate(currency)
        if tied and rate is None:
            return None
        total += tied * (rate or ZERO)
    return total


def plan_cap(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """What it can lose, with everything that is held and on its way in the same underlying, stays under MAX_POSITION_SIZE."""
    worth, account, symbol = value(ticket, snapshot), snapshot.account, ticket.instrument.symbol
    rate = account.rate(ticket.instrument.currency) if account else None
    if worth is None or account is None or rate is None or snapshot.positions is None:
        return Denial(
            "POSITION_CAP",
            "The size of the position cannot be measured: holding, price or exchange rate is not known yet.",
            remedy="try again in a few seconds",
        )
    if worth <= 0:
        return None
    held = _held_at_risk(symbol, snapshot, account)
    mine = tuple(o for o in snapshot.working if o.symbol == symbol and (o.worth is not None or o.external))
    waiting = exposure(replace(snapshot, positions=(), working=mine))
    if held is None or waiting is None:
        return Denial(
            "POSITION_CAP",
            f"What is held and on its way in {symbol} cannot be measured, or has no end to its loss.",
            remedy="/positions",
        )
    figure = held + waiting + worth
    if figure <= limits.max_position_size:
        return None
    room = limits.max_position_size - held - waiting
    return Denial(
        "POSITION_CAP",
        f"What is held and on its way in {symbol}, with this at its largest loss, would be more than MAX_POSITION_SIZE.",
        f"{figure:,.2f} {account.currency}",
        f"{limits.max_position_size:,f} {account.currency}",
        fits=max(int(room * ticket.quantity / worth), 0) or None,
    )


def _held_at_risk(symbol: str, snapshot: Snapshot, account: Account) -> Decimal | None:
    """The most that the holdings in a symbol can lose from now, in base currency; None where that is not known or has no end."""
    total = ZERO
    mine = [p for p in snapshot.positions or () if p.symbol == symbol]
    for currency in sorted({p.currency for p in mine}):
        lost = plans.largest_loss([p for p in mine if p.currency == currency])
        rate = account.rate(currency)
        if lost is None or rate is None:
            return None
        total += lost * rate
    return total


def plan_risk(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """What it risks (all that it can lose; a share-like loss to the assumed stop) stays under MAX_PORTFOLIO_RISK of net liquidation."""
    lost = at_risk(ticket, snapshot, limits)
    account = snapshot.account
    worth = account.net_liquidation if account else None
    if lost is None or worth is None or account is None:
        return Denial(
            "RISK_PER_TRADE",
            "What this order could lose cannot be measured: a price, or the average range of the last sessions, is not known.",
            remedy="try again in a few seconds",
        )
    allowed = worth * limits.max_portfolio_risk
    if lost <= allowed:
        return None
    return Denial(
        "RISK_PER_TRADE",
        "It could lose more than MAX_PORTFOLIO_RISK of the account.",
        f"{lost:,.2f} {account.currency}",
        f"{allowed:,.2f} {account.currency}",
        "fewer contracts, or strikes nearer to each other",
        fits=max(int(allowed * ticket.quantity / lost), 0) or None if lost > 0 else None,
    )


def plan_crossing(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """No leg meets an order of ours that rests on the other side of it."""
    legs = plans.legs_of(ticket)
    for order in snapshot.working:
        if order.protects or order.remaining <= 0 or order.cancel_requested_at is not None:
            continue
        moves = order.moves(order.remaining)
        if any(leg.con_id == con_id and moved * leg.ratio < 0 for con_id, moved in moves for leg in legs):
            return Denial(
                "CROSSING",
                f"Your own order #{order.number} ({order.label}) works on the other side of one of its legs.",
                remedy=f"/cancel {order.number} first",
            )
    return None


def not_expired(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """No leg has expired."""
    today = snapshot.now.astimezone(EXCHANGE).date()
    gone = [leg.option for leg in plans.legs_of(ticket) if leg.option and leg.option.expiry < today]
    if not gone:
        return None
    return Denial(
        "EXPIRED", f"{gone[0].label(ticket.instrument.symbol)} has expired.", remedy="a later expiry: /chain"
    )
