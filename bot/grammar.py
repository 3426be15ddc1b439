"""What people type, turned into values: pure functions that either understand a line or say what would be right."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches

from core.errors import BadInput
from core.model import ChangeRequest, OrderType, Request, Side, TimeInForce

_NUMBER = re.compile(r"\d{1,12}(\.\d{1,8})?|\.\d{1,8}", re.ASCII)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,11}([. ][A-Z]{1,2})?", re.ASCII)
_THOUSANDS = re.compile(r"\d{1,3}([,'_ ]\d{3})+(\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"\d+,\d+", re.ASCII)


def number(word: str, what: str, mark: str = "") -> Decimal:
    """A positive plain number such as 10 or 187.50. Raises BadInput with the reading that we would have taken.

    `mark` is what stood before it on the line.
    """
    if _NUMBER.fullmatch(word):
        value = Decimal(word)
        if value > 0:
            return value
        raise BadInput(f"The {what} must be above zero.")
    if _THOUSANDS.fullmatch(word):
        bare = re.sub(r"[,'_ ]", "", word)
        raise BadInput(
            f"{mark}{word} could be read in two ways. If you mean {mark}{bare}, write it without separators."
        )
    if _DECIMAL_COMMA.fullmatch(word):
        raise BadInput(
            f"{mark}{word} could be read in two ways. If you mean {mark}{word.replace(',', '.')}, write it with a point."
        )
    if re.fullmatch(r"[-+]\S+", word):
        raise BadInput(f"The {what} must be a plain number above zero, without a sign: {word!r} is none.")
    if re.fullmatch(r"\d{13,}(\.\d*)?", word, re.ASCII):
        raise BadInput(f"The {what} is too large to be meant.")
    raise BadInput(f"The {what} must be a plain number such as 10 or 187.50; {word[:40]!r} is none.")


def symbol(word: str) -> str:
    """A ticker symbol in capitals. Raises BadInput."""
    upper = word.upper()
    if word.isascii() and _SYMBOL.fullmatch(upper):
        return upper
    raise BadInput(f"{word[:40]!r} is no symbol; a symbol is a name such as AAPL or BRK.B.")


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A /buy or /sell line: what is asked, and whether only a look was wanted."""

    request: Request
    preview: bool = False


_PARTS = {"all": Decimal(1), "half": Decimal("0.5")}
_WORDS = ("@", "limit", "stop", "sl", "tp", "gtc", "day", "preview")


def order_line(side: Side, line: str) -> OrderLine:
    """`AAPL 10`, `AAPL $2500 @ 187.50 sl 180 tp 200`, `AAPL 10 stop 180 gtc`, `AAPL half`, with `preview` at the end to look only. Raises BadInput."""
    words = re.sub(r"@", " @ ", line).split()
    verb = f"/{side.lower()}"
    if not words:
        raise BadInput(
            f"What should be {'bought' if side is Side.BUY else 'sold'}? For example: {verb} AAPL 10"
        )
    name = symbol(words[0])
    if len(words) == 1:
        raise BadInput(
            f"How many? For example: {verb} {name} 10, or {verb} {name} {'$2500' if side is Side.BUY else 'all'}"
        )
    request = _size(Request(side, name), words[1])
    rest, preview = words[2:], False
    while rest:
        word = rest.pop(0).lower()
        match word:
            case "@" | "limit" | "stop":
                if request.order_type is not OrderType.MARKET:
                    raise BadInput(
                        f"One price is enough: a limit (@ 187.50) or a stop (stop 180). For example: {verb} {name} {words[1]} @ 187.50"
                    )
                if not rest:
                    raise BadInput(
                        f"A price is missing behind {word!r}, for example: {verb} {name} {words[1]} {word} 187.50"
                    )
                price = number(rest.pop(0).removeprefix("$"), "price")
                stops = word == "stop"
                request = replace(
                    request,
                    order_type=OrderType.STOP if stops else OrderType.LIMIT,
                    limit_price=None if stops else price,
                    stop_price=price if stops else None,
                )
            case "sl" | "tp":
                if side is Side.SELL:
                    raise BadInput(
                        "A sale closes a holding, so there is nothing left for sl or tp to protect. To sell at a falling price, "
                        f"write {verb} {name} {words[1]} stop 180."
                    )
                if not rest:
                    raise BadInput(
                        f"A price is missing behind {word!r}, for example: {verb} {name} {words[1]} {word} 180"
                    )
                level = number(rest.pop(0).removeprefix("$"), "price")
                request = (
                    replace(request, stop_loss=level) if word == "sl" else replace(request, take_profit=level)
                )
            case "gtc" | "day":
                request = replace(request, tif=TimeInForce(word.upper()))
            case "preview":
                preview = True
            case _:
                raise BadInput(_not_understood(word, verb, name, words[1]))
    if request.tif is TimeInForce.GTC and request.order_type is OrderType.MARKET:
        raise BadInput(
            "A market order works at once, so gtc says nothing. Leave it away, or give a price: @ 187.50 gtc"
        )
    return OrderLine(request, preview)


def _size(request: Request, word: str) -> Request:
    lower = word.lower()
    if lower.startswith("$"):
        return replace(request, amount=number(lower[1:], "amount", "$"))
    if lower in _PARTS or lower.endswith("%"):
        if request.side is Side.BUY:
            raise BadInput(
                f"{word} is a part of a holding, which can only be sold. To buy, give shares (10) or an amount ($2500)."
            )
        part = _PARTS.get(lower) or number(lower[:-1], "percentage") / 100
        if part > 1:
            raise BadInput(f"{word} is more than everything; 100% is the whole holding.")
        return replace(request, fraction=part)
    quantity = number(word, "quantity")
    if quantity != quantity.to_integral_value():
        near = max(int(quantity), 1)
        raise BadInput(
            f"Only whole shares can be ordered: {word} is not whole. For example: /{request.side.lower()} {request.symbol} {near}"
        )
    return replace(request, quantity=quantity)


def _not_understood(word: str, verb: str, name: str, size: str) -> str:
    if _NUMBER.fullmatch(word):
        return f"Is {word} a limit or a stop? Write {verb} {name} {size} @ {word}, or {verb} {name} {size} stop {word}."
    near = get_close_matches(word, _WORDS, 1)
    hint = (
        f" Did you mean {near[0]!r}?"
        if near
        else f" The whole line can be: {verb} {name} {size} @ 187.50 sl 180 tp 200 gtc"
    )
    return f"{word[:40]!r} is not understood here.{hint}"


CHANGE_USAGE = "For example: /modify 17 @ 186, /modify 17 stop 180 or /modify 17 qty 5"


def change_line(line: str) -> ChangeRequest:
    """`17 @ 186`, `17 stop 180`, `17 qty 5`, or several of them: the order and what is to be different. Raises BadInput."""
    words = re.sub(r"@", " @ ", line).split()
    if not words:
        raise BadInput(f"Which order, and what about it? {CHANGE_USAGE}")
    which = target(words[0])
    if which.number is None:
        raise BadInput(
            f"An order is changed by its number, which /orders shows; {words[0][:40]!r} is none. {CHANGE_USAGE}"
        )
    found: dict[str, Decimal] = {}
    rest = words[1:]
    while rest:
        word = rest.pop(0).lower()
        name = _CHANGES.get(word)
        if name is None:
            bare = _NUMBER.fullmatch(word.removeprefix("$"))
            meant = (
                f"Is {word} a price or a quantity? " if bare else f"{word[:40]!r} is not understood here. "
            )
            raise BadInput(f"{meant}{CHANGE_USAGE}")
        if not rest:
            raise BadInput(f"A number is missing behind {word!r}. {CHANGE_USAGE}")
        if name in found:
            raise BadInput(f"The {name.replace('_', ' ')} is there twice. {CHANGE_USAGE}")
        found[name] = number(rest.pop(0).removeprefix("$"), name.replace("_", " "))
    if not found:
        raise BadInput(f"What should be different about #{which.number}? {CHANGE_USAGE}")
    shares = found.get("quantity")
    if shares is not None and shares != shares.to_integral_value():
        raise BadInput(f"Only whole shares can be ordered: {shares:f} is not whole.")
    return ChangeRequest(which.number, shares, found.get("limit_price"), found.get("stop_price"))


_CHANGES = {
    "@": "limit_price",
    "limit": "limit_price",
    "stop": "stop_price",
    "qty": "quantity",
    "quantity": "quantity",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Which orders: one by its number, those of a symbol, or all."""

    number: int | None = None
    symbol: str | None = None

    @property
    def everything(self) -> bool:
        """All of ours."""
        return self.number is None and self.symbol is None


def target(word: str) -> Target:
    """`17`, `#17`, `AAPL` or `all`. Raises BadInput."""
    bare = word.removeprefix("#")
    if bare.lower() == "all":
        return Target()
    if bare.isascii() and bare.isdigit():
        if len(bare) > 9:
            raise BadInput(f"There is no order #{bare[:12]}; /orders lists them.")
        return Target(number=int(bare))
    return Target(symbol=symbol(bare))
