"""IB's own Python client as the judge of the simulated TWS: its socket, its encoder, and its decoder, made to insist on every field."""

import functools
import queue
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import ibapi.client
from ibapi.client import EClient
from ibapi.comm import read_fields
from ibapi.const import UNSET_DECIMAL, UNSET_DOUBLE, UNSET_INTEGER
from ibapi.contract import ComboLeg, Contract
from ibapi.decoder import Decoder
from ibapi.order import Order
from ibapi.wrapper import EWrapper

PATIENCE_SECONDS = 10.0
Fields = tuple[bytes, ...]
Call = tuple[Any, ...]
Tamper = Callable[[int, Fields], Fields]
_ABOUT_THE_SOCKET = {"connectAck", "connectionClosed"}
_CALLBACKS = frozenset(name for name in dir(EWrapper) if not name.startswith("_"))


class Mismatch(Exception):
    """A message that is not laid out as IB's decoder reads it at this server version."""


class Heard(EWrapper):
    """Everything that the client was told: the name of the callback and its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Call]] = []

    def __getattribute__(self, name: str) -> Any:
        if name in _CALLBACKS:
            return functools.partial(self._hear, name)
        return super().__getattribute__(name)

    def _hear(self, name: str, *values: Any, **named: Any) -> None:
        if name not in _ABOUT_THE_SOCKET:
            self.calls.append((name, (*values, *named.values())))


class Strict(Decoder):
    """IB's decoder, which by itself ignores what is left over and only logs what does not fit."""

    def interpret(self, fields: Fields, msgId: int) -> None:  # noqa: N803 - IB's name
        """Read a message to its last field, and make sure that the client heard of it."""
        if msgId == 0:  # what connect() says before there is a message
            return
        about, heard = f"message {msgId} at {self.serverVersion}", len(self.wrapper.calls)
        how = self.msgId2handleInfo.get(msgId)
        if how is None:
            raise Mismatch(f"{about} is not known to IB's decoder")
        try:
            if how.wrapperMeth is not None:
                wanted = len(how.wrapperParams) - 1  # without self; the version in front counts for it
                if len(fields) - 1 != wanted:
                    raise Mismatch(f"{about} has {len(fields) - 1} fields after its version, not {wanted}")
                self.interpretWithSignature(fields, how)
            else:
                left = iter(fields)
                how.processMeth(self, left)
                if rest := list(left):
                    raise Mismatch(f"{about} has {len(rest)} of {len(fields)} fields left over: {rest[:5]}")
        except Mismatch:
            raise
        except Exception as error:
            raise Mismatch(f"{about} cannot be read: {error!r} in {fields}") from error
        if len(self.wrapper.calls) == heard:
            raise Mismatch(f"{about} told the client nothing: {fields}")


class Client(EClient):
    """IB's client at one server version. It reads when it is asked to, and notes what went over the wire.

    `asked` and `answered` hold the messages by their ids, each as the list of its fields without the id.
    """

    def __init__(self, tamper: Tamper | None = None) -> None:
        self.heard = Heard()
        super().__init__(self.heard)
        self.asked: dict[int, list[Fields]] = defaultdict(list)
        self.answered: dict[int, list[Fields]] = defaultdict(list)
        self._tamper = tamper

    @property
    def version(self) -> int:
        """The server version agreed on."""
        return int(self.serverVersion())

    def sendMsg(self, msgId: int, msg: str) -> None:  # noqa: N802, N803 - IB's names
        """Send a message, and note it."""
        self.asked[msgId].append(tuple(msg.encode().split(b"\0")[:-1]))
        super().sendMsg(msgId, msg)

    def read(self) -> None:
        """Take one message off the queue that IB's reader thread fills, as IB's own loop does. Mismatch where it does not fit."""
        try:
            payload = self.msg_queue.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise TimeoutError(f"nothing came after {self.heard.calls[-3:]}") from None
        number, _, rest = payload.partition(b"\0")
        message, fields = int(number), read_fields(rest)
        self.answered[message].append(fields)
        if self._tamper is not None:
            fields = self._tamper(message, fields)
        self.decoder.interpret(fields, message)

    def ask(
        self,
        request: Callable[..., None],
        *values: Any,
        until: str,
        that: Callable[..., object] | None = None,
    ) -> "Told":
        """Make a request and read up to a callback (`that` holds of it). Returns everything heard meanwhile."""
        return self.hear(until, that, request, *values)

    def hear(
        self,
        until: str,
        that: Callable[..., object] | None = None,
        first: Callable[..., object] | None = None,
        *values: Any,
    ) -> "Told":
        """Read up to a callback, after something that brings it about. Returns everything heard meanwhile."""
        start = len(self.heard.calls)
        if first is not None:
            first(*values)
        seen = start
        while True:
            while seen < len(self.heard.calls):
                name, said = self.heard.calls[seen]
                seen += 1
                if name == until and (that is None or that(*said)):
                    return Told(self.heard.calls[start:seen])
            self.read()


class Told(list[tuple[str, Call]]):
    """Callbacks in the order in which they came."""

    def all(self, name: str) -> list[Call]:
        """The arguments of every callback of a name."""
        return [said for called, said in self if called == name]

    def last(self, name: str) -> Call:
        """The arguments of the latest one."""
        return self.all(name)[-1]


@contextmanager
def connected(
    port: int, version: int, client_id: int, hang_up: Callable[[int], object], tamper: Tamper | None = None
) -> Iterator[Client]:
    """IB's client as it was when `version` was the newest. `hang_up` closes its socket at the server, so that its thread ends at once."""
    client, newest = Client(tamper), ibapi.client.MAX_CLIENT_VER
    ibapi.client.MAX_CLIENT_VER = version
    try:
        client.connect("127.0.0.1", port, client_id)
    finally:
        ibapi.client.MAX_CLIENT_VER = newest
    reader = client.reader
    client.conn.socket.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )  # else its small requests wait 40 ms for each other
    assert client.version == version
    client.decoder = Strict(client.heard, version)
    try:
        yield client
    finally:
        hang_up(client_id)
        reader.join()
        client.disconnect()


def stock(symbol: str = "AAPL", exchange: str = "SMART", kind: str = "STK") -> Contract:
    """A share as a user of IB's client describes it."""
    contract = Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = symbol, kind, exchange, "USD"
    return contract


def pair(symbol: str = "EUR", currency: str = "USD") -> Contract:
    """Two currencies."""
    contract = stock(symbol, "IDEALPRO", "CASH")
    contract.currency = currency
    return contract


def index(symbol: str = "SPX", exchange: str = "CBOE") -> Contract:
    """A number that nobody can buy."""
    return stock(symbol, exchange, "IND")


def option(expiry: str, strike: float, right: str) -> Contract:
    """An option on AAPL."""
    contract = stock(kind="OPT")
    contract.lastTradeDateOrContractMonth, contract.strike, contract.right = expiry, strike, right
    return contract


def leg(con_id: int, action: str) -> ComboLeg:
    """One of something in a combination."""
    made = ComboLeg()
    made.conId, made.ratio, made.action, made.exchange = con_id, 1, action, "SMART"
    return made


def combination() -> Contract:
    """Two legs, on two different shares."""
    contract = stock(kind="BAG")
    contract.comboLegs = [leg(265598, "BUY"), leg(272093, "SELL")]
    return contract


def order(kind: str, quantity: int = 5, side: str = "BUY", **more: Any) -> Order:
    """An order with IB's names for its terms."""
    made = Order()
    made.action, made.orderType, made.totalQuantity = side, kind, Decimal(quantity)
    for name, value in more.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


def said(made: Order) -> dict[str, Any]:
    """What an order says beyond IB's defaults, in values that can be compared."""
    plain = vars(Order())
    return {
        name: comparable(value)
        for name, value in vars(made).items()
        if comparable(value) != comparable(plain[name])
        and value not in (UNSET_DOUBLE, UNSET_INTEGER, UNSET_DECIMAL)
    }


def comparable(value: Any) -> Any:
    """Lists and IB's objects by what they hold."""
    if isinstance(value, list):
        return [comparable(one) for one in value]
    return comparable_fields(value) if hasattr(value, "__dict__") else value


def comparable_fields(value: Any) -> dict[str, Any]:
    """The fields of one of IB's objects."""
    return {name: comparable(one) for name, one in vars(value).items()}
