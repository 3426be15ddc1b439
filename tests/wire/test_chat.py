"""What the chat says and shows, on real wires: names, warnings, lists that are redrawn, and who is told what."""

import re
from typing import Any

import pytest

from bot import fills
from core.model import Outgoing
from tests.kit import House, Json
from tests.values import NOW
from tests.wire.test_analyze import scripted, with_model
from tests.wire.test_bracket import bought_with_bracket


def labels(message: Json) -> list[str]:
    """The buttons of a message, by their labels."""
    return [button["text"] for row in message["buttons"] for button in row]


async def test_a_class_of_shares_has_its_usual_name(live: House) -> None:
    """BRK.B is what people write; the broker's BRK B is nobody's business."""
    card = await live.phone.asks("/buy BRK.B 1", "BUY 1 BRK.B.*BERKSHIRE")
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED BUY 1 BRK.B.*0 → 1 BRK.B")
    await live.phone.asks("/positions BRK.B", "BRK.B 1 @")


async def test_the_first_connected_says_what_to_try(house: House) -> None:
    """Whoever has just arrived hears what can be done; nobody hears it twice."""
    async with house.bot():
        first = await house.phone.hears("Connected")
    assert "Try /positions or /buy AAPL 10" in first["text"]
    async with house.bot():
        again = await house.phone.hears("Connected", after=first["id"])
    assert "Try" not in again["text"]


@pytest.mark.parametrize(
    ("line", "there"),
    [("/portfolio", "/positions"), ("/balance", "/status"), ("/quote AAPL", "preview"), ("/stop", "/cancel")],
)
async def test_what_other_bots_call_it(live: House, line: str, there: str) -> None:
    """A command that is not here is answered with where the thing is."""
    await live.phone.asks(line, f"There is no command.*{there}")


# --- cancels and what they leave behind -------------------------------------------------------------------------------


async def test_a_cancelled_stop_names_the_holding_that_it_leaves_bare(live: House) -> None:
    """By command and by button: the message says how many shares have no stop now."""
    card = await bought_with_bracket(live)
    shown = await live.phone.asks("/orders", "Open orders")
    assert [re.sub(r"#\d+", "#n", label) for label in labels(shown)] == [
        "Cancel #n target 10 MSFT",
        "Cancel #n stop 10 MSFT",
    ]
    await live.phone.taps("Cancel the stop", card)
    await live.phone.hears("Cancelled SELL 10 MSFT stop.*MSFT: 10 shares have no stop now", after=shown["id"])


async def test_cancel_all_names_what_it_leaves_bare_and_what_it_leaves_alone(live: House) -> None:
    """A stop goes, an order from elsewhere stays: both are said."""
    await bought_with_bracket(live)
    await live.control.post("/tws/external", symbol="KO", side="BUY", quantity=5, price=10, working=True)
    await live.phone.hears("Placed elsewhere: BUY 5 KO")
    told = await live.phone.asks("/cancel all", "Cancel asked")
    await live.phone.hears(
        "Cancelled SELL 10 MSFT stop.*MSFT: 10 shares have no stop now", after=told["id"] - 1
    )
    assert re.search(r"Left alone: #\d+ · EXTERNAL\n   BUY 5 KO", told["text"])
    assert "SIMULATED" in told["text"]


async def test_a_cancelled_entry_that_never_bought_leaves_nothing_bare(live: House) -> None:
    """The stop of an entry that is not filled protects nothing yet: its end is no reason to warn."""
    card = await live.phone.asks("/buy AAPL 10 @ 150 sl 140", "BUY 10 AAPL @ 150.00 DAY")
    await live.phone.taps("Send", card)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "waits for the entry" in m["text"])
    told = await live.phone.asks("/cancel AAPL", "Cancel asked")
    gone = await live.phone.hears("Cancelled BUY 10 AAPL")
    assert "no stop" not in told["text"] + gone["text"]


async def test_a_cancelled_part_of_an_entry_says_what_stays(live: House) -> None:
    """What was filled stays, and has no stop."""
    await live.control.post("/tws/fills", mode="hold")
    card = await live.phone.asks("/buy MSFT 10 @ 350", "BUY 10 MSFT")
    await live.phone.taps("Send", card)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    [order] = (await live.control.book())["orders"]
    await live.control.post("/tws/fill", order=order["ref"], quantity=4, price=350)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "4/10" in m["text"])
    await live.phone.taps("Cancel", card)
    await live.phone.hears("Cancelled BUY 10 MSFT.*MSFT: the 4 filled shares stay and have no stop")


async def test_a_sale_of_a_part_shows_what_shrinks(live: House) -> None:
    """Stop and target, before and after; and a limit that waits says for how many shares there is no stop meanwhile."""
    await bought_with_bracket(live)
    await live.phone.asks("/sell MSFT 4", "Target #\\d+: 10 → 6 shares.*Stop #\\d+: 10 → 6 shares")
    await live.phone.asks(
        "/sell MSFT all @ 450",
        "First takes down its stop #\\d+.*10 shares have no stop while this limit waits",
    )


async def test_what_a_sale_brought(live: House) -> None:
    """The gain that the broker reported, with the fill and in the history."""
    card = await live.phone.asks("/sell AAPL 10", "SELL 10 AAPL")
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED SELL 10 AAPL.*Realised [+-]\\$")
    await live.phone.asks("/trades", "SELL 10 AAPL.*realised [+-]\\$.*New York")


async def test_what_a_sale_brought_is_waited_for(live: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commission comes after the fill is on disk and its card shows it: the news have it all the same."""
    monkeypatch.setattr(fills, "COSTS_SECONDS", 60.0)
    await live.control.post("/tws/commissions", mode="late")
    card = await live.phone.asks("/sell AAPL 10", "SELL 10 AAPL")
    await live.phone.taps("Send", card)
    await live.phone.sees(lambda m: m["id"] == card["id"] and "FILLED 10/10" in m["text"])
    (done,) = (await live.control.get("/tws/book"))["executions"]
    await live.control.post("/tws/commission", exec_id=done["exec_id"])
    told = await live.phone.hears("FILLED SELL 10 AAPL at market")
    assert re.search("Commission \\$1.00.*Realised [+-]\\$", told["text"], re.DOTALL)


async def test_what_a_sale_brought_is_not_waited_for_for_ever(live: House) -> None:
    """Unknown is not zero: the fill is told without."""
    await live.control.post("/tws/commissions", mode="never")
    card = await live.phone.asks("/sell AAPL 10", "SELL 10 AAPL")
    await live.phone.taps("Send", card)
    told = await live.phone.hears("FILLED SELL 10 AAPL at market")
    assert "Position 40 → 30 AAPL" in told["text"]
    assert not re.search("Commission|Realised", told["text"])


# --- the market's hours -----------------------------------------------------------------------------------------------


async def test_a_closed_market_says_when_it_opens(live: House) -> None:
    """The card tells it before, the order's card after, without the broker's own text twice; a child waits for its entry."""
    await live.control.post("/tws/market", open=False)
    card = await live.phone.asks(
        "/buy AAPL 10 @ 178 sl 150", "⏸ Market closed; opens (Mon|Tue|Wed|Thu|Fri) 09:30 New York"
    )
    await live.phone.taps("Send", card)
    note = await live.phone.hears(
        "holds the order until the market opens: \\w+ 09:30 New York", after=card["id"]
    )
    assert "Warning" not in note["text"]
    assert "SIMULATED" in note["text"]
    await live.phone.sees(
        lambda m: (
            m["id"] == card["id"]
            and re.search("⏸ waits for the open, .*stop 150.00 .* waits for the entry", m["text"], re.DOTALL)
        )
    )
    await live.phone.asks("/orders", "waits for the open, .*waits for the entry")


async def test_an_open_market_says_nothing_of_hours(live: House) -> None:
    """The simulated exchange is open around the clock, and its hours say so."""
    card = await live.phone.asks("/buy AAPL 10 @ 150", "BUY 10 AAPL")
    assert "closed" not in card["text"]


# --- being away at one's own wish -------------------------------------------------------------------------------------


async def test_a_disconnect_that_was_asked_for_is_no_alarm(live: House) -> None:
    """One answer, which names the way back; no word of a broker that cannot be reached."""
    said = await live.phone.says("/disconnect")
    await live.phone.hears("Disconnected until you say /connect", after=said)
    await live.phone.asks("/positions", "/connect brings it back")
    await live.phone.asks("/buy AAPL 1", "/connect brings it back")
    await live.phone.asks("/orders", "No open orders")
    await live.phone.asks("/connect", "Connecting")
    await live.phone.hears("Connected</b>|🟢 Connected", after=said)
    assert not [m for m in await live.phone.chat() if "not reachable" in m["text"]]


# --- cards that have ended --------------------------------------------------------------------------------------------


async def test_an_ended_card_keeps_its_title_and_whose_money_it_was(live: House) -> None:
    """Discarded or replaced: what it was about stays readable."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await live.phone.taps("Discard", card)
    ended = await live.phone.sees(lambda m: m["id"] == card["id"] and "discarded" in m["text"])
    assert ended["text"].startswith("BUY 10 AAPL at market\nSIMULATED · DU1234567\n")


async def test_a_tap_on_a_card_that_missed_its_end_draws_it(live: House) -> None:
    """A card that still looks open, for whatever reason, is drawn as it ended by the tap that finds out."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    data = card["buttons"][0][0]["data"]
    await live.phone.taps("Discard", card)
    await live.phone.sees(ended(card, "discarded"))
    assert live.desk is not None
    look, user = (("Send", data),), live.world.telegram.user_id
    old = Outgoing(user, "reply", NOW, text="as it was", buttons=(look,), subject=data[5:], is_edit=True)
    await live.desk.ledger.post([old])
    await live.phone.asks("/whoami", "Your id")
    shown = await live.phone.sees(lambda m: m["id"] == card["id"] and m["text"] == "as it was")
    await live.phone.taps("Send", shown)
    await live.phone.hears_toast("discarded")
    await live.phone.sees(ended(card, "discarded"))
    assert not (await live.control.book())["orders"]


async def test_not_sent_names_the_order_and_the_account(live: House) -> None:
    """What the tap refuses is said with its title, not as a riddle."""
    card = await live.phone.asks("/sell AAPL 30", "SELL 30 AAPL")
    await live.control.post("/tws/external", symbol="AAPL", side="SELL", quantity=20)
    await live.phone.asks("/positions AAPL", "AAPL 20 @")
    await live.phone.taps("Send", card)
    told = await live.phone.hears("Not sent: SELL 30 AAPL at market\nSIMULATED · DU1234567\n")
    assert "You asked for 30, the limit is 20" in told["text"]
    assert "What would pass: 20 shares." in told["text"]


async def two_proposals(house: House) -> tuple[Json, Json]:
    """A BUY of MSFT and one of NVDA, both open; returns their cards."""
    await scripted(house, {"verdict": "BUY", "confidence": 78}, {"verdict": "BUY", "confidence": 78})
    one = await house.phone.asks("/analyze MSFT", "BUY MSFT.*confidence 78%")
    other = await house.phone.asks("/analyze NVDA", "BUY NVDA.*confidence 78%")
    return one, other


def ended(card: Json, words: str) -> Any:
    """Whether a message is that card, at its end."""
    return lambda m: m["id"] == card["id"] and words in m["text"] and not m["buttons"]


async def test_reject_in_the_list_redraws_the_list_and_ends_the_card(house: House) -> None:
    """The list goes on without that proposal, and the card where it was made tells its end; neither becomes the other."""
    async with house.bot(**with_model(house, max_position_size="10000")):
        await house.ready()
        msft, nvda = await two_proposals(house)
        listed = await house.phone.asks("/proposals", "Open proposals.*MSFT.*NVDA")
        await house.phone.taps("Reject MSFT", listed)
        await house.phone.sees(
            lambda m: m["id"] == listed["id"] and "MSFT" not in m["text"] and "NVDA" in m["text"]
        )
        await house.phone.sees(ended(msft, "Rejected. Nothing was sent."))
        await house.phone.taps("Reject NVDA", listed)
        await house.phone.sees(lambda m: m["id"] == listed["id"] and "No open proposals" in m["text"])
        await house.phone.sees(ended(nvda, "Rejected. Nothing was sent."))
        assert not (await house.control.book())["orders"]


async def test_approve_in_the_list_works_on_the_card(house: House) -> None:
    """The order shows on the card of the proposal, and the list goes on without it."""
    async with house.bot(**with_model(house, max_position_size="10000")):
        await house.ready()
        msft, _ = await two_proposals(house)
        listed = await house.phone.asks("/proposals", "Open proposals")
        approve = next(label for label in labels(listed) if label.startswith("Approve") and "MSFT" in label)
        await house.phone.taps(approve, listed)
        await house.phone.hears("FILLED BUY \\d+ MSFT")
        await house.phone.sees(lambda m: m["id"] == msft["id"] and m["text"].count("working") == 2)
        await house.phone.sees(
            lambda m: m["id"] == listed["id"] and "MSFT" not in m["text"] and "NVDA" in m["text"]
        )


async def test_a_late_tap_in_a_list_redraws_it(house: House) -> None:
    """A list that shows what was answered elsewhere is put right by the tap, which does nothing else."""
    async with house.bot(**with_model(house, max_position_size="10000")):
        await house.ready()
        msft, _ = await two_proposals(house)
        listed = await house.phone.asks("/proposals", "Open proposals")
        await house.phone.taps("Reject", msft)
        await house.phone.sees(ended(msft, "Rejected"))
        await house.phone.taps("Reject MSFT", listed)
        await house.phone.hears_toast("discarded|rejected")
        await house.phone.sees(lambda m: m["id"] == listed["id"] and "MSFT" not in m["text"])


async def test_a_new_analysis_takes_the_place_of_an_open_proposal(house: House) -> None:
    """One open proposal for a share: the older card says that it was replaced, and has no buttons."""
    async with house.bot(**with_model(house, max_position_size="10000")):
        await house.ready()
        await scripted(house, {"verdict": "BUY", "confidence": 78}, {"verdict": "BUY", "confidence": 80})
        old = await house.phone.asks("/analyze MSFT", "BUY MSFT.*confidence 78%")
        new = await house.phone.asks("/analyze MSFT", "BUY MSFT.*confidence 80%")
        await house.phone.sees(ended(old, "replaced by a newer one"))
        listed = await house.phone.asks("/proposals", "Open proposals")
        assert len(labels(listed)) == 2
        await house.phone.taps("Approve", new)
        await house.phone.hears("FILLED BUY \\d+ MSFT")
