"""Messages as a person sees them, for the chat page and the control port. Pure."""

from typing import Any

from sim.telegram.people import Json


def seen(message: Json, bot_id: int) -> Json:
    """One message: {id, from: "bot"|"user", text, entities, buttons, date, edited, ...}; `text` is the caption where there is one.

    `buttons` are rows of {"text"} with "data", "url" or "copy". `date` counts seconds since 1970.
    """
    view: Json = {
        "id": message["message_id"],
        "from": "bot" if message["from"]["id"] == bot_id else "user",
        "user": message["from"]["id"],
        "name": message["from"]["first_name"],
        "text": message.get("text", message.get("caption", "")),
        "entities": message.get("entities", message.get("caption_entities", [])),
        "buttons": [
            [_button(button) for button in row]
            for row in message.get("reply_markup", {}).get("inline_keyboard", [])
        ],
        "date": message["date"],
        "edited": "edit_date" in message,
    }
    if photo := message.get("photo"):
        view["photo"] = _file(photo[-1]) | {"width": photo[-1]["width"], "height": photo[-1]["height"]}
    if document := message.get("document"):
        view["document"] = _file(document) | {"name": document["file_name"], "type": document["mime_type"]}
    if reply := message.get("reply_to_message"):
        view["reply"] = {"id": reply["message_id"], "name": reply["from"]["first_name"], "text": _line(reply)}
    if "forward_origin" in message:
        view["forwarded"] = message["forward_origin"].get("sender_user_name", "")
    return view


def _button(button: Json) -> Json:
    kinds: dict[str, Any] = {
        "data": button.get("callback_data"),
        "url": button.get("url"),
        "copy": button.get("copy_text", {}).get("text"),
        "style": button.get("style"),
    }
    return {"text": button["text"]} | {key: value for key, value in kinds.items() if value is not None}


def _file(file: Json) -> Json:
    return {"file_id": file["file_id"], "size": file["file_size"]}


def _line(message: Json) -> str:
    text: str = message.get("text") or message.get("caption") or ("Photo" if "photo" in message else "File")
    return text.splitlines()[0][:80] if text else ""
