"""Time that costs nothing: two processes that agree when nothing can happen any more, and then jump to the next timer together.

The driver (the world and the person at the phone) and the bot each run an event loop whose clock is the monotonic clock of this machine plus
a number of seconds in shared memory, which only the driver moves. It moves it only when both are quiet: the driver has nothing to do, it has
pinged the bot, and the bot has answered that ping having found nothing in its own sockets behind it, no work in a thread, and no timer due. On
loopback what was written before the ping is there before it, so a request that can be answered is answered before time moves: a time-out of
the bot fires only where the world really stays silent. At most one step is taken per answered ping, so a starved machine makes runs slower and
never makes a time-out come early.
"""

import asyncio
import contextlib
import ctypes
import mmap
import selectors
import socket
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

LOG_BYTES = 1 << 20
NEVER = float("inf")


class _Cells(ctypes.Structure):
    _fields_ = (
        ("ahead", ctypes.c_double),  # seconds by which time has been moved; written by the driver
        ("ping", ctypes.c_int64),  # the driver's latest question
        ("pong", ctypes.c_int64),  # the latest one that the bot has answered
        ("idle", ctypes.c_int64),  # 1 while the bot waits in its selector
        ("deadline", ctypes.c_double),  # the bot's next timer, as its loop counts time
        ("armed", ctypes.c_int64),  # whether boundaries are counted
        ("kill_at", ctypes.c_int64),  # the boundary at which the bot dies; 0 is none
        ("kill_name", ctypes.c_char * 80),  # or: the name of one,
        ("kill_time", ctypes.c_int64),  # and which time that it is passed
        ("count", ctypes.c_int64),  # boundaries passed while armed
        ("died", ctypes.c_int64),  # whether it died at one
        ("length", ctypes.c_int64),  # bytes of names written behind these cells
    )


class Shared:
    """A page that the driver and all of its bots see. Make it before forking."""

    def __init__(self, file: Path | None = None) -> None:
        """In memory for those that are forked, or in a file (made by `blank`) for programs that are started."""
        size = ctypes.sizeof(_Cells)
        if file is None:
            self.memory = mmap.mmap(-1, size + LOG_BYTES)
        else:
            with file.open("r+b") as page:
                self.memory = mmap.mmap(page.fileno(), 0)
        self.cells = _Cells.from_buffer(self.memory)
        self._names = size
        self.driver_end, self.bot_end = socket.socketpair()
        for end in (self.driver_end, self.bot_end):
            end.setblocking(False)
            weakref.finalize(self, end.close)

    @staticmethod
    def blank(file: Path) -> None:
        """Make the file of a page."""
        file.write_bytes(bytes(ctypes.sizeof(_Cells) + LOG_BYTES))

    def now(self) -> float:
        """Seconds of the common clock, that of event loops."""
        return time.monotonic() + float(self.cells.ahead)

    def write_name(self, name: str) -> None:
        """Append a line to the names of boundaries."""
        line = name.encode() + b"\n"
        begin = self._names + self.cells.length
        if self.cells.length + len(line) <= LOG_BYTES:
            self.memory[begin : begin + len(line)] = line
            self.cells.length += len(line)

    def names(self) -> list[str]:
        """The boundaries that were passed, in order."""
        return self.memory[self._names : self._names + self.cells.length].decode().splitlines()

    def aim(self, kill: int | str) -> None:
        """The bot dies at boundary number `kill`, or at `name#2`, the second of that name; 0 is nowhere. From now on they count."""
        cells = self.cells
        if isinstance(kill, str):
            name, _, time = kill.rpartition("#")
            cells.kill_name, cells.kill_time = name.encode(), int(time)
        else:
            cells.kill_at = kill
        cells.armed = 1

    def clear(self) -> None:
        """A new life begins: nothing is counted yet."""
        cells = self.cells
        cells.kill_name = b""
        cells.armed = cells.kill_at = cells.count = cells.died = cells.length = 0


class SharedClock:
    """The Clock port of the bot, and the clock of the world: the machine's, as far ahead as the driver has moved it."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def now(self) -> datetime:
        """The common moment, aware UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._shared.cells.ahead)  # noqa: TID251 - a Clock port

    def monotonic(self) -> float:
        """Seconds, as the event loops count them."""
        return self._shared.now()


def _drain(end: socket.socket) -> None:
    try:
        while end.recv(4096):
            pass
    except BlockingIOError:
        pass


def _wake(end: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):  # it has enough to wake up for
        end.send(b".")


class _Selector(selectors.BaseSelector):
    """A selector that also listens to the other process. `select` is where loops wait, so it is where quiet is known."""

    def __init__(self, shared: Shared, end: socket.socket) -> None:
        self.shared, self._end = shared, end
        self._real = selectors.DefaultSelector()
        self._real.register(end, selectors.EVENT_READ)
        self.working = 0
        """Pieces of work in threads whose end has not come back to the loop."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def look(self, seconds: float | None) -> list[tuple[selectors.SelectorKey, int]] | None:
        """Events of the loop's own sockets, within real `seconds`; None where it was only woken, or time has passed."""
        found = self._real.select(seconds)
        mine = [event for event in found if event[0].fileobj is not self._end]
        if len(mine) != len(found):
            _drain(self._end)
        return mine or None

    def began(self) -> Callable[[Any], None]:
        """Work in a thread began; call the answer in the loop when it has come back."""
        self.working += 1

        def ended(_: Any) -> None:
            self.working -= 1

        return ended


class BotSelector(_Selector):
    """Says when it waits, and until when."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared, shared.bot_end)
        _drain(shared.bot_end)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        cells = self.shared.cells
        deadline = NEVER if timeout is None else self.shared.now() + timeout
        while True:
            asked = cells.ping
            events = self.look(0)
            left = deadline - self.shared.now()
            if events or left <= 0:
                cells.idle = 0
                return events or []
            if self.working:
                cells.idle = 0
            else:
                # Nothing lay in the sockets after this ping was read, so it is answered.
                cells.deadline, cells.pong, cells.idle = deadline, asked, 1
                _wake(self.shared.bot_end)
            if events := self.look(None if left == NEVER else left):
                cells.idle = 0
                return events


class DriverSelector(_Selector):
    """Moves time when both sides are quiet, or lets whoever waits for quiet go on."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared, shared.driver_end)
        self.bot_lives = False
        self.quiet: list[asyncio.Future[None]] = []
        self.on_jump: Callable[[float], object] = lambda seconds: None
        self.jumps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        cells, pinged = self.shared.cells, 0
        deadline = NEVER if timeout is None else self.shared.now() + timeout
        while True:
            events = self.look(0)
            left = deadline - self.shared.now()
            if events or left <= 0:
                return events or []
            wait = None if left == NEVER else left
            if self.working or (self.bot_lives and not cells.idle):
                if events := self.look(wait):
                    return events
                continue
            if self.bot_lives and not (pinged and cells.pong == pinged):
                if not pinged:
                    pinged = cells.ping = cells.ping + 1
                    _wake(self.shared.driver_end)
                if events := self.look(wait):
                    return events
                continue
            if self.quiet:
                waiting, self.quiet = self.quiet, []
                for future in waiting:
                    if not future.done():
                        future.set_result(None)
                return []
            until = min(deadline, cells.deadline) if self.bot_lives else deadline
            if until == NEVER:
                if events := self.look(None):
                    return events
                continue
            if self.bot_lives and cells.deadline <= until:
                cells.idle = 0
            step = max(until - self.shared.now(), 0.0)
            cells.ahead += step
            self.on_jump(step)
            self.jumps += 1
            pinged = 0
            if self.bot_lives:
                _wake(self.shared.driver_end)
            if deadline <= until:
                return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop on the common clock."""

    def __init__(self, selector: _Selector) -> None:
        self.common = selector
        super().__init__(selector)

    def time(self) -> float:
        return self.common.shared.now()

    def run_in_executor(  # type: ignore[override]  # as it is annotated there, it cannot be written down here
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        ended = self.common.began()
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(ended)
        return future


async def quiet() -> None:
    """Return when neither the world nor the bot has anything to do before time moves. In the driver only."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    assert isinstance(loop.common, DriverSelector)
    future = loop.create_future()
    loop.common.quiet.append(future)
    await future
