"""The model's part of the control port: script answers, arm faults, read what was asked and what happened."""

from collections import deque
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from sim.control import Answer, Body, Nothing, Wrong, events, get, look, post
from sim.model.demo import DEMO_MODEL
from sim.model.faults import ALWAYS, ANSWERS, KINDS, Fault, Place
from sim.model.script import read_script
from sim.model.state import State

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
PerMinute = Annotated[int, Field(ge=1, strict=True)]


class ScriptBody(Body):
    model: Annotated[str, Field(min_length=1, description="an id of your own, or of any real model")]
    answers: Annotated[
        list[dict[str, Any]], Field(description="each has one of text, decision, blocks, verdict")
    ]
    repeat: Annotated[bool, Field(description="the answers come round again and again")] = False


class FaultBody(Body):
    kind: Annotated[str, Field(json_schema_extra={"enum": list(KINDS)})]
    count: Annotated[int, Field(ge=1, strict=True)] | Literal["always"] = 1
    on: Place = "messages"
    seconds: Seconds | None = None
    retry_after: Seconds | None = None


class LimitsBody(Body):
    requests: PerMinute | None = None
    input_tokens: PerMinute | None = None
    output_tokens: PerMinute | None = None


class PaceBody(Body):
    seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False, strict=True)]


class AfterQuery(Body):
    after: Annotated[int, Field(ge=0)] = 0


def routes(state: State, address: str, api_key: str) -> list[web.RouteDef]:
    """The routes under /model."""

    def about() -> Answer:
        """The key, the base URL for the SDK, and the ids of the models."""
        return {"api_key": api_key, "api_url": address, "models": state.known_models()}

    def script(body: ScriptBody) -> Answer:
        """Queue answers for a model; from then on that id exists, and an empty queue answers 400."""
        if body.model == DEMO_MODEL:
            raise Wrong(
                f"model is an id of your own, such as 'scripted-1', and not {DEMO_MODEL}, which answers by rule"
            )
        try:
            scripts = [read_script(answer) for answer in body.answers]
        except ValueError as error:
            raise Wrong(f"answers: {error}") from None
        queue = state.scripts.setdefault(body.model, deque())
        queue.extend(scripts)
        (state.repeated.add if body.repeat else state.repeated.discard)(body.model)
        return {"model": body.model, "queued": len(queue)}

    def fault(body: FaultBody) -> Answer:
        """Arm a failure for the next requests; armed ones strike one a request, in order, and only requests that are valid."""
        if body.kind not in KINDS:
            raise Wrong(f"kind is one of {', '.join(KINDS)}")
        if body.on == "models" and body.kind in ANSWERS:
            raise Wrong(f"{body.kind} changes a message, so on has to be 'messages'")
        count = ALWAYS if body.count == "always" else body.count
        state.faults.arm(Fault(body.kind, count, body.on, body.seconds, body.retry_after))
        return {"armed": state.faults.armed()}

    def limits(body: LimitsBody) -> Answer:
        """Set rate limits a minute, each beginning full; what is left out stays, and in the beginning nobody meets one."""
        for name, limit in body.model_dump(exclude_none=True).items():
            state.limits.set(name.replace("_", "-"), limit)
        return {"headers": state.limits.headers()}

    def pace(body: PaceBody) -> Answer:
        """Let every event of a stream come so many seconds after the one before; 0, as in the beginning, sends all at once."""
        state.pace = body.seconds
        return None

    def clear(body: Nothing) -> Answer:
        """Forget scripts, failures, limits, cached prompts, kept requests and counts."""
        state.clear()
        return None

    def requests(query: AfterQuery) -> Answer:
        """The last thousand requests: headers without keys, body, request id, outcome, status."""
        return {"requests": state.requests.after(query.after), "last": state.requests.last}

    def counts() -> Answer:
        """Requests by outcome, failures armed and fired, answers left in scripts."""
        return {
            "requests": state.outcomes.total(),
            "outcomes": state.outcomes,
            "faults": {"armed": state.faults.armed(), "fired": state.faults.fired},
            "scripts": {model: len(queue) for model, queue in state.scripts.items()},
        }

    return [
        get("/model", about),
        get("/model/counts", counts),
        look("/model/requests", AfterQuery, requests),
        events("/model/events", state.events),
        post("/model/script", ScriptBody, script),
        post("/model/fault", FaultBody, fault),
        post("/model/limits", LimitsBody, limits),
        post("/model/pace", PaceBody, pace),
        post("/model/clear", Nothing, clear),
    ]
