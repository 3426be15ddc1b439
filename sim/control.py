"""The control port: how a test or a person arranges a situation and reads what truly happened. HTTP and JSON on loopback.

Each server contributes its routes; here are the conventions they share. A body or a query is described by a pydantic model,
an answer is a JSON object, and whatever is wrong with a request is said in one sentence with status 400. `GET /` and
`GET /openapi.json` are made of the same descriptions, so that neither can forget a route or a field.
"""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema

from sim.journal import Journal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Mapping[str, Any] | None
LONGEST_POLL = 120.0
LIST = "GET / lists what there is"
_log = logging.getLogger(__name__)


class Body(BaseModel):
    """The shape of a request's JSON body, or of its query: nothing but the fields it names, of their own types."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Body):
    """A body without fields."""


class Since(Body):
    """Where in a journal to read on, and how long to wait for more."""

    after: Annotated[int, Field(ge=0)] = 0
    timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0


class Wrong(ValueError):
    """What a request asked for cannot be; its text says why, and what could be."""


B = TypeVar("B", bound=Body)


def get(path: str, question: Callable[[], Answer]) -> web.RouteDef:
    """A route that answers a question; the question's docstring is what the list of routes says about it."""

    def ask(_: Nothing) -> Answer:
        return question()

    return look(path, Nothing, functools.wraps(question)(ask))


def look(path: str, query: type[B], question: Callable[[B], Answer | Awaitable[Answer]]) -> web.RouteDef:
    """A route that answers a question with a query."""

    @functools.wraps(question)
    async def handle(request: web.Request) -> web.StreamResponse:
        with_query = dict(request.query)
        try:
            value = query.model_validate(with_query)
        except ValidationError as error:
            raise Wrong(_sentence(error, query, "the query")) from None
        return await _answered(question(value))

    handle.__dict__["query"] = query
    return web.get(path, handle)


def post(path: str, body: type[B], action: Callable[[B], Answer | Awaitable[Answer]]) -> web.RouteDef:
    """A route that does something with a body; the action's docstring is what the list of routes says about it."""

    @functools.wraps(action)
    async def handle(request: web.Request) -> web.StreamResponse:
        text = await request.read()
        try:
            value = body.model_validate_json(text or b"{}")
        except ValidationError as error:
            raise Wrong(_sentence(error, body, "the body")) from None
        return await _answered(action(value))

    handle.__dict__["body"] = body
    return web.post(path, handle)


def events(path: str, journal: Journal) -> web.RouteDef:
    """The route that reads a journal and waits for more of it."""

    async def told(query: Since) -> Answer:
        """What happened after ?after=SEQ; waits up to ?timeout=SECONDS (at most 120) for something."""
        found = await journal.wait(query.after, min(query.timeout, LONGEST_POLL))
        return {"events": found, "last": found[-1]["seq"] if found else journal.last}

    return look(path, Since, told)


async def _answered(answer: Answer | Awaitable[Answer]) -> web.StreamResponse:
    told = await answer if inspect.isawaitable(answer) else answer
    return web.json_response(told or {})


def _sentence(error: ValidationError, body: type[Body], what: str) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    known = ", ".join(
        f"{name}{'' if info.is_required() else '?'}" for name, info in body.model_fields.items()
    )
    shape = "a JSON object with" if what == "the body" else "made of"
    words = first["msg"].removeprefix("Value error, ")
    return f"{where + ': ' if where else ''}{words} ({what} is {shape}: {known or 'nothing'})"


def application(routes: Iterable[web.RouteDef]) -> web.Application:
    """The control port's application: these routes, a list of them at /, and the door that keeps web pages out."""
    routes = list(routes)

    def index() -> Answer:
        """This list."""
        return {"routes": [described(route) for route in routes]}

    def openapi() -> Answer:
        """The same list as an OpenAPI document, for tools that read one."""
        return _openapi(routes)

    routes[:0] = [get("/", index), get("/openapi.json", openapi)]
    app = web.Application(middlewares=[_door])
    app.add_routes(routes)
    return app


def described(route: web.RouteDef) -> dict[str, Any]:
    """A route as `GET /` lists it: method, path, what it does, and the fields of its body or query by name."""
    does = _does(route)
    fields = {}
    for place in ("query", "body"):
        shape = getattr(route.handler, place, Nothing)
        if shape.model_fields:
            fields[place] = _fields(shape)
    return {"method": route.method, "path": route.path, "does": does, **fields}


def _does(route: web.RouteDef) -> str:
    return (inspect.getdoc(route.handler) or "").partition("\n\n")[0].replace("\n", " ")


def _fields(shape: type[Body]) -> dict[str, Any]:
    schema = shape.model_json_schema()
    required = set(schema.get("required", ()))
    return {
        name: {"type": _type(part, schema.get("$defs", {}))}
        | ({"required": True} if name in required else {"default": part.get("default")})
        | ({"means": means} if (means := _means(part)) else {})
        for name, part in schema["properties"].items()
    }


def _means(part: Mapping[str, Any]) -> str:
    found = (one.get("description") for one in (part, *part.get("anyOf", ())))
    return next((text for text in found if text), "")


_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


def _type(part: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """A JSON schema in words: "integer from 1", "one of auto, hold", "number above 0 or null"."""
    if "$ref" in part:
        part = known[part["$ref"].rpartition("/")[2]]
    if "const" in part:
        return f"{part['const']!r}"
    if "enum" in part:
        return "one of " + ", ".join(map(str, part["enum"]))
    if "anyOf" in part:
        kinds = [_type(one, known) for one in part["anyOf"]]
        if any(kind.startswith("number") for kind in kinds):  # a number that may also be written as a text
            kinds = [kind for kind in kinds if kind != "string"]
        return " or ".join(kinds)
    kind = str(part.get("format", part.get("type", "anything")))
    if kind == "array":
        kind = f"list of {_type(part.get('items', {}), known)}"
    bounds = [f"{word} {part[name]:,}".replace(".0", "") for name, word in _BOUNDS.items() if name in part]
    pattern = [f"like {part['pattern']}"] if "pattern" in part and kind == "string" else []
    return " ".join([kind, *bounds, *pattern])


def _openapi(routes: Iterable[web.RouteDef]) -> dict[str, Any]:
    routes = list(routes)
    shapes = {
        shape: "validation"
        for route in routes
        if (shape := getattr(route.handler, "body", Nothing)).model_fields
    }
    refs, components = models_json_schema(
        [(shape, "validation") for shape in shapes], ref_template="#/components/schemas/{model}"
    )
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "one sentence"}},
    }
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        body: type[Body] = getattr(route.handler, "body", Nothing)
        query = getattr(route.handler, "query", Nothing).model_json_schema()
        operation: dict[str, Any] = {
            "summary": _does(route),
            "operationId": f"{route.method.lower()}{route.path.replace('/', '_').replace('.', '_')}",
            "responses": {
                "200": {
                    "description": "done",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "400": {
                    "description": "what is wrong with the request, in one sentence",
                    "content": {"application/json": {"schema": error}},
                },
            },
        }
        if body.model_fields:
            required = any(field.is_required() for field in body.model_fields.values())
            operation["requestBody"] = {
                "required": required,
                "content": {"application/json": {"schema": refs[body, "validation"]}},
            }
        if query.get("properties"):
            operation["parameters"] = [
                {"name": name, "in": "query", "required": name in query.get("required", ()), "schema": schema}
                for name, schema in query["properties"].items()
            ]
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "The control port of the simulated world", "version": "1"},
        "paths": paths,
        "components": {"schemas": components.get("$defs", {})},
    }


@web.middleware
async def _door(request: web.Request, handler: Handler) -> web.StreamResponse:
    host = request.host.rsplit(":", 1)[0]
    if host not in {"127.0.0.1", "localhost"}:
        return _refused(403, f"this port answers to 127.0.0.1 and localhost, not to {host!r}")
    if "Origin" in request.headers:
        return _refused(403, "this port does not serve web pages: a request with an Origin is refused")
    try:
        return await handler(request)
    except Wrong as error:
        return _refused(400, str(error))
    except web.HTTPException as error:
        return _refused(error.status, f"{error.reason}: {request.method} {request.path} ({LIST})")
    except Exception as error:  # noqa: BLE001 - whoever asked is told, whatever it was
        _log.exception("%s %s", request.method, request.path)
        return _refused(
            500, f"a mistake of the simulator, not of the request: {type(error).__name__}: {error}"
        )


def _refused(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)
