"""What must not silence the bot or end it: a locked database, an update nobody can read, a flood, one message that Telegram refuses."""

import asyncio
import contextlib
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from core.model import Outgoing
from tests.kit import PATIENCE_SECONDS, House, Json
from tests.wire.test_analyze import scripted, with_model

GARBLED = {"message_id": 1, "date": "soon", "chat": 7, "text": "/buy AAPL 10"}
STRANGER, SECOND = 99, 4711


class Log(logging.Handler):
    """What the bot writes into its log, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._news = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage())
        self._news.set()

    async def tells(self, pattern: str) -> None:
        """Wait for a line that fits and was not waited for before."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = next((n for n, line in enumerate(self.lines) if re.search(pattern, line)), None)
                if found is not None:
                    del self.lines[: found + 1]
                    return
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def log() -> AsyncIterator[Log]:
    """The log of everything in this process."""
    handler = Log()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@contextlib.contextmanager
def locked(house: House) -> Iterator[None]:
    """Another program writes to the database for as long as the block lasts."""
    other = sqlite3.connect(house.state / "greenlight.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def query(house: House, sql: str, *values: Any) -> list[Any]:
    """Rows of the bot's database."""
    books = sqlite3.connect(house.state / "greenlight.db")
    try:
        with books:
            return books.execute(sql, values).fetchall()
    finally:
        books.close()


async def on_disk(house: House, expected: list[Any], sql: str, *values: Any) -> None:
    """Wait until the database says so."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while query(house, sql, *values) != expected:  # noqa: ASYNC110 - it has no events
                await asyncio.sleep(0.05)
    except TimeoutError:
        assert query(house, sql, *values) == expected


async def event(house: House, kind: str, **facts: Any) -> Json:
    """The first event at Telegram with these facts; waits for it."""
    seen = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            told = await house.control.get("/telegram/events", after=seen, timeout=5)
            for one in told["events"]:
                if one["kind"] == kind and facts.items() <= one.items():
                    found: Json = one
                    return found
            seen = told["last"]


async def said(house: House, pattern: str, after: int = 0) -> int:
    """How many messages of the bot behind message `after` have `pattern`."""
    shown = await house.phone.chat()
    return sum(
        1
        for m in shown
        if m["from"] == "bot" and m["id"] > after and re.search(pattern, m["text"], re.DOTALL)
    )


async def post(house: House, *texts: str, **more: Any) -> None:
    """Put messages into the outbox, as the desk does."""
    assert house.desk is not None
    owner, now = house.world.telegram.user_id, house.desk.clock.now()
    await house.desk.ledger.post(
        [Outgoing(owner, more.pop("kind", "reply"), now, text=t, **more) for t in texts]
    )


async def working(house: House, line: str) -> Json:
    """An order that works at the broker; returns its card."""
    card = await house.phone.asks(line, line.split(maxsplit=1)[1].split()[0])
    await house.phone.taps("Send", card)
    return await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])


# --- the database takes nothing ---------------------------------------------------------------------------------------


async def test_delivered_but_not_noted_is_never_sent_again(live: House, log: Log) -> None:
    """A message that arrives while the database is locked is noted later, sent once, and the chat goes on."""
    await live.control.post("/telegram/fault", kind="slow", method="sendMessage", seconds=0.3)
    asked = await live.phone.says("/status")
    await event(live, "fault", fault="slow")
    with locked(live):
        await live.phone.hears("Net liquidation", after=asked)
        await log.tells("end of a message is not on disk")
    await live.phone.asks("/whoami", "Your id")
    assert await said(live, "Net liquidation") == 1
    await on_disk(live, [(0,)], "SELECT count(*) FROM messages WHERE state <> 'sent'")


async def test_refused_but_not_noted_goes_on(live: House, log: Log) -> None:
    """A message that Telegram refuses while the database is locked does not silence the chat either."""
    await post(live, "with a button", buttons=((("Send", "x" * 65),),))
    await live.control.post("/telegram/fault", kind="slow", method="sendMessage", seconds=0.3)
    live.desk.executor._notifier.wake()  # type: ignore[union-attr]
    await event(live, "fault", fault="slow")
    with locked(live):
        await log.tells("end of a message is not on disk")
    await live.phone.asks("/whoami", "Your id")
    await on_disk(live, [("Button_data_invalid",)], "SELECT error FROM messages WHERE state = 'failed'")


async def test_what_was_asked_while_locked_is_answered_after_it(live: House) -> None:
    """Whoever writes while the database is locked hears that nothing can be written down, and is answered once when it can."""
    with locked(live):
        asked = await live.phone.says("/whoami")
        await live.phone.hears("Nothing can be written down", after=asked)
        await live.phone.says("/status")
    await live.phone.hears("Your id.*", after=asked)
    await live.phone.hears("Net liquidation", after=asked)
    assert await said(live, "Your id", after=asked) == 1
    assert await said(live, "Nothing can be written down", after=asked) == 1
    assert query(live, "SELECT count(*) FROM updates WHERE finished_at IS NULL") == [(0,)]


async def test_send_while_locked_sends_nothing_and_says_so(live: House) -> None:
    """A tap on Send that cannot be written down sends no order, and its owner hears that nothing was done."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    with locked(live):
        await live.phone.taps("Send", card)
        await live.phone.hears("Nothing can be written down", after=card["id"])
    await live.phone.hears("nothing was done", after=card["id"])
    assert not (await live.control.book())["orders"]
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED BUY 10 AAPL")


async def test_discard_while_locked_is_done_after_it(live: House) -> None:
    """A tap on Discard outlives the lock: the card is put away as soon as that can be written down."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    with locked(live):
        await live.phone.taps("Discard", card)
        await live.phone.hears("Nothing can be written down", after=card["id"])
    await live.phone.sees(lambda m: m["id"] == card["id"] and not m["buttons"])


async def test_comparison_outlives_a_lock(live: House, log: Log) -> None:
    """A lock over a comparison with news is waited out, and the news come after it."""
    before = (await live.phone.chat())[-1]["id"]
    with locked(live):
        await live.control.post("/tws/drop")
        await log.tells("books could not be compared")
    await live.phone.hears("Connected and compared", after=before)


async def test_start_while_locked(house: House, log: Log) -> None:
    """A bot that starts while the database is locked comes up when it is free, every part of it."""
    async with house.bot():
        await house.ready()
    seen = (await house.phone.chat())[-1]["id"]
    with locked(house):
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(house.bot())
            await log.tells("proposals are looked at again")
            kept = stack.pop_all()
    async with kept:
        await house.phone.hears("Connected", after=seen)
        await house.phone.asks("/whoami", "Your id")


async def test_an_outbox_that_cannot_be_read_is_read_later(live: House, log: Log) -> None:
    """The notifier waits for a database that answers with errors, and sends what was written meanwhile."""
    await post(live, "kept through it all")
    query(live, "ALTER TABLE messages RENAME TO away")
    live.desk.executor._notifier.wake()  # type: ignore[union-attr]
    await log.tells("outbox cannot be read")
    query(live, "ALTER TABLE away RENAME TO messages")
    await live.phone.hears("kept through it all")


async def test_an_answer_that_cannot_be_stored_gives_way(live: House) -> None:
    """Where the database takes everything but one answer, its owner hears that, and the lane goes on."""
    query(
        live,
        "CREATE TRIGGER picky BEFORE INSERT ON messages WHEN NEW.text LIKE 'Your id%' BEGIN SELECT raise(ABORT, 'not this'); END",
    )
    await live.phone.says("/whoami")
    await live.phone.hears("answer to what you asked could not be written down")
    await live.phone.asks("/status", "Net liquidation")
    assert await said(live, "Nothing can be written down") == 0


# --- updates that nobody can read -------------------------------------------------------------------------------------


async def test_an_unreadable_update_is_passed_over(live: House) -> None:
    """An update that the library cannot read is kept raw, confirmed and passed over; those around it are answered."""
    owner = {"id": live.world.telegram.user_id, "is_bot": False, "first_name": "Sam"}
    await live.control.post("/telegram/fault", kind="outage", method="getUpdates")
    await live.phone.says("/whoami")
    await live.control.post("/telegram/update", content={**GARBLED, "from": owner})
    last = await live.phone.says("/status")
    await live.control.post("/telegram/fault", kind="clear")
    await live.phone.hears("cannot read", after=last)
    await live.phone.hears("Your id", after=last)
    await live.phone.hears("Net liquidation", after=last)
    await live.phone.settled()
    ((raw, finished),) = query(live, "SELECT raw, finished_at FROM updates WHERE outcome = 'unreadable'")
    assert '"date": "soon"' in raw
    assert finished
    assert not (await live.control.book())["orders"]


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"text": 7}, "cannot read"),
        ({"text": ["/buy AAPL 10"]}, "cannot read"),
        ({"from": {"id": 10**30, "is_bot": False, "first_name": "Sam"}}, ""),
        ({"from": {"id": "x", "is_bot": False, "first_name": "Sam"}}, ""),
    ],
    ids=str,
)
async def test_an_update_whose_parts_are_of_another_kind(live: House, odd: Json, words: str) -> None:
    """A text that is a number, and a sender whom no disk can hold, end neither the bot nor what comes behind them."""
    user = live.world.telegram.user_id
    owner = {"id": user, "is_bot": False, "first_name": "Sam"}
    sound = {"message_id": 1, "date": 1, "chat": {"id": user, "type": "private"}, "from": owner, "text": "x"}
    await live.control.post("/telegram/update", content={**sound, **odd})
    said = await live.phone.says("/whoami")
    await live.phone.hears("Your id", after=said)
    if words:
        await live.phone.hears(words)
    await live.phone.settled()


async def test_an_unreadable_update_on_disk_does_not_stop_the_start(house: House) -> None:
    """Unfinished updates of an earlier run that cannot be read are put away at the start, which goes on."""
    async with house.bot():
        await house.ready()
    for number, raw in ((1, '{"update_id": 1, "message": {"message_id": "x"}}'), (2, "{half of")):
        query(
            house, "INSERT INTO updates (update_id, user, raw, received_at) VALUES (?, 0, ?, '')", number, raw
        )
    async with house.bot():
        await house.phone.asks("/whoami", "Your id")
        await on_disk(
            house,
            [("unreadable",), ("unreadable",)],
            "SELECT outcome FROM updates WHERE update_id < 3 AND finished_at IS NOT NULL",
        )


@pytest.mark.parametrize("kind", ["409", "429", "500", "garbage", "lost_answer"])
async def test_a_poll_that_fails_is_asked_again(live: House, kind: str) -> None:
    """Whatever a poll is answered, the line behind it is answered once."""
    await live.control.post("/telegram/fault", kind=kind, method="getUpdates")
    asked = await live.phone.says("/whoami")
    await live.phone.hears("Your id", after=asked)
    await live.phone.settled()
    assert (await live.control.get("/telegram/counts"))["faults"] == {kind: 1}
    assert await said(live, "Your id", after=asked) == 1


# --- one message among many -------------------------------------------------------------------------------------------


async def test_a_refused_message_is_put_away_with_the_reason(live: House) -> None:
    """What Telegram refuses for good is not tried for ever and holds up nothing."""
    await post(live, "a button too long", buttons=((("Send", "x" * 65),),))
    await live.phone.asks("/whoami", "Your id")
    await on_disk(
        live,
        [("failed", "Button_data_invalid")],
        "SELECT state, error FROM messages WHERE text = 'a button too long'",
    )
    assert (await live.control.get("/telegram/counts"))["faults"] == {}


async def test_news_without_words_are_told_all_the_same(live: House) -> None:
    """News that cannot be worded are told as such, and those behind them arrive."""
    await post(live, "", kind="of another version")
    await live.phone.asks("/whoami", "Your id")
    await live.phone.hears("could not be put into words \\(of another version\\)")
    assert await said(live, "could not be put into words \\(of another version\\)") == 1


async def test_edits_reach_their_cards_after_an_outage(live: House) -> None:
    """After an outage the many become one message, and a card shows its latest state without its old buttons."""
    card = await working(live, "/buy AAPL 10 @ 150")
    assert card["buttons"]
    await on_disk(live, [(0,)], "SELECT count(*) FROM messages WHERE state = 'waiting'")
    for method in ("sendMessage", "editMessageText"):
        await live.control.post("/telegram/fault", kind="outage", method=method)
    await live.control.post("/tws/fill", order=(await live.control.book())["orders"][0]["ref"])
    await post(live, *(f"News {n}" for n in range(8)))
    await live.control.post("/clock", advance=119)
    await live.control.post("/telegram/fault", kind="clear")
    together = await live.phone.hears("out of reach", after=card["id"])
    assert all(f"News {n}" in together["text"] for n in range(8))
    assert "FILLED BUY 10 AAPL" in together["text"]
    await live.phone.sees(lambda m: m["id"] == card["id"] and "FILLED" in m["text"] and not m["buttons"])
    assert await said(live, "News") == 1


async def test_progress_overtaken_by_its_card(house: House) -> None:
    """Steps of an analysis that wait while its card is written change that message, and are no messages of their own."""
    await scripted(house, {"verdict": "BUY", "confidence": 78})
    async with house.bot(**with_model(house, max_position_size="10000")):
        await house.ready()
        await house.control.post("/telegram/fault", kind="outage", method="editMessageText")
        asked = await house.phone.says("/analyze MSFT")
        shown = await house.phone.hears("Analysing", after=asked)
        await on_disk(house, [(1,)], "SELECT count(*) FROM tickets")
        await house.control.post("/telegram/fault", kind="clear")
        await house.phone.sees(lambda m: m["id"] == shown["id"] and "confidence 78%" in m["text"])
        await house.phone.asks("/whoami", "Your id")
        assert await said(house, "Analysing|confidence", after=asked) == 1


async def test_a_lost_answer_repeats_what_can_be_recognised(live: House) -> None:
    """News whose answer was lost may come twice, with their order's number; an edit is repeated on its card."""
    card = await working(live, "/buy AAPL 10 @ 150")
    await live.control.post("/telegram/fault", kind="lost_answer", method="sendMessage")
    await live.control.post("/telegram/fault", kind="lost_answer", method="editMessageText")
    await live.control.post("/tws/fill", order=(await live.control.book())["orders"][0]["ref"])
    await live.phone.sees(lambda m: m["id"] == card["id"] and "FILLED" in m["text"])
    await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    await live.phone.asks("/whoami", "Your id")
    told = [m["text"] for m in await live.phone.chat() if m["id"] > card["id"] and "FILLED" in m["text"]]
    assert 1 <= len(told) <= 2
    assert all("#1" in text for text in told)


async def test_a_long_message_is_continued_where_it_was_cut(live: House) -> None:
    """A flood limit in the middle of a long message brings each of its pages once, in order."""
    await live.control.post("/telegram/flood", per_second=1, burst=1)
    await post(live, "\n".join(f"page {n} " + "x" * 4000 for n in range(3)))
    live.desk.executor._notifier.wake()  # type: ignore[union-attr]
    await live.phone.hears("page 2")
    pages = [m["text"][:6] for m in await live.phone.chat() if m["text"].startswith("page")]
    assert pages == ["page 0", "page 1", "page 2"]


async def test_a_flood_limit_of_one_chat_does_not_delay_another(house: House) -> None:
    """While one owner's chat waits as Telegram asked, another's is answered, and the first keeps its order."""
    owner = house.world.telegram.user_id
    async with house.bot(telegram_allowed_users=f"{owner},{SECOND}"):
        await house.phone.says("hello", user=SECOND)
        await house.ready()
        await house.control.post("/telegram/fault", kind="429", method="sendMessage", retry_after=3)
        asked = await house.phone.says("/whoami")
        await event(house, "fault", fault="429")
        await house.phone.says("/status")
        await house.phone.says("/whoami", user=SECOND)
        seen = 0
        while not any(
            "Your id" in m["text"]
            for m in (await house.control.get("/telegram/chat", user=SECOND))["messages"]
        ):
            seen = (await house.control.get("/telegram/events", after=seen, timeout=5))["last"]
        assert await said(house, ".", after=asked) == 0
        await house.phone.hears("Net liquidation", after=asked)
        answers = [m["text"] for m in await house.phone.chat() if m["from"] == "bot" and m["id"] > asked]
        assert [("Your id" in a, "Net liquidation" in a) for a in answers] == [(True, False), (False, True)]


# --- strangers --------------------------------------------------------------------------------------------------------


async def test_a_flood_of_strangers_is_a_number(live: House) -> None:
    """Hundreds of lines of a stranger are two rows, and the owner is answered among them."""
    for n in range(300):
        await live.phone.says(f"/buy AAPL {n}", user=STRANGER)
    await live.phone.asks("/whoami", "Your id")
    await live.phone.settled()
    await live.control.post("/clock", advance=61)
    await live.phone.says("/buy", user=STRANGER)
    await live.phone.settled()
    await on_disk(
        live,
        [("stranger",), ("299 more within a minute",), ("stranger",)],
        "SELECT substr(detail, instr(detail, ': ') + 2) FROM audit WHERE kind = 'refused' ORDER BY id",
    )
    await on_disk(live, [(2,)], "SELECT count(*) FROM updates WHERE user = ?", STRANGER)
