"""How much of each limit is used at a moment, by the same measures that the rules take."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from core.model import Position, Side
from core.risk.bounds import day_began, exposure, lost_percent, recent_rejects
from core.risk.terms import Limits, Snapshot

HUNDRED = Decimal(100)


class Unit(StrEnum):
    """What a use is counted in."""

    MONEY = "money"  # of the account's base currency
    PERCENT = "percent"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Use:
    """A limit by the name of its setting, what is used of it (None: not known), and whom that is about. `least`: it is what must stay."""

    setting: str
    used: Decimal | None
    limit: Decimal
    unit: Unit
    about: str = ""
    least: bool = False


def usage(snapshot: Snapshot, limits: Limits) -> tuple[Use, ...]:
    """Every limit that is not about one order alone, in the order of the rules."""
    now, sent = snapshot.now, snapshot.sent
    entries = [s for s in sent or () if s.worth is not None]

    def value_since(hours: timedelta | None) -> Decimal | None:
        if sent is None:
            return None
        since = day_began(now) if hours is None else now - hours
        return sum((s.worth for s in entries if s.worth is not None and s.at > since), Decimal(0))

    def count_since(minutes: timedelta | None) -> Decimal | None:
        since = day_began(now) if minutes is None else now - minutes
        return None if sent is None else Decimal(sum(1 for s in entries if s.at > since))

    symbol, size = _largest_position(snapshot)
    account = snapshot.account
    worth = account.net_liquidation if account else None
    free = account.excess_liquidity if account else None
    exposed = exposure(snapshot)
    lost = lost_percent(account)
    rejected = None if sent is None else Decimal(recent_rejects(sent, snapshot.trading, now))
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    filled, chased = _most_filled(snapshot)
    return (
        Use("max_position_size", size, limits.max_position_size, Unit.MONEY, symbol),
        Use(
            "max_gross_exposure_percent",
            None if exposed is None or not worth else exposed * HUNDRED / worth,
            limits.max_gross_exposure_percent,
            Unit.PERCENT,
        ),
        Use("max_hour_value_base", value_since(hour), limits.max_hour_value_base, Unit.MONEY),
        Use("max_day_value_base", value_since(None), limits.max_day_value_base, Unit.MONEY),
        Use("max_orders_per_minute", count_since(minute), Decimal(limits.max_orders_per_minute), Unit.COUNT),
        Use("max_orders_per_day", count_since(None), Decimal(limits.max_orders_per_day), Unit.COUNT),
        Use(
            "max_filled_orders_per_symbol_hour",
            None if sent is None else filled,
            Decimal(limits.max_filled_orders_per_symbol_hour),
            Unit.COUNT,
            chased,
        ),
        Use("halt_at_rejects", rejected, Decimal(limits.halt_at_rejects), Unit.COUNT),
        Use("reduce_at_day_loss_percent", lost, limits.reduce_at_day_loss_percent, Unit.PERCENT),
        Use("halt_at_day_loss_percent", lost, limits.halt_at_day_loss_percent, Unit.PERCENT),
        Use(
            "min_excess_liquidity_percent",
            None if free is None or not worth else free * HUNDRED / worth,
            limits.min_excess_liquidity_percent,
            Unit.PERCENT,
            least=True,
        ),
    )


def _largest_position(snapshot: Snapshot) -> tuple[str, Decimal | None]:
    """(symbol, worth in base currency) of the largest holding with what may still be bought of it, or of what is only on its way; the
    worth is None where one is not known.
    """
    largest, name = Decimal(0), ""
    if snapshot.positions is None or snapshot.account is None:
        return "", None
    market = {p.con_id: (p.label, _each(p), p.currency) for p in snapshot.positions}
    for order in snapshot.working:
        asked = order.limit_price or order.stop_price
        if order.side is Side.BUY and not order.protects and order.kind == "STK":
            market.setdefault(order.con_id, (order.symbol, asked, order.currency))
    for con_id, (symbol, price, currency) in market.items():
        rate = snapshot.account.rate(currency)
        waiting = snapshot.working_quantity(con_id, Side.BUY)
        held = snapshot.held_at_most(con_id) or Decimal(0)
        if not held and not waiting:
            continue
        if price is None or rate is None:
            return symbol, None
        worth = abs(held + waiting) * price * rate
        if worth > largest:
            largest, name = worth, symbol
    return name, largest


def _each(position: Position) -> Decimal | None:
    """What one of a holding is worth: an option its price times its multiplier."""
    price = position.market_price
    return price * position.option.multiplier if price is not None and position.option else price


def _most_filled(snapshot: Snapshot) -> tuple[Decimal, str]:
    """(how many, of what) of the instrument in which most entries were filled within an hour."""
    since = snapshot.now - timedelta(hours=1)
    counts: dict[int, int] = {}
    for sent in snapshot.sent or ():
        if sent.filled_at is not None and sent.worth is not None and sent.filled_at > since:
            counts[sent.con_id] = counts.get(sent.con_id, 0) + 1
    if not counts:
        return Decimal(0), ""
    con_id, most = max(counts.items(), key=lambda pair: pair[1])
    return Decimal(most), next((p.symbol for p in snapshot.positions or () if p.con_id == con_id), "")
