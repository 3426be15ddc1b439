"""The books as they are shown: marks, totals, foreign text, and what is unknown."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot import history
from bot.statements import differences, lots_text, summary_text
from core.lots import Books, book
from core.model import (
    Commission,
    Execution,
    History,
    Mode,
    OpeningLot,
    OptionTerms,
    Position,
    Right,
    Side,
    Trade,
)
from core.sessions import Session
from core.summary import Moment, facts
from tests.values import AAPL, ACCOUNT, BASE, LINK, NOW, execution

ZONE = ZoneInfo("Europe/Berlin")
CLOSE = datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
SESSION = Session(CLOSE - timedelta(hours=6, minutes=30), CLOSE, date(2026, 3, 2))


def paid(*executions: Execution) -> list[Commission]:
    return [Commission(e.exec_id, Decimal("1.00"), "USD") for e in executions]


def books() -> Books:
    """Ten bought, four of them sold; twenty KO from before."""
    bought = execution(10, "100", exec_id="a.01")
    sold = execution(4, "110", side=Side.SELL, exec_id="b.01", time=NOW + timedelta(hours=1))
    before = OpeningLot(ACCOUNT, 8894, "KO", "USD", Decimal(20), Decimal("60.5"), NOW)
    return book([bought, sold], paid(bought, sold), openings=[before])


def shown(told: Books, **changes: Any) -> str:
    return lots_text(
        told.lots, told.closures, 2026, None, changes.get("link", LINK), changes.get("notes", ())
    )


def test_lots_and_closures() -> None:
    """Each lot with its cost, each closure with its gain, totals by term, and whose money it is."""
    told = shown(books())
    assert "<b>AAPL</b> 6 · opened 02 Mar 2026\n   100.10 a share · $600.60" in told
    assert "≈ <b>KO</b> 20 · held before 02 Mar 2026\n   60.50 a share · $1,210.00" in told
    assert "Total cost $1,810.60" in told
    assert "proceeds $439.00\n   basis $400.40 · gain +$38.60" in told
    assert "Short-term +$38.60" in told
    assert "Total gain</b> +$38.60" in told
    assert "broker's average cost" in told
    assert f"SIMULATED · {ACCOUNT}" in told
    assert "not tax advice" in told


def test_live_is_red() -> None:
    """Real money is shown as such."""
    assert "🔴 <b>LIVE</b>" in shown(books(), link=replace(LINK, mode=Mode.LIVE))


def test_nothing_is_said_of_nothing() -> None:
    """An account without lots and closures has no totals and nothing to explain."""
    told = shown(Books((), (), frozenset()))
    assert "No open lots." in told
    assert "Nothing yet." in told
    assert "Total" not in told
    assert "≈" not in told


def test_an_unknown_commission_is_marked() -> None:
    """A figure that is not final carries its mark, and the mark its reason."""
    told = shown(book([execution(10, "100")], []))
    assert "≈ <b>AAPL</b> 10" in told
    assert "commission has not been reported" in told
    assert "average cost" not in told


def test_totals_by_currency() -> None:
    """Money of two currencies is never added up."""
    us, eu = execution(1, "100", exec_id="a.01"), execution(1, "50", exec_id="b.01", con_id=2, currency="EUR")
    told = shown(book([us, eu], []))
    assert "Total cost $100.00 · €50.00" in told


def test_many_lots_fit_one_message() -> None:
    """The newest twenty are shown, and how many older ones there are."""
    many = [execution(1, "100", exec_id=f"a{n}.01", time=NOW + timedelta(minutes=n)) for n in range(50)]
    told = shown(book(many, paid(*many)))
    assert told.count("opened") == 20
    assert "… and 30 older ones." in told
    assert "Total cost $5,050.00" in told


def test_foreign_text_is_escaped() -> None:
    """A name or a trouble with markup in it is shown, not obeyed."""
    told = shown(book([execution(1, "1", symbol="<b>A")], []), notes=("<i>note",))
    assert "&lt;b&gt;A" in told
    assert "&lt;i&gt;note" in told


def test_differences() -> None:
    """Where broker and lots disagree it is said, for the symbol that is asked for or for all; where they agree nothing is."""
    own = books().lots
    held = [
        Position(ACCOUNT, AAPL.con_id, "AAPL", "USD", Decimal(6), None),
        Position(ACCOUNT, 8894, "KO", "USD", Decimal(25), None),
        Position(ACCOUNT, 3, "SPY", "USD", Decimal(1), None),
        Position(ACCOUNT, 4, "MSFT", "USD", Decimal(0), None),
    ]
    said = differences(held, own)
    assert [line.split(":")[0] for line in said] == ["KO", "SPY"]
    assert "holds 25, these lots are 20" in said[0]
    assert differences(held, own, "SPY") == said[1:]
    assert "holds 0, these lots are 6" in differences([], own, "AAPL")[0]


def summary(**changes: Any) -> str:
    held = Position(
        ACCOUNT, 1, "KO", "USD", Decimal(20), Decimal(60), Decimal(62), Decimal(1240), Decimal(40)
    )
    moment = Moment(CLOSE + timedelta(minutes=5), LINK, BASE, (held,), ())
    told = facts(replace(moment, **changes), History(), SESSION, None)
    return summary_text(told, ZONE)


def test_summary_of_a_quiet_day() -> None:
    """The sign of life: the account, holdings, and that all is well."""
    assert summary().splitlines() == [
        "📋 <b>Daily summary, Mon 02 Mar</b>",
        f"SIMULATED · {ACCOUNT}",
        "Account $100,000.00",
        "Realised +$0.00 · unrealised +$40.00",
        "No fills.",
        "Open orders: 0",
        "Positions: 1",
        "   KO 20 · $1,240.00 · +$40.00",
        "🟢 All well.",
    ]


def test_summary_says_what_is_not_well() -> None:
    """With trouble it is not well, and the trouble is escaped."""
    told = summary(link=replace(LINK, trouble="Is <TWS> running?"))
    assert "⚠️ Is &lt;TWS&gt; running?" in told
    assert "All well" not in told


def test_summary_shows_a_dash_for_the_unknown() -> None:
    """What the broker did not say is no zero."""
    told = summary(account=None, positions=None)
    assert "Account –" in told
    assert "unrealised –" in told
    assert "Positions: not known now." in told


@pytest.mark.parametrize(
    ("after", "words"),
    [(timedelta(minutes=45), "45 min ago"), (timedelta(hours=3, minutes=7), "3 h 7 min ago")],
)
def test_late_summary(after: timedelta, words: str) -> None:
    """A late one says how late."""
    told = summary(now=CLOSE + after)
    assert "Late" in told
    assert words in told


# --- options ------------------------------------------------------------------------------------------------------------

CALL = OptionTerms(date(2026, 12, 18), Decimal(190), Right.CALL)
LAST = datetime(2026, 12, 18, 21, 20, tzinfo=UTC)


def contract(
    number: int, side: Side, price: str, option: OptionTerms = CALL, at: datetime = NOW, held: int | str = 2
) -> Execution:
    con_id = 7000 + int(option.strike) + (0 if option.right is Right.CALL else 500)
    return execution(
        held,
        price,
        side=side,
        exec_id=f"0000e0d5.65f2a1b0.{number:02}.01",
        time=at,
        con_id=con_id,
        kind="OPT",
        option=option,
    )


def over(number: int, side: Side, option: OptionTerms = CALL) -> Execution:
    """The broker's close at nothing."""
    return replace(contract(number, side, "0", option, LAST), order_id=0, perm_id=0, order_ref="")


def called(number: int, side: Side, price: str = "190") -> Execution:
    """The shares that an end moved."""
    return execution(
        200,
        price,
        side=side,
        exec_id=f"0000e0d5.65f2a1b0.{number:02}.01",
        time=LAST,
        order_id=0,
        perm_id=0,
        order_ref="",
    )


def fees(*executions: Execution) -> list[Commission]:
    return [Commission(e.exec_id, Decimal("1.30"), "USD") for e in executions]


def test_an_option_lot() -> None:
    """By its name, in contracts, with what a whole contract cost."""
    bought = contract(1, Side.BUY, "3.59")
    told = shown(book([bought], fees(bought)))
    assert "<b>AAPL 190 C 18 Dec 26</b> 2 · opened 02 Mar 2026\n   359.65 a contract · $719.30" in told
    written = contract(1, Side.SELL, "3.59")
    assert "</b> -2 · opened 02 Mar 2026\n   358.35 a contract · -$716.70" in shown(
        book([written], fees(written))
    )


def test_an_option_that_expired() -> None:
    """It says how, on its last day, and what was lost."""
    bought = contract(1, Side.BUY, "3.59")
    told = shown(book([bought, over(2, Side.SELL)], fees(bought)))
    assert (
        "<b>EXPIRED 2 AAPL 190 C 18 Dec 26</b> · 18 Dec 2026 · short-term\n   proceeds $0.00\n   basis $719.30 · gain -$719.30"
        in told
    )
    assert "≈" not in told


@pytest.mark.parametrize(
    ("opens", "right", "shares", "words", "lot"),
    [
        (Side.BUY, Right.CALL, Side.BUY, "EXERCISED|paid, $719.30, is in the basis", "AAPL</b> 200 · opened 18 Dec 2026 by exercise, premium in the cost\n   193.60 a share · $38,719.30"),
        (Side.SELL, Right.CALL, Side.SELL, "ASSIGNED|received, $716.70, is in the proceeds", "AAPL</b> -200 · opened 18 Dec 2026 by assignment, premium in the cost\n   193.58 a share · -$38,716.70"),
        (Side.BUY, Right.PUT, Side.SELL, "EXERCISED|paid, $719.30, is in the proceeds", "-$37,280.70"),
        (Side.SELL, Right.PUT, Side.BUY, "ASSIGNED|received, $716.70, is in the basis", "$37,283.30"),
    ],
)  # fmt: skip
def test_where_a_premium_went(opens: Side, right: Right, shares: Side, words: str, lot: str) -> None:
    """An exercised or assigned option has no gain and no term; its line says where its premium is, and the shares say how they came."""
    terms = replace(CALL, right=right)
    first = contract(1, opens, "3.59", terms)
    closes = Side.SELL if opens is Side.BUY else Side.BUY
    told = shown(book([first, over(2, closes, terms), called(3, shares)], fees(first)))
    how, where = words.split("|")
    assert (
        f"<b>{how} 2 AAPL 190 {right} 18 Dec 26</b> · 18 Dec 2026\n   no gain of its own: the premium {where} of the shares"
        in told
    )
    assert lot in told
    assert "Total gain" not in told
    assert "≈" not in told


def test_shares_that_were_called_away() -> None:
    """Their sale says that it was by assignment; its gain has the premium in it."""
    shares, written = execution(200, "100", exec_id="a.01.01"), contract(1, Side.SELL, "2")
    told = shown(book([shares, written, over(2, Side.BUY), called(3, Side.SELL)], fees(shares, written)))
    assert (
        "<b>SELL 200 AAPL</b> · 18 Dec 2026 · short-term · by assignment\n   proceeds $38,398.70\n   basis $20,001.30 · gain +$18,397.40"
        in told
    )
    assert "Short-term +$18,397.40" in told


def test_an_end_that_is_not_sure() -> None:
    """An option that went before its last day without shares is marked, and it is said why."""
    bought = contract(1, Side.BUY, "3.59")
    gone = replace(over(2, Side.SELL), time=NOW + timedelta(days=1))
    told = shown(book([bought, gone], fees(bought)))
    assert "≈ <b>EXPIRED" in told
    assert "not sure how the option ended" in told
    assert "commission has not been reported" not in told


def test_index_options_are_marked() -> None:
    """Neither short- nor long-term, and it is said why."""
    spx = [replace(e, symbol="SPX") for e in (contract(1, Side.BUY, "3"), contract(2, Side.SELL, "4"))]
    told = shown(book(spx, fees(*spx)))
    assert "· section 1256" in told
    assert "Section 1256 +$197.40" in told
    assert "60 % long-term and 40 % short-term" in told


def test_differences_of_options() -> None:
    """They are told by the option's name, and belong to the symbol that it is on."""
    bought = contract(1, Side.BUY, "3.59")
    lots = book([bought], fees(bought)).lots
    held = Position(ACCOUNT, bought.con_id, "AAPL", "USD", Decimal(3), None, option=CALL)
    for symbol in (None, "AAPL"):
        assert [line.split(":")[0] for line in differences([held], lots, symbol)] == ["AAPL 190 C 18 Dec 26"]
    assert differences([held], lots, "KO") == []
    assert differences([replace(held, signed_quantity=Decimal(2))], lots) == []


def test_summary_of_ends() -> None:
    """What became of options is told below the fills, with the shares that went or came."""
    written = contract(1, Side.SELL, "2")
    bought = contract(5, Side.BUY, "1", replace(CALL, strike=Decimal(250)))
    story = (
        written,
        bought,
        over(2, Side.BUY),
        called(3, Side.SELL),
        over(6, Side.SELL, replace(CALL, strike=Decimal(250))),
    )
    session = Session(LAST - timedelta(hours=7), LAST - timedelta(minutes=20), LAST.date())
    moment = Moment(LAST + timedelta(minutes=5), LINK, BASE, (), ())
    told = summary_text(facts(moment, History(story, tuple(fees(written, bought))), session, None), ZONE)
    assert (
        "No fills.\n   2 AAPL 190 C 18 Dec 26 assigned: SELL 200 AAPL @ 190.00\n   2 AAPL 250 C 18 Dec 26 expired\nOpen orders"
        in told
    )


def test_an_older_summary_is_still_readable() -> None:
    """One that was drawn up before this version, and waits to be sent, has no ends."""
    moment = Moment(CLOSE + timedelta(minutes=5), LINK, BASE, (), ())
    told = facts(moment, History(), SESSION, None)
    del told["ended"]
    assert "All well" in summary_text(told, ZONE)


def trade(
    done: Execution, commission: str | None = "1.30", realized: str | None = None, strategy: str = ""
) -> Trade:
    cost, gain = (None if one is None else Decimal(one) for one in (commission, realized))
    return Trade(
        done,
        3 if done.order_ref else None,
        None,
        cost,
        None if cost is None else "USD",
        gain,
        strategy=strategy,
    )


SPREAD = "AAPL BULL_CALL_SPREAD 190/200 18 Dec 26"
WHOLE = replace(execution(2, "1.93", exec_id="0000e0d5.65f2a1b0.01.01"), kind="BAG", con_id=28812380)
LONG = contract(2, Side.BUY, "3.59")
SHORT = contract(3, Side.SELL, "1.66", replace(CALL, strike=Decimal(200)))


def test_a_combination_is_one_trade() -> None:
    """One line with its net, its money and what it cost, and its legs below; told newest first, with the trades around it."""
    before = execution(1, "90", exec_id="0000e0d5.65f2a0aa.01.01", order_ref="OTHER", perm_id=5)
    told = [
        trade(SHORT, strategy=SPREAD),
        trade(LONG, strategy=SPREAD),
        trade(WHOLE, None, strategy=SPREAD),
        trade(before),
    ]
    assert history.trade_lines(told, ZONE) == [
        "<b>BUY 2 AAPL BULL_CALL_SPREAD 190/200 18 Dec 26 debit 1.93</b>\n   paid $386.00 · commission $2.60\n"
        "   BUY 2 AAPL 190 C 18 Dec 26 @ 3.59\n   SELL 2 AAPL 200 C 18 Dec 26 @ 1.66\n   02 Mar 16:30 Berlin · #3",
        history.trade_line(told[-1], ZONE),
    ]


def test_a_credit_that_closes() -> None:
    """It says CLOSE, what was received, and what the broker says it brought; two fills of one order are two trades."""
    name = "Close AAPL BULL_CALL_SPREAD 190/200 18 Dec 26"
    whole = replace(WHOLE, price=Decimal("-2.50"))
    legs = [contract(2, Side.SELL, "4"), contract(3, Side.BUY, "1.50", replace(CALL, strike=Decimal(200)))]
    told = [
        trade(legs[1], realized="30.70", strategy=name),
        trade(legs[0], realized="80.10", strategy=name),
        trade(whole, None, strategy=name),
    ]
    again = [
        replace(t, execution=replace(t.execution, exec_id=t.execution.exec_id.replace("a1b0", "a1b1")))
        for t in told
    ]
    lines = history.trade_lines([*again, *told], ZONE)
    assert len(lines) == 2
    assert lines[0].startswith(
        "<b>CLOSE 2 AAPL BULL_CALL_SPREAD 190/200 18 Dec 26 credit 2.50</b>\n   received $500.00 · commission $2.60\n   realised +$110.80\n"
    )


def test_what_is_not_known_of_a_combination() -> None:
    """A commission that has not come is a dash; legs that have not come are said to be missing; legs alone say what they are of."""
    late = [
        trade(SHORT, None, strategy=SPREAD),
        trade(LONG, strategy=SPREAD),
        trade(WHOLE, None, strategy=SPREAD),
    ]
    assert "paid $386.00 · commission –\n" in history.trade_lines(late, ZONE)[0]
    assert "legs not reported yet · commission –\n" in history.trade_lines(late[2:], ZONE)[0]
    alone = history.trade_lines(late[:2], ZONE)
    assert len(alone) == 2
    assert all(f"\n   of {SPREAD}\n" in line for line in alone)
    assert "<b>BUY 2 AAPL 190 C 18 Dec 26 @ 3.59</b>\n   $718.00 · commission $1.30" in alone[1]
    assert "BUY 2 AAPL combination debit 1.93" in history.trade_lines([trade(WHOLE, None)], ZONE)[0]


def test_the_end_of_an_option_is_one_line() -> None:
    """Expired is no sale at 0.00 with a commission that never comes; the shares of an assignment are told with it."""
    expired = history.trade_lines([trade(over(2, Side.SELL), None)], ZONE)
    assert expired == ["<b>EXPIRED 2 AAPL 190 C 18 Dec 26</b>\n   18 Dec 22:20 Berlin"]
    assigned = history.trade_lines(
        [trade(called(3, Side.SELL), "0.52", "1700.10"), trade(over(2, Side.BUY), None, "0")], ZONE
    )
    assert assigned == [
        "<b>ASSIGNED 2 AAPL 190 C 18 Dec 26</b>\n   SELL 200 AAPL @ 190.00 · $38,000.00\n   commission $0.52\n   realised +$1,700.10\n"
        "   18 Dec 22:20 Berlin"
    ]


def test_foreign_names_of_combinations_are_escaped() -> None:
    """What an order is called is shown, not obeyed."""
    assert "&lt;i&gt;" in history.trade_lines([trade(WHOLE, None, strategy="<i>X")], ZONE)[0]
    assert "&lt;i&gt;" in history.trade_lines([trade(LONG, None, strategy="<i>X")], ZONE)[0]
