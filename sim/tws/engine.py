"""The broker: takes orders, trades them against the market, keeps the books. Deterministic and without I/O.

Every method that does something takes the moment at which it happens. What comes of it is told to a listener in the order in which TWS
would say it, and every record that changed is noted in `changed` for whoever keeps the state.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from enum import Enum
from typing import Protocol

from sim.tws import checks, combos, hours, matching, money
from sim.tws.book import Account, Counters, Execution, Order, Position, Record
from sim.tws.contracts import BY_ID, Instrument
from sim.tws.errors import Refused, invalid
from sim.tws.history import parse_moment
from sim.tws.ledger import Ledger, cost_of
from sim.tws.market import Market, Quote, full_minutes
from sim.tws.register import Register
from sim.tws.terms import Terms

_ROUTES = ("ISLAND", "ARCA", "BATS", "IEX")
_OPTION_ROUTES = ("CBOE", "AMEX", "ISE", "PHLX")


class Opening(Enum):
    """Whether the exchange is open: always, never, or by its calendar."""

    OPEN = "open"
    CLOSED = "closed"
    HOURS = "hours"


class CommissionMode(Enum):
    """When the commission of a fill is reported: after it, ahead of it, only when told to, or not at all."""

    AFTER = "after"
    BEFORE = "before"
    LATE = "late"
    NEVER = "never"


@dataclass(slots=True)
class Rules:
    """What was arranged from outside: `fills` and `cancels` happen by themselves or not, the next `rejects` orders are rejected.

    A combination trades inside its spread from halfway plus `improves` of half of it on.
    With `partial` an order that meets the market trades in parts, one each time it is looked at. `fired` counts what took effect.
    """

    opening: Opening = Opening.OPEN
    fills: bool = True
    partial: bool = False
    cancels: bool = True
    commission: CommissionMode = CommissionMode.AFTER
    improves: Decimal = Decimal("0.25")
    rejects: int = 0
    reject_type: str = ""
    reject_code: int = 201
    reject_text: str = ""
    fired: Counter[str] = field(default_factory=Counter)


class Listener(Protocol):
    """Who is told what happens."""

    def opened(self, order: Order) -> None:
        """The order as a whole, with its status."""

    def status(self, order: Order) -> None:
        """Its status alone."""

    def executed(self, order: Order, execution: Execution) -> None:
        """A fill, or the correction of one."""

    def commissioned(self, order: Order, execution: Execution) -> None:
        """The commission of a fill."""

    def failed(self, order: Order, code: int, text: str) -> None:
        """Something to say about an order, in TWS's codes."""

    def settled(self, execution: Execution) -> None:
        """What became of an option by itself: an execution of no order."""

    def account_changed(self, account: str, con_id: int) -> None:
        """A position and the money of an account are not what they were."""


class Engine:
    """Orders and what becomes of them. `seed` decides what an account begins with."""

    def __init__(self, seed: int, market: Market, listener: Listener) -> None:
        self.market = market
        self.rules = Rules()
        self.changed: dict[tuple[str, str | int], Record] = {}
        self.ledger = Ledger(seed, market, self._note)
        self.register = Register(self._note)
        self._listener = listener
        self._last_run: datetime | None = None
        self._held_back: set[tuple[str, int]] = set()

    # -- state

    def restore(self, records: Iterable[Record]) -> None:
        """Take up the state that an earlier engine left."""
        for record in records:
            match record:
                case Account():
                    self.ledger.accounts[record.id] = record
                case Position():
                    self.ledger.positions[record.account, record.con_id] = record
                case Execution():
                    self.ledger.restore(record)
                case Order():
                    self.register.enter(record)
                case Counters():
                    self.register.counters = record

    def _note(self, record: Record) -> None:
        match record:
            case Account():
                self.changed["account", record.id] = record
            case Position():
                self.changed["position", f"{record.account}:{record.con_id}"] = record
            case Execution():
                self.changed["execution", record.exec_id] = record
            case Order():
                self.changed["order", record.perm_id] = record
            case Counters():
                self.changed["counters", "all"] = record

    # -- questions

    def is_open(self, now: datetime, calendar: hours.Calendar = hours.SHARES) -> bool:
        """Whether the exchange takes orders at a moment."""
        opening = self.rules.opening
        return opening is Opening.OPEN or (opening is Opening.HOURS and calendar.is_open(now))

    def preview(
        self,
        client_id: int,
        order_id: int,
        instrument: Instrument,
        exchange: str,
        terms: Terms,
        now: datetime,
    ) -> tuple[Order, money.Preview]:
        """What an order would do, and the order as it would be taken. Refused where TWS would refuse it."""
        account = checks.check(instrument, terms, self.ledger.accounts)
        order = Order(
            0, client_id, order_id, instrument.con_id, exchange, terms, account, now, 0, status="PreSubmitted"
        )
        return order, self._effect(order, now)

    def _effect(self, order: Order, now: datetime) -> money.Preview:
        quote, terms = self.quote(order, now), order.terms
        far = quote.ask if order.sign > 0 else quote.bid
        said = terms.limit if terms.limit or order.instrument.is_combination else None
        price = (far if matching.trails(terms.type) else terms.aux) or far if said is None else said
        rate = self.market.rate(order.instrument.currency, now)
        leg = order.instrument.is_combination
        trades = [
            money.Trade(instrument, change, at, money.commission(instrument, abs(change), at, rate, leg))
            for instrument, change, at in self._moves(order, terms.quantity, price, now)
        ]
        before, after = self.ledger.margin(order.account, now), self.ledger.margin(order.account, now, trades)
        fee = sum((trade.fee for trade in trades), Decimal(0))
        return money.Preview(before, after, fee, money.fee_currency(order.instrument))

    def _moves(
        self, order: Order, quantity: Decimal, price: Decimal, now: datetime
    ) -> list[tuple[Instrument, Decimal, Decimal]]:
        """What a trade of an order moves: what, how many of it, at which price. Of a combination, its legs."""
        if not order.instrument.is_combination:
            return [(order.instrument, order.sign * quantity, price)]
        legs = order.terms.legs
        prices = combos.split(self.market, legs, price, now)
        return [
            (part.instrument, order.sign * part.ratio * quantity, at)
            for part, at in zip(combos.parts(legs), prices, strict=True)
        ]

    def quote(self, order: Order, now: datetime) -> Quote:
        """What an order meets in the market: the quote of what it is for, of a combination that of its legs together."""
        if not order.instrument.is_combination:
            return self.market.quote(order.con_id, now)
        quoted = combos.quote(self.market, order.terms.legs, now)
        limit = order.terms.limit if order.terms.type == "LMT" else None
        return combos.within(quoted, order.sign, limit, self.rules.improves)

    # -- orders come in

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
        """A new order, or a change of a working one. Refused where TWS takes no note of it; a rejected one stays on record."""
        known = self.register.find(client_id, order_id)
        if known is not None and not known.done:
            self._modify(known, instrument, terms, now)
            return
        if known is not None and known.status == "Filled":
            raise Refused(104, "Cannot modify a filled order.")
        if known is not None or order_id < self.register.next_id(client_id):
            raise Refused(103, "Duplicate order id")
        account = checks.check(instrument, terms, self.ledger.accounts)
        parent = self.register.find(client_id, terms.parent_id) if terms.parent_id else None
        if terms.parent_id and (parent is None or parent.status in {"Cancelled", "Inactive"}):
            raise Refused(135, f"Can't find order with id ={terms.parent_id}")
        self.register.used(client_id, order_id)
        order = self._new(client_id, order_id, instrument, exchange, terms, account, now)
        order.received_ns = received_ns
        if parent is not None:
            order.parent_perm_id = parent.perm_id
            group, kind = terms.oca_group or str(parent.perm_id), terms.oca_type or 3
            order.terms = replace(terms, oca_group=group, oca_type=kind)
            self.register.join(order)
        if terms.transmit:
            self._transmit(order, now)

    def place_by_hand(self, account: str, instrument: Instrument, terms: Terms, now: datetime) -> Order:
        """An order typed into TWS itself; it has no order id until a client with id 0 binds it. Refused for what cannot be traded."""
        checks.check_kind(instrument, terms)
        order = self._new(0, 0, instrument, instrument.exchanges[0], terms, account, now)
        order.manual = True
        self._activate(order, now)
        return order

    def _new(
        self,
        client_id: int,
        order_id: int,
        instrument: Instrument,
        exchange: str,
        terms: Terms,
        account: str,
        now: datetime,
    ) -> Order:
        order = Order(
            self.register.next_perm_id(),
            client_id,
            order_id,
            instrument.con_id,
            exchange,
            terms,
            account,
            now,
            0,
        )
        order.stop = terms.trail_stop
        order.starts = parse_moment(terms.good_after) if terms.good_after else None
        if terms.type in matching.AT_CLOSE:
            order.ends = instrument.calendar.next_close(now)
        elif terms.tif == "GTD" and terms.good_till:
            order.ends = parse_moment(terms.good_till)
        self.register.enter(order)
        self._note(order)
        return order

    def _modify(self, order: Order, instrument: Instrument, terms: Terms, now: datetime) -> None:
        same = order.con_id == instrument.con_id and order.terms.legs == terms.legs
        if not same or order.terms.action != terms.action:
            raise Refused(105, "Order being modified does not match original order")
        checks.check(instrument, terms, self.ledger.accounts)
        if terms.quantity <= order.filled:
            raise Refused(104, "Cannot modify a filled order.")
        if order.status == "PendingCancel":
            raise Refused(161, _not_cancellable(order))
        if order.status and self._takes_reject(terms):
            raise Refused(self.rules.reject_code, self.rules.reject_text)
        if (terms.type, terms.aux, terms.trail_percent) != (
            order.terms.type,
            order.terms.aux,
            order.terms.trail_percent,
        ):
            order.triggered, order.stop = False, terms.trail_stop
        group, kind = order.terms.oca_group or terms.oca_group, order.terms.oca_type or terms.oca_type
        order.terms = replace(terms, oca_group=group, oca_type=kind, parent_id=order.terms.parent_id)
        self.register.join(order)
        self._note(order)
        if order.status:
            self._rest(order)
            self._meet(order, self.quote(order, now), now)
        elif terms.transmit:
            self._transmit(order, now)

    def _transmit(self, order: Order, now: datetime) -> None:
        """Send an order with everything that waits for it: its parent, and the parent's other children."""
        family = order.parent_perm_id or order.perm_id
        for member in [self.register.orders[family], *self.register.children(family)]:
            if not member.status:
                self._activate(member, now)

    def _activate(self, order: Order, now: datetime) -> None:
        """A transmitted order: rejected, held, or at work."""
        code, text = self._rejection(order, now)
        if code:
            self._reject(order, code, text, now)
            return
        order.held = self._waits(order, now)
        if not self.is_open(now, order.instrument.calendar) and not order.parent_perm_id:
            self._listener.failed(order, 399, _held_until(order, now))
        elif warning := checks.odd_lot(order):
            self._listener.failed(order, 399, warning)
        self._rest(order, fresh=True)
        self._meet(order, self.quote(order, now), now)

    def _takes_reject(self, terms: Terms) -> bool:
        """Whether a reject that was arranged strikes these terms."""
        if not self.rules.rejects or self.rules.reject_type not in ("", terms.type):
            return False
        self.rules.rejects -= 1
        self.rules.fired["reject"] += 1
        return True

    def _rejection(self, order: Order, now: datetime) -> tuple[int, str]:
        if self._takes_reject(order.terms):
            return self.rules.reject_code, self.rules.reject_text
        text = "" if order.parent_perm_id else checks.unaffordable(self._effect(order, now))
        return (201 if text else 0), text

    def _reject(self, order: Order, code: int, text: str, now: datetime) -> None:
        self.register.complete(order, "Inactive", text, now)
        self._listener.failed(order, code, text)
        self._listener.opened(order)
        for child in self.register.children(order.perm_id):
            self.cancelled(child, "parent order was rejected", now)

    def _waits(self, order: Order, now: datetime) -> bool:
        return not self.is_open(now, order.instrument.calendar) or (
            order.starts is not None and now < order.starts
        )

    def _rest(self, order: Order, fresh: bool = False) -> None:
        """Give an order that waits for the market its status, and tell it. A fresh market order is told before it trades."""
        waiting = matching.conditional(order) and not order.triggered
        if self._waits_for_parent(order):
            order.status, order.why_held = "PreSubmitted", "child,trigger" if waiting else "child"
        elif waiting:
            order.status, order.why_held = "PreSubmitted", "trigger"
        else:
            early = (
                order.held or order.terms.type in matching.AT_CLOSE or (fresh and order.terms.type == "MKT")
            )
            order.status, order.why_held = "PreSubmitted" if early else "Submitted", ""
        self._note(order)
        self._listener.opened(order)

    def _waits_for_parent(self, order: Order) -> bool:
        parent = self.register.parent(order)
        return parent is not None and not parent.done

    # -- the market moves

    def run(self, now: datetime) -> None:
        """Let the market run up to `now`: every price it passed on the way is met by the orders that wait."""
        since, self._last_run = self._last_run or now, now
        if self.register.working():
            for moment in [*full_minutes(since, now), now]:
                self._step(moment)
        for position in self.ledger.over(now):
            self.end(position, abs(position.quantity), None, position.instrument.expires)

    def _step(self, moment: datetime) -> None:
        quotes: dict[int, Quote] = {}
        for order in self.register.working():
            if not order.done and moment >= order.created:
                quote = None if order.instrument.is_combination else quotes.get(order.con_id)
                if quote is None:
                    quote = quotes[order.con_id] = self.quote(order, moment)
                self._turn(order, quote, moment)

    def _turn(self, order: Order, quote: Quote, now: datetime) -> None:
        """What a moment does to an order: it expires, waits, works, trades."""
        if self._over(order, now):
            self.cancelled(order, "the option has expired", now)
            return
        if order.ends is not None and now >= order.ends:
            price = matching.at_close(order, quote.last) if order.terms.type in matching.AT_CLOSE else None
            if price is not None and self.rules.fills and not self.market.halted(order.con_id, now):
                self.fill(order, order.remaining, price, now)
            else:
                self.cancelled(order, "", now)
            return
        waits = self._waits(order, now)
        if waits and not order.held and order.terms.tif == "DAY" and self.rules.opening is Opening.HOURS:
            self.cancelled(order, "", now)
            return
        if waits is not order.held and order.status != "PendingCancel":
            order.held = waits
            self._rest(order)
        self._meet(order, quote, now)

    def _over(self, order: Order, now: datetime) -> bool:
        """Whether what an order is for, or a leg of it, cannot be traded any more."""
        of = [order.instrument, *(BY_ID[leg.con_id] for leg in order.terms.legs)]
        return any(one.is_option and now >= one.expires for one in of)

    def _meet(self, order: Order, quote: Quote, now: datetime) -> None:
        """An order and a quote: follow the price, trigger, trade."""
        if order.done or order.held or order.terms.type in matching.AT_CLOSE or self._waits_for_parent(order):
            return
        step = matching.advance(order, quote)
        if self.market.halted(order.con_id, now):
            self._sit_out(order, step, now)
            return
        if step.stop != order.stop and matching.trails(order.terms.type):
            order.stop = step.stop
            self._note(order)
        if step.triggered and not order.triggered and matching.conditional(order):
            order.triggered = True
            if order.status != "PendingCancel":
                self._rest(order)
        if step.price is not None and self.rules.fills:
            self.fill(order, self._portion(order), step.price, now)
        elif step.price is not None:
            self._hold(order, "fills_hold")
        elif order.terms.tif in {"IOC", "FOK"}:
            self.cancelled(order, "", now)

    def _portion(self, order: Order) -> Decimal:
        """How much of an order trades at once: all that remains, or a third of the order in whole shares."""
        part = (order.terms.quantity / 3).to_integral_value(ROUND_CEILING)
        if not self.rules.partial or order.terms.tif == "FOK" or part >= order.remaining:
            return order.remaining
        self.rules.fired["partial"] += 1
        return part

    def _sit_out(self, order: Order, step: matching.Step, now: datetime) -> None:
        """An order in something that is halted: it waits as it is, and one that may not wait goes."""
        if order.terms.tif in {"IOC", "FOK"}:
            self.cancelled(order, "", now)
        elif step.price is not None:
            self._hold(order, "halt_held")

    def _hold(self, order: Order, why: str) -> None:
        """An order could trade and was not let: counted once for each."""
        if (why, order.perm_id) not in self._held_back:
            self._held_back.add((why, order.perm_id))
            self.rules.fired[why] += 1

    # -- fills

    def fill(
        self, order: Order, quantity: Decimal, price: Decimal, now: datetime, overfill: bool = False
    ) -> Execution:
        """Trade some of an order.

        ValueError where it does not work or trading is halted, or for more than remains unless that is what is wanted.
        """
        if self.market.halted(order.con_id, now):
            raise ValueError(
                f"trading in {order.instrument.symbol} is halted: nothing is filled until it goes on"
            )
        if order.done or not order.status:
            raise ValueError(
                f"order {order.perm_id} is not working: its status is {order.status or 'untransmitted'}"
            )
        if quantity <= 0 or (quantity > order.remaining and not overfill):
            raise ValueError(f"order {order.perm_id} has {order.remaining} to trade, not {quantity}")
        filled = order.filled + quantity
        order.average = (order.average * order.filled + price * quantity) / filled
        order.filled, order.last_price, order.why_held, order.triggered = filled, price, "", True
        if order.remaining <= 0:
            self.register.complete(order, "Filled", f"Filled Size: {order.filled}", now)
        elif order.status != "PendingCancel":
            order.status = "Submitted"
        made = self._book(order, quantity, price, now)
        self._report(order, made)
        if order.status == "Filled":
            self._wake_children(order, now)
        self._settle_group(order, quantity, now)
        return made[0]

    def _book(self, order: Order, quantity: Decimal, price: Decimal, now: datetime) -> list[Execution]:
        """Book a fill; that of a combination first as a whole, then leg by leg. Returns the executions in that order."""
        number, earlier = self.register.next_execution(), self.ledger.valid(order.perm_id)
        moves = self._moves(order, quantity, price, now)
        if order.instrument.is_combination:
            moves.insert(0, (order.instrument, order.sign * quantity, price))
        rate = self.market.rate(order.instrument.currency, now)
        made = []
        for part, (instrument, change, at) in enumerate(moves, 1):
            before = [fill for fill in earlier if fill.con_id == instrument.con_id]
            execution = self._execution(
                order, f"{0x65A00000 + number:08x}.{part:02d}", instrument, change, at, now
            )
            spent = sum((fill.quantity * fill.price for fill in before), execution.quantity * at)
            execution.cumulative = sum((fill.quantity for fill in before), execution.quantity)
            execution.average = spent / execution.cumulative
            if instrument is order.instrument:
                execution.cumulative, execution.average = order.filled, order.average
            if not instrument.is_combination:
                execution.commission = cost_of(instrument, execution, rate, before, len(moves) > 1)
            self.ledger.book(execution)
            made.append(execution)
        paid = sum((fill.commission for fill in earlier), Decimal(0))
        order.commission = sum((execution.commission for execution in made), paid)
        self._note(order)
        return made

    def _execution(
        self,
        order: Order,
        suffix: str,
        instrument: Instrument,
        change: Decimal,
        price: Decimal,
        now: datetime,
    ) -> Execution:
        routes = _OPTION_ROUTES if order.instrument.underlying else _ROUTES
        smart = routes[int(suffix[:8], 16) % len(routes)]
        return Execution(
            exec_id=f"0000e0d5.{suffix}.01",
            perm_id=order.perm_id,
            client_id=order.client_id,
            order_id=order.order_id,
            ref=order.terms.ref,
            account=order.account,
            con_id=instrument.con_id,
            exchange=smart if order.exchange == "SMART" else order.exchange,
            side="BOT" if change > 0 else "SLD",
            quantity=abs(change),
            price=price,
            cumulative=abs(change),
            average=price,
            at=now,
            commission=Decimal(0),
            realized=Decimal(0),
            currency=money.fee_currency(instrument),
        )

    def _report(self, order: Order, made: list[Execution]) -> None:
        """Tell a fill as TWS does: executions, order, and the order again when its commission is known. A combination as such has none."""
        mode = self.rules.commission
        charged = [one for one in made if not one.instrument.is_combination]
        if mode is not CommissionMode.AFTER:
            self.rules.fired[f"commission_{mode.value}"] += 1
        known, order.commission = order.commission, None
        for execution in charged if mode is CommissionMode.BEFORE else ():
            self._report_commission(order, execution)
        for execution in made:
            self._listener.executed(order, execution)
        self._listener.opened(order)
        order.commission = known
        if mode is CommissionMode.AFTER:
            self._listener.opened(order)
            for execution in charged:
                self._report_commission(order, execution)
        for execution in charged:
            self._listener.account_changed(order.account, execution.con_id)

    def _report_commission(self, order: Order, execution: Execution) -> None:
        execution.reported = True
        self._note(execution)
        self._listener.commissioned(order, execution)

    def release_commission(self, exec_id: str) -> None:
        """Report a commission that was held back. KeyError for an unknown execution."""
        execution = self.ledger.executions[exec_id]
        self._report_commission(self.register.orders[execution.perm_id], execution)

    def correct(self, exec_id: str, quantity: Decimal | None, price: Decimal | None) -> Execution:
        """Correct an execution: it is told again under its next revision. KeyError where it is unknown, ValueError where it was corrected."""
        new = self.ledger.correct(exec_id, quantity, price)
        order = self.register.orders[new.perm_id]
        fills = [fill for fill in self.ledger.valid(order.perm_id) if fill.con_id == order.con_id]
        order.filled = sum((fill.quantity for fill in fills), Decimal(0))
        order.average = sum((fill.quantity * fill.price for fill in fills), Decimal(0)) / order.filled
        self._note(order)
        self._listener.executed(order, new)
        self._listener.account_changed(new.account, new.con_id)
        return new

    def _wake_children(self, parent: Order, now: datetime) -> None:
        """What was attached to an order begins to work, for as much as the order traded."""
        for child in self.register.children(parent.perm_id):
            if child.status:
                child.terms = replace(child.terms, quantity=min(child.terms.quantity, parent.filled))
                child.held = self._waits(child, now)
                self._rest(child)
                self._meet(child, self.quote(child, now), now)

    def _settle_group(self, order: Order, quantity: Decimal, now: datetime) -> None:
        """One cancels all: the other orders of the group go, or shrink where the order is only partly filled (types 2 and 3)."""
        for other in self.register.group(order):
            left = other.terms.quantity - quantity
            if order.status == "Filled" or order.terms.oca_type == 1 or left <= other.filled:
                self.cancelled(other, "", now)
            else:
                other.terms = replace(other.terms, quantity=left)
                self._note(other)
                self._listener.opened(other)

    # -- options end

    def end(
        self, position: Position, quantity: Decimal, exercised: bool | None, now: datetime
    ) -> list[Execution]:
        """End some of an option that is held: it is gone, and where it is exercised or assigned its shares move at the strike.

        `exercised` None lets the price decide, as at the close of its last day: a cent in the money is enough.
        """
        option, long = position.instrument, position.quantity > 0
        if exercised is None:
            spot = self.market.quote(option.underlying, now).last
            inside = spot - option.strike if option.right == "C" else option.strike - spot
            exercised = inside >= option.min_tick and not (long and position.lapses)
        stem = f"{0x65A00000 + self.register.next_execution():08x}"
        gone = -quantity if long else quantity
        moves = [(option, gone, Decimal(0))]
        if exercised:
            shares = -gone * option.multiplier * (1 if option.right == "C" else -1)
            moves.append((BY_ID[option.underlying], shares, option.strike))
        made = []
        for part, (instrument, change, price) in enumerate(moves, 1):
            execution = Execution(
                exec_id=f"0000e0d5.{stem}.{part:02d}.01",
                perm_id=0,
                client_id=0,
                order_id=0,
                ref="",
                account=position.account,
                con_id=instrument.con_id,
                exchange=instrument.listing,
                side="BOT" if change > 0 else "SLD",
                quantity=abs(change),
                price=price,
                cumulative=abs(change),
                average=price,
                at=now,
                commission=Decimal(0),
                realized=Decimal(0),
                currency=instrument.currency,
                reported=True,
            )
            self.ledger.book(execution)
            made.append(execution)
        for execution in made:
            self._listener.settled(execution)
        for execution in made:
            self._listener.account_changed(execution.account, execution.con_id)
        return made

    def exercise(
        self, account: str, option: Instrument, action: int, quantity: int, override: bool, now: datetime
    ) -> None:
        """A holder exercises an option (1), or says that it is to lapse (2). Refused for more than is held, or out of the money without `override`."""
        held = self.ledger.positions.get((account, option.con_id))
        if quantity < 1 or action not in {1, 2}:
            raise invalid("An exercise needs an action, 1 or 2, and a quantity")
        if held is None or held.quantity < quantity:
            raise Refused(
                322,
                "Error processing request.-'bV' : cause - No unlapsed position exists in this option "
                f"in account {account}.",
            )
        if action == 2:
            held.lapses = True
            self._note(held)
            return
        spot = self.market.quote(option.underlying, now).last
        inside = spot - option.strike if option.right == "C" else option.strike - spot
        if inside < option.min_tick and not override:
            raise Refused(
                322,
                "Error processing request.-'bV' : cause - The option is out of the money: it is exercised with override only.",
            )
        self.end(held, Decimal(quantity), True, now)

    # -- orders go

    def cancel(self, client_id: int, order_id: int, now: datetime) -> None:
        """A client takes an order back. Refused where there is nothing to take back."""
        order = self.register.find(client_id, order_id)
        if order is None:
            raise Refused(10147, f"OrderId {order_id} that needs to be cancelled is not found.")
        if order.done:
            raise Refused(
                10148,
                f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {order.status}.",
            )
        if order.status == "PendingCancel":
            raise Refused(161, _not_cancellable(order))
        self._cancel(order, now)

    def cancel_everything(self, now: datetime) -> None:
        """Every working order of every client goes, those typed by hand included."""
        for order in self.register.working():
            if not order.done and order.status != "PendingCancel":
                self._cancel(order, now)

    def _cancel(self, order: Order, now: datetime) -> None:
        if self.rules.cancels or not order.status:
            self.cancelled(order, "", now)
        else:
            order.status = "PendingCancel"
            self.rules.fired["cancels_hold"] += 1
            self._note(order)
            self._listener.status(order)

    def cancelled(self, order: Order, reason: str, now: datetime) -> None:
        """An order is gone, whoever wanted it. What was attached to it goes too, or protects what it traded."""
        self.register.complete(
            order, "Cancelled", f"Cancelled by {'Trader' if not reason else 'System: ' + reason}", now
        )
        self._listener.status(order)
        self._listener.failed(order, 202, f"Order Canceled - reason:{reason}")
        if order.filled:
            self._wake_children(order, now)
        else:
            for child in self.register.children(order.perm_id):
                self.cancelled(child, reason, now)


def _held_until(order: Order, now: datetime) -> str:
    instrument = order.instrument
    opening = instrument.calendar.next_open(now).astimezone(hours.NEW_YORK)
    what = f"{order.terms.action} {order.terms.quantity} {instrument.symbol} {instrument.listing}.{instrument.trading_class}"
    return (
        f"Order Message:\n{what}\n"
        f"Warning: Your order will not be placed at the exchange until {opening:%Y-%m-%d %H:%M:%S} US/Eastern."
    )


def _not_cancellable(order: Order) -> str:
    return f"Cancel attempted when order is not in a cancellable state.  Order permId = {order.perm_id}"
