"""The chat world: people, chats, messages, presses and files, and the rules by which they change.

No network here. People act through `say`, `press` and `edit`; the bot's methods (sim.telegram.methods) through the rest.
Messages are kept as Telegram's Message JSON, so that what a poll returns and what is remembered are the same thing.
"""

import base64
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sim.clock import Clock
from sim.journal import Journal
from sim.telegram.entities import Entity, tidy
from sim.telegram.errors import bad_request, forbidden
from sim.telegram.memory import Memory
from sim.telegram.people import (
    Json,
    first_members,
    make_bot,
    make_group,
    make_owner,
    make_stranger,
    private_chat,
)
from sim.telegram.privacy import heard
from sim.telegram.updates import UpdateQueue

#: A press is answered within this time or not at all.
_ANSWER_WITHIN = timedelta(seconds=150)


class PersonError(ValueError):
    """What a person cannot do (press a button that is not there); the words are for the control port."""


class Engine:
    """Everything that Telegram itself would know."""

    def __init__(self, clock: Clock, memory: Memory, journal: Journal, seed: int) -> None:
        self.clock = clock
        self.journal = journal
        self._memory = memory
        self.bot = make_bot(seed)
        self.owner = make_owner(seed)
        self.group = make_group(seed)
        self.users: dict[int, Json] = {self.bot["id"]: self.bot, self.owner["id"]: self.owner}
        self.users |= {int(key): user for key, user in memory.all("telegram.user").items()}
        self.chats: dict[int, Json] = {self.group["id"]: self.group}
        self.chats |= {int(key): chat for key, chat in memory.all("telegram.chat").items()}
        self.chats |= {user["id"]: private_chat(user) for user in self.users.values() if not user["is_bot"]}
        #: Who is in a group, as ChatMember JSON by user id; the first group begins with its creator and the bot.
        self.members: dict[str, dict[str, Json]] = memory.all("telegram.members")
        self.members.setdefault(str(self.group["id"]), first_members(self.owner, self.bot))
        #: Reactions to a message, as lists of ReactionType JSON by user id (the bot's too).
        self.reactions: dict[str, dict[str, list[Json]]] = memory.all("telegram.reactions")
        self._read: dict[str, int] = memory.all("telegram.read")
        #: Who has voted for which options of a poll, by poll id and user id.
        self.votes: dict[str, dict[str, list[int]]] = memory.all("telegram.votes")
        #: The reply keyboard of a chat: {"message_id", "markup", "for": user ids or None for everybody}.
        self.keyboards: dict[str, Json] = memory.all("telegram.keyboard")
        #: The menu button (MenuButton JSON) of a private chat, or of all as "default".
        self.menu_buttons: dict[str, Json] = memory.all("telegram.menu_button")
        self.messages: dict[int, Json] = {
            int(key): value for key, value in memory.all("telegram.message").items()
        }
        self._presses: dict[str, Json] = memory.all("telegram.press")
        self.blocked: set[int] = set(memory.get("telegram.state", "blocked", []))
        self.commands: dict[str, list[Json]] = memory.all("telegram.commands")
        #: The message that each chat shows as pinned, and all that are, oldest pin first.
        self.pinned: dict[str, int] = memory.all("telegram.pinned")
        self.pins: dict[str, list[int]] = memory.all("telegram.pins")
        #: What the bot, BotFather or the control port have set: names, texts, rights, privacy, who is gone.
        self.settings: dict[str, Any] = memory.all("telegram.setting")
        self.bot |= self.settings.get("bot", {})
        self._update_of: dict[str, int] = memory.all("telegram.update_of")
        self._next_message: int = memory.get("telegram.state", "next_message", 1)
        chance = random.Random(f"updates {seed}")
        self.updates = UpdateQueue(memory, first_id=chance.randrange(100_000_000, 900_000_000))
        self._next_press: int = memory.get("telegram.state", "next_press", chance.randrange(10**17, 10**18))

    # What people do

    def say(
        self,
        user_id: int,
        text: str,
        *,
        in_group: bool = False,
        chat_id: int | None = None,
        forward: bool = False,
        reply_to: int | None = None,
    ) -> Json:
        """A person writes `text`, privately or in the chat `chat_id`; returns {"update_id", "message_id"}.

        PersonError for an empty text, or an unknown message or chat.
        """
        user = self.person(user_id)
        body, entities = tidy(text, [])
        if not body:
            raise PersonError("a message needs a text")
        if in_group and not self.is_in(self.group["id"], user_id):  # the first group is open to everybody
            self.set_member(self.group["id"], {"status": "member", "user": user})
        chat = self.chat_of(user_id, self.group["id"] if in_group else chat_id)
        message = self.new_message(chat, user) | {"text": body}
        if entities:
            message["entities"] = entities
        if forward:
            origin = {"type": "hidden_user", "date": message["date"], "sender_user_name": "Somebody else"}
            message["forward_origin"] = origin
        if reply_to is not None:
            message["reply_to_message"] = without_reply(self.seen_by_person(reply_to, chat["id"]))
        return self.deliver("message", message, forward=forward)

    def edit(self, message_id: int, text: str) -> Json:
        """A person changes a message of their own; returns {"update_id", "message_id"}."""
        message = self.messages.get(message_id)
        if message is None or message["from"]["is_bot"]:
            raise PersonError(f"there is no message {message_id} written by a person")
        body, entities = tidy(text, [])
        if not body:
            raise PersonError("a message needs a text")
        changed = {key: value for key, value in message.items() if key != "entities"}
        changed |= {"text": body, "edit_date": self.timestamp()} | (
            {"entities": entities} if entities else {}
        )
        return self.deliver("edited_message", changed)

    def press(self, message_id: int, data: str, *, user_id: int | None = None, repeat: int = 1) -> Json:
        """A person taps a button; returns {"callback_query_id", "update_ids"}, `repeat` updates for the same tap."""
        message = self.messages.get(message_id)
        if message is None:
            raise PersonError(f"there is no message {message_id}")
        user = self.person(self.owner["id"] if user_id is None else user_id)
        query_id = self.open_query(user["id"])
        query = {
            "id": query_id,
            "from": user,
            "message": message,
            "chat_instance": str(message["chat"]["id"]),
            "data": data,
        }
        ids = [self.updates.add("callback_query", query, self.clock.now()) for _ in range(repeat)]
        facts = {"callback_query_id": query_id, "update_ids": ids}
        self.journal.record("press", user_id=user["id"], message_id=message_id, data=data, **facts)
        return facts

    def inject(self, kind: str, content: Json) -> Json:
        """Hand the bot an update with this content, whether it makes sense or not; returns {"update_id"}."""
        update_id = self.updates.add(kind, content, self.clock.now())
        self.journal.record("injected", update_id=update_id)
        return {"update_id": update_id}

    def block(self, user_id: int, blocked: bool) -> None:
        """A person stops the bot, or starts it again; the bot hears of it as my_chat_member."""
        user = self.person(user_id)
        if (user_id in self.blocked) == blocked:
            return
        self.blocked = self.blocked ^ {user_id}
        self._memory.put("telegram.state", "blocked", sorted(self.blocked))
        out, back = (
            {"status": "kicked", "user": self.bot, "until_date": 0},
            {"status": "member", "user": self.bot},
        )
        change = {"old_chat_member": back, "new_chat_member": out} if blocked else {"old_chat_member": out, "new_chat_member": back}  # fmt: skip
        facts = {"chat": self.chats[user_id], "from": user, "date": self.timestamp()}
        update_id = self.updates.add("my_chat_member", facts | change, self.clock.now())
        self.journal.record("blocked" if blocked else "unblocked", user_id=user_id, update_id=update_id)

    # What the bot does

    def chat(self, chat_id: int) -> Json:
        """A chat that the bot knows. ApiError where it knows none of this number, or is in that group no more."""
        if chat_id == self.bot["id"]:
            raise forbidden("bot can't send messages to the bot itself")
        chat = self.chats.get(chat_id)
        if chat is None:
            raise bad_request("chat not found")
        if not self.bot_is_in(chat_id):
            kicked = self.place_of(chat_id, self.bot["id"])["status"] == "kicked"
            words = "bot was kicked from" if kicked else "bot is not a member of"
            raise forbidden(f"{words} the {chat['type']} chat")
        return chat

    def writable(self, chat_id: int) -> Json:
        """The same where the bot may write, which a person can prevent."""
        chat = self.chat(chat_id)
        if chat_id in self.settings.get("deactivated", []):
            raise forbidden("user is deactivated")
        if chat_id in self.blocked:
            raise forbidden("bot was blocked by the user")
        if chat["type"] == "private" and not self.has_started(chat_id):
            raise forbidden("bot can't initiate conversation with a user")
        return chat

    def has_started(self, user_id: int) -> bool:
        """Whether a person has ever written to the bot; the one at the page has."""
        return user_id == self.owner["id"] or user_id in self.settings.get("started", [])

    def set(self, key: str, value: Any) -> None:
        """Remember a setting; None forgets it."""
        if value is None:
            self.settings.pop(key, None)
            self._memory.delete("telegram.setting", key)
        else:
            self.settings[key] = value
            self._memory.put("telegram.setting", key, value)

    def rename_bot(self, name: str) -> None:
        """The bot's name from now on."""
        self.set("bot", {"first_name": name})
        self.bot |= {"first_name": name}

    def post(self, chat: Json, content: Mapping[str, Any]) -> Json:
        """The bot's new message with `content` (text, photo, reply_markup...)."""
        message = self.new_message(chat, self.bot) | dict(content)
        self.keep(message)
        return message

    def message(self, chat_id: int, message_id: int, missing: str) -> Json:
        """A message of a chat; ApiError with the words `missing` where there is none."""
        message = self.messages.get(message_id)
        if message is None or message["chat"]["id"] != chat_id:
            raise bad_request(missing)
        return message

    def revise(self, message: Json, content: Mapping[str, Any]) -> Json:
        """The bot's message with `content` in place of what it had; None takes a field away."""
        changed = message | {key: value for key, value in content.items() if value is not None}
        for key in (key for key, value in content.items() if value is None):
            changed.pop(key, None)
        if changed == message:
            raise bad_request(
                "message is not modified: specified new message content and reply markup are exactly the same "
                "as a current content and reply markup of the message"
            )
        if any(changed.get(key) != message.get(key) for key in content if key != "reply_markup"):
            changed["edit_date"] = self.timestamp()  # another keyboard alone does not count as an edit
        self.keep(changed)
        return changed

    def remove(self, message: Json) -> None:
        """A message disappears for everybody."""
        self.unpin(message["chat"]["id"], message["message_id"])
        del self.messages[message["message_id"]]
        self._memory.delete("telegram.message", message["message_id"])

    def presser(self, query_id: str) -> int:
        """Who pressed, 0 where it is forgotten."""
        return int(self._presses.get(query_id, {}).get("user", 0))

    def answer(self, query_id: str) -> bool:
        """The bot answers a press; True the first time. ApiError where it is too late, or there was none."""
        press = self._presses.get(query_id)
        if press is None or self._stale(press):
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        first = not press["answered"]
        press["answered"] = True
        self._memory.put("telegram.press", query_id, press)
        return first

    def open_query(self, user_id: int) -> str:
        """The number of something that the bot has 150 seconds to answer: a press, an inline query, a web app."""
        query_id, self._next_press = str(self._next_press), self._next_press + 1
        self._memory.put("telegram.state", "next_press", self._next_press)
        self._presses = {key: press for key, press in self._presses.items() if not self._stale(press)}
        self._presses[query_id] = {"at": self.clock.now().isoformat(), "answered": False, "user": user_id}
        self._memory.put("telegram.press", query_id, self._presses[query_id])
        return query_id

    def set_commands(self, scope: str, commands: list[Json] | None) -> None:
        """The command menu of a scope; None takes it away."""
        if commands:
            self.commands[scope] = commands
            self._memory.put("telegram.commands", scope, commands)
        else:
            self.commands.pop(scope, None)
            self._memory.delete("telegram.commands", scope)

    def pin(self, chat_id: int, message_id: int | None) -> None:
        """Pin one more message in a chat, which shows it; None takes every pin away."""
        others = [number for number in self.pins.get(str(chat_id), []) if number != message_id]
        self._keep_pins(chat_id, [] if message_id is None else [*others, message_id])

    def unpin(self, chat_id: int, message_id: int | None) -> bool:
        """Take one pin away, the latest where `message_id` is None; False where there is none."""
        pins = self.pins.get(str(chat_id), [])
        gone = message_id if message_id is not None else pins[-1] if pins else None
        if gone not in pins:
            return False
        self._keep_pins(chat_id, [number for number in pins if number != gone])
        return True

    def _keep_pins(self, chat_id: int, pins: list[int]) -> None:
        if not pins:
            self.pins.pop(str(chat_id), None)
            self.pinned.pop(str(chat_id), None)
            self._memory.delete("telegram.pins", chat_id)
            self._memory.delete("telegram.pinned", chat_id)
            return
        self.pins[str(chat_id)], self.pinned[str(chat_id)] = pins, pins[-1]
        self._memory.put("telegram.pins", chat_id, pins)
        self._memory.put("telegram.pinned", chat_id, pins[-1])

    def keep_file(self, name: str, content_type: str, data: bytes, kind: str = "") -> str:
        """Remember a file and return its file_id. `kind` (photo, document, voice...) is what it was sent as."""
        number = self._memory.get("telegram.state", "next_file", 1)
        self._memory.put("telegram.state", "next_file", number + 1)
        file_id = f"SIMULATED{number:08d}"
        record = {
            "name": name,
            "content_type": content_type,
            "size": len(data),
            "kind": kind,
            "data": base64.b64encode(data).decode(),
        }
        self._memory.put("telegram.file", file_id, record)
        return file_id

    def file(self, file_id: str) -> Json | None:
        """A remembered file: {"name", "content_type", "size", "data" in base64}, or None."""
        record: Json | None = self._memory.get("telegram.file", file_id)
        return record

    def file_data(self, file_id: str) -> bytes:
        """The content of a remembered file, empty where there is none."""
        record = self.file(file_id)
        return b"" if record is None else base64.b64decode(record["data"])

    def set_keyboard(
        self, chat_id: int, message_id: int, markup: Json | None, people: list[int] | None = None
    ) -> None:
        """The reply keyboard (or force reply) that people of a chat have in place of their own; None takes it away."""
        if markup is None:
            self.keyboards.pop(str(chat_id), None)
            self._memory.delete("telegram.keyboard", chat_id)
        else:
            self.keyboards[str(chat_id)] = {"message_id": message_id, "markup": markup, "for": people}
            self._memory.put("telegram.keyboard", chat_id, self.keyboards[str(chat_id)])
        self.journal.record("keyboard", chat_id=chat_id, keyboard=markup)

    def set_menu_button(self, chat_id: int | None, button: Json | None) -> None:
        """The menu button of a private chat, of all where `chat_id` is None; None puts the usual one there."""
        key = "default" if chat_id is None else str(chat_id)
        if button is None:
            self.menu_buttons.pop(key, None)
            self._memory.delete("telegram.menu_button", key)
        else:
            self.menu_buttons[key] = button
            self._memory.put("telegram.menu_button", key, button)
        self.journal.record("menuButton", chat_id=chat_id, button=button)

    def set_reaction(self, message: Json, user_id: int, reactions: list[Json]) -> list[Json]:
        """What a person or the bot thinks of a message, in place of what they thought before; returns the old reactions."""
        of_message = self.reactions.setdefault(str(message["message_id"]), {})
        old = of_message.pop(str(user_id), [])
        if reactions:
            of_message[str(user_id)] = reactions
        self._memory.put("telegram.reactions", message["message_id"], of_message)
        return old

    def keep_votes(self, poll_id: str, votes: dict[str, list[int]]) -> None:
        """Who has voted for what in a poll; the counts in the message are the caller's."""
        self.votes[poll_id] = votes
        self._memory.put("telegram.votes", poll_id, votes)

    def read_up_to(self, user_id: int, chat_id: int) -> int:
        """The newest message of a chat that a person has seen on the page."""
        return self._read.get(f"{user_id}:{chat_id}", 0)

    def mark_read(self, user_id: int, chat_id: int, message_id: int) -> None:
        """A person has seen a chat up to a message."""
        key = f"{user_id}:{chat_id}"
        if message_id > self._read.get(key, 0):
            self._read[key] = message_id
            self._memory.put("telegram.read", key, message_id)

    # What people see

    def history(self, chat_id: int) -> list[Json]:
        """The messages of a chat, oldest first."""
        return [message for message in self.messages.values() if message["chat"]["id"] == chat_id]

    def update_of(self, message_id: int) -> int:
        """The update that carried a person's message to the bot, 0 where there was none."""
        return self._update_of.get(str(message_id), 0)

    def command_menu(self) -> list[Json]:
        """The commands that the owner's menu shows: those for this chat, else for private chats, else for all."""
        scopes = (f"chat:{self.owner['id']}", "all_private_chats", "default")
        return next((self.commands[scope] for scope in scopes if self.commands.get(scope)), [])

    # Groups

    def chat_of(self, user_id: int, chat_id: int | None) -> Json:
        """The chat that a person means: their private one where `chat_id` is None or theirs. PersonError where it is not theirs."""
        self.person(user_id)
        if chat_id is None or chat_id == user_id:
            return self.chats[user_id]
        chat = self.chats.get(chat_id)
        if chat is None or chat["type"] == "private":
            raise PersonError(f"there is no group {chat_id}")
        if not self.is_in(chat_id, user_id):
            raise PersonError(f"{self.users[user_id]['first_name']} is not in {chat['title']}")
        return chat

    def is_in(self, chat_id: int, user_id: int) -> bool:
        """Whether somebody (the bot too) is in a group, or the private chat is theirs."""
        if chat_id not in self.chats or self.chats[chat_id]["type"] == "private":
            return user_id in (chat_id, self.bot["id"])
        place = self.place_of(chat_id, user_id)
        return bool(place.get("is_member", place["status"] not in ("left", "kicked")))

    def place_of(self, chat_id: int, user_id: int) -> Json:
        """Somebody's place in a group as ChatMember JSON: "left" for those who have never been there."""
        place = self.members.get(str(chat_id), {}).get(str(user_id))
        return place or {"status": "left", "user": self.users.get(user_id, {"id": user_id})}

    def bot_is_in(self, chat_id: int) -> bool:
        """Whether the bot hears what is said in a chat."""
        return self.is_in(chat_id, self.bot["id"])

    def set_member(self, chat_id: int, member: Json) -> Json:
        """Somebody's place in a group (ChatMember JSON); returns the one before."""
        of_chat = self.members.setdefault(str(chat_id), {})
        key = str(member["user"]["id"])
        old = of_chat.get(key, {"status": "left", "user": member["user"]})
        of_chat[key] = member
        self._memory.put("telegram.members", chat_id, of_chat)
        return old

    def keep_chat(self, chat: Json) -> None:
        """A group, new or with another title."""
        self.chats[chat["id"]] = chat
        self._memory.put("telegram.chat", chat["id"], chat)

    # Inside

    def keep_person(self, user: Json) -> None:
        """Somebody new, with a private chat."""
        self.users[user["id"]] = user
        self.chats[user["id"]] = private_chat(user)
        self._memory.put("telegram.user", user["id"], user)

    def person(self, user_id: int) -> Json:
        if user_id == self.bot["id"]:
            raise PersonError("the bot is not a person")
        if user_id not in self.users:
            self.keep_person(make_stranger(user_id))
        return self.users[user_id]

    def seen_by_person(self, message_id: int, chat_id: int) -> Json:
        message = self.messages.get(message_id)
        if message is None or message["chat"]["id"] != chat_id:
            raise PersonError(f"there is no message {message_id} in this chat")
        return message

    def timestamp(self) -> int:
        return int(self.clock.now().timestamp())

    def new_message(self, chat: Json, sender: Json) -> Json:
        message_id, self._next_message = self._next_message, self._next_message + 1
        self._memory.put("telegram.state", "next_message", self._next_message)
        return {"message_id": message_id, "from": sender, "chat": chat, "date": self.timestamp()}

    def keep(self, message: Json) -> None:
        self.messages[message["message_id"]] = message
        self._memory.put("telegram.message", message["message_id"], message)

    def deliver(self, kind: str, message: Json, **facts: Any) -> Json:
        """Keep a person's message and hand it to the bot as an update, where its privacy mode lets it hear."""
        self.keep(message)
        update_id = 0
        chat_id = message["chat"]["id"]
        if chat_id > 0 and not self.has_started(chat_id):
            self.set("started", [*self.settings.get("started", []), chat_id])
        sees_all = not self.settings.get("privacy", True) or self.place_of(chat_id, self.bot["id"])["status"] in (
            "creator", "administrator",
        )  # fmt: skip
        if self.bot_is_in(chat_id) and (sees_all or heard(message, self.bot)):
            update_id = self.updates.add(kind, message, self.clock.now())
            self._update_of[str(message["message_id"])] = update_id
            self._memory.put("telegram.update_of", message["message_id"], update_id)
        ids = {"update_id": update_id, "message_id": message["message_id"]}
        sender, chat = message["from"]["id"], message["chat"]["id"]
        self.journal.record(
            kind,
            user_id=sender,
            chat_id=chat,
            text=message.get("text", message.get("caption", "")),
            **ids,
            **facts,
        )
        return ids

    def _stale(self, press: Json) -> bool:
        return self.clock.now() - datetime.fromisoformat(press["at"]) > _ANSWER_WITHIN


def without_reply(message: Json) -> Json:
    return {key: value for key, value in message.items() if key != "reply_to_message"}


def text_fields(kind: str, text: str, entities: list[Entity]) -> Json:
    """The Message fields of a text or caption ("text" or "caption"), None where a field is to go away."""
    names = {"text": "entities", "caption": "caption_entities"}
    return {kind: text or None, names[kind]: entities or None}
