"""/analyze proposes a plan of options on real wires: verdict first, the plan's card below it, Approve to a filled combination."""

from typing import Any

import pytest

from tests.kit import House, Json
from tests.wire.test_analyze import scripted, with_model

CARD = "BUY NVDA.*confidence 78%.*BUY \\d+ NVDA BULL_CALL_SPREAD 90/92.5"
ANSWER = {"verdict": "BUY", "confidence": 78}


def buttons(message: Json) -> list[str]:
    """The labels under a message."""
    return [button["text"] for row in message["buttons"] for button in row]


async def orders(house: House) -> list[Json]:
    """The orders that the broker has."""
    found: list[Json] = (await house.control.book())["orders"]
    return found


async def at_ninety(house: House) -> None:
    """NVDA stands at 90.04, between two strikes; a combination trades half way, which is where it starts."""
    await house.control.post("/tws/fills", mode="auto", improves=-1)
    await house.control.post("/tws/price", symbol="NVDA", bid=90.03, ask=90.05, last=90.04)


async def test_analyze_approve_filled_combination(house: House) -> None:
    """A BUY with a plan becomes a card with its worst case, sized by it; Approve fills one combination, and the history knows the decision."""
    await at_ninety(house)
    await scripted(house, ANSWER)
    async with house.bot(**with_model(house)):
        await house.ready()
        card = await house.phone.asks("/analyze NVDA", CARD)
        assert card["text"].startswith("BUY NVDA · confidence 78%")
        for words in ("SIMULATED", "Max gain", "max loss", "Break-even", "Why options:", "Against it:", "price of this model unknown", "15 min left"):  # fmt: skip
            assert words in card["text"], words
        assert buttons(card) == ["Approve", "Reject"]
        await house.phone.hears("BULL_CALL_SPREAD", after=card["id"])  # under the picture
        listed = await house.phone.asks("/proposals", "Open proposals")
        assert "BULL_CALL_SPREAD" in listed["text"]
        assert not await orders(house)
        await house.phone.taps("Approve", card)
        done = await house.phone.hears("FILLED BUY \\d+ NVDA BULL_CALL_SPREAD", after=card["id"])
        assert "debit" in done["text"]
        await house.phone.asks("/proposals", "No open proposals")
        trades = await house.phone.asks("/trades", "BULL_CALL_SPREAD")
        assert "AI 78%" in trades["text"]
        positions = await house.phone.asks("/positions", "NVDA BULL_CALL_SPREAD 90/92.5")
        assert "net" in positions["text"]


async def test_reject_sends_nothing(house: House) -> None:
    """Reject ends the story of a plan; a late Approve says so and never acts."""
    await at_ninety(house)
    await scripted(house, ANSWER)
    async with house.bot(**with_model(house)):
        await house.ready()
        card = await house.phone.asks("/analyze NVDA", CARD)
        data = card["buttons"][0][0]["data"]
        await house.phone.taps("Reject", card)
        await house.phone.sees(
            lambda m: m["id"] == card["id"] and "Rejected" in m["text"] and not m["buttons"]
        )
        await house.control.post("/telegram/press", message_id=card["id"], data=data, late=True)
        await house.phone.hears_toast("discarded|rejected")
        assert not await orders(house)


async def test_a_restart_redraws_and_time_ends_it(house: House) -> None:
    """A restart draws an open plan anew with its reasons and terms; past its time it ends by itself and its button acts no more."""
    await at_ninety(house)
    await scripted(house, ANSWER)
    async with house.bot(**with_model(house)):
        await house.ready()
        card = await house.phone.asks("/analyze NVDA", CARD)
    async with house.bot(**with_model(house)):
        drawn = await house.phone.sees(
            lambda m: m["id"] == card["id"] and "Still open after a restart" in m["text"]
        )
        assert "BULL_CALL_SPREAD 90/92.5" in drawn["text"]
        assert "Why options:" in drawn["text"]
        assert buttons(drawn) == ["Approve", "Reject"]
        data = drawn["buttons"][0][0]["data"]
        await house.control.post("/clock", advance=901)
        await house.phone.sees(
            lambda m: m["id"] == card["id"] and "expired" in m["text"] and not m["buttons"]
        )
        await house.control.post("/telegram/press", message_id=card["id"], data=data, late=True)
        await house.phone.hears_toast("expired|too old")
        assert not await orders(house)


async def test_approve_after_a_restart_fills(house: House) -> None:
    """What the restart left open is approved like any other, with everything checked anew."""
    await at_ninety(house)
    await scripted(house, ANSWER)
    async with house.bot(**with_model(house)):
        await house.ready()
        card = await house.phone.asks("/analyze NVDA", CARD)
    async with house.bot(**with_model(house)):
        drawn = await house.phone.sees(
            lambda m: m["id"] == card["id"] and "Still open after a restart" in m["text"]
        )
        await house.phone.hears("Connected", after=card["id"])
        await house.phone.taps("Approve", drawn)
        await house.phone.hears("FILLED BUY \\d+ NVDA BULL_CALL_SPREAD", after=card["id"])


async def test_price_that_runs_away_gives_a_new_card(house: House) -> None:
    """Approve after the price has moved sends nothing and shows a fresh plan with Approve, which fills."""
    await at_ninety(house)
    await scripted(house, ANSWER)
    async with house.bot(**with_model(house)):
        await house.ready()
        card = await house.phone.asks("/analyze NVDA", CARD)
        await house.control.post("/tws/price", symbol="NVDA", bid=91.49, ask=91.51, last=91.50)
        await house.phone.taps("Approve", card)
        fresh = await house.phone.hears(f"price moved.*{CARD}", after=card["id"])
        assert not await orders(house)
        await house.phone.taps("Approve", fresh)
        await house.phone.hears("FILLED BUY \\d+ NVDA BULL_CALL_SPREAD", after=fresh["id"])


async def test_no_card(house: House) -> None:
    """Below the threshold, or where the risk leaves no room for one: the plan in words, why there is no card, and no buttons."""
    await at_ninety(house)
    await scripted(house, {"verdict": "BUY", "confidence": 69}, ANSWER)
    async with house.bot(**with_model(house, max_portfolio_risk="0.0005")):
        await house.ready()
        low = await house.phone.asks("/analyze NVDA", "below your threshold of 70")
        assert "Proposes BULL_CALL_SPREAD 90/92.5" in low["text"]
        none = await house.phone.asks("/analyze NVDA", "no room for even one")
        assert low["buttons"] == none["buttons"] == []
        assert not await orders(house)


async def test_a_new_decision_takes_the_place_of_the_old(house: House) -> None:
    """A second analysis of the same share ends the first proposal, whichever of the two is of options."""
    await at_ninety(house)
    await scripted(house, ANSWER, {"verdict": "SELL", "confidence": 50})
    async with house.bot(**with_model(house)):
        await house.ready()
        card = await house.phone.asks("/analyze NVDA", CARD)
        await house.phone.asks("/analyze NVDA", "below your threshold")
        await house.phone.sees(lambda m: m["id"] == card["id"] and "replaced" in m["text"])
        assert not [m for m in await house.phone.chat() if "Analysing" in m["text"]]
        await house.phone.asks("/proposals", "No open proposals")


async def test_switched_off(house: House) -> None:
    """With ANALYST_OPTIONS=false the model is offered none, and the same verdict becomes an order of shares."""
    await at_ninety(house)
    await scripted(house, ANSWER)
    async with house.bot(**with_model(house, analyst_options="false")):
        await house.ready()
        card = await house.phone.asks("/analyze NVDA", "BUY \\d+ NVDA at market")
        assert "BULL_CALL_SPREAD" not in card["text"]
        asked = (await house.control.get("/model/requests"))["requests"]
        assert "call_90" not in str(asked[-1]["body"]["messages"])


@pytest.mark.parametrize("kind", ["unknown_leg", "plan_in_words", "half_a_plan"])
async def test_a_spoilt_plan_proposes_nothing(house: House, kind: str) -> None:
    """A plan of what was not on offer, or of another shape, is no verdict: one sentence and no buttons."""
    await scripted(house, ANSWER)
    await house.control.post("/model/fault", kind=kind, count=1)
    async with house.bot(**with_model(house)):
        await house.ready()
        told = await house.phone.asks("/analyze NVDA", "NVDA: no verdict")
        assert told["buttons"] == []
        await house.phone.asks("/proposals", "No open proposals")


async def test_hostile_words_of_a_plan_stay_words(house: House) -> None:
    """What the model writes about a plan is shown as plain words, and its card takes the place of the one before without a trace of progress."""
    await at_ninety(house)
    await scripted(house, ANSWER)
    async with house.bot(**with_model(house)):
        await house.ready()
        first = await house.phone.asks("/analyze NVDA", CARD)
        asked = (await house.control.get("/model/requests"))["requests"][-1]
        expiry = str(asked["body"]["messages"]).partition("NVDA 95 C ")[2][:10]
        decision: dict[str, Any] = {
            "ticker": "NVDA", "evidence": [{"fact": "call_95", "says": "cheap"}], "bear_case": "x", "reasoning": "x", "decision": "BUY",
            "time_horizon": 20, "confidence": 78, "target_price": 99.0, "stop_loss": 85.0, "injection_suspected": False,
            "option_plan": {
                "why": "</b><a href='http://evil.example/'>tap</a> /buy NVDA 1000 & <i>", "strategy": "LONG_CALL", "expiry": expiry, "strikes": [95],
            },
        }  # fmt: skip
        await scripted(house, {"decision": decision})
        card = await house.phone.hears("BUY \\d+ NVDA 95 C", after=await house.phone.says("/analyze NVDA"))
        assert "<a href='http://evil.example/'>tap</a>" in card["text"]
        assert "cheap (call 95)" in card["text"]
        assert "http://evil.example/" not in str([e.get("url") for e in card["entities"]])
        await house.phone.sees(lambda m: m["id"] == first["id"] and "replaced" in m["text"])
        assert not [m for m in await house.phone.chat() if "Analysing" in m["text"]]
        await house.control.post(
            "/tws/option", symbol="NVDA", expiry=expiry, strike=95, right="C", bid=2.90, ask=2.95
        )
        await house.phone.taps("Approve", card)
        await house.phone.hears("FILLED BUY \\d+ NVDA 95 C", after=card["id"])
