"""Who may speak: users, not chats; in private; first-hand; once. Pure functions that fail closed: what they do not know, they refuse."""

from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any

from telegram import Chat, Message, Update


class Verdict(StrEnum):
    """What becomes of an update. Only ACT reaches a command."""

    ACT = "act"
    INTRODUCE = "introduce"  # nobody is allowed yet: tell the sender the id that would have to be allowed
    STRANGER = "stranger"
    EDITED = "edited"
    FORWARDED = "forwarded"
    NOT_PRIVATE = "not private"
    NOT_FOR_US = "not for us"
    UNREADABLE = "unreadable"  # the library does not understand it


def judge(update: Update | None, owners: AbstractSet[int]) -> Verdict:
    """The verdict on one update; None is one that cannot be read."""
    if update is None:
        return Verdict.UNREADABLE
    query = update.callback_query
    if query is not None:
        chat = query.message.chat if query.message is not None else None
        return _person(query.from_user.id, chat, owners, Verdict.STRANGER)
    if update.edited_message is not None:
        return Verdict.EDITED
    message = update.message
    if message is None or message.from_user is None or message.from_user.is_bot:
        return Verdict.NOT_FOR_US
    verdict = _person(message.from_user.id, message.chat, owners, Verdict.INTRODUCE)
    if verdict is Verdict.ACT and _second_hand(message):
        return Verdict.FORWARDED
    return verdict


def is_plainly_strange(told: Any, owners: AbstractSet[int]) -> bool:
    """Whether the JSON of an update is a private line or tap of somebody who is not allowed; False wherever `judge` has to look.

    What a stranger sends is not read any further, which takes twenty times as long. It can only refuse, and where the library reads
    the update at all, `judge` says STRANGER to it too.
    """
    if not owners or not isinstance(told, dict):
        return False
    parts = [name for name in told if name != "update_id"]
    if parts not in (["message"], ["callback_query"]):
        return False
    part = told[parts[0]]
    try:
        user, chat = part["from"], part["chat"] if parts == ["message"] else part["message"]["chat"]
        number = user["id"]
        return (
            type(number) is int
            and number not in owners
            and user["is_bot"] is False
            and type(chat["id"]) is int
            and chat["id"] == number
            and chat["type"] == "private"
        )
    except (KeyError, TypeError):
        return False


def _person(user: int, chat: Chat | None, owners: AbstractSet[int], when_nobody: Verdict) -> Verdict:
    if chat is None or chat.type != Chat.PRIVATE or chat.id != user:
        return Verdict.NOT_PRIVATE
    if not owners:
        return when_nobody
    return Verdict.ACT if user in owners else Verdict.STRANGER


def _second_hand(message: Message) -> bool:
    """Forwarded, written through another bot, or sent on somebody's behalf: not the owner's own words."""
    return any((message.forward_origin, message.via_bot, message.sender_chat, message.is_automatic_forward))
