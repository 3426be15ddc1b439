"""The chat page's side of the server: the key and the cookie, the files of the page, and the live websocket.

A local port is reachable from every page in the same browser, so the page opens only with the random key from the
printed address. The key is exchanged for a cookie at once and disappears from the address bar.
"""

import asyncio
import hmac
import json
import secrets
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from sim.journal import Event
from sim.telegram.engine import Engine, PersonError
from sim.telegram.images import image_type
from sim.telegram.memory import Memory
from sim.telegram.people import Json
from sim.telegram.view import seen

_FILES = Path(__file__).parent / "page"
_TYPES = {
    **dict.fromkeys(
        ("app.js", "composer.js", "dom.js", "live.js", "message.js", "text.js"), "text/javascript"
    ),
    **dict.fromkeys(("icon.svg", "pattern.svg"), "image/svg+xml"),
    "style.css": "text/css",
}

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

#: How many messages come with the first greeting, and with every look further back.
_PAGE = 200

#: Longest text a person can send at once, as on a phone.
_LONGEST = 4096


class ChatPage:
    """The page of one person. `key` opens it; it is random, and remembered, so that a bookmark and an open tab survive a restart."""

    def __init__(self, engine: Engine, memory: Memory) -> None:
        self._engine = engine
        kept = memory.get("telegram.state", "page") or {
            "key": secrets.token_urlsafe(24),
            "session": secrets.token_urlsafe(32),
        }
        memory.put("telegram.state", "page", kept)
        self.key, self._session = str(kept["key"]), str(kept["session"])
        self._sockets: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.RouteDef]:
        """Where the page lives."""
        return [
            web.get("/", self._index),
            web.get("/live", self._live),
            web.get("/page/{name}", self._asset),
            web.get("/files/{file_id}", self._file),
        ]

    async def disconnect(self, app: web.Application) -> None:
        """Say goodbye to every open page."""
        for socket in tuple(self._sockets):
            await socket.close(code=1001, message=b"the simulator is ending", drain=False)

    # Doors

    def _cookie(self, request: web.Request) -> str:
        """Cookies do not know ports, so the name does."""
        return f"chat_{request.url.port}"

    def _knows(self, request: web.Request) -> bool:
        cookie = request.cookies.get(self._cookie(request), "")
        return hmac.compare_digest(cookie.encode(), self._session.encode())

    def _refused(self) -> web.Response:
        text = "This chat opens with the address that was printed at the start: it carries the key.\n"
        return web.Response(status=403, text=text, headers=_HEADERS)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        key = request.query.get("key")
        if key is not None and hmac.compare_digest(key.encode(), self.key.encode()):
            answer = web.Response(status=303, headers=_HEADERS | {"Location": "/"})
            answer.set_cookie(
                self._cookie(request), self._session, httponly=True, samesite="Strict", path="/"
            )
            return answer
        if not self._knows(request):
            return self._refused()
        return web.FileResponse(_FILES / "index.html", headers=_HEADERS)

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if not self._knows(request):
            return self._refused()
        if name not in _TYPES:
            return web.Response(status=404, text="There is no such file.\n", headers=_HEADERS)
        return web.FileResponse(_FILES / name, headers=_HEADERS | {"Content-Type": _TYPES[name]})

    async def _file(self, request: web.Request) -> web.Response:
        if not self._knows(request):
            return self._refused()
        record = self._engine.file(request.match_info["file_id"])
        if record is None:
            return web.Response(status=404, text="There is no such file.\n", headers=_HEADERS)
        data = self._engine.file_data(request.match_info["file_id"])
        if picture := image_type(data):  # a browser may show these; everything else is only ever saved
            return web.Response(body=data, headers=_HEADERS | {"Content-Type": picture})
        saved = {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"}
        return web.Response(body=data, headers=_HEADERS | saved)

    # The live chat

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request) or "Origin" not in request.headers:
            return self._refused()
        socket = web.WebSocketResponse(heartbeat=20, max_msg_size=256 * 1024)
        await socket.prepare(request)
        self._sockets.add(socket)
        outgoing: asyncio.Queue[Json] = asyncio.Queue()
        outgoing.put_nowait(self._greeting())
        stop = self._engine.journal.listen(lambda event: self._tell(event, outgoing))
        sender = asyncio.create_task(_send_all(socket, outgoing))
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    outgoing.put_nowait(self._obey(frame.data))
        finally:
            stop()
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._sockets.discard(socket)
        return socket

    def _greeting(self) -> Json:
        """Everything a page needs to begin, or to begin again after a broken connection."""
        engine = self._engine
        history = engine.history(engine.owner["id"])
        return {
            "type": "hello",
            "bot": {"name": engine.bot["first_name"], "username": engine.bot["username"]},
            "user": {"id": engine.owner["id"], "name": engine.owner["first_name"]},
            "messages": [self._view(message) for message in history[-_PAGE:]],
            "more": len(history) > _PAGE,
            "commands": engine.command_menu(),
            "pinned": engine.pinned.get(str(engine.owner["id"])),
            "blocked": engine.owner["id"] in engine.blocked,
            "fetched": engine.updates.delivered,
            "now": engine.clock.now().timestamp(),
        }

    def _view(self, message: Json) -> Json:
        """A message as the page shows it; it has its second tick once its update has been fetched."""
        return seen(message, self._engine.bot["id"]) | {
            "update_id": self._engine.update_of(message["message_id"])
        }

    def _tell(self, event: Event, outgoing: asyncio.Queue[Json]) -> None:
        """Put what concerns the page into its queue."""
        engine = self._engine
        owner = engine.owner["id"]
        kind = event["kind"]
        if kind == "delivered":
            outgoing.put_nowait({"type": "fetched", "up_to": engine.updates.delivered})
        elif kind == "answerCallbackQuery":
            outgoing.put_nowait(
                {"type": "answer"}
                | {key: event[key] for key in ("callback_query_id", "text", "show_alert", "url")}
            )
        elif kind == "setMyCommands":
            outgoing.put_nowait({"type": "commands", "commands": engine.command_menu()})
        elif kind in ("blocked", "unblocked") and event["user_id"] == owner:
            outgoing.put_nowait({"type": "blocked", "blocked": kind == "blocked"})
        elif event.get("chat_id") != owner:
            return
        elif kind == "sendChatAction":
            outgoing.put_nowait({"type": "action", "action": event["action"]})
        elif kind == "deleteMessage":
            outgoing.put_nowait({"type": "deleted", "id": event["message_id"]})
        elif kind in ("pinChatMessage", "unpinChatMessage"):
            outgoing.put_nowait({"type": "pinned", "id": engine.pinned.get(str(owner))})
        elif message := engine.messages.get(event.get("message_id", 0)):
            outgoing.put_nowait({"type": "message", "message": self._view(message)})

    def _obey(self, text: str) -> Json:
        """Do what the person asks for on the page, and say how it went; `nonce` comes back."""
        engine = self._engine
        owner = engine.owner["id"]
        try:
            request = json.loads(text)
            nonce = request.get("nonce")
            match request:
                case {"type": "send", "text": str(body)}:
                    reply_to = request.get("reply_to")
                    ids = engine.say(
                        owner, body[:_LONGEST], reply_to=reply_to if isinstance(reply_to, int) else None
                    )
                    return {"type": "done", "nonce": nonce, "id": ids["message_id"]}
                case {"type": "edit", "id": int(message_id), "text": str(body)}:
                    engine.edit(message_id, body[:_LONGEST])
                    return {"type": "done", "nonce": nonce, "id": message_id}
                case {"type": "press", "id": int(message_id), "data": str(data)}:
                    return {"type": "pressed", "nonce": nonce, **engine.press(message_id, data)}
                case {"type": "older", "before": int(before)}:
                    older = [message for message in engine.history(owner) if message["message_id"] < before]
                    views = [self._view(message) for message in older[-_PAGE:]]
                    return {"type": "older", "nonce": nonce, "messages": views, "more": len(older) > _PAGE}
                case {"type": "block", "blocked": bool(blocked)}:
                    engine.block(owner, blocked)
                    return {"type": "done", "nonce": nonce}
                case _:
                    return {"type": "error", "nonce": nonce, "text": "The page asked for something unknown."}
        except PersonError as error:
            return {"type": "error", "nonce": nonce, "text": str(error)}
        except (ValueError, AttributeError):
            return {"type": "error", "nonce": None, "text": "The page sent something that is no JSON object."}


async def _send_all(socket: web.WebSocketResponse, outgoing: asyncio.Queue[Any]) -> None:
    while True:
        await socket.send_json(await outgoing.get())
