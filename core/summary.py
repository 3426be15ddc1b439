"""The daily summary as facts: whether one is due, and what it has to say. Pure; the chat finds the words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from core.exercise import Ending, endings
from core.ib_messages import mode
from core.lots import EXCHANGE_ZONE, book, in_time
from core.model import Account, Execution, History, JobRun, Link, Order, OrderState, Position, Side
from core.sessions import Session

JOB = "summary"
AFTER_CLOSE = timedelta(minutes=5)
"""Between the close and the summary: the last fills and commissions come in."""
LATE = timedelta(minutes=30)
"""From then on after the close a summary says that it is late."""
TOO_LATE = timedelta(hours=18)
"""From then on after the close it is not sent any more."""
PATIENCE = timedelta(minutes=10)
"""How long it waits for a broker who is not there, before it is sent without."""

LONG_AGO = timedelta(days=5)
"""A summary older than that is not what "since" refers to: a long weekend is shorter."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the desk knows when a summary is drawn up. What the broker has not said is None."""

    now: datetime
    link: Link
    account: Account | None
    positions: tuple[Position, ...] | None
    orders: tuple[Order, ...]


def due(now: datetime, closed: Session | None, sent: date | None, since: datetime) -> bool:
    """Whether the summary of the session that closed last is to be sent now.

    `sent` is the session of the last summary, `since` when the bot first ran: what closed before that is none of its business.
    """
    if closed is None or closed.close <= since or (sent is not None and closed.day <= sent):
        return False
    return closed.close + AFTER_CLOSE <= now < closed.close + TOO_LATE


def worth_waiting(now: datetime, closed: Session, started_at: datetime, link: Link) -> bool:
    """Whether the summary had better wait for the broker, who is wanted and not there (yet)."""
    waiting_since = max(closed.close + AFTER_CLOSE, started_at)
    return link.wanted and not link.reconciled and now < waiting_since + PATIENCE


def facts(moment: Moment, history: History, session: Session, last: JobRun | None) -> dict[str, Any]:
    """Everything that the summary of a session says, as JSON-ready values. Money in the account's base currency; None is unknown.

    `history` is the account's; `last` is the run of the summary before, and what was traded since then is told.
    """
    before = last.facts if last else {}
    name = moment.link.account or str(before.get("account") or "") or _only_account(history)
    account, link = moment.account, moment.link
    base = account.currency if account else str(before.get("currency") or "USD")
    net = account.net_liquidation if account else None
    past = (
        before.get("net_liquidation")
        if (before.get("account"), before.get("currency")) == (name, base)
        else None
    )
    since = _since(session, last)
    today = [e for e in in_time(history.executions) if since < e.time <= moment.now]
    ended = [one for one in endings(history.executions) if since < one.option.time <= moment.now]
    apart = {e.key for one in ended for e in (one.option, one.shares) if e is not None}
    traded = [e for e in today if e.key not in apart]
    moved = [e for e in traded if e.moves_holding]
    paid = {c.key: c for c in history.commissions}
    books = book(
        history.executions,
        history.commissions,
        openings=history.openings,
        adjustments=history.adjustments,
    )
    costs = [
        (c.amount, c.currency) if (c := paid.get(e.key)) else None
        for e in today
        if e.moves_holding and (e.key in paid or e.key not in apart)
    ]
    closures = [c for c in books.closures if since < c.closed_at <= moment.now]
    held = None if moment.positions is None else [p for p in moment.positions if p.signed_quantity]
    return {
        "session": session.day.isoformat(),
        "closed_at": session.close.isoformat(),
        "late_seconds": int((moment.now - session.close).total_seconds())
        if moment.now - session.close >= LATE
        else 0,
        "account": name,
        "mode": link.mode or (mode(name) if name else None),
        "currency": base,
        "net_liquidation": _text(net),
        "change": None if net is None or past is None else _text(net - Decimal(past)),
        "since": last.session.isoformat() if last and past is not None else None,
        "realized": _text(_total(((c.gain, c.currency) for c in closures), account, base)),
        "realized_provisional": any(c.provisional for c in closures),
        "unrealized": None
        if held is None
        else _text(_total(((p.unrealized, p.currency) for p in held), account, base)),
        "fills": _fills(traded),
        "ended": [_end(one) for one in ended],
        "bought": _text(_total(_values(moved, Side.BUY), account, base)),
        "sold": _text(_total(_values(moved, Side.SELL), account, base)),
        "commissions": _text(_total((c for c in costs if c is not None), account, base)),
        "commissions_unknown": sum(c is None for c in costs),
        "open_orders": len(moment.orders),
        "positions": None if held is None else [_holding(p) for p in sorted(held, key=_in_a_list)],
        "trouble": troubles(moment),
    }


def troubles(moment: Moment) -> list[str]:
    """What is not well, each in a sentence; none of them means that all is well."""
    link, found = moment.link, []
    if not link.wanted:
        found.append("Disconnected from the broker at your wish; /connect brings it back.")
    elif not link.connected:
        found.append(f"Not connected to the broker. {link.trouble}".strip())
    elif link.trouble:
        found.append(link.trouble)
    elif not link.reconciled:
        found.append("The books have not been compared with the broker's yet.")
    lost = [f"#{o.number}" for o in moment.orders if o.state is OrderState.UNKNOWN]
    if lost:
        found.append(f"The fate of {', '.join(lost)} is not known; it is looked for and never sent again.")
    return found


def _since(session: Session, last: JobRun | None) -> datetime:
    """From when on trades are told: the summary before, or where that is long ago the beginning of the session's day."""
    if last is not None and session.close - last.at < LONG_AGO:
        return last.at
    return datetime.combine(session.day, time(), EXCHANGE_ZONE)


def _only_account(history: History) -> str:
    names = {e.account for e in history.executions} | {o.account for o in history.openings}
    return names.pop() if len(names) == 1 else ""


def _values(executions: Iterable[Execution], side: Side) -> list[tuple[Decimal, str]]:
    return [(e.price * e.quantity * e.multiplier, e.currency) for e in executions if e.side is side]


def _fills(executions: Sequence[Execution]) -> int:
    """How often something was traded: each fill of a combination once, however many legs it has."""
    wholes = [e for e in executions if not e.moves_holding]
    orders = {_order_of(e) for e in wholes}
    return len(wholes) + sum(e.moves_holding and _order_of(e) not in orders for e in executions)


def _order_of(execution: Execution) -> tuple[str, str, int]:
    return (execution.account, execution.order_ref, execution.perm_id)


def _end(ending: Ending) -> list[str]:
    """[how, contracts, name of the option, what became of the shares: side, quantity, symbol, price], the last four where any moved."""
    option, shares = ending.option, ending.shares
    told = [ending.how.value, f"{option.quantity:f}", option.label]
    return (
        told
        if shares is None
        else [*told, shares.side, f"{shares.quantity:f}", shares.symbol, f"{shares.price:f}"]
    )


def _in_a_list(position: Position) -> tuple[str, bool, date, Decimal, str]:
    """Shares first, then their options by expiry and strike."""
    option = position.option
    if option is None:
        return (position.symbol, False, date.min, ZERO, "")
    return (position.symbol, True, option.expiry, option.strike, option.right)


def _total(
    amounts: Iterable[tuple[Decimal | None, str]], account: Account | None, base: str
) -> Decimal | None:
    """The sum in base currency; unknown as soon as an amount or a rate is."""
    total = ZERO
    for amount, currency in amounts:
        rate = account.rate(currency) if account else Decimal(1) if currency == base else None
        if amount is None or rate is None:
            return None
        total += amount * rate
    return total


def _holding(position: Position) -> list[str | None]:
    """[name, signed quantity, market value, unrealised gain, currency]."""
    return [
        position.label,
        f"{position.signed_quantity:f}",
        _text(position.market_value),
        _text(position.unrealized),
        position.currency,
    ]


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
