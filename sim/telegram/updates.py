"""The queue of updates a bot has not confirmed yet, with Telegram's rules for the offset.

Pure but for remembering: an update leaves the queue when a poll asks for a higher one, or when it is too old
(24 hours, a press of a button 150 seconds).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sim.telegram.memory import Memory

Update = dict[str, Any]

_LIFETIME = timedelta(hours=24)
_SHORT_LIVED = {"callback_query": timedelta(seconds=150), "inline_query": timedelta(seconds=30)}

#: The kinds that there are.
KINDS = (
    "message", "edited_message", "channel_post", "edited_channel_post", "business_connection", "business_message",
    "edited_business_message", "deleted_business_messages", "message_reaction", "message_reaction_count", "inline_query",
    "chosen_inline_result", "callback_query", "shipping_query", "pre_checkout_query", "purchased_paid_media", "poll",
    "poll_answer", "my_chat_member", "chat_member", "chat_join_request", "chat_boost", "removed_chat_boost",
)  # fmt: skip

#: Not delivered unless they are asked for by name.
_ON_REQUEST = {"chat_member", "message_reaction", "message_reaction_count"}


class UpdateQueue:
    """Updates in order. `allowed` is what the bot asked for; None is the usual set."""

    def __init__(self, memory: Memory, first_id: int) -> None:
        self._memory = memory
        self._listeners: list[Callable[[], None]] = []
        self._queue: dict[int, tuple[datetime, Update]] = {
            int(key): (datetime.fromisoformat(value["expires"]), value["update"])
            for key, value in memory.all("telegram.update").items()
        }
        state = memory.get("telegram.state", "updates", {})
        self._next_id: int = state.get("next_id", first_id)
        self._allowed: list[str] | None = state.get("allowed")
        self.delivered: int = state.get("delivered", first_id - 1)  # the highest id a poll has ever returned

    def allow(self, kinds: list[str]) -> None:
        """Deliver these kinds only from now on; an empty list stands for the usual set."""
        self._allowed = kinds or None
        self._remember()

    @property
    def allowed(self) -> list[str] | None:
        """What the bot asked for, None for the usual set."""
        return self._allowed

    def add(self, kind: str, payload: Update, now: datetime) -> int:
        """Queue an update and return its id; an unwanted kind uses up an id, but is not kept."""
        update_id = self._next_id
        self._next_id += 1
        if kind in self._allowed if self._allowed is not None else kind not in _ON_REQUEST:
            expires = now + _SHORT_LIVED.get(kind, _LIFETIME)
            update = {"update_id": update_id, kind: payload}
            self._queue[update_id] = (expires, update)
            self._memory.put("telegram.update", update_id, {"expires": expires.isoformat(), "update": update})
        self._remember()
        for listener in tuple(self._listeners):
            listener()
        return update_id

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever an update has been added, wanted or not."""
        self._listeners.append(listener)

    def fetch(self, offset: int, limit: int, now: datetime) -> list[Update]:
        """What a poll gets: up to `limit` updates from `offset` on. Everything before is confirmed and forgotten.

        A negative offset counts from the end of the queue; 0 confirms nothing.
        """
        if offset < 0:
            offset = next(iter(list(self._queue)[offset:]), 0)
        self._forget(key for key, (expires, _) in self._queue.items() if key < offset or expires <= now)
        batch = [update for _, update in list(self._queue.values())[:limit]]
        if batch and batch[-1]["update_id"] > self.delivered:
            self.delivered = batch[-1]["update_id"]
            self._remember()
        return batch

    def confirm(self, update_id: int) -> None:
        """Forget one update, which a webhook has taken."""
        if update_id in self._queue:
            self._forget([update_id])

    def clear(self) -> None:
        """Forget everything that waits."""
        self._forget(self._queue)

    def __len__(self) -> int:
        return len(self._queue)

    def _forget(self, keys: Any) -> None:
        for key in list(keys):
            del self._queue[key]
            self._memory.delete("telegram.update", key)

    def _remember(self) -> None:
        state = {"next_id": self._next_id, "allowed": self._allowed, "delivered": self.delivered}
        self._memory.put("telegram.state", "updates", state)
