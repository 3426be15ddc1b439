"""What the books are derived from, on a real file: opened once, read back as written, and a job that is done once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from core.errors import StorageError
from core.lots import book
from core.model import (
    Commission,
    Execution,
    History,
    JobRun,
    Notice,
    OpeningLot,
    OptionTerms,
    Origin,
    Right,
    Side,
)
from storage import backup
from storage.database import Database
from storage.ledger import SqliteLedger
from tests.values import ACCOUNT, NOW, OWNER, execution, order


class Watch:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = await Database.open(tmp_path / "greenlight.db")
    yield made
    await made.close()


@pytest.fixture
def ledger(database: Database) -> SqliteLedger:
    return SqliteLedger(database, Watch(), (OWNER, 17))


KO = OpeningLot(ACCOUNT, 8894, "KO", "USD", Decimal("-120.5"), Decimal("61.123456789012345678"), NOW)
SPY = OpeningLot(ACCOUNT, 756733, "SPY", "USD", Decimal(25), Decimal("600.1"), NOW)
RUN = JobRun("summary", date(2026, 3, 2), NOW, {"net_liquidation": "1.50", "change": None, "trouble": []})
NEWS = Notice("summary", {"a": "1"})


async def test_books_are_opened_once(ledger: SqliteLedger) -> None:
    """The second time changes nothing, whatever it brings; another account has its own books."""
    assert not await ledger.books_opened(ACCOUNT)
    await ledger.open_books(ACCOUNT, [KO, SPY])
    assert await ledger.books_opened(ACCOUNT)
    await ledger.open_books(ACCOUNT, [])
    await ledger.open_books(ACCOUNT, [OpeningLot(ACCOUNT, 1, "X", "USD", Decimal(1), Decimal(1), NOW)])
    assert (await ledger.history(ACCOUNT)).openings == (KO, SPY)
    assert not await ledger.books_opened("DU7")


async def test_an_empty_account_is_opened_too(ledger: SqliteLedger) -> None:
    """Nothing held is something known: shares bought later are not taken for shares held before."""
    await ledger.open_books(ACCOUNT, [])
    await ledger.open_books(ACCOUNT, [SPY])
    assert await ledger.books_opened(ACCOUNT)
    assert (await ledger.history(ACCOUNT)).openings == ()


async def test_books_are_opened_whole_or_not_at_all(ledger: SqliteLedger) -> None:
    """Two lots of one instrument cannot be; then there is no mark either."""
    with pytest.raises(StorageError):
        await ledger.open_books(ACCOUNT, [SPY, KO, SPY])
    assert not await ledger.books_opened(ACCOUNT)
    assert (await ledger.history()).openings == ()


async def test_money_is_kept_as_text(ledger: SqliteLedger, database: Database) -> None:
    """Quantities and money are never rounded by the database."""
    await ledger.open_books(ACCOUNT, [KO])
    kinds = await database.read(
        lambda db: tuple(
            db.execute(
                "SELECT typeof(signed_quantity), typeof(average_cost), average_cost FROM opening_lots"
            ).fetchone()
        )
    )
    assert kinds == ("text", "text", "61.123456789012345678")


async def test_history_is_read_back(ledger: SqliteLedger) -> None:
    """Executions in time, of one account or of all, and every commission."""
    late = execution(exec_id="b.01.01", time=NOW + timedelta(hours=1))
    early, other = execution(exec_id="a.01.01"), execution(exec_id="c.01.01", account="DU7")
    paid = Commission("b.01.01", Decimal("1.0042"), "USD", Decimal("-3.5"))
    await ledger.record(executions=[late, other, early], commissions=[paid])
    assert await ledger.history(ACCOUNT) == History((early, late), (paid,), ())
    assert (await ledger.history()).executions == (early, other, late)
    assert await ledger.history("DU9") == History((), (paid,), ())


async def test_a_job_is_done_once_for_a_session(ledger: SqliteLedger) -> None:
    """The mark and one message for each owner come in one commit; the second time there is neither."""
    assert await ledger.last_run("summary") is None
    assert await ledger.run_job(RUN, [NEWS])
    assert not await ledger.run_job(RUN, [NEWS])
    assert [(m.chat, m.kind) for m in await ledger.waiting()] == [(OWNER, "summary"), (17, "summary")]
    assert await ledger.last_run("summary") == RUN
    assert await ledger.last_run("other") is None


async def test_the_last_run_is_of_the_latest_session(ledger: SqliteLedger) -> None:
    """By the session's date, not by when it was done."""
    east = timezone(timedelta(hours=9))
    next_day = JobRun("summary", date(2026, 3, 3), NOW.astimezone(east), {"b": 2})
    await ledger.run_job(next_day, [])
    await ledger.run_job(RUN, [])
    last = await ledger.last_run("summary")
    assert last == next_day
    assert last.at.tzinfo == UTC


async def test_a_job_whose_message_cannot_be_written_is_not_done(ledger: SqliteLedger) -> None:
    """No mark without its message."""
    with pytest.raises((TypeError, StorageError)):
        await ledger.run_job(RUN, [Notice("summary", {"when": object()})])
    assert await ledger.last_run("summary") is None
    assert await ledger.waiting() == ()


# --- options ------------------------------------------------------------------------------------------------------------

CALL = OptionTerms(date(2026, 12, 18), Decimal(190), Right.CALL, Decimal(100), "AAPL")
HIGHER = replace(CALL, strike=Decimal("192.5"))
SPREAD = order(
    number=3, order_ref="01SPREAD", kind="BAG", con_id=-5, name="AAPL BULL_CALL_SPREAD 190/192.5 18 Dec 26", perm_id=900,
    limit_price=Decimal("1.00"),
)  # fmt: skip


def of_the_spread(
    number: int, con_id: int, side: Side, price: str, kind: str, option: OptionTerms | None
) -> Execution:
    """An execution of the order of a combination: of the whole, or of a leg."""
    exec_id = f"0000e0d5.65f2a1b0.{number:02}.01"
    return execution(
        2, price, exec_id=exec_id, con_id=con_id, side=side, kind=kind, option=option, order_ref="01SPREAD"
    )


WHOLE = of_the_spread(1, 28812380, Side.BUY, "0.95", "BAG", None)
LEGS = (
    of_the_spread(2, 7001, Side.BUY, "3.59", "OPT", CALL),
    of_the_spread(3, 7002, Side.SELL, "2.64", "OPT", HIGHER),
)
PAID = tuple(Commission(leg.exec_id, Decimal("1.30"), "USD") for leg in LEGS)
HELD = OpeningLot(
    ACCOUNT, 7003, "AAPL", "USD", Decimal(-1), Decimal("201.05"), NOW, replace(CALL, right=Right.PUT)
)


async def test_options_are_read_back(ledger: SqliteLedger) -> None:
    """What an option is, in executions, in lots held before and in differences taken over; what was stored is what is read."""
    more = replace(HELD, con_id=7004, at=NOW + timedelta(days=1))
    await ledger.record(executions=[WHOLE, *LEGS], commissions=PAID)
    await ledger.open_books(ACCOUNT, [HELD])
    await ledger.adjust(more, Origin(1, OWNER), "one more")
    told = await ledger.history(ACCOUNT)
    assert told.executions == (WHOLE, *LEGS)
    assert (told.openings, told.adjustments) == ((HELD,), (more,))


async def test_a_combination_is_reckoned_by_its_legs(ledger: SqliteLedger) -> None:
    """What is held are its legs; the whole, whose number says nothing, is nowhere among them."""
    await ledger.record(executions=[WHOLE, *LEGS])
    await ledger.open_books(ACCOUNT, [HELD])
    reckoned = await ledger.reckoned(ACCOUNT)
    assert {con_id: told[2] for con_id, told in reckoned.items()} == {
        7001: Decimal(2), 7002: Decimal(-2), 7003: Decimal(-1),
    }  # fmt: skip


async def test_the_end_of_an_option_is_reckoned(ledger: SqliteLedger) -> None:
    """An option that was exercised is gone, and the shares are there."""
    gone = replace(
        LEGS[0],
        exec_id="0000e0d5.65f2ffff.01.01",
        side=Side.SELL,
        price=Decimal(0),
        order_id=0,
        perm_id=0,
        order_ref="",
    )
    shares = replace(
        gone, exec_id="0000e0d5.65f2ffff.02.01", con_id=265598, side=Side.BUY, quantity=Decimal(200), price=CALL.strike, kind="STK", option=None
    )  # fmt: skip
    await ledger.record(executions=[LEGS[0], gone, shares])
    assert {con_id: told[2] for con_id, told in (await ledger.reckoned(ACCOUNT)).items()} == {
        7001: Decimal(0), 265598: Decimal(200),
    }  # fmt: skip


async def test_trade_history_of_a_combination(ledger: SqliteLedger, database: Database) -> None:
    """Whoever opens the file finds the whole and its legs as lines of one order, each with what it is, and the strategy's name."""
    await ledger.record([SPREAD], [WHOLE, *LEGS], PAID)
    found = await database.read(
        lambda db: [
            tuple(row)
            for row in db.execute(
                "SELECT ticker, action, quantity, price, kind, option, strategy, order_number, commission FROM trade_history ORDER BY exec_id"
            )
        ]
    )
    assert found == [
        ("AAPL", "BUY", "2", "0.95", "BAG", "", SPREAD.name, 3, None),
        ("AAPL", "BUY", "2", "3.59", "OPT", "2026-12-18 190 C 100 AAPL", SPREAD.name, 3, "1.30"),
        ("AAPL", "SELL", "2", "2.64", "OPT", "2026-12-18 192.5 C 100 AAPL", SPREAD.name, 3, "1.30"),
    ]
    trades = await ledger.trades(10)
    assert [(t.execution, t.strategy, t.order_number) for t in trades] == [
        (one, SPREAD.name, 3) for one in (LEGS[1], LEGS[0], WHOLE)
    ]


async def test_a_fill_of_no_combination_has_no_strategy(ledger: SqliteLedger) -> None:
    """Neither one of an order of shares nor one of nobody's order."""
    await ledger.record(
        [order(number=1, perm_id=900)],
        [execution(exec_id="a.01"), execution(exec_id="b.01", perm_id=1, order_ref="")],
    )
    assert [t.strategy for t in await ledger.trades(10)] == ["", ""]


async def test_a_backup_has_the_options(ledger: SqliteLedger, database: Database, tmp_path: Path) -> None:
    """After a restore the same lots come of the same rows, and the history of trades reads the same."""
    await ledger.record([SPREAD], [WHOLE, *LEGS], PAID)
    await ledger.open_books(ACCOUNT, [HELD])
    before, trades = await ledger.history(ACCOUNT), await ledger.trades(10)
    path, folder = tmp_path / "greenlight.db", tmp_path / "backups"
    one = await asyncio.to_thread(backup.make, path, folder, NOW)
    await ledger.record(executions=[replace(LEGS[0], exec_id="later.01")])
    await database.close()
    await asyncio.to_thread(backup.restore, path, one.path, folder, NOW + timedelta(hours=1))
    opened = await Database.open(path)
    restored = SqliteLedger(opened, Watch(), (OWNER,))
    try:
        assert await restored.history(ACCOUNT) == before
        assert await restored.trades(10) == trades
        books = book(before.executions, before.commissions, openings=before.openings)
        assert [(lot.label, lot.signed_quantity, lot.cost) for lot in books.lots] == [
            ("AAPL 190 P 18 Dec 26", Decimal(-1), Decimal("-201.05")),
            ("AAPL 190 C 18 Dec 26", Decimal(2), Decimal("719.30")),
            ("AAPL 192.5 C 18 Dec 26", Decimal(-2), Decimal("-526.70")),
        ]
    finally:
        await opened.close()
