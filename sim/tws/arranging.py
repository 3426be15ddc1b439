"""What the control port needs for its arrangements: quotes, prices and orders worked out from the books, and the figures of an account."""

from decimal import Decimal
from typing import TYPE_CHECKING

from sim.control import Wrong
from sim.tws.bodies import LoadBody, PriceBody
from sim.tws.book import Order
from sim.tws.contracts import Instrument
from sim.tws.errors import Refused
from sim.tws.market import Pin
from sim.tws.terms import terms

if TYPE_CHECKING:
    from sim.tws.server import TwsServer


def figures(account: str, server: "TwsServer") -> dict[str, str]:
    """What an account is worth and how far it may go, in its base currency; `previous` is its worth at the close before."""
    ledger, now = server.engine.ledger, server.clock.now()
    margin = ledger.margin(account, now)
    told = {
        "net_liquidation": margin.net_liquidation, "initial": margin.initial, "maintenance": margin.maintenance,
        "available": margin.available, "excess": margin.excess, "daily": ledger.daily(account, now),
        "previous": ledger.at_close(account, now).net_liquidation,
    }  # fmt: skip
    return {name: str(value) for name, value in told.items()}


def price_for(daily: Decimal, instrument: Instrument, server: "TwsServer") -> Decimal:
    """The price at which the first account has gained so much since the close before, to the nearest tick."""
    ledger, now = server.engine.ledger, server.clock.now()
    account = next(iter(ledger.accounts))
    held = ledger.positions.get((account, instrument.con_id))
    if held is None or not held.quantity or not instrument.is_share:
        raise Wrong(f"{account} holds no shares of {instrument.symbol}: its price decides nothing")
    worth = held.quantity * instrument.multiplier * server.market.rate(instrument.currency, now)
    wanted = ledger.price(instrument.con_id, now) + (daily - ledger.daily(account, now)) / worth
    wanted = (wanted / instrument.min_tick).quantize(Decimal(1)) * instrument.min_tick
    if wanted <= instrument.min_tick:
        raise Wrong(
            f"{held.quantity} {instrument.symbol} are too few: its price would have to be {wanted}; hold more of it first"
        )
    return wanted


def resting(body: LoadBody, number: int, account: str, instrument: Instrument, server: "TwsServer") -> Order:
    """One of many orders, far from the market unless a price is said."""
    engine, now = server.engine, server.clock.now()
    below = (body.side == "BUY") is (body.type == "LMT")
    usual = engine.market.quote(instrument.con_id, now).last * (Decimal("0.5") if below else 2)
    price = body.price or (usual / instrument.min_tick).quantize(Decimal(1)) * instrument.min_tick
    raw = {
        "action": body.side, "totalQuantity": str(body.quantity), "orderType": body.type, "tif": "GTC", "account": account,
        ("lmtPrice" if body.type == "LMT" else "auxPrice"): str(price),
        "orderRef": f"{body.ref}{number + 1}" if body.ref else "",
    }  # fmt: skip
    try:
        if body.client is None:
            return engine.place_by_hand(account, instrument, terms(raw), now)
        order_id = engine.register.next_id(body.client)
        engine.place(body.client, order_id, instrument, "SMART", terms(raw), now)
    except Refused as refused:
        raise Wrong(f"TWS refuses such an order ({refused.code}): {refused.text}") from None
    found = engine.register.find(body.client, order_id)
    assert found is not None
    return found


def quote_of(body: PriceBody, instrument: Instrument, server: "TwsServer") -> Pin:
    """The whole quote that a body means: what it leaves out lies a tick apart from what it says."""
    tick, given = (
        instrument.min_tick,
        [value for value in (body.bid, body.ask, body.last) if value is not None],
    )
    if not given:
        raise Wrong("say at least one of bid, ask, last, or unpin")
    last = body.last or (given[0] if len(given) == 1 else sum(given, Decimal(0)) / len(given))
    last = (last / tick).quantize(Decimal(1)) * tick
    bid = body.bid or min(last, (body.ask or last + tick) - tick)
    ask = body.ask or max(last, bid + tick)
    if bid > ask:
        raise Wrong(f"a bid of {bid} above an ask of {ask} is not a market")
    return Pin(server.clock.now(), bid, ask, last)
