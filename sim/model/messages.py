"""Requests and answers of POST /v1/messages as pure values: check the one, put the other together, whole or as stream events."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from sim.model import schema as schemas
from sim.model.cache import CacheUse, Segment
from sim.model.conversation import (
    BYTES_PER_TOKEN,
    Choice,
    read_choice,
    read_tools,
    read_turns,
    segments,
    text_of,
    tokens,
)
from sim.model.errors import invalid

VERSIONS = ("2026-10-21", "2023-06-01")
MAX_TOKENS = 128_000
CONTEXT_TOKENS = 1_000_000
SAMPLING = {"temperature": (float, 1), "top_p": (float, 1), "top_k": (int, 10**9)}
PARAMETERS = {
    "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "metadata", "thinking", "tools", "tool_choice",
    "output_config", "service_tier", "cache_control", "container", "diagnostics", "inference_geo", "speed",
}  # fmt: skip
EFFORTS = ("low", "medium", "high", "xhigh", "max")
THINKING = ("adaptive", "disabled", "between_tools")
SMALLEST_BUDGET = 1024
OUTPUT_BETA = "structured-outputs"
"""A beta whose requests have `output_format` beside `output_config`."""


@dataclass(frozen=True)
class Ask:
    """A checked request. `prompt` is the text of the user's last turn, `segments` are what the prompt cache sees."""

    model: str
    prompt: str
    max_tokens: int
    input_tokens: int
    schema: dict[str, Any] | None = None
    thinking: bool = False
    stream: bool = False
    stop_sequences: tuple[str, ...] = ()
    tools: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)
    segments: tuple[Segment, ...] = ()
    cached: CacheUse = field(default_factory=CacheUse)


@dataclass(frozen=True)
class Answer:
    """What the model says: content blocks in order, why it stopped, and the usage where it is not to be estimated."""

    blocks: tuple[dict[str, Any], ...]
    stop_reason: str = "end_turn"
    usage: dict[str, Any] | None = None
    stop_details: dict[str, Any] | None = None
    stop_sequence: str | None = None

    def text(self) -> str:
        """All text blocks in one."""
        return "".join(block["text"] for block in self.blocks if block.get("type") == "text")

    def with_text(self, text: str) -> "Answer":
        """The same answer saying `text` in one block; other blocks stay in front of it."""
        others = tuple(block for block in self.blocks if block.get("type") != "text")
        return replace(self, blocks=(*others, text_block(text)))


def text_block(text: str) -> dict[str, Any]:
    """A text block as the API sends it."""
    return {"type": "text", "text": text, "citations": None}


def thinking_block(text: str) -> dict[str, Any]:
    """A thinking block with a signature nobody can check."""
    return {"type": "thinking", "thinking": text, "signature": "c2ltdWxhdGVk"}


def read_ask(
    body: Any, version: str, *, scripted: bool = False, betas: str = "", counting: bool = False
) -> Ask:
    """The request in `body`. ApiError, in the API's words, for what the API would refuse.

    The demo is refused what the newest models are: sampling parameters, prefill, a thinking budget. A `scripted` model stands for
    any model, and takes them. `betas` is the anthropic-beta header; `counting` is a request that only wants its tokens counted.
    """
    if not isinstance(body, dict):
        raise invalid("The request body is not valid JSON: an object is expected")
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if name not in body:
            raise invalid(f"{name}: Field required")
    _sampling(body, version, scripted)
    if OUTPUT_BETA in betas and "output_format" in body:
        config = body.get("output_config")
        config = {**(config if isinstance(config, dict) else {}), "format": body["output_format"]}
        body = {name: value for name, value in body.items() if name != "output_format"} | {
            "output_config": config
        }
    if unknown := sorted(body.keys() - PARAMETERS - SAMPLING.keys()):
        raise invalid(f"{unknown[0]}: Extra inputs are not permitted")
    model, limit = body["model"], body.get("max_tokens", MAX_TOKENS)
    if not isinstance(model, str):
        raise invalid("model: Input should be a valid string")
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise invalid("max_tokens: Input should be a valid integer")
    if limit < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")
    if limit > MAX_TOKENS:
        raise invalid(
            f"max_tokens: {limit} > {MAX_TOKENS}, which is the maximum allowed number of output tokens for {model}"
        )
    tools = read_tools(body)
    choice = read_choice(body, tools)
    turns = read_turns(body["messages"])
    if turns[-1].role == "assistant" and not scripted:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    schema, thinking = _schema(body), _thinking(body, limit, scripted)
    prompt = tuple(segments(body, turns))
    extra = tokens(json.dumps(body["output_config"])) if body.get("output_config") else 0
    used = sum(segment.tokens for segment in prompt) + extra
    if used > CONTEXT_TOKENS:
        raise invalid(f"prompt is too long: {used} tokens > {CONTEXT_TOKENS} maximum")
    stops = body.get("stop_sequences") or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop.strip() for stop in stops):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    if not isinstance(body.get("stream", False), bool):
        raise invalid("stream: Input should be a valid boolean")
    return Ask(
        model,
        text_of(next((turn for turn in reversed(turns) if turn.role == "user"), turns[-1])),
        limit,
        used,
        schema,
        thinking,
        body.get("stream") is True,
        tuple(stops),
        tools,
        choice,
        prompt,
    )


def _sampling(body: dict[str, Any], version: str, scripted: bool) -> None:
    for name, (kind, most) in SAMPLING.items():
        if name not in body:
            continue
        if version == VERSIONS[0]:
            raise invalid(f"{name}: Extra inputs are not permitted")
        if not scripted:
            raise invalid(f"`{name}` is deprecated for this model.")
        value = body[name]
        if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
            raise invalid(f"{name}: Input should be a valid {'integer' if kind is int else 'number'}")
        if not 0 <= value <= most:
            raise invalid(f"{name}: range: 0..{most}")


def _schema(body: dict[str, Any]) -> dict[str, Any] | None:
    config = body.get("output_config")
    if config is None:
        return None
    if not isinstance(config, dict) or (extra := sorted(config.keys() - {"format", "effort"})):
        raise invalid(
            f"output_config.{extra[0]}: Extra inputs are not permitted"
            if isinstance(config, dict)
            else "output_config: Input should be an object"
        )
    if config.get("effort") is not None and config["effort"] not in EFFORTS:
        raise invalid(
            f"output_config.effort: Input should be {', '.join(map(repr, EFFORTS[:-1]))} or {EFFORTS[-1]!r}"
        )
    wanted = config.get("format")
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        raise invalid("output_config.format.type: Input should be 'json_schema'")
    if "schema" not in wanted:
        raise invalid("output_config.format.schema: Field required")
    if wrong := schemas.complaint(wanted["schema"]):
        raise invalid(f"output_config.format.schema: {wrong}")
    schema: dict[str, Any] = wanted["schema"]
    return schema


def _thinking(body: dict[str, Any], limit: int, scripted: bool) -> bool:
    thinking = body.get("thinking")
    if thinking is None:
        return False
    kind: object = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "enabled" and scripted:
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or isinstance(budget, bool) or budget < SMALLEST_BUDGET:
            raise invalid(
                f"thinking.enabled.budget_tokens: Input should be greater than or equal to {SMALLEST_BUDGET}"
            )
        if budget >= limit:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
        return True
    if kind == "enabled":
        raise invalid(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        )
    if kind not in THINKING:
        raise invalid("thinking.type: Input should be 'adaptive', 'between_tools' or 'disabled'")
    return kind == "adaptive"


def message(ask: Ask, answer: Answer, message_id: str) -> dict[str, Any]:
    """The answer as the API's message object, cut at the first stop sequence and at `max_tokens` (thinking counts), with its usage."""
    answer = _limited(ask, _stopped(ask, _single(ask, answer)))
    thought = sum(tokens(block["thinking"]) for block in answer.blocks if block.get("type") == "thinking")
    said = tokens(answer.text()) if answer.text() else 0
    called = sum(
        tokens(json.dumps(block["input"])) for block in answer.blocks if block.get("type") == "tool_use"
    )
    written = ask.cached.written_5m + ask.cached.written_1h
    usage = {
        "input_tokens": ask.input_tokens - ask.cached.read - written,
        "output_tokens": max(1, thought + said + called),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": ask.cached.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": ask.cached.written_5m,
            "ephemeral_1h_input_tokens": ask.cached.written_1h,
        },
        "output_tokens_details": {"thinking_tokens": thought},
        "service_tier": "standard",
    }
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [_named(block, message_id, place) for place, block in enumerate(answer.blocks)],
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": answer.stop_details,
        "container": None,
        "usage": usage | (answer.usage or {}),
    }


def _named(block: dict[str, Any], message_id: str, place: int) -> dict[str, Any]:
    """A tool call with the id that its result will name; other blocks as they are."""
    if block.get("type") != "tool_use":
        return block
    name = blake2b(f"{message_id}:{place}".encode(), digest_size=12).hexdigest()
    return {"id": f"toolu_{name}", "caller": {"type": "direct"}} | block


def _single(ask: Ask, answer: Answer) -> Answer:
    """One tool call at the most, where the request does not want them in parallel."""
    calls = [block for block in answer.blocks if block.get("type") == "tool_use"]
    if not ask.choice.at_most_one or len(calls) < 2:
        return answer
    return replace(
        answer, blocks=tuple(b for b in answer.blocks if b.get("type") != "tool_use" or b is calls[0])
    )


def _stopped(ask: Ask, answer: Answer) -> Answer:
    text = answer.text()
    places = [(text.find(stop), stop) for stop in ask.stop_sequences if stop in text]
    if not places:
        return answer
    place, stop = min(places)
    return replace(answer.with_text(text[:place]), stop_reason="stop_sequence", stop_sequence=stop)


def _limited(ask: Ask, answer: Answer) -> Answer:
    left = ask.max_tokens * BYTES_PER_TOKEN
    kept: list[dict[str, Any]] = []
    for block in answer.blocks:
        if block.get("type") == "tool_use":
            size = len(json.dumps(block["input"]))
            if size > left:  # half a call is none
                return replace(answer, blocks=tuple(kept), stop_reason="max_tokens", stop_sequence=None)
            left -= size
        key = {"text": "text", "thinking": "thinking"}.get(block.get("type", ""))
        if key is None:
            kept.append(block)
            continue
        raw = block[key].encode(errors="replace")
        if len(raw) > left:
            kept += [{**block, key: raw[:left].decode(errors="ignore")}] if left else []
            return replace(answer, blocks=tuple(kept), stop_reason="max_tokens", stop_sequence=None)
        left -= len(raw)
        kept.append(block)
    return answer


def events(whole: dict[str, Any], piece: int = 200) -> Iterator[tuple[str, dict[str, Any]]]:
    """`whole` as (event name, data) of a stream, what grows in deltas of `piece` characters."""
    start = whole | {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    start["usage"] = whole["usage"] | {"output_tokens": 1}
    yield "message_start", {"type": "message_start", "message": start}
    yield "ping", {"type": "ping"}
    for index, block in enumerate(whole["content"]):
        first, deltas = _grown(block, piece)
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": first}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    stop = {name: whole[name] for name in ("stop_reason", "stop_sequence", "stop_details", "container")}
    usage = {
        name: value
        for name, value in whole["usage"].items()
        if name not in ("cache_creation", "service_tier")
    }
    yield "message_delta", {"type": "message_delta", "delta": stop, "usage": usage}
    yield "message_stop", {"type": "message_stop"}


def _grown(block: dict[str, Any], piece: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins in a stream, and the deltas that make it whole."""

    def pieces(kind: str, key: str, text: str) -> list[dict[str, Any]]:
        return [{"type": kind, key: text[at : at + piece]} for at in range(0, len(text), piece)]

    match block["type"]:
        case "text":
            cited = block.get("citations")
            deltas = [{"type": "citations_delta", "citation": one} for one in cited or ()]
            first = {**block, "text": "", "citations": None if cited is None else []}
            return first, [*deltas, *pieces("text_delta", "text", block["text"])]
        case "thinking":
            signed = {"type": "signature_delta", "signature": block.get("signature", "")}
            said = pieces("thinking_delta", "thinking", block["thinking"])
            return {**block, "thinking": "", "signature": ""}, [*said, signed]
        case "tool_use":
            said = pieces("input_json_delta", "partial_json", json.dumps(block["input"]))
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": ""}, *said]
    return block, []
