"""What a command gives back: values only. Whoever dispatches it writes it down and sends it."""

from dataclasses import dataclass

from core.model import Buttons, Outgoing, Ticket


@dataclass(frozen=True, slots=True)
class Reply:
    """`text` is the chat's HTML; empty, nothing is sent. `toast` is shown at the finger that tapped.

    `opens` is the card that this reply shows, `ends` one whose story ends with it (its state says how). `recorded` means that the
    update is on disk as done already, because an order left with the same commit. `edits` names a message (of progress) that this reply
    takes the place of; `names` gives a new message a name, by which it can be edited later. `also` are edits of other messages that go
    with it, and new messages (a picture) that come after it.
    """

    text: str = ""
    buttons: Buttons = ()
    toast: str = ""
    opens: Ticket | None = None
    ends: Ticket | None = None
    recorded: bool = False
    edits: str = ""
    names: str = ""
    also: tuple[Outgoing, ...] = ()
