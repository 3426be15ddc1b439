"""Scripted answers: what somebody wants the model to say, word for word or by verdict."""

import json
from dataclasses import dataclass
from typing import Any

from sim.model.demo import Verdict, decide
from sim.model.facts import read_facts
from sim.model.messages import Answer, Ask, text_block, thinking_block

STOP_REASONS = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
)
VERDICTS: tuple[Verdict, ...] = ("BUY", "SELL", "HOLD")
CONTENT = ("text", "decision", "blocks", "verdict")
KEYS = (*CONTENT, "confidence", "thinking", "stop_reason", "usage")


@dataclass(frozen=True)
class Script:
    """One scripted answer: fixed content blocks, or a verdict that the demo's arithmetic turns into an answer to the facts it meets."""

    blocks: tuple[dict[str, Any], ...] = ()
    verdict: Verdict | None = None
    confidence: int | None = None
    thinking: str | None = None
    stop_reason: str = "end_turn"
    usage: dict[str, int] | None = None

    def answer(self, ask: Ask) -> Answer:
        """The answer to `ask`."""
        blocks = self.blocks
        if self.verdict is not None:
            blocks = (text_block(json.dumps(decide(read_facts(ask.prompt), self.verdict, self.confidence))),)
        if self.thinking is not None:
            blocks = (thinking_block(self.thinking), *blocks)
        return Answer(blocks, self.stop_reason, self.usage)


def read_script(item: Any) -> Script:
    """The script in a JSON value. ValueError with a sentence for what does not fit."""
    if not isinstance(item, dict):
        raise ValueError(f"an answer is an object with one of {', '.join(CONTENT)}, not {item!r:.80}")
    if unknown := sorted(item.keys() - set(KEYS)):
        raise ValueError(f"an answer knows {', '.join(KEYS)}, not {unknown[0]!r:.80}")
    if len(given := item.keys() & set(CONTENT)) != 1:
        raise ValueError(f"an answer has exactly one of {', '.join(CONTENT)}, not {len(given)}")
    blocks = _blocks(item)
    calls = any(block["type"] == "tool_use" for block in blocks)
    thinking, stop_reason = item.get("thinking"), item.get("stop_reason", "tool_use" if calls else "end_turn")
    if thinking is not None and not isinstance(thinking, str):
        raise ValueError("thinking is a text")
    if stop_reason not in STOP_REASONS:
        raise ValueError(f"stop_reason is one of {', '.join(STOP_REASONS)}")
    verdict, confidence = item.get("verdict"), item.get("confidence")
    if "verdict" in item and verdict not in VERDICTS:
        raise ValueError(f"verdict is one of {', '.join(VERDICTS)}")
    if confidence is not None and (
        verdict is None or not isinstance(confidence, int) or isinstance(confidence, bool)
    ):
        raise ValueError("confidence is a whole number and goes with a verdict; a decision carries its own")
    return Script(blocks, verdict, confidence, thinking, stop_reason, _usage(item.get("usage")))


def _blocks(item: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    if "text" in item:
        if not isinstance(item["text"], str):
            raise ValueError("text is a text; for JSON use decision")
        return (text_block(item["text"]),)
    if "decision" in item:
        return (text_block(json.dumps(item["decision"])),)
    blocks = item.get("blocks", [])
    if not isinstance(blocks, list) or not all(map(_is_block, blocks)):
        raise ValueError(
            'blocks is a list of content blocks, such as {"type": "text", "text": "..."} or {"type": "tool_use", "name": "get_price", "input": {"symbol": "AAPL"}}'
        )
    whole: dict[str, dict[str, Any]] = {
        "text": {"citations": None}, "thinking": {"signature": thinking_block("")["signature"]}, "tool_use": {"input": {}},
    }  # fmt: skip
    return tuple(whole.get(block["type"], {}) | block for block in blocks)


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict) or not isinstance(kind := block.get("type"), str):
        return False
    if kind == "tool_use":
        return isinstance(block.get("name"), str) and isinstance(block.get("input", {}), dict)
    return kind not in ("text", "thinking") or isinstance(block.get(kind), str)


def _usage(usage: Any) -> dict[str, int] | None:
    if usage is None:
        return None
    if not isinstance(usage, dict) or not all(
        isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in usage.values()
    ):
        raise ValueError(
            'usage is an object of whole numbers from 0, such as {"input_tokens": 1200, "output_tokens": 300}'
        )
    return dict(usage)
