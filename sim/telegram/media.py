"""Pictures, files, sounds and films: uploaded with the call or known by their file_id, as Message fields."""

from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from sim.telegram.content import caption_of
from sim.telegram.engine import Engine
from sim.telegram.errors import bad_request
from sim.telegram.images import image_size, image_type
from sim.telegram.params import Params, Upload
from sim.telegram.people import Json

_LARGEST_PHOTO = 10 * 1024 * 1024  # bytes
_LARGEST_FILE = 50 * 1024 * 1024

#: How the pieces are called in a refusal.
_NAMES = {"video_note": "video note"}


def media_of(engine: Engine, params: Params, kind: str) -> Json:
    """The file named `kind` with its caption; the fields of all other kinds are None, so that it can take their place."""
    caption = caption_of(engine, params) if kind not in ("video_note", "sticker") else {}
    file_id, name, content_type, data = _file(engine, params, kind, _NAMES.get(kind, kind))
    common = {"file_id": file_id, "file_unique_id": file_id.lower(), "file_size": len(data)}
    fields = _FIELDS[kind](params, common, name, content_type, data) | _thumbnail(engine, params, kind)
    content: Json = dict.fromkeys(_FIELDS)
    content |= {kind: [fields] if kind == "photo" else fields}
    if kind == "animation":  # for programs that are older than animations
        content["document"] = {k: v for k, v in fields.items() if k not in ("width", "height", "duration")}
    spoiler = True if params.flag("has_spoiler") and kind in ("photo", "video", "animation") else None
    return content | {"has_media_spoiler": spoiler} | caption


def input_media(engine: Engine, params: Params, media: Any, *, album: bool) -> Json:
    """An InputMedia object as Message fields."""
    if not isinstance(media, dict):
        raise bad_request("can't parse InputMedia: expected an Object")
    kind = str(media.get("type"))
    if album and kind == "animation":
        raise bad_request(f"can't parse InputMedia: type \"{kind}\" can't be used in sendMediaGroup")
    if kind not in ("photo", "video", "animation", "audio", "document"):
        raise bad_request(f'can\'t parse InputMedia: type "{kind}" is unsupported')
    if not media.get("media"):
        raise bad_request("can't parse InputMedia: media not found")
    inner = {name: value for name, value in media.items() if name not in ("type", "media")}
    return media_of(engine, Params(inner | {kind: media["media"]}, params.uploads), kind)


def _file(engine: Engine, params: Params, kind: str, what: str) -> tuple[str, str, str, bytes]:
    """(file_id, name, media type, content) of a file that came along, or that is known."""
    value = params.text(kind).strip()
    upload = _upload(params, kind, value)
    if upload is not None:
        if not upload.data:
            raise bad_request("file must be non-empty")
        limit = _LARGEST_PHOTO if kind == "photo" else _LARGEST_FILE
        if len(upload.data) > limit:
            size, article = len(upload.data), f"for a {what}"
            raise bad_request(
                f"file of size {size} bytes is too big {article}; the maximum size is {limit} bytes"
            )
        file_id = engine.keep_file(upload.name, upload.content_type, upload.data, kind)
        return file_id, upload.name, upload.content_type, upload.data
    if not value or value.startswith("attach://"):
        raise bad_request(f"there is no {what} in the request")
    record = engine.file(value)
    if record is None:
        if value.startswith(("http://", "https://")):
            raise bad_request("failed to get HTTP URL content")
        raise bad_request("wrong remote file identifier specified: Wrong string length")
    known = record.get("kind") or kind
    if known != kind and not {known, kind} <= _ALIKE:
        raise bad_request(f"can't use file of type {known.title()} as {kind.title()}")
    return value, record["name"], record["content_type"], engine.file_data(value)


#: Files that can be sent as one another.
_ALIKE = {"document", "animation", "video", "audio", "voice"}


def _upload(params: Params, kind: str, value: str) -> Upload | None:
    return params.uploads.get(value.removeprefix("attach://") if value.startswith("attach://") else kind)


def _thumbnail(engine: Engine, params: Params, kind: str) -> Json:
    """The small picture that came along, where a kind can have one and it is a picture."""
    upload = _upload(params, "thumbnail", params.text("thumbnail")) or params.uploads.get("thumb")
    size = image_size(upload.data) if upload is not None else None
    if upload is None or size is None or kind in ("photo", "voice", "sticker"):
        return {}
    file_id = engine.keep_file(upload.name, upload.content_type, upload.data, "photo")
    common = {"file_id": file_id, "file_unique_id": file_id.lower(), "file_size": len(upload.data)}
    return {"thumbnail": common | {"width": size[0], "height": size[1]}}


def _photo(params: Params, common: Json, name: str, content_type: str, data: bytes) -> Json:
    size = image_size(data)
    if size is None:
        raise bad_request("IMAGE_PROCESS_FAILED")
    width, height = size
    if width + height > 10_000 or max(size) > 20 * min(size):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return common | {"width": width, "height": height}


def _document(params: Params, common: Json, name: str, content_type: str, data: bytes) -> Json:
    return common | {"file_name": name, "mime_type": content_type}


def _film(params: Params, common: Json, name: str, content_type: str, data: bytes) -> Json:
    """Nothing here looks into a film: its size and length are what the bot says, or the picture's."""
    width, height = image_size(data) or (0, 0)
    return _document(params, common, name, content_type, data) | {
        "width": params.integer("width") or width,
        "height": params.integer("height") or height,
        "duration": params.integer("duration"),
    }


def _audio(params: Params, common: Json, name: str, content_type: str, data: bytes) -> Json:
    told = {key: params.text(key) for key in ("performer", "title") if params.has(key)}
    duration = {"duration": params.integer("duration")}
    return _document(params, common, name, content_type, data) | duration | told


def _voice(params: Params, common: Json, name: str, content_type: str, data: bytes) -> Json:
    return common | {"duration": params.integer("duration"), "mime_type": content_type}


def _video_note(params: Params, common: Json, name: str, content_type: str, data: bytes) -> Json:
    return common | {"length": params.integer("length"), "duration": params.integer("duration")}


def _sticker(params: Params, common: Json, name: str, content_type: str, data: bytes) -> Json:
    suffix = PurePath(name).suffix.lower()
    if image_type(data) is None and suffix not in (".tgs", ".webm"):
        raise bad_request("STICKER_INVALID_DIMENSIONS")
    width, height = image_size(data) or (512, 512)
    moves = {"is_animated": suffix == ".tgs", "is_video": suffix == ".webm"}
    emoji = {"emoji": params.text("emoji")} if params.has("emoji") else {}
    return common | {"type": "regular", "width": width, "height": height} | moves | emoji


_Reader = Callable[[Params, Json, str, str, bytes], Json]

#: What Telegram says of each kind.
_FIELDS: dict[str, _Reader] = {
    "photo": _photo,
    "document": _document,
    "animation": _film,
    "audio": _audio,
    "video": _film,
    "video_note": _video_note,
    "voice": _voice,
    "sticker": _sticker,
}
