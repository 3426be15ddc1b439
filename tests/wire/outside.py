"""What stands outside the simulated world and spoils it for the bot: a webhook, a disk without room, a server that is no TWS."""

import asyncio
import contextlib
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web


@dataclass
class Hook:
    """A Bot API with a webhook, in front of the simulated one: it answers what a webhook changes, and hands on the rest."""

    behind: str
    url: str
    address: str = ""
    calls: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        """As Telegram does: no polling while there is a webhook."""
        method = request.match_info["method"]
        self.calls[method] += 1
        if method == "deleteWebhook":
            self.url = ""
        elif self.url and method == "getUpdates":
            told = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            return web.json_response({"ok": False, "error_code": 409, "description": told}, status=409)
        elif self.url and method == "getWebhookInfo":
            told_of = {"url": self.url, "has_custom_certificate": False, "pending_update_count": 3}
            return web.json_response({"ok": True, "result": told_of})
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                self.behind + request.path_qs,
                data=await request.read(),
                headers={"Content-Type": request.headers.get("Content-Type", "")},
            ) as answer,
        ):
            return web.Response(
                body=await answer.read(), status=answer.status, content_type="application/json"
            )


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[int]:
    """An HTTP server on a free port."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def hooked(behind: str, url: str) -> AsyncIterator[Hook]:
    """A Bot API at `behind` to which somebody has set a webhook."""
    hook = Hook(behind, url)
    app = web.Application()
    app.router.add_route("*", "/{bot}/{method}", hook.answer)
    async with served(app) as port:
        hook.address = f"http://127.0.0.1:{port}"
        yield hook


@contextlib.asynccontextmanager
async def not_tws() -> AsyncIterator[int]:
    """The port of a web server."""
    async with served(web.Application()) as port:
        yield port


@contextlib.asynccontextmanager
async def hanging_up() -> AsyncIterator[int]:
    """A port that takes every connection and ends it at once."""

    async def end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(end, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])


def may_mount() -> bool:
    """Whether a small disk can be made for one program, which takes rights that not everybody has."""
    with contextlib.suppress(OSError):
        words = ("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    return False
