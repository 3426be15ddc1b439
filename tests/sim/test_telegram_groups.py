"""Groups, their members, and to whom a bot can speak at all."""

from collections.abc import AsyncIterator

import pytest

from sim.telegram import crowd
from tests.sim.telegram_kit import Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


async def heard(kit: Kit) -> list[str]:
    return [update["message"].get("text", "") for update in await kit.updates() if "message" in update]


async def test_privacy_mode_lets_through_what_is_meant_for_the_bot(kit: Kit) -> None:
    spoken = await kit.done("sendMessage", chat_id=kit.group, text="hello, all")
    lines = ["idle talk", "/positions", "/positions@greenlight_sim_bot", "/positions@other_bot", "hey @greenlight_sim_bot", "hey @other_bot"]  # fmt: skip
    for line in lines:
        await kit.say(line, chat="group")
    await kit.say("I agree", chat="group", reply_to=spoken["message_id"])
    meant = ["/positions", "/positions@greenlight_sim_bot", "hey @greenlight_sim_bot", "I agree"]
    assert await heard(kit) == meant
    assert (await kit.done("getMe"))["can_read_all_group_messages"] is False
    await kit.post("bot", privacy=False)
    await kit.say("idle talk", chat="group")
    assert await heard(kit) == ["idle talk"]
    assert (await kit.done("getMe"))["can_read_all_group_messages"] is True
    await kit.post("bot", privacy=True)
    kit.make_administrator()
    await kit.say("for the administrator", chat="group")
    assert await heard(kit) == ["for the administrator"]


async def test_to_whom_the_bot_cannot_write(kit: Kit) -> None:
    async def refusal(chat_id: int | str) -> str:
        return await kit.refusal("sendMessage", chat_id=chat_id, text="x")

    await kit.say("hello", user=4242, chat="group")
    assert await refusal(4242) == "Forbidden: bot can't initiate conversation with a user"
    await kit.say("/start", user=4242)
    await kit.done("sendMessage", chat_id="4242", text="x")
    await kit.post("gone", user=4242, gone=True)
    assert await refusal(4242) == "Forbidden: user is deactivated"
    await kit.post("block", blocked=True)
    assert await refusal(kit.user) == "Forbidden: bot was blocked by the user"
    assert await refusal(kit.bot) == "Forbidden: bot can't send messages to the bot itself"
    assert await refusal(5) == "Bad Request: chat not found"
    assert await refusal("@nobody") == "Bad Request: chat not found"


async def test_a_group_has_a_name(kit: Kit) -> None:
    kit.engine.keep_chat(kit.engine.group | {"username": "tradingclub"})
    sent = await kit.done("sendMessage", chat_id="@TradingClub", text="x")
    assert sent["chat"]["id"] == kit.group


async def test_the_bot_leaves_and_is_thrown_out(kit: Kit) -> None:
    await kit.done("leaveChat", chat_id=kit.group)
    assert (
        await kit.refusal("sendMessage", chat_id=kit.group, text="x")
        == "Forbidden: bot is not a member of the supergroup chat"
    )
    crowd.add_member(kit.engine, kit.user, kit.group, kit.bot)
    crowd.remove_member(kit.engine, kit.user, kit.group, kit.bot)
    assert (
        await kit.refusal("sendMessage", chat_id=kit.group, text="x")
        == "Forbidden: bot was kicked from the supergroup chat"
    )
    changes = [update["my_chat_member"] for update in await kit.updates() if "my_chat_member" in update]
    assert [change["new_chat_member"]["status"] for change in changes] == ["left", "member", "kicked"]


async def test_rights_are_needed(kit: Kit) -> None:
    await kit.say("/hello", user=4242, chat="group")
    whom = {"chat_id": kit.group, "user_id": 4242}
    restricting = "Bad Request: not enough rights to restrict/unrestrict chat member"
    assert await kit.refusal("banChatMember", **whom) == restricting
    assert await kit.refusal("promoteChatMember", **whom) == "Bad Request: not enough rights"
    title = await kit.refusal("setChatTitle", chat_id=kit.group, title="x")
    assert title == "Bad Request: not enough rights to change chat title"
    said = (await kit.say("/hello", chat="group"))["message_id"]
    at = {"chat_id": kit.group, "message_id": said}
    assert await kit.refusal("deleteMessage", **at) == "Bad Request: message can't be deleted"
    assert "manage pinned messages" in await kit.refusal("pinChatMessage", **at)
    kit.make_administrator()
    await kit.done("deleteMessage", **at)
    assert await kit.refusal("banChatMember", chat_id=kit.group, user_id=kit.user) == (
        "Bad Request: can't remove chat owner"
    )
    assert "can't remove self" in await kit.refusal("banChatMember", chat_id=kit.group, user_id=kit.bot)
    assert "private chats" in await kit.refusal("banChatMember", chat_id=kit.user, user_id=4242)


async def test_members_come_and_go_and_the_bot_hears(kit: Kit) -> None:
    kit.make_administrator()
    await kit.updates("message", "chat_member", "my_chat_member")
    await kit.say("/hello", user=4242, chat="group")
    whom = {"chat_id": kit.group, "user_id": 4242}
    await kit.done("restrictChatMember", **whom, permissions={"can_send_messages": True})
    await kit.done("banChatMember", **whom, until_date=2_000_000_000)
    await kit.done("unbanChatMember", **whom, only_if_banned=True)
    changes = [update["chat_member"] for update in await kit.updates() if "chat_member" in update]
    assert [change["new_chat_member"]["status"] for change in changes] == ["restricted", "kicked", "left"]
    assert await kit.done("getChatMemberCount", chat_id=kit.group) == 2
    await kit.done("getUpdates", allowed_updates=[])
    crowd.add_member(kit.engine, kit.user, kit.group, 4242)
    assert [min(update) for update in await kit.updates()] == ["message"]  # chat_member only on request


@pytest.mark.parametrize("language", ["en", ""])
async def test_commands_are_kept_by_scope_and_language(kit: Kit, language: str) -> None:
    scopes = [{"type": "default"}, {"type": "all_private_chats"}, {"type": "chat", "chat_id": kit.user}, {"type": "all_group_chats"},
              {"type": "all_chat_administrators"}, {"type": "chat_administrators", "chat_id": kit.group},
              {"type": "chat_member", "chat_id": kit.group, "user_id": kit.user}]  # fmt: skip
    for number, scope in enumerate(scopes):
        command = {"command": f"c{number}", "description": "x"}
        await kit.done("setMyCommands", commands=[command], scope=scope, language_code=language)
    for number, scope in enumerate(scopes):
        [command] = await kit.done("getMyCommands", scope=scope, language_code=language)
        assert command["command"] == f"c{number}"
    other = "" if language else "en"
    assert await kit.done("getMyCommands", scope=scopes[0], language_code=other) == []
    assert await kit.refusal("setMyCommands", commands=[], language_code="english") == (
        "Bad Request: invalid language code specified"
    )
    assert await kit.refusal("setMyCommands", commands=[], scope={"type": "x"}) == (
        "Bad Request: can't parse BotCommandScope: Unsupported type specified"
    )
