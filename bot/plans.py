"""Plans of options in words: the card of a plan, what is held of them, and what their owner should hear in time. Pure functions to HTML.

A net price is signed inside (above zero it is paid) and worded outside: debit 3.20, credit 0.76.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html import escape
from typing import Any

from bot import text
from bot.text import NBSP, average, badge, money, net_price, plain_price, quantity
from core.cards import spot_of
from core.model import (
    Account,
    Buttons,
    Leg,
    Link,
    OptionQuote,
    OptionTerms,
    Position,
    Quote,
    Side,
    Ticket,
    simple,
)
from core.options.life import Event, EventKind, NudgeKind
from core.options.plan import Action, Greeks, Group, Outcome, PlanLeg, PlanPreview
from core.options.strategies import label

DASH = "–"
MINUS = "\N{MINUS SIGN}"
MOST_ROWS = 12


def is_plan(ticket: Ticket) -> bool:
    """Whether a card is about options."""
    return ticket.instrument.kind in ("OPT", "BAG")


def signed_net(ticket: Ticket, price: Decimal | None) -> Decimal | None:
    """A price of this ticket as a net per unit: paid above zero, received below."""
    return None if price is None else price * ticket.side.sign


def worded(ticket: Ticket, net: Decimal | None) -> str:
    """A signed net as it is said of this ticket: `debit 3.20` of a combination, the bare price of a single option."""
    if ticket.instrument.kind == "BAG" or net is None:
        return net_price(net)
    return plain_price(net * ticket.side.sign)


def title(preview: PlanPreview) -> str:
    """`BUY 1 AAPL BULL_CALL_SPREAD 190/200 18 Dec 26 · $325.00 debit at most`: the first line, readable on a watch."""
    ticket = preview.ticket
    verb, name = text.verb_and_name(ticket.side, ticket.instrument.label)
    verb = verb if preview.action is Action.OPEN else preview.action
    return f"<b>{verb} {quantity(ticket.quantity)} {escape(name)}</b>{_total(ticket)}"


def _total(ticket: Ticket) -> str:
    """What leaves or comes at the furthest limit, for all of it."""
    net = signed_net(ticket, ticket.worst_limit)
    if net is None:
        return ""
    whole = money(abs(net) * ticket.quantity * ticket.instrument.multiplier, ticket.instrument.currency)
    return f" · {whole} {'credit at least' if net < 0 else 'debit at most'}"


def card(preview: PlanPreview, link: Link, account: Account | None, seconds: float, tap: str = "Send") -> str:
    """What a plan will do before it leaves, drawn from the very ticket that is sent.

    `seconds`: how long it can be sent; 0 for a card that only shows. `tap` is the button that sends it.
    """
    lines = [title(preview), escape(preview.underlying.name), badge(link), *facts(preview, account)]
    if preview.again:
        lines += ["", f"⚠️ {escape(preview.again)}"]
    if preview.denials:
        lines += ["", *text.denial_lines(preview.denials, unit(preview.ticket))]
    elif seconds:
        lines += ["", f"Nothing is sent before you tap {tap}. This card is good for {seconds:.0f} s."]
    else:
        lines += ["", "A preview: nothing can be sent from here."]
    return "\n".join(lines)


def picture_title(preview: PlanPreview) -> str:
    """What stands under the picture of a plan."""
    _, name = text.verb_and_name(preview.ticket.side, preview.ticket.instrument.label)
    quotes = [leg.quote for leg in preview.legs if leg.leg.option]
    today = "" if any(q is None or q.volatility is None for q in quotes) else ", and today"
    return f"<b>{escape(name)}</b>: gain and loss at expiry{today}"


def spot_price(preview: PlanPreview) -> Decimal | None:
    """What the underlying trades at; None where nobody knows."""
    return spot_of(preview.spot)


def unit(ticket: Ticket) -> str:
    """What one of it is called."""
    return {"OPT": "contract", "BAG": "combination"}.get(ticket.instrument.kind, "share")


def facts(preview: PlanPreview, account: Account | None) -> list[str]:
    """Everything between the title of a plan and its buttons: also for a proposal, which has a title and an end of its own."""
    ticket, currency = preview.ticket, preview.ticket.instrument.currency
    lines = [spot_line(preview)]
    lines += leg_lines(preview)
    lines.append(price_line(preview))
    if preview.action is Action.CLOSE:
        least = "" if preview.gain is None else " at least,"
        gain = f"{money(preview.gain, currency, signed=True)}{least}"
        lines.append(f"Gain {gain} against average cost, before the commission of closing")
    if preview.outcome is not None:
        lines += outcome_lines(preview.outcome, currency)
        lines += counted_lines(preview)
    if preview.probability is not None and preview.outcome is not None:
        lines.append(probability_line(preview.probability, preview.volatility))
    if preview.greeks is not None:
        lines += greek_lines(preview.greeks, currency)
    lines += text.margin_lines(preview, account)
    if preview.risk is not None and preview.action is not Action.CLOSE:
        lines.append(risk_line(preview.risk, preview.outcome, account, currency))
    lines += text.time_lines(ticket)
    lines += [f"ℹ️ {escape(note)}" for note in preview.notes]
    return lines


def risk_line(risk: Decimal, outcome: Outcome | None, account: Account | None, currency: str) -> str:
    """What it counts for under the limit on the risk of a trade: its worst case, or, where shares are behind it, an assumed stop of theirs."""
    base = account.currency if account else currency
    worst = None if outcome is None else outcome.max_loss
    at_worst = base != currency or worst is None or risk >= worst
    what = "Risk" if at_worst else "Measured by an assumed stop of the share:"
    return f"{what} {money(risk, base)}{_share(risk, account)}"


def _share(risk: Decimal, account: Account | None) -> str:
    if account is None or not account.net_liquidation:
        return ""
    return " " + f"({risk / account.net_liquidation * 100:.2f}% of the account)".replace(" ", NBSP)


def spot_line(preview: PlanPreview) -> str:
    """The underlying's own market."""
    name = escape(preview.underlying.symbol)
    if preview.spot is None:
        return f"{name}: no price now"
    return f"{name}: {text.quote_line(preview.spot)}"


def leg_lines(preview: PlanPreview) -> list[str]:
    """The legs with their markets; those of a roll under what goes and what comes."""
    if preview.action is not Action.ROLL:
        return [leg_line(leg, preview.ticket.quantity, preview.spot) for leg in preview.legs]
    first = min((leg.leg.option.expiry for leg in preview.legs if leg.leg.option), default=None)
    goes = [leg for leg in preview.legs if leg.leg.option is not None and leg.leg.option.expiry == first]
    comes = [leg for leg in preview.legs if leg not in goes]
    count = preview.ticket.quantity
    return [
        "Goes:",
        *(leg_line(leg, count) for leg in goes),
        "Comes:",
        *(leg_line(leg, count) for leg in comes),
    ]


def leg_line(leg: PlanLeg, count: Decimal = Decimal(1), spot: Quote | None = None) -> str:
    """`buy 1 · 190 C 18 Dec 26` (contracts, or shares, of all that is ordered), and below it, since a phone has no room beside it,
    `3.55/3.65 · IV 24% · Δ 0.51`.
    """
    moved = leg.leg.ratio * count
    what = "shares" if leg.leg.option is None else option_name(leg.leg.option)
    head = f"{'buy' if moved > 0 else 'sell'} {quantity(abs(moved))} · {what}"
    quote = leg.quote or (spot if leg.leg.option is None else None)
    if quote is None:
        return f"{head}\n   no price now"
    parts = [f"{plain_price(quote.bid)}/{plain_price(quote.ask)}"]
    if leg.leg.option is not None and isinstance(quote, OptionQuote):
        parts += [f"IV{NBSP}{percent(quote.volatility)}", f"Δ{NBSP}{decimals(quote.delta)}"]
    late = [] if not quote.delayed else ["⚠️ DELAYED"]
    return f"{head}\n   {' · '.join([*parts, *late])}"


def option_name(option: OptionTerms) -> str:
    """`190 C 18 Dec 26`: an option where its symbol is known."""
    return option.label("").strip()


def percent(share: float | None) -> str:
    """A share such as 0.24 as 24%; a dash where it is unknown."""
    return DASH if share is None else f"{share * 100:.0f}%"


def decimals(value: float | None, places: int = 2) -> str:
    """A figure that is no money; a dash where it is unknown."""
    return DASH if value is None else f"{value:.{places}f}".replace("-", MINUS)


def price_line(preview: PlanPreview) -> str:
    """The market of the whole, and between which limits the order moves."""
    ticket = preview.ticket
    sides = (preview.net_bid, preview.net_ask)
    bid, ask = (worded(ticket, net) for net in (sides if ticket.side is Side.BUY else sides[::-1]))
    start, final = signed_net(ticket, ticket.limit_price), signed_net(ticket, ticket.final_limit)
    at_mid = " (mid)" if _is_mid(preview) else ""
    reach = ""
    if final is not None and final != start:
        reach = f", {'at least' if final < 0 else 'at most'} {worded(ticket, final)}"
    return f"Market {bid} / {ask} a share\nStarts at {worded(ticket, start)}{at_mid}{reach}"


def _is_mid(preview: PlanPreview) -> bool:
    mid, start = preview.mid, signed_net(preview.ticket, preview.ticket.limit_price)
    return mid is not None and start is not None and abs(mid - start) < preview.ticket.instrument.min_tick


def outcome_lines(outcome: Outcome, currency: str) -> list[str]:
    """What it can bring and cost at expiry."""
    gain = "unlimited" if outcome.max_gain is None else money(outcome.max_gain, currency)
    loss = "⚠️ unlimited" if outcome.max_loss is None else money(outcome.max_loss, currency)
    lines = [f"Max gain {gain} · max loss {loss}"]
    points = " and ".join(plain_price(price.quantize(text.CENT)) for price in outcome.break_evens)
    if points:
        lines.append(f"Break-even{'s' if len(outcome.break_evens) > 1 else ''} at expiry {points}")
    return lines


def counted_lines(preview: PlanPreview) -> list[str]:
    """What gain and loss count beside the order itself: shares that are held already, or the value of what a roll closes."""
    if preview.action is Action.ROLL:
        return ["Gain and loss are of what comes, with what goes at its value now; Greeks are the change."]
    bought = any(leg.leg.option is None for leg in preview.legs)
    shares = sum((leg.ratio for leg in preview.judged if leg.option is None), 0)
    if bought or not shares:
        return []
    held = quantity(shares * preview.ticket.quantity)
    start = _cents(spot_price(preview))
    return [
        f"Gain and loss count {held} {escape(preview.underlying.symbol)} that you hold, from {start} on; Greeks do not."
    ]


def probability_line(probability: float, volatility: float | None) -> str:
    """How likely a profit is, and under which assumption that is so."""
    sigma = "" if volatility is None else f" of {percent(volatility)} a year"
    return f"Profit at expiry {percent(probability)} likely, if the implied volatility{sigma} comes true"


def greek_lines(greeks: Greeks, currency: str) -> list[str]:
    """The Greeks of the whole, in money."""

    def told(value: float) -> str:
        return money(Decimal(f"{value:.2f}") + 0, currency, signed=True)

    whose = " (worked out here; the broker told none)" if greeks.ours else ""
    return [
        f"Δ{NBSP}{told(greeks.delta)} a dollar · Γ{NBSP}{told(greeks.gamma)} of that",
        f"Θ{NBSP}{told(greeks.theta)} a day · vega{NBSP}{told(greeks.vega)} a point{whose}",
    ]


# --- what is held ------------------------------------------------------------------------------------------------------------


def held_of(group: Group, leg: Leg) -> tuple[Position | None, Decimal]:
    """The position behind a leg, and which part of it (0 to 1) belongs to the group."""
    position = next((p for p in group.positions if p.con_id == leg.con_id), None)
    if position is None or not position.signed_quantity:
        return None, Decimal(0)
    return position, leg.ratio * group.count / position.signed_quantity


def worth(group: Group) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """(net cost, value, gain) of a group in its currency, signed as held; None where a part is not known."""
    cost: list[Decimal | None] = []
    value: list[Decimal | None] = []
    gain: list[Decimal | None] = []
    for leg in group.legs:
        position, part = held_of(group, leg)
        if position is None:
            return None, None, None
        cost.append(
            None if position.average_cost is None else position.average_cost * leg.ratio * group.count
        )
        value.append(None if position.market_value is None else position.market_value * part)
        gain.append(None if position.unrealized is None else position.unrealized * part)
    return text.added(cost), text.added(value), text.added(gain)


def days_left(expiry: date, today: date) -> str:
    """How long until the last day of trading."""
    days = (expiry - today).days
    return (
        "expired"
        if days < 0
        else "expires today"
        if days == 0
        else f"{days} day{'s' if days > 1 else ''} left"
    )


def group_lines(group: Group, today: date) -> list[str]:
    """A strategy that is held: as one with what it cost and is worth, its legs beneath."""
    cost, value, gain = worth(group)
    name = escape(label(group.strategy, group.legs, group.symbol))
    when = f" · {days_left(group.expiry, today)}" if group.expiry else ""
    share = "" if gain is None or not cost else f" ({gain / abs(cost) * 100:+.1f}%)"
    mark = "" if gain is None else "🟢 " if gain >= 0 else "🔻 "
    paid = DASH if cost is None else f"{money(abs(cost), group.currency)} {'credit' if cost < 0 else 'debit'}"
    lines = [
        f"<b>{quantity(group.count)} {name}</b>{when}",
        f"   net {paid} · value {money(value, group.currency)} · {mark}{money(gain, group.currency, signed=True)}{share}",
    ]
    return [*lines, *(_held_leg(group, leg) for leg in group.legs)]


def _held_leg(group: Group, leg: Leg) -> str:
    position, _ = held_of(group, leg)
    held = quantity(leg.ratio * group.count).replace("-", MINUS)
    what = option_name(leg.option) if leg.option else f"{escape(group.symbol)} shares"
    each = position.average_cost if position else None
    per = leg.option.multiplier if leg.option else Decimal(1)
    return (
        f"   {held} · {what} @ {average(None if each is None else each / per)} · last "
        f"{plain_price(position.market_price if position else None)}"
    )


def held_lines(groups: Iterable[Group], today: date) -> list[str]:
    """Everything that is held: strategies as one, options and shares one by one."""
    lines: list[str] = []
    for group in groups:
        lines += group_lines(group, today) if len(group.legs) > 1 else _single_lines(group, today)
    return lines


def _single_lines(group: Group, today: date) -> list[str]:
    """Shares or an option by themselves, as much of them as belongs to nothing else."""
    position, part = held_of(group, group.legs[0])
    if position is None:
        return []

    def share(value: Decimal | None) -> Decimal | None:
        return None if value is None else value * part

    own = replace(
        position,
        signed_quantity=group.legs[0].ratio * group.count,
        market_value=share(position.market_value),
        unrealized=share(position.unrealized),
    )
    first, *rest = text.holding_lines([own])
    if own.option:
        paid = None if own.average_cost is None else own.average_cost / own.option.multiplier
        first = (
            f"<b>{quantity(own.signed_quantity)} {escape(own.label)}</b> @ {average(paid)} · "
            f"{money(own.market_value, own.currency)}"
        )
    return [f"{first} · {days_left(group.expiry, today)}" if group.expiry else first, *rest]


def has_options(group: Group) -> bool:
    """Whether it can be closed or rolled as a plan."""
    return any(leg.option for leg in group.legs)


def group_buttons(groups: Iterable[Group]) -> Buttons:
    """Close and Roll for each strategy or option that is held."""
    rows = []
    for group in [g for g in groups if has_options(g)][:MOST_ROWS]:
        name = short_name(group)
        rows.append(((f"Close {name}", f"close:{group.key}"), (f"Roll {name}", f"roll:{group.key}")))
    return tuple(rows)


def short_name(group: Group) -> str:
    """A name for a button: `AAPL 190/200 18 Dec`."""
    strikes = "/".join(
        dict.fromkeys(
            f"{s.normalize():f}" for s in sorted(leg.option.strike for leg in group.legs if leg.option)
        )
    )
    right = next((leg.option.right for leg in group.legs if leg.option), "") if len(group.legs) == 1 else ""
    day = f" {group.expiry.day} {group.expiry:%b}" if group.expiry else ""
    return f"{group.symbol} {strikes}{f' {right}' if right else ''}{day}"


# --- what should be heard in time ---------------------------------------------------------------------------------------------


def nudge_text(kind: str, name: str, told: Mapping[str, Any]) -> str:
    """Why somebody should look at what they hold: `name` of it, `told` the facts as they were written down (JSON)."""
    head = f"<b>{escape(name)}</b>"
    price = f" The share is at {_cents(told['spot'])}." if told.get("spot") else ""
    if kind == NudgeKind.EXPIRY:
        days = int(told["days_left"])
        when = "today" if days == 0 else "tomorrow" if days == 1 else f"in {days} days"
        tail = " Close or roll it, or it ends by itself: what is in the money is exercised or assigned."
        return f"⏳ {head} expires {when}.{price}{tail}"
    if kind == NudgeKind.IN_THE_MONEY:
        leg, deep = escape(str(told.get("label", ""))), _cents(told.get("in_the_money"))
        return f"⚠️ {head}: the short {leg} is in the money by {deep}.{price} It can be assigned at any time."
    if kind == NudgeKind.EX_DIVIDEND:
        leg = escape(str(told.get("label", "")))
        amount, left = plain_price(_amount(told.get("amount"))), _cents(told.get("time_value"))
        day = date.fromisoformat(str(told["ex_date"]))
        return (
            f"⚠️ {head}: ex-dividend on {day.day} {day:%b}, {amount} a share, and the short {leg} has only {left} of time value left. "
            "Who owns it gains by exercising it: expect to be assigned the day before."
        )
    return f"ℹ️ {head}"


def ended_facts(event: Event) -> dict[str, Any]:
    """What is written down of the end of an option, ready for JSON."""
    closing, shares = event.closing, event.shares
    strike = closing.option.strike if closing.option else None
    told = {
        "kind": event.kind,
        "label": closing.label,
        "symbol": closing.symbol,
        "currency": closing.currency,
        "contracts": event.contracts,
        "strike": strike,
        "side": shares.side if shares else None,
        "units": shares.quantity if shares else None,
    }
    return {name: simple(value) for name, value in told.items()}


def ended_text(told: Mapping[str, Any]) -> str:
    """An option came to its end without an order: expired, exercised, assigned, or nobody knows yet."""
    of = f"{quantity(Decimal(str(told['contracts'])))} {escape(str(told['label']))}"
    units, strike = _amount(told["units"]), _amount(told["strike"])
    if told["kind"] == EventKind.EXPIRED:
        return f"⌛ <b>{of} expired</b>\nIt is gone at no price; no shares moved."
    if told["kind"] in (EventKind.EXERCISED, EventKind.ASSIGNED) and units is not None and strike is not None:
        went = "bought" if told["side"] == Side.BUY else "sold"
        whole = money(units * strike, str(told["currency"]))
        name = escape(str(told["symbol"]))
        return (
            f"🔁 <b>{of} {'was' if told['contracts'] == '1' else 'were'} {told['kind']}</b>\n"
            f"{quantity(units)} {name} shares {went} at {plain_price(strike)} · {whole}"
        )
    return f"❓ <b>{of} is gone</b>\nThe broker took it away at no price and has not said why. /positions shows what is held."


def nudge_buttons(key: str) -> Buttons:
    """What can be done about it at once."""
    return ((("Close", f"close:{key}"), ("Roll", f"roll:{key}")),)


def _cents(value: Any) -> str:
    """A price for reading: to the cent, also where it is half way between two."""
    known = _amount(value)
    return plain_price(None if known is None else known.quantize(text.CENT))


def _amount(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))
