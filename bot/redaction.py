"""Secrets never reach a log: the formatter at the root puts a mark in their place, in messages, arguments and traces alike."""

import logging
from collections.abc import Callable, Iterable

MARK = "[secret]"


def without(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that puts a mark in the place of every secret of a text."""
    # The part behind the colon of a bot token is the secret one and shows up alone in some addresses.
    parts = {part for secret in secrets if secret for part in (secret, secret.rpartition(":")[2])}
    ordered = sorted((part for part in parts if len(part) >= 3), key=len, reverse=True)

    def clean(text: str) -> str:
        for secret in ordered:
            text = text.replace(secret, MARK)
        return text

    return clean


class Redacted(logging.Formatter):
    """Formats a record, then removes every secret from the whole of it, traceback included."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._clean = without(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return self._clean(super().format(record))


# ib_async reports as errors what the desk says in its own words; telegram and httpx write addresses, which hold the token.
QUIET = {"ib_async": logging.CRITICAL, "telegram": logging.WARNING, "httpx": logging.WARNING}


def set_up(level: str, secrets: Iterable[str]) -> None:
    """Log to standard error at `level`. The chatty libraries speak only at DEBUG, and then through the same formatter."""
    handler = logging.StreamHandler()
    handler.setFormatter(Redacted(secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    for library, least in QUIET.items():
        logging.getLogger(library).setLevel(logging.DEBUG if level == "DEBUG" else least)
