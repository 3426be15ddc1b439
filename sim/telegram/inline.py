"""What people type after the bot's name in any chat, and the result that they choose."""

from sim.telegram.engine import Engine, PersonError
from sim.telegram.people import Json


def ask(engine: Engine, user_id: int, query: str, offset: str = "") -> Json:
    """A person types a query of up to 256 characters; returns {"update_id", "inline_query_id"}.

    PersonError where the bot takes none: BotFather (the control port) has to allow it first.
    """
    user = engine.person(user_id)
    if not engine.settings.get("inline", False):
        raise PersonError(
            "this bot takes no inline queries; allow it with POST /telegram/bot and inline: true"
        )
    if len(query) > 256:
        raise PersonError(f"an inline query can have 256 characters at most, this one has {len(query)}")
    query_id = engine.open_query(user_id)
    content = {"id": query_id, "from": user, "query": query, "offset": offset, "chat_type": "sender"}
    ids = {
        "update_id": engine.updates.add("inline_query", content, engine.clock.now()),
        "inline_query_id": query_id,
    }
    engine.journal.record("inlineQuery", user_id=user_id, query=query, **ids)
    return ids
