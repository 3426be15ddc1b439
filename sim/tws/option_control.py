"""What can be arranged of options over the control port: quotes, volatilities and dividends."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from sim.control import Answer, Body, Wrong, post
from sim.tws import chains, contracts
from sim.tws.bodies import Price
from sim.tws.contracts import Instrument
from sim.tws.optionmarket import Dividend, OptionPin

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

    return [
        post("/tws/option", OptionBody, option),
        post("/tws/volatility", VolatilityBody, volatility),
        post("/tws/dividend", DividendBody, dividend),
    ]
