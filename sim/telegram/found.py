"""What Telegram makes out in a plain text by itself: links, commands, mentions, tags, e-mail addresses, bank cards.

Pure. Places are counted in code points. Phone numbers are found by Telegram's servers alone, so nothing here finds them;
times such as 12:34 are found to the extent that they keep others from being found at their place, and are not reported.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple


class Found(NamedTuple):
    """Text from `start` up to `end` is a `kind` of entity."""

    start: int
    end: int
    kind: str


#: What may end a bare domain. Measured: each of these makes Telegram's own code see a link in "a.NAME".
_ENDINGS: frozenset[str] = frozenset(json.loads(Path(__file__).with_name("tlds.json").read_text("utf-8")))

_COMMAND = re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32}(?![\w/<>])|(?![\w/<>@]))")
_MENTION = re.compile(r"(?<!\w)@[A-Za-z0-9_]{2,32}(?!\w)")
_SHORT_NAMES = {"gif", "nft", "pic", "ufc", "vid"}
_TIME = re.compile(r"(?<![\w:])(?:[0-9]{1,4}:[0-5][0-9]|[0-9]{1,2}:[0-5]?[0-9]:[0-5][0-9])(?![\w:])")

_TAG = re.compile("#([\\w\xb7\u200c\u0d80-\u0dff]+)")
_TAGGED_USER = re.compile("@[A-Za-z0-9_]{3,32}")
_CASHTAG = re.compile(r"\$(?:1INCH|(?!1)[A-Z]+)")
_CASHTAG_USER = re.compile("@[A-Za-z0-9_]{3,32}(?![A-Za-z0-9_])")

_CARD_RUN = re.compile("[0-9 -]*")
_PLAIN_CARD = re.compile("[0-9]{16,19}(?= )")

# No link goes on over these: spaces, and punctuation marks apart from joiners and dashes.
_BREAKS = "\x20\xa0\u1680\u2000-\u200b\u200e\u200f\u2016-\u206f\u3000"
_DOMAIN = re.compile(
    "[0-9A-Za-z_.~\\-\xc0-\u167f\u1681-\u1fff\u200c\u200d\u2010-\u2015\u2070-\u2fff\u3001-\U0010ffff]*"
)
_DOMAIN_OR_AT = re.compile(_DOMAIN.pattern.replace("[0-9", "[@0-9"))
_ACCOUNT = re.compile(f"[^\n/\\[\\]{{}}()'`<>\"@«»{_BREAKS}]*")
_PATH = re.compile(f'[^\n<>"«»{_BREAKS}]*')
_SCHEME = re.compile(
    "[0-9A-Za-z+\\-\x80-\x9f\xa1-\u167f\u1681-\u1fff\u200b-\u2027\u202a-\u202e\u2030-\u205e\u2060-\u2fff\u3001-\U0010ffff]*"
)
_PORT = re.compile(":(0*([0-9]*))")
_PATH_TAIL = ".:;,('?!`"
_OWN = re.compile(r"tg|ton|(?<=tons)ite", re.IGNORECASE | re.ASCII)
_OWN_LINK = re.compile(r"(?i:tg|ton|(?<=tons)ite)://[A-Za-z0-9_-]{1,253}", re.ASCII)
_WEB = re.compile("(?:https?|ftp|tonsite)://", re.IGNORECASE | re.ASCII)
_EMAIL = re.compile(
    r"(?:[A-Za-z0-9_-]{0,26}[.+]){0,10}[A-Za-z0-9_-]{1,35}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9_-]{0,28}[A-Za-z0-9])?\.){1,6}[A-Za-z]{2,8}"
)
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
_OPENING, _CLOSING = "([{", ")]}"


def find(text: str) -> list[Found]:
    """All that Telegram would find, in order; where two meet, the one that begins first, or else the longer one."""
    everything = [
        *(Found(*match.span(), "mention") for match in _MENTION.finditer(text) if _is_mention(match[0])),
        *(Found(*match.span(), "bot_command") for match in _COMMAND.finditer(text)),
        *_hashtags(text),
        *_cashtags(text),
        *_bank_cards(text),
        *_own_links(text),
        *_links_and_emails(text),
        *(Found(*match.span(), "") for match in _TIME.finditer(text)),
    ]
    kept: list[Found] = []
    for found in sorted(everything, key=lambda f: (f.start, -f.end)):
        if not kept or found.start >= kept[-1].end:
            kept.append(found)
    return [found for found in kept if found.kind]


def _is_mention(mention: str) -> bool:
    return len(mention) > 4 or mention[1:].lower() in _SHORT_NAMES


def _is_tag_letter(character: str) -> bool:
    return character.isalpha() or character.isdecimal() or _is_joining(character)


def _is_joining(character: str) -> bool:
    return character in "_\xb7\u200c" or "\u0d80" <= character <= "\u0dff"


def _hashtags(text: str) -> Iterator[Found]:
    for match in _TAG.finditer(text):
        start = match.start()
        if start and _is_tag_letter(text[start - 1]):
            continue
        run = sum(1 for _ in takewhile(_is_tag_letter, match[1]))
        after = end = start + 1 + run
        if run > 256:
            end = start + 257
        elif user := _TAGGED_USER.match(text, end):
            after = end = user.end()
        if text[after : after + 1] != "#" and any(
            map(str.isalpha, text[start + 1 : start + 1 + min(run, 256)])
        ):
            yield Found(start, end, "hashtag")


def _cashtags(text: str) -> Iterator[Found]:
    for match in _CASHTAG.finditer(text):
        start, end = match.span()
        if end - start > 9 or (start and (_is_tag_letter(text[start - 1]) or text[start - 1] == "$")):
            continue
        if user := _CASHTAG_USER.match(text, end):
            end = user.end()
        after = text[end : end + 1]
        if not after or not (after == "$" or _is_tag_letter(after)):
            yield Found(start, end, "cashtag")


def _bank_cards(text: str) -> Iterator[Found]:
    at = 0
    while digit := re.compile("[0-9]").search(text, at):
        start = digit.start()
        run = _PLAIN_CARD.match(text, start) or _CARD_RUN.match(text, start)
        assert run is not None, "the pattern matches the empty run"
        before = text[start - 1] if start else " "
        if before in ".,+-_" or before.isalpha():
            whole = _CARD_RUN.match(text, start)
            assert whole is not None, "the pattern matches the empty run"
            at = whole.end()
            continue
        at = run.end()
        number = run[0].rstrip(" -")
        digits = re.sub("[ -]", "", number)
        after = text[start + len(number) : start + len(number) + 1]
        if not 13 <= len(digits) <= 19 or len(number) > 2 * len(digits) - 1:
            continue
        if not (after in tuple("-_") or after.isalpha()) and _is_bank_card(digits):
            yield Found(start, start + len(number), "bank_card_number")


#: How long the numbers are that begin so, where Telegram knows it: from, to, lengths.
_CARD_LENGTHS = (
    ("4", "4", {13, 16, 18, 19}),
    ("51", "55", {16}),
    ("2221", "2720", {16}),
    ("34", "34", {15}),
    ("37", "37", {15}),
    ("62", "62", {16, 17, 18, 19}),
    ("81", "81", {16, 17, 18, 19}),
    ("2200", "2204", {16}),
)


def _is_bank_card(digits: str) -> bool:
    """Whether the check digit is right and the length is one that such numbers have."""
    doubled = "0246813579"
    total = sum(
        int(doubled[int(digit)] if place % 2 else digit) for place, digit in enumerate(reversed(digits))
    )
    if total % 10:
        return False
    return next(
        (len(digits) in lengths for low, high, lengths in _CARD_LENGTHS if low <= digits[: len(low)] <= high),
        True,
    )


def _path_end(text: str, at: int) -> int:
    """Where the path ends that would begin at `at` with /, ? or #; `at` where there is none."""
    if text[at : at + 1] not in tuple("/?#"):
        return at
    end = _end(_PATH, text, at + 1)
    while end > at + 1 and text[end - 1] in _PATH_TAIL:
        end -= 1
    return end if text[at] == "/" or end > at + 1 else at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None, "the pattern matches the empty text"
    return match.end()


def _own_links(text: str) -> Iterator[Found]:
    """tg:// and ton:// links."""
    done = 0
    for mark in _OWN.finditer(text):
        if mark.end() >= done and (link := _OWN_LINK.match(text, mark.start())):
            done = _path_end(text, link.end())
            yield Found(mark.start(), done, "url")


def _links_and_emails(text: str) -> Iterator[Found]:
    for start, end in _candidates(text):
        link = text[start:end]
        if _EMAIL.fullmatch(link):
            yield Found(start, end, "email")
        elif link.startswith("mailto:") and _EMAIL.fullmatch(link, 7):
            yield Found(start + 7, end, "email")
        elif length := _link_length(link):
            yield Found(start, start + length, "url")


def _candidates(text: str) -> Iterator[tuple[int, int]]:
    """What stands around each dot and looks like a link or an address."""
    size, backwards = len(text), text[::-1]
    begin = 0

    def back(pattern: re.Pattern[str], at: int) -> int:
        match = pattern.match(backwards, size - at, size - begin)
        assert match is not None, "the pattern matches the empty text"
        return size - match.end()

    while 0 <= (dot := text.find(".", begin)) < size - 1:
        if text[dot + 1] == " ":
            begin = dot + 2
            continue
        start, end = back(_DOMAIN, dot), _end(_DOMAIN_OR_AT, text, dot)
        has_account = "@" in text[dot:end]
        if has_account:
            start = back(_ACCOUNT, start)
        port = _PORT.match(text, end)
        if port and port[2] and len(port[2]) <= 5 and int(port[2]) <= 65535:
            end = port.end()
        end = _path_end(text, end)
        while end > dot + 1 and text[end - 1] == ".":
            end -= 1
        good = True
        if start > begin and text[start - 1] == "@":
            account = back(_ACCOUNT, start - 1)
            good = not has_account and account < start - 1
            start = account
        if good and start > begin:
            start, good = _with_scheme(text, begin, start, back)
        if good:
            if end > dot + 1:
                yield start, end
            while text[end : end + 1] == ".":
                end += 1
        else:
            end = text.rfind(".", 0, end) + 1
        begin = max(end, dot + 1)


def _with_scheme(
    text: str, begin: int, start: int, back: Callable[[re.Pattern[str], int], int]
) -> tuple[int, bool]:
    """Where the link begins whose domain (or account) begins at `start`, and whether it may begin there."""
    if not text.endswith("://", begin, start):
        return start, not (re.match(r"\w", text[start - 1]) or text[start - 1] in "/#@")
    scheme = text[back(_SCHEME, start - 3) : start - 3].lower()
    for name, unlike in (
        ("http", {"shttp"}),
        ("https", set()),
        ("ftp", {"tftp", "sftp"}),
        ("tonsite", set()),
    ):
        if scheme.endswith(name) and scheme not in unlike:
            return start - 3 - len(name), True
    return start, False


def _link_length(link: str) -> int:
    """How much of something that looks like a link is one; 0 where it is none."""
    web = _WEB.match(link)
    rest = link[web.end() :] if web else link
    split = min((place for place in map(rest.find, "/?#") if place >= 0), default=len(rest))
    domain, path = rest[:split].partition("@")[2] if "@" in rest[:split] else rest[:split], rest[split:]
    if ":" in domain:
        domain = domain[: domain.rindex(":")]
    if domain.lower() == "teiegram.org":
        return 0
    length = len(link) - len(path) + len(_balanced(path).rstrip(_PATH_TAIL))
    parts = domain.split(".")
    if len(parts) < 2 or any(not part or len(part.encode()) >= 64 or part[-1] == "-" for part in parts):
        return 0
    if _IPV4.fullmatch(domain):
        return length
    if re.fullmatch("[0-9.]*", domain) or "_" in parts[-2]:
        return 0
    return length if _is_ending(parts[-1], known=web is None) else 0


def _balanced(path: str) -> str:
    """Up to the first bracket that closes one that was never opened."""
    depth = [0, 0, 0]
    for at, character in enumerate(path):
        if character in _OPENING:
            depth[_OPENING.index(character)] += 1
        elif character in _CLOSING:
            depth[_CLOSING.index(character)] -= 1
            if min(depth) < 0:
                return path[:at]
    return path


def _is_ending(ending: str, *, known: bool) -> bool:
    """Whether a domain may end so; `known` asks for one that exists."""
    if len(ending) < 2:
        return False
    if ending.startswith("xn--"):
        return bool(re.fullmatch("[0-9A-Za-z]{2,}", ending[4:]))
    if "_" in ending or "-" in ending:
        return False
    if not known:
        return True
    lower = "".join(character.lower()[0] for character in ending)
    # "Hello.World" is a sentence and no link: a name that only begins with a capital does not count.
    return lower in _ENDINGS and (lower == ending or lower[1:] != ending[1:])


def places(text: str, found: Iterable[Found]) -> Iterator[tuple[str, int, int]]:
    """Kind, offset and length in UTF-16 code units."""
    at = units = 0
    for start, end, kind in found:
        units += _units(text, at, start)
        length = _units(text, start, end)
        yield kind, units, length
        at, units = end, units + length


def _units(text: str, start: int, end: int) -> int:
    piece = text[start:end]
    return len(piece) if piece.isascii() else len(piece.encode("utf-16-le", "surrogatepass")) // 2
