"""The bodies of the requests that the TWS takes on the control port."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from sim.control import Body
from sim.tws.engine import CommissionMode
from sim.tws.limits import Limits

Price = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[Decimal, Field(allow_inf_nan=False)]


class PriceBody(Body):
    symbol: str
    bid: Price | None = None
    ask: Price | None = None
    last: Price | None = None
    daily: Amount | None = None
    unpin: bool = False


class HaltBody(Body):
    symbol: str
    halted: bool = True
    volatility: bool = False


class PnlBody(Body):
    mode: Literal["known", "unset", "silent"]


class TicksBody(Body):
    """To each client that follows something, or to one of them."""

    per_second: Annotated[int, Field(ge=0, le=200_000)]
    client: int | None = None


class LoadBody(Body):
    """Orders that rest: at half the market's price or at twice, whichever is away from it. Without a client they are typed by hand."""

    orders: Annotated[int, Field(ge=0, le=10_000)] = 0
    positions: Annotated[int, Field(ge=0, le=1_000)] = 0
    symbol: str = "AAPL"
    side: Literal["BUY", "SELL"] = "BUY"
    type: Literal["LMT", "STP"] = "LMT"
    quantity: Price = Decimal(1)
    price: Price | None = None
    client: int | None = None
    ref: str = ""
    account: str = ""


class MarketBody(Body):
    symbol: str | None = None
    data: Literal["live", "delayed", "none"] | None = None
    open: bool | Literal["hours"] | None = None


class FillsBody(Body):
    mode: Literal["auto", "partial", "hold"] | None = None
    improves: Annotated[Decimal, Field(ge=-1, le=1, allow_inf_nan=False)] | None = None


class CancelsBody(Body):
    mode: Literal["auto", "hold"]


class FillBody(Body):
    order: int | str
    quantity: Price | None = None
    price: Amount | None = None
    overfill: bool = False


class OrderBody(Body):
    order: int | str
    reason: str = ""


class RejectBody(Body):
    code: int = 201
    message: str = "Order rejected - reason:The exchange does not accept this order"
    count: Annotated[int, Field(ge=0)] = 1
    type: str = ""


class ExternalBody(Body):
    """Of an option with its expiry (YYYYMMDD), strike and right (C or P)."""

    symbol: str
    expiry: str = ""
    strike: Price | None = None
    right: Literal["C", "P"] | None = None
    side: Literal["BUY", "SELL"]
    quantity: Price
    price: Price | None = None
    working: bool = False
    account: str = ""


class CorrectBody(Body):
    exec_id: str
    price: Price | None = None
    quantity: Price | None = None


class CommissionsBody(Body):
    mode: CommissionMode


class CommissionBody(Body):
    exec_id: str


class DropBody(Body):
    client: int | None = None


class Switch(Body):
    on: bool = True


class MessageBody(Body):
    code: int
    text: str
    order: int | str | None = None


class CountBody(Body):
    count: Annotated[int, Field(ge=0)] = 1


What = Literal["status", "open_order", "execution", "commission"]


class DuplicateBody(CountBody):
    what: What = "status"


class LoseBody(CountBody):
    what: What


class GarbageBody(Body):
    """`bytes` of them; as a frame, which keeps the stream in step, or bare."""

    bytes: Annotated[int, Field(ge=1, le=1 << 20)] = 64
    framed: bool = True
    client: int | None = None


class RestartBody(Body):
    """Without a `next` the order ids stay as they are."""

    next: Annotated[int, Field(ge=1)] | None = 1


Number = Annotated[int, Field(ge=1)] | None


class LimitsBody(Body):
    """What is not named stays as it is; null lifts a limit."""

    messages_per_second: Number = 50
    violations: Number = 3
    market_data_lines: Number = 100
    tick_by_tick: Number = 3
    historical_requests: Number = 50
    small_bar_requests: Number = 60
    burst_requests: Number = 5
    identical_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 15
    account_summaries: Number = 2
    clients: Number = 32
    unsent_bytes: Number = 1 << 26

    def apply(self, limits: Limits) -> Limits:
        """The limits with what this body names."""
        named: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        return limits.changed(**named)


class DelayBody(Body):
    milliseconds: Annotated[float, Field(ge=0, le=60_000)]


class RollBackBody(Body):
    next: Annotated[int, Field(ge=1)] = 1


class AccountsBody(Body):
    add: Annotated[str, Field(pattern=r"^[A-Z]{1,2}\d{4,9}$")]
