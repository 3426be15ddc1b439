"""The HTML parser against Telegram's own, on a table and on random markup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.telegram.entities import Entity, ParseError
from sim.telegram.html import parse_html
from tests.sim import telegram_oracle


def ours(markup: str) -> tuple[str, list[Entity]] | str:
    try:
        return parse_html(markup)
    except ParseError as error:
        return str(error)


TABLE = [
    "",
    "plain",
    "<b>x</b>",
    "<b>bold <i>both</i></b> <u>u</u> <ins>u</ins> <s>s</s> <strike>s</strike> <del>s</del>",
    "<strong>x</strong><em>y</em>",
    "<tg-spoiler>x</tg-spoiler><span class='tg-spoiler'>y</span>",
    "<span>x</span>",
    "<span class=tg-spoiler>x</span>",
    "<span class='other'>x</span>",
    "<code>a < b</code>",
    "<pre>a &lt; b</pre>",
    "<pre><code class='language-python'>x = 1</code></pre>",
    "<code class='language-python'><pre>x = 1</pre></code>",
    "<pre><code class='language-'>x</code></pre>",
    "<pre><code>x</code></pre>",
    "<pre><code class='python'>x</code></pre>",
    "<pre><code class='language-python'>x</code> </pre>",
    "<code class='language-python'>x</code>",
    "<blockquote>q</blockquote><blockquote expandable>long</blockquote><blockquote expandable=1>long</blockquote>",
    "<a href='https://example.com/a?b=c&amp;d'>x</a>",
    "<a href=example.com>x</a>",
    "<a>example.com</a>",
    "<a href='nowhere'>x</a>",
    "<a href='tg://user?id=42'>x</a>",
    "<a href='tg://resolve?domain=x'>x</a>",
    "<a href='javascript:alert(1)'>x</a>",
    "<tg-emoji emoji-id='5368324170671202286'>👍</tg-emoji>",
    "<tg-emoji emoji-id='x'>👍</tg-emoji>",
    "<tg-emoji>👍</tg-emoji>",
    "&lt;&gt;&amp;&quot;&apos;&nbsp;&#65;&#x42;&#0;&#1114111;&#128077;&lt",
    "&#xD83D;",
    "😀<b>😀</b>😀",
    "<b></b>",
    "<b>x",
    "<b>x</i>",
    "x</b>",
    "<",
    "a < b",
    "1 <2",
    "<b",
    "<b x",
    "<b x=",
    "<b x='1",
    "<b x=1",
    "<b x=1>y</b>",
    "<b x=ä>y</b>",
    "<b =1>y</b>",
    "<b>x</",
    "<b>x</b",
    "<b>x</b >",
    "<b>x</>",
    "<B>x</b>",
    "<br>",
    "<br/>",
    "<p>x</p>",
    "<b>ä€😀<x>",
    "<!-- c -->",
    # Found by random texts, and shrunk.
    "&#X41;&#x41;",
    "<code class='language-a' class='b'>x</code>",
    "<span class='tg-spoiler' class='x'>x</span>",
    "<span class='tg-x'>x</span>",
    "<K>x",
    "<b\0>x</b>",
    "<b \0>x</b>",
    "<a href='x\0'>x</a>",
    "<b>x</b\0>",
    "<tg-emoji emoji-id='007'>👍</tg-emoji>",
    "<tg-emoji emoji-id='-1'>👍</tg-emoji><tg-emoji emoji-id='9223372036854775808'>👍</tg-emoji>",
    "<tg-time unix='1647531900'>x</tg-time>",
    "<tg-time unix='1647531900' format='wDT'>x</tg-time><tg-time unix=5 format=R>y</tg-time>",
    "<tg-time unix='5' format='TdWtD'>x</tg-time>",
    "<tg-time unix='5' format='rt'>x</tg-time>",
    "<tg-time unix='0' format='q'></tg-time><tg-time>x</tg-time><tg-time unix=-5>x</tg-time>",
    "<tg-time unix='5x'>x</tg-time><tg-time unix='4294967301'>x</tg-time><tg-time unix='+5'>x</tg-time>",
    "<em><tg-time unix='5'>x</tg-time></em><a href='x.y'><tg-time unix=5>x</tg-time></a>",
    "<code class='language-x'><pre><pre>x</pre></pre></code>",
    "<a href='http://a%zz.de'>x</a><a href='http://a%20b.de'>x</a>",
    "<a href='http://u\"p@a.de'>x</a><a href='http://u:p@a.de:080/ x'>x</a>",
    "<a href='http://[::1]:80/'>x</a><a href='http://[::g]/'>x</a><a href='http://a.de:0'>x</a>",
    "<a href='tg://a.b'>x</a><a href='tonsite:a.b'>x</a><a href='tg:https://a'>x</a><a href='tg://a/?b'>x</a>",
    "<a href='tg://user?id=5&amp;id=6'>x</a><a href='TG:User/?ID=5#f'>x</a><a href='tg://user?id=007'>x</a>",
]


@pytest.mark.parametrize("markup", TABLE)
def test_a_markup_means_what_telegram_says_it_means(markup: str) -> None:
    assert ours(markup) == telegram_oracle.parse_html(markup)


PIECES = st.sampled_from(
    [
        *("<b>", "</b>", "<i>", "</i>", "<u>", "</u>", "<s>", "</s>", "<code>", "</code>", "<pre>", "</pre>", "</>"),
        *("<code class='language-py'>", "<blockquote>", "<blockquote expandable>", "</blockquote>", "<tg-spoiler>"),
        *("</tg-spoiler>", "<span class=\"tg-spoiler\">", "</span>", "<a href='http://a.example/?q=1&amp;r'>", "</a>", "<a>"),
        *("<tg-emoji emoji-id=\"12345\">", "</tg-emoji>", "&lt;", "&amp", "&#38;", "&#x1F600;", "&", ";", "<", ">", "/"),
        *("=", "'", '"', " ", "\n", "\t", "x", "Y", "1", "-", "é", "€", "😀", "👨‍👩‍👧", "<b a", "<b a=b ", "<x>", "a.example", "&quot;"),
    ]
)  # fmt: skip


def tagged(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.sampled_from(
        [
            ("<b>", "</b>"),
            ("<i >", "</i>"),
            ("<code>", "</code>"),
            ("<pre>", "</pre>"),
            ("<code class=language-c>", "</code>"),
            ("<a href='x.example'>", "</a>"),
            ("<blockquote>", "</blockquote>"),
            ("<u>", "</>"),
        ]
    )
    return st.tuples(pairs, st.lists(inner, max_size=4)).map(lambda t: t[0][0] + "".join(t[1]) + t[0][1])


WELL_FORMED = st.recursive(
    st.sampled_from(["x", " ", "\n", "é", "😀", "&lt;", "&#128512;"]), tagged, max_leaves=12
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_random_pieces_are_read_or_refused_in_the_same_words(markup: str) -> None:
    assert ours(markup) == telegram_oracle.parse_html(markup)


@settings(max_examples=200, deadline=None)
@given(st.lists(WELL_FORMED, max_size=4).map("".join))
def test_well_formed_markup_nests_the_same_way(markup: str) -> None:
    assert ours(markup) == telegram_oracle.parse_html(markup)
