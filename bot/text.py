"""What is shown: pure functions from values to the chat's HTML. Every value is escaped; every line is closed in itself."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from zoneinfo import ZoneInfo

from core import sessions
from core.cards import Preview
from core.lots import EXCHANGE_ZONE
from core.model import (
    Account,
    Buttons,
    Denial,
    Drift,
    Instrument,
    Link,
    Mode,
    Order,
    OrderState,
    OrderType,
    Position,
    Quote,
    Role,
    Side,
    Ticket,
    TimeInForce,
)
from core.options.plan import PlanPreview

LIMIT = 4096
NBSP = "\N{NO-BREAK SPACE}"
CENT = Decimal("0.01")
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


def average(value: Decimal | None) -> str:
    """An average of prices, as people read it: to the cent, below one to the hundredth of it."""
    if value is None:
        return "–"
    return plain_price(value.quantize(CENT if abs(value) >= 1 else CENT * CENT))


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
    """`BUY 10 AAPL @ 187.50 GTC`: the first line of everything about an order, readable on a watch.

    What may wait says for how long; a market order does not wait.
    """
    kind, name = (
        (thing.instrument.kind, thing.instrument.label)
        if isinstance(thing, Ticket)
        else (thing.kind, thing.label)
    )
    is_whole = kind == "BAG"
    where = {
        OrderType.MARKET: "at market",
        OrderType.LIMIT: net_price(thing.limit_price) if is_whole else f"@ {plain_price(thing.limit_price)}",
        OrderType.STOP: f"stop {plain_price(thing.stop_price)}",
        OrderType.OTHER: "(special order)",
    }[thing.order_type]
    waits = thing.order_type in (OrderType.LIMIT, OrderType.STOP) or thing.tif is TimeInForce.GTC
    tail = f" {thing.tif}" if waits else ""
    change = f"CHANGE #{thing.modifies} → " if isinstance(thing, Ticket) and thing.modifies else ""
    verb, name = verb_and_name(thing.side, name) if is_whole else (thing.side, name)
    return escape(f"{change}{verb} {quantity(thing.quantity)} {name} {where}{tail}")


def verb_and_name(side: Side, name: str) -> tuple[str, str]:
    """What is done with a combination, and to which: every one is bought, so one that closes or rolls says so in its name."""
    first, _, rest = name.partition(" ")
    return (first.upper(), rest) if rest and first in ("Close", "Roll") else (side, name)


def net_price(value: Decimal | None) -> str:
    """The price of a combination: `debit 3.20` is paid, `credit 0.76` received, per share; a dash where it is unknown."""
    if value is None:
        return "–"
    return f"{'credit' if value < 0 else 'debit' if value else 'even'} {plain_price(abs(value))}"


def net_average(value: Decimal | None) -> str:
    """An average of such prices, as people read it."""
    return "–" if value is None else f"{'credit' if value < 0 else 'debit'} {average(abs(value))}"


def traded_at(order: Order) -> str:
    """At what an order has traded on average: `@ 187.42`, or `debit 3.20` of a combination."""
    if order.kind == "BAG":
        return net_average(order.average_price)
    return f"@ {average(order.average_price)}"


def zone_name(zone: ZoneInfo) -> str:
    """`New York`: where clocks read so."""
    return zone.key.rpartition("/")[2].replace("_", " ")


def local(moment: datetime, zone: ZoneInfo) -> str:
    """A time as the owner reads clocks, and whose clock that is."""
    return f"{moment.astimezone(zone):%d %b %H:%M} {zone_name(zone)}"


def opening(instrument: Instrument, now: datetime) -> str | None:
    """When a market that is closed now opens: `Mon 09:30 New York`, empty where that is not known. None while it is open, or may be."""
    hours = sessions.parse(instrument.hours, instrument.time_zone)
    if hours.is_open(now) is not False:
        return None
    opens = hours.next_open(now)
    return "" if opens is None else f"{opens.astimezone(EXCHANGE_ZONE):%a %H:%M} {zone_name(EXCHANGE_ZONE)}"


def quote_line(quote: Quote | None) -> str:
    """Bid and ask, marked where they are delayed."""
    if quote is None:
        return "No price now"
    late = " · ⚠️ DELAYED" if quote.delayed else ""
    return (
        f"Bid {plain_price(quote.bid)} · ask {plain_price(quote.ask)} · last {plain_price(quote.last)}{late}"
    )


# How the figure and the limit of a refusal read as a sentence; what is not here is measured: "It is ..., the limit is ...".
_FIGURES = {
    "ACCOUNT": "The card says {figure}, this is {limit}.",
    "BRACKET": "You asked for {figure}, it must lie {limit}.",
    "CASH_KEPT": "That is {figure}, and {limit} are left for it.",
    "COLLAR": "You asked for {figure}, the furthest is {limit}.",
    "DAY_VALUE": "They would come to {figure}, the limit is {limit}.",
    "DRIFT": "It moved by {figure}, the limit is {limit}.",
    "EXCESS_LIQUIDITY": "{figure} would be left, the least is {limit}.",
    "GROSS_EXPOSURE": "It would come to {figure}, the limit is {limit}.",
    "HOUR_VALUE": "They would come to {figure}, the limit is {limit}.",
    "ORDER_SIZE": "You asked for {figure}, the limit is {limit}.",
    "POSITION_CAP": "It would be worth {figure}, the limit is {limit}.",
    "PRICE": "You asked for {figure}, it must be {limit}.",
    "QUANTITY": "You asked for {figure}, it must be {limit}.",
    "QUOTE_CROSSED": "It is {figure}, it should be {limit}.",
    "RISK_PER_TRADE": "That is {figure}, the limit is {limit}.",
    "SHORT_SALE": "You asked for {figure}, the limit is {limit}.",
    "STOP_SIDE": "You asked for {figure}, it must lie {limit}.",
    "TICK": "You asked for {figure}, prices go in steps of {limit}.",
}
_MEASURED = frozenset(
    {
        "POSITION_CAP",
        "RISK_PER_TRADE",
        "ORDER_VALUE",
        "HOUR_VALUE",
        "DAY_VALUE",
        "GROSS_EXPOSURE",
        "EXCESS_LIQUIDITY",
        "CASH_KEPT",
    }
)
_SIZES = _MEASURED | {"SHORT_SALE", "ORDER_SIZE"}
_UNMEASURABLE = frozenset(
    {"BRACKET", "NOT_A_NUMBER", "POSITION_UNKNOWN", "PRICE", "PRICE_UNKNOWN", "QUANTITY", "SHORT_SALE"}
)


def denial_line(denial: Denial, *, remedy: bool = True) -> str:
    """One refusal with its figure, its limit and what would pass."""
    figures = ""
    if denial.figure and denial.limit:
        sentence = _FIGURES.get(denial.code, "It is {figure}, the limit is {limit}.")
        figures = " " + escape(sentence.format(figure=denial.figure, limit=denial.limit))
    advice = ""
    if denial.remedy and remedy:
        passes = denial.remedy[0].isdigit()
        advice = f" What would pass: {escape(denial.remedy)}." if passes else f" {_sentence(denial.remedy)}"
    return f"⛔ {escape(denial.message)}{figures}{advice}"


def _sentence(words: str) -> str:
    return f"{escape(words[0].upper() + words[1:])}."


def denial_lines(denials: Sequence[Denial], unit: str = "share") -> list[str]:
    """Every refusal in a line of its own, and once behind them the quantity (of `unit`) that passes all of them.

    Where a price or the quantity itself cannot be meant, nothing is measured by it: that would only contradict.
    """
    codes = {denial.code for denial in denials}
    told = [d for d in denials if d.code not in _MEASURED or not codes & _UNMEASURABLE]
    sizes = [d for d in told if d.code in _SIZES and (d.figure or d.code == "SHORT_SALE")]
    lines = [denial_line(d, remedy=d not in sizes) for d in told]
    if sizes and all(d.fits for d in sizes):
        fits = min(Decimal(d.fits or 0) for d in sizes)
        lines.append(f"What would pass: {quantity(fits)} {unit if fits == 1 else f'{unit}s'}.")
    elif sizes:
        lines.append(f"Not even one {unit} would pass.")
    return lines


def protection_lines(preview: Preview) -> list[str]:
    """What a sale does to the stops and targets of its holding, and whether that leaves shares without a stop while it waits."""
    lines, bare = [], Decimal(0)
    for order, left in preview.takes_down:
        price = order.stop_price if order.role is Role.STOP else order.limit_price
        name = order.role.lower()
        if left:
            lines.append(
                f"{name.capitalize()} #{order.number}: {quantity(order.remaining)} → {quantity(left)} shares"
            )
        else:
            lines.append(
                f"First takes down its {name} #{order.number} (sells{NBSP}at{NBSP}{plain_price(price)})"
            )
        if order.role is Role.STOP:
            bare += order.remaining - left
    if bare and preview.ticket.order_type is not OrderType.MARKET:
        what = "limit" if preview.ticket.order_type is OrderType.LIMIT else "order"
        lines.append(f"⚠️ {quantity(bare)} shares have no stop while this {what} waits.")
    return lines


def position_line(preview: Preview) -> str:
    """`Position 40 → 50 AAPL (+10 waiting)`: before and after, and what other orders may still add."""
    ticket = preview.ticket
    after = None if preview.held is None else preview.held + ticket.side.sign * ticket.quantity
    sign = "+" if ticket.side is Side.BUY else "-"
    waiting = f" ({sign}{quantity(preview.waiting)}{NBSP}waiting)" if preview.waiting else ""
    return (
        f"Position {quantity(preview.held)} → {quantity(after)} {escape(ticket.instrument.symbol)}{waiting}"
    )


def time_lines(ticket: Ticket) -> list[str]:
    """What the calendar does to an order: the market is closed, or the day ends before the protection is needed."""
    lines = []
    opens = opening(ticket.instrument, ticket.created_at)
    if opens is not None:
        lines.append(f"⏸ Market closed{f'; opens {opens}' if opens else ''}. The order waits for that.")
    if (ticket.side, ticket.order_type, ticket.tif) == (Side.SELL, OrderType.STOP, TimeInForce.DAY):
        lines.append("⚠️ This stop ends with the session: DAY. Write gtc behind it to keep it.")
    return lines


def card(preview: Preview, link: Link, account: Account | None, cap: Decimal, seconds: float) -> str:
    """What an order will do before it leaves: drawn from the very ticket that is sent."""
    ticket, currency = preview.ticket, preview.ticket.instrument.currency
    about = f"≈{NBSP}" if ticket.order_type is not OrderType.LIMIT else ""
    value = "" if preview.value is None else f" · {about}{money(preview.value, currency)}"
    lines = [
        f"<b>{terms(ticket)}</b>{value}",
        escape(ticket.instrument.name),
        badge(link),
        quote_line(preview.quote),
        position_line(preview),
        *margin_lines(preview, account),
    ]
    if ticket.side is Side.BUY:
        lines.append(risk_line(preview, account))
    lines += [*protection_lines(preview), *time_lines(ticket)]
    if account is not None and ticket.side is Side.BUY:
        lines += [
            f"Cash {money(account.cash, account.currency)}",
            f"Position cap {money(cap, account.currency)}",
        ]
    if preview.again:
        lines += ["", f"⚠️ {escape(preview.again)}"]
    if preview.denials:
        lines += ["", *denial_lines(preview.denials)]
    elif seconds:
        lines += ["", f"Nothing is sent before you tap Send. This card is good for {seconds:.0f} s."]
    else:
        lines += ["", "A preview: nothing can be sent from here."]
    return "\n".join(lines)


def change_card(preview: Preview, link: Link, seconds: float) -> str:
    """What a change will do to an order before it leaves."""
    order, ticket = preview.changes, preview.ticket
    value = "" if preview.value is None else f" · {money(preview.value, ticket.instrument.currency)}"
    lines = [f"<b>{terms(ticket)}</b>{value}", badge(link), quote_line(preview.quote)]
    if order is not None:
        done = f" · {quantity(order.filled)} filled" if order.filled else ""
        lines.insert(1, f"Now: {terms(order)}{done}")
        if order.protects:
            lines.append(f"It is the {order.role.lower()} of {escape(order.symbol)}.")
    if preview.denials:
        return "\n".join([*lines, "", *denial_lines(preview.denials)])
    return "\n".join(
        [*lines, "", f"Nothing is changed before you tap Send. This card is good for {seconds:.0f} s."]
    )


def change_story(ticket: Ticket, order: Order | None, link: Link) -> str:
    """The card of a change after its tap: asked, done, or not."""
    lines = [f"<b>{terms(ticket)}</b>", badge(link)]
    if order is not None and order.change is not None and order.change.ref == ticket.ticket_id:
        lines.append("⏳ Change asked; until the broker confirms it the old terms hold.")
    elif order is not None and (order.quantity, order.limit_price, order.stop_price) == (
        ticket.quantity,
        ticket.limit_price,
        ticket.stop_price,
    ):
        lines.append("✏️ Changed.")
    else:
        now = f" Now: {terms(order)} · {order_state(order)}" if order is not None else ""
        lines.append(f"Not changed, or changed again since.{now}")
    return "\n".join(lines)


def margin_lines(preview: Preview | PlanPreview, account: Account | None) -> list[str]:
    """What the broker forecasts: margin, commission, and his warning."""
    what = preview.what_if
    if what is None:
        return [] if preview.denials else ["⚠️ The broker did not say what it does to margin."]
    base = account.currency if account else preview.ticket.instrument.currency
    lines = [
        f"Margin {money(what.initial_margin_change, base, signed=True)} · "
        f"commission{NBSP}{money(what.commission, what.commission_currency or base)}"
    ]
    return [*lines, f"⚠️ {escape(what.warning)}"] if what.warning else lines


def risk_line(preview: Preview, account: Account | None) -> str:
    """What an entry loses at its stop; or that nothing bounds it, and what it is then measured by."""
    ticket = preview.ticket
    share = ""
    if preview.risk is not None and account is not None and account.net_liquidation:
        part = f"({preview.risk / account.net_liquidation * 100:.2f}% of the account)"
        share = " " + part.replace(" ", NBSP)
    base = account.currency if account else ticket.instrument.currency
    if ticket.stop_loss is None:
        target = f"Target {plain_price(ticket.take_profit)}\n" if ticket.take_profit is not None else ""
        measured = (
            f"\nMeasured by an assumed stop: {money(preview.risk, base)}{share}"
            if preview.risk is not None
            else ""
        )
        return f"{target}⚠️ Risk not bounded: no stop.{measured}"
    target = f" · target {plain_price(ticket.take_profit)}" if ticket.take_profit is not None else ""
    return f"Stop {plain_price(ticket.stop_loss)}{target}\nRisk {money(preview.risk, base)}{share}"


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


def order_state(order: Order, entry: Order | None = None, opens: str | None = None) -> str:
    """`#17 · working 7/10 @ 187.42`.

    `entry` is the order that a stop or target came with, `opens` when the market that is closed now opens: both may be what it waits for.
    """
    filled = ""
    if order.filled:
        filled = f" {quantity(order.filled)}/{quantity(order.quantity)} {traded_at(order)}"
    asked = " · cancel asked" if order.cancel_requested_at and order.state.is_open else ""
    if order.change is not None:
        asked = f" · change asked{asked}"
    state = STATE_WORDS[order.state]
    if order.state in (OrderState.SENDING, OrderState.WORKING):
        if entry is not None and entry.state.is_open and not entry.filled:
            state = "⏸ waits for the entry"
        elif opens is not None and order.state is OrderState.WORKING and not order.protects:
            state = f"⏸ waits for the open{f', {opens}' if opens else ''}"
    return f"#{order.number} · {state}{filled}{asked}"


def order_card(
    order: Order,
    children: Sequence[Order],
    link: Link,
    opens: str | None = None,
    began: Decimal | None = None,
) -> str:
    """The one message of an order and of the bracket that belongs to it, edited in place while they work.

    `began` is the limit that an order began with which may be repriced.
    """
    lines = [f"<b>{terms(order)}</b>", order_state(order, opens=opens)]
    lines += [f"   {reprice_line(order, began)}"] if reprice_line(order, began) else []
    for child in children:
        price = child.stop_price if child.role is Role.STOP else child.limit_price
        lines.append(f"   {child.role.lower()} {plain_price(price)} · {order_state(child, order)}")
    if order.reason:
        lines.append(escape(order.reason))
    lines.append(f"EXTERNAL · {badge(link)}" if order.external else badge(link))
    return "\n".join(lines)


def reprice_line(order: Order, began: Decimal | None) -> str:
    """`repriced 3.15 → 3.20 (at most 3.25)`: where the limit began, where it is, and how far it may go; empty where it stays."""
    now, last = order.limit_price, order.final_limit
    if last is None or now is None or (last == now and began in (None, now)):
        return ""
    worded = net_price if order.kind == "BAG" else plain_price
    furthest = "at least" if order.side is Side.SELL or last < 0 else "at most"
    if began in (None, now):
        return f"starts at {worded(now)}, {furthest} {worded(last)}"
    told = f"repriced {worded(began)} → {worded(now)} ({furthest} {worded(last)})"
    if last != now or not order.state.is_open:
        return told
    return f"{told}; there it stays. For another price /cancel {order.number} and ask anew."


def order_buttons(order: Order) -> Buttons:
    """What can still be done with it."""
    if order.state is OrderState.UNKNOWN:
        return ((("I looked in TWS: it is not there", f"settle:{order.number}"),),)
    if order.state.is_open and not order.cancel_requested_at:
        what = "Cancel" if order.role is Role.ENTRY else f"Cancel the {order.role.lower()}"
        return (((what, f"cancel:{order.number}"),),)
    return ()


def cancel_button(order: Order) -> tuple[str, str]:
    """The button that cancels an order, named by what it is for."""
    what = f"{order.side}" if order.role is Role.ENTRY else order.role.lower()
    if order.role is Role.ENTRY and order.order_type is OrderType.STOP:
        what += " stop"
    return (
        f"Cancel #{order.number} {what} {quantity(order.remaining)} {order.label}",
        f"cancel:{order.number}",
    )


def order_news(
    order: Order,
    state: OrderState,
    commission: str,
    position: str,
    link: Link,
    gain: str = "",
    notes: Iterable[str] = (),
) -> str:
    """A new message for what a person must know. It names the order, so that a repeat is recognised.

    `notes` are plain words of what it means for the holding.
    """
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
        paid = None if order.average_price is None else order.average_price * order.filled * order.multiplier
        whole = money(paid if paid is None else abs(paid), order.currency)
        went = "" if order.kind == "STK" or not paid else f" {way(paid * order.side.sign)}"
        done = f"{quantity(order.filled)} {traded_at(order)} · {whole}{went}"
        lines.append(done)
        lines += [f"Commission {commission}"] if commission else []
    if gain:
        lines.append(f"Realised {gain}")
    if position:
        lines.append(position)
    lines += map(escape, notes)
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


def way(paid: Decimal) -> str:
    """Which way a net in money went."""
    return "received" if paid < 0 else "paid"


def position_lines(positions: Sequence[Position]) -> list[str]:
    """A holding in two lines, and the total of each currency below."""
    return [*holding_lines(positions), *total_lines(positions)]


def holding_lines(positions: Sequence[Position]) -> list[str]:
    """A holding in two lines; the price that an option cost is that of one share, its value that of all of it."""
    lines: list[str] = []
    for p in sorted(positions, key=lambda p: (p.symbol, p.label)):
        units = p.option.multiplier if p.option else Decimal(1)
        each = None if p.average_cost is None else p.average_cost / units
        lines.append(
            f"<b>{escape(p.label)}</b> {quantity(p.signed_quantity)} @ {average(each)} · {money(p.market_value, p.currency)}"
        )
        share = _percent(p.unrealized, p.average_cost, p.signed_quantity)
        mark = "" if p.unrealized is None else "🟢 " if p.unrealized >= 0 else "🔻 "
        lines.append(
            f"   last {plain_price(p.market_price)} · {mark}{money(p.unrealized, p.currency, signed=True)}{share}"
        )
    return lines


def total_lines(positions: Sequence[Position]) -> list[str]:
    """What everything is worth, for each currency."""
    lines: list[str] = []
    for currency in dict.fromkeys(p.currency for p in positions):
        own = [p for p in positions if p.currency == currency]
        values, gains = [p.market_value for p in own], [p.unrealized for p in own]
        paid = added(None if p.average_cost is None else abs(p.average_cost * p.signed_quantity) for p in own)
        share = _percent(added(gains), paid, Decimal(1))
        gain = money(added(gains), currency, signed=True)
        lines.append(f"\nTotal {money(added(values), currency)} · {gain}{share}")
    return lines


def _percent(gain: Decimal | None, cost: Decimal | None, held: Decimal) -> str:
    if gain is None or not cost or not held:
        return ""
    return f" ({gain / abs(cost * held) * 100:+.1f}%)"


def added(values: Iterable[Decimal | None]) -> Decimal | None:
    """A total; unknown as soon as a part is."""
    total = Decimal(0)
    for value in values:
        if value is None:
            return None
        total += value
    return total


def drift_lines(drifts: Sequence[Drift]) -> list[str]:
    """Holdings that the books do not explain, and what that means."""
    return [
        f"⚠️ <b>{escape(d.label)}</b>: the broker holds {quantity(d.told)}, the books explain {quantity(d.reckoned)}. Bought or sold "
        "elsewhere while Greenlight was not there, a transfer, a split? Nothing is bought in it until that is settled; sales work."
        for d in drifts
    ]


def drift_buttons(drifts: Sequence[Drift]) -> Buttons:
    """For each of them a button that settles it."""
    return tuple(
        ((f"Take over the broker's {quantity(d.told)} {d.label}", f"takeover:{d.con_id}:{d.told:f}"),)
        for d in drifts[:8]
    )


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
