"""How an answer leaves over the connection, properly or not."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from sim.model.messages import events

Behaviour = Callable[[web.Request, dict[str, str], bytes, float | None], Awaitable[web.StreamResponse]]
"""Gets the request, the headers and body of the proper answer, and the fault's seconds."""


def rendered(value: dict[str, Any], stream: bool) -> bytes:
    """A JSON body, or a message as server-sent events."""
    if not stream:
        return json.dumps(value).encode()
    return "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events(value)).encode()


async def _stall(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float | None
) -> web.StreamResponse:
    await asyncio.Event().wait()  # ended by the client or by the server's close, through cancellation
    return web.Response(body=body, headers=head)


async def _slow(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float | None
) -> web.StreamResponse:
    await asyncio.sleep(1 if seconds is None else seconds)
    return web.Response(body=body, headers=head)


async def _pings(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float | None
) -> web.StreamResponse:
    response = web.StreamResponse(headers=head)
    await response.prepare(request)
    ping = b'event: ping\ndata: {"type": "ping"}\n\n' if "event-stream" in head["Content-Type"] else b" "
    while True:
        await response.write(ping)
        await asyncio.sleep(0.05 if seconds is None else seconds)


async def paced(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float
) -> web.StreamResponse:
    """A stream in which every event comes `seconds` after the one before."""
    response = web.StreamResponse(headers=head)
    await response.prepare(request)
    for event in _events(body):
        await response.write(event)
        await asyncio.sleep(seconds)
    await response.write_eof()
    return response


async def _stream_error(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float | None
) -> web.StreamResponse:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    if "event-stream" not in head["Content-Type"]:
        return web.json_response(
            error | {"request_id": head["request-id"]}, status=529, headers=_without_type(head)
        )
    begun = _events(body)
    begun = begun[: max(1, len(begun) // 2)]
    said = f"event: error\ndata: {json.dumps(error | {'request_id': head['request-id']})}\n\n"
    return web.Response(body=b"".join(begun) + said.encode(), headers=head)


def _events(body: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in body.split(b"\n\n") if event]


def _without_type(head: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in head.items() if name != "Content-Type"}


async def _cut(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float | None
) -> web.StreamResponse:
    response = web.StreamResponse(headers=head)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return _hang_up(request, response)


async def _garbage(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float | None
) -> web.StreamResponse:
    return web.Response(body=b"\x00\xff{]" + body[::-1], headers=head)


async def _html(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float | None
) -> web.StreamResponse:
    page = "<!doctype html><html><body><h1>Sign in to this network</h1></body></html>"
    return web.Response(text=page, content_type="text/html", headers=_without_type(head))


async def _not_http(
    request: web.Request, head: dict[str, str], body: bytes, seconds: float | None
) -> web.StreamResponse:
    if isinstance(transport := request.transport, asyncio.Transport):
        transport.write(b"SSH-2.0-surprise\r\n\x00\x01\x02\r\n")
    return _hang_up(request, web.Response())


def _hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection once what was written has gone out."""
    if request.transport is not None:
        request.transport.close()
    return response


BEHAVIOURS: Mapping[str, Behaviour] = {
    "stall": _stall,
    "slow": _slow,
    "pings": _pings,
    "stream_error": _stream_error,
    "cut": _cut,
    "garbage": _garbage,
    "html": _html,
    "not_http": _not_http,
}
