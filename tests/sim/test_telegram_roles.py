"""Several people, groups and everything they do besides writing: over the control port, the page's doors and a web app's signature."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiogram.utils.web_app import check_webapp_signature, safe_parse_webapp_init_data
from aiohttp import ClientSession, ClientWebSocketResponse, CookieJar

from sim.telegram.people import make_person
from sim.telegram.webapp import allowed
from tests.sim.telegram_kit import PNG, Kit, telegram

PICTURE = base64.b64encode(PNG).decode()


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


async def heard(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    while True:
        frame: dict[str, Any] = await socket.receive_json(timeout=5)
        if frame["type"] == kind:
            return frame


def live(kit: Kit, query: str = "") -> str:
    return kit.server.address.replace("http", "ws") + "/live" + query


async def updates(kit: Kit, *kinds: str) -> list[dict[str, Any]]:
    answer = await kit.call("getUpdates", offset=-100, **({"allowed_updates": list(kinds)} if kinds else {}))
    found: list[dict[str, Any]] = answer["result"]
    return found


async def test_people_and_groups_survive_a_restart(tmp_path: Path) -> None:
    async with telegram(tmp_path / "state.sqlite") as kit:
        bo = await kit.post("person", name="Bo Lindqvist")
        group = await kit.post("group", title="Weekend traders", members=[bo["id"]])
        await kit.say("/positions", user=bo["id"], chat=group["id"])
    async with telegram(tmp_path / "state.sqlite") as kit:
        people = (await kit.get("people"))["people"]
        assert [person["name"] for person in people] == ["Alex", "Bo Lindqvist"]
        groups = {one["id"]: one for one in (await kit.get("groups"))["groups"]}
        assert {member["name"] for member in groups[group["id"]]["members"]} == {
            "Alex",
            "Bo Lindqvist",
            "Greenlight",
        }
        assert (await kit.chat(chat=group["id"]))[-1]["text"] == "/positions"


async def test_the_bot_is_told_of_its_place_in_a_group_and_hears_nothing_when_out(kit: Kit) -> None:
    bo = await kit.post("person", name="Bo")
    group = await kit.post("group", title="Club", members=[bo["id"]])
    await kit.post("member", chat=group["id"], member="bot", place="administrator")
    await kit.say("plain words", user=bo["id"], chat=group["id"])
    await kit.post("member", chat=group["id"], member="bot", place="left")
    silent = await kit.say("/buy AAPL 1", user=bo["id"], chat=group["id"])
    assert silent["update_id"] == 0
    found = await updates(kit)
    places = [
        update["my_chat_member"]["new_chat_member"]["status"]
        for update in found
        if "my_chat_member" in update
    ]
    assert places == ["member", "administrator", "kicked"]
    assert "plain words" in [update.get("message", {}).get("text") for update in found]
    assert "/buy AAPL 1" not in [update.get("message", {}).get("text") for update in found]
    assert "kicked" in await kit.refusal("sendMessage", chat_id=group["id"], text="x")


async def test_files_albums_reactions_votes_and_deletions_reach_the_bot_as_they_should(kit: Kit) -> None:
    user = kit.server.user_id
    await updates(kit, "message", "message_reaction", "poll", "poll_answer")
    for _ in range(2):
        await kit.post("upload", data=PICTURE, name="a.png", caption="/buy AAPL 1", album="x")
    await kit.post("upload", data=base64.b64encode(b"a,b").decode(), name="../t.csv", type="text/csv")
    first, second, third = [update["message"] for update in await updates(kit)]
    assert (first["photo"][0]["width"], first["media_group_id"], second["media_group_id"]) == (2, "x", "x")
    assert first["caption_entities"][0]["type"] == "bot_command"
    assert (third["document"]["file_name"], third["document"]["mime_type"]) == (".._t.csv", "text/csv")

    question = {"question": "Which?", "options": [{"text": "a"}, {"text": "b"}], "is_anonymous": False}
    poll = (await kit.call("sendPoll", chat_id=user, **question))["result"]
    await kit.post("vote", message_id=poll["message_id"], options=[1])
    await kit.post("reaction", message_id=poll["message_id"], emoji="🔥")
    kinds = {key for update in await updates(kit) for key in update} - {"update_id", "message"}
    assert kinds == {"poll", "poll_answer", "message_reaction"}
    shown = (await kit.chat())[-1]["poll"]
    assert [option["votes"] for option in shown["options"]] == [0, 1]
    await kit.post("delete", message_id=poll["message_id"])
    assert len(await kit.chat()) == 3


async def test_a_web_app_of_the_keyboard_sends_data(kit: Kit) -> None:
    button = {"text": "Open", "web_app": {"url": "https://example.org/"}}
    await kit.call("sendMessage", chat_id=kit.server.user_id, text="x", reply_markup={"keyboard": [[button]]})
    assert (await kit.get("seat"))["keyboard"]["keyboard"] == [[button]]
    await kit.post("web_app", data="42", button="Open")
    assert (await updates(kit))[-1]["message"]["web_app_data"] == {"data": "42", "button_text": "Open"}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("person", {"name": " "}, "a person needs a name"),
        ("group", {"title": ""}, "a group needs a title"),
        ("member", {"chat": -5, "member": "bot", "place": "left"}, "there is no group -5"),
        ("upload", {"data": "%%"}, "data: the file has to be in base64"),
        ("upload", {"data": ""}, "the file is empty"),
        ("delete", {"message_id": 99}, "there is no message 99 in a chat of Alex"),
        ("forward", {"message_id": 99}, "there is no message 99"),
        ("reaction", {"message_id": 99, "emoji": "🔥"}, "there is no message 99 in a chat of Alex"),
        ("vote", {"message_id": 99, "options": [0]}, "there is no message 99 in a chat of Alex"),
        ("web_app", {"data": "x", "button": "Open"}, "no web app button 'Open' is on the keyboard"),
        ("message", {"text": "x", "chat": -7}, "there is no group -7"),
    ],
)
async def test_what_people_cannot_do_is_said_in_a_sentence(
    kit: Kit, path: str, body: dict[str, Any], words: str
) -> None:
    assert (await kit.post(path, status=400, **body))["error"].startswith(words)


async def test_a_person_sees_and_presses_only_in_chats_of_their_own(kit: Kit, browser: ClientSession) -> None:
    bo = (await kit.post("person", name="Bo"))["id"]
    keyboard = {"inline_keyboard": [[{"text": "Send", "callback_data": "s"}]]}
    card = await kit.call("sendMessage", chat_id=kit.server.user_id, text="for Alex", reply_markup=keyboard)
    message_id = card["result"]["message_id"]
    async with browser.ws_connect(live(kit, f"?user={bo}"), origin=kit.server.address) as socket:
        hello = await heard(socket, "hello")
        assert (hello["user"]["name"], hello["messages"], hello["chat"]) == ("Bo", [], bo)
        await kit.say("for Alex only")
        for wish in (
            {"type": "open", "chat": kit.server.user_id},
            {"type": "press", "id": message_id, "data": "s"},
            {"type": "react", "id": message_id, "emoji": "🔥"},
            {"type": "delete", "id": message_id},
            {"type": "edit", "id": message_id, "text": "x"},
            {"type": "forward", "id": message_id},
        ):
            await socket.send_json(wish)
            frame = await socket.receive_json(
                timeout=5
            )  # the very next one: nothing of Alex's came before it
            assert frame["type"] == "error", (wish, frame)
        await socket.send_json({"type": "be", "user": kit.server.user_id})
        hello = await heard(socket, "hello")
        assert [message["text"] for message in hello["messages"]] == ["for Alex", "for Alex only"]


async def test_a_web_app_is_told_who_opened_it_in_a_way_the_bot_can_check(
    kit: Kit, browser: ClientSession
) -> None:
    user = kit.server.user_id
    rows = [
        [{"text": "App", "web_app": {"url": "https://example.org/app#place"}}],
        [{"text": "Far", "web_app": {"url": "https://example.org/"}}],
    ]
    card = await kit.call("sendMessage", chat_id=user, text="x", reply_markup={"inline_keyboard": rows})
    async with browser.ws_connect(live(kit), origin=kit.server.address) as socket:
        await heard(socket, "hello")
        wish = {"type": "app", "source": "button", "id": card["result"]["message_id"], "text": "App"}
        await socket.send_json(wish | {"theme": {"bg_color": "#fff"}})
        opened = await heard(socket, "app")
        assert opened["address"] == "https://example.org/app#place"
        launch = parse_qs(opened["url"].partition("#place&")[2])
        data = launch["tgWebAppData"][0]
        assert check_webapp_signature(kit.server.token, data)
        assert not check_webapp_signature(kit.server.token, data.replace("auth_date=1", "auth_date=2"))
        told = safe_parse_webapp_init_data(kit.server.token, data)
        assert told.user is not None
        assert told.user.id == user
        assert abs(told.auth_date.timestamp() - kit.clock.now().timestamp()) < 60
        await socket.send_json(wish | {"text": "Gone"})
        assert "no web app" in (await heard(socket, "error"))["text"]


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://example.org/a", True),
        ("http://127.0.0.1:8000/", True),
        ("http://localhost/", True),
        ("http://127.0.0.1:4444/", False),
        ("https://localhost:4444/", False),
        ("http://example.org/", False),
        ("http://127.0.0.1.example.org/", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://", False),
        ("https://a:99999/", False),
    ],
)
def test_web_apps_open_from_https_or_from_this_machine_but_never_the_page_itself(
    url: str, fine: bool
) -> None:
    assert (allowed(url, 4444) == "") is fine


async def test_an_upload_needs_the_cookie_and_the_origin_of_the_page(
    kit: Kit, browser: ClientSession
) -> None:
    url = f"{kit.server.address}/upload?name=x.png&caption=hello"
    origin = {"Origin": kit.server.address}
    async with ClientSession() as stranger, stranger.post(url, data=PNG, headers=origin) as response:
        assert response.status == 403
    for headers in ({}, {"Origin": "https://evil.example"}):
        async with browser.post(url, data=PNG, headers=headers) as response:
            assert response.status == 403
    assert await kit.chat() == []
    async with browser.post(url, data=PNG, headers=origin) as response:
        assert response.status == 200
    async with browser.post(url, data=b"", headers=origin) as response:
        assert (response.status, (await response.json())["error"]) == (400, "the file is empty")
    assert [(message["text"], message["photo"]["width"]) for message in await kit.chat()] == [("hello", 2)]


async def test_every_route_says_what_it_does(kit: Kit) -> None:
    async with kit.http.get(kit.control_url) as response:
        routes = (await response.json())["routes"]
    assert len([route for route in routes if route["path"].startswith("/telegram")]) >= 25
    assert [route["path"] for route in routes if len(route["does"]) < 10] == []


def test_a_long_name_gets_a_username_that_telegram_allows() -> None:
    made = make_person(702546163, "Mona Long-Name van der Überlegenheim")
    assert made["username"] == "monalongnamevanderberlegenhe_163"
    assert len(made["username"]) == 32
