"""Requests, answers and schemas of the Messages API as pure values."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.model.conversation import tokens
from sim.model.demo import decide
from sim.model.errors import ApiError
from sim.model.facts import Facts
from sim.model.messages import (
    VERSIONS,
    Answer,
    Ask,
    events,
    message,
    read_ask,
    text_block,
    thinking_block,
)
from sim.model.schema import complaint, conform
from sim.model.script import read_script

GOOD: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
TOOL: dict[str, Any] = {"name": "x", "input_schema": {"type": "object"}}
CALLED = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "x", "input": {}}]}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}
CLOSED = {"type": "object", "additionalProperties": False}


def wanting(schema: Any) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def tooled(choice: Any) -> dict[str, Any]:
    return {"tools": [TOOL], "tool_choice": choice}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": 1}, "temperature: Extra inputs are not permitted"),
        ({"top_p": 0.5}, "top_p: Extra inputs are not permitted"),
        ({"top_k": 5}, "top_k: Extra inputs are not permitted"),
        ({"prompt": "x"}, "prompt: Extra inputs are not permitted"),
        ({"model": 5}, "model: Input should be a valid string"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        (
            {"max_tokens": 10**6},
            "max_tokens: 1000000 > 128000, which is the maximum allowed number of output tokens for m",
        ),
        ({"messages": "hello"}, "messages: Input should be a valid list"),
        ({"messages": []}, "messages: at least one message is required"),
        (
            {"messages": [{"role": "system", "content": "x"}]},
            "messages.0.role: Input should be 'user' or 'assistant'",
        ),
        (
            {"messages": [{"role": "user", "content": ""}]},
            "messages.0: user messages must have non-empty content",
        ),
        (
            {"messages": [{"role": "user", "content": [5]}]},
            "messages.0.content: Input should be a valid string or a list of content blocks",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "messages.0: text content blocks must be non-empty",
        ),
        (
            {"messages": [*GOOD["messages"], {"role": "assistant", "content": "{"}]},
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ),
        (
            {"tool_choice": {"type": "any"}},
            "tool_choice: tool_choice may only be specified while providing tools",
        ),
        (tooled({"type": "some"}), "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'"),
        (
            tooled({"type": "tool", "name": "y"}),
            "tool_choice.name: Tool 'y' not found in provided tools",
        ),
        (
            tooled({"type": "any"}) | {"thinking": {"type": "adaptive"}},
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        ({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
        (
            {"tools": [TOOL | {"name": "a b"}]},
            "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
        ),
        ({"tools": [{"name": "x"}]}, "tools.0.custom.input_schema: Field required"),
        (
            {"tools": [TOOL | {"strict": True}]},
            "tools.0.custom.input_schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "tools.0: 'web_search_20250305' is a tool of the API's own, and this simulated one has none",
        ),
        (
            {"messages": [*GOOD["messages"], CALLED, *GOOD["messages"]]},
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. "
            "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        ),
        (
            {"messages": [{"role": "user", "content": [RESULT]}]},
            "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
        ),
        (
            {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "2h"}}]},
            "system.0.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
        ),
        (
            {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 5},
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"output_format": {}}, "output_format: Extra inputs are not permitted"),
        ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        (
            {"output_config": {"effort": "huge"}},
            "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
        ),
        (
            {"output_config": {"format": {"type": "xml"}}},
            "output_config.format.type: Input should be 'json_schema'",
        ),
        (
            {"output_config": {"format": {"type": "json_schema"}}},
            "output_config.format.schema: Field required",
        ),
        (
            {"thinking": {"type": "deep"}},
            "thinking.type: Input should be 'adaptive', 'between_tools' or 'disabled'",
        ),
        (
            wanting({"type": "object"}),
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
        ),
        (
            wanting(CLOSED | {"properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}}),
            "output_config.format.schema: For 'integer' type, properties maximum, minimum are not supported",
        ),
    ],
)
def test_what_the_api_refuses(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_ask(GOOD | change, VERSIONS[0])
    assert (refused.value.status, refused.value.kind, refused.value.message) == (
        400,
        "invalid_request_error",
        words,
    )


@pytest.mark.parametrize("name", GOOD)
def test_required_fields(name: str) -> None:
    with pytest.raises(ApiError, match=f"{name}: Field required"):
        read_ask({key: value for key, value in GOOD.items() if key != name}, VERSIONS[0])


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [*GOOD["messages"], CALLED, {"role": "user", "content": [RESULT]}]},
        {"messages": [*GOOD["messages"], CALLED, {"role": "user", "content": [RESULT]}, *GOOD["messages"]]},
        {"messages": [*GOOD["messages"], {"role": "system", "content": "be brief"}, *GOOD["messages"]]},
        tooled({"type": "tool", "name": "x"}),
        tooled({"type": "none"}),
    ],
)
def test_conversations_with_tools_are_read(change: dict[str, Any]) -> None:
    assert read_ask(GOOD | change, VERSIONS[0]).input_tokens > 0


def test_a_scripted_model_stands_for_any_model() -> None:
    """Prefill, a thinking budget, and with the older version the sampling parameters, which the demo refuses."""
    turns = [*GOOD["messages"], {"role": "assistant", "content": "{"}]
    budget = {"type": "enabled", "budget_tokens": 1024}
    change = {"messages": turns, "thinking": budget, "max_tokens": 2000, "temperature": 0.5, "top_k": 5}
    assert read_ask(GOOD | change, VERSIONS[1], scripted=True).thinking
    for wrong in (
        {"temperature": 2},
        {"top_k": "x"},
        {"thinking": budget | {"budget_tokens": 5}},
        {"max_tokens": 1000},
    ):
        with pytest.raises(ApiError):
            read_ask(GOOD | change | wrong, VERSIONS[1], scripted=True)


def test_the_old_version_says_deprecated() -> None:
    with pytest.raises(ApiError, match="`temperature` is deprecated for this model"):
        read_ask(GOOD | {"temperature": 1}, VERSIONS[1])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "text",
                    "content",
                    "role",
                    "format",
                    "schema",
                    "anyOf",
                    "items",
                    "properties",
                    "enum",
                    "$ref",
                    "name",
                    "input_schema",
                    "cache_control",
                    "tool_use_id",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "messages",
                "system",
                "thinking",
                "output_config",
                "tools",
                "tool_choice",
                "cache_control",
                "stop_sequences",
                "model",
                "max_tokens",
                "stream",
            ]
        ),
        anything,
    ),
    st.booleans(),
)
def test_hostile_requests_are_read_or_refused_but_never_an_accident(
    change: dict[str, Any], whole: bool
) -> None:
    body = GOOD | change if whole else change
    with contextlib.suppress(ApiError):
        assert read_ask(body, VERSIONS[0]).input_tokens > 0


@given(anything.filter(lambda value: isinstance(value, dict)))
def test_a_decision_conforms_to_any_accepted_schema_without_an_accident(schema: Any) -> None:
    if complaint(schema) is None:
        conform(decide(Facts("AAPL")), schema)


def test_an_answer_is_made_to_fit_the_schema() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "$defs": {"Level": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "properties": {
            "ticker": {"type": "string"},
            "confidence": {"type": "integer"},
            "decision": {"enum": ["BUY", "SELL", "HOLD"]},
            "time_horizon": {"type": "string", "enum": ["1", "5", "20", "60"]},
            "target_price": {"$ref": "#/$defs/Level"},
            "stop_loss": {"$ref": "#/$defs/Level"},
            "mood": {"type": ["string", "null"]},
            "score": {"type": "number"},
            "evidence": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"fact": {"type": "string"}},
                },
            },
        },
    }
    assert complaint(schema) is None
    decision = decide(Facts("AAPL")) | {"target_price": 12.5, "evidence": [{"fact": "price", "says": "hm"}]}
    assert conform(decision, schema) == {
        "ticker": "AAPL",
        "confidence": 20,
        "decision": "HOLD",
        "time_horizon": "1",
        "target_price": "12.5",
        "stop_loss": None,
        "mood": None,
        "score": 0,
        "evidence": [{"fact": "price"}],
    }


def test_a_schema_that_contains_itself_ends() -> None:
    node: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"ticker": {"$ref": "#"}},
    }
    conform({"ticker": {"ticker": {}}}, node)
    conform({}, {"$ref": "#"})
    many = {"type": "object", "properties": {str(place): {"$ref": "#"} for place in range(20)}}
    conform({}, many)


@given(st.text(), st.text(), st.integers(0, 40))
def test_no_answer_is_longer_than_allowed(thought: str, said: str, limit: int) -> None:
    whole = message(Ask("m", "p", limit, 5), Answer((thinking_block(thought), text_block(said))), "msg_1")
    raw = sum(
        len(block.get(field, "").encode()) for block in whole["content"] for field in ("text", "thinking")
    )
    assert raw <= limit * 4
    cut = len((thought + said).encode()) > limit * 4
    assert whole["stop_reason"] == ("max_tokens" if cut else "end_turn")
    assert whole["usage"]["output_tokens"] >= 1


def test_stop_sequences_and_given_usage() -> None:
    answer = Answer((text_block("one END two"),), usage={"output_tokens": 77})
    whole = message(Ask("m", "p", 100, 5, stop_sequences=("two", "END")), answer, "msg_1")
    assert (whole["content"][0]["text"], whole["stop_reason"], whole["stop_sequence"]) == (
        "one ",
        "stop_sequence",
        "END",
    )
    assert (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]) == (5, 77)


@given(st.text(max_size=500))
def test_a_stream_says_what_the_message_says(said: str) -> None:
    whole = message(Ask("m", "p", 10_000, 5), Answer((thinking_block("hm"), text_block(said))), "msg_1")
    deltas = [data["delta"] for name, data in events(whole) if name == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == said
    assert "".join(delta.get("thinking", "") for delta in deltas) == "hm"


@given(st.text())
def test_tokens_are_at_least_one_and_about_a_quarter_of_the_bytes(text: str) -> None:
    assert tokens(text) == max(1, (len(text.encode()) + 3) // 4)


@pytest.mark.parametrize(
    "item",
    [
        5, {}, {"text": 5}, {"text": "a", "decision": {}}, {"text": "a", "mood": 1}, {"text": "a", "stop_reason": "tired"}, {"verdict": "MAYBE"},
        {"verdict": None}, {"verdict": "BUY", "confidence": "high"}, {"text": "a", "confidence": 5}, {"blocks": [5]}, {"blocks": [{"type": "text"}]},
        {"text": "a", "usage": {"input_tokens": -1}}, {"text": "a", "thinking": 1}, {"text": "a", "stop_reason": ["x"]},
    ],
)  # fmt: skip
def test_scripts_that_make_no_sense(item: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_script(item)
