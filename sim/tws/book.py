"""What a broker remembers: accounts, positions, orders and executions as plain records that can be written down and read again."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import TypeAdapter

from sim.tws.contracts import BY_ID, Instrument
from sim.tws.terms import Terms

T = TypeVar("T")
DONE = frozenset({"Filled", "Cancelled", "Inactive"})


@dataclass(slots=True)
class Account:
    """The money of one account, by currency. `realized` is that of `day`, an ISO date in New York.

    `realized` is in the base currency, `realized_in` the same by the currency in which it was realized.
    """

    id: str
    cash: dict[str, Decimal]
    realized: Decimal = Decimal(0)
    day: str = ""
    realized_in: dict[str, Decimal] = field(default_factory=dict)


@dataclass(slots=True)
class Position:
    """Shares held (negative: sold short) and what one cost, commissions included; and how many it was opened with, before any execution.

    Of a pair it is what was bought of its first currency, at which price, without commissions.
    """

    account: str
    con_id: int
    quantity: Decimal = Decimal(0)
    average_cost: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    opening: Decimal = Decimal(0)
    opening_cost: Decimal = Decimal(0)
    lapses: bool = False
    """Whether an option was told not to be exercised when it is over."""

    @property
    def instrument(self) -> Instrument:
        """What is held."""
        return BY_ID[self.con_id]


@dataclass(slots=True)
class Order:
    """An order with everything that happened to it. Times are aware UTC.

    `status` is empty until the order is transmitted. `held` orders wait for the exchange to open or for their time (`starts`); at `ends` an
    order expires, or trades in the closing auction. `stop` is where a trailing stop stands; `commission` what is known of it so far.
    """

    perm_id: int
    client_id: int
    order_id: int
    con_id: int
    exchange: str
    terms: Terms
    account: str
    created: datetime
    received_ns: int
    status: str = ""
    why_held: str = ""
    filled: Decimal = Decimal(0)
    average: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    commission: Decimal | None = None
    parent_perm_id: int = 0
    stop: Decimal | None = None
    triggered: bool = False
    held: bool = False
    starts: datetime | None = None
    ends: datetime | None = None
    manual: bool = False
    completed: datetime | None = None
    completed_text: str = ""

    @property
    def instrument(self) -> Instrument:
        """What is traded."""
        return BY_ID[self.con_id]

    @property
    def remaining(self) -> Decimal:
        """Shares still to trade."""
        return self.terms.quantity - self.filled

    @property
    def done(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in DONE

    @property
    def sign(self) -> int:
        """1 for a purchase, -1 for a sale."""
        return 1 if self.terms.action == "BUY" else -1


@dataclass(slots=True)
class Execution:
    """One fill. A correction is a new execution whose id differs after the last dot; the old one is then `superseded`."""

    exec_id: str
    perm_id: int
    client_id: int
    order_id: int
    ref: str
    account: str
    con_id: int
    exchange: str
    side: str
    quantity: Decimal
    price: Decimal
    cumulative: Decimal
    average: Decimal
    at: datetime
    commission: Decimal
    realized: Decimal
    currency: str
    reported: bool = False
    superseded: bool = False

    @property
    def sign(self) -> int:
        """1 for a purchase, -1 for a sale."""
        return 1 if self.side == "BOT" else -1

    @property
    def instrument(self) -> Instrument:
        """What was traded."""
        return BY_ID[self.con_id]


@dataclass(slots=True)
class Counters:
    """The numbers that only ever go up. `next_ids` holds the next order id of every client that asked."""

    next_perm: int = 1_204_530_001
    next_exec: int = 1
    next_bound: int = -1
    next_ids: dict[int, int] = field(default_factory=dict)


Record = Account | Position | Order | Execution | Counters

_ADAPTERS: dict[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (Account, Position, Order, Execution, Counters)
}


def written(record: Record) -> Any:
    """A record as JSON."""
    return _ADAPTERS[type(record)].dump_python(record, mode="json")


def read(kind: type[T], value: Any) -> T:
    """A record from what `written` made of it."""
    record: T = _ADAPTERS[kind].validate_python(value)
    return record
