"""What the books are derived from, on a real file: opened once, read back as written, and a job that is done once."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from core.errors import StorageError
from core.model import Commission, History, JobRun, Notice, OpeningLot
from storage.database import Database
from storage.ledger import SqliteLedger
from tests.values import ACCOUNT, NOW, OWNER, execution


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
