"""Reading the parameters of a Bot API call, which come as strings, numbers or JSON depending on the client. Pure.

Every reader takes the name, and raises ApiError in Telegram's words where the value makes no sense.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from sim.telegram.errors import bad_request


@dataclass(frozen=True)
class Upload:
    """A file that came along with the call."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Params:
    """The parameters of one call, from the query, the body, or both."""

    values: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether it was given at all, and not empty."""
        return self.values.get(name) not in (None, "") or name in self.uploads

    def text(self, name: str) -> str:
        """A string, "" where it is missing."""
        value = self.values.get(name)
        return "" if value is None else value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number; what is none counts as missing, as it does for Telegram."""
        try:
            return int(self.text(name))
        except ValueError:
            return default

    def number(self, name: str) -> float | None:
        """A number with a fraction, None where it is missing or none."""
        try:
            value = float(self.text(name))
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def required(self, name: str) -> str:
        """A string that has to be there."""
        text = self.text(name)
        if not text:
            raise bad_request(f'parameter "{name}" is required')
        return text

    def numbers(self, name: str, most: int) -> list[int]:
        """A JSON array of up to `most` message identifiers."""
        given = self.json(name, list, name, expected_as="message identifiers")
        if not given:
            raise bad_request("message identifiers are not specified")
        if len(given) > most:
            raise bad_request("too many message identifiers specified")
        numbers = [_message_number(value) for value in given]
        if any(number <= 0 for number in numbers):
            raise bad_request("invalid message identifier specified")
        return numbers

    def flag(self, name: str) -> bool:
        """A boolean, also as "true", "yes" or "1"."""
        return self.text(name).strip().lower() in ("true", "yes", "1")

    def json(self, name: str, kind: type[Any], what: str, *, expected_as: str | None = None) -> Any:
        """A JSON value of a kind (dict, list), None where it is missing.

        `what` names it where it cannot be parsed, `expected_as` (the same if left out) where it is of another kind.
        """
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise bad_request(f"can't parse {what} JSON object") from None
        if not isinstance(value, kind):
            raise bad_request(f"{'object' if kind is dict else 'array'} expected as {expected_as or what}")
        return value


def _message_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise bad_request("message identifier must be a Number")
    try:
        return int(value)
    except ValueError:
        raise bad_request("can't parse message identifier as Number") from None
