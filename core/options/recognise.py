"""Which strategies the holdings are, and what is left of shares and cash beside them.

Positions do not say what they were opened as, so they are read again each time: from the most legs to the fewest, each unit used once,
and all groups together are exactly what is held.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import product

from core import protection
from core.model import Leg, OptionTerms, Order, Position, Right
from core.options.combine import ZERO, reduced
from core.options.plan import Group, Strategy
from core.options.strategies import STRATEGIES, Part, name_of

_RANKED = (
    Strategy.IRON_CONDOR,
    Strategy.COLLAR,
    # Two options that bound each other come before shares: such a short call needs none to cover it.
    Strategy.BULL_CALL_SPREAD,
    Strategy.BEAR_PUT_SPREAD,
    Strategy.BULL_PUT_SPREAD,
    Strategy.BEAR_CALL_SPREAD,
    Strategy.COVERED_CALL,
    Strategy.PROTECTIVE_PUT,
    Strategy.LONG_STRADDLE,
    Strategy.LONG_STRANGLE,
)
"""In which order strategies of several legs are looked for; what is left has one leg."""

EXACT_UP_TO = 8
"""Of how many combinations at work every way to be filled is tried; of more, each is taken for its sales alone."""

Match = tuple[Position, ...]


def key_of(legs: Sequence[Leg]) -> str:
    """The name of a group in a button: 17 letters and figures, the same for the same contracts in the same ratios, for ever."""
    parts = sorted((leg.con_id, leg.ratio) for leg in reduced(legs)[0])
    words = ",".join(f"{con_id}:{ratio}" for con_id, ratio in parts)
    return "g" + hashlib.sha256(words.encode()).hexdigest()[:16]


def _units(part: Part, multiplier: Decimal) -> Decimal:
    """Signed units of a holding in one combination."""
    return part.ratio * (Decimal(1) if part.right else multiplier)


def _whole(left: Decimal, units: Decimal) -> int:
    """How many combinations there are units for."""
    return int(left / units) if left * units > 0 else 0


def _matches(
    parts: Sequence[Part], choices: Sequence[Sequence[Position]], chosen: Match = ()
) -> Iterator[Match]:
    """Every choice of one holding for each part (in the order of their strikes) with strikes as the outline has them."""
    if len(chosen) == len(parts):
        yield chosen
        return
    part = parts[len(chosen)]
    for position in choices[len(chosen)]:
        if all(
            _in_order(other, before, part, position) for other, before in zip(parts, chosen, strict=False)
        ):
            yield from _matches(parts, choices, (*chosen, position))


def _in_order(lower: Part, at: Position, upper: Part, above: Position) -> bool:
    if at.option is None or above.option is None:
        return True
    same = lower.strike == upper.strike
    return at.option.strike == above.option.strike if same else at.option.strike < above.option.strike


def _rank(
    match: Match, left: Mapping[int, Decimal]
) -> tuple[bool, Decimal, tuple[Decimal, ...], tuple[int, ...]]:
    """The likeliest choice is least: legs held in equal numbers first, then the strikes that lie closest, then the lowest."""
    strikes = tuple(p.option.strike for p in match if p.option)
    uneven = len({abs(left[p.con_id]) for p in match if p.option}) > 1
    return uneven, strikes[-1] - strikes[0], strikes, tuple(p.con_id for p in match)


def _group(strategy: Strategy | None, holdings: Sequence[tuple[Position, Decimal]], count: Decimal) -> Group:
    first = holdings[0][0]
    legs = tuple(Leg(position.con_id, int(units), position.option) for position, units in holdings)
    return Group(
        key_of(legs),
        strategy,
        first.symbol,
        first.currency,
        legs,
        count,
        tuple(position for position, _ in holdings),
    )


def _recognised(positions: Sequence[Position], left: dict[int, Decimal]) -> Iterator[Group]:
    """The strategies of several legs among the holdings of one symbol; takes from `left` what it uses."""
    classes: dict[tuple[date, Decimal, str], list[Position]] = defaultdict(list)
    for position in positions:
        if option := position.option:
            classes[option.expiry, option.multiplier, option.trading_class].append(position)
    shares = [position for position in positions if position.option is None and position.kind == "STK"]
    for strategy in _RANKED:
        parts = STRATEGIES[strategy].parts
        for (_, multiplier, _), options in sorted(classes.items(), key=lambda item: item[0]):
            units = [_units(part, multiplier) for part in parts]
            choices = [
                [
                    p
                    for p in (options if part.right else shares)
                    if _fits(p, part) and _whole(left[p.con_id], unit)
                ]
                for part, unit in zip(parts, units, strict=True)
            ]
            for match in sorted(_matches(parts, choices), key=lambda match: _rank(match, left)):
                holdings = list(zip(match, units, strict=True))
                count = min(_whole(left[position.con_id], unit) for position, unit in holdings)
                if count:
                    for position, unit in holdings:
                        left[position.con_id] -= unit * count
                    yield _group(strategy, holdings, Decimal(count))


def _fits(position: Position, part: Part) -> bool:
    return (position.option.right if position.option else None) is part.right


def _place(position: Position) -> tuple[date, Decimal, str, int]:
    """Where it stands in a list: shares, then options by expiry, strike and right."""
    option = position.option
    first = (date.min, ZERO, "") if option is None else (option.expiry, option.strike, str(option.right))
    return (*first, position.con_id)


def groups(positions: Sequence[Position]) -> tuple[Group, ...]:
    """What the holdings are, strategies first and by symbol: together exactly the holdings, no unit twice.

    What is left stands alone: a long option, a short put, and without a strategy shares and a short call that no shares cover.
    """
    by_symbol: dict[tuple[str, str, str], list[Position]] = defaultdict(list)
    for position in positions:
        if position.signed_quantity:
            by_symbol[position.symbol, position.currency, position.account].append(position)
    found: list[Group] = []
    for name in sorted(by_symbol):
        held = sorted(by_symbol[name], key=_place)
        left = {position.con_id: position.signed_quantity for position in held}
        found += _recognised(held, left)
        for position in held:
            if rest := left[position.con_id]:
                sign = 1 if rest > 0 else -1
                alone = name_of([Leg(position.con_id, sign, position.option)])
                found.append(_group(alone, [(position, Decimal(sign))], abs(rest)))
    return tuple(found)


Bundle = Mapping[int, Decimal]
"""Signed changes of holdings that happen together, by con_id."""


def _worst(
    held: Bundle, bundles: Sequence[Bundle], measure: Callable[[Mapping[int, Decimal]], Decimal]
) -> Decimal:
    """The least that `measure` may come to while any of `bundles` may trade, wholly or not at all.

    `measure` never falls when a holding grows: so what only buys is left out and what only sells is in. Of those that do both every way
    is tried, or, of very many, only what they sell is counted.
    """
    state: dict[int, Decimal] = defaultdict(Decimal, held)
    mixed: list[Bundle] = []
    for bundle in bundles:
        sold = {con_id: change for con_id, change in bundle.items() if change < 0}
        if sold and len(sold) < len(bundle):
            mixed.append(bundle)
        for con_id, change in sold.items() if len(sold) == len(bundle) else ():
            state[con_id] += change
    if len(mixed) > EXACT_UP_TO:
        for bundle in mixed:
            for con_id, change in bundle.items():
                state[con_id] += min(change, ZERO)
        mixed = []
    worst = measure(state)
    for taken in product((False, True), repeat=len(mixed)):
        after = defaultdict(Decimal, state)
        for bundle, is_in in zip(mixed, taken, strict=True):
            for con_id, change in bundle.items() if is_in else ():
                after[con_id] += change
        worst = min(worst, measure(after))
    return worst


def _terms(positions: Sequence[Position], working: Sequence[Order]) -> dict[int, OptionTerms]:
    """The options that are held or traded, by con_id."""
    found = {position.con_id: position.option for position in positions if position.option}
    found |= {order.con_id: order.option for order in working if order.option}
    return found | {leg.con_id: leg.option for order in working for leg in order.legs if leg.option}


def _bundles(symbol: str, working: Sequence[Order], counted: set[int]) -> list[Bundle]:
    """What the orders may yet do to the holdings in `counted`, each order by itself; protection is not among them."""
    of = [order for order in working if order.symbol == symbol and order.remaining > 0 and not order.protects]
    found = [{c: change for c, change in order.moves(order.remaining) if c in counted} for order in of]
    return [bundle for bundle in found if bundle]


def _shorts_and_longs(
    terms: Mapping[int, OptionTerms], right: Right, state: Mapping[int, Decimal]
) -> tuple[list[tuple[OptionTerms, Decimal]], list[tuple[OptionTerms, Decimal]]]:
    """What is owed and what is owned of a right: (option, units of the underlying, positive)."""
    sized = [
        (option, state.get(con_id, ZERO) * option.multiplier)
        for con_id, option in sorted(terms.items())
        if option.right is right
    ]
    return [(option, -units) for option, units in sized if units < 0], [pair for pair in sized if pair[1] > 0]


def _uncovered(
    shorts: Sequence[tuple[OptionTerms, Decimal]], longs: Sequence[tuple[OptionTerms, Decimal]]
) -> list[tuple[OptionTerms, Decimal]]:
    """What is owed and not covered by something owned that lasts as long; as much as can be covered is, the lowest strikes first."""
    bare = []
    covered: list[tuple[OptionTerms, Decimal]] = []
    days = sorted({option.expiry for option, _ in shorts})
    for short, units in sorted(shorts, key=lambda pair: (pair[0].strike, pair[0].expiry)):
        room = min(
            sum((n for o, n in longs if o.expiry >= day), ZERO)
            - sum((n for o, n in covered if o.expiry >= day), ZERO)
            for day in days
            if day <= short.expiry
        )
        taken = max(min(units, room), ZERO)
        covered.append((short, taken))
        bare.append((short, units - taken))
    return bare


def unencumbered(
    con_id: int,
    symbol: str,
    positions: Sequence[Position],
    working: Sequence[Order],
    *,
    stops_move: bool = False,
) -> Decimal:
    """Shares (`con_id`) that are held and promised to nobody: not to short calls without a long call that lasts as long, not to sales,
    stops and targets at work, and not to calls that working orders may yet sell. Below zero where more is promised than held.

    An order of several legs trades as one; purchases that are not filled count for nothing. With `stops_move` stops and targets take none:
    a sale moves them out of its way.
    """
    mine = [position for position in positions if position.symbol == symbol]
    terms = _terms(mine, [order for order in working if order.symbol == symbol])
    calls = {c for c, option in terms.items() if option.right is Right.CALL}
    held = {p.con_id: p.signed_quantity for p in mine if p.con_id in calls or p.con_id == con_id}

    def free(state: Mapping[int, Decimal]) -> Decimal:
        bare = _uncovered(*_shorts_and_longs(terms, Right.CALL, state))
        return state.get(con_id, ZERO) - sum((units for _, units in bare), ZERO)

    protected = sum((group.live for group in protection.groups(con_id, working)), ZERO)
    left = _worst(held, _bundles(symbol, working, {*calls, con_id}), free)
    return left if stops_move else left - protected


def secured(symbol: str, positions: Sequence[Position], working: Sequence[Order]) -> Decimal:
    """Cash, in the currency of the options, that short puts tie up: strike times shares of each that no long put covers that lasts as
    long, those included that working orders may yet sell.
    """
    mine = [position for position in positions if position.symbol == symbol]
    terms = _terms(mine, [order for order in working if order.symbol == symbol])
    puts = {c for c, option in terms.items() if option.right is Right.PUT}
    held = {position.con_id: position.signed_quantity for position in mine if position.con_id in puts}

    def cash(state: Mapping[int, Decimal]) -> Decimal:
        bare = _uncovered(*_shorts_and_longs(terms, Right.PUT, state))
        return -sum((units * option.strike for option, units in bare), ZERO)

    return -_worst(held, _bundles(symbol, working, puts), cash)
