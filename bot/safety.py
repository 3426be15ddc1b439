"""The panic ladder and the limits in words: what a halt did, what it left, what closing everything would cost, how much of each limit is used."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from html import escape, unescape
from zoneinfo import ZoneInfo

from bot import history, text
from core.cards import Preview
from core.model import Account, Buttons, Link, Order, Ticket, Trade, Trading, TradingState
from core.options.plan import PlanPreview
from core.panic import Flattened, Halt, Leaving, Panic
from core.risk import Limits, Unit, Use

MOST = 12
"""Orders that are named one by one."""
MARKS = {TradingState.ACTIVE: "🟢", TradingState.REDUCING: "🟠", TradingState.HALTED: "🛑"}
MEANS = {
    TradingState.ACTIVE: "Orders leave when they pass your limits.",
    TradingState.REDUCING: "Only orders that make a holding smaller leave. /resume opens again.",
    TradingState.HALTED: "Only your own orders that make a holding smaller leave. /resume opens again.",
}
NAMES = {
    "max_position_size": "Largest position",
    "max_gross_exposure_percent": "Held and on its way",
    "max_hour_value_base": "Worth of entries in an hour",
    "max_day_value_base": "Worth of entries today",
    "max_orders_per_minute": "Entries in a minute",
    "max_orders_per_day": "Entries today",
    "max_filled_orders_per_symbol_hour": "Entries filled in an hour",
    "halt_at_rejects": "Rejections in 5 minutes",
    "reduce_at_day_loss_percent": "Loss today, closed to entries",
    "halt_at_day_loss_percent": "Loss today, halted",
    "min_excess_liquidity_percent": "Free of margin",
}
"""What /risk calls a limit that is used up; its setting stands behind it."""


def state_lines(trading: Trading, zone: ZoneInfo) -> list[str]:
    """The trading state, why and since when, and what it means."""
    since = f" since {text.local(trading.since, zone)}" if trading.since and trading.reason else ""
    head = f"{MARKS[trading.state]} <b>{trading.state}</b>{since}"
    return [head, *([escape(trading.reason)] if trading.reason else []), MEANS[trading.state]]


def halted(
    reason: str,
    cancelling: Sequence[Order],
    unreachable: Sequence[Order],
    staying: Sequence[Order],
    external: Sequence[Order],
    *,
    bare: Sequence[tuple[str, Decimal]],
    connected: bool,
    link: Link,
) -> str:
    """What a halt does, and what it leaves alone."""
    lines = ["🛑 <b>HALTED</b>", escape(reason), "Nothing that opens or adds leaves any more."]
    if not connected and (cancelling or staying or external):
        lines.append(
            "⚠️ The broker cannot be reached now. First thing when it is back, what could add is cancelled."
        )
    if cancelling:
        what = "Cancelling" if connected else "Will be cancelled"
        lines.append(f"\n<b>{what} {_count(cancelling)} that could add</b>")
        lines += _named(cancelling)
    elif connected:
        lines.append(
            "No order of yours could add anything that can be cancelled from here."
            if unreachable
            else "No order of yours could add anything."
        )
    if unreachable:
        lines.append(
            f"\n⚠️ <b>{_count(unreachable)} that could add cannot be cancelled from here: do it in TWS</b>"
        )
        lines += _named(unreachable)
    if bare:
        lines.append(
            "\n⚠️ <b>Left with nothing that protects or closes them</b> (that was larger than what is held):"
        )
        lines += [f"{escape(symbol)} {text.quantity(held)}" for symbol, held in bare]
    if staying:
        lines += [f"\n<b>Left working: {_count(staying)} that protect or close</b>", *_named(staying)]
    if external:
        lines += [f"\n<b>Placed elsewhere: {_count(external)}</b>, left alone", *_named(external)]
        reached = sum(1 for order in external if _reached(order, link.client_id))
        if reached:
            lines.append("Each needs its own tap." if reached == len(external) else "Some have a tap below.")
        if reached < len(external):
            lines.append("What has none can only be cancelled where it was placed.")
    return "\n".join([*lines, "", "/resume opens again, /flatten closes everything.", text.badge(link)])


def halted_aloud(done: Halt, link: Link) -> str:
    """The same of a halt that the disk did not take, for when nothing can be written down first."""
    words = halted(
        done.reason,
        done.cancelling,
        done.unreachable,
        done.staying,
        done.external,
        bare=done.bare,
        connected=done.connected,
        link=link,
    )
    return f"⚠️ <b>The disk did not take it yet</b>: until it does, it holds only as long as this process runs.\n{words}"


def halted_buttons(staying: Sequence[Order], external: Sequence[Order], client_id: int) -> Buttons:
    """The second rung, and a tap for each order of somebody else that can be reached from here."""
    rows = []
    if staying:
        rows.append(((f"Cancel these {len(staying)} too", "rest:"),))
    rows += [(text.cancel_button(o),) for o in external if _reached(o, client_id)][:MOST]
    return tuple(rows)


def _reached(order: Order, client_id: int) -> bool:
    """Whether a message from here could cancel it: the broker knows it by a number of ours."""
    return order.order_id > 0 and order.client_id == client_id


def _count(orders: Sequence[Order]) -> str:
    return f"{len(orders)} order{'s' if len(orders) != 1 else ''}"


def _named(orders: Sequence[Order]) -> list[str]:
    lines = [f"#{order.number} {text.terms(order)}" for order in orders[:MOST]]
    return [*lines, f"… and {len(orders) - MOST} more; /orders lists them."] if len(orders) > MOST else lines


async def halt_lines(panic: Panic) -> list[str]:
    """A halt from the command line, and what it did in plain lines."""
    done = await panic.halt("Halted from the command line.")
    lines = ["HALTED. Nothing that opens or adds leaves any more."]
    if not done.written:
        lines.append(
            "The disk did not take it yet: until it does, it holds only as long as the bot runs. Make room."
        )
    if not done.connected:
        lines.append(
            "The broker cannot be reached now. First thing when it is back, what could add is cancelled."
        )
    lines += [f"{what}: {_count(orders)}." for what, orders in _lists(done)]
    lines += [f"  #{o.number} {unescape(text.terms(o))}" for _, orders in _lists(done) for o in orders[:MOST]]
    return lines


def _lists(done: Halt) -> list[tuple[str, Sequence[Order]]]:
    what = "Cancelling" if done.connected else "To be cancelled"
    found = [
        (what, done.cancelling),
        ("NOT cancelled, do it in TWS", done.unreachable),
        ("Left working", done.staying),
        ("Placed elsewhere", done.external),
    ]
    return [(name, orders) for name, orders in found if orders]


def rest_question(orders: Sequence[Order], bare: Sequence[tuple[str, Decimal]], link: Link) -> str:
    """What cancelling the rest too would leave unprotected, before it is done."""
    lines = [f"<b>Cancel these {len(orders)} too?</b>", *_named(orders)]
    if bare:
        lines.append("\n⚠️ <b>Nothing would protect or close any more:</b>")
        lines += [f"{escape(symbol)} {text.quantity(held)}" for symbol, held in bare]
    else:
        lines.append("\nNo position would lose its last stop or closing order.")
    return "\n".join([*lines, text.badge(link)])


def flatten_question(
    leaving: Sequence[Leaving], adding: Sequence[Order], account: Account | None, link: Link
) -> str:
    """What closing everything means: each order, what it costs, what stays because it cannot be closed from here."""
    lines = ["<b>Close everything at market?</b>", text.badge(link)]
    total: Decimal | None = Decimal(0)
    for one in leaving:
        if one.preview is None:
            lines += _staying_lines(one)
            continue
        lines += _leaving_lines(one, one.preview.ticket)
        lines += _closing_lines(one)
        cost = _cost(one, account)
        total = None if total is None or cost is None else total + cost
    if not any(one.preview for one in leaving):
        return "\n".join([*lines, "Nothing that is held can be closed from here."])
    base = account.currency if account else "USD"
    known = text.money(total, base) if total is not None else "not wholly known"
    lines.append(f"\nHalf the spread and commissions, about: {known}")
    if adding:
        lines.append(f"Trading is halted first, and {_count(adding)} that could add cancelled.")
    else:
        lines.append("Trading is halted first.")
    return "\n".join([*lines, "Stops and targets are taken down for it, holding by holding."])


def _leaving_lines(one: Leaving, ticket: Ticket) -> list[str]:
    assert one.preview is not None
    value = text.money(one.preview.value, ticket.instrument.currency)
    lines = [f"{text.terms(ticket)} · ≈{text.NBSP}{value}"]
    lines += [f"   {line}" for line in text.time_lines(ticket) if "⏸" in line or "closed" in line]
    lines += [f"   {line}" for line in text.denial_lines(one.preview.denials)]
    if part := one.position.signed_quantity % 1:
        lines.append(f"   ⚠️ {text.quantity(abs(part))} of a share stays: close it in TWS")
    if one.preview.again:
        lines.append(f"   ⚠️ {escape(one.preview.again)}")
    return lines


def _staying_lines(one: Leaving) -> list[str]:
    return [f"⚠️ {escape(one.position.symbol)} stays: {escape(one.problem)}", *_closing_lines(one)]


def _closing_lines(one: Leaving) -> list[str]:
    """Orders that close a part of a holding already are left as they are, and may rest far from the market."""
    return [
        f"   ⚠️ {text.quantity(o.remaining)} of it wait in #{o.number} {text.terms(o)}: /cancel {o.number} first, to close them now"
        for o in one.closing
    ]


def _cost(one: Leaving, account: Account | None) -> Decimal | None:
    """Half the spread and the commission of closing a holding, in base currency; None where a part of it is not known."""
    preview = one.preview
    if preview is None or account is None or preview.what_if is None or preview.what_if.commission is None:
        return None
    rate = account.rate(one.position.currency)
    paid = account.rate(preview.what_if.commission_currency or one.position.currency)
    half = _half_spread(preview)
    if rate is None or paid is None or half is None:
        return None
    size = preview.ticket.quantity * preview.ticket.instrument.multiplier
    return half * size * rate + preview.what_if.commission * paid


def _half_spread(preview: Preview | PlanPreview) -> Decimal | None:
    if isinstance(preview, PlanPreview):
        bid, ask = preview.net_bid, preview.net_ask
    else:
        bid, ask = (preview.quote.bid, preview.quote.ask) if preview.quote else (None, None)
    return None if bid is None or ask is None else (ask - bid) / 2


def flattened(done: Flattened, link: Link) -> str:
    """What closing everything has begun."""
    leaving = sum(1 for _, problem in done.sent if not problem)
    of = len(done.sent) + len(done.left)
    if not of:
        return f"🛑 <b>HALTED</b>\nNothing is held any more.\n{text.badge(link)}"
    lines = [f"🛑 <b>HALTED, and {leaving} of {of} holdings on their way out</b>"]
    lines += [f"⚠️ {text.terms(ticket)}: {escape(problem)}" for ticket, problem in done.sent if problem]
    lines += [f"⚠️ {escape(position.symbol)}: {escape(problem)}" for position, problem in done.left]
    if done.sent:
        lines.append("Each has its own card; you hear of every fill.")
    return "\n".join([*lines, text.badge(link)])


def meanwhile(
    trading: Trading,
    trades: Sequence[Trade],
    working: Sequence[Order],
    account: Account | None,
    zone: ZoneInfo,
    link: Link,
    blocked: Sequence[str],
) -> str:
    """What happened since trading was closed, before it is opened again."""
    lines = [*state_lines(trading, zone)[:2], "", "<b>Since then</b>"]
    fills = history.trade_lines(trades, zone)
    lines += fills[:MOST] or ["Nothing was filled."]
    if len(fills) > MOST:
        lines.append(f"… and {len(fills) - MOST} more; /trades lists them.")
    lines.append(f"\n<b>Still working: {_count(working)}</b>" if working else "\nNo order is working.")
    lines += _named(working)
    if account is not None and account.day_gain is not None:
        lines.append(f"\nToday {text.money(account.day_gain, account.currency, signed=True)}")
    lines += [f"⚠️ {escape(words)}" for words in blocked]
    return "\n".join([*lines, text.badge(link)])


def risk_text(
    trading: Trading,
    uses: Sequence[Use],
    limits: Limits,
    denials: Sequence[tuple[datetime, str]],
    account: Account | None,
    zone: ZoneInfo,
    link: Link,
) -> str:
    """Every limit, how much of it is used, and what was refused last."""
    base = account.currency if account else "USD"
    lines = [*state_lines(trading, zone), text.badge(link), "", "<b>Used</b>"]
    lines += [_use_line(use, base) for use in uses]
    shares, contracts = f"{limits.max_order_shares:,f}", f"{limits.max_order_contracts:,f}"
    lines += [
        "",
        "<b>One order</b>",
        f"At most {shares} shares, {contracts} contracts, {text.money(limits.max_order_value_base, base)}",
        f"At its stop at most {_amount(limits.max_portfolio_risk * 100, Unit.PERCENT, base)} of the account",
        f"Limit at most {limits.max_collar_percent:f}% through the market ({limits.max_collar_percent_below_5:f}% below 5)",
        f"Price at most {limits.max_quote_age_seconds} s old, moved at most {limits.max_drift_percent:f}% since the card",
        f"Spread at most {limits.max_spread_percent:f}%, jump since the close at most {limits.max_jump_percent:f}%",
        f"The same again within {limits.same_order_seconds} s is asked twice",
    ]
    if limits.allowed_symbols:
        lines.append(f"Only {escape(', '.join(sorted(limits.allowed_symbols)))}")
    if limits.denied_symbols:
        lines.append(f"Never {escape(', '.join(sorted(limits.denied_symbols)))}")
    lines += ["", "<b>Last refused</b>"]
    lines += [f"{text.local(at, zone)} · {escape(what)}" for at, what in denials] or ["Nothing yet."]
    return "\n".join(
        [*lines, "", "None of this keeps you from getting out. The limits are settings; /help risk explains."]
    )


LOSSES = frozenset({"reduce_at_day_loss_percent", "halt_at_day_loss_percent"})


def _use_line(use: Use, base: str) -> str:
    mark = ""
    if use.used is not None and (use.used < use.limit if use.least else use.used >= use.limit):
        mark = "⛔ "
    about = f" ({escape(use.about)})" if use.about else ""
    between = "at least" if use.least else "of"
    if use.setting in LOSSES and use.used is not None and use.used <= 0:
        gain = _amount(-use.used, use.unit, base)
        return f"{NAMES[use.setting]}: none (+{gain}) of {_amount(use.limit, use.unit, base)}"
    return f"{mark}{NAMES[use.setting]}{about}: {_amount(use.used, use.unit, base)} {between} {_amount(use.limit, use.unit, base)}"


def _amount(value: Decimal | None, unit: Unit, base: str) -> str:
    if value is None:
        return "not known"
    if unit is Unit.MONEY:
        return text.money(value, base)
    if unit is Unit.PERCENT:
        shown = value.quantize(Decimal("0.01")).normalize()
        return f"{shown:f}%"
    return f"{value:f}"
