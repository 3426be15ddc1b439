"""JSON schemas of structured output: what the API refuses in one, and an answer made to fit one."""

from collections.abc import Iterator
from typing import Any

UNSUPPORTED = {
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "string": {"minLength", "maxLength"},
    "array": {"maxItems", "uniqueItems"},
    "object": {"minProperties", "maxProperties", "patternProperties"},
}
"""Keywords the API answers with a 400, because its grammar cannot express them."""

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "array": (list,), "object": (dict,), "null": (type(None),),
}  # fmt: skip
EMPTY: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}

MAX_DEPTH, MAX_NODES = 32, 10_000
"""Where a schema that contains itself, or multiplies, is given up."""


def complaint(schema: Any) -> str | None:
    """Why the API would refuse this schema, in its words, or None."""
    if not isinstance(schema, dict):
        return "Input should be an object"
    for node in _nodes(schema):
        if "enum" in node and not _is_choice(node["enum"]):
            return "'enum' must be a non-empty list of texts, numbers, booleans or null"
        for kind in _kinds(node):
            if not isinstance(kind, str) or kind not in TYPES:
                return f"Invalid schema type: {kind!r}"
            if bad := sorted(UNSUPPORTED.get(kind, set()) & node.keys()):
                what, verb = ("property", "is") if len(bad) == 1 else ("properties", "are")
                return f"For '{kind}' type, {what} {', '.join(bad)} {verb} not supported"
            if kind == "array" and node.get("minItems", 0) not in (0, 1):
                return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
            if kind == "object" and node.get("additionalProperties") is not False:
                return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    return None


def conform(value: Any, schema: dict[str, Any]) -> Any:
    """`value` made to fit `schema` as well as it can be: unknown keys go, missing ones become null or empty, text and numbers convert."""
    budget = iter(range(MAX_NODES))

    def fit(value: Any, node: Any, depth: int) -> Any:
        if depth > MAX_DEPTH or next(budget, None) is None:
            return None
        node = _resolve(node, schema)
        options = node.get("anyOf") or node.get("oneOf")
        if isinstance(options, list) and options:
            best = min(
                (_resolve(option, schema) for option in options), key=lambda option: _strain(value, option)
            )
            return fit(value, best, depth + 1)
        value = value if _fits(value, node) else _converted(value, node)
        if isinstance(value, dict) and isinstance(node.get("properties"), dict):
            return {
                name: fit(value.get(name), inner, depth + 1) for name, inner in node["properties"].items()
            }
        if isinstance(value, list) and "items" in node:
            return [fit(item, node["items"], depth + 1) for item in value]
        return value

    return fit(value, schema, 0)


def _is_choice(enum: Any) -> bool:
    return (
        isinstance(enum, list)
        and bool(enum)
        and all(one is None or isinstance(one, str | int | float) for one in enum)
    )


def _kinds(node: dict[str, Any]) -> list[Any]:
    kind = node.get("type", [])
    return kind if isinstance(kind, list) else [kind]


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """`node` and every schema inside it. A loop, because a hostile schema may be nested deeper than the stack."""
    waiting = [node]
    while waiting:
        schema = waiting.pop()
        if not isinstance(schema, dict):
            continue
        yield schema
        for key in ("properties", "$defs", "definitions"):
            inner = schema.get(key)
            waiting.extend(inner.values() if isinstance(inner, dict) else ())
        for key in ("anyOf", "allOf", "oneOf"):
            inner = schema.get(key)
            waiting.extend(inner if isinstance(inner, list) else ())
        waiting.append(schema.get("items"))


def _resolve(node: Any, root: dict[str, Any]) -> dict[str, Any]:
    """`node`, or what its local `$ref` points at ({} where that is nowhere)."""
    for _ in range(8):  # a chain of references longer than this is a loop
        if not isinstance(node, dict):
            break
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node
        node = root
        for part in reference.removeprefix("#/").split("/"):
            node = node.get(part) if isinstance(node, dict) else None
    return {}


def _fits(value: Any, node: dict[str, Any]) -> bool:
    if "enum" in node or "const" in node:
        allowed = node.get("enum", [node.get("const")])
        return any(value == one and type(value) is type(one) for one in allowed)
    kinds = _kinds(node)
    if isinstance(value, bool):
        return not kinds or "boolean" in kinds
    return not kinds or any(isinstance(value, TYPES[kind]) for kind in kinds if kind in TYPES)


def _strain(value: Any, node: dict[str, Any]) -> int:
    """How much is lost by making `value` fit `node`: nothing, its type, or all of it."""
    if _fits(value, node):
        return 0
    kinds = _kinds(node)
    if isinstance(value, int | float) and ("string" in kinds or "integer" in kinds):
        return 1
    return 2 if "null" in kinds else 3


def _converted(value: Any, node: dict[str, Any]) -> Any:
    """A value of the wrong type as the right one: null, then the same number or text, then the empty value."""
    if "enum" in node or "const" in node:
        allowed = node.get("enum") or [node.get("const")]
        return next(
            (one for one in allowed if str(one) == str(value)), None if None in allowed else allowed[0]
        )
    kinds = [kind for kind in _kinds(node) if kind in TYPES]
    if value is None and "null" in kinds:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "string" in kinds:
            return str(value)
        if "integer" in kinds:
            return int(value)
    return None if "null" in kinds else EMPTY[kinds[0]] if kinds else value
