"""Every kind of reply_markup, and Telegram's words where it is wrong."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sim.telegram_kit import Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


def inline(**button: Any) -> dict[str, Any]:
    return {"inline_keyboard": [[{"text": "x"} | button]]}


def keys(button: Any) -> dict[str, Any]:
    return {"keyboard": [[button]]}


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ({"inline_keyboard": {}}, 'field "inline_keyboard" must be of type Array'),
        ({"inline_keyboard": ["x"]}, 'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays'),
        ({"inline_keyboard": [["x"]]}, "can't parse inline keyboard button: InlineKeyboardButton must be an Object"),
        ({"inline_keyboard": [[{}]]}, 'can\'t parse inline keyboard button: Can\'t find field "text"'),
        ({"inline_keyboard": [[{"text": " ", "callback_data": "x"}]]}, "inline keyboard button text must be non-empty"),
        ({"inline_keyboard": [[{"text": "x", "callback_data": "x"}]] * 101}, "reply markup is too long"),
        (inline(), "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"),
        (inline(url="ftp://x.com"), "inline keyboard button URL 'ftp://x.com' is invalid: Unsupported URL protocol"),
        (inline(url="nowhere"), "inline keyboard button URL 'nowhere' is invalid: Wrong HTTP URL"),
        (inline(web_app={"url": "http://x.com"}), "inline keyboard button Web App URL 'http://x.com' is invalid: Only HTTPS links are allowed"),
        (inline(pay=True), "BUTTON_TYPE_INVALID"),
        (inline(callback_game={}), "BUTTON_TYPE_INVALID"),
        (inline(copy_text={"text": "x" * 257}), "BUTTON_COPY_TEXT_INVALID"),
        (keys(1), "can't parse keyboard button: KeyboardButton must be a String or an Object"),
        (keys(""), "keyboard button text must be non-empty"),
        ({"keyboard": ["x"]}, 'field "keyboard" must be an Array of Arrays'),
        (keys({"text": "x", "request_contact": "x"}), 'can\'t parse keyboard button: Field "request_contact" must be of type Boolean'),
    ],
)  # fmt: skip
async def test_what_is_no_keyboard(kit: Kit, markup: dict[str, Any], words: str) -> None:
    assert (
        await kit.refusal("sendMessage", chat_id=kit.user, text="x", reply_markup=markup)
        == f"Bad Request: {words}"
    )


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        (keys({"text": "x", "request_contact": True}), "phone number can be requested in private chats only"),
        (keys({"text": "x", "request_location": True}), "location can be requested in private chats only"),
        (inline(web_app={"url": "https://x.com"}), "BUTTON_TYPE_INVALID"),
    ],
)
async def test_what_a_group_cannot_have(kit: Kit, markup: dict[str, Any], words: str) -> None:
    assert (
        await kit.refusal("sendMessage", chat_id=kit.group, text="x", reply_markup=markup)
        == f"Bad Request: {words}"
    )


async def test_a_reply_keyboard_stays_until_it_is_removed(kit: Kit) -> None:
    markup = {
        "keyboard": [["yes", {"text": "no"}]],
        "resize_keyboard": True,
        "input_field_placeholder": "choose",
    }
    sent = await kit.done("sendMessage", chat_id=kit.user, text="x", reply_markup=markup)
    assert "reply_markup" not in sent  # as in Telegram, only inline keyboards are part of a message
    kept = kit.engine.keyboards[str(kit.user)]["markup"]
    assert kept == markup | {"keyboard": [[{"text": "yes"}, {"text": "no"}]]}
    await kit.done("sendMessage", chat_id=kit.user, text="x", reply_markup={"remove_keyboard": True})
    assert str(kit.user) not in kit.engine.keyboards
    await kit.done("sendMessage", chat_id=kit.user, text="x", reply_markup={"force_reply": True})
    assert kit.engine.keyboards[str(kit.user)]["markup"] == {"force_reply": True}


async def test_a_selective_keyboard_is_for_those_who_are_meant(kit: Kit) -> None:
    said = await kit.say("/ask", chat="group", user=4242)
    markup = {"keyboard": [["yes"]], "selective": True}
    reply = {"message_id": said["message_id"]}
    await kit.done("sendMessage", chat_id=kit.group, text="x", reply_markup=markup, reply_parameters=reply)
    assert kit.engine.keyboards[str(kit.group)]["for"] == [4242]
