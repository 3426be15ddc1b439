"""The books on a real file: one commit or none, the same evidence twice is once, and what is read is what was written."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import StaleCard, StorageError
from core.model import (
    Commission,
    Execution,
    Notice,
    Order,
    OrderState,
    OrderType,
    Origin,
    Outgoing,
    Side,
    Ticket,
    TicketState,
    TimeInForce,
)
from storage.database import Database
from storage.ledger import SqliteLedger
from tests.values import NOW, ORDER, OWNER, TICKET, execution, order, ticket

SECOND_OWNER = 17
ORIGIN = Origin(update_id=7, user=OWNER, raw='{"update_id": 7}')
NEWS = Notice("order", {"number": 1}, subject=TICKET.ticket_id, to=OWNER)
LIMIT_ORDER = order(
    order_type=OrderType.LIMIT,
    limit_price=Decimal("187.50"),
    tif=TimeInForce.GTC,
    perm_id=900,
    filled=Decimal(3),
    average_price=Decimal("187.4933333333333333333333333"),
    reason="A <reason>",
    cancel_requested_at=NOW + timedelta(seconds=1),
)


class Watch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class Books:
    """The ledger with the file below it, to look at the rows themselves."""

    def __init__(self, database: Database) -> None:
        self.database, self.watch = database, Watch()
        self.ledger = SqliteLedger(database, self.watch, (OWNER, SECOND_OWNER))

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await self.database.read(lambda db: [tuple(row) for row in db.execute(query)])

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        names = await self.rows(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        return {name: await self.rows(f"SELECT * FROM {name} ORDER BY 1") for (name,) in names}

    async def card(self, card: Ticket = TICKET) -> None:
        """A card that was shown and can be acted on."""
        await self.ledger.finish(Origin(1, OWNER), "done", opens=card)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    database = await Database.open(tmp_path / "greenlight.db")
    yield Books(database)
    await database.close()


# --- the commit before an order leaves ---------------------------------------------------------------------------------


async def test_one_commit_before_an_order_leaves(books: Books) -> None:
    """Update done, tap consumed, intent and message are there together."""
    await books.card()
    await books.ledger.store(ORIGIN)
    await books.ledger.record_sending(TICKET, [ORDER], ORIGIN, [NEWS])
    assert await books.ledger.unfinished() == ()
    card = await books.ledger.ticket(TICKET.ticket_id)
    assert card is not None
    assert card.state is TicketState.SENT
    assert await books.ledger.open_orders() == (ORDER,)
    (message,) = await books.ledger.waiting()
    assert (message.chat, message.kind, message.subject, message.is_edit) == (
        OWNER,
        "order",
        TICKET.ticket_id,
        True,
    )


async def test_an_update_that_was_never_stored_is_done_with_the_same_commit(books: Books) -> None:
    """On the fast path the update is first written down by the very commit that ends it."""
    await books.card()
    await books.ledger.record_sending(TICKET, [ORDER], ORIGIN, [])
    assert ORIGIN.update_id in await books.ledger.recent(10)
    assert await books.ledger.unfinished() == ()


@pytest.mark.parametrize("state", [s for s in TicketState if s is not TicketState.OPEN])
async def test_a_stale_card_changes_nothing_at_all(books: Books, state: TicketState) -> None:
    """A card that is over sends no order, finishes no update and says nothing but how it ended."""
    await books.card()
    await books.ledger.finish(Origin(2, OWNER), "done", ends=replace(TICKET, state=state))
    await books.ledger.store(ORIGIN)
    before = await books.everything()
    with pytest.raises(StaleCard) as ended:
        await books.ledger.record_sending(TICKET, [ORDER], ORIGIN, [NEWS])
    assert str(ended.value) == state.story
    assert await books.everything() == before
    assert await books.ledger.unfinished() == (ORIGIN,)


async def test_a_card_that_nobody_knows_is_stale(books: Books) -> None:
    """A button from elsewhere sends nothing."""
    before = await books.everything()
    with pytest.raises(StaleCard, match="not known"):
        await books.ledger.record_sending(TICKET, [ORDER], ORIGIN, [NEWS])
    assert await books.everything() == before


async def test_a_double_tap_is_one_order(books: Books) -> None:
    """Two taps at the same time, from two devices: one commits, the other learns that it was sent."""
    await books.card()
    taps = (
        books.ledger.record_sending(TICKET, [order(number=n)], Origin(10 + n, OWNER), [NEWS]) for n in (1, 2)
    )
    first, second = await asyncio.gather(*taps, return_exceptions=True)
    assert [type(one) for one in (first, second)].count(StaleCard) == 1
    assert len(await books.ledger.open_orders()) == 1
    assert len(await books.ledger.waiting()) == 1


async def test_two_orders_of_one_name_are_refused(books: Books) -> None:
    """order_ref is the idempotency key: a second intent under it is no row, and its card stays open."""
    await books.card()
    await books.ledger.record([ORDER])
    with pytest.raises(StorageError):
        await books.ledger.record_sending(TICKET, [order(number=2)], ORIGIN, [NEWS])
    card = await books.ledger.ticket(TICKET.ticket_id)
    assert card is not None
    assert card.state is TicketState.OPEN
    assert await books.ledger.waiting() == ()


async def test_the_commit_before_a_cancel(books: Books) -> None:
    """The wish to cancel, its trace in the audit and its message are one commit."""
    await books.ledger.record([ORDER])
    asked = replace(ORDER, cancel_requested_at=NOW)
    await books.ledger.record_cancel([asked], ORIGIN, [NEWS])
    assert await books.ledger.open_orders() == (asked,)
    assert len(await books.ledger.waiting()) == 1
    assert await books.rows("SELECT kind, user FROM audit") == [("cancel", OWNER)]
    assert await books.ledger.recent(1) == {ORIGIN.update_id}


# --- orders and cards -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "known", [ORDER, LIMIT_ORDER, order(owner=None, order_ref="", order_id=0, perm_id=5)]
)
async def test_an_order_is_read_as_it_was_written(books: Books, known: Order) -> None:
    """No digit, time or None is lost."""
    await books.ledger.record([known])
    assert await books.ledger.order(number=known.number) == known


@pytest.mark.parametrize(
    "card",
    [TICKET, ticket(Side.SELL, 3, limit="187.55", tif=TimeInForce.GTC), ticket(stop="0.0001")],
)
async def test_a_card_is_read_as_it_was_written(books: Books, card: Ticket) -> None:
    """What was shown is what is sent after a restart: the same terms and the same hash."""
    await books.card(card)
    found = await books.ledger.ticket(card.ticket_id)
    assert found == card
    assert found.terms_hash() == card.terms_hash()
    assert await books.rows("SELECT terms_hash FROM tickets") == [(card.terms_hash(),)]
    assert await books.ledger.ticket("another") is None


async def test_news_of_an_order_replace_what_moves_and_nothing_else(books: Books) -> None:
    """State, fills and prices move; whose order it is and what it bought never does."""
    await books.ledger.record([ORDER])
    moved = replace(
        LIMIT_ORDER, order_type=ORDER.order_type, tif=ORDER.tif, state=OrderState.PARTIAL, quantity=Decimal(8)
    )
    await books.ledger.record([moved])
    assert await books.ledger.order(number=1) == moved
    await books.ledger.record([replace(moved, owner=666, side=Side.SELL, order_ref="other", account="DU9")])
    assert await books.ledger.order(number=1) == moved


@pytest.mark.parametrize("state", list(OrderState))
async def test_open_orders(books: Books, state: OrderState) -> None:
    """What SQL calls open is what the model calls open, so that nothing is forgotten over a restart."""
    await books.ledger.record([order(state=state)])
    assert bool(await books.ledger.open_orders()) is state.is_open


async def test_orders_are_found_by_their_names(books: Books) -> None:
    """By order_ref or perm_id, over or not; empty names and zeros find nothing."""
    first = order(number=1, order_ref="A", perm_id=5, state=OrderState.FILLED)
    second = order(number=2, order_ref="B", perm_id=None)
    foreign = order(number=3, order_ref="", owner=None, perm_id=None, order_id=0)
    await books.ledger.record([first, second, foreign])
    assert await books.ledger.find_orders(["A"], []) == (first,)
    assert await books.ledger.find_orders([], [5]) == (first,)
    assert await books.ledger.find_orders(["B"], [5]) == (first, second)
    assert await books.ledger.find_orders([""], [0]) == ()
    assert await books.ledger.find_orders([], []) == ()
    assert await books.ledger.order(order_ref="B") == second
    assert await books.ledger.order() is None
    assert await books.ledger.last_order_number() == 3


async def test_an_empty_book(books: Books) -> None:
    """Before the first order there is nothing, and the number before the first is zero."""
    assert await books.ledger.last_order_number() == 0
    assert await books.ledger.open_orders() == ()
    assert await books.ledger.trades(20) == ()


# --- executions and commissions ---------------------------------------------------------------------------------------

COST = Commission("0000e0d5.65e1.01.01", Decimal("1.05"), "USD", Decimal("-3.5"))


async def test_the_same_evidence_twice_changes_nothing(books: Books) -> None:
    """Replays of the broker, at every reconnect, book no fill and no cost a second time."""
    await books.ledger.record([ORDER], [execution()], [COST])
    before = await books.everything()
    for _ in range(3):
        await books.ledger.record([ORDER], [execution()], [COST])
    assert await books.everything() == before
    assert len(await books.ledger.trades(10)) == 1


async def test_a_correction_replaces_the_fill(books: Books) -> None:
    """The later revision of an execution is the fill; it is not a second one."""
    await books.ledger.record(executions=[execution(10, "100")])
    await books.ledger.record(executions=[execution(10, "101", exec_id="0000e0d5.65e1.01.02")])
    (trade,) = await books.ledger.trades(10)
    assert (trade.execution.price, trade.execution.exec_id) == (Decimal(101), "0000e0d5.65e1.01.02")


async def test_an_older_revision_does_not_come_back(books: Books) -> None:
    """A replay of the first version after its correction changes nothing; numbers are compared, not letters."""
    await books.ledger.record(executions=[execution(10, "101", exec_id="a.01.10")])
    await books.ledger.record(
        executions=[execution(10, "100", exec_id="a.01.09"), execution(9, exec_id="a.01.1")]
    )
    (trade,) = await books.ledger.trades(10)
    assert (trade.execution.price, trade.execution.quantity) == (Decimal(101), Decimal(10))


@pytest.mark.parametrize("commission_first", [True, False])
async def test_a_commission_meets_its_execution_in_either_order(books: Books, commission_first: bool) -> None:
    """A cost that comes first waits for its fill; a fill without a cost says that it is unknown."""
    if commission_first:
        await books.ledger.record(commissions=[COST])
        assert await books.ledger.trades(10) == ()
        await books.ledger.record(executions=[execution()])
    else:
        await books.ledger.record(executions=[execution()])
        (bare,) = await books.ledger.trades(10)
        assert (bare.commission, bare.commission_currency, bare.realized) == (None, None, None)
        await books.ledger.record(commissions=[COST])
    (trade,) = await books.ledger.trades(10)
    assert (trade.commission, trade.commission_currency, trade.realized) == (
        Decimal("1.05"),
        "USD",
        Decimal("-3.5"),
    )


async def test_a_commission_stays_with_a_corrected_execution(books: Books) -> None:
    """The cost belongs to the fill whatever its revision, and a corrected cost replaces the former."""
    await books.ledger.record(executions=[execution()], commissions=[COST])
    await books.ledger.record(executions=[execution(exec_id="0000e0d5.65e1.01.02")])
    assert (await books.ledger.trades(1))[0].commission == Decimal("1.05")
    later = replace(COST, exec_id="0000e0d5.65e1.01.02", amount=Decimal(2))
    await books.ledger.record(commissions=[later])
    await books.ledger.record(commissions=[COST])
    assert (await books.ledger.trades(1))[0].commission == Decimal(2)


async def test_trades_name_their_order(books: Books) -> None:
    """By order_ref, or by perm_id where the broker gave no name; a fill of nobody's order names none."""
    await books.ledger.record(
        [order(number=1, order_ref="A", perm_id=5), order(number=2, order_ref="B", order_id=8)]
    )
    fills = [
        execution(exec_id="a.01", order_ref="A", perm_id=0, time=NOW),
        execution(exec_id="b.01", order_ref="", perm_id=5, time=NOW + timedelta(seconds=1)),
        execution(exec_id="c.01", order_ref="Z", perm_id=77, time=NOW + timedelta(seconds=2)),
    ]
    await books.ledger.record(executions=fills)
    trades = await books.ledger.trades(10)
    assert [(t.execution.exec_id, t.order_number) for t in trades] == [
        ("c.01", None),
        ("b.01", 1),
        ("a.01", 1),
    ]
    assert await books.ledger.trades(1) == trades[:1]


async def test_two_orders_without_a_permanent_id_do_not_share_fills(books: Books) -> None:
    """perm_id 0 is no name: neither order is given the other's fill, nor one that names nobody."""
    await books.ledger.record(
        [
            order(number=1, order_ref="A", order_id=7),
            order(number=2, order_ref="B", order_id=8),
            order(number=3, order_ref="", owner=None, order_id=0),
        ],
        [
            execution(exec_id="a.01", order_ref="A", order_id=7, perm_id=0),
            execution(exec_id="b.01", order_ref="B", order_id=8, perm_id=0),
            execution(exec_id="c.01", order_ref="", order_id=0, perm_id=0),
        ],
    )
    found = await books.rows("SELECT exec_id, order_number FROM trade_history ORDER BY exec_id")
    assert found == [("a.01", 1), ("b.01", 2), ("c.01", None)]


async def test_the_trade_history_view(books: Books) -> None:
    """Whoever opens the file with any SQLite tool finds one line for each fill, with its order and its cost."""
    await books.ledger.record([ORDER], [execution(10, "187.50")], [COST])
    ((ticker, action, quantity, price, order_type, number, cost, realized),) = await books.rows(
        "SELECT ticker, action, quantity, price, order_type, order_number, commission, realized FROM trade_history"
    )
    assert (ticker, action, order_type, number) == ("AAPL", "BUY", "MKT", 1)
    assert (quantity, price, cost, realized) == ("10", "187.50", "1.05", "-3.5")


async def test_executions_since(books: Books) -> None:
    """At the moment and after it, oldest first; a time of another zone is the same moment."""
    new_york = timezone(timedelta(hours=-5))
    fills = [
        execution(exec_id="a.01", time=NOW - timedelta(microseconds=1)),
        execution(exec_id="b.01", time=NOW.astimezone(new_york)),
        execution(exec_id="c.01", time=NOW + timedelta(hours=1)),
    ]
    await books.ledger.record(executions=fills)
    found = await books.ledger.executions_since(NOW)
    assert [e.exec_id for e in found] == ["b.01", "c.01"]
    assert found == tuple(fills[1:])
    assert await books.ledger.executions_since((NOW + timedelta(hours=1)).astimezone(new_york)) == tuple(
        fills[2:]
    )


numbers = st.decimals("0.000001", 10**9, places=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4), numbers), min_size=1, max_size=8))
def test_the_newest_revision_wins_in_any_order(tmp_path: Path, told: list[tuple[int, int, Decimal]]) -> None:
    """However fills and their corrections arrive: one line each, the highest revision (its first telling), to the last digit."""
    expected: dict[int, Execution] = {}
    fills = [execution(1, f"{price:f}", exec_id=f"k{key}.{revision:02}") for key, revision, price in told]
    for (key, revision, _), fill in zip(told, fills, strict=True):
        if key not in expected or revision > expected[key].revision:
            expected[key] = fill

    async def story() -> tuple[Execution, ...]:
        database = await Database.open(tmp_path / "story.db")
        try:
            await database.write(lambda db: db.execute("DELETE FROM executions"))
            books = Books(database)
            for fill in fills:
                await books.ledger.record(executions=[fill])
            return tuple(trade.execution for trade in await books.ledger.trades(99))
        finally:
            await database.close()

    found = asyncio.run(story())
    assert {e.key: e for e in found} == {e.key: e for e in expected.values()}
    assert len(found) == len(expected)


async def test_one_bad_row_takes_the_whole_booking_back(books: Books) -> None:
    """Order, fill and message are one commit: where a part cannot be written, nothing is."""
    before = await books.everything()
    twin = order(number=2)
    with pytest.raises(StorageError):
        await books.ledger.record([ORDER, twin], [execution()], [COST], [NEWS])
    assert await books.everything() == before


# --- the inbox --------------------------------------------------------------------------------------------------------


async def test_updates_are_kept_until_they_are_done(books: Books) -> None:
    """Stored once however often it comes, oldest first, and gone from the list when it is finished."""
    later, earlier = Origin(9, OWNER, "b"), Origin(8, OWNER, "a")
    for origin in (later, earlier, later, replace(later, raw="changed")):
        await books.ledger.store(origin)
    assert await books.ledger.unfinished() == (earlier, later)
    await books.ledger.finish(earlier, "done")
    assert await books.ledger.unfinished() == (later,)
    assert await books.rows("SELECT update_id, outcome FROM updates") == [(8, "done"), (9, None)]


async def test_recent_updates(books: Books) -> None:
    """The last ones to arrive are remembered, finished or not, so that a second delivery is recognised."""
    for number in (5, 3, 4):
        books.watch.time += timedelta(seconds=1)
        await books.ledger.store(Origin(number, OWNER))
    await books.ledger.finish(Origin(3, OWNER), "done")
    assert await books.ledger.recent(2) == {3, 4}
    assert await books.ledger.recent(9) == {3, 4, 5}


async def test_finishing_with_a_stale_card_changes_nothing(books: Books) -> None:
    """The reply, the new card and the end of the update are one commit with the end of the old card."""
    await books.card()
    await books.ledger.finish(Origin(2, OWNER), "done", ends=replace(TICKET, state=TicketState.DISCARDED))
    await books.ledger.store(ORIGIN)
    before = await books.everything()
    reply = Outgoing(OWNER, "reply", NOW, text="hello")
    with pytest.raises(StaleCard):
        await books.ledger.finish(
            ORIGIN,
            "done",
            [reply],
            opens=replace(TICKET, ticket_id="02"),
            ends=replace(TICKET, state=TicketState.EXPIRED),
        )
    assert await books.everything() == before


# --- the outbox -------------------------------------------------------------------------------------------------------

REPLY = Outgoing(
    chat=OWNER,
    kind="reply",
    created_at=NOW,
    text="<b>Hello</b>",
    buttons=((("Send", "send:1"), ("Discard", "discard:1")), (("More", "more"),)),
    data={"number": 1, "text": "ä"},
    subject="01TICKET",
    urgent=True,
)


async def test_a_message_is_read_as_it_was_written(books: Books) -> None:
    """Text, rows of buttons and facts survive the file."""
    await books.ledger.finish(ORIGIN, "done", [REPLY])
    (found,) = await books.ledger.waiting()
    assert found.id > 0
    assert replace(found, id=0) == REPLY


async def test_messages_wait_in_their_order_until_they_are_sent_or_given_up(books: Books) -> None:
    """Oldest first; sent and failed ones wait no more; `after` skips what is known."""
    await books.ledger.finish(ORIGIN, "done", [replace(REPLY, text=str(n)) for n in range(4)])
    first, second, third, fourth = await books.ledger.waiting()
    assert [m.text for m in (first, second, third, fourth)] == ["0", "1", "2", "3"]
    assert await books.ledger.waiting(after=second.id) == (third, fourth)
    await books.ledger.sent([first, third], 55)
    await books.ledger.failed(second, "blocked")
    assert await books.ledger.waiting() == (fourth,)
    found = await books.rows("SELECT state, telegram_id, error FROM messages ORDER BY id")
    assert found == [
        ("sent", 55, None),
        ("failed", None, "blocked"),
        ("sent", 55, None),
        ("waiting", None, None),
    ]


async def test_a_card_is_found_in_its_chat(books: Books) -> None:
    """The edit of a card goes to the message that shows it: the newest that arrived in that chat, or the copy that took its place."""
    edit = replace(REPLY, is_edit=True)
    other = replace(REPLY, chat=SECOND_OWNER)
    await books.ledger.finish(ORIGIN, "done", [REPLY, REPLY, edit, other])
    first, second, third, fourth = await books.ledger.waiting()
    assert await books.ledger.shown_as(OWNER, "01TICKET") is None
    await books.ledger.sent([first], 55)
    await books.ledger.sent([second], 56)
    await books.ledger.sent([third], None)
    await books.ledger.sent([fourth], 77)
    assert await books.ledger.shown_as(OWNER, "01TICKET") == 56
    await books.ledger.sent([third], 99)
    assert await books.ledger.shown_as(OWNER, "01TICKET") == 99
    assert await books.ledger.shown_as(SECOND_OWNER, "01TICKET") == 77
    assert await books.ledger.shown_as(OWNER, "other") is None


async def test_news_for_everybody_are_a_message_for_each_owner(books: Books) -> None:
    """Without an addressee every owner hears it; with one, only they; a subject makes it an edit."""
    await books.ledger.record(
        notices=[Notice("link_up"), Notice("order", subject="X", to=OWNER, urgent=True)]
    )
    found = [(m.chat, m.kind, m.is_edit, m.urgent) for m in await books.ledger.waiting()]
    assert found == [
        (OWNER, "link_up", False, False),
        (SECOND_OWNER, "link_up", False, False),
        (OWNER, "order", True, True),
    ]


# --- wishes and the audit ---------------------------------------------------------------------------------------------


async def test_wishes_are_remembered(books: Books) -> None:
    """The last word counts; what was never said is None."""
    assert await books.ledger.recall("connection_wanted") is None
    await books.ledger.remember("connection_wanted", "no")
    await books.ledger.remember("connection_wanted", "yes")
    assert await books.ledger.recall("connection_wanted") == "yes"


async def test_the_audit_only_grows(books: Books) -> None:
    """Every line has its time, kind, user and detail, in order."""
    await books.ledger.audit("refused", "update 7: stranger", 666)
    await books.ledger.audit("start", "version 1")
    found = await books.rows("SELECT at, kind, user, detail FROM audit ORDER BY id")
    assert [row[1:] for row in found] == [
        ("refused", 666, "update 7: stranger"),
        ("start", None, "version 1"),
    ]
    assert datetime.fromisoformat(found[0][0]) == NOW


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """Close and open: orders, cards, updates, messages and trades are as they were."""
    path = tmp_path / "greenlight.db"
    database = await Database.open(path)
    books = Books(database)
    await books.card()
    await books.ledger.record([LIMIT_ORDER], [execution()], [COST], [NEWS])
    await books.ledger.store(ORIGIN)
    before = await books.everything()
    await database.close()
    again = Books(await Database.open(path))
    assert await again.everything() == before
    assert await again.ledger.open_orders() == (LIMIT_ORDER,)
    assert await again.ledger.unfinished() == (ORIGIN,)
    assert json.dumps([m.data for m in await again.ledger.waiting()], default=dict) == '[{"number": 1}]'
    await again.database.close()
