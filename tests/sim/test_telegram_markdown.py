"""The MarkdownV2 parser against Telegram's own, on a table and on random markup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.telegram.entities import Entity, ParseError
from sim.telegram.markdown import parse_markdown
from tests.sim import telegram_oracle


def ours(markup: str) -> tuple[str, list[Entity]] | str:
    try:
        return parse_markdown(markup)
    except ParseError as error:
        return str(error)


TABLE = [
    "",
    "plain",
    "*b* _i_ __u__ ~s~ ||x|| `c`",
    "*b _i __u___*",
    "1\\.5 \\* \\_ \\\\",
    "a.b",
    "a|b",
    "a!b",
    "(x)",
    "*b",
    "_i",
    "__u",
    "~s",
    "||x",
    "`c",
    "```p",
    "```py\nx```",
    "```py x```",
    "```\nx```",
    "```x```",
    "```\r\nx```",
    "``",
    "**",
    "`a_b*`",
    "[x](http://a.example/b?c=d)",
    "[x](a\\)b.example)",
    "[x](nowhere)",
    "[x](tg://user?id=42)",
    "[a.example]",
    "[a\\.example]",
    "[x](http://a.example",
    "![👍](tg://emoji?id=5368324170671202286)",
    "![👍]",
    "![👍](x)",
    "😀*😀*😀",
    "😀*x",
    ">quote",
    ">a\n>b\nc",
    ">a\n\n>b",
    "x >y",
    "*a\n>b*",
    ">a||",
    ">a\n>b||\nc",
    ">*a*",
    ">*a\nb*",
    ">||a||",
]


@pytest.mark.parametrize("markup", TABLE)
def test_a_markup_means_what_telegram_says_it_means(markup: str) -> None:
    assert ours(markup) == telegram_oracle.parse_markdown(markup)


PIECES = [
    "*",
    "_",
    "__",
    "~",
    "||",
    "`",
    "```",
    "[",
    "](a.example)",
    "\\.",
    "\\",
    "x",
    " ",
    "\n",
    "é",
    "😀",
    "c\n",
    "]",
    ".",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_random_pieces_are_read_or_refused_in_the_same_words(markup: str) -> None:
    assert ours(markup) == telegram_oracle.parse_markdown(markup)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([">", "\n", "\n>", "x", "*", "||", "\\", "**"]), max_size=9).map("".join))
def test_quotes_begin_and_end_where_telegram_ends_them(markup: str) -> None:
    assert ours(markup) == telegram_oracle.parse_markdown(markup)
