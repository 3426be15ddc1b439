"""Every failure the Messages API can be told to show, as the real anthropic SDK meets it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import anthropic
import pytest
from anthropic.types import Message

from sim.model import ModelServer
from sim.model.faults import ANSWERS, ERRORS, KINDS, WIRE
from sim.model.wire import BEHAVIOURS
from tests.sim.model_kit import Desk, open_desk, said


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


@pytest.mark.parametrize("kind", sorted(ERRORS))
async def test_error_faults_arrive_typed_and_are_counted(desk: Desk, kind: str) -> None:
    await desk.post("/model/fault", {"kind": kind})
    with pytest.raises(anthropic.APIStatusError) as refused:
        await desk.ask()
    row = ERRORS[kind]
    assert (refused.value.status_code, refused.value.type, refused.value.error_code) == (
        row.status,
        row.kind,
        row.code,
    )
    assert refused.value.request_id is not None
    assert (await desk.ask()).stop_reason == "end_turn"
    told = await desk.counts()
    assert told["faults"] == {"armed": [], "fired": {kind: 1}}
    assert told["outcomes"] == {kind: 1, "demo": 1}


async def test_a_rate_limit_says_when_to_come_back_and_a_spend_cap_from_which_day(desk: Desk) -> None:
    await desk.post("/model/fault", {"kind": "429", "retry_after": 3600})
    with pytest.raises(anthropic.RateLimitError) as limited:
        await desk.ask()
    assert limited.value.response.headers["retry-after"] == "3600"
    await desk.post("/model/fault", {"kind": "spend_cap"})
    with pytest.raises(
        anthropic.BadRequestError,
        match=r"You have reached your specified API usage limits\. You will regain access on \d{4}-\d\d-01 at 00:00 UTC\.",
    ):
        await desk.ask()


async def test_overloaded_once_is_bridged_by_the_sdk_and_always_is_not(desk: Desk) -> None:
    patient = replace(desk, client=desk.client.with_options(max_retries=1))
    await desk.post("/model/fault", {"kind": "529", "retry_after": 0.01})
    await patient.ask()
    await desk.post("/model/fault", {"kind": "529", "count": "always", "retry_after": 0.01})
    with pytest.raises(anthropic.OverloadedError):
        await patient.ask()
    told = await desk.counts()
    assert told["faults"] == {
        "armed": [{"kind": "529", "on": "messages", "count": "always"}],
        "fired": {"529": 3},
    }


ANSWER_SHAPES: dict[str, Callable[[Message, Any], bool]] = {
    "refusal": lambda message, answer: message.stop_reason == "refusal" and not message.content and message.stop_details is not None,
    "truncated": lambda message, answer: message.stop_reason == "max_tokens" and answer is None,
    "context": lambda message, answer: message.stop_reason == "model_context_window_exceeded" and answer is None,
    "paused": lambda message, answer: message.stop_reason == "pause_turn",
    "empty": lambda message, answer: message.stop_reason == "end_turn" and not message.content,
    "blank": lambda message, answer: message.stop_reason == "end_turn" and said(message) == "" and len(message.content) == 1,
    "prose": lambda message, answer: answer is None and '"decision": "BUY"' in said(message),
    "malformed": lambda message, answer: message.stop_reason == "end_turn" and answer is None,
    "out_of_range": lambda message, answer: answer["confidence"] == 150,
    "wrong_ticker": lambda message, answer: answer["ticker"] == "ZZZZ",
    "wrong_side": lambda message, answer: answer["decision"] == "BUY" and answer["stop_loss"] > 187.5 > answer["target_price"],
    "unknown_fact": lambda message, answer: answer["evidence"][0]["fact"] == "crystal_ball",
    "unknown_leg": lambda message, answer: answer["option_plan"]["strikes"] == [0.25],
    "plan_in_words": lambda message, answer: answer["option_plan"]["strikes"] == ["190"],
    "half_a_plan": lambda message, answer: "expiry" not in answer["option_plan"],
    "incomplete": lambda message, answer: "reasoning" not in answer and "decision" in answer,
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(ANSWERS))
async def test_answer_faults_come_with_status_200_and_usage(desk: Desk, kind: str) -> None:
    await desk.post("/model/fault", {"kind": kind})
    message = await desk.ask()
    try:
        answer = json.loads(said(message))
    except ValueError:
        answer = None
    assert ANSWER_SHAPES[kind](message, answer)
    assert message.usage.output_tokens > 0
    assert (await desk.counts())["faults"]["fired"] == {kind: 1}


@pytest.mark.parametrize("kind", ["stall", "pings"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_never_ends_is_left_by_the_client_and_noticed(desk: Desk, kind: str, stream: bool) -> None:
    await desk.post("/model/fault", {"kind": kind, "seconds": 0.01})

    async def listen() -> None:
        answer: Any = await desk.ask(stream=stream, timeout=0.2 if kind == "stall" else 0.8)
        async for _ in answer:
            pass

    if kind == "stall":  # nothing at all: the SDK's own read timeout sees it
        with pytest.raises(anthropic.APITimeoutError):
            await listen()
    else:  # every ping starts that timeout anew: only an outer deadline ends it
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listen(), 1.2)
    kinds = [event["kind"] for event in await until(desk.server, "gone")]
    assert kinds == ["request", "fault", "answer", "gone"]
    assert (await desk.counts())["outcomes"] == {kind: 1}


async def until(server: ModelServer, kind: str) -> list[dict[str, Any]]:
    """All events, as soon as there is one of `kind`."""
    async with asyncio.timeout(5):
        while kind not in [event["kind"] for event in server.state.events.after(0)]:
            await server.state.events.wait(server.state.events.last, 5)
    return server.state.events.after(0)


@pytest.mark.parametrize("kind", ["cut", "not_http"])
async def test_broken_connections(desk: Desk, kind: str) -> None:
    await desk.post("/model/fault", {"kind": kind})
    with pytest.raises(anthropic.APIConnectionError):
        await desk.ask()
    assert (await desk.ask()).stop_reason == "end_turn", "the next request finds a working server"


async def test_garbage_and_a_proxys_page(desk: Desk) -> None:
    await desk.post("/model/fault", {"kind": "garbage"})
    with pytest.raises(ValueError, match=r"codec|Expecting value"):
        await desk.ask()
    await desk.post("/model/fault", {"kind": "html"})
    page: object = await desk.ask()
    assert isinstance(page, str), "the SDK hands out the page itself"


async def test_slow(desk: Desk) -> None:
    await desk.post("/model/fault", {"kind": "slow", "seconds": 0.2})
    began = time.perf_counter()
    assert (await desk.ask()).stop_reason == "end_turn"
    assert time.perf_counter() - began >= 0.2


async def test_faults_can_strike_the_models_route_instead(desk: Desk) -> None:
    for kind in ("529", "cut"):
        await desk.post("/model/fault", {"kind": kind, "on": "models"})
    await desk.ask()
    with pytest.raises(anthropic.OverloadedError):
        await desk.client.models.retrieve(desk.server.model)
    with pytest.raises(anthropic.APIConnectionError):
        await desk.client.models.retrieve(desk.server.model)
    assert (await desk.client.models.retrieve(desk.server.model)).id == desk.server.model


def test_every_kind_has_its_behaviour() -> None:
    assert BEHAVIOURS.keys() == WIRE.keys()
    assert ANSWER_SHAPES.keys() == ANSWERS.keys()
    assert len(KINDS) == len(ERRORS) + len(ANSWERS) + len(WIRE)
