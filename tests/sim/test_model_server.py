"""The Messages API through the real anthropic SDK over real sockets: proper answers, every failure on demand, and the control port."""

import asyncio
import io
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import anthropic
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from anthropic import AsyncAnthropic
from anthropic.types import Message

from sim.clock import Clock
from sim.model import ModelServer
from sim.model.demo import LABEL
from sim.model.faults import ANSWERS, ERRORS, KINDS, WIRE
from sim.model.wire import BEHAVIOURS
from sim.store import Store

TOLD = {
    "ticker": "AAPL",
    "facts": [
        {"id": "price", "value": "187.50", "unit": "USD"}, {"id": "sma20", "value": "181"}, {"id": "sma50", "value": "175"},
        {"id": "sma200", "value": "160"}, {"id": "macd", "value": "1.2"}, {"id": "macd_signal", "value": "0.8"},
        {"id": "rsi14", "value": "61.2"}, {"id": "atr14", "value": "3.10"},
    ],
}  # fmt: skip
PROMPT = f'<facts nonce="n1">{json.dumps(TOLD)}</facts nonce="n1">\nJudge AAPL.'
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
Control = TestClient[web.Request, web.Application]
Ask = Callable[..., Coroutine[Any, Any, Message]]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    running = ModelServer(Clock(), Store(None), seed=1)
    await running.start()
    yield running
    await running.close()


@pytest.fixture
async def client(server: ModelServer) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(api_key=server.api_key, base_url=server.address, max_retries=0) as running:
        yield running


@pytest.fixture
async def control(server: ModelServer) -> AsyncIterator[Control]:
    app = web.Application()
    app.add_routes(server.control())
    async with TestClient(TestServer(app)) as running:
        yield running


@pytest.fixture
def ask(server: ModelServer, client: AsyncAnthropic) -> Ask:
    async def create(**change: Any) -> Message:
        asked: dict[str, Any] = {
            "model": server.model,
            "max_tokens": 8000,
            "messages": [{"role": "user", "content": PROMPT}],
        }
        made: Message = await client.messages.create(**(asked | change))
        return made

    return create


async def post(control: Control, path: str, body: Any) -> Any:
    async with control.post(path, json=body) as response:
        told = await response.json()
        assert response.status == 200, told
        return told


async def counts(control: Control) -> Any:
    async with control.get("/model/counts") as response:
        return await response.json()


def said(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


# What it answers


async def test_the_demo_answers_from_the_facts(ask: Ask) -> None:
    message = await ask()
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


async def test_content_blocks_and_earlier_turns_are_read(ask: Ask) -> None:
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
    ]
    assert json.loads(said(await ask(messages=turns, system="You judge.")))["decision"] == "BUY"


async def test_the_schema_is_honoured_and_thinking_comes_first(ask: Ask) -> None:
    config = {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
    message = await ask(output_config=config, thinking={"type": "adaptive"})
    assert json.loads(said(message)) == {"ticker": "AAPL", "decision": "BUY", "target_price": 196.8}
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.usage.output_tokens_details is not None
    assert 0 < message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


async def test_max_tokens_truncates(ask: Ask) -> None:
    message = await ask(max_tokens=20)
    assert (message.stop_reason, message.usage.output_tokens, len(said(message))) == ("max_tokens", 20, 80)


async def test_streaming(server: ModelServer, client: AsyncAnthropic, ask: Ask) -> None:
    async with client.messages.stream(
        model=server.model,
        max_tokens=8000,
        messages=[{"role": "user", "content": PROMPT}],
        thinking={"type": "adaptive"},
    ) as stream:
        streamed = await stream.get_final_message()
    whole = await ask(thinking={"type": "adaptive"})
    assert streamed.model_dump(exclude={"id"}, exclude_none=True) == whole.model_dump(
        exclude={"id"}, exclude_none=True
    )


async def test_models(server: ModelServer, client: AsyncAnthropic, control: Control) -> None:
    found = await client.models.retrieve(server.model)
    assert (found.id, found.type, found.lifecycle) == (server.model, "model", "active")
    assert "not an AI" in found.display_name
    for name in ("scripted-1", "scripted-2"):
        await post(control, "/model/script", {"model": name, "answers": []})
    assert [model.id async for model in client.models.list(limit=1)] == [
        server.model,
        "scripted-1",
        "scripted-2",
    ]
    with pytest.raises(anthropic.NotFoundError) as missing:
        await client.models.retrieve("claude-sonnet-5-5")
    assert (missing.value.type, missing.value.api_message) == ("not_found_error", "model: claude-sonnet-5-5")


async def test_ids_are_fresh_over_a_restart_and_the_same_for_the_same_seed() -> None:
    async def ids(store: Store) -> list[str]:
        running = ModelServer(Clock(), store, seed=7)
        await running.start()
        async with AsyncAnthropic(api_key=running.api_key, base_url=running.address) as client:
            made = [
                (
                    await client.messages.create(
                        model=running.model, max_tokens=9, messages=[{"role": "user", "content": "x"}]
                    )
                ).id
                for _ in range(2)
            ]
        await running.close()
        return made

    store = Store(None)
    first, second = await ids(store), await ids(store)
    assert len({*first, *second}) == 4
    assert await ids(Store(None)) == first


# What it refuses


@pytest.mark.parametrize(
    "header",
    [{"Authorization": "Bearer wrong"}, {"Authorization": "", "x-api-key": "wrong"}],
)
async def test_a_wrong_key_is_an_authentication_error(server: ModelServer, header: dict[str, str]) -> None:
    async with AsyncAnthropic(
        api_key=server.api_key, base_url=server.address, max_retries=0, default_headers=header
    ) as client:
        for call in (
            client.models.retrieve(server.model),
            client.messages.create(
                model=server.model, max_tokens=1, messages=[{"role": "user", "content": "x"}]
            ),
        ):
            with pytest.raises(anthropic.AuthenticationError) as refused:
                await call
            assert refused.value.type == "authentication_error"
            assert refused.value.request_id is not None


async def raw(
    server: ModelServer,
    path: str = "/v1/messages",
    data: bytes | io.BytesIO = b"{}",
    method: str = "POST",
    **headers: str | None,
) -> tuple[int, Any]:
    """(status, JSON) for a request without the SDK; a header given as None is left out."""
    usual = {"x-api-key": server.api_key, "anthropic-version": "2023-06-01"}
    sent = {
        name.replace("_", "-"): value
        for name, value in (usual | {k.replace("_", "-"): v for k, v in headers.items()}).items()
        if value is not None
    }
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.address + path, data=data, headers=sent) as response,
    ):
        told = await response.json()
        assert response.headers["request-id"] == told["request_id"]
        return response.status, told


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
    server: ModelServer, asked: dict[str, Any], status: int, kind: str, words: str
) -> None:
    told_status, told = await raw(server, **asked)
    assert (told_status, told["type"], told["error"]) == (status, "error", {"type": kind, "message": words})


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
async def test_sampling_parameters_are_gone(ask: Ask, name: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        await ask(extra_body={name: 1})
    assert refused.value.type == "invalid_request_error"
    assert name in str(refused.value.api_message)


async def test_unknown_models_are_not_found(ask: Ask) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model: claude-opus-5-5"):
        await ask(model="claude-opus-5-5")


# Scripts


async def test_scripted_answers_come_in_order_and_run_out(ask: Ask, control: Control) -> None:
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
    assert await post(control, "/model/script", {"model": "scripted-1", "answers": answers}) == {
        "model": "scripted-1",
        "queued": 4,
    }
    plain = await ask(model="scripted-1")
    assert (said(plain), plain.model) == ("not JSON", "scripted-1")
    decided = await ask(model="scripted-1")
    assert [block.type for block in decided.content] == ["thinking", "text"]
    assert (json.loads(said(decided)), decided.usage.input_tokens, decided.usage.output_tokens) == (
        {"decision": "BUY", "confidence": 99},
        1234,
        56,
    )
    blocks = await ask(model="scripted-1")
    assert ([block.type for block in blocks.content], said(blocks), blocks.stop_reason) == (
        ["thinking", "text", "text"],
        "bc",
        "pause_turn",
    )
    sold = json.loads(said(await ask(model="scripted-1")))
    assert (sold["decision"], sold["confidence"], sold["target_price"], sold["stop_loss"]) == (
        "SELL",
        81,
        178.2,
        193.7,
    )
    assert sold["reasoning"].startswith(LABEL)
    with pytest.raises(anthropic.BadRequestError, match="has no answer left"):
        await ask(model="scripted-1")
    assert (await counts(control))["scripts"] == {"scripted-1": 0}


# Failures


@pytest.mark.parametrize("kind", sorted(ERRORS))
async def test_error_faults_arrive_typed_and_are_counted(ask: Ask, control: Control, kind: str) -> None:
    await post(control, "/model/fault", {"kind": kind})
    with pytest.raises(anthropic.APIStatusError) as refused:
        await ask()
    row = ERRORS[kind]
    assert (refused.value.status_code, refused.value.type, refused.value.error_code) == (
        row.status,
        row.kind,
        row.code,
    )
    assert refused.value.request_id is not None
    assert (await ask()).stop_reason == "end_turn"
    told = await counts(control)
    assert told["faults"] == {"armed": [], "fired": {kind: 1}}
    assert told["outcomes"] == {kind: 1, "answered": 1}


async def test_a_rate_limit_says_when_to_come_back_and_a_spend_cap_from_which_day(
    ask: Ask, control: Control
) -> None:
    await post(control, "/model/fault", {"kind": "429", "retry_after": 3600})
    with pytest.raises(anthropic.RateLimitError) as limited:
        await ask()
    assert limited.value.response.headers["retry-after"] == "3600"
    await post(control, "/model/fault", {"kind": "spend_cap"})
    with pytest.raises(
        anthropic.BadRequestError,
        match=r"You have reached your specified API usage limits\. You will regain access on \d{4}-\d\d-01 at 00:00 UTC\.",
    ):
        await ask()


async def test_overloaded_once_is_bridged_by_the_sdk_and_always_is_not(
    server: ModelServer, control: Control
) -> None:
    async with AsyncAnthropic(api_key=server.api_key, base_url=server.address, max_retries=1) as client:

        async def create() -> Message:
            return await client.messages.create(
                model=server.model, max_tokens=10, messages=[{"role": "user", "content": PROMPT}]
            )

        await post(control, "/model/fault", {"kind": "529", "retry_after": 0.01})
        await create()
        await post(control, "/model/fault", {"kind": "529", "count": "always", "retry_after": 0.01})
        with pytest.raises(anthropic.OverloadedError):
            await create()
    told = await counts(control)
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
    "incomplete": lambda message, answer: "reasoning" not in answer and "decision" in answer,
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(ANSWERS))
async def test_answer_faults_come_with_status_200_and_usage(ask: Ask, control: Control, kind: str) -> None:
    await post(control, "/model/fault", {"kind": kind})
    message = await ask()
    try:
        answer = json.loads(said(message))
    except ValueError:
        answer = None
    assert ANSWER_SHAPES[kind](message, answer)
    assert message.usage.output_tokens > 0
    assert (await counts(control))["faults"]["fired"] == {kind: 1}


@pytest.mark.parametrize("kind", ["stall", "pings"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_never_ends_is_left_by_the_client_and_noticed(
    server: ModelServer, ask: Ask, control: Control, kind: str, stream: bool
) -> None:
    await post(control, "/model/fault", {"kind": kind, "seconds": 0.01})

    async def listen() -> None:
        answer: Any = await ask(stream=stream, timeout=0.2 if kind == "stall" else 0.8)
        async for _ in answer:
            pass

    if kind == "stall":  # nothing at all: the SDK's own read timeout sees it
        with pytest.raises(anthropic.APITimeoutError):
            await listen()
    else:  # every ping starts that timeout anew: only an outer deadline ends it
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listen(), 1.2)
    kinds = [event["kind"] for event in await until(server, "gone")]
    assert kinds == ["request", "fault", "answer", "gone"]
    assert (await counts(control))["outcomes"] == {kind: 1}


async def until(server: ModelServer, kind: str) -> list[dict[str, Any]]:
    """All events, as soon as there is one of `kind`."""
    async with asyncio.timeout(5):
        while kind not in [event["kind"] for event in server.events.after(0)]:
            await server.events.wait(server.events.last, 5)
    return server.events.after(0)


@pytest.mark.parametrize("kind", ["cut", "not_http"])
async def test_broken_connections(ask: Ask, control: Control, kind: str) -> None:
    await post(control, "/model/fault", {"kind": kind})
    with pytest.raises(anthropic.APIConnectionError):
        await ask()
    assert (await ask()).stop_reason == "end_turn", "the next request finds a working server"


async def test_garbage_and_a_proxys_page(ask: Ask, control: Control) -> None:
    await post(control, "/model/fault", {"kind": "garbage"})
    with pytest.raises(ValueError, match="Expecting value"):
        await ask()
    await post(control, "/model/fault", {"kind": "html"})
    page: object = await ask()
    assert isinstance(page, str), "the SDK hands out the page itself"


async def test_slow(ask: Ask, control: Control) -> None:
    await post(control, "/model/fault", {"kind": "slow", "seconds": 0.2})
    began = time.perf_counter()
    assert (await ask()).stop_reason == "end_turn"
    assert time.perf_counter() - began >= 0.2


async def test_faults_can_strike_the_models_route_instead(
    server: ModelServer, client: AsyncAnthropic, ask: Ask, control: Control
) -> None:
    for kind in ("529", "cut"):
        await post(control, "/model/fault", {"kind": kind, "on": "models"})
    await ask()
    with pytest.raises(anthropic.OverloadedError):
        await client.models.retrieve(server.model)
    with pytest.raises(anthropic.APIConnectionError):
        await client.models.retrieve(server.model)
    assert (await client.models.retrieve(server.model)).id == server.model


def test_every_kind_has_its_behaviour() -> None:
    assert BEHAVIOURS.keys() == WIRE.keys()
    assert ANSWER_SHAPES.keys() == ANSWERS.keys()
    assert len(KINDS) == len(ERRORS) + len(ANSWERS) + len(WIRE)


# The control port


async def test_requests_are_kept_without_the_key(server: ModelServer, ask: Ask, control: Control) -> None:
    await ask(system="You judge.")
    async with control.get("/model/requests") as response:
        text = await response.text()
    assert server.api_key not in text
    told = json.loads(text)
    entry = told["requests"][0]
    assert (entry["method"], entry["path"], entry["model"], entry["outcome"], entry["status"]) == (
        "POST",
        "/v1/messages",
        server.model,
        "answered",
        200,
    )
    assert (entry["body"]["system"], entry["headers"]["anthropic-version"]) == ("You judge.", "2026-10-21")
    async with control.get(f"/model/requests?after={told['last']}") as response:
        assert (await response.json())["requests"] == []


async def test_events_can_be_waited_for(ask: Ask, control: Control) -> None:
    async def events(after: int, seconds: float) -> Any:
        async with control.get(f"/model/events?after={after}&timeout={seconds}") as response:
            return await response.json()

    assert await events(0, 0.01) == {"events": [], "last": 0}
    waiting = asyncio.create_task(events(0, 10))
    await ask()
    first = (await waiting)["events"][0]
    assert (first["seq"], first["kind"]) == (1, "request")
    assert [event["kind"] for event in (await events(0, 0))["events"]] == ["request", "answer"]


async def test_clear_forgets(ask: Ask, control: Control) -> None:
    await post(control, "/model/script", {"model": "scripted-1", "answers": [{"text": "a"}]})
    await post(control, "/model/fault", {"kind": "500"})
    await post(control, "/model/fault", {"kind": "529", "count": 3})
    with pytest.raises(anthropic.InternalServerError):
        await ask()
    await post(control, "/model/clear", {})
    assert await counts(control) == {
        "requests": 0,
        "outcomes": {},
        "faults": {"armed": [], "fired": {}},
        "scripts": {},
    }
    assert (await ask()).stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("fault", []), ("fault", {}), ("fault", {"kind": "hiccup"}), ("fault", {"kind": ["529"]}), ("fault", {"kind": "529", "count": 0}), ("fault", {"kind": "529", "count": True}),
        ("fault", {"kind": "529", "often": 2}), ("fault", {"kind": "slow", "seconds": -1}), ("fault", {"kind": "slow", "seconds": "1"}), ("fault", {"kind": "prose", "on": "models"}),
        ("script", {"model": "greenlight-demo-analyst", "answers": []}), ("script", {"model": "", "answers": []}), ("script", {"model": "m"}), ("script", {"model": "m", "answers": [5]}), ("clear", {"all": True}),
    ],
)  # fmt: skip
async def test_control_explains_what_is_wrong(control: Control, path: str, body: Any) -> None:
    async with control.post(f"/model/{path}", json=body) as response:
        assert response.status == 400
        assert len((await response.json())["error"]) > 10
    assert (await counts(control))["faults"]["armed"] == []


# The socket


async def test_it_listens_on_loopback_and_a_taken_port_is_an_error(server: ModelServer) -> None:
    assert server.address == f"http://127.0.0.1:{server.port}"
    second = ModelServer(Clock(), Store(None), seed=1)
    with pytest.raises(OSError, match="in use"):
        await second.start(server.port)
    assert second.port == 0


async def test_it_closes_at_once_with_clients_hanging(
    control: Control, server: ModelServer, ask: Ask
) -> None:
    await post(control, "/model/fault", {"kind": "stall"})
    await post(control, "/model/fault", {"kind": "pings"})
    hanging = [asyncio.create_task(ask()) for _ in range(2)]
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        while (await counts(control))["faults"]["armed"]:
            await server.events.wait(server.events.last, 5)
        began = time.perf_counter()
        await server.close()
        assert time.perf_counter() - began < 2
        silent.settimeout(5)
        assert silent.recv(1) == b""
    for outcome in await asyncio.gather(*hanging, return_exceptions=True):
        assert isinstance(outcome, anthropic.APIConnectionError)


async def test_an_answer_takes_milliseconds(ask: Ask) -> None:
    await ask()
    took = []
    for _ in range(20):
        began = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.03, "Nagle's algorithm and a delayed acknowledgement would make it 40 ms"
