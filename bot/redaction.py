"""Secrets never reach a log: a filter at the root puts a mark in their place, in messages, arguments and traces alike."""

import logging
from collections.abc import Iterable

MARK = "[secret]"


class Redacted(logging.Formatter):
    """Formats a record, then removes every secret from the whole of it, traceback included."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        # The part behind the colon of a bot token is the secret one and shows up alone in some addresses.
        parts = {part for secret in secrets if secret for part in (secret, secret.rpartition(":")[2])}
        self._secrets = sorted((part for part in parts if len(part) >= 3), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, MARK)
        return line


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
