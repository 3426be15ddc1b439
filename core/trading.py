"""The trading state: what the owner, or a rule that he set, lets through, kept over restarts.

It is blocked in memory before it is written down and opened only after: whatever the disk does, a halt holds.
"""

import json
from dataclasses import replace
from datetime import datetime

from core.errors import StaleCard
from core.model import Notice, Origin, Trading, TradingState
from core.ports import Clock, Ledger, Notifier

KEY, RUNNING = "trading", "running"
UNCLEAN = "Greenlight did not stop in order; this ends by itself when the books are compared."
_SEVERITY = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}


def as_text(trading: Trading) -> str:
    """The state as it is kept."""
    since = trading.since.isoformat() if trading.since else None
    told = {"state": trading.state, "reason": trading.reason, "since": since, "accepted": trading.accepted}
    return json.dumps(told)


def of_text(kept: str | None) -> Trading:
    """The state that was kept; ACTIVE where none ever was, HALTED where it cannot be read."""
    if kept is None:
        return Trading()
    try:
        told = json.loads(kept)
        since = datetime.fromisoformat(told["since"]) if told["since"] else None
        accepted = TradingState(told.get("accepted", TradingState.ACTIVE))
        return Trading(TradingState(told["state"]), str(told["reason"]), since, accepted)
    except (ValueError, KeyError, TypeError):
        return Trading(TradingState.HALTED, "The state that was kept cannot be read.")


class TradingSwitch:
    """The state as it is now. `now` is what the rules look at."""

    def __init__(self, ledger: Ledger, notifier: Notifier, clock: Clock) -> None:
        self._ledger, self._notifier, self._clock = ledger, notifier, clock
        self.now = Trading(TradingState.HALTED, "Greenlight is just starting.")
        self._blocks = 0

    async def load(self) -> None:
        """Take up the state that was kept. After a stop out of order it is HALTED until the books are compared. Raises StorageError."""
        kept = of_text(await self._ledger.recall(KEY))
        unclean = await self._ledger.recall(RUNNING) == "yes"
        self.now = (
            replace(kept, state=TradingState.HALTED, reason=UNCLEAN, before=kept)
            if unclean and kept.state is not TradingState.HALTED
            else kept
        )

    async def compared(self) -> None:
        """The books agree with the broker's: what an unclean stop has covered comes back."""
        if self.now.before is not None:
            self.now = self.now.before

    async def started(self) -> None:
        """From here on an end that is not told by `stopped` was out of order. Raises StorageError."""
        await self._ledger.remember(RUNNING, "yes")

    async def stopped(self) -> None:
        """The program ends in order. Raises StorageError."""
        await self._ledger.remember(RUNNING, "no")

    def block(self, state: TradingState, reason: str) -> Trading:
        """Tighten at once, in memory alone; `keep` has to follow."""
        self._blocks += 1
        if _SEVERITY[state] > _SEVERITY[self.now.state] or self.now.before is not None:
            self.now = Trading(state, reason, self._clock.now())
        return self.now

    async def keep(self, origin: Origin | None = None, notices: tuple[Notice, ...] = ()) -> None:
        """Write the state down, with what has to be said of it. Raises StorageError."""
        await self._ledger.keep_trading(
            as_text(self.now), f"{self.now.state}: {self.now.reason}", origin, notices
        )
        self._notifier.wake()

    def is_news(self, state: TradingState, day_began: datetime, *, of_loss: bool) -> bool:
        """Whether a rule may tighten to `state`: it is tighter than now, and no loss that its owner saw today when he opened again."""
        now = self.now
        if now.before is not None or _SEVERITY[state] <= _SEVERITY[now.state]:
            return False
        today = now.since is not None and now.since >= day_began
        return not (of_loss and today and _SEVERITY[state] <= _SEVERITY[now.accepted])

    async def resume(self, origin: Origin, accepted: TradingState, notices: tuple[Notice, ...] = ()) -> None:
        """Open again: on disk first. `accepted` is what the rules call for at this moment.

        Raises StorageError, and then nothing has changed; StaleCard where a halt came while it was being written, which then holds.
        """
        blocks = self._blocks
        opened = Trading(TradingState.ACTIVE, "", self._clock.now(), accepted)
        await self._ledger.keep_trading(as_text(opened), "ACTIVE: resumed", origin, notices)
        if self._blocks != blocks:
            raise StaleCard("A halt came meanwhile, so it stays closed. /resume says how it stands.")
        self.now = opened
        self._notifier.wake()
