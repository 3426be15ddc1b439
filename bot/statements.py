"""The books as they are shown: lots, closures and the daily summary, from values to the chat's HTML."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from bot.text import average, badge, money, plain_price, quantity
from core.exercise import How
from core.lots import EXCHANGE_ZONE, Closure, Lot, Term
from core.model import Link, Mode, Position, Right, Side

DRAFT = "<i>Draft from your fills, not tax advice.</i>"
MARK = "≈"
MOST = 20
_TERMS = {
    Term.SHORT: "short-term",
    Term.LONG: "long-term",
    Term.MIXED: "section 1256",
    Term.UNKNOWN: "term unknown",
}


def lots_text(
    lots: Sequence[Lot],
    closures: Sequence[Closure],
    year: int,
    symbol: str | None,
    link: Link,
    notes: Sequence[str],
) -> str:
    """Open lots, and what the sales of a year brought."""
    lines = [f"<b>Lots{f' of {escape(symbol)}' if symbol else ''}</b> · FIFO", badge(link), ""]
    lines += [_lot_line(lot) for lot in lots[-MOST:]] or ["No open lots."]
    if len(lots) > MOST:
        lines.append(f"… and {len(lots) - MOST} older ones.")
    lines += [
        f"Total cost {_sums((lot.cost, lot.currency) for lot in lots)}" if lots else "",
        "",
        f"<b>Closed in {year}</b>",
    ]
    lines += [_closure_line(closure) for closure in closures[-MOST:]] or ["Nothing yet."]
    if len(closures) > MOST:
        lines.append(f"… and {len(closures) - MOST} older ones.")
    lines += [f"{name} {_sums(own, signed=True)}" for name, own in _by_term(closures)]
    lines += _explained(lots, closures)
    lines += [f"⚠️ {escape(note)}" for note in notes]
    return "\n".join([*lines, "", DRAFT])


def _lot_line(lot: Lot) -> str:
    mark = f"{MARK} " if lot.provisional else ""
    when = f"held before {_day(lot.opened_at)}" if lot.assumed else f"opened {_day(lot.opened_at)}"
    if lot.how is not How.TRADED:
        when += f" by {_BY[lot.how]}, premium in the cost"
    each = lot.cost / lot.signed_quantity
    unit = "share" if lot.option is None else "contract"
    return (
        f"{mark}<b>{escape(lot.label)}</b> {quantity(lot.signed_quantity)} · {when}\n"
        f"   {average(each)} a {unit} · {money(lot.cost, lot.currency)}"
    )


def _closure_line(closure: Closure) -> str:
    mark = f"{MARK} " if closure.provisional else ""
    is_end = closure.option is not None and closure.how is not How.TRADED
    what = closure.how if is_end else closure.side
    head = f"{mark}<b>{what} {quantity(closure.quantity)} {escape(closure.label)}</b> · {_date(closure.closed_on)}"
    if is_end and closure.how is not How.EXPIRED:
        return f"{head}\n   {_moved_line(closure)}"
    by = "" if is_end or closure.how is How.TRADED else f" · by {_BY[closure.how]}"
    return (
        f"{head} · {_TERMS[closure.term]}{by}\n"
        f"   proceeds {money(closure.proceeds, closure.currency)}\n"
        f"   basis {money(closure.cost_basis, closure.currency)} · gain {money(closure.gain, closure.currency, signed=True)}"
    )


def _moved_line(closure: Closure) -> str:
    """Where the premium of an exercised or assigned option went."""
    premium = money(abs(closure.moved), closure.currency)
    way = "paid" if closure.moved >= 0 else "received"
    # A held call and a written put bring shares, whose basis it is in; the other two take them, and it is in their proceeds.
    holds = closure.side is Side.SELL
    brings = closure.option is not None and holds is (closure.option.right is Right.CALL)
    where = "basis" if brings else "proceeds"
    return f"no gain of its own: the premium {way}, {premium}, is in the {where} of the shares"


_BY = {How.EXERCISED: "exercise", How.ASSIGNED: "assignment"}


def _by_term(closures: Sequence[Closure]) -> list[tuple[str, list[tuple[Decimal, str]]]]:
    """The gains of each term that there is, and of all."""
    closures = [c for c in closures if c.option is None or c.how not in _BY]
    found = [
        (f"{_TERMS[term].capitalize()}", [(c.gain, c.currency) for c in closures if c.term is term])
        for term in Term
    ]
    return [
        *((name, own) for name, own in found if own),
        *([("<b>Total gain</b>", [(c.gain, c.currency) for c in closures])] if closures else []),
    ]


def _explained(lots: Sequence[Lot], closures: Sequence[Closure]) -> list[str]:
    """Why some of it is provisional."""
    pieces: list[Lot | Closure] = [*lots, *closures]
    words = []
    if any(p.assumed for p in pieces):
        words.append(
            f"{MARK} Held before Greenlight knew the account: the basis is the broker's average cost."
        )
    if any(p.provisional and not p.assumed and p.how is How.TRADED for p in pieces):
        words.append(f"{MARK} Provisional: a commission has not been reported yet.")
    if any(p.provisional and not p.assumed and p.how is not How.TRADED for p in pieces):
        words.append(
            f"{MARK} Provisional: it is not sure how the option ended, or what it had cost. The broker's statement says."
        )
    if any(p.section_1256 for p in pieces):
        words.append(
            "Section 1256: options on broad indexes are taxed 60 % long-term and 40 % short-term, and open ones as if sold at the end of "
            "the year, which is not reckoned here."
        )
    return words


def _sums(amounts: Iterable[tuple[Decimal, str]], *, signed: bool = False) -> str:
    """A total for each currency."""
    totals: dict[str, Decimal] = {}
    for amount, currency in amounts:
        totals[currency] = totals.get(currency, Decimal(0)) + amount
    return " · ".join(money(total, currency, signed=signed) for currency, total in totals.items())


def _day(moment: datetime) -> str:
    return _date(moment.astimezone(EXCHANGE_ZONE).date())


def _date(day: date) -> str:
    return f"{day:%d %b %Y}"


def differences(positions: Iterable[Position], lots: Iterable[Lot], symbol: str | None = None) -> list[str]:
    """A sentence for each instrument of which the broker holds another quantity than the lots add up to."""
    held: dict[int, Decimal] = {}
    booked: dict[int, Decimal] = {}
    names: dict[int, str] = {}
    for p in positions:
        if symbol in (None, p.symbol):
            held[p.con_id], names[p.con_id] = p.signed_quantity, p.label
    for lot in lots:
        if symbol in (None, lot.symbol):
            booked[lot.con_id] = booked.get(lot.con_id, Decimal(0)) + lot.signed_quantity
            names.setdefault(lot.con_id, lot.label)
    return [
        f"{name}: the broker holds {quantity(held.get(con_id, Decimal(0)))}, these lots are {quantity(booked.get(con_id, Decimal(0)))}: "
        "a trade is missing here."
        for con_id, name in sorted(names.items(), key=lambda item: item[1])
        if held.get(con_id, Decimal(0)) != booked.get(con_id, Decimal(0))
    ]


def summary_text(facts: Mapping[str, Any], zone: ZoneInfo) -> str:
    """The daily summary, also the sign of life."""
    base = str(facts["currency"])
    link = Link(
        wanted=True, connected=True, reconciled=True, epoch=0, account=facts["account"] or None,
        mode=Mode(facts["mode"]) if facts["mode"] else None,
    )  # fmt: skip
    day = date.fromisoformat(facts["session"])
    lines = [f"📋 <b>Daily summary, {day:%a %d %b}</b>", badge(link)]
    if facts["late_seconds"]:
        lines.append(
            f"⏱ Late: that session closed {_ago(facts['late_seconds'])} ago, and this could not be sent then."
        )
    change = _amount(facts["change"])
    moved = (
        ""
        if change is None
        else f" · {money(change, base, signed=True)} since {date.fromisoformat(facts['since']):%d %b}"
    )
    lines.append(f"Account {money(_amount(facts['net_liquidation']), base)}{moved}")
    mark = f"{MARK} " if facts["realized_provisional"] else ""
    lines.append(
        f"Realised {mark}{money(_amount(facts['realized']), base, signed=True)} · "
        f"unrealised {money(_amount(facts['unrealized']), base, signed=True)}"
    )
    lines.append(_fills_line(facts, base))
    lines += map(_end_line, facts.get("ended", ()))
    lines.append(f"Open orders: {facts['open_orders']}")
    lines += _holdings(facts["positions"])
    lines += [f"⚠️ {escape(trouble)}" for trouble in facts["trouble"]] or ["🟢 All well."]
    return "\n".join(lines)


def _fills_line(facts: Mapping[str, Any], base: str) -> str:
    if not facts["fills"]:
        return "No fills."
    unknown = facts["commissions_unknown"]
    more = f" and {unknown} not reported yet" if unknown else ""
    return (
        f"Fills: {facts['fills']} · bought {money(_amount(facts['bought']), base)} · sold {money(_amount(facts['sold']), base)} · "
        f"commissions {money(_amount(facts['commissions']), base)}{more}"
    )


def _end_line(told: Sequence[str]) -> str:
    """`1 AAPL 190 C 18 Dec 26 exercised: BUY 100 AAPL @ 190.00`."""
    how, count, name, *moved = told
    line = f"   {quantity(_amount(count))} {escape(name)} {how.lower()}"
    if not moved:
        return line
    side, shares, symbol, strike = moved
    return f"{line}: {side} {quantity(_amount(shares))} {escape(symbol)} @ {plain_price(_amount(strike))}"


def _holdings(positions: Sequence[Sequence[str | None]] | None) -> list[str]:
    if positions is None:
        return ["Positions: not known now."]
    if not positions:
        return ["No positions."]
    lines = [
        f"   {escape(symbol or '')} {quantity(_amount(held))} · {money(_amount(value), currency or '')} · "
        f"{money(_amount(gain), currency or '', signed=True)}"
        for symbol, held, value, gain, currency in positions[:MOST]
    ]
    more = [f"   … and {len(positions) - MOST} more."] if len(positions) > MOST else []
    return [f"Positions: {len(positions)}", *lines, *more]


def _ago(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _amount(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
