"""What can go wrong, as a tree. Every message is one sentence for a person: what was wrong and what to do.

GreenlightError
├── BadInput            what was typed cannot be meant; says what would be right
├── Denied              the desk refuses; carries every denial
├── DecisionError       the model's answer cannot be believed; `kind` says whether it was malformed or invalid
├── NoAnalyst           there is no key for the model; says which setting is missing
├── AnalystBusy         the model is not asked now; says why and until when
├── StaleCard           the button belongs to a story that has ended; says how it ended
├── SecondInstance      another program takes the messages of the same bot
├── BrokerError
│   ├── NotConnected    no healthy connection; nothing was sent
│   ├── Busy            the message budget is used up; nothing was sent
│   ├── NoAnswer        the broker did not answer in time: unknown, not empty
│   └── Refused         the broker answered a request with an error; `code` is its number
└── StorageError        the database did not take it; nothing was done
"""

from typing import Literal

from core.model import Denial


class GreenlightError(Exception):
    """The root: everything below has a sentence fit for the chat."""


class BadInput(GreenlightError):
    """What was typed cannot be meant."""


class TooDear(BadInput):
    """Not one of it fits the budget."""


class Denied(GreenlightError):
    """The desk's own rules refuse (a rejection would be the broker's)."""

    def __init__(self, *denials: Denial) -> None:
        super().__init__(" ".join(denial.message for denial in denials))
        self.denials = denials


class DecisionError(GreenlightError):
    """The model's answer is not a decision: it has not the agreed form (malformed), or says what cannot be (invalid)."""

    def __init__(self, kind: Literal["malformed", "invalid"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NoAnalyst(GreenlightError):
    """There is no key for the model."""


class AnalystBusy(GreenlightError):
    """The model is not asked now: the same question is under way, or it failed too often in a row."""


class StaleCard(GreenlightError):
    """The card was used, discarded or replaced, or is too old."""


class SecondInstance(GreenlightError):
    """Another program takes the messages of the same bot, or Telegram brings them elsewhere: two could act on one tap."""


class BrokerError(GreenlightError):
    """The road to the broker."""


class NotConnected(BrokerError):
    """There is no healthy connection; nothing was sent."""


class Busy(BrokerError):
    """The broker's message limit leaves no room now; nothing was sent."""


class NoAnswer(BrokerError):
    """The broker did not answer in time."""


class Refused(BrokerError):
    """The broker answered with an error; `code` is its number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class StorageError(GreenlightError):
    """The database did not take it."""
