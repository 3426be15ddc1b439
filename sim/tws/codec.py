"""How TWS puts values on the wire: frames, fields, unset values and the handshake. Pure functions, no sockets.

A frame is a big-endian 32-bit length and that many bytes; a message is a frame of NUL-terminated text fields.
"""

import struct
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

MIN_VERSION = 157
MAX_VERSION = 178
MAX_FRAME = 0xFFFFFF
"""Longer frames are refused, as TWS does: a length beyond it means that the stream is out of step."""
_LARGEST_INTEGER = 2**31 - 1
_EXPONENTS = range(-20, 11)
"""The powers of ten of a quantity or a price, with room to multiply the two: nothing reaches a hundred thousand million."""
_MOST_DIGITS = 40

UNSET_DOUBLE = "1.7976931348623157E308"
UNSET_INTEGER = "2147483647"
_UNSET = frozenset(
    {
        "",
        "1.7976931348623157e308",
        "1.7976931348623157e+308",
        UNSET_INTEGER,
        "9223372036854775807",
        "-9223372036854775808",
    }
)

_EXPECTED = "a {} was expected, not {!r}"


class WireError(ValueError):
    """A message that cannot be what it says it is: a field too many or too few, or of the wrong kind."""


def split_frames(buffer: bytes) -> tuple[list[bytes], bytes]:
    """The payloads of all whole frames in `buffer`, and the bytes that remain. WireError for an absurd length."""
    frames, start = [], 0
    while len(buffer) - start >= 4:
        (size,) = struct.unpack_from(">I", buffer, start)
        if size > MAX_FRAME:
            raise WireError(f"a frame of {size} bytes is longer than the {MAX_FRAME} allowed")
        if len(buffer) - start - 4 < size:
            break
        frames.append(buffer[start + 4 : start + 4 + size])
        start += 4 + size
    return frames, buffer[start:]


def frame(payload: bytes) -> bytes:
    """`payload` with its length in front."""
    return struct.pack(">I", len(payload)) + payload


def message(*values: object) -> bytes:
    """A framed message of these fields; what is not ASCII leaves as \\uXXXX, as TWS writes it."""
    texts = [value if type(value) is str else field(value) for value in values]
    return frame(("\0".join(texts) + "\0").encode("ascii", "backslashreplace"))


def field(value: object) -> str:
    """One value as TWS writes it: booleans as 1 and 0, None as nothing, numbers without exponent."""
    if value is None:
        return ""
    if value is True or value is False:
        return "1" if value else "0"
    return plain(value) if isinstance(value, Decimal) else str(value)


def plain(value: Decimal) -> str:
    """A decimal in plain notation without trailing zeros: 187.5, not 187.50 or 1.875E+2."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def fields(payload: bytes) -> list[str]:
    """The text fields of a message. WireError where the last one is not terminated or the text is not UTF-8."""
    if not payload.endswith(b"\0"):
        raise WireError("a message ends with a NUL")
    try:
        return payload[:-1].decode().split("\0")
    except UnicodeDecodeError as error:
        raise WireError(f"a message is text: {error}") from error


class Reader:
    """Takes the fields of a message one after the other, and at the `end` insists that none is left over."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = values
        self._next = 0

    def text(self) -> str:
        """The next field as it is."""
        if self._next >= len(self._values):
            raise WireError("the message ends too early")
        self._next += 1
        return self._values[self._next - 1]

    def texts(self, count: int) -> list[str]:
        """The next `count` fields as they are."""
        taken = self._values[self._next : self._next + count]
        if len(taken) < count:
            raise WireError("the message ends too early")
        self._next += count
        return list(taken)

    def integer(self, default: int = 0) -> int:
        """The next field as a whole number, or `default` where it is unset."""
        text = self.text()
        if is_unset(text):
            return default
        number = whole(text)
        if number is None:
            raise WireError(_EXPECTED.format("whole number of 32 bits", text[:_MOST_DIGITS]))
        return number

    def count(self) -> int:
        """The next field as the number of things that follow; no message can hold more than it has fields."""
        number = self.integer()
        if not 0 <= number <= len(self._values):
            raise WireError(_EXPECTED.format("number of elements", number))
        return number

    def number(self) -> Decimal | None:
        """The next field as a number, or None where it is unset. Infinities and NaN are not numbers."""
        return decimal(self.text())

    def flag(self) -> bool:
        """The next field as a boolean, which clients write as 1 or 0, some as true or false."""
        return truth(self.text())

    def end(self) -> None:
        """WireError where a field is left over: reader and sender disagree about the layout."""
        if self._next < len(self._values):
            left = self._values[self._next :]
            raise WireError(f"{len(left)} fields are left over: {left[:5]!r}")


def whole(text: str) -> int | None:
    """A whole number as TWS writes one: a sign, digits, no more than 32 bits. None for anything else."""
    digits = text[1:] if text[:1] in {"-", "+"} else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
        return None
    number = int(text)
    return number if abs(number) <= _LARGEST_INTEGER else None


def is_unset(text: str) -> bool:
    """Whether a client said "no value", in any of the ways in which clients say it."""
    return text.lower() in _UNSET


def decimal(text: str) -> Decimal | None:
    """A number from a field, or None where it is unset. WireError for anything else that is not finite."""
    if is_unset(text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise WireError(_EXPECTED.format("number", text)) from None
    if not number.is_finite():
        raise WireError(_EXPECTED.format("finite number", text))
    if len(text) > _MOST_DIGITS or (number and number.adjusted() not in _EXPONENTS):
        raise WireError(_EXPECTED.format("number of this world", text[:_MOST_DIGITS]))
    return number


def truth(text: str) -> bool:
    """A boolean from a field."""
    try:
        return {"1": True, "true": True, "0": False, "false": False, "": False}[text.lower()]
    except KeyError:
        raise WireError(_EXPECTED.format("boolean", text)) from None


def parse_hello(payload: bytes) -> int:
    """The version at which to talk to a client that offers `v157..178[ options]`. WireError where there is none."""
    versions = payload.decode("ascii", "replace").split(" ")[0]
    low, dots, high = versions.removeprefix("v").partition("..")
    lowest, highest = whole(low), whole(high if dots else low)
    if not versions.startswith("v") or lowest is None or highest is None:
        raise WireError(f"a client begins with its versions, not with {versions[:40]!r}")
    version = min(MAX_VERSION, highest)
    if version < max(MIN_VERSION, lowest):
        raise WireError(f"versions {versions[1:40]} have nothing in common with {MIN_VERSION}..{MAX_VERSION}")
    return version


def wants_pacing(payload: bytes) -> bool:
    """Whether a client's hello asks that it be slowed down where it sends too fast, and not be hung up on."""
    return b"+PACEAPI" in payload.split(b" ")[1:]
