"""Web apps (Mini Apps): which addresses may be opened, and the signed data that an app is given, as Telegram documents it. Pure.

The signature: HMAC-SHA-256 of the sorted "key=value" lines, with the HMAC-SHA-256 of the bot's token under "WebAppData" as
its key. An app that a keyboard button opens gets no data, as in Telegram.
"""

import hashlib
import hmac
import json
from datetime import datetime
from urllib.parse import quote, urlencode, urlsplit

from sim.telegram.people import Json

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def allowed(url: str, own_port: int) -> str:
    """Why an address may not be opened as a web app, empty where it may: https anywhere, http on this machine, never this server."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"the web app's address {url!r} is none"
    here = parts.hostname in _LOOPBACK
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"a web app's address begins with https://, not {url!r}"
    if parts.scheme == "http" and not here:
        return f"a web app outside this machine needs https, not {url!r}"
    if here and port == own_port:
        return "a web app cannot be the chat page itself"
    return ""


def signed(token: str, fields: dict[str, str]) -> str:
    """The fields as a query string (initData) with the `hash` that proves who made them."""
    lines = "\n".join(f"{key}={fields[key]}" for key in sorted(fields))
    secret = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    proof = hmac.new(secret, lines.encode(), hashlib.sha256).hexdigest()
    return urlencode(fields | {"hash": proof}, quote_via=quote)


def init_data(token: str, user: Json, query_id: str, now: datetime) -> str:
    """What a web app opened by the menu button or an inline button is told: who opened it, and when."""
    person: Json = {
        key: user[key]
        for key in ("id", "first_name", "last_name", "username", "language_code")
        if key in user
    }
    person |= {"allows_write_to_pm": True}
    fields = {
        "query_id": query_id,
        "user": json.dumps(person, ensure_ascii=False, separators=(",", ":")),
        "auth_date": str(int(now.timestamp())),
    }
    return signed(token, fields)


def with_data(url: str, data: str, theme: dict[str, str]) -> str:
    """The address with what the app's script reads behind the #."""
    launch = {"tgWebAppData": data} if data else {}
    launch |= {
        "tgWebAppVersion": "8.0",
        "tgWebAppPlatform": "web",
        "tgWebAppThemeParams": json.dumps(theme, separators=(",", ":")),
    }
    return f"{url}{'&' if '#' in url else '#'}{urlencode(launch, quote_via=quote)}"
