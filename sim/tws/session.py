"""One API client: its handshake, its requests and what it subscribed to. Thin: the engine decides, the answers are pure functions."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from sim.tws import answers, codec, contracts, figures, history
from sim.tws.book import Execution, Order
from sim.tws.codec import WireError
from sim.tws.contracts import Instrument
from sim.tws.engine import Refused
from sim.tws.market import Quote
from sim.tws.requests import BadRequest, Contract, Request, Terms, UnknownRequest, parse

if TYPE_CHECKING:
    from sim.tws.server import TwsServer

LIVE, DELAYED = 1, 3
_FARMS = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)
_READ_ONLY = "Error validating request.-'cW' : cause - The API interface is currently in Read-Only mode."
_WRITES = frozenset(
    {
        "place_order",
        "cancel_order",
        "global_cancel",
        "open_orders",
        "auto_open_orders",
        "all_open_orders",
        "completed_orders",
    }
)
_NO_DEFINITION = "No security definition has been found for the request"


@dataclass(slots=True)
class Subscription:
    """A stream of ticks of one instrument, and what was sent last."""

    con_id: int
    kind: int
    sent: dict[int, tuple[Decimal, int]] = field(default_factory=dict)


class Session(asyncio.Protocol):
    """A connection from the first byte to the last."""

    def __init__(self, server: "TwsServer") -> None:
        self._server = server
        self._engine = server.engine
        self._buffer = b""
        self._greeted = False
        self._held: list[bytes] = []
        self._data_type = LIVE
        self._positions = False
        self._account = ""
        self._summaries: dict[int, tuple[str, str]] = {}
        self._multi: dict[int, str] = {}
        self._pnl: dict[int, tuple[str, int]] = {}
        self._ticks: dict[int, Subscription] = {}
        self._bars: dict[int, history.Kept] = {}
        self._received_ns = 0
        self.transport: asyncio.Transport
        self.version = 0
        self.client_id: int | None = None
        self.ready = False
        self.binds = False

    # -- bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; it speaks first."""
        self.transport = cast(asyncio.Transport, transport)
        self._server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and with it everything it subscribed to."""
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client: answer every whole message among them, then let the server write down what changed."""
        self._received_ns = time.perf_counter_ns()
        self._buffer += data
        if self._server.faults.hang or not self._buffer:
            return
        try:
            if not self._greeted:
                self._greet()
            frames, self._buffer = codec.split_frames(self._buffer) if self._greeted else ([], self._buffer)
            for payload in frames:
                self._message(payload)
        except WireError as error:
            self._server.note("protocol_error", client=self.client_id, reason=str(error))
            self.transport.close()
        self._server.flush()

    def _greet(self) -> None:
        head = b"API\0"
        if not head.startswith(self._buffer[:4]):
            raise WireError("a client begins with API and a NUL")
        frames, _ = codec.split_frames(self._buffer[4:])
        if not frames:
            return
        self.version = codec.parse_hello(frames[0])
        self._buffer = self._buffer[8 + len(frames[0]) :]
        self._greeted = True
        self.send(answers.hello(self.version, self._now))

    def send(self, data: bytes) -> None:
        """Send a message, unless an armed fault keeps it."""
        faults = self._server.faults
        if faults.half_open:
            self._held.append(data)
        elif faults.delay:
            asyncio.get_running_loop().call_later(faults.delay, self._write, data)
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def freeze(self, on: bool) -> None:
        """Stop reading and writing while the connection stays up; afterwards everything held back goes its way."""
        if on:
            self.transport.pause_reading()
        else:
            held, self._held = self._held, []
            self._write(b"".join(held))
            self.transport.resume_reading()

    # -- requests

    @property
    def _now(self) -> datetime:
        return self._server.clock.now()

    def fail(self, request_id: int, code: int, text: str) -> None:
        """Say that something is wrong with a request."""
        self.send(answers.error(self.version, request_id, code, text))

    def _message(self, payload: bytes) -> None:
        try:
            request = parse(self.version, payload)
        except UnknownRequest as error:
            self._server.unknown(str(error))
            self.fail(-1, 506, f"Unknown incoming message type: {error}")
            return
        except BadRequest as error:
            self._server.note("bad_request", client=self.client_id, reason=str(error))
            self.fail(error.request_id, 320, f"Error reading request. {error}")
            return
        self._server.messages[request.name] += 1
        if not self.ready and request.name != "start_api":
            self.fail(-1, 504, "Not connected")
            return
        if self._server.faults.read_only and request.name in _WRITES:
            self._server.faults.fire("read_only")
            self.fail(request.id, 321, _READ_ONLY)
            return
        self._perform(request)

    def _perform(self, request: Request) -> None:
        handler: Callable[..., None] = getattr(self, f"_on_{request.name}")
        try:
            handler(**request.arguments)
        except Refused as refused:
            self.fail(request.id, refused.code, refused.text)

    def _on_start_api(self, client_id: int) -> None:
        if not self._server.claim(self, client_id):
            self.fail(
                -1,
                326,
                "Unable to connect as the client id is already in use. Retry with a unique client id.",
            )
            self.transport.close()
            return
        self.client_id = client_id
        if not self._server.faults.not_logged_in:
            self.log_in()

    def log_in(self) -> None:
        """Let the client begin: its accounts, the next order request_id, the state of the data farms."""
        assert self.client_id is not None
        self.ready = True
        self.send(answers.managed_accounts(self._engine.accounts))
        self.send(answers.next_valid_id(self._engine.next_id(self.client_id)))
        for code, text in _FARMS:
            self.fail(-1, code, text)

    def _on_ids(self, count: int) -> None:
        self.send(answers.next_valid_id(self._engine.next_id(self.client_id or 0)))

    def _on_managed_accounts(self) -> None:
        self.send(answers.managed_accounts(self._engine.accounts))

    def _on_current_time(self) -> None:
        self.send(answers.current_time(self._now))

    def _on_server_log_level(self, level: int) -> None:
        """Accepted; there is no log to tune."""

    def _on_user_info(self, request_id: int) -> None:
        self.send(answers.user_info(request_id))

    def _on_family_codes(self) -> None:
        self.send(answers.family_codes(list(self._engine.accounts)))

    # -- contracts

    def _find(self, contract: Contract) -> list[Instrument]:
        return contracts.find(
            contract.con_id,
            contract.symbol.upper(),
            contract.sec_type,
            contract.exchange,
            contract.primary_exchange,
            contract.currency,
            contract.local_symbol,
            contract.trading_class,
        )

    def _one(self, contract: Contract) -> Instrument:
        found = self._find(contract)
        if not found:
            raise Refused(200, _NO_DEFINITION)
        if len(found) > 1:
            raise Refused(200, f"The contract description specified for {contract.symbol} is ambiguous.")
        return found[0]

    def _on_contract_details(
        self, request_id: int, contract: Contract, sec_id_type: str, sec_id: str
    ) -> None:
        found = [] if sec_id else self._find(contract)
        if not found:
            raise Refused(200, _NO_DEFINITION)
        for instrument in found:
            self.send(
                answers.contract_details(
                    self.version, request_id, instrument, contract.exchange or "SMART", self._now
                )
            )
        self.send(answers.contract_details_end(request_id))

    def _on_matching_symbols(self, request_id: int, pattern: str) -> None:
        self.send(answers.symbol_samples(self.version, request_id, contracts.search(pattern)))

    def _on_market_rule(self, rule: int) -> None:
        if rule != 26:
            raise Refused(321, f"Error validating request.-'cO' : cause - Market rule id {rule} is invalid")
        self.send(answers.market_rule(rule, [(Decimal(0), Decimal("0.01"))]))

    # -- orders

    def _on_place_order(self, request_id: int, contract: Contract, terms: Terms) -> None:
        faults = self._server.faults
        if faults.take("swallow"):
            return
        instrument = self._one(contract)
        exchange = contract.exchange or "SMART"
        if terms.what_if:
            account = self._engine.check(instrument, terms)
            preview = self._engine.preview(account, instrument.con_id, terms, self._now)
            self.send(
                answers.previewed(
                    self.version,
                    self.client_id or 0,
                    request_id,
                    instrument,
                    exchange,
                    account,
                    terms,
                    preview,
                )
            )
            return
        with self._server.silence(self, faults.take("no_ack")):
            self._engine.place(
                self.client_id or 0, request_id, instrument, exchange, terms, self._now, self._received_ns
            )

    def _on_cancel_order(self, request_id: int) -> None:
        self._engine.cancel(self.client_id or 0, request_id, self._now)

    def _on_global_cancel(self) -> None:
        self._engine.cancel_everything(self._now)

    def send_order(self, order: Order, status_only: bool = False) -> None:
        """Tell the client about an order."""
        parent = self._engine.orders.get(order.parent_perm_id)
        parent_id = parent.order_id if parent else 0
        status = answers.order_status(order, parent_id)
        twice = 2 if self._server.faults.take("duplicate") else 1
        opened = b"" if status_only else answers.open_order(self.version, order, parent_id)
        self.send(opened + status * twice)

    def _on_open_orders(self) -> None:
        if self.client_id == 0:
            self._bind_all()
        for order in self._engine.working():
            if order.client_id == self.client_id and (order.order_id or not order.manual):
                self.send_order(order)
        self.send(answers.open_orders_end())

    def _on_auto_open_orders(self, bind: bool) -> None:
        if self.client_id != 0:
            raise Refused(
                321,
                "Error validating request.-'cT' : cause - Only the default client (i.e 0) can auto bind orders",
            )
        self.binds = bind
        if bind:
            self._bind_all()

    def _bind_all(self) -> None:
        for order in self._engine.working():
            if order.manual:
                self.bind(order)

    def bind(self, order: Order) -> None:
        """Give an order typed into TWS an id of this client (0), and say so."""
        if not order.order_id:
            self._engine.bind(order)
            self.send(answers.order_bound(order.perm_id, 0, order.order_id))

    def _on_all_open_orders(self) -> None:
        for order in self._engine.working():
            self.send_order(order)
        self.send(answers.open_orders_end())

    def _on_completed_orders(self, api_only: bool) -> None:
        for order in self._engine.completed(self._now):
            if not (api_only and order.manual):
                self.send(answers.completed_order(self.version, order))
        self.send(answers.completed_orders_end())

    def _on_executions(
        self,
        request_id: int,
        client_id: int,
        account: str,
        since: str,
        symbol: str,
        sec_type: str,
        exchange: str,
        side: str,
    ) -> None:
        wanted = {"BUY": "BOT", "BOT": "BOT", "SELL": "SLD", "SLD": "SLD", "": ""}.get(side.upper())
        if wanted is None:
            raise Refused(321, f"Error validating request.-'bQ' : cause - Invalid side {side!r}")
        start = history.parse_moment(since, self._now) if since else None
        for fill in self._engine.executed(self._now):
            if (client_id and fill.client_id != client_id) or (account and fill.account != account):
                continue
            if (
                (wanted and fill.side != wanted)
                or (symbol and fill.instrument.symbol != symbol)
                or (start and fill.at < start)
            ):
                continue
            if (sec_type and fill.instrument.sec_type != sec_type) or exchange not in {
                "",
                "SMART",
                fill.exchange,
            }:
                continue
            self.send_execution(fill, request_id)
            if fill.reported:
                self.send_commission(fill)
        self.send(answers.executions_end(request_id))

    def send_execution(self, fill: Execution, request_id: int = -1) -> None:
        """Tell the client about a fill."""
        self.send(answers.execution(self.version, request_id, fill))

    def send_commission(self, fill: Execution) -> None:
        """Tell the client what a fill cost."""
        self.send(answers.commission(fill))

    # -- the account

    def _on_positions(self) -> None:
        self._positions = True
        for account in self._engine.accounts:
            for held in self._engine.held(account):
                self.send(answers.position(held))
        self.send(answers.positions_end())

    def _on_cancel_positions(self) -> None:
        self._positions = False

    def _on_positions_multi(self, request_id: int, account: str, model: str) -> None:
        for name in [account] if account in self._engine.accounts else list(self._engine.accounts):
            for held in self._engine.held(name):
                self.send(answers.position_multi(request_id, held))
        self.send(answers.position_multi_end(request_id))

    def _on_cancel_positions_multi(self, request_id: int) -> None:
        """Positions for a request of its own are sent once, so there is nothing to end."""

    def _on_account_updates(self, subscribe: bool, account: str) -> None:
        account = account or next(iter(self._engine.accounts))
        if account not in self._engine.accounts:
            raise Refused(321, f"Error validating request.-'bP' : cause - Invalid account code '{account}'.")
        self._account = account if subscribe else ""
        if subscribe:
            self.send_account()

    def send_account(self) -> None:
        """All figures of the account the client follows."""
        account = self._account
        for tag, value, currency in figures.account_figures(self._engine, account, self._now):
            self.send(answers.account_value(tag, value, currency, account))
        for held in self._engine.held(account):
            self.send(answers.portfolio(held, self._engine.market.quote(held.con_id, self._now).last))
        self.send(answers.account_time(self._now))
        self.send(answers.account_download_end(account))

    def refresh_account(self) -> None:
        """The figures of the account again, and the summaries, as every three minutes."""
        if self._account:
            self.send_account()
        for request_id, (group, tags) in list(self._summaries.items()):
            self._on_account_summary(request_id, group, tags)

    def _on_account_updates_multi(self, request_id: int, account: str, model: str, ledger: bool) -> None:
        self._multi[request_id] = account or next(iter(self._engine.accounts))
        for tag, value, currency in figures.account_figures(self._engine, self._multi[request_id], self._now):
            self.send(answers.account_value_multi(request_id, self._multi[request_id], tag, value, currency))
        self.send(answers.account_multi_end(request_id))

    def _on_cancel_account_updates_multi(self, request_id: int) -> None:
        self._multi.pop(request_id, None)

    def _on_account_summary(self, request_id: int, group: str, tags: str) -> None:
        self._summaries[request_id] = (group, tags)
        for account in self._engine.accounts:
            for tag, value, currency in figures.summary(self._engine, account, tags, self._now):
                self.send(answers.account_summary(request_id, account, tag, value, currency))
        self.send(answers.account_summary_end(request_id))

    def _on_cancel_account_summary(self, request_id: int) -> None:
        self._summaries.pop(request_id, None)

    def _on_pnl(self, request_id: int, account: str, model: str) -> None:
        self._follow_pnl(request_id, account, 0)

    def _on_pnl_single(self, request_id: int, account: str, model: str, con_id: int) -> None:
        self._follow_pnl(request_id, account, con_id)

    def _follow_pnl(self, request_id: int, account: str, con_id: int) -> None:
        if account not in self._engine.accounts:
            raise Refused(321, f"Error validating request.-'cd' : cause - Invalid account code '{account}'.")
        self._pnl[request_id] = (account, con_id)
        self.send_pnl()

    def _on_cancel_pnl(self, request_id: int) -> None:
        self._pnl.pop(request_id, None)

    _on_cancel_pnl_single = _on_cancel_pnl

    def send_pnl(self) -> None:
        """Profit and loss to whoever follows it."""
        for request_id, (account, con_id) in self._pnl.items():
            if con_id:
                self.send(
                    answers.pnl_single(
                        request_id, *figures.pnl_single(self._engine, account, con_id, self._now)
                    )
                )
            else:
                self.send(answers.pnl(request_id, *figures.pnl(self._engine, account, self._now)))

    def account_changed(self, account: str, con_id: int) -> None:
        """A position or the money changed: tell it where it is followed."""
        if not self.ready:
            return
        held = self._engine.positions.get((account, con_id))
        if held is not None and self._positions:
            self.send(answers.position(held))
        if self._account == account:
            if held is not None:
                self.send(answers.portfolio(held, self._engine.market.quote(con_id, self._now).last))
            for tag, value, currency in figures.account_figures(self._engine, account, self._now):
                self.send(answers.account_value(tag, value, currency, account))

    # -- market data

    def _on_market_data_type(self, kind: int) -> None:
        if kind not in {1, 2, 3, 4}:
            raise Refused(321, f"Error validating request.-'ck' : cause - Invalid market data type {kind}")
        self._data_type = kind

    def _on_market_data(
        self,
        request_id: int,
        contract: Contract,
        generic: str,
        snapshot: bool,
        regulatory: bool,
        legs: Any = (),
    ) -> None:
        instrument = self._one(contract)
        data = self._server.data_for(instrument.con_id)
        wants_delayed = self._data_type in {3, 4}
        if data == "none" or (data == "delayed" and not wants_delayed):
            code, text = (
                (
                    10089,
                    "Requested market data requires additional subscription for API. See link in 'Market Data Connections' dialog for more details. Delayed market data is available.",
                )
                if data == "delayed"
                else (354, "Requested market data is not subscribed.")
            )
            raise Refused(code, f"{text}{instrument.symbol} {instrument.primary_exchange}/TOP/ALL")
        kind = DELAYED if data == "delayed" else LIVE
        if kind == DELAYED:
            self.fail(
                request_id, 10167, "Requested market data is not subscribed. Displaying delayed market data."
            )
        self.send(answers.tick_request_parameters(request_id, instrument.min_tick))
        self.send(answers.market_data_type(request_id, kind))
        subscription = Subscription(instrument.con_id, kind)
        self._send_ticks(request_id, subscription, everything=True)
        if snapshot or regulatory:
            self.send(answers.snapshot_end(request_id))
        else:
            self._ticks[request_id] = subscription

    def _on_cancel_market_data(self, request_id: int) -> None:
        if self._ticks.pop(request_id, None) is None:
            raise Refused(300, f"Can't find EId with tickerId:{request_id}")

    def watched(self) -> set[int]:
        """The instruments whose ticks the client gets."""
        return {subscription.con_id for subscription in self._ticks.values()}

    def tick(self) -> None:
        """What the market shows now, where it is not what was sent before."""
        if not self.ready:
            return
        for request_id, subscription in self._ticks.items():
            self._send_ticks(request_id, subscription)
        if self._bars:
            for request_id, kept in self._bars.items():
                for bar in kept.news(self._engine.market, self._now):
                    self.send(
                        answers.historical_update(
                            request_id, bar, kept.size, kept.style, kept.what, self.version
                        )
                    )

    def _send_ticks(self, request_id: int, subscription: Subscription, everything: bool = False) -> None:
        delayed = subscription.kind == DELAYED
        moment = self._now - timedelta(minutes=15) if delayed else self._now
        quote = self._engine.market.quote(subscription.con_id, moment)
        out = []
        for kind, price, size in _price_ticks(quote, delayed, self._unit):
            before = subscription.sent.get(kind)
            if before is None or before[0] != price:
                out.append(answers.tick_price(request_id, kind, price, size, 1 if kind in {1, 2} else 0))
            if size and (before is None or before != (price, size)):
                out.append(answers.tick_size(request_id, _SIZE_OF[kind], size))
            subscription.sent[kind] = (price, size)
        volume = (Decimal(quote.volume), 0)
        if everything or subscription.sent.get(_VOLUME) != volume:
            subscription.sent[_VOLUME] = volume
            out.append(answers.tick_size(request_id, 74 if delayed else _VOLUME, quote.volume // self._unit))
            out.append(answers.tick_string(request_id, 88 if delayed else 45, str(int(quote.at.timestamp()))))
        if out:
            self.send(b"".join(out))

    @property
    def _unit(self) -> int:
        """Sizes are in shares since version 159, in round lots before."""
        return 1 if self.version >= 159 else 100

    def _on_historical_data(
        self,
        request_id: int,
        contract: Contract,
        end: str,
        size: str,
        duration: str,
        regular: bool,
        what: str,
        date_format: int,
        keep: bool,
        legs: Any = (),
    ) -> None:
        instrument = self._one(contract)
        question = history.question(instrument.con_id, end, duration, size, regular, what, self._now)
        bars = self._engine.market.bars(
            question.con_id, question.start, question.end, question.size, question.regular
        )
        if not bars:
            raise Refused(
                162,
                "Historical Market Data Service error message:HMDS query returned no data: "
                f"{instrument.symbol}@SMART {what}",
            )
        self.send(
            answers.historical_data(
                request_id, question.start, question.end, bars, question.size, date_format, what, self.version
            )
        )
        if keep:
            self._bars[request_id] = history.Kept(question, date_format, what, bars[-1])

    def _on_cancel_historical_data(self, request_id: int) -> None:
        self._bars.pop(request_id, None)

    def _on_realtime_bars(
        self, request_id: int, contract: Contract, size: int, what: str, regular: bool
    ) -> None:
        raise Refused(420, "Invalid Real-time Query:Real-time bars are not available")

    def _on_cancel_realtime_bars(self, request_id: int) -> None:
        """There are none to end."""

    def _on_head_timestamp(
        self, request_id: int, contract: Contract, regular: bool, what: str, date_format: int
    ) -> None:
        self._one(contract)
        self.send(answers.head_timestamp(request_id, datetime(1990, 1, 2, 14, 30, tzinfo=UTC), date_format))

    def _on_cancel_head_timestamp(self, request_id: int) -> None:
        """It was answered at once, so there is nothing to end."""


_VOLUME = 8
_SIZE_OF = {1: 0, 2: 3, 4: 5, 66: 69, 67: 70, 68: 71}


def _price_ticks(quote: Quote, delayed: bool, unit: int) -> list[tuple[int, Decimal, int]]:
    """Tick types with price and size; the first three carry their sizes, the others none."""
    kinds = (66, 67, 68, 76, 72, 73, 75) if delayed else (1, 2, 4, 14, 6, 7, 9)
    prices = (quote.bid, quote.ask, quote.last, quote.open, quote.high, quote.low, quote.close)
    sizes = (quote.bid_size // unit, quote.ask_size // unit, quote.last_size // unit, 0, 0, 0, 0)
    return list(zip(kinds, prices, sizes, strict=True))
