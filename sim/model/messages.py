"""Requests and answers of POST /v1/messages as pure values: check the one, put the other together, whole or as stream events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sim.model import schema as schemas
from sim.model.errors import invalid

VERSIONS = ("2026-10-21", "2023-06-01")
MAX_TOKENS = 128_000
CONTEXT_TOKENS = 1_000_000
BYTES_PER_TOKEN = 4
"""An estimate, good enough for costs to look like costs."""
SAMPLING = ("temperature", "top_p", "top_k")
PARAMETERS = {
    "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "metadata", "thinking", "tools", "tool_choice",
    "output_config", "service_tier", "cache_control", "container", "diagnostics", "inference_geo", "speed",
}  # fmt: skip
EFFORTS = ("low", "medium", "high", "xhigh", "max")
THINKING = ("adaptive", "disabled", "between_tools")


@dataclass(frozen=True)
class Ask:
    """A checked request. `prompt` is the text of the last user message."""

    model: str
    prompt: str
    max_tokens: int
    input_tokens: int
    schema: dict[str, Any] | None = None
    thinking: bool = False
    stream: bool = False
    stop_sequences: tuple[str, ...] = ()


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


def tokens(text: str) -> int:
    """About how many tokens `text` takes, at least 1."""
    return max(1, -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN))


def read_ask(body: Any, version: str) -> Ask:
    """The request in `body`. ApiError, in the API's words, for what the API would refuse."""
    if not isinstance(body, dict):
        raise invalid("The request body is not valid JSON: an object is expected")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise invalid(f"{name}: Field required")
    for name in SAMPLING:
        if name in body:
            newest = version == VERSIONS[0]
            raise invalid(
                f"{name}: Extra inputs are not permitted"
                if newest
                else f"`{name}` is deprecated for this model."
            )
    if unknown := sorted(body.keys() - PARAMETERS):
        raise invalid(f"{unknown[0]}: Extra inputs are not permitted")
    model, limit = body["model"], body["max_tokens"]
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
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") in ("any", "tool"):
        raise invalid(f"tool_choice.type: '{choice['type']}' is not supported for this model")
    texts = _conversation(body["messages"])
    used = sum(map(tokens, texts)) + sum(
        tokens(json.dumps(body[name])) for name in ("system", "tools", "output_config") if body.get(name)
    )
    if used > CONTEXT_TOKENS:
        raise invalid(f"prompt is too long: {used} tokens > {CONTEXT_TOKENS} maximum")
    stops = body.get("stop_sequences") or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop.strip() for stop in stops):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    return Ask(
        model,
        texts[-1],
        limit,
        used,
        _schema(body),
        _thinking(body),
        body.get("stream") is True,
        tuple(stops),
    )


def _conversation(messages: Any) -> list[str]:
    """The text of each message; the last one is the user's."""
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    texts = []
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise invalid(f"messages.{place}.role: Input should be 'user' or 'assistant'")
        texts.append(_text(message.get("content"), f"messages.{place}"))
    if messages[-1]["role"] != "user":
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    return texts


def _text(content: Any, place: str) -> str:
    if isinstance(content, str):
        if not content:
            raise invalid(f"{place}: user messages must have non-empty content")
        return content
    if not isinstance(content, list) or not all(
        isinstance(block, dict) and isinstance(block.get("type"), str) for block in content
    ):
        raise invalid(f"{place}.content: Input should be a valid string or a list of content blocks")
    texts = [block.get("text") for block in content if block["type"] == "text"]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise invalid(f"{place}: text content blocks must be non-empty")
    return "\n".join(map(str, texts))


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


def _thinking(body: dict[str, Any]) -> bool:
    thinking = body.get("thinking")
    if thinking is None:
        return False
    kind: object = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "enabled":
        raise invalid(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        )
    if kind not in THINKING:
        raise invalid("thinking.type: Input should be 'adaptive', 'between_tools' or 'disabled'")
    return kind == "adaptive"


def message(ask: Ask, answer: Answer, message_id: str) -> dict[str, Any]:
    """The answer as the API's message object, cut at the first stop sequence and at `max_tokens` (thinking counts), with its usage."""
    answer = _limited(ask, _stopped(ask, answer))
    thought = sum(tokens(block["thinking"]) for block in answer.blocks if block.get("type") == "thinking")
    said = tokens(answer.text()) if answer.text() else 0
    usage = {
        "input_tokens": ask.input_tokens,
        "output_tokens": max(1, thought + said),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": thought},
        "service_tier": "standard",
    }
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": list(answer.blocks),
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": answer.stop_details,
        "usage": usage | (answer.usage or {}),
    }


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
        field = {"text": "text", "thinking": "thinking"}.get(block.get("type", ""))
        if field is None:
            kept.append(block)
            continue
        raw = block[field].encode(errors="replace")
        if len(raw) > left:
            kept += [{**block, field: raw[:left].decode(errors="ignore")}] if left else []
            return replace(answer, blocks=tuple(kept), stop_reason="max_tokens", stop_sequence=None)
        left -= len(raw)
        kept.append(block)
    return answer


def events(whole: dict[str, Any], piece: int = 200) -> Iterator[tuple[str, dict[str, Any]]]:
    """`whole` as (event name, data) of a stream, text in deltas of `piece` characters."""
    start = whole | {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    start["usage"] = whole["usage"] | {"output_tokens": 1}
    yield "message_start", {"type": "message_start", "message": start}
    for index, block in enumerate(whole["content"]):
        field, delta = {"text": ("text", "text_delta"), "thinking": ("thinking", "thinking_delta")}.get(
            block["type"], ("", "")
        )
        first = {**block, field: ""} if field else block
        if field == "thinking":
            first["signature"] = ""
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": first}
        for at in range(0, len(block.get(field, "")), piece):
            yield (
                "content_block_delta",
                {
                    "type": "content_block_delta",
                    "index": index,
                    "delta": {"type": delta, field: block[field][at : at + piece]},
                },
            )
        if field == "thinking":
            signed = {"type": "signature_delta", "signature": block.get("signature", "")}
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": signed}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    stop = {name: whole[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield "message_delta", {"type": "message_delta", "delta": stop, "usage": whole["usage"]}
    yield "message_stop", {"type": "message_stop"}
