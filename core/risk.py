"""The rules that every order must pass: pure functions over (ticket, snapshot, limits), each a denial or None.

Every rule says whether it also binds an order that only reduces a position: identity, connection, freshness and the sanity of
quantity and price always do; rules that limit size never do, because nobody may be kept from getting out.
The order of RULES is the order in which denials are shown; all are returned, not only the first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from core.model import Account, Denial, Drift, Link, Mode, Order, OrderType, Position, Quote, Side, Ticket


@dataclass(frozen=True, slots=True)
class Limits:
    """What the owner allows. Money in the base currency of the account; a unit stands in every name that needs one.

    `max_portfolio_risk` is the part of net liquidation that one trade may lose at its stop (0.02 is 2 %); an entry without a stop is
    measured as if it had one `assumed_stop_atr` times the ATR of 14 sessions away. `max_drift` is the part of the price (0.005 is half a
    percent) that it may move between card and order.
    """

    max_position_size: Decimal
    max_portfolio_risk: Decimal = Decimal("0.02")
    assumed_stop_atr: Decimal = Decimal(3)
    max_quote_age_seconds: float = 15.0
    max_shares: Decimal = Decimal(1_000_000)
    max_price_factor: Decimal = Decimal(2)
    max_drift: Decimal = Decimal("0.005")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a rule may look at, taken at one moment. None is unknown, and unknown denies."""

    now: datetime
    link: Link
    account: Account | None
    quote: Quote | None
    positions: tuple[Position, ...] | None
    working: tuple[Order, ...]
    atr: Decimal | None = None
    drifts: tuple[Drift, ...] = ()
    told: tuple[Position, ...] | None = None

    def held(self, con_id: int) -> Decimal | None:
        """The signed holding that is certain: of our count and the broker's word (`told`) the one nearer to zero; None while unknown.

        Our count knows a fill before the positions do, the positions know of trades that nobody told us: a sale is measured by the less.
        """
        counted, told = self._sum(self.positions, con_id), self._sum(self.told, con_id)
        if counted is None or self.told is None or told is None:
            return counted
        if counted * told < 0:
            return Decimal(0)
        return min(counted, told, key=abs)

    def held_at_most(self, con_id: int) -> Decimal | None:
        """The same, but the larger of both: a position is capped by the more."""
        counted, told = self._sum(self.positions, con_id), self._sum(self.told, con_id)
        return counted if counted is None or told is None else max(counted, told, key=abs)

    @staticmethod
    def _sum(positions: tuple[Position, ...] | None, con_id: int) -> Decimal | None:
        if positions is None:
            return None
        return sum((p.signed_quantity for p in positions if p.con_id == con_id), Decimal(0))

    def working_quantity(self, con_id: int, side: Side) -> Decimal:
        """What orders that may still trade would add on one side, without those that protect a holding."""
        orders = (o for o in self.working if o.con_id == con_id and o.side is side and not o.protects)
        return sum((o.remaining for o in orders), Decimal(0))

    def on_sale(self, con_id: int) -> Decimal:
        """The shares that working sales may take. Stops and targets that protect them do not count: a sale moves them away first."""
        return self.working_quantity(con_id, Side.SELL)


Rule = Callable[[Ticket, Snapshot, Limits], Denial | None]


def reduces(ticket: Ticket, snapshot: Snapshot) -> bool:
    """Whether the order can only make the holding smaller, whatever else is working."""
    held = snapshot.held(ticket.instrument.con_id)
    if held is None:
        return False
    against = held if ticket.side is Side.SELL else -held
    return (
        against > 0
        and ticket.quantity + snapshot.working_quantity(ticket.instrument.con_id, ticket.side) <= against
    )


def worst_price(ticket: Ticket, quote: Quote | None) -> Decimal | None:
    """The price at which the order is valued: its limit or stop; for a market order the far side of the quote that its card showed.

    The card's own price, so that what was approved is what is measured; `drift` sees to it that the market is still there.
    """
    if ticket.order_type is OrderType.LIMIT:
        return ticket.limit_price
    far = quote.far_side(ticket.side) if quote else None
    if ticket.order_type is OrderType.STOP and ticket.stop_price is not None:
        return (
            max(ticket.stop_price, far or ticket.stop_price) if ticket.side is Side.BUY else ticket.stop_price
        )
    return far if far is None or ticket.reference_price <= 0 else ticket.reference_price


def drifted(ticket: Ticket, quote: Quote | None, limits: Limits) -> Decimal | None:
    """How far the price is from the card's, as a fraction of it, where that is more than is allowed; else None."""
    now = quote.far_side(ticket.side) if quote else None
    if now is None or ticket.reference_price <= 0:
        return None
    moved = abs(now - ticket.reference_price) / ticket.reference_price
    return moved if moved > limits.max_drift else None


def connected(_ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """The road is open and the books agree with the broker."""
    link = snapshot.link
    if link.trouble:
        return Denial("CONNECTION", link.trouble)
    if not link.connected:
        return Denial(
            "CONNECTION",
            "Not connected to the broker, so nothing can be sent.",
            remedy="/connect, then /status",
        )
    if not link.reconciled:
        return Denial(
            "CONNECTION",
            "The books are still being compared with the broker's; nothing leaves before they agree.",
            remedy="try again in a few seconds",
        )
    return None


def account_agrees(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """The order goes to the account that it was drawn for, and that account may trade."""
    link = snapshot.link
    if link.mode is None or link.account is None:
        return Denial("ACCOUNT", "The broker has not said which account this is.", remedy="/status")
    if link.account != ticket.account:
        return Denial("ACCOUNT", "The card was drawn for another account.", ticket.account, link.account)
    if link.mode is Mode.LIVE:
        return Denial(
            "LIVE_READ_ONLY",
            f"{link.account} is a LIVE account, and Greenlight is read-only there until arming exists.",
            remedy="connect a paper account (D...)",
        )
    return None


def books_explain(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """The books explain what the broker holds of this instrument: an order that adds to a holding nobody understands is not sent."""
    drift = next((d for d in snapshot.drifts if d.con_id == ticket.instrument.con_id), None)
    if drift is None:
        return None
    return Denial(
        "POSITION_DRIFT",
        f"The broker holds {drift.told:f} {drift.symbol}, the books of Greenlight explain {drift.reckoned:f}.",
        f"{drift.told:f}",
        f"{drift.reckoned:f}",
        "/positions offers to take over the broker's figure",
    )


def quantity_sane(ticket: Ticket, _snapshot: Snapshot, limits: Limits) -> Denial | None:
    """A whole, positive number of shares that nobody typed by leaning on a key."""
    quantity = ticket.quantity
    if not quantity.is_finite() or quantity <= 0 or quantity != quantity.to_integral_value():
        return Denial(
            "QUANTITY",
            "The quantity must be a whole number of shares above zero.",
            f"{quantity}",
            "1 or more",
        )
    if quantity > limits.max_shares:
        return Denial(
            "QUANTITY",
            "That is more shares than one order may have.",
            f"{quantity:,f}",
            f"{limits.max_shares:,f}",
        )
    return None


def price_sane(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """Prices are finite, on the tick, and not off by a factor."""
    needs = {OrderType.LIMIT: ticket.limit_price, OrderType.STOP: ticket.stop_price}
    if ticket.order_type in needs and needs[ticket.order_type] is None:
        return Denial("PRICE", f"A {ticket.order_type} order needs its price.", remedy="@ 187.50 or stop 180")
    prices = {
        "limit": ticket.limit_price,
        "stop": ticket.stop_price,
        "stop loss": ticket.stop_loss,
        "take profit": ticket.take_profit,
    }
    for name, price in prices.items():
        if price is None:
            continue
        if not price.is_finite() or price <= 0:
            return Denial("PRICE", f"The {name} price must be above zero.", f"{price}", "above 0")
        tick = ticket.instrument.min_tick
        if tick > 0 and price % tick:
            near = (price / tick).to_integral_value() * tick
            return Denial(
                "TICK",
                f"The {name} price is not on the tick of {tick:f}.",
                f"{price:f}",
                f"{tick:f}",
                f"{near:f}",
            )
        market = snapshot.quote.far_side(ticket.side) if snapshot.quote else None
        if market and not market / limits.max_price_factor <= price <= market * limits.max_price_factor:
            return Denial(
                "PRICE",
                f"The {name} price is off by a factor from the {market:f} at which {ticket.instrument.symbol} trades.",
                f"{price:f}",
                f"between {market / limits.max_price_factor:.2f} and {market * limits.max_price_factor:.2f}",
            )
    return None


def stop_side(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """A stop that would trigger at once is a market order by another name."""
    if ticket.order_type is not OrderType.STOP or ticket.stop_price is None or snapshot.quote is None:
        return None
    market = snapshot.quote.far_side(ticket.side)
    if market is None:
        return None
    if ticket.side is Side.SELL and ticket.stop_price >= market:
        return Denial(
            "STOP_SIDE",
            "A sell stop must lie below the market, or it sells at once.",
            f"{ticket.stop_price:f}",
            f"below {market:f}",
        )
    if ticket.side is Side.BUY and ticket.stop_price <= market:
        return Denial(
            "STOP_SIDE",
            "A buy stop must lie above the market, or it buys at once.",
            f"{ticket.stop_price:f}",
            f"above {market:f}",
        )
    return None


def price_known(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """There is a quote, it is two-sided where it matters, not crossed, and fresh."""
    quote, symbol = snapshot.quote, ticket.instrument.symbol
    if quote is None or quote.far_side(ticket.side) is None:
        return Denial(
            "PRICE_UNKNOWN",
            f"There is no price for {symbol} now, so nothing can be valued.",
            remedy="check the market data subscription and the trading hours",
        )
    if quote.bid is not None and quote.ask is not None and quote.bid > quote.ask:
        return Denial(
            "QUOTE_CROSSED",
            f"The quote of {symbol} is crossed.",
            f"{quote.bid:f} / {quote.ask:f}",
            "bid below ask",
        )
    age = snapshot.now - quote.time
    if age < timedelta(seconds=-limits.max_quote_age_seconds):
        return Denial(
            "QUOTE_TIME",
            f"The last quote of {symbol} is from the future: a clock is wrong.",
            f"{-age.total_seconds():.0f} s ahead",
            "now",
        )
    if age > timedelta(seconds=limits.max_quote_age_seconds):
        return Denial(
            "QUOTE_OLD",
            f"The last quote of {symbol} is too old.",
            f"{age.total_seconds():.0f} s",
            f"{limits.max_quote_age_seconds:.0f} s",
            "try again",
        )
    return None


def drift(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The market is still where the card saw it."""
    moved = drifted(ticket, snapshot.quote, limits)
    if moved is None:
        return None
    return Denial(
        "DRIFT",
        "The price has moved away from what the card showed.",
        f"{moved * 100:.2f} %",
        f"{limits.max_drift * 100:.2f} %",
        "a new card",
    )


def delayed_data(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """With real money, delayed prices allow exits and hand-priced limits only. Paper trades on them with a mark on the card."""
    if snapshot.link.mode is not Mode.LIVE or snapshot.quote is None or not snapshot.quote.delayed:
        return None
    if ticket.order_type is OrderType.LIMIT:
        return None
    return Denial(
        "DELAYED",
        "The prices are delayed, so an entry needs a limit that you set by hand.",
        remedy="@ with your price",
    )


def sale_covered(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """A sale never exceeds the holding minus the sales that are already working: no short by accident."""
    if ticket.side is not Side.SELL:
        return None
    held = snapshot.held(ticket.instrument.con_id)
    if held is None:
        return Denial(
            "POSITION_UNKNOWN",
            "The positions are not loaded yet.",
            remedy="they come a few seconds after connecting",
        )
    working = snapshot.working_quantity(ticket.instrument.con_id, Side.SELL)
    free = held - working
    if ticket.quantity > free:
        already = f", {working:f} of them already on sale" if working else ""
        return Denial(
            "SHORT_SALE",
            f"You hold {held:f} {ticket.instrument.symbol}{already}; a larger sale would open a short.",
            f"{ticket.quantity:f}",
            f"{max(free, Decimal(0)):f}",
            f"{free:f}" if free > 0 else "",
        )
    return None


def position_cap(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The position, with everything that is working, stays under MAX_POSITION_SIZE in the account's base currency."""
    if ticket.side is Side.SELL:
        return None  # `sale_covered` is its measure
    instrument = ticket.instrument
    held, price = snapshot.held_at_most(instrument.con_id), worst_price(ticket, snapshot.quote)
    rate = snapshot.account.rate(instrument.currency) if snapshot.account else None
    if held is None or price is None or rate is None or snapshot.account is None:
        return Denial(
            "POSITION_CAP",
            "The size of the position cannot be measured: holding, price or exchange rate is not known yet.",
            remedy="try again in a few seconds",
        )
    unit = price * rate * instrument.multiplier
    waiting = snapshot.working_quantity(instrument.con_id, ticket.side)
    after = abs(held + ticket.side.sign * (ticket.quantity + waiting))
    if after * unit <= limits.max_position_size:
        return None
    room = limits.max_position_size / unit - (after - ticket.quantity)
    fits = max(int(room), 0)
    base = snapshot.account.currency
    return Denial(
        "POSITION_CAP",
        f"The position in {instrument.symbol}{f', with the {waiting:f} that wait,' if waiting else ''} would be larger than MAX_POSITION_SIZE.",
        f"{after * unit:,.2f} {base}",
        f"{limits.max_position_size:,f} {base}",
        f"{fits}" if fits else "",
    )


def bracket_sides(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """The stop loss lies on the losing side of the entry, the target on the winning one."""
    price = worst_price(ticket, snapshot.quote)
    if price is None:
        return None
    sign = ticket.side.sign
    if ticket.stop_loss is not None and (price - ticket.stop_loss) * sign <= 0:
        side = "below" if sign > 0 else "above"
        return Denial(
            "BRACKET",
            f"The stop loss must lie {side} the entry.",
            f"{ticket.stop_loss:f}",
            f"{side} {price:f}",
        )
    if ticket.take_profit is not None and (ticket.take_profit - price) * sign <= 0:
        side = "above" if sign > 0 else "below"
        return Denial(
            "BRACKET",
            f"The take profit must lie {side} the entry.",
            f"{ticket.take_profit:f}",
            f"{side} {price:f}",
        )
    return None


def stop_distance(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Decimal | None:
    """How far the price may go against an entry, per share: to its stop, or to the assumed one. None where that is unknown."""
    price = worst_price(ticket, snapshot.quote)
    if ticket.stop_loss is not None:
        return None if price is None else abs(price - ticket.stop_loss)
    return None if snapshot.atr is None else snapshot.atr * limits.assumed_stop_atr


def at_risk(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Decimal | None:
    """What the order loses if its stop is hit, in base currency; None where that cannot be measured."""
    distance = stop_distance(ticket, snapshot, limits)
    rate = snapshot.account.rate(ticket.instrument.currency) if snapshot.account else None
    if distance is None or rate is None:
        return None
    return distance * ticket.quantity * ticket.instrument.multiplier * rate


def offered_stop(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Decimal | None:
    """A stop for an entry that has none: the assumed distance below the entry, on the tick. None where there is nothing to offer."""
    price, tick = worst_price(ticket, snapshot.quote), ticket.instrument.min_tick
    if (
        ticket.stop_loss is not None
        or price is None
        or snapshot.atr is None
        or reduces(ticket, snapshot)
        or tick <= 0
    ):
        return None
    stop = price - ticket.side.sign * snapshot.atr * limits.assumed_stop_atr
    on_tick = (stop / tick).to_integral_value(ROUND_FLOOR) * tick
    return on_tick if on_tick > 0 else None


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
    fits = int(allowed / (lost / ticket.quantity)) if lost else 0
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
        f"{fits}" if fits else "",
    )


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule, whether it binds an order that only reduces a position, and whether it binds new prices of a stop or target.

    Those close what is held or bought with them, whatever is held now.
    """

    rule: Rule
    binds_exits: bool
    binds_protection: bool = True


RULES: tuple[RuleRow, ...] = (
    RuleRow(connected, binds_exits=True),
    RuleRow(account_agrees, binds_exits=True),
    RuleRow(books_explain, binds_exits=False, binds_protection=False),
    RuleRow(quantity_sane, binds_exits=True),
    RuleRow(price_known, binds_exits=True),
    RuleRow(drift, binds_exits=False),
    RuleRow(delayed_data, binds_exits=False),
    RuleRow(price_sane, binds_exits=True),
    RuleRow(stop_side, binds_exits=True),
    RuleRow(sale_covered, binds_exits=True, binds_protection=False),
    RuleRow(bracket_sides, binds_exits=True),
    RuleRow(position_cap, binds_exits=False, binds_protection=False),
    RuleRow(risk_per_trade, binds_exits=False, binds_protection=False),
)


def _figures(ticket: Ticket, snapshot: Snapshot) -> list[Decimal]:
    quote, account = snapshot.quote, snapshot.account
    told = [
        ticket.quantity,
        ticket.limit_price,
        ticket.stop_price,
        ticket.stop_loss,
        ticket.take_profit,
        snapshot.atr,
    ]
    told += [quote.bid, quote.ask] if quote else []
    told += [account.net_liquidation, account.rate(ticket.instrument.currency)] if account else []
    told += [p.signed_quantity for p in snapshot.positions or ()]
    return [figure for figure in told if figure is not None]


def check(
    ticket: Ticket, snapshot: Snapshot, limits: Limits, *, protects: bool = False
) -> tuple[Denial, ...]:
    """Every denial, in the order of RULES; none means that the order may leave. `protects`: it is a stop or target that gets new prices."""
    if not all(figure.is_finite() for figure in _figures(ticket, snapshot)):
        # Nothing can be measured against a figure that is no number, so no further rule is asked.
        return (
            Denial("NOT_A_NUMBER", "A quantity or price of this order, or of the market, is not a number."),
        )
    exits = protects or reduces(ticket, snapshot)
    rows = (row for row in RULES if (row.binds_exits or not exits) and (row.binds_protection or not protects))
    return tuple(denial for row in rows if (denial := row.rule(ticket, snapshot, limits)))
