"""What the desk needs from the world, in its own words. Whoever fits may stand behind a port; `bot.app` decides who does."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from core.decision import Decision
from core.model import (
    Account,
    Bar,
    BrokerBook,
    BrokerEvent,
    Chain,
    Closing,
    ClosingState,
    Commission,
    Dividend,
    Execution,
    History,
    Instrument,
    JobRun,
    Link,
    ModelCall,
    Notice,
    OpeningLot,
    OptionQuote,
    OptionTerms,
    Order,
    OrderState,
    Origin,
    Outgoing,
    Position,
    Quote,
    Role,
    StoredDecision,
    Ticket,
    TicketState,
    Trade,
    WhatIf,
)


class Clock(Protocol):
    """Time. Wall time to write down, monotonic seconds to measure with."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class Broker(Protocol):
    """The road to the broker. Everything raises the BrokerError family; None means the broker has not said."""

    @property
    def link(self) -> Link:
        """The state of the road."""
        ...

    @property
    def account(self) -> Account | None:
        """The account's money, None until the broker has told it."""
        ...

    @property
    def positions(self) -> tuple[Position, ...] | None:
        """Every holding of the account; None while it is not known (an empty tuple means: none)."""
        ...

    async def next_money(self) -> None:
        """Wait until figures of the account have come since this was last asked."""
        ...

    async def next_event(self) -> BrokerEvent:
        """The next thing the broker said, in its order."""
        ...

    async def find(self, symbol: str) -> Instrument:
        """The one stock of this name. Raises BadInput where there is none or more than one."""
        ...

    async def quote(self, instrument: Instrument, max_age_seconds: float, keep_seconds: float) -> Quote:
        """A quote no older than `max_age_seconds`, kept subscribed for `keep_seconds`. Raises Refused or NoAnswer."""
        ...

    async def chain(self, underlying: Instrument) -> Chain:
        """Which options of it there are. Raises BadInput where there are none, Refused or NoAnswer."""
        ...

    async def options(
        self, underlying: Instrument, wanted: Sequence[OptionTerms]
    ) -> tuple[Instrument | None, ...]:
        """The broker's contracts for these, in their order; None for one that does not exist. Raises Refused or NoAnswer."""
        ...

    async def option_quotes(
        self, instruments: Sequence[Instrument], max_age_seconds: float, keep_seconds: float
    ) -> tuple[OptionQuote | None, ...]:
        """Their markets with Greeks, asked together; None for one of which nothing came. Each is kept subscribed for `keep_seconds`."""
        ...

    async def dividend(self, underlying: Instrument) -> Dividend | None:
        """The next dividend, where the broker tells one."""
        ...

    async def bars(self, instrument: Instrument) -> tuple[Bar, ...]:
        """A year of daily bars, oldest first, at most ten minutes old. Raises Refused or NoAnswer."""
        ...

    async def what_if(self, ticket: Ticket) -> WhatIf:
        """What the broker says the order would do to margin, and its commission."""
        ...

    async def book(self) -> BrokerBook:
        """One full snapshot; raises NoAnswer rather than return a part of it."""
        ...

    def next_order_id(self) -> int:
        """A fresh order id of this connection."""
        ...

    def ensure_room(self, messages: int = 1) -> None:
        """Keep room for so many messages, which `place` and `cancel` then use: what is being committed must not find it taken.

        Raises Busy where the message limit leaves none now, NotConnected where nothing can leave.
        """
        ...

    @property
    def room(self) -> int:
        """How many messages the broker's limit has room for now."""
        ...

    def place(self, orders: Sequence[Order], instrument: Instrument, parent_id: int = 0) -> None:
        """Write an order, or a bracket with its entry first, to the socket, now or never; an order id in use changes that order.

        `parent_id` is the order id of the entry where a stop or target is written without it.
        Raises Busy or NotConnected, in which case nothing was sent.
        """
        ...

    def cancel(self, order: Order) -> None:
        """Write a cancel to the socket; the same promise as `place`."""
        ...

    def mark_reconciled(self, epoch: int) -> None:
        """The books agree with the broker for this connection: orders may leave."""
        ...


class Ledger(Protocol):
    """What is remembered. One method is one transaction; StorageError means that nothing was done."""

    async def open_orders(self) -> tuple[Order, ...]:
        """Every order that may still trade."""
        ...

    async def last_order_number(self) -> int:
        """The highest number that an order was ever given; 0 before the first."""
        ...

    async def find_orders(self, order_refs: Sequence[str], perm_ids: Sequence[int]) -> tuple[Order, ...]:
        """The orders, over or not, that bear one of these names."""
        ...

    async def sent_since(self, moment: datetime) -> tuple[Order, ...]:
        """Our own orders, over or not, that were sent at or after `moment`, oldest first."""
        ...

    async def executions_since(self, moment: datetime) -> tuple[Execution, ...]:
        """Executions at or after `moment`, and those of orders that are still open whatever their age; the newest revision of each."""
        ...

    async def ticket(self, ticket_id: str) -> Ticket | None:
        """A card's terms and how its story stands."""
        ...

    async def record_sending(
        self, ticket: Ticket, orders: Sequence[Order], origin: Origin, notices: Sequence[Notice]
    ) -> None:
        """THE commit before an order leaves: update done, tap consumed, intents, messages. Raises StaleCard if the tap was consumed."""
        ...

    async def record_cancel(
        self, orders: Sequence[Order], origin: Origin | None, notices: Sequence[Notice]
    ) -> None:
        """The commit before cancels leave; without an origin where no update asked for them."""
        ...

    async def begin_closing(
        self, closing: Closing, orders: Sequence[Order], origin: Origin, notices: Sequence[Notice]
    ) -> None:
        """The commit before protection is taken down for a sale. Raises StaleCard if the tap was consumed."""
        ...

    async def move_closing(
        self, ticket_id: str, state: ClosingState, orders: Sequence[Order], notices: Sequence[Notice]
    ) -> None:
        """The next step of such a sale, with the orders that leave with it."""
        ...

    async def unfinished_closings(self) -> tuple[Closing, ...]:
        """Such sales that are neither done nor put back, oldest first."""
        ...

    async def record(
        self,
        orders: Sequence[Order] = (),
        executions: Sequence[Execution] = (),
        commissions: Sequence[Commission] = (),
        notices: Sequence[Notice] = (),
    ) -> None:
        """Book what the broker said. Idempotent: the same evidence twice changes nothing."""
        ...

    async def order(self, order_ref: str = "", number: int = 0) -> Order | None:
        """One order by its name or its number."""
        ...

    async def orders(self, numbers: Sequence[int]) -> tuple[Order, ...]:
        """The orders of these numbers, in their order, as far as they are known."""
        ...

    async def family(self, card: str) -> tuple[Order, ...]:
        """The order of a card and the stop and target that belong to it, as they stand, oldest first."""
        ...

    async def doubtful_stops(self) -> tuple[Order, ...]:
        """The latest stop of each card where that one is over without a fill or not confirmed, and its entry works or was filled."""
        ...

    async def count_orders(self, card: str, role: Role, states: Sequence[OrderState]) -> int:
        """How many orders of a role a card has had that ended, or stand, in one of these states."""
        ...

    async def trades(self, count: int) -> tuple[Trade, ...]:
        """The last executions with what they cost, newest first."""
        ...

    async def trades_of(self, number: int) -> tuple[Trade, ...]:
        """Every execution of an order with what it cost, newest first."""
        ...

    def watched(self, changed: Callable[[], object]) -> AbstractContextManager[None]:
        """While it lasts, this is called whenever executions or commissions have been written down."""
        ...

    async def post(self, messages: Sequence[Outgoing]) -> None:
        """Put messages into the outbox."""
        ...

    async def decision(self, decision_id: str) -> StoredDecision | None:
        """A decision of the analyst."""
        ...

    async def proposals(self) -> tuple[Ticket, ...]:
        """The proposals that nobody has answered, oldest first, those past their time included."""
        ...

    async def proposals_over(self, since: datetime, now: datetime) -> tuple[Ticket, ...]:
        """The proposals that nobody answered and whose time ended between the two."""
        ...

    async def last_sign(self) -> datetime | None:
        """When a message or an update was last written down; None in a new file."""
        ...

    async def open_cards(self, tickets: Sequence[Ticket], messages: Sequence[Outgoing]) -> None:
        """Cards that can be acted on, with the messages that show them."""
        ...

    async def end_cards(
        self, tickets: Sequence[Ticket], state: TicketState, messages: Sequence[Outgoing]
    ) -> None:
        """End cards whose time is over. Raises StaleCard, and does nothing, where one was answered meanwhile."""
        ...

    async def found_sent(self, ticket_ids: Sequence[str]) -> None:
        """Cards that count as expired turn out to have been sent: their orders are at the broker."""
        ...

    async def history(self, account: str | None = None) -> History:
        """Everything that lots and gains of an account (None: of all) are derived from; deriving is core.lots', off the loop."""
        ...

    async def books_opened(self, account: str) -> bool:
        """Whether it was written down what the account held before its executions were known."""
        ...

    async def open_books(self, account: str, openings: Sequence[OpeningLot]) -> None:
        """Write that down, once: the second time changes nothing."""
        ...

    async def reckoned(self, account: str) -> Mapping[int, tuple[str, str, Decimal]]:
        """(symbol, currency, signed quantity) by con_id: what the executions, openings and adjustments of an account add up to."""
        ...

    async def adjust(self, lot: OpeningLot, origin: Origin, outcome: str) -> None:
        """Take a difference to the broker over into the books, with a line in the log that is kept."""
        ...

    async def run_job(self, run: JobRun, notices: Sequence[Notice]) -> bool:
        """A job was done for a session: the mark and its messages in one commit. False, and nothing, where it was done before."""
        ...

    async def last_run(self, job: str) -> JobRun | None:
        """The run of a job for the latest session."""
        ...

    async def remember(self, key: str, value: str) -> None:
        """Keep a wish of the owner over a restart."""
        ...

    async def recall(self, key: str) -> str | None:
        """What was remembered under `key`."""
        ...

    async def audited(self, kind: str, count: int) -> tuple[tuple[datetime, str], ...]:
        """The last lines of a kind in that log, newest first: (when, what)."""
        ...

    async def keep_trading(
        self, kept: str, outcome: str, origin: Origin | None, notices: Sequence[Notice]
    ) -> None:
        """The trading state, a line in the log, the update that asked for it and what is said of it: one commit."""
        ...

    async def audit(self, kind: str, detail: str, user: int | None = None) -> None:
        """Write one line into the log that is kept for good."""
        ...


class Inbox(Protocol):
    """The updates of the chat, as they came."""

    async def store(self, origin: Origin) -> None:
        """Write an update down before its work is done, so that it may be confirmed to the chat server."""
        ...

    async def finish(
        self,
        origin: Origin,
        outcome: str,
        replies: Sequence[Outgoing] = (),
        opens: Ticket | None = None,
        ends: Ticket | None = None,
    ) -> None:
        """One commit: the update is done, its replies wait to be sent, one card can be acted on, another no longer.

        `ends` bears the state that it ends in. Raises StaleCard, and does nothing, where its story had ended before.
        """
        ...

    async def refuse(
        self, refused: Sequence[tuple[Origin, str]], lines: Sequence[tuple[int | None, str]]
    ) -> None:
        """One commit: nothing was done for these updates (each with its outcome), and the log that is kept says so (who, what)."""
        ...

    async def unfinished(self) -> tuple[Origin, ...]:
        """Updates that were stored and never finished, oldest first."""
        ...

    async def recent(self, count: int) -> frozenset[int]:
        """The ids of the last `count` updates: a second delivery is recognised by them."""
        ...


class Outbox(Protocol):
    """The messages that wait to be sent."""

    async def waiting(self, after: int = 0) -> tuple[Outgoing, ...]:
        """Every message with an id above `after` that is not sent, oldest first."""
        ...

    async def sent(self, messages: Sequence[Outgoing], telegram_id: int | None) -> None:
        """They arrived, as the message `telegram_id`; None where nothing had to be shown."""
        ...

    async def failed(self, message: Outgoing, why: str) -> None:
        """It will not be sent: it cannot be, or something newer took its place."""
        ...

    async def shown_as(self, chat: int, subject: str) -> int | None:
        """The chat's own id of the card that `subject` names; None where it never arrived."""
        ...


class Notifier(Protocol):
    """Whoever carries messages to people."""

    def wake(self) -> None:
        """There is something new in the outbox."""
        ...


class CallRecords(Protocol):
    """What was asked of the model, what it said and what it cost: kept for good."""

    async def record_call(self, call: ModelCall) -> None:
        """Write one call down."""
        ...

    async def calls_since(self, moment: datetime) -> tuple[int, Decimal, int]:
        """(calls that were made, their known cost in dollars, how many may have cost something unknown) at or after `moment`."""
        ...


class DecisionRecords(Protocol):
    """What the analyst decided, executed or not: kept to be graded."""

    async def record_decision(
        self, call: ModelCall, decision: Decision, con_id: int, reference_price: Decimal | None, demo: bool
    ) -> StoredDecision:
        """Write the decision of a recorded call down; returns what was written. Raises StorageError the second time."""
        ...

    async def decision(self, decision_id: str) -> StoredDecision | None:
        """A decision by its id, which is the id of its call."""
        ...

    async def model_call(self, call_id: str) -> ModelCall | None:
        """A call by its id."""
        ...
