"""What a command may use: the desk. Ports only; nothing here knows Telegram, SQL or the broker's library."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.settings import Settings
from core.cards import Cards
from core.executor import Executor
from core.panic import Panic
from core.planner import Planner
from core.ports import Broker, Clock, Ledger
from core.proposer import Proposer
from core.trading import TradingSwitch


class Switch(Protocol):
    """The owner's wish to be connected."""

    def want(self, wanted: bool) -> None:
        """Connect and stay so, or disconnect and stay away."""
        ...


class Backups(Protocol):
    """How it stands with the backups of the database."""

    @property
    def last(self) -> datetime | None:
        """When the newest was made; None where there is none, or nobody has looked yet."""
        ...

    @property
    def trouble(self) -> str:
        """Why today's could not be made; empty where nothing is wrong."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that a command works with."""

    executor: Executor
    cards: Cards
    planner: Planner
    panic: Panic
    trading: TradingSwitch
    proposer: Proposer
    broker: Broker
    switch: Switch
    ledger: Ledger
    clock: Clock
    settings: Settings
    started_at: datetime
    last_poll_seconds: Callable[[], float | None]
    do_what_is_due: Callable[[], Awaitable[None]]
    """Look at the clock now, without waiting for the schedule to ring."""
    backups: Backups | None = None
