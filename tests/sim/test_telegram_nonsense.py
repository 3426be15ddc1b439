"""Whatever a program sends to the Bot API, it gets a result or a refusal, never a broken server."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.clock import Clock
from sim.journal import Journal
from sim.store import Store
from sim.telegram.engine import Engine
from sim.telegram.errors import ApiError
from sim.telegram.memory import Memory
from sim.telegram.methods import METHODS
from sim.telegram.params import Params, Upload
from tests.sim.telegram_kit import PNG

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10),
    st.sampled_from(
        ["", "x", "HTML", "MarkdownV2", "photo", "typing", "1", "attach://file", "{}", "[]", "{", "<b>x</b>"]
    ),
)
KEYS = st.sampled_from(
    [
        "type",
        "offset",
        "length",
        "user",
        "id",
        "url",
        "language",
        "inline_keyboard",
        "keyboard",
        "web_app",
        "quote",
        "text",
        "callback_data",
        "media",
        "message_id",
        "chat_id",
        "command",
        "description",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "text",
        "caption",
        "parse_mode",
        "entities",
        "caption_entities",
        "reply_markup",
        "reply_parameters",
        "media",
        "photo",
        "document",
        "message_id",
        "callback_query_id",
        "commands",
        "scope",
        "action",
        "user_id",
        "file_id",
        "show_alert",
        "language_code",
        "protect_content",
        "drop_pending_updates",
        "message_ids",
        "from_chat_id",
        "options",
        "question",
        "type",
        "reaction",
        "permissions",
        "rights",
        "menu_button",
        "results",
        "result",
        "link_preview_options",
        "url",
        "latitude",
        "longitude",
        "name",
        "title",
    ]
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    clock = Clock()
    engine = Engine(clock, Memory(Store(None), lambda flush: flush()), Journal(clock), seed=1)
    engine.say(engine.owner["id"], "/start")
    return engine


@pytest.mark.parametrize("method", sorted(METHODS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(NAMES, VALUES, max_size=6), known=st.booleans())
def test_a_call_succeeds_or_is_refused(
    engine: Engine, method: str, values: dict[str, Any], known: bool
) -> None:
    chat = {"chat_id": engine.owner["id"]} if known else {}
    params = Params(values | chat, {"file": Upload("x.png", "image/png", PNG)})
    with suppress(ApiError):
        METHODS[method](engine, params)
