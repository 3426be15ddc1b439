"""What can be arranged of options over the control port: quotes, volatilities, dividends, and how options end."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from sim.control import Answer, Body, Wrong, post
from sim.tws import chains, contracts, hours
from sim.tws.bodies import Price
from sim.tws.contracts import Instrument
from sim.tws.optionmarket import Dividend, OptionPin
from sim.tws.views import describe_execution

if TYPE_CHECKING:
    from sim.tws.server import TwsServer

Volatility = Annotated[float, Field(gt=0.01, le=5, allow_inf_nan=False)]
Right = Literal["C", "P"]


class OptionBody(Body):
    symbol: str
    expiry: str
    strike: Price
    right: Right
    bid: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)] | None = None
    ask: Price | None = None
    iv: Volatility | None = None
    unpin: bool = False


class VolatilityBody(Body):
    symbol: str
    volatility: Volatility | None = None


class DividendBody(Body):
    symbol: str
    ex_date: date | None = None
    amount: Price | None = None


class EndBody(Body):
    """Which option that is held: by its con_id, or by all of its terms. Without a quantity all of it."""

    con_id: int | None = None
    symbol: str = ""
    expiry: str = ""
    strike: Price | None = None
    right: Right | None = None
    quantity: Annotated[int, Field(ge=1)] | None = None
    account: str = ""


class ExpireBody(Body):
    """Without a symbol those of all symbols, without an expiry those of today and before."""

    symbol: str = ""
    expiry: str = ""


def underlying(symbol: str) -> Instrument:
    """What there are options on, by its symbol. Wrong where there is none."""
    found = contracts.optionable(symbol.upper())
    if not found:
        raise Wrong(f"there are no options on {symbol!r} in this market")
    return found[0]


def named_option(
    symbol: str, expiry: str, strike: Decimal, right: str, server: "TwsServer", over: bool = False
) -> Instrument:
    """The listed option that is meant (or, with `over`, one that is no longer). Wrong, with what there is instead, where there is none."""
    on, now = underlying(symbol), server.clock.now()
    day = expiry.replace("-", "")
    found = contracts.options(now, on, day, strike, right) if len(day) == 8 else []
    if over and not found:
        found = contracts.past_option(on, day, strike, right)
    if found:
        return found[0]
    days = [f"{one:%Y%m%d}" for one in chains.expiries(now)]
    if day not in days:
        raise Wrong(f"{symbol} has no options of {expiry!r}; there are {', '.join(days)}")
    strikes = chains.strikes(on.price)
    near = sorted(strikes, key=lambda one: abs(one - strike))[:2]
    raise Wrong(
        f"{symbol} has no strike {strike}; near it are {' and '.join(str(one) for one in sorted(near))}"
    )


def routes(server: "TwsServer") -> list[web.RouteDef]:
    """The routes about options."""
    market = server.market.options

    def option(body: OptionBody) -> Answer:
        """Fix the quote of an option (a bid of 0 is none) or the volatility it follows from, or free it with {"unpin": true}."""
        chosen = named_option(body.symbol, body.expiry, body.strike, body.right, server)
        given: tuple[Any, ...] = body.bid, body.ask, body.iv
        if body.unpin is (given != (None, None, None)):
            raise Wrong("say bid and ask, or iv, or unpin")
        if (body.bid is None) is not (body.ask is None):
            raise Wrong("say both bid and ask: the one does not decide the other")
        if body.bid is not None and body.ask is not None and body.bid > body.ask:
            raise Wrong(f"a bid of {body.bid} above an ask of {body.ask} is not a market")
        server.pin_option(chosen.con_id, OptionPin(server.clock.now(), body.bid, body.ask, body.iv))
        now = server.clock.now()
        quote, of = server.market.quote(chosen.con_id, now), market.model(chosen, now)
        told = {"bid": quote.bid, "ask": quote.ask, "model": round(of.value, 4), "delta": round(of.delta, 4)}
        told["iv"] = market.volatility_of(chosen, now)
        return {"con_id": chosen.con_id, "local_symbol": chosen.local_symbol} | {
            name: str(value) for name, value in told.items()
        }

    def volatility(body: VolatilityBody) -> Answer:
        """The yearly volatility at which all options on a symbol are traded from now on; without one the usual one again."""
        on = underlying(body.symbol)
        server.set_volatility(on.symbol, body.volatility)
        return {"symbol": on.symbol, "volatility": market.volatility(on.symbol)}

    def dividend(body: DividendBody) -> Answer:
        """The only dividend that a symbol pays from now on; without an ex-date it pays none. No money moves: it decides prices and what is told."""
        on = underlying(body.symbol)
        if (body.ex_date is None) is not (body.amount is None):
            raise Wrong("say both ex_date and amount, or neither")
        known = []
        if body.ex_date is not None and body.amount is not None:
            known = [Dividend(body.ex_date, body.amount)]
        server.set_dividends(on.symbol, known)
        return {
            "symbol": on.symbol,
            "dividends": [
                {"ex_date": one.ex_date.isoformat(), "amount": str(one.amount)}
                for one in market.dividends(on.symbol)
            ],
        }

    def ended(body: EndBody, long: bool) -> Answer:
        """The executions of an exercise or an assignment."""
        chosen = contracts.BY_ID.get(body.con_id) if body.con_id is not None else None
        if body.con_id is None:
            if body.strike is None or body.right is None:
                raise Wrong("say con_id, or symbol, expiry, strike and right")
            chosen = named_option(body.symbol, body.expiry, body.strike, body.right, server, over=True)
        account = body.account or next(iter(server.engine.ledger.accounts))
        held = server.engine.ledger.positions.get((account, chosen.con_id)) if chosen else None
        if chosen is None or not chosen.is_option or held is None or held.quantity * (1 if long else -1) <= 0:
            what = chosen.local_symbol if chosen else body.con_id
            raise Wrong(f"{account} is not {'long' if long else 'short'} {what}: there is nothing to end")
        quantity = Decimal(body.quantity) if body.quantity else abs(held.quantity)
        if quantity > abs(held.quantity):
            raise Wrong(f"{account} holds {held.quantity} {chosen.local_symbol}, not {quantity}")
        made = server.engine.end(held, quantity, True, server.clock.now())
        server.faults.fire("exercise" if long else "assign")
        server.flush()
        return {"executions": [describe_execution(one) for one in made]}

    def assign(body: EndBody) -> Answer:
        """Assign a short option now, wholly or by a quantity, as its holder's early exercise would; the shares move at the strike."""
        return ended(body, long=False)

    def exercise(body: EndBody) -> Answer:
        """Exercise a long option now, as its owner would in TWS; the shares move at the strike."""
        return ended(body, long=True)

    def expire(body: ExpireBody) -> Answer:
        """Do now what the close of the last day does to the options held: a cent in the money is exercised or assigned, the rest is gone."""
        symbol, day = body.symbol.upper(), body.expiry.replace("-", "")
        now = server.clock.now()
        today = now.astimezone(hours.NEW_YORK).strftime("%Y%m%d")
        made = []
        for held in list(server.engine.ledger.positions.values()):
            one = held.instrument
            due = f"{one.expiry:%Y%m%d}" if one.expiry else ""
            wanted = due == day if day else due <= today
            if held.quantity and one.is_option and symbol in {"", one.symbol} and wanted:
                made += server.engine.end(held, abs(held.quantity), None, now)
        server.faults.fire("expire", len(made))
        server.tick()
        return {"executions": [describe_execution(one) for one in made]}

    return [
        post("/tws/assign", EndBody, assign),
        post("/tws/exercise", EndBody, exercise),
        post("/tws/expire", ExpireBody, expire),
        post("/tws/option", OptionBody, option),
        post("/tws/volatility", VolatilityBody, volatility),
        post("/tws/dividend", DividendBody, dividend),
    ]
