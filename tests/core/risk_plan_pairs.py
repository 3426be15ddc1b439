"""Random plans of options with the moment in which they are asked for: a good one, in which then a few things go wrong, each near its edge.

What can go wrong with every order comes from `risk_pairs`; here is what only options have.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from core import risk
from core.model import (
    Change,
    Drift,
    Instrument,
    Leg,
    OptionQuote,
    OptionTerms,
    Order,
    OrderType,
    Position,
    Quote,
    Right,
    Role,
    Side,
    Ticket,
)
from core.options import combine
from core.options.strategies import STRATEGIES
from core.risk import Limits, PlanMarket, Snapshot
from tests.core import risk_pairs
from tests.core.risk_pairs import CENT, WILD, World, exact, left, one
from tests.values import AAPL, ACCOUNT, OWNER, order

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
SHARES = AAPL.con_id
SPOT = D(100)
STRIKES = tuple(range(80, 125, 5))
DAYS = (12, 33, 68)
"""How far away the expiries are, in days from the day of the world."""


def option(
    w: World, right: Right, strike: int, month: int = 1, multiplier: int = 100
) -> tuple[int, OptionTerms]:
    """(con_id, terms) of an option in the world."""
    day: date = w.s.now.date() + timedelta(days=DAYS[month])
    con_id = 100_000 * (month + 1) + (1_000 if right is Right.PUT else 0) + strike
    return con_id, OptionTerms(day, D(strike), right, D(multiplier), "AAPL")


def middle(terms: OptionTerms, month: int) -> Decimal:
    """What it trades at: more the deeper, the nearer to the spot, the later."""
    deep = SPOT - terms.strike if terms.right is Right.CALL else terms.strike - SPOT
    return max(deep, D(0)) + max(D("3.60") - abs(deep) * D("0.12"), D("0.40")) + D("0.75") * month


def part(w: World, ratio: int, right: Right, strike: int, month: int = 1) -> Leg:
    """A leg, whose market is there from now on."""
    con_id, terms = option(w, right, strike, month)
    market(w, con_id, terms, month)
    return Leg(con_id, ratio, terms)


def market(w: World, con_id: int, terms: OptionTerms, month: int) -> None:
    """The quote of an option, where there is none yet."""
    if w.s.plan is not None and con_id not in w.s.plan.quotes:
        mid = middle(terms, month)
        told = OptionQuote(mid - 2 * CENT, mid + 2 * CENT, mid, w.s.now)
        w.moment(plan=replace(w.s.plan, quotes={**w.s.plan.quotes, con_id: told}))


def hold(w: World, leg: Leg, count: int) -> None:
    """So many more of it are held, by both counts."""
    month = leg.con_id // 100_000 - 1
    price = SPOT if leg.option is None else middle(leg.option, month)
    each = price * (leg.option.multiplier if leg.option else 1)
    line = Position(
        ACCOUNT, leg.con_id, "AAPL", "USD", D(count), None, price, each * count,
        option=leg.option, kind="OPT" if leg.option else "STK",
    )  # fmt: skip

    def with_line(lines: tuple[Position, ...]) -> tuple[Position, ...]:
        before = next((p for p in lines if p.con_id == leg.con_id), None)
        if before is None:
            return (*lines, line)
        total = before.signed_quantity + count
        more = replace(line, signed_quantity=total, market_value=each * total)
        return tuple(more if p is before else p for p in lines)

    if w.s.positions is not None:
        w.moment(positions=with_line(w.s.positions))
    if w.s.told is not None:
        w.moment(told=with_line(w.s.told))


def plan_ticket(w: World, legs: tuple[Leg, ...], quantity: int) -> None:
    """The order becomes a plan of these legs, from the middle as far as its market."""
    legs, times = combine.reduced(legs)
    if len(legs) == 1:
        only = legs[0]
        side = BUY if only.ratio > 0 else SELL
        thing = Instrument(
            only.con_id, "AAPL", "OPT", "SMART", "", "USD", "", CENT, D(100), w.ticket.instrument.hours, "US/Eastern", only.option
        )  # fmt: skip
        times *= abs(only.ratio)
    else:
        side, thing = BUY, combine.bag(replace(AAPL, hours=w.ticket.instrument.hours), legs, "AAPL plan")
    sign = 1 if len(legs) > 1 else side.sign
    quotes = w.s.plan.quotes if w.s.plan else {}
    bid, ask = combine.natural(legs, quotes)
    if bid is None or ask is None:
        bid = ask = D(2)  # its market went before
    start = ((bid + ask) / 2).quantize(CENT)
    if len(legs) == 1:
        start = max(abs(start), CENT)
        start *= sign
    final = w.r.choice((None, start, start, (start + ask) / 2, ask)) if ask >= start else None
    final = final if final is None else final.quantize(CENT)
    w.order(
        instrument=thing, side=side, quantity=D(quantity * times), order_type=OrderType.LIMIT, limit_price=start * sign, stop_price=None,
        stop_loss=None, take_profit=None, final_limit=None if final is None else final * sign,
        reference_price=w.s.quote.far_side(side) if w.s.quote and w.s.quote.far_side(side) else SPOT,
    )  # fmt: skip


def plan_pair(r: Random) -> tuple[Ticket, Snapshot, Limits]:
    """A random plan, its moment, and its owner's limits."""
    w = plan_well(r)
    count = r.choices((0, 1, 2, 3, 4, 6), (18, 18, 20, 20, 14, 10))[0]
    own = sorted(r.sample(range(len(TROUBLES)), k=min((count + 1) // 2, len(TROUBLES))))
    # A line of the holdings in another currency than its twin's is no world: `same_letters` and `loose` do it here, `puts_elsewhere` the other.
    done_here = (risk_pairs.unvalued, risk_pairs.puts_owed)
    every = [do for do in risk_pairs.TROUBLES if do not in done_here]
    others = sorted(r.sample(range(len(every)), k=count - len(own)))
    for number in own:
        TROUBLES[number](w)
    for number in others:
        every[number](w)
    if r.random() < 0.012 * count:
        wild(w)
    w.moment(approved=w.approve(w.ticket))
    return w.ticket, w.s, w.limits


def plan_well(r: Random) -> World:
    """Nothing is wrong: a plan that opens, closes or rolls."""
    w = risk_pairs.well(r)
    while w.ticket.instrument.kind != "STK" or w.ticket.instrument.multiplier != 1:
        w = risk_pairs.well(r)
    w.order(instrument=replace(w.ticket.instrument, min_tick=CENT))
    bid, ask = SPOT - 5 * CENT, SPOT + 5 * CENT
    quote = Quote(bid, ask, SPOT, w.s.now, close=r.choice((D(95), D(100), D(105))))
    spare = r.choice((0, 0, 0, 30, 100))
    positions = (
        Position(ACCOUNT, SHARES, "AAPL", "USD", D(spare), None, SPOT, spare * SPOT),
        Position(ACCOUNT, 7, "MSFT", "USD", D(5), D(9), D(10), D(50)),
    )
    told = w.s.told is not None
    w.moment(
        quote=quote, positions=positions, told=positions if told else None, atr=r.choice((D(1), D(2), D("1.3"))),
        plan=PlanMarket(SHARES, SPOT, {SHARES: quote}),
    )  # fmt: skip
    w.account(cash=D(500_000))
    if r.random() < 0.25:  # something that is covered is held beside it
        strike = r.choice((85, 90, 105))
        right = r.choice((Right.CALL, Right.PUT))
        many = r.randrange(1, 3)
        hold(w, part(w, 1, right, strike, r.choice((1, 2))), many)
        hold(w, part(w, 1, right, strike + 10, r.choice((0, 1))), -many)
    quantity = r.randrange(1, 5)
    legs = strategy_legs(w)
    what = r.choices(("open", "close", "roll", "covered"), (6, 3, 2, 2))[0]
    options = tuple(leg for leg in legs if leg.option)
    if what == "open" and len(options) < len(legs) and r.random() < 0.5:
        for leg in legs:
            if leg.option is None:
                hold(w, leg, leg.ratio * quantity)
        legs = options
    elif what in ("close", "roll"):
        for leg in legs:
            hold(w, leg, leg.ratio * quantity)
        if what == "roll":
            later = [part(w, leg.ratio, *where(leg), month=2) for leg in options]
            legs = combine.merged(combine.opposite(options), later)
        else:
            legs = combine.opposite(legs)
    elif what == "covered":
        hold(w, Leg(SHARES, 100), 100 * quantity)
        legs = (part(w, -1, Right.CALL, r.choice((105, 110))),)
    plan_ticket(w, legs, quantity)
    return w


def where(leg: Leg) -> tuple[Right, int]:
    assert leg.option is not None
    return leg.option.right, int(leg.option.strike)


def strategy_legs(w: World) -> tuple[Leg, ...]:
    """The legs of a strategy, or of something without a name."""
    if w.r.random() < 0.15:
        low, high = sorted(w.r.sample(STRIKES, 2))
        return (
            part(w, 2, Right.PUT, low),
            part(w, -1, Right.PUT, high),
            part(w, w.r.choice((1, 2)), Right.CALL, high),
        )
    outline = STRATEGIES[w.r.choice(list(STRATEGIES))]
    strikes = sorted(w.r.sample(STRIKES, outline.strikes))
    return tuple(
        Leg(SHARES, 100 * p.ratio) if p.right is None else part(w, p.ratio, p.right, strikes[p.strike])
        for p in outline.parts
    )


# --- what goes wrong --------------------------------------------------------------------------------------------------

Trouble = Callable[[World], None]
TROUBLES: list[Trouble] = []


def trouble(do: Trouble) -> Trouble:
    TROUBLES.append(do)
    return do


def legs_of(w: World) -> tuple[Leg, ...]:
    thing = w.ticket.instrument
    return thing.legs or (Leg(thing.con_id, w.ticket.side.sign, thing.option),)


def quoted(w: World, con_id: int, **changes: Any) -> None:
    """Another quote of a leg, where there is one."""
    if w.s.plan is not None and (told := w.s.plan.quotes.get(con_id)) is not None:
        w.moment(plan=replace(w.s.plan, quotes={**w.s.plan.quotes, con_id: replace(told, **changes)}))


def natural(w: World) -> tuple[Decimal | None, Decimal | None]:
    try:
        return combine.natural(legs_of(w), w.s.plan.quotes if w.s.plan else {})
    except ValueError:
        return None, None


def limited(w: World, signed: Decimal) -> None:
    """The order's furthest limit, signed."""
    sign = 1 if w.ticket.instrument.legs else w.ticket.side.sign
    if w.ticket.final_limit is None or w.r.random() < 0.3:
        w.order(limit_price=signed * sign)
        if w.ticket.final_limit is not None:
            w.order(final_limit=signed * sign)
    else:
        w.order(final_limit=signed * sign)


def measured(w: World) -> Decimal | None:
    """What it is worth by the gate, to put a limit near it."""
    return risk.value(w.ticket, w.s)


def remade(w: World, of: Callable[[OptionTerms], OptionTerms]) -> None:
    """Every option of the plan is another, wherever it is told."""
    mine = {leg.con_id: of(leg.option) for leg in legs_of(w) if leg.option}

    def legs(told: tuple[Leg, ...]) -> tuple[Leg, ...]:
        return tuple(replace(leg, option=mine.get(leg.con_id, leg.option)) for leg in told)

    def lines(told: tuple[Position, ...] | None) -> tuple[Position, ...] | None:
        return None if told is None else tuple(replace(p, option=mine.get(p.con_id, p.option)) for p in told)

    thing = w.ticket.instrument
    w.order(instrument=replace(thing, option=mine.get(thing.con_id, thing.option), legs=legs(thing.legs)))
    working = tuple(replace(o, option=mine.get(o.con_id, o.option), legs=legs(o.legs)) for o in w.s.working)
    w.moment(positions=lines(w.s.positions), told=lines(w.s.told), working=working)


@trouble
def quote_of_a_leg(w: World) -> None:
    leg = w.r.choice(legs_of(w))
    patience = timedelta(seconds=w.limits.max_quote_age_seconds or 0)
    some: tuple[dict[str, Any], ...] = (
        {"bid": None}, {"ask": None}, {"ask": D(0)}, {"bid": D(0)}, {"bid": D(50), "ask": w.near(D(50))},
        {"time": w.ago(patience)}, {"time": w.ago(-patience)}, {"time": w.ago(timedelta(hours=1))},
    )  # fmt: skip
    if w.s.plan is not None and w.r.random() < 0.2:
        rest = {c: q for c, q in w.s.plan.quotes.items() if c != leg.con_id}
        w.moment(plan=replace(w.s.plan, quotes=w.r.choice((rest, {**rest, leg.con_id: None}))))
    else:
        quoted(w, leg.con_id, **w.r.choice(some))


@trouble
def no_market(w: World) -> None:
    if w.r.random() < 0.3:
        w.moment(plan=None)
    elif w.s.plan is not None:
        w.moment(plan=replace(w.s.plan, spot=None))


@trouble
def wide(w: World) -> None:
    for leg in legs_of(w):
        if (
            leg.option
            and (quote := w.s.plan.quotes.get(leg.con_id) if w.s.plan else None)
            and quote.bid
            and quote.ask
        ):
            quoted(w, leg.con_id, bid=quote.bid / 2, ask=quote.ask + quote.bid / 2)
    bid, ask = natural(w)
    if bid is None or ask is None or w.s.plan is None or w.r.random() < 0.3:
        return
    pairs = [(leg, w.s.plan.quotes[leg.con_id]) for leg in legs_of(w) if leg.option]
    gross = sum(
        (abs(leg.ratio) * (q.bid + q.ask) / 2 for leg, q in pairs if q and q.bid is not None and q.ask), D(0)
    )
    if gross > 0:
        w.limit(max_spread_percent_options=w.near(exact((ask - bid) * 100 / gross), D("0.000001")))


@trouble
def collar(w: World) -> None:
    _, ask = natural(w)
    if ask is None or w.limits.max_collar_percent_options is None:
        return
    width = max(abs(ask) * w.limits.max_collar_percent_options / 100, D("0.05"))
    limited(w, w.near(w.r.choice((ask + width, ask + width, ask + 15))))


@trouble
def limits_of_it(w: World) -> None:
    start = w.ticket.limit_price
    some: tuple[dict[str, Any], ...] = (
        {"order_type": OrderType.MARKET}, {"order_type": OrderType.STOP, "stop_price": D(5)}, {"limit_price": None, "final_limit": None},
        {"stop_loss": D(50)}, {"take_profit": D(150)}, {"final_limit": None if start is None else w.near(start)},
        {"limit_price": w.near(D(0)), "final_limit": None},
    )  # fmt: skip
    w.order(**w.r.choice(some))


@trouble
def misfits(w: World) -> None:
    thing, legs = w.ticket.instrument, legs_of(w)
    first = w.r.choice(legs)
    some: list[dict[str, Any]] = [
        {"option": None} if thing.option else {"option": first.option},
        {"multiplier": D(10)},
        {"kind": "BAG" if thing.kind == "OPT" else "OPT"},
    ]
    if thing.legs:
        some += [
            {"legs": (*legs, first)},
            {"legs": tuple(replace(leg, ratio=0) if leg is first else leg for leg in legs)},
            {"legs": (*legs, Leg(SHARES, w.r.choice((50, 100, -100))))},
            {"legs": (*legs, Leg(8, 100))},
            {
                "legs": (
                    *legs,
                    part(
                        w,
                        w.r.choice((1, -1)),
                        w.r.choice(list(Right)),
                        w.r.choice(STRIKES),
                        w.r.choice((0, 2)),
                    ),
                )
            },
        ]
    if w.r.random() < 0.15:
        w.order(side=SELL)
    else:
        w.order(instrument=replace(thing, **w.r.choice(some)))


@trouble
def ratio(w: World) -> None:
    legs = w.ticket.instrument.legs
    if legs:
        some = w.r.choice(legs)
        more = tuple(
            replace(leg, ratio=leg.ratio * w.r.choice((-1, 2, 3))) if leg is some else leg for leg in legs
        )
        w.order(instrument=replace(w.ticket.instrument, legs=more))
    else:
        w.order(quantity=w.ticket.quantity + 1)


@trouble
def call_owed(w: World) -> None:
    """A call is sold, with shares as many as it takes or a few less."""
    many = w.r.randrange(1, 3)
    hold(w, Leg(SHARES, 100), w.r.choice((-100, -1, 0, 1, 100)) + 100 * many - int(w.s.held(SHARES) or 0))
    plan_ticket(w, (part(w, -1, Right.CALL, w.r.choice((100, 105)), w.r.choice((0, 1))),), many)


@trouble
def cover_is_sold(w: World) -> None:
    """What is owned beside something owed is sold, or made worse, or outlived."""
    right = w.r.choice(list(Right))
    high = right is Right.CALL
    many, far = w.r.randrange(1, 3), 120 if high else 80
    short = part(w, 1, right, 105 if high else 95, w.r.choice((1, 1, 2)))
    cover = part(w, 1, right, 110 if high else 90, w.r.choice((1, 1, 2)))
    hold(w, short, -many)
    hold(w, cover, many + w.r.choice((0, 0, 1)))
    sold = replace(cover, ratio=-1)
    others = ((), (), (part(w, 1, right, far, w.r.choice((1, 2))),), (replace(short, ratio=1),))
    plan_ticket(w, (sold, *w.r.choice(others)), w.r.choice((1, many)))


@trouble
def put_owed(w: World) -> None:
    many, strike = w.r.randrange(1, 4), w.r.choice((90, 95, 105))
    plan_ticket(w, (part(w, -1, Right.PUT, strike),), many)
    rate = w.s.account.rate("USD") if w.s.account else None
    needed = D(strike * 100 * many) * (rate or 1)
    w.account(cash=w.r.choice((w.near(needed), w.near(needed), needed / 2, None)))
    if w.r.random() < 0.4:  # something takes of it
        other = part(w, 1, w.r.choice(list(Right)), w.r.choice(STRIKES))
        side = w.r.choice((BUY, SELL))
        w.work(at_work(w, con_id=other.con_id, kind="OPT", option=other.option, side=side))


@trouble
def cash(w: World) -> None:
    w.account(cash=w.r.choice((D(0), D(9_000), None)))


@trouble
def puts_elsewhere(w: World) -> None:
    """Puts on other shares are owed beside a plan, which costs something more often than not."""
    if w.r.random() < 0.5:
        plan_ticket(w, (part(w, 1, w.r.choice(list(Right)), w.r.choice(STRIKES)),), w.r.randrange(1, 4))
    risk_pairs.puts_owed(w)


def at_work(w: World, **changes: Any) -> Order:
    """An order of the same underlying that works."""
    r = w.r
    told: dict[str, Any] = {
        "number": len(w.s.working) + 1, "quantity": D(r.randrange(1, 3)), "limit_price": D(2), "order_type": OrderType.LIMIT,
        "worth": r.choice((None, D(500))), "owner": r.choice((OWNER, OWNER, None)), "filled": r.choice((D(0), D(0), D(0), D(1))),
        "cancel_requested_at": r.choice((None, None, None, w.s.now)),
    }  # fmt: skip
    if r.random() < 0.2:
        told["change"] = Change("X", told["quantity"] + r.choice((-1, 1)), D(3), None, w.s.now)
    return order(**{**told, **changes})


@trouble
def option_works(w: World) -> None:
    leg = (
        w.r.choice(legs_of(w))
        if w.r.random() < 0.6
        else part(w, 1, w.r.choice(list(Right)), w.r.choice(STRIKES), w.r.choice((0, 1, 2)))
    )
    if leg.option is not None:
        w.work(at_work(w, con_id=leg.con_id, kind="OPT", option=leg.option, side=w.r.choice((BUY, SELL))))


@trouble
def bag_works(w: World) -> None:
    right, low = w.r.choice(list(Right)), w.r.choice((90, 100, 105))
    legs = (
        part(w, w.r.choice((1, -1)), right, low),
        part(w, w.r.choice((1, -1)), right, low + 5, w.r.choice((1, 1, 2))),
    )
    w.work(
        at_work(
            w,
            con_id=combine.con_id_of(legs),
            kind="BAG",
            legs=legs,
            side=BUY,
            limit_price=D(w.r.randrange(-3, 4)) or D(1),
        )
    )


@trouble
def shares_work(w: World) -> None:
    protects = w.r.random() < 0.5
    w.work(
        at_work(
            w, side=w.r.choice((SELL, SELL, BUY)), quantity=D(w.r.choice((1, 30, 100))), limit_price=None if protects else SPOT,
            order_type=OrderType.STOP if protects else OrderType.LIMIT, stop_price=D(90) if protects else None,
            role=Role.STOP if protects else Role.ENTRY, oca=w.r.choice(("", "together")), parent=w.r.choice((None, 1)), order_ref=w.r.choice(("A", "B.1")),
        )
    )  # fmt: skip


@trouble
def two_counts(w: World) -> None:
    leg = w.r.choice(legs_of(w))
    line = Position(
        ACCOUNT,
        leg.con_id,
        "AAPL",
        "USD",
        D(w.r.randrange(-3, 4)),
        None,
        option=leg.option,
        kind="OPT" if leg.option else "STK",
    )
    told = w.s.told if w.s.told is not None else w.s.positions or ()
    w.moment(told=(*(p for p in told if p.con_id != leg.con_id), line))


@trouble
def same_letters(w: World) -> None:
    """A thing of the same letters in another money."""
    con_id, terms = option(w, w.r.choice(list(Right)), w.r.choice(STRIKES), 2)
    count = D(w.r.choice((-2, 2)))
    line = Position(
        ACCOUNT,
        con_id + 7,
        "AAPL",
        w.r.choice(("EUR", "JPY")),
        count,
        None,
        D(2),
        200 * count,
        option=terms,
        kind="OPT",
    )
    if w.s.positions is not None:
        w.moment(positions=(*w.s.positions, line))


@trouble
def loose(w: World) -> None:
    """Something is held that may not be measured."""
    changes: dict[str, Any] = w.r.choice(
        ({"market_price": None}, {"market_value": None}, {"signed_quantity": D(0)})
    )
    leg = part(w, 1, w.r.choice(list(Right)), w.r.choice(STRIKES), 2)
    hold(w, leg, w.r.choice((1, 2)))
    if w.s.positions:
        *rest, last = w.s.positions
        w.moment(positions=(*rest, replace(last, **changes)))


@trouble
def drifts(w: World) -> None:
    con_id = w.r.choice([leg.con_id for leg in legs_of(w)] + [SHARES])
    w.moment(drifts=(Drift(ACCOUNT, con_id, w.r.choice(("AAPL", "MSFT")), "USD", D(1), D(2), None),))


@trouble
def value(w: World) -> None:
    if (worth := measured(w)) is not None:
        w.limit(max_order_value_base=w.near(worth))


@trouble
def hour_and_day(w: World) -> None:
    if (worth := measured(w)) is None:
        return
    w.send(left(w, w.ago(timedelta(minutes=9)), worth=D(70)))
    before = sum((s.worth or D(0) for s in w.s.sent or ()), D(0))
    w.limit(
        **{
            name: w.near(worth + before)
            for name in w.r.sample(("max_hour_value_base", "max_day_value_base"), w.r.randrange(1, 3))
        }
    )


@trouble
def exposure(w: World) -> None:
    worth, held = measured(w), risk.bounds.exposure(w.s)
    if worth is not None and held is not None:
        w.limit(max_gross_exposure_percent=w.near(exact((worth + held) / 10_000), D("0.000001")))


@trouble
def cap(w: World) -> None:
    worth = measured(w)
    lines = [p for p in w.s.positions or () if p.symbol == "AAPL"]
    held = risk.plans.largest_loss(lines)
    rate = w.s.account.rate("USD") if w.s.account else None
    if worth is not None and held is not None and rate is not None:
        w.limit(max_position_size=w.near(worth + held * rate))


@trouble
def risked(w: World) -> None:
    lost = risk.at_risk(w.ticket, w.s, w.limits) if w.limits.assumed_stop_atr is not None else None
    if lost is not None:
        w.limit(max_portfolio_risk=w.near((lost / 1_000_000).quantize(D("1E-12")), D("1E-12")))


@trouble
def size(w: World) -> None:
    times = max((abs(leg.ratio) for leg in w.ticket.instrument.legs if leg.option), default=1)
    w.limit(max_order_contracts=w.near(w.ticket.quantity * times, D(1)))


@trouble
def other_terms(w: World) -> None:
    """The last of all, so that whatever works or is held knows the options by the same terms."""
    change: dict[str, Any] = w.r.choice(({"strike": D(0)}, {"multiplier": D(10)}, {"trading_class": "AAPL1"}))
    remade(w, lambda option: replace(option, **change))


@trouble
def expired(w: World) -> None:
    day = (w.s.now - timedelta(hours=5)).date() + timedelta(days=w.r.choice((-1, -1, 0)))
    remade(w, lambda option: replace(option, expiry=day))


def wild(w: World) -> None:
    """A figure that is none."""
    figure, leg = w.r.choice(WILD), w.r.choice(legs_of(w))
    match w.r.randrange(6):
        case 0:
            quoted(w, leg.con_id, **one(w.r, "bid ask", figure))
        case 1:
            w.order(final_limit=figure)
        case 2 if leg.option:
            remade(w, lambda o: replace(o, **one(w.r, "strike multiplier", figure)))
        case 3 if w.ticket.instrument.legs:
            legs = tuple(replace(x, ratio=10**20) if x is leg else x for x in w.ticket.instrument.legs)
            w.order(instrument=replace(w.ticket.instrument, legs=legs))
        case 4 if w.s.plan:
            w.moment(plan=replace(w.s.plan, spot=figure))
        case _:
            con_id, terms = option(w, Right.CALL, 120, 2)
            line = Position(ACCOUNT, con_id, "AAPL", "USD", figure, None, option=terms, kind="OPT")
            w.moment(positions=(*(w.s.positions or ()), line))
