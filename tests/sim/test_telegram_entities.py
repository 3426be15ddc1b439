"""What is kept of a text, against Telegram's own code: merged entities, found commands and links, odd characters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.telegram.entities import find_entities, tidy
from sim.telegram.html import parse_html
from tests.sim import telegram_oracle
from tests.sim.telegram_proof import kept, look
from tests.sim.test_telegram_html import WELL_FORMED

FOUND = [
    *("/start", "/buy AAPL 10", "/buy@greenlight_sim_bot x", "a/b", "x /a/b", "/", "//x", "/a.b", "(/a)", "/a,", "/a-b"),
    *("/ä", "/a@", "/a@b", "/a@bcd", "/" + "a" * 64, "/" + "a" * 65, "💰 /buy", "/buy\n/sell", "/a/", "/a /b", "«/a»"),
    *("/a:", "_/a", "-/a", "1/2 cup", "and/or", "</a>", "</a", ">/a", "/a<", "#a/b", "/a#b"),
    *("hi @foo", "@foo_bar!", "a@foo", "@ab", "@abcd", "@" + "a" * 33, "@_foo", "@foo__bar", "@1foo", "@fooo.", "@fooo/"),
    *("#tag", "#1", "#a1", "a#b", "##a", "#ä_b", "#a-b"),
    *("$AAPL", "$aapl", "$AAPL,", "$TOOLONGXX", "x$AAPL", "$1INCH", "$ABCDEFGH", "$AAPL$MSFT", "$AAPL.", "$BRK.B", "$AAPL1"),
    *("http://x.com", "https://a.example/b?c=d#e.", "(http://x.com/a)", "http://localhost:1", "http://127.0.0.1:80/x"),
    *("http://x", "http://x.com/#a", "http://x.com.", "http://x.com)", "https://en.wikipedia.org/wiki/A_(b)"),
    *("http://x.com/", "http://x.com?a", "http://x.com/a,b", "http://x.com/a,", "mail a@b.com", "a.b@c-d.org."),
    *("x.com", "X.COM", "x.Com", "x.cOM", "Hello.World", "a.notatld", "a.ком", "münchen.de/ä", "a.xn--e1afmkfd", "a.xn--a", "1.2"),
    *("127.0.0.1", "256.0.0.1", "1.2.3.4.5", "01.2.3.4", "a_b.com", "a.b_c.com", "a-.com", "a..com", ".com", "teiegram.org"),
    *("x.com:80", "x.com:0", "x.com:65536/a", "u:p@x.com/a", "@x.com", "a@b@c.com", "/x.com", "#x.com", "x.com.", "x.com...a.b"),
    *("ftp://x.com", "sftp://x.com", "xhttp://x.com", "shttp://x.com", "tonsite://a.b", "tonsite://ab", "tg://a", "ton://a/b.", "tg:a"),
    *("@gif", "@GIF", "@abc", "mailto:a@b.com", "a@b.toolongtl", "a@b.c", "a@b_.com", "x" * 35 + "@b.com", "x" * 36 + "@b.com"),
    *("4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242.", "4242424242424241", "+4242424242424242", "5555555555554444 1"),
    *("6011111111111117", "378282246310005", "3782 822463 10005", "a4242424242424242", "4242424242424242a", "4242  4242  4242  4242"),
    *("12:34", "12:34.com", "x 1:02:03.", "1:2", "#²", "#²a", "#a@abc", "#" + "a" * 257, "#a@abc#", "$AAPL@bot", "$1INCH", "$AAPL@ab"),
    *("http://x.com/(a)b)", "http://x.com/[a]]", "x.com/«a»", "x.com/a—b", "x.com/a’b", "😀 x.com 😀 y.org"),
    # More than one Unicode version: letters that are older than Python 3.11 only.
    *("@აabcd", "#ඐා", "Ⅻx.com", "½/a", "‌x.com"),
]  # fmt: skip


@pytest.mark.parametrize("text", FOUND)
def test_the_same_is_found_in_a_text(text: str) -> None:
    assert find_entities(text) == telegram_oracle.find_entities(text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("/aZ_1 @#\n.,;!-é😀<>"), max_size=12))
def test_commands_and_hashtags_are_found_in_random_texts(text: str) -> None:
    kinds = {"bot_command", "hashtag"}
    ours = [entity for entity in find_entities(text) if entity["type"] in kinds]
    assert ours == [entity for entity in telegram_oracle.find_entities(text) if entity["type"] in kinds]


@settings(max_examples=200, deadline=None)
@given(st.lists(WELL_FORMED, min_size=1, max_size=4).map(lambda parts: f"({''.join(parts)})"))
def test_entities_are_merged_and_dropped_the_same_way(markup: str) -> None:
    raw = telegram_oracle.execute(
        type="parseTextEntities", text=markup, parse_mode={"@type": "textParseModeHTML"}
    )
    ours, theirs = tidy(*parse_html(markup)), telegram_oracle.put_in_order(raw["text"], raw["entities"])
    assert theirs
    assert (ours[0], look(ours[1])) == (theirs[0], look(theirs[1]))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ax \n\r\t\x00\x01\x0b\x1f\u2028\u202e\u030a\u0333😀"), max_size=10))
def test_odd_characters_go_or_become_spaces(text: str) -> None:
    assert tidy(f"({text})", []) == telegram_oracle.put_in_order(f"({text})", [])


@pytest.mark.parametrize(
    "markup",
    [
        "<a href='tg://user?id=7 '>(x)</a>",
        "<a href='a.b/\u202e'>(x)</a>",
        "(<pre><code class='language-a\u0333'>x</code></pre>)",
        "(<a href='a.b'><code>x</code>\r</a>)",
        "(\u200e\u200f\u200e)<b>x</b>",
        "(<a href='a.b'><tg-time unix=5>x</tg-time></a>)",
    ],
)
def test_what_is_kept_is_what_telegram_keeps(markup: str) -> None:
    """Found by random texts, and shrunk."""
    pair = kept(telegram_oracle.HTML, markup)
    assert pair
    assert pair[0] == pair[1]


@pytest.mark.parametrize(
    ("text", "bold", "expected"),
    [
        ("  x  ", (0, 5), ("x", [(0, 1)])),
        ("\n\nab \n", (2, 2), ("ab", [(0, 2)])),
        ("   ", (0, 3), ("", [])),
        ("a\r\nb", (0, 4), ("a\nb", [(0, 3)])),
        ("\ra\rb", (2, 2), ("ab", [(1, 1)])),
        ("ab", (1, 9), ("ab", [(1, 1)])),
    ],
)
def test_entities_move_with_the_text_that_is_trimmed(
    text: str, bold: tuple[int, int], expected: tuple[str, list[tuple[int, int]]]
) -> None:
    body, entities = tidy(text, [{"type": "bold", "offset": bold[0], "length": bold[1]}])
    assert (body, [(entity["offset"], entity["length"]) for entity in entities]) == expected
