"""The demo as a newcomer sees it: `python -m sim`, the printed address in a real browser, and the main job by hand."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
from playwright.async_api import Locator, Page, async_playwright, expect

from tests.kit import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: the demo was not walked in a browser"
)

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]


AT_REST = """async () => {
    await document.fonts.ready;
    const ending = document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity);
    await Promise.allSettled(ending.map((one) => one.finished));
}"""


class Demo:
    """The demo as a process of its own, on free ports."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process, self.address = process, address

    @classmethod
    async def start(cls, state: Path) -> "Demo":
        """Start it and read the address that it prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "sim", "--state", str(state)),
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(state)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async for line in process.stdout:
            if found := re.match(r"Open this in a browser: (\S+)", line.decode()):
                return cls(process, found[1])
        raise AssertionError("the demo ended without printing an address")

    async def stop(self, signum: int = signal.SIGTERM) -> float:
        """End it as Ctrl-C or a service manager does; returns the seconds that it took."""
        begun = monotonic()
        self.process.send_signal(signum)
        assert self.process.stdout is not None
        async with asyncio.timeout(15):
            await self.process.stdout.read()
            assert await self.process.wait() == 0
        return monotonic() - begun


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A browser the size of a phone."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = await browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2)
        context.set_default_timeout(15_000)
        yield await context.new_page()
        await browser.close()


async def say(page: Page, text: str) -> None:
    """Type a line as a person does."""
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


def bubble(page: Page, pattern: str) -> Locator:
    """The newest message of the bot with these words."""
    return page.locator("#messages li", has_text=re.compile(pattern, re.DOTALL)).last


async def picture(page: Page, name: str) -> None:
    """Keep a screenshot where SCREENSHOTS says so, once everything that moves has come to rest."""
    if folder := os.environ.get("SCREENSHOTS"):
        await expect(page.locator("#toast")).to_be_hidden()
        await page.evaluate(AT_REST)
        await page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


async def test_first_light_in_a_browser(tmp_path: Path, page: Page) -> None:
    """From the printed address to a filled order, a cancel and the history; SIMULATED all along; ended and begun again."""
    begun = monotonic()
    demo = await Demo.start(tmp_path)
    await page.goto(demo.address)
    assert "key=" not in page.url
    await expect(page.locator(".badge")).to_have_text("SIMULATED")
    await expect(bubble(page, "Connected")).to_be_visible()
    await say(page, "/positions")
    await expect(bubble(page, "Total")).to_contain_text("SIMULATED")
    assert monotonic() - begun < 20
    await picture(page, "positions")
    await say(page, "/start")
    await expect(bubble(page, "Greenlight trades your")).to_be_visible()

    await say(page, "/buy AAPL 10")
    card = bubble(page, "BUY 10 AAPL at market.*Nothing is sent before")
    await expect(card).to_contain_text("SIMULATED")
    await picture(page, "card")
    await card.get_by_role("button", name="Send").click()
    await expect(bubble(page, "FILLED BUY 10 AAPL")).to_be_visible()
    await expect(page.get_by_role("button", name="Send", exact=True)).to_have_count(
        1
    )  # the composer's, not the card's
    await picture(page, "fill")

    await say(page, "/buy AAPL 5 @ 150")
    await bubble(page, "BUY 5 AAPL @ 150.00.*Nothing is sent").get_by_role("button", name="Send").click()
    await expect(bubble(page, "BUY 5 AAPL @ 150.00.*working")).to_be_visible()
    await say(page, "/orders")
    await bubble(page, "Open orders").get_by_role("button", name=re.compile("Cancel #")).click()
    await expect(bubble(page, "Cancelled BUY 5 AAPL")).to_be_visible()
    await say(page, "/trades")
    await expect(bubble(page, "Trades.*BUY 10 AAPL")).to_contain_text("commission $1.00")
    await picture(page, "trades")
    assert await demo.stop(signal.SIGINT) < 10

    begun = monotonic()
    demo = await Demo.start(tmp_path)
    await page.goto(demo.address)
    await expect(bubble(page, "FILLED BUY 10 AAPL")).to_be_visible()  # the chat is where it was
    await say(page, "/positions AAPL")
    await expect(bubble(page, "AAPL 50")).to_be_visible()  # and so is the account
    assert monotonic() - begun < 5
    assert await demo.stop() < 10


async def test_a_stranger_on_the_page_gets_nothing(tmp_path: Path, page: Page) -> None:
    """Without the key in the address there is no chat: another tab or program cannot type into it."""
    demo = await Demo.start(tmp_path)
    answer = await page.goto(demo.address.partition("?")[0])
    assert answer is not None
    assert answer.status == 403
    await demo.stop()


SHARES = [
    "MSFT",
    "GOOGL",
    "AMZN",
    "META",
    "TSLA",
    "JPM",
    "V",
    "JNJ",
    "WMT",
    "PG",
    "XOM",
    "HD",
    "BAC",
    "DIS",
    "NFLX",
    "ADBE",
    "CRM",
    "INTC",
    "AMD",
    "CSCO",
    "PEP",
    "QQQ",
    "IWM",
]


async def proposal(page: Page, symbols: list[str]) -> tuple[str, Locator]:
    """Ask the demo analyst about one share after the other until it proposes to buy one; (symbol, card)."""
    while symbols:
        symbol = symbols.pop(0)
        await say(page, f"/analyze {symbol}")
        verdict = bubble(page, f"(BUY|SELL|HOLD) {symbol}\\b.*confidence")
        await expect(verdict).to_be_visible()
        await expect(verdict).to_contain_text("DEMO")
        await expect(verdict).to_contain_text("SIMULATED")
        if await verdict.get_by_role("button", name="Approve").count():
            return symbol, verdict
    raise AssertionError("the demo analyst proposed nothing at all")


async def test_the_first_proposal_in_a_browser(tmp_path: Path, page: Page) -> None:
    """/analyze to Approve to a filled bracket to the history; and Reject, which sends nothing."""
    demo = await Demo.start(tmp_path)
    await page.goto(demo.address)
    await expect(bubble(page, "Connected")).to_be_visible()
    symbols = list(SHARES)
    symbol, card = await proposal(page, symbols)
    await expect(card).to_contain_text("Against it:")
    await card.scroll_into_view_if_needed()
    await picture(page, "proposal")
    await card.get_by_role("button", name="Approve").click()
    await expect(bubble(page, f"FILLED BUY \\d+ {symbol}")).to_be_visible()
    await expect(bubble(page, f"BUY \\d+ {symbol}.*target .* working.*stop .* working")).to_be_visible()
    await picture(page, "bracket")
    await say(page, "/trades")
    await expect(bubble(page, f"Trades.*BUY \\d+ {symbol}.*AI \\d+%")).to_be_visible()

    symbol, card = await proposal(page, symbols)
    await card.get_by_role("button", name="Reject").click()
    await expect(bubble(page, f"{symbol}.*Rejected. Nothing was sent")).to_be_visible()
    await say(page, "/proposals")
    await expect(bubble(page, "No open proposals")).to_be_visible()
    await demo.stop()
