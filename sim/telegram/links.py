"""Which links Telegram accepts in a text, how it writes them down, and what its own tg:// links mean. Pure."""

import re
from ipaddress import IPv6Address
from string import ascii_lowercase, ascii_uppercase

_SPACE = " \t\r\n\v\0"
_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_INTERNAL = re.compile(r"(tg|ton|tonsite):(?://)?", re.IGNORECASE | re.ASCII)
_SCHEME = re.compile(r"([^:/?#@\[\]]*)://")
_HOST = re.compile(r"(?:[a-z0-9.\-_!$,~*'();&+=\x80-\U0010ffff]|%[0-9a-f]{2})+")
_ACCOUNT = re.compile(
    _HOST.pattern[:-1].replace("[a-z0-9", "[A-Za-z0-9:", 1).replace("[0-9a-f]", "[0-9A-Fa-f]") + "*"
)
_PORT = re.compile("0*([1-9][0-9]{0,4})")
_NUMBER = re.compile("-?[1-9][0-9]{0,18}")


def lower(text: str) -> str:
    """In small letters, as far as ASCII goes; Telegram knows no other letters in markup."""
    return text.translate(_ASCII_LOWER)


def number(text: str, bits: int = 64) -> int:
    """A whole number of so many bits, written the shortest way; 0 for everything else."""
    value = int(text) if _NUMBER.fullmatch(text) else 0
    return value if -(1 << bits - 1) <= value < 1 << bits - 1 else 0


def own_link(url: str, host: str) -> list[tuple[str, str]] | None:
    """The parameters of a tg:// link with this host, None for any other link."""
    match = re.match(rf"tg:(?://)?{host}/?\?", url, re.IGNORECASE | re.ASCII)
    if match is None:
        return None
    pairs = (pair.partition("=") for pair in url[match.end() :].partition("#")[0].split("&"))
    return [(key, value) for key, _, value in pairs]


def mentioned_user(url: str) -> int:
    """The user that a tg://user?id= link names, 0 for any other link."""
    parameters = own_link(lower(url), "user") or []
    user = next((number(value) for key, value in parameters if key == "id"), 0)
    return user if 0 < user < 1 << 40 else 0


def checked_link(url: str) -> str:
    """The link as Telegram keeps it ("example.com" becomes "http://example.com/"), empty where it is none."""
    internal = _INTERNAL.match(url)
    link = url[internal.end() :] if internal else url
    scheme = _SCHEME.match(link)
    protocol = lower(scheme[1]) if scheme else "http"
    if protocol not in ("http", "https"):
        return ""
    rest = link[scheme.end() :] if scheme else link
    split = min((place for place in map(rest.find, "/?#") if place >= 0), default=len(rest))
    parsed = _authority(rest[:split])
    if parsed is None:
        return ""
    account, host, port = parsed
    query = "".join(
        f"%{ord(character):02X}" if character <= " " else character
        for character in rest[split:].rstrip(_SPACE)
    )
    query = query if query.startswith("/") else f"/{query}"
    if internal:
        name = lower(internal[1])
        allowed = "[a-z0-9_.-]+" if name == "tonsite" else "[a-z0-9_-]+"
        if scheme or account or port or not re.fullmatch(allowed, host):
            return ""
        return f"{name}://{host}{query[1:] if query.startswith('/?') else query}"
    if "." not in host and not host.startswith("["):
        return ""
    return f"{protocol}://{account}{'@' if account else ''}{host}{port}{query}"


def _authority(text: str) -> tuple[str, str, str] | None:
    """Account, host and port (with its colon) of what stands before the path; None where it cannot be."""
    port = ""
    split = max(text.rfind(":"), text.rfind("]"), text.rfind("@"))
    if split > 0 and text[split] == ":":
        digits = _PORT.fullmatch(text, split + 1)
        if digits is None or int(digits[1]) > 65535:
            return None
        text, port = text[:split], f":{digits[1]}"
    account, _, host = text.rpartition("@")
    host = lower(host)
    if not _ACCOUNT.fullmatch(account):
        return None
    if host.startswith("[") and host.endswith("]"):
        return (account, host, port) if _is_ipv6(host[1:-1]) else None
    return (account, host, port) if host != "." and _HOST.fullmatch(host) else None


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False
