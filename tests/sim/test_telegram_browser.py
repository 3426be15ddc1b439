"""The chat page in a real browser: Debian's Chromium, on a phone's screen."""

import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect
from telegram import Bot

from sim.store import Store
from sim.telegram import TelegramServer
from tests.sim.telegram_kit import PNG, Kit, telegram

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


@pytest.fixture
async def page(kit: Kit) -> AsyncIterator[Page]:
    """The page on a phone, opened from the printed address; anything on its console is a mistake."""
    async with async_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses to sandbox root
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        context = await browser.new_context(
            viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark"
        )
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(kit.server.page_url)
        yield page
        await browser.close()
        assert complaints == []


async def send(kit: Kit, text: str, **params: Any) -> int:
    answer = await kit.call("sendMessage", chat_id=kit.server.user_id, text=text, parse_mode="HTML", **params)
    assert answer["ok"], answer
    return int(answer["result"]["message_id"])


def keyboard(*buttons: str) -> dict[str, Any]:
    return {"inline_keyboard": [[{"text": text, "callback_data": text.lower()} for text in buttons]]}


async def test_a_whole_conversation(kit: Kit, page: Page) -> None:
    await expect(page).to_have_url(f"{kit.server.address}/")
    await expect(page.get_by_text("SIMULATED", exact=True)).to_be_visible()
    await expect(page.locator("#status")).to_have_text("bot")

    await page.get_by_role("button", name="Start", exact=True).click()
    said = await kit.until("message", text="/start")
    mine = page.locator(f'[data-id="{said["message_id"]}"]')
    await expect(mine.get_by_label("sent", exact=True)).to_be_visible()
    await kit.call("getUpdates")
    await expect(mine.get_by_label("fetched by the bot")).to_be_visible()

    await kit.call("sendChatAction", chat_id=kit.server.user_id, action="typing")
    await expect(page.locator("#status")).to_have_text("typing")
    card = await send(
        kit, "<b>BUY 10 AAPL</b> &lt;img src=x onerror=alert(1)&gt;", reply_markup=keyboard("Send", "Discard")
    )
    await expect(page.locator("#status")).to_have_text("bot")
    shown = page.locator(f'[data-id="{card}"]')
    await expect(shown.locator("b")).to_have_text("BUY 10 AAPL")
    await expect(shown.locator("img")).to_have_count(0)

    await shown.get_by_role("button", name="Send").tap()
    pressed = await kit.until("press", data="send")
    await expect(shown.get_by_role("button", name="Send")).to_have_attribute("aria-busy", "true")
    await kit.call("answerCallbackQuery", callback_query_id=pressed["callback_query_id"], text="On its way")
    await expect(page.locator("#toast")).to_have_text("On its way")
    await expect(shown.get_by_role("button", name="Send")).not_to_have_attribute("aria-busy", "true")
    await kit.call("editMessageText", chat_id=kit.server.user_id, message_id=card, text="filled 10 @ 187.43")
    await expect(shown).to_contain_text("filled 10 @ 187.43")
    await expect(shown).to_contain_text("edited")
    await expect(shown.get_by_role("button")).to_have_count(0)


async def test_writing_with_the_keyboard(kit: Kit, page: Page) -> None:
    commands = [
        {"command": "positions", "description": "What you hold"},
        {"command": "buy", "description": "Buy"},
    ]
    await kit.call("setMyCommands", commands=commands)
    await send(kit, "hello")
    field = page.get_by_label("Message", exact=True)
    await field.fill("/po")
    await expect(page.get_by_role("option")).to_have_count(1)
    await field.press("Enter")
    await kit.until("message", text="/positions")
    await page.get_by_role("button", name="Commands").click()
    await expect(page.get_by_role("option")).to_have_count(2)
    await field.press("Escape")
    await field.fill("/buy AAPL 10")
    await field.press("Shift+Enter")
    await field.type("gtc")
    await field.press("Enter")
    said = await kit.until("message", text="/buy AAPL 10\ngtc")
    await expect(field).to_have_value("")
    await field.press("ArrowUp")
    await expect(field).to_have_value("/buy AAPL 10\ngtc")
    await field.fill("/buy AAPL 20")
    await field.press("Enter")
    await kit.until("edited_message", text="/buy AAPL 20", message_id=said["message_id"])


async def test_alerts_pictures_and_files(kit: Kit, page: Page) -> None:
    asked = await send(kit, "sure?", reply_markup=keyboard("Why"))
    await page.get_by_role("button", name="Why").tap()
    pressed = await kit.until("press", message_id=asked)
    answer = {"callback_query_id": pressed["callback_query_id"], "text": "Because.", "show_alert": True}
    await kit.call("answerCallbackQuery", **answer)
    await expect(page.get_by_role("dialog")).to_contain_text("Because.")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    async with Bot(kit.server.token, base_url=f"{kit.server.address}/bot") as bot:
        await bot.send_photo(kit.server.user_id, PNG, caption="the chart")
        await bot.send_document(kit.server.user_id, b"a,b\n", filename="trades.csv")
    await page.get_by_role("button", name="Enlarge the photo").tap()
    await expect(page.locator("#viewer-image")).to_be_visible()
    assert await page.locator("#viewer-image").evaluate("image => image.naturalWidth") == 2
    await page.keyboard.press("Escape")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="trades.csv").click()
    assert (await download.value).suggested_filename == "trades.csv"


async def test_the_page_follows_scrolls_back_and_changes_its_look(kit: Kit, page: Page) -> None:
    for number in range(230):
        await kit.say(f"message {number}")
    await expect(page.locator(".message", has_text="message 229")).to_be_in_viewport()
    scroller = page.locator("#scroller")
    await scroller.evaluate("node => node.scrollTop = node.scrollHeight / 2")
    await expect(page.locator("#down")).to_be_visible()
    await send(kit, "news")
    await expect(page.locator("#unread")).to_have_text("1")
    await page.locator("#down").tap()
    await expect(page.locator(".message", has_text="news")).to_be_in_viewport()
    await expect(page.locator("#down")).to_be_hidden()
    await page.reload()
    await expect(page.locator(".message", has_text="news")).to_be_in_viewport()
    await expect(page.locator(".message")).to_have_count(200)
    await scroller.evaluate("node => node.scrollTop = 0")
    await expect(page.locator(".message")).to_have_count(231)
    await expect(page.locator("html")).to_have_attribute("data-look", "dark")
    await page.get_by_role("button", name="Switch between light and dark").click()
    await expect(page.locator("html")).to_have_attribute("data-look", "light")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-look", "light")


async def test_the_page_says_when_the_simulator_is_gone_and_when_it_has_moved(kit: Kit) -> None:
    async with async_playwright() as playwright:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        page = await browser.new_page()
        await page.goto(kit.server.page_url)
        await expect(page.locator("#status")).to_have_text("bot")
        port = kit.server.port
        await kit.server.close()
        await expect(page.locator("#status")).to_have_text("connecting")
        await kit.server.start(port)
        await expect(page.locator("#status")).to_have_text("bot")
        await kit.server.close()
        another = TelegramServer(kit.clock, Store(None), seed=1)
        await another.start(port)
        await expect(page.get_by_text("This chat has moved")).to_be_visible()
        await browser.close()
        await another.close()
