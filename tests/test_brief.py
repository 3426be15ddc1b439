"""docs/from-the-brief.md tells the truth: its commands, tests, sentences and settings are there."""

import ast
import re
from functools import cache

import pytest

import bot.commands as _registered
from bot.command import COMMANDS
from bot.doctor import CHECKS
from bot.settings import Settings
from tests.kit import ROOT

assert _registered
PAGE = (ROOT / "docs" / "from-the-brief.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(?:greenlight )?(/[a-z]+)[^`]*`( \(later\))?", PAGE)))
TESTS = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))
SENTENCES = sorted(set(re.findall(r"“([^”]+)”", PAGE)) - {"Later", "…"})
NOT_FINANCIAL_ADVICE = "Educational software, not financial advice."


@cache
def said() -> str:
    """Every text constant of the product, docstrings aside, one a line."""
    found = []
    for path in (*sorted((ROOT / "bot").rglob("*.py")), *sorted((ROOT / "core").rglob("*.py"))):
        tree = ast.parse(path.read_text("utf-8"))
        bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found += [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare
        ]
    return "\n".join(found)


@pytest.mark.parametrize(("command", "later"), NAMED)
def test_every_command_exists_or_is_marked_later(command: str, later: str) -> None:
    """A command that the page names is one that the chat has; one that is marked later is not there yet."""
    assert (command.removeprefix("/") in COMMANDS) is not bool(later)


@pytest.mark.parametrize("path", TESTS)
def test_every_test_exists(path: str) -> None:
    """A test that the page names is a function of that file."""
    file, _, name = path.partition("::")
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_sentence_is_said(sentence: str) -> None:
    """What the page quotes stands in a text of the product, word by word."""
    assert sentence in said()


def test_every_setting_is_one() -> None:
    """The names in capitals between marks are settings, and those of the brief are among them."""
    names = set(re.findall(r"`([A-Z][A-Z_]+)`", PAGE))
    assert {"IBKR_PORT", "MIN_CONFIDENCE", "MAX_POSITION_SIZE", "MAX_PORTFOLIO_RISK"} <= names
    assert names <= {name.upper() for name in Settings.model_fields}


def test_the_page_is_read() -> None:
    """The tests above had something to look at: every part of the page was found."""
    assert (len(NAMED), len(TESTS), len(SENTENCES)) >= (10, 20, 20)
    assert {"/option", "/strategy", "/chain"} <= {command for command, later in NAMED if not later}
    assert "/export" in {command for command, later in NAMED if later}
    assert [what for what in CHECKS if re.search(rf"\d\. {what} \|", PAGE)] == list(CHECKS)


def test_it_is_no_advice() -> None:
    """The chat and the README say what this is not."""
    assert NOT_FINANCIAL_ADVICE in said()
    assert NOT_FINANCIAL_ADVICE in (ROOT / "README.md").read_text("utf-8")


def test_paper_comes_first() -> None:
    """README and page tell to begin with a paper account, and its port is the default."""
    assert "paper account first" in (ROOT / "README.md").read_text("utf-8")
    assert "**paper** account first" in PAGE
    assert Settings.model_fields["ibkr_port"].default == 7497
