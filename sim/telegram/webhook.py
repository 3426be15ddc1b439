"""Updates that go to an address of the bot instead of being fetched: one POST each, tried again until it is taken.

Updates of one chat or person keep their order; those of several go out side by side, as many as the bot allows. The
answer to an update can itself be the call of a method.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from sim.telegram.engine import Engine
from sim.telegram.updates import Update

#: How long the bot may take for its answer, in seconds.
_PATIENCE = 60.0

#: Pauses before an update is tried again, in real seconds; the last one stays. Telegram's are longer.
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

#: How many updates are looked at at once.
_WINDOW = 100

#: Performs a method that came back in an answer: its name and parameters.
Perform = Callable[[str, dict[str, Any]], Awaitable[None]]


class Webhook:
    """The courier. `wake` when there may be something to do: an update, or another address."""

    def __init__(self, engine: Engine, perform: Perform) -> None:
        self._engine = engine
        self._perform = perform
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._under_way: dict[int, tuple[str, asyncio.Task[None]]] = {}
        engine.updates.listen(self.wake)

    def wake(self) -> None:
        """Look again."""
        self._news.set()

    def start(self) -> None:
        """Begin to carry, in the running loop."""
        self._task = asyncio.create_task(self._carry(), name="telegram webhook")

    async def stop(self) -> None:
        """Carry no more; what is under way is dropped and stays in the queue."""
        tasks = [task for _, task in self._under_way.values()] + ([self._task] if self._task else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self) -> None:
        async with ClientSession(timeout=ClientTimeout(total=_PATIENCE)) as http:
            while True:
                self._news.clear()
                self._send_off(http)
                await self._news.wait()

    def _send_off(self, http: ClientSession) -> None:
        """Set out with every update whose turn it is."""
        hook = self._engine.settings.get("webhook")
        if not hook:
            return
        busy = {lane for lane, _ in self._under_way.values()}
        for update in self._engine.updates.fetch(0, _WINDOW, self._engine.clock.now()):
            number, lane = update["update_id"], _lane(update)
            if len(self._under_way) >= hook["max_connections"]:
                return
            if number not in self._under_way and lane not in busy:
                task = asyncio.create_task(self._bring(http, update), name=f"webhook update {number}")
                self._under_way[number] = lane, task
                task.add_done_callback(partial(self._back, number))
            busy.add(lane)

    def _back(self, number: int, task: asyncio.Task[None]) -> None:
        self._under_way.pop(number, None)
        self.wake()

    async def _bring(self, http: ClientSession, update: Update) -> None:
        """Bring one update to wherever the webhook points, until it is taken, or until there is no webhook."""
        engine, attempt = self._engine, 0
        while hook := engine.settings.get("webhook"):
            secret = hook["secret_token"]
            headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
            answer: Any = None
            try:
                async with http.post(hook["url"], json=update, headers=headers) as response:
                    taken = 200 <= response.status < 300
                    words = f"Wrong response from the webhook: {response.status} {response.reason}"
                    if taken and response.content_type == "application/json":
                        answer = await response.json()
            except TimeoutError:
                taken, words = False, "Read timeout expired"
            except ClientError as error:
                refused = isinstance(getattr(error, "os_error", None), ConnectionRefusedError)
                taken, words = False, "Connection refused" if refused else "Connection closed"
            except ValueError:
                pass  # it was taken, with an answer that is no method
            if taken:
                engine.updates.confirm(update["update_id"])
                engine.journal.record("delivered", update_ids=[update["update_id"]])
                if isinstance(answer, dict) and isinstance(method := answer.pop("method", None), str):
                    await self._perform(method, answer)
                return
            engine.set("webhook error", {"last_error_date": engine.timestamp(), "last_error_message": words})
            engine.journal.record("webhookFailed", update_id=update["update_id"], error=words)
            await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1


def _lane(update: Update) -> str:
    """Updates with the same lane keep their order: those of a chat, or of a person where there is none."""
    kind, content = next((kind, content) for kind, content in update.items() if kind != "update_id")
    if not isinstance(content, dict):
        return str(kind)
    about = content.get("chat") or content.get("message", {}).get("chat") or content.get("from") or {}
    return str(about.get("id", kind)) if isinstance(about, dict) else str(kind)
