"""A TWS that lies in its bytes: it stands between the bot and the simulated TWS, keeps what that truly said, and says it again, spoilt."""

import asyncio
import contextlib
import math
import random
import struct
from collections import Counter
from collections.abc import Sequence

from sim.tws.codec import frame

ODD = (
    "", "abc", "NaN", "inf", "-inf", "1e999", "-1", "-0", "2147483648", "-9223372036854775809", "9" * 400, "1e-400", "1e400",
    "1.7976931348623157E308", "💥", "\u202e", "true", "0x10", "1,5", " ", "٣", "1_000", "None", "<b>&", "%s%n", "20991332 25:61:61",
    "20260101", "'; DROP TABLE orders; --", "\\u0000", "\x01", "USD", "DU0000000", "1e5000000",
)  # fmt: skip
"""What a field may be spoilt into."""
KEPT = 40
"""True frames that are kept of each type."""
READ = {3: (1, 3, 6), 5: (1, 2, 14), 11: (3, 19, 20), 101: (1, 13)}
"""The numbers of them that the desk goes by: which order or contract, and how much of it.

A message about orders in which they can be read is untrue rather than malformed, and nobody could tell: none of those is made.
"""
KINDS = (
    "fields",
    "cut",
    "grown",
    "swapped",
    "emptied",
    "flipped",
    "retyped",
    "noise",
    "long",
    "no end",
    "out of step",
)
WEIGHTS = (50, 12, 8, 8, 3, 10, 6, 3, 0.2, 1, 0.002)


class Spoiler:
    """Makes malformed frames of true ones, from a seed, and counts them by kind and type of message."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.made: Counter[str] = Counter()

    def spoil(self, payload: bytes, kind: str = "") -> bytes:
        """A malformed frame."""
        while True:
            chosen = kind or self.chance.choices(KINDS, WEIGHTS)[0]
            made = self._spoil(payload, chosen)
            if not reads(made[4:]) and not alters(made[4:], payload):
                self.made[chosen] += 1
                return made
            kind = ""

    def _spoil(self, payload: bytes, kind: str) -> bytes:
        chance, values = self.chance, payload[:-1].split(b"\0")
        match kind:
            case "fields":
                self._spoil_fields(values)
            case "cut":
                del values[chance.randrange(len(values)) :]
            case "grown":
                at = chance.randrange(len(values) + 1)
                values[at:at] = [self._odd() for _ in range(chance.choice((1, 2, 30)))]
            case "swapped":
                one, other = chance.randrange(len(values)), chance.randrange(len(values))
                values[one], values[other] = values[other], values[one]
                self._spoil_fields(values)
            case "emptied":
                values[1:] = [b""] * (len(values) - 1)
            case "flipped":
                spoilt = bytearray(payload)
                for _ in range(chance.randint(1, 6)):
                    spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
                return frame(bytes(spoilt))
            case "retyped":
                values[0] = chance.choice((str(chance.randint(-5, 120)).encode(), self._odd()))
            case "noise":
                return frame(chance.randbytes(chance.choice((0, 1, 3, 50, 2000))))
            case "long":
                values[chance.randrange(len(values))] = b"x" * chance.choice((70_000, 2_000_000))
            case "no end":
                return frame(payload[:-1])
            case "out of step":
                size = chance.choice((0xFFFFFFFF, 0x7FFFFFFF, 0x41504900, 20_000_000, 3))
                return struct.pack(">I", size) + payload
        return frame(b"\0".join(values) + b"\0")

    def _odd(self) -> bytes:
        return self.chance.choice(ODD).encode()

    def _spoil_fields(self, values: list[bytes]) -> None:
        for _ in range(self.chance.choice((1, 1, 1, 2, 3, 8))):
            values[self.chance.randrange(len(values))] = self._odd()


def reads(spoilt: bytes) -> bool:
    """Whether this is a message about orders that can be read: there are numbers where the desk goes by them."""
    values = spoilt.split(b"\0")
    try:
        wanted = READ.get(int(values[0].decode()), ())  # as Python reads: digits of any script
    except ValueError:
        return False
    return bool(wanted) and len(values) > max(wanted) and all(_can_be(values[n]) for n in wanted)


def alters(spoilt: bytes, true: bytes) -> bool:
    """Whether a message about orders has another number where the true one has one: half of it would be untrue and not malformed."""
    now, before = spoilt.split(b"\0"), true.split(b"\0")
    of_orders = before[0].isdigit() and int(before[0]) in READ
    pairs = zip(now[1:], before[1:], strict=False)
    return of_orders and any(a != b and a and _can_be(a) and _can_be(b) for a, b in pairs)


def _can_be(value: bytes) -> bool:
    try:
        return math.isfinite(
            float(value.decode() or 0)
        )  # as Python reads: digits of any script, and nothing as 0
    except ValueError:
        return False


class FalseTws:
    """Passes everything on between the bot and the true `port`; what is said to the bot by `flood` comes on top."""

    def __init__(self, port: int, spoiler: Spoiler) -> None:
        self._true_port, self._spoiler = port, spoiler
        self.true: dict[bytes, list[bytes]] = {}
        self.greets: Sequence[str] = ()
        """How the next connections are spoilt at their beginning, one after the other."""
        self.connections = 0
        self.said: Counter[str] = Counter()
        """Malformed frames that were said, by their type as far as they have one."""
        self.port = 0
        self._there: asyncio.StreamWriter | None = None
        self._news = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        for end in list(self._ends):
            end.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._ends.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._true_port)
            spoilt = ""
            if self.greets:
                spoilt, *self.greets = self.greets
            there = asyncio.create_task(self._carry(reader, far_writer))
            back = asyncio.create_task(self._hear(far_reader, writer, spoilt))
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for road in (there, back):
                road.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            for end in (far_writer, writer):
                end.close()
        finally:
            self._ends.discard(writer)
            if self._there is writer:
                self._there = None
                self._news.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spoilt: str) -> None:
        """What TWS says, frame by frame. A spoilt greeting has one of its first four frames spoilt that way."""
        count, victim = 0, self._spoiler.chance.randrange(4)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                (size,) = struct.unpack(">I", await reader.readexactly(4))
                payload = await reader.readexactly(size)
                count += 1
                if count > 1:
                    kept = self.true.setdefault(payload.partition(b"\0")[0], [])
                    if len(kept) < KEPT and payload not in kept:
                        kept.append(payload)
                if spoilt and count - 1 == victim:
                    self.said["greeting"] += 1
                    writer.write(self._spoiler.spoil(payload, spoilt))
                else:
                    writer.write(frame(payload))
                if payload.startswith((b"9\0", b"15\0")) and not spoilt:
                    self._there = writer
                    self._news.set()
                if writer.transport.get_write_buffer_size() > 1 << 20:
                    await writer.drain()

    async def linked(self) -> asyncio.StreamWriter:
        """The way to the bot, as soon as there is one."""
        while self._there is None or self._there.is_closing():
            self._news.clear()
            await self._news.wait()
        return self._there

    async def flood(self, count: int) -> None:
        """Say so many malformed frames, on one connection as long as it lasts."""
        while count > 0:
            way = await self.linked()
            types = list(self.true)
            batch = []
            for _ in range(min(count, 100)):
                kind = self._spoiler.chance.choice(types)
                batch.append(self._spoiler.spoil(self._spoiler.chance.choice(self.true[kind])))
                self.said[kind.decode()] += 1
            way.write(b"".join(batch))
            count -= len(batch)
            with contextlib.suppress(ConnectionError):
                await way.drain()
