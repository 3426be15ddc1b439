"""Random texts in Telegram's three markups, well formed and broken, from a seed."""

from collections.abc import Callable
from random import Random
from string import ascii_uppercase

WORDS = [
    *("x", "Buy", "AAPL", "ok", "a b", "Straße", "naïve", "日本語", "한국", "привет", "ไทย", "हिन्दी", "שלום", "مرحبا", "١٢٣", "½", "Ⅷ"),
    *("e\u0301", "a\u0308\u0323", "\u202eabc\u202c", "\u200f", "\u200e", "\u200d", "\u200c", "\u2028", "\u030a", "Z\u0333\u033f"),
    *("😀", "👍🏽", "👨‍👩‍👧", "🏴‍☠️", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "𝔘𝔫𝔦", "𠀀", "\U0010fffe", "\ufeff", "\ufffd", "K", "İ", "ſ", "ß"),
    *("12:34", "1:02:03", "99:99", "07:5", "0", "1.5", "3.14.15", "1,234.56", "-7", "+1 650 555 0100", "+49 30 901820", "50%"),
]  # fmt: skip
BLANKS = [" ", " ", "  ", "\n", "\n\n", " \n ", "\t", "\r\n", "\r", "\xa0", "\u3000", "\x0b", "\x01", "\x1f"]
JOINTS = [
    "",
    "",
    "",
    " ",
    " ",
    ",",
    ".",
    ":",
    ";",
    "!",
    "?",
    "(",
    ")",
    "/",
    "@",
    "#",
    "$",
    "-",
    "_",
    "'",
    '"',
    "&",
    "+",
    "=",
    "«",
    "»",
]
HOSTS = [
    *("example.com", "a.b", "x.io", "Foo.Com", "FOO.COM", "hello.World", "пример.рф", "münchen.de", "a_b.com", "a.b_c.com", "a-.com"),
    *("127.0.0.1", "256.1.1.1", "1.2.3", "01.2.3.4", "xn--e1afmkfd.xn--p1ai", "xn--a.xn--", "localhost", "t.me", "teiegram.org"),
    *("a..b.com", ".com", "com.", "foo.notatld", "sub.domain.co.uk", "x" * 63 + ".com", "x" * 64 + ".com", "日本.みんな", "a.museum"),
    *("example.COM", "Example.com", "example.Com", "a~b.org", "x.y.z.w.net", "1.com", "a.c", "w3.org", "брат.ком", "b.vermögensberater"),
]  # fmt: skip
PATHS = ["", "", "", "/", "/a", "/a?b=c&d#e", "?q", "?", "#f", "/a_(b)", "/a)", "/[x]", "/}", "/a.", "/a,b", "/a!?", "/ä/日", "/'x'", "/`",
         "/«q»", "/a;b:c", "/😀", "/a%20b", "/\u2014x", "/\u2019x"]  # fmt: skip
PORTS = ["", "", "", "", "", ":80", ":0080", ":0", ":65535", ":65536", ":", ":x", ":123456"]
SCHEMES = ["", "", "", "http://", "https://", "HTTP://", "ftp://", "sftp://", "tftp://", "shttp://", "xhttp://", "tonsite://", "tg://",
           "ton://", "TG://", "mailto:", "javascript:", "://", "//", "file:///", "日http://", "tg:", "ton:"]  # fmt: skip
ACCOUNTS = [
    "",
    "",
    "",
    "",
    "me@",
    "a.b@",
    "a+b@",
    "u:p@",
    "@",
    "a@b@",
    "a_b-c@",
    ".a@",
    "x" * 36 + "@",
    "привет@",
]
CARD_STARTS = ["4", "51", "2221", "2720", "34", "37", "62", "81", "2200", "9", "30", "6011"]


def chance(random: Random, share: float) -> bool:
    return random.random() < share


def link(random: Random) -> str:
    pick = random.choice
    return pick(SCHEMES) + pick(ACCOUNTS) + pick(HOSTS) + pick(PORTS) + pick(PATHS)


def user_link(random: Random) -> str:
    number = random.choice(
        [
            "1",
            "42",
            "777000",
            "007",
            "0",
            "-5",
            "1099511627775",
            "1099511627776",
            "99999999999999999999",
            "x",
            "",
        ]
    )
    return random.choice(["tg://user?id={}", "tg:user?id={}", "TG://User?ID={}", "tg://user/?id={}", "tg://user?a=b&id={}&id=3", "tg://user?id={}#f"]).format(number)  # fmt: skip


def bank_card(random: Random) -> str:
    """Sixteen digits or thereabouts; the last one is right more often than not, and some are grouped."""
    digits = random.choice(CARD_STARTS)
    size = random.choice([12, 13, 14, 15, 16, 16, 16, 17, 18, 19, 20])
    digits += "".join(random.choice("0123456789") for _ in range(size - 1 - len(digits)))
    doubled = "0246813579"
    total = sum(int(doubled[int(d)] if place % 2 == 0 else d) for place, d in enumerate(reversed(digits)))
    digits += str(-total % 10) if chance(random, 0.7) else random.choice("0123456789")
    mark = random.choice(["", "", " ", "-", "  "])
    return mark.join(digits[at : at + 4] for at in range(0, len(digits), 4))


def found(random: Random) -> str:
    """Something that Telegram may make out by itself."""
    name = "".join(
        random.choice("abzAZ019_") for _ in range(random.choice([1, 2, 3, 3, 4, 5, 8, 31, 32, 33]))
    )
    capitals = "".join(random.choice(ascii_uppercase) for _ in range(random.choice([1, 3, 4, 5, 8, 9])))
    other = random.choice(["", "", "@ab", "@abc", "@greenlight_bot", "@" + "a" * 32, "@" + "a" * 33, "@"])
    letters = random.choice(
        [
            "tag",
            "тег",
            "タグ",
            "1",
            "a1",
            "²a",
            "·",
            "_",
            "a\u200cb",
            "ක",
            "x" * 255,
            "x" * 256,
            "x" * 257,
            "1" * 256 + "a",
        ]
    )
    kinds: list[Callable[[], str]] = [
        lambda: f"@{name}", lambda: "@" + random.choice(["gif", "vid", "PIC", "xyz"]), lambda: f"/{name}{other}", lambda: f"/start{other}",
        lambda: f"#{letters}{other}", lambda: f"#{name}", lambda: f"${capitals}{other}", lambda: f"$1INCH{other}", lambda: "$aapl",
        lambda: link(random), lambda: link(random), lambda: link(random), lambda: user_link(random), lambda: bank_card(random),
        lambda: random.choice(["a@b.com", "a.b+c@d-e.co.uk", "a@b", "a@b.c", "a@-b.com", "a@b_.com", "mailto:a@b.com", "x@y.toolongtld", "a@b.c0m"]),
        lambda: "@" + "a" * random.choice([32, 33]), lambda: "/" + "a" * random.choice([64, 65]),
    ]  # fmt: skip
    return random.choice(kinds)()


def plain(random: Random) -> str:
    """A plain text without any markup in mind."""
    parts: list[str] = []
    for _ in range(random.randrange(1, 6)):
        roll = random.random()
        if roll < 0.45:
            parts.append(random.choice(WORDS))
        elif roll < 0.65:
            parts.append(random.choice(BLANKS))
        elif roll < 0.75:
            parts.append(random.choice(JOINTS))
        else:
            parts.append(found(random) + random.choice(JOINTS))
    return "".join(parts)


# HTML

REFERENCES = ["&lt;", "&gt;", "&amp;", "&quot;", "&lt", "&amp", "&apos;", "&nbsp;", "&#65;", "&#x42;", "&#x1F600;", "&#128077;", "&#0;", "&#;",
              "&#x;", "&#1114110;", "&#1114111;", "&#x10FFFE", "&#10;", "&#9", "&", "&&", "&#xD83D;&#xDE00;", "&LT;", "&ltx;", "&#X41;"]  # fmt: skip
ODD_ATTRIBUTES = ["", "", "", " x", " x=1", ' style="a>b"']
SPOILER_CLASSES = ['"tg-spoiler"', "'tg-spoiler'", "tg-spoiler", "TG-spoiler", '"tg-spoiler" class=x']
STYLE_TAGS = ["b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "tg-spoiler", "B", "Em"]


def html_text(random: Random) -> str:
    text = plain(random).replace("&", "&amp;").replace("<", "&lt;")
    return text + random.choice(REFERENCES) if chance(random, 0.2) else text


def quoted(random: Random, value: str) -> str:
    value = value.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&#39;")
    return f'"{value}"' if chance(random, 0.5) else f"'{value}'"


def html_tag(random: Random) -> tuple[str, str]:
    """A start tag and the name that ends it."""
    space = random.choice(["", "", "", " ", "\n", "\t "])
    roll = random.random()
    if roll < 0.4:
        name = random.choice(STYLE_TAGS)
        return f"<{name}{random.choice(ODD_ATTRIBUTES)}{space}>", name
    if roll < 0.48:
        return f"<span class={random.choice(SPOILER_CLASSES)}{space}>", "span"
    if roll < 0.62:
        target = user_link(random) if chance(random, 0.3) else link(random)
        return random.choice(
            [
                f"<a href={quoted(random, target)}{space}>",
                f"<a href={quoted(random, target)}{space}>",
                "<a>",
                f"<a title='t' href = {quoted(random, target)}>",
                "<a href=example.com>",
                "<a href=''>",
            ]
        ), "a"
    if roll < 0.72:
        return random.choice(
            [
                "<code>",
                "<code class='language-py'>",
                "<code class=language-C >",
                "<code class='x'>",
                "<code class='language-'>",
                "<code class='language-a' class='b'>",
            ]
        ), "code"
    if roll < 0.8:
        return f"<pre{space}>", "pre"
    if roll < 0.9:
        return random.choice(
            [
                "<blockquote>",
                "<blockquote expandable>",
                "<blockquote expandable=''>",
                "<blockquote Expandable>",
                "<blockquote cite=x expandable >",
            ]
        ), "blockquote"
    if roll < 0.95:
        number = random.choice(
            ["5368324170671202286", "1", "-1", "9223372036854775807", "-9223372036854775808"]
        )
        return f"<tg-emoji emoji-id={quoted(random, number)}>", "tg-emoji"
    unix = random.choice(["1647531900", "1", "0", "-5", "", "5x", "4294967297", "2147483648", "+5"])
    shape = random.choice(
        [
            "",
            "",
            " format='r'",
            " format='R'",
            " format='wDT'",
            " format='tdW'",
            " format=Td",
            " format=''",
            " format='dDtT'",
        ]
    )
    return f"<tg-time unix={quoted(random, unix)}{shape}>", "tg-time"


def html(random: Random, depth: int = 0) -> str:
    """Well-formed HTML as Telegram takes it; now and then it turns out not to be, where an attribute is at fault."""
    parts: list[str] = []
    for _ in range(random.choice([0, 1, 1, 2, 3]) if depth else random.randrange(1, 5)):
        if depth < 12 and chance(random, 0.6):
            start, name = html_tag(random)
            end = random.choice(
                [
                    f"</{name}>",
                    f"</{name}>",
                    f"</{name}>",
                    f"</{name.upper()}>",
                    f"</{name} >",
                    "</>",
                    f"</{name}\n>",
                ]
            )
            parts.append(start + html(random, depth + 1) + end)
        elif chance(random, 0.1):
            parts.append("<pre><code class='language-py'>" + html_text(random) + "</code></pre>")
        else:
            parts.append(html_text(random))
    return "".join(parts)


# MarkdownV2

RESERVED = "_*[]()~`>#+-=|{}.!\\"


def escaped(text: str, marks: str = RESERVED) -> str:
    return "".join(f"\\{character}" if character in marks else character for character in text)


def marked_link(random: Random) -> str:
    return escaped(user_link(random) if chance(random, 0.3) else link(random), ")\\")


def markdown_span(random: Random, depth: int, open_marks: frozenset[str]) -> str:
    roll = random.random()
    if depth >= 10 or roll < 0.4:
        return escaped(plain(random).replace("\n", " ") if "q" in open_marks else plain(random))
    if roll < 0.75:
        mark = random.choice([m for m in ("*", "_", "__", "~", "||") if m not in open_marks] or [""])
        if mark:
            inner = markdown_line(random, depth + 1, open_marks | {mark})
            # Two underscores are always read as an underline: a carriage return, which vanishes, keeps marks apart.
            gap = "\r" if "_" in mark and (inner.endswith("_") or inner.startswith("_")) else ""
            return mark + gap + inner + gap + mark + ("\r" if mark == "_" else "")
        return ""
    if roll < 0.82:
        return "`" + escaped(plain(random).replace("\n", " "), "`\\") + "`"
    if roll < 0.87:
        language = random.choice(
            ["", "py", "c++", "py\n", "\n", "\r\n", "\n\r", "\n\n", "objective-c\n", "é\n", "x "]
        )
        return (
            "```"
            + language
            + escaped(plain(random).replace("\n", " " if "q" in open_marks else "\n"), "`\\")
            + "```"
        )
    if roll < 0.95 and "[" not in open_marks:
        inner = markdown_line(random, depth + 1, open_marks | {"["})
        return f"[{inner}]" + random.choice([f"({marked_link(random)})", f"({marked_link(random)})", ""])
    target = random.choice(["tg://emoji?id=5368324170671202286", "tg:emoji?id=1", "TG://Emoji/?x=1&id=-7#f", "tg://time?unix=1647531900",
                            "tg://time?unix=5&format=wDT", "tg:time?format=R&unix=7", "tg://time?unix=5&unix=6&format=tT",
                            "tg://time?unix=0&unix=5", "tg://time?unix=5&format=q", "tg://emoji?id=5&id=x", "tg://emoji?id=x&id=5"])  # fmt: skip
    return f"![{random.choice(['👍', 'x', 'é', ''])}]({target})"


def markdown_line(random: Random, depth: int = 0, open_marks: frozenset[str] = frozenset()) -> str:
    return "".join(markdown_span(random, depth, open_marks) for _ in range(random.choice([0, 1, 1, 2, 3])))


def markdown(random: Random) -> str:
    """Well-formed MarkdownV2, most of the time: quotes, marks in marks, links, code, moments."""
    parts = []
    for _ in range(random.randrange(1, 4)):
        if chance(random, 0.25):
            lines = [
                ">" + markdown_line(random, 0, frozenset("q")).replace("\n", "")
                for _ in range(random.randrange(1, 4))
            ]
            ending = random.choice(["", "", "||", "||", "\r||", "||\r"])
            parts.append("\n" + "\n".join(lines) + ending + "\n")
        else:
            parts.append(markdown_line(random))
    text = "".join(parts)
    return text.removeprefix("\n") if chance(random, 0.5) else text


# The first Markdown


def markdown_legacy(random: Random) -> str:
    """Well-formed Markdown of the first kind."""
    parts = []
    for _ in range(random.randrange(1, 5)):
        mark = random.choice(["", "", "*", "_", "`", "```", "["])
        inner = plain(random)
        if mark == "":
            parts.append(escaped(inner, "_*`["))
        elif mark == "[":
            target = user_link(random) if chance(random, 0.3) else link(random)
            parts.append(f"[{inner.replace(']', '')}]" + random.choice([f"({target})", f"({target})", ""]))
        else:
            language = random.choice(["", "py", "py\n", "\n", "\r\n", "é "]) if mark == "```" else ""
            parts.append(mark + language + inner.replace(mark[0], "") + mark)
        parts.append(random.choice(["", "", "\\_", "\\*", "\\x", "\\", "\\\\"]) + random.choice(JOINTS[:8]))
    return "".join(parts)


# Broken ones

INSERTED = [*"<>&;/='\"_*[]()~`>#+-=|{}.!\\\n\r\0 ", "<b>", "</b>", "</i>", "<x>", "<a href=", "</", "<!-- c -->", "||", "__", "```", "![", "](", "&#",
            "<tg-emoji emoji-id='x'>", "<tg-time unix='1' format='q'>", "<span>", "![x](tg://emoji?id=0)", "![x](y)", "\n>", "**", "|"]  # fmt: skip
NOT_TEXT = ["\ud83d", "\ude00", "\udcff", "\udc80"]


def broken(random: Random, text: str) -> str:
    """The text after a few accidents."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        at, to = sorted(random.randrange(len(text) + 1) for _ in range(2))
        roll = random.random()
        if roll < 0.3:
            text = text[:at] + random.choice(INSERTED) + text[at:]
        elif roll < 0.5:
            text = text[:at] + text[at + 1 :]
        elif roll < 0.6:
            text = text[:at]
        elif roll < 0.7:
            text = text[at:]
        elif roll < 0.8:
            text = text[:at] + text[to:]
        elif roll < 0.9:
            text = text[:to] + text[at:to] + text[to:]
        elif roll < 0.98:
            text = text[:at] + random.choice(INSERTED) + text[at + 1 :]
        else:
            text = text[:at] + random.choice(NOT_TEXT) + text[at:]
    return text
