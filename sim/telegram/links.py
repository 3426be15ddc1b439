"""Which links Telegram accepts in a text, and how it writes them down. Pure."""

import re
from urllib.parse import urlsplit

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*):(?=//|[^0-9])")
_HOST = re.compile(r"^(?:[\w-]+\.)+[^\W\d_][\w-]*$|^localhost$|^\d{1,3}(?:\.\d{1,3}){3}$")
_USER = re.compile(r"^tg:(?://)?user\?id=([0-9]{1,19})$", re.IGNORECASE)


def mentioned_user(url: str) -> int:
    """The user that a tg://user?id= link names, 0 for any other link."""
    match = _USER.match(url.strip())
    return int(match[1]) if match else 0


def checked_link(url: str) -> str:
    """The link as Telegram keeps it ("example.com" becomes "http://example.com/"), empty where it is none."""
    url = url.strip()
    if not url or any(character.isspace() for character in url):
        return ""
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() in ("tg", "ton", "tonsite"):
        return f"{scheme[1].lower()}://" + url[scheme.end() :].removeprefix("//")
    parts = urlsplit(url if scheme else f"http://{url}")
    if parts.scheme not in ("http", "https") or not _HOST.match(parts.hostname or ""):
        return ""
    netloc = parts.netloc.rpartition("@")[0] + parts.netloc.rpartition("@")[1] + (parts.hostname or "")
    port = f":{parts.port}" if parts.port else ""
    tail = (
        (parts.path or "/")
        + (f"?{parts.query}" if parts.query else "")
        + (f"#{parts.fragment}" if parts.fragment else "")
    )
    return f"{parts.scheme}://{netloc}{port}{tail}"
