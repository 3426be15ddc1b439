"""A TWS under test: the server, its control port, and real ib_async clients, each over its own socket."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from ib_async import IB, LimitOrder, MarketOrder, Order, Stock, Trade

from sim.clock import Clock
from sim.world import World

PATIENCE_SECONDS = 10.0
AAPL = Stock("AAPL", "SMART", "USD", conId=265598, primaryExchange="NASDAQ")
CALM: dict[str, Any] = {"bid": 150.00, "ask": 150.02, "last": 150.01}
"""A quote to pin AAPL to, so that nothing happens by itself."""


@dataclass
class Tws:
    """Everything a test needs to trade and to arrange what happens."""

    world: World
    http: aiohttp.ClientSession
    clients: list[IB] = field(default_factory=list)
    errors: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def clock(self) -> Clock:
        return self.world.clock

    async def post(self, path: str, *, status: int = 200, **body: Any) -> dict[str, Any]:
        async with self.http.post(self.world.control_url + path, json=body) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == status, answer
            return answer

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        async with self.http.get(self.world.control_url + path, params=query) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
            return answer

    async def book(self) -> dict[str, Any]:
        return await self.get("/tws/book")

    async def order(self, ref: str) -> dict[str, Any]:
        """What the broker has of an order by its reference."""
        found = [order for order in (await self.book())["orders"] if order["ref"] == ref]
        assert len(found) == 1, found
        return dict(found[0])

    async def fired(self, name: str) -> int:
        """How often a fault happened."""
        return int((await self.get("/tws/counts"))["faults"].get(name, 0))

    async def connect(self, client_id: int = 1, **more: Any) -> IB:
        ib = IB()
        ib.RaiseRequestErrors = True
        ib.errorEvent += lambda request, code, text, _contract: self.errors.append((request, code, text))
        self.clients.append(ib)
        more.setdefault("raiseSyncErrors", True)
        await ib.connectAsync("127.0.0.1", self.world.tws.port, client_id, **more)
        return ib

    def codes(self) -> list[int]:
        """The error codes heard so far, without those that say that all is well."""
        return [code for _, code, _ in self.errors if code not in {2104, 2106, 2158}]


@asynccontextmanager
async def running_tws(**options: Any) -> AsyncIterator[Tws]:
    """A world in memory, or with its `state`, and a hand on its control port."""
    options.setdefault("state", None)
    async with World(**options) as world, aiohttp.ClientSession() as http:
        tws = Tws(world, http)
        try:
            yield tws
        finally:
            for ib in tws.clients:
                ib.disconnect()
            await asyncio.sleep(0)


async def until(ib: IB, happened: Callable[[], object]) -> None:
    """Wait for something that packets from TWS bring about."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not happened():
            more = asyncio.Event()
            ib.updateEvent.connect(_setter(more))
            if happened():
                return
            await more.wait()


def _setter(event: asyncio.Event) -> Callable[[], None]:
    def set_it() -> None:
        event.set()

    return set_it


async def place(ib: IB, order: Order, ref: str = "", **terms: Any) -> Trade:
    """Place an order for AAPL and wait for TWS to say something about it."""
    order.orderRef = ref
    for name, value in terms.items():
        setattr(order, name, value)
    trade = ib.placeOrder(AAPL, order)
    if order.transmit:
        await until(ib, lambda: trade.orderStatus.status != "PendingSubmit")
    return trade


async def filled(ib: IB, side: str = "BUY", quantity: float = 10, ref: str = "") -> Trade:
    """A market order, filled and with its commission."""
    trade = await place(ib, MarketOrder(side, quantity), ref)
    await until(ib, lambda: trade.fills and trade.fills[-1].commissionReport.execId)
    return trade


def resting(quantity: float = 10, price: float = 100.0) -> LimitOrder:
    """A purchase far below the market."""
    return LimitOrder("BUY", quantity, price)


def framed(*values: object) -> bytes:
    """A message as a client writes it."""
    payload = ("\0".join(map(str, values)) + "\0").encode()
    return struct.pack(">I", len(payload)) + payload


class Wire:
    """A client of nothing but a socket, for what a library would not send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def frame(self) -> list[str]:
        """The fields of the next message. IncompleteReadError at the end."""
        (size,) = struct.unpack(">I", await self.reader.readexactly(4))
        return (await self.reader.readexactly(size)).decode().split("\0")[:-1]

    async def frames(self, until: str) -> list[list[str]]:
        """All messages up to the first of a type."""
        seen = [await self.frame()]
        while seen[-1][0] != until:
            seen.append(await self.frame())
        return seen

    def write(self, *values: object) -> None:
        self.writer.write(framed(*values))


@asynccontextmanager
async def wire(tws: Tws, client_id: int | None = 5, versions: str = "v157..178") -> AsyncIterator[Wire]:
    """A socket that has said hello, and unless told not to, who it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tws.world.tws.port)
    client = Wire(reader, writer)
    hello = versions.encode()
    writer.write(b"API\0" + struct.pack(">I", len(hello)) + hello)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.frame()
            if client_id is not None:
                client.write(71, 2, client_id, "")
                await client.frames(until="9")
            yield client
    finally:
        writer.close()
