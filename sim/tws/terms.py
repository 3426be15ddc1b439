"""What clients say: contracts as they describe them, and the terms of their orders."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sim.tws.codec import decimal, is_unset, truth


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of a combination."""

    con_id: int
    ratio: int
    action: str
    exchange: str
    open_close: int = 0
    short_sale_slot: int = 0
    location: str = ""
    exempt: int = -1


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract as a client describes it: an id, or enough of the rest."""

    con_id: int = 0
    symbol: str = ""
    sec_type: str = ""
    expiry: str = ""
    strike: Decimal | None = None
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order says. The part that decides how it trades is typed; everything the broker merely repeats is in `raw`, by TWS's names."""

    action: str
    quantity: Decimal
    type: str
    limit: Decimal | None = None
    aux: Decimal | None = None
    tif: str = "DAY"
    oca_group: str = ""
    oca_type: int = 0
    account: str = ""
    ref: str = ""
    transmit: bool = True
    parent_id: int = 0
    outside_rth: bool = False
    trail_stop: Decimal | None = None
    trail_percent: Decimal | None = None
    limit_offset: Decimal | None = None
    good_after: str = ""
    good_till: str = ""
    what_if: bool = False
    raw: Mapping[str, str] = field(default_factory=dict)
    legs: tuple[Leg, ...] = ()
    leg_prices: tuple[str, ...] = ()
    conditions: tuple[tuple[str, ...], ...] = ()


def terms(
    raw: Mapping[str, str],
    legs: tuple[Leg, ...] = (),
    leg_prices: tuple[str, ...] = (),
    conditions: tuple[tuple[str, ...], ...] = (),
) -> Terms:
    """The terms of an order from its fields by name. WireError where one of those that count cannot be read."""
    quantity = decimal(raw.get("totalQuantity", ""))
    return Terms(
        action=raw.get("action", ""),
        quantity=Decimal(0) if quantity is None else quantity,
        type=raw.get("orderType", ""),
        limit=decimal(raw.get("lmtPrice", "")),
        aux=decimal(raw.get("auxPrice", "")),
        tif=raw.get("tif") or "DAY",
        oca_group=raw.get("ocaGroup", ""),
        oca_type=int(decimal(raw.get("ocaType", "")) or 0),
        account=raw.get("account", ""),
        ref=raw.get("orderRef", ""),
        transmit=truth(raw.get("transmit", "1")),
        parent_id=int(decimal(raw.get("parentId", "")) or 0),
        outside_rth=truth(raw.get("outsideRth", "")),
        trail_stop=decimal(raw.get("trailStopPrice", "")),
        trail_percent=decimal(raw.get("trailingPercent", "")),
        limit_offset=decimal(raw.get("lmtPriceOffset", "")),
        good_after=raw.get("goodAfterTime", ""),
        good_till=raw.get("goodTillDate", ""),
        what_if=truth(raw.get("whatIf", "")),
        raw={name: text for name, text in raw.items() if text != "0" and not is_unset(text)},
        legs=legs,
        leg_prices=leg_prices,
        conditions=conditions,
    )
