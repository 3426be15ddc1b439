"""The rest of the Messages API through the real SDK, sync and async: tools, streams, structured answers, counting, the cache, limits."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import MessageParam, ToolParam
from pydantic import BaseModel

from tests.sim.model_kit import PROMPT, Desk, open_desk, said

PRICE: ToolParam = {
    "name": "get_price",
    "description": "The last price of a share.",
    "input_schema": {
        "type": "object",
        "properties": {"ticker": {"type": "string"}},
        "required": ["ticker"],
        "additionalProperties": False,
    },
    "strict": True,
}
CALLS: dict[str, list[dict[str, Any]]] = {
    "blocks": [
        {"type": "text", "text": "I look both up."},
        {"type": "tool_use", "name": "get_price", "input": {"ticker": "AAPL"}},
        {"type": "tool_use", "name": "get_price", "input": {"ticker": "MSFT", "note": "ä" * 300}},
    ]
}
LONG = "word " * 1000
"""1,250 tokens, which is enough to be cached."""


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


async def script(desk: Desk, *answers: Any, **more: Any) -> str:
    """A model that will say this."""
    await desk.post("/model/script", {"model": "scripted-1", "answers": list(answers)} | more)
    return "scripted-1"


# Tools


@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_calls_and_their_results_make_a_conversation(desk: Desk, stream: bool) -> None:
    model = await script(desk, CALLS, {"text": "AAPL is dearer."})
    turns: list[MessageParam] = [{"role": "user", "content": "Which is dearer, AAPL or MSFT?"}]

    async def ask() -> anthropic.types.Message:
        wanted: Any = {"model": model, "max_tokens": 1000, "messages": turns, "tools": [PRICE]}
        if not stream:
            message: anthropic.types.Message = await desk.client.messages.create(**wanted)
            return message
        async with desk.client.messages.stream(**wanted) as streamed:
            return await streamed.get_final_message()

    first = await ask()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert (first.stop_reason, [block.type for block in first.content]) == (
        "tool_use",
        ["text", "tool_use", "tool_use"],
    )
    assert [call.input for call in calls] == [block["input"] for block in CALLS["blocks"][1:]]
    assert len({call.id for call in calls}) == 2
    turns.append({"role": "assistant", "content": first.content})
    turns.append(
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": c.id, "content": "1"} for c in calls],
        }
    )
    assert said(await ask()) == "AAPL is dearer."
    turns[-1] = {"role": "user", "content": "forget it"}
    with pytest.raises(anthropic.BadRequestError, match="without `tool_result` blocks immediately after"):
        await ask()


async def test_one_call_at_a_time_where_that_is_wanted(desk: Desk) -> None:
    model = await script(desk, CALLS)
    message = await desk.ask(
        model=model, tools=[PRICE], tool_choice={"type": "auto", "disable_parallel_tool_use": True}
    )
    assert [block.type for block in message.content] == ["text", "tool_use"]


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_price"}])
async def test_the_demo_calls_a_tool_that_it_must_call(desk: Desk, choice: Any) -> None:
    message = await desk.ask(tools=[PRICE], tool_choice=choice)
    (call,) = message.content
    assert call.type == "tool_use"
    assert (message.stop_reason, call.name, call.input) == ("tool_use", "get_price", {"ticker": "AAPL"})
    assert (await desk.ask(tools=[PRICE])).stop_reason == "end_turn"


# Streams


async def test_every_event_of_a_stream_comes_in_its_place(desk: Desk) -> None:
    cited = {
        "type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None,
        "start_char_index": 0, "end_char_index": 1, "file_id": None,
    }  # fmt: skip
    blocks = [
        {"type": "redacted_thinking", "data": "c2ltdWxhdGVk"},
        {"type": "text", "text": "b", "citations": [cited]},
    ]
    model = await script(desk, {"blocks": [*blocks, *CALLS["blocks"][1:2]], "thinking": "hm"})
    stream = await desk.client.messages.create(
        model=model, max_tokens=99, messages=[{"role": "user", "content": "x"}], tools=[PRICE], stream=True
    )
    kinds, deltas = [], []
    async for event in stream:
        kinds.append(event.type)
        if event.type == "content_block_delta":
            deltas.append(event.delta.type)
    begun, ended = "content_block_start", "content_block_stop"
    assert [kind for kind in kinds if kind != "content_block_delta"] == [
        "message_start", *([begun, ended] * 4), "message_delta", "message_stop",
    ]  # fmt: skip
    assert deltas == [
        "thinking_delta", "signature_delta", "citations_delta", "text_delta", "input_json_delta", "input_json_delta",
    ]  # fmt: skip


async def test_a_paced_stream_comes_bit_by_bit(desk: Desk) -> None:
    await desk.post("/model/pace", {"seconds": 0.02})
    loop = asyncio.get_running_loop()
    async with desk.client.messages.stream(
        model=desk.server.model, max_tokens=8000, messages=[{"role": "user", "content": PROMPT}]
    ) as stream:
        times = [loop.time() async for _ in stream.text_stream]
        message = await stream.get_final_message()
    assert times[-1] - times[0] > 0.02
    assert json.loads(said(message))["decision"] == "BUY"


async def test_a_stream_can_end_in_an_error(desk: Desk) -> None:
    await desk.post("/model/fault", {"kind": "stream_error", "count": 2})
    async with desk.client.messages.stream(
        model=desk.server.model, max_tokens=8000, messages=[{"role": "user", "content": PROMPT}]
    ) as stream:
        with pytest.raises(anthropic.APIStatusError) as broken:
            await stream.until_done()
    assert broken.value.type == "overloaded_error"
    with pytest.raises(anthropic.APIStatusError) as refused:
        await desk.ask()
    assert (refused.value.status_code, refused.value.type) == (529, "overloaded_error")


# Structured answers


class Judgement(BaseModel):
    """What a caller wants to have."""

    ticker: str
    decision: str
    target_price: float | None


async def test_an_answer_is_parsed_into_a_type(desk: Desk) -> None:
    parsed = await desk.client.messages.parse(
        model=desk.server.model,
        max_tokens=8000,
        messages=[{"role": "user", "content": PROMPT}],
        output_format=Judgement,
    )
    assert parsed.parsed_output == Judgement(ticker="AAPL", decision="BUY", target_price=196.8)


async def test_the_beta_messages_answer_too(desk: Desk) -> None:
    """Beta headers are taken as they come; the older place of the output's format is read with its beta."""
    schema = {
        "type": "object",
        "properties": {"ticker": {"type": "string"}},
        "required": ["ticker"],
        "additionalProperties": False,
    }
    message = await desk.client.beta.messages.create(
        model=desk.server.model,
        max_tokens=8000,
        messages=[{"role": "user", "content": PROMPT}],
        betas=["structured-outputs-2025-11-13", "something-new-2030-01-01"],
        extra_body={"output_format": {"type": "json_schema", "schema": schema}},
    )
    assert message.content[0].type == "text"
    assert json.loads(message.content[0].text) == {"ticker": "AAPL"}


# Counting, cache, limits


async def test_tokens_are_counted_without_an_answer(desk: Desk) -> None:
    turns: list[MessageParam] = [{"role": "user", "content": PROMPT}]
    counted = await desk.client.messages.count_tokens(
        model=desk.server.model, messages=turns, system="You judge.", tools=[PRICE]
    )
    message = await desk.ask(system="You judge.", tools=[PRICE])
    assert counted.input_tokens == message.usage.input_tokens
    with pytest.raises(anthropic.NotFoundError):
        await desk.client.messages.count_tokens(model="nobody", messages=turns)


def usage(message: anthropic.types.Message) -> tuple[int, int | None, int | None]:
    """Tokens that were new, written to the cache, and read from it."""
    told = message.usage
    return told.input_tokens, told.cache_creation_input_tokens, told.cache_read_input_tokens


async def test_a_prompt_is_cached_and_read_until_its_time_is_over(desk: Desk) -> None:
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]

    async def ask(said: str, **more: Any) -> tuple[int, int | None, int | None]:
        return usage(await desk.ask(messages=[{"role": "user", "content": said}], system=system, **more))

    assert await ask("four") == (1, 1250, 0)
    assert await ask("five") == (1, 0, 1250)
    desk.server.clock.advance(240)
    assert await ask("six") == (1, 0, 1250)
    desk.server.clock.advance(240)
    assert await ask("seven") == (2, 0, 1250)  # every use begins the five minutes anew
    desk.server.clock.advance(301)
    assert await ask("eight") == (2, 1250, 0)
    assert await ask("nine", cache_control={"type": "ephemeral", "ttl": "1h"}) == (0, 1, 1250)


async def test_a_conversation_that_grows_reads_what_it_said_before(desk: Desk) -> None:
    turns: list[Any] = [{"role": "user", "content": LONG}]
    marked = {"cache_control": {"type": "ephemeral"}}
    assert usage(await desk.ask(messages=turns, **marked)) == (0, 1250, 0)
    turns += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and then?"}]
    assert usage(await desk.ask(messages=turns, **marked)) == (0, 4, 1250)
    short = [{"role": "user", "content": [{"type": "text", "text": "short", **marked}]}]
    assert usage(await desk.ask(messages=short)) == (2, 0, 0)


async def test_limits_are_told_in_headers_and_kept_by_the_simulated_clock(desk: Desk) -> None:
    await desk.post("/model/limits", {"requests": 2, "output_tokens": 100_000})
    ask: Any = {
        "model": desk.server.model, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
    }  # fmt: skip
    left = []
    for _ in range(2):
        raw = await desk.client.messages.with_raw_response.create(**ask)
        left.append(raw.headers["anthropic-ratelimit-requests-remaining"])
        assert raw.headers["anthropic-ratelimit-requests-limit"] == "2"
        assert raw.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        assert int(raw.headers["anthropic-ratelimit-output-tokens-remaining"]) <= 100_000
        assert raw.headers["request-id"].startswith("req_")
    assert left == ["1", "0"]
    with pytest.raises(anthropic.RateLimitError, match="2 requests per minute") as refused:
        await desk.client.messages.create(**ask)
    seconds = int(refused.value.response.headers["retry-after"])
    assert 25 <= seconds <= 30
    desk.server.clock.advance(seconds)
    await desk.client.messages.create(**ask)
    await desk.post("/model/limits", {"requests": 100, "input_tokens": 10})
    with pytest.raises(anthropic.RateLimitError, match="10 input tokens per minute"):
        await desk.ask()


# Scripts that repeat, and the sync client


async def test_a_script_can_come_round_again_and_be_asked_by_the_sync_client(desk: Desk) -> None:
    model = await script(desk, {"text": "one"}, {"text": "two"}, repeat=True)

    def ask() -> list[str]:
        with Anthropic(api_key=desk.server.api_key, base_url=desk.server.address, max_retries=0) as client:
            texts = []
            for _ in range(5):
                with client.messages.stream(
                    model=model, max_tokens=99, messages=[{"role": "user", "content": "x"}]
                ) as stream:
                    texts.append(stream.get_final_text())
            with pytest.raises(anthropic.NotFoundError):
                client.messages.batches.list()
            return texts

    assert await asyncio.to_thread(ask) == ["one", "two", "one", "two", "one"]


@pytest.mark.parametrize(
    "reason",
    [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    ],
)
async def test_every_reason_to_stop_can_be_scripted(desk: Desk, reason: str) -> None:
    model = await script(desk, {"text": "x", "stop_reason": reason})
    assert (await desk.ask(model=model)).stop_reason == reason
