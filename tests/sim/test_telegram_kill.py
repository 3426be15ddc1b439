"""The chat remembers over kill -9: what was answered is there afterwards, and nothing is numbered twice."""

import asyncio
import json
import sys
from pathlib import Path

from aiohttp import ClientSession

from tests.sim.telegram_kit import telegram

SERVER = """
import asyncio, json, sys
from pathlib import Path
from sim.clock import Clock
from sim.store import Store
from sim.telegram import TelegramServer

async def main():
    server = TelegramServer(Clock(), Store(Path(sys.argv[1])), 1)
    await server.start()
    print(json.dumps([server.address, server.token, server.user_id]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_server_remembers_what_it_has_answered(tmp_path: Path) -> None:
    store = tmp_path / "state.sqlite"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(store), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    address, token, user = json.loads(await process.stdout.readline())
    async with ClientSession() as http:
        for number in range(20):
            message = {"chat_id": user, "text": f"message {number}"}
            async with http.post(f"{address}/bot{token}/sendMessage", json=message) as response:
                assert (await response.json())["ok"]
        async with http.post(f"{address}/bot{token}/getMe") as response:
            assert (await response.json())["ok"]
        process.kill()
        await process.wait()
    async with telegram(store) as kit:
        assert [message["text"] for message in await kit.chat()] == [
            f"message {number}" for number in range(20)
        ]
        ids = [message["id"] for message in await kit.chat()]
        said = await kit.say("after the kill")
        assert said["message_id"] == max(ids) + 1
