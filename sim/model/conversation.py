"""The parts of a request that make up its prompt: tools, system, turns with their blocks, and how tool calls and results pair up."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sim.model import schema as schemas
from sim.model.cache import LIFETIMES, MOST_BREAKPOINTS, Segment
from sim.model.errors import invalid

BYTES_PER_TOKEN = 4
"""An estimate, good enough for costs to look like costs."""
PICTURE_TOKENS = 1_500
"""What a picture or a document counts, whatever is in it: nobody looks."""
UNREAD = ("image", "document", "search_result", "container_upload")
BLOCKS = (
    "text", "thinking", "redacted_thinking", "tool_use", "tool_result", *UNREAD, "server_tool_use", "web_search_tool_result",
    "web_fetch_tool_result", "code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
)  # fmt: skip
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
CHOICES = ("auto", "any", "tool", "none")


class Choice(NamedTuple):
    """What is to be done with the tools: `tool` is the one that must be called, `must` says that one has to be."""

    must: bool = False
    tool: str | None = None
    at_most_one: bool = False


class Turn(NamedTuple):
    """Messages of one role in a row: where the last of them stands, and the blocks of all with their places."""

    role: str
    place: int
    blocks: list[tuple[str, dict[str, Any]]]


def tokens(text: str) -> int:
    """About how many tokens `text` takes, at least 1."""
    return max(1, -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN))


def read_tools(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The input schema of every tool by its name. ApiError for tools the API would refuse, and for those that it would run itself."""
    told = body.get("tools")
    if told is None:
        return {}
    if not isinstance(told, list):
        raise invalid("tools: Input should be a valid list")
    tools: dict[str, dict[str, Any]] = {}
    for place, tool in enumerate(told):
        where = f"tools.{place}"
        if not isinstance(tool, dict):
            raise invalid(f"{where}: Input should be an object")
        if tool.get("type") not in (None, "custom"):
            raise invalid(
                f"{where}: {tool['type']!r:.60} is a tool of the API's own, and this simulated one has none"
            )
        name, schema = tool.get("name"), tool.get("input_schema")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            raise invalid(f"{where}.custom.name: String should match pattern '^{TOOL_NAME.pattern}$'")
        if name in tools:
            raise invalid("tools: Tool names must be unique.")
        if not isinstance(schema, dict):
            raise invalid(f"{where}.custom.input_schema: Field required")
        if schema.get("type") != "object":
            raise invalid(f"{where}.custom.input_schema.type: Input should be 'object'")
        if tool.get("strict") is True and (wrong := schemas.complaint(schema)):
            raise invalid(f"{where}.custom.input_schema: {wrong}")
        tools[name] = schema
    return tools


def read_choice(body: dict[str, Any], tools: dict[str, dict[str, Any]]) -> Choice:
    """What tool_choice says. ApiError where it makes no sense with these tools, or with thinking."""
    told = body.get("tool_choice")
    if told is None:
        return Choice()
    kind = told.get("type") if isinstance(told, dict) else None
    if kind not in CHOICES:
        raise invalid("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if not tools:
        raise invalid("tool_choice: tool_choice may only be specified while providing tools")
    single = told.get("disable_parallel_tool_use") is True
    if kind in ("auto", "none"):
        return Choice(at_most_one=single)
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("adaptive", "enabled"):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    name = told.get("name") if kind == "tool" else None
    if kind == "tool" and name not in tools:
        raise invalid(f"tool_choice.name: Tool {name!r:.130} not found in provided tools")
    return Choice(True, name, single)


def read_turns(messages: Any) -> list[Turn]:
    """The messages as turns. ApiError for what is no conversation."""
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    turns: list[Turn] = []
    for place, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant") and not (role == "system" and place):
            raise invalid(f"messages.{place}.role: Input should be 'user' or 'assistant'")
        blocks = _blocks(message.get("content"), f"messages.{place}")
        before = turns.pop() if turns and turns[-1].role == role else Turn(role, place, [])
        turns.append(Turn(role, place, before.blocks + blocks))
    _pair(turns)
    return turns


def _blocks(content: Any, place: str) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(content, str):
        if not content:
            raise invalid(f"{place}: user messages must have non-empty content")
        return [(place, {"type": "text", "text": content})]
    if not isinstance(content, list) or not all(
        isinstance(block, dict) and isinstance(block.get("type"), str) for block in content
    ):
        raise invalid(f"{place}.content: Input should be a valid string or a list of content blocks")
    for number, block in enumerate(content):
        kind = block["type"]
        if kind not in BLOCKS:
            raise invalid(
                f"{place}.content.{number}: Input tag {kind!r:.60} found using 'type' does not match any of the expected tags: {', '.join(map(repr, BLOCKS))}"
            )
        if kind == "text" and not (isinstance(block.get("text"), str) and block["text"]):
            raise invalid(f"{place}: text content blocks must be non-empty")
        key = {"tool_use": "id", "tool_result": "tool_use_id"}.get(kind)
        if key and not isinstance(block.get(key), str):
            raise invalid(f"{place}.content.{number}.{kind}.{key}: Field required")
    return [(f"{place}.content.{number}", block) for number, block in enumerate(content)]


def _pair(turns: Sequence[Turn]) -> None:
    """ApiError for a call without its result in the next turn, or a result without its call in the one before."""
    turns = [turn for turn in turns if turn.role != "system"]
    for turn, after in zip(turns, [*turns[1:], None], strict=True):
        called = [block["id"] for _, block in turn.blocks if block["type"] == "tool_use"]
        came = {b["tool_use_id"] for _, b in after.blocks if b["type"] == "tool_result"} if after else set()
        if missing := [one for one in called if one not in came]:
            raise invalid(
                f"messages.{turn.place}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )
    for before, turn in zip([None, *turns], turns, strict=False):
        called = [b["id"] for _, b in before.blocks if b["type"] == "tool_use"] if before else []
        for place, block in turn.blocks:
            if block["type"] == "tool_result" and block["tool_use_id"] not in called:
                raise invalid(
                    f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )


def text_of(turn: Turn) -> str:
    """All that is said in a turn."""
    return "\n".join(block["text"] for _, block in turn.blocks if block["type"] == "text")


def segments(body: dict[str, Any], turns: Sequence[Turn]) -> list[Segment]:
    """The prompt in the order in which it is cached: tools, system, messages. ApiError for breakpoints the API would refuse."""
    found = [*_segments(body, turns)]
    if body.get("cache_control") is not None:
        found[-1] = found[-1]._replace(ttl=_ttl(body, "cache_control"))
    count = sum(bool(segment.ttl) for segment in found)
    if count > MOST_BREAKPOINTS:
        raise invalid(
            f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {count}."
        )
    return found


def _segments(body: dict[str, Any], turns: Sequence[Turn]) -> Iterator[Segment]:
    for number, tool in enumerate(body.get("tools") or ()):
        yield _plain_segment(tool, f"tools.{number}")
    system = body.get("system")
    if system is not None and not isinstance(system, str | list):
        raise invalid("system: Input should be a valid string or a list of text blocks")
    if isinstance(system, str) and system:
        yield Segment(system, tokens(system))
    if isinstance(system, list):
        for number, block in enumerate(system):
            if not isinstance(block, dict) or not isinstance(block.get("text"), str) or not block["text"]:
                raise invalid(f"system.{number}: text content blocks must be non-empty")
            yield Segment(block["text"], tokens(block["text"]), _ttl(block, f"system.{number}.cache_control"))
    for turn in turns:
        for place, block in turn.blocks:
            if block["type"] == "text":
                yield Segment(block["text"], tokens(block["text"]), _ttl(block, f"{place}.cache_control"))
            else:
                yield _plain_segment(block, place)


def _plain_segment(block: dict[str, Any], place: str) -> Segment:
    text = json.dumps(
        {name: value for name, value in block.items() if name != "cache_control"}, sort_keys=True
    )
    count = PICTURE_TOKENS if block.get("type") in UNREAD else tokens(text)
    return Segment(text, count, _ttl(block, f"{place}.cache_control"))


def _ttl(block: dict[str, Any], place: str) -> str:
    told = block.get("cache_control")
    if told is None:
        return ""
    ttl = told.get("ttl", "5m") if isinstance(told, dict) else None
    if not isinstance(told, dict) or told.get("type") != "ephemeral":
        raise invalid(f"{place}.type: Input should be 'ephemeral'")
    if not isinstance(ttl, str) or ttl not in LIFETIMES:
        raise invalid(f"{place}.ephemeral.ttl: Input should be '5m' or '1h'")
    return ttl
