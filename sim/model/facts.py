"""Reads the facts out of a prompt: numbers by id, however damaged the text around them is."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation, Overflow
from typing import Any

OPENING = re.compile(r'<([a-z_]{1,40}) nonce="([^"<>]{1,200})">')
INJECTION = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|rules?|prompts?|previous|above)\b"
    r"|\bsystem prompt\b|\byou are now\b|\bnew instructions\b",
    re.IGNORECASE | re.DOTALL,
)
"""Phrases that have no business in a headline."""
MAX_SECTIONS = 64
"""More opening tags than this are somebody's attempt to keep us busy."""


@dataclass(frozen=True)
class Facts:
    """What a prompt tells: the ticker ("" where it names none), usable numbers by fact id, and whether foreign text gives orders."""

    ticker: str = ""
    values: Mapping[str, Decimal] = field(default_factory=dict)
    injected: bool = False

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
    return Facts(ticker[:32] if isinstance(ticker, str) else "", values, injected)


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object between the outermost braces of `text`. Numbers stay text, so that no digit is lost."""
    try:
        value = json.loads(
            text[text.index("{") : text.rindex("}") + 1], parse_float=str, parse_int=str, strict=False
        )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
