"""The nouns of the desk: frozen values, Decimal for money, prices and quantities, aware UTC for times.

None always means unknown, never zero. Sides are BUY and SELL and quantities positive; a signed number says so in its name.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Side(StrEnum):
    """Which way an order or an execution goes."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL: what a quantity does to the position."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """The broker's order types that the desk can send or recognise."""

    MARKET = "MKT"
    LIMIT = "LMT"
    STOP = "STP"
    OTHER = "OTHER"  # only ever seen on orders that are not ours


class TimeInForce(StrEnum):
    """How long an order works: today, or until cancelled."""

    DAY = "DAY"
    GTC = "GTC"


class Mode(StrEnum):
    """Whose money it is. Told by the account that the broker reports, never by the port alone."""

    PAPER = "PAPER"
    LIVE = "LIVE"


class TradingState(StrEnum):
    """What the owner, or a rule that he set, allows: everything; only what makes a holding smaller; the same, and nothing by the analyst."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class OrderState(StrEnum):
    """Where an order stands. All but SENDING and UNKNOWN come only from what the broker said."""

    SENDING = "SENDING"
    WORKING = "WORKING"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    SUSPENDED = "SUSPENDED"
    UNKNOWN = "UNKNOWN"
    NOT_AT_BROKER = "NOT_AT_BROKER"

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade (counted in limits): everything that is not known to be over."""
        return self not in _ENDED


_ENDED = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.NOT_AT_BROKER})


class Role(StrEnum):
    """What an order is for: to enter or leave by itself, or to protect what its parent entered."""

    ENTRY = "ENTRY"
    TARGET = "TARGET"
    STOP = "STOP"


class TicketState(StrEnum):
    """The story of a card: open until one tap, or its age, ends it."""

    OPEN = "open"
    SENT = "sent"
    DISCARDED = "discarded"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REFUSED = "refused"

    @property
    def story(self) -> str:
        """How the card's story stands, for whoever taps an old button."""
        return _STORIES[self]

    @property
    def proposal_story(self) -> str:
        """The same of a proposal, in its own words."""
        return {
            TicketState.DISCARDED: "Rejected. Nothing was sent.",
            TicketState.EXPIRED: "This proposal has expired. Nothing was sent.",
        }.get(self, self.story)


_STORIES = {
    TicketState.OPEN: "This card is still open.",
    TicketState.SENT: "This card was sent already; it is one order, not two. See /orders and /trades.",
    TicketState.DISCARDED: "This card was discarded. Nothing was sent.",
    TicketState.EXPIRED: "This card was too old. Nothing was sent.",
    TicketState.REPLACED: "This card was replaced by a newer one. Nothing was sent from here.",
    TicketState.REFUSED: "This card was refused. Nothing was sent.",
}


class Right(StrEnum):
    """What an option gives its owner: to buy at the strike, or to sell."""

    CALL = "C"
    PUT = "P"


@dataclass(frozen=True, slots=True)
class OptionTerms:
    """What makes one option of a symbol another than the next. `strike` is per unit, `expiry` the last day on which it trades."""

    expiry: date
    strike: Decimal
    right: Right
    multiplier: Decimal = Decimal(100)
    trading_class: str = ""

    def label(self, symbol: str) -> str:
        """As people write it: AAPL 190 C 18 Dec 26."""
        return f"{symbol} {self.strike.normalize():f} {self.right} {self.expiry.day} {self.expiry:%b %y}"

    def written(self) -> str:
        """One line of text that `read` understands."""
        words = (
            self.expiry.isoformat(),
            f"{self.strike:f}",
            self.right,
            f"{self.multiplier:f}",
            self.trading_class,
        )
        return " ".join(words).rstrip()

    @classmethod
    def read(cls, written: str) -> "OptionTerms | None":
        """What `written` made; None for an empty text. Raises ValueError for any other."""
        if not written:
            return None
        day, strike, right, multiplier, *more = written.split(" ", 4)
        return cls(
            date.fromisoformat(day),
            Decimal(strike),
            Right(right),
            Decimal(multiplier),
            more[0] if more else "",
        )


@dataclass(frozen=True, slots=True)
class Leg:
    """One part of a combination, as it is to be owned: `ratio` units of it for one combination, below zero where they are owed.

    `option` is None for shares, whose ratio is then in shares (100 beside one option).
    """

    con_id: int
    ratio: int
    option: OptionTerms | None = None


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable thing as the broker names it. `multiplier` is units per contract (1 for a share), `min_tick` a price.

    An option (kind OPT) and a combination (BAG) bear the symbol of what they are on. A combination has `legs`, a price per unit of
    that symbol, signed (below zero it is a credit), and a `con_id` of ours, below zero, that follows from its legs.
    """

    con_id: int
    symbol: str
    kind: str
    exchange: str
    primary_exchange: str
    currency: str
    name: str
    min_tick: Decimal
    multiplier: Decimal = Decimal(1)
    hours: str = ""
    time_zone: str = ""
    option: OptionTerms | None = None
    legs: tuple[Leg, ...] = ()
    steps: tuple[tuple[Decimal, Decimal], ...] = ()
    """(from this price on, the tick), ascending, where it depends on the price: many options tick in cents below 3 and in five above."""

    @property
    def label(self) -> str:
        """Its name in the chat."""
        return self.option.label(self.symbol) if self.option else self.name if self.legs else self.symbol

    def tick_at(self, price: Decimal) -> Decimal:
        """The smallest step of a price there."""
        return next((tick for begin, tick in reversed(self.steps) if abs(price) >= begin), self.min_tick)


@dataclass(frozen=True, slots=True)
class Quote:
    """The top of the book at `time`. Sides that nobody quotes are None.

    `halted`: the exchange does not let it trade now; `close` is the last price of the session before.
    """

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    time: datetime
    delayed: bool = False
    halted: bool = False
    close: Decimal | None = None

    def far_side(self, side: Side) -> Decimal | None:
        """The price at which a market order of `side` would trade now."""
        return self.ask if side is Side.BUY else self.bid


@dataclass(frozen=True, slots=True)
class Position:
    """A holding as the broker reports it. `signed_quantity` is negative for a short; money is in the instrument's currency."""

    account: str
    con_id: int
    symbol: str
    currency: str
    signed_quantity: Decimal
    average_cost: Decimal | None
    market_price: Decimal | None = None
    market_value: Decimal | None = None
    unrealized: Decimal | None = None
    option: OptionTerms | None = None
    kind: str = "STK"

    @property
    def label(self) -> str:
        """Its name in the chat."""
        return self.option.label(self.symbol) if self.option else self.symbol


@dataclass(frozen=True, slots=True)
class Account:
    """The account's money in its base currency; `rates` says how much base currency one unit of another is worth.

    `day_gain` is what the account has gained since the last close, as the broker reckons it (a loss is below zero), `worth_before` what it
    was worth then.
    """

    account: str
    currency: str
    net_liquidation: Decimal | None = None
    cash: Decimal | None = None
    buying_power: Decimal | None = None
    excess_liquidity: Decimal | None = None
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    day_gain: Decimal | None = None
    worth_before: Decimal | None = None

    def rate(self, currency: str) -> Decimal | None:
        """Base currency per unit of `currency`; None where the broker has not said."""
        return Decimal(1) if currency == self.currency else self.rates.get(currency)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The broker's own forecast of an order: margins in base currency, commission in `commission_currency`."""

    initial_margin_change: Decimal | None
    maintenance_margin_change: Decimal | None
    equity_with_loan_after: Decimal | None
    commission: Decimal | None
    commission_currency: str
    warning: str = ""
    maintenance_margin_after: Decimal | None = None

    @property
    def excess_liquidity_after(self) -> Decimal | None:
        """What stays free of maintenance margin after the order, in base currency."""
        if self.equity_with_loan_after is None or self.maintenance_margin_after is None:
            return None
        return self.equity_with_loan_after - self.maintenance_margin_after


@dataclass(frozen=True, slots=True)
class Request:
    """What a person typed, before anything was looked up. Exactly one of `quantity`, `amount` and `fraction` is set."""

    side: Side
    symbol: str
    quantity: Decimal | None = None
    amount: Decimal | None = None
    fraction: Decimal | None = None
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    tif: TimeInForce = TimeInForce.DAY
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """What a person wants changed of the order `number`; None stays as it is. `is_bracket`: the order has a stop or target of its own."""

    number: int
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    is_bracket: bool = False


@dataclass(frozen=True, slots=True)
class Ticket:
    """The exact terms that a card shows and that leave on approval; `ticket_id` becomes the order's order_ref.

    `stop_loss` and `take_profit` leave as a bracket with the entry. A `decision_id` makes the card a proposal of the analyst. One that
    `modifies` is no new order: it gives the order of that number these terms, and `instead_of` says which
    it had when the card was drawn. One with a `final_limit` begins at its limit and may be repriced as far as that. One of options that
    `closes` was shown as one that only makes holdings smaller, and leaves as nothing else.
    """

    ticket_id: str
    owner: int
    account: str
    instrument: Instrument
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    tif: TimeInForce
    reference_price: Decimal
    created_at: datetime
    expires_at: datetime
    state: TicketState = TicketState.OPEN
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    decision_id: str | None = None
    modifies: int | None = None
    instead_of: str = ""
    final_limit: Decimal | None = None
    closes: bool = False
    own_limit: bool = False
    """Whether its owner named the furthest price of a plan, which a fresh card then keeps."""

    @property
    def worst_limit(self) -> Decimal | None:
        """The limit that it is measured by: the furthest that was approved."""
        return self.limit_price if self.final_limit is None else self.final_limit

    def terms(self) -> dict[str, str]:
        """What is approved, as plain text: the same words are hashed, stored and sent."""
        legs = {"legs": ",".join(f"{leg.con_id}:{leg.ratio}" for leg in self.instrument.legs)}
        final = {"final_limit": "" if self.final_limit is None else f"{self.final_limit:f}"}
        return {
            **(legs if self.instrument.legs else {}),
            **(final if self.final_limit is not None else {}),
            **({"closes": "yes"} if self.closes else {}),
            "account": self.account,
            "con_id": str(self.instrument.con_id),
            "side": self.side,
            "quantity": f"{self.quantity:f}",
            "order_type": self.order_type,
            "limit_price": "" if self.limit_price is None else f"{self.limit_price:f}",
            "stop_price": "" if self.stop_price is None else f"{self.stop_price:f}",
            "tif": self.tif,
            "stop_loss": "" if self.stop_loss is None else f"{self.stop_loss:f}",
            "take_profit": "" if self.take_profit is None else f"{self.take_profit:f}",
            "modifies": "" if self.modifies is None else str(self.modifies),
            "instead_of": self.instead_of,
        }

    @property
    def same_terms(self) -> "Terms":
        """What it is compared by with orders that left before."""
        of = (self.instrument.con_id, self.side, self.quantity, self.order_type)
        return (*of, self.limit_price, self.stop_price, self.tif)

    def terms_hash(self) -> str:
        """SHA-256 of the terms, hexadecimal: what was shown is what is sent."""
        return hashlib.sha256(json.dumps(self.terms(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """Terms that were asked for an order that works; `ref` is the card that they came from."""

    ref: str
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the desk knows it. `number` is its short name in the chat; prices in the instrument's currency.

    `owner` is the user who approved it, None for an order that was placed elsewhere.
    """

    number: int
    order_ref: str
    owner: int | None
    account: str
    client_id: int
    order_id: int
    epoch: int
    con_id: int
    symbol: str
    currency: str
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    tif: TimeInForce
    state: OrderState
    sent_at: datetime
    perm_id: int | None = None
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None
    reason: str = ""
    cancel_requested_at: datetime | None = None
    role: Role = Role.ENTRY
    parent: int | None = None
    oca: str = ""
    confirmed_quantity: Decimal | None = None
    decision_id: str | None = None
    change: Change | None = None
    worth: Decimal | None = None
    """What it was measured at when it was sent, in base currency at the rate of that moment; None for one that opens or adds nothing."""
    kind: str = "STK"
    option: OptionTerms | None = None
    legs: tuple[Leg, ...] = ()
    name: str = ""
    """Of a combination: what it is called."""
    final_limit: Decimal | None = None
    """How far its limit may be moved by rule, as approved; None where it stays."""

    @property
    def label(self) -> str:
        """What it is of, in the chat."""
        return self.option.label(self.symbol) if self.option else self.name or self.symbol

    @property
    def multiplier(self) -> Decimal:
        """Units in one of what it trades: shares in an option or a combination of options."""
        if self.option is not None:
            return self.option.multiplier
        return next((leg.option.multiplier for leg in self.legs if leg.option), Decimal(1))

    def option_of(self, con_id: int) -> OptionTerms | None:
        """What option a part of it is; None for shares."""
        return next((leg.option for leg in self.legs if leg.con_id == con_id), self.option)

    def moves(self, quantity: Decimal) -> tuple[tuple[int, Decimal], ...]:
        """(con_id, signed change of the holding) of each part where so much of it trades."""
        signed = self.side.sign * quantity
        return tuple((leg.con_id, leg.ratio * signed) for leg in self.legs) or ((self.con_id, signed),)

    @property
    def protects(self) -> bool:
        """Whether it is there to close a holding at a stop or a target."""
        return self.role is not Role.ENTRY

    @property
    def same_terms(self) -> "Terms":
        """What it is compared by with an order that is to follow."""
        of = (self.con_id, self.side, self.quantity, self.order_type)
        return (*of, self.limit_price, self.stop_price, self.tif)

    @property
    def card(self) -> str:
        """The name of the card on which the order is shown: a bracket is one card."""
        return self.order_ref.partition(".")[0]

    @property
    def external(self) -> bool:
        """Placed elsewhere: shown and counted, never touched without asking."""
        return self.owner is None

    @property
    def remaining(self) -> Decimal:
        """The most that may still trade, by its terms or by those that are asked; nothing once the order is over."""
        if not self.state.is_open:
            return Decimal(0)
        most = self.quantity if self.change is None else max(self.quantity, self.change.quantity)
        return max(most - self.filled, Decimal(0))


class ClosingState(StrEnum):
    """How far a sale is that has protection in its way."""

    TAKING_DOWN = "taking_down"
    SELLING = "selling"
    DONE = "done"
    PUT_BACK = "put_back"


@dataclass(frozen=True, slots=True)
class Closing:
    """A sale, and the protective orders (number, quantity as it was) that it has to move out of its way."""

    ticket: Ticket
    protection: tuple[tuple[int, Decimal], ...]
    state: ClosingState


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill as the broker told it. `exec_id` has a revision behind its last dot: a later one corrects the former."""

    exec_id: str
    account: str
    con_id: int
    symbol: str
    currency: str
    side: Side
    quantity: Decimal
    price: Decimal
    time: datetime
    client_id: int
    order_id: int
    perm_id: int
    order_ref: str
    kind: str = "STK"
    option: OptionTerms | None = None

    @property
    def moves_holding(self) -> bool:
        """Whether it changed what is held: that of a combination as a whole did not, those of its legs did."""
        return self.kind != "BAG"

    @property
    def label(self) -> str:
        """What it is of, in the chat."""
        return self.option.label(self.symbol) if self.option else self.symbol

    @property
    def multiplier(self) -> Decimal:
        """Units in one of what was traded."""
        return self.option.multiplier if self.option else Decimal(1)

    @property
    def key(self) -> str:
        """What stays the same over corrections: the id up to its last dot."""
        return self.exec_id.rpartition(".")[0] or self.exec_id

    @property
    def revision(self) -> int:
        """The number behind the last dot; 0 where there is none."""
        tail = self.exec_id.rpartition(".")[2]
        return int(tail) if tail.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Commission:
    """What an execution cost; may come before it, long after it, or never."""

    exec_id: str
    amount: Decimal
    currency: str
    realized: Decimal | None = None

    @property
    def key(self) -> str:
        """The execution's id up to its last dot."""
        return self.exec_id.rpartition(".")[0] or self.exec_id


@dataclass(frozen=True, slots=True)
class OpeningLot:
    """What was held when the books were opened and no known execution explains: bought at an unknown time before `at`.

    As an adjustment: what the broker holds more (or, negative, less) than the books explain, taken over at `at`.

    `average_cost` is one unit's, multiplier and commissions in it, as the broker reckons.
    """

    account: str
    con_id: int
    symbol: str
    currency: str
    signed_quantity: Decimal
    average_cost: Decimal
    at: datetime
    option: OptionTerms | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Everything that lots, gains and tax records are derived from: executions in time, what they cost, and what was there before."""

    executions: tuple[Execution, ...] = ()
    commissions: tuple[Commission, ...] = ()
    openings: tuple[OpeningLot, ...] = ()
    adjustments: tuple[OpeningLot, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """A holding of which the books and the broker say different things: signed quantities, and the broker's average cost of a unit."""

    account: str
    con_id: int
    symbol: str
    currency: str
    reckoned: Decimal
    told: Decimal
    average_cost: Decimal | None
    option: OptionTerms | None = None

    @property
    def label(self) -> str:
        """Its name in the chat."""
        return self.option.label(self.symbol) if self.option else self.symbol

    @property
    def more(self) -> Decimal:
        """What the broker holds more than the books explain; less where it is negative."""
        return self.told - self.reckoned


@dataclass(frozen=True, slots=True)
class JobRun:
    """A scheduled job that was done for a session of the exchange, with the facts that it told."""

    job: str
    session: date
    at: datetime
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trade:
    """A line of the trade history: an execution, its order, its commission and the analyst's decision, as far as they are known.

    `strategy` is what its order is called where that is a combination.
    """

    execution: Execution
    order_number: int | None
    order_type: OrderType | None
    commission: Decimal | None
    commission_currency: str | None
    realized: Decimal | None
    decision_id: str | None = None
    confidence: int | None = None
    reasoning: str | None = None
    sent_at: datetime | None = None
    strategy: str = ""


@dataclass(frozen=True, slots=True)
class OrderReport:
    """The broker's word on one order: from an open order, a status or a completed order. What it does not say is None."""

    status: str
    client_id: int
    order_id: int
    perm_id: int
    order_ref: str | None = None
    account: str = ""
    con_id: int = 0
    symbol: str = ""
    currency: str = ""
    side: Side | None = None
    quantity: Decimal | None = None
    order_type: OrderType = OrderType.OTHER
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    tif: TimeInForce = TimeInForce.DAY
    filled: Decimal | None = None
    average_price: Decimal | None = None
    text: str = ""
    kind: str = "STK"
    option: OptionTerms | None = None
    legs: tuple[Leg, ...] = ()
    ended_at: datetime | None = None
    """When the broker ended it, to the second; told by its list of completed orders only."""


@dataclass(frozen=True, slots=True)
class BrokerMessage:
    """An error or notice of the broker. `request_id` is an order id, a request id, or -1."""

    request_id: int
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The connection came up or went away; `epoch` counts the connections of this process."""

    up: bool
    epoch: int


BrokerEvent = OrderReport | Execution | Commission | BrokerMessage | LinkChanged


@dataclass(frozen=True, slots=True)
class BrokerBook:
    """One full snapshot of what the broker knows: orders open and completed today, executions, positions."""

    epoch: int
    open_orders: tuple[OrderReport, ...]
    completed_orders: tuple[OrderReport, ...]
    executions: tuple[Execution, ...]
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """The state of the road to the broker, with one sentence of what is wrong where something is.

    `data_trouble` is one about prices: it keeps no order from leaving by itself, the age of a quote does.
    """

    wanted: bool
    connected: bool
    reconciled: bool
    epoch: int
    client_id: int = 0
    account: str | None = None
    accounts: tuple[str, ...] = ()
    mode: Mode | None = None
    trouble: str = ""
    data_trouble: str = ""

    @property
    def ready(self) -> bool:
        """Whether an order could leave now, as far as the road is concerned."""
        return self.connected and self.reconciled and self.account is not None and not self.trouble


@dataclass(frozen=True, slots=True)
class Trading:
    """The trading state, why, and since when.

    `accepted` is what the day's loss called for when its owner opened again, which closes nothing a second time that day; `before` is the
    state that an unclean stop has covered until the books agree.
    """

    state: TradingState = TradingState.ACTIVE
    reason: str = ""
    since: datetime | None = None
    accepted: TradingState = TradingState.ACTIVE
    before: "Trading | None" = None


@dataclass(frozen=True, slots=True)
class Approval:
    """Who said yes, when, and the hash of the terms that they saw."""

    user: int
    at: datetime
    terms_hash: str


Terms = tuple[int, Side, Decimal, OrderType, Decimal | None, Decimal | None, TimeInForce]
"""What makes two orders the same in a person's eyes: instrument, side, quantity, kind, prices and how long."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An order that left, as the rules of pace count it. `worth` is in base currency, None where it opened and added nothing.

    `filled_at` is when it, or the first part of it, was filled.
    """

    number: int
    at: datetime
    terms: Terms
    worth: Decimal | None
    filled_at: datetime | None = None
    rejected_at: datetime | None = None

    @property
    def con_id(self) -> int:
        """Of what it was."""
        return self.terms[0]


@dataclass(frozen=True, slots=True)
class Denial:
    """Why the desk refuses: a stable code, a sentence, and where there is one the figure, its limit and what would pass.

    `fits` is the largest quantity that this rule would let through, where a smaller one helps.
    """

    code: str
    message: str
    figure: str = ""
    limit: str = ""
    remedy: str = ""
    fits: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Which update of which user asked for something, and its raw text: what makes a repeat recognisable.

    `message_id` is the chat's id of the message whose button was tapped.
    """

    update_id: int
    user: int
    raw: str = ""
    message_id: int | None = None


Buttons = tuple[tuple[tuple[str, str], ...], ...]
"""Rows of (label, action) under a message."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to a person; a row before it is sent. `id` is 0 until stored.

    `text` is the chat's HTML; where it is empty, the chat renders `kind` with `data` when it sends. `subject` ties the edits of a card
    to the card; `is_edit` changes that card in place; `renames` gives the message a new subject: what was progress becomes a card.
    `picture` names a kind of picture, drawn from `data` when it is sent, with the text below it; edits have none.
    """

    chat: int
    kind: str
    created_at: datetime
    text: str = ""
    buttons: Buttons = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    is_edit: bool = False
    urgent: bool = False
    id: int = 0
    renames: str = ""
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person must hear, before it has words: the chat renders `kind` with `data`.

    `subject` names the card that is edited in place; without one a new message is sent. `to` is a user, None means every owner.
    `picture` names a kind of picture that is drawn from `data`.
    """

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    to: int | None = None
    urgent: bool = False
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One session of an instrument: prices in its currency, `volume` in units (shares), `date` the exchange's own."""

    date: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None


def plain(value: Any) -> dict[str, Any]:
    """A dataclass as JSON-ready values: Decimal and datetime as text, None kept."""
    told: dict[str, Any] = simple(asdict(value))
    return told


def simple(item: Any) -> Any:
    """One value, ready for JSON."""
    if isinstance(item, Decimal):
        return f"{item:f}"
    if isinstance(item, date):
        return item.isoformat()
    if isinstance(item, Mapping):
        return {key: simple(entry) for key, entry in item.items()}
    if isinstance(item, tuple | list):
        return [simple(entry) for entry in item]
    return item


@dataclass(frozen=True, slots=True)
class OptionQuote:
    """An option's market at `time`. Greeks are those of the broker's model, per unit of the underlying; what it has not told is None.

    `volatility` is the implied one a year (0.25 is 25 %), `theta` is per day, `vega` per percentage point of volatility, `spot` the price
    of the underlying that the model took. `open_interest` and `volume` are in contracts.
    """

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    time: datetime
    delayed: bool = False
    volatility: float | None = None
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None
    spot: float | None = None
    open_interest: int | None = None
    volume: int | None = None

    @property
    def mid(self) -> Decimal | None:
        """Half way between bid and ask; None where either is missing."""
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Chain:
    """Which options of an underlying there are: the expiries and strikes of its standard class, each ascending; not every pair exists."""

    con_id: int
    trading_class: str
    multiplier: Decimal
    expiries: tuple[date, ...]
    strikes: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class Dividend:
    """The next dividend of a share, as the broker tells it: the amount per share and its ex-date."""

    ex_date: date
    amount: Decimal


class Outcome(StrEnum):
    """How a call of the model ended. Anything but DECISION yields no proposal."""

    DECISION = "decision"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    INVALID = "invalid"
    INCOMPLETE = "incomplete"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    SPEND_CAP = "spend_cap"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    AUTH = "auth"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of the model, whole: what it was told, what it said, what it cost. `cost` is in dollars, None where it is unpriced."""

    call_id: str
    user: int
    ticker: str
    at: datetime
    model: str
    prompt_version: str
    prompt_hash: str
    facts: str
    outcome: Outcome
    said: str = ""
    problem: str = ""
    request_id: str = ""
    stop_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    latency_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ProposedPlan:
    """A plan of options as the analyst proposes it: a strategy by its name, one expiry, the strikes ascending, and why (raw text)."""

    strategy: str
    expiry: date
    strikes: tuple[Decimal, ...]
    why: str


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A proved decision as it is kept, with what it was measured against. `decision_id` is the id of the call that made it.

    `reference_price` is what one unit traded at when it was made; `evidence` pairs of (fact id, what it says); texts are raw.
    A `demo` was made by rules, not by a model, and is never scored.
    """

    decision_id: str
    ticker: str
    con_id: int
    verdict: str
    confidence: int
    time_horizon: int
    reference_price: Decimal | None
    target_price: Decimal | None
    stop_loss: Decimal | None
    reasoning: str
    bear_case: str
    evidence: tuple[tuple[str, str], ...]
    injection_suspected: bool
    demo: bool
    at: datetime
    option_plan: ProposedPlan | None = None
