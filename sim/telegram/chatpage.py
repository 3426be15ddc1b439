"""The chat page's side of the server: the key and the cookie, the files of the page, uploads, and the live websocket.

A local port is reachable from every page in the same browser, so the page opens only with the random key from the
printed address. The key is exchanged for a cookie at once and disappears from the address bar. Whoever has it plays every
person of this world; a socket speaks as one of them at a time, and hears only what that one sees.
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from sim.journal import Event
from sim.telegram import crowd, sight
from sim.telegram.engine import Engine, PersonError
from sim.telegram.images import image_type
from sim.telegram.memory import Memory
from sim.telegram.pagewishes import WISHES, Desk
from sim.telegram.people import Json

_FILES = Path(__file__).parent / "page"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_TYPES = {file.name: _KINDS[file.suffix] for file in _FILES.iterdir() if file.suffix in _KINDS}

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; frame-src https: http://127.0.0.1:* http://localhost:*; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class ChatPage:
    """The page. `key` opens it; it is random, and remembered, so that a bookmark and an open tab survive a restart."""

    def __init__(self, engine: Engine, memory: Memory, token: str) -> None:
        self._engine = engine
        self._token = token
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
            web.post("/upload", self._upload),
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

    async def _upload(self, request: web.Request) -> web.Response:
        """A file from the page: its bytes are the body, everything else is in the query."""
        if not self._knows(request) or "Origin" not in request.headers:
            return self._refused()
        query = request.query
        try:
            ids = crowd.upload(
                self._engine,
                _number(query.get("user"), self._engine.owner["id"]),
                await request.read(),
                name=query.get("name", "file"),
                content_type=request.content_type,
                caption=query.get("caption", ""),
                chat_id=_number(query.get("chat"), None),
                as_file=query.get("as") == "file",
                reply_to=_number(query.get("reply_to"), None),
                album=query.get("album") or None,
            )
        except PersonError as error:
            return web.json_response({"error": str(error)}, status=400, headers=_HEADERS)
        return web.json_response(ids, headers=_HEADERS)

    # The live chat

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if not self._knows(request) or "Origin" not in request.headers:
            return self._refused()
        socket = web.WebSocketResponse(heartbeat=20, max_msg_size=256 * 1024)
        await socket.prepare(request)
        self._sockets.add(socket)
        outgoing: asyncio.Queue[Json] = asyncio.Queue()
        desk = Desk(self._engine, self._token, int(request.url.port or 0))
        desk.sit(_number(request.query.get("user"), None), _number(request.query.get("chat"), None))
        outgoing.put_nowait(desk.greeting())
        stop = self._engine.journal.listen(lambda event: self._tell(event, desk, outgoing))
        sender = asyncio.create_task(_send_all(socket, outgoing))
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    outgoing.put_nowait(_obey(desk, frame.data))
        finally:
            stop()
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._sockets.discard(socket)
        return socket

    def _tell(self, event: Event, desk: Desk, outgoing: asyncio.Queue[Json]) -> None:
        """Put what concerns the person at the desk into the queue of their page."""
        engine, me = self._engine, desk.user
        kind = event["kind"]
        if told := _TOLD.get(kind):
            frame = told(event, desk)
            if frame is not None:
                outgoing.put_nowait(frame)
            return
        chat_id = event.get("chat_id")
        if not isinstance(chat_id, int) or not engine.is_in(chat_id, me):
            return
        for message_id in event.get("message_ids") or [event.get("message_id", 0)]:
            if kind.startswith("deleteMessage"):
                outgoing.put_nowait({"type": "deleted", "chat": chat_id, "id": message_id})
            elif message := engine.messages.get(message_id):
                shown = sight.view(engine, message, me)
                last = sight.last_line(engine, message, me)
                outgoing.put_nowait({"type": "message", "chat": chat_id, "message": shown, "last": last})
        if chat_id == desk.chat and (found := sight.pinned(engine, chat_id, me)) != desk.pinned:
            desk.pinned = found
            outgoing.put_nowait({"type": "pinned", "chat": chat_id, "message": found})


Told = Callable[[Event, Desk], Json | None]


def _fetched(event: Event, desk: Desk) -> Json:
    return {"type": "fetched", "up_to": desk.engine.updates.delivered}


def _answered(event: Event, desk: Desk) -> Json | None:
    if desk.engine.presser(event["callback_query_id"]) not in (0, desk.user):
        return None
    return {"type": "answer"} | {
        key: event[key] for key in ("callback_query_id", "text", "show_alert", "url")
    }


def _commands(event: Event, desk: Desk) -> Json:
    return {
        "type": "commands",
        "commands": sight.commands(desk.engine, desk.user, desk.chat),
        "menu": sight.menu_button(desk.engine, desk.user, desk.chat),
    }


def _blocked(event: Event, desk: Desk) -> Json | None:
    if event["user_id"] != desk.user:
        return None
    return {"type": "blocked", "blocked": event["kind"] == "blocked"}


def _acting(event: Event, desk: Desk) -> Json | None:
    if not desk.engine.is_in(event["chat_id"], desk.user):
        return None
    return {"type": "action", "chat": event["chat_id"], "action": event["action"]}


def _keyboard(event: Event, desk: Desk) -> Json | None:
    chat_id = event["chat_id"]
    if not desk.engine.is_in(chat_id, desk.user):
        return None
    return {"type": "keyboard", "chat": chat_id, "keyboard": sight.keyboard(desk.engine, desk.user, chat_id)}


def _people(event: Event, desk: Desk) -> Json:
    """Somebody came, or their place in a group changed: who is there and which chats are left."""
    return {"type": "people"} | desk.surroundings()


_TOLD: dict[str, Told] = {
    "delivered": _fetched,
    "answerCallbackQuery": _answered,
    "setMyCommands": _commands,
    "menuButton": _commands,
    "blocked": _blocked,
    "unblocked": _blocked,
    "sendChatAction": _acting,
    "keyboard": _keyboard,
    "person": _people,
    "group": _people,
    "member": _people,
}


def _obey(desk: Desk, text: str) -> Json:
    """Do what the person asks for on the page, and say how it went; `nonce` comes back."""
    nonce = None
    try:
        request = json.loads(text)
        if not isinstance(request, dict):
            raise PersonError("The page sent something that is no JSON object.")
        nonce = request.pop("nonce", None)
        wish = WISHES.get(str(request.pop("type", "")))
        if wish is None:
            raise PersonError("The page asked for something unknown.")
        return wish(desk, request) | {"nonce": nonce}
    except PersonError as error:
        return {"type": "error", "nonce": nonce, "text": str(error)}
    except ValueError:
        return {"type": "error", "nonce": nonce, "text": "The page sent something that is no JSON object."}


def _number(text: str | None, default: Any) -> Any:
    """A whole number from a query, `default` where it is none."""
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


async def _send_all(socket: web.WebSocketResponse, outgoing: asyncio.Queue[Any]) -> None:
    while True:
        await socket.send_json(await outgoing.get())
