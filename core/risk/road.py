"""Whether anything may leave at all: the trading state, the road, the account, the approval, and whether the books explain the holding."""

from datetime import timedelta

from core.model import Denial, Mode, Ticket, TradingState
from core.risk.plans import is_plan
from core.risk.terms import Limits, Snapshot, drifted


def trading_state(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """REDUCING and HALTED let nothing through that opens or adds."""
    trading = snapshot.trading
    if trading.state is TradingState.ACTIVE:
        return None
    if trading.state is TradingState.HALTED and ticket.decision_id is not None:
        return None  # `analyst_halted` says it
    why = f" {trading.reason}" if trading.reason else ""
    return Denial(
        "TRADING_STATE",
        f"Trading is {trading.state}: only what makes a holding smaller may leave.{why}",
        remedy="/resume says what happened meanwhile and opens again",
    )


def analyst_halted(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """HALTED lets nothing of the analyst through, not even an exit: from there on a person decides."""
    if snapshot.trading.state is not TradingState.HALTED or ticket.decision_id is None:
        return None
    return Denial(
        "TRADING_STATE",
        "Trading is HALTED: proposals of the analyst wait until it is not.",
        remedy="/sell by hand, or /resume",
    )


def connected(_ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """The road is open and the books agree with the broker."""
    link = snapshot.link
    if link.trouble:
        return Denial("CONNECTION", link.trouble)
    if not link.connected:
        return Denial(
            "CONNECTION",
            "Not connected to the broker, so nothing can be sent.",
            remedy="/connect, then /status",
        )
    if not link.reconciled:
        return Denial(
            "CONNECTION",
            "The books are still being compared with the broker's; nothing leaves before they agree.",
            remedy="try again in a few seconds",
        )
    return None


def account_agrees(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The order goes to the account that it was drawn for, and that account may trade: a LIVE one only where it is armed by its name."""
    link = snapshot.link
    if link.mode is None or link.account is None:
        return Denial("ACCOUNT", "The broker has not said which account this is.", remedy="/status")
    if link.account != ticket.account:
        return Denial("ACCOUNT", "The card was drawn for another account.", ticket.account, link.account)
    if snapshot.account is not None and snapshot.account.account != link.account:
        return Denial("ACCOUNT", "The figures are another account's.", snapshot.account.account, link.account)
    if link.mode is Mode.LIVE and limits.live_account != link.account:
        return Denial(
            "LIVE_READ_ONLY",
            f"{link.account} is a LIVE account, and Greenlight is read-only there until you arm it.",
            remedy=f"LIVE_ACCOUNT={link.account} in the settings arms it; or connect a paper account (D...)",
        )
    return None


def approval(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """Its owner said yes, to these very terms, while the card was young, and just now.

    A card is drawn as if its owner had said yes, because it is what he is asked for.
    """
    approved, patience = snapshot.approved, timedelta(seconds=limits.max_approval_age_seconds)
    if approved is None:
        return Denial("APPROVAL", "Nobody has approved this order.", remedy="its card has the button")
    if approved.user != ticket.owner:
        return Denial(
            "APPROVAL", "Only the owner of a card can approve it.", f"{approved.user}", f"{ticket.owner}"
        )
    if approved.terms_hash != ticket.terms_hash():
        return Denial("APPROVAL", "The terms are not those that the card showed.", remedy="a new card")
    if not ticket.created_at <= approved.at < ticket.expires_at:
        return Denial("APPROVAL", "The card was too old when it was approved.", remedy="a new card")
    if not approved.at <= snapshot.now <= approved.at + patience:
        age = (snapshot.now - approved.at).total_seconds()
        return Denial(
            "APPROVAL",
            "The approval is too old.",
            f"{age:.0f} s",
            f"{limits.max_approval_age_seconds} s",
            "a new card",
        )
    return None


def books_explain(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """The books explain what the broker holds of this instrument, and of a plan of everything in its symbol: an order that adds to a
    holding nobody understands is not sent.
    """
    thing = ticket.instrument
    whole = thing.symbol if is_plan(ticket) else None
    drift = next((d for d in snapshot.drifts if d.con_id == thing.con_id or d.symbol == whole), None)
    if drift is None:
        return None
    return Denial(
        "POSITION_DRIFT",
        f"The broker holds {drift.told:f} {drift.label}, the books of Greenlight explain {drift.reckoned:f}.",
        remedy="/positions offers to take over the broker's figure",
    )


def drift(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The market is still where the card saw it."""
    if ticket.reference_price <= 0:
        return Denial("DRIFT", "The card showed no price to go by.", remedy="a new card")
    moved = drifted(ticket, snapshot.quote, limits)
    if moved is None:
        return None
    return Denial(
        "DRIFT",
        "The price has moved away from what the card showed.",
        f"{moved * 100:.2f} %",
        f"{limits.max_drift_percent:f} %",
        "a new card",
    )
