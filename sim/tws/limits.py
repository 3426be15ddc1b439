"""What TWS lets its clients have: messages a second, market data lines, historical requests and the like, as IBKR documents them.

A row of `ROWS` is a kind of request that stays open: how it ends, what an id used twice is told, and which limit counts it. What
of this is documented and what is assumed stands in docs/simulators.md.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sim.tws.errors import Refused

SMALL_BARS = frozenset({"1 secs", "5 secs", "10 secs", "15 secs", "30 secs"})
WINDOW = timedelta(minutes=10)
BURST = timedelta(seconds=2)
MEGABYTE = 1 << 20
TOO_FAST = 100, "Max rate of messages per second has been exceeded."
_PACING = Refused(
    162, "Historical Market Data Service error message:Historical data request pacing violation"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much there may be of what; None is no limit."""

    messages_per_second: int | None = 50
    violations: int | None = 3
    """Messages too many after which a client is hung up on, unless it asked to be slowed down."""
    market_data_lines: int | None = 100
    tick_by_tick: int | None = 3
    historical_requests: int | None = 50
    small_bar_requests: int | None = 60
    """Requests for bars of at most 30 seconds in ten minutes."""
    burst_requests: int | None = 5
    """Such requests for one contract and kind of data within two seconds."""
    identical_seconds: float | None = 15
    """How long the very same request for small bars may not be made again."""
    account_summaries: int | None = 2
    clients: int | None = 32
    unsent_bytes: int | None = 64 * MEGABYTE
    """How much may wait for a client that does not read."""

    def changed(self, **values: Any) -> "Limits":
        """These limits with some of them set anew."""
        return replace(self, **values)


class Row(NamedTuple):
    """A kind of request that stays open until `cancel`, which of them are open at once by `limit`, and what is said beyond it."""

    cancel: str
    duplicate: tuple[int, str]
    limit: str = ""
    over_all_clients: bool = False
    full: tuple[int, str] = (0, "")


def _processing(cause: str) -> tuple[int, str]:
    return 322, f"Error processing request.-'bX' : cause - {cause}"


_DUPLICATE = _processing("Duplicate ticker id")
ROWS: Mapping[str, Row] = {
    "market_data": Row(
        "cancel_market_data",
        (102, "Duplicate ticker id"),
        "market_data_lines",
        True,
        (101, "Max number of tickers has been reached"),
    ),
    "tick_by_tick": Row(
        "cancel_tick_by_tick",
        _DUPLICATE,
        "tick_by_tick",
        True,
        (10190, "Max number of tick-by-tick requests has been reached"),
    ),
    "historical_data": Row(
        "cancel_historical_data",
        _processing("Duplicate ticker ID for API historical data query"),
        "historical_requests",
        True,
        _processing("Only 50 simultaneous API historical data requests allowed."),
    ),
    "account_summary": Row(
        "cancel_account_summary",
        _DUPLICATE,
        "account_summaries",
        False,
        _processing("Maximum number of account summary requests exceeded"),
    ),
    "realtime_bars": Row("cancel_realtime_bars", _DUPLICATE),
    "positions_multi": Row("cancel_positions_multi", _DUPLICATE),
    "account_updates_multi": Row("cancel_account_updates_multi", _DUPLICATE),
    "pnl": Row("cancel_pnl", _DUPLICATE),
    "pnl_single": Row("cancel_pnl_single", _DUPLICATE),
}
_ENDS = {row.cancel: name for name, row in ROWS.items()}


def stays_open(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a request goes on after its answer: a snapshot and bars that are not kept up to date do not."""
    if name == "market_data":
        return not (arguments["snapshot"] or arguments["regulatory"])
    return name != "historical_data" or bool(arguments["keep"])


class Rate:
    """How fast one client sends, by the real clock (seconds), because it is real messages that come.

    A second's worth may come at once, and what is left grows by as much a second. A client that counts by its own clock is not
    punished for what the line and a busy machine do to its messages, as a count of the last second would do.
    """

    def __init__(self) -> None:
        self._left: float | None = None
        self._at = 0.0

    def wait(self, limit: int | None, now: float) -> float:
        """How many seconds too early a message at `now` comes; 0 for one in time, which is then counted."""
        if limit is None:
            self._left = None
            return 0.0
        left = limit if self._left is None else min(limit, self._left + (now - self._at) * limit)
        self._at = now
        if left < 1:
            self._left = left
            return (1 - left) / limit
        self._left = left - 1
        return 0.0


@dataclass(slots=True)
class Pacing:
    """The requests for small bars of the last ten minutes, of all clients, by the simulated clock."""

    _made: deque[tuple[datetime, Hashable, Hashable, int]] = field(default_factory=deque)

    def check(self, limits: Limits, arguments: Mapping[str, Any], now: datetime) -> None:
        """Count a request for historical data. Refused (162) where it comes too soon after others; then it does not count."""
        if arguments["size"] not in SMALL_BARS:
            return
        while self._made and now - self._made[0][0] >= WINDOW:
            self._made.popleft()
        same = tuple(value for name, value in arguments.items() if name != "request_id")
        about = arguments["contract"], arguments["what"]
        weight = 2 if arguments["what"] == "BID_ASK" else 1
        recent = [made for made in self._made if made[2] == about and now - made[0] < BURST]
        apart = limits.identical_seconds
        if (
            _beyond(sum(made[3] for made in self._made) + weight, limits.small_bar_requests)
            or _beyond(sum(made[3] for made in recent) + weight, limits.burst_requests)
            or (
                apart is not None
                and any(made[1] == same and (now - made[0]).total_seconds() < apart for made in self._made)
            )
        ):
            raise _PACING
        self._made.append((now, same, about, weight))


def _beyond(count: int, limit: int | None) -> bool:
    return limit is not None and count > limit


class Open:
    """The requests of one client that are still open, by name."""

    def __init__(self) -> None:
        self._ids: defaultdict[str, set[int]] = defaultdict(set)

    def count(self, name: str) -> int:
        """How many of a kind there are."""
        return len(self._ids[name])

    def admit(
        self, name: str, arguments: Mapping[str, Any], limits: Limits, everybody: Iterable["Open"]
    ) -> None:
        """Refused where a request's id is in use, or where it is one too many."""
        row = ROWS[name]
        if arguments["request_id"] in self._ids[name]:
            raise Refused(*row.duplicate)
        if row.limit and stays_open(name, arguments):
            holders = everybody if row.over_all_clients else [self]
            if _beyond(sum(holder.count(name) for holder in holders) + 1, getattr(limits, row.limit)):
                raise Refused(*row.full)

    def took(self, name: str, arguments: Mapping[str, Any]) -> None:
        """A request was answered: it is open from now on, or the one that it cancels is not."""
        if name in ROWS and stays_open(name, arguments):
            self._ids[name].add(arguments["request_id"])
        elif name in _ENDS:
            self._ids[_ENDS[name]].discard(arguments["request_id"])


@dataclass(slots=True)
class Keeper:
    """Keeps the clients of a server within the limits. `hit` counts what was refused, slowed down or dropped, by the limit's name."""

    limits: Limits = field(default_factory=Limits)
    pacing: Pacing = field(default_factory=Pacing)
    hit: Counter[str] = field(default_factory=Counter)

    def admit(
        self, name: str, arguments: Mapping[str, Any], mine: Open, everybody: Iterable[Open], now: datetime
    ) -> None:
        """Refused where a request goes beyond a limit; told apart from what it is about being wrong."""
        if name not in ROWS:
            return
        try:
            mine.admit(name, arguments, self.limits, everybody)
            if name == "historical_data":
                self.pacing.check(self.limits, arguments, now)
        except Refused as refused:
            self.hit[_counter(name, refused)] += 1
            raise


def _counter(name: str, refused: Refused) -> str:
    if refused is _PACING:
        return "historical_pacing"
    row = ROWS[name]
    return "duplicate_id" if (refused.code, refused.text) == row.duplicate else row.limit
