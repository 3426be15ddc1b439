"""The broker's codes in plain words, and the port against the account."""

import pytest

from core import ib_messages
from core.model import Mode


@pytest.mark.parametrize(
    ("port", "account", "trouble"),
    [
        (7497, "DU1234567", ""),
        (4002, "DF1234567", ""),
        (7496, "U1234567", ""),
        (4001, "U1234567", ""),
        (36271, "DU1234567", ""),
        (36271, "U1234567", ""),
        (7496, "DU1234567", "paper account"),
        (4001, "DU1234567", "paper account"),
        (7497, "U1234567", "LIVE account"),
        (4002, "U1234567", "LIVE account"),
        (7496, None, ""),
    ],
)
def test_port_and_account_must_agree(port: int, account: str | None, trouble: str) -> None:
    """One of the broker's own ports with the other kind of account is trouble; any other port says nothing."""
    said = ib_messages.port_trouble(port, account)
    assert trouble in said
    assert bool(said) == bool(trouble)


@pytest.mark.parametrize(
    ("account", "mode"),
    [("DU1", Mode.PAPER), ("DF1", Mode.PAPER), ("U1", Mode.LIVE), ("F1", Mode.LIVE), ("I1", Mode.LIVE)],
)
def test_mode_comes_from_the_account(account: str, mode: Mode) -> None:
    """Accounts that begin with D are paper, everything else is somebody's money."""
    assert ib_messages.mode(account) is mode


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (201, "Order rejected - reason:insufficient funds", "not enough money"),
        (354, "Requested market data is not subscribed.", "market data subscription"),
        (10197, "No market data during competing live session", "Log out there"),
        (
            321,
            "Error validating request.-'cW' : cause - The API interface is currently in Read-Only mode.",
            "Untick",
        ),
        (
            321,
            "Error validating request.-'bQ' : cause - Invalid side",
            "finds a mistake in the request. Broker",
        ),
        (987654, "Something new", "Something new (987654)"),
        (987654, "", "code 987654"),
    ],
)
def test_plain_words(code: int, text: str, words: str) -> None:
    """A known code says what to do; an unknown one is shown in the broker's own words with its number."""
    assert words in ib_messages.plain_words(code, text)
