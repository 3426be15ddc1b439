"""What the gate asks of options and combinations, slowly and written apart from it: every way in which orders may trade, one by one, covers
found path by path, and a loss looked up at every bend and far behind the last.

It imports the nouns and nothing else of the product; `risk_reference` puts it beside the rules of every order.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

from core.model import OptionTerms, Order, OrderType, Right, Role, Side, Ticket

State = Mapping[str, Any]
Limits = Mapping[str, Any]
Part = tuple[int, int, OptionTerms | None]
"""A leg: contract, how many are owned by one (below zero: owed), and what it is; None for shares."""
Count = dict[int, Fraction]

NEW_YORK = ZoneInfo("America/New_York")
ENDED = ("FILLED", "CANCELLED", "REJECTED", "NOT_AT_BROKER")


def is_plan(ticket: Ticket) -> bool:
    return ticket.instrument.kind in ("OPT", "BAG")


def parts(ticket: Ticket) -> list[Part]:
    """What one of it brings into the account."""
    thing = ticket.instrument
    if thing.legs:
        return [(leg.con_id, leg.ratio, leg.option) for leg in thing.legs]
    return [(thing.con_id, 1 if ticket.side == Side.BUY else -1, thing.option)]


# --- what there is ------------------------------------------------------------------------------------------------------


def may_still_trade(order: Order) -> Fraction:
    """What an order may still add, by the larger of its terms and those that are asked."""
    if order.state.value in ENDED:
        return Fraction(0)
    most = Fraction(order.quantity)
    if order.change is not None and Fraction(order.change.quantity) > most:
        most = Fraction(order.change.quantity)
    left = most - Fraction(order.filled)
    return left if left > 0 else Fraction(0)


def moves(order: Order) -> Count:
    """What it changes of each holding if all of it trades."""
    many = may_still_trade(order) * (1 if order.side == Side.BUY else -1)
    if not order.legs:
        return {order.con_id: many}
    found: Count = {}
    for leg in order.legs:
        found[leg.con_id] = found.get(leg.con_id, Fraction(0)) + leg.ratio * many
    return found


def both_counts(con_id: int, state: State) -> tuple[Fraction, Fraction]:
    """Ours and the broker's; the same twice where only one is there."""
    found = [
        sum((Fraction(p.signed_quantity) for p in state[name] if p.con_id == con_id), Fraction(0))
        for name in ("positions", "told")
        if state[name] is not None
    ]
    return (found[0], found[-1]) if found else (Fraction(0), Fraction(0))


def surely(con_id: int, state: State) -> Fraction:
    """The count nearer to zero; nothing where they point different ways."""
    ours, theirs = both_counts(con_id, state)
    if ours * theirs < 0:
        return Fraction(0)
    return ours if abs(ours) < abs(theirs) else theirs


class World:
    """Everything around one underlying: which options there are, what is held of each at least, and what works."""

    def __init__(self, ticket: Ticket, state: State) -> None:
        thing = ticket.instrument
        self.shares = -1
        for con_id, _, option in parts(ticket):
            if option is None:
                self.shares = con_id
                break
        if state["plan"] is not None:
            self.shares = state["plan"].shares_id
        self.options: dict[int, OptionTerms] = {}
        self.least: Count = {}
        for name in ("positions", "told"):
            for p in state[name] or ():
                ours = p.option is not None and p.symbol == thing.symbol and p.currency == thing.currency
                if p.option is not None and ours:
                    self.options[p.con_id] = p.option
                if ours or p.con_id == self.shares:
                    self.least[p.con_id] = min(both_counts(p.con_id, state))
        self.working: list[Order] = []
        for order in state["working"]:
            named = order.symbol == thing.symbol and order.currency == thing.currency
            if order.con_id == self.shares or (named and (order.option is not None or order.legs)):
                self.working.append(order)
                if order.option is not None:
                    self.options[order.con_id] = order.option
                for leg in order.legs:
                    if leg.option is not None:
                        self.options[leg.con_id] = leg.option
        for con_id, _, option in parts(ticket):
            if option is not None:
                self.options[con_id] = option

    def with_legs(self, ticket: Ticket, legs: Iterable[Part]) -> Count:
        """What is held at least when these legs have traded."""
        after = dict(self.least)
        for con_id, ratio, _ in legs:
            after[con_id] = after.get(con_id, Fraction(0)) + ratio * Fraction(ticket.quantity)
        return after

    def worst(self, held: Count, measure: Callable[[Count], Fraction]) -> Fraction:
        """The least that a measure comes to, over every choice of working orders that trade."""
        orders = [o for o in self.working if o.role == Role.ENTRY and may_still_trade(o) > 0]
        lowest = measure(held)
        for many in range(1, len(orders) + 1):
            for chosen in combinations(orders, many):
                after = dict(held)
                for order in chosen:
                    for con_id, moved in moves(order).items():
                        after[con_id] = after.get(con_id, Fraction(0)) + moved
                lowest = min(lowest, measure(after))
        return lowest

    def bare(self, held: Count, right: Right) -> list[tuple[OptionTerms, Fraction]]:
        """What is owed and not covered, in units of the underlying: the lowest strikes are covered first, as far as can be."""
        owed, owned = [], []
        for con_id, option in self.options.items():
            units = held.get(con_id, Fraction(0)) * Fraction(option.multiplier)
            if option.right == right and units < 0:
                owed.append((option, -units))
            elif option.right == right and units > 0:
                owned.append((option, units))
        owed.sort(key=lambda pair: (pair[0].strike, pair[0].expiry))
        given: dict[tuple[int, int], Fraction] = {}
        spare = [units for _, units in owned]
        left = []
        for number, (option, units) in enumerate(owed):
            while units > 0:
                path = find_path(number, owed, owned, given, spare, set())
                if path is None:
                    break
                amount = min([units, spare[path[-1][1]], *(given[back] for back in path[1::2])])
                for step, pair in enumerate(path):
                    given[pair] = given.get(pair, Fraction(0)) + (amount if step % 2 == 0 else -amount)
                spare[path[-1][1]] -= amount
                units -= amount
            left.append((option, units))
        return left

    def free(self, held: Count) -> Fraction:
        """Shares that nothing is promised: neither to calls that are owed, nor to a stop or target that may sell them."""
        guarded: dict[str, Fraction] = {}
        filled = {o.number: o for o in self.working if o.role == Role.ENTRY and o.state.value not in ENDED}
        by_name: dict[str, list[Order]] = {}
        for o in self.working:
            if (
                o.con_id == self.shares
                and o.role != Role.ENTRY
                and o.side == Side.SELL
                and may_still_trade(o) > 0
            ):
                by_name.setdefault(o.oca or o.order_ref.split(".")[0], []).append(o)
        for name, orders in by_name.items():
            guarded[name] = max(may_still_trade(o) for o in orders)
            entry = next(
                (filled[o.parent] for o in sorted(orders, key=lambda o: o.number) if o.parent in filled), None
            )
            if entry is not None and entry.state.value != "UNKNOWN":
                guarded[name] = min(guarded[name], Fraction(entry.filled))

        def one(state: Count) -> Fraction:
            owed = sum((units for _, units in self.bare(state, Right.CALL)), Fraction(0))
            return state.get(self.shares, Fraction(0)) - owed

        return self.worst(held, one) - sum(guarded.values(), Fraction(0))

    def cash(self, held: Count) -> Fraction:
        """What puts that are owed, and not covered, may take."""

        def one(state: Count) -> Fraction:
            return -sum((units * Fraction(o.strike) for o, units in self.bare(state, Right.PUT)), Fraction(0))

        return -self.worst(held, one)


def find_path(
    number: int,
    owed: list[tuple[OptionTerms, Fraction]],
    owned: list[tuple[OptionTerms, Fraction]],
    given: dict[tuple[int, int], Fraction],
    spare: list[Fraction],
    seen: set[int],
) -> list[tuple[int, int]] | None:
    """A way to cover one more of what is owed: something spare, or something that another can be covered without."""
    for place, (option, _) in enumerate(owned):
        if place in seen or option.expiry < owed[number][0].expiry:
            continue
        seen.add(place)
        if spare[place] > 0:
            return [(number, place)]
        for other in range(len(owed)):
            if other != number and given.get((other, place), Fraction(0)) > 0:
                rest = find_path(other, owed, owned, given, spare, seen)
                if rest is not None:
                    return [(number, place), (other, place), *rest]
    return None


# --- what closes, what opens, what that can lose ------------------------------------------------------------------------


def divided(ticket: Ticket, state: State) -> tuple[list[Part], list[Part]]:
    """(what only makes a holding smaller, what opens); what is sold and covers something that stays owed opens."""
    if "divided" not in state["kept"]:
        state["kept"]["divided"] = _divided(ticket, state)
    found: tuple[list[Part], list[Part]] = state["kept"]["divided"]
    return found


def _divided(ticket: Ticket, state: State) -> tuple[list[Part], list[Part]]:
    world, closing = World(ticket, state), []
    for part in parts(ticket):
        con_id = part[0]
        ratio = sum(other for same, other, _ in parts(ticket) if same == con_id)
        moved, have = ratio * Fraction(ticket.quantity), surely(con_id, state)
        also = sum(
            (
                abs(change)
                for o in world.working
                if o.role == Role.ENTRY
                for con, change in moves(o).items()
                if con == con_id and change * moved > 0
            ),
            Fraction(0),
        )
        if have * moved < 0 and abs(moved) + also <= abs(have):
            closing.append(part)
    now, then = dict(world.least), world.with_legs(ticket, closing)
    bares_calls = world.free(then) < min(world.free(now), Fraction(0))
    bares_puts = world.cash(then) > world.cash(now)
    stays = []
    for part in closing:
        call = part[2] is None or part[2].right == Right.CALL
        if part[1] < 0 and (bares_calls if call else bares_puts):
            continue
        stays.append(part)
    return stays, [part for part in parts(ticket) if part not in stays]


def plan_closes(ticket: Ticket, state: State) -> bool:
    return state["positions"] is not None and divided(ticket, state)[1] == []


def fits(ticket: Ticket, state: State) -> bool:
    """Whether the legs are those of one plan."""
    thing, legs = ticket.instrument, parts(ticket)
    if thing.kind == "OPT" and (thing.legs or thing.option is None):
        return False
    if thing.kind == "BAG" and (not thing.legs or thing.option is not None or ticket.side != Side.BUY):
        return False
    seen, options = set(), 0
    for con_id, ratio, option in legs:
        if con_id in seen or ratio == 0:
            return False
        seen.add(con_id)
        if option is not None:
            options += 1
            if option.strike <= 0 or option.multiplier <= 0 or option.multiplier != thing.multiplier:
                return False
    if options == 0:
        return False
    for con_id, ratio, option in legs:
        if option is None and (Fraction(ratio) / Fraction(thing.multiplier)).denominator != 1:
            return False
        if option is None and state["plan"] is not None and con_id != state["plan"].shares_id:
            return False
    return True


def fits_whole(ticket: Ticket, state: State) -> bool:
    """The same, and what it opens is of one day and one kind."""
    if state["positions"] is None:
        return fits(ticket, state)
    opened = [option for _, _, option in divided(ticket, state)[1] if option is not None]
    days = {option.expiry for option in opened}
    kinds = {option.trading_class for option in opened} - {""}
    return fits(ticket, state) and len(days) <= 1 and len(kinds) <= 1


def worth_at(legs: Iterable[Part], at: Fraction) -> Fraction:
    """What the legs are worth at a price of the shares, on the last day."""
    result = Fraction(0)
    for _, ratio, option in legs:
        if option is None:
            result += ratio * at
        else:
            strike = Fraction(option.strike)
            deep = at - strike if option.right == Right.CALL else strike - at
            result += ratio * Fraction(option.multiplier) * max(deep, Fraction(0))
    return result


def bends(legs: Iterable[Part]) -> list[Fraction]:
    return sorted({Fraction(0), *(Fraction(option.strike) for _, _, option in legs if option is not None)})


class Opened:
    """What a plan opens. `loss` is new, of one; None where it has no end."""

    def __init__(self, ticket: Ticket, state: State, opening: list[Part], paid: Fraction) -> None:
        self.legs, self.paid = opening, paid
        self.beside = Fraction(0)
        far = bends(opening)[-1] * 1000 + 1
        slope = worth_at(opening, far + 1) - worth_at(opening, far)
        self.endless = slope < 0
        if slope < 0 and state["plan"].spot is not None:
            world = World(ticket, state)
            closing = divided(ticket, state)[0]
            free = world.free(world.with_legs(ticket, closing))
            if -slope * Fraction(ticket.quantity) <= free:
                self.endless = False
                self.beside = -slope

    def at(self, price: Fraction, spot: Fraction) -> Fraction:
        """What one has brought with the shares at a price; those that were held before count from what they are worth now."""
        return worth_at(self.legs, price) - self.paid + self.beside * (price - spot)

    def lowest(self, spot: Fraction) -> Fraction:
        return min(self.at(price, spot) for price in bends(self.legs))

    def loss(self, spot: Fraction) -> Fraction | None:
        if self.endless:
            return None
        lost = max(-self.lowest(spot), Fraction(0))
        if self.beside:
            return max(self.paid, Fraction(0), lost - self.beside * spot)
        return lost


def opened(ticket: Ticket, state: State) -> Opened | None:
    """What the plan opens; None where it cannot be told."""
    if "opened" not in state["kept"]:
        state["kept"]["opened"] = _opened(ticket, state)
    found: Opened | None = state["kept"]["opened"]
    return found


def _opened(ticket: Ticket, state: State) -> Opened | None:
    if state["plan"] is None or state["positions"] is None:
        return None
    closing, opening = divided(ticket, state)
    if not opening or not fits_whole(ticket, state):
        return None
    limit = signed_limit(ticket)
    if limit is None:
        return None
    paid = limit * Fraction(ticket.instrument.multiplier)
    for con_id, ratio, option in closing:
        quote = state["plan"].quotes.get(con_id)
        if quote is None or quote.bid is None or quote.ask is None:
            return None
        middle = (Fraction(quote.bid) + Fraction(quote.ask)) / 2
        paid -= ratio * middle * (1 if option is None else Fraction(option.multiplier))
    return Opened(ticket, state, opening, paid)


def signed_limit(ticket: Ticket) -> Fraction | None:
    """The most that a unit may cost; what is sold costs less than nothing."""
    limit = ticket.limit_price if ticket.final_limit is None else ticket.final_limit
    if limit is None:
        return None
    sold = not ticket.instrument.legs and ticket.side == Side.SELL
    return -Fraction(limit) if sold else Fraction(limit)


def rate_of(currency: str, state: State) -> Fraction | None:
    account = state["account"]
    if account is None:
        return None
    if currency == account.currency:
        return Fraction(1)
    told = account.rates.get(currency)
    return None if told is None else Fraction(told)


def spot_of(state: State) -> Fraction:
    return Fraction(state["plan"].spot or 0)


def plan_value(ticket: Ticket, state: State) -> Fraction | None:
    """The most that it can lose that could not be lost before, in base currency."""
    plan, rate = opened(ticket, state), rate_of(ticket.instrument.currency, state)
    lost = None if plan is None else plan.loss(spot_of(state))
    return None if lost is None or rate is None else lost * Fraction(ticket.quantity) * rate


# --- the rules ----------------------------------------------------------------------------------------------------------


def legs_fit(ticket: Ticket, state: State, limits: Limits) -> str:
    return "" if fits_whole(ticket, state) else "LEGS"


def only_limit(ticket: Ticket, state: State, limits: Limits) -> str:
    start = ticket.limit_price
    if ticket.order_type != OrderType.LIMIT or start is None:
        return "LIMIT_ONLY"
    for other in (ticket.stop_price, ticket.stop_loss, ticket.take_profit):
        if other:
            return "LIMIT_ONLY"
    last = start if ticket.final_limit is None else ticket.final_limit
    if ticket.instrument.legs:
        return "" if last >= start else "LIMIT_ONLY"
    if start <= 0 or last <= 0:
        return "LIMIT_ONLY"
    fine = last >= start if ticket.side == Side.BUY else last <= start
    return "" if fine else "LIMIT_ONLY"


def priced(ticket: Ticket, state: State, limits: Limits) -> str:
    for con_id, ratio, _ in parts(ticket):
        quote = None if state["plan"] is None else state["plan"].quotes.get(con_id)
        if quote is None or quote.ask is None or quote.ask <= 0:
            return "PRICE_UNKNOWN"
        if ratio < 0 and quote.bid is None:
            return "PRICE_UNKNOWN"
        if quote.bid is not None and quote.ask < quote.bid:
            return "QUOTE_CROSSED"
        age, patience = state["now"] - quote.time, timedelta(seconds=limits["max_quote_age_seconds"])
        if age < -patience:
            return "QUOTE_TIME"
        if age > patience:
            return "QUOTE_OLD"
    return ""


def sides(ticket: Ticket, state: State) -> tuple[Fraction, Fraction, Fraction, Fraction] | None:
    """(what its options cost at once, what its shares cost at once, what all of it brings at once, what its options are worth together)"""
    if not fits(ticket, state) or state["plan"] is None:
        return None
    cost = shares = brings = together = Fraction(0)
    for con_id, ratio, option in parts(ticket):
        quote = state["plan"].quotes.get(con_id)
        if quote is None or quote.bid is None or quote.ask is None:
            return None
        bid, ask = Fraction(quote.bid), Fraction(quote.ask)
        weight = Fraction(ratio) / (Fraction(ticket.instrument.multiplier) if option is None else 1)
        paid = weight * (ask if ratio > 0 else bid)
        if option is None:
            shares += paid
        else:
            cost += paid
            together += abs(ratio) * (bid + ask) / 2
        brings += weight * (bid if ratio > 0 else ask)
    return cost, shares, brings, together


def plan_spread(ticket: Ticket, state: State, limits: Limits) -> str:
    found = sides(ticket, state)
    if found is None or found[3] <= 0:
        return "SPREAD"
    cost, shares, brings, together = found
    return (
        "SPREAD"
        if (cost + shares - brings) / together * 100 > Fraction(limits["max_spread_percent_options"])
        else ""
    )


def needed_side(ticket: Ticket, state: State) -> tuple[Fraction, Fraction] | None:
    """(what its options cost at once, what its shares do), by the one side of each leg that is needed for it."""
    if not fits(ticket, state) or state["plan"] is None:
        return None
    cost = shares = Fraction(0)
    for con_id, ratio, option in parts(ticket):
        quote = state["plan"].quotes.get(con_id)
        told = None if quote is None else quote.ask if ratio > 0 else quote.bid
        if told is None:
            return None
        if option is None:
            shares += Fraction(ratio) * Fraction(told) / Fraction(ticket.instrument.multiplier)
        else:
            cost += ratio * Fraction(told)
    return cost, shares


def plan_collar(ticket: Ticket, state: State, limits: Limits) -> str:
    found, limit = needed_side(ticket, state), signed_limit(ticket)
    if found is None or limit is None:
        return "COLLAR"
    cost, shares = found
    width = max(abs(cost) * Fraction(limits["max_collar_percent_options"]) / 100, Fraction(1, 20))
    width += abs(shares) * Fraction(limits["max_collar_percent"]) / 100
    return "COLLAR" if limit > cost + shares + width else ""


def expired(ticket: Ticket, state: State, limits: Limits) -> str:
    today = state["now"].astimezone(NEW_YORK).date()
    late = [option for _, _, option in parts(ticket) if option is not None and option.expiry < today]
    return "EXPIRED" if late else ""


def loss_ends(ticket: Ticket, state: State, limits: Limits) -> str:
    if state["plan"] is None or state["positions"] is None:
        return "LOSS_UNKNOWN"
    plan, world = opened(ticket, state), World(ticket, state)
    before, after = world.free(dict(world.least)), world.free(world.with_legs(ticket, parts(ticket)))
    if after < before and after < 0:
        return "UNLIMITED_LOSS"
    if plan is None:
        return "LOSS_UNKNOWN"
    return "UNLIMITED_LOSS" if plan.endless else ""


def own_puts(ticket: Ticket, state: State) -> tuple[Fraction, Fraction]:
    """(what puts on its own underlying tie up now, and when it has traded); shares change nothing in it."""
    world = World(ticket, state)
    now = world.cash(dict(world.least))
    return (now, world.cash(world.with_legs(ticket, parts(ticket)))) if is_plan(ticket) else (now, now)


def tied_then(ticket: Ticket, state: State) -> dict[str, Fraction]:
    """What all puts tie up when it has traded, by currency."""
    mine = (ticket.instrument.symbol, ticket.instrument.currency)
    found = {mine[1]: own_puts(ticket, state)[1]}
    others = {(p.symbol, p.currency) for name in ("positions", "told") for p in state[name] or ()}
    others |= {(o.symbol, o.currency) for o in state["working"]}
    for symbol, currency in others - {mine}:
        thing = replace(ticket.instrument, con_id=-2, symbol=symbol, currency=currency, option=None, legs=())
        there = World(replace(ticket, instrument=thing), {**state, "plan": None})
        found[currency] = found.get(currency, Fraction(0)) + there.cash(dict(there.least))
    return found


def waits_for_money(state: State) -> Fraction | None:
    """What everything that is on its way to be bought may cost; None where that of one is not known."""
    result = Fraction(0)
    for order in state["working"]:
        left, sign = may_still_trade(order), 1 if order.side == Side.BUY else -1
        if order.role != Role.ENTRY or left == 0 or (sign < 0 and not order.legs):
            continue
        named = [order.limit_price, order.final_limit]
        if order.change is not None:
            named.append(order.change.limit_price)
        prices = [sign * Fraction(one) for one in named if one is not None]
        if not prices and order.stop_price:
            prices = [Fraction(order.stop_price)]
        if not prices:
            held = [p.market_price for p in state["positions"] or () if p.con_id == order.con_id]
            prices = [Fraction(one) for one in held[:1] if one is not None]
        if not prices:
            if order.worth is None:
                return None
            result += Fraction(order.worth)
            continue
        rate = rate_of(order.currency, state)
        if rate is None:
            return None
        result += max(*prices, Fraction(0)) * left * Fraction(order.multiplier) * rate
    return result


def cash_is_there(ticket: Ticket, state: State, costs: Fraction | None) -> bool:
    """Whether the cash is enough for all puts, all that is on its way to be bought, and this."""
    account, waits = state["account"], None
    rate = rate_of(ticket.instrument.currency, state)
    if state["positions"] is None or account is None or account.cash is None or rate is None or costs is None:
        return False
    waits = waits_for_money(state)
    if waits is None:
        return False
    left = Fraction(account.cash) - waits - max(costs * Fraction(ticket.quantity), Fraction(0)) * rate
    for currency, tied in tied_then(ticket, state).items():
        worth = rate_of(currency, state)
        if tied and worth is None:
            return False
        left -= tied * (worth or 0)
    return left >= 0


def plan_costs(ticket: Ticket) -> Fraction | None:
    """What one of it costs at most; what brings money costs nothing."""
    limit = signed_limit(ticket)
    return None if limit is None else max(limit, Fraction(0)) * Fraction(ticket.instrument.multiplier)


def secured(ticket: Ticket, state: State, limits: Limits) -> str:
    before, after = own_puts(ticket, state)
    if after <= before or cash_is_there(ticket, state, plan_costs(ticket)):
        return ""
    return "NOT_SECURED"


def kept(ticket: Ticket, state: State, costs: Fraction | None) -> str:
    """For shares and plans: a purchase leaves what puts need, where there are puts."""
    if costs is not None and costs * Fraction(ticket.quantity) <= 0:
        return ""
    if state["positions"] is not None:
        before, after = own_puts(ticket, state)
        if after > before or not any(tied_then(ticket, state).values()):
            return ""
    return "" if cash_is_there(ticket, state, costs) else "CASH_KEPT"


def meets_own(ticket: Ticket, state: State, limits: Limits) -> str:
    for order in state["working"]:
        if order.role != Role.ENTRY or order.cancel_requested_at is not None:
            continue
        for con_id, moved in moves(order).items():
            for mine, ratio, _ in parts(ticket):
                if mine == con_id and moved * ratio < 0:
                    return "CROSSING"
    return ""


def held_at_risk(ticket: Ticket, state: State) -> Fraction | None:
    """The most that is lost of what is held in the symbol, by currency, at one price of the shares; None where there is no end to it."""
    result = Fraction(0)
    mine = [p for p in state["positions"] if p.symbol == ticket.instrument.symbol]
    for currency in {p.currency for p in mine}:
        lines = [p for p in mine if p.currency == currency and p.signed_quantity != 0]
        rate = rate_of(currency, state)
        if rate is None or any(p.market_price is None for p in lines):
            return None

        def gained(at: Fraction, lines: list[Any] = lines) -> Fraction:
            total = Fraction(0)
            for p in lines:
                units = Fraction(p.signed_quantity) * (Fraction(p.option.multiplier) if p.option else 1)
                total += units * (worth_of(p.option, at) - Fraction(p.market_price))
            return total

        points = bends([(0, 1, p.option) for p in lines])
        far = points[-1] * 1000 + 1
        if gained(far + 1) < gained(far):
            return None
        result += max(-min(gained(at) for at in points), Fraction(0)) * rate
    return result


def worth_of(option: OptionTerms | None, at: Fraction) -> Fraction:
    """What a unit is worth on the last day."""
    if option is None:
        return at
    return max(
        at - Fraction(option.strike) if option.right == Right.CALL else Fraction(option.strike) - at,
        Fraction(0),
    )


def plan_risk(ticket: Ticket, state: State, limits: Limits) -> str:
    plan, rate, account = opened(ticket, state), rate_of(ticket.instrument.currency, state), state["account"]
    if plan is None or rate is None or account.net_liquidation is None:
        return "RISK_PER_TRADE"
    spot, lost = spot_of(state), plan.loss(spot_of(state))
    points = bends(plan.legs)
    first = min((point for point in points if point > 0), default=Fraction(1))
    falls = (plan.at(first, spot) - plan.at(Fraction(0), spot)) / first
    if not plan.beside and falls > 0:
        if state["plan"].spot is None or state["atr"] is None or plan.endless:
            return "RISK_PER_TRADE"
        stop = max(spot - Fraction(state["atr"]) * Fraction(limits["assumed_stop_atr"]), Fraction(0))
        down = [-plan.at(at, spot) - falls * max(stop - at, Fraction(0)) for at in [stop, *points]]
        most = [] if lost is None else [lost]
        lost = min(max(falls * (spot - stop), *down), *most) if most else max(falls * (spot - stop), *down)
    if lost is None:
        return "RISK_PER_TRADE"
    whole = Fraction(account.net_liquidation) * Fraction(limits["max_portfolio_risk"])
    return "RISK_PER_TRADE" if lost * Fraction(ticket.quantity) * rate > whole else ""


def figures(ticket: Ticket, state: State) -> list[Decimal | None]:
    """The figures of the legs and their market, and of every option of the symbol."""
    found: list[Decimal | None] = [ticket.final_limit]

    def of(option: OptionTerms | None) -> None:
        if option is not None:
            found.extend([option.strike, option.multiplier])

    mine = {con_id for con_id, _, _ in parts(ticket)}
    for _, ratio, option in parts(ticket):
        found.append(Decimal(ratio))
        of(option)
    if state["plan"] is not None:
        mine.add(state["plan"].shares_id)
        found.append(state["plan"].spot)
        for quote in state["plan"].quotes.values():
            found += [] if quote is None else [quote.bid, quote.ask]
    for name in ("positions", "told"):
        for p in state[name] or ():
            if p.con_id in mine or (p.option is not None and p.symbol == ticket.instrument.symbol):
                found.append(p.signed_quantity)
                of(p.option)
    for o in state["working"]:
        if o.con_id in mine or ((o.option is not None or o.legs) and o.symbol == ticket.instrument.symbol):
            found += [o.quantity, o.filled, o.limit_price, o.stop_price]
            found += [] if o.change is None else [o.change.quantity, o.change.limit_price]
            of(o.option)
            for leg in o.legs:
                found.append(Decimal(leg.ratio))
                of(leg.option)
    return found


def option_figures(state: State) -> list[Decimal | None]:
    """The figures of every option that is held or works, because puts on anything tie up cash."""
    found: list[Decimal | None] = []
    named: list[OptionTerms | None] = []
    for p in (*(state["positions"] or ()), *(state["told"] or ())):
        if p.option is not None:
            found.append(p.signed_quantity)
            named.append(p.option)
    for o in state["working"]:
        named += [o.option, *(leg.option for leg in o.legs)]
        found += [Decimal(leg.ratio) for leg in o.legs]
    for option in named:
        found += [] if option is None else [option.strike, option.multiplier]
    return found
