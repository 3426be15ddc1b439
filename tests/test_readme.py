"""README tells the truth: its table of commands is the one that the chat has."""

import os

import bot.commands as _registered
from bot.command import COMMANDS
from tests.kit import ROOT

assert _registered
BEGIN, END = "<!-- commands -->", "<!-- /commands -->"


def table() -> str:
    """The commands as README shows them."""
    rows = [f"| `{c.usage.replace('|', chr(92) + '|')}` | {c.summary} |" for c in COMMANDS.values()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def test_readme_lists_the_commands_of_the_chat() -> None:
    """The table between the marks is made from the commands; UPDATE_README=1 writes it."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if os.environ.get("UPDATE_README"):
        readme.write_text(wanted)
    assert readme.read_text() == wanted
