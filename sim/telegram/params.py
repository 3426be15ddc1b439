"""Reading the parameters of a Bot API call, which come as strings, numbers or JSON depending on the client. Pure.

Every reader takes the name, and raises ApiError in Telegram's words where the value makes no sense.
"""

import json
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
