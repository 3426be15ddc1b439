"""Plans of options as they are shown: cards, holdings, chains, nudges and the wizard, word by word, as markup that is whole."""

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import chains, plans, text, wizard
from bot.chains import Place
from bot.wizard import Answers
from core.model import (
    Denial,
    Instrument,
    Leg,
    Mode,
    OptionQuote,
    OptionTerms,
    OrderState,
    OrderType,
    Position,
    Right,
    Side,
    Ticket,
)
from core.options import life
from core.options.combine import bag
from core.options.plan import (
    Action,
    ChainPage,
    ChainRow,
    ExpiryWish,
    Greeks,
    Group,
    Outcome,
    PlanLeg,
    PlanPreview,
    PlanRequest,
    Strategy,
)
from core.options.strategies import STRATEGIES, label, suggestions
from sim.telegram.html import parse_html
from tests.values import AAPL, ACCOUNT, BASE, LINK, NOW, QUOTE, TICKET, WHAT_IF, execution, order

DAY, NEXT = date(2026, 3, 20), date(2026, 4, 17)
TODAY = date(2026, 3, 2)
EVIL = "<b>&\"'</b><a href='x'>"


def read(markup: str) -> str:
    """The text that a person reads; fails where Telegram would refuse the markup."""
    return parse_html(markup)[0]


def lines(markup: str) -> list[str]:
    return read(markup).replace(text.NBSP, " ").split("\n")


def terms(strike: str, right: Right = Right.CALL, expiry: date = DAY) -> OptionTerms:
    return OptionTerms(expiry, Decimal(strike), right)


def quote(bid: str, ask: str, **more: Any) -> OptionQuote:
    told = {"volatility": 0.243, "delta": 0.512, "open_interest": 1234, **more}
    return OptionQuote(Decimal(bid), Decimal(ask), None, NOW, **told)


LONG, SHORT = Leg(101, 1, terms("100")), Leg(102, -1, terms("105"))
NAME = label(Strategy.BULL_CALL_SPREAD, (LONG, SHORT), "AAPL")
SPREAD = bag(AAPL, (LONG, SHORT), NAME)
CONTRACT = replace(AAPL, con_id=101, kind="OPT", option=LONG.option, multiplier=Decimal(100))


def plan_ticket(of: Instrument = SPREAD, **changes: Any) -> Ticket:
    limits = {"limit_price": Decimal("1.93"), "final_limit": Decimal("2.00"), **changes}
    return replace(TICKET, instrument=of, quantity=Decimal(1), order_type=OrderType.LIMIT, **limits)


PREVIEW = PlanPreview(
    ticket=plan_ticket(),
    action=Action.OPEN,
    strategy=Strategy.BULL_CALL_SPREAD,
    legs=(
        PlanLeg(LONG, CONTRACT, quote("3.54", "3.64")),
        PlanLeg(SHORT, CONTRACT, quote("1.62", "1.70", delta=0.28, volatility=None)),
    ),
    underlying=AAPL,
    spot=QUOTE,
    net_bid=Decimal("1.84"),
    net_ask=Decimal("2.02"),
    outcome=Outcome(Decimal(300), Decimal(200), (Decimal(102),)),
    judged=(LONG, SHORT),
    judged_price=Decimal("2.00"),
    greeks=Greeks(23.2, -0.5, -3.456, 4.0),
    probability=0.415,
    volatility=0.243,
    what_if=WHAT_IF,
    denials=(),
    notes=("A long option that is in the money at expiry is exercised by itself.",),
    value=Decimal(200),
    risk=Decimal(200),
)


def test_the_card_of_a_spread() -> None:
    """Every line of it: readable on a watch first, then legs, prices, what it can bring and cost, and with which assumption."""
    assert lines(plans.card(PREVIEW, LINK, BASE, 120)) == [
        "BUY 1 AAPL BULL_CALL_SPREAD 100/105 20 Mar 26 · $200.00 debit at most",
        "APPLE INC",
        "SIMULATED · DU1234567",
        "AAPL: Bid 99.90 · ask 100.00 · last 99.95",
        "buy 1 · 100 C 20 Mar 26",
        "   3.54/3.64 · IV 24% · Δ 0.51",
        "sell 1 · 105 C 20 Mar 26",
        "   1.62/1.70 · IV – · Δ 0.28",
        "Market debit 1.84 / debit 2.02 a share",
        "Starts at debit 1.93 (mid), at most debit 2.00",
        "Max gain $300.00 · max loss $200.00",
        "Break-even at expiry 102.00",
        "Profit at expiry 42% likely, if the implied volatility of 24% a year comes true",
        "Δ +$23.20 a dollar · Γ -$0.50 of that",
        "Θ -$3.46 a day · vega +$4.00 a point",
        "Margin +$300.00 · commission $1.00",
        "Risk $200.00 (0.20% of the account)",
        "ℹ️ A long option that is in the money at expiry is exercised by itself.",
        "",
        "Nothing is sent before you tap Send. This card is good for 120 s.",
    ]


def test_a_credit_is_called_one_and_starts_at_least() -> None:
    """A negative net is worded, never shown as a sign that could be read either way."""
    ticket = plan_ticket(limit_price=Decimal("-0.76"), final_limit=Decimal("-0.70"))
    shown = lines(
        plans.card(
            replace(PREVIEW, ticket=ticket, net_bid=Decimal("-0.82"), net_ask=Decimal("-0.70")),
            LINK,
            BASE,
            120,
        )
    )
    assert shown[0].endswith("· $70.00 credit at least")
    assert (
        "Market credit 0.82 / credit 0.70 a share\nStarts at credit 0.76 (mid), at least credit 0.70"
        in "\n".join(shown)
    )


def test_the_card_of_a_single_option() -> None:
    """Bought or sold, it has a plain price; what a sale brings is a credit."""
    bought = replace(
        PREVIEW,
        ticket=plan_ticket(CONTRACT, limit_price=Decimal("3.59"), final_limit=Decimal("3.64")),
        strategy=None,
    )
    shown = lines(plans.card(bought, LINK, BASE, 120))
    assert shown[0] == "BUY 1 AAPL 100 C 20 Mar 26 · $364.00 debit at most"
    assert shown[shown.index("Market 1.84 / 2.02 a share") + 1] == "Starts at 3.59, at most 3.64"
    sold = replace(
        bought,
        ticket=replace(bought.ticket, side=Side.SELL, final_limit=Decimal("3.50"), quantity=Decimal(2)),
    )
    shown = lines(plans.card(sold, LINK, BASE, 120))
    assert shown[0] == "SELL 2 AAPL 100 C 20 Mar 26 · $700.00 credit at least"
    assert "Starts at 3.59, at least 3.50" in "\n".join(shown)


def test_a_card_says_what_gain_and_loss_count_beside_the_order() -> None:
    """Shares that are held and cover it, or the value of what a roll closes; of neither there is no line."""
    call = replace(
        PREVIEW,
        ticket=replace(plan_ticket(CONTRACT), side=Side.SELL, quantity=Decimal(2)),
        legs=(PlanLeg(Leg(101, -1, LONG.option), CONTRACT, None),),
        judged=(Leg(101, -1, LONG.option), Leg(1, 100)),
    )
    (said,) = plans.counted_lines(call)
    assert said == "Gain and loss count 200 AAPL that you hold, from 99.95 on; Greeks do not."
    assert said in lines(plans.card(call, LINK, BASE, 120))
    half = replace(call, spot=replace(QUOTE, bid=Decimal("99.97"), ask=Decimal("100.00")))
    assert "from 99.98 on" in plans.counted_lines(half)[0]
    bought = replace(call, legs=(*call.legs, PlanLeg(Leg(1, 100), AAPL, None)))
    assert "sell 2 · 100 C 20 Mar 26" in lines(plans.card(call, LINK, BASE, 120))
    assert plans.counted_lines(bought) == plans.counted_lines(PREVIEW) == []
    (rolled,) = plans.counted_lines(replace(PREVIEW, action=Action.ROLL))
    assert "what goes at its value now" in rolled


def test_unlimited_is_said_and_unknown_is_a_dash() -> None:
    """An unlimited gain is called so; figures that nobody told are dashes, and never zero."""
    bare = replace(
        PREVIEW,
        legs=(PlanLeg(LONG, CONTRACT, OptionQuote(None, None, None, NOW)), PlanLeg(SHORT, CONTRACT, None)),
        outcome=Outcome(None, Decimal(200), (Decimal("95.5"), Decimal("104.5"))),
        greeks=None,
        probability=None,
        spot=None,
        what_if=None,
        net_bid=None,
    )
    shown = lines(plans.card(bare, replace(LINK, mode=Mode.LIVE), None, 0))
    assert "AAPL: no price now" in shown
    assert shown[shown.index("buy 1 · 100 C 20 Mar 26") + 1] == "   –/– · IV – · Δ –"
    assert shown[shown.index("sell 1 · 105 C 20 Mar 26") + 1] == "   no price now"
    assert (
        shown[shown.index("Market – / debit 2.02 a share") + 1] == "Starts at debit 1.93, at most debit 2.00"
    )
    assert "Max gain unlimited · max loss $200.00" in shown
    assert "Break-evens at expiry 95.50 and 104.50" in shown
    assert "⚠️ The broker did not say what it does to margin." in shown
    assert "A preview: nothing can be sent from here." in shown
    assert any("LIVE" in line for line in shown)
    assert not any("0.00" in line and "$200.00" not in line for line in shown)


def test_a_plan_on_shares_says_by_what_its_risk_is_measured() -> None:
    """A covered put that is measured by a stop of the share has no small "Risk": the largest loss stands above it."""
    put = replace(PREVIEW, outcome=Outcome(Decimal(298), Decimal(17202), (Decimal(172),)), risk=Decimal(0))
    shown = lines(plans.card(put, LINK, BASE, 120))
    assert "Max gain $298.00 · max loss $17,202.00" in shown
    assert "Measured by an assumed stop of the share: $0.00 (0.00% of the account)" in shown
    assert not any(line.startswith("Risk") for line in shown)


def test_denials_stand_on_the_card_with_what_would_pass() -> None:
    """A refusal is told as on the card of shares, counted in combinations."""
    denial = Denial("RISK_PER_TRADE", "It could lose too much.", "$4,000.00", "$2,000.00", fits=2)
    shown = lines(plans.card(replace(PREVIEW, denials=(denial,)), LINK, BASE, 0))
    assert shown[-2:] == [
        "⛔ It could lose too much. That is $4,000.00, the limit is $2,000.00.",
        "What would pass: 2 combinations.",
    ]
    assert "Nothing is sent" not in "\n".join(shown)


def test_a_closing_card_says_what_it_brings() -> None:
    """It names what it closes, at which net, and the gain against the average cost; no risk of its own."""
    ticket = plan_ticket(
        replace(SPREAD, name=f"Close {NAME}"), limit_price=Decimal("-2.40"), final_limit=Decimal("-2.30")
    )
    closing = replace(
        PREVIEW, ticket=ticket, action=Action.CLOSE, outcome=None, probability=0.4, gain=Decimal("37.50")
    )
    shown = lines(plans.card(closing, LINK, BASE, 120))
    assert shown[0] == "CLOSE 1 AAPL BULL_CALL_SPREAD 100/105 20 Mar 26 · $230.00 credit at least"
    assert "Gain +$37.50 at least, against average cost, before the commission of closing" in shown
    assert not any(line.startswith(("Risk", "Max gain", "Profit")) for line in shown)
    assert "Gain – against average cost" in "\n".join(
        lines(plans.card(replace(closing, gain=None), LINK, BASE, 120))
    )


def test_a_roll_says_what_goes_and_what_comes() -> None:
    """The legs of the expiry that ends go, the later ones come."""
    later = (Leg(103, 1, terms("100", expiry=NEXT)), Leg(104, -1, terms("105", expiry=NEXT)))
    gone = (replace(LONG, ratio=-1), replace(SHORT, ratio=1))
    rolling = replace(
        PREVIEW,
        ticket=plan_ticket(replace(SPREAD, name=f"Roll {NAME} to 17 Apr 26")),
        action=Action.ROLL,
        legs=tuple(PlanLeg(leg, CONTRACT, None) for leg in (*gone, *later)),
    )
    shown = lines(plans.card(rolling, LINK, BASE, 120))
    assert shown[0].startswith("ROLL 1 AAPL BULL_CALL_SPREAD 100/105 20 Mar 26 to 17 Apr 26 · $200.00 debit")
    told = [line for line in shown if line != "   no price now"]
    start = told.index("Goes:")
    assert [line.split(" · ") for line in told[start : start + 6]] == [
        ["Goes:"],
        ["sell 1", "100 C 20 Mar 26"],
        ["buy 1", "105 C 20 Mar 26"],
        ["Comes:"],
        ["buy 1", "100 C 17 Apr 26"],
        ["sell 1", "105 C 17 Apr 26"],
    ]


def test_everything_foreign_on_a_card_is_escaped() -> None:
    """Names, notes and warnings are text, whatever they contain."""
    evil = replace(
        PREVIEW,
        ticket=plan_ticket(replace(SPREAD, name=EVIL)),
        underlying=replace(AAPL, name=EVIL, symbol=EVIL),
        notes=(EVIL,),
        what_if=replace(WHAT_IF, warning=EVIL),
        denials=(Denial("X", EVIL, EVIL, EVIL, EVIL),),
        again=EVIL,
    )
    assert read(plans.card(evil, LINK, BASE, 120)).count(EVIL) >= 6


# --- orders and fills ----------------------------------------------------------------------------------------------------------


def plan_order(**changes: Any) -> Any:
    of = {
        "kind": "BAG", "legs": (LONG, SHORT), "name": NAME, "con_id": SPREAD.con_id, "quantity": Decimal(2), "order_type": OrderType.LIMIT,
        "limit_price": Decimal("1.95"), "final_limit": Decimal("2.00"),
    }  # fmt: skip
    return order(**{**of, **changes})


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, f"BUY 2 {NAME} debit 1.95 DAY"),
        ({"limit_price": Decimal("-0.76")}, f"BUY 2 {NAME} credit 0.76 DAY"),
        ({"limit_price": Decimal(0)}, f"BUY 2 {NAME} even 0.00 DAY"),
        ({"name": f"Close {NAME}"}, f"CLOSE 2 {NAME} debit 1.95 DAY"),
        ({"name": f"Roll {NAME} to 17 Apr 26"}, f"ROLL 2 {NAME} to 17 Apr 26 debit 1.95 DAY"),
        (
            {"kind": "OPT", "legs": (), "option": LONG.option, "side": Side.SELL},
            "SELL 2 AAPL 100 C 20 Mar 26 @ 1.95 DAY",
        ),
    ],
)
def test_terms_of_plans(changes: dict[str, Any], shown: str) -> None:
    """The first line of everything about a plan's order."""
    assert text.terms(plan_order(**changes)) == shown


def test_the_terms_of_a_card_and_of_its_order_read_the_same() -> None:
    """What was approved is recognised in what works."""
    assert text.terms(plan_ticket()) == f"BUY 1 {NAME} debit 1.93 DAY"


@pytest.mark.parametrize(
    ("changes", "began", "shown"),
    [
        ({}, "1.95", "starts at debit 1.95, at most debit 2.00"),
        ({}, "1.93", "repriced debit 1.93 → debit 1.95 (at most debit 2.00)"),
        ({"limit_price": Decimal("2.00")}, "1.93", "repriced debit 1.93 → debit 2.00 (at most debit 2.00); there it stays. For another price /cancel 1 and ask anew."),
        ({"limit_price": Decimal("2.00")}, "2.00", ""),
        ({"limit_price": Decimal("-0.74"), "final_limit": Decimal("-0.70")}, "-0.76", "repriced credit 0.76 → credit 0.74 (at least credit 0.70)"),
        ({"final_limit": None}, "1.93", ""),
        ({"kind": "OPT", "legs": (), "option": LONG.option, "side": Side.SELL, "final_limit": Decimal("1.90")}, "1.99", "repriced 1.99 → 1.95 (at least 1.90)"),
    ],
)  # fmt: skip
def test_the_order_card_says_how_it_was_repriced(changes: dict[str, Any], began: str, shown: str) -> None:
    """Where the limit began, where it is, and how far it may go; nothing where it stays."""
    made = plan_order(**changes)
    assert text.reprice_line(made, Decimal(began)) == shown
    assert (shown in read(text.order_card(made, (), LINK, began=Decimal(began)))) is True


def test_a_fill_is_worth_its_multiplier_and_says_which_way_the_money_went() -> None:
    """Two spreads at 1.95 cost 390 dollars, not 3.90; a credit is received."""
    done = plan_order(state=OrderState.FILLED, filled=Decimal(2), average_price=Decimal("1.95"))
    assert "2 debit 1.95 · $390.00 paid" in read(text.order_news(done, OrderState.FILLED, "", "", LINK))
    done = replace(done, average_price=Decimal("-0.76"), limit_price=Decimal("-0.76"))
    assert "2 credit 0.76 · $152.00 received" in read(text.order_news(done, OrderState.FILLED, "", "", LINK))
    sold = plan_order(
        kind="OPT",
        legs=(),
        option=LONG.option,
        side=Side.SELL,
        filled=Decimal(1),
        average_price=Decimal("3.59"),
    )
    assert "1 @ 3.59 · $359.00 received" in read(text.order_news(sold, OrderState.FILLED, "", "", LINK))
    shares = order(filled=Decimal(10), average_price=Decimal(100))
    assert "10 @ 100.00 · $1,000.00\n" in read(text.order_news(shares, OrderState.FILLED, "", "", LINK))


# --- what is held ---------------------------------------------------------------------------------------------------------------


def held(con_id: int, quantity: str, cost: str, price: str, option: OptionTerms | None) -> Position:
    units = Decimal(quantity) * (option.multiplier if option else 1)
    value = units * Decimal(price)
    paid = Decimal(quantity) * Decimal(cost)
    return Position(
        ACCOUNT,
        con_id,
        "AAPL",
        "USD",
        Decimal(quantity),
        Decimal(cost),
        Decimal(price),
        value,
        value - paid,
        option,
    )


GROUP = Group(
    "gabc",
    Strategy.BULL_CALL_SPREAD,
    "AAPL",
    "USD",
    (LONG, SHORT),
    Decimal(2),
    (held(101, "3", "359", "4.00", LONG.option), held(102, "-2", "166", "1.50", SHORT.option)),
)


def test_a_strategy_is_shown_as_one_with_its_legs_beneath() -> None:
    """Net cost, value and gain are those of the part that belongs to it; the third call is somebody else's."""
    assert lines("\n".join(plans.group_lines(GROUP, TODAY))) == [
        "2 AAPL BULL_CALL_SPREAD 100/105 20 Mar 26 · 18 days left",
        "   net $386.00 debit · value $500.00 · 🟢 +$114.00 (+29.5%)",
        "   2 · 100 C 20 Mar 26 @ 3.59 · last 4.00",
        "   −2 · 105 C 20 Mar 26 @ 1.66 · last 1.50",
    ]


def test_a_group_of_which_something_is_unknown_says_so() -> None:
    """A leg without a price makes the whole unknown: a dash, and no gain made of the rest."""
    unknown = replace(GROUP.positions[1], market_value=None, unrealized=None, market_price=None)
    shown = lines("\n".join(plans.group_lines(replace(GROUP, positions=(GROUP.positions[0], unknown)), DAY)))
    assert shown[0].endswith("expires today")
    assert shown[1] == "   net $386.00 debit · value – · –"
    assert plans.worth(replace(GROUP, positions=GROUP.positions[:1])) == (None, None, None)


def test_what_belongs_to_nothing_else_is_shown_by_itself() -> None:
    """Of 150 shares of which 100 are in a covered call, 50 are a holding of their own; an option says how long it lasts."""
    shares = held(1, "150", "90", "100", None)
    rest = Group("g1", None, "AAPL", "USD", (Leg(1, 1),), Decimal(50), (shares,))
    call = Group(
        "g2",
        Strategy.LONG_CALL,
        "AAPL",
        "USD",
        (LONG,),
        Decimal(1),
        (held(101, "1", "359", "4", LONG.option),),
    )
    assert lines("\n".join(plans.held_lines([rest, call, GROUP], TODAY)))[:5] == [
        "AAPL 50 @ 90.00 · $5,000.00",
        "   last 100.00 · 🟢 +$500.00 (+11.1%)",
        "1 AAPL 100 C 20 Mar 26 @ 3.59 · $400.00 · 18 days left",
        "   last 4.00 · 🟢 +$41.00 (+11.4%)",
        "2 AAPL BULL_CALL_SPREAD 100/105 20 Mar 26 · 18 days left",
    ]


def test_a_single_option_is_shown_with_its_value_and_the_price_of_a_share() -> None:
    """Its average cost has the multiplier in it; the line shows the price that was paid, and the total is right."""
    shown = lines("\n".join(text.position_lines([held(101, "2", "359", "4.00", LONG.option)])))
    assert shown[0] == "AAPL 100 C 20 Mar 26 2 @ 3.59 · $800.00"
    assert shown[1] == "   last 4.00 · 🟢 +$82.00 (+11.4%)"
    assert shown[-1] == "Total $800.00 · +$82.00 (+11.4%)"


def test_groups_have_buttons_where_a_plan_can_close_them() -> None:
    """Options have Close and Roll; shares alone have none."""
    shares = Group(
        "gsss", None, "AAPL", "USD", (Leg(1, 1),), Decimal(100), (held(1, "100", "90", "100", None),)
    )
    assert plans.group_buttons([shares, GROUP]) == (
        (("Close AAPL 100/105 20 Mar", "close:gabc"), ("Roll AAPL 100/105 20 Mar", "roll:gabc")),
    )
    single = replace(GROUP, legs=(LONG,), strategy=Strategy.LONG_CALL)
    assert plans.short_name(single) == "AAPL 100 C 20 Mar"


# --- nudges -----------------------------------------------------------------------------------------------------------------------


def nudges(spot: str, today: date) -> list[str]:
    found = life.nudges([GROUP], {"AAPL": Decimal(spot)}, {}, {}, today)
    name = label(GROUP.strategy, GROUP.legs, GROUP.symbol)
    return [read(plans.nudge_text(n.kind, name, json.loads(json.dumps(dict(n.facts))))) for n in found]


def test_nudges_say_what_is_to_be_looked_at() -> None:
    """From the facts as they are written down: how many days are left, what is in the money, and what it means."""
    (soon,) = nudges("99", DAY - timedelta(days=5))
    assert "expires in 5 days. The share is at 99.00." in soon
    (tomorrow,) = nudges("99", DAY - timedelta(days=1))
    assert "expires tomorrow" in tomorrow
    assert "expires today" in nudges("99", DAY)[0]
    (deep,) = nudges("107", TODAY)
    assert "the short AAPL 105 C 20 Mar 26 is in the money by 2.00" in deep
    assert "can be assigned at any time" in deep
    (between,) = nudges("107.025", TODAY)
    assert "in the money by 2.02. The share is at 107.02." in between
    assert len(plans.nudge_buttons("g" + "0" * 16)[0]) == 2


@pytest.mark.parametrize(
    ("side", "at", "shares", "shown"),
    [
        (Side.SELL, DAY, None, ["2 AAPL 100 C 20 Mar 26 expired", "no shares moved"]),
        (Side.SELL, DAY, Side.BUY, ["2 AAPL 100 C 20 Mar 26 were exercised", "200 AAPL shares bought at 100.00 · $20,000.00"]),
        (Side.BUY, DAY, Side.SELL, ["2 AAPL 100 C 20 Mar 26 were assigned", "200 AAPL shares sold at 100.00 · $20,000.00"]),
        (Side.SELL, TODAY, None, ["is gone", "has not said why"]),
    ],
)  # fmt: skip
def test_the_end_of_an_option_explains_itself(
    side: Side, at: date, shares: Side | None, shown: list[str]
) -> None:
    """Expired, exercised or assigned, with the shares that moved; where nobody knows it says that."""
    when = datetime(at.year, at.month, at.day, 22, tzinfo=NOW.tzinfo)
    own = {"time": when, "order_id": 0, "perm_id": 0, "order_ref": ""}
    moves = [execution(2, "0", exec_id="a.01", con_id=101, side=side, kind="OPT", option=LONG.option, **own)]
    if shares is not None:
        moves.append(execution(200, "100", exec_id="b.01", side=shares, **own))
    (event,) = life.explained(moves)
    told = json.loads(json.dumps(plans.ended_facts(event)))
    assert all(words in read(plans.ended_text(told)) for words in shown)


# --- the chain --------------------------------------------------------------------------------------------------------------------

ROWS = tuple(
    ChainRow(
        Decimal(strike), quote("3.55", "3.65"), quote("103.20", "103.30", delta=-0.49, open_interest=None)
    )
    for strike in ("95", "97.5", "100", "102.5")
)
PAGE = ChainPage(
    AAPL, QUOTE, DAY, 18, (DAY, NEXT, *(NEXT + timedelta(days=7 * n) for n in range(1, 30))), (*(row.strike for row in ROWS), Decimal(105)),
    0, ROWS, NOW,
)  # fmt: skip
PLACE = Place("chain-123456789", "AAPL", DAY)


def table(page: ChainPage) -> list[str]:
    shown = lines(chains.page_text(page, LINK))
    return shown[shown.index(next(line for line in shown if line.startswith("strike"))) : -1]


def test_a_chain_page_fits_a_narrow_phone_and_marks_the_price() -> None:
    """Two lines a strike, none longer than 34 characters, and the price of the share between its strikes."""
    shown = table(PAGE)
    assert shown == [
        "strike    bid/ask     IV    Δ   OI",
        "95    C  3.55/3.65   24%  .51 1234",
        "      P 103.2/103.3  24% -.49    –",
        "97.5  C  3.55/3.65   24%  .51 1234",
        "      P 103.2/103.3  24% -.49    –",
        "───────────── 99.95 ──────────────",
        "100   C  3.55/3.65   24%  .51 1234",
        "      P 103.2/103.3  24% -.49    –",
        "102.5 C  3.55/3.65   24%  .51 1234",
        "      P 103.2/103.3  24% -.49    –",
    ]


def test_what_a_chain_does_not_know_is_a_dash_and_late_figures_say_so() -> None:
    """A contract that is missing, a side that nobody quotes, and data that is delayed."""
    rows = (ChainRow(Decimal(100), None, OptionQuote(None, Decimal("0.05"), None, NOW, delayed=True)),)
    page = replace(PAGE, rows=rows, spot=None)
    assert table(page)[1:] == [
        "100   C     –/–        –    –    –",
        "      P   –/0.05       –    –    –",
    ]
    assert "DELAYED" in read(chains.page_text(page, LINK))
    assert "DELAYED" not in read(chains.page_text(PAGE, LINK))
    assert "No strikes here." in read(chains.page_text(replace(page, rows=()), LINK))


MONEY = st.decimals(min_value=0, max_value=99999, places=2)
FIGURE = st.one_of(st.none(), st.floats(min_value=-1, max_value=1))


@given(
    st.one_of(st.none(), MONEY),
    st.one_of(st.none(), MONEY),
    FIGURE,
    st.one_of(st.none(), st.integers(0, 9_000_000)),
    st.decimals(min_value="0.5", max_value=99999, places=1),
)
def test_no_line_of_the_table_is_too_wide(
    bid: Decimal | None, ask: Decimal | None, delta: float | None, interest: int | None, strike: Decimal
) -> None:
    """Whatever the figures are, the columns stay where they are and the phone does not break a line."""
    one = OptionQuote(
        bid,
        ask,
        None,
        NOW,
        volatility=None if delta is None else abs(delta) * 9,
        delta=delta,
        open_interest=interest,
    )
    page = replace(PAGE, rows=(ChainRow(strike, one, one),))
    assert all(len(line) <= chains.WIDTH for line in table(page))


def test_the_buttons_of_a_chain_lead_everywhere_and_back() -> None:
    """Turning, other expiries by pages, and a strike to trade; all of it is in the data of the buttons, which fits."""
    first = chains.buttons(PAGE, PLACE)
    assert [[name for name, _ in row] for row in first] == [
        ["▼ higher"],
        ["Other expiries", "Trade a strike"],
    ]
    turned = chains.buttons(replace(PAGE, first=1), PLACE)
    assert [name for name, _ in turned[0]] == ["▲ lower"]
    expiries = chains.buttons(PAGE, replace(PLACE, shows=chains.EXPIRIES))
    assert expiries[0][0] == ("• 20 Mar 26", "chain:chain-123456789:AAPL:20260320::t:0")
    assert [name for name, _ in expiries[-2]] == ["later ▶"]
    assert [n for n, _ in chains.buttons(PAGE, replace(PLACE, shows=chains.EXPIRIES, at=24))[-2]] == [
        "◀ sooner"
    ]
    strikes = chains.buttons(PAGE, replace(PLACE, shows=chains.STRIKES))
    assert [name for name, _ in strikes[0]] == ["95", "97.5", "100", "102.5"]
    sides = chains.buttons(PAGE, replace(PLACE, shows=chains.STRIKE, at=1))
    assert sides[0] == (
        ("Buy call 97.5", "opt:BUY:AAPL:C:97.5:20260320"),
        ("Sell call 97.5", "opt:SELL:AAPL:C:97.5:20260320"),
    )
    assert chains.buttons(PAGE, replace(PLACE, shows=chains.STRIKE, at=99)) == strikes
    gone = replace(PAGE, rows=(ChainRow(Decimal(95), None, None),))
    assert len(chains.buttons(gone, replace(PLACE, shows=chains.STRIKE))) == 1


@pytest.mark.parametrize("shows", [chains.TABLE, chains.EXPIRIES, chains.STRIKES, chains.STRIKE])
def test_the_data_of_a_chain_button_is_read_as_it_was_written(shows: str) -> None:
    """Also with the longest symbol there is, within the 64 bytes that Telegram allows."""
    place = Place("chain-1234567890", "ABCDEFGHIJKL.AB", DAY, 999, shows, 999)
    written = place.written()
    assert len(written.encode()) <= 64
    assert Place.read(written.partition(":")[2]) == place


@given(st.text(max_size=40))
def test_foreign_data_is_no_place(argument: str) -> None:
    """What no button of ours bears is refused, and never raises."""
    place = Place.read(argument)
    assert place is None or Place.read(place.written().partition(":")[2]) == place
    answers = Answers.read(argument)
    assert answers is None or Answers.read(answers.written().partition(":")[2]) == answers


# --- the wizard -------------------------------------------------------------------------------------------------------------------


def test_the_wizard_walks_from_the_symbol_to_a_plan_and_back() -> None:
    """Each button is the state with one answer more; Back is the same with one less; the end is a request."""
    answers = Answers("wiz-1234567890")
    shown, buttons = wizard.question(answers, LINK, "USD", ["AAPL", "MSFT", "AAPL"])
    assert "/strategy AAPL" in read(shown)
    assert [name for name, _ in buttons[0]] == ["AAPL", "MSFT"]
    for tap in ("AAPL", "I think it rises", "$500", "About 1 month"):
        _, buttons = wizard.question(answers, LINK, "USD", ["AAPL"])
        data = next(data for row in buttons for name, data in row if name == tap)
        read_back = Answers.read(data.partition(":")[2])
        assert read_back is not None
        assert read_back.before == answers
        answers = read_back
    found = suggestions(wizard.VIEWS[answers.view][0], Decimal(100), Decimal(500))
    shown, buttons = wizard.question(answers, LINK, "USD", found=found)
    assert "Strategy for AAPL · I think it rises · $500 · about 1 month" in read(shown)
    assert [row[0][0] for row in buttons] == ["LONG_CALL", "BULL_CALL_SPREAD", "BULL_PUT_SPREAD", "◀ Back"]
    assert STRATEGIES[Strategy.BULL_CALL_SPREAD].sentence in read(shown)
    chosen = Answers.read(buttons[1][0][1].partition(":")[2])
    assert chosen is not None
    assert chosen.request(Decimal(500)) == PlanRequest(
        "AAPL", strategy=Strategy.BULL_CALL_SPREAD, expiry=ExpiryWish(days=30), budget=Decimal(500)
    )


def test_nothing_that_fits_is_said() -> None:
    """No suggestion is no dead end: there is a way back."""
    shown, buttons = wizard.question(Answers("w", "AAPL", "i", "250", "14"), LINK, "EUR")
    assert "Nothing that fits" in read(shown)
    assert "€250" in read(shown)
    assert [row[0][0] for row in buttons] == ["◀ Back"]


@pytest.mark.parametrize("code", wizard.CODES)
@pytest.mark.parametrize("view", wizard.VIEWS)
def test_every_state_of_the_wizard_fits_into_a_button(code: str, view: str) -> None:
    """The longest symbol, budget and horizon too: 64 bytes is what Telegram allows."""
    answers = Answers("wiz-1234567890", "ABCDEFGHIJKL.AB", view, "2500", "14", code)
    assert len(answers.written().encode()) <= 64
    assert Answers.read(answers.written().partition(":")[2]) == answers


@pytest.mark.parametrize(
    "argument",
    ["", "w:AAPL:x", "w:AAPL:r:7", "w:AAPL:r:500:9", "w:AAPL:r:500:30:99", "w::r", "a:b:c:d:e:f:g"],
)
def test_a_button_of_another_version_is_not_misread(argument: str) -> None:
    """Answers that there are none of are refused instead of guessed."""
    assert Answers.read(argument) is None
