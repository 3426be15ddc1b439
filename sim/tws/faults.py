"""What can be made to go wrong between a client and TWS, and how often it did."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Faults:
    """States that are on or off, and countdowns of things that happen to the next messages. Everything that fires is counted."""

    hang: bool = False
    half_open: bool = False
    read_only: bool = False
    not_logged_in: bool = False
    refuse: bool = False
    delay: float = 0.0
    armed: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)

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

    def fire(self, name: str) -> None:
        """It happened."""
        self.fired[name] += 1
