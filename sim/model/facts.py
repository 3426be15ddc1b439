"""Reads the facts out of a prompt: numbers by id, however damaged the text around them is."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation, Overflow
from typing import Any

OPENING = re.compile(r'<([a-z_]{1,40}) nonce="([^"<>]{1,200})">')
INJECTION = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|rules?|prompts?|previous|above)\b"
    r"|\bsystem prompt\b|\byou are now\b|\bnew instructions\b",
    re.IGNORECASE | re.DOTALL,
)
"""Phrases that have no business in a headline."""
OPTION = re.compile(
    r"\S.{0,40} (?P<strike>\d{1,9}(?:\.\d{1,4})?) (?P<right>[CP]) (?P<expiry>\d{4}-\d\d-\d\d), .{0,40}"
    r"\bbid (?P<bid>\d{1,9}(?:\.\d{1,4})?), ask (?P<ask>\d{1,9}(?:\.\d{1,4})?)",
    re.ASCII,
)
"""How the fact of an option begins: AAPL 190 C 2026-12-18, 25 days, bid 3.10, ask 3.20."""
MAX_SECTIONS = 64
"""More opening tags than this are somebody's attempt to keep us busy."""


@dataclass(frozen=True)
class Option:
    """An option on offer: `right` is C or P, prices are per share."""

    right: str
    strike: Decimal
    expiry: date
    bid: Decimal
    ask: Decimal


@dataclass(frozen=True)
class Facts:
    """What a prompt tells: the ticker ("" where it names none), usable numbers by fact id, whether foreign text gives orders, and the
    options on offer.
    """

    ticker: str = ""
    values: Mapping[str, Decimal] = field(default_factory=dict)
    injected: bool = False
    options: tuple[Option, ...] = ()

    def holding(self) -> bool:
        """True where the account owns the ticker."""
        return self.values.get("position_quantity", Decimal(0)) > 0


def number(value: Any) -> Decimal | None:
    """A finite number of sensible magnitude (zero, or 1e-12 to 1e13 either way), else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = +Decimal(str(value).strip())  # the sign rounds to 28 digits: nobody needs the ten-thousandth
    except (InvalidOperation, Overflow, ValueError):
        return None
    if not result.is_finite() or (result and not -12 <= result.adjusted() <= 12):
        return None
    return result


def sections(prompt: str) -> Iterator[tuple[str, str]]:
    """(tag, text) of every `<tag nonce="x">text</tag nonce="x">`, in order; unclosed ones are left out."""
    start = 0
    for _ in range(MAX_SECTIONS):
        if (found := OPENING.search(prompt, start)) is None:
            return
        tag, nonce = found.groups()
        end = prompt.find(f'</{tag} nonce="{nonce}">', found.end())
        if end >= 0:
            yield tag, prompt[found.end() : end]
        start = found.end() if end < 0 else end


def read_facts(prompt: str) -> Facts:
    """The first readable facts section of `prompt`. Never raises: what cannot be read is as if it were missing."""
    told: dict[str, Any] | None = None
    injected = False
    for tag, text in sections(prompt):
        if tag != "facts":
            injected = injected or INJECTION.search(text) is not None
        elif told is None:
            told = _object(text)
    if told is None:
        return Facts(injected=injected)
    ticker = told.get("ticker")
    rows = told.get("facts")
    values = {
        row["id"]: value
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict)
        and isinstance(row.get("id"), str)
        and (value := number(row.get("value"))) is not None
    }
    lines = [row.get("value") for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict)]
    options = tuple(found for line in lines if (found := _option(line)) is not None)
    return Facts(ticker[:32] if isinstance(ticker, str) else "", values, injected, options)


def _option(line: Any) -> Option | None:
    found = OPTION.match(line) if isinstance(line, str) else None
    if found is None:
        return None
    try:
        expiry = date.fromisoformat(found["expiry"])
    except ValueError:
        return None
    return Option(
        found["right"], Decimal(found["strike"]), expiry, Decimal(found["bid"]), Decimal(found["ask"])
    )


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object between the outermost braces of `text`. Numbers stay text, so that no digit is lost."""
    try:
        value = json.loads(
            text[text.index("{") : text.rindex("}") + 1], parse_float=str, parse_int=str, strict=False
        )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
