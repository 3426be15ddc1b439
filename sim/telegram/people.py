"""Who is in the chat world: the bot, the owner who sits at the chat page, strangers, and one group. Pure."""

import random
from typing import Any

Json = dict[str, Any]

_OWNER_NAMES = ("Alex", "Sam", "Robin", "Kim", "Chris", "Noa", "Jo", "Sascha")


def make_bot(seed: int) -> Json:
    """The bot as User JSON; the same for a seed."""
    return {
        "id": 7_000_000_000 + random.Random(f"bot {seed}").randrange(900_000_000),
        "is_bot": True,
        "first_name": "Greenlight",
        "username": "greenlight_sim_bot",
    }


def make_owner(seed: int) -> Json:
    """The person at the chat page as User JSON; the same for a seed."""
    chance = random.Random(f"owner {seed}")
    name = _OWNER_NAMES[(seed - 1) % len(_OWNER_NAMES)]
    return {
        "id": 100_000_000 + chance.randrange(800_000_000),
        "is_bot": False,
        "first_name": name,
        "username": f"{name.lower()}_{chance.randrange(1000)}",
        "language_code": "en",
    }


def make_stranger(user_id: int) -> Json:
    """Somebody the control port has brought in."""
    return {"id": user_id, "is_bot": False, "first_name": f"Stranger {user_id}", "language_code": "en"}


def make_group(seed: int) -> Json:
    """The group that the control port can write in, as Chat JSON."""
    return {"id": -1_000_000_000_000 - random.Random(f"group {seed}").randrange(1_000_000_000, 2_000_000_000),
            "type": "supergroup", "title": "Trading club"}  # fmt: skip


def make_person(user_id: int, name: str) -> Json:
    """Somebody with a name that was chosen on the chat page or over the control port."""
    first, _, last = name.strip().partition(" ")
    letters = "".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum())
    username = letters[:28]  # with what follows, Telegram's 32 at most
    return (
        {"id": user_id, "is_bot": False, "first_name": first}
        | ({"last_name": last.strip()} if last.strip() else {})
        | ({"username": f"{username}_{user_id % 1000}"} if username else {})
        | {"language_code": "en"}
    )


def first_members(owner: Json, bot: Json) -> dict[str, Json]:
    """Those with whom a group begins, as ChatMember JSON by user id."""
    return {
        str(owner["id"]): {"status": "creator", "user": owner, "is_anonymous": False},
        str(bot["id"]): {"status": "member", "user": bot},
    }


def private_chat(user: Json) -> Json:
    """The chat between the bot and a person, as Chat JSON."""
    return {"id": user["id"], "type": "private"} | {
        key: user[key] for key in ("first_name", "last_name", "username") if key in user
    }
