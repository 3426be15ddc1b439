"""One API client: its bytes, its handshake, its limits and who answers its requests. The desks do what a request asks for."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, cast

from sim.tws import answers, codec
from sim.tws.codec import WireError
from sim.tws.desks import AccountDesk, BarDesk, DataDesk, InfoDesk, OrderDesk, TickDesk
from sim.tws.errors import Refused
from sim.tws.limits import TOO_FAST, Open, Rate
from sim.tws.requests import NAMES, WRITES, BadRequest, Request, UnknownRequest, parse

if TYPE_CHECKING:
    from sim.tws.server import TwsServer

_FARMS = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)
_READ_ONLY = "Error validating request.-'cW' : cause - The API interface is currently in Read-Only mode."
_ID_IN_USE = "Unable to connect as the client id is already in use. Retry with a unique client id."
_QUOTED = 300
"""How much of what a client said wrongly is said back."""


class Session(asyncio.Protocol):
    """A connection from the first byte to the last.

    What is sent while a batch of requests is worked on leaves as one write at its end; what the server sends otherwise, with the
    loop's next turn.
    """

    def __init__(self, server: "TwsServer") -> None:
        self.server = server
        self.engine = server.engine
        self.transport: asyncio.Transport
        self.version = 0
        self.client_id: int | None = None
        self.ready = False
        self.received_ns = 0
        self.muted: set[int] = set()
        """Orders (perm ids) of which this connection is told nothing unless it asks."""
        self.orders, self.account = OrderDesk(self), AccountDesk(self)
        self.data, self.info = DataDesk(self), InfoDesk(self)
        self.bars, self.ticks = BarDesk(self), TickDesk(self)
        self._handlers = _handlers(self.orders, self.account, self.data, self.bars, self.ticks, self.info)
        self.open = Open()
        """The requests that go on until they are cancelled."""
        self._rate = Rate()
        self._too_many = 0
        self._paced = False
        self._greeted = False
        self._closing = False
        self._unanswered = False
        self._excused = False
        """What piled up while TWS did not read is not held against the client."""
        self._held: set[str] = set()
        self._buffer = bytearray()
        self._missing = 0
        self._waiting: deque[bytes] = deque()
        self._out: list[bytes] = []
        self._kept = self._kept_back = 0
        self._pieces: deque[bytes] = deque()
        self._leaving = False

    @property
    def now(self) -> datetime:
        """The simulated moment."""
        return self.server.clock.now()

    # -- bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; it speaks first."""
        self.transport = cast(asyncio.Transport, transport)
        self.server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and with it everything it subscribed to."""
        self._closing = True
        self.server.left(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client: answer every whole message among them, then let the server write down what changed."""
        self.received_ns = time.perf_counter_ns()
        self._buffer += data
        if self.server.faults.hang:
            self._leave_unanswered()
        else:
            self._work()
            self._excused = False

    def _leave_unanswered(self) -> None:
        """While TWS hangs: bytes are taken and nothing is said, but not more of them than a message can have."""
        if not self._unanswered:
            self._unanswered = True
            self.server.faults.fire("hang")
        if len(self._buffer) > codec.MAX_FRAME:
            self._hold("hang", True)

    def resume(self) -> None:
        """After a hang: answer what came in meanwhile."""
        self._unanswered, self._excused = False, True
        self._hold("hang", False)
        self._work()

    def _work(self) -> None:
        """Answer what is there, as far as the limits and the faults let it."""
        try:
            if not self._greeted:
                self._greet()
            if self._greeted:
                self._split()
                self._answer()
        except WireError as error:
            self.server.note("protocol_error", client=self.client_id, reason=str(error))
            self.close()
        self.write_out()
        self.server.flush()

    def _greet(self) -> None:
        if not b"API\0".startswith(self._buffer[:4]):
            raise WireError("a client begins with API and a NUL")
        frames, _ = codec.split_frames(bytes(self._buffer[4:]))
        if frames:
            self.version = codec.parse_hello(frames[0])
            self._paced = codec.wants_pacing(frames[0])
            del self._buffer[: 8 + len(frames[0])]
            self._greeted = True
            self.send(answers.hello(self.version, self.now))

    def _split(self) -> None:
        """Take whole messages out of the buffer; a long one is looked at again when all of it can be there."""
        if len(self._buffer) >= max(self._missing, 4):
            frames, rest = codec.split_frames(bytes(self._buffer))
            self._waiting.extend(frames)
            self._buffer = bytearray(rest)
            self._missing = 4 + int.from_bytes(rest[:4]) if len(rest) >= 4 else 4

    def _answer(self) -> None:
        """Answer the messages in turn. One too many is refused, or waits where the client asked to be slowed down."""
        faults = self.server.faults
        limit = None if self._excused else self.server.limits.messages_per_second
        now = time.monotonic()
        while self._waiting and not self._closing and not faults.hang and not faults.half_open:
            early = self._rate.wait(limit, now)
            if early and self._paced:
                self._slow_down(early)
                return
            payload = self._waiting.popleft()
            if early:
                self._refuse_speed()
            else:
                self._message(payload)

    def _slow_down(self, seconds: float) -> None:
        """Read no more until the rate allows another message."""
        if "pace" not in self._held:
            self.server.keeper.hit["paced"] += 1
            self._hold("pace", True)
            asyncio.get_running_loop().call_later(seconds, self._speed_up)

    def _speed_up(self) -> None:
        self._hold("pace", False)
        if not self._closing:
            self._work()

    def _refuse_speed(self) -> None:
        """A message too many: refused, and after some of them the client is hung up on."""
        keeper = self.server.keeper
        keeper.hit["messages_per_second"] += 1
        self._too_many += 1
        self.fail(-1, *TOO_FAST)
        if keeper.limits.violations is not None and self._too_many >= keeper.limits.violations:
            keeper.hit["dropped_for_speed"] += 1
            self.server.note("too_fast", client=self.client_id)
            self.close()

    def _hold(self, reason: str, on: bool) -> None:
        """Stop reading for a reason; it goes on when none is left."""
        (self._held.add if on else self._held.discard)(reason)
        if self._held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def send(self, data: bytes) -> None:
        """Send a message, with the others of this turn."""
        self._out.append(data)
        self._kept += len(data)
        if not self._leaving:
            self._leaving = True
            asyncio.get_running_loop().call_soon(self.write_out)

    def write_out(self) -> None:
        """Write what waits, unless an armed fault holds it back."""
        self._leaving = False
        faults = self.server.faults
        if not self._out:
            return
        if faults.hang or faults.half_open:
            self._watch()
            return
        data, self._out, self._kept = b"".join(faults.leaving(self._out)), [], 0
        if faults.delay:
            faults.fire("delay")
            self._kept_back += len(data)
            asyncio.get_running_loop().call_later(faults.delay, self._write_late, data)
        else:
            self._write(data)

    def _write_late(self, data: bytes) -> None:
        self._kept_back -= len(data)
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._pieces or self.server.faults.fragment:
            if not self._pieces:
                asyncio.get_running_loop().call_soon(self._write_piece)
            self._pieces.extend(self.server.faults.pieces(data))
        else:
            self.transport.write(data)
        self._watch()

    def _write_piece(self) -> None:
        """One piece in each turn of the loop, so that each travels by itself."""
        if self._pieces and not self.transport.is_closing():
            self.transport.write(self._pieces.popleft())
            asyncio.get_running_loop().call_soon(self._write_piece)
        elif self._closing:
            self.transport.close()

    def _watch(self) -> None:
        """A client that does not read what it asked for is dropped before it costs all memory."""
        limit = self.server.keeper.limits.unsent_bytes
        waits = self.transport.get_write_buffer_size() + self._kept + self._kept_back
        if limit is not None and waits > limit and not self.transport.is_closing():
            self.server.keeper.hit["slow_reader"] += 1
            self.server.note("slow_reader", client=self.client_id, unsent_bytes=waits)
            self._out, self._kept = [], 0
            self._closing = True
            self.transport.abort()

    def freeze(self, on: bool) -> None:
        """Stop reading and writing while the connection stays up; afterwards everything held back goes its way."""
        self._hold("half_open", on)
        if on:
            self.server.faults.fire("half_open")
        else:
            self._excused = True
            self._work()

    def close(self) -> None:
        """Say what is left to say and hang up."""
        self._closing = True
        self.write_out()
        if self.server.faults.delay:
            asyncio.get_running_loop().call_later(self.server.faults.delay, self._hang_up)
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        if not self._pieces:
            self.transport.close()

    # -- requests

    def fail(self, request_id: int, code: int, text: str) -> None:
        """Say that something is wrong with a request, or something that concerns none (-1)."""
        self.send(answers.error(self.version, request_id, code, text))

    def _message(self, payload: bytes) -> None:
        try:
            request = parse(self.version, payload)
        except UnknownRequest as error:
            self.server.unknown(str(error))
            self.fail(-1, 506, f"Unknown incoming message type: {str(error)[:_QUOTED]}")
            return
        except BadRequest as error:
            self._unreadable(error.request_id, error)
            return
        except WireError as error:
            self._unreadable(-1, error)
            return
        self.server.messages[request.name] += 1
        if request.name == "start_api":
            self._start(**request.arguments)
        elif not self.ready:
            self.fail(-1, 504, "Not connected")
        elif self.server.faults.read_only and request.name in WRITES:
            self.server.faults.fire("read_only")
            self.fail(request.id, 321, _READ_ONLY)
        else:
            self._carry_out(request)

    def _unreadable(self, request_id: int, error: WireError) -> None:
        reason = str(error)[:_QUOTED]
        self.server.note("bad_request", client=self.client_id, reason=reason)
        self.fail(request_id, 320, f"Error reading request. {reason}")

    def _carry_out(self, request: Request) -> None:
        try:
            self.server.admit(self, request)
            self._handlers[request.name](**request.arguments)
        except Refused as refused:
            self.fail(request.id, refused.code, refused.text)
        else:
            self.open.took(request.name, request.arguments)

    def _start(self, client_id: int) -> None:
        if self.client_id is not None:
            return
        if not self.server.claim(client_id):
            self.fail(-1, 326, _ID_IN_USE)
            self.close()
            return
        self.client_id = client_id
        self.server.note("client", client=client_id)
        if self.server.faults.not_logged_in:
            self.server.faults.fire("not_logged_in")
        else:
            self.log_in()

    def log_in(self) -> None:
        """Let the client begin: its accounts, the next order id, the state of the data farms."""
        self.ready = True
        self.info.on_managed_accounts()
        self.info.on_ids(1)
        for code, text in _FARMS:
            self.fail(-1, code, text)


def _handlers(*desks: object) -> dict[str, Callable[..., None]]:
    """Who answers which request: the desk that has a method of its name."""
    return {
        name: getattr(desk, f"on_{name}") for name in NAMES for desk in desks if hasattr(desk, f"on_{name}")
    }
