"""What people type about options, turned into values: /chain, /option and /strategy. Pure functions; every no says what would be right.

A word says by its form what it is: 190 or d30 or +5% is a strike, 2026-12-18 or 30d or monthly an expiry, $500 a budget.
"""

import re
from calendar import day_name, month_name
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches

from bot import grammar
from core.errors import BadInput
from core.model import Right, Side
from core.options.plan import ExpiryWish, PlanRequest, Strategy, StrikeWish

STRIKES: dict[Strategy, tuple[str, ...]] = {
    Strategy.LONG_CALL: ("190",),
    Strategy.LONG_PUT: ("190",),
    Strategy.COVERED_CALL: ("200",),
    Strategy.PROTECTIVE_PUT: ("180",),
    Strategy.BULL_CALL_SPREAD: ("190", "200"),
    Strategy.BEAR_PUT_SPREAD: ("180", "190"),
    Strategy.BULL_PUT_SPREAD: ("175", "180"),
    Strategy.BEAR_CALL_SPREAD: ("200", "205"),
    Strategy.CASH_SECURED_PUT: ("180",),
    Strategy.COLLAR: ("180", "200"),
    Strategy.IRON_CONDOR: ("170", "175", "205", "210"),
    Strategy.LONG_STRADDLE: ("190",),
    Strategy.LONG_STRANGLE: ("180", "200"),
}
"""An example of the strikes that each strategy has, ascending; how many there are is how many it takes."""

_SHORT = {
    "STRADDLE": Strategy.LONG_STRADDLE,
    "STRANGLE": Strategy.LONG_STRANGLE,
    "CONDOR": Strategy.IRON_CONDOR,
    "BULL_CALL": Strategy.BULL_CALL_SPREAD,
    "BEAR_PUT": Strategy.BEAR_PUT_SPREAD,
    "BULL_PUT": Strategy.BULL_PUT_SPREAD,
    "BEAR_CALL": Strategy.BEAR_CALL_SPREAD,
    "CASH_SECURED": Strategy.CASH_SECURED_PUT,
}
_NAMES: dict[str, Strategy] = {**{s.value: s for s in Strategy}, **_SHORT}
_LONGEST_NAME = 3  # words
_RIGHTS = {"call": Right.CALL, "c": Right.CALL, "put": Right.PUT, "p": Right.PUT}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SPOKEN = tuple(name.lower() for name in (*month_name, *day_name) if name)
_LONGEST_DAYS = 1100  # the exchanges list options for about three years
EXPIRIES = "a date (2026-12-18 or 18dec26), days from now (30d), or monthly"
OPTION_USAGE = "For example: /option AAPL call 190 2026-12-18 1"
CHAIN_USAGE = "For example: /chain AAPL, /chain AAPL 2026-12-18, /chain AAPL 30d or /chain AAPL monthly"
_WORDS = ("@", "limit", "debit", "credit", "qty", "preview", "monthly", "call", "put", "buy", "sell", "atm")
_REFUSED = {
    "gtc": "An options order lasts for the day, so gtc is not offered here.",
    "market": "Options are never traded at market here: without a price it starts at the middle of bid and ask.",
    "stop": "An options order has a limit and no stop: what it can lose is bounded by its legs.",
    "sl": "An options order has a limit and no stop loss: what it can lose is bounded by its legs.",
    "tp": "An options order has a limit and no target: close it with its Close button in /positions.",
    "all": "How many is a number here; what you hold is closed with its Close button in /positions.",
    "half": "How many is a number here; what you hold is closed with its Close button in /positions.",
    "weekly": f"An expiry is {EXPIRIES}.",
}


@dataclass(frozen=True, slots=True)
class ChainLine:
    """A /chain line: of what, and which expiry."""

    symbol: str
    expiry: ExpiryWish = field(default_factory=ExpiryWish)


@dataclass(frozen=True, slots=True)
class PlanLine:
    """An /option or /strategy line: what is asked, and whether only a look was wanted."""

    request: PlanRequest
    preview: bool = False


@dataclass(frozen=True, slots=True)
class WizardLine:
    """A /strategy line that leaves the choice open: the wizard asks, beginning with the symbol where there is none."""

    symbol: str = ""


def chain_line(line: str) -> ChainLine:
    """`AAPL`, `AAPL 2026-12-18`, `AAPL 30d` or `AAPL monthly`. Raises BadInput."""
    words = line.split()
    if not words:
        raise BadInput(f"Whose options? {CHAIN_USAGE}")
    name = grammar.symbol(words[0])
    if len(words) == 1:
        return ChainLine(name)
    if len(words) > 2:
        if _about_time(words[1]):
            raise BadInput(f"{' '.join(words[1:])[:40]!r} is no expiry; one is {EXPIRIES}.")
        raise BadInput(f"{' '.join(words[2:])[:40]!r} is too much here. {CHAIN_USAGE}")
    wish = expiry(words[1])
    if wish is None:
        raise BadInput(f"{words[1][:40]!r} is no expiry; one is {EXPIRIES}.")
    return ChainLine(name, wish)


def option_line(line: str) -> PlanLine:
    """`AAPL call 190 2026-12-18 1`, `sell AAPL put d30 30d 2 @ 3.20`, `AAPL call +5% monthly $500 preview`. Raises BadInput."""
    words = _split(line)
    side = Side.BUY
    if len(words) > 1 and words[0].lower() in ("buy", "sell"):
        side = Side(words.pop(0).upper())
    if not words:
        raise BadInput(f"Which option? {OPTION_USAGE}")
    name = grammar.symbol(words.pop(0))
    right = None
    rest = []
    for word in words:
        found, more = _right(word)
        if found is not None and right is not None and found is not right:
            raise BadInput("A call and a put at once are a /strategy: LONG_STRADDLE or LONG_STRANGLE.")
        right = right or found
        rest += [more] if more else []
    verb = "/option" if side is Side.BUY else "/option sell"
    example = f"{verb} {name} call 190 2026-12-18 1"
    if right is None:
        raise BadInput(f"A call or a put? For example: {example}")
    request = PlanRequest(name, single=(side, right))
    told = _Rest(request, f"{verb} {name} {'call' if right is Right.CALL else 'put'}", 1, ("190",))
    read = told.read(rest)
    if not read.request.strikes:
        raise BadInput(f"Which strike? A price (190), a delta (d30) or a distance (+5%): {example}")
    limit = read.request.limit
    if limit is not None and limit <= 0:
        raise BadInput(
            f"The price of an option is above zero; buy or sell says which way it goes: {example} @ 3.20"
        )
    return read


def strategy_line(line: str) -> PlanLine | WizardLine:
    """`BULL_CALL_SPREAD AAPL 190/200 2026-12-18 1 @ 3.20`, any of it but name and symbol left out; `AAPL` or nothing. Raises BadInput."""
    words = _split(line)
    if not words:
        return WizardLine()
    strategy, used = _name(words)
    if strategy is None and words[0].lower() in ("buy", "sell") and (told := _name(words[1:])[0]):
        raise BadInput(
            f"{words[0]!r} is not needed: a strategy has its name for that. For example: /strategy {told} AAPL"
        )
    if strategy is None:
        return WizardLine(_only_symbol(words))
    rest = words[used:]
    strikes = STRIKES[strategy]
    if not rest:
        raise BadInput(f"Of what? For example: /strategy {strategy} AAPL {'/'.join(strikes)} 2026-12-18 1")
    name = grammar.symbol(rest.pop(0))
    request = PlanRequest(name, strategy=strategy)
    return _Rest(request, f"/strategy {strategy} {name}", len(strikes), strikes).read(rest)


def strategy_named(words: str) -> Strategy:
    """A strategy by what people call it: `bull call spread`, `Iron-Condor`. Raises BadInput with the nearest."""
    name = _joined(words.split())
    if name in _NAMES:
        return _NAMES[name]
    raise BadInput(_no_strategy(words, name))


def expiry(word: str) -> ExpiryWish | None:
    """What a word says about when; None where it is not about that. Raises BadInput where it is, but cannot be meant."""
    lower = word.lower()
    if lower == "monthly":
        return ExpiryWish(monthly=True)
    if days := re.fullmatch(r"(\d{1,6})d(ays)?", lower, re.ASCII):
        count = int(days[1])
        if not 0 < count <= _LONGEST_DAYS:
            raise BadInput(
                f"{word} is no expiry: options are listed for 1 to {_LONGEST_DAYS} days, for example 30d."
            )
        return ExpiryWish(days=count)
    if iso := re.fullmatch(r"(\d{4})-?(\d{2})-?(\d{2})", lower, re.ASCII):
        return ExpiryWish(day=_day(word, int(iso[1]), int(iso[2]), int(iso[3])))
    if written := re.fullmatch(r"(\d{1,2})-?([a-z]{3})[a-z]{0,6}-?(\d{2}|\d{4})?", lower, re.ASCII):
        if written[2] not in _MONTHS:
            return None
        if written[3] is None:
            raise BadInput(f"{word} of which year? Write it as {word}26, or as 2026-12-18.")
        year = int(written[3]) + (2000 if len(written[3]) == 2 else 0)
        return ExpiryWish(day=_day(word, year, _MONTHS.index(written[2]) + 1, int(written[1])))
    if re.fullmatch(r"\d{1,2}[/.-]\d{1,2}[/.-](\d{2}|\d{4})", lower, re.ASCII):
        raise BadInput(f"{word} could be read in two ways. Write the date as 2026-12-18.")
    if re.fullmatch(r"\d{4}-\d{1,2}(-\d{1,2})?", lower, re.ASCII) or (
        lower[:3] in _MONTHS and lower[3:].isdigit()
    ):
        raise BadInput(f"{word} is no whole date. An expiry is {EXPIRIES}.")
    return None


def strike(word: str) -> StrikeWish | None:
    """A strike as a price (190), a delta (d30, 0.30d) or a distance (+5%, -5%, atm); None where it is none. Raises BadInput."""
    lower = word.lower()
    if lower == "atm":
        return StrikeWish(percent=Decimal(0))
    if delta := re.fullmatch(r"d(\d{1,2}|0?\.\d{1,4})|(0?\.\d{1,4})d", lower, re.ASCII):
        written = Decimal(delta[1] or delta[2])
        value = written / 100 if written >= 1 else written
        if not 0 < value < 1:
            raise BadInput(f"{word} is no delta: it lies between 0 and 1, for example d30 or 0.30d.")
        return StrikeWish(delta=value)
    if lower.endswith("%"):
        if distance := re.fullmatch(r"([+-])(\d{1,3}(\.\d{1,4})?)%", lower, re.ASCII):
            value = Decimal(distance[1] + distance[2])
            if value <= -100:
                raise BadInput(
                    f"{word} from the price is nothing at all; a strike is nearer, for example -5%."
                )
            return StrikeWish(percent=value)
        bare = lower.strip("%+-")
        raise BadInput(f"Above or below the price? Write +{bare or 5}% or -{bare or 5}%.")
    if re.fullmatch(r"\$?[\d.,'_]*\d[\d.,'_]*", lower, re.ASCII):
        return StrikeWish(price=grammar.number(lower.removeprefix("$"), "strike"))
    return None


@dataclass(slots=True)
class _Rest:
    """Reads what follows the symbol: strikes, expiry, how many or for how much, a price, `preview`; each once."""

    request: PlanRequest
    start: str
    count: int
    example: tuple[str, ...]
    preview: bool = False

    @property
    def usage(self) -> str:
        return f"For example: {self.start} {'/'.join(self.example)} 2026-12-18 1"

    def read(self, words: list[str]) -> PlanLine:
        rest = list(words)
        while rest:
            word = rest.pop(0)
            lower = word.lower()
            if lower in ("@", "limit", "debit", "credit"):
                self._price(lower, rest)
            elif lower == "preview":
                self.preview = True
            elif lower in ("qty", "quantity", "x"):
                if not rest:
                    raise BadInput(f"A number is missing behind {word!r}. {self.usage}")
                self._quantity(rest.pop(0))
            elif lower in _REFUSED:
                raise BadInput(f"{_REFUSED[lower]} {self.usage}")
            elif (wish := expiry(lower)) is not None:
                if self.request.expiry != ExpiryWish():
                    raise BadInput(f"One expiry is enough; {word!r} is a second one. {self.usage}")
                self.request = replace(self.request, expiry=wish)
            elif lower.startswith("$"):
                self._budget(lower)
            elif self._is_quantity(lower):
                self._quantity(word)
            else:
                self._strikes(word)
        return PlanLine(self.request, self.preview)

    def _is_quantity(self, word: str) -> bool:
        """Whether a bare number says how many: where the strikes are there already, or come before the expiry that is."""
        if not re.fullmatch(r"[-+]?[\d.,'_]*\d[\d.,'_]*", word, re.ASCII):
            return False
        if self.request.strikes:
            return True
        return self.request.single is None and self.request.expiry != ExpiryWish()

    def _once(self, word: str) -> None:
        if self.request.quantity is not None or self.request.budget is not None:
            price = f" A price is written with @: @ {word[:40]}." if re.fullmatch(r"\d*\.\d+", word) else ""
            raise BadInput(f"How many is said twice: {word[:40]!r} is too much.{price} {self.usage}")

    def _quantity(self, word: str) -> None:
        self._once(word)
        value = grammar.number(word, "quantity")
        if value != value.to_integral_value():
            raise BadInput(f"Only whole contracts can be traded: {word} is not whole. {self.usage}")
        self.request = replace(self.request, quantity=value)

    def _budget(self, word: str) -> None:
        self._once(word)
        self.request = replace(self.request, budget=grammar.number(word[1:], "budget", "$"))

    def _strikes(self, word: str) -> None:
        parts = word.split("/")
        wishes = []
        for part in parts:
            wish = strike(part)
            if wish is None:
                raise BadInput(self._not_understood(word))
            wishes.append(wish)
        if self.request.strikes:
            raise BadInput(f"The strikes are there already; {word[:40]!r} is too much. {self.usage}")
        if len(wishes) != self.count:
            raise BadInput(self._wrong_count(word, len(wishes)))
        prices = [wish.price for wish in wishes if wish.price is not None]
        if len(set(prices)) != len(prices):
            raise BadInput(f"The strikes of {word[:40]} must differ. {self.usage}")
        if len(prices) == len(wishes):
            wishes = [StrikeWish(price=price) for price in sorted(prices)]
        self.request = replace(self.request, strikes=tuple(wishes))

    def _wrong_count(self, word: str, found: int) -> str:
        strikes = f"{self.count} strike{'s' if self.count > 1 else ''}"
        what = self.request.strategy or "An option"
        if found == 1:
            return (
                f"{what} has {strikes}, and {word[:40]} is one. Write all of them ({'/'.join(self.example)}), or leave them out; "
                f"a quantity stands behind the expiry: {self.start} 30d 2"
            )
        return f"{what} has {strikes}, and {word[:40]} is {found}. {self.usage}"

    def _price(self, mark: str, rest: list[str]) -> None:
        if self.request.limit is not None:
            raise BadInput(f"One price is enough. {self.usage} @ 3.20")
        named = mark
        if mark == "@" and rest and rest[0].lower() in ("debit", "credit"):
            named = rest.pop(0).lower()
        if not rest:
            raise BadInput(f"A price is missing behind {named!r}, for example: {self.start} … {named} 3.20")
        word = rest.pop(0)
        sign, bare = _signed(word)
        if named in ("debit", "credit") and sign:
            raise BadInput(
                f"{named} says already which way it goes; write {named} {bare or '3.20'} without a sign."
            )
        if self.request.single is not None and (sign == "-" or named in ("debit", "credit")):
            raise BadInput(
                f"The price of an option is above zero; buy or sell says which way it goes: {self.start} … @ {bare or '3.20'}"
            )
        zero = re.fullmatch(r"0+(\.0+)?|\.0+", bare, re.ASCII) and self.request.strategy
        price = Decimal(0) if zero else grammar.number(bare, "price")
        self.request = replace(self.request, limit=-price if sign == "-" or named == "credit" else price)

    def _not_understood(self, word: str) -> str:
        lower = word.lower()
        if re.fullmatch(r"\d{1,2}d/?|d\d{3,}|\d+(\.\d+)?d", lower, re.ASCII):
            return f"{word[:40]!r} is not understood here. A delta is d30 or 0.30d, an expiry in days 30d."
        if lower in ("buy", "sell") and self.request.single is not None:
            return f"{word!r} stands before the symbol: /option {lower} {self.request.symbol} …"
        if lower in ("at", "for"):
            return f"{word!r} is not understood here. A price is written with @: {self.start} … @ 3.20"
        if _about_time(lower):
            return f"{word[:40]!r} is not understood here. An expiry is {EXPIRIES}."
        near = get_close_matches(lower, _WORDS, 1)
        hint = f"Did you mean {near[0]!r}?" if near else self.usage
        return f"{word[:40]!r} is not understood here. {hint}"


def _split(line: str) -> list[str]:
    return re.sub(r"@", " @ ", line).split()


def _signed(word: str) -> tuple[str, str]:
    """The sign of a price and the number behind it, in whichever order sign and dollar stand."""
    bare = word.replace("\N{MINUS SIGN}", "-")
    sign = ""
    for _ in range(2):
        if bare[:1] in ("-", "+") and not sign:
            sign, bare = bare[0], bare[1:]
        bare = bare.removeprefix("$")
    return sign, bare


def _right(word: str) -> tuple[Right | None, str]:
    """Call or put where a word says so, and what is left of it: `call`, `C`, `190C`, `c190`."""
    lower = word.lower()
    if lower in _RIGHTS:
        return _RIGHTS[lower], ""
    if lower in ("calls", "puts"):
        return _RIGHTS[lower[0]], ""
    if joined := re.fullmatch(r"(\d[\d.]*)([cp])|([cp])(\d[\d.]*)", lower, re.ASCII):
        return _RIGHTS[joined[2] or joined[3]], joined[1] or joined[4]
    return None, word


def _about_time(word: str) -> bool:
    """Whether a word says when as people speak: `dec 18`, `next friday`."""
    lower = word.lower()
    return lower in ("next", "this") or (len(lower) > 2 and any(name.startswith(lower) for name in _SPOKEN))


def _day(word: str, year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise BadInput(f"There is no day {word}. An expiry is {EXPIRIES}.") from None


def _joined(words: list[str]) -> str:
    return "_".join(re.split(r"[\s_-]+", " ".join(words).strip())).upper()


def _name(words: list[str]) -> tuple[Strategy | None, int]:
    """The strategy that the first words name, and how many they are."""
    for used in range(min(_LONGEST_NAME, len(words)), 0, -1):
        name = _joined(words[:used])
        if name in _NAMES and not (name in _SHORT and words[used : used + 1] == ["SPREAD"]):
            return _NAMES[name], used
    return None, 0


def _only_symbol(words: list[str]) -> str:
    """The symbol that stands alone. Raises BadInput for a name that nobody knows, or for anything behind the symbol."""
    first = words[0].upper()
    looks_like_symbol = re.fullmatch(r"[A-Z][A-Z0-9]{0,5}([. ][A-Z]{1,2})?", first, re.ASCII) is not None
    if looks_like_symbol and len(words) == 1:
        return grammar.symbol(words[0])
    later, _ = _name(words[1:])
    if later is not None and looks_like_symbol:
        raise BadInput(
            f"The strategy comes first: /strategy {later} {first} {'/'.join(STRIKES[later])} 2026-12-18 1"
        )
    near = [n for used in (3, 2, 1) for n in get_close_matches(_joined(words[:used]), _NAMES, 1, 0.75)]
    if near or not looks_like_symbol:
        raise BadInput(_no_strategy(words[0], _joined(words[:3]), _NAMES[near[0]] if near else None))
    if words[1].isalpha():
        raise BadInput(_no_strategy(" ".join(words[:2]), _joined(words[:2])))
    raise BadInput(
        f"Which strategy? /strategy {first} alone helps to find one; or name it: /strategy BULL_CALL_SPREAD {first} 190/200 2026-12-18 1"
    )


def _no_strategy(words: str, name: str, near: Strategy | None = None) -> str:
    close = near or next((_NAMES[n] for n in get_close_matches(name, _NAMES, 1, 0.5)), None)
    meant = f"Did you mean {close}? " if close else ""
    return f"There is no strategy {words[:40]!r} here. {meant}There are: {', '.join(Strategy)}."
