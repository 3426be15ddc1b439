"""The real python-telegram-bot on the simulated Bot API, over real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.constants import ParseMode
from telegram.ext import Application, CommandHandler, ContextTypes

from tests.sim.telegram_kit import Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


@pytest.fixture
async def bot(kit: Kit) -> AsyncIterator[Bot]:
    base = f"{kit.server.address}/bot"
    async with Bot(kit.server.token, base_url=base, base_file_url=f"{kit.server.address}/file/bot") as bot:
        yield bot


KEYBOARD = InlineKeyboardMarkup([[InlineKeyboardButton("✅ Send", callback_data="send:1")]])


async def test_a_message_goes_out_with_its_entities_and_keyboard(kit: Kit, bot: Bot) -> None:
    message = await bot.send_message(
        kit.server.user_id, "<b>Buy</b> 10 AAPL", ParseMode.HTML, reply_markup=KEYBOARD
    )
    assert message.text == "Buy 10 AAPL"
    assert message.parse_entities() == {message.entities[0]: "Buy"}
    [seen] = await kit.chat()
    assert seen["from"] == "bot"
    assert seen["buttons"] == [[{"text": "✅ Send", "data": "send:1"}]]


async def test_a_command_comes_in_with_the_entity_that_makes_it_one(kit: Kit, bot: Bot) -> None:
    said = await kit.say("/buy AAPL 10")
    [update] = await bot.get_updates(timeout=5)
    assert update.update_id == said["update_id"]
    assert update.message is not None
    assert update.message.from_user is not None
    assert update.message.from_user.id == kit.server.user_id
    assert [entity.type for entity in update.message.entities] == ["bot_command"]


async def test_a_poll_waits_and_hears_at_once(kit: Kit, bot: Bot) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=20))
    await kit.until("poll")
    await kit.say("hello")
    [update] = await poll
    assert update.message is not None
    assert update.message.text == "hello"


async def test_a_press_is_answered_and_the_card_is_edited(kit: Kit, bot: Bot) -> None:
    card = await bot.send_message(kit.server.user_id, "card", reply_markup=KEYBOARD)
    await kit.post("press", message_id=card.message_id, button="✅ Send")
    [update] = await bot.get_updates(timeout=5)
    query = update.callback_query
    assert query is not None
    assert query.data == "send:1"
    await query.answer("Sending…")
    await query.edit_message_text("sent")
    assert (await kit.until("answerCallbackQuery"))["text"] == "Sending…"
    [seen] = await kit.chat()
    assert (seen["text"], seen["edited"], seen["buttons"]) == ("sent", True, [])


async def test_the_application_polls_and_replies(kit: Kit) -> None:
    async def start(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        await update.message.reply_text("pong")

    application = Application.builder().token(kit.server.token).base_url(f"{kit.server.address}/bot").build()
    application.add_handler(CommandHandler("ping", start))
    async with application:
        await application.start()
        assert application.updater is not None
        await application.updater.start_polling(timeout=5)
        await kit.say("/ping")
        assert (await kit.until("sendMessage"))["text"] == "pong"
        await application.updater.stop()
        await application.stop()
