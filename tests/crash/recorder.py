"""Counts every place where a crash can fall between two effects, and dies at one of them: no finally block, no flush, nothing said.

Wrapped are the edges of the real parts: the database's COMMIT (before and after it in the database's thread, and back on the loop), every
message to the broker's socket, every request to Telegram, every event of the broker that is taken from the queue, every step of a
migration. Nothing is replaced: what is wrapped runs as it is.
"""

import asyncio
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiosqlite
from ib_async.client import Client
from ib_async.connection import Connection as Wire

from bot.transport import AiohttpRequest
from core.broker import IBBroker
from storage import database
from storage.database import Database
from tests.crash.timeline import Loop, Shared

KILLED = 137

REQUESTS = {
    1: "reqMktData", 2: "cancelMktData", 3: "placeOrder", 4: "cancelOrder", 5: "reqOpenOrders", 6: "reqAccountUpdates", 7: "reqExecutions",
    9: "reqContractDetails", 15: "reqAutoOpenOrders", 16: "reqAllOpenOrders", 20: "reqHistoricalData", 25: "cancelHistoricalData",
    49: "reqCurrentTime", 59: "reqMarketDataType", 61: "reqPositions", 71: "startApi", 78: "reqSecDefOptParams",
    99: "reqCompletedOrders",
}  # fmt: skip


class Recorder:
    """Hits are counted while the driver has armed them. Threads may hit at the same time."""

    def __init__(self, shared: Shared, die: Callable[[], object] = lambda: os._exit(KILLED)) -> None:
        self._shared, self._die, self._one = shared, die, threading.Lock()
        self._passed: Counter[str] = Counter()

    def hit(self, name: str) -> None:
        """A boundary was reached; the process may end here."""
        cells = self._shared.cells
        if not cells.armed:
            return
        with self._one:
            cells.count += 1
            self._shared.write_name(name)
            self._passed[name] += 1
            named = name.encode() == cells.kill_name and self._passed[name] == cells.kill_time
            if named or cells.count == cells.kill_at:
                cells.died = 1
                self._die()


def _purpose(work: Callable[..., Any]) -> str:
    """`record_sending` of `SqliteLedger.record_sending.<locals>.work`."""
    name = getattr(work, "__qualname__", type(work).__name__)
    return name.partition(".<locals>")[0].rpartition(".")[2].lstrip("_")


def install(recorder: Recorder) -> None:
    """Wrap the edges, once, for every bot of this process and those forked from it."""
    hit = recorder.hit
    purpose = threading.local()

    class Counting(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql != "COMMIT":
                return super().execute(sql, *values)
            name = getattr(purpose, "name", "")
            hit(f"before COMMIT {name}")
            done = super().execute(sql)
            hit(f"after COMMIT {name}")
            return done

        def executescript(self, script: str) -> sqlite3.Cursor:
            self.set_trace_callback(lambda statement: hit("migration step"))
            try:
                return super().executescript(script)
            finally:
                self.set_trace_callback(None)

    connect = aiosqlite.connect

    def connect_counting(*values: Any, **options: Any) -> aiosqlite.Connection:
        return connect(*values, factory=Counting, **options)

    write = Database.write

    async def write_counting(self: Database, work: Callable[..., Any], *values: Any, **options: Any) -> Any:
        name = _purpose(work)

        def named(db: sqlite3.Connection) -> Any:
            purpose.name = name
            return work(db, *values, **options)

        result = await write(self, named)
        hit(f"resumed after COMMIT {name}")
        return result

    connection: Any = aiosqlite.Connection
    execute, opened = connection._execute, connection._connect

    def busy(method: Callable[..., Any]) -> Callable[..., Any]:
        async def run(self: Any, *values: Any, **options: Any) -> Any:
            loop = asyncio.get_running_loop()
            ended = loop.common.began() if isinstance(loop, Loop) else None
            try:
                return await method(self, *values, **options)
            finally:
                if ended is not None:
                    ended(None)

        return run

    send: Any = Wire.sendMsg
    place: Any = Client.placeOrder
    asking: list[int] = []

    def place_counting(self: Client, order_id: int, contract: Any, order: Any) -> None:
        if order.whatIf:
            asking.append(order_id)  # a question, not an order
        try:
            place(self, order_id, contract, order)
        finally:
            asking.clear()

    def send_counting(self: Wire, message: bytes) -> None:
        # "API\0" opens the conversation; behind the length, the first field says what kind of message it is.
        kind = message[4 : message.find(b"\0", 4)]
        name = REQUESTS.get(int(kind), kind.decode()) if kind.isdigit() else "handshake"
        if name == "placeOrder" and asking:
            name = "whatIf"
        hit(f"before send {name}")
        send(self, message)
        hit(f"after send {name}")

    request: Any = AiohttpRequest.do_request

    async def request_counting(self: AiohttpRequest, url: str, *values: Any, **options: Any) -> Any:
        name = url.rpartition("/")[2]
        hit(f"before {name}")
        told = await request(self, url, *values, **options)
        hit(f"answered {name}")
        return told

    hear = IBBroker.next_event

    async def hear_counting(self: IBBroker) -> Any:
        event = await hear(self)
        hit(f"heard {type(event).__name__}")
        return event

    put(database, "aiosqlite", _With(aiosqlite, connect=connect_counting))
    put(Database, "write", write_counting)
    put(aiosqlite.Connection, "_execute", busy(execute))
    put(aiosqlite.Connection, "_connect", busy(opened))
    put(Wire, "sendMsg", send_counting)
    put(Client, "placeOrder", place_counting)
    put(AiohttpRequest, "do_request", request_counting)
    put(IBBroker, "next_event", hear_counting)


def put(owner: Any, name: str, value: Any) -> None:
    """Give an attribute of a module or class another value in this process."""
    setattr(owner, name, value)


class _With:
    """A module with some of its names changed."""

    def __init__(self, module: Any, **names: Any) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
