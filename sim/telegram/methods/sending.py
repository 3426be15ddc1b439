"""Methods that put something new into a chat: texts, files, albums, places, dice, polls, copies and forwards."""

import random
from itertools import pairwise

from sim.telegram.content import TEXT_LIMIT, caption_of, formatted, preview_of, text_of
from sim.telegram.engine import Engine, text_fields
from sim.telegram.errors import bad_request
from sim.telegram.keyboards import markup_of
from sim.telegram.kinds import CARRIED, CONTENT
from sim.telegram.media import input_media, media_of
from sim.telegram.methods.common import (
    Method,
    chat_of,
    message_of,
    next_number,
    origin_of,
    record,
    reply_fields,
    send,
    show_keyboard,
    wishes,
    writable_chat,
)
from sim.telegram.params import Params
from sim.telegram.people import Json

_ALBUM_LIMIT = 10
_AT_ONCE = 100

#: The emoji that can be thrown, with their highest value.
_DICE = {"🎲": 6, "🎯": 6, "🎳": 6, "🏀": 5, "⚽": 5, "🎰": 64}


def send_message(engine: Engine, params: Params) -> Json:
    """A new text message."""
    text, entities = text_of(engine, params)
    return send(engine, params, "sendMessage", text_fields("text", text, entities) | preview_of(params))


def send_message_draft(engine: Engine, params: Params) -> bool:
    """A message while it is being written: shown for half a minute, kept nowhere."""
    chat = writable_chat(engine, params)
    if chat["type"] != "private":
        raise bad_request("message drafts can be sent in private chats only")
    if not params.integer("draft_id"):
        raise bad_request("draft identifier must be non-zero")
    text, entities = formatted(engine, params, "text", "entities")
    if len(text) > TEXT_LIMIT:
        raise bad_request("message is too long")
    draft = {"draft_id": params.integer("draft_id"), "text": text, "entities": entities}
    engine.journal.record("sendMessageDraft", chat_id=chat["id"], **draft)
    return True


def sender(method: str, kind: str) -> Method:
    """The method that sends a file of a kind."""

    def send_file(engine: Engine, params: Params) -> Json:
        writable_chat(engine, params)
        return send(engine, params, method, media_of(engine, params, kind))

    return send_file


def send_media_group(engine: Engine, params: Params) -> list[Json]:
    """An album of up to ten: pictures and films together, files and sounds among themselves."""
    chat = writable_chat(engine, params)
    params.required("media")
    listed = params.json("media", list, "media", expected_as="InputMedia") or []
    if not listed:
        raise bad_request("there are no messages to send")
    if len(listed) > _ALBUM_LIMIT:
        raise bad_request("too many messages to send as an album")
    for kind in ("document", "audio"):
        kinds = {media.get("type") for media in listed if isinstance(media, dict)}
        if kind in kinds and len(kinds) > 1:
            raise bad_request(f"{kind} can't be mixed with other media types")
    contents = [input_media(engine, params, media, album=True) for media in listed]
    extras = reply_fields(engine, params, chat) | wishes(params)
    album = str(13_000_000_000_000_000 + next_number(engine, "albums"))
    sent = []
    for content in contents:
        fields = content | extras | {"media_group_id": album}
        message = engine.post(chat, {key: value for key, value in fields.items() if value is not None})
        sent.append(record(engine, "sendMediaGroup", message))
    return sent


def location_of(params: Params) -> Json:
    """A place as Location."""
    for name in ("latitude", "longitude"):
        if not params.text(name).strip():
            raise bad_request(f"{name} is empty")
    latitude, longitude = params.number("latitude"), params.number("longitude")
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        raise bad_request("wrong location specified")
    location: Json = {"latitude": latitude, "longitude": longitude}
    if (accuracy := params.number("horizontal_accuracy")) and accuracy > 0:
        location["horizontal_accuracy"] = min(accuracy, 1500.0)
    for name in ("live_period", "heading", "proximity_alert_radius"):
        if number := params.integer(name):
            location[name] = number
    return location


def send_location(engine: Engine, params: Params) -> Json:
    """A place on the map; a live one where live_period says for how many seconds it may move."""
    return send(engine, params, "sendLocation", {"location": location_of(params)})


def send_venue(engine: Engine, params: Params) -> Json:
    """A place with a name and an address."""
    names = ("foursquare_id", "foursquare_type", "google_place_id", "google_place_type")
    found = {name: params.text(name) for name in names if params.has(name)}
    location = location_of(params)
    venue = {"location": location, "title": params.required("title"), "address": params.required("address")}
    return send(engine, params, "sendVenue", {"location": location, "venue": venue | found})


def send_contact(engine: Engine, params: Params) -> Json:
    """Somebody's telephone number."""
    contact = {name: params.required(name) for name in ("phone_number", "first_name")}
    contact |= {name: params.text(name) for name in ("last_name", "vcard") if params.has(name)}
    return send(engine, params, "sendContact", {"contact": contact})


def send_dice(engine: Engine, params: Params) -> Json:
    """A throw, random and the same in every run with the same seed."""
    emoji = params.text("emoji") or "🎲"
    if emoji not in _DICE:
        raise bad_request("wrong dice emoji specified")
    writable_chat(engine, params)
    throw = random.Random(f"dice {engine.bot['id']} {next_number(engine, 'throws')}")
    return send(
        engine, params, "sendDice", {"dice": {"emoji": emoji, "value": throw.randint(1, _DICE[emoji])}}
    )


def send_chat_action(engine: Engine, params: Params) -> bool:
    """The bot is typing, for five seconds or until its next message."""
    action = params.text("action").lower()
    if action not in _ACTIONS:
        raise bad_request("wrong parameter action in request")
    chat = writable_chat(engine, params)
    engine.journal.record("sendChatAction", chat_id=chat["id"], action=action)
    return True


_ACTIONS = {
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
    "choose_sticker", "find_location", "record_video_note", "upload_video_note", "cancel", "record_audio", "upload_audio",
    "pick_up_location",
}  # fmt: skip


# Polls


def send_poll(engine: Engine, params: Params) -> Json:
    """A question with up to twelve answers; whoever votes tells the bot by it."""
    question, entities = formatted(engine, params, "question", "question_entities", "question_parse_mode")
    if not question:
        raise bad_request("poll question must be non-empty")
    if len(question) > 300:
        raise bad_request("poll question length must not exceed 300")
    kind = params.text("type") or "regular"
    if kind not in ("regular", "quiz"):
        raise bad_request("unsupported poll type specified")
    options = [_option(engine, option, index) for index, option in enumerate(_options(params))]
    writable_chat(engine, params)
    poll: Json = {
        "id": str(5_000_000_000_000_000_000 + next_number(engine, "polls")),
        "question": question,
        "options": options,
        "total_voter_count": 0,
        "is_closed": params.flag("is_closed"),
        "is_anonymous": params.flag("is_anonymous") if params.has("is_anonymous") else True,
        "type": kind,
        "allows_multiple_answers": params.flag("allows_multiple_answers"),
        "allows_revoting": params.flag("allows_revoting")
        if params.has("allows_revoting")
        else kind == "regular",
        "members_only": params.flag("members_only"),
    }
    if entities:
        poll["question_entities"] = entities
    if kind == "quiz":
        poll |= _quiz(engine, params, len(options))
    poll |= {name: params.integer(name) for name in ("open_period", "close_date") if params.has(name)}
    return send(engine, params, "sendPoll", {"poll": poll})


def _options(params: Params) -> list[object]:
    given = params.json("options", list, "options", expected_as="String as options") or []
    if not given:
        raise bad_request("poll must have at least 1 option")
    if len(given) > 12:
        raise bad_request("poll can't have more than 12 options")
    return list(given)


def _option(engine: Engine, option: object, index: int) -> Json:
    raw = {"text": option} if isinstance(option, str) else option
    if not isinstance(raw, dict):
        raise bad_request("expected an option to be of type String")
    text, entities = formatted(engine, Params(raw), "text", "text_entities", "text_parse_mode")
    if not text:
        raise bad_request("poll options must be non-empty")
    if len(text) > 100:
        raise bad_request("poll options length must not exceed 100")
    read: Json = {"persistent_id": str(index), "text": text, "voter_count": 0}
    return read | ({"text_entities": entities} if entities else {})


def _quiz(engine: Engine, params: Params, options: int) -> Json:
    correct = params.json("correct_option_ids", list, "correct_option_ids")
    if correct is None:
        correct = [params.integer("correct_option_id", -1)]
    if not correct or not all(isinstance(index, int) and 0 <= index < options for index in correct):
        raise bad_request("wrong correct option ID specified")
    told: Json = {"correct_option_ids": correct}
    if len(correct) == 1:
        told["correct_option_id"] = correct[0]
    text, entities = formatted(
        engine, params, "explanation", "explanation_entities", "explanation_parse_mode"
    )
    if len(text) > 200:
        raise bad_request("poll explanation is too long")
    if text:
        told["explanation"] = text
    return told | ({"explanation_entities": entities} if text and entities else {})


# Copies and forwards


def _source(engine: Engine, params: Params, missing: str) -> Json:
    there = {"chat_id": params.values.get("from_chat_id"), "message_id": params.values.get("message_id")}
    if not params.has("from_chat_id"):
        raise bad_request("from_chat_id is empty")
    return message_of(engine, Params(there), missing)


def _carried(message: Json, verb: str) -> Json:
    if not message.keys() & set(CONTENT):
        raise bad_request(f"message can't be {verb}")
    carried = {key: message[key] for key in CARRIED if key in message}
    if verb == "copied" and "poll" in carried:
        fresh = [option | {"voter_count": 0} for option in carried["poll"]["options"]]
        carried["poll"] = carried["poll"] | {"options": fresh, "total_voter_count": 0, "is_closed": False}
    return carried


def copy_message(engine: Engine, params: Params) -> Json:
    """A message like another one, without a link to it; with another caption or keyboard where they are given."""
    chat = writable_chat(engine, params)
    content = _carried(_source(engine, params, "message to copy not found"), "copied")
    if "poll" in content:
        number = 5_000_000_000_000_000_000 + next_number(engine, "polls")
        content["poll"] = content["poll"] | {"id": str(number)}
    if "caption" in params.values and "text" not in content:
        content |= caption_of(engine, params)
    markup = markup_of(params, chat)
    extras = reply_fields(engine, params, chat) | wishes(params) | {"reply_markup": markup.inline}
    fields = {key: value for key, value in (content | extras).items() if value is not None}
    message = record(engine, "copyMessage", engine.post(chat, fields))
    show_keyboard(engine, message, markup)
    return {"message_id": message["message_id"]}


def forward_message(engine: Engine, params: Params) -> Json:
    """A message again, with a word about whose it was."""
    chat = writable_chat(engine, params)
    return _forward(engine, params, chat, _source(engine, params, "message to forward not found"))


def _forward(engine: Engine, params: Params, chat: Json, message: Json) -> Json:
    if message.get("has_protected_content"):
        raise bad_request("message has protected content and can't be forwarded")
    origin = {"forward_origin": origin_of(message)}
    fields = origin | _carried(message, "forwarded") | wishes(params)
    kept = {key: value for key, value in fields.items() if value is not None}
    return record(engine, "forwardMessage", engine.post(chat, kept))


def _many(engine: Engine, params: Params, verb: str) -> list[Json]:
    """The messages of message_ids that are there and can be carried on."""
    numbers = params.numbers("message_ids", _AT_ONCE)
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise bad_request("message identifiers must be in a strictly increasing order")
    source = chat_of(engine, params, "from_chat_id")
    found = [engine.messages.get(number) for number in numbers]
    there = [message for message in found if message is not None and message["chat"]["id"] == source["id"]]
    fit = [message for message in there if message.keys() & set(CONTENT)]
    if not fit:
        raise bad_request(f"there are no messages to {verb}")
    return fit


def forward_messages(engine: Engine, params: Params) -> list[Json]:
    """Several messages again; those that are missing are passed over."""
    chat = writable_chat(engine, params)
    many = [
        message for message in _many(engine, params, "forward") if not message.get("has_protected_content")
    ]
    return [{"message_id": _forward(engine, params, chat, message)["message_id"]} for message in many]


def copy_messages(engine: Engine, params: Params) -> list[Json]:
    """Messages like several others; those that are missing are passed over."""
    writable_chat(engine, params)
    bare = {"remove_caption", "message_ids"}
    common = {name: value for name, value in params.values.items() if name not in bare}
    if params.flag("remove_caption"):
        common["caption"] = ""
    return [
        copy_message(engine, Params(common | {"message_id": message["message_id"]}))
        for message in _many(engine, params, "copy")
    ]


SENDING: dict[str, Method] = {
    "copyMessage": copy_message,
    "copyMessages": copy_messages,
    "forwardMessage": forward_message,
    "forwardMessages": forward_messages,
    "sendAnimation": sender("sendAnimation", "animation"),
    "sendAudio": sender("sendAudio", "audio"),
    "sendChatAction": send_chat_action,
    "sendContact": send_contact,
    "sendDice": send_dice,
    "sendDocument": sender("sendDocument", "document"),
    "sendLocation": send_location,
    "sendMediaGroup": send_media_group,
    "sendMessage": send_message,
    "sendMessageDraft": send_message_draft,
    "sendPhoto": sender("sendPhoto", "photo"),
    "sendPoll": send_poll,
    "sendSticker": sender("sendSticker", "sticker"),
    "sendVenue": send_venue,
    "sendVideo": sender("sendVideo", "video"),
    "sendVideoNote": sender("sendVideoNote", "video_note"),
    "sendVoice": sender("sendVoice", "voice"),
}
