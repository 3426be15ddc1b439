"""The chat page's doors and its live line, without a browser."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, CookieJar, WSServerHandshakeError
from telegram import Bot

import sim.telegram
from tests.sim.telegram_kit import PNG, Kit, telegram


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


@pytest.fixture
async def browser(kit: Kit) -> AsyncIterator[ClientSession]:
    """A browser that has opened the printed address."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        async with browser.get(kit.server.page_url) as response:
            assert response.status == 200
        yield browser


def live(kit: Kit) -> str:
    return kit.server.address.replace("http", "ws") + "/live"


async def heard(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = await socket.receive_json(timeout=5)
        if frame["type"] == kind:
            return frame


async def test_the_key_becomes_a_cookie_and_leaves_the_address(kit: Kit) -> None:
    async with kit.http.get(kit.server.page_url, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert kit.server.page_url.partition("key=")[2] not in cookie


@pytest.mark.parametrize("path", ["/", "/?key=wrong", "/page/app.js", "/files/SIMULATED00000001", "/live"])
async def test_without_the_key_there_is_nothing_to_see(kit: Kit, path: str) -> None:
    async with ClientSession() as stranger, stranger.get(kit.server.address + path) as response:
        assert response.status == 403
        assert kit.server.token not in await response.text()


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/live"])
@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example:80"}, {"Origin": "null"}]
)
async def test_other_pages_in_the_same_browser_are_refused(
    kit: Kit, browser: ClientSession, path: str, headers: dict[str, str]
) -> None:
    async with browser.get(kit.server.address + path, headers=headers) as response:
        assert response.status == 403


async def test_the_live_line_wants_the_origin_that_browsers_always_send(
    kit: Kit, browser: ClientSession
) -> None:
    with pytest.raises(WSServerHandshakeError):
        await browser.ws_connect(live(kit))
    async with ClientSession() as stranger:
        with pytest.raises(WSServerHandshakeError):
            await stranger.ws_connect(live(kit), origin=kit.server.address)


async def test_the_page_allows_nothing_but_itself(kit: Kit, browser: ClientSession) -> None:
    async with browser.get(kit.server.address) as response:
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        page = await response.text()
    assert "<script>" not in page
    assert "style=" not in page
    assert "SIMULATED" in page


def test_the_page_never_makes_markup_out_of_text() -> None:
    files = Path(sim.telegram.__file__).parent.joinpath("page").glob("*.js")
    for file in files:
        source = file.read_text()
        assert not [
            word
            for word in ("innerHTML", "outerHTML", "insertAdjacent", "eval(", "document.write")
            if word in source
        ]


async def test_a_file_that_is_no_picture_is_only_ever_saved(kit: Kit, browser: ClientSession) -> None:
    async with Bot(kit.server.token, base_url=f"{kit.server.address}/bot") as bot:
        await bot.send_document(kit.server.user_id, b"<script>alert(1)</script>", filename="x.html")
        await bot.send_photo(kit.server.user_id, PNG)
    page, photo = await kit.chat()
    async with browser.get(f"{kit.server.address}/files/{page['document']['file_id']}") as response:
        assert response.headers["Content-Disposition"] == "attachment"
        assert response.content_type == "application/octet-stream"
    async with browser.get(f"{kit.server.address}/files/{photo['photo']['file_id']}") as response:
        assert response.content_type == "image/png"


async def test_a_conversation_on_the_live_line(kit: Kit, browser: ClientSession) -> None:
    user = kit.server.user_id
    async with browser.ws_connect(live(kit), origin=kit.server.address) as socket:
        hello = await heard(socket, "hello")
        assert (hello["messages"], hello["user"]["id"]) == ([], user)
        await socket.send_json({"type": "send", "text": "/buy AAPL 10", "nonce": 1})
        mine = (await heard(socket, "message"))["message"]
        assert (await heard(socket, "done")) == {"type": "done", "nonce": 1, "id": mine["id"]}
        assert mine["update_id"] > hello["fetched"]
        await kit.call("getUpdates")
        assert (await heard(socket, "fetched"))["up_to"] == mine["update_id"]
        await kit.call("sendChatAction", chat_id=user, action="typing")
        assert (await heard(socket, "action"))["action"] == "typing"
        keyboard = {"inline_keyboard": [[{"text": "Send", "callback_data": "send:1"}]]}
        await kit.call(
            "sendMessage", chat_id=user, text="<b>card</b>", parse_mode="HTML", reply_markup=keyboard
        )
        card = (await heard(socket, "message"))["message"]
        assert card["entities"] == [{"type": "bold", "offset": 0, "length": 4}]
        await socket.send_json({"type": "press", "id": card["id"], "data": "send:1", "nonce": 2})
        pressed = await heard(socket, "pressed")
        await kit.call(
            "answerCallbackQuery",
            callback_query_id=pressed["callback_query_id"],
            text="Sent",
            show_alert=True,
        )
        answer = await heard(socket, "answer")
        assert (answer["text"], answer["show_alert"]) == ("Sent", True)
        await kit.call("editMessageText", chat_id=user, message_id=card["id"], text="filled")
        edited = (await heard(socket, "message"))["message"]
        assert (edited["id"], edited["text"], edited["edited"], edited["buttons"]) == (
            card["id"],
            "filled",
            True,
            [],
        )
        await kit.call("deleteMessage", chat_id=user, message_id=card["id"])
        assert (await heard(socket, "deleted"))["id"] == card["id"]
        await kit.say("from a stranger", user=4242)
        await kit.call("setMyCommands", commands=[{"command": "buy", "description": "Buy"}])
        frame = await socket.receive_json(timeout=5)
        assert (frame["type"], frame["commands"]) == ("commands", [{"command": "buy", "description": "Buy"}])


@pytest.mark.parametrize(
    "frame", ["{", "[]", "{}", '{"type": "send"}', json.dumps({"type": "press", "id": 9, "data": "x"})]
)
async def test_nonsense_on_the_live_line_is_answered_and_does_no_harm(
    kit: Kit, browser: ClientSession, frame: str
) -> None:
    async with browser.ws_connect(live(kit), origin=kit.server.address) as socket:
        await heard(socket, "hello")
        await socket.send_str(frame)
        assert (await heard(socket, "error"))["text"]
        await socket.send_json({"type": "send", "text": "still here"})
        assert (await heard(socket, "message"))["message"]["text"] == "still here"


async def test_older_messages_come_on_request(kit: Kit, browser: ClientSession) -> None:
    for number in range(205):
        await kit.say(f"message {number}")
    async with browser.ws_connect(live(kit), origin=kit.server.address) as socket:
        hello = await heard(socket, "hello")
        assert (len(hello["messages"]), hello["more"]) == (200, True)
        await socket.send_json({"type": "older", "before": hello["messages"][0]["id"], "nonce": 1})
        older = await heard(socket, "older")
        assert ([message["text"] for message in older["messages"]], older["more"]) == (
            [f"message {number}" for number in range(5)],
            False,
        )
