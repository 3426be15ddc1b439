"""ib_async's bytes and nothing of its picture: the line to TWS, the ear on it, and the broker's limit on messages.

ib_async's own picture of orders is not used, because it mistakes warnings for cancels, forgets everything when a socket drops, and lets
early commissions fall: `Ear` hears every message before that picture is drawn and hands it on as evidence.
"""

import asyncio
import dataclasses
import functools
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_async as ib
from ib_async.client import Client
from ib_async.decoder import Decoder
from ib_async.wrapper import RequestError, Wrapper

from core import ib_mapping, ib_messages
from core.errors import Busy
from core.model import BrokerEvent, BrokerMessage, Execution, OptionTerms, OrderReport
from core.ports import Clock

MESSAGES_PER_SECOND = 45  # the broker disconnects a client above 50
RESERVED_FOR_ORDERS = 15  # of them, so that a flood of data requests never makes a cancel wait


class Budget:
    """The broker's limit on messages. Orders and cancels take what is there or are refused; everything else waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: deque[float] = deque()
        self._kept: deque[float] = deque()

    def _used(self) -> int:
        horizon = self._clock.monotonic() - 1.0
        while self._sent and self._sent[0] <= horizon:
            self._sent.popleft()
        return len(self._sent)

    @property
    def room(self) -> int:
        """How many messages may leave now."""
        return max(MESSAGES_PER_SECOND - self._used(), 0)

    def ensure(self, messages: int = 1) -> None:
        """Raises Busy where there is no room for so many now."""
        if self._used() + messages > MESSAGES_PER_SECOND:
            raise Busy(
                "The broker's limit of messages per second is reached, so nothing was sent. Try again in a second."
            )

    def keep(self, messages: int = 1) -> None:
        """Set so many aside for what is being written down, so that nothing can take their room meanwhile. Raises Busy, and keeps none."""
        self._kept.clear()  # what an earlier attempt kept and did not use
        self.take(messages)
        self._kept.extend([self._clock.monotonic()] * messages)

    def take(self, messages: int = 1) -> None:
        """Use so many now, those that were kept first; raises Busy, and uses none, where they are not left."""
        if len(self._kept) >= messages:
            late = sum(1 for _ in range(messages) if self._kept.popleft() <= self._clock.monotonic() - 1.0)
            self._sent.extend([self._clock.monotonic()] * late)
            return
        self.ensure(messages)
        self._sent.extend([self._clock.monotonic()] * messages)

    def note(self) -> None:
        """One message leaves now, whatever is left: for the few that cannot wait and are no orders."""
        self._sent.append(self._clock.monotonic())

    async def wait(self) -> None:
        """Use one message as soon as the part that is not reserved for orders allows it."""
        while self._used() >= MESSAGES_PER_SECOND - RESERVED_FOR_ORDERS:  # noqa: ASYNC110 - time passing is the event
            await asyncio.sleep(max(self._sent[0] + 1.0 - self._clock.monotonic(), 0.005))
        self._sent.append(self._clock.monotonic())


class Ear(Wrapper):
    """Hears every message about orders on the wire and hands it on as evidence, in the order in which it came."""

    events: "asyncio.Queue[BrokerEvent]"
    last_error: BrokerMessage | None = None
    clock: Clock
    account_heard = 0.0
    day_gain: Decimal | None = None
    """What the account has gained today, in its base currency; None until it is told."""
    money: asyncio.Event
    heard = 0
    """How many orders and executions were told so far."""
    terms: dict[int, OptionTerms]
    """Every option that was ever told, by con_id: the legs of a combination come as ids alone."""

    def _learn(self, named: ib.Contract | None) -> None:
        try:
            if named is not None and (terms := ib_mapping.option_terms(named)) is not None:
                self.terms[named.conId] = terms
        except ValueError:
            return  # whoever needs the terms says so

    def contractDetails(self, reqId: int, contractDetails: ib.ContractDetails) -> None:
        self._learn(contractDetails.contract)
        super().contractDetails(reqId, contractDetails)

    def position(self, account: str, contract: ib.Contract, posSize: float, avgCost: float) -> None:
        self._learn(contract)
        super().position(account, contract, posSize, avgCost)

    def updateAccountValue(self, tag: str, val: str, currency: str, account: str) -> None:
        self.account_heard = self.clock.monotonic()
        super().updateAccountValue(tag, val, currency, account)
        self.money.set()

    def pnl(self, reqId: int, dailyPnL: float, unrealizedPnL: float, realizedPnL: float) -> None:
        self.day_gain = ib_mapping.number(dailyPnL)
        super().pnl(reqId, dailyPnL, unrealizedPnL, realizedPnL)
        self.money.set()

    def openOrder(
        self, orderId: int, contract: ib.Contract, order: ib.Order, orderState: ib.OrderState
    ) -> None:
        if order.whatIf:
            super().openOrder(orderId, contract, order, orderState)
            return
        self._learn(contract)
        self._tell("openOrders", ib_mapping.open_order(orderId, contract, order, orderState, self.terms))
        self.ib.client.updateReqId(orderId + 1)

    def orderStatus(
        self,
        orderId: int,
        status: str,
        filled: float,
        remaining: float,
        avgFillPrice: float,
        permId: int,
        parentId: int,
        lastFillPrice: float,
        clientId: int,
        whyHeld: str,
        mktCapPrice: float = 0.0,
    ) -> None:
        self.events.put_nowait(
            ib_mapping.order_status(orderId, status, filled, avgFillPrice, permId, clientId, whyHeld)
        )

    def completedOrder(self, contract: ib.Contract, order: ib.Order, orderState: ib.OrderState) -> None:
        self._learn(contract)
        self._tell("completedOrders", ib_mapping.open_order(0, contract, order, orderState, self.terms))

    def execDetails(self, reqId: int, contract: ib.Contract, execution: ib.Execution) -> None:
        self._learn(contract)
        self._tell(reqId, ib_mapping.execution(contract, execution))

    def commissionReport(self, commissionReport: ib.CommissionReport) -> None:
        if (paid := ib_mapping.commission(commissionReport)) is not None:
            self.events.put_nowait(paid)

    def error(self, reqId: int, errorCode: int, errorString: str, advancedOrderRejectJson: str = "") -> None:
        self.last_error = BrokerMessage(reqId, errorCode, errorString)
        if reqId not in self._futures:
            self.events.put_nowait(self.last_error)
        super().error(reqId, errorCode, errorString, advancedOrderRejectJson)
        if errorCode == 321:
            self._refuse(reqId, RequestError(reqId, errorCode, errorString))

    def _refuse(self, request_id: int, why: RequestError) -> None:
        """End what was refused: ib_async takes 321 for a warning and would wait. Questions about orders bear no id, so it names none."""
        of_orders = (
            ("openOrders", "completedOrders") if ib_messages.is_read_only(why.code, why.message) else ()
        )
        for key in (request_id, *(of_orders if request_id == -1 else ())):
            if key in self._futures:
                self._endReq(key, why, success=False)  # type: ignore[no-untyped-call]

    def _tell(self, key: Any, report: OrderReport | Execution) -> None:
        self.heard += 1
        if key in self._futures:
            self._results[key].append(report)
        else:
            self.events.put_nowait(report)


@functools.cache
def _numbers(kind: type) -> tuple[tuple[str, Callable[[Any], Any], Any], ...]:
    """(name, how it is read, default) of the fields of one of ib_async's values that are not text."""
    read: dict[type, Callable[[Any], Any]] = {int: int, float: float, bool: lambda told: bool(int(told))}
    fields = dataclasses.fields(kind)
    return tuple((f.name, read[type(f.default)], f.default) for f in fields if type(f.default) in read)


class _QuickDecoder(Decoder):
    """ib_async's, which asks each value's class for its fields with every message; here it is asked once. The result is the same."""

    def parse(self, obj: Any) -> None:
        for name, read, default in _numbers(type(obj)):  # type: ignore[arg-type]  # a class is as hashable as they come
            told = getattr(obj, name)
            if told.__class__ is str:  # what no message has set is a number already
                setattr(obj, name, read(told) if told else default)


class Line(ib.IB):
    """ib_async with an ear on its wire, its own throttle off (ours has priorities) and errors raised."""

    RaiseRequestErrors = True

    def __init__(
        self,
        events: "asyncio.Queue[BrokerEvent]",
        money: asyncio.Event,
        binds: bool,
        clock: Clock,
        terms: dict[int, OptionTerms],
    ) -> None:
        super().__init__()
        self._binds = binds
        self.ear = Ear(self)
        self.ear.events, self.ear.money, self.ear.terms = events, money, terms
        self.ear.clock, self.ear.account_heard = clock, clock.monotonic()
        self.wrapper = self.ear
        self.client = Client(self.ear)
        self.client.decoder = _QuickDecoder(self.ear, 0)
        self.client.apiEnd += self.disconnectedEvent
        self.client.MaxRequests = 0

    def reqAutoOpenOrders(self, autoBind: bool = True) -> None:
        if self._binds:
            super().reqAutoOpenOrders(autoBind)
