"""The bot itself: /start, /help, /whoami, /status, /connect, /disconnect."""

from html import escape

from bot import safety, text
from bot.command import COMMANDS, Caller, Word, command, look_up
from bot.reply import Reply
from bot.services import Desk

WANTED = "connection_wanted"


@command("/start")
async def start(desk: Desk, who: Caller) -> Reply:
    """What this is, in five lines."""
    return Reply(
        "\n".join(
            [
                f"👋 Hello {escape(who.name)}. Greenlight trades your Interactive Brokers account from this chat.",
                "See it: /positions, /orders, /trades, /status",
                "Trade: /buy AAPL 10 or /sell AAPL half. You see a card first; nothing leaves before you tap Send.",
                "/cancel takes orders back. /help lists everything, /help buy explains one thing.",
                f"This account: {text.badge(desk.broker.link)}. Educational software, not financial advice.",
            ]
        )
    )


@command("/help [COMMAND]")
async def help_(desk: Desk, who: Caller, name: Word | None = None) -> Reply:
    """All commands, or one of them explained."""
    if name is None:
        lines = [f"{escape(c.usage)}\n   {escape(c.summary)}" for c in COMMANDS.values()]
        more = [
            "",
            "/help buy explains one of them, with examples.",
            "Every order shows a card first; nothing is sent before you tap Send. Words without a slash do nothing.",
        ]
        return Reply("\n".join(["<b>Commands</b>", *lines, *more]))
    one = look_up(name.removeprefix("/").lower())
    details = f"\n\n{escape(one.details)}" if one.details else ""
    return Reply(f"<b>{escape(one.usage)}</b>\n{escape(one.summary)}{details}")


@command("/whoami")
async def whoami(desk: Desk, who: Caller) -> Reply:
    """Your Telegram user id, the one that TELEGRAM_ALLOWED_USERS takes."""
    return Reply(f"Your id: {who.user}")


@command("/status")
async def status(desk: Desk, who: Caller) -> Reply:
    """Whether everything works: broker, account, Telegram, and what to do where it does not."""
    link, account = desk.broker.link, desk.broker.account
    if link.connected:
        books = "and the books agree" if link.reconciled else "but the books are still being compared"
        broker = f"🟢 Broker connected, {books}."
    elif link.wanted:
        broker = "🔴 Broker not connected; trying again by itself."
    else:
        broker = "⚪ Broker disconnected at your wish; /connect brings it back."
    lines = [broker]
    if link.trouble and link.wanted:
        lines.append(f"⚠️ {escape(link.trouble)}")
    if link.data_trouble:
        lines.append(f"⚠️ {escape(link.data_trouble)}")
    lines.append(f"Account: {text.badge(link)}")
    lines += safety.state_lines(desk.trading.now, desk.settings.timezone)[:2]
    if account is not None:
        lines.append(
            f"Net liquidation {text.money(account.net_liquidation, account.currency)}\n"
            f"Cash {text.money(account.cash, account.currency)}"
        )
    lines += text.drift_lines(desk.executor.drifts)
    polled = desk.last_poll_seconds()
    lines.append(
        f"Telegram: last heard {polled:.0f} s ago." if polled is not None else "Telegram: not heard yet."
    )
    lines += _backup_lines(desk)
    lines.append(
        f"Open orders: {len(desk.executor.orders)}.\nRunning since {text.local(desk.started_at, desk.settings.timezone)}."
    )
    return Reply("\n".join(lines))


def _backup_lines(desk: Desk) -> list[str]:
    if desk.backups is None:
        return []
    last = desk.backups.last
    hours = 0.0 if last is None else max((desk.clock.now() - last).total_seconds(), 0) / 3600
    age = f"{hours:.0f} h ago" if hours >= 1 else "less than an hour ago"
    said = "Last backup: none yet." if last is None else f"Last backup: {age}."
    return [f"⚠️ {said} {escape(desk.backups.trouble)}" if desk.backups.trouble else said]


@command("/connect")
async def connect(desk: Desk, who: Caller) -> Reply:
    """Connect to the broker and stay connected."""
    await desk.ledger.remember(WANTED, "yes")
    if desk.broker.link.connected:
        return Reply(f"🟢 Connected already.\n{text.badge(desk.broker.link)}")
    desk.switch.want(True)
    return Reply("Connecting. You hear when it is done; /status tells where it stands.")


@command("/disconnect")
async def disconnect(desk: Desk, who: Caller) -> Reply:
    """Disconnect from the broker and stay away, over a restart too, until /connect.

    Orders that are at the broker keep working there, protective stops included.
    """
    await desk.ledger.remember(WANTED, "no")
    desk.switch.want(False)
    count = len(desk.executor.orders)
    tail = (
        f" {count} open order{'s' if count != 1 else ''} keep{'' if count != 1 else 's'} working at the broker."
        if count
        else ""
    )
    return Reply(f"⚪ Disconnected until you say /connect.{tail}")
