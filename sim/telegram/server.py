"""The Bot API and the chat page on one loopback port."""

import asyncio
import secrets
from collections.abc import Callable

from aiohttp import web

from sim.clock import Clock
from sim.journal import Journal
from sim.listening import HOST, listen
from sim.store import Store
from sim.telegram.botapi import BotApi
from sim.telegram.chatpage import ChatPage
from sim.telegram.control import Control
from sim.telegram.engine import Engine
from sim.telegram.faults import Faults
from sim.telegram.guard import guard
from sim.telegram.memory import Memory

#: How large a request may be; Telegram takes files of up to 50 MB.
_LARGEST_REQUEST = 51 * 1024 * 1024


class TelegramServer:
    """A Telegram of its own for one bot: the Bot API for the bot, a chat page for the person, both on one port.

    People, messages, waiting updates, files and the page's key are remembered in `store`; the token is new in every run.
    """

    def __init__(self, clock: Clock, store: Store, seed: int, *, token: str | None = None) -> None:
        """`token` is for those who restart the server under a running bot; left out, it is random."""
        self._journal = Journal(clock)
        self._memory = Memory(store, _soon)
        self._engine = Engine(clock, self._memory, self._journal, seed)
        self._faults = Faults(clock)
        self.token = token or f"{self._engine.bot['id']}:{secrets.token_urlsafe(26)}"
        self._api = BotApi(self._engine, self._faults, self.token)
        self._page = ChatPage(self._engine, self._memory, self.token)
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def address(self) -> str:
        """The root of the Bot API, as TELEGRAM_API_URL wants it."""
        return f"http://{HOST}:{self.port}"

    @property
    def page_url(self) -> str:
        """The chat page with the key that opens it."""
        return f"{self.address}/?key={self._page.key}"

    @property
    def polled(self) -> asyncio.Event:
        """Set by the first getUpdates of this run: from then on there is a bot that hears."""
        return self._api.polled

    @property
    def user_id(self) -> int:
        """The person at the chat page."""
        return int(self._engine.owner["id"])

    @property
    def bot_username(self) -> str:
        """The bot's name, without @."""
        return str(self._engine.bot["username"])

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1, on any free port where `port` is 0. OSError where the port is taken."""
        app = web.Application(client_max_size=_LARGEST_REQUEST, middlewares=[guard])
        app.add_routes(self._api.routes())
        app.add_routes(self._page.routes())
        app.on_startup.append(self._api.begin)
        app.on_shutdown.append(self._api.end)
        app.on_shutdown.append(self._page.disconnect)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.3, access_log=None)
        self.port = await listen(self._runner, port)

    async def close(self) -> None:
        """Stop listening, drop every connection, and write down what is not on disk yet."""
        self._faults.clear()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()
        self._memory.flush()

    def control(self) -> list[web.RouteDef]:
        """The routes under /telegram of the control port."""
        return Control(self._engine, self._faults, self._api, self).routes()


def _soon(flush: Callable[[], None]) -> None:
    """After the answers that what just happened sets off: a poll that wakes up now writes first. At once without a loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        flush()
    else:
        loop.call_soon(loop.call_soon, flush)
