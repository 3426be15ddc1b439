"""The road to Telegram ends every request: with an answer, or in time without one."""

import asyncio
import contextlib

import pytest
from telegram.error import NetworkError, TimedOut

from bot import transport
from bot.transport import AiohttpRequest


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer that is always about to go on."""
    await reader.readline()
    with contextlib.closing(writer):
        await _drip(writer)


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)  # the drip is what is tried here


async def test_an_answer_by_the_drop_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a byte now and then keeps nobody for ever: the poll is asked anew."""
    monkeypatch.setattr(transport, "DRIP_SECONDS", 0.3)
    server = await asyncio.start_server(dripping, "127.0.0.1", 0)
    request = AiohttpRequest(read_timeout=0.2, connect_timeout=0.2)
    try:
        address = server.sockets[0].getsockname()
        with pytest.raises(TimedOut):
            await asyncio.wait_for(request.do_request(f"http://{address[0]}:{address[1]}/x", "POST"), 5)
    finally:
        await request.shutdown()
        server.close()


async def test_nobody_there_is_told_without_the_address() -> None:
    """The address has the bot's token in it, so an error never names it."""
    server = await asyncio.start_server(dripping, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    request = AiohttpRequest()
    with pytest.raises(NetworkError) as told:
        await request.do_request(f"http://127.0.0.1:{port}/bot123:secret/getMe", "POST")
    assert "secret" not in str(told.value)
    await request.shutdown()
