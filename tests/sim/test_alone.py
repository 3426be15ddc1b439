"""Each server as a program of its own: started, used by a real client, ended."""

import asyncio
import json
import signal
import socket
from pathlib import Path

import pytest
from anthropic import AsyncAnthropic
from ib_async import IB, MarketOrder
from telegram import Bot

from sim.world import NAMES
from tests.sim.process_kit import Sim, program
from tests.sim.tws_kit import AAPL, until

PRINTED = {
    "tws": ("tws", "control"),
    "telegram": ("telegram", "control", "chat page"),
    "model": ("model", "control"),
}


async def trade(running: Sim) -> None:
    """Buy three shares with ib_async."""
    before = await held(running)
    host, port = running.addresses["tws"].split(":")
    ib = IB()
    await ib.connectAsync(host, int(port), 1, raiseSyncErrors=True)
    bought = ib.placeOrder(AAPL, MarketOrder("BUY", 3))
    await until(ib, bought.isDone)
    ib.disconnect()
    assert await held(running) == before + 3


async def held(running: Sim) -> int:
    """Shares of AAPL in the broker's own book."""
    positions = (await running.get("/tws/book"))["positions"]
    return sum(int(p["quantity"]) for p in positions if p["symbol"] == "AAPL")


async def chat(running: Sim) -> None:
    """Say something with python-telegram-bot."""
    address, _, token = running.addresses["telegram"].split()
    user = (await running.get("/telegram"))["user"]["id"]
    async with Bot(token, base_url=f"{address}/bot", base_file_url=f"{address}/file/bot") as bot:
        await bot.send_message(user, "hello")
    (message,) = (await running.get("/telegram/chat"))["messages"]
    assert (message["from"], message["text"]) == ("bot", "hello")


async def ask(running: Sim) -> None:
    """Ask with the anthropic SDK."""
    address, _, key = running.addresses["model"].split()
    about = await running.get("/model")
    assert (about["api_key"], about["api_url"]) == (key, address)
    async with AsyncAnthropic(api_key=key, base_url=address, max_retries=0) as client:
        message = await client.messages.create(
            model=about["models"][0], max_tokens=999, messages=[{"role": "user", "content": "?"}]
        )
    assert message.content[0].type == "text"
    assert json.loads(message.content[0].text)["decision"] == "HOLD"


USES = {"tws": trade, "telegram": chat, "model": ask}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("installed", [False, True], ids=["module", "greenlight"])
async def test_a_server_by_itself(tmp_path: Path, name: str, installed: bool) -> None:
    """It prints where it is, serves a real client, has nothing of the others on its control port, and ends with 0."""
    words = ("-m", "bot", "sim", name) if installed else ("-m", f"sim.{name}", "--forget")
    async with program(*words, names=PRINTED[name], home=tmp_path) as running:
        await running.ready()
        assert list(running.addresses) == list(PRINTED[name])
        await USES[name](running)
        paths = {route["path"] for route in (await running.get("/"))["routes"]}
        others = tuple(f"/{other}" for other in NAMES if other != name)
        assert not any(path.startswith(others) for path in paths)
        assert await running.end(signal.SIGINT if installed else signal.SIGTERM) == 0
    kept = tmp_path / "greenlight" / "sim" / name / "world.db"
    assert kept.exists() == installed


async def test_a_server_remembers_and_keeps_its_place(tmp_path: Path) -> None:
    """The same ports and the same book after a kill; a second one with the same state is refused in a line."""
    words = ("-m", "sim.tws", "--state", str(tmp_path))
    async with program(*words, names=PRINTED["tws"]) as running:
        await running.ready()
        await trade(running)
        shares = await held(running)
        async with program(*words, names=()) as second:
            told = await second.line()
            assert "another one is already running" in told
            assert running.addresses["control"] in told
            assert await second.process.wait() == 1
        await running.end(signal.SIGKILL)
    async with program(*words, names=PRINTED["tws"]) as again:
        await again.ready()
        assert again.addresses == running.addresses
        assert await held(again) == shares


async def test_what_cannot_be_is_said_in_a_line() -> None:
    """A taken port ends with 1 and the port's number, a wrong option with 2; --help has an example and the exit codes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        rows = {
            "--port": f"port {port} for model cannot be used",
            "--control-port": f"port {port} for control",
        }
        for option, words in rows.items():
            async with program("-m", "sim.model", "--forget", option, port, names=()) as refused:
                assert words in await refused.line()
                assert await refused.process.wait() == 1
    async with program("-m", "sim.telegram", "--port", "70000", names=()) as wrong:
        assert "usage: python -m sim.telegram" in await wrong.line()
        assert await wrong.process.wait() == 2
    async with program("-m", "sim.tws", "--help", names=()) as helped:
        assert helped.process.stdout is not None
        async with asyncio.timeout(20):
            said = (await helped.process.stdout.read()).decode()
        assert "python -m sim.tws --port 7497" in said
        assert "exit codes: 0" in said
        assert await helped.process.wait() == 0
