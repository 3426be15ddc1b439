"""The tax lots of one symbol as the broker's book makes them, and as the chat tells them: reckoned apart from the bot, oldest first.

A contract counts with its multiplier; a combination by its legs. An option that expires closes at nothing; one that is exercised or
assigned closes without a gain, and what it cost or brought goes into the shares that moved. The broker's ids say which those are.
"""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

Json = dict[str, Any]
CENT = Fraction(1, 100)
WHOLE = "BAG"
HOLDING = re.compile(r" @ ")
Pieces = deque[tuple[Fraction, Fraction]]
"""(signed quantity, what one of it cost), the oldest first."""


def label(symbol: str, contract: Json) -> str:
    """The name in the chat: `AAPL 190 C 18 Dec 26`."""
    if contract["type"] != "OPT":
        return symbol
    day = date.fromisoformat(contract["expiry"])
    return f"{symbol} {Decimal(contract['strike']).normalize():f} {contract['right']} {day.day} {day:%b %y}"


def event(execution: Json) -> str:
    """The part of an id that both halves of one event of the broker have in common."""
    return str(execution["exec_id"]).split(".")[1]


def by_itself(execution: Json) -> bool:
    """Whether the broker moved it by himself, without an order."""
    return not (execution["perm_id"] or execution["order_id"] or execution["ref"] or execution["superseded"])


@dataclass
class Lots:
    """What is open, and what was closed: the gain of all of it, and of each option that ended how many and with which premium."""

    shelves: dict[str, Pieces] = field(default_factory=lambda: defaultdict(deque))
    gain: Fraction = Fraction(0)
    closed: int = 0
    pieces: int = 0
    ends: Counter[tuple[str, str, Fraction]] = field(default_factory=Counter)

    def take(self, name: str, signed: Fraction, each: Fraction) -> Iterator[tuple[Fraction, Fraction]]:
        """Deal out a trade: (quantity, what one of it had cost) of every older piece that it closes; the rest opens one."""
        shelf = self.shelves[name]
        while signed and shelf and shelf[0][0] * signed < 0:
            held, cost = shelf[0]
            part = min(abs(held), abs(signed)) * (1 if held > 0 else -1)
            self.pieces += 1
            if part == held:
                shelf.popleft()
            else:
                shelf[0] = (held - part, cost)
            signed += part
            yield part, cost
        if signed:
            shelf.append((signed, each))

    def trade(self, name: str, signed: Fraction, each: Fraction) -> None:
        """What it closes has a gain."""
        for part, cost in list(self.take(name, signed, each)):
            self.gain += part * (each - cost)
            self.closed += 1


def reckoned(book: Json, openings: Mapping[int, tuple[Decimal, Decimal]], symbol: str) -> Lots:
    """The lots of a symbol after every execution of the broker, from what was there before."""
    made = [
        e for e in book["executions"] if e["symbol"] == symbol and not e["superseded"] and e["contract"]["type"] != WHOLE
    ]  # fmt: skip
    lots, names = Lots(), {e["con_id"]: label(symbol, e["contract"]) for e in (*made, *book["positions"]) if e["symbol"] == symbol}  # fmt: skip
    for con_id, (quantity, cost) in openings.items():
        if con_id in names and quantity:
            lots.shelves[names[con_id]].append((Fraction(quantity), Fraction(cost)))
    moved: dict[str, list[Json]] = defaultdict(list)
    for e in made:
        if by_itself(e):
            moved[event(e)].append(e)
    for e in sorted(made, key=lambda one: (one["at"][:19], one["exec_id"])):
        if not by_itself(e):
            lots.trade(names[e["con_id"]], _signed(e), _each(e))
        elif e["contract"]["type"] == "OPT":
            shares = [other for other in moved[event(e)] if other["contract"]["type"] == "STK"]
            _end(lots, e, names[e["con_id"]], shares[0] if shares else None, symbol)
    return lots


def _signed(e: Json) -> Fraction:
    return Fraction(e["quantity"]) * (1 if e["side"] == "BOT" else -1)


def _each(e: Json) -> Fraction:
    """What one of it cost, or brought: a purchase with its commission, a sale without."""
    fee = Fraction(e["commission"]) if e["reported"] else Fraction(0)
    price = Fraction(e["price"]) * Fraction(e["contract"].get("multiplier", "1"))
    return price + fee / _signed(e)


def _end(lots: Lots, e: Json, name: str, shares: Json | None, symbol: str) -> None:
    """An option ends: expired, or with shares that take its premium over."""
    pieces = list(lots.take(name, _signed(e), Fraction(0)))
    if shares is None:
        lots.gain -= sum((part * cost for part, cost in pieces), Fraction(0))
        lots.closed += len(pieces)
        lots.ends["EXPIRED", name, Fraction(0)] += 1
        return
    how = "ASSIGNED" if e["side"] == "BOT" else "EXERCISED"
    for part, cost in pieces:
        units = abs(part) * Fraction(e["contract"]["multiplier"])
        way = 1 if shares["side"] == "BOT" else -1
        lots.ends[how, name, abs(part * cost)] += 1
        lots.trade(symbol, units * way, Fraction(shares["price"]) + part * cost / (units * way))


def differences(
    book: Json, openings: Mapping[int, tuple[Decimal, Decimal]], symbol: str, shown: str
) -> Iterator[str]:
    """In what the answer to /lots is another than the broker's book makes it."""
    lots = reckoned(book, openings, symbol)
    near = CENT * (lots.pieces + 1)
    told: dict[str, list[Fraction]] = defaultdict(lambda: [Fraction(0), Fraction(0)])
    for name, quantity, cost in re.findall(
        r"^(?:≈ )?(\S.*?) (-?[\d,.]+) · (?:opened|held) .*\n.* a (?:share|contract) · (\S+)$",
        shown,
        re.MULTILINE,
    ):
        told[name][0] += _number(quantity)
        told[name][1] += _number(cost)
    names = {name for name, shelf in lots.shelves.items() if shelf} | told.keys()
    for name in sorted(names):
        shelf = lots.shelves.get(name, deque())
        held, cost = (
            sum((n for n, _ in shelf), Fraction(0)),
            sum((n * each for n, each in shelf), Fraction(0)),
        )
        if told[name][0] != held or abs(told[name][1] - cost) > near:
            yield f"/lots says {_plain(told[name][0])} {name} for {_plain(told[name][1])}, by the broker it is {_plain(held)} for {_plain(cost)}"
    (gain,) = re.findall(r"^Total gain (\S+)$", shown, re.MULTILINE) or ("0",)
    if abs(_number(gain) - lots.gain) > near:
        yield f"/lots says a gain of {gain}, by the broker it is {_plain(lots.gain)}"
    ends = Counter[tuple[str, str, Fraction]]()
    for how, name, rest in re.findall(
        r"^(?:≈ )?(EXPIRED|EXERCISED|ASSIGNED) [\d,.]+ (\S.*?) · .*\n(.*)", shown, re.MULTILINE
    ):
        premium = re.search(r"the premium (?:paid|received), (\S+), is", rest)
        ends[how, name, _number(premium[1]) if premium else Fraction(0)] += 1
    if {(how, name, round(float(p), 2)) for how, name, p in ends} != {
        (how, name, round(float(p), 2)) for how, name, p in lots.ends
    }:
        yield f"/lots says that options ended as {dict(ends)}, by the broker {dict(lots.ends)}"


def held_differently(book: Json, symbol: str, shown: str) -> Iterator[str]:
    """In what the answer to /positions is another than what the broker holds."""
    held: dict[str, Fraction] = defaultdict(Fraction)
    for p in book["positions"]:
        if p["symbol"] == symbol:
            held[label(symbol, p["contract"])] += Fraction(p["quantity"])
    told: dict[str, Fraction] = defaultdict(Fraction)
    for line in filter(HOLDING.search, shown.splitlines()):
        alone, option, leg = (
            re.match(r"([A-Z]\S*) ([-−]?[\d,]+) @ ", line),
            re.match(r"([-−]?[\d,]+) (\S.*?) @ ", line),
            re.match(r"\s+([-−]?[\d,]+) · (.*?) @ ", line),
        )
        if leg is not None:
            told[f"{symbol} {leg[2]}"] += _number(leg[1])
        elif option is not None:
            told[option[2]] += _number(option[1])
        elif alone is not None:
            told[alone[1]] += _number(alone[2])
        else:
            yield f"/positions has a line that says nothing: {line}"
    for name in sorted(held.keys() | told.keys()):
        if held[name] != told[name]:
            yield f"/positions says {_plain(told[name])} {name}, the broker has {_plain(held[name])}"


def _number(told: str) -> Fraction:
    return Fraction(re.sub(r"[$,+]", "", told.replace("−", "-")))


def _plain(value: Fraction) -> str:
    return f"{float(value):.2f}"
