"""Privacy mode: what a bot hears in a group of which it is no administrator. Pure."""

from sim.telegram.kinds import CONTENT
from sim.telegram.people import Json


def heard(message: Json, bot: Json) -> bool:
    """Whether a bot in privacy mode is told of a message: in private always, in a group where it is meant for it.

    Meant are commands (unless they name another bot), mentions, and replies to what the bot has said; service messages
    go to every bot.
    """
    if message["chat"]["type"] == "private" or not message.keys() & set(CONTENT):
        return True
    if message.get("reply_to_message", {}).get("from", {}).get("id") == bot["id"]:
        return True
    name = f"@{bot['username']}".lower()
    text = str(message.get("text", message.get("caption", ""))).encode("utf-16-le")
    entities: list[Json] = message.get("entities") or message.get("caption_entities") or []
    for entity in entities:
        start, length = 2 * entity["offset"], 2 * entity["length"]
        words = text[start : start + length].decode("utf-16-le", "replace").lower()
        if entity["type"] == "mention" and words == name:
            return True
        if entity["type"] == "text_mention" and entity["user"]["id"] == bot["id"]:
            return True
        if entity["type"] == "bot_command" and ("@" not in words or words.endswith(name)):
            return True
    return False
