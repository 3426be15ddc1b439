"""The Messages API through the real anthropic SDK over real sockets: answers, refusals, scripts, the control port, the socket."""

import asyncio
import io
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam

from sim.clock import Clock
from sim.model import ModelServer
from sim.model.demo import LABEL
from sim.store import Store
from tests.sim.model_kit import PROMPT, Desk, open_desk, said

NULLABLE = {"anyOf": [{"type": "number"}, {"type": "null"}]}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["ticker", "decision", "target_price"],
    "properties": {
        "ticker": {"type": "string"},
        "decision": {"type": "string", "enum": ["BUY", "SELL", "HOLD"]},
        "target_price": NULLABLE,
    },
}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


# What it answers


async def test_the_demo_answers_from_the_facts(desk: Desk) -> None:
    message = await desk.ask()
    answer = json.loads(said(message))
    assert (answer["ticker"], answer["decision"], answer["target_price"], answer["stop_loss"]) == (
        "AAPL",
        "BUY",
        196.8,
        181.3,
    )
    assert answer["reasoning"].startswith(LABEL)
    assert (message.stop_reason, message.role, message.type) == ("end_turn", "assistant", "message")
    assert message.usage.input_tokens == -(-len(PROMPT.encode()) // 4)
    assert message.usage.output_tokens > 100
    assert message._request_id is not None
    assert message._request_id.startswith("req_")
    assert message.id.startswith("msg_")


async def test_content_blocks_and_earlier_turns_are_read(desk: Desk) -> None:
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
    ]
    assert json.loads(said(await desk.ask(messages=turns, system="You judge.")))["decision"] == "BUY"


async def test_the_schema_is_honoured_and_thinking_comes_first(desk: Desk) -> None:
    config = {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
    message = await desk.ask(output_config=config, thinking={"type": "adaptive"})
    assert json.loads(said(message)) == {"ticker": "AAPL", "decision": "BUY", "target_price": 196.8}
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.usage.output_tokens_details is not None
    assert 0 < message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


async def test_max_tokens_truncates(desk: Desk) -> None:
    message = await desk.ask(max_tokens=20)
    assert (message.stop_reason, message.usage.output_tokens, len(said(message))) == ("max_tokens", 20, 80)


async def test_streaming(desk: Desk) -> None:
    async with desk.client.messages.stream(
        model=desk.server.model,
        max_tokens=8000,
        messages=[{"role": "user", "content": PROMPT}],
        thinking={"type": "adaptive"},
    ) as stream:
        streamed = await stream.get_final_message()
    whole = await desk.ask(thinking={"type": "adaptive"})
    assert streamed.model_dump(exclude={"id"}, exclude_none=True) == whole.model_dump(
        exclude={"id"}, exclude_none=True
    )


async def test_models(desk: Desk) -> None:
    found = await desk.client.models.retrieve(desk.server.model)
    assert (found.id, found.type, found.lifecycle) == (desk.server.model, "model", "active")
    assert "not an AI" in found.display_name
    for name in ("scripted-1", "scripted-2"):
        await desk.post("/model/script", {"model": name, "answers": []})
    assert [model.id async for model in desk.client.models.list(limit=1)] == [
        desk.server.model,
        "scripted-1",
        "scripted-2",
    ]
    with pytest.raises(anthropic.NotFoundError) as missing:
        await desk.client.models.retrieve("claude-sonnet-5-5")
    assert (missing.value.type, missing.value.api_message) == ("not_found_error", "model: claude-sonnet-5-5")


async def test_ids_are_fresh_over_a_restart_and_the_same_for_the_same_seed() -> None:
    async def ids(store: Store) -> list[str]:
        running = ModelServer(Clock(), store, seed=7)
        await running.start()
        async with AsyncAnthropic(api_key=running.api_key, base_url=running.address) as client:
            say: list[MessageParam] = [{"role": "user", "content": "x"}]
            made = [
                await client.messages.create(model=running.model, max_tokens=9, messages=say)
                for _ in range(2)
            ]
        await running.close()
        return [message.id for message in made]

    store = Store(None)
    first, second = await ids(store), await ids(store)
    assert len({*first, *second}) == 4
    assert await ids(Store(None)) == first


# What it refuses


@pytest.mark.parametrize(
    "header",
    [{"Authorization": "Bearer wrong"}, {"Authorization": "", "x-api-key": "wrong"}],
)
async def test_a_wrong_key_is_an_authentication_error(desk: Desk, header: dict[str, str]) -> None:
    stranger = replace(desk, client=desk.client.with_options(default_headers=header))
    for call in (stranger.ask(), stranger.client.models.retrieve(desk.server.model)):
        with pytest.raises(anthropic.AuthenticationError) as refused:
            await call
        assert refused.value.type == "authentication_error"
        assert refused.value.request_id is not None


@pytest.mark.parametrize(
    ("asked", "status", "kind", "words"),
    [
        ({"x_api_key": None}, 401, "authentication_error", "x-api-key header is required"),
        ({"anthropic_version": None}, 400, "invalid_request_error", "anthropic-version: header is required"),
        (
            {"anthropic_version": "2020-01-01"},
            400,
            "invalid_request_error",
            "anthropic-version: '2020-01-01' is not a valid version",
        ),
        (
            {"Origin": "https://evil.example"},
            401,
            "authentication_error",
            "CORS requests are not allowed for this Organization because of its settings",
        ),
        (
            {"Host": "evil.example"},
            401,
            "authentication_error",
            "CORS requests are not allowed for this Organization because of its settings",
        ),
        ({"data": b"{"}, 400, "invalid_request_error", "The request body is not valid JSON"),
        (
            {"data": b'{"max_tokens": NaN}'},
            400,
            "invalid_request_error",
            "The request body is not valid JSON",
        ),
        ({"data": b"[" * 100_000}, 400, "invalid_request_error", "The request body is not valid JSON"),
        ({"data": b"\xff"}, 400, "invalid_request_error", "The request body is not valid JSON"),
        (
            {"data": io.BytesIO(bytes(33 * 1024 * 1024))},
            413,
            "request_too_large",
            "Request exceeds the maximum size",
        ),
        ({"path": "/v1/complete"}, 404, "not_found_error", "Not found"),
        ({"method": "PUT"}, 405, "invalid_request_error", "Method Not Allowed"),
        (
            {"path": "/v1/models?limit=0", "method": "GET"},
            400,
            "invalid_request_error",
            "limit: Input should be a whole number from 1 to 1000",
        ),
    ],
)
async def test_errors_have_the_shape_of_the_api(
    desk: Desk, asked: dict[str, Any], status: int, kind: str, words: str
) -> None:
    told_status, told = await desk.raw(**asked)
    assert (told_status, told["type"], told["error"]) == (status, "error", {"type": kind, "message": words})


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
async def test_sampling_parameters_are_gone(desk: Desk, name: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        await desk.ask(extra_body={name: 1})
    assert refused.value.type == "invalid_request_error"
    assert name in str(refused.value.api_message)


async def test_unknown_models_are_not_found(desk: Desk) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model: claude-opus-5-5"):
        await desk.ask(model="claude-opus-5-5")


# Scripts


async def test_scripted_answers_come_in_order_and_run_out(desk: Desk) -> None:
    answers = [
        {"text": "not JSON"},
        {
            "decision": {"decision": "BUY", "confidence": 99},
            "thinking": "hm",
            "usage": {"input_tokens": 1234, "output_tokens": 56},
        },
        {
            "blocks": [
                {"type": "thinking", "thinking": "a"},
                {"type": "text", "text": "b"},
                {"type": "text", "text": "c"},
            ],
            "stop_reason": "pause_turn",
        },
        {"verdict": "SELL", "confidence": 81},
    ]
    assert await desk.post("/model/script", {"model": "scripted-1", "answers": answers}) == {
        "model": "scripted-1",
        "queued": 4,
    }
    plain = await desk.ask(model="scripted-1")
    assert (said(plain), plain.model) == ("not JSON", "scripted-1")
    decided = await desk.ask(model="scripted-1")
    assert [block.type for block in decided.content] == ["thinking", "text"]
    assert (json.loads(said(decided)), decided.usage.input_tokens, decided.usage.output_tokens) == (
        {"decision": "BUY", "confidence": 99},
        1234,
        56,
    )
    blocks = await desk.ask(model="scripted-1")
    assert ([block.type for block in blocks.content], said(blocks), blocks.stop_reason) == (
        ["thinking", "text", "text"],
        "bc",
        "pause_turn",
    )
    sold = json.loads(said(await desk.ask(model="scripted-1")))
    assert (sold["decision"], sold["confidence"], sold["target_price"], sold["stop_loss"]) == (
        "SELL",
        81,
        178.2,
        193.7,
    )
    assert sold["reasoning"].startswith(LABEL)
    with pytest.raises(anthropic.BadRequestError, match="has no answer left"):
        await desk.ask(model="scripted-1")
    assert (await desk.counts())["scripts"] == {"scripted-1": 0}


# The control port


async def test_requests_are_kept_without_the_key(desk: Desk) -> None:
    await desk.ask(system="You judge.")
    async with desk.http.get("/model/requests") as response:
        text = await response.text()
    assert desk.server.api_key not in text
    told = json.loads(text)
    entry = told["requests"][0]
    assert (entry["method"], entry["path"], entry["model"], entry["outcome"], entry["status"]) == (
        "POST",
        "/v1/messages",
        desk.server.model,
        "demo",
        200,
    )
    assert (entry["body"]["system"], entry["headers"]["anthropic-version"]) == ("You judge.", "2026-10-21")
    async with desk.http.get(f"/model/requests?after={told['last']}") as response:
        assert (await response.json())["requests"] == []


async def test_events_can_be_waited_for(desk: Desk) -> None:
    async def events(after: int, seconds: float) -> Any:
        async with desk.http.get(f"/model/events?after={after}&timeout={seconds}") as response:
            return await response.json()

    assert await events(0, 0.01) == {"events": [], "last": 0}
    waiting = asyncio.create_task(events(0, 10))
    await desk.ask()
    first = (await waiting)["events"][0]
    assert (first["seq"], first["kind"]) == (1, "request")
    assert [event["kind"] for event in (await events(0, 0))["events"]] == ["request", "answer"]


async def test_clear_forgets(desk: Desk) -> None:
    await desk.post("/model/script", {"model": "scripted-1", "answers": [{"text": "a"}]})
    await desk.post("/model/fault", {"kind": "500"})
    await desk.post("/model/fault", {"kind": "529", "count": 3})
    with pytest.raises(anthropic.InternalServerError):
        await desk.ask()
    await desk.post("/model/clear", {})
    assert await desk.counts() == {
        "requests": 0,
        "outcomes": {},
        "faults": {"armed": [], "fired": {}},
        "scripts": {},
    }
    assert (await desk.ask()).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("fault", []), ("fault", {}), ("fault", {"kind": "hiccup"}), ("fault", {"kind": ["529"]}), ("fault", {"kind": "529", "count": 0}), ("fault", {"kind": "529", "count": True}),
        ("fault", {"kind": "529", "often": 2}), ("fault", {"kind": "slow", "seconds": -1}), ("fault", {"kind": "slow", "seconds": "1"}), ("fault", {"kind": "prose", "on": "models"}),
        ("script", {"model": "greenlight-demo-analyst", "answers": []}), ("script", {"model": "", "answers": []}), ("script", {"model": "m"}), ("script", {"model": "m", "answers": [5]}), ("clear", {"all": True}),
    ],
)  # fmt: skip
async def test_control_explains_what_is_wrong(desk: Desk, path: str, body: Any) -> None:
    async with desk.http.post(f"/model/{path}", json=body) as response:
        assert response.status == 400
        assert len((await response.json())["error"]) > 10
    assert (await desk.counts())["faults"]["armed"] == []


# The socket


async def test_it_listens_on_loopback_and_a_taken_port_is_an_error(desk: Desk) -> None:
    assert desk.server.address == f"http://127.0.0.1:{desk.server.port}"
    second = ModelServer(Clock(), Store(None), seed=1)
    with pytest.raises(OSError, match="in use"):
        await second.start(desk.server.port)
    assert second.port == 0


async def test_it_closes_at_once_with_clients_hanging(desk: Desk) -> None:
    await desk.post("/model/fault", {"kind": "stall"})
    await desk.post("/model/fault", {"kind": "pings"})
    hanging = [asyncio.create_task(desk.ask()) for _ in range(2)]
    with socket.create_connection(("127.0.0.1", desk.server.port)) as silent:
        while (await desk.counts())["faults"]["armed"]:
            await desk.server.state.events.wait(desk.server.state.events.last, 5)
        began = time.perf_counter()
        await desk.server.close()
        assert time.perf_counter() - began < 2
        silent.settimeout(5)
        assert silent.recv(1) == b""
    for outcome in await asyncio.gather(*hanging, return_exceptions=True):
        assert isinstance(outcome, anthropic.APIConnectionError)


async def test_an_answer_takes_milliseconds(desk: Desk) -> None:
    await desk.ask()
    took = []
    for _ in range(20):
        began = time.perf_counter()
        await desk.ask()
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.03
