"""What one person sees of the chat world: their chats, the messages as they are for them, the menus and the keyboard."""

from sim.telegram.engine import Engine, PersonError
from sim.telegram.people import Json
from sim.telegram.view import line, seen


def people(engine: Engine) -> list[Json]:
    """Everybody who can be played, the owner first: {"id", "name", "username"}."""
    everybody = [user for user in engine.users.values() if not user["is_bot"]]
    return [
        {"id": user["id"], "name": full_name(user), "username": user.get("username", "")}
        for user in everybody
    ]


def full_name(user: Json) -> str:
    """First and last name."""
    return " ".join(user[key] for key in ("first_name", "last_name") if user.get(key))


def view(engine: Engine, message: Json, user_id: int) -> Json:
    """A message as this person sees it: with reactions, their own vote, and the update that carried it to the bot."""
    shown = seen(message, engine.bot["id"]) | {"update_id": engine.update_of(message["message_id"])}
    shown["from"] = (
        "user" if message["from"]["id"] == user_id else "bot" if shown["from"] == "bot" else "other"
    )
    if reactions := reactions_of(engine, message["message_id"]):
        shown["reactions"] = [
            {"emoji": emoji, "count": len(who), "mine": user_id in who} for emoji, who in reactions.items()
        ]
    if poll := message.get("poll"):
        shown["poll"] = shown["poll"] | {"mine": engine.votes.get(poll["id"], {}).get(str(user_id), [])}
    return shown


def reactions_of(engine: Engine, message_id: int) -> dict[str, list[int]]:
    """Who reacted to a message, by emoji; a custom one is shown as a star."""
    found: dict[str, list[int]] = {}
    for who, reactions in engine.reactions.get(str(message_id), {}).items():
        for reaction in reactions:
            found.setdefault(reaction.get("emoji", "⭐"), []).append(int(who))
    return found


def chats(engine: Engine, user_id: int) -> list[Json]:
    """The chats of a person, the one with the bot first, then groups: title, last line, unread messages, members."""
    last: dict[int, Json] = {}
    unread: dict[int, int] = {}
    read = {chat_id: engine.read_up_to(user_id, chat_id) for chat_id in engine.chats}
    for message in engine.messages.values():
        chat_id = message["chat"]["id"]
        last[chat_id] = message
        if message["from"]["id"] != user_id and message["message_id"] > read.get(chat_id, 0):
            unread[chat_id] = unread.get(chat_id, 0) + 1
    listed = [engine.chats[user_id]] + [
        chat
        for chat in engine.chats.values()
        if chat["type"] != "private" and engine.is_in(chat["id"], user_id)
    ]
    return [
        chat_entry(engine, chat, user_id)
        | {"unread": unread.get(chat["id"], 0)}
        | ({"last": last_line(engine, last[chat["id"]], user_id)} if chat["id"] in last else {})
        for chat in listed
    ]


def chat_entry(engine: Engine, chat: Json, user_id: int) -> Json:
    """A chat without its messages: {"id", "title", "group", "members"}."""
    if chat["type"] == "private":
        return {"id": chat["id"], "title": engine.bot["first_name"], "group": False, "members": []}
    return {"id": chat["id"], "title": chat["title"], "group": True, "members": members(engine, chat["id"])}


def members(engine: Engine, chat_id: int) -> list[Json]:
    """Those who are in a group: {"id", "name", "bot", "status"}."""
    return [
        {
            "id": member["user"]["id"],
            "name": full_name(member["user"]),
            "bot": member["user"]["is_bot"],
            "status": member["status"],
        }
        for member in engine.members.get(str(chat_id), {}).values()
        if member["status"] not in ("left", "kicked")
    ]


def last_line(engine: Engine, message: Json, user_id: int) -> Json:
    """What the list of chats says of the newest message."""
    group = message["chat"]["type"] != "private"
    sender = message["from"]
    who = "" if not group else "You" if sender["id"] == user_id else sender["first_name"]
    return {"id": message["message_id"], "text": line(message), "date": message["date"], "who": who}


def commands(engine: Engine, user_id: int, chat_id: int) -> list[Json]:
    """The command menu of a person in a chat, from the narrowest scope that has one; their own language before any."""
    language = engine.users[user_id].get("language_code", "")
    if chat_id == user_id:
        scopes = [f"chat:{chat_id}", "all_private_chats", "default"]
    else:
        place = engine.members.get(str(chat_id), {}).get(str(user_id), {}).get("status")
        boss = place in ("creator", "administrator")
        scopes = [f"chat_member:{chat_id}:{user_id}", f"chat_member:{chat_id}"]
        scopes += [f"chat_administrators:{chat_id}"] * boss + [f"chat:{chat_id}"]
        scopes += ["all_chat_administrators"] * boss + ["all_group_chats", "default"]
    keys = [key for scope in scopes for key in (f"{scope}/{language}", scope)]
    return next((engine.commands[key] for key in keys if engine.commands.get(key)), [])


def menu_button(engine: Engine, user_id: int, chat_id: int) -> Json:
    """What the button beside the field does: {"kind": "commands"}, {"kind": "none"} or {"kind": "app", "text", "url"}."""
    button = engine.menu_buttons.get(str(chat_id)) or engine.menu_buttons.get("default") or {}
    if chat_id == user_id and button.get("type") == "web_app":
        return {"kind": "app", "text": button["text"], "url": button["web_app"]["url"]}
    return {"kind": "commands" if commands(engine, user_id, chat_id) else "none"}


def keyboard(engine: Engine, user_id: int, chat_id: int) -> Json | None:
    """The reply keyboard that a person has in a chat, or the request to reply, as the bot gave it; None for neither."""
    kept = engine.keyboards.get(str(chat_id))
    if kept is None or (kept["for"] is not None and user_id not in kept["for"]):
        return None
    shown: Json = {"id": kept["message_id"]} | kept["markup"]
    return shown


def pinned(engine: Engine, chat_id: int, user_id: int) -> Json | None:
    """The pinned message of a chat, the latest of several, as this person sees it."""
    kept: object = engine.pinned.get(str(chat_id))
    latest = kept[-1] if isinstance(kept, list) and kept else kept
    message = engine.messages.get(latest) if isinstance(latest, int) else None
    return None if message is None else view(engine, message, user_id)


def contents(engine: Engine, user_id: int, chat_id: int, page: int) -> Json:
    """All that a person needs to look at a chat: the newest `page` messages and what is around them. PersonError where it is not theirs."""
    if not engine.is_in(chat_id, user_id):
        raise PersonError(f"{engine.users[user_id]['first_name']} is in no chat {chat_id}")
    history = engine.history(chat_id)
    return {
        "chat": chat_id,
        "messages": [view(engine, message, user_id) for message in history[-page:]],
        "more": len(history) > page,
        "commands": commands(engine, user_id, chat_id),
        "menu": menu_button(engine, user_id, chat_id),
        "keyboard": keyboard(engine, user_id, chat_id),
        "pinned": pinned(engine, chat_id, user_id),
        "blocked": chat_id in engine.blocked,
    }
