"""The Bot API without a library between: every way to pass parameters, limits, and refusals in Telegram's words."""

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, FormData

from tests.sim.telegram_kit import PNG, Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


async def sent(kit: Kit, **params: Any) -> dict[str, Any]:
    answer = await kit.call("sendMessage", chat_id=kit.server.user_id, **params)
    assert answer["ok"], answer
    result: dict[str, Any] = answer["result"]
    return result


BUTTON = {"inline_keyboard": [[{"text": "Send", "callback_data": "send:1"}]]}


@pytest.mark.parametrize("verb", ["GET", "POST"])
@pytest.mark.parametrize("way", ["query", "form", "json", "multipart"])
async def test_parameters_are_understood_in_every_form(kit: Kit, verb: str, way: str) -> None:
    url = f"{kit.server.address}/bot{kit.server.token}/SendMessage"
    values = {"chat_id": str(kit.server.user_id), "text": "<b>hi</b>", "parse_mode": "html"}
    values |= {"disable_notification": "true", "reply_markup": json.dumps(BUTTON)}
    if way == "multipart":
        form = FormData(default_to_multipart=True)
        for name, value in values.items():
            form.add_field(name, value)
        request = kit.http.request(verb, url, data=form)
    elif way == "json":
        typed = values | {"chat_id": kit.server.user_id, "reply_markup": BUTTON, "disable_notification": True}
        request = kit.http.request(verb, url, json=typed)
    elif way == "form":
        request = kit.http.request(verb, url, data=values)
    else:
        request = kit.http.request(verb, url, params=values)
    async with request as response:
        answer = await response.json()
    assert answer["ok"], answer
    assert answer["result"]["text"] == "hi"
    assert answer["result"]["reply_markup"] == BUTTON


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "Bad Request: message text is empty"),
        ({"text": "  \n "}, "Bad Request: message text is empty"),
        ({"text": "<b></b>", "parse_mode": "HTML"}, "Bad Request: message text is empty"),
        ({"text": "x" * 4097}, "Bad Request: message is too long"),
        ({"text": "x", "parse_mode": "BBCode"}, "Bad Request: unsupported parse_mode"),
        (
            {"text": "a < b", "parse_mode": "HTML"},
            'Bad Request: can\'t parse entities: Unsupported start tag "" at byte offset 2',
        ),
        ({"text": "x", "chat_id": ""}, "Bad Request: chat_id is empty"),
        ({"text": "x", "chat_id": 5}, "Bad Request: chat not found"),
        ({"text": "x", "chat_id": "@nobody"}, "Bad Request: chat not found"),
        ({"text": "x", "reply_markup": "{"}, "Bad Request: can't parse reply keyboard markup JSON object"),
        ({"text": "x", "reply_markup": "[]"}, "Bad Request: object expected as reply markup"),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "x", "callback_data": "ä" * 33}]]}},
            "Bad Request: BUTTON_DATA_INVALID",
        ),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "x"}]]}},
            "Bad Request: can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ),
        (
            {"text": "x", "reply_parameters": {"message_id": 99}},
            "Bad Request: message to be replied not found",
        ),
    ],
)
async def test_what_cannot_be_sent_is_refused(kit: Kit, params: dict[str, Any], words: str) -> None:
    assert await kit.refusal("sendMessage", **{"chat_id": kit.server.user_id} | params) == words


async def test_the_limit_counts_code_points_after_parsing(kit: Kit) -> None:
    assert len((await sent(kit, text="<b>" + "😀" * 4096 + "</b>", parse_mode="HTML"))["text"]) == 4096
    photo = {"chat_id": kit.server.user_id, "photo": "x", "caption": "x" * 1025}
    assert await kit.refusal("sendPhoto", **photo) == "Bad Request: message caption is too long"


async def test_entities_can_be_given_instead_of_markup(kit: Kit) -> None:
    entities = [
        {"type": "bold", "offset": 0, "length": 3},
        {"type": "bot_command", "offset": 0, "length": 1},
        {"type": "text_link", "offset": 4, "length": 4, "url": "example.com"},
        {"type": "text_link", "offset": 4, "length": 4, "url": "nowhere"},
        {"type": "pre", "offset": 9, "length": 4, "language": "python"},
        {"type": "text_mention", "offset": 14, "length": 2, "user": {"id": kit.server.user_id}},
        {"type": "unheard_of", "offset": 0, "length": 1},
    ]
    message = await sent(kit, text="BUY AAPL code me /cmd", entities=entities)
    assert [(e["type"], e["offset"], e["length"]) for e in message["entities"]] == [
        ("bold", 0, 3),
        ("text_link", 4, 4),
        ("pre", 9, 4),
        ("text_mention", 14, 2),
        ("bot_command", 17, 4),
    ]
    broken = [{"type": "bold", "offset": "x", "length": 1}]
    assert "can't parse MessageEntity" in await kit.refusal(
        "sendMessage", chat_id=kit.server.user_id, text="x", entities=broken
    )


async def test_edits_are_refused_where_telegram_refuses_them(kit: Kit) -> None:
    user = kit.server.user_id
    message = await sent(kit, text="<b>x</b>", parse_mode="HTML", reply_markup=BUTTON)
    at = {"chat_id": user, "message_id": message["message_id"]}
    same = await kit.refusal("editMessageText", **at, text="<b>x</b>", parse_mode="HTML", reply_markup=BUTTON)
    assert same == (
        "Bad Request: message is not modified: specified new message content and reply markup are exactly the same "
        "as a current content and reply markup of the message"
    )
    assert (await kit.call("editMessageText", **at, text="x"))["result"]["edit_date"] >= message["date"]
    assert "message is not modified" in await kit.refusal("editMessageReplyMarkup", **at)
    assert (await kit.call("editMessageReplyMarkup", **at, reply_markup=BUTTON))["result"][
        "reply_markup"
    ] == BUTTON
    missing = "Bad Request: message to edit not found"
    assert await kit.refusal("editMessageText", chat_id=user, message_id=999, text="x") == missing
    nameless = "Bad Request: message identifier is not specified"
    assert await kit.refusal("editMessageText", chat_id=user, text="x") == nameless
    own = (await kit.say("mine"))["message_id"]
    foreign = await kit.refusal("editMessageText", chat_id=user, message_id=own, text="yours")
    assert foreign == "Bad Request: message can't be edited"
    assert "there is no caption" in await kit.refusal("editMessageCaption", **at, caption="x")
    assert (
        await kit.refusal("deleteMessage", chat_id=user, message_id=999)
        == "Bad Request: message to delete not found"
    )


async def test_presses_are_answered_once_known_and_in_time(kit: Kit) -> None:
    words = "Bad Request: query is too old and response timeout expired or query ID is invalid"
    assert await kit.refusal("answerCallbackQuery", callback_query_id="1") == words
    message = await sent(kit, text="card", reply_markup=BUTTON)
    press = await kit.post("press", message_id=message["message_id"], data="send:1")
    query = press["callback_query_id"]
    assert (await kit.call("answerCallbackQuery", callback_query_id=query, text="once"))["result"] is True
    assert (await kit.call("answerCallbackQuery", callback_query_id=query, text="twice"))["result"] is True
    shown = [e["text"] for e in (await kit.get("events"))["events"] if e["kind"] == "answerCallbackQuery"]
    assert shown == ["once"]


async def test_files_are_checked(kit: Kit) -> None:
    async def upload(method: str, data: bytes, **values: str) -> dict[str, Any]:
        form = FormData()
        form.add_field("chat_id", str(kit.server.user_id))
        form.add_field("file", data, filename="x.bin", content_type="application/octet-stream")
        for name, value in values.items():
            form.add_field(name, value)
        url = f"{kit.server.address}/bot{kit.server.token}/{method}"
        async with kit.http.post(url, data=form) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    assert (await upload("sendPhoto", PNG, photo="attach://file"))["ok"]
    assert (await upload("sendPhoto", b"no picture", photo="attach://file"))["description"].endswith(
        "IMAGE_PROCESS_FAILED"
    )
    assert (await upload("sendDocument", b"", document="attach://file"))["description"].endswith(
        "file must be non-empty"
    )
    assert (await upload("sendDocument", b"x"))["description"].endswith("there is no document in the request")
    assert await kit.refusal("getFile", file_id="x") == "Bad Request: invalid file_id"
    url = f"{kit.server.address}/file/bot{kit.server.token}x/files/SIMULATED00000001"
    assert (await kit.http.get(url)).status == 404


async def test_who_and_what_is_unknown(kit: Kit) -> None:
    assert await kit.call("getNothing") == {
        "ok": False,
        "error_code": 404,
        "description": "Not Found: method not found",
    }
    async with kit.http.get(f"{kit.server.address}/bot1:x/getMe") as response:
        assert response.status == 401
        assert await response.json() == {"ok": False, "error_code": 401, "description": "Unauthorized"}


async def test_paths_bodies_and_sizes(kit: Kit) -> None:
    """What is no method is refused in JSON; a body can be packed; one that is too large is refused with 413."""
    base = f"{kit.server.address}/bot{kit.server.token}"
    for url in (f"{base}/getMe/", f"{base}/", f"{base}/a/b", base):
        async with kit.http.get(url) as response:
            assert (response.status, (await response.json())["error_code"]) == (404, 404), url
    values = json.dumps({"chat_id": str(kit.user), "text": "packed"}).encode()
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with kit.http.post(f"{base}/sendmessage", data=gzip.compress(values), headers=packed) as response:
        assert (await response.json())["result"]["text"] == "packed"
    for kind, body in (
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("multipart/form-data", b"x"),
    ):
        async with kit.http.post(f"{base}/getMe", data=body, headers={"Content-Type": kind}) as response:
            assert response.status == 400
    large = {"Content-Type": "application/json"}
    flood = io.BytesIO(bytes(52 * 1024 * 1024))
    async with kit.http.post(f"{base}/sendMessage", data=flood, headers=large) as response:
        assert (response.status, (await response.json())["description"]) == (413, "Request Entity Too Large")


async def test_other_pages_and_other_names_are_refused(kit: Kit) -> None:
    url = f"{kit.server.address}/bot{kit.server.token}/getMe"
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
        async with kit.http.get(url, headers=headers) as response:
            assert response.status == 403


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    store = tmp_path / "state.sqlite"
    async with telegram(store) as kit:
        await kit.call("setMyCommands", commands=[{"command": "buy", "description": "Buy"}])
        message = await sent(kit, text="card", reply_markup=BUTTON)
        said = await kit.say("/start")
        await kit.post("press", message_id=message["message_id"], data="send:1")
        token, user = kit.server.token, kit.server.user_id
        await kit.call("getUpdates", allowed_updates=["message", "callback_query"])
    async with telegram(store) as kit:
        assert kit.server.user_id == user
        assert kit.server.token != token
        assert kit.server.token.partition(":")[0] == token.partition(":")[0]
        updates = (await kit.call("getUpdates"))["result"]
        assert [sorted(update) for update in updates] == [
            ["message", "update_id"],
            ["callback_query", "update_id"],
        ]
        assert updates[0]["update_id"] == said["update_id"]
        assert (await kit.call("answerCallbackQuery", callback_query_id=updates[1]["callback_query"]["id"]))[
            "ok"
        ]
        assert [message["text"] for message in await kit.chat()] == ["card", "/start"]
        assert (await sent(kit, text="next"))["message_id"] == said["message_id"] + 1
        assert (await kit.call("getMyCommands"))["result"] == [{"command": "buy", "description": "Buy"}]
        assert (await kit.call("getWebhookInfo"))["result"]["allowed_updates"] == [
            "message",
            "callback_query",
        ]


async def test_closing_is_quick_with_a_poll_hanging() -> None:
    async with telegram() as kit, ClientSession() as http:
        url = f"{kit.server.address}/bot{kit.server.token}/getUpdates?timeout=50"
        poll = asyncio.create_task(http.get(url))
        await kit.until("poll")
        async with asyncio.timeout(2):
            await kit.server.close()
        await asyncio.gather(poll, return_exceptions=True)
        if not poll.cancelled() and poll.exception() is None:
            poll.result().close()


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("message", {}, "text: Field required"),
        ("message", {"text": 1}, "text: Input should be a valid string"),
        ("message", {"text": "x", "usr": 1}, "usr: Extra inputs are not permitted"),
        ("message", {"text": " "}, "a message needs a text"),
        ("message", {"text": "x", "chat": "club"}, "chat: Input should be 'private' or 'group'"),
        ("message", {"text": "x", "reply_to": 9}, "there is no message 9 in this chat"),
        ("press", {"message_id": 1, "data": "x"}, "there is no message 1"),
        ("press", {"message_id": 1}, 'name the button by either "data" or "button" (its visible text)'),
        ("edit", {"message_id": 1, "text": "x"}, "there is no message 1 written by a person"),
        ("fault", {"kind": "rain"}, "kind: Input should be 'outage', '429'"),
        ("fault", {"kind": "429", "method": "sendRain"}, "method: the Bot API here has no sendRain"),
        ("fault", {"kind": "429", "count": 0}, "count: Input should be greater than or equal to 1"),
    ],
)  # fmt: skip
async def test_the_control_port_says_what_was_wrong(
    kit: Kit, path: str, body: dict[str, Any], words: str
) -> None:
    answer = await kit.post(path, status=400, **body)
    assert answer["error"].startswith(words)
