"""What people do beyond writing and pressing: files, reactions, votes, groups, keyboards with a web app, deleting, forwarding.

Every function takes the chat world and acts as one person; PersonError says in one sentence what that person cannot do.
Where Telegram would tell the bot, an update is queued, and the journal hears of it.
"""

import random
from typing import Any

from sim.telegram.engine import Engine, PersonError, without_reply
from sim.telegram.entities import tidy
from sim.telegram.images import image_size
from sim.telegram.people import Json, make_person

#: What a person may send at once, as text and under a picture.
LONGEST_TEXT, LONGEST_CAPTION = 4096, 1024

#: How large a person's file may be here, in bytes.
LARGEST_FILE = 20 * 1024 * 1024

#: The reactions that the page offers.
REACTIONS = ("👍", "👎", "❤", "🔥", "🎉", "😁", "🤔", "👀", "😢", "🙏", "💯", "🤯")

#: The rights that a promoted person has, as Telegram lists them.
_RIGHTS = (
    "can_manage_chat", "can_delete_messages", "can_manage_video_chats", "can_restrict_members", "can_promote_members",
    "can_change_info", "can_invite_users", "can_post_stories", "can_edit_stories", "can_delete_stories", "can_pin_messages",
    "can_manage_topics", "can_manage_tags", "can_send_welcome_messages",
)  # fmt: skip


def add_person(engine: Engine, name: str, user_id: int | None = None) -> Json:
    """Somebody new, as User JSON; the number is a free one unless it is given. PersonError for an empty name or a taken number."""
    name = " ".join(name.split())[:64]
    if not name:
        raise PersonError("a person needs a name")
    if user_id is None:
        chance = random.Random(f"person {len(engine.users)} {name}")
        user_id = next(
            number for _ in iter(int, 1) if (number := chance.randrange(10**8, 10**9)) not in engine.users
        )
    elif user_id in engine.users:
        raise PersonError(f"number {user_id} belongs to {engine.users[user_id]['first_name']} already")
    elif not 0 < user_id < 2**52:
        raise PersonError(f"a person's number is between 1 and 2 to the power of 52, not {user_id}")
    user = make_person(user_id, name)
    engine.keep_person(user)
    engine.journal.record("person", user_id=user_id, name=name)
    return user


# Writing that is more than a text


def upload(
    engine: Engine,
    user_id: int,
    data: bytes,
    *,
    name: str,
    content_type: str = "application/octet-stream",
    caption: str = "",
    chat_id: int | None = None,
    as_file: bool = False,
    reply_to: int | None = None,
    album: str | None = None,
) -> Json:
    """A person sends a picture (PNG, JPEG, GIF) or any file; returns {"update_id", "message_id"}.

    Those with the same `album` stand together. PersonError for an empty or too large file, or too long a caption.
    """
    user = engine.person(user_id)
    chat = engine.chat_of(user_id, chat_id)
    if not data:
        raise PersonError("the file is empty")
    if len(data) > LARGEST_FILE:
        raise PersonError(f"a file can have {LARGEST_FILE // 1024 // 1024} MB at most")
    text, entities = tidy(caption, [])
    if len(text) > LONGEST_CAPTION:
        raise PersonError(
            f"a caption can have {LONGEST_CAPTION} characters at most, this one has {len(text)}"
        )
    answered = None if reply_to is None else without_reply(engine.seen_by_person(reply_to, chat["id"]))
    size = None if as_file else image_size(data)
    name = name.replace("/", "_").replace("\\", "_")[:120] or "file"
    file_id = engine.keep_file(name, content_type, data)
    common = {"file_id": file_id, "file_unique_id": file_id.lower(), "file_size": len(data)}
    message = engine.new_message(chat, user)
    if size is not None:
        message["photo"] = [common | {"width": size[0], "height": size[1]}]
    else:
        message["document"] = common | {"file_name": name, "mime_type": content_type}
    message |= ({"caption": text} if text else {}) | ({"caption_entities": entities} if entities else {})
    if answered is not None:
        message["reply_to_message"] = answered
    if album:
        message["media_group_id"] = album[:64]
    return engine.deliver("message", message)


#: What a forward takes over from the message.
_CONTENT = (
    "text", "entities", "caption", "caption_entities", "photo", "document", "animation", "audio", "video", "voice", "sticker",
    "dice", "location", "venue", "contact", "poll", "has_media_spoiler", "show_caption_above_media",
)  # fmt: skip


def forward(
    engine: Engine, user_id: int, message_id: int, *, from_chat: int, to_chat: int | None = None
) -> Json:
    """A person forwards a message they see to a chat of theirs, the one with the bot unless told; returns the ids."""
    user = engine.person(user_id)
    source = engine.chat_of(user_id, from_chat)
    message = engine.seen_by_person(message_id, source["id"])
    chat = engine.chat_of(user_id, to_chat)
    if message.get("has_protected_content"):
        raise PersonError("the bot has forbidden to forward this message")
    content = {key: message[key] for key in _CONTENT if key in message}
    if not content:
        raise PersonError("a service message cannot be forwarded")
    origin = message.get("forward_origin") or {
        "type": "user",
        "date": message["date"],
        "sender_user": message["from"],
    }
    return engine.deliver(
        "message", engine.new_message(chat, user) | {"forward_origin": origin} | content, forward=True
    )


def web_app_data(engine: Engine, user_id: int, data: str, button_text: str) -> Json:
    """The web app of a keyboard button sends `data` to the bot (up to 4,096 bytes); returns the ids."""
    user = engine.person(user_id)
    if not data:
        raise PersonError("a web app cannot send nothing: data is empty")
    if len(data.encode()) > 4096:
        raise PersonError(f"a web app can send 4096 bytes at most, this is {len(data.encode())}")
    markup = engine.keyboards.get(str(user_id), {}).get("markup", {})
    texts = [
        button["text"]
        for row in markup.get("keyboard", [])
        for button in row
        if isinstance(button, dict) and "web_app" in button
    ]
    if button_text not in texts:
        raise PersonError(
            f"no web app button {button_text!r} is on the keyboard; there is: {', '.join(texts) or 'none'}"
        )
    message = engine.new_message(engine.chats[user_id], user)
    return engine.deliver("message", message | {"web_app_data": {"data": data, "button_text": button_text}})


def delete(engine: Engine, user_id: int, message_id: int) -> None:
    """A person takes a message away for everybody: in a private chat any, in a group their own, or any as an administrator.

    The bot is told nothing, as in Telegram.
    """
    message = engine.messages.get(message_id)
    if message is None or not engine.is_in(message["chat"]["id"], user_id):
        raise PersonError(
            f"there is no message {message_id} in a chat of {engine.person(user_id)['first_name']}"
        )
    chat_id = message["chat"]["id"]
    if chat_id != user_id and message["from"]["id"] != user_id and not _administers(engine, chat_id, user_id):
        raise PersonError("only an administrator can delete messages of others in a group")
    engine.remove(message)
    if engine.pinned.get(str(chat_id)) == message_id:
        engine.pin(chat_id, None)
    engine.journal.record("deleteMessage", chat_id=chat_id, message_id=message_id, user_id=user_id)


# Opinions


def react(engine: Engine, user_id: int, message_id: int, emoji: str | None) -> Json:
    """A person's reaction to a message, None to take it back; returns {"update_id"}.

    In a group the bot hears of it only as an administrator; everywhere only where it asked for message_reaction.
    """
    user = engine.person(user_id)
    message = _of(engine, user_id, message_id)
    if emoji is not None and (not emoji or len(emoji) > 8):
        raise PersonError(f"a reaction is one emoji, not {emoji!r}")
    new = [] if emoji is None else [{"type": "emoji", "emoji": emoji}]
    old = engine.set_reaction(message, user_id, new)
    chat, update_id = message["chat"], 0
    if chat["type"] == "private" or _administers(engine, chat["id"], engine.bot["id"]):
        change = {"old_reaction": old, "new_reaction": new, "date": engine.timestamp()}
        facts = {"chat": chat, "message_id": message_id, "user": user}
        update_id = engine.updates.add("message_reaction", facts | change, engine.clock.now())
    engine.journal.record(
        "reaction",
        chat_id=chat["id"],
        message_id=message_id,
        user_id=user_id,
        emoji=emoji,
        update_id=update_id,
    )
    return {"update_id": update_id}


def vote(engine: Engine, user_id: int, message_id: int, options: list[int]) -> Json:
    """A person votes for options of a poll, by number from 0; an empty list takes the vote back. Returns {"update_ids"}."""
    user = engine.person(user_id)
    message = _of(engine, user_id, message_id)
    poll = message.get("poll")
    if poll is None:
        raise PersonError(f"message {message_id} is no poll")
    if poll["is_closed"]:
        raise PersonError("this poll is closed")
    chosen = sorted(set(options))
    if any(not 0 <= option < len(poll["options"]) for option in chosen):
        raise PersonError(f"the options are 0 to {len(poll['options']) - 1}, not {options}")
    if len(chosen) > 1 and not poll.get("allows_multiple_answers"):
        raise PersonError("this poll takes one answer")
    votes = engine.votes.get(poll["id"], {})
    if poll["type"] == "quiz" and str(user_id) in votes:
        raise PersonError("an answer to a quiz stays")
    votes = {key: value for key, value in votes.items() if key != str(user_id)} | (
        {str(user_id): chosen} if chosen else {}
    )
    engine.keep_votes(poll["id"], votes)
    counts = [sum(index in voted for voted in votes.values()) for index in range(len(poll["options"]))]
    polled = poll | {
        "options": [
            option | {"voter_count": count} for option, count in zip(poll["options"], counts, strict=True)
        ],
        "total_voter_count": len(votes),
    }
    engine.keep(message | {"poll": polled})
    shown = {key: value for key, value in polled.items() if key != "correct_option_id" or poll["is_closed"]}
    ids = [engine.updates.add("poll", shown, engine.clock.now())]
    if not poll["is_anonymous"]:
        answer: Json = {"poll_id": poll["id"], "user": user, "option_ids": chosen}
        ids_of = [poll["options"][index].get("persistent_id") for index in chosen]
        answer["option_persistent_ids"] = [str(value) for value in ids_of if value is not None]
        ids.append(engine.updates.add("poll_answer", answer, engine.clock.now()))
    engine.journal.record(
        "vote",
        chat_id=message["chat"]["id"],
        message_id=message_id,
        user_id=user_id,
        options=chosen,
        update_ids=ids,
    )
    return {"update_ids": ids}


# Groups


def create_group(
    engine: Engine, user_id: int, title: str, members: list[int] | None = None, *, bot: bool = True
) -> Json:
    """A person founds a group, with others and with the bot unless told; returns it as Chat JSON."""
    creator = engine.person(user_id)
    title = " ".join(title.split())[:128]
    if not title:
        raise PersonError("a group needs a title")
    chance = random.Random(f"group {len(engine.chats)} {title}")
    chat_id = -1_000_000_000_000 - chance.randrange(2_000_000_000, 3_000_000_000)
    while chat_id in engine.chats:
        chat_id -= 1
    chat = {"id": chat_id, "type": "supergroup", "title": title}
    engine.keep_chat(chat)
    engine.set_member(chat_id, {"status": "creator", "user": creator, "is_anonymous": False})
    engine.journal.record("group", chat_id=chat_id, user_id=user_id, title=title)
    for member in members or []:
        if member != user_id:
            add_member(engine, user_id, chat_id, member)
    if bot:
        add_member(engine, user_id, chat_id, engine.bot["id"])
    return chat


def add_member(engine: Engine, user_id: int, chat_id: int, whom: int) -> None:
    """A person adds another, or the bot, to a group they are in."""
    by, chat = engine.person(user_id), _group_of(engine, user_id, chat_id)
    added = engine.bot if whom == engine.bot["id"] else engine.person(whom)
    if engine.is_in(chat_id, whom):
        raise PersonError(f"{added['first_name']} is in {chat['title']} already")
    _change(engine, chat, by, {"status": "member", "user": added})
    _service(engine, chat, by, {"new_chat_members": [added]})


def remove_member(engine: Engine, user_id: int, chat_id: int, whom: int) -> None:
    """A person leaves a group, or as an administrator sends another, or the bot, away."""
    by, chat = engine.person(user_id), _group_of(engine, user_id, chat_id)
    if not engine.is_in(chat_id, whom):
        raise PersonError(f"{whom} is not in {chat['title']}")
    gone = engine.users[whom]
    if whom != user_id and not _administers(engine, chat_id, user_id):
        raise PersonError(f"only an administrator can remove {gone['first_name']}")
    if whom != user_id and _status(engine, chat_id, whom) == "creator":
        raise PersonError(f"{gone['first_name']} has created the group and cannot be removed")
    place: Json = {"status": "left", "user": gone}
    if whom != user_id:
        place = {"status": "kicked", "user": gone, "until_date": 0}
    _service(engine, chat, by, {"left_chat_member": gone})  # those who go still hear of it
    _change(engine, chat, by, place)


def promote(engine: Engine, user_id: int, chat_id: int, whom: int, administrator: bool) -> None:
    """The creator makes somebody, or the bot, an administrator of a group, or a plain member again."""
    by, chat = engine.person(user_id), _group_of(engine, user_id, chat_id)
    if _status(engine, chat_id, user_id) != "creator":
        raise PersonError("only the creator of a group makes administrators")
    if not engine.is_in(chat_id, whom) or whom == user_id:
        raise PersonError(f"{whom} is not one of the others in {chat['title']}")
    user = engine.users[whom]
    rights: Json = dict.fromkeys(_RIGHTS, True) | {"can_be_edited": True, "is_anonymous": False}
    place = (
        {"status": "administrator", "user": user} | rights
        if administrator
        else {"status": "member", "user": user}
    )
    _change(engine, chat, by, place)


def place_member(engine: Engine, user_id: int, chat_id: int, whom: int, place: str) -> None:
    """A person gives somebody a place in a group: "member", "administrator" or "left", from wherever they are now."""
    now = _status(engine, chat_id, whom)
    if place == "left":
        return remove_member(engine, user_id, chat_id, whom)
    if now in ("left", "kicked"):
        add_member(engine, user_id, chat_id, whom)
    elif now == place:
        raise PersonError(f"{engine.users[whom]['first_name']} is that already")
    if place == "administrator" or now == "administrator":
        promote(engine, user_id, chat_id, whom, place == "administrator")
    return None


def _of(engine: Engine, user_id: int, message_id: int) -> Json:
    """A message that a person sees."""
    message = engine.messages.get(message_id)
    if message is None or not engine.is_in(message["chat"]["id"], user_id):
        raise PersonError(
            f"there is no message {message_id} in a chat of {engine.person(user_id)['first_name']}"
        )
    return message


def _group_of(engine: Engine, user_id: int, chat_id: int) -> Json:
    chat = engine.chat_of(user_id, chat_id)
    if chat["type"] == "private":
        raise PersonError("a private chat has no members to add or remove")
    return chat


def _status(engine: Engine, chat_id: int, user_id: int) -> str:
    return str(engine.members.get(str(chat_id), {}).get(str(user_id), {}).get("status", "left"))


def _administers(engine: Engine, chat_id: int, user_id: int) -> bool:
    return _status(engine, chat_id, user_id) in ("creator", "administrator")


def _change(engine: Engine, chat: Json, by: Json, place: Json) -> None:
    """Give somebody a place in a group; the bot hears of its own, of others where it is an administrator."""
    whom = place["user"]["id"]
    old = engine.set_member(chat["id"], place)
    change: dict[str, Any] = {"chat": chat, "from": by, "date": engine.timestamp()}
    change |= {"old_chat_member": old, "new_chat_member": place}
    update_id = 0
    if whom == engine.bot["id"]:
        update_id = engine.updates.add("my_chat_member", change, engine.clock.now())
    elif _administers(engine, chat["id"], engine.bot["id"]):
        update_id = engine.updates.add("chat_member", change, engine.clock.now())
    engine.journal.record(
        "member", chat_id=chat["id"], user_id=whom, by=by["id"], status=place["status"], update_id=update_id
    )


def _service(engine: Engine, chat: Json, by: Json, content: Json) -> None:
    engine.deliver("message", engine.new_message(chat, by) | content)
