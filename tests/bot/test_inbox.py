"""Whether somebody else takes the bot's messages, told by when Telegram answered with a conflict."""

from datetime import datetime
from typing import Any, cast

import pytest

from bot.inbox import Poller
from tests.values import NOW


class Clock:
    """A clock that only moves when told to."""

    seconds = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("moments", "verdicts"),
    [
        ([0, 30, 60], [False, False, True]),
        ([0, 59, 59.9], [False, False, False]),  # not a minute yet
        ([0, 60], [False, False]),  # two conflicts may be chance
        ([0, 60, 61], [False, False, True]),
        ([0, 15, 30, 45, 60, 75], [False, False, False, False, True, True]),
        ([0, 80, 160], [False, False, True]),  # two pollers that take turns
        ([0, 30, 121, 150], [False, False, False, False]),  # quiet in between: a new dispute
        ([0, 30, 121, 150, 181], [False, False, False, False, True]),
        ([0, 1, 3, 7], [False, False, False, False]),  # a poll of our own that a restart left behind
    ],
)
def test_conflicts_are_counted(moments: list[float], verdicts: list[bool]) -> None:
    """Three conflicts over a minute, with no long quiet between them, are another program; polls that succeed in between change nothing."""
    clock = Clock()
    poller = Poller(cast(Any, None), cast(Any, None), clock)  # neither is asked here
    told = []
    for moment in moments:
        clock.seconds = moment
        told.append(poller._is_disputed())
    assert told == verdicts
