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
    view |= {name: show(message) for name, show in _PARTS.items() if name in message or name == "document"}
    view = {name: part for name, part in view.items() if part is not None}
    if reply := message.get("reply_to_message"):
        quoted = message.get("quote", {}).get("text")
        view["reply"] = {
            "id": reply["message_id"],
            "name": reply["from"]["first_name"],
            "text": quoted or line(reply),
        }
    if "forward_origin" in message:
        view["forwarded"] = _origin(message["forward_origin"])
    if "media_group_id" in message:
        view["album"] = message["media_group_id"]
    for flag, name in _FLAGS.items():
        if message.get(flag):
            view[name] = True
    if service := service_line(message):
        view["service"] = service
    return view


_FLAGS = {
    "has_media_spoiler": "covered",
    "show_caption_above_media": "above",
    "has_protected_content": "protected",
}

#: Everything that a person can save, in the order in which a message has at most one of them.
_FILES = ("document", "animation", "video", "audio", "voice", "video_note", "sticker")


def _document(message: Json) -> Json | None:
    kind = next((kind for kind in _FILES if kind in message), None)
    if kind is None:
        return None
    file = message[kind]
    return _file(file) | {"name": file.get("file_name", kind), "type": file.get("mime_type", "")}


def _photo(message: Json) -> Json:
    largest = message["photo"][-1]
    return _file(largest) | {"width": largest["width"], "height": largest["height"]}


def _poll(message: Json) -> Json:
    poll = message["poll"]
    return {
        "question": poll["question"],
        "options": [{"text": option["text"], "votes": option["voter_count"]} for option in poll["options"]],
        "total": poll["total_voter_count"],
        "closed": poll["is_closed"],
        "anonymous": poll["is_anonymous"],
        "multiple": poll.get("allows_multiple_answers", False),
        "quiz": poll["type"] == "quiz",
        "correct": poll.get(
            "correct_option_ids", [poll["correct_option_id"]] if "correct_option_id" in poll else []
        ),
        "explanation": poll.get("explanation", ""),
    }


def _venue(message: Json) -> Json:
    venue = message["venue"]
    return {"title": venue["title"], "address": venue["address"]}


def _contact(message: Json) -> Json:
    contact = message["contact"]
    name = f"{contact['first_name']} {contact.get('last_name', '')}".strip()
    return {"name": name, "phone": contact["phone_number"]}


_PARTS: dict[str, Any] = {
    "photo": _photo,
    "document": _document,
    "poll": _poll,
    "dice": lambda message: {"emoji": message["dice"]["emoji"], "value": message["dice"]["value"]},
    "location": lambda message: {key: message["location"][key] for key in ("latitude", "longitude")},
    "venue": _venue,
    "contact": _contact,
}


def service_line(message: Json) -> str:
    """What a service message says ("Alex added Greenlight"), empty where it is a message of somebody."""
    who = message["from"]["first_name"]
    if members := message.get("new_chat_members"):
        return f"{who} added {', '.join(member['first_name'] for member in members)}"
    if gone := message.get("left_chat_member"):
        same = gone["id"] == message["from"]["id"]
        return f"{who} left the group" if same else f"{who} removed {gone['first_name']}"
    if pinned := message.get("pinned_message"):
        return f"{who} pinned “{line(pinned)}”"
    if "new_chat_title" in message:
        return f"{who} changed the title to {message['new_chat_title']}"
    if sent := message.get("web_app_data"):
        return f"Data from the “{sent['button_text']}” button was sent to the bot"
    return ""


def _origin(origin: Json) -> str:
    """Whom a forward comes from."""
    user, chat = origin.get("sender_user", {}), origin.get("sender_chat") or origin.get("chat") or {}
    return str(origin.get("sender_user_name") or user.get("first_name") or chat.get("title") or "somebody")


def _button(button: Json) -> Json:
    kinds: dict[str, Any] = {
        "data": button.get("callback_data"),
        "url": button.get("url") or button.get("login_url", {}).get("url"),
        "copy": button.get("copy_text", {}).get("text"),
        "app": button.get("web_app", {}).get("url"),
        "inline": next((button[key] for key in button if key.startswith("switch_inline")), None),
        "style": button.get("style"),
    }
    return {"text": button["text"]} | {key: value for key, value in kinds.items() if value is not None}


def _file(file: Json) -> Json:
    return {"file_id": file["file_id"], "size": file.get("file_size", 0)}


#: What stands for a message without a text, in quotes and in the list of chats.
_NAMES = {
    "photo": "Photo", "poll": "Poll", "dice": "Dice", "venue": "Place", "location": "Location", "contact": "Contact",
    "animation": "GIF", "video": "Video", "audio": "Audio", "voice": "Voice message", "sticker": "Sticker",
}  # fmt: skip


def line(message: Json) -> str:
    """A message in one line of at most 80 characters."""
    text: str = message.get("text") or message.get("caption") or service_line(message)
    if not text:
        return next((name for kind, name in _NAMES.items() if kind in message), "File")
    return text.splitlines()[0][:80] if text.strip() else ""
