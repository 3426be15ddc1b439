"""What can be arranged and read at the simulated TWS over the control port."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from aiohttp import web

from sim.control import Answer, Wrong, events, get, post
from sim.tws import contracts, option_control
from sim.tws.arranging import figures, price_for, quote_of, resting
from sim.tws.bodies import (
    AccountsBody,
    CancelsBody,
    CommissionBody,
    CommissionsBody,
    CorrectBody,
    CountBody,
    DelayBody,
    DropBody,
    DuplicateBody,
    ExternalBody,
    FillBody,
    FillsBody,
    GarbageBody,
    HaltBody,
    LimitsBody,
    LoadBody,
    LoseBody,
    MarketBody,
    MessageBody,
    OrderBody,
    PnlBody,
    PriceBody,
    RejectBody,
    RestartBody,
    RollBackBody,
    Switch,
    TicksBody,
)
from sim.tws.book import Order
from sim.tws.codec import frame, whole
from sim.tws.contracts import INSTRUMENTS, Instrument
from sim.tws.engine import Opening
from sim.tws.faults import COUNTDOWNS, Faults
from sim.tws.market import Pin
from sim.tws.terms import terms
from sim.tws.views import describe_execution, describe_instrument, describe_order

if TYPE_CHECKING:
    from sim.tws.server import TwsServer


def routes(server: "TwsServer") -> list[web.RouteDef]:
    """Every route of the TWS on the control port."""
    engine, faults = server.engine, server.faults

    def instrument(symbol: str) -> Instrument:
        found = contracts.named(symbol)
        if found is None:
            raise Wrong(f"there is no {symbol!r} in this market")
        return found

    def order(reference: int | str) -> Order:
        """The order with a perm id, or the latest with a reference."""
        perm_id = reference if isinstance(reference, int) else whole(reference)
        if perm_id is not None:
            found = engine.register.orders.get(perm_id)
        else:
            found = next(
                (o for o in reversed(engine.register.orders.values()) if o.terms.ref == reference), None
            )
        if found is None:
            raise Wrong(f"there is no order with the permId or orderRef {reference!r}")
        return found

    def account_of(name: str) -> str:
        """An account by its id, or the first one for an empty one."""
        account = name or next(iter(engine.ledger.accounts))
        if account not in engine.ledger.accounts:
            raise Wrong(f"there is no account {account!r}")
        return account

    def price(body: PriceBody) -> Answer:
        """Fix the price of a symbol from now on (orders that wait meet it), or free it with {"unpin": true}.

        With `daily` it is the price at which the first account's profit and loss of the day is that much, to the nearest tick.
        """
        chosen = instrument(body.symbol)
        if body.daily is not None:
            if body.model_fields_set != {"symbol", "daily"}:
                raise Wrong("say either daily or prices: the one decides the others")
            body = PriceBody(symbol=body.symbol, last=price_for(body.daily, chosen, server))
        if body.unpin:
            server.pin(chosen.con_id, Pin(server.clock.now()))
        else:
            server.pin(chosen.con_id, quote_of(body, chosen, server))
        quote = server.market.quote(chosen.con_id, server.clock.now())
        return {
            "symbol": chosen.symbol,
            "bid": str(quote.bid),
            "ask": str(quote.ask),
            "last": str(quote.last),
        }

    def market(body: MarketBody) -> Answer:
        """Which data a symbol (or all) has: live, delayed, none; and whether the exchange is open: true, false or "hours"."""
        if body.data is not None:
            server.data[instrument(body.symbol).symbol if body.symbol else ""] = body.data
            if body.symbol is None:
                server.data = {"": body.data}
        if body.open is not None:
            engine.rules.opening = {True: Opening.OPEN, False: Opening.CLOSED, "hours": Opening.HOURS}[
                body.open
            ]
            server.tick()
        return {
            "data": {symbol or "*": data for symbol, data in server.data.items()},
            "open": engine.is_open(server.clock.now()),
        }

    def halt(body: HaltBody) -> Answer:
        """Stop the trading in a symbol as its exchange does (tick 49), or let it go on with {"halted": false}; orders wait meanwhile."""
        chosen = instrument(body.symbol)
        if not chosen.is_share:
            raise Wrong(f"only trading in shares can be halted, and {chosen.symbol} is none")
        server.halt(chosen.con_id, (2 if body.volatility else 1) if body.halted else 0)
        return {"symbol": chosen.symbol, "halted": server.market.halted(chosen.con_id, server.clock.now())}

    def pnl(body: PnlBody) -> Answer:
        """What is said of profit and loss: what is known, unset values, or nothing."""
        faults.pnl = body.mode
        server.tell_pnl()
        return None

    def ticks(body: TicksBody) -> Answer:
        """So many ticks a second of what clients follow, beyond those of the market; 0 ends it."""
        server.flood(body.per_second, body.client)
        return None

    def load(body: LoadBody) -> Answer:
        """Put many orders that rest, and many positions, into an account at once."""
        account, now = account_of(body.account), server.clock.now()
        free = [one.con_id for one in INSTRUMENTS if one.is_share]
        free = [con_id for con_id in free if (account, con_id) not in engine.ledger.positions]
        if body.positions > len(free):
            raise Wrong(f"there are {len(free)} shares that {account} never held, not {body.positions}")
        placed = [resting(body, n, account, instrument(body.symbol), server) for n in range(body.orders)]
        for con_id in free[: body.positions]:
            engine.ledger.endow(account, con_id, body.quantity, now)
            server.account_changed(account, con_id)
        server.flush()
        return {"orders": [one.perm_id for one in placed], "positions": free[: body.positions]}

    def fills(body: FillsBody) -> Answer:
        """Whether orders fill by the market ("auto"), by the market and in parts ("partial"), or only when told to ("hold").

        `improves`: a combination trades inside its spread from halfway plus that part of half of it on; 1 is only at the other side's prices.
        """
        if body.mode is not None:
            engine.rules.fills, engine.rules.partial = body.mode != "hold", body.mode == "partial"
        if body.improves is not None:
            engine.rules.improves = body.improves
        server.tick()
        return None

    def cancels(body: CancelsBody) -> Answer:
        """Whether cancels of clients succeed at once ("auto") or stay pending ("hold") until /tws/cancel or a fill settles them."""
        engine.rules.cancels = body.mode == "auto"
        return None

    def fill(body: FillBody) -> Answer:
        """Fill an order, wholly or by a quantity, at the price given or the market's."""
        chosen = order(body.order)
        quote = engine.quote(chosen, server.clock.now())
        at = (
            body.price
            if body.price is not None
            else chosen.terms.limit
            if chosen.terms.limit is not None
            else quote.ask
            if chosen.sign > 0
            else quote.bid
        )
        try:
            quantity = body.quantity or chosen.remaining
            made = engine.fill(chosen, quantity, at, server.clock.now(), body.overfill)
        except ValueError as error:
            raise Wrong(str(error)) from None
        faults.fire("overfill", int(chosen.filled > chosen.terms.quantity))
        server.flush()
        return describe_execution(made)

    def reject(body: RejectBody) -> Answer:
        """Reject the next orders, or changes of orders, with a code and a text; with a type (STP) only those of that type."""
        engine.rules.reject_type = body.type
        engine.rules.rejects, engine.rules.reject_code, engine.rules.reject_text = (
            body.count,
            body.code,
            body.message,
        )
        return None

    def cancel(body: OrderBody) -> Answer:
        """Cancel an order as the broker, with a reason."""
        chosen = order(body.order)
        if chosen.done:
            raise Wrong(f"order {chosen.perm_id} is {chosen.status} already")
        engine.cancelled(chosen, body.reason, server.clock.now())
        faults.fire("cancel")
        server.flush()
        return describe_order(chosen)

    def external(body: ExternalBody) -> Answer:
        """A trade typed into TWS by hand, or with {"working": true} an order that works there."""
        chosen = instrument(body.symbol)
        if body.strike is not None and body.right is not None:
            chosen = option_control.named_option(body.symbol, body.expiry, body.strike, body.right, server)
        elif body.expiry or body.strike is not None or body.right is not None:
            raise Wrong("an option has an expiry, a strike and a right: say all three")
        raw = {
            "action": body.side,
            "totalQuantity": str(body.quantity),
            "orderType": "LMT" if body.price else "MKT",
            "tif": "GTC",
        }
        account, now = account_of(body.account), server.clock.now()
        if not body.working and server.market.halted(chosen.con_id, now):
            raise Wrong(f"trading in {chosen.symbol} is halted: nothing is filled until it goes on")
        allowed, engine.rules.fills = engine.rules.fills, False
        made = engine.place_by_hand(account, chosen, terms({**raw, "lmtPrice": str(body.price or "")}), now)
        engine.rules.fills = allowed
        faults.fire("external")
        if not body.working and not made.done:
            quote = server.market.quote(chosen.con_id, now)
            engine.fill(made, made.remaining, body.price or (quote.ask if made.sign > 0 else quote.bid), now)
        server.flush()
        return describe_order(made)

    def correct(body: CorrectBody) -> Answer:
        """Correct an execution: it is told again with the next revision in its id."""
        try:
            made = engine.correct(body.exec_id, body.quantity, body.price)
        except KeyError:
            raise Wrong(f"there is no execution {body.exec_id!r}") from None
        except ValueError as error:
            raise Wrong(str(error)) from None
        faults.fire("correct")
        server.flush()
        return describe_execution(made)

    def commissions(body: CommissionsBody) -> Answer:
        """When commissions are reported: after the fill, before it, late (when /tws/commission says so), or never."""
        engine.rules.commission = body.mode
        return None

    def commission(body: CommissionBody) -> Answer:
        """Report a commission that was held back."""
        try:
            engine.release_commission(body.exec_id)
        except KeyError:
            raise Wrong(f"there is no execution {body.exec_id!r}") from None
        faults.fire("commission")
        server.flush()
        return None

    def drop(body: DropBody) -> Answer:
        """Cut the connection of one client, or of all."""
        dropped = server.drop(body.client)
        faults.fire("drop", dropped)
        return {"dropped": dropped}

    def restart(body: RestartBody) -> Answer:
        """As TWS after its daily restart: every client is dropped, and order ids begin anew at `next`, or go on where it is null."""
        return {"dropped": server.restart(body.next)}

    def garbage(body: GarbageBody) -> Answer:
        """Send bytes that mean nothing: in a frame, which keeps the stream in step, or bare, which does not."""
        data = faults.random.randbytes(body.bytes)
        return {"clients": server.garbage(frame(data) if body.framed else data, body.client)}

    def fragment(body: Switch) -> Answer:
        """Write everything in small pieces, cut anywhere, each in a packet of its own."""
        faults.fragment = body.on
        return None

    def limits(body: LimitsBody) -> Answer:
        """What clients may have at most: what is named is set anew, null lifts a limit. Answers all of them."""
        server.limits = body.apply(server.limits)
        return asdict(server.limits)

    def hang(body: Switch) -> Answer:
        """Accept connections and bytes but say nothing."""
        faults.hang = body.on
        if not body.on:
            server.resume()
        return None

    def half_open(body: Switch) -> Answer:
        """Keep the sockets but neither read nor write; when turned off, everything held back goes its way."""
        server.half_open(body.on)
        return None

    def read_only(body: Switch) -> Answer:
        """The read-only API setting: orders, and questions about them, get error 321."""
        faults.read_only = body.on
        return None

    def not_logged_in(body: Switch) -> Answer:
        """The port is open, but TWS has no login yet: no accounts, no order id."""
        faults.not_logged_in = body.on
        if not body.on:
            server.log_in()
        return None

    def message(body: MessageBody) -> Answer:
        """A notice to every client, such as 1100, 1101, 1102 or 2103 to 2108; or one about an order, to the client that placed it."""
        if body.order is None:
            server.broadcast(body.code, body.text)
        else:
            server.remark(order(body.order), body.code, body.text)
        return None

    def duplicate(body: DuplicateBody) -> Answer:
        """Send the next order statuses twice, or the next messages of another kind about orders."""
        faults.arm("duplicate" if body.what == "status" else f"duplicate_{body.what}", body.count)
        return None

    def lose(body: LoseBody) -> Answer:
        """Lose the next messages of a kind about orders on their way out."""
        faults.arm(f"lose_{body.what}", body.count)
        return None

    def delay(body: DelayBody) -> Answer:
        """Hold every message to clients back for so long; 0 ends it."""
        faults.delay = body.milliseconds / 1000
        return None

    def roll_back_ids(body: RollBackBody) -> Answer:
        """Order ids begin anew, as after a reset of the API's order id sequence."""
        server.roll_back_ids(body.next)
        return None

    def accounts(body: AccountsBody) -> Answer:
        """Add an account to the login; an id that begins with U is a live one."""
        engine.ledger.open_account(body.add, server.clock.now())
        server.flush()
        return {"accounts": list(engine.ledger.accounts)}

    def book() -> Answer:
        """The broker's own book: accounts, cash, positions, orders, executions, and the figures that follow from them."""
        return {
            "account": next(iter(engine.ledger.accounts)),
            "accounts": list(engine.ledger.accounts),
            "cash": {a.id: {c: str(amount) for c, amount in a.cash.items()} for a in engine.ledger.accounts.values()},
            "figures": {account: figures(account, server) for account in engine.ledger.accounts},
            "positions": [
                {"account": p.account, "symbol": p.instrument.symbol, "con_id": p.con_id, "quantity": str(p.quantity), "average_cost": str(p.average_cost), "contract": describe_instrument(p.instrument)}
                for p in engine.ledger.positions.values()
                if p.quantity
            ],
            "orders": [describe_order(o) for o in engine.register.orders.values()],
            "executions": [describe_execution(e) for e in engine.ledger.executions.values()],
        }  # fmt: skip

    def counts() -> Answer:
        """How often faults fired and limits were met, what is still armed, requests by type, unknown ones, connections."""
        return {
            "faults": dict(faults.fired),
            "armed": {name: count for name, count in faults.armed.items() if count}
            | {"reject": engine.rules.rejects},
            "limits": dict(server.keeper.hit),
            "requests": dict(server.messages),
            "unknown": dict(server.unknown_requests),
            "connections": server.connections,
            "clients": server.clients(),
        }

    async def refuse(body: Switch) -> Answer:
        """Close the port, so that connections are refused, or open the same one again."""
        await server.refuse(body.on)
        return None

    return [
        get("/tws/book", book),
        get("/tws/counts", counts),
        events("/tws/events", server.events),
        post("/tws/price", PriceBody, price),
        post("/tws/market", MarketBody, market),
        post("/tws/halt", HaltBody, halt),
        post("/tws/pnl", PnlBody, pnl),
        post("/tws/ticks", TicksBody, ticks),
        post("/tws/load", LoadBody, load),
        post("/tws/fills", FillsBody, fills),
        post("/tws/cancels", CancelsBody, cancels),
        post("/tws/fill", FillBody, fill),
        post("/tws/reject", RejectBody, reject),
        post("/tws/cancel", OrderBody, cancel),
        post("/tws/external", ExternalBody, external),
        post("/tws/correct", CorrectBody, correct),
        post("/tws/commissions", CommissionsBody, commissions),
        post("/tws/commission", CommissionBody, commission),
        post("/tws/drop", DropBody, drop),
        post("/tws/refuse", Switch, refuse),
        post("/tws/hang", Switch, hang),
        post("/tws/half_open", Switch, half_open),
        post("/tws/read_only", Switch, read_only),
        post("/tws/not_logged_in", Switch, not_logged_in),
        post("/tws/message", MessageBody, message),
        post("/tws/duplicate", DuplicateBody, duplicate),
        post("/tws/lose", LoseBody, lose),
        *(_countdown(faults, name, does) for name, does in COUNTDOWNS.items()),
        post("/tws/fragment", Switch, fragment),
        post("/tws/garbage", GarbageBody, garbage),
        post("/tws/restart", RestartBody, restart),
        post("/tws/limits", LimitsBody, limits),
        post("/tws/delay", DelayBody, delay),
        post("/tws/roll_back_ids", RollBackBody, roll_back_ids),
        post("/tws/accounts", AccountsBody, accounts),
        *option_control.routes(server),
    ]


def _countdown(faults: Faults, name: str, does: str) -> web.RouteDef:
    """The route that arms what happens to the next occasions."""

    def arm(body: CountBody) -> Answer:
        faults.arm(name, body.count)
        return None

    arm.__doc__ = does
    return post(f"/tws/{name}", CountBody, arm)
