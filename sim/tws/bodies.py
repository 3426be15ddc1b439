"""The bodies of the requests that the TWS takes on the control port."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from sim.control import Body
from sim.tws.engine import CommissionMode

Price = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]


class PriceBody(Body):
    symbol: str
    bid: Price | None = None
    ask: Price | None = None
    last: Price | None = None
    unpin: bool = False


class MarketBody(Body):
    symbol: str | None = None
    data: Literal["live", "delayed", "none"] | None = None
    open: bool | Literal["hours"] | None = None


class FillsBody(Body):
    mode: Literal["auto", "hold"]


class FillBody(Body):
    order: int | str
    quantity: Price | None = None
    price: Price | None = None
    overfill: bool = False


class OrderBody(Body):
    order: int | str
    reason: str = ""


class RejectBody(Body):
    code: int = 201
    message: str = "Order rejected - reason:The exchange does not accept this order"
    count: Annotated[int, Field(ge=0)] = 1


class ExternalBody(Body):
    symbol: str
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


class DelayBody(Body):
    milliseconds: Annotated[float, Field(ge=0, le=60_000)]


class RollBackBody(Body):
    next: Annotated[int, Field(ge=1)] = 1


class AccountsBody(Body):
    add: Annotated[str, Field(pattern=r"^[A-Z]{1,2}\d{4,9}$")]
