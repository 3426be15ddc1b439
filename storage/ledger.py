"""The Ledger, Inbox and Outbox ports on SQLite: every method is one transaction, made of the small functions below it."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from core.decision import Decision
from core.errors import StaleCard
from core.model import (
    Closing,
    ClosingState,
    Commission,
    Execution,
    History,
    JobRun,
    ModelCall,
    Notice,
    OpeningLot,
    Order,
    OrderState,
    OrderType,
    Origin,
    Outgoing,
    Role,
    StoredDecision,
    Ticket,
    TicketState,
    Trade,
    plain,
)
from core.ports import Clock
from storage import analysis, books, rows
from storage.database import Database


class SqliteLedger:
    """Knows who the owners are, because news for everybody become one row for each of them."""

    def __init__(self, database: Database, clock: Clock, owners: Sequence[int]) -> None:
        self._database, self._clock, self._owners = database, clock, tuple(owners)
        self._watchers: set[Callable[[], object]] = set()

    # --- the ledger -----------------------------------------------------------------------------------------------------

    async def open_orders(self) -> tuple[Order, ...]:
        return await self._database.read(
            _orders, "state NOT IN ('FILLED', 'CANCELLED', 'REJECTED', 'NOT_AT_BROKER')"
        )

    async def last_order_number(self) -> int:
        return await self._database.read(
            # After a restore the numbers that were given since the backup are not given again.
            lambda db: int(
                db.execute(
                    "SELECT max(coalesce((SELECT max(number) FROM orders), 0), "
                    "coalesce((SELECT CAST(value AS INTEGER) FROM wishes WHERE key = 'order_numbers_from'), 0))"
                ).fetchone()[0]
            )
        )

    async def find_orders(self, order_refs: Sequence[str], perm_ids: Sequence[int]) -> tuple[Order, ...]:
        return await self._database.read(
            _orders,
            "(order_ref <> '' AND order_ref IN (SELECT value FROM json_each(?))) OR perm_id IN (SELECT value FROM json_each(?))",
            json.dumps(list(order_refs)),
            json.dumps([p for p in perm_ids if p]),
        )

    async def order(self, order_ref: str = "", number: int = 0) -> Order | None:
        found = await self._database.read(
            _orders, "(order_ref <> '' AND order_ref = ?) OR number = ?", order_ref, number
        )
        return found[0] if found else None

    async def orders(self, numbers: Sequence[int]) -> tuple[Order, ...]:
        def work(db: sqlite3.Connection) -> tuple[Order, ...]:
            found = {
                o.number: o
                for o in _orders(db, "number IN (SELECT value FROM json_each(?))", json.dumps(list(numbers)))
            }
            return tuple(found[number] for number in numbers if number in found)

        return await self._database.read(work)

    async def family(self, card: str) -> tuple[Order, ...]:
        # Of protection that was put back only the latest of its kind is shown; refs of one card share its beginning.
        return await self._database.read(
            _orders,
            "number IN (SELECT max(number) FROM orders WHERE order_ref = ? OR order_ref LIKE ? || '.%' GROUP BY role)",
            card,
            card,
        )

    async def doubtful_stops(self) -> tuple[Order, ...]:
        return await self._database.read(_orders, _DOUBTFUL)

    async def count_orders(self, card: str, role: Role, states: Sequence[OrderState]) -> int:
        def work(db: sqlite3.Connection) -> int:
            counted = db.execute(
                "SELECT count(*) FROM orders WHERE role = ? AND (order_ref = ? OR order_ref LIKE ? || '.%') "
                "AND state IN (SELECT value FROM json_each(?))",
                (role, card, card, json.dumps(list(states))),
            )
            return int(counted.fetchone()[0])

        return await self._database.read(work)

    async def sent_since(self, moment: datetime) -> tuple[Order, ...]:
        return await self._database.read(_orders, "owner IS NOT NULL AND sent_at >= ?", rows.text(moment))

    async def executions_since(self, moment: datetime) -> tuple[Execution, ...]:
        def work(db: sqlite3.Connection) -> tuple[Execution, ...]:
            found = db.execute(_LATE_EXECUTIONS, (rows.text(moment),))
            return tuple(map(rows.execution, found))

        return await self._database.read(work)

    async def trades(self, count: int) -> tuple[Trade, ...]:
        return await self._database.read(_trades, "1", count)

    async def trades_of(self, number: int) -> tuple[Trade, ...]:
        return await self._database.read(_trades, "h.order_number = ?", -1, number)

    async def ticket(self, ticket_id: str) -> Ticket | None:
        def work(db: sqlite3.Connection) -> Ticket | None:
            row = db.execute("SELECT ticket, state FROM tickets WHERE ticket_id = ?", (ticket_id,)).fetchone()
            return None if row is None else rows.ticket(row)

        return await self._database.read(work)

    async def record_sending(
        self, ticket: Ticket, orders: Sequence[Order], origin: Origin, notices: Sequence[Notice]
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            _check_terms(db, ticket)
            _end_ticket(db, ticket.ticket_id, TicketState.SENT, now)
            _card_arrived(db, origin, ticket.ticket_id)
            _finish_update(db, origin, "sent", now)
            for order in orders:
                _save_order(db, order)
            _post(db, self._addressed(notices, now))

        await self._database.write(work)

    async def record_cancel(
        self, orders: Sequence[Order], origin: Origin | None, notices: Sequence[Notice]
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            if origin is not None:
                _finish_update(db, origin, "cancel", now)
            for order in orders:
                _save_order(db, order)
                user = origin.user if origin else None
                _audit(db, now, "cancel", f"order #{order.number} {order.symbol}", user)
            _strike(db, {order.number for order in orders})
            _post(db, self._addressed(notices, now))

        await self._database.write(work)

    async def record(
        self,
        orders: Sequence[Order] = (),
        executions: Sequence[Execution] = (),
        commissions: Sequence[Commission] = (),
        notices: Sequence[Notice] = (),
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            for order in orders:
                _save_order(db, order)
            for execution in executions:
                _save_execution(db, execution)
            for commission in commissions:
                rows.insert(
                    db, "commissions", {"key": commission.key, **rows.columns(commission)}, _NEWEST_COMMISSION
                )
            _post(db, self._addressed(notices, now))

        await self._database.write(work)
        if executions or commissions:
            for changed in self._watchers:
                changed()

    @contextlib.contextmanager
    def watched(self, changed: Callable[[], object]) -> Iterator[None]:
        self._watchers.add(changed)
        try:
            yield
        finally:
            self._watchers.discard(changed)

    async def begin_closing(
        self, closing: Closing, orders: Sequence[Order], origin: Origin, notices: Sequence[Notice]
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            _check_terms(db, closing.ticket)
            _end_ticket(db, closing.ticket.ticket_id, TicketState.SENT, now)
            _card_arrived(db, origin, closing.ticket.ticket_id)
            _finish_update(db, origin, "closing", now)
            for order in orders:
                _save_order(db, order)
            values = {
                "ticket_id": closing.ticket.ticket_id,
                "protection": _protection(closing.protection),
                "state": closing.state,
                "begun_at": rows.text(now),
            }
            rows.insert(db, "closings", values)
            _post(db, self._addressed(notices, now))

        await self._database.write(work)

    async def move_closing(
        self, ticket_id: str, state: ClosingState, orders: Sequence[Order], notices: Sequence[Notice]
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            ended = rows.text(now) if state in {ClosingState.DONE, ClosingState.PUT_BACK} else None
            db.execute(
                "UPDATE closings SET state = ?, ended_at = ? WHERE ticket_id = ?", (state, ended, ticket_id)
            )
            for order in orders:
                _save_order(db, order)
            _post(db, self._addressed(notices, now))

        await self._database.write(work)

    async def unfinished_closings(self) -> tuple[Closing, ...]:
        def work(db: sqlite3.Connection) -> tuple[Closing, ...]:
            found = db.execute(
                "SELECT c.protection, c.state AS step, t.ticket, t.state FROM closings c JOIN tickets t USING (ticket_id) "
                "WHERE c.ended_at IS NULL ORDER BY c.begun_at"
            )
            return tuple(
                Closing(rows.ticket(row), _protected(row["protection"]), ClosingState(row["step"]))
                for row in found
            )

        return await self._database.read(work)

    async def post(self, messages: Sequence[Outgoing]) -> None:
        await self._database.write(_post, messages)

    async def proposals(self) -> tuple[Ticket, ...]:
        def work(db: sqlite3.Connection) -> tuple[Ticket, ...]:
            found = db.execute(
                "SELECT ticket, state FROM tickets WHERE decision_id IS NOT NULL AND state = 'open' ORDER BY ticket_id"
            )
            return tuple(map(rows.ticket, found))

        return await self._database.read(work)

    async def proposals_over(self, since: datetime, now: datetime) -> tuple[Ticket, ...]:
        def work(db: sqlite3.Connection) -> tuple[Ticket, ...]:
            found = db.execute(
                "SELECT ticket, state FROM tickets WHERE decision_id IS NOT NULL AND state IN ('open', 'expired') ORDER BY ticket_id DESC LIMIT 50"
            )
            return tuple(t for t in map(rows.ticket, found) if since <= t.expires_at <= now)

        return await self._database.read(work)

    async def last_sign(self) -> datetime | None:
        def work(db: sqlite3.Connection) -> datetime | None:
            (found,) = db.execute(
                "SELECT max(at) FROM (SELECT max(received_at) AS at FROM updates UNION ALL SELECT max(created_at) FROM messages)"
            ).fetchone()
            return rows.moment(found)

        return await self._database.read(work)

    async def open_cards(self, tickets: Sequence[Ticket], messages: Sequence[Outgoing]) -> None:
        def work(db: sqlite3.Connection) -> None:
            for ticket in tickets:
                _save_ticket(db, ticket)
            _post(db, messages)

        await self._database.write(work)

    async def end_cards(
        self, tickets: Sequence[Ticket], state: TicketState, messages: Sequence[Outgoing]
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            for ticket in tickets:
                _end_ticket(db, ticket.ticket_id, state, now)
            _post(db, messages)

        await self._database.write(work)

    async def found_sent(self, ticket_ids: Sequence[str]) -> None:
        await self._database.write(
            lambda db: db.execute(
                "UPDATE tickets SET state = 'sent' WHERE state = 'expired' AND ticket_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(ticket_ids)),),
            )
        )

    async def history(self, account: str | None = None) -> History:
        return await asyncio.to_thread(books.history, await self._database.read(books.read, account))

    async def books_opened(self, account: str) -> bool:
        return await self._database.read(books.opened, account)

    async def open_books(self, account: str, openings: Sequence[OpeningLot]) -> None:
        await self._database.write(books.open_books, account, openings, self._clock.now())

    async def reckoned(self, account: str) -> Mapping[int, tuple[str, str, Decimal]]:
        raw = await self._database.read(
            lambda db: [tuple(row) for row in db.execute(books.RECKONED, (account,))]
        )
        return await asyncio.to_thread(books.reckoned, raw)

    async def adjust(self, lot: OpeningLot, origin: Origin, outcome: str) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            books.adjust(db, lot)
            _audit(db, now, "adjusted", outcome, origin.user)

        await self._database.write(work)

    async def run_job(self, run: JobRun, notices: Sequence[Notice]) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            first = books.mark_job(db, run)
            if first:
                _post(db, self._addressed(notices, self._clock.now()))
            return first

        return await self._database.write(work)

    async def last_run(self, job: str) -> JobRun | None:
        return await self._database.read(books.last_run, job)

    async def remember(self, key: str, value: str) -> None:
        await self._database.write(_remember, key, value)

    async def recall(self, key: str) -> str | None:
        def work(db: sqlite3.Connection) -> str | None:
            row = db.execute("SELECT value FROM wishes WHERE key = ?", (key,)).fetchone()
            return None if row is None else str(row[0])

        return await self._database.read(work)

    async def audit(self, kind: str, detail: str, user: int | None = None) -> None:
        await self._database.write(_audit, self._clock.now(), kind, detail, user)

    # --- the analyst's books --------------------------------------------------------------------------------------------

    async def audited(self, kind: str, count: int) -> tuple[tuple[datetime, str], ...]:
        def work(db: sqlite3.Connection) -> tuple[tuple[datetime, str], ...]:
            found = db.execute(
                "SELECT at, detail FROM audit WHERE kind = ? ORDER BY id DESC LIMIT ?", (kind, count)
            )
            return tuple((datetime.fromisoformat(row["at"]), row["detail"]) for row in found)

        return await self._database.read(work)

    async def keep_trading(
        self, kept: str, outcome: str, origin: Origin | None, notices: Sequence[Notice]
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            _remember(db, "trading", kept)
            _audit(db, now, "trading", outcome, origin.user if origin else None)
            if origin is not None:
                _finish_update(db, origin, "trading", now)
            _post(db, self._addressed(notices, now))

        await self._database.write(work)

    async def record_call(self, call: ModelCall) -> None:
        await self._database.write(analysis.save_call, call)

    async def model_call(self, call_id: str) -> ModelCall | None:
        return await self._database.read(analysis.call, call_id)

    async def calls_since(self, moment: datetime) -> tuple[int, Decimal, int]:
        return await self._database.read(analysis.spent_since, moment)

    async def record_decision(
        self, call: ModelCall, decision: Decision, con_id: int, reference_price: Decimal | None, demo: bool
    ) -> StoredDecision:
        kept = analysis.stored(call, decision, con_id, reference_price, demo)
        await self._database.write(analysis.save_decision, kept)
        return kept

    async def decision(self, decision_id: str) -> StoredDecision | None:
        return await self._database.read(analysis.decision, decision_id)

    # --- the inbox ------------------------------------------------------------------------------------------------------

    async def store(self, origin: Origin) -> None:
        await self._database.write(_store_update, origin, self._clock.now())

    async def finish(
        self,
        origin: Origin,
        outcome: str,
        replies: Sequence[Outgoing] = (),
        opens: Ticket | None = None,
        ends: Ticket | None = None,
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            if ends is not None:
                _end_ticket(db, ends.ticket_id, ends.state, now)
                _card_arrived(db, origin, ends.ticket_id)
            if opens is not None:
                _save_ticket(db, opens)
            _finish_update(db, origin, outcome, now)
            _post(db, replies)

        await self._database.write(work)

    async def refuse(
        self, refused: Sequence[tuple[Origin, str]], lines: Sequence[tuple[int | None, str]]
    ) -> None:
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> None:
            for origin, outcome in refused:
                _finish_update(db, origin, outcome, now)
            for user, line in lines:
                _audit(db, now, "refused", line, user)

        await self._database.write(work)

    async def unfinished(self) -> tuple[Origin, ...]:
        def work(db: sqlite3.Connection) -> tuple[Origin, ...]:
            found = db.execute(
                "SELECT update_id, user, raw FROM updates WHERE finished_at IS NULL ORDER BY update_id"
            )
            return tuple(Origin(*row) for row in found)

        return await self._database.read(work)

    async def recent(self, count: int) -> frozenset[int]:
        def work(db: sqlite3.Connection) -> frozenset[int]:
            return frozenset(
                n
                for (n,) in db.execute(
                    "SELECT update_id FROM updates ORDER BY received_at DESC LIMIT ?", (count,)
                )
            )

        return await self._database.read(work)

    # --- the outbox -----------------------------------------------------------------------------------------------------

    async def waiting(self, after: int = 0) -> tuple[Outgoing, ...]:
        def work(db: sqlite3.Connection) -> tuple[Outgoing, ...]:
            found = db.execute(
                "SELECT * FROM messages WHERE state = 'waiting' AND id > ? ORDER BY id", (after,)
            )
            return tuple(map(rows.outgoing, found))

        return await self._database.read(work)

    async def sent(self, messages: Sequence[Outgoing], telegram_id: int | None) -> None:
        now = rows.text(self._clock.now())

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "UPDATE messages SET state = 'sent', telegram_id = ?, ended_at = ? WHERE id = ?",
                [(telegram_id, now, message.id) for message in messages],
            )
            # A card that had gone from the chat was sent anew: that copy is the card from now on.
            db.executemany(
                "UPDATE messages SET telegram_id = ? WHERE subject = ? AND chat = ? AND is_edit = 0 AND state = 'sent' AND telegram_id <> ?",
                [
                    (telegram_id, m.subject, m.chat, telegram_id)
                    for m in messages
                    if m.is_edit and telegram_id
                ],
            )

        await self._database.write(work)

    async def failed(self, message: Outgoing, why: str) -> None:
        now = rows.text(self._clock.now())

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE messages SET state = 'failed', error = ?, ended_at = ? WHERE id = ?",
                (why, now, message.id),
            )

        await self._database.write(work)

    async def shown_as(self, chat: int, subject: str) -> int | None:
        def work(db: sqlite3.Connection) -> int | None:
            row = db.execute(
                "SELECT telegram_id FROM messages WHERE subject = ? AND chat = ? AND is_edit = 0 AND state = 'sent' ORDER BY id DESC",
                (subject, chat),
            ).fetchone()
            return None if row is None else row[0]

        return await self._database.read(work)

    def _addressed(self, notices: Sequence[Notice], now: datetime) -> list[Outgoing]:
        return [
            Outgoing(
                chat=chat,
                kind=notice.kind,
                created_at=now,
                data=notice.data,
                subject=notice.subject,
                is_edit=bool(notice.subject),
                urgent=notice.urgent,
                picture=notice.picture,
            )
            for notice in notices
            for chat in ((notice.to,) if notice.to is not None else self._owners)
        ]


_DOUBTFUL = """
    number IN (SELECT max(number) FROM orders WHERE role = 'STOP' AND owner IS NOT NULL
               GROUP BY substr(order_ref, 1, instr(order_ref || '.', '.') - 1))
    AND filled = '0' AND state NOT IN ('WORKING', 'PARTIAL', 'FILLED') AND NOT (state = 'CANCELLED' AND cancel_requested_at IS NOT NULL)
    AND EXISTS (SELECT 1 FROM orders entry WHERE entry.order_ref = substr(orders.order_ref, 1, instr(orders.order_ref || '.', '.') - 1)
                AND (entry.filled <> '0' OR entry.state NOT IN ('FILLED', 'CANCELLED', 'REJECTED', 'NOT_AT_BROKER')))
    AND NOT EXISTS (SELECT 1 FROM wishes WHERE key = 'unguarded:' || substr(orders.order_ref, 1, instr(orders.order_ref || '.', '.') - 1))
"""
_NEWEST_ORDER = "ON CONFLICT (number) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}"
    for name in (
        "perm_id",
        "quantity",
        "confirmed_quantity",
        "limit_price",
        "stop_price",
        "state",
        "filled",
        "average_price",
        "reason",
        "cancel_requested_at",
        "change",
        "worth",
    )
)
_LATE_EXECUTIONS = """
    WITH open AS (SELECT order_ref, perm_id FROM orders WHERE state NOT IN ('FILLED', 'CANCELLED', 'REJECTED', 'NOT_AT_BROKER'))
    SELECT * FROM executions
    WHERE time >= ? OR order_ref IN (SELECT order_ref FROM open WHERE order_ref <> '') OR perm_id IN (SELECT perm_id FROM open)
    ORDER BY time, key
"""
_NEWEST_EXECUTION = (
    "ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, exec_id = excluded.exec_id, quantity = excluded.quantity, "
    "price = excluded.price, time = excluded.time WHERE excluded.revision > revision"
)
_NEWEST_COMMISSION = (
    "ON CONFLICT (key) DO UPDATE SET exec_id = excluded.exec_id, amount = excluded.amount, currency = excluded.currency, "
    "realized = excluded.realized WHERE (length(excluded.exec_id), excluded.exec_id) >= (length(exec_id), exec_id)"
)


def _orders(db: sqlite3.Connection, where: str, *values: object) -> tuple[Order, ...]:
    return tuple(map(rows.order, db.execute(f"SELECT * FROM orders WHERE {where} ORDER BY number", values)))


def _save_order(db: sqlite3.Connection, order: Order) -> None:
    rows.insert(db, "orders", rows.columns(order), _NEWEST_ORDER)


def _protection(numbers: Iterable[tuple[int, Decimal]]) -> str:
    return json.dumps([[number, f"{quantity:f}"] for number, quantity in numbers])


def _protected(told: str) -> tuple[tuple[int, Decimal], ...]:
    return tuple((number, Decimal(quantity)) for number, quantity in json.loads(told))


def _strike(db: sqlite3.Connection, numbers: set[int]) -> None:
    """What a person asks to cancel is not put back by a sale that has moved it."""
    for name, told in db.execute(
        "SELECT ticket_id, protection FROM closings WHERE ended_at IS NULL"
    ).fetchall():
        kept = _protection(pair for pair in _protected(told) if pair[0] not in numbers)
        db.execute("UPDATE closings SET protection = ? WHERE ticket_id = ?", (kept, name))


def _save_execution(db: sqlite3.Connection, execution: Execution) -> None:
    values = {"key": execution.key, "revision": execution.revision, **rows.columns(execution)}
    rows.insert(db, "executions", values, _NEWEST_EXECUTION)


def _save_ticket(db: sqlite3.Connection, ticket: Ticket) -> None:
    values = {
        "ticket_id": ticket.ticket_id,
        "owner": ticket.owner,
        "state": ticket.state,
        "ended_at": None if ticket.state is TicketState.OPEN else rows.text(ticket.created_at),
        "terms_hash": ticket.terms_hash(),
        "ticket": json.dumps(plain(ticket)),
        "created_at": rows.text(ticket.created_at),
        "decision_id": ticket.decision_id,
    }
    rows.insert(db, "tickets", values)


def _end_ticket(db: sqlite3.Connection, ticket_id: str, state: TicketState, now: datetime) -> None:
    changed = db.execute(
        "UPDATE tickets SET state = ?, ended_at = ? WHERE ticket_id = ? AND state = 'open'",
        (state, rows.text(now), ticket_id),
    )
    if changed.rowcount != 1:
        row = db.execute("SELECT state FROM tickets WHERE ticket_id = ?", (ticket_id,)).fetchone()
        raise StaleCard(
            TicketState(row[0]).story if row else "This card is not known here. Nothing was sent."
        )


def _check_terms(db: sqlite3.Connection, ticket: Ticket) -> None:
    """What leaves is what the card showed: the hash that was stored with it is the last word."""
    row = db.execute("SELECT terms_hash FROM tickets WHERE ticket_id = ?", (ticket.ticket_id,)).fetchone()
    if row is not None and row[0] != ticket.terms_hash():
        raise StaleCard("The terms are not those that the card showed. Nothing was sent.")


def _card_arrived(db: sqlite3.Connection, origin: Origin, ticket_id: str) -> None:
    """A tap proves that its card arrived, even where a crash came before the note of it, and tells which copy is looked at.

    What was tapped may be another message that lists the card; that one does not become the card.
    """
    if origin.message_id is not None:
        db.execute(
            """
            UPDATE messages SET state = 'sent', telegram_id = ?1 WHERE subject = ?2 AND chat = ?3 AND is_edit = 0
            AND NOT EXISTS (SELECT 1 FROM messages WHERE telegram_id = ?1 AND chat = ?3 AND subject <> ?2)
            """,
            (origin.message_id, ticket_id, origin.user),
        )


def _store_update(db: sqlite3.Connection, origin: Origin, now: datetime) -> None:
    values = {
        "update_id": origin.update_id,
        "user": origin.user,
        "raw": origin.raw,
        "received_at": rows.text(now),
    }
    rows.insert(db, "updates", values, "ON CONFLICT DO NOTHING")


def _finish_update(db: sqlite3.Connection, origin: Origin, outcome: str, now: datetime) -> None:
    done = {"finished_at": rows.text(now), "outcome": outcome}
    values = {
        "update_id": origin.update_id,
        "user": origin.user,
        "raw": origin.raw,
        "received_at": rows.text(now),
        **done,
    }
    rows.insert(
        db,
        "updates",
        values,
        "ON CONFLICT DO UPDATE SET finished_at = excluded.finished_at, outcome = excluded.outcome",
    )


def _post(db: sqlite3.Connection, messages: Sequence[Outgoing]) -> None:
    for message in messages:
        values = rows.columns(message)
        del values["id"]
        if renamed := values.pop("renames"):
            # The message on the screen is from now on the card of that name; this edit is its first.
            db.execute(
                "UPDATE messages SET subject = ? WHERE subject = ? AND chat = ?",
                (renamed, message.subject, message.chat),
            )
            values["subject"] = renamed
        values["buttons"], values["data"] = json.dumps(message.buttons), json.dumps(values["data"])
        rows.insert(db, "messages", values)


def _remember(db: sqlite3.Connection, key: str, value: str) -> None:
    rows.insert(
        db, "wishes", {"key": key, "value": value}, "ON CONFLICT DO UPDATE SET value = excluded.value"
    )


def _audit(db: sqlite3.Connection, now: datetime, kind: str, detail: str, user: int | None) -> None:
    rows.insert(db, "audit", {"at": rows.text(now), "kind": kind, "user": user, "detail": detail})


def _trades(db: sqlite3.Connection, condition: str, count: int, *values: object) -> tuple[Trade, ...]:
    """Those that fit a condition of this room, the newest `count` (all where that is negative)."""
    found = db.execute(
        f"""
        SELECT e.*, h.order_number, h.order_type, h.commission, h.commission_currency, h.realized, h.decision_id, h.confidence, h.reasoning, h.sent_at,
               h.strategy
        FROM executions e JOIN trade_history h ON h.exec_id = e.exec_id
        WHERE {condition} ORDER BY e.time DESC, e.key DESC LIMIT ?
        """,
        (*values, count),
    )
    return tuple(
        Trade(
            execution=rows.execution(row),
            order_number=row["order_number"],
            order_type=None if row["order_type"] is None else OrderType(row["order_type"]),
            commission=None if row["commission"] is None else Decimal(row["commission"]),
            commission_currency=row["commission_currency"],
            realized=rows.amount(row["realized"]),
            decision_id=row["decision_id"],
            confidence=row["confidence"],
            reasoning=row["reasoning"],
            sent_at=rows.moment(row["sent_at"]),
            strategy=row["strategy"] or "",
        )
        for row in found
    )
