"""JSON spoilt: what a Bot API, a Messages API or something in their place may answer when it is broken."""

import json
import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, 0.5, "", "x", "-1", "NaN", "soon", "💥", "\ud800", "\x00",
    "<b>", "/buy AAPL 10", [], {}, [[]], [None], {"id": None}, {"": ""}, [1, "2", {}], "x" * 5000,
)  # fmt: skip
"""What a value may be spoilt into."""
STATUSES = (200, 201, 204, 302, 400, 401, 403, 404, 408, 409, 413, 418, 429, 500, 502, 503, 504, 529, 599)
PAGES = (
    b"", b" ", b"null", b"[]", b"{}", b'"x"', b"7", b"true", b"nan", b"<html><body>502 Bad Gateway</body></html>", b"\xff\xfe\x00", b"{", b'{"ok":',
    b"[" * 5000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b"[" + b"1," * 50_000 + b"1]", b'{"ok": true}{"ok": true}', b"1e999999", b"9" * 6000,
)  # fmt: skip
"""Bodies that have nothing to do with what was asked."""


class Body:
    """What is sent: status, headers and bytes. `cut` breaks the connection in the middle of them."""

    def __init__(
        self, status: int, data: bytes, cut: bool = False, headers: dict[str, str] | None = None
    ) -> None:
        self.status, self.data, self.cut, self.headers = status, data, cut, headers or {}


class BodySpoiler:
    """Makes malformed answers of true ones, from a seed, and counts them by kind."""

    def __init__(self, seed: int, statuses: tuple[int, ...] = STATUSES) -> None:
        self.chance, self._statuses = random.Random(seed), statuses
        self.made: Counter[str] = Counter()

    def spoil(self, true: Any, inside: Callable[[Any], Any] | None = None) -> Body:
        """A malformed answer. `inside` spoils something deeper, in a form of its own."""
        kinds = ["values", "gone", "page", "cut text", "status", "torn", "huge"]
        weights = [40.0, 15.0, 8.0, 8.0, 8.0, 3.0, 0.1]
        if inside is not None:
            kinds, weights = [*kinds, "inside"], [*weights, 40.0]
        kind = self.chance.choices(kinds, weights)[0]
        self.made[kind] += 1
        status = 200
        match kind:
            case "values" | "gone":
                data = self.text(self.values(true, kind == "gone"))
            case "page":
                data = self.chance.choice(PAGES)
            case "cut text":
                whole = self.text(true)
                data = whole[: self.chance.randrange(len(whole))]
            case "status":
                status = self.chance.choice(self._statuses)
                data = self.chance.choice((self.text(true), self.text(self.values(true)), *PAGES))
            case "torn":
                return Body(200, self.text(true), cut=True)
            case "huge":
                data = json.dumps({"ok": True, "result": "x" * 20_000_000}).encode()
            case _:
                assert inside is not None
                data = self.text(inside(true))
        headers = {}
        if self.chance.random() < 0.1:
            wait = self.chance.choice(("soon", "-1", "NaN", "1e99", "0", "3"))
            headers["Retry-After"] = wait
        return Body(status, data, headers=headers)

    def text(self, value: Any) -> bytes:
        """A value as JSON, with numbers and letters that JSON does not have where they came in."""
        return json.dumps(value, ensure_ascii=self.chance.random() < 0.9).encode(errors="surrogatepass")

    def values(self, true: Any, gone: bool = False) -> Any:
        """A copy in which a few values are other ones, or gone."""
        copy = json.loads(json.dumps(true))
        for _ in range(self.chance.choice((1, 1, 2, 4))):
            places = list(_places(copy))
            if not places:
                return deepcopy(self.chance.choice(ODD))
            owner, key = self.chance.choice(places)
            if gone:
                del owner[key]
            else:
                owner[key] = deepcopy(self.chance.choice(ODD))
        return copy


def _places(value: Any) -> Any:
    """Every place in a value that holds another: its owner and its key."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in list(inside):
        yield value, key
        yield from _places(one)
