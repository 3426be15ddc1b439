"""The TWS on its port: connections come and go, the engine lives on. Tells every client what concerns it and keeps the state."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from aiohttp import web

from sim.clock import Clock
from sim.journal import Journal
from sim.store import Store
from sim.tws.book import Account, Counters, Execution, Order, Position, Record, read, written
from sim.tws.control import routes
from sim.tws.engine import Engine
from sim.tws.faults import Faults
from sim.tws.limits import Keeper, Limits
from sim.tws.load import Flood
from sim.tws.market import Halt, Market, Pin
from sim.tws.optionmarket import Dividend, OptionPin
from sim.tws.requests import Request
from sim.tws.session import Session
from sim.tws.views import describe_execution, describe_order

TICK_SECONDS = 0.4
ACCOUNT_EVERY = 450
"""Account figures are sent anew every so many ticks: three minutes, as TWS does it."""
_KINDS: tuple[tuple[str, type], ...] = (
    ("counters", Counters), ("account", Account), ("position", Position), ("order", Order), ("execution", Execution),
)  # fmt: skip


class TwsServer:
    """A TWS for API clients. Accounts whose ids begin with D are paper accounts, as with the real one."""

    def __init__(
        self, clock: Clock, store: Store, seed: int = 1, accounts: tuple[str, ...] = ("DU1234567",)
    ) -> None:
        self.clock = clock
        self.faults = Faults()
        self.market = Market(seed)
        self.engine = Engine(seed, self.market, self)
        self.engine.rules.fired = self.faults.fired
        self.keeper = Keeper()
        self.messages: Counter[str] = Counter()
        self.unknown_requests: Counter[str] = Counter()
        self.connections = 0
        self.events = Journal(clock)
        self.data: dict[str, str] = {}
        self._store = store
        self._accounts = accounts
        self._sessions: list[Session] = []
        self._silent: Session | None = None
        self._changed_positions: dict[tuple[str, int], None] = {}
        self._listening: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._port = 0
        self._ticks = 0
        self._flood = Flood(self._pour)
        self._flooded: int | None = None

    # -- life

    async def start(self, port: int = 0) -> None:
        """Take up the stored state and listen on loopback; 0 is any free port. OSError where the port is taken."""
        self._restore()
        for account in self._accounts:
            self.engine.ledger.open_account(account, self.clock.now())
        self.flush()
        await self._listen(port)
        self._ticking = asyncio.create_task(self._tick_for_ever(), name="tws ticks")
        self._ticking.add_done_callback(_say_why)

    async def _listen(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        # asyncio sets TCP_NODELAY on the connections itself.
        self._listening = await loop.create_server(lambda: Session(self), "127.0.0.1", port)
        self._port = self._listening.sockets[0].getsockname()[1]

    @property
    def port(self) -> int:
        """Where it listens, after start."""
        return self._port

    @property
    def address(self) -> str:
        """Host and port, after start."""
        return f"127.0.0.1:{self._port}"

    @property
    def limits(self) -> Limits:
        """What clients may have; set it to lift or to tighten something."""
        return self.keeper.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self.keeper.limits = limits

    async def close(self) -> None:
        """Stop listening, drop every client, write down the rest."""
        self._flood.set(0)
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        self._stop_listening()
        self.drop()
        self.flush()
        await asyncio.sleep(0)

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def refuse(self, on: bool) -> None:
        """Close the port, so that connections are refused, or open the same one again."""
        self.faults.refuse = on
        if on:
            self.faults.fire("refuse")
            self._stop_listening()
        elif self._listening is None:
            await self._listen(self._port)

    # -- connections

    def joined(self, session: Session) -> None:
        """A socket was accepted; one more than there may be is closed again."""
        most = self.limits.clients
        if most is not None and len(self._sessions) >= most:
            self.keeper.hit["clients"] += 1
            session.close()
            return
        self._sessions.append(session)
        self.connections += 1
        self.note("connected", connections=len(self._sessions))
        if self.faults.half_open:
            session.freeze(True)

    def left(self, session: Session) -> None:
        """A socket is gone."""
        if session in self._sessions:
            self._sessions.remove(session)
            self.note("disconnected", client=session.client_id, connections=len(self._sessions))

    def claim(self, client_id: int) -> bool:
        """Whether a client id is free."""
        if any(other.client_id == client_id and not other.transport.is_closing() for other in self._sessions):
            self.faults.fire("client_id_in_use")
            return False
        return True

    def drop(self, client_id: int | None = None) -> int:
        """Close the sockets of one client, or of all. Returns how many."""
        dropped = [s for s in self._sessions if client_id is None or s.client_id == client_id]
        for session in dropped:
            session.transport.abort()
            self.left(session)
        return len(dropped)

    def half_open(self, on: bool) -> None:
        """Keep the sockets but neither read nor write; turned off, everything held back goes its way."""
        changed, self.faults.half_open = on is not self.faults.half_open, on
        for session in list(self._sessions) if changed else ():
            session.freeze(on)

    def resume(self) -> None:
        """After a hang: answer what came in meanwhile."""
        for session in list(self._sessions):
            session.resume()

    def restart(self, next_id: int | None) -> int:
        """As TWS after its daily restart: every client is dropped, and order ids may begin anew. Returns how many were dropped."""
        dropped = self.drop()
        if next_id is not None:
            self.roll_back_ids(next_id)
        self.faults.fire("restart")
        return dropped

    def roll_back_ids(self, next_id: int) -> None:
        """Order ids begin anew; where no client has used one yet there is nothing to roll back."""
        self.faults.fire("roll_back_ids", int(bool(self.engine.register.counters.next_ids)))
        self.engine.register.restart_ids(next_id)
        self.flush()

    def garbage(self, data: bytes, client_id: int | None = None) -> int:
        """Send bytes that are no message. Returns how many clients got them."""
        heard = [s for s in self._ready() if client_id is None or s.client_id == client_id]
        for session in heard:
            session.send(data)
        self.faults.fire("garbage", len(heard))
        return len(heard)

    def admit(self, session: Session, request: Request) -> None:
        """Refused where a request goes beyond a limit."""
        everybody = (other.open for other in self._sessions)
        self.keeper.admit(request.name, request.arguments, session.open, everybody, self.clock.now())

    def clients(self) -> list[int | None]:
        """The client ids of all connections; None of those that have not said theirs."""
        return [session.client_id for session in self._sessions]

    def log_in(self) -> None:
        """Let in the clients that were waiting for TWS to be logged in."""
        for session in self._sessions:
            if session.client_id is not None and not session.ready:
                session.log_in()

    def broadcast(self, code: int, text: str) -> None:
        """A notice to every client."""
        for session in self._ready():
            session.fail(-1, code, text)
            self.faults.fire("message")

    def _ready(self) -> list[Session]:
        return [session for session in self._sessions if session.ready]

    @contextlib.contextmanager
    def silence(self, session: Session, on: bool) -> Iterator[None]:
        """While it lasts, what happens is booked, but this connection hears nothing of the orders it concerns, then or later."""
        self._silent = session if on else None
        try:
            yield
        finally:
            self._silent = None

    # -- what the engine tells

    def _audience(self, order: Order) -> list[Session]:
        """Who hears about an order: the client that placed it; of those typed by hand client 0, when it binds them."""
        if self._silent is not None:
            self._silent.muted.add(order.perm_id)
        return [
            session
            for session in self._ready()
            if session.client_id == order.client_id
            and order.perm_id not in session.muted
            and (not order.manual or session.orders.binds)
        ]

    def opened(self, order: Order) -> None:
        """Listener: an order as a whole."""
        fresh = not order.filled and order.status in {"PreSubmitted", "Submitted"}
        if not (fresh and self.faults.take("fill_first")):
            for session in self._audience(order):
                if order.manual and not order.order_id:
                    session.orders.bind(order)
                session.orders.tell(order)
        self._note_order(order)

    def status(self, order: Order) -> None:
        """Listener: an order's status."""
        for session in self._audience(order):
            session.orders.tell(order, status_only=True)
        self._note_order(order)

    def _note_order(self, order: Order) -> None:
        details = describe_order(order)
        self.note("order", **details)

    def executed(self, order: Order, execution: Execution) -> None:
        """Listener: a fill."""
        for session in self._audience(order):
            session.orders.tell_execution(execution)
        self.note("execution", **describe_execution(execution))

    def commissioned(self, order: Order, execution: Execution) -> None:
        """Listener: a commission."""
        for session in self._audience(order):
            session.orders.tell_commission(execution)
        self.note("commission", **describe_execution(execution))

    def settled(self, execution: Execution) -> None:
        """Listener: an option ended by itself. Client 0 hears of it, as of what is done in TWS; the others when they ask."""
        for session in self._ready():
            if session.client_id == 0:
                session.orders.tell_execution(execution)
                session.orders.tell_commission(execution)
        self.note("settled", **describe_execution(execution))

    def failed(self, order: Order, code: int, text: str) -> None:
        """Listener: an error about an order."""
        for session in self._audience(order):
            session.fail(order.order_id, code, text)
        self.note("error", perm_id=order.perm_id, ref=order.terms.ref, code=code, text=text)

    def remark(self, order: Order, code: int, text: str) -> None:
        """Something to say about an order that did not come of itself."""
        self.faults.fire("message", len(self._audience(order)))
        self.failed(order, code, text)

    def account_changed(self, account: str, con_id: int) -> None:
        """Listener: a position and the money. It can wait until what is said about orders has left."""
        if not self._changed_positions:
            asyncio.get_running_loop().call_soon(self._tell_positions)
        self._changed_positions[account, con_id] = None

    def _tell_positions(self) -> None:
        changed, self._changed_positions = self._changed_positions, {}
        for session in self._ready():
            for account, con_id in changed:
                session.account.tell_change(account, con_id)

    def note(self, kind: str, **details: Any) -> None:
        """Something for the control port's list of events."""
        self.events.record(kind, **details)

    def unknown(self, kind: str) -> None:
        """A request of a type that is not spoken here."""
        kind = kind[:40]
        self.unknown_requests[kind] += 1
        self.note("unknown_request", type=kind)

    # -- market data

    def data_for(self, symbol: str) -> str:
        """Which data there are of a symbol: live, delayed or none."""
        return self.data.get(symbol, self.data.get("", "live"))

    def pin(self, con_id: int, pin: Pin) -> None:
        """Fix a price by hand, let the orders that wait meet it, and show it at once."""
        self.market.pin(con_id, pin)
        self._store.put("tws.pins", con_id, [[p.at.isoformat(), *(None if v is None else str(v) for v in (p.bid, p.ask, p.last))] for p in self.market.pins[con_id]])  # fmt: skip
        self.tick()
        self.tell_pnl()

    def pin_option(self, con_id: int, pin: OptionPin) -> None:
        """Fix the quote or the volatility of an option, let the orders that wait meet it, and show it at once."""
        pins = self.market.options.pins.setdefault(con_id, [])
        pins.append(pin)
        told = [[p.at.isoformat(), _text(p.bid), _text(p.ask), p.volatility] for p in pins]
        self._store.put("tws.option_pins", con_id, told)
        self.tick()

    def set_volatility(self, symbol: str, volatility: float | None) -> None:
        """The volatility at which the options on a symbol are traded; None is the usual one."""
        self.market.options.volatilities.pop(symbol, None)
        self._store.delete("tws.volatilities", symbol)
        if volatility is not None:
            self.market.options.volatilities[symbol] = volatility
            self._store.put("tws.volatilities", symbol, volatility)
        self.tick()

    def set_dividends(self, symbol: str, dividends: list[Dividend]) -> None:
        """What a symbol pays from now on."""
        self.market.options.arranged[symbol] = dividends
        told = [[one.ex_date.isoformat(), str(one.amount)] for one in dividends]
        self._store.put("tws.dividends", symbol, told)
        self.tick()

    def halt(self, con_id: int, kind: int) -> None:
        """Stop the trading in an instrument, for a reason (1 or 2), or let it go on (0), and tell whoever follows it."""
        self.tick()
        changed = self.market.halted(con_id, self.clock.now()) != kind
        if changed:
            self.market.halt(con_id, kind, self.clock.now())
            self.faults.fire("halt", int(kind > 0))
            self._store.put("tws.halts", con_id, [[h.start.isoformat(), h.kind, h.end.isoformat() if h.end else None] for h in self.market.halts[con_id]])  # fmt: skip
        self.tick()

    def tell_pnl(self) -> None:
        """Profit and loss to every client that follows it."""
        for session in self._ready():
            session.account.tell_pnl()

    def flood(self, per_second: int, client_id: int | None) -> None:
        """So many ticks a second to each client that follows something, or to one; 0 ends it."""
        self._flooded = client_id
        self._flood.set(per_second)

    def _pour(self, count: int) -> None:
        for session in self._ready():
            if self._flooded in (None, session.client_id):
                self.faults.fire("ticks", session.data.pour(count))

    def tick(self) -> None:
        """Let the market run up to now, and show it."""
        now = self.clock.now()
        self.engine.run(now)
        for account in self.engine.ledger.accounts.values():
            self.engine.ledger.roll_day(account, now)
        for session in self._ready():
            session.data.tell()
            session.bars.tell()
            session.ticks.tell()
        self.flush()

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()
            self._ticks += 1
            if self._ticks % 3 == 0:
                self.tell_pnl()
            for session in self._ready() if self._ticks % ACCOUNT_EVERY == 0 else ():
                session.account.refresh()

    # -- state

    def flush(self) -> None:
        """Write down every record that changed."""
        if not self.engine.changed:
            return
        changed, self.engine.changed = self.engine.changed, {}
        for (kind, key), record in changed.items():
            self._store.put(f"tws.{kind}", key, written(record))

    def _restore(self) -> None:
        records: list[Record] = [
            read(cls, value) for kind, cls in _KINDS for value in self._store.all(f"tws.{kind}").values()
        ]
        self.engine.restore(records)
        for con_id, pins in self._store.all("tws.pins").items():
            self.market.pins[int(con_id)] = [_pin(*values) for values in pins]
        for con_id, halts in self._store.all("tws.halts").items():
            self.market.halts[int(con_id)] = [_halt(*values) for values in halts]
        self._restore_options()

    def _restore_options(self) -> None:
        """What was arranged of options; and the day from which dividends are counted, which is that of the very first start."""
        market = self.market.options
        today = self.clock.now().date().isoformat()
        anchor = self._store.get("tws.options", "anchor") or today
        self._store.put("tws.options", "anchor", anchor)
        market.anchor = date.fromisoformat(anchor)
        market.volatilities.update(self._store.all("tws.volatilities"))
        for symbol, paid in self._store.all("tws.dividends").items():
            market.arranged[symbol] = [
                Dividend(date.fromisoformat(day), Decimal(amount)) for day, amount in paid
            ]
        for con_id, pins in self._store.all("tws.option_pins").items():
            market.pins[int(con_id)] = [_option_pin(*values) for values in pins]

    def control(self) -> list[web.RouteDef]:
        """Its routes on the control port."""
        return routes(self)


def _say_why(ticking: asyncio.Task[None]) -> None:
    """The market stands still when its task ends by itself: that must not go unnoticed."""
    if not ticking.cancelled() and (error := ticking.exception()):
        logging.getLogger(__name__).error("the market stands still", exc_info=error)


def _halt(start: str, kind: int, end: str | None) -> Halt:
    return Halt(datetime.fromisoformat(start), kind, None if end is None else datetime.fromisoformat(end))


def _text(price: Decimal | None) -> str | None:
    return None if price is None else str(price)


def _option_pin(at: str, bid: str | None, ask: str | None, volatility: float | None) -> OptionPin:
    low, high = (None if price is None else Decimal(price) for price in (bid, ask))
    return OptionPin(datetime.fromisoformat(at), low, high, volatility)


def _pin(at: str, *prices: str | None) -> Pin:
    return Pin(datetime.fromisoformat(at), *(None if price is None else Decimal(price) for price in prices))
