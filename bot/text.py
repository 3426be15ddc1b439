"""What is shown: pure functions from values to the chat's HTML. Every value is escaped; every line is closed in itself."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape
from zoneinfo import ZoneInfo

from core.analyst import Answer
from core.executor import Preview
from core.model import (
    Account,
    Buttons,
    Denial,
    Link,
    Mode,
    Order,
    OrderState,
    OrderType,
    Position,
    Quote,
    Role,
    Side,
    StoredDecision,
    Ticket,
    TimeInForce,
    Trade,
)
from core.proposer import Proposal

LIMIT = 4096
SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def money(value: Decimal | None, currency: str = "USD", *, signed: bool = False) -> str:
    """An amount with its currency; a dash where it is unknown, never a zero."""
    if value is None:
        return "–"
    sign = "-" if value < 0 else "+" if signed else ""
    mark = SIGNS.get(currency, f"{currency} ")
    return f"{sign}{mark}{abs(value):,.2f}"


def plain_price(value: Decimal | None) -> str:
    """A price with at least two decimals and as many as it has; a dash where it is unknown."""
    if value is None:
        return "–"
    places = max(2, -int(value.normalize().as_tuple().exponent))
    return f"{value:,.{min(places, 6)}f}"


def quantity(value: Decimal | None) -> str:
    """A number of shares."""
    return "–" if value is None else f"{value.normalize():,f}"


def badge(link: Link) -> str:
    """Whose money this is, on everything that shows money. A paper account is the broker's simulated money."""
    if link.mode is Mode.LIVE:
        return f"🔴 <b>LIVE</b> · {escape(link.account or '')}"
    if link.mode is Mode.PAPER:
        return f"SIMULATED · {escape(link.account or '')}"
    return "not connected"


def terms(thing: Ticket | Order) -> str:
    """`BUY 10 AAPL @ 187.50 GTC`: the first line of everything about an order, readable on a watch."""
    symbol = thing.instrument.symbol if isinstance(thing, Ticket) else thing.symbol
    where = {
        OrderType.MARKET: "at market",
        OrderType.LIMIT: f"@ {plain_price(thing.limit_price)}",
        OrderType.STOP: f"stop {plain_price(thing.stop_price)}",
        OrderType.OTHER: "(special order)",
    }[thing.order_type]
    tail = " GTC" if thing.tif is TimeInForce.GTC else ""
    return escape(f"{thing.side} {quantity(thing.quantity)} {symbol} {where}{tail}")


def local(moment: datetime, zone: ZoneInfo) -> str:
    """A time as the owner reads clocks."""
    return moment.astimezone(zone).strftime("%d %b %H:%M:%S")


def quote_line(quote: Quote | None) -> str:
    """Bid and ask, marked where they are delayed."""
    if quote is None:
        return "No price now"
    late = " · ⚠️ DELAYED" if quote.delayed else ""
    return (
        f"Bid {plain_price(quote.bid)} · ask {plain_price(quote.ask)} · last {plain_price(quote.last)}{late}"
    )


def denial_line(denial: Denial) -> str:
    """One refusal with its figure, its limit and what would pass."""
    figures = (
        f" {escape(denial.figure)} (limit {escape(denial.limit)})." if denial.figure and denial.limit else ""
    )
    remedy = f" What would pass: {escape(denial.remedy)}." if denial.remedy else ""
    return f"⛔ {escape(denial.message)}{figures}{remedy}"


def card(preview: Preview, link: Link, account: Account | None, cap: Decimal, seconds: float) -> str:
    """What an order will do before it leaves: drawn from the very ticket that is sent."""
    ticket, currency = preview.ticket, preview.ticket.instrument.currency
    after = None if preview.held is None else preview.held + ticket.side.sign * ticket.quantity
    about = "≈ " if ticket.order_type is not OrderType.LIMIT else ""
    value = "" if preview.value is None else f" · {about}{money(preview.value, currency)}"
    lines = [
        f"<b>{terms(ticket)}</b>{value}",
        f"{escape(ticket.instrument.name)} · {badge(link)}",
        quote_line(preview.quote),
        f"Position {quantity(preview.held)} → {quantity(after)} {escape(ticket.instrument.symbol)}",
    ]
    if preview.what_if is not None:
        base = account.currency if account else currency
        what = preview.what_if
        lines.append(
            f"Margin {money(what.initial_margin_change, base, signed=True)} · "
            f"commission {money(what.commission, what.commission_currency or base)}"
        )
        if what.warning:
            lines.append(f"⚠️ {escape(what.warning)}")
    elif not preview.denials:
        lines.append("⚠️ The broker did not say what it does to margin.")
    if ticket.side is Side.BUY:
        lines.append(risk_line(preview, account))
    lines += [
        f"First takes down its {order.role.lower()} {escape(terms(order))} (#{order.number})"
        for order in preview.takes_down
    ]
    if account is not None and ticket.side is Side.BUY:
        lines.append(
            f"Cash {money(account.cash, account.currency)} · position cap {money(cap, account.currency)}"
        )
    if preview.denials:
        lines += ["", *map(denial_line, preview.denials)]
    elif seconds:
        lines += ["", f"Nothing is sent before you tap Send. This card is good for {seconds:.0f} s."]
    else:
        lines += ["", "A preview: nothing can be sent from here."]
    return "\n".join(lines)


def risk_line(preview: Preview, account: Account | None) -> str:
    """What an entry loses at its stop; or that nothing bounds it, and what it is then measured by."""
    ticket = preview.ticket
    share = ""
    if preview.risk is not None and account is not None and account.net_liquidation:
        share = f" ({preview.risk / account.net_liquidation * 100:.2f}% of the account)"
    base = account.currency if account else ticket.instrument.currency
    if ticket.stop_loss is None:
        target = f"Target {plain_price(ticket.take_profit)} · " if ticket.take_profit is not None else ""
        measured = (
            f" Measured as {money(preview.risk, base)}{share}, at a stop that is not there."
            if preview.risk is not None
            else ""
        )
        return f"{target}⚠️ Risk not bounded: no stop.{measured}"
    target = f" · target {plain_price(ticket.take_profit)}" if ticket.take_profit is not None else ""
    return f"Stop {plain_price(ticket.stop_loss)}{target} · risk {money(preview.risk, base)}{share}"


MAX_REASON, MAX_EVIDENCE = 700, 4


def cut(words: str, most: int) -> str:
    """Foreign text, escaped, at most `most` characters long."""
    return escape(words if len(words) <= most else words[: most - 1].rstrip() + "…")


def time_left(left: timedelta) -> str:
    """How long something is still good for."""
    seconds = max(int(left.total_seconds()), 0)
    return f"{seconds // 60} min left" if seconds >= 120 else f"{seconds} s left"


def analysis(proposal: Proposal, link: Link, account: Account | None) -> str:
    """The end of an analysis: a card, or the reasons without one, or what went wrong."""
    call = proposal.answer.call
    if proposal.decision is None:
        return f"<b>{escape(call.ticker)}: no verdict.</b>\n{escape(proposal.answer.words)}\n{cost_line(proposal.answer)}"
    body = proposal_text(proposal.decision, proposal.preview, link, account, proposal.why_not)
    return f"{body}\n{cost_line(proposal.answer)}"


def cost_line(answer: Answer) -> str:
    """Which model answered, how long it took and what it cost; an unknown price is unpriced, not nothing."""
    call = answer.call
    cost = "unpriced" if call.cost is None else f"${call.cost:.4f}"
    return f"<i>{escape(call.model)} · {call.latency_seconds:.1f} s · {cost}</i>"


def proposal_text(
    decision: StoredDecision, preview: Preview | None, link: Link, account: Account | None, why_not: str = ""
) -> str:
    """A verdict with its reasons, and the order that it would become. Everything the model wrote is foreign text."""
    term = {1: "SHORT", 5: "SHORT", 20: "MEDIUM", 60: "LONG"}.get(decision.time_horizon, "")
    sessions = "session" if decision.time_horizon == 1 else "sessions"
    lines = [
        f"<b>{escape(decision.verdict)} {escape(decision.ticker)}</b> · confidence {decision.confidence}% · "
        f"{decision.time_horizon} {sessions} ({term} term)"
    ]
    if decision.demo:
        lines.append("🧪 <b>DEMO</b>: rules of the simulation, not an AI.")
    if decision.injection_suspected:
        lines.append("⚠️ The model suspects that some text tried to give it orders.")
    if preview is not None:
        lines += _order_of(preview, link, account)
    else:
        levels = f"Target {plain_price(decision.target_price)} · stop {plain_price(decision.stop_loss)} · {badge(link)}"
        lines.append(levels)
    lines.append(f"\n{cut(decision.reasoning, MAX_REASON)}")
    lines += [
        f"· {cut(says, 160)} <i>({cut(fact, 40)})</i>" for fact, says in decision.evidence[:MAX_EVIDENCE]
    ]
    lines.append(f"<b>Against it:</b> {cut(decision.bear_case, MAX_REASON)}")
    if preview is not None and preview.denials:
        lines += ["", *map(denial_line, preview.denials)]
    elif preview is not None:
        left = preview.ticket.expires_at - preview.ticket.created_at
        lines.append(f"\nNothing is sent before you tap Approve · {time_left(left)}.")
    if why_not:
        lines.append(f"\n{escape(why_not)}")
    return "\n".join(lines)


def _order_of(preview: Preview, link: Link, account: Account | None) -> list[str]:
    ticket, currency = preview.ticket, preview.ticket.instrument.currency
    after = None if preview.held is None else preview.held + ticket.side.sign * ticket.quantity
    lines = [
        f"<b>{terms(ticket)}</b> · ≈ {money(preview.value, currency)} · {badge(link)}",
        quote_line(preview.quote),
        f"Position {quantity(preview.held)} → {quantity(after)} {escape(ticket.instrument.symbol)}",
    ]
    if ticket.side is Side.BUY:
        lines.append(risk_line(preview, account))
    lines += [
        f"First takes down its {order.role.lower()} {terms(order)} (#{order.number})"
        for order in preview.takes_down
    ]
    if preview.what_if is not None:
        base = account.currency if account else currency
        lines.append(
            f"Margin {money(preview.what_if.initial_margin_change, base, signed=True)} · "
            f"commission {money(preview.what_if.commission, preview.what_if.commission_currency or base)}"
        )
    return lines


STATE_WORDS = {
    OrderState.SENDING: "⏳ sending",
    OrderState.WORKING: "🟢 working",
    OrderState.PARTIAL: "🟢 partly filled",
    OrderState.FILLED: "✅ FILLED",
    OrderState.CANCELLED: "✖️ cancelled",
    OrderState.REJECTED: "⛔ REJECTED by the broker",
    OrderState.SUSPENDED: "⏸ held by the broker",
    OrderState.UNKNOWN: "❓ UNKNOWN: the broker has not shown this order. It is not sent again; it is looked for.",
    OrderState.NOT_AT_BROKER: "✖️ not at the broker",
}


def order_state(order: Order) -> str:
    """`#17 · working 7/10 @ 187.42`."""
    filled = ""
    if order.filled:
        filled = f" {quantity(order.filled)}/{quantity(order.quantity)} @ {plain_price(order.average_price)}"
    asked = " · cancel asked" if order.cancel_requested_at and order.state.is_open else ""
    return f"#{order.number} · {STATE_WORDS[order.state]}{filled}{asked}"


def order_card(order: Order, children: Sequence[Order], link: Link) -> str:
    """The one message of an order and of the bracket that belongs to it, edited in place while they work."""
    lines = [f"<b>{terms(order)}</b>", order_state(order)]
    for child in children:
        price = child.stop_price if child.role is Role.STOP else child.limit_price
        lines.append(f"   {child.role.lower()} {plain_price(price)} · {order_state(child)}")
    if order.reason:
        lines.append(escape(order.reason))
    lines.append(f"EXTERNAL · {badge(link)}" if order.external else badge(link))
    return "\n".join(lines)


def order_buttons(order: Order) -> Buttons:
    """What can still be done with it."""
    if order.state is OrderState.UNKNOWN:
        return ((("I looked in TWS: it is not there", f"settle:{order.number}"),),)
    if order.state.is_open and not order.cancel_requested_at:
        what = "Cancel" if order.role is Role.ENTRY else f"Cancel the {order.role.lower()}"
        return (((what, f"cancel:{order.number}"),),)
    return ()


def order_news(order: Order, state: OrderState, commission: str, position: str, link: Link) -> str:
    """A new message for what a person must know. It names the order, so that a repeat is recognised."""
    what = {Role.STOP: "Stop hit: ", Role.TARGET: "Target reached: "}.get(order.role, "")
    heads = {
        OrderState.FILLED: f"✅ <b>{what}FILLED {terms(order)}</b>",
        OrderState.CANCELLED: f"✖️ <b>Cancelled {terms(order)}</b>",
        OrderState.REJECTED: f"⛔ <b>REJECTED {terms(order)}</b>",
        OrderState.SUSPENDED: f"⏸ <b>Held by the broker: {terms(order)}</b>",
        OrderState.UNKNOWN: f"❓ <b>UNKNOWN {terms(order)}</b>",
        OrderState.NOT_AT_BROKER: f"✖️ <b>Not at the broker: {terms(order)}</b>",
        OrderState.WORKING: f"👁 <b>Placed elsewhere: {terms(order)}</b>",
        OrderState.PARTIAL: f"👁 <b>Placed elsewhere: {terms(order)}</b>",
        OrderState.SENDING: f"<b>{terms(order)}</b>",
    }
    lines = [heads[state]]
    if order.filled:
        total = None if order.average_price is None else order.average_price * order.filled
        done = (
            f"{quantity(order.filled)} @ {plain_price(order.average_price)} · {money(total, order.currency)}"
        )
        lines.append(done + (f" · commission {commission}" if commission else ""))
    if position:
        lines.append(position)
    if order.reason:
        lines.append(escape(order.reason))
    if state is OrderState.UNKNOWN:
        lines.append(
            "The broker does not show it (yet). It counts as open, it is never sent again, and you hear when it is found. Look in TWS if in doubt."
        )
    if order.external:
        lines.append("This order was not placed here; it is shown and counted, and left alone.")
    lines.append(f"#{order.number} · {badge(link)}")
    return "\n".join(lines)


def position_lines(positions: Sequence[Position]) -> list[str]:
    """A holding in two lines, and the total of each currency below."""
    lines: list[str] = []
    for p in sorted(positions, key=lambda p: p.symbol):
        lines.append(
            f"<b>{escape(p.symbol)}</b> {quantity(p.signed_quantity)} @ {plain_price(p.average_cost)} · {money(p.market_value, p.currency)}"
        )
        share = _percent(p.unrealized, p.average_cost, p.signed_quantity)
        mark = "" if p.unrealized is None else "🟢 " if p.unrealized >= 0 else "🔻 "
        lines.append(
            f"   last {plain_price(p.market_price)} · {mark}{money(p.unrealized, p.currency, signed=True)}{share}"
        )
    for currency in dict.fromkeys(p.currency for p in positions):
        own = [p for p in positions if p.currency == currency]
        values, gains = [p.market_value for p in own], [p.unrealized for p in own]
        lines.append(f"\nTotal {money(_sum(values), currency)} · {money(_sum(gains), currency, signed=True)}")
    return lines


def _percent(gain: Decimal | None, cost: Decimal | None, held: Decimal) -> str:
    if gain is None or not cost or not held:
        return ""
    return f" ({gain / abs(cost * held) * 100:+.1f}%)"


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    """A total; unknown as soon as a part is."""
    total = Decimal(0)
    for value in values:
        if value is None:
            return None
        total += value
    return total


def trade_line(trade: Trade, zone: ZoneInfo) -> str:
    """One execution."""
    done = trade.execution
    what = f"{done.side} {quantity(done.quantity)} {escape(done.symbol)} @ {plain_price(done.price)}"
    cost = (
        "commission –"
        if trade.commission is None
        else f"commission {money(trade.commission, trade.commission_currency or '')}"
    )
    which = f" · #{trade.order_number}" if trade.order_number else ""
    which += f" · AI {trade.confidence}%" if trade.confidence is not None else ""
    return f"<b>{what}</b>\n   {local(done.time, zone)} · {money(done.quantity * done.price, done.currency)} · {cost}{which}"


def pages(text: str, limit: int = LIMIT) -> list[str]:
    """Split at line ends so that each part is at most `limit` long. Lines are closed in themselves, so the markup survives.

    A line that is longer than a page is cut; should that cut a mark-up, the sender falls back to the bare words.
    """
    parts: list[str] = []
    current: str | None = None
    for whole in text.split("\n"):
        for line in [whole[at : at + limit] for at in range(0, len(whole), limit)] or [""]:
            if current is not None and len(current) + 1 + len(line) <= limit:
                current = f"{current}\n{line}"
            else:
                parts += [] if current is None else [current]
                current = line
    return [part for part in [*parts, current or ""] if part.strip()]
