"""What the books are derived from, and which scheduled jobs were done: the statements of these tables."""

import json
import sqlite3
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from core.model import Commission, History, JobRun, OpeningLot, OptionTerms
from storage import rows

Raw = tuple[list[sqlite3.Row], list[sqlite3.Row], list[sqlite3.Row], list[sqlite3.Row]]


def read(db: sqlite3.Connection, account: str | None) -> Raw:
    """The rows of an account's history, or of all; of commissions all, since one may come before its execution."""
    which, values = ("WHERE account = ?", (account,)) if account is not None else ("", ())
    return (
        db.execute(f"SELECT * FROM executions {which} ORDER BY time, key", values).fetchall(),
        db.execute("SELECT * FROM commissions").fetchall(),
        db.execute(f"SELECT * FROM opening_lots {which} ORDER BY account, con_id", values).fetchall(),
        db.execute(f"SELECT * FROM adjustments {which} ORDER BY at, con_id", values).fetchall(),
    )


def history(raw: Raw) -> History:
    """The rows as values: the slow part of a long history, for a thread that nobody waits for."""
    executions, commissions, openings, adjustments = raw
    return History(
        tuple(map(rows.execution, executions)),
        tuple(
            Commission(row["exec_id"], Decimal(row["amount"]), row["currency"], rows.amount(row["realized"]))
            for row in commissions
        ),
        tuple(map(_opening, openings)),
        tuple(map(_opening, adjustments)),
    )


def _opening(row: sqlite3.Row) -> OpeningLot:
    return OpeningLot(
        row["account"],
        row["con_id"],
        row["symbol"],
        row["currency"],
        Decimal(row["signed_quantity"]),
        Decimal(row["average_cost"]),
        datetime.fromisoformat(row["at"]),
        OptionTerms.read(row["option"]),
    )


def opened(db: sqlite3.Connection, account: str) -> bool:
    """Whether the books of the account were opened."""
    return db.execute("SELECT 1 FROM opened_books WHERE account = ?", (account,)).fetchone() is not None


def open_books(db: sqlite3.Connection, account: str, openings: Sequence[OpeningLot], now: datetime) -> None:
    """The mark and the lots; nothing where the mark is there."""
    mark = {"account": account, "at": rows.text(now)}
    if rows.insert(db, "opened_books", mark, "ON CONFLICT DO NOTHING").rowcount:
        for lot in openings:
            rows.insert(db, "opening_lots", rows.columns(lot))


def reckoned(raw: list[tuple[int, str, str, str]]) -> dict[int, tuple[str, str, Decimal]]:
    """(symbol, currency, signed quantity) by con_id, from rows of (con_id, symbol, currency, signed quantity)."""
    found: dict[int, tuple[str, str, Decimal]] = {}
    for con_id, symbol, currency, quantity in raw:
        _, _, before = found.get(con_id, ("", "", Decimal(0)))
        found[con_id] = (symbol, currency, before + Decimal(quantity))
    return found


# The legs of a combination are what is held; its own execution says how much of its order is filled.
RECKONED = """
    SELECT con_id, symbol, currency, iif(side = 'BUY', quantity, '-' || quantity) FROM executions WHERE account = ?1 AND kind <> 'BAG'
    UNION ALL SELECT con_id, symbol, currency, signed_quantity FROM opening_lots WHERE account = ?1
    UNION ALL SELECT con_id, symbol, currency, signed_quantity FROM adjustments WHERE account = ?1
"""


def adjust(db: sqlite3.Connection, lot: OpeningLot) -> None:
    """A difference to the broker that was taken over."""
    rows.insert(db, "adjustments", rows.columns(lot))


def mark_job(db: sqlite3.Connection, run: JobRun) -> bool:
    """Whether this was the first time."""
    values = {
        "job": run.job,
        "session": run.session.isoformat(),
        "at": rows.text(run.at),
        "facts": json.dumps(run.facts),
    }
    return bool(rows.insert(db, "jobs", values, "ON CONFLICT DO NOTHING").rowcount)


def last_run(db: sqlite3.Connection, job: str) -> JobRun | None:
    """The run for the latest session."""
    row = db.execute("SELECT * FROM jobs WHERE job = ? ORDER BY session DESC LIMIT 1", (job,)).fetchone()
    if row is None:
        return None
    return JobRun(
        row["job"],
        date.fromisoformat(row["session"]),
        datetime.fromisoformat(row["at"]),
        json.loads(row["facts"]),
    )
