"""The outside world in a box: clock, memory, broker, chat, model and the control port, started and stopped together."""

import asyncio
import contextlib
import fcntl
import socket
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import UTC
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Protocol, Self, TypeVar

from aiohttp import web
from pydantic import AwareDatetime, Field

from sim import control
from sim.clock import Clock
from sim.listening import HOST, listen
from sim.model import ModelServer
from sim.store import Store
from sim.telegram import TelegramServer
from sim.tws import TwsServer

CLOSING_SECONDS = 2.0
Name = Literal["tws", "telegram", "model"]
NAMES: tuple[Name, ...] = ("tws", "telegram", "model")


class AlreadyRunning(RuntimeError):
    """Another world works with the same directory."""


class PortTaken(OSError):
    """A port that was asked for is in use."""


class Forward(control.Body):
    """How far to move the clock: by a time, or to a moment."""

    advance: Annotated[float, Field(ge=0, le=366 * 86_400, description="seconds")] | None = None
    to: Annotated[AwareDatetime, Field(description="ISO 8601 with its zone")] | None = None


class _Server(Protocol):
    @property
    def port(self) -> int: ...

    @property
    def address(self) -> str: ...

    async def start(self, port: int = 0) -> None: ...

    async def close(self) -> None: ...

    def control(self) -> list[web.RouteDef]: ...


S = TypeVar("S")


class World:
    """Everything outside, or the chosen `servers` of it, as an async context manager.

    `state` is where it remembers; None forgets everything. Port 0 is the one of the last run with that state, where it is
    still free, else any free one. `seed` decides every price, id and name that is drawn.
    ValueError for a server that there is not.
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
        servers: Collection[str] = NAMES,
    ) -> None:
        if unknown := set(servers) - set(NAMES):
            raise ValueError(f"servers are {', '.join(NAMES)}, not {', '.join(sorted(unknown))}")
        self.clock = Clock()
        self.seed = seed
        self._lock = _lock(state) if state is not None else None
        self._store = Store(state / "world.db" if state is not None else None)
        self.clock.advance(self._store.get("world", "ahead", 0.0))
        build: dict[Name, Callable[[], _Server]] = {
            "tws": lambda: TwsServer(self.clock, self._store, seed, accounts),
            "telegram": lambda: TelegramServer(self.clock, self._store, seed),
            "model": lambda: ModelServer(self.clock, self._store, seed),
        }
        self._servers = {name: build[name]() for name in NAMES if name in servers}
        self._ports: dict[str, int] = {"tws": tws_port, "telegram": telegram_port, "model": model_port}
        self.control_port = control_port
        self._runner: web.AppRunner | None = None
        self._started: list[_Server] = []

    @property
    def tws(self) -> TwsServer:
        """The broker. LookupError in a world without one."""
        return self._the(TwsServer)

    @property
    def telegram(self) -> TelegramServer:
        """The chat. LookupError in a world without one."""
        return self._the(TelegramServer)

    @property
    def model(self) -> ModelServer:
        """The model. LookupError in a world without one."""
        return self._the(ModelServer)

    def _the(self, kind: type[S]) -> S:
        for server in self._servers.values():
            if isinstance(server, kind):
                return server
        raise LookupError(f"this world has no {kind.__name__}, only {', '.join(self._servers) or 'nothing'}")

    @property
    def control_url(self) -> str:
        """Where the control port answers."""
        return f"http://{HOST}:{self.control_port}"

    def places(self) -> dict[str, str]:
        """Where everything listens and what opens it: name and address, as it is printed."""
        told: dict[str, str] = {name: server.address for name, server in self._servers.items()}
        if "telegram" in told:
            told["telegram"] += f" token {self.telegram.token}"
        if "model" in told:
            told["model"] += f" key {self.model.api_key}"
        told["control"] = self.control_url
        if "telegram" in told:
            told["chat page"] = self.telegram.page_url
        return told

    async def __aenter__(self) -> Self:
        """Start everything. PortTaken where a port is in use; nothing is left running then."""
        try:
            for name, server in self._servers.items():
                with _naming(name, self._ports[name]):
                    await server.start(self._as_before(name, self._ports[name]))
                self._started.append(server)
            with _naming("control", self.control_port):
                self.control_port = self._as_before("control", self.control_port)
                await self._start_control()
            ports = {name: server.port for name, server in self._servers.items()}
            self._store.put("world", "ports", ports | {"control": self.control_port})
            if self._lock is not None:
                self._lock.truncate(0)
                self._lock.write(
                    f"Open it in a browser: {self.telegram.page_url}"
                    if "telegram" in self._servers
                    else f"Its control port is {self.control_url}"
                )
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
        routes = [
            control.get("/health", self._health),
            control.get("/clock", self._tell_time),
            control.post("/clock", Forward, self._forward),
        ]
        routes += [route for server in self._servers.values() for route in server.control()]
        self._runner = web.AppRunner(
            control.application(routes), handler_cancellation=True, shutdown_timeout=0.2, access_log=None
        )
        self.control_port = await listen(self._runner, self.control_port)

    def _health(self) -> control.Answer:
        """That it is up, where everything listens, the seed, and the simulated time."""
        return {
            "ok": True,
            "servers": {name: server.address for name, server in self._servers.items()},
            "control": self.control_url,
            "seed": self.seed,
            "now": self.clock.now().isoformat(),
        }

    def _tell_time(self) -> control.Answer:
        """The simulated time, and by how many seconds it is ahead of the real one."""
        return {"now": self.clock.now().isoformat(), "ahead": self._store.get("world", "ahead", 0.0)}

    def _forward(self, body: Forward) -> control.Answer:
        """Move the clock forward, by {"advance": seconds} or to {"to": moment}; the market moves with it."""
        if (body.advance is None) == (body.to is None):
            raise control.Wrong('say either {"advance": seconds} or {"to": "2026-11-27T14:30:00Z"}')
        seconds = body.advance or 0.0
        if body.to is not None:
            seconds = (body.to.astimezone(UTC) - self.clock.now()).total_seconds()
            if not 0 <= seconds <= 366 * 86_400:
                raise control.Wrong(
                    f"the clock only moves forward, and by a year at most: it is {self.clock.now():%Y-%m-%dT%H:%M:%SZ}"
                )
        now = self.clock.advance(seconds)
        self._store.put("world", "ahead", self._store.get("world", "ahead", 0.0) + seconds)
        if "tws" in self._servers:
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
        where = path.read_text("ascii")
        raise AlreadyRunning(
            f"another one is already running with the state in {state}"
            + (f". {where}" if where else "")
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
