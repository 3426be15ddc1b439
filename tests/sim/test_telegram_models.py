"""Every answer of the Bot API fits aiogram's models of it, which are generated from Telegram's documentation."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    ChatFullInfo,
    ChatMemberMember,
    ChatMemberOwner,
    File,
    Message,
    Update,
    User,
    WebhookInfo,
)
from pydantic import TypeAdapter

from tests.sim.telegram_kit import PNG, Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


def fits(kind: Any, value: Any) -> None:
    """The value is valid, and nothing in it is unknown to the model."""
    model = TypeAdapter(kind).validate_python(value)
    extras = [] if isinstance(model, list | bool) else _extras(model)
    assert not extras, f"{extras} are not in {kind}"


def _extras(model: Any) -> list[str]:
    """Fields that the model has no name for; aiogram keeps them aside."""
    return sorted(set(model.model_extra or {}))


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("getMe", {}, User),
        ("getWebhookInfo", {}, WebhookInfo),
        ("getChat", {"chat_id": "user"}, ChatFullInfo),
        ("getChat", {"chat_id": "group"}, ChatFullInfo),
        ("getChatMember", {"chat_id": "group", "user_id": "user"}, ChatMemberOwner),
        ("getChatMember", {"chat_id": "group", "user_id": 4242}, ChatMemberMember),
        ("setMyCommands", {"commands": [{"command": "buy", "description": "Buy"}]}, bool),
        ("getMyCommands", {}, list[BotCommand]),
        ("sendChatAction", {"chat_id": "user", "action": "typing"}, bool),
        ("deleteWebhook", {}, bool),
        ("logOut", {}, bool),
        ("close", {}, bool),
    ],
)
async def test_answers_fit_their_model(kit: Kit, method: str, params: dict[str, Any], kind: Any) -> None:
    about = await kit.get()
    names = {"user": kit.server.user_id, "group": about["group"]["id"]}
    await kit.say("hello", user=4242)
    await kit.say("hello", user=4242, chat="group")
    answer = await kit.call(method, **{key: names.get(str(value), value) for key, value in params.items()})
    assert answer["ok"], answer
    fits(kind, answer["result"])


MARKUP = (
    "<b>b<i>i</i></b> <u>u</u> <s>s</s> <tg-spoiler>x</tg-spoiler> <code>c</code> <a href='x.com'>l</a> "
    "<pre><code class='language-c'>p</code></pre> <blockquote expandable>q</blockquote> "
    "<tg-emoji emoji-id='1'>👍</tg-emoji> @name $AAPL #tag /cmd http://x.com a@b.com "
)


async def test_messages_fit_their_model(kit: Kit) -> None:
    user = kit.server.user_id
    keyboard = {
        "inline_keyboard": [[{"text": "a", "callback_data": "a"}, {"text": "b", "url": "https://x.com"}]]
    }
    said = await kit.say("/start")
    markup = MARKUP + f"<a href='tg://user?id={user}'>me</a>"
    text = await kit.call(
        "sendMessage",
        chat_id=user,
        text=markup,
        parse_mode="HTML",
        reply_markup=keyboard,
        reply_parameters={"message_id": said["message_id"]},
        protect_content=True,
    )
    at = {"chat_id": user, "message_id": text["result"]["message_id"]}
    edited = await kit.call("editMessageText", **at, text="x")
    for answer in (text, edited):
        assert answer["ok"], answer
        fits(Message, answer["result"])
    await kit.call("pinChatMessage", **at)
    fits(ChatFullInfo, (await kit.call("getChat", chat_id=user))["result"])


async def test_pictures_and_files_fit_their_model(kit: Kit) -> None:
    session = AiohttpSession(api=TelegramAPIServer.from_base(kit.server.address))
    async with Bot(kit.server.token, session=session) as bot:
        photo = await bot.send_photo(kit.server.user_id, BufferedInputFile(PNG, "x.png"), caption="x")
        file = await bot.send_document(kit.server.user_id, BufferedInputFile(b"1", "x.csv"))
    assert photo.photo
    assert file.document
    fits(File, (await kit.call("getFile", file_id=file.document.file_id))["result"])


async def test_updates_fit_their_model(kit: Kit) -> None:
    keyboard = {"inline_keyboard": [[{"text": "a", "callback_data": "a"}]]}
    card = await kit.call("sendMessage", chat_id=kit.server.user_id, text="card", reply_markup=keyboard)
    said = await kit.say("/buy AAPL 10", reply_to=card["result"]["message_id"])
    await kit.say("forwarded", forward=True)
    await kit.say("/hello", chat="group")
    await kit.say("hello", user=4242)
    await kit.post("edit", message_id=said["message_id"], text="/buy AAPL 20")
    await kit.post("press", message_id=card["result"]["message_id"], button="a")
    await kit.post("block", blocked=True)
    updates = (await kit.call("getUpdates"))["result"]
    assert len(updates) == 7
    for update in updates:
        fits(Update, update)
