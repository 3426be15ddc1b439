"""Who may talk to a server on this machine's loopback: not every page that a browser has open.

A page of a stranger can reach 127.0.0.1, by its number or (DNS rebinding) by a name of its own. So the Host has to be
loopback, and an Origin, which browsers add and programs do not, has to be this very server.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

_LOOPBACK = {"127.0.0.1", "localhost"}


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse strangers with 403."""
    if request.host.partition(":")[0] not in _LOOPBACK:
        return web.Response(status=403, text="This server answers to 127.0.0.1 and localhost only.\n")
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.host}":
        return web.Response(status=403, text="This server does not answer to other pages.\n")
    return await handler(request)
