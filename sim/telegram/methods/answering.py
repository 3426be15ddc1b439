"""Methods that answer what people have asked for: presses, inline queries, web apps."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from sim.telegram.content import text_of
from sim.telegram.engine import Engine, text_fields
from sim.telegram.errors import bad_request
from sim.telegram.keyboards import inline_of
from sim.telegram.methods.common import Method, next_number, record
from sim.telegram.params import Params
from sim.telegram.people import Json

_ANSWER_LIMIT = 200
_RESULTS_LIMIT = 50


def answer_callback_query(engine: Engine, params: Params) -> bool:
    """The end of a button's progress bar, with a toast, an alert, or an address that opens the bot.

    cache_time is accepted and not kept: every tap reaches the bot here.
    """
    text, url = params.text("text"), params.text("url")
    if len(text) > _ANSWER_LIMIT:
        raise bad_request("MESSAGE_TOO_LONG")
    if url and not _opens(url, engine.bot["username"]):
        raise bad_request("URL_INVALID")
    query_id = params.text("callback_query_id")
    if engine.answer(query_id):
        engine.journal.record(
            "answerCallbackQuery",
            callback_query_id=query_id,
            text=text,
            show_alert=params.flag("show_alert"),
            url=url,
        )
    return True


def _opens(url: str, username: str) -> bool:
    """Whether an address opens this bot with a parameter; any other is for games."""
    parts = urlsplit(url)
    start = parse_qs(parts.query)
    if parts.scheme == "tg":
        return parts.netloc == "resolve" and start.get("domain", [""])[0].lower() == username.lower()
    return (
        parts.netloc.lower() in ("t.me", "telegram.me") and parts.path.strip("/").lower() == username.lower()
    )


def answer_inline_query(engine: Engine, params: Params) -> bool:
    """Up to 50 results for what somebody types after the bot's name."""
    params.required("results")
    results = [_result(result) for result in params.json("results", list, "results") or []]
    if len(results) > _RESULTS_LIMIT:
        raise bad_request("RESULTS_TOO_MUCH")
    if len({result["id"] for result in results}) < len(results):
        raise bad_request("RESULT_ID_DUPLICATE")
    if engine.answer(params.text("inline_query_id")):
        engine.journal.record(
            "answerInlineQuery", inline_query_id=params.text("inline_query_id"), results=results
        )
    return True


def _result(result: Any) -> Json:
    if not isinstance(result, dict):
        raise bad_request("can't parse inline query result: Inline query result must be an object")
    for name in ("type", "id"):
        if not isinstance(result.get(name), str | int):
            raise bad_request(f"can't parse inline query result: Can't find field \"{name}\"")
    if not 0 < len(str(result["id"]).encode()) <= 64:
        raise bad_request("RESULT_ID_INVALID")
    return result | {"id": str(result["id"])}


def answer_web_app_query(engine: Engine, params: Params) -> Json:
    """What a web app made, as a message of its user: here only texts (an article with input_message_content)."""
    params.required("result")
    result = _result(params.json("result", dict, "inline query result"))
    content = result.get("input_message_content")
    if not isinstance(content, dict) or "message_text" not in content:
        raise bad_request("MESSAGE_EMPTY")
    query_id = params.text("web_app_query_id")
    user = engine.users.get(engine.presser(query_id))
    engine.answer(query_id)
    if user is None:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    text, entities = text_of(engine, Params(content | {"text": content["message_text"]}))
    markup = inline_of(Params(result), engine.chats[user["id"]])
    fields = text_fields("text", text, entities) | {"via_bot": engine.bot, "reply_markup": markup}
    message = engine.new_message(engine.chats[user["id"]], user)
    engine.keep(message | {key: value for key, value in fields.items() if value is not None})
    record(engine, "answerWebAppQuery", engine.messages[message["message_id"]])
    return {"inline_message_id": f"SIMULATED{next_number(engine, 'inline messages'):08d}"}


ANSWERING: dict[str, Method] = {
    "answerCallbackQuery": answer_callback_query,
    "answerInlineQuery": answer_inline_query,
    "answerWebAppQuery": answer_web_app_query,
}
