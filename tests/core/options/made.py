"""Options, holdings and orders for the tests of this room, in a line each."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from core.model import (
    Chain,
    Leg,
    OptionTerms,
    Order,
    OrderState,
    OrderType,
    Position,
    Right,
    Role,
    Side,
    TimeInForce,
)
from core.options.plan import Strategy
from core.options.strategies import terms

TODAY = date(2026, 11, 23)
DECEMBER = date(2026, 12, 18)
JANUARY = date(2027, 1, 15)
NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
SHARES = 1
CHAIN = Chain(SHARES, "AAPL", Decimal(100), (DECEMBER, JANUARY), tuple(Decimal(n) for n in range(50, 151, 5)))


def option(word: str, expiry: date = DECEMBER, multiplier: int = 100) -> OptionTerms:
    """C105 is the call at 105."""
    return OptionTerms(expiry, Decimal(word[1:]), Right(word[0]), Decimal(multiplier), "AAPL")


def con_id(word: str, expiry: date = DECEMBER) -> int:
    """A number of its own for each option; that of the shares for S."""
    if word == "S":
        return SHARES
    month = (expiry.year - 2026) * 12 + expiry.month
    return int(Decimal(word[1:]) * 10) * 1000 + month * 2 + (word[0] == "C")


def leg(word: str, ratio: int, expiry: date = DECEMBER) -> Leg:
    return Leg(con_id(word, expiry), ratio, None if word == "S" else option(word, expiry))


def legs(**ratios: int) -> tuple[Leg, ...]:
    """legs(C100=1, C105=-1); S is shares."""
    return tuple(leg(word, ratio) for word, ratio in ratios.items())


def legs_of(strategy: Strategy, strikes: Sequence[Decimal | int], expiry: date = DECEMBER) -> tuple[Leg, ...]:
    found = terms(strategy, [Decimal(strike) for strike in strikes], CHAIN, expiry)
    return tuple(
        leg("S" if of is None else f"{of.right}{of.strike.normalize():f}", ratio, expiry)
        for ratio, of in found
    )


def position(
    word: str, quantity: Decimal | int | str, expiry: date = DECEMBER, symbol: str = "AAPL"
) -> Position:
    of = None if word == "S" else option(word, expiry)
    number = con_id(word, expiry) + (0 if symbol == "AAPL" else 10**9)
    return Position("DU1", number, symbol, "USD", Decimal(quantity), None, option=of)


def held(**quantities: int) -> tuple[Position, ...]:
    """held(S=100, C105=-1)."""
    return tuple(position(word, quantity) for word, quantity in quantities.items())


def order(
    side: str,
    quantity: int,
    of: str | Sequence[Leg],
    expiry: date = DECEMBER,
    number: int = 1,
    filled: int = 0,
    state: OrderState = OrderState.WORKING,
    role: Role = Role.ENTRY,
    parent: int | None = None,
    ref: str = "",
    symbol: str = "AAPL",
) -> Order:
    """An order at work: of shares (S), an option (C105) or a combination (its legs)."""
    combined = () if isinstance(of, str) else tuple(of)
    word = of if isinstance(of, str) else ""
    return Order(
        number=number, order_ref=ref or f"ref{number}", owner=1, account="DU1", client_id=1, order_id=number, epoch=1,
        con_id=con_id(word, expiry) if word else -1, symbol=symbol, currency="USD", side=Side(side), quantity=Decimal(quantity),
        order_type=OrderType.LIMIT, limit_price=Decimal(1), stop_price=None, tif=TimeInForce.DAY, state=state, sent_at=NOON,
        filled=Decimal(filled), role=role, parent=parent, kind="BAG" if combined else "STK" if word == "S" else "OPT",
        option=option(word, expiry) if word and word != "S" else None, legs=combined,
    )  # fmt: skip
