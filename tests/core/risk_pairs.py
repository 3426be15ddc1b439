"""Random orders with the moment in which they are asked for: a good one, in which then a few things go wrong, each near its edge."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from core.model import (
    Account,
    Approval,
    Change,
    Drift,
    Instrument,
    Mode,
    OptionTerms,
    Order,
    OrderState,
    OrderType,
    Position,
    Quote,
    Right,
    Role,
    Sent,
    Side,
    Ticket,
    TimeInForce,
    Trading,
    TradingState,
    WhatIf,
)
from core.risk import Limits, Snapshot
from tests.values import ACCOUNT, LINK, OWNER, TICKET, order

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
CENT, MILLISECOND = D("0.01"), timedelta(milliseconds=1)
WILD = (D("NaN"), D("Infinity"), D("-Infinity"), D("1E+30"))
OPEN = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
"""A Monday, half past ten in New York."""
CLOCKS = tuple(
    datetime(2026, 3, day, *divmod(minutes, 60), tzinfo=UTC) + shift
    for day, minutes in (
        [(day, m) for day in (3, 7, 8) for m in (4 * 60 + 45, 5 * 60 + 45)]  # 23:45 and 00:45 in New York
        + [(7, 4 * 60), (7, 8 * 60), (4, 4 * 60), (3, 14 * 60 + 30), (2, 21 * 60), (3, 5 * 60)]
    )
    for shift in (-MILLISECOND, timedelta(0), MILLISECOND)
)
HOURS = "20260301:CLOSED;20260302:0930-20260302:1600;20260303:0930-20260303:1600;20260304:0930-20260304:1600"


@dataclass
class World:
    """A pair in the making. `approve` makes the yes when the terms are final."""

    r: Random
    ticket: Ticket
    s: Snapshot
    limits: Limits
    approve: Callable[[Ticket], Approval | None]

    def order(self, **changes: Any) -> None:
        """Change the terms."""
        self.ticket = replace(self.ticket, **changes)

    def moment(self, **changes: Any) -> None:
        """Change what is seen."""
        self.s = replace(self.s, **changes)

    def quote(self, **changes: Any) -> None:
        """Change the quote, where there is one."""
        if self.s.quote is not None:
            self.moment(quote=replace(self.s.quote, **changes))

    def account(self, **changes: Any) -> None:
        """Change the account, where it is known."""
        if self.s.account is not None:
            self.moment(account=replace(self.s.account, **changes))

    def limit(self, **changes: Any) -> None:
        """Change what is allowed; a limit below zero is no setting."""
        below = {k: D(0) for k, v in changes.items() if isinstance(v, Decimal) and v.is_finite() and v < 0}
        self.limits = replace(self.limits, **{**changes, **below})

    def near(self, edge: Decimal, step: Decimal = CENT) -> Decimal:
        """The edge, or a step to either side of it."""
        return edge + self.r.choice((-1, 0, 1)) * step

    def ago(self, span: timedelta) -> datetime:
        """So long ago, or a millisecond off."""
        return self.s.now - span + self.r.choice((-1, 0, 1)) * MILLISECOND

    def work(self, *more: Order) -> None:
        """More orders that work."""
        self.moment(working=(*self.s.working, *more))

    def send(self, *more: Sent) -> None:
        """More orders that left."""
        if self.s.sent is not None:
            self.moment(sent=(*self.s.sent, *more))

    @property
    def far(self) -> Decimal | None:
        """The side of the quote that the order would trade with."""
        return self.s.quote.far_side(self.ticket.side) if self.s.quote else None

    @property
    def unit(self) -> Decimal:
        """About what one of it is worth, in base currency."""
        t = self.ticket
        price = t.limit_price or t.stop_price or t.reference_price
        rate = self.s.account.rate(t.instrument.currency) if self.s.account else None
        return price * t.instrument.multiplier * (rate or 1)

    @property
    def held(self) -> Decimal:
        """What is held of it by our count."""
        return self.s.held(self.ticket.instrument.con_id) or D(0)


def pair(r: Random) -> tuple[Ticket, Snapshot, Limits]:
    """A random order, its moment, and its owner's limits."""
    w = well(r)
    count = r.choices((0, 1, 2, 3, 5, 8), (16, 14, 20, 22, 18, 10))[0]
    for number in sorted(r.sample(range(len(TROUBLES)), k=count)):
        TROUBLES[number](w)  # what leaves no number to reckon an edge from comes last
    w.moment(approved=w.approve(w.ticket))
    return w.ticket, w.s, w.limits


def well(r: Random) -> World:
    """Nothing is wrong: an entry, or an order that closes."""
    now = OPEN + timedelta(minutes=r.randrange(300), days=r.randrange(3))
    if r.random() < 0.1:
        now = r.choice(CLOCKS)
    kind, multiplier = r.choices((("STK", 1), ("STK", 100), ("CASH", 1)), (16, 3, 1))[0]
    instrument = Instrument(
        265598, "AAPL", kind, "SMART", "NASDAQ", "USD", "", r.choice((CENT, CENT, D("0.05"))),
        D(multiplier), HOURS, "US/Eastern",
    )  # fmt: skip
    side, leaving = r.choice(((BUY, False),) * 6 + ((SELL, True), (SELL, True), (BUY, True)))
    ask = r.choice((D(100), D(50), D(200), D(40), D(25), D(10), D(5), D(4), D(2), D("0.30")))
    if r.random() < 0.4:
        ask = D(r.randrange(20, 8000)) / 20
    bid = ask - instrument.min_tick
    if r.random() < 0.6:
        bid = max(D(int(ask * 99)) / 100, instrument.min_tick) // instrument.min_tick * instrument.min_tick
    if bid >= ask:
        ask = bid + instrument.min_tick
    far = ask if side is BUY else bid
    many = D(r.randrange(1, 6 if multiplier > 1 else 60))
    sign = side.sign
    ticks = r.randrange(1, 4) * instrument.min_tick
    on_tick: dict[str, Any] = {"order_type": OrderType.MARKET, "limit_price": None, "stop_price": None}
    match r.choice(("market", "limit", "limit", "stop")):
        case "limit":
            on_tick |= {"order_type": OrderType.LIMIT, "limit_price": max(far - sign * ticks, CENT * 5)}
        case "stop":
            on_tick |= {"order_type": OrderType.STOP, "stop_price": max(far + sign * ticks, CENT * 5)}
    ticket = replace(
        TICKET, instrument=instrument, side=side, quantity=many, reference_price=far, created_at=now,
        expires_at=now + timedelta(seconds=120), **on_tick,
    )  # fmt: skip
    if not leaving and r.random() < 0.4:
        entry = ticket.limit_price or ticket.stop_price or far
        ticket = replace(
            ticket,
            stop_loss=max(entry - 4 * ticks, CENT * 5) if entry > CENT * 6 else None,
            take_profit=entry + r.randrange(1, 9) * ticks,
        )
    held = D(0)
    if leaving:
        held = -sign * (many + r.randrange(0, 3))
    elif r.random() < 0.3:
        held = D(r.randrange(1, 50))
    base, rates = r.choice(
        (("USD", {"EUR": D("1.1")}), ("EUR", {"USD": D("0.8")}), ("EUR", {"USD": D("0.9173")}))
    )
    worth = D(1_000_000)
    positions = (
        Position(ACCOUNT, 265598, "AAPL", "USD", held, ask, ask, held * ask * instrument.multiplier),
        Position(ACCOUNT, 7, "MSFT", "USD", D(5), D(9), D(10), D(50)),
    )
    s = Snapshot(
        now=now,
        link=LINK,
        account=Account(ACCOUNT, base, worth, None, None, D(900_000), rates, D(r.randrange(-5000, 5000))),
        quote=Quote(bid, ask, ask, now, close=close_to(r, ask)),
        positions=positions,
        told=r.choice((None, positions)),
        working=(),
        atr=r.choice((D("0.02"), D("0.013"))) * ask,
        trading=Trading(since=r.choice((None, now - timedelta(hours=2)))),
        sent=(),
        what_if=WhatIf(None, D(5000), worth, None, "", maintenance_margin_after=D(100_000)),
        confirmed=r.random() < 0.1,
    )
    limits = Limits(
        max_position_size=D(500_000), max_order_value_base=D(400_000), max_hour_value_base=D(500_000), max_day_value_base=D(500_000)
    )  # fmt: skip
    if r.random() < 0.2:
        limits = replace(
            limits, allowed_symbols=frozenset({"AAPL", "MSFT"}), denied_symbols=frozenset({"GME"})
        )
    return World(r, ticket, s, limits, lambda t: Approval(OWNER, now, t.terms_hash()))


def close_to(r: Random, ask: Decimal) -> Decimal:
    """A last close that the price has not jumped away from."""
    return (ask * r.choice((D("0.9"), D(1), D("1.1")))).quantize(D("0.001"))


def exact(figure: Decimal) -> Decimal:
    """A figure with few digits: a limit that equals it where it has no more than those."""
    return figure.quantize(D("0.000001"))


Trouble = Callable[[World], None]
TROUBLES: list[Trouble] = []


def trouble(do: Trouble) -> Trouble:
    TROUBLES.append(do)
    return do


@trouble
def trading(w: World) -> None:
    state = w.r.choice((TradingState.REDUCING, TradingState.HALTED, TradingState.HALTED))
    w.moment(trading=Trading(state, since=w.s.now - timedelta(minutes=1)))
    w.order(decision_id=w.r.choice((None, "D1", "D1")))


@trouble
def road(w: World) -> None:
    change = w.r.choice(({"trouble": "TWS is gone."}, {"connected": False}, {"reconciled": False}))
    w.moment(link=replace(w.s.link, **change))


@trouble
def account(w: World) -> None:
    change = w.r.choice(({"mode": None}, {"account": None}, {"account": "DU7"}, {}))
    w.moment(link=replace(w.s.link, **change))
    if not change:
        w.account(account="DU7")


@trouble
def live(w: World) -> None:
    w.moment(link=replace(w.s.link, mode=Mode.LIVE))
    w.limit(live_account=w.r.choice(("", "DU7", ACCOUNT, ACCOUNT)))


@trouble
def approval(w: World) -> None:
    now, which = w.s.now, w.r.randrange(6)
    if which == 0:
        w.approve = lambda t: None
    elif which == 1:
        w.approve = lambda t: Approval(7, now, t.terms_hash())
    elif which == 2:
        w.approve = lambda t: Approval(t.owner, now, replace(t, quantity=t.quantity + 1).terms_hash())
    else:
        at = w.ago(w.r.choice((timedelta(0), timedelta(seconds=w.limits.max_approval_age_seconds or 0))))
        w.order(
            created_at=at + w.r.choice((0, 0, 1, -1)) * MILLISECOND,
            expires_at=at + w.r.choice((0, 1, 9)) * MILLISECOND,
        )
        w.approve = lambda t: Approval(t.owner, at, t.terms_hash())


@trouble
def drifts(w: World) -> None:
    con_id = w.r.choice((265598, 265598, 7))
    w.moment(drifts=(*w.s.drifts, Drift(ACCOUNT, con_id, "AAPL", "USD", D(1), D(2), None)))


@trouble
def no_price(w: World) -> None:
    w.r.choice(
        (
            lambda: w.moment(quote=None),
            lambda: w.quote(ask=None),
            lambda: w.quote(bid=None),
            lambda: w.quote(bid=D(0)),
            lambda: w.quote(ask=D(0), bid=D(0)),
            lambda: w.quote(bid=D(-1), ask=D(-1)),
        )
    )()


@trouble
def crossed(w: World) -> None:
    if w.s.quote and w.s.quote.ask is not None:
        w.quote(bid=w.near(w.s.quote.ask))


@trouble
def age(w: World) -> None:
    span = timedelta(seconds=w.limits.max_quote_age_seconds or 0)
    w.quote(time=w.ago(w.r.choice((span, span, -span, timedelta(hours=1)))))


@trouble
def drift(w: World) -> None:
    if w.far is None:
        return
    shown = w.near(w.far, w.r.choice((CENT, w.far / 100, w.far / 200)))
    if shown > 0 and w.r.random() < 0.6:
        w.limit(max_drift_percent=w.near(exact(abs(w.far - shown) * 100 / shown), D("0.000001")))
    w.order(reference_price=w.r.choice((shown, shown, shown, D(0))))


@trouble
def delay(w: World) -> None:
    w.quote(delayed=True)
    w.moment(link=replace(w.s.link, mode=Mode.LIVE))
    w.limit(live_account=ACCOUNT)


@trouble
def spread(w: World) -> None:
    quote = w.s.quote
    if quote is None or quote.bid is None or quote.ask is None or quote.bid + quote.ask <= 0:
        return
    if w.r.random() < 0.5:
        wide = exact((quote.ask - quote.bid) * 200 / (quote.ask + quote.bid))
        w.limit(max_spread_percent=w.near(wide, D("0.000001")))
    else:
        w.quote(**{w.r.choice(("bid", "ask")): w.near(D(100)), "close": D(100)})


@trouble
def jump(w: World) -> None:
    close = w.r.choice((D(100), D(50), D(10), D(4), None, D(0)))
    w.quote(close=close)
    if close and w.far is not None:
        moved = exact(abs(w.far - close) * 100 / close)
        w.limit(max_jump_percent=w.near(moved, D("0.000001")))


@trouble
def halted(w: World) -> None:
    w.quote(halted=True)


@trouble
def session(w: World) -> None:
    hours = w.r.choice(("", "20260302:CLOSED;20260303:CLOSED;20260304:CLOSED", HOURS))
    zone = w.r.choice(("US/Eastern", "EST", "Europe/London", "Nowhere/Land"))
    w.order(instrument=replace(w.ticket.instrument, hours=hours, time_zone=zone))
    if w.r.random() < 0.7:
        w.order(order_type=OrderType.MARKET, limit_price=None, stop_price=None)


@trouble
def quantity(w: World) -> None:
    if w.r.random() < 0.2:
        w.order(instrument=replace(w.ticket.instrument, multiplier=w.r.choice((D(0), D(-1), D("0.1")))))
    else:
        w.order(
            quantity=w.r.choice((D(0), D(-1), D("0.5"), D("1.001"), D("1.000"), w.ticket.quantity + D("0.5")))
        )


@trouble
def price(w: World) -> None:
    name = w.r.choice(("limit_price", "stop_price", "stop_loss", "take_profit"))
    kind = {"limit_price": OrderType.LIMIT, "stop_price": OrderType.STOP}.get(name, w.ticket.order_type)
    market = w.far or D(100)
    factor = w.limits.max_price_factor or D(2)
    some: tuple[Decimal | None, ...] = (
        None,
        D(0),
        D(-3),
        market + D("0.005"),
        market + D("0.01"),
        w.near(market * factor, w.ticket.instrument.min_tick),
        w.near(market / factor, w.ticket.instrument.min_tick),
    )
    w.order(**{name: w.r.choice(some), "order_type": kind})


@trouble
def stop_side(w: World) -> None:
    if w.far is not None:
        stop = w.near(w.far, w.ticket.instrument.min_tick)
        w.order(order_type=OrderType.STOP, stop_price=stop, limit_price=None)


@trouble
def bracket(w: World) -> None:
    entry = w.ticket.limit_price or w.ticket.stop_price or w.far
    if entry is not None:
        name = w.r.choice(("stop_loss", "take_profit"))
        w.order(**{name: w.near(entry, w.ticket.instrument.min_tick)})


@trouble
def sale(w: World) -> None:
    w.order(side=SELL, decision_id=w.r.choice((None, None, "D2")))
    if w.r.random() < 0.3:
        works(w, SELL)
    free = w.held - w.s.working_quantity(265598, SELL)
    w.order(quantity=max(w.near(free, D(1)), D(1)))


@trouble
def unknown_holding(w: World) -> None:
    if w.r.random() < 0.5:
        w.order(side=SELL)
    w.moment(positions=None)


@trouble
def two_counts(w: World) -> None:
    told = Position(
        ACCOUNT,
        265598,
        "AAPL",
        "USD",
        w.r.choice((-1, 0, 1, 2)) * w.ticket.quantity + w.r.choice((-1, 0, 1)),
        None,
    )
    w.moment(told=(told, *(p for p in w.s.told or () if p.con_id != 265598)))


def works(w: World, side: Side, **changes: Any) -> None:
    """One more order of the same thing at work, or one that was."""
    r, price = w.r, w.ticket.limit_price or w.far or D(100)
    many = D(r.randrange(1, 20))
    told: dict[str, Any] = {
        "number": len(w.s.working) + 1,
        "side": side,
        "quantity": many,
        "filled": r.choice((D(0), D(0), D(0), many, D(1))),
        "order_type": OrderType.LIMIT,
        "limit_price": w.near(price, w.ticket.instrument.min_tick),
        "role": r.choice((Role.ENTRY,) * 6 + (Role.TARGET,) * 2),
        "con_id": r.choice((265598,) * 5 + (7,)),
        "state": r.choice((OrderState.WORKING,) * 5 + (OrderState.UNKNOWN, OrderState.CANCELLED)),
        "owner": r.choice((OWNER, None)),
        "worth": r.choice((None, D(1000))),
        "parent": r.choice((None, len(w.s.working))),
        "cancel_requested_at": r.choice((None, None, None, w.s.now)),
    }
    match r.randrange(6):
        case 0:
            told |= {"order_type": OrderType.STOP, "limit_price": None, "stop_price": price}
        case 1:
            told |= {"order_type": OrderType.MARKET, "limit_price": None}
        case 2 | 3:
            asked = r.choice((None, w.near(price, w.ticket.instrument.min_tick)))
            told["change"] = Change("X", many + r.choice((-1, 0, 3)), asked, None, w.s.now)
    w.work(order(**{**told, **changes}))


@trouble
def crossing(w: World) -> None:
    if w.ticket.order_type is OrderType.STOP:
        w.order(order_type=OrderType.MARKET, stop_price=None)
    works(w, BUY if w.ticket.side is SELL else SELL)


@trouble
def beside(w: World) -> None:
    works(w, w.ticket.side)


@trouble
def foreign(w: World) -> None:
    works(w, w.r.choice((BUY, SELL)), con_id=w.r.choice((7, 8)), currency=w.r.choice(("USD", "JPY")))


@trouble
def symbols(w: World) -> None:
    names = (frozenset({"AAPL"}), frozenset({"GME"}), frozenset[str]())
    w.limit(denied_symbols=w.r.choice(names), allowed_symbols=w.r.choice(names))


@trouble
def size(w: World) -> None:
    w.limit(max_order_shares=w.near(w.ticket.quantity, D(1)))


@trouble
def order_value(w: World) -> None:
    w.limit(max_order_value_base=w.near(w.unit * w.ticket.quantity, CENT))


def left(w: World, at: datetime, **changes: Any) -> Sent:
    """An order of the same thing that left then."""
    told = Sent(
        len(w.s.sent or ()) + 1, at, replace(w.ticket, quantity=D(99)).same_terms, D(w.r.randrange(1, 500))
    )
    return replace(told, **changes)


@trouble
def hour_value(w: World) -> None:
    w.send(
        left(w, w.ago(timedelta(hours=1))),
        left(w, w.ago(timedelta(minutes=9)), worth=w.r.choice((None, D(70)))),
    )
    before = sum((s.worth or D(0) for s in w.s.sent or ()), D(0))
    w.limit(max_hour_value_base=w.near(w.unit * w.ticket.quantity + before, CENT))


@trouble
def day_value(w: World) -> None:
    w.send(left(w, w.ago(timedelta(hours=2))), left(w, around_midnight(w)))
    before = sum((s.worth or D(0) for s in w.s.sent or ()), D(0))
    w.limit(max_day_value_base=w.near(w.unit * w.ticket.quantity + before, CENT))


def around_midnight(w: World) -> datetime:
    """Midnight in New York, which is five hours off in these days, or a moment to either side."""
    there = w.s.now - timedelta(hours=5)
    midnight = there.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(hours=5)
    return midnight + w.r.choice((-1, 0, 1)) * MILLISECOND


@trouble
def collar(w: World) -> None:
    t, market = w.ticket, w.far
    if market is None or market <= 0:
        return
    name = "max_collar_percent_below_5" if market < 5 else "max_collar_percent"
    through = w.r.randrange(1, 9) * t.instrument.min_tick
    limit = market + t.side.sign * through
    w.order(order_type=OrderType.LIMIT, limit_price=limit, stop_price=None)
    if w.r.random() < 0.8:
        w.limit(**{name: w.near(exact(through * 100 / market), D("0.000001"))})


@trouble
def position_cap(w: World) -> None:
    if w.r.random() < 0.3:
        works(w, BUY)
    after = w.held + w.ticket.quantity + w.s.working_quantity(265598, BUY)
    w.limit(max_position_size=w.near(abs(after) * w.unit, CENT))


@trouble
def gross_exposure(w: World) -> None:
    if w.s.account is None or w.s.account.net_liquidation is None:
        return
    rate = w.s.account.rate("USD") or D(1)
    held = sum((abs(p.market_value or D(0)) for p in w.s.positions or () if p.signed_quantity), D(0))
    whole = held * rate + w.unit * w.ticket.quantity
    w.limit(max_gross_exposure_percent=w.near(exact(whole / 10_000), D("0.000001")))


@trouble
def unvalued(w: World) -> None:
    lost = w.r.choice(
        ({"market_value": None}, {"currency": "JPY"}, {"signed_quantity": D(0), "market_value": None})
    )
    if w.s.positions:
        *rest, last = w.s.positions
        w.moment(positions=(*rest, replace(last, **lost)))


@trouble
def risk(w: World) -> None:
    t = w.ticket
    if t.stop_loss is not None:
        entry = t.limit_price or t.stop_price or t.reference_price
        distance = abs(entry - t.stop_loss)
    elif w.s.atr is not None and w.limits.assumed_stop_atr is not None:
        distance = w.s.atr * w.limits.assumed_stop_atr
    else:
        return
    price = t.limit_price or t.stop_price or t.reference_price
    lost = distance * t.quantity * (w.unit / price if price else D(1))
    w.limit(max_portfolio_risk=w.near((lost / 1_000_000).quantize(D("1E-12")), D("1E-12")))


@trouble
def puts_owed(w: World) -> None:
    """Puts on something else are owed, or are to be sold, and the cash is about what they and this take."""
    r, t, many = w.r, w.ticket, w.r.randrange(1, 4)
    told = OptionTerms((w.s.now + timedelta(days=40)).date(), D(r.choice((20, 90))), Right.PUT)
    currency = r.choice(("USD", "USD", "USD", "EUR", "JPY"))
    needed, account = told.strike * told.multiplier * many, w.s.account
    if r.random() < 0.25:
        w.work(order(
            number=len(w.s.working) + 1, con_id=77, symbol="MSFT", currency=currency, side=SELL, quantity=D(many), order_type=OrderType.LIMIT,
            limit_price=D(1), kind="OPT", option=told, worth=needed,
        ))  # fmt: skip
    else:
        line = Position(ACCOUNT, 77, "MSFT", currency, D(-many), None, D(1), -many * told.multiplier, option=told, kind="OPT")  # fmt: skip
        counts = r.choice((("positions", "told"), ("positions", "told"), ("positions",), ("told",)))
        w.moment(**{name: (*lines, line) for name in counts if (lines := getattr(w.s, name)) is not None})
    if r.random() < 0.4:
        limited: dict[str, Any] = r.choice((
            {"limit_price": D(9)}, {"limit_price": D(9), "final_limit": D(12)}, {"limit_price": D(9), "change": Change("X", D(8), D(11), None, w.s.now)},
            {"limit_price": None}, {"limit_price": None, "stop_price": D(15)}, {"limit_price": None, "worth": D(70), "con_id": 8},
        ))  # fmt: skip
        w.work(
            order(
                **{"number": len(w.s.working) + 1, "con_id": 7, "symbol": "MSFT", "quantity": D(5), **limited}
            )
        )
    if account is None:
        return
    price = t.worst_limit or t.stop_price or t.reference_price
    cost = abs(price) * t.quantity * t.instrument.multiplier * (account.rate("USD") or 1)
    all_of_it = needed * (account.rate(currency) or 1) + cost
    w.account(
        cash=r.choice(
            (w.near(all_of_it), w.near(all_of_it), all_of_it + 45, all_of_it - cost / 2, D(0), None)
        )
    )


@trouble
def no_range(w: World) -> None:
    w.moment(atr=None)
    if w.r.random() < 0.7:
        w.order(stop_loss=None)


@trouble
def day_loss(w: World) -> None:
    lost = w.near(D(30_000), D(1))
    w.account(
        day_gain=w.r.choice((-lost, -lost, -lost, None, D(2_000_000))),
        net_liquidation=1_000_000 - lost,
        worth_before=w.r.choice((None, None, D(1_000_000), D(1_010_000))),
    )


@trouble
def money(w: World) -> None:
    w.r.choice(
        (
            lambda: w.moment(account=None),
            lambda: w.account(net_liquidation=w.r.choice((None, D(0), D(-5)))),
            lambda: w.account(rates={}, currency="EUR"),
        )
    )()


@trouble
def unknown_pace(w: World) -> None:
    w.moment(sent=None)


@trouble
def same(w: World) -> None:
    w.moment(confirmed=w.r.random() < 0.1)
    terms = replace(w.ticket, tif=w.r.choice((TimeInForce.DAY,) * 4 + (TimeInForce.GTC,)))
    terms = replace(terms, side=w.r.choice((w.ticket.side, w.ticket.side, BUY)))
    at = w.r.choice((w.ago(timedelta(seconds=60)), w.ago(timedelta(seconds=5))))
    w.send(left(w, at, terms=terms.same_terms, worth=w.r.choice((None, D(10)))))


@trouble
def minute(w: World) -> None:
    for _ in range(w.r.randrange(1, 7)):
        w.send(
            left(
                w,
                w.r.choice((w.ago(timedelta(minutes=1)), w.ago(timedelta(seconds=9)))),
                worth=w.r.choice((None,) + (D(10),) * 6),
            )
        )
    if w.r.random() < 0.5:
        w.limit(max_orders_per_minute=w.r.randrange(1, 4))


@trouble
def day(w: World) -> None:
    for _ in range(w.r.randrange(1, 4)):
        w.send(
            left(w, around_midnight(w)), left(w, w.ago(timedelta(hours=3)), worth=w.r.choice((None, D(1))))
        )
    w.limit(max_orders_per_day=w.r.randrange(1, 5))


@trouble
def fills(w: World) -> None:
    for _ in range(w.r.randrange(2, 6)):
        at = w.r.choice((w.ago(timedelta(hours=1)), w.ago(timedelta(minutes=20))))
        worth = w.r.choice((None,) + (D(10),) * 6)
        other = w.r.random() < 0.1
        terms = replace(w.ticket, instrument=replace(w.ticket.instrument, con_id=7)) if other else w.ticket
        w.send(
            left(
                w,
                at,
                worth=worth,
                filled_at=w.r.choice((None,) + (at,) * 8),
                terms=replace(terms, quantity=D(98)).same_terms,
            )
        )


@trouble
def rejects(w: World) -> None:
    if w.r.random() < 0.4:
        w.moment(trading=replace(w.s.trading, since=w.s.now - timedelta(seconds=30)))
    for _ in range(w.r.randrange(2, 6)):
        spans = (timedelta(minutes=5), timedelta(seconds=30), timedelta(seconds=9), timedelta(seconds=9))
        at = w.ago(w.r.choice(spans))
        w.send(left(w, w.s.now - timedelta(hours=3), worth=w.r.choice((None, D(5))), rejected_at=at))


@trouble
def liquidity(w: World) -> None:
    if w.s.what_if is None:
        return
    least = D(200_000)
    change: dict[str, Any] = w.r.choice(
        (
            {"maintenance_margin_after": w.near(1_000_000 - least)},
            {"maintenance_margin_after": w.near(1_000_000 - least)},
            {"maintenance_margin_change": w.near(900_000 - least)},
            {"maintenance_margin_change": None},
            {"equity_with_loan_after": None},
            {"maintenance_margin_after": None},
        )
    )
    w.moment(what_if=replace(w.s.what_if, **change))
    if w.r.random() < 0.1:
        w.account(excess_liquidity=None)


@trouble
def no_forecast(w: World) -> None:
    w.moment(what_if=None)


@trouble
def no_limit(w: World) -> None:
    name = w.r.choice([f.name for f in fields(Limits)])
    default = getattr(w.limits, name)
    bad = (None, D("NaN"), D("Infinity")) if isinstance(default, Decimal) else (None,)
    w.limit(**{name: w.r.choice(bad)})


def one(r: Random, names: str, figure: Decimal) -> dict[str, Any]:
    """One of the names with the figure."""
    return {r.choice(names.split()): figure}


@trouble
def no_number(w: World) -> None:
    r, wild, thing = w.r, w.r.choice(WILD), w.ticket.instrument
    match r.randrange(11):
        case 0:
            prices = "limit_price stop_price stop_loss take_profit"
            w.order(**one(r, f"quantity reference_price {prices}", wild))
        case 1:
            w.order(instrument=replace(thing, **one(r, "multiplier min_tick", wild)))
        case 2:
            w.quote(**one(r, "bid ask close", wild))
        case 3:
            w.account(**one(r, "net_liquidation excess_liquidity day_gain", wild))
        case 4:
            w.account(rates={"USD": wild})
        case 5:
            w.moment(atr=wild)
        case 6:
            w.moment(told=(Position(ACCOUNT, r.choice((265598, 7)), "", "USD", wild, None),))
        case 7:
            w.send(left(w, w.s.now, worth=wild))
        case 8:
            works(w, w.ticket.side, **one(r, "quantity limit_price stop_price filled worth", wild))
        case 9 if w.s.positions:
            first, *rest = w.s.positions
            first = replace(first, **one(r, "signed_quantity market_value market_price", wild))
            w.moment(positions=(first, *rest))
        case 10 if w.s.what_if:
            names = "maintenance_margin_after maintenance_margin_change equity_with_loan_after"
            w.moment(what_if=replace(w.s.what_if, **one(r, names, wild)))
