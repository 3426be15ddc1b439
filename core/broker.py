"""Interactive Brokers, and nothing else in the house knows it: one supervised connection, and what it says as a queue of events.

The bytes are `core.wire`'s, live prices `core.quotes`'.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import ib_async as ib
from ib_async.ib import StartupFetchNONE
from ib_async.wrapper import RequestError

from core import ib_mapping, ib_messages
from core.errors import BadInput, BrokerError, NoAnswer, NotConnected, Refused
from core.model import (
    Account,
    Bar,
    BrokerBook,
    BrokerEvent,
    BrokerMessage,
    Chain,
    Dividend,
    Instrument,
    Link,
    LinkChanged,
    OptionQuote,
    OptionTerms,
    Order,
    OrderReport,
    Position,
    Quote,
    Role,
    Ticket,
    WhatIf,
)
from core.option_market import OptionMarket
from core.ports import Clock
from core.quotes import Quotes
from core.wire import Budget, Line

log = logging.getLogger(__name__)
T = TypeVar("T")

ANSWER_SECONDS = 8.0
LONG_ANSWER_SECONDS = 60.0  # for thousands of orders and executions, of which some come all the time
BARS_ANSWER_SECONDS, BARS_SECONDS = 15.0, 600.0
DETAILS_SECONDS = 6 * 3600.0  # contract details have the hours of the next few days only
HEARTBEAT_SECONDS = 5.0
ACCOUNT_SILENT_SECONDS = 240.0
LONGEST_PAUSE_SECONDS = 30.0
SNAPSHOT_TRIES = 6
STEADY_SECONDS = 5.0  # a connection that lasts less is flapping, and is tried again with growing pauses


class IBBroker:
    """The Broker port on ib_async. `run` owns connecting; everything else works on the connection that it keeps.

    With `binds`, client 0 takes over the orders that are typed into TWS, so that they can be managed; without, it only looks.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: int,
        account: str,
        wanted: bool,
        clock: Clock,
        binds: bool = True,
    ) -> None:
        self._host, self._port, self._client_id, self._account_wanted = host, port, client_id, account
        self._clock, self._binds = clock, binds
        self._events: asyncio.Queue[BrokerEvent] = asyncio.Queue()
        self._money_moved = asyncio.Event()
        self._budget = Budget(clock)
        self._ib: Line | None = None
        self._link = Link(wanted=wanted, connected=False, reconciled=False, epoch=0, client_id=client_id)
        self._farms_down: frozenset[str] = frozenset()
        self._standing_trouble = ""  # what no restored connection mends: the wrong port or account
        self._changed = asyncio.Event()
        self._asking, self._asking_time = asyncio.Lock(), asyncio.Lock()
        self._quotes = Quotes(self._line, self._budget, clock)
        self._terms: dict[int, OptionTerms] = {}
        self._market = OptionMarket(self._line, self._ask, self._budget, clock, self._terms)
        self._taken: BrokerEvent | None = None
        self._found: dict[str, tuple[float, Instrument]] = {}
        self._bars: dict[int, tuple[float, tuple[Bar, ...]]] = {}

    # --- the connection -------------------------------------------------------------------------------------------------

    @property
    def link(self) -> Link:
        return self._link

    @property
    def server_version(self) -> int:
        """The version of the API that TWS speaks; 0 while there is no connection."""
        return self._ib.client.serverVersion() if self._ib and self._ib.isConnected() else 0

    async def next_money(self) -> None:
        await self._money_moved.wait()
        self._money_moved.clear()

    async def next_event(self) -> BrokerEvent:
        """The next thing that the broker said."""
        event = self._taken = self._taken or await self._events.get()
        if isinstance(event, BrokerMessage):
            self._hear(event)
        elif isinstance(event, OrderReport) and event.legs:
            event = await self._market.with_legs(event)  # cut off here, it is the next one again
        self._taken = None
        return event

    def want(self, wanted: bool) -> None:
        """Connect and stay connected, or disconnect and stay away."""
        self._link = replace(self._link, wanted=wanted)
        self._changed.set()

    def mark_reconciled(self, epoch: int) -> None:
        if self._link.connected and self._link.epoch == epoch:
            self._link = replace(self._link, reconciled=True)

    async def run(self) -> None:
        """Keep the connection for as long as it is wanted, with growing pauses and one word of it per outage."""
        pause, told = 1.0, False
        try:
            while True:
                self._changed.clear()
                if not self._link.wanted:
                    told = False
                    await self._changed.wait()
                    continue
                trouble = await self._connect()
                if not trouble:
                    begun, told = self._clock.monotonic(), False
                    await self._keep()
                    lasted = self._clock.monotonic() - begun >= STEADY_SECONDS
                    self._close(
                        ""
                        if not self._link.wanted
                        else "The connection to TWS is down; Greenlight is reconnecting."
                    )
                    told = True
                    if lasted or not self._link.wanted:
                        pause = 1.0
                        continue  # at once: a line that held is most likely back
                else:
                    self._close(trouble, announce=not told)
                    told = True
                self._changed.clear()  # the line that broke has set it; only a new wish cuts the pause short
                try:
                    async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):
                        await self._changed.wait()
                except TimeoutError:
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        finally:
            self._close("Greenlight is stopping.", announce=False)

    async def _connect(self) -> str:
        """Open, choose the account, load it. Returns what is wrong, or nothing."""
        where = {"host": self._host, "port": self._port, "client_id": self._client_id}
        line = self._ib = Line(self._events, self._money_moved, self._binds, self._clock, self._terms)
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.client.apiError += lambda *_: None if closed.done() else closed.set_result(None)
        opening = asyncio.ensure_future(
            line.connectAsync(
                self._host,
                self._port,
                self._client_id,
                timeout=ANSWER_SECONDS,
                raiseSyncErrors=True,
                fetchFields=StartupFetchNONE,
            )
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS * 2):
                await asyncio.wait({opening, closed}, return_when=asyncio.FIRST_COMPLETED)
                if not opening.done():
                    # ib_async waits for its own time-out here although the peer has hung up already.
                    opening.cancel()
                    await asyncio.wait({opening})
                    if line.ear.last_error and line.ear.last_error.code == 326:
                        return ib_messages.CLIENT_ID_IN_USE.format(**where)
                    return ib_messages.SILENT.format(**where)
                opening.result()
                accounts = tuple(line.client.getAccounts())
                account, trouble = self._choose(accounts)
                if account:
                    line.reqMarketDataType(
                        3
                    )  # live where it is subscribed, else delayed, which every quote then says of itself
                    await asyncio.wait_for(line.reqAccountUpdatesAsync(account), ANSWER_SECONDS)
                    line.reqPnL(account)
        except (OSError, TimeoutError, asyncio.CancelledError) as problem:
            if isinstance(problem, asyncio.CancelledError) and not opening.cancelled():
                opening.cancel()
                raise
            if line.ear.last_error and line.ear.last_error.code == 326:
                return ib_messages.CLIENT_ID_IN_USE.format(**where)
            silent = isinstance(problem, TimeoutError | asyncio.CancelledError) or "timed out" in str(problem)
            return (ib_messages.SILENT if silent else ib_messages.CANNOT_CONNECT).format(**where)
        self._farms_down = frozenset()
        epoch = max(int(self._clock.now().timestamp() * 1000), self._link.epoch + 1)
        mode = None if account is None else ib_messages.mode(account)
        self._standing_trouble = trouble or ib_messages.port_trouble(self._port, account)
        self._link = Link(
            wanted=self._link.wanted,
            connected=True,
            reconciled=False,
            epoch=epoch,
            client_id=self._client_id,
            account=account,
            accounts=accounts,
            mode=mode,
            trouble=self._standing_trouble,
        )
        self._events.put_nowait(LinkChanged(up=True, epoch=epoch))
        return ""

    def _choose(self, accounts: tuple[str, ...]) -> tuple[str | None, str]:
        names = ", ".join(accounts)
        if self._account_wanted:
            if self._account_wanted in accounts:
                return self._account_wanted, ""
            return None, ib_messages.OTHER_ACCOUNT.format(wanted=self._account_wanted, accounts=names)
        if len(accounts) == 1:
            return accounts[0], ""
        return None, ib_messages.SEVERAL_ACCOUNTS.format(accounts=names)

    async def _keep(self) -> None:
        """Return when the connection is gone, dead or no longer wanted."""
        line = self._ib
        assert line is not None
        line.client.apiEnd += lambda *_: self._changed.set()
        while line.isConnected() and self._link.wanted:
            self._changed.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                await self._quotes.end_idle()
                self._watch_account()
                try:
                    await self.server_time()
                except (NoAnswer, NotConnected):
                    return

    def _close(self, trouble: str, *, announce: bool = True) -> None:
        line, self._ib = self._ib, None
        was_up = self._link.connected
        self._quotes.lost(NotConnected("The connection to the broker was lost."))
        if line is not None:
            line.client.disconnect()
            line.wrapper.reset()
        self._link = Link(
            self._link.wanted,
            connected=False,
            reconciled=False,
            epoch=self._link.epoch,
            client_id=self._client_id,
            trouble=trouble,
        )
        if announce and (was_up or trouble):
            self._events.put_nowait(LinkChanged(up=False, epoch=self._link.epoch))

    def _hear(self, message: BrokerMessage) -> None:
        """What a message says about the road itself, or about a subscription."""
        if message.code == 1100:
            self._link = replace(self._link, reconciled=False, trouble=ib_messages.LINK_LOST)
        elif message.code in (1101, 1102):
            if message.code == 1101:
                self._subscribe_anew()
            epoch = max(int(self._clock.now().timestamp() * 1000), self._link.epoch + 1)
            self._link = replace(self._link, reconciled=False, trouble=self._standing_trouble, epoch=epoch)
            self._events.put_nowait(LinkChanged(up=True, epoch=epoch))
        elif ib_messages.is_read_only(message.code, message.text):
            self._link = replace(self._link, trouble=ib_messages.READ_ONLY)
        elif (farm := ib_messages.farm(message.code, message.text)) is not None:
            name, works = farm
            self._farms_down = (self._farms_down - {name}) if works else (self._farms_down | {name})
            trouble = " ".join(ib_messages.FARM_DOWN.format(farm=name) for name in sorted(self._farms_down))
            self._link = replace(self._link, data_trouble=trouble)
        self._quotes.hear(message)

    def _subscribe_anew(self) -> None:
        """The broker has forgotten every subscription although the socket held: quotes are asked anew when they are wanted, the account now."""
        self._quotes.end_all()
        self._ask_account()

    def _ask_account(self) -> None:
        if self._ib is not None and self._link.account is not None and self._ib.isConnected():
            self._ib.ear.account_heard = self._clock.monotonic()
            self._budget.note()
            self._ib.client.reqAccountUpdates(True, self._link.account)
            self._ib.ear.day_gain = None
            self._budget.note()
            self._ib.cancelPnL(self._link.account)
            self._budget.note()
            self._ib.reqPnL(self._link.account)

    def _watch_account(self) -> None:
        """The account's figures come every three minutes at the latest; where they do not, the subscription is dead and asked for anew."""
        if (
            self._ib is not None
            and self._clock.monotonic() - self._ib.ear.account_heard > ACCOUNT_SILENT_SECONDS
        ):
            log.warning("no figures of the account for %.0f s; asking for them anew", ACCOUNT_SILENT_SECONDS)
            self._ask_account()

    def _line(self) -> Line:
        if self._ib is None or not self._ib.isConnected() or not self._link.connected:
            trouble = (
                self._link.trouble or "Greenlight is just connecting to the broker; try again in a moment."
            )
            raise NotConnected(
                trouble if self._link.wanted else "Disconnected at your wish; /connect brings it back."
            )
        return self._ib

    async def _ask(self, ask: Callable[[], Awaitable[T]], seconds: float = ANSWER_SECONDS) -> T:
        """Every request has an end: the answer, the broker's refusal, NoAnswer, or NotConnected where it could not even be asked."""
        try:
            async with asyncio.timeout(seconds):
                return await ask()
        except TimeoutError:
            raise NoAnswer(
                f"The broker did not answer within {seconds:.0f} s. Nothing was changed; try again, or see /status."
            ) from None
        except RequestError as refused:
            if ib_messages.is_read_only(refused.code, refused.message):
                self._link = replace(self._link, trouble=ib_messages.READ_ONLY)
            raise Refused(refused.code, ib_messages.plain_words(refused.code, refused.message)) from None
        except ConnectionError:
            raise NotConnected("The connection to the broker was lost while it was being asked.") from None

    async def _ask_much(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The same for a question with a long answer: as long as something of it keeps coming, it is no silence."""
        ear, asked = self._line().ear, asyncio.ensure_future(self._ask(ask, LONG_ANSWER_SECONDS))
        try:
            while True:
                heard = ear.heard
                done, _ = await asyncio.wait({asked}, timeout=ANSWER_SECONDS)
                if done:
                    return asked.result()
                if ear.heard == heard:
                    raise NoAnswer(
                        f"The broker did not answer within {ANSWER_SECONDS:.0f} s. Nothing was changed; try again, or see /status."
                    )
        finally:
            asked.cancel()

    async def server_time(self) -> datetime:
        """What time it is at TWS, to the second."""
        async with self._asking_time:
            return await self._ask(lambda: self._line().reqCurrentTimeAsync())

    # --- the account ----------------------------------------------------------------------------------------------------

    @property
    def account(self) -> Account | None:
        name = self._link.account
        if self._ib is None or name is None:
            return None
        values = self._ib.wrapper.accountValues.values()
        found = {
            v.tag: v
            for v in values
            if v.account == name and v.tag != "ExchangeRate" and v.currency not in ("", "BASE")
        }
        if "NetLiquidation" not in found:
            return None
        rates = {
            v.currency: rate
            for v in values
            if v.account == name
            and v.tag == "ExchangeRate"
            and (rate := ib_mapping.price(v.value)) is not None
        }

        def money(tag: str) -> Decimal | None:
            return ib_mapping.number(found[tag].value) if tag in found else None

        return Account(
            account=name,
            currency=found["NetLiquidation"].currency,
            net_liquidation=money("NetLiquidation"),
            cash=money("TotalCashValue"),
            buying_power=money("BuyingPower"),
            excess_liquidity=money("ExcessLiquidity"),
            rates=rates,
            day_gain=self._ib.ear.day_gain,
            worth_before=money("PreviousDayEquityWithLoanValue"),
        )

    @property
    def positions(self) -> tuple[Position, ...] | None:
        name = self._link.account
        if self._ib is None or name is None or not self._link.connected:
            return None
        portfolio = self._ib.wrapper.portfolio.get(name, {})
        return tuple(
            self._priced(ib_mapping.position(raw, self._terms), portfolio.get(con_id))
            for con_id, raw in self._ib.wrapper.positions.get(name, {}).items()
        )

    def _priced(self, position: Position, item: Any) -> Position:
        """The holding at the live quote where one is subscribed, else at the price the account update had.

        Of an option that is the middle of its market: its last trade may be hours old.
        """
        quote, units = self._quotes.seen(position.con_id), Decimal(1)
        live = quote.last if quote else None
        if position.option is not None:
            units = position.option.multiplier
            live = (quote.bid + quote.ask) / 2 if quote and quote.bid and quote.ask else None
        # A share at nothing is one without a price; an option at nothing is worth that in the broker's own books.
        read = ib_mapping.price if position.option is None else ib_mapping.value
        market = live or (read(item.marketPrice) if item else None)
        if market is None or position.average_cost is None:
            return position
        value = market * position.signed_quantity * units
        cost = position.average_cost * position.signed_quantity
        return replace(position, market_price=market, market_value=value, unrealized=value - cost)

    # --- instruments and prices -----------------------------------------------------------------------------------------

    async def find(self, symbol: str) -> Instrument:
        known = self._found.get(symbol)
        if known is not None and self._clock.monotonic() - known[0] < DETAILS_SECONDS:
            return known[1]
        line = self._line()
        await self._budget.wait()
        try:
            details = await self._ask(
                lambda: line.reqContractDetailsAsync(ib.Stock(ib_mapping.wire_symbol(symbol), "SMART", "USD"))
            )
        except Refused as refused:
            if refused.code != 200:
                raise
            details = []
        found = {
            d.contract.conId: ib_mapping.instrument(d) for d in details if d.contract and d.contract.conId
        }
        if len(found) == 1:
            only = next(iter(found.values()))
            self._found[symbol] = self._clock.monotonic(), only
            return only
        if found:
            choices = ", ".join(f"{i.symbol} on {i.primary_exchange} ({i.name})" for i in found.values())
            raise BadInput(
                f"{symbol} is ambiguous: {choices}. Greenlight does not guess; use the symbol of one listing."
            )
        raise BadInput(
            f"{symbol} is no US stock or fund that the broker knows{await self._similar(line, symbol)}"
        )

    async def _similar(self, line: Line, symbol: str) -> str:
        await self._budget.wait()
        try:
            samples = await self._ask(
                lambda: line.reqMatchingSymbolsAsync(ib_mapping.wire_symbol(symbol)), 3.0
            )
        except (NoAnswer, Refused):
            samples = None
        names = list(
            dict.fromkeys(
                ib_mapping.shown_symbol(s.contract)
                for s in samples or []
                if s.contract and s.contract.secType == "STK"
            )
        )[:3]
        return f"; did you mean {', '.join(names)}?" if names else ". Check the spelling, e.g. /buy AAPL 10."

    async def quote(self, instrument: Instrument, max_age_seconds: float, keep_seconds: float) -> Quote:
        return await self._quotes.quote(instrument, max_age_seconds, keep_seconds)

    async def chain(self, underlying: Instrument) -> Chain:
        return await self._market.chain(underlying)

    async def options(
        self, underlying: Instrument, wanted: Sequence[OptionTerms]
    ) -> tuple[Instrument | None, ...]:
        return await self._market.options(underlying, wanted)

    async def option_quotes(
        self, instruments: Sequence[Instrument], max_age_seconds: float, keep_seconds: float
    ) -> tuple[OptionQuote | None, ...]:
        return await self._quotes.option_quotes(instruments, max_age_seconds, keep_seconds)

    async def dividend(self, underlying: Instrument) -> Dividend | None:
        return await self._quotes.dividend(underlying)

    async def bars(self, instrument: Instrument) -> tuple[Bar, ...]:
        known = self._bars.get(instrument.con_id)
        if known is not None and self._clock.monotonic() - known[0] < BARS_SECONDS:
            return known[1]
        line = self._line()
        await self._budget.wait()
        raw = await self._ask(
            lambda: line.reqHistoricalDataAsync(
                ib_mapping.contract(instrument), "", "1 Y", "1 day", "TRADES", useRTH=True, timeout=0
            ),
            BARS_ANSWER_SECONDS,
        )
        told = tuple(bar for one in raw if (bar := ib_mapping.bar(one)) is not None)
        self._bars[instrument.con_id] = (self._clock.monotonic(), told)
        return told

    async def what_if(self, ticket: Ticket) -> WhatIf:
        line = self._line()
        await self._budget.wait()
        order = ib_mapping.order(ticket)
        return ib_mapping.what_if(
            await self._ask(lambda: line.whatIfOrderAsync(ib_mapping.contract(ticket.instrument), order))
        )

    # --- orders ---------------------------------------------------------------------------------------------------------

    async def book(self) -> BrokerBook:
        # ib_async keeps one answer per kind of question, so snapshots are asked for one at a time.
        async with self._asking:
            line, epoch = self._line(), self._link.epoch
            await self._budget.wait()
            if self._client_id == 0 and self._binds:
                await self._ask(
                    line.reqOpenOrdersAsync
                )  # binds orders typed into TWS, so that they can be managed
            open_orders = await self._open_orders(line)
            await self._budget.wait()
            completed: Any = await self._ask_much(lambda: line.reqCompletedOrdersAsync(False))
            await self._budget.wait()
            executions = await self._executions_around_positions(line)
            mine, positions = self._link.account, self.positions
            if positions is None:
                raise NoAnswer("The broker has not told the positions.")
            return BrokerBook(
                epoch=epoch,
                open_orders=open_orders,
                completed_orders=tuple(o for o in completed if o.account in ("", mine)),
                executions=tuple(e for e in executions if e.account in ("", mine)),
                positions=positions,
            )

    async def open_orders(self) -> tuple[OrderReport, ...]:
        """The account's orders that can still trade, whoever placed them; looking changes none."""
        async with self._asking:
            return await self._open_orders(self._line())

    async def _open_orders(self, line: Line) -> tuple[OrderReport, ...]:
        await self._budget.wait()
        told: Any = await self._ask_much(line.reqAllOpenOrdersAsync)
        mine = [order for order in told if order.account in ("", self._link.account)]
        return tuple([await self._market.with_legs(order) if order.legs else order for order in mine])

    async def _executions_around_positions(self, line: Line) -> Any:
        """Executions that the positions contain: asked before and after them, until nothing was filled in between."""
        before: Any = None
        for _ in range(SNAPSHOT_TRIES):
            await self._budget.wait()
            after: Any = await self._ask_much(line.reqExecutionsAsync)
            if before is not None and {e.exec_id for e in before} == {e.exec_id for e in after}:
                return after
            before = after
            await self._budget.wait()
            await self._ask(line.reqPositionsAsync)
        raise NoAnswer("Orders are being filled faster than the books can be compared; trying again.")

    def next_order_id(self) -> int:
        return int(self._line().client.getReqId())

    def ensure_room(self, messages: int = 1) -> None:
        self._line()
        self._budget.keep(messages)

    @property
    def room(self) -> int:
        return self._budget.room

    def _own(self, orders: Sequence[Order]) -> Line:
        """The line, for orders of this client: order ids mean nothing to the broker under another client id."""
        line = self._line()
        for order in orders:
            if order.client_id != self._client_id:
                raise BrokerError(
                    f"#{order.number} was placed under client id {order.client_id}, and only that can change it: set "
                    f"IBKR_CLIENT_ID={order.client_id}, or do it in TWS. Nothing was sent."
                )
        return line

    def place(self, orders: Sequence[Order], instrument: Instrument, parent_id: int = 0) -> None:
        line = self._own(orders)
        self._budget.take(len(orders))
        bracket = orders[0].role is Role.ENTRY
        for order in orders:
            # An option or a combination is named by the order itself: what was committed is what leaves.
            of = order if order.kind in (ib_mapping.OPTION, ib_mapping.COMBINATION) else instrument
            self._terms |= {leg.con_id: leg.option for leg in of.legs if leg.option is not None}
            parent = orders[0].order_id if bracket and order is not orders[0] else parent_id
            last = order is orders[-1] or not bracket
            raw = ib_mapping.order(order, order.order_ref, parent_id=parent, transmit=last)
            line.client.placeOrder(order.order_id, ib_mapping.contract(of), raw)

    def cancel(self, order: Order) -> None:
        line = self._own([order])
        self._budget.take()
        line.client.cancelOrder(order.order_id, "")
