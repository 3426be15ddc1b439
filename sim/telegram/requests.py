"""Reading a Bot API call off the wire: query, form, multipart or JSON, for every verb."""

import json
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, MultipartReader, web

from sim.telegram.errors import bad_request, too_large
from sim.telegram.params import Params, Upload

#: Telegram takes files of up to 50 MB.
_LARGEST = 51 * 1024 * 1024


async def read_params(request: web.Request) -> Params:
    """The parameters of the call, the body's before the query's. ApiError where the body is broken or too large."""
    try:
        return await _read(request)
    except web.HTTPRequestEntityTooLarge:
        raise too_large() from None


async def _read(request: web.Request) -> Params:
    if (request.content_length or 0) > _LARGEST:
        raise too_large()
    values: dict[str, Any] = dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.can_read_body:
        match request.content_type:
            case "application/json":
                values |= _json(await request.read())
            case "multipart/form-data":
                await _multipart(request, values, uploads)
            case _:
                body = (await request.read()).decode("utf-8", "surrogateescape")
                values |= parse_qsl(body, keep_blank_values=True, errors="surrogateescape")
    _check_letters(values)
    return Params(values, uploads)


def _check_letters(values: dict[str, Any]) -> None:
    """Refuse bytes that are no UTF-8, and halves of letters. Of texts it is the parse mode that says so."""
    for name, value in values.items():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            if name not in ("text", "caption"):
                raise bad_request("strings must be encoded in UTF-8") from None


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        raise bad_request("can't parse request body as a JSON object") from None
    if not isinstance(value, dict):
        raise bad_request("can't parse request body as a JSON object")
    return value


async def _parts(request: web.Request) -> MultipartReader:
    try:
        return await request.multipart()
    except ValueError:  # no boundary
        raise bad_request("can't parse request body as multipart/form-data") from None


async def _multipart(request: web.Request, values: dict[str, Any], uploads: dict[str, Upload]) -> None:
    size = 0
    async for part in await _parts(request):
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data = bytes(await part.read(decode=True))
        size += len(data)
        if size > _LARGEST:
            raise too_large()
        if part.filename is None:
            values[part.name] = data.decode("utf-8", "surrogateescape")
        else:
            kind = part.headers.get("Content-Type", "application/octet-stream")
            uploads[part.name] = Upload(part.filename, kind, data)
