"""The real python-telegram-bot on the simulated Bot API, over real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from telegram import (
    Bot,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    Update,
)
from telegram.constants import ParseMode
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken
from telegram.ext import Application, CommandHandler, ContextTypes

from tests.sim.telegram_kit import PNG, Kit, telegram


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


async def test_a_second_poll_ends_the_first_in_telegrams_words(kit: Kit, bot: Bot) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=20))
    polled = await kit.until("poll")
    async with Bot(kit.server.token, base_url=f"{kit.server.address}/bot") as other:
        second = asyncio.create_task(other.get_updates(timeout=20))
        with pytest.raises(
            Conflict, match="terminated by other getUpdates request; make sure that only one bot"
        ):
            await first
        await kit.until("poll", after=polled["seq"])
        await kit.say("hello")
        assert len(await second) == 1


async def test_an_update_comes_again_until_a_higher_one_is_asked_for(kit: Kit, bot: Bot) -> None:
    ids = [(await kit.say(text))["update_id"] for text in ("one", "two", "three")]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 2]
    assert [update.update_id for update in await bot.get_updates(limit=2)] == ids[:2]
    assert [update.update_id for update in await bot.get_updates()] == ids
    assert [update.update_id for update in await bot.get_updates(offset=ids[1])] == ids[1:]
    assert [update.update_id for update in await bot.get_updates(offset=-1)] == ids[2:]
    assert [update.update_id for update in await bot.get_updates()] == ids[2:]
    assert await bot.get_updates(offset=ids[2] + 1) == ()
    assert (await kit.get("counts"))["waiting"] == 0


async def test_updates_live_a_day_and_presses_150_seconds(kit: Kit, bot: Bot) -> None:
    card = await bot.send_message(kit.server.user_id, "card", reply_markup=KEYBOARD)
    await kit.post("press", message_id=card.message_id, data="send:1")
    said = await kit.say("hello")
    kit.clock.advance(151)
    assert [update.update_id for update in await bot.get_updates()] == [said["update_id"]]
    kit.clock.advance(24 * 3600)
    assert await bot.get_updates() == ()


async def test_a_press_expires(kit: Kit, bot: Bot) -> None:
    card = await bot.send_message(kit.server.user_id, "card", reply_markup=KEYBOARD)
    await kit.post("press", message_id=card.message_id, data="send:1")
    [update] = await bot.get_updates()
    assert update.callback_query is not None
    kit.clock.advance(151)
    with pytest.raises(
        BadRequest, match="Query is too old and response timeout expired or query id is invalid"
    ):
        await update.callback_query.answer()


async def test_the_same_tap_can_arrive_twice_and_late(kit: Kit, bot: Bot) -> None:
    card = await bot.send_message(kit.server.user_id, "card", reply_markup=KEYBOARD)
    await kit.post("press", message_id=card.message_id, data="send:1", repeat=2)
    first, second = await bot.get_updates()
    assert first.update_id != second.update_id
    assert first.callback_query is not None
    assert second.callback_query is not None
    assert first.callback_query.id == second.callback_query.id
    await bot.edit_message_text("done", kit.server.user_id, card.message_id)
    gone = await kit.post("press", message_id=card.message_id, data="send:1", status=400)
    assert "no button" in gone["error"]
    await kit.post("press", message_id=card.message_id, data="send:1", late=True)


async def test_only_the_asked_kinds_arrive_and_that_is_remembered(kit: Kit, bot: Bot) -> None:
    await bot.get_updates(allowed_updates=["message"])
    said = await kit.say("hello")
    await kit.post("edit", message_id=said["message_id"], text="hello!")
    assert [update.update_id for update in await bot.get_updates()] == [said["update_id"]]
    await bot.get_updates(allowed_updates=[])
    await kit.post("edit", message_id=said["message_id"], text="hello!!")
    _, edit = await bot.get_updates()
    assert edit.edited_message is not None
    assert edit.edited_message.text == "hello!!"


async def test_strangers_groups_and_forwards_look_like_what_they_are(kit: Kit, bot: Bot) -> None:
    await kit.say("/buy AAPL 10", user=4242)
    await kit.say("/buy AAPL 10", chat="group")
    await kit.say("/buy AAPL 10", forward=True)
    stranger, group, forward = [update.message for update in await bot.get_updates()]
    assert stranger is not None
    assert group is not None
    assert forward is not None
    assert stranger.from_user is not None
    assert (stranger.from_user.id, stranger.chat.id, stranger.chat.type) == (4242, 4242, "private")
    assert group.from_user is not None
    assert (group.from_user.id, group.chat.type) == (kit.server.user_id, "supergroup")
    assert forward.forward_origin is not None
    await bot.send_message(group.chat.id, "hello, all")
    assert [message["from"] for message in await kit.chat(chat="group")] == ["user", "bot"]


async def test_pictures_and_files_go_out_and_can_be_fetched_again(kit: Kit, bot: Bot) -> None:
    photo = await bot.send_photo(kit.server.user_id, PNG, caption="<i>chart</i>", parse_mode="HTML")
    assert (photo.photo[-1].width, photo.photo[-1].height) == (2, 1)
    assert photo.caption == "chart"
    file = await bot.send_document(kit.server.user_id, b"a,b\n1,2\n", filename="trades.csv")
    assert file.document is not None
    assert file.document.file_name == "trades.csv"
    again = await (await file.document.get_file()).download_as_bytearray()
    assert bytes(again) == b"a,b\n1,2\n"
    same = await bot.send_photo(kit.server.user_id, photo.photo[-1].file_id)
    assert same.photo[-1].file_id == photo.photo[-1].file_id
    other = await bot.edit_message_media(
        InputMediaPhoto(PNG, caption="new"), kit.server.user_id, photo.message_id
    )
    assert isinstance(other, Message)
    assert other.caption == "new"
    renamed = await bot.edit_message_caption(kit.server.user_id, photo.message_id, caption="newer")
    assert isinstance(renamed, Message)
    assert renamed.caption == "newer"
    seen = await kit.chat()
    assert [("photo" in message, "document" in message) for message in seen] == [
        (True, False),
        (False, True),
        (True, False),
    ]


async def test_the_menu_of_commands_is_kept_by_scope(kit: Kit, bot: Bot) -> None:
    await bot.set_my_commands([("buy", "Buy shares")])
    await bot.set_my_commands([("sell", "Sell")], scope=BotCommandScopeChat(kit.server.user_id))
    assert [command.command for command in await bot.get_my_commands()] == ["buy"]
    assert [command["command"] for command in (await kit.get("commands"))["menu"]] == ["sell"]
    await bot.delete_my_commands(scope=BotCommandScopeChat(kit.server.user_id))
    assert [command["command"] for command in (await kit.get("commands"))["menu"]] == ["buy"]


async def test_other_small_methods_answer(kit: Kit, bot: Bot) -> None:
    user = kit.server.user_id
    message = await bot.send_message(user, "pin me")
    assert await bot.pin_chat_message(user, message.message_id)
    chat = await bot.get_chat(user)
    assert chat.pinned_message is not None
    assert chat.pinned_message.message_id == message.message_id
    assert await bot.unpin_chat_message(user)
    assert (await bot.get_chat_member(user, user)).user.id == user
    assert (await bot.get_webhook_info()).url == ""
    assert await bot.delete_webhook(drop_pending_updates=True)
    assert await bot.send_chat_action(user, "typing")
    assert await bot.delete_message(user, message.message_id)
    [line] = await kit.chat()  # that it was pinned stays
    assert await bot.delete_message(user, line["id"])
    assert await kit.chat() == []


async def test_a_wrong_token_is_nobody(kit: Kit) -> None:
    stranger = Bot(f"{kit.server.token}x", base_url=f"{kit.server.address}/bot")
    with pytest.raises(InvalidToken):
        await stranger.initialize()
    await stranger.shutdown()
    await asyncio.gather(*(request.shutdown() for request in stranger._request))


async def test_a_person_who_blocked_the_bot_gets_nothing(kit: Kit, bot: Bot) -> None:
    await kit.post("block", blocked=True)
    with pytest.raises(Forbidden, match="bot was blocked by the user"):
        await bot.send_message(kit.server.user_id, "hello?")
    await kit.post("block", blocked=False)
    await bot.send_message(kit.server.user_id, "hello!")
