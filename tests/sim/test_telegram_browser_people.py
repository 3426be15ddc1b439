"""The chat page in a real browser, played by several people: groups, albums, polls, reactions, keyboards, web apps, long chats."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import FilePayload, Page, async_playwright, expect

from tests.sim.telegram_kit import PNG, Kit, telegram

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

APP = """<!doctype html><title>app</title><p id=cookie></p><button id=send>Send it</button><script>
const tell = (eventType, eventData) => parent.postMessage(JSON.stringify({eventType, eventData}), "*");
document.getElementById("cookie").textContent = "SEEN";
document.getElementById("send").onclick = () => tell("web_app_data_send", {data: "chosen:42"});
</script>"""


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


@asynccontextmanager
async def opened(kit: Kit, width: int, **options: Any) -> AsyncIterator[Page]:
    """The page on a screen of this width; anything on its console is a mistake."""
    async with async_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        context = await browser.new_context(viewport={"width": width, "height": 760}, **options)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(kit.server.page_url)
        await expect(page.locator("#status")).to_have_text("bot")
        yield page
        await browser.close()
        assert complaints == []


async def test_a_second_person_and_a_group_on_a_phone(kit: Kit) -> None:
    await kit.say("/start")
    async with opened(kit, 360) as page:
        await page.locator("#drawer").click()
        await page.locator("#me").click()
        await page.get_by_role("button", name="Add a person").click()
        await page.get_by_label("Name", exact=True).fill("Bo Lindqvist")
        await page.keyboard.press("Enter")
        await expect(page.locator("#me-name")).to_have_text("Bo Lindqvist")
        await expect(page.locator(".message")).to_have_count(0)  # what Alex wrote is not Bo's to see
        await page.get_by_role("button", name="Start", exact=True).click()
        bo = (await kit.get("people"))["people"][1]["id"]
        await kit.until("message", user_id=bo, text="/start")

        await page.locator("#drawer").click()
        await page.get_by_role("button", name="New group").click()
        await page.get_by_label("Title of the group").fill("Weekend traders")
        await page.get_by_label("Alex").check()
        await page.get_by_role("button", name="Create").click()
        await expect(page.locator("#bot-name")).to_have_text("Weekend traders")
        await expect(page.locator("#status")).to_have_text("3 members")
        group = (await kit.get("groups"))["groups"][-1]["id"]
        await kit.say("hello from Alex", chat=group)
        await expect(page.locator(".sender", has_text="Alex")).to_be_visible()

        await page.reload()  # the tab stays with its person and chat
        await expect(page.locator("#bot-name")).to_have_text("Weekend traders")
        await page.locator("#more").click()
        await page.get_by_role("menuitem", name="Members").click()
        await page.get_by_role("button", name="Remove Greenlight").click()
        await expect(page.get_by_role("button", name="Add Greenlight")).to_be_visible()
        await kit.until("member", status="kicked", chat_id=group)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_unread_messages_of_other_chats_are_counted(kit: Kit) -> None:
    await kit.say("/start")
    group = await kit.post("group", title="Weekend")
    async with opened(kit, 1280) as page:
        for number in range(2):
            await kit.call("sendMessage", chat_id=group["id"], text=f"note {number}")
        row = page.locator(".chat-row", has_text="Weekend")
        await expect(row.locator(".preview")).to_have_text("Greenlight: note 1")
        before = int(await row.locator(".unread-pill").inner_text())
        await row.click()
        await expect(page.locator(".message", has_text="note 1")).to_be_visible()
        await expect(row.locator(".unread-pill")).to_have_count(0)
        assert before >= 2
        await page.reload()
        await expect(page.locator(".chat-row", has_text="Weekend").locator(".unread-pill")).to_have_count(0)


async def test_actions_polls_and_reactions_with_mouse_and_keyboard(kit: Kit) -> None:
    user = kit.server.user_id
    first = (await kit.call("sendMessage", chat_id=user, text="a question"))["result"]["message_id"]
    async with opened(kit, 1280, color_scheme="dark") as page:
        shown = page.locator(f'[data-id="{first}"]')
        await shown.focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("menuitem", name="React with 🔥").click()
        await kit.until("reaction", message_id=first, emoji="🔥")
        await expect(shown.get_by_role("button", name="🔥 1")).to_have_attribute("aria-pressed", "true")
        await kit.call(
            "setMessageReaction",
            chat_id=user,
            message_id=first,
            reaction=[{"type": "emoji", "emoji": "🔥"}],
        )
        await expect(shown.get_by_role("button", name="🔥 2")).to_be_visible()
        await shown.get_by_role("button", name="🔥 2").click()
        await expect(shown.get_by_role("button", name="🔥 1")).to_have_attribute("aria-pressed", "false")

        await shown.locator(".bubble").click(button="right")
        await page.get_by_role("menuitem", name="Reply").click()
        await page.keyboard.type("an answer")
        await page.keyboard.press("Enter")
        answer = await kit.until("message", text="an answer")
        assert (await kit.chat())[-1]["reply"]["id"] == first
        mine = page.locator(f'[data-id="{answer["message_id"]}"]')
        await mine.get_by_role("button", name="a question").click()
        await expect(shown).to_have_class(re.compile(r"\bflash\b"))
        await mine.locator(".bubble").click(button="right", position={"x": 6, "y": 6})
        await page.get_by_role("menuitem", name="Delete").click()
        await expect(mine).to_have_count(0)

        poll = await kit.call("sendPoll", chat_id=user, question="Which?", options=["Apple", "Pear"])
        asked = page.locator(f'[data-id="{poll["result"]["message_id"]}"]')
        await asked.get_by_role("radio", name="Pear").click()
        await kit.until("vote", options=[1])
        await expect(asked.locator(".result.chosen")).to_contain_text("100%")


async def test_pictures_are_sent_from_the_page_and_stand_together(kit: Kit) -> None:
    await kit.say("/start")
    async with opened(kit, 768) as page:
        files: list[FilePayload] = [
            {"name": name, "mimeType": "image/png", "buffer": PNG} for name in ("a.png", "b.png")
        ]
        await page.locator("#files").set_input_files(files)
        await page.get_by_label("Caption").fill("two charts")
        await page.get_by_role("button", name="Send files").click()
        await expect(page.locator(".mosaic img")).to_have_count(2)
        await expect(page.locator(".message.pictured")).to_have_count(1)
        await expect(page.locator(".message.pictured")).to_contain_text("two charts")
        assert len({message.get("album") for message in (await kit.chat())[1:]}) == 1


async def test_the_bots_keyboard_and_a_web_app_in_its_frame(kit: Kit) -> None:
    cookies: list[str | None] = []

    async def app(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(text=APP, content_type="text/html")

    server = web.Application()
    server.router.add_get("/", app)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    rows = [["Positions", {"text": "Choose", "web_app": {"url": address}}]]
    await kit.call(
        "sendMessage",
        chat_id=kit.server.user_id,
        text="x",
        reply_markup={"keyboard": rows, "one_time_keyboard": True, "input_field_placeholder": "A symbol"},
    )
    async with opened(kit, 390) as page:
        await expect(page.get_by_placeholder("A symbol")).to_be_visible()
        await page.get_by_role("button", name="Choose").click()
        await expect(page.locator("#app-address")).to_have_text(address)
        frame = page.frame_locator("#app-place iframe")
        await expect(frame.locator("#cookie")).to_have_text("SEEN")
        await frame.get_by_role("button", name="Send it").click()
        await kit.until("message")
        await expect(page.locator("#app-frame")).to_be_hidden()
        await expect(page.locator(".service")).to_contain_text("Choose")
        await expect(page.locator("#keys")).to_be_hidden()
        await page.locator("#keys-button").click()
        await page.get_by_role("button", name="Positions").click()
        await kit.until("message", text="Positions")
        assert cookies == [None]  # the chat page's cookie does not go along, though cookies know no ports
        await kit.call(
            "sendMessage", chat_id=kit.server.user_id, text="gone", reply_markup={"remove_keyboard": True}
        )
        await expect(page.locator("#keys-button")).to_be_hidden()
    await runner.cleanup()


async def send_many(kit: Kit, words: str, count: int) -> None:
    for start in range(0, count, 50):
        await asyncio.gather(
            *(
                kit.call("sendMessage", chat_id=kit.server.user_id, text=f"{words} {number}")
                for number in range(start, start + 50)
            )
        )


async def test_a_long_chat_stays_light_and_its_oldest_message_is_found(kit: Kit) -> None:
    await send_many(kit, "line", 1000)
    async with opened(kit, 1280) as page:
        await expect(page.locator(".message").last).to_be_in_viewport()
        await expect(page.locator(".message")).to_have_count(200)
        await send_many(kit, "more", 450)
        await expect(page.locator(f'[data-id="{(await kit.chat())[-1]["id"]}"]')).to_be_in_viewport()
        assert await page.locator(".message").count() <= 600  # those far above have left the page
        first = (await kit.chat())[0]["id"]
        await kit.call("pinChatMessage", chat_id=kit.server.user_id, message_id=first)
        await page.locator("#pinned").click()
        await expect(page.locator(f'[data-id="{first}"]')).to_be_in_viewport()
        await page.locator("#down").click()
        await expect(page.locator(".service").last).to_be_in_viewport()
