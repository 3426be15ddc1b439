"""The books as they are shown: marks, totals, foreign text, and what is unknown."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.statements import differences, lots_text, summary_text
from core.lots import Books, book
from core.model import Commission, Execution, History, Mode, OpeningLot, Position, Side
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
