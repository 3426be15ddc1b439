"""The broker: takes orders, trades them against the market, keeps the books. Deterministic and without I/O.

Every method that does something takes the moment at which it happens. What comes of it is told to a listener in the order in which TWS
would say it, and every record that changed is noted in `changed` for whoever keeps the state.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Protocol

from sim.tws import hours, matching, money
from sim.tws.book import Account, Counters, Execution, Order, Position
from sim.tws.contracts import BY_ID, USD_PER, Instrument
from sim.tws.market import Market, Quote
from sim.tws.requests import Terms


class Refused(Exception):
    """An order or a cancel that TWS answers with an error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Session(Enum):
    """Whether the exchange is open: always, never, or by its calendar."""

    OPEN = "open"
    CLOSED = "closed"
    HOURS = "hours"


class CommissionMode(Enum):
    """When the commission of a fill is reported: with it, ahead of it, when told to, or not at all."""

    AFTER = "after"
    BEFORE = "before"
    LATE = "late"
    NEVER = "never"


class Listener(Protocol):
    """Who is told what happens."""

    def opened(self, order: Order) -> None:
        """The order as a whole, with its status."""

    def status(self, order: Order) -> None:
        """Its status alone."""

    def executed(self, order: Order | None, execution: Execution) -> None:
        """A fill, or the correction of one."""

    def commissioned(self, execution: Execution) -> None:
        """The commission of a fill."""

    def failed(self, order: Order, code: int, text: str) -> None:
        """Something to say about an order, in TWS's codes."""

    def account_changed(self, account: str, con_id: int) -> None:
        """A position and the money of an account are not what they were."""


@dataclass(slots=True)
class Rules:
    """What was arranged from outside: the knobs of the engine."""

    session: Session = Session.OPEN
    fills: bool = True
    cancels: bool = True
    commission: CommissionMode = CommissionMode.AFTER
    rejects: int = 0
    reject_code: int = 201
    reject_text: str = ""


Record = Account | Position | Order | Execution | Counters


class Engine:
    """Accounts, orders and what becomes of them. `seed` decides the positions an account begins with."""

    def __init__(self, seed: int, market: Market, listener: Listener) -> None:
        self.market = market
        self.rules = Rules()
        self.counters = Counters()
        self.accounts: dict[str, Account] = {}
        self.positions: dict[tuple[str, int], Position] = {}
        self.orders: dict[int, Order] = {}
        self.executions: dict[str, Execution] = {}
        self.changed: dict[tuple[str, str | int], Record] = {}
        self._by_id: dict[tuple[int, int], Order] = {}
        self._working: dict[int, Order] = {}
        self._seed = seed
        self._listener = listener
        self._last_run: datetime | None = None

    # -- state

    def add_account(self, account_id: str, now: datetime) -> None:
        """Open an account with cash and a few positions; nothing happens where it is already there."""
        if account_id in self.accounts:
            return
        account = self.accounts[account_id] = Account(account_id, {"USD": Decimal("104250.37")})
        for con_id, quantity in ((265598, 40), (756733, 25), (8894, 120), (4815747, 60)):
            price = self.market.previous_close(con_id, now - timedelta(30 + self._seed % 7))
            self._note(self._position(account_id, con_id, Decimal(quantity), price))
        account.opening = self.margin(account_id, now).net_liquidation
        account.day = _day(now)
        self._note(account)

    def restore(self, records: Iterable[Record]) -> None:
        """Take up the state that an earlier engine left."""
        for record in records:
            match record:
                case Account():
                    self.accounts[record.id] = record
                case Position():
                    self.positions[record.account, record.con_id] = record
                case Order():
                    self.orders[record.perm_id] = record
                    self._index(record)
                case Execution():
                    self.executions[record.exec_id] = record
                case Counters():
                    self.counters = record

    def _index(self, order: Order) -> None:
        if order.order_id:
            self._by_id[order.client_id, order.order_id] = order
        if not order.done:
            self._working[order.perm_id] = order

    def _note(self, record: Record) -> None:
        match record:
            case Account():
                self.changed["account", record.id] = record
            case Position():
                self.changed["position", f"{record.account}:{record.con_id}"] = record
            case Order():
                self.changed["order", record.perm_id] = record
            case Execution():
                self.changed["execution", record.exec_id] = record
            case Counters():
                self.changed["counters", "all"] = record

    def _position(
        self, account: str, con_id: int, quantity: Decimal = Decimal(0), cost: Decimal = Decimal(0)
    ) -> Position:
        return self.positions.setdefault((account, con_id), Position(account, con_id, quantity, cost))

    # -- questions

    def next_id(self, client_id: int) -> int:
        """The next order id a client may use."""
        return self.counters.next_ids.get(client_id, 1)

    def order(self, client_id: int, order_id: int) -> Order | None:
        """The order a client knows by an id."""
        return self._by_id.get((client_id, order_id))

    def working(self) -> list[Order]:
        """All orders that are not done and have been transmitted, in the order in which they came."""
        return [order for order in self._working.values() if order.status]

    def watched(self) -> set[int]:
        """The instruments that orders are waiting for."""
        return {order.con_id for order in self._working.values()}

    def completed(self, now: datetime) -> list[Order]:
        """The orders done since midnight in New York."""
        return [
            order for order in self.orders.values() if order.completed and _day(order.completed) == _day(now)
        ]

    def executed(self, now: datetime) -> list[Execution]:
        """The executions since midnight in New York, corrected ones included."""
        return [execution for execution in self.executions.values() if _day(execution.at) == _day(now)]

    def held(self, account: str) -> list[Position]:
        """The positions of an account that are not flat."""
        return [p for p in self.positions.values() if p.account == account and p.quantity]

    def margin(
        self,
        account: str,
        now: datetime,
        con_id: int = 0,
        change: Decimal = Decimal(0),
        spent: Decimal = Decimal(0),
    ) -> money.Margin:
        """The figures of an account, as they are or as they were after trading `change` of an instrument for `spent`."""
        quantities = {position.con_id: position.quantity for position in self.held(account)}
        cash = dict(self.accounts[account].cash)
        if con_id:
            quantities[con_id] = quantities.get(con_id, Decimal(0)) + change
            currency = BY_ID[con_id].currency
            cash[currency] = cash.get(currency, Decimal(0)) - spent
        return money.margin(
            cash, [(BY_ID[i], n, self.market.quote(i, now).last) for i, n in quantities.items()]
        )

    def preview(self, account: str, con_id: int, terms: Terms, now: datetime) -> money.Preview:
        """What an order would do to an account."""
        instrument, quote = BY_ID[con_id], self.market.quote(con_id, now)
        sign = 1 if terms.action == "BUY" else -1
        price = terms.limit or terms.aux or (quote.ask if sign > 0 else quote.bid)
        fee = money.commission(terms.quantity, price)
        spent = sign * terms.quantity * price * instrument.multiplier + fee
        after = self.margin(account, now, con_id, sign * terms.quantity, spent)
        return money.Preview(self.margin(account, now), after, fee, instrument.currency)

    def is_open(self, now: datetime) -> bool:
        """Whether the exchange takes orders at a moment."""
        return self.rules.session is Session.OPEN or (
            self.rules.session is Session.HOURS and hours.is_open(now)
        )

    # -- orders

    def check(self, instrument: Instrument, terms: Terms) -> str:
        """The account an order is for. Refused where TWS would refuse the order as it stands."""
        if terms.action not in {"BUY", "SELL", "SSHORT"}:
            raise Refused(
                321, f"Error validating request.-'bN' : cause - Invalid order side {terms.action!r}"
            )
        if terms.quantity == 0:
            raise Refused(434, "The order size cannot be zero.")
        if terms.quantity < 0:
            raise Refused(321, "Error validating request.-'bN' : cause - The order size cannot be negative")
        if terms.quantity != terms.quantity.to_integral_value():
            raise Refused(
                10243,
                "Fractional-sized order cannot be placed via API. Please use desktop version to place this order.",
            )
        if terms.type not in matching.TYPES:
            raise Refused(387, "Unsupported order type for this exchange and security type.")
        if terms.tif not in {"DAY", "GTC", "IOC", "GTD", "OPG", "FOK"}:
            raise Refused(10052, f"Invalid time in force:{terms.tif}")
        if (matching.limited(terms.type) and terms.limit is None) or (
            matching.needs_stop(terms.type) and terms.aux is None
        ):
            raise Refused(321, "Error validating request.-'bN' : cause - Please enter a valid price")
        if terms.type.startswith("TRAIL") and terms.aux is None and terms.trail_percent is None:
            raise Refused(
                321, "Error validating request.-'bN' : cause - A trailing amount or percentage is required"
            )
        for price in (terms.limit, terms.aux, terms.trail_stop):
            if price is not None and price % instrument.min_tick:
                raise Refused(
                    110, "The price does not conform to the minimum price variation for this contract."
                )
        if not terms.account and len(self.accounts) > 1:
            raise Refused(435, "You must specify an account.")
        account = terms.account or next(iter(self.accounts))
        if account not in self.accounts:
            raise Refused(321, f"Error validating request.-'bN' : cause - Invalid account code '{account}'.")
        return account

    def place(
        self,
        client_id: int,
        order_id: int,
        instrument: Instrument,
        exchange: str,
        terms: Terms,
        now: datetime,
        received_ns: int = 0,
    ) -> None:
        """A new order, or a change of a working one. Refused, or rejected with the order on record, where TWS would do so."""
        known = self.order(client_id, order_id)
        if known is not None and not known.done:
            self._modify(known, instrument, terms, now)
            return
        if known is not None and known.status == "Filled":
            raise Refused(104, "Cannot modify a filled order.")
        if known is not None or order_id < self.next_id(client_id):
            raise Refused(103, "Duplicate order id")
        account = self.check(instrument, terms)
        parent = self.order(client_id, terms.parent_id) if terms.parent_id else None
        if terms.parent_id and (parent is None or parent.status in {"Cancelled", "Inactive"}):
            raise Refused(135, f"Can't find order with id ={terms.parent_id}")
        self.counters.next_ids[client_id] = order_id + 1
        order = self._new(client_id, order_id, instrument, exchange, terms, account, now, received_ns)
        if parent is not None:
            order.parent_perm_id = parent.perm_id
        self._index(order)
        if terms.transmit:
            self._transmit(order, now)

    def place_by_hand(self, account: str, instrument: Instrument, terms: Terms, now: datetime) -> Order:
        """An order typed into TWS itself; it has no order id until a client with id 0 binds it."""
        order = self._new(0, 0, instrument, "SMART", terms, account, now, 0)
        order.manual = True
        self._index(order)
        self._activate(order, now)
        return order

    def bind(self, order: Order) -> None:
        """Give an order typed by hand an id of client 0, a negative one."""
        if order.manual and not order.order_id:
            order.order_id = self.counters.next_bound
            self.counters.next_bound -= 1
            self._index(order)
            self._note(order)
            self._note(self.counters)

    def restart_ids(self, next_id: int) -> None:
        """Order ids begin anew, as after a reset of the API's order id sequence: ids of orders that are done mean nothing any more."""
        self.counters.next_ids = dict.fromkeys(self.counters.next_ids, next_id)
        self._by_id = {key: order for key, order in self._by_id.items() if not order.done}
        for order in self.orders.values():
            if order.done and order.order_id:
                order.order_id = 0
                self._note(order)
        self._note(self.counters)

    def _new(
        self,
        client_id: int,
        order_id: int,
        instrument: Instrument,
        exchange: str,
        terms: Terms,
        account: str,
        now: datetime,
        received_ns: int,
    ) -> Order:
        perm_id = self.counters.next_perm
        self.counters.next_perm += 1
        order = Order(
            perm_id, client_id, order_id, instrument.con_id, exchange, terms, account, now, received_ns, stop=terms.trail_stop
        )  # fmt: skip
        self.orders[perm_id] = order
        self._note(order)
        self._note(self.counters)
        return order

    def _modify(self, order: Order, instrument: Instrument, terms: Terms, now: datetime) -> None:
        if order.con_id != instrument.con_id or order.terms.action != terms.action:
            raise Refused(105, "Order being modified does not match original order")
        self.check(instrument, terms)
        if terms.quantity <= order.filled:
            raise Refused(104, "Cannot modify a filled order.")
        terms = replace(
            terms, oca_group=order.terms.oca_group or terms.oca_group, parent_id=order.terms.parent_id
        )
        if terms.type != order.terms.type or terms.aux != order.terms.aux:
            order.triggered, order.stop = False, terms.trail_stop
        order.terms = terms
        self._note(order)
        if not order.status:
            if terms.transmit:
                self._transmit(order, now)
            return
        order.status, order.why_held = self._resting_status(order)
        self._listener.opened(order)
        self._meet(order, self.market.quote(order.con_id, now), now)

    def _transmit(self, order: Order, now: datetime) -> None:
        """Send an order with everything that waits for it: its parent and the children before it."""
        family = order.parent_perm_id or order.perm_id
        for member in [self.orders[family], *self._children(family)]:
            if not member.status:
                self._activate(member, now)

    def _children(self, perm_id: int) -> list[Order]:
        return [order for order in self._working.values() if order.parent_perm_id == perm_id]

    def _activate(self, order: Order, now: datetime) -> None:
        """A transmitted order: rejected, held, or at work."""
        if order.parent_perm_id:
            order.terms = replace(
                order.terms,
                oca_group=order.terms.oca_group or str(order.parent_perm_id),
                oca_type=order.terms.oca_type or 3,
            )
        if reason := self._rejection(order, now):
            self._reject(order, *reason, now)
            return
        order.held = not self.is_open(now)
        order.status, order.why_held = self._resting_status(order)
        if order.terms.type == "MKT" and not order.why_held:
            order.status = "PreSubmitted"
        self._note(order)
        if order.held and not order.parent_perm_id:
            self._listener.failed(order, 399, self._held_until(order, now))
        self._listener.opened(order)
        self._meet(order, self.market.quote(order.con_id, now), now)

    def _rejection(self, order: Order, now: datetime) -> tuple[int, str] | None:
        if self.rules.rejects:
            self.rules.rejects -= 1
            return self.rules.reject_code, self.rules.reject_text
        if order.parent_perm_id:
            return None
        preview = self.preview(order.account, order.con_id, order.terms, now)
        if preview.after.initial > preview.before.initial and preview.after.available < 0:
            return 201, (
                "Order rejected - reason:YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
                f"[{preview.before.net_liquidation} USD] MUST EXCEED THE INITIAL MARGIN [{preview.after.initial} USD]"
            )
        return None

    def _held_until(self, order: Order, now: datetime) -> str:
        opening = hours.next_open(now).astimezone(hours.NEW_YORK)
        what = f"{order.terms.action} {order.terms.quantity} {order.instrument.symbol} {order.instrument.primary_exchange}.{order.instrument.trading_class}"
        return f"Order Message:\n{what}\nWarning: Your order will not be placed at the exchange until {opening:%Y-%m-%d %H:%M:%S} US/Eastern."

    def _resting_status(self, order: Order) -> tuple[str, str]:
        """The status of an order that waits for the market, and why it is held."""
        waiting = matching.conditional(order) and not order.triggered
        parent = self.orders.get(order.parent_perm_id)
        if parent is not None and parent.status != "Filled" and not (parent.done and parent.filled):
            return "PreSubmitted", "child,trigger" if waiting else "child"
        if waiting:
            return "PreSubmitted", "trigger"
        return ("PreSubmitted" if order.held else "Submitted"), ""

    # -- the market moves

    def run(self, now: datetime) -> None:
        """Let the market run up to `now`: every price it passed on the way is met by the orders that wait."""
        since = self._last_run or now
        self._last_run = now
        if not self._working:
            return
        for moment in [*self.market.crossed(265598, since, now), now]:
            self._step(moment)

    def _step(self, moment: datetime) -> None:
        is_open = self.is_open(moment)
        quotes: dict[int, Quote] = {}
        for order in self.working():
            if order.done:
                continue
            if order.held is is_open and not order.why_held.startswith("child"):
                order.held = not is_open
                order.status, order.why_held = self._resting_status(order)
                self._note(order)
                self._listener.opened(order)
            if order.con_id not in quotes:
                quotes[order.con_id] = self.market.quote(order.con_id, moment)
            self._meet(order, quotes[order.con_id], moment)

    def _meet(self, order: Order, quote: Quote, now: datetime) -> None:
        """An order and a quote: follow the price, trigger, trade."""
        if (
            order.done
            or order.held
            or order.why_held.startswith("child")
            or order.terms.type in matching.AT_CLOSE
        ):
            return
        step = matching.advance(order, quote)
        if step.stop != order.stop:
            order.stop = step.stop
            self._note(order)
        if step.triggered and not order.triggered and matching.conditional(order):
            order.triggered = True
            if order.status != "PendingCancel":
                order.status, order.why_held = "Submitted", ""
            self._note(order)
            self._listener.opened(order)
        if step.price is not None and self.rules.fills:
            self.fill(order, order.remaining, step.price, now)
        elif order.terms.tif in {"IOC", "FOK"} and not order.why_held:
            self.cancelled(order, "", now)

    def fill(self, order: Order, quantity: Decimal, price: Decimal, now: datetime) -> Execution:
        """Trade some of an order, or all that remains. ValueError for a quantity that is not there to trade."""
        if order.done or not order.status:
            raise ValueError(
                f"order {order.perm_id} is not working: its status is {order.status or 'untransmitted'}"
            )
        if not 0 < quantity <= order.remaining:
            raise ValueError(f"order {order.perm_id} has {order.remaining} to trade, not {quantity}")
        if order.terms.type != "MKT":
            order.triggered = True
        filled = order.filled + quantity
        order.average = (order.average * order.filled + price * quantity) / filled
        order.filled, order.last_price, order.why_held = filled, price, ""
        if not order.remaining:
            self._complete(order, "Filled", f"Filled Size: {order.filled}", now)
        elif order.status != "PendingCancel":
            order.status = "Submitted"
        execution = self._book(order, quantity, price, now)
        self._report(order, execution)
        self._after_fill(order, quantity, now)
        return execution

    def _complete(self, order: Order, status: str, text: str, now: datetime) -> None:
        order.status, order.completed, order.completed_text, order.why_held = status, now, text, ""
        self._working.pop(order.perm_id, None)
        self._note(order)

    def _book(self, order: Order, quantity: Decimal, price: Decimal, now: datetime) -> Execution:
        number = self.counters.next_exec
        self.counters.next_exec += 1
        earlier = [
            e.commission for e in self.executions.values() if e.perm_id == order.perm_id and not e.superseded
        ]
        # The minimum is for the whole order: what the fills before paid counts.
        fee = max(money.commission(order.filled, order.average) - sum(earlier, Decimal(0)), Decimal(0))
        execution = Execution(
            exec_id=f"0000e0d5.{0x65A00000 + number:08x}.01.01",
            perm_id=order.perm_id,
            client_id=order.client_id,
            order_id=order.order_id,
            ref=order.terms.ref,
            account=order.account,
            con_id=order.con_id,
            exchange=order.exchange
            if order.exchange != "SMART"
            else ("ISLAND", "ARCA", "BATS", "IEX")[number % 4],
            side="BOT" if order.sign > 0 else "SLD",
            quantity=quantity,
            price=price,
            cumulative=order.filled,
            average=order.average,
            at=now,
            commission=fee,
            realized=Decimal(0),
            currency=order.instrument.currency,
        )
        execution.realized = self._settle(execution, 1)
        order.commission = sum(earlier, fee)
        self.executions[execution.exec_id] = execution
        for record in (execution, order, self.counters):
            self._note(record)
        return execution

    def _settle(self, execution: Execution, direction: int) -> Decimal:
        """Move shares and money by a fill (`direction` 1), or take one back (-1). Returns what it realized."""
        account, instrument = self.accounts[execution.account], execution.instrument
        self._roll_day(account, execution.at)
        sign = Decimal(1 if execution.side == "BOT" else -1) * direction
        fee = execution.commission * direction
        value = sign * execution.quantity * execution.price * instrument.multiplier
        account.cash[instrument.currency] = account.cash.get(instrument.currency, Decimal(0)) - value - fee
        position = self._position(execution.account, execution.con_id)
        realized = _trade(position, sign * execution.quantity, execution.price, fee)
        account.realized += realized * USD_PER[instrument.currency]
        self._note(account)
        self._note(position)
        return realized

    def _roll_day(self, account: Account, now: datetime) -> None:
        if account.day != _day(now):
            account.day, account.realized = _day(now), Decimal(0)
            account.opening = self.margin(account.id, now).net_liquidation

    def _report(self, order: Order, execution: Execution) -> None:
        """Tell a fill as TWS does: execution, order, and the order again when its commission is known."""
        mode = self.rules.commission
        shown, order.commission = order.commission, None
        if mode is CommissionMode.BEFORE:
            self._report_commission(execution)
        self._listener.executed(order, execution)
        self._listener.opened(order)
        order.commission = shown
        if mode is CommissionMode.AFTER:
            self._listener.opened(order)
            self._report_commission(execution)
        self._listener.account_changed(order.account, order.con_id)

    def _report_commission(self, execution: Execution) -> None:
        execution.reported = True
        self._note(execution)
        self._listener.commissioned(execution)

    def release_commission(self, exec_id: str) -> None:
        """Report a commission that was held back. KeyError for an unknown execution."""
        self._report_commission(self.executions[exec_id])

    def _after_fill(self, order: Order, quantity: Decimal, now: datetime) -> None:
        """What a fill does to others: children come alive, members of the same OCA group go or shrink."""
        if order.status == "Filled":
            self._wake_children(order, now)
        group = order.terms.oca_group
        if not group:
            return
        for other in [
            o
            for o in self.working()
            if o.terms.oca_group == group and o.account == order.account and o is not order
        ]:
            if order.status == "Filled" or order.terms.oca_type == 1:
                self.cancelled(other, "", now)
            else:
                left = max(other.terms.quantity - quantity, other.filled)
                other.terms = replace(other.terms, quantity=left)
                self._note(other)
                self._listener.opened(other)

    def _wake_children(self, parent: Order, now: datetime) -> None:
        for child in self._children(parent.perm_id):
            if not child.status:
                continue
            child.terms = replace(child.terms, quantity=min(child.terms.quantity, parent.filled))
            child.held = not self.is_open(now)
            child.status, child.why_held = self._resting_status(child)
            self._note(child)
            self._listener.opened(child)
            self._meet(child, self.market.quote(child.con_id, now), now)

    def _reject(self, order: Order, code: int, text: str, now: datetime) -> None:
        self._complete(order, "Inactive", text, now)
        self._listener.failed(order, code, text)
        self._listener.opened(order)
        for child in self._children(order.perm_id):
            self.cancelled(child, "parent rejected", now)

    # -- the end of orders

    def cancel(self, client_id: int, order_id: int, now: datetime) -> None:
        """A client takes an order back. Refused where there is nothing to take back."""
        order = self.order(client_id, order_id)
        if order is None:
            raise Refused(10147, f"OrderId {order_id} that needs to be cancelled is not found.")
        if order.done:
            raise Refused(
                10148,
                f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.status}.",
            )
        if order.status == "PendingCancel":
            raise Refused(
                161,
                f"Cancel attempted when order is not in a cancellable state.  Order permId = {order.perm_id}",
            )
        self._cancel(order, now)

    def cancel_everything(self, now: datetime) -> None:
        """Every working order of every client goes, those typed by hand included."""
        for order in self.working():
            if not order.done and order.status != "PendingCancel":
                self._cancel(order, now)

    def _cancel(self, order: Order, now: datetime) -> None:
        if self.rules.cancels:
            self.cancelled(order, "", now)
        else:
            order.status = "PendingCancel"
            self._note(order)
            self._listener.status(order)

    def cancelled(self, order: Order, reason: str, now: datetime) -> None:
        """An order is gone, whoever wanted it: its children and, with a filled part, what protects that part follow."""
        transmitted = bool(order.status)
        self._complete(
            order, "Cancelled", "Cancelled by Trader" if not reason else f"Cancelled: {reason}", now
        )
        if transmitted:
            self._listener.status(order)
            self._listener.failed(order, 202, f"Order Canceled - reason:{reason}")
        if order.filled:
            self._wake_children(order, now)
        else:
            for child in self._children(order.perm_id):
                self.cancelled(child, reason, now)

    # -- second thoughts

    def correct(self, exec_id: str, quantity: Decimal | None, price: Decimal | None) -> Execution:
        """Correct an execution: the same fill again with the next revision in its id. KeyError where it is unknown, ValueError where superseded."""
        old = self.executions[exec_id]
        if old.superseded:
            raise ValueError(f"execution {exec_id} has been corrected already")
        stem, _, revision = exec_id.rpartition(".")
        new = replace(
            old,
            exec_id=f"{stem}.{int(revision) + 1:02d}",
            quantity=quantity or old.quantity,
            price=price or old.price,
        )
        new.cumulative += new.quantity - old.quantity
        new.average = new.price if new.cumulative == new.quantity else new.average
        self._settle(old, -1)
        new.realized = self._settle(new, 1)
        old.superseded = True
        self.executions[new.exec_id] = new
        order = self.orders.get(old.perm_id)
        if order is not None:
            fills = [e for e in self.executions.values() if e.perm_id == order.perm_id and not e.superseded]
            order.filled = sum((fill.quantity for fill in fills), Decimal(0))
            order.average = sum((fill.quantity * fill.price for fill in fills), Decimal(0)) / order.filled
            self._note(order)
        self._note(old)
        self._note(new)
        self._listener.executed(order, new)
        self._listener.account_changed(new.account, new.con_id)
        return new


def _trade(position: Position, change: Decimal, price: Decimal, fee: Decimal) -> Decimal:
    """Add a trade to a position at average cost, fees included, and return what it realized."""
    before = position.quantity
    after = before + change
    multiplier = position.instrument.multiplier
    if before * change >= 0:  # more of the same
        cost = (
            before * position.average_cost
            + change * price * multiplier
            + (fee if change > 0 else -fee if change < 0 else 0)
        )
        position.quantity, position.average_cost = after, cost / after if after else Decimal(0)
        return Decimal(0)
    closed = min(abs(change), abs(before))
    sign = 1 if before > 0 else -1
    realized = sign * closed * (price * multiplier - position.average_cost) - fee
    position.quantity = after
    position.realized += realized
    if before * after < 0:
        position.average_cost = price * multiplier
    elif not after:
        position.average_cost = Decimal(0)
    return realized


def _day(moment: datetime) -> str:
    return moment.astimezone(hours.NEW_YORK).date().isoformat()
