"""The outside world in a box: clock, memory, broker, chat, model and the control port, started and stopped together."""

import asyncio
import contextlib
import fcntl
import socket
from collections.abc import Awaitable, Callable, Iterator
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Annotated, Protocol, Self

from aiohttp import web
from pydantic import Field

from sim import control
from sim.clock import Clock
from sim.model import ModelServer
from sim.store import Store
from sim.telegram import TelegramServer
from sim.tws import TwsServer

HOST = "127.0.0.1"
CLOSING_SECONDS = 2.0


class AlreadyRunning(RuntimeError):
    """Another world works with the same directory."""


class PortTaken(OSError):
    """A port that was asked for is in use."""


class Advance(control.Body):
    """How far to move the clock."""

    advance: Annotated[float, Field(ge=0, le=366 * 86_400)]


class _Server(Protocol):
    async def start(self, port: int = 0) -> None: ...

    async def close(self) -> None: ...


class World:
    """Everything outside, as an async context manager. `state` is where it remembers; None forgets everything.

    Port 0 is the one of the last run with that state, where it is still free, else any free one.
    """

    def __init__(
        self,
        state: Path | None,
        seed: int = 1,
        tws_port: int = 0,
        telegram_port: int = 0,
        model_port: int = 0,
        control_port: int = 0,
        accounts: tuple[str, ...] = ("DU1234567",),
    ) -> None:
        self.clock = Clock()
        self._lock = _lock(state) if state is not None else None
        self._store = Store(state / "world.db" if state is not None else None)
        self.clock.advance(self._store.get("world", "ahead", 0.0))
        self.tws = TwsServer(self.clock, self._store, seed, accounts)
        self.telegram = TelegramServer(self.clock, self._store, seed)
        self.model = ModelServer(self.clock, self._store, seed)
        self.control_port = control_port
        self._starting: list[tuple[str, _Server, int]] = [
            ("tws", self.tws, tws_port),
            ("telegram", self.telegram, telegram_port),
            ("model", self.model, model_port),
        ]
        self._runner: web.AppRunner | None = None
        self._started: list[_Server] = []

    @property
    def control_url(self) -> str:
        """Where the control port answers."""
        return f"http://{HOST}:{self.control_port}"

    async def __aenter__(self) -> Self:
        """Start everything. PortTaken where a port is in use; nothing is left running then."""
        try:
            for name, server, port in self._starting:
                with _naming(name, port):
                    await server.start(self._as_before(name, port))
                self._started.append(server)
            with _naming("control", self.control_port):
                self.control_port = self._as_before("control", self.control_port)
                await self._start_control()
            ports = {
                "tws": self.tws.port,
                "telegram": self.telegram.port,
                "model": int(self.model.address.rpartition(":")[2]),
                "control": self.control_port,
            }
            self._store.put("world", "ports", ports)
            if self._lock is not None:
                self._lock.truncate(0)
                self._lock.write(self.telegram.page_url)
                self._lock.flush()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self._close()

    def _as_before(self, name: str, port: int) -> int:
        """The port to listen at: the one that was asked for; else that of the last run where nobody else has it now."""
        before: int = self._store.get("world", "ports", {}).get(name, 0)
        return before if port == 0 and before and _is_free(before) else port

    async def _start_control(self) -> None:
        routes = [control.get("/clock", self._tell_time), control.post("/clock", Advance, self._advance)]
        routes += [route for server in (self.tws, self.telegram, self.model) for route in server.control()]
        self._runner = web.AppRunner(
            control.application(routes), handler_cancellation=True, shutdown_timeout=0.2, access_log=None
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.control_port)
        await site.start()
        self.control_port = self._runner.addresses[0][1]

    def _tell_time(self) -> control.Answer:
        """The simulated time."""
        return {"now": self.clock.now().isoformat()}

    def _advance(self, body: Advance) -> control.Answer:
        """Move the clock forward by {"advance": seconds}; the market moves with it."""
        now = self.clock.advance(body.advance)
        self._store.put("world", "ahead", self._store.get("world", "ahead", 0.0) + body.advance)
        self.tws.tick()
        return {"now": now.isoformat()}

    async def _close(self) -> None:
        closing: list[Callable[[], Awaitable[object]]] = (
            [self._runner.cleanup] if self._runner is not None else []
        )
        closing += [server.close for server in reversed(self._started)]
        for close in closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await close()
        self._started, self._runner = [], None
        self._store.close()
        if self._lock is not None:
            self._lock.close()


def _lock(state: Path) -> TextIOWrapper:
    """Hold a directory for one world. AlreadyRunning where another one has it."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / "world.lock"
    path.touch(mode=0o600)
    path.chmod(0o600)
    lock = path.open("a", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        address = path.read_text("ascii")
        raise AlreadyRunning(
            f"another one is already running with the state in {state}"
            + (f". Open it in a browser: {address}" if address else "")
            + "\n(another --state gives a world of its own)"
        ) from None
    lock.truncate(0)
    return lock


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _naming(name: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PortTaken(
            f"port {port} for {name} cannot be used: {error.strerror or error} (0 takes any free one)"
        ) from error
