"""What can be made to go wrong between a client and TWS, and how often it did.

A fault is a row: a countdown is taken by the next occasions, an act on what leaves changes messages about orders on their way out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

COUNTDOWNS: Mapping[str, str] = {
    "stale": "Follow the last status of the next orders with one that is out of date.",
    "fill_first": "Leave the acknowledgement of the next orders out, so that a fill is the first thing heard of them.",
    "swallow": "Read the next orders and lose them.",
    "no_ack": "Book the next orders but tell nothing of them until the client connects anew.",
    "reorder": "Swap the next pairs of messages about orders that leave together.",
    "what_if_silent": "Read the next what-if orders and say nothing.",
    "what_if_unset": "Answer the next what-if orders with unset values, the commission included.",
    "what_if_gaps": "Answer the next what-if orders with what would change, but unset values for what would be afterwards.",
}
"""What happens to the next occasions, and what the control port says about it."""
KINDS: Mapping[bytes, str] = {
    b"3": "status",
    b"5": "open_order",
    b"11": "execution",
    b"59": "commission",
}
"""The messages about orders, by their ids."""
_LEAVING = frozenset(
    {"reorder"} | {f"{act}_{kind}" for act in ("lose", "duplicate") for kind in KINDS.values()}
)
_PIECES = (1, 1, 2, 3, 5, 8, 13, 64, 512)


@dataclass(slots=True)
class Faults:
    """States that are on or off, and countdowns of things that happen to the next messages. Everything that fires is counted."""

    hang: bool = False
    half_open: bool = False
    read_only: bool = False
    not_logged_in: bool = False
    refuse: bool = False
    pnl: str = "known"
    """What is said of profit and loss: `known`, `unset` values, or nothing (`silent`)."""
    fragment: bool = False
    delay: float = 0.0
    armed: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    random: Random = field(default_factory=lambda: Random(1))

    def arm(self, name: str, count: int) -> None:
        """Let something happen to the next `count` occasions."""
        self.armed[name] = count

    def take(self, name: str) -> bool:
        """Whether it happens on this occasion."""
        if self.armed[name] <= 0:
            return False
        self.armed[name] -= 1
        self.fire(name)
        return True

    def fire(self, name: str, times: int = 1) -> None:
        """It happened; not at all is no happening."""
        if times:
            self.fired[name] += times

    def leaving(self, messages: list[bytes]) -> list[bytes]:
        """What leaves of the messages of one turn: some lost, some twice, some in another order."""
        if not any(self.armed[name] > 0 for name in _LEAVING):
            return messages
        left = []
        for message in messages:
            kind = _kind(message)
            if not (kind and self.take(f"lose_{kind}")):
                left.append(message)
                if kind and self.take(f"duplicate_{kind}"):
                    left.append(message)
        return self._reordered(left)

    def _reordered(self, messages: list[bytes]) -> list[bytes]:
        at = 0
        while at + 1 < len(messages):
            one, other = messages[at : at + 2]
            if _kind(one) and _kind(other) and _kind(one) != _kind(other) and self.take("reorder"):
                messages[at : at + 2] = [other, one]
                at += 1
            at += 1
        return messages

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """`data` in pieces of any size, the first ones small enough to cut a frame's length in two."""
        at = 0
        while at < len(data):
            size = self.random.choice(_PIECES if at > 16 else _PIECES[:3])
            yield data[at : at + size]
            at += size
        self.fire("fragment")


def _kind(message: bytes) -> str:
    """Which message about an order this frame is; empty for any other."""
    return KINDS.get(message[4 : message.find(b"\0", 4)], "")
