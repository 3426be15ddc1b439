"""Canaries: a secret in a message, an argument or a trace never reaches the log."""

import contextlib
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.redaction import MARK, Redacted, set_up

TOKEN = "123456789:AAcanary-canary_canary"
KEY = "sk-ant-canary"


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    trace = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("bot", logging.INFO, __file__, 1, message, args, trace)


@pytest.mark.parametrize(
    "entry",
    [
        record(f"token {TOKEN}"),
        record("token %s", TOKEN),
        record("POST https://api.telegram.org/bot%s/getUpdates", TOKEN),
        record("%r", {"token": TOKEN}),
        record("https://api.telegram.org/file/bot123456789%%3AAAcanary-canary_canary/x"),
        record("only the end: AAcanary-canary_canary"),
        record("key %s and token %s", KEY, TOKEN),
    ],
)
def test_no_secret_in_a_line(entry: logging.LogRecord) -> None:
    """Wherever it stands in the line, a mark stands in its place."""
    line = Redacted([TOKEN, KEY]).format(entry)
    assert "canary" not in line
    assert MARK in line


def test_no_secret_in_a_trace() -> None:
    """A traceback that quotes the secret is cleaned as well."""
    try:
        raise RuntimeError(f"cannot reach {TOKEN}")
    except RuntimeError as error:
        line = Redacted([TOKEN]).format(record("failed", error=error))
    assert "RuntimeError" in line
    assert "canary_canary" not in line


def test_lines_without_secrets_stay_as_they_are() -> None:
    """Nothing else is touched, and empty or absent secrets do not mark everything."""
    assert Redacted(["", "a:b"]).format(record("a plain line of AAPL")).endswith("a plain line of AAPL")
    assert Redacted([]).format(record("%d orders", 3)).endswith("bot: 3 orders")


def test_a_longer_secret_goes_before_a_shorter_one_in_it() -> None:
    """No tail of a secret stays behind because a part of it was replaced first."""
    assert "-long" not in Redacted(["canary", "canary-long"]).format(record("canary-long"))


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_line_is_cleaned(before: str, after: str) -> None:
    """Whatever surrounds it, the secret is gone."""
    assert TOKEN not in Redacted([TOKEN]).format(record("%s", before + TOKEN + after))


@contextlib.contextmanager
def logging_of_our_own() -> Iterator[None]:
    """The loggers are left afterwards as they were found, the test runner's included."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, ("ib_async", "httpx", "telegram", "aiosqlite"))]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    root.handlers.clear()
    try:
        yield
    finally:
        for logger, handlers, level in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_whatever_logs_at_whatever_level_is_cleaned(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """Libraries log through the same formatter: none of them writes the token."""
    with logging_of_our_own():
        set_up(level, [TOKEN, KEY])
        for name in ("httpx", "telegram.Bot", "aiosqlite", "ib_async.client", "bot.dispatch", "anything"):
            for number in (logging.DEBUG, logging.INFO, logging.ERROR, logging.CRITICAL):
                logging.getLogger(name).log(number, "GET /bot%s/getMe %s", TOKEN, KEY)
    said = capsys.readouterr().err
    assert MARK in said
    assert "canary" not in said


def test_httpx_says_nothing_of_every_request(capsys: pytest.CaptureFixture[str]) -> None:
    """At INFO the line with the address of each request does not appear at all."""
    with logging_of_our_own():
        set_up("INFO", [TOKEN])
        logging.getLogger("httpx").info("HTTP Request: POST https://api.telegram.org")
        logging.getLogger("bot").info("hello")
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith("hello")
