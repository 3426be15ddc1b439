"""The values that tests are made of: one plain example of each noun, to be varied where a test is about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from core.model import (
    Account,
    Approval,
    BrokerBook,
    Execution,
    Instrument,
    Link,
    Mode,
    Order,
    OrderReport,
    OrderState,
    OrderType,
    Position,
    Quote,
    Side,
    Ticket,
    TimeInForce,
    WhatIf,
)
from core.risk import Snapshot

NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
ACCOUNT = "DU1234567"
OWNER = 4242

AAPL = Instrument(
    con_id=265598,
    symbol="AAPL",
    kind="STK",
    exchange="SMART",
    primary_exchange="NASDAQ",
    currency="USD",
    name="APPLE INC",
    min_tick=Decimal("0.01"),
    hours="20260302:0930-20260302:1600;20260303:0930-20260303:1600",
    time_zone="US/Eastern",
)
QUOTE = Quote(bid=Decimal("99.90"), ask=Decimal(100), last=Decimal("99.95"), time=NOW, close=Decimal("99.50"))
LINK = Link(
    wanted=True,
    connected=True,
    reconciled=True,
    epoch=1,
    client_id=0,
    account=ACCOUNT,
    accounts=(ACCOUNT,),
    mode=Mode.PAPER,
)
BASE = Account(
    ACCOUNT,
    "USD",
    Decimal(100_000),
    Decimal(50_000),
    Decimal(200_000),
    Decimal(90_000),
    {"EUR": Decimal("1.10")},
    Decimal(0),
)
WHAT_IF = WhatIf(
    initial_margin_change=Decimal(300),
    maintenance_margin_change=Decimal(250),
    equity_with_loan_after=Decimal(100_000),
    commission=Decimal(1),
    commission_currency="USD",
    maintenance_margin_after=Decimal(10_250),
)

TICKET = Ticket(
    ticket_id="01TICKET",
    owner=OWNER,
    account=ACCOUNT,
    instrument=AAPL,
    side=Side.BUY,
    quantity=Decimal(10),
    order_type=OrderType.MARKET,
    limit_price=None,
    stop_price=None,
    tif=TimeInForce.DAY,
    reference_price=Decimal(100),
    created_at=NOW,
    expires_at=NOW + timedelta(seconds=120),
)
ORDER = Order(
    number=1,
    order_ref="01TICKET",
    owner=OWNER,
    account=ACCOUNT,
    client_id=0,
    order_id=7,
    epoch=1,
    con_id=AAPL.con_id,
    symbol="AAPL",
    currency="USD",
    side=Side.BUY,
    quantity=Decimal(10),
    order_type=OrderType.MARKET,
    limit_price=None,
    stop_price=None,
    tif=TimeInForce.DAY,
    state=OrderState.WORKING,
    sent_at=NOW,
)


def position(held: int | str, con_id: int = AAPL.con_id, **changes: Any) -> Position:
    """A holding of so many shares, each worth 100 now."""
    count = Decimal(held)
    told = Position(ACCOUNT, con_id, "AAPL", "USD", count, Decimal(90), Decimal(100), count * 100)
    return replace(told, **changes)


def approval(of: Ticket = TICKET, **changes: Any) -> Approval:
    """A yes of the card's owner to its terms, now."""
    return replace(Approval(of.owner, NOW, of.terms_hash()), **changes)


def snapshot(
    held: int | str | None = 0, *, of: Ticket = TICKET, working: tuple[Order, ...] = (), **changes: Any
) -> Snapshot:
    """A moment at which everything is well for `of`, with so many shares held (None: not known)."""
    positions = None if held is None else (position(held),)
    well = Snapshot(NOW, LINK, BASE, QUOTE, positions, working, Decimal(1))
    more = {"approved": approval(of), "sent": (), "what_if": WHAT_IF, **changes}
    return replace(well, **more)


def ticket(side: Side = Side.BUY, quantity: int | str = 10, **changes: Any) -> Ticket:
    """A card's terms; `limit` and `stop` set the price and the type that goes with it."""
    if "limit" in changes:
        changes |= {"order_type": OrderType.LIMIT, "limit_price": Decimal(changes.pop("limit"))}
    if "stop" in changes:
        changes |= {"order_type": OrderType.STOP, "stop_price": Decimal(changes.pop("stop"))}
    shown = {"reference_price": QUOTE.far_side(side), **changes}
    return replace(TICKET, side=side, quantity=Decimal(quantity), **shown)


def order(**changes: Any) -> Order:
    """An order of ours that works at the broker."""
    return replace(ORDER, **changes)


def report(status: str = "Submitted", **changes: Any) -> OrderReport:
    """The broker's word on ORDER, by its client and order id alone, as a status message tells it."""
    return replace(OrderReport(status=status, client_id=0, order_id=7, perm_id=0), **changes)


def execution(quantity: int | str = 10, price: str = "100", **changes: Any) -> Execution:
    """A fill of ORDER."""
    return replace(
        Execution(
            exec_id="0000e0d5.65e1.01.01",
            account=ACCOUNT,
            con_id=AAPL.con_id,
            symbol="AAPL",
            currency="USD",
            side=Side.BUY,
            quantity=Decimal(quantity),
            price=Decimal(price),
            time=NOW,
            client_id=0,
            order_id=7,
            perm_id=900,
            order_ref="01TICKET",
        ),
        **changes,
    )


def book(**changes: Any) -> BrokerBook:
    """A full snapshot of a broker who has nothing."""
    return replace(BrokerBook(1, (), (), (), ()), **changes)
