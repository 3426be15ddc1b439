"""The rules that only options and combinations have (a limit, a market for every leg, an end to the loss, cover for what is owed), and what
the puts that are owed ask of every purchase.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal

from core.model import Account, Denial, Leg, OrderType, Side, Ticket
from core.options import combine, recognise
from core.risk import plans
from core.risk.bounds import EXCHANGE, exposure
from core.risk.terms import Limits, Snapshot, at_risk, beside, judged, value, worst_price

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
    """A put that is owed, and no other put that lasts as long covers, has its shares' price in cash, beside what others tie up and what is
    still to be paid.
    """
    if not _ties_more(ticket, snapshot):
        return None
    account = snapshot.account
    needs = None if snapshot.positions is None else _needs(ticket, snapshot)
    if account is None or account.cash is None or needs is None:
        return Denial(
            "NOT_SECURED", "Whether the cash for the shares is there is not known yet.", remedy="try again in a few seconds"
        )  # fmt: skip
    if needs.total <= account.cash:
        return None
    others = {
        "other puts": sum(_tied(ticket, snapshot, ()).values(), ZERO),
        "what is still to be paid": needs.paid,
    }
    beside_what = " and ".join(name for name, amount in others.items() if amount)
    return Denial(
        "NOT_SECURED",
        f"If it is assigned, the shares cost more than the cash that is there{f' beside {beside_what}' if beside_what else ''}.",
        f"{needs.total:,.2f} {account.currency}",
        f"{account.cash:,.2f} {account.currency}",
        "a lower strike, or BULL_PUT_SPREAD, whose loss is bounded by a second put; what covers another put is closed with it",
        fits=_what_fits(ticket, snapshot, account.cash),
    )


def cash_kept(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """What a purchase costs, of shares or of a plan, leaves the cash that stands behind the puts that are owed, in every symbol; where none
    are owed it is not asked. What a put ties that the plan itself sells is for `cash_secured`.
    """
    costs, account = _cost(ticket, snapshot), snapshot.account
    if costs is not None and costs * ticket.quantity <= 0:
        return None
    tied = _tied(ticket, snapshot, plans.legs_of(ticket))
    if snapshot.positions is not None and (not tied or _ties_more(ticket, snapshot)):
        return None
    needs = None if snapshot.positions is None else _needs(ticket, snapshot)
    if account is None or account.cash is None or needs is None:
        return Denial(
            "CASH_KEPT",
            "Whether it leaves the cash behind puts that are owed cannot be measured: holdings, cash, a price or an exchange rate are not known yet.",
            remedy="try again in a few seconds",
        )
    if needs.total <= account.cash:
        return None
    what = "this purchase" if needs.paid == needs.own else "this purchase, with those that work,"
    return Denial(
        "CASH_KEPT",
        f"{needs.tied:,.2f} {account.currency} of cash stand behind puts that are owed, and {what} costs more than the rest; "
        "closing puts frees it (/positions).",
        f"{needs.paid:,.2f} {account.currency}",
        f"{max(account.cash - needs.tied, ZERO):,.2f} {account.currency}",
        f"fewer {'contracts' if plans.is_plan(ticket) else 'shares'}, or close the puts first: /positions",
        fits=_what_fits(ticket, snapshot, account.cash),
    )


@dataclass(frozen=True, slots=True)
class _Needs:
    """Cash that is spoken for when an order has traded, in base currency: behind puts, and still to be paid, of which its `own`."""

    tied: Decimal
    paid: Decimal
    own: Decimal

    @property
    def total(self) -> Decimal:
        return self.tied + self.paid


def _needs(ticket: Ticket, snapshot: Snapshot) -> _Needs | None:
    """None where a price or a rate is not known."""
    account, costs, tied = snapshot.account, _cost(ticket, snapshot), ZERO
    rate = account.rate(ticket.instrument.currency) if account else None
    waits = None if account is None else _still_to_pay(snapshot, account)
    if account is None or costs is None or rate is None or waits is None:
        return None
    for currency, amount in _tied(ticket, snapshot, plans.legs_of(ticket)).items():
        worth = account.rate(currency)
        if worth is None:
            return None
        tied += amount * worth
    own = max(costs * ticket.quantity, ZERO) * rate
    return _Needs(tied, waits + own, own)


def _cost(ticket: Ticket, snapshot: Snapshot) -> Decimal | None:
    """What one of it costs at worst, in its currency; nothing where it brings money."""
    if plans.is_plan(ticket):
        price = plans.signed_limit(ticket)
    elif ticket.side is Side.SELL:
        price = ZERO
    else:
        price = worst_price(ticket, snapshot.quote)
    return None if price is None else max(price, ZERO) * ticket.instrument.multiplier


def _still_to_pay(snapshot: Snapshot, account: Account) -> Decimal | None:
    """What working purchases may still cost at the worst of their limits, in base currency; None where one cannot be measured. What
    protects is no purchase, and one that brings money pays for no other.
    """
    total = ZERO
    for order in snapshot.working:
        if order.protects or order.remaining <= 0 or (order.side is Side.SELL and not order.legs):
            continue
        asked = order.change.limit_price if order.change else None
        limits = [
            at * order.side.sign for at in (order.limit_price, asked, order.final_limit) if at is not None
        ]
        price = max(limits) if limits else order.stop_price or snapshot.price_of(order.con_id)
        rate = account.rate(order.currency)
        if price is None and order.worth is not None:
            total += order.worth
        elif price is None or rate is None:
            return None
        else:
            total += max(price, ZERO) * order.remaining * order.multiplier * rate
    return total


def _tied(ticket: Ticket, snapshot: Snapshot, legs: Sequence[Leg]) -> dict[str, Decimal]:
    """What puts in every symbol tie up when these legs of a plan have traded, by currency; empty where none are owed."""
    lines = (*(snapshot.told or ()), *(snapshot.positions or ()))
    names = {(p.symbol, p.currency) for p in lines if p.option}
    names |= {(o.symbol, o.currency) for o in snapshot.working if o.option or o.legs}
    found: dict[str, Decimal] = {}
    if plans.is_plan(ticket):
        names.discard((ticket.instrument.symbol, ticket.instrument.currency))
        found[ticket.instrument.currency] = plans.cash_tied(ticket, legs, beside(ticket, snapshot))
    for symbol, currency in sorted(names):
        mine, working = plans.relatives(symbol, currency, plans.NO_SHARES, lines, snapshot.working)
        tied = recognise.secured(symbol, snapshot.least(mine), working)
        found[currency] = found.get(currency, ZERO) + tied
    return {currency: tied for currency, tied in found.items() if tied}


def _ties_more(ticket: Ticket, snapshot: Snapshot) -> bool:
    """Whether puts take more cash when it has traded."""
    if not plans.is_plan(ticket):
        return False
    around = beside(ticket, snapshot)
    return plans.cash_tied(ticket, plans.legs_of(ticket), around) > plans.cash_tied(ticket, (), around)


def _what_fits(ticket: Ticket, snapshot: Snapshot, cash: Decimal) -> int | None:
    """The quantity for which the cash is there, while one more is too many; None where it is not there for one."""

    def passes(many: int) -> bool:
        needs = _needs(replace(ticket, quantity=Decimal(many)), snapshot)
        return needs is not None and needs.total <= cash

    fits, too_many = 1, int(ticket.quantity)
    if too_many <= 1 or not passes(1):
        return None
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if passes(middle) else (fits, middle)
    return fits


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
