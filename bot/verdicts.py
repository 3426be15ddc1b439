"""What the analyst said, as it is shown: the verdict, its reasons and what speaks against it, and the order that it would become."""

from collections.abc import Sequence
from datetime import timedelta
from html import escape

from bot.text import (
    NBSP,
    badge,
    denial_lines,
    margin_lines,
    money,
    plain_price,
    position_line,
    protection_lines,
    quote_line,
    risk_line,
    terms,
    time_lines,
)
from core.analyst import Answer
from core.cards import Preview
from core.model import Account, Link, Side, StoredDecision
from core.options.plan import PlanPreview
from core.proposer import Proposal

MAX_REASON, MAX_WHY, MAX_EVIDENCE = 700, 300, 4


def cut(words: str, most: int) -> str:
    """Foreign text, escaped, at most `most` characters long."""
    return escape(words if len(words) <= most else words[: most - 1].rstrip() + "…")


def time_left(left: timedelta) -> str:
    """How long something is still good for."""
    seconds = max(int(left.total_seconds()), 0)
    return f"{seconds // 60} min left" if seconds >= 120 else f"{seconds} s left"


def analysis(proposal: Proposal, link: Link, account: Account | None, plan_lines: Sequence[str] = ()) -> str:
    """The end of an analysis: a card, or the reasons without one, or what went wrong. `plan_lines` are the part of a plan of options."""
    call = proposal.answer.call
    if proposal.decision is None:
        said = [
            f"<b>{escape(call.ticker)}: no verdict.</b>",
            escape(proposal.answer.words),
            cost_line(proposal.answer),
        ]
        return "\n".join([*said, badge(link)])
    body = proposal_text(proposal.decision, proposal.preview, link, account, proposal.why_not, plan_lines)
    return f"{body}\n{cost_line(proposal.answer)}"


def cost_line(answer: Answer) -> str:
    """Which model answered, how long it took and what it cost; an unknown price is said to be unknown, and is not nothing."""
    call = answer.call
    cost = "price of this model unknown" if call.cost is None else f"${call.cost:.4f}"
    cost = "demo, free" if answer.demo else cost
    return f"<i>{escape(call.model)} · {call.latency_seconds:.1f} s · {cost}</i>"


def proposal_text(
    decision: StoredDecision,
    preview: Preview | PlanPreview | None,
    link: Link,
    account: Account | None,
    why_not: str = "",
    plan_lines: Sequence[str] = (),
) -> str:
    """A verdict with its reasons, and the order that it would become. Everything the model wrote is foreign text.

    `plan_lines` are what the card of a plan of options says between its title and its end.
    """
    term = {1: "SHORT", 5: "SHORT", 20: "MEDIUM", 60: "LONG"}.get(decision.time_horizon, "")
    unit = "session" if decision.time_horizon == 1 else "sessions"
    lines = [
        f"<b>{escape(decision.verdict)} {escape(decision.ticker)}</b> · confidence {decision.confidence}%",
        f"{decision.time_horizon} {unit} ({term} term)",
    ]
    if decision.demo:
        lines.append("🧪 <b>DEMO</b>: simple rules, not an AI.")
    if decision.injection_suspected:
        lines.append("⚠️ The model suspects that some text tried to give it orders.")
    if isinstance(preview, Preview):
        lines += _order_of(preview, link, account)
    elif preview is not None:
        lines += plan_lines
    else:
        levels = f"Target {plain_price(decision.target_price)} · stop {plain_price(decision.stop_loss)} · {badge(link)}"
        lines.append(levels)
    lines += _plan_of(decision, has_card=preview is not None)
    lines.append(f"\n{cut(decision.reasoning, MAX_REASON)}")
    lines += [f"· {cut(says, 160)}{_named(fact, says)}" for fact, says in decision.evidence[:MAX_EVIDENCE]]
    lines.append(f"<b>Against it:</b> {cut(decision.bear_case, MAX_REASON)}")
    if preview is not None and preview.denials:
        unit = "share" if isinstance(preview, Preview) else "combination"
        lines += ["", *denial_lines(preview.denials, unit)]
    elif preview is not None:
        left = preview.ticket.expires_at - preview.ticket.created_at
        lines.append(f"\nNothing is sent before you tap Approve.\n{time_left(left).capitalize()}.")
    if why_not:
        lines.append(f"\n{escape(why_not)}")
    return "\n".join(lines)


def _plan_of(decision: StoredDecision, *, has_card: bool) -> list[str]:
    """The plan of options that a decision proposes, and why; where there is a card of it, only why."""
    plan = decision.option_plan
    if plan is None:
        return []
    strikes = "/".join(f"{strike.normalize():f}" for strike in plan.strikes)
    name = f"{plan.strategy} {strikes} {plan.expiry.day} {plan.expiry:%b %y}"
    why = f"<b>Why options:</b> {cut(plan.why, MAX_WHY)}"
    return ["", why] if has_card else [f"Proposes {escape(name)}", "", why]


def _order_of(preview: Preview, link: Link, account: Account | None) -> list[str]:
    ticket, currency = preview.ticket, preview.ticket.instrument.currency
    lines = [
        f"<b>{terms(ticket)}</b> · ≈{NBSP}{money(preview.value, currency)}",
        badge(link),
        quote_line(preview.quote),
        position_line(preview),
    ]
    if ticket.side is Side.BUY:
        lines.append(risk_line(preview, account))
    lines += [*protection_lines(preview), *time_lines(ticket)]
    return lines if preview.what_if is None else [*lines, *margin_lines(preview, account)]


# The facts by the names that people have for them.
_FACTS = {
    "rsi14": "RSI 14",
    "sma20": "20-day average",
    "sma50": "50-day average",
    "sma200": "200-day average",
    "macd": "MACD",
    "macd_signal": "MACD signal",
    "macd_histogram": "MACD histogram",
    "atr14": "ATR 14",
    "high_52w": "52-week high",
    "low_52w": "52-week low",
    "day_change_percent": "change today",
    "volume_ratio": "volume against its average",
    "relative_strength_spy": "strength against SPY",
    "position_quantity": "your holding",
    "position_cost": "what your holding cost",
    "exposure_percent": "your exposure",
    "net_liquidation": "value of the account",
    "open_orders_count": "open orders",
    "quote_delayed": "age of the quote",
}


def _named(fact: str, says: str) -> str:
    """The name of the fact behind what is said of it, unless that has it already."""
    name = fact_name(fact)
    return "" if name.lower() in says.lower() else f" <i>({cut(name, 40)})</i>"


def fact_name(fact: str) -> str:
    """What a person calls a fact."""
    return _FACTS.get(fact, fact.replace("_", " "))
