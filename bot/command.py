"""Commands and buttons: the signature is the grammar, the docstring is the help.

A command is `async def name(desk, who, ...) -> Reply`. Each further parameter is read from the line by its type (READERS); one with a
default may be left out. /help, the menu in the chat and README's table are made from COMMANDS.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, NewType, Protocol

from bot import grammar
from bot.reply import Reply
from bot.services import Desk
from core.errors import BadInput
from core.model import Origin

Symbol = NewType("Symbol", str)
Line = NewType("Line", str)
Word = NewType("Word", str)

# What a parameter of a type takes from the words of the line.
READERS: dict[Any, Callable[[list[str]], Any]] = {
    Symbol: lambda words: grammar.symbol(words.pop(0)),
    Word: lambda words: words.pop(0)[:64],
    grammar.Target: lambda words: grammar.target(words.pop(0)),
    Line: lambda words: " ".join(words.pop(0) for _ in list(words)),
}


class Lane(StrEnum):
    """Beside what a person's request is done: within each of these it is in the order asked, and none of them waits for another."""

    ORDINARY = ""
    SLOW = "slow"  # takes long, and must not keep waiting what is asked next
    URGENT = "urgent"  # overtakes whatever was asked before, so it has to block what it overtakes
    HALT = "halt"  # of /halt alone: not even an urgent tap that waits for a disk may stand before it


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by which update, and how long ago they did."""

    user: int
    name: str
    origin: Origin
    age: timedelta
    progress: "Progress"


class Progress(Protocol):
    """How a slow command says where it is: the first call sends a message, the further ones change it in place."""

    async def __call__(self, html: str, card: str = "") -> str:
        """Show `html` on the message that `card` names, or on a new one; returns its name."""
        ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """One part of a command's line."""

    name: str
    read: Callable[[list[str]], Any]
    optional: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command as its function describes it. `summary` is the first line of the docstring, `details` the rest."""

    name: str
    usage: str
    summary: str
    details: str
    parameters: tuple[Parameter, ...]
    run: Callable[..., Awaitable[Reply]]
    lane: Lane = Lane.ORDINARY

    def arguments(self, line: str) -> list[Any]:
        """The values on the line. Raises BadInput with the usage where they do not fit."""
        words, values = line.split(), []
        for parameter in self.parameters:
            if not words and parameter.optional:
                break
            if not words and parameter.read is not READERS[Line]:
                raise BadInput(f"Something is missing: {parameter.name}. Usage: {self.usage}")
            values.append(parameter.read(words))
        if words:
            raise BadInput(f"{' '.join(words)[:60]!r} is too much here. Usage: {self.usage}")
        return values


@dataclass(frozen=True, slots=True)
class Button:
    """What a tap does: `run` gets what stands behind the colon of the button's data."""

    run: Callable[[Desk, Caller, str], Awaitable[Reply]]
    lane: Lane = Lane.ORDINARY


COMMANDS: dict[str, Command] = {}
BUTTONS: dict[str, Button] = {}


def command(
    usage: str, *, lane: Lane = Lane.ORDINARY
) -> Callable[[Callable[..., Awaitable[Reply]]], Callable[..., Awaitable[Reply]]]:
    """Make a command of a function; its name is the function's."""

    def register(run: Callable[..., Awaitable[Reply]]) -> Callable[..., Awaitable[Reply]]:
        name = run.__name__.rstrip("_")
        summary, _, details = (inspect.getdoc(run) or "").partition("\n")
        COMMANDS[name] = Command(name, usage, summary, details.strip(), _parameters(run), run, lane)
        return run

    return register


def button(
    name: str, *, lane: Lane = Lane.ORDINARY
) -> Callable[[Callable[..., Awaitable[Reply]]], Callable[..., Awaitable[Reply]]]:
    """Make a function answer the buttons whose action is `name:argument`."""

    def register(run: Callable[..., Awaitable[Reply]]) -> Callable[..., Awaitable[Reply]]:
        BUTTONS[name] = Button(run, lane)
        return run

    return register


def _parameters(run: Callable[..., Awaitable[Reply]]) -> tuple[Parameter, ...]:
    hints = typing.get_type_hints(run)
    found = []
    for name, parameter in list(inspect.signature(run).parameters.items())[2:]:
        kinds = [kind for kind in typing.get_args(hints[name]) if kind is not type(None)] or [hints[name]]
        found.append(Parameter(name, READERS[kinds[0]], parameter.default is not inspect.Parameter.empty))
    return tuple(found)


# What other bots call things, and where it is here.
HINTS: dict[str, str] = {
    "portfolio": "/positions shows what you hold and what it is worth.",
    "holdings": "/positions shows what you hold and what it is worth.",
    "position": "/positions shows what you hold; /positions AAPL one of them, at a live price.",
    "balance": "/status shows cash and net liquidation.",
    "account": "/status shows the account, its cash and its net liquidation.",
    "cash": "/status shows cash and net liquidation.",
    "quote": "/buy AAPL 1 preview shows bid and ask of any stock and sends nothing; /positions AAPL that of a holding.",
    "price": "/buy AAPL 1 preview shows bid and ask of any stock and sends nothing; /positions AAPL that of a holding.",
    "pnl": "/positions shows gains that are open, /lots and /trades those that are realised.",
    "profit": "/positions shows gains that are open, /lots and /trades those that are realised.",
    "history": "/trades lists the last fills, /lots what the sales of this year brought.",
    "stop": "To stop trading: /halt. To protect a holding: /sell AAPL 10 stop 180 gtc. To take an order back: /cancel.",
    "panic": "/halt stops everything that could add to a holding, /flatten closes what is held.",
    "pause": "/halt lets nothing through that opens or adds, until /resume.",
    "kill": "/halt stops everything that could add to a holding, /flatten closes what is held.",
    "closeall": "/flatten closes everything that is held, after two taps.",
    "unhalt": "/resume says what happened meanwhile, and opens again.",
    "limits": "/risk shows every limit and how much of it is used.",
    "forceexit": "/flatten closes everything that is held; /sell AAPL all closes one holding.",
    "limit": "/buy AAPL 10 @ 187.50 is a limit order, /sell AAPL 10 @ 200 too.",
    "close": "/sell AAPL all closes a holding, /sell AAPL half a half of it.",
    "options": "/chain AAPL shows the options of a stock, /option trades one, /strategy several as one order.",
    "calls": "/chain AAPL shows calls and puts, /option AAPL call 190 2026-12-18 1 buys one.",
    "puts": "/chain AAPL shows calls and puts, /option AAPL put 190 2026-12-18 1 buys one.",
    "spread": "/strategy BULL_CALL_SPREAD AAPL 190/200 2026-12-18 1 is one; /strategy AAPL helps to find one by buttons.",
    "condor": "/strategy IRON_CONDOR AAPL 30d 1 is one; /strategy AAPL helps to find one by buttons.",
    "straddle": "/strategy LONG_STRADDLE AAPL 190 30d 1 is one; /strategy AAPL helps to find one by buttons.",
    "wizard": "/strategy AAPL helps to find a strategy by buttons.",
    "strategies": "/strategy AAPL helps to find one by buttons; /help strategy lists them.",
    "greeks": "/chain AAPL shows deltas and implied volatilities; the card of /option or /strategy has all Greeks in money.",
    "expiries": "/chain AAPL shows them behind its button Other expiries.",
    "roll": "/positions has a Roll button under each strategy and option that you hold.",
    "exercise": "What is in the money at expiry is exercised by itself; /positions has buttons to close or roll it before.",
    "order": "/orders lists those that can still trade; /buy and /sell make new ones.",
}


def typed(line: str) -> tuple[str, str] | None:
    """The name of the command on a line, and what follows it; None where there is no slash, so that nothing is asked."""
    line = line.strip()
    if not line.startswith("/"):
        return None
    name, _, rest = line[1:].partition(" ")
    if "\n" in name:
        name, _, more = name.partition("\n")
        rest = f"{more} {rest}"
    return name.partition("@")[0].lower(), rest


def lane_of_line(line: str) -> Lane:
    """In which lane a line is worked; what is no command is ordinary."""
    asked = typed(line)
    meant = COMMANDS.get(asked[0]) if asked else None
    return meant.lane if meant else Lane.ORDINARY


def lane_of_tap(data: str) -> Lane:
    """The same for a tap, by the data of its button."""
    meant = BUTTONS.get(data.partition(":")[0])
    return meant.lane if meant else Lane.ORDINARY


def look_up(name: str) -> Command:
    """The command of this name. Raises BadInput with what there is instead, or the nearest one."""
    if name in COMMANDS:
        return COMMANDS[name]
    if name in HINTS:
        raise BadInput(f"There is no command /{name} here. {HINTS[name]}")
    near = get_close_matches(name, COMMANDS, 1)
    raise BadInput(
        f"There is no command /{name[:32]}. "
        + (f"Did you mean /{near[0]}? " if near else "")
        + "/help lists all of them."
    )
