"""What a Messages API knows while it runs: scripts, armed faults, limits, and what was asked of it. The session and the control port share it."""

from collections import Counter, deque
from typing import Any

from sim.clock import Clock
from sim.journal import Journal
from sim.model.cache import PromptCache
from sim.model.demo import DEMO_MODEL
from sim.model.errors import ApiError, invalid
from sim.model.faults import Faults
from sim.model.limits import RateLimits
from sim.model.messages import Answer, Ask
from sim.model.script import Script


class State:
    """Lives as long as the process. `scripts` has a queue of answers for every id that was given some, `repeated` those whose answers come round again, `pace` the seconds between the events of a stream."""

    def __init__(self, clock: Clock) -> None:
        self.faults = Faults()
        self.limits = RateLimits(clock)
        self.cache = PromptCache(clock)
        self.pace = 0.0
        self.scripts: dict[str, deque[Script]] = {}
        self.repeated: set[str] = set()
        self.requests = Journal(clock, keep=1_000)
        self.events = Journal(clock, keep=10_000)
        self.outcomes: Counter[str] = Counter()

    def known_models(self) -> list[str]:
        """The demo's id and every id that has been given a script."""
        return [DEMO_MODEL, *self.scripts]

    def scripted(self, ask: Ask) -> Answer:
        """The next answer of a scripted model. ApiError where its script has run out."""
        queue = self.scripts[ask.model]
        if not queue:
            raise invalid(f"the script of model {ask.model} has no answer left: POST /model/script adds some")
        script = queue.popleft()
        if ask.model in self.repeated:
            queue.append(script)
        return script.answer(ask)

    def done(self, entry: dict[str, Any], outcome: str, status: int | None) -> None:
        """A request has come to its end."""
        entry |= {"outcome": outcome, "status": status}
        self.outcomes[outcome] += 1
        told = {name: entry[name] for name in ("request_id", "model", "outcome", "status")}
        self.events.record("answer", **told)

    def clear(self) -> None:
        """Forget scripts, armed faults, limits, cached prompts, kept requests and counts; events keep their numbers."""
        self.faults.clear()
        self.limits.clear()
        self.cache.clear()
        self.pace = 0.0
        self.scripts.clear()
        self.repeated.clear()
        self.requests.clear()
        self.outcomes.clear()

    def must_know(self, model: str) -> None:
        """ApiError for an id that is not served."""
        if model not in self.known_models():
            raise ApiError(404, "not_found_error", f"model: {model}")
