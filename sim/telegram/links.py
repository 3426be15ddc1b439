"""Which links Telegram accepts in a text, and how it writes them down. Pure."""

import re

_LINK = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?:(?P<account>[^/?#\\\s]*)@)?"
    r"(?P<host>(?!\.[:/?#]|\.$)[^/?#:@\\\s]*\.[^/?#:@\\\s]*)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?#].*)?",
    re.IGNORECASE,
)
_INTERNAL = re.compile(r"(?P<scheme>tg|ton|tonsite):(?://)?(?P<rest>.+)", re.IGNORECASE)
_USER = re.compile(r"tg:(?://)?user\?id=([0-9]{1,19})", re.IGNORECASE)


def mentioned_user(url: str) -> int:
    """The user that a tg://user?id= link names, 0 for any other link."""
    match = _USER.fullmatch(url.strip())
    return int(match[1]) if match else 0


def checked_link(url: str) -> str:
    """The link as Telegram keeps it ("example.com" becomes "http://example.com/"), empty where it is none."""
    url = url.strip()
    if internal := _INTERNAL.fullmatch(url):
        return f"{internal['scheme'].lower()}://{internal['rest']}{'' if set(internal['rest']) & set('/?#') else '/'}"
    link = _LINK.fullmatch(url)
    if link is None or not 0 < int(link["port"] or 1) < 65536:
        return ""
    account = f"{link['account']}@" if link["account"] else ""
    port = f":{int(link['port'])}" if link["port"] else ""
    rest = (link["rest"] or "/").replace(" ", "%20")
    return f"{(link['scheme'] or 'http').lower()}://{account}{link['host'].lower()}{port}{'' if rest[0] == '/' else '/'}{rest}"
