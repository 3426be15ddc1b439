"""Commands describe themselves: usage, help and the reading of their line, all from one function each."""

import inspect
import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bot.commands as _commands
from bot import grammar
from bot.command import BUTTONS, COMMANDS, Command, Lane, lane_of_line, lane_of_tap, look_up, typed
from bot.commands.system import help_
from core.errors import BadInput

assert _commands  # importing them registers them

FIRST = [
    "start",
    "help",
    "whoami",
    "status",
    "connect",
    "disconnect",
    "positions",
    "orders",
    "buy",
    "sell",
    "cancel",
    "trades",
]
DESK: Any = None  # /help asks nothing of the desk, nor who it is
WHO: Any = None


def test_the_commands_are_there() -> None:
    """Everything that a newcomer is told of can be typed."""
    assert set(FIRST) <= set(COMMANDS)
    assert {"send", "discard", "cancel"} <= set(BUTTONS)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_explains_itself(command: Command) -> None:
    """The name is one that Telegram takes, the usage begins with it, and the summary fits into the menu."""
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,31}", command.name)
    assert command.usage.split()[0] == f"/{command.name}"
    assert 3 <= len(command.summary) <= 256
    assert command.summary.endswith(".")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_takes_the_desk_and_the_caller_first(command: Command) -> None:
    """What follows are the parts of the line, required ones first."""
    names = list(inspect.signature(command.run).parameters)
    assert names[:2] == ["desk", "who"]
    optional = [parameter.optional for parameter in command.parameters]
    assert optional == sorted(optional)


@pytest.mark.parametrize("name", BUTTONS)
def test_every_button_explains_itself(name: str) -> None:
    """A button has a docstring, and a name that leaves room for its argument in Telegram's 64 bytes."""
    assert inspect.getdoc(BUTTONS[name].run)
    assert len(name) + len(":01ARZ3NDEKTSV4RRFFQ69G5FAV") <= 64


@pytest.mark.parametrize(
    "name", ["help", "whoami", "status", "orders", "trades", "connect", "disconnect", "start"]
)
def test_too_much_is_told_with_the_usage(name: str) -> None:
    """A command that takes less says so, and how it is written."""
    command = COMMANDS[name]
    with pytest.raises(BadInput, match=rf"too much.*{re.escape(command.usage)}"):
        command.arguments("one two three")


@pytest.mark.parametrize(
    ("name", "line", "values"),
    [
        ("orders", "", []),
        ("orders", "   ", []),
        ("positions", "", []),
        ("positions", "aapl", ["AAPL"]),
        ("help", "", []),
        ("help", "/buy", ["/buy"]),
        ("cancel", "#17", [grammar.Target(number=17)]),
        ("cancel", "all", [grammar.Target()]),
        ("buy", "AAPL  10 \n @ 5", ["AAPL 10 @ 5"]),
        ("buy", "", [""]),
    ],
)
def test_arguments(name: str, line: str, values: list[Any]) -> None:
    """The line becomes the values that the function takes; optional ones may be left out."""
    assert COMMANDS[name].arguments(line) == values


def test_a_missing_part_is_told_with_the_usage() -> None:
    """/cancel alone cancels nothing."""
    with pytest.raises(BadInput, match=r"missing.*/cancel"):
        COMMANDS["cancel"].arguments("")


@given(st.sampled_from(sorted(COMMANDS)), st.text(max_size=30))
def test_any_line_is_values_or_a_sentence(name: str, line: str) -> None:
    """Reading a line raises nothing but BadInput, and never gives more values than the function takes."""
    command = COMMANDS[name]
    try:
        values = command.arguments(line)
    except BadInput:
        return
    inspect.signature(command.run).bind(None, None, *values)


@pytest.mark.parametrize(("typed", "near"), [("by", "/buy"), ("postions", "/positions"), ("hlep", "/help")])
def test_a_slip_is_answered_with_the_nearest_command(typed: str, near: str) -> None:
    """A mistyped name does nothing and says what was probably meant."""
    with pytest.raises(BadInput, match=near):
        look_up(typed)


def test_an_unknown_command_is_answered_with_help() -> None:
    """What is like nothing is told where the list is, however long it is."""
    with pytest.raises(BadInput, match="/help") as wrong:
        look_up("x" * 5000)
    assert len(str(wrong.value)) < 200


async def test_help_lists_every_command() -> None:
    """The list is made of the commands themselves, as markup that Telegram takes."""
    told = (await help_(DESK, WHO)).text
    for command in COMMANDS.values():
        assert f"/{command.name}" in told
    assert "<" not in re.sub(r"</?b>", "", told)
    assert len(told) <= 4096


@pytest.mark.parametrize("name", COMMANDS)
async def test_help_explains_one(name: str) -> None:
    """/help buy and /help /BUY tell the usage, the summary and the details."""
    told = (await help_(DESK, WHO, name)).text
    assert told == (await help_(DESK, WHO, f"/{name.upper()}")).text
    assert f"/{name}" in told
    for line in COMMANDS[name].details.split("\n"):
        assert line.strip() in unescape(told)


async def test_help_for_what_is_not_there() -> None:
    """Asking for an unknown command is answered like typing it."""
    with pytest.raises(BadInput, match="/buy"):
        await help_(DESK, WHO, "bui")


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("/buy AAPL 10", ("buy", "AAPL 10")),
        ("  /BUY  AAPL 10 ", ("buy", " AAPL 10")),
        ("/buy@greenlight_bot AAPL", ("buy", "AAPL")),
        ("/buy\nAAPL 10", ("buy", "AAPL 10")),
        ("/halt\n", ("halt", "")),
        ("/", ("", "")),
        ("halt", None),
        ("", None),
    ],
)
def test_what_is_typed(line: str, asked: tuple[str, str] | None) -> None:
    """The name without slash, address and capitals, and the rest; words with no slash ask for nothing."""
    found = typed(line)
    assert (found and (found[0], found[1].strip())) == (asked and (asked[0], asked[1].strip()))


@pytest.mark.parametrize(
    ("line", "lane"),
    [
        ("/buy AAPL 10", Lane.ORDINARY),
        ("/analyze AAPL", Lane.SLOW),
        ("/ANALYZE@greenlight_bot AAPL", Lane.SLOW),
        ("analyze AAPL", Lane.ORDINARY),
        ("/nothing", Lane.ORDINARY),
        ("", Lane.ORDINARY),
    ],
)
def test_lines_have_lanes(line: str, lane: Lane) -> None:
    """What takes long keeps nothing waiting; what is no command is ordinary."""
    assert lane_of_line(line) is lane


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_line_is_worked_in_the_lane_of_its_command(command: Command) -> None:
    """However it is written, so that nobody waits with /halt for what it is to stop."""
    for line in (f"/{command.name}", f" /{command.name.upper()}@bot x", f"/{command.name}\nx"):
        assert lane_of_line(line) is command.lane


@pytest.mark.parametrize("name", BUTTONS)
def test_a_tap_is_worked_in_the_lane_of_its_button(name: str) -> None:
    """With or without an argument."""
    assert lane_of_tap(name) is lane_of_tap(f"{name}:x:y") is BUTTONS[name].lane


def test_what_stops_everything_overtakes_and_what_is_stopped_does_not() -> None:
    """An urgent one blocks what it overtakes, so a cancel, which blocks nothing, is none; nor is what only shows."""
    urgent = {name for name, one in (COMMANDS | BUTTONS).items() if one.lane in (Lane.URGENT, Lane.HALT)}
    assert {"halt", "flatten1", "flatten2", "rest", "rest2"} <= urgent
    assert not urgent & {"send", "discard", "cancel", "buy", "sell", "resume", "flatten"}
    assert lane_of_tap("of:an-older:version") is Lane.ORDINARY
