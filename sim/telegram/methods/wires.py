"""Methods about the connection: files to fetch, and where updates go."""

import re
from pathlib import PurePath
from urllib.parse import urlsplit

from sim.telegram.engine import Engine
from sim.telegram.errors import bad_request
from sim.telegram.methods.common import Method, done
from sim.telegram.params import Params
from sim.telegram.people import Json
from sim.telegram.updates import KINDS

_FETCHABLE = 20 * 1024 * 1024  # bytes
_LOOPBACK = {"127.0.0.1", "localhost"}

#: Where files of a kind lie.
_FOLDERS = {
    "photo": "photos",
    "video": "videos",
    "animation": "animations",
    "audio": "music",
    "voice": "voice",
    "video_note": "video_notes",
    "sticker": "stickers",
}


def get_file(engine: Engine, params: Params) -> Json:
    """Where a file of up to 20 MB can be fetched."""
    if not params.has("file_id"):
        raise bad_request("file_id not specified")
    file_id = params.text("file_id")
    record = engine.file(file_id)
    if record is None:
        raise bad_request("invalid file_id")
    if record["size"] > _FETCHABLE:
        raise bad_request("file is too big")
    folder = _FOLDERS.get(record.get("kind", ""), "documents")
    number = int(file_id.removeprefix("SIMULATED"))
    return {
        "file_id": file_id,
        "file_unique_id": file_id.lower(),
        "file_size": record["size"],
        "file_path": f"{folder}/file_{number}{_suffix(record)}",
    }


def _suffix(record: Json) -> str:
    suffix = PurePath(record["name"]).suffix.lower()
    return (
        suffix
        if re.fullmatch(r"\.[a-z0-9]{1,8}", suffix)
        else ".jpg"
        if record.get("kind") == "photo"
        else ""
    )


def file_id_of(path: str) -> str:
    """The file that lies at a path, empty where none can."""
    match = re.fullmatch(r"[a-z_]+/file_([1-9][0-9]*)(?:\.[a-z0-9]{1,8})?", path)
    return f"SIMULATED{int(match[1]):08d}" if match else ""


# Webhooks


def set_webhook(engine: Engine, params: Params) -> Json:
    """Updates go to an address of this machine from now on, as a Bot API server of one's own has it; an empty one ends that.

    Returns {"result", "description"}: this answer has words even where it is a success.
    """
    url = params.text("url").strip()
    if not url:
        return delete_webhook(engine, params)
    _check_address(url)
    secret = params.text("secret_token")
    if len(secret) > 256:
        raise bad_request("secret token is too long")
    if not re.fullmatch("[A-Za-z0-9_-]*", secret):
        raise bad_request("secret token contains unallowed characters")
    connections = params.integer("max_connections", 40) if params.has("max_connections") else 40
    hook = {"url": url, "secret_token": secret, "max_connections": min(max(connections, 1), 100)}
    set_allowed(engine, params)
    if params.flag("drop_pending_updates"):
        engine.updates.clear()
    same = engine.settings.get("webhook") == hook
    engine.set("webhook", hook)
    engine.set("webhook error", None)
    engine.journal.record("setWebhook", url=url)
    return {"result": True, "description": "Webhook is already set" if same else "Webhook was set"}


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return
    if parts.scheme != "https":
        raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
    # Nothing here talks to anybody outside of this machine, and nothing on it has a certificate to show.
    raise bad_request("bad webhook: Failed to resolve host: Temporary failure in name resolution")


def set_allowed(engine: Engine, params: Params) -> None:
    """Which updates the bot wants from now on, where the call says; names that are none are passed over."""
    allowed = params.json("allowed_updates", list, "allowed_updates")
    if allowed is not None:
        engine.updates.allow([kind for kind in allowed if kind in KINDS])


def delete_webhook(engine: Engine, params: Params) -> Json:
    """No webhook any more; waiting updates go if the bot says so."""
    had = "webhook" in engine.settings
    engine.set("webhook", None)
    engine.set("webhook error", None)
    if params.flag("drop_pending_updates"):
        engine.updates.clear()
    if had:
        engine.journal.record("deleteWebhook")
    return {"result": True, "description": "Webhook was deleted" if had else "Webhook is already deleted"}


def get_webhook_info(engine: Engine, params: Params) -> Json:
    """Where updates go, how many wait, and what went wrong last."""
    hook = engine.settings.get("webhook")
    info: Json = {"url": "", "has_custom_certificate": False, "pending_update_count": len(engine.updates)}
    if hook:
        info |= {"url": hook["url"], "max_connections": hook["max_connections"], "ip_address": "127.0.0.1"}
        info |= engine.settings.get("webhook error", {})
    allowed = engine.updates.allowed
    return info | ({} if allowed is None else {"allowed_updates": allowed})


WIRES: dict[str, Method] = {
    "close": done,
    "deleteWebhook": delete_webhook,
    "getFile": get_file,
    "getWebhookInfo": get_webhook_info,
    "logOut": done,
    "setWebhook": set_webhook,
}
