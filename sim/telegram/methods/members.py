"""Methods about chats and those who are in them."""

import random
from typing import Any

from sim.telegram.engine import Engine
from sim.telegram.errors import bad_request
from sim.telegram.methods.common import Method, chat_of, has_right, next_number
from sim.telegram.methods.profile import GROUP_RIGHTS, rights_of
from sim.telegram.params import Params
from sim.telegram.people import Json

#: What a member may do unless it is taken away.
PERMISSIONS = (
    "can_send_messages", "can_send_audios", "can_send_documents", "can_send_photos", "can_send_videos",
    "can_send_video_notes", "can_send_voice_notes", "can_send_polls", "can_send_other_messages",
    "can_add_web_page_previews", "can_react_to_messages", "can_edit_tag", "can_change_info", "can_invite_users",
    "can_pin_messages", "can_manage_topics",
)  # fmt: skip

_GIFTS = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")


def get_chat(engine: Engine, params: Params) -> Json:
    """A chat as ChatFullInfo."""
    chat = chat_of(engine, params)
    full: Json = chat | {
        "accent_color_id": chat["id"] % 7,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(_GIFTS, False),
    }
    if chat.get("username"):
        full["active_usernames"] = [chat["username"]]
    if chat["type"] != "private":
        usual = dict.fromkeys(PERMISSIONS, True)
        full["permissions"] = engine.settings.get(f"permissions/{chat['id']}", usual)
        for name in ("description", "invite_link"):
            if kept := engine.settings.get(f"{name}/{chat['id']}"):
                full[name] = kept
    if pinned := engine.messages.get(engine.pinned.get(str(chat["id"]), 0)):
        full["pinned_message"] = pinned
    return full


def _user(engine: Engine, params: Params) -> Json:
    if params.integer("user_id") <= 0:
        raise bad_request("invalid user_id specified")
    user = engine.users.get(params.integer("user_id"))
    if user is None:
        raise bad_request("PARTICIPANT_ID_INVALID")
    return user


def get_chat_member(engine: Engine, params: Params) -> Json:
    """Somebody's place in a chat."""
    chat, user = chat_of(engine, params), _user(engine, params)
    if chat["type"] == "private":
        if user["id"] not in (chat["id"], engine.bot["id"]):
            raise bad_request("user not found")
        return {"status": "member", "user": user}
    return engine.place_of(chat["id"], user["id"]) | {"user": user}


def _present(engine: Engine, chat: Json) -> list[Json]:
    places = engine.members.get(str(chat["id"]), {}).values()
    return [place for place in places if engine.is_in(chat["id"], place["user"]["id"])]


def get_chat_administrators(engine: Engine, params: Params) -> list[Json]:
    """The creator and the administrators, without other bots."""
    chat = chat_of(engine, params)
    if chat["type"] == "private":
        raise bad_request("there are no administrators in the private chat")
    return [place for place in _present(engine, chat) if place["status"] in ("creator", "administrator")]


def get_chat_member_count(engine: Engine, params: Params) -> int:
    """How many are in a chat, the bot too."""
    chat = chat_of(engine, params)
    return 2 if chat["type"] == "private" else len(_present(engine, chat))


def _group(engine: Engine, params: Params, right: str, without: str, private: str) -> Json:
    """A group in which the bot has a right; the words where it has not, and where the chat is no group."""
    chat = chat_of(engine, params)
    if chat["type"] == "private":
        raise bad_request(private)
    if not has_right(engine, chat, right):
        raise bad_request(without)
    return chat


def _give(engine: Engine, chat: Json, place: Json) -> None:
    """Somebody's new place by the bot's hand; the bot hears of it, as it is an administrator there."""
    old = engine.set_member(chat["id"], place)
    whom = place["user"]["id"]
    update_id = 0
    if old != place:
        change = {"chat": chat, "from": engine.bot, "date": engine.timestamp()}
        kind = "my_chat_member" if whom == engine.bot["id"] else "chat_member"
        change |= {"old_chat_member": old, "new_chat_member": place}
        update_id = engine.updates.add(kind, change, engine.clock.now())
    engine.journal.record(
        "member",
        chat_id=chat["id"],
        user_id=whom,
        by=engine.bot["id"],
        status=place["status"],
        update_id=update_id,
    )


def _service(engine: Engine, chat: Json, content: Json) -> None:
    engine.deliver("message", engine.new_message(chat, engine.bot) | content)


def _other(engine: Engine, params: Params, chat: Json, verb: str) -> Json:
    """A user whom the bot can do something to: not itself, and not the creator."""
    user = _user(engine, params)
    if user["id"] == engine.bot["id"]:
        raise bad_request(f"can't {verb} self")
    if engine.place_of(chat["id"], user["id"])["status"] == "creator":
        raise bad_request(f"can't {verb} chat owner")
    return user


_NO_RESTRICTING = "not enough rights to restrict/unrestrict chat member"
_NOT_IN_PRIVATE = "chat member status can't be changed in private chats"


def ban_chat_member(engine: Engine, params: Params) -> bool:
    """Somebody has to go, and cannot come back until until_date."""
    chat = _group(engine, params, "can_restrict_members", _NO_RESTRICTING, _NOT_IN_PRIVATE)
    user = _other(engine, params, chat, "remove")
    was_in = engine.is_in(chat["id"], user["id"])
    _give(
        engine, chat, {"status": "kicked", "user": user, "until_date": max(params.integer("until_date"), 0)}
    )
    if was_in:
        _service(engine, chat, {"left_chat_member": user})
    return True


def unban_chat_member(engine: Engine, params: Params) -> bool:
    """Somebody may come back; one who is in the group has to go, unless only_if_banned."""
    chat = _group(engine, params, "can_restrict_members", _NO_RESTRICTING, _NOT_IN_PRIVATE)
    user = _other(engine, params, chat, "remove")
    banned = engine.place_of(chat["id"], user["id"])["status"] == "kicked"
    if banned or not params.flag("only_if_banned"):
        _give(engine, chat, {"status": "left", "user": user})
    return True


def restrict_chat_member(engine: Engine, params: Params) -> bool:
    """What somebody may do in a group; everything makes a plain member of them."""
    given = params.json("permissions", dict, "permissions") or {}
    chat = _group(engine, params, "can_restrict_members", _NO_RESTRICTING, _NOT_IN_PRIVATE)
    user = _other(engine, params, chat, "restrict")
    permissions = rights_of(given, PERMISSIONS)
    place: Json = {"status": "member", "user": user}
    if not all(
        permissions[name] for name in PERMISSIONS if name not in ("can_edit_tag", "can_react_to_messages")
    ):
        place = {"status": "restricted", "user": user, "is_member": engine.is_in(chat["id"], user["id"])}
        place |= permissions | {"until_date": max(params.integer("until_date"), 0)}
    _give(engine, chat, place)
    return True


def promote_chat_member(engine: Engine, params: Params) -> bool:
    """Somebody becomes an administrator with these rights; without any, a plain member again."""
    chat = _group(engine, params, "can_promote_members", "not enough rights", _NOT_IN_PRIVATE)
    user = _other(engine, params, chat, "promote")
    if not engine.is_in(chat["id"], user["id"]):
        raise bad_request("USER_NOT_PARTICIPANT")
    rights = {name: params.flag(name) for name in GROUP_RIGHTS}
    place: Json = {"status": "member", "user": user}
    if any(rights.values()):
        place = {"status": "administrator", "user": user, "can_be_edited": True} | rights
        place["can_manage_chat"] = True  # implied by every other
    _give(engine, chat, place)
    return True


def leave_chat(engine: Engine, params: Params) -> bool:
    """The bot goes."""
    chat = chat_of(engine, params)
    if chat["type"] == "private":
        raise bad_request("chat member status can't be changed in private chats")
    _service(engine, chat, {"left_chat_member": engine.bot})
    _give(engine, chat, {"status": "left", "user": engine.bot})
    return True


# A group's texts and links


def set_chat_title(engine: Engine, params: Params) -> bool:
    """Another name for a group."""
    title = " ".join(params.text("title").split())
    if not title:
        raise bad_request("title can't be empty")
    chat = _group(
        engine,
        params,
        "can_change_info",
        "not enough rights to change chat title",
        "can't change private chat title",
    )
    if title[:128] != chat["title"]:
        engine.keep_chat(chat | {"title": title[:128]})
        _service(engine, engine.chats[chat["id"]], {"new_chat_title": title[:128]})
    return True


def set_chat_description(engine: Engine, params: Params) -> bool:
    """Another text about a group."""
    text = params.text("description").strip()[:255]
    chat = _group(
        engine,
        params,
        "can_change_info",
        "not enough rights to set chat description",
        "can't change private chat description",
    )
    if engine.settings.get(f"description/{chat['id']}", "") == text:
        raise bad_request("chat description is not modified")
    engine.set(f"description/{chat['id']}", text or None)
    return True


def set_chat_permissions(engine: Engine, params: Params) -> bool:
    """What everybody may do in a group."""
    given = params.json("permissions", dict, "permissions") or {}
    chat = _group(
        engine,
        params,
        "can_restrict_members",
        "not enough rights to change chat permissions",
        "can't change private chat permissions",
    )
    engine.set(f"permissions/{chat['id']}", rights_of(given, PERMISSIONS))
    return True


def _inviting(engine: Engine, params: Params) -> Json:
    without = "not enough rights to manage chat invite link"
    return _group(engine, params, "can_invite_users", without, "can't invite members to a private chat")


def _new_link(engine: Engine, chat: Json) -> str:
    chance = random.Random(f"link {chat['id']} {next_number(engine, 'links')}")
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "https://t.me/+" + "".join(chance.choices(letters, k=16))


def export_chat_invite_link(engine: Engine, params: Params) -> str:
    """A new primary link into a group in place of the one before. Nobody can follow it here."""
    chat = _inviting(engine, params)
    engine.set(f"invite_link/{chat['id']}", _new_link(engine, chat))
    return str(engine.settings[f"invite_link/{chat['id']}"])


def create_chat_invite_link(engine: Engine, params: Params) -> Json:
    """One more link into a group. Nobody can follow it here."""
    chat = _inviting(engine, params)
    if params.integer("member_limit") and params.flag("creates_join_request"):
        raise bad_request("member limit can't be specified for links requiring administrator approval")
    link: dict[str, Any] = {"invite_link": _new_link(engine, chat), "creator": engine.bot}
    link |= {"creates_join_request": params.flag("creates_join_request"), "is_primary": False}
    link |= {"is_revoked": False} | ({"name": params.text("name")[:32]} if params.has("name") else {})
    link |= {name: params.integer(name) for name in ("expire_date", "member_limit") if params.integer(name)}
    engine.set(f"links/{chat['id']}", [*engine.settings.get(f"links/{chat['id']}", []), link])
    return link


def revoke_chat_invite_link(engine: Engine, params: Params) -> Json:
    """A link that leads nowhere any more."""
    chat = _inviting(engine, params)
    links = engine.settings.get(f"links/{chat['id']}", [])
    link = next((link for link in links if link["invite_link"] == params.text("invite_link")), None)
    if link is None:
        raise bad_request("INVITE_HASH_EXPIRED")
    gone: Json = link | {"is_revoked": True}
    engine.set(f"links/{chat['id']}", [gone if other is link else other for other in links])
    return gone


def get_user_profile_photos(engine: Engine, params: Params) -> Json:
    """Nobody here has a picture."""
    if params.integer("user_id") <= 0:
        raise bad_request("invalid user_id specified")
    if params.integer("user_id") not in engine.users:
        raise bad_request("user not found")
    return {"total_count": 0, "photos": []}


MEMBERS: dict[str, Method] = {
    "banChatMember": ban_chat_member,
    "createChatInviteLink": create_chat_invite_link,
    "exportChatInviteLink": export_chat_invite_link,
    "getChat": get_chat,
    "getChatAdministrators": get_chat_administrators,
    "getChatMember": get_chat_member,
    "getChatMemberCount": get_chat_member_count,
    "getUserProfilePhotos": get_user_profile_photos,
    "kickChatMember": ban_chat_member,
    "leaveChat": leave_chat,
    "promoteChatMember": promote_chat_member,
    "restrictChatMember": restrict_chat_member,
    "revokeChatInviteLink": revoke_chat_invite_link,
    "setChatDescription": set_chat_description,
    "setChatPermissions": set_chat_permissions,
    "setChatTitle": set_chat_title,
    "unbanChatMember": unban_chat_member,
}
