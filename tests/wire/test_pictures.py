"""Messages with a picture, over the real wire: drawn when they are sent, in order, through bad days, and never in the way of words."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from bot import pictures
from bot.command import COMMANDS, Caller, Command
from bot.pictures import payoff_facts
from bot.reply import Reply
from bot.services import Desk
from core.model import Leg, Mode, Notice, OptionTerms, Outgoing, Right
from tests.kit import House, Json
from tests.wire.test_robust import Log, event, log, on_disk, post

__all__ = ["log"]

EXPIRY = date(2026, 12, 18)
FACTS = payoff_facts(
    "AAPL bull call spread 100/105 18 Dec 26",
    [
        Leg(1, 1, OptionTerms(EXPIRY, Decimal(100), Right.CALL)),
        Leg(2, -1, OptionTerms(EXPIRY, Decimal(105), Right.CALL)),
    ],
    Decimal("1.93"),
    Decimal(1),
    spot=Decimal(100),
    mode=Mode.PAPER,
)
SIZE = {"width": pictures.WIDTH, "height": pictures.HEIGHT}


async def put(house: House, *texts: str, **more: Any) -> None:
    """Messages into the outbox, the picture with each; nobody is told yet."""
    await post(house, *texts, **({"picture": "payoff", "data": FACTS} | more))


def tell(house: House) -> None:
    """What was put there goes out."""
    house.desk.executor._notifier.wake()  # type: ignore[union-attr]


async def shown(house: House, *texts: str) -> list[Json]:
    """The bot's messages with these words, in the order of the chat."""
    return [m for m in await house.phone.chat() if m["from"] == "bot" and m["text"] in texts]


async def test_a_picture_arrives_with_its_words_and_buttons(live: House) -> None:
    await put(live, "<b>Bull</b> call spread", buttons=((("Close", "x:close"),),))
    tell(live)
    told = await live.phone.hears("^Bull call spread$")
    assert SIZE.items() <= told["photo"].items()
    assert [entity["type"] for entity in told["entities"]] == ["bold"]
    assert told["buttons"] == [[{"text": "Close", "data": "x:close"}]]
    async with aiohttp.ClientSession() as session:
        world = live.world.telegram
        asked = await session.post(
            f"{world.address}/bot{world.token}/getFile", json={"file_id": told["photo"]["file_id"]}
        )
        path = (await asked.json())["result"]["file_path"]
        sent = await (await session.get(f"{world.address}/file/bot{world.token}/{path}")).read()
    assert sent == pictures.draw("payoff", FACTS)
    await on_disk(
        live, [("sent", told["id"])], "SELECT state, telegram_id FROM messages WHERE picture = 'payoff'"
    )


async def test_a_picture_of_the_desk_reaches_every_owner(live: House) -> None:
    """A notice with a picture, written down with whatever it tells of."""
    desk = live.desk
    assert desk is not None
    notice = Notice("reducing", data=FACTS, picture="payoff")
    (message,) = desk.ledger._addressed([notice], desk.clock.now())  # type: ignore[attr-defined]
    await desk.ledger.post([message])
    tell(live)
    assert (await live.phone.sees(lambda m: "photo" in m))["photo"]["width"] == pictures.WIDTH


@pytest.mark.parametrize("fault", [{"kind": "429", "retry_after": 1}, {"kind": "outage"}, {"kind": "500"}])
async def test_a_bad_day_delays_a_picture_and_keeps_the_order(live: House, fault: Json) -> None:
    await live.control.post("/telegram/fault", method="sendPhoto", count=1, **fault)
    await post(live, "before")
    await put(live, "picture")
    await post(live, "after")
    tell(live)
    await live.phone.hears("^after$")
    told = await shown(live, "before", "picture", "after")
    assert [m["text"] for m in told] == ["before", "picture", "after"]
    assert ["photo" in m for m in told] == [False, True, False]
    await event(live, "fault", fault=fault["kind"])


async def test_pictures_stay_when_an_outage_makes_one_message_of_many(live: House) -> None:
    for method in ("sendMessage", "sendPhoto"):
        await live.control.post("/telegram/fault", kind="outage", method=method)
    await post(live, *(f"News {n}" for n in range(8)))
    await put(live, "picture")
    tell(live)
    await event(live, "fault", fault="outage")
    await live.control.post("/clock", advance=119)
    await live.control.post("/telegram/fault", kind="clear")
    assert "photo" in await live.phone.hears("^picture$")
    assert "News 7" in (await live.phone.hears("out of reach"))["text"]


async def test_what_cannot_be_drawn_goes_as_words(live: House, log: Log) -> None:
    await put(live, "no facts", data={"label": "half of it"})
    await put(live, "no such picture", picture="landscape")
    await post(live, "after")
    tell(live)
    await live.phone.hears("^after$")
    told = await shown(live, "no facts", "no such picture", "after")
    assert [m["text"] for m in told] == ["no facts", "no such picture", "after"]
    assert not any("photo" in m for m in told)
    await log.tells("picture of message .* \\(payoff\\) cannot be drawn")
    await log.tells("picture of message .* \\(landscape\\) cannot be drawn")
    await on_disk(live, [(0,)], "SELECT count(*) FROM messages WHERE state <> 'sent'")


async def test_a_picture_that_telegram_refuses_goes_as_words(
    live: House, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "KINDS", {"torn": lambda facts: b"no picture at all"})
    await put(live, "the words", picture="torn", buttons=((("Close", "x:close"),),))
    await post(live, "after")
    tell(live)
    await live.phone.hears("^after$")
    (told,) = await shown(live, "the words")
    assert "photo" not in told
    assert told["buttons"], "a button is not lost with the picture"
    await log.tells("a picture is refused")


async def test_broken_markup_below_a_picture_is_told_as_bare_words(live: House) -> None:
    await put(live, "<b>Bull <i>spread</b>")
    tell(live)
    assert await live.phone.hears("^Bull spread$")


async def test_words_that_are_too_many_follow_their_picture(live: House) -> None:
    """A caption has 1,024 characters; a page more, with the buttons under its end."""
    long = "\n".join(f"line {n} " + "x" * 90 for n in range(60))
    await put(live, "<b>y</b>" * 1024, long, buttons=((("Close", "x:close"),),))
    tell(live)
    end = await live.phone.sees(lambda m: m["from"] == "bot" and "line 59" in m["text"])
    chat = [m for m in await live.phone.chat() if m["from"] == "bot"]
    fits, alone, first, last = [m for m in chat if "photo" in m or "line" in m["text"]]
    assert ("photo" in fits, len(fits["text"])) == (True, 1024), "mark-up does not count"
    assert ("photo" in alone, alone["text"], alone["buttons"]) == (True, "", [])
    assert ("line 0" in first["text"], first["buttons"]) == (True, [])
    assert last["id"] == end["id"]
    assert last["buttons"]


async def test_a_flood_limit_between_picture_and_words_brings_each_once(live: House) -> None:
    await live.control.post("/telegram/flood", per_second=1, burst=1)
    await put(live, "\n".join(f"line {n} " + "x" * 90 for n in range(60)))
    tell(live)
    await live.phone.sees(lambda m: m["from"] == "bot" and "line 59" in m["text"])
    assert sum("photo" in m for m in await live.phone.chat()) == 1


async def picture(desk: Desk, who: Caller) -> Reply:
    """A command that answers with words and a picture."""
    also = Outgoing(
        who.user,
        "payoff",
        desk.clock.now(),
        text="the picture",
        data=FACTS,
        urgent=True,
        picture="payoff",
    )
    return Reply("the words", also=(also,))


async def test_a_picture_of_a_reply_follows_its_words(live: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "picture", Command("picture", "/picture", "Draws.", "", (), picture))
    await live.phone.asks("/picture", "^the picture$")
    told = await shown(live, "the words", "the picture")
    assert [(m["text"], "photo" in m) for m in told] == [("the words", False), ("the picture", True)]


async def test_a_picture_survives_a_restart(house: House) -> None:
    """What waits in the file of one run is drawn by the next."""
    async with house.bot():
        await house.ready()
        await house.control.post("/telegram/fault", kind="outage", method="sendPhoto")
        await put(house, "picture")
    await on_disk(
        house, [("waiting", json.dumps(FACTS))], "SELECT state, data FROM messages WHERE picture <> ''"
    )
    await house.control.post("/telegram/fault", kind="clear")
    async with house.bot():
        assert "photo" in await house.phone.hears("^picture$")
