"""The broker's message codes in plain words, each with what to do. Facts from the broker's published table of API message codes."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from core.model import Mode

NEW_YORK = ZoneInfo("America/New_York")
NIGHTLY = (
    "Interactive Brokers restarts its servers about this time of every night (23:45 to 00:45 New York, on Fridays 23:00 to 03:00), so this is "
    "most likely that; nothing has to be done."
)
WEEKLY = "Once a week, after Sunday 01:00 New York, TWS and Gateway want a fresh login with your second factor: if that is due, only you can do it."

LIVE_PORTS, PAPER_PORTS = frozenset({7496, 4001}), frozenset({7497, 4002})

CANNOT_CONNECT = (
    "Cannot connect to TWS or IB Gateway at {host}:{port}. Is it running and logged in? Is this its API port (TWS 7497 paper, 7496 live; "
    "Gateway 4002 paper, 4001 live)? In its API settings: ActiveX and Socket Clients enabled, Read-Only API unticked, 127.0.0.1 trusted. "
    "Restart TWS after changing them."
)
SILENT = (
    "{host}:{port} accepts the connection but does not answer. TWS or IB Gateway is still starting, waits for its login (the weekly one "
    "needs you), or shows a dialog asking to allow this connection. If it is none of these, what listens there is no TWS: check IBKR_PORT."
)
CLIENT_ID_IN_USE = (
    "Client id {client_id} is in use at TWS: another Greenlight is connected. This one stands by and takes over when that one is gone; "
    "it never picks another id by itself."
)
READ_ONLY = (
    "TWS has its API in Read-Only mode, so orders can be neither seen nor sent. Untick Read-Only API in its API settings "
    "(Configuration, API, Settings), then /disconnect and /connect."
)
SEVERAL_ACCOUNTS = "This login has several accounts ({accounts}). Say which one in IBKR_ACCOUNT_ID; until then nothing is shown or sent."
OTHER_ACCOUNT = "IBKR_ACCOUNT_ID is {wanted}, but this login has {accounts}. Correct the setting or log in with the other user."
LIVE_PORT_PAPER = "Port {port} is the live port, but {account} is a paper account. Nothing is sent until IBKR_PORT and the login agree (paper: 7497 or 4002)."
PAPER_PORT_LIVE = "Port {port} is the paper port, but {account} is a LIVE account. Nothing is sent until IBKR_PORT and the login agree (live: 7496 or 4001)."
FARM_DOWN = "The broker's data farm {farm} is interrupted: prices may be missing or stand still. Orders are not touched by that."
LINK_LOST = "TWS has lost its own connection to Interactive Brokers. Orders that are there keep working; new ones wait until it is back."

# Market data, historical data and definitions; "inactive but should be available upon demand" (2107, 2108) counts as up.
FARMS_DOWN, FARMS_UP = frozenset({2103, 2105, 2157}), frozenset({2104, 2106, 2107, 2108, 2158})

# code -> what it means for a person. A code that is not here is shown in the broker's own words.
MEANING: dict[int, str] = {
    103: "The broker saw this order number before and did not take the order. Nothing was sent twice; make a new card.",
    104: "The order was already filled, so it cannot be changed.",
    110: "The price does not fit the smallest price step of this instrument.",
    135: "The broker does not know this order any more.",
    161: "The order is past cancelling: it is filled, or being cancelled already.",
    200: "The broker knows no such instrument.",
    201: "The broker rejected the order.",
    203: "This account may not trade that instrument: check the trading permissions.",
    321: "The broker finds a mistake in the request.",
    354: "There is no market data subscription for this instrument, so there is no price to go by.",
    399: "The broker holds the order until the market opens.",
    404: "The shares for a short sale are being located; the order is held.",
    10089: "There is no live market data subscription for this instrument; delayed data may be had.",
    10147: "The broker does not know the order that should be cancelled.",
    10148: "The order cannot be cancelled: it is filled, or over already.",
    10149: "The order cannot be cancelled any more.",
    10167: "No live market data subscription: delayed prices are shown.",
    10197: "Another session of this user (the phone app, TWS elsewhere) takes the market data. Log out there to have it here.",
}

# What the broker adds behind its 201, and what to do about it.
REJECTIONS: tuple[tuple[str, str], ...] = (
    ("insufficient", "There is not enough money or margin for it: make it smaller or free some."),
    ("margin", "There is not enough margin for it: make it smaller or free some."),
    (
        "permission",
        "The account lacks the permission for it: see trading permissions in the broker's settings.",
    ),
    ("hours", "The market is closed for this order."),
    ("minimum price variation", "The price is not on a valid tick."),
)


def farm(code: int, text: str) -> tuple[str, bool] | None:
    """(name, whether it works) where a message is about one of the broker's data farms; they come and go through the day."""
    if code not in FARMS_DOWN | FARMS_UP:
        return None
    return text.rpartition(":")[2].strip(), code in FARMS_UP


def is_read_only(code: int, text: str) -> bool:
    """Whether a message says that the API is in Read-Only mode: its code stands for any request that is not valid."""
    return code == 321 and "read-only" in text.lower()


def plain_words(code: int, text: str) -> str:
    """One sentence for a person, with the broker's own words behind it."""
    meaning = READ_ONLY if is_read_only(code, text) else MEANING.get(code, "")
    hint = next((advice for word, advice in REJECTIONS if word in text.lower()), "") if code == 201 else ""
    said = text.strip().rstrip(".")
    return " ".join(
        part
        for part in (meaning, hint, f"Broker: {said} ({code})." if said else f"Broker code {code}.")
        if part
    )


def mode(account: str) -> Mode:
    """Whose money an account holds: the broker names paper accounts D..., whatever the port."""
    return Mode.PAPER if account.startswith("D") else Mode.LIVE


def port_trouble(port: int, account: str | None) -> str:
    """What is wrong where one of the broker's own ports and the account contradict each other; empty where nothing is."""
    if account is None:
        return ""
    if mode(account) is Mode.PAPER and port in LIVE_PORTS:
        return LIVE_PORT_PAPER.format(port=port, account=account)
    if mode(account) is Mode.LIVE and port in PAPER_PORTS:
        return PAPER_PORT_LIVE.format(port=port, account=account)
    return ""


def in_reset_window(now: datetime) -> bool:
    """Whether the broker restarts its servers at this moment.

    The windows are those that it publishes for North America ("System Status", server reset times).
    """
    there = now.astimezone(NEW_YORK)
    day, clock = there.weekday(), there.time()
    weekend = (day == 4 and clock >= time(23)) or (day == 5 and clock < time(3))
    return weekend or (day != 4 and clock >= time(23, 45)) or (day != 5 and clock < time(0, 45))


def of_the_calendar(now: datetime) -> str:
    """What the broker's own calendar says about a connection that is gone at this moment; empty where nothing."""
    if in_reset_window(now):
        return NIGHTLY
    there = now.astimezone(NEW_YORK)
    return WEEKLY if there.weekday() == 6 and time(1) <= there.time() else ""
