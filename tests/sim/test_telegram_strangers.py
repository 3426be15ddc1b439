"""A crowd of strangers on the simulated Bot API: as many lines as asked for, in order, each as Telegram sends one, and nothing left of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from telegram import Bot, Update

from tests.sim.telegram_kit import Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


async def test_a_crowd_writes_in_turn_and_leaves_nothing_behind(kit: Kit) -> None:
    """Every line comes once and in order, from as many people as were asked for; the owner's line stands among them where it was typed."""
    there, chats = len(kit.engine.users), len(kit.engine.messages)
    writing = asyncio.ensure_future(
        kit.post("strangers", per_second=1000, seconds=0.5, people=7, text="/buy")
    )
    base = f"{kit.server.address}/bot"
    came: list[Update] = []
    said = None
    async with Bot(kit.server.token, base_url=base) as bot:
        while not (writing.done() and len(came) == 501):
            came += await bot.get_updates(offset=came[-1].update_id + 1 if came else None, timeout=1)
            said = said or await kit.say("/whoami")
    told = await writing
    assert told["sent"] == 500
    assert 0.45 < told["seconds"] < 5
    assert said is not None
    lines = [update for update in came if update.update_id != said["update_id"]]
    assert [update.update_id for update in came] == sorted(update.update_id for update in came)
    assert [u.effective_user.id - lines[0].effective_user.id for u in lines] == [n % 7 for n in range(500)]  # type: ignore[union-attr]
    for update in lines:
        message = update.message
        assert message is not None
        assert message.from_user is not None
        assert (message.chat.type, message.chat.id) == ("private", message.from_user.id)
        assert (message.text, [entity.type for entity in message.entities]) == ("/buy", ["bot_command"])
    assert (len(kit.engine.users), len(kit.engine.messages)) == (there, chats + 1)
    assert (await kit.until("strangers"))["sent"] == 500


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"per_second": 0, "seconds": 1}, "per_second"),
        ({"per_second": 10, "seconds": 0}, "seconds"),
        ({"per_second": 10, "seconds": 1, "people": 0}, "people"),
        ({"per_second": 10, "seconds": 1, "text": "  "}, "text"),
    ],
)
async def test_a_crowd_that_cannot_be_is_refused(kit: Kit, body: dict[str, object], what: str) -> None:
    """One sentence names the field."""
    async with kit.http.post(f"{kit.control_url}/telegram/strangers", json=body) as response:
        assert response.status == 400
        assert (await response.json())["error"].startswith(f"{what}:")
