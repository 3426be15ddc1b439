"""What a bot can put into a chat and change there, and what Telegram says where it cannot."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sim.telegram import crowd
from tests.sim.telegram_kit import PNG, Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


async def test_an_album_is_one_group_and_its_files_can_be_fetched(kit: Kit) -> None:
    media = [
        {"type": "photo", "media": "attach://one", "caption": "<b>first</b>", "parse_mode": "HTML"},
        {"type": "photo", "media": "attach://two"},
    ]
    answer = await kit.upload(
        "sendMediaGroup",
        chat_id=kit.user,
        media=media,
        files={"one": ("1.png", PNG), "two": ("2.png", PNG)},
    )
    first, second = answer["result"]
    assert first["media_group_id"] == second["media_group_id"]
    assert (first["caption"], first["caption_entities"][0]["type"]) == ("first", "bold")
    assert "caption" not in second
    file = await kit.done("getFile", file_id=second["photo"][-1]["file_id"])
    assert file["file_path"].startswith("photos/file_")
    url = f"{kit.server.address}/file/bot{kit.server.token}/{file['file_path']}"
    async with kit.http.get(url) as response:
        assert (response.status, await response.read()) == (200, PNG)
    async with kit.http.get(url.replace("file_", "fole_")) as response:
        assert response.status == 404
    again = await kit.upload("sendMediaGroup", chat_id=kit.user, media=media, files={"one": ("1.png", PNG), "two": ("2.png", PNG)})  # fmt: skip
    assert again["result"][0]["media_group_id"] != first["media_group_id"]


PHOTO, SOUND = {"type": "photo", "media": "x"}, {"type": "audio", "media": "x"}


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("sendMediaGroup", {}, 'parameter "media" is required'),
        ("sendMediaGroup", {"media": []}, "there are no messages to send"),
        ("sendMediaGroup", {"media": [PHOTO] * 11}, "too many messages to send as an album"),
        ("sendMediaGroup", {"media": [PHOTO, SOUND]}, "audio can't be mixed with other media types"),
        ("sendMediaGroup", {"media": [{"type": "animation", "media": "x"}]}, "can't parse InputMedia: type \"animation\" can't be used in sendMediaGroup"),
        ("sendMediaGroup", {"media": [{"type": "photo"}]}, "can't parse InputMedia: media not found"),
        ("sendMediaGroup", {"media": ["x"]}, "can't parse InputMedia: expected an Object"),
        ("sendMediaGroup", {"media": "{"}, "can't parse media JSON object"),
        ("sendPhoto", {}, "there is no photo in the request"),
        ("sendPhoto", {"photo": "attach://none"}, "there is no photo in the request"),
        ("sendPhoto", {"photo": "nonsense"}, "wrong remote file identifier specified: Wrong string length"),
        ("sendPhoto", {"photo": "https://example.com/x.png"}, "failed to get HTTP URL content"),
        ("sendVideoNote", {}, "there is no video note in the request"),
        ("sendLocation", {"latitude": 1}, "longitude is empty"),
        ("sendLocation", {"latitude": 91, "longitude": 1}, "wrong location specified"),
        ("sendLocation", {"latitude": "nan", "longitude": 1}, "wrong location specified"),
        ("sendContact", {"phone_number": "+1"}, 'parameter "first_name" is required'),
        ("sendVenue", {"latitude": 1, "longitude": 1}, 'parameter "title" is required'),
        ("sendDice", {"emoji": "🐍"}, "wrong dice emoji specified"),
        ("sendPoll", {"question": "q"}, "poll must have at least 1 option"),
        ("sendPoll", {"question": "", "options": ["a"]}, "poll question must be non-empty"),
        ("sendPoll", {"question": "q" * 301, "options": ["a"]}, "poll question length must not exceed 300"),
        ("sendPoll", {"question": "q", "options": ["a"] * 13}, "poll can't have more than 12 options"),
        ("sendPoll", {"question": "q", "options": [1]}, "expected an option to be of type String"),
        ("sendPoll", {"question": "q", "options": ["a"], "type": "riddle"}, "unsupported poll type specified"),
        ("sendPoll", {"question": "q", "options": ["a"], "type": "quiz"}, "wrong correct option ID specified"),
        ("sendMessageDraft", {"text": "x"}, "draft identifier must be non-zero"),
        ("sendChatAction", {"action": "dancing"}, "wrong parameter action in request"),
        ("copyMessage", {"message_id": 1}, "from_chat_id is empty"),
        ("copyMessage", {"from_chat_id": "$user", "message_id": 999}, "message to copy not found"),
        ("forwardMessage", {"from_chat_id": "$user", "message_id": 999}, "message to forward not found"),
        ("forwardMessages", {"from_chat_id": "$user", "message_ids": [2, 1]}, "message identifiers must be in a strictly increasing order"),
        ("forwardMessages", {"from_chat_id": "$user", "message_ids": [998, 999]}, "there are no messages to forward"),
        ("copyMessages", {"from_chat_id": "$user"}, "message identifiers are not specified"),
        ("deleteMessages", {"message_ids": list(range(1, 102))}, "too many message identifiers specified"),
        ("deleteMessages", {"message_ids": ["x"]}, "can't parse message identifier as Number"),
        ("setMessageReaction", {"message_id": "$said", "reaction": [{"type": "emoji", "emoji": "x"}]}, "REACTION_INVALID"),
        ("setMessageReaction", {"message_id": "$said", "reaction": [{"type": "emoji", "emoji": "👍"}, {"type": "emoji", "emoji": "👎"}]}, "REACTIONS_TOO_MANY"),
        ("setMessageReaction", {"message_id": "$said", "reaction": [{"type": "paid"}]}, "can't parse ReactionType: invalid reaction type specified"),
        ("setMessageReaction", {"message_id": 999}, "message to react not found"),
        ("stopPoll", {"message_id": 999}, "message with poll to stop not found"),
        ("stopPoll", {"message_id": "$card"}, "message is not a poll"),
        ("editMessageText", {"inline_message_id": "x", "chat_id": "", "text": "x"}, "MESSAGE_ID_INVALID"),
        ("editMessageCaption", {"message_id": "$card", "caption": "x"}, "there is no caption in the message to edit"),
        ("editMessageMedia", {"message_id": "$card"}, 'parameter "media" is required'),
        ("editMessageMedia", {"message_id": "$card", "media": {"type": "sticker", "media": "x"}}, 'can\'t parse InputMedia: type "sticker" is unsupported'),
        ("editMessageLiveLocation", {"message_id": "$card", "latitude": 1, "longitude": 1}, "message can't be edited"),
        ("editMessageReplyMarkup", {"message_id": "$card", "reply_markup": {"keyboard": [["a"]]}}, "inline keyboard expected"),
        ("pinChatMessage", {"message_id": 999}, "message to pin not found"),
        ("unpinChatMessage", {}, "message to unpin not found"),
        ("sendMessage", {"text": "x", "reply_parameters": {"chat_id": "$user"}}, 'can\'t find field "message_id"'),
        ("sendMessage", {"text": "x", "reply_parameters": {"message_id": "$said", "quote": "something else"}}, "QUOTE_TEXT_INVALID"),
        ("sendMessage", {"text": "x", "reply_parameters": "["}, "can't parse reply parameters JSON object"),
        ("answerCallbackQuery", {"callback_query_id": "1", "url": "https://example.com"}, "URL_INVALID"),
        ("answerCallbackQuery", {"callback_query_id": "1", "text": "x" * 201}, "MESSAGE_TOO_LONG"),
        ("answerInlineQuery", {"inline_query_id": "1"}, 'parameter "results" is required'),
        ("answerInlineQuery", {"inline_query_id": "1", "results": [{"type": "article", "id": 1}] * 2}, "RESULT_ID_DUPLICATE"),
        ("answerWebAppQuery", {"web_app_query_id": "1", "result": {"type": "article", "id": 1}}, "MESSAGE_EMPTY"),
        ("getFile", {}, "file_id not specified"),
    ],
)  # fmt: skip
async def test_what_telegram_refuses(kit: Kit, method: str, params: dict[str, Any], words: str) -> None:
    said = (await kit.say("/start"))["message_id"]
    card = (await kit.done("sendMessage", chat_id=kit.user, text="card"))["message_id"]
    names = {"$user": kit.user, "$said": said, "$card": card}
    filled = {
        key: names.get(value, value) if isinstance(value, str) else value for key, value in params.items()
    }
    for key, value in filled.items():
        if isinstance(value, dict):
            filled[key] = {k: names.get(v, v) if isinstance(v, str) else v for k, v in value.items()}
    assert await kit.refusal(method, **{"chat_id": kit.user} | filled) == f"Bad Request: {words}"


async def test_a_reply_can_quote_and_reach_into_another_chat(kit: Kit) -> None:
    said = (await kit.say("buy 😀 ten shares"))["message_id"]
    quoted = await kit.done(
        "sendMessage",
        chat_id=kit.user,
        text="x",
        reply_parameters={"message_id": said, "quote": "<b>ten</b>", "quote_parse_mode": "HTML"},
    )
    assert quoted["quote"] == {
        "text": "ten",
        "position": 7,  # the emoji counts twice
        "is_manual": True,
        "entities": [{"type": "bold", "offset": 0, "length": 3}],
    }
    assert quoted["reply_to_message"]["message_id"] == said
    abroad = await kit.done(
        "sendMessage",
        chat_id=kit.group,
        text="x",
        reply_parameters={"message_id": said, "chat_id": kit.user},
    )
    assert "reply_to_message" not in abroad
    assert abroad["external_reply"]["origin"]["sender_user"]["id"] == kit.user
    forgiven = {"message_id": 999, "allow_sending_without_reply": True}
    assert "reply_to_message" not in await kit.done(
        "sendMessage", chat_id=kit.user, text="x", reply_parameters=forgiven
    )


async def test_copies_have_no_past_and_forwards_have_one(kit: Kit) -> None:
    photo = (
        await kit.upload("sendPhoto", chat_id=kit.user, photo="attach://a", caption="old", files={"a": ("x.png", PNG)})
    )["result"]  # fmt: skip
    there = {"chat_id": kit.user, "from_chat_id": kit.user}
    copy = await kit.done("copyMessage", **there, message_id=photo["message_id"], caption="new")
    assert list(copy) == ["message_id"]
    copied = kit.engine.messages[copy["message_id"]]
    assert (copied["caption"], "forward_origin" in copied) == ("new", False)
    assert copied["photo"] == photo["photo"]
    forward = await kit.done("forwardMessage", **there, message_id=photo["message_id"])
    assert forward["forward_origin"]["sender_user"]["id"] == kit.bot
    twice = await kit.done("forwardMessage", **there, message_id=forward["message_id"])
    assert twice["forward_origin"] == forward["forward_origin"]
    secret = await kit.done("sendMessage", chat_id=kit.user, text="x", protect_content=True)
    assert "protected content" in await kit.refusal(
        "forwardMessage", **there, message_id=secret["message_id"]
    )
    bare = await kit.done(
        "copyMessages", **there, message_ids=[photo["message_id"], 999], remove_caption=True
    )
    assert "caption" not in kit.engine.messages[bare[0]["message_id"]]


async def test_a_poll_counts_tells_and_ends(kit: Kit) -> None:
    poll = await kit.done("sendPoll", chat_id=kit.user, question="q", options=["a", "b"], is_anonymous=False)
    crowd.vote(kit.engine, kit.user, poll["message_id"], [1])
    counted, answered = await kit.updates()
    assert [option["voter_count"] for option in counted["poll"]["options"]] == [0, 1]
    assert (answered["poll_answer"]["option_ids"], answered["poll_answer"]["user"]["id"]) == ([1], kit.user)
    ended = await kit.done("stopPoll", chat_id=kit.user, message_id=poll["message_id"])
    assert (ended["is_closed"], ended["total_voter_count"]) == (True, 1)
    [told] = await kit.updates()
    assert told["poll"] == ended
    assert "already been closed" in await kit.refusal(
        "stopPoll", chat_id=kit.user, message_id=poll["message_id"]
    )
    anonymous = await kit.done("sendPoll", chat_id=kit.user, question="q", options=["a", "b"])
    crowd.vote(kit.engine, kit.user, anonymous["message_id"], [0])
    assert [sorted(update) for update in await kit.updates()] == [["poll", "update_id"]]


async def test_reactions_go_both_ways(kit: Kit) -> None:
    card = (await kit.done("sendMessage", chat_id=kit.user, text="card"))["message_id"]
    crowd.react(kit.engine, kit.user, card, "👍")
    assert await kit.updates() == []  # only those who ask for them by name
    await kit.updates("message_reaction")
    crowd.react(kit.engine, kit.user, card, "🔥")
    [update] = await kit.updates()
    change = update["message_reaction"]
    assert (change["old_reaction"], change["new_reaction"]) == (
        [{"type": "emoji", "emoji": "👍"}],
        [{"type": "emoji", "emoji": "🔥"}],
    )
    said = (await kit.say("hello"))["message_id"]
    await kit.done(
        "setMessageReaction", chat_id=kit.user, message_id=said, reaction=[{"type": "emoji", "emoji": "❤️"}]
    )
    assert kit.engine.reactions[str(said)] == {str(kit.bot): [{"type": "emoji", "emoji": "❤"}]}
    await kit.done("setMessageReaction", chat_id=kit.user, message_id=said)
    assert kit.engine.reactions[str(said)] == {}


async def test_several_pins_and_the_line_that_says_so(kit: Kit) -> None:
    first, second = [
        (await kit.done("sendMessage", chat_id=kit.user, text=text))["message_id"] for text in ("one", "two")
    ]
    for message_id in (first, second):
        await kit.done("pinChatMessage", chat_id=kit.user, message_id=message_id)
    lines = await kit.updates()
    assert [update["message"]["pinned_message"]["message_id"] for update in lines] == [first, second]

    async def pinned() -> int | None:
        chat = await kit.done("getChat", chat_id=kit.user)
        message_id: int | None = chat.get("pinned_message", {}).get("message_id")
        return message_id

    assert await pinned() == second
    await kit.done("unpinChatMessage", chat_id=kit.user)
    assert await pinned() == first
    await kit.done("pinChatMessage", chat_id=kit.user, message_id=second)
    await kit.done("deleteMessage", chat_id=kit.user, message_id=second)
    assert await pinned() == first
    await kit.done("unpinAllChatMessages", chat_id=kit.user)
    assert await pinned() is None
    line = lines[0]["message"]["message_id"]
    there = {"chat_id": kit.user, "from_chat_id": kit.user, "message_id": line}
    assert await kit.refusal("copyMessage", **there) == "Bad Request: message can't be copied"


async def test_a_live_place_moves_until_it_stops(kit: Kit) -> None:
    live = await kit.done("sendLocation", chat_id=kit.user, latitude=1, longitude=2, live_period=60)
    at = {"chat_id": kit.user, "message_id": live["message_id"]}
    moved = await kit.done("editMessageLiveLocation", **at, latitude=3, longitude=4)
    assert (moved["location"]["latitude"], moved["location"]["live_period"]) == (3.0, 60)
    still = await kit.done("stopMessageLiveLocation", **at)
    assert still["location"] == {"latitude": 3.0, "longitude": 4.0}
    assert await kit.refusal("stopMessageLiveLocation", **at) == "Bad Request: message can't be edited"


async def test_a_file_is_what_it_was_sent_as(kit: Kit) -> None:
    sent = await kit.upload("sendVoice", chat_id=kit.user, voice="attach://a", files={"a": ("x.ogg", b"x")})
    voice = sent["result"]["voice"]["file_id"]
    assert await kit.refusal("sendPhoto", chat_id=kit.user, photo=voice) == (
        "Bad Request: can't use file of type Voice as Photo"
    )
    again = await kit.done("sendDocument", chat_id=kit.user, document=voice)
    assert again["document"]["file_id"] == voice
    big = kit.engine.keep_file("x", "text/plain", bytes(20 * 1024 * 1024 + 1), "document")
    assert await kit.refusal("getFile", file_id=big) == "Bad Request: file is too big"


async def test_an_edit_replaces_the_kind_of_media(kit: Kit) -> None:
    photo = (await kit.upload("sendPhoto", chat_id=kit.user, photo="attach://a", has_spoiler=True, files={"a": ("x.png", PNG)}))["result"]  # fmt: skip
    assert photo["has_media_spoiler"] is True
    media = {"type": "animation", "media": "attach://b", "width": 4, "height": 3, "duration": 2}
    at = {"chat_id": kit.user, "message_id": photo["message_id"]}
    changed = (await kit.upload("editMessageMedia", **at, media=media, files={"b": ("x.mp4", b"x")}))[
        "result"
    ]
    assert "photo" not in changed
    assert "has_media_spoiler" not in changed
    assert (changed["animation"]["width"], changed["document"]["file_name"]) == (4, "x.mp4")
