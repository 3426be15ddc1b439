"""The panic ladder and the limits in words: what was done, what was left, what is not known, and nothing that is not so."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot import safety
from core.cards import Preview
from core.model import Account, Denial, Order, OrderType, Side, Trading, TradingState
from core.panic import Flattened, Leaving
from core.risk import Limits, Snapshot, usage
from tests.values import BASE, LINK, NOW, QUOTE, WHAT_IF, order, position, snapshot, ticket

ZONE = ZoneInfo("America/New_York")
LIMITS = Limits(max_position_size=Decimal(10_000))
BUYS = [order(number=n, order_type=OrderType.LIMIT, limit_price=Decimal(90)) for n in range(1, 15)]
STOP = order(number=21, side=Side.SELL, order_type=OrderType.STOP, stop_price=Decimal(80))
OTHER = order(number=31, owner=None, order_id=0)
REACHED = order(number=32, owner=None, order_id=12)
EXIT = ticket(Side.SELL)


def plain(html: str) -> str:
    """Without the tags."""
    return unescape(re.sub(r"</?b>", "", html))


def halted(**changes: Any) -> str:
    """What a halt says."""
    empty: dict[str, Any] = {"cancelling": [], "unreachable": [], "staying": [], "external": [], "bare": []}
    return plain(safety.halted("A reason <", **{**empty, "connected": True, "link": LINK, **changes}))


def preview(**changes: Any) -> Preview:
    """The card of a sale of everything."""
    usual: dict[str, Any] = {
        "ticket": EXIT, "quote": QUOTE, "held": Decimal(10), "waiting": Decimal(0), "value": Decimal(999),
        "risk": None, "offered_stop": None, "takes_down": (), "what_if": WHAT_IF, "denials": (),
    }  # fmt: skip
    return Preview(**{**usual, **changes})


def test_a_halt_with_nothing_to_do() -> None:
    """It says so, and what is next."""
    said = halted()
    assert "🛑 HALTED\nA reason <\n" in said
    assert "No order of yours could add anything." in said
    assert "/resume opens again, /flatten closes everything." in said


def test_a_halt_names_what_goes_and_what_stays() -> None:
    """Twelve by name; the rest by their number."""
    said = halted(cancelling=BUYS, staying=[STOP])
    assert "Cancelling 14 orders that could add" in said
    assert "#12 BUY 10 AAPL @ 90.00" in said
    assert "#13" not in said
    assert "… and 2 more; /orders lists them." in said
    assert "Left working: 1 order that protect or close\n#21 SELL 10 AAPL stop 80.00" in said


def test_a_halt_without_the_broker() -> None:
    """Nothing is said to be under way, and nothing is claimed of what is not known."""
    said = halted(cancelling=BUYS[:1], connected=False)
    assert "Will be cancelled 1 order" in said
    assert "Cancelling" not in said
    assert "First thing when it is back" in said
    assert "could add anything" not in halted(connected=False)


def test_what_a_halt_leaves_bare_is_named() -> None:
    """Protection that was larger than what is held goes with what could add, and that is said."""
    said = halted(cancelling=[STOP], bare=[("AAPL", Decimal(4))])
    assert (
        "Left with nothing that protects or closes them (that was larger than what is held):\nAAPL 4" in said
    )
    assert "Left with nothing" not in halted(cancelling=[STOP])


def test_what_cannot_be_cancelled_from_here() -> None:
    """Where it can be, and never that nothing could add."""
    said = halted(unreachable=BUYS[:1])
    assert "1 order that could add cannot be cancelled from here: do it in TWS\n#1 BUY" in said
    assert "No order of yours could add anything.\n" not in said


@pytest.mark.parametrize(
    ("external", "words", "buttons"),
    [
        ([REACHED], ["Each needs its own tap."], 1),
        ([OTHER], ["What has none can only be cancelled where it was placed."], 0),
        ([REACHED, OTHER], ["Some have a tap below.", "What has none can only"], 1),
        ([replace(REACHED, client_id=7)], ["What has none can only"], 0),
    ],
)
def test_orders_from_elsewhere(external: list[Order], words: list[str], buttons: int) -> None:
    """A tap for each that a message from here would hit, and the words that fit that."""
    said = halted(external=external)
    assert f"Placed elsewhere: {len(external)} order" in said
    assert all(part in said for part in words), said
    rows = safety.halted_buttons([], external, LINK.client_id)
    assert len(rows) == buttons
    assert ("own tap" in said or "tap below" in said) is bool(buttons)


def test_the_second_button_only_where_something_stays() -> None:
    """It counts what it would cancel."""
    assert safety.halted_buttons([STOP, STOP], [], 0) == ((("Cancel these 2 too", "rest:"),),)
    assert safety.halted_buttons([], [], 0) == ()


def test_what_the_rest_would_leave_bare_is_named() -> None:
    """Or that there is none."""
    said = plain(safety.rest_question([STOP], [("AAPL", Decimal(10)), ("B<", Decimal(-3))], LINK))
    assert "Nothing would protect or close any more:\nAAPL 10\nB< -3" in said
    assert "No position would lose" in plain(safety.rest_question([STOP], [], LINK))


# --- closing everything -------------------------------------------------------------------------------------------------------------


def question(*leaving: Leaving, adding: Sequence[Order] = (), account: Account | None = BASE) -> str:
    """What /flatten asks."""
    return plain(safety.flatten_question(leaving, adding, account, LINK))


def test_flatten_costs() -> None:
    """Half the spread and the commission of each, added up in base currency."""
    one = Leaving(position(10), preview())
    assert "about: $1.50" in question(one)
    assert "about: $3.00" in question(one, one)
    euro = Leaving(position(10, currency="EUR"), preview())
    assert "about: $1.55" in question(euro)


@pytest.mark.parametrize(
    "changes",
    [
        {"what_if": None},
        {"what_if": replace(WHAT_IF, commission=None)},
        {"quote": None},
        {"quote": replace(QUOTE, bid=None)},
        {"what_if": replace(WHAT_IF, commission_currency="JPY")},
    ],
)
def test_a_cost_that_is_not_known_makes_the_whole_unknown(changes: dict[str, object]) -> None:
    """Unknown is never zero."""
    assert "about: not wholly known" in question(
        Leaving(position(10), preview()), Leaving(position(5), preview(**changes))
    )


def test_without_an_account_no_cost_is_known() -> None:
    """Nor a currency."""
    assert "about: not wholly known" in question(Leaving(position(10), preview()), account=None)


def test_flatten_names_what_stays_and_what_waits() -> None:
    """With the reason, and the way out of it."""
    resting = order(number=5, side=Side.SELL, order_type=OrderType.LIMIT, limit_price=Decimal(300), filled=Decimal(4))  # fmt: skip
    said = question(
        Leaving(
            position(10), preview(denials=(Denial("PRICE_UNKNOWN", "There is no price."),)), "", (resting,)
        ),
        Leaving(position(3, symbol="E<"), None, "It is no share."),
        adding=BUYS[:2],
    )
    assert "⛔ There is no price." in said
    assert "⚠️ 6 of it wait in #5 SELL 10 AAPL @ 300.00 DAY: /cancel 5 first, to close them now" in said
    assert "⚠️ E< stays: It is no share." in said
    assert "Trading is halted first, and 2 orders that could add cancelled." in said


def test_flatten_where_nothing_can_be_closed() -> None:
    """No cost, and no promise."""
    said = question(Leaving(position(3), None, "It is no share."))
    assert "Nothing that is held can be closed from here." in said
    assert "halted first" not in said


def test_what_flatten_has_begun() -> None:
    """How many of how many, and of each that did not go, why."""
    done = Flattened(((EXIT, ""), (EXIT, "No price <")), ((position(3, symbol="EUR"), "It is no share."),))
    said = plain(safety.flattened(done, LINK))
    assert "HALTED, and 1 of 3 holdings on their way out" in said
    assert "⚠️ SELL 10 AAPL at market: No price <" in said
    assert "⚠️ EUR: It is no share." in said


def test_what_flatten_has_not_begun() -> None:
    """Nobody is told of cards that are not there."""
    none = plain(safety.flattened(Flattened((), ()), LINK))
    assert "Nothing is held any more" in none
    assert " of " not in none
    left = plain(
        safety.flattened(Flattened((), ((position(3), "All of it is on its way out already."),)), LINK)
    )
    assert "0 of 1 holdings" in left
    assert "its own card" not in left


# --- opening again, and the limits ----------------------------------------------------------------------------------------------------


def test_meanwhile_with_nothing() -> None:
    """Nothing filled, nothing working, and no gain that is not known."""
    trading = Trading(TradingState.HALTED, "why", NOW)
    said = plain(safety.meanwhile(trading, [], [], replace(BASE, day_gain=None), ZONE, LINK, ["A <b>word"]))
    assert "🛑 HALTED since 02 Mar 10:30 New York\nwhy" in said
    assert "Nothing was filled." in said
    assert "No order is working." in said
    assert "Today" not in said
    assert "⚠️ A <b>word" in unescape(said)


@pytest.mark.parametrize("state", TradingState)
def test_every_state_is_said_with_what_it_means(state: TradingState) -> None:
    """A mark, and a sentence."""
    head, *_, means = safety.state_lines(Trading(state, "why", NOW), ZONE)
    assert state in head
    assert safety.MARKS[state] in head
    assert means == safety.MEANS[state]


def test_every_use_has_a_name() -> None:
    """Whatever the rules count can be shown."""
    assert {use.setting for use in usage(snapshot(), LIMITS)} == set(safety.NAMES)


def risk_text(
    moment: Snapshot | None = None, denials: Sequence[tuple[datetime, str]] = (), limits: Limits = LIMITS
) -> str:
    """What /risk shows."""
    uses = usage(moment or snapshot(), limits)
    return plain(safety.risk_text(Trading(), uses, limits, denials, BASE, ZONE, LINK))


def test_what_is_used_up_is_marked() -> None:
    """At the limit, and where too little is left; not before."""
    full = snapshot(100, account=replace(BASE, excess_liquidity=Decimal(10_000)))
    said = risk_text(full)
    assert "⛔ Largest position (AAPL): $10,000.00 of $10,000.00" in said
    assert "⛔ Free of margin: 10% at least 20%" in said
    assert "⛔" not in risk_text(snapshot(99))


def test_what_is_not_known_is_said_so() -> None:
    """And not as zero."""
    said = risk_text(snapshot(None, account=None, sent=None))
    assert said.count("not known") >= 8
    assert "$0.00 of" not in said


def test_a_gain_is_no_loss() -> None:
    """It is shown as what it is."""
    said = risk_text(snapshot(account=replace(BASE, day_gain=Decimal(1000))))
    assert "Loss today, halted: none (+1.01%) of 5%" in said


def test_lists_and_the_last_denials() -> None:
    """As they are set, and as they were logged."""
    limits = replace(LIMITS, allowed_symbols=frozenset({"KO", "AAPL"}), denied_symbols=frozenset({"GME"}))
    said = risk_text(denials=[(NOW - timedelta(hours=1), "BUY 1 KO: JUMP <")], limits=limits)
    assert "Only AAPL, KO\n" in said
    assert "Never GME\n" in said
    assert "02 Mar 09:30 New York · BUY 1 KO: JUMP <" in said
    assert "Nothing yet." in risk_text()
