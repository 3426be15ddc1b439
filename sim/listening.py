"""How a server of HTTP listens: on loopback only, and without waiting for the next packet before it sends."""

import socket

from aiohttp import web

HOST = "127.0.0.1"


async def listen(runner: web.AppRunner, port: int) -> int:
    """Let a runner listen on `port`, 0 for any free one. Returns the port; OSError where it is taken, and then nothing listens."""
    await runner.setup()
    # An explicit protocol: asyncio turns Nagle's algorithm off only where it can see that this is TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        await web.SockSite(runner, listener).start()
    except BaseException:
        listener.close()
        await runner.cleanup()
        raise
    return int(listener.getsockname()[1])
