"""Who may speak: a table of updates as Telegram sends them, and that everything else is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import Update

from bot.gate import Verdict, is_plainly_strange, judge

OWNER, OTHER, BOT = 4242, 666, 99
OWNERS = frozenset({OWNER})
USER = {"id": OWNER, "is_bot": False, "first_name": "Ada"}
STRANGER = {"id": OTHER, "is_bot": False, "first_name": "Eve"}
HERSELF = {"id": BOT, "is_bot": True, "first_name": "Greenlight"}
PRIVATE = {"id": OWNER, "type": "private", "first_name": "Ada"}
GROUP = {"id": -100, "type": "group", "title": "Friends"}
DATE = 1_700_000_000


def message(
    user: dict[str, Any] | None = USER, chat: dict[str, Any] = PRIVATE, **more: Any
) -> dict[str, Any]:
    told = {"message_id": 1, "date": DATE, "chat": chat, "text": "/buy AAPL 10", **more}
    return told if user is None else {**told, "from": user}


def press(user: dict[str, Any] = USER, chat: dict[str, Any] | None = PRIVATE, **more: Any) -> dict[str, Any]:
    told = {"id": "1", "from": user, "chat_instance": "1", "data": "send:X", **more}
    return told if chat is None else {**told, "message": message(HERSELF, chat)}


def update(**what: Any) -> Update:
    return Update.de_json(told_as(**what), None)


def told_as(**what: Any) -> dict[str, Any]:
    return {"update_id": 7, **what}


FORWARDED = {"type": "user", "date": DATE, "sender_user": STRANGER}
THEIR_CHAT = {"id": OTHER, "type": "private", "first_name": "Eve"}
CASES = {
    "the owner writes": (update(message=message()), Verdict.ACT),
    "the owner taps": (update(callback_query=press()), Verdict.ACT),
    "the owner taps a message too old to be shown": (
        update(callback_query={**press(chat=None), "message": {"chat": PRIVATE, "message_id": 1, "date": 0}}),
        Verdict.ACT,
    ),
    "a stranger writes": (update(message=message(STRANGER, THEIR_CHAT)), Verdict.STRANGER),
    "a stranger taps": (update(callback_query=press(STRANGER, THEIR_CHAT)), Verdict.STRANGER),
    "a stranger in the owner's chat": (update(message=message(STRANGER)), Verdict.NOT_PRIVATE),
    "a stranger taps in the owner's chat": (update(callback_query=press(STRANGER)), Verdict.NOT_PRIVATE),
    "the owner in a group": (update(message=message(chat=GROUP)), Verdict.NOT_PRIVATE),
    "the owner in a supergroup": (
        update(message=message(chat={**GROUP, "type": "supergroup"})),
        Verdict.NOT_PRIVATE,
    ),
    "the owner taps in a group": (update(callback_query=press(chat=GROUP)), Verdict.NOT_PRIVATE),
    "a tap with no message": (
        update(callback_query=press(chat=None, inline_message_id="x")),
        Verdict.NOT_PRIVATE,
    ),
    "an edit": (update(edited_message=message(edit_date=DATE + 1)), Verdict.EDITED),
    "an edit by a stranger": (update(edited_message=message(STRANGER, THEIR_CHAT)), Verdict.EDITED),
    "a forward": (update(message=message(forward_origin=FORWARDED)), Verdict.FORWARDED),
    "a forward of her own": (
        update(message=message(forward_origin={**FORWARDED, "sender_user": USER})),
        Verdict.FORWARDED,
    ),
    "through another bot": (update(message=message(via_bot=HERSELF)), Verdict.FORWARDED),
    "on behalf of a chat": (update(message=message(sender_chat=GROUP)), Verdict.FORWARDED),
    "by itself from a channel": (update(message=message(is_automatic_forward=True)), Verdict.FORWARDED),
    "a bot": (update(message=message({**USER, "is_bot": True})), Verdict.NOT_FOR_US),
    "nobody": (update(message=message(None)), Verdict.NOT_FOR_US),
    "a channel's post": (
        update(channel_post=message(None, {"id": -1, "type": "channel", "title": "News"})),
        Verdict.NOT_FOR_US,
    ),
    "an edited post of a channel": (
        update(edited_channel_post=message(None, {"id": -1, "type": "channel", "title": "News"})),
        Verdict.NOT_FOR_US,
    ),
    "an inline query": (
        update(inline_query={"id": "1", "from": USER, "query": "/buy AAPL 10", "offset": ""}),
        Verdict.NOT_FOR_US,
    ),
    "nothing that we know": (update(), Verdict.NOT_FOR_US),
}


@pytest.mark.parametrize(("told", "verdict"), CASES.values(), ids=CASES)
def test_judge(told: Update, verdict: Verdict) -> None:
    """Only the owner, in private, first-hand, gets to a command."""
    assert judge(told, OWNERS) is verdict


@pytest.mark.parametrize(("told", "verdict"), CASES.values(), ids=CASES)
def test_an_empty_list_allows_nobody(told: Update, verdict: Verdict) -> None:
    """With nobody allowed no update acts; only a private message is answered with its sender's id."""
    found = judge(told, frozenset())
    assert found is not Verdict.ACT
    private_message = told.message is not None and verdict in (
        Verdict.ACT,
        Verdict.STRANGER,
        Verdict.FORWARDED,
    )
    assert (found is Verdict.INTRODUCE) is private_message


@pytest.mark.parametrize(("told", "verdict"), CASES.values(), ids=CASES)
def test_strangers_learn_nothing(told: Update, verdict: Verdict) -> None:
    """Where somebody is allowed, nobody is introduced: a stranger gets no answer at all."""
    assert judge(told, OWNERS) is not Verdict.INTRODUCE
    assert judge(told, frozenset({1})) is not Verdict.ACT


@given(
    st.sampled_from(["message", "edited_message", "channel_post", "business_message", "callback_query"]),
    st.sampled_from([OWNER, OTHER]),
    st.sampled_from([OWNER, OTHER, -100]),
    st.sampled_from(["private", "group", "supergroup", "channel", "sender"]),
    st.booleans(),
)
def test_who_acts_is_the_owner_in_private(
    what: str, user: int, chat: int, kind: str, forwarded: bool
) -> None:
    """Over all combinations: ACT is exactly the owner's own message or tap in the chat with the bot."""
    person = {"id": user, "is_bot": False, "first_name": "X"}
    room = {"id": chat, "type": kind}
    told = press(person, room) if what == "callback_query" else message(person, room)
    if forwarded and what != "callback_query":
        told["forward_origin"] = FORWARDED
    own = user == OWNER and chat == OWNER and kind == "private"
    first_hand = what == "callback_query" or (what == "message" and not forwarded)
    assert (judge(update(**{what: told}), OWNERS) is Verdict.ACT) is (own and first_hand)


# --- before an update is read -----------------------------------------------------------------------------------------

PLAIN: list[Any] = [
    told_as(message=message(STRANGER, THEIR_CHAT)),
    told_as(
        message=message(STRANGER, THEIR_CHAT, date="soon", forward_origin=5)
    ),  # the rest is not looked at
    told_as(callback_query=press(STRANGER, THEIR_CHAT)),
]
NOT_PLAIN: list[Any] = [
    told_as(message=message()),
    told_as(callback_query=press()),
    told_as(message=message(STRANGER)),
    told_as(message=message({**STRANGER, "id": str(OTHER)}, THEIR_CHAT)),
    told_as(message=message({**STRANGER, "id": float(OTHER)}, {**THEIR_CHAT, "id": float(OTHER)})),
    told_as(message=message({**STRANGER, "is_bot": True}, THEIR_CHAT)),
    told_as(message=message({"id": OTHER}, THEIR_CHAT)),
    told_as(message=message(None, THEIR_CHAT)),
    told_as(message=message(STRANGER, GROUP)),
    told_as(message=message(STRANGER, {**THEIR_CHAT, "type": "sender"})),
    told_as(message=message(STRANGER, THEIR_CHAT), callback_query=press()),
    told_as(edited_message=message(STRANGER, THEIR_CHAT)),
    told_as(callback_query=press(STRANGER, None)),
    told_as(message=5),
    told_as(),
    [],
    None,
]


@pytest.mark.parametrize("told", PLAIN)
def test_a_plain_stranger_is_known_unread(told: Any) -> None:
    """A private line or tap of somebody else is refused as it came, unless nobody is allowed yet, who has to be introduced."""
    assert is_plainly_strange(told, OWNERS)
    assert not is_plainly_strange(told, frozenset())
    assert not is_plainly_strange(told, frozenset({OWNER, OTHER}))


@pytest.mark.parametrize("told", NOT_PLAIN)
def test_whatever_is_not_plain_is_looked_at(told: Any) -> None:
    """The owner's own, and everything that is odd in any way, goes the long way."""
    assert not is_plainly_strange(told, OWNERS)


@given(
    st.sampled_from(["message", "edited_message", "channel_post", "callback_query"]),
    st.sampled_from([OWNER, OTHER, BOT]),
    st.sampled_from([OWNER, OTHER, BOT, -100]),
    st.sampled_from(["private", "group", "supergroup", "channel", "sender"]),
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from([OWNER, OTHER, 1])),
)
def test_the_short_way_says_what_the_long_way_says(
    what: str, user: int, chat: int, kind: str, robot: bool, forwarded: bool, owners: set[int]
) -> None:
    """Over all combinations: whoever is refused unread is a stranger to the whole gate too."""
    person, room = {"id": user, "is_bot": robot, "first_name": "X"}, {"id": chat, "type": kind}
    told = press(person, room) if what == "callback_query" else message(person, room)
    if forwarded and what != "callback_query":
        told["forward_origin"] = FORWARDED
    if is_plainly_strange(told_as(**{what: told}), owners):
        assert judge(update(**{what: told}), owners) is Verdict.STRANGER
        assert user not in owners


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("private"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "callback_query", "from", "chat", "id", "type", "is_bot"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
def test_nothing_that_comes_breaks_the_short_way(anything: Any, user: Any, chat: Any) -> None:
    """Any JSON is either plainly strange or not; it never raises."""
    for told in (anything, told_as(message=anything), told_as(message={"from": user, "chat": chat})):
        assert is_plainly_strange(told, OWNERS) in (True, False)
