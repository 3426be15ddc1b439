"""One API client: its bytes, its handshake and who answers its requests. The desks do what a request asks for."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, cast

from sim.tws import answers, codec
from sim.tws.codec import WireError
from sim.tws.desks import AccountDesk, DataDesk, InfoDesk, OrderDesk
from sim.tws.errors import Refused
from sim.tws.requests import NAMES, WRITES, BadRequest, UnknownRequest, parse

if TYPE_CHECKING:
    from sim.tws.server import TwsServer

_FARMS = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)
_READ_ONLY = "Error validating request.-'cW' : cause - The API interface is currently in Read-Only mode."
_ID_IN_USE = "Unable to connect as the client id is already in use. Retry with a unique client id."


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
        self._handlers = _handlers(self.orders, self.account, self.data, self.info)
        self._greeted = False
        self._closing = False
        self._buffer = b""
        self._out: list[bytes] = []
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
            return
        try:
            if not self._greeted:
                self._greet()
            if self._greeted:
                frames, self._buffer = codec.split_frames(self._buffer)
                for payload in frames:
                    if not self._closing:
                        self._message(payload)
        except WireError as error:
            self.server.note("protocol_error", client=self.client_id, reason=str(error))
            self.close()
        self.write_out()
        self.server.flush()

    def _greet(self) -> None:
        if not b"API\0".startswith(self._buffer[:4]):
            raise WireError("a client begins with API and a NUL")
        frames, _ = codec.split_frames(self._buffer[4:])
        if frames:
            self.version = codec.parse_hello(frames[0])
            self._buffer = self._buffer[8 + len(frames[0]) :]
            self._greeted = True
            self.send(answers.hello(self.version, self.now))

    def send(self, data: bytes) -> None:
        """Send a message, with the others of this turn."""
        self._out.append(data)
        if not self._leaving:
            self._leaving = True
            asyncio.get_running_loop().call_soon(self.write_out)

    def write_out(self) -> None:
        """Write what waits, unless an armed fault holds it back."""
        self._leaving = False
        faults = self.server.faults
        if not self._out or faults.hang or faults.half_open:
            return
        data, self._out = b"".join(self._out), []
        if faults.delay:
            asyncio.get_running_loop().call_later(faults.delay, self._write, data)
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def freeze(self, on: bool) -> None:
        """Stop reading and writing while the connection stays up; afterwards everything held back goes its way."""
        if on:
            self.transport.pause_reading()
        else:
            self.write_out()
            self.transport.resume_reading()

    def close(self) -> None:
        """Say what is left to say and hang up."""
        self._closing = True
        self.write_out()
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
            self.fail(-1, 506, f"Unknown incoming message type: {error}")
            return
        except BadRequest as error:
            self.server.note("bad_request", client=self.client_id, reason=str(error))
            self.fail(error.request_id, 320, f"Error reading request. {error}")
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
            try:
                self._handlers[request.name](**request.arguments)
            except Refused as refused:
                self.fail(request.id, refused.code, refused.text)

    def _start(self, client_id: int) -> None:
        if self.client_id is not None:
            return
        if not self.server.claim(client_id):
            self.fail(-1, 326, _ID_IN_USE)
            self.close()
            return
        self.client_id = client_id
        self.server.note("client", client=client_id)
        if not self.server.faults.not_logged_in:
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
