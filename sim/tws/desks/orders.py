"""Orders: placing, changing and cancelling them, and what is open, done and executed."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sim.tws import combos, history
from sim.tws import order_answers as answers
from sim.tws.book import Execution, Order
from sim.tws.desks.info import only
from sim.tws.errors import Refused, invalid
from sim.tws.terms import Contract, Terms

if TYPE_CHECKING:
    from sim.tws.session import Session

_SIDES = {"": "", "BUY": "BOT", "BOT": "BOT", "SELL": "SLD", "SLD": "SLD", "SSHORT": "SLD"}


class OrderDesk:
    """Takes a client's orders to the engine, and tells the client what becomes of them."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._engine = session.engine
        self.binds = False
        """Whether orders typed into TWS by hand are bound to this client as they come."""

    @property
    def _client_id(self) -> int:
        return self._session.client_id or 0

    # -- requests

    def on_place_order(self, request_id: int, contract: Contract, terms: Terms) -> None:
        """A new order, a change of one, or the question what one would do."""
        session, faults = self._session, self._session.server.faults
        if not terms.what_if and faults.take("swallow"):
            return
        if contract.sec_type == "BAG":
            instrument = combos.instrument(terms.legs, terms.leg_prices, session.now)
        else:
            instrument = only(contract, session.now)
        exchange = contract.exchange or instrument.exchanges[0]
        if terms.what_if:
            order, preview = self._engine.preview(
                self._client_id, request_id, instrument, exchange, terms, session.now
            )
            if faults.take("what_if_unset"):
                session.send(answers.open_order(session.version, order, terms.parent_id))
            elif not faults.take("what_if_silent"):
                gaps = faults.take("what_if_gaps")
                session.send(answers.previewed(session.version, order, terms.parent_id, preview, gaps))
            return
        with session.server.silence(session, faults.take("no_ack")):
            self._engine.place(
                self._client_id, request_id, instrument, exchange, terms, session.now, session.received_ns
            )

    def on_exercise_options(
        self, request_id: int, contract: Contract, action: int, quantity: int, account: str, override: int
    ) -> None:
        """Exercise an option that is held, or let it lapse."""
        option, accounts = only(contract, self._session.now), self._engine.ledger.accounts
        account = account or next(iter(accounts))
        if not option.is_option or account not in accounts:
            raise invalid("An exercise needs an option and an account")
        self._engine.exercise(account, option, action, quantity, bool(override), self._session.now)

    def on_cancel_order(self, request_id: int) -> None:
        """Take an order back."""
        self._engine.cancel(self._client_id, request_id, self._session.now)

    def on_global_cancel(self) -> None:
        """Take every order back, whoever placed it."""
        self._engine.cancel_everything(self._session.now)

    def on_open_orders(self) -> None:
        """The client's own working orders; client 0 takes those typed by hand over."""
        if self._client_id == 0:
            self._bind_all()
        for order in self._engine.register.working():
            if order.client_id == self._client_id:
                self.tell(order)
        self._session.send(answers.open_orders_end())

    def on_auto_open_orders(self, bind: bool) -> None:
        """Whether orders typed by hand are bound to this client, which must be client 0."""
        if self._client_id != 0:
            text = "Error validating request.-'cT' : cause - Only the default client (i.e 0) can auto bind orders"
            raise Refused(321, text)
        self.binds = bind
        if bind:
            self._bind_all()

    def on_all_open_orders(self) -> None:
        """The working orders of all clients, without binding any."""
        for order in self._engine.register.working():
            self.tell(order)
        self._session.send(answers.open_orders_end())

    def on_completed_orders(self, api_only: bool) -> None:
        """The orders done today."""
        for order in self._engine.register.completed(self._session.now):
            if not (api_only and order.manual):
                self._session.send(answers.completed_order(self._session.version, order))
        self._session.send(answers.completed_orders_end())

    def on_executions(
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
        """Today's executions of every client that pass the filter, with the commissions known so far."""
        if side.upper() not in _SIDES:
            raise Refused(321, f"Error validating request.-'bQ' : cause - Invalid side {side!r}")
        start = history.parse_moment(since) if since else None
        for fill in self._engine.ledger.executed_on(self._session.now):
            asked = (
                (client_id or None, fill.client_id),
                (account, fill.account),
                (symbol, fill.instrument.symbol),
                (sec_type, fill.instrument.sec_type),
                (exchange if exchange != "SMART" else "", fill.exchange),
                (_SIDES[side.upper()], fill.side),
            )
            if all(not wanted or wanted == value for wanted, value in asked) and (
                start is None or fill.at >= start
            ):
                self.tell_execution(fill, request_id)
                if fill.reported:
                    self.tell_commission(fill)
        self._session.send(answers.executions_end(request_id))

    # -- news

    def tell(self, order: Order, status_only: bool = False) -> None:
        """An order as it stands."""
        session, faults = self._session, self._session.server.faults
        parent = self._engine.register.parent(order)
        parent_id = parent.order_id if parent else 0
        if not status_only:
            session.send(answers.open_order(session.version, order, parent_id))
        status = answers.order_status(order, parent_id)
        session.send(status * 2 if faults.take("duplicate") else status)
        if order.done and faults.take("stale"):
            session.send(answers.order_status(replace(order, status="Submitted"), parent_id))

    def tell_execution(self, fill: Execution, request_id: int = -1) -> None:
        """A fill; -1 for one that happens now."""
        self._session.send(answers.execution(self._session.version, request_id, fill))

    def tell_commission(self, fill: Execution) -> None:
        """What a fill cost."""
        self._session.send(answers.commission(fill))

    def bind(self, order: Order) -> None:
        """Give an order typed into TWS an id of this client (0), and say so."""
        if not order.order_id:
            self._engine.register.bind(order)
            self._session.send(answers.order_bound(order.perm_id, 0, order.order_id))

    def _bind_all(self) -> None:
        for order in self._engine.register.working():
            if order.manual:
                self.bind(order)
