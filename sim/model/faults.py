"""Failures on demand: what can be armed, in which order it fires, and how often each has fired."""

import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sim.model.errors import ApiError
from sim.model.messages import Answer, text_block

Place = Literal["messages", "models"]
ALWAYS = -1
"""A count that never runs out."""


@dataclass(eq=False)
class Fault:
    """An armed fault: how often it still fires, where, and its two figures in seconds (None: the kind's own)."""

    kind: str
    left: int = 1
    on: Place = "messages"
    seconds: float | None = None
    retry_after: float | None = None


class Refused(NamedTuple):
    """A row of ERRORS. `{resume}` in the text becomes the first moment of next month."""

    status: int
    kind: str
    text: str
    code: str | None = None
    retry_after: float | None = None


ERRORS = {
    "429": Refused(429, "rate_limit_error", "This request would exceed your organization's rate limit. Please try again later.", retry_after=60),
    "529": Refused(529, "overloaded_error", "Overloaded"),
    "413": Refused(413, "request_too_large", "Request exceeds the maximum size"),
    "500": Refused(500, "api_error", "Internal server error"),
    "504": Refused(504, "timeout_error", "Request timeout"),
    "wrong_key": Refused(401, "authentication_error", "invalid x-api-key"),
    "forbidden": Refused(403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "spend_cap": Refused(400, "invalid_request_error", "You have reached your specified API usage limits. You will regain access on {resume}."),
    "tier_cap": Refused(429, "rate_limit_error", "You have reached your API usage limits: your organization has crossed its monthly API usage threshold, set based on your organization's API tier. You will regain access on {resume}.", code="enforced_spend_limit_reached"),
    "credit": Refused(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."),
    "billing": Refused(402, "billing_error", "There's an issue with your billing or payment information."),
}  # fmt: skip


def refusal(fault: Fault, now: datetime) -> ApiError:
    """The API's error for a fault of ERRORS at the moment `now`."""
    row = ERRORS[fault.kind]
    year, month = divmod(now.year * 12 + now.month, 12)
    seconds = row.retry_after if fault.retry_after is None else fault.retry_after
    headers = {} if seconds is None else {"retry-after": f"{seconds:g}"}
    return ApiError(
        row.status,
        row.kind,
        row.text.format(resume=f"{year}-{month + 1:02d}-01 at 00:00 UTC"),
        headers=headers,
        code=row.code,
    )


def _decision(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Answer], Answer]:
    """Changes the JSON object an answer says; an answer that says none becomes the change of an empty one."""

    def apply(answer: Answer) -> Answer:
        try:
            said = json.loads(answer.text())
        except ValueError:
            said = {}
        return answer.with_text(json.dumps(change(said if isinstance(said, dict) else {})))

    return apply


def _refuse(answer: Answer) -> Answer:
    details = {"type": "refusal", "category": None, "explanation": "This request was declined."}
    return replace(answer, blocks=(), stop_reason="refusal", stop_details=details)


def _truncate(answer: Answer) -> Answer:
    text = answer.text()
    return replace(answer.with_text(text[: len(text) // 2]), stop_reason="max_tokens")


def _without(said: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in names}


PLAN = {"why": "It will rise.", "strategy": "LONG_CALL", "expiry": "2030-01-18", "strikes": [190.0]}
"""A plan of options that nobody offered."""

ANSWERS: dict[str, Callable[[Answer], Answer]] = {
    "refusal": _refuse,
    "truncated": _truncate,
    "context": lambda answer: replace(_truncate(answer), stop_reason="model_context_window_exceeded"),
    "paused": lambda answer: replace(answer, stop_reason="pause_turn"),
    "empty": lambda answer: replace(answer, blocks=()),
    "blank": lambda answer: replace(answer, blocks=(text_block(""),)),
    "prose": lambda answer: answer.with_text(f"Certainly! Here is my analysis:\n\n```json\n{answer.text()}\n```\n\nLet me know if you would like more detail."),
    "malformed": lambda answer: answer.with_text(answer.text()[: len(answer.text()) * 2 // 3]),
    "out_of_range": _decision(lambda said: said | {"confidence": 150, "time_horizon": 7}),
    "wrong_ticker": _decision(lambda said: said | {"ticker": "ZZZZ"}),
    "wrong_side": _decision(lambda said: said | {"decision": "BUY", "target_price": 0.02, "stop_loss": 999999.0}),
    "unknown_fact": _decision(lambda said: said | {"evidence": [{"fact": "crystal_ball", "says": "it will rise"}]}),
    "unknown_leg": _decision(lambda said: said | {"option_plan": PLAN | {"strikes": [0.25]}}),
    "plan_in_words": _decision(lambda said: said | {"option_plan": PLAN | {"strikes": ["190"]}}),
    "half_a_plan": _decision(lambda said: said | {"option_plan": _without(PLAN, "expiry")}),
    "incomplete": _decision(lambda said: _without(said, "reasoning", "stop_loss")),
}  # fmt: skip
"""Answers with status 200 that are not what was asked for."""

WIRE = {
    "stall": "never answers",
    "slow": "answers after `seconds` (default 1)",
    "pings": "sends headers and keep-alive bytes every `seconds` (default 0.05), but never an answer",
    "stream_error": "a stream that ends in the middle with an overloaded_error event; a plain answer is a 529",
    "cut": "closes the connection in the middle of the body",
    "garbage": "a body that is not JSON under a JSON content type",
    "html": "status 200 with a web page, as a proxy would",
    "not_http": "bytes that are not HTTP",
}
"""What the session code does to the connection; the same names are the keys of its table."""

KINDS = sorted({*ERRORS, *ANSWERS, *WIRE})


class Faults:
    """Armed faults, first in first out for each place, and counts of those that fired."""

    def __init__(self) -> None:
        self._armed: deque[Fault] = deque()
        self.fired: Counter[str] = Counter()

    def arm(self, fault: Fault) -> None:
        """Have `fault` fire after those armed before it."""
        self._armed.append(fault)

    def take(self, place: Place) -> Fault | None:
        """The fault that strikes the request at hand, counted; None where none is armed."""
        fault = next((fault for fault in self._armed if fault.on == place), None)
        if fault is None:
            return None
        self.fired[fault.kind] += 1
        if fault.left != ALWAYS:
            fault.left -= 1
            if not fault.left:
                self._armed.remove(fault)
        return fault

    def armed(self) -> list[dict[str, Any]]:
        """What is still to fire, in order."""
        return [
            {"kind": fault.kind, "on": fault.on, "count": "always" if fault.left == ALWAYS else fault.left}
            for fault in self._armed
        ]

    def clear(self) -> None:
        """Disarm everything and forget the counts."""
        self._armed.clear()
        self.fired.clear()
