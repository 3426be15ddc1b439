"""The methods of the Bot API: one function a method, and the table METHODS by which they are found.

A method takes the chat world and the parameters and returns the JSON result; it refuses with ApiError.
getUpdates is not here: it waits, and waiting is the session's business (sim.telegram.botapi).
"""

from sim.telegram.methods.answering import ANSWERING
from sim.telegram.methods.changing import CHANGING
from sim.telegram.methods.common import Method
from sim.telegram.methods.members import MEMBERS
from sim.telegram.methods.profile import PROFILE
from sim.telegram.methods.sending import SENDING
from sim.telegram.methods.wires import WIRES

__all__ = ["METHODS", "NAMES", "TALKING", "WORDED"]

_ALL = SENDING | CHANGING | ANSWERING | PROFILE | MEMBERS | WIRES

#: As Telegram writes them, getUpdates too.
NAMES = sorted([*_ALL, "getUpdates"])

#: Keyed by the name in lower case: Telegram does not care.
METHODS: dict[str, Method] = {name.lower(): method for name, method in _ALL.items()}

#: Those whose success comes with a description: their result is {"result", "description"}.
WORDED = {"setwebhook", "deletewebhook"}

#: Those that put something into a chat, which is what flood limits count.
TALKING = {name.lower() for name in _ALL if name.startswith(("send", "edit", "copy", "forward"))} - {
    "sendchataction"
}
