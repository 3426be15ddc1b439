"""The simulated TWS under load: a flood of ticks to one client, and ten thousand orders in a run."""

import asyncio
import struct
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.world import World, clock, percentile, world

TICKS_A_SECOND = 20_000
FLOOD_SECONDS = 10.0
LINES = 2_000
ORDERS = 10_000
SYMBOLS = ("AAPL", "MSFT", "NVDA", "AMZN", "SPY", "KO", "TSLA", "META", "QQQ", "JPM")
TICK_MESSAGES = frozenset({b"1", b"2", b"46"})
STATUS = b"3"


class Wire:
    """A client of nothing but a socket, so that what is measured is the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._rest = b""

    def write(self, *values: object) -> None:
        """Send a message."""
        payload = ("\0".join(map(str, values)) + "\0").encode()
        self._writer.write(struct.pack(">I", len(payload)) + payload)

    async def read(self) -> list[bytes]:
        """The messages that are there, at least one chunk of bytes of them."""
        buffer, at, messages = self._rest + await self._reader.read(1 << 20), 0, []
        while len(buffer) - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if len(buffer) - at - 4 < size:
                break
            messages.append(buffer[at + 4 : at + 4 + size])
            at += 4 + size
        self._rest = buffer[at:]
        return messages


@asynccontextmanager
async def connected(there: World) -> AsyncIterator[Wire]:
    """A client that has said who it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", there.tws_port, limit=1 << 22)
    writer.write(b"API\0" + struct.pack(">I", 9) + b"v157..178")
    wire = Wire(reader, writer)
    wire.write(71, 2, 7, "")
    while not any(message.startswith(b"9\0") for message in await wire.read()):
        pass
    try:
        yield wire
    finally:
        writer.close()


async def flood(there: World) -> None:
    """Many lines at once, and what they cost the server."""
    async with connected(there) as wire:
        for line in range(LINES):
            contract = [0, SYMBOLS[line % len(SYMBOLS)], "STK", "", "0.0", "", "", "SMART", "", "USD", "", ""]
            wire.write(1, 11, 1000 + line, *contract, 0, "", 0, 0, "")
        seen: Counter[bytes] = Counter()
        await _listen(wire, 2.0)
        used, begun = _cpu_seconds(there.pid), clock()
        seen = await _listen(wire, FLOOD_SECONDS)
        used, took = _cpu_seconds(there.pid) - used, clock() - begun
    ticks = sum(count for kind, count in seen.items() if kind in TICK_MESSAGES) / took
    print(
        f"ticks: {ticks:,.0f} a second to one client cost the server {used / took:.0%} of a core, "
        f"{used / took / ticks * TICKS_A_SECOND:.0%} for {TICKS_A_SECOND:,} (goal: under 30%)"
    )


async def _listen(wire: Wire, seconds: float) -> Counter[bytes]:
    """Messages by type for so long."""
    seen: Counter[bytes] = Counter()
    until = clock() + seconds
    while clock() < until:
        seen.update(message.partition(b"\0")[0] for message in await wire.read())
    return seen


async def orders(there: World) -> None:
    """Orders in turn, each from its last byte out to its first status in: a market order, a resting one, one that is taken back."""
    taken: list[float] = []
    worked = [_cpu_seconds(there.pid)]
    tenth = ORDERS // 10
    async with connected(there) as wire:
        wire.write(61, 1)
        for number in range(1, ORDERS + 1):
            resting = number % 2
            kind, limit = ("LMT", "20.5") if resting else ("MKT", "")
            side = "BUY" if number % 4 < 2 else "SELL"
            begun = clock()
            wire.write(*_order(number, "BUY" if resting else side, kind, limit))
            await _status(wire, number)
            taken.append((clock() - begun) * 1e3)
            if number % 4 == 1:
                wire.write(4, 1, number, "")
                await _status(wire, number)
            if number % tenth == 0:
                worked.append(_cpu_seconds(there.pid))
    first, last = (percentile(part, 0.99) for part in (taken[:tenth], taken[-tenth:]))
    begin, end = ((worked[i + 1] - worked[i]) / tenth * 1e3 for i in (0, 9))
    print(
        f"orders: {ORDERS:,} in a run, place to ack p50 {percentile(taken, 0.5):.2f} ms; "
        f"p99 of the first tenth {first:.2f} ms, of the last {last:.2f} ms: x{last / first:.2f} (goal: 1.5 or less); "
        f"the server's own work on one {begin:.2f} ms at first, {end:.2f} ms at last"
    )


async def _status(wire: Wire, number: int) -> None:
    """Read up to a status of an order."""
    head = b"3\0%d\0" % number
    while not any(message.startswith(head) for message in await wire.read()):
        pass


def _order(number: int, side: str, kind: str, limit: str) -> list[object]:
    """placeOrder as server version 178 reads it."""
    contract = [265598, "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "", "", ""]
    main = [side, 1, kind, limit, "", "DAY", "", "", "", 0, "load", 1, 0, 0, 0, 0, 0, 0, 0]
    blank = [""] * 46  # allocation, volatility, trail, scale, hedge, clearing: nothing of them is said
    no_delta_neutral, no_algo, no_conditions = 0, "", 0
    return [
        *(3, number, *contract, *main, *blank),
        *(no_delta_neutral, no_algo, *[""] * 6, no_conditions, *[""] * 24),
    ]


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, by the scheduler's own account: ticks of the clock miss short bursts."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


async def measure() -> None:
    """One world, first ticks, then orders."""
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder)) as there:
            # Far beyond what TWS lets a client have: the load is the point here.
            await there.post("/tws/limits", messages_per_second=None, market_data_lines=None)
            await flood(there)
            await orders(there)


def main() -> None:
    """Run it."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
