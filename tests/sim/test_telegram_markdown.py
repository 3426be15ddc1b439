"""The parsers of MarkdownV2 and of the first Markdown against Telegram's own, on a table and on random markup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.telegram.entities import Entity, ParseError
from sim.telegram.markdown import parse_markdown
from sim.telegram.markdown_legacy import parse_markdown_legacy
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
    # Found by random texts, and shrunk.
    "\r>\n",
    ">||\r\n",
    ">||\r\n>",
    ">||\r",
    ">*a||\r\nb",
    ">||a||||\r\nb",
    "a\r>b",
    "![x](tg:emoji/?x=1&id=5#f)",
    "![x](TG://Emoji?id=-5)",
    "![x](tg://emoji?id=05)",
    "![x](tg://emoji?id=5&id=x)",
    "![x](tg://emoji?id=x&id=5)",
    "![x](tg://time?unix=5)",
    "![x](tg://time?unix=5&unix=6&format=wDT)",
    "![](tg://time?unix=&unix=6)",
    "![x](tg://time?unix=5&format=q)",
    "![x](tg://time?unix=5&format=q&format=r)",
    "![x](tg://time?unix=2147483648)",
    "_![x](tg://time?unix=5)_\r",
    "[![x](tg://time?unix=5)](tg://user?id=1099511627775)",
    "[x](tg://user?id=1099511627776)",
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


LEGACY = [
    "",
    "*b* _i_ `c` [x](http://a.b) ```py\nx```",
    "*b _i* _",
    "\\_ \\* \\` \\[ \\] \\x \\\\",
    "*b",
    "é_b",
    "`c",
    "```x",
    "```x``",
    "```py x```",
    "```\r\nx```",
    "```py```",
    "[x",
    "[x](",
    "[x](a.b",
    "[x](nowhere)",
    "[x](tg://user?id=42)",
    "[](a.b)",
    "a.b",
    "*a\\*b*",
    "**",
    "_a__b_",
    "😀*😀*😀",
    "[abc.com/abc]",
    "*x* [abc.com/abcdef] yy",
    "*x*_y_[a.b.c]",
    "[x:y@b.com]",
]


@pytest.mark.parametrize("markup", LEGACY)
def test_the_first_markdown_means_what_telegram_says_it_means(markup: str) -> None:
    try:
        ours: object = parse_markdown_legacy(markup)
    except ParseError as error:
        ours = str(error)
    assert ours == telegram_oracle.parse_markdown_legacy(markup)
