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

import aiohttp
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

    def __init__(self, process: asyncio.subprocess.Process, address: str, control: str) -> None:
        self.process, self.address, self.control = process, address, control

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
        control = ""
        async for line in process.stdout:
            if told := re.match(r"control: (\S+)", line.decode()):
                control = told[1]
            if found := re.match(r"Open this in a browser: (\S+)", line.decode()):
                return cls(process, found[1], control)
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


async def pictures(page: Page, name: str) -> None:
    """The same on a phone by day and on a wide screen by night."""
    await picture(page, f"{name}-390-light")
    if "SCREENSHOTS" not in os.environ:
        return
    await page.set_viewport_size({"width": 1280, "height": 844})
    await page.emulate_media(color_scheme="dark")
    await picture(page, f"{name}-1280-dark")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.emulate_media(color_scheme="light")


async def tap(message: Locator, label: str) -> None:
    """A button of a message, by how its label begins."""
    await message.get_by_role("button", name=re.compile(f"^{label}")).click()


async def test_a_denial_made_to_fit_and_the_panic_ladder_in_a_browser(tmp_path: Path, page: Page) -> None:
    """Too many shares, resized and sent; then a halt with a protected position, everything closed, and trading opened again."""
    demo = await Demo.start(tmp_path)
    await page.goto(demo.address)
    await expect(bubble(page, "Connected")).to_be_visible()

    await say(page, "/buy MSFT 1000")
    denied = bubble(page, "BUY 1,?000 MSFT at market.*What would pass: \\d+ shares")
    await expect(denied.get_by_role("button", name="Send")).to_have_count(0)
    await pictures(page, "denied")
    label = await denied.get_by_role("button", name=re.compile("^Make it")).inner_text()
    fits = int(label.removeprefix("Make it "))
    assert 0 < fits < 1000
    await tap(denied, "Make it")
    resized = bubble(page, f"BUY {fits} MSFT at market.*Nothing is sent before")
    await pictures(page, "resized")
    await tap(resized, "Send")
    await expect(bubble(page, f"FILLED BUY {fits} MSFT")).to_be_visible()

    await say(page, "/buy PEP 10 preview")
    shown = await bubble(page, "BUY 10 PEP at market.*A preview").inner_text()
    price = float(re.search(r"Bid ([\d.]+)", shown)[1])  # type: ignore[index]  # a card without a price is a failure
    await say(page, f"/buy PEP 10 sl {price * 0.9:.2f} tp {price * 1.2:.2f}")
    await tap(bubble(page, "BUY 10 PEP at market.*Stop.*Nothing is sent before"), "Send")
    await expect(bubble(page, "BUY 10 PEP.*target .* working.*stop .* working")).to_be_visible()
    await say(page, f"/buy PEP 5 @ {price * 0.95:.2f}")
    await tap(bubble(page, "BUY 5 PEP @.*Nothing is sent before"), "Send")
    await expect(bubble(page, "BUY 5 PEP @.*working")).to_be_visible()

    await say(page, "/halt")
    halted = bubble(page, "HALTED.*Cancelling 1 order that could add.*Left working: 2 orders that protect")
    await expect(halted.get_by_role("button", name="Cancel these 2 too")).to_be_visible()
    await expect(bubble(page, "1 order that could add is over")).to_be_visible()
    await pictures(page, "halted")
    await say(page, "/orders")
    await expect(bubble(page, "Open orders")).to_contain_text("SELL 10 PEP")
    await expect(bubble(page, "Open orders")).not_to_contain_text("BUY 5 PEP")
    await say(page, "/buy PEP 1")
    await expect(bubble(page, "BUY 1 PEP at market.*Trading is HALTED")).to_be_visible()
    await pictures(page, "blocked")

    await say(page, "/flatten")
    asked = bubble(page, "Close everything at market\\?.*SELL 10 PEP at market")
    await pictures(page, "flatten-asked")
    await tap(asked, "Close \\d+ holdings")
    sure = bubble(page, "Halt, and close \\d+ holdings at market now")
    await pictures(page, "flatten-sure")
    await tap(sure, "Yes, close everything now")
    for words in (f"FILLED SELL {fits} MSFT", "FILLED SELL 10 PEP"):
        await expect(bubble(page, words)).to_be_visible()
    await expect(bubble(page, "holdings on their way out")).to_be_visible()
    await say(page, "/positions")
    await expect(bubble(page, "No positions|Nothing is held|no positions")).to_be_visible()
    await pictures(page, "flattened")

    await say(page, "/resume")
    meanwhile = bubble(page, "HALTED.*Since then.*SELL 10 PEP.*No order is working")
    await pictures(page, "resume-asked")
    await tap(meanwhile, "Open again")
    await expect(bubble(page, "ACTIVE: trading is open again")).to_be_visible()
    await pictures(page, "resumed")
    await demo.stop()


async def test_an_options_strategy_in_a_browser(tmp_path: Path, page: Page) -> None:
    """From the wizard to a filled bull call spread, its payoff looked at, rolled to the next month, and closed."""
    demo = await Demo.start(tmp_path)
    await page.goto(demo.address)
    await expect(bubble(page, "Connected")).to_be_visible()

    async with (
        aiohttp.ClientSession() as session
    ):  # combinations trade half way already: how they are repriced is tried elsewhere
        answer = await session.post(f"{demo.control}/tws/fills", json={"mode": "auto", "improves": -1})
        assert answer.status == 200

    await say(page, "/chain AAPL")
    chain = bubble(page, "AAPL options.*strike +bid/ask")
    await expect(chain).to_contain_text("SIMULATED")
    await pictures(page, "chain")

    await say(page, "/strategy AAPL")
    await tap(bubble(page, "What do you expect of AAPL"), "I think it rises")
    await tap(bubble(page, "How much may it lose at most"), re.escape("$500"))
    await tap(bubble(page, "By when"), "About 1 month")
    found = bubble(page, "What fits, the plainest first")
    await pictures(page, "wizard")
    await tap(found, "BULL_CALL_SPREAD")
    card = bubble(page, "BUY \\d+ AAPL BULL_CALL_SPREAD.*Nothing is sent before")
    for words in ("Max gain", "max loss", "Break-even", "likely", "Margin", "assigned"):
        await expect(card).to_contain_text(words)
    payoff = bubble(page, "AAPL BULL_CALL_SPREAD.*gain and loss at expiry").locator("img")
    await expect(payoff).to_be_visible()
    assert await payoff.evaluate("image => image.decode().then(() => image.naturalWidth)") > 500
    await pictures(page, "payoff")
    await card.scroll_into_view_if_needed()
    await pictures(page, "plan")
    await tap(card, "Send")
    await expect(bubble(page, "FILLED BUY \\d+ AAPL BULL_CALL_SPREAD.*paid")).to_be_visible(timeout=60_000)

    await say(page, "/positions")
    held = bubble(page, "Positions.*AAPL BULL_CALL_SPREAD.*days left")
    await pictures(page, "strategies-held")
    old = await held.get_by_role("button", name=re.compile("^Close AAPL")).inner_text()
    await tap(held, "Roll AAPL")
    await tap(bubble(page, "ROLL \\d+ AAPL BULL_CALL_SPREAD.*Comes:.*Nothing is sent before"), "Send")
    await expect(bubble(page, "FILLED ROLL \\d+ AAPL BULL_CALL_SPREAD")).to_be_visible(timeout=60_000)
    await say(page, "/positions")
    later = bubble(page, "Positions.*AAPL BULL_CALL_SPREAD.*days left")
    await expect(later.get_by_role("button", name=old)).to_have_count(0)  # not the list of before
    await tap(later, "Close AAPL")
    closing = bubble(page, "CLOSE \\d+ AAPL BULL_CALL_SPREAD.*Nothing is sent before")
    await pictures(page, "plan-closing")
    await tap(closing, "Send")
    await expect(bubble(page, "FILLED CLOSE \\d+ AAPL BULL_CALL_SPREAD")).to_be_visible(timeout=60_000)
    await say(page, "/positions")
    await expect(bubble(page, "Positions")).not_to_contain_text("BULL_CALL_SPREAD")
    await say(page, "/trades")
    await expect(bubble(page, "Trades.*CLOSE \\d+ AAPL BULL_CALL_SPREAD")).to_be_visible()
    await pictures(page, "plan-trades")
    await demo.stop()
