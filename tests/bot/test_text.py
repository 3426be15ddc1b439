"""What is shown: exact lines for plain cases, and for all cases markup that is whole and values that are escaped."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import history, text, verdicts
from core.cards import Preview
from core.facts import ROWS
from core.model import Denial, Mode, Order, OrderState, OrderType, Role, Side, TimeInForce, Trade, WhatIf
from sim.telegram.html import parse_html
from tests.values import AAPL, BASE, LINK, NOW, QUOTE, execution, order, position, ticket

CAP = Decimal(10_000)
EVIL = "<b>&\"'</b><a href='x'>"


def read(markup: str) -> str:
    """The text that a person reads; fails where Telegram would refuse the markup."""
    return parse_html(markup)[0]


@pytest.mark.parametrize(
    ("value", "currency", "signed", "shown"),
    [
        ("1234.5", "USD", False, "$1,234.50"),
        ("-1234.5", "USD", False, "-$1,234.50"),
        ("5", "USD", True, "+$5.00"),
        ("-5", "USD", True, "-$5.00"),
        ("0", "USD", False, "$0.00"),
        ("1", "EUR", False, "€1.00"),
        ("1", "CHF", False, "CHF 1.00"),
        ("-1", "CHF", False, "-CHF 1.00"),
        ("1e12", "USD", False, "$1,000,000,000,000.00"),
    ],
)
def test_money(value: str, currency: str, signed: bool, shown: str) -> None:
    """Amounts carry their currency, and a sign where it matters."""
    assert text.money(Decimal(value), currency, signed=signed) == shown


def test_unknown_is_a_dash_and_never_a_zero() -> None:
    """None is shown as what it is, everywhere."""
    assert text.money(None) == text.plain_price(None) == text.quantity(None) == "–"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("187.5", "187.50"),
        ("100", "100.00"),
        ("1E+2", "100.00"),
        ("1234.5", "1,234.50"),
        ("0.0001", "0.0001"),
        ("1.23456789", "1.234568"),
    ],
)
def test_plain_price(value: str, shown: str) -> None:
    """At least two decimals, and as many as the price has."""
    assert text.plain_price(Decimal(value)) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [("10", "10"), ("1E+3", "1,000"), ("-5", "-5"), ("2.50", "2.5"), ("0", "0")]
)
def test_quantity(value: str, shown: str) -> None:
    """Shares without useless zeros, and never in powers of ten."""
    assert text.quantity(Decimal(value)) == shown


@pytest.mark.parametrize(
    ("mode", "words"),
    [(Mode.PAPER, ["SIMULATED", "DU1234567"]), (Mode.LIVE, ["LIVE", "🔴"]), (None, ["not connected"])],
)
def test_badge(mode: Mode | None, words: list[str]) -> None:
    """Whose money it is stands wherever money does; live money in red."""
    shown = text.badge(replace(LINK, mode=mode))
    assert all(word in shown for word in words)


TERMS: list[tuple[Any, str]] = [
    (ticket(), "BUY 10 AAPL at market"),
    (ticket(limit="187.5"), "BUY 10 AAPL @ 187.50 DAY"),
    (ticket(Side.SELL, stop="180"), "SELL 10 AAPL stop 180.00 DAY"),
    (ticket(Side.SELL, 1000, stop="180", tif=TimeInForce.GTC), "SELL 1,000 AAPL stop 180.00 GTC"),
    (order(order_type=OrderType.LIMIT, limit_price=Decimal(5)), "BUY 10 AAPL @ 5.00 DAY"),
    (order(order_type=OrderType.OTHER), "BUY 10 AAPL (special order)"),
    (ticket(instrument=replace(AAPL, symbol="<A&B>")), "BUY 10 &lt;A&amp;B&gt; at market"),
]


@pytest.mark.parametrize(("thing", "shown"), TERMS, ids=[shown for _, shown in TERMS])
def test_terms(thing: Any, shown: str) -> None:
    """The first line of everything about an order, short enough for a watch."""
    assert text.terms(thing) == shown


def test_local_time() -> None:
    """Times are shown as the owner's clock reads them, across summer time."""
    assert (
        text.local(datetime(2026, 7, 1, 13, 30, tzinfo=UTC), ZoneInfo("America/New_York"))
        == "01 Jul 09:30 New York"
    )
    assert (
        text.local(datetime(2026, 1, 1, 14, 30, tzinfo=UTC), ZoneInfo("America/New_York"))
        == "01 Jan 09:30 New York"
    )


def test_a_quote() -> None:
    """Sides that nobody quotes are dashes; delayed prices say so; no quote is told."""
    assert text.quote_line(replace(QUOTE, bid=None)) == "Bid – · ask 100.00 · last 99.95"
    assert "DELAYED" in text.quote_line(replace(QUOTE, delayed=True))
    assert "No price" in text.quote_line(None)


def test_a_denial() -> None:
    """The check in words, the figure, the limit and what would pass, as far as there are any."""
    full = text.denial_line(Denial("POSITION_CAP", "Too large.", "12,000 USD", "10,000 USD", "83"))
    assert full == "⛔ Too large. It would be worth 12,000 USD, the limit is 10,000 USD. What would pass: 83."
    assert text.denial_line(Denial("X", "No.")) == "⛔ No."
    assert text.denial_line(Denial("X", "No.", remedy="try again")) == "⛔ No. Try again."
    assert "<b>" not in text.denial_line(Denial("X", EVIL, EVIL, EVIL, EVIL))


CAPPED = Denial("POSITION_CAP", "Too large.", "12,000 USD", "10,000 USD", fits=83)
RISKY = Denial("RISK_PER_TRADE", "Too risky.", "900 USD", "500 USD", fits=50)


def test_of_several_quantities_the_one_that_passes_all_is_shown_once() -> None:
    """The smallest; and where one of them lets nothing pass, nothing is offered."""
    lines = text.denial_lines((CAPPED, RISKY))
    assert lines == [
        "⛔ Too large. It would be worth 12,000 USD, the limit is 10,000 USD.",
        "⛔ Too risky. That is 900 USD, the limit is 500 USD.",
        "What would pass: 50 shares.",
    ]
    assert text.denial_lines((replace(CAPPED, fits=1),))[-1] == "What would pass: 1 share."
    assert text.denial_lines((replace(CAPPED, fits=None), RISKY))[-1] == "Not even one share would pass."


def test_nothing_is_measured_by_a_price_that_cannot_be_meant() -> None:
    """A size that follows from a wrong price would only contradict the line before it."""
    wrong = Denial("PRICE", "Far off.", "18.75", "between 115.20 and 460.80")
    assert text.denial_lines((wrong, CAPPED, RISKY)) == [
        "⛔ Far off. You asked for 18.75, it must be between 115.20 and 460.80."
    ]


@pytest.mark.parametrize("code", sorted(text._FIGURES))
def test_every_figure_reads_as_a_sentence(code: str) -> None:
    """Figure and limit both stand in it, whatever the rule."""
    line = text.denial_line(Denial(code, "No.", "1000", "50"))
    assert "1000" in line
    assert "50" in line
    assert line.endswith(".")


def preview(asked: Any = None, *denials: Denial, **changes: Any) -> Preview:
    plain = Preview(
        ticket=asked or ticket(),
        quote=QUOTE,
        held=Decimal(5),
        waiting=Decimal(0),
        value=Decimal(1000),
        risk=Decimal(30),
        offered_stop=None,
        takes_down=(),
        what_if=None,
        denials=denials,
    )
    return replace(plain, **changes)


def card(shown: Preview, seconds: float = 120.0, **link: Any) -> str:
    """A card as it reads; where a line may not be broken is another matter."""
    return read(text.card(shown, replace(LINK, **link), BASE, CAP, seconds)).replace(text.NBSP, " ")


def test_a_card_says_what_leaves_first() -> None:
    """The terms and the value on the first line, then whose money, the quote, the position before and after, and the promise."""
    lines = card(preview()).splitlines()
    assert lines[0] == "BUY 10 AAPL at market · ≈ $1,000.00"
    assert lines[1:4] == ["APPLE INC", "SIMULATED · DU1234567", "Bid 99.90 · ask 100.00 · last 99.95"]
    assert lines[4] == "Position 5 → 15 AAPL"
    assert "Nothing is sent before you tap Send" in lines[-1]
    assert "120 s" in lines[-1]


def test_a_card_for_a_limit_knows_its_value() -> None:
    """A limit binds the price, so the value is not about."""
    assert card(preview(ticket(limit="100"))).splitlines()[0] == "BUY 10 AAPL @ 100.00 DAY · $1,000.00"


def test_a_card_for_a_sale() -> None:
    """A sale makes the position smaller, and does not ask for cash."""
    shown = card(preview(ticket(Side.SELL, 5)))
    assert "Position 5 → 0 AAPL" in shown
    assert "Cash" not in shown


def test_a_card_that_knows_little_shows_dashes() -> None:
    """Unknown holdings and quotes are no zeros."""
    shown = card(preview(held=None, quote=None, value=None))
    assert "Position – → – AAPL" in shown
    assert "No price" in shown
    assert shown.splitlines()[0] == "BUY 10 AAPL at market"


def test_a_card_shows_what_the_broker_foresees() -> None:
    """Margin and commission as the broker told them; its silence is told too."""
    told = WhatIf(Decimal("250.5"), None, None, Decimal("1.05"), "USD", "Mind <this>.")
    shown = card(preview(what_if=told))
    assert "Margin +$250.50 · commission $1.05" in shown
    assert "Mind <this>." in shown
    assert "did not say" in card(preview())


def test_a_card_tells_what_may_be_lost() -> None:
    """The stop and the loss at it; without a stop, that nothing bounds it; and a sale names what it takes down first."""
    bound = card(preview(ticket(stop_loss=Decimal(97), take_profit=Decimal(110))))
    assert "Stop 97.00 · target 110.00\nRisk $30.00 (0.03% of the account)" in bound
    unbound = "Risk not bounded: no stop.\nMeasured by an assumed stop: $30.00 (0.03% of the account)"
    assert unbound in card(preview())


STOP = order(number=3, side=Side.SELL, role=Role.STOP, order_type=OrderType.STOP, stop_price=Decimal(90))
TARGET = replace(STOP, number=4, role=Role.TARGET, order_type=OrderType.LIMIT, limit_price=Decimal(120))


def test_a_sale_tells_what_it_does_to_protection() -> None:
    """What shrinks, what goes, and how many shares that leaves without a stop for as long as the sale waits."""
    part = card(
        preview(ticket(Side.SELL, 4), takes_down=((STOP, Decimal(6)), (TARGET, Decimal(6))), held=Decimal(10))
    )
    assert "Stop #3: 10 → 6 shares" in part
    assert "Target #4: 10 → 6 shares" in part
    assert "have no stop" not in part
    whole = {"takes_down": ((STOP, Decimal(0)), (TARGET, Decimal(0))), "held": Decimal(10)}
    assert "First takes down its stop #3 (sells at 90.00)" in card(preview(ticket(Side.SELL, 10), **whole))
    waiting = card(preview(ticket(Side.SELL, 10, limit="110"), **whole))
    assert "First takes down its target #4 (sells at 120.00)" in waiting
    assert "⚠️ 10 shares have no stop while this limit waits." in waiting


def test_what_already_waits_is_told() -> None:
    """The position after the order is not all that may come."""
    assert "Position 5 → 15 AAPL (+10 waiting)" in card(preview(waiting=Decimal(10)))
    assert "(-2 waiting)" in card(preview(ticket(Side.SELL, 1), waiting=Decimal(2)))


def test_a_stop_that_ends_today_says_so() -> None:
    """A sell stop looks like protection; one for the day is none for tomorrow."""
    assert "ends with the session" in card(preview(ticket(Side.SELL, 5, stop="90")))
    assert "ends with the session" not in card(preview(ticket(Side.SELL, 5, stop="90", tif=TimeInForce.GTC)))
    assert "ends with the session" not in card(preview(ticket(Side.SELL, 5, limit="110")))


HOURS = "20260302:0930-20260302:1600;20260303:0930-20260303:1600"  # NOW is on the 2nd, within


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (HOURS, None),
        ("20260302:CLOSED;20260303:0930-20260303:1600", "⏸ Market closed; opens Tue 09:30 New York."),
        ("20260302:CLOSED", "⏸ Market closed."),
        ("", None),
    ],
)
def test_a_closed_market_is_told_with_its_opening(hours: str, said: str | None) -> None:
    """Where the exchange's hours say so, and only then."""
    shown = card(preview(ticket(instrument=replace(AAPL, hours=hours, time_zone="US/Eastern"))))
    assert (said in shown) if said else ("closed" not in shown)


def test_what_waits_says_for_what() -> None:
    """A stop for its entry, an order for the open; what is filled, or works elsewhere, waits for neither."""
    entry = order(state=OrderState.WORKING)
    child = replace(STOP, parent=1, state=OrderState.WORKING)
    assert text.order_state(child, entry) == "#3 · ⏸ waits for the entry"
    assert text.order_state(child, replace(entry, filled=Decimal(1))) == "#3 · 🟢 working"
    assert (
        text.order_state(entry, opens="Tue 09:30 New York") == "#1 · ⏸ waits for the open, Tue 09:30 New York"
    )
    assert text.order_state(entry, opens="") == "#1 · ⏸ waits for the open"
    assert "waits" not in text.order_state(replace(entry, state=OrderState.FILLED), opens="")


@pytest.mark.parametrize(
    ("value", "shown"), [("187.423333", "187.42"), ("1234", "1,234.00"), ("0.12346", "0.1235"), (None, "–")]
)
def test_an_average(value: str | None, shown: str) -> None:
    """To the cent; what is exact stays in the books."""
    assert text.average(None if value is None else Decimal(value)) == shown


def test_a_sale_tells_what_it_brought() -> None:
    """The gain that the broker reported, in the news and in the history; a purchase brings none."""
    sold = order(state=OrderState.FILLED, side=Side.SELL, filled=Decimal(10), average_price=Decimal(100))
    assert "Realised +$99.00" in text.order_news(sold, OrderState.FILLED, "", "", LINK, gain="+$99.00")
    known = Trade(execution(side=Side.SELL), 3, OrderType.MARKET, Decimal(1), "USD", Decimal(99))
    assert "realised +$99.00" in history.trade_line(known, ZoneInfo("UTC"))
    assert "realised" not in history.trade_line(replace(known, execution=execution()), ZoneInfo("UTC"))


def test_a_fact_has_a_name() -> None:
    """Nobody needs the ids under which facts are kept."""
    assert all("_" not in verdicts.fact_name(row.id) for row in ROWS)


def test_a_bracket_is_one_card() -> None:
    """The stop and the target stand below their entry, each with its own state."""
    stop = order(number=2, role=Role.STOP, stop_price=Decimal(90), state=OrderState.WORKING)
    target = order(number=3, role=Role.TARGET, limit_price=Decimal(110), state=OrderState.CANCELLED)
    shown = read(text.order_card(order(state=OrderState.FILLED), (stop, target), LINK))
    assert "stop 90.00 · #2" in shown
    assert "target 110.00 · #3" in shown


def test_a_card_with_denials_promises_nothing() -> None:
    """Every denial is shown, and no word about sending."""
    shown = card(preview(None, Denial("A", "One."), Denial("B", "Two.")))
    assert "One." in shown
    assert "Two." in shown
    assert "tap Send" not in shown


def test_a_preview_says_that_nothing_can_be_sent() -> None:
    """Looking only is told as such."""
    assert "nothing can be sent" in card(preview(), seconds=0)


@pytest.mark.parametrize("state", list(OrderState))
def test_an_order_in_every_state(state: OrderState) -> None:
    """Each state has words for the card and for the news, with the order's name and badge, as markup that Telegram takes."""
    known = order(state=state, filled=Decimal(4), average_price=Decimal("187.42"), reason=EVIL)
    for shown in (
        text.order_card(known, (), LINK),
        text.order_news(known, state, "$1.00", "Position now 4 AAPL", LINK),
    ):
        words = read(shown)
        assert "BUY 10 AAPL" in words
        assert "#1" in words
        assert "SIMULATED" in words
        assert EVIL in words
    assert text.order_state(known).startswith(f"#1 · {text.STATE_WORDS[state]} 4/10 @ 187.42")


def test_an_unknown_order_says_that_it_is_not_sent_again() -> None:
    """The one thing that a person must know while nothing is known."""
    news = read(text.order_news(order(state=OrderState.UNKNOWN), OrderState.UNKNOWN, "", "", LINK))
    assert "UNKNOWN" in news
    assert "never sent again" in news


def test_news_of_a_fill() -> None:
    """Count, price, value, what it cost, and what is held now."""
    done = order(state=OrderState.FILLED, filled=Decimal(10), average_price=Decimal("187.50"))
    news = read(text.order_news(done, OrderState.FILLED, "$1.00", "Position now 10 AAPL", LINK))
    assert "FILLED BUY 10 AAPL" in news
    assert "10 @ 187.50 · $1,875.00\nCommission $1.00" in news
    assert "Position now 10 AAPL" in news


def test_an_order_from_elsewhere_is_marked() -> None:
    """Nobody takes it for one of their own."""
    foreign = order(owner=None)
    assert "EXTERNAL" in text.order_card(foreign, (), LINK)
    assert "not placed here" in text.order_news(foreign, OrderState.WORKING, "", "", LINK)


@pytest.mark.parametrize("state", list(OrderState))
def test_what_can_be_done_with_an_order(state: OrderState) -> None:
    """Cancel is offered while it may trade and has not been asked for."""
    known: Order = order(state=state)
    action = "settle:1" if state is OrderState.UNKNOWN else "cancel:1"
    assert [a for row in text.order_buttons(known) for _, a in row] == ([action] if state.is_open else [])
    asked = replace(known, cancel_requested_at=NOW)
    assert (text.order_buttons(asked) == ()) is (state is not OrderState.UNKNOWN)
    assert ("cancel asked" in text.order_state(asked)) is state.is_open


def test_positions() -> None:
    """A holding in two lines and a total for each currency; an unknown part makes the total unknown."""
    known = replace(
        position(10), market_price=Decimal(100), market_value=Decimal(1000), unrealized=Decimal(100)
    )
    shown = read("\n".join(text.position_lines([known])))
    assert "AAPL 10 @ 90.00 · $1,000.00" in shown
    assert "last 100.00 · 🟢 +$100.00 (+11.1%)" in shown
    assert "Total $1,000.00 · +$100.00 (+11.1%)" in shown
    euro = replace(known, symbol="SAP", currency="EUR", con_id=1, market_value=None, unrealized=None)
    both = read("\n".join(text.position_lines([known, euro])))
    assert "Total $1,000.00" in both
    assert "Total –" in both


def test_a_loss_and_a_short() -> None:
    """The percentage is of what was paid, and has the sign of the gain."""
    short = replace(position(-10), market_value=Decimal(-1000), unrealized=Decimal(-100))
    shown = read("\n".join(text.position_lines([short])))
    assert "AAPL -10" in shown
    assert "🔻 -$100.00 (-11.1%)" in shown


def test_a_trade() -> None:
    """A commission that has not come is a dash; one that has is shown in its currency."""
    zone = ZoneInfo("UTC")
    bare = read(
        history.trade_line(Trade(execution(10, "187.5"), 3, OrderType.MARKET, None, None, None), zone)
    )
    assert "BUY 10 AAPL @ 187.50" in bare
    assert "$1,875.00 · commission –" in bare
    assert "UTC · #3" in bare
    paid = history.trade_line(Trade(execution(), None, None, Decimal("1.05"), "EUR", None), zone)
    assert "commission €1.05" in paid
    assert "#" not in paid


# --- pages ------------------------------------------------------------------------------------------------------------

rows = st.lists(
    st.text(st.characters(exclude_characters="\n\r"), min_size=1, max_size=12), min_size=1, max_size=12
)


@given(rows, st.integers(12, 40))
def test_pages_lose_nothing(lines: list[str], limit: int) -> None:
    """Every line that says something is on a page, in its order; no page is blank, which Telegram would refuse, or longer than the limit."""
    parts = text.pages("\n".join(lines), limit)
    paged = [line for part in parts for line in part.split("\n")]
    assert [line for line in paged if line.strip()] == [line for line in lines if line.strip()]
    assert all(part.strip() and len(part) <= limit for part in parts)


@given(rows.map(lambda lines: [line for line in lines if line.strip()]), st.integers(12, 40))
def test_pages_are_as_few_as_their_lines_allow(lines: list[str], limit: int) -> None:
    """A new page begins only where the next line would not have fitted."""
    parts = text.pages("\n".join(lines), limit)
    for page, following in pairwise(parts):
        assert len(page) + 1 + len(following.split("\n", 1)[0]) > limit


def test_one_page_and_none() -> None:
    """What fits stays as it is, at the very limit too; nothing is no page."""
    assert text.pages("x" * text.LIMIT) == ["x" * text.LIMIT]
    assert text.pages("a\n\nb") == ["a\n\nb"]
    assert text.pages("") == []


# --- everything is escaped --------------------------------------------------------------------------------------------

anything = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@given(anything, anything, anything)
def test_any_value_is_shown_as_it_is(name: str, reason: str, symbol: str) -> None:
    """Names and words from outside cannot become markup, whatever is in them."""
    thing = replace(AAPL, name=name, symbol=symbol)
    denial = Denial("X", reason, name, symbol, reason)
    shown = text.card(preview(ticket(instrument=thing), denial), LINK, BASE, CAP, 0)
    assert not [entity for entity in parse_html(shown)[1] if entity["type"] != "bold"]
    assert reason in read(shown)
    words = text.order_card(order(symbol=symbol, reason=reason), (), LINK)
    assert not [entity for entity in parse_html(words)[1] if entity["type"] != "bold"]
