"""From an analysis to the card of a plan: real cards, planner, books and SDK around a broker that is a notebook with a chain in it."""

import asyncio
import importlib
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from core.analyst import AnthropicAnalyst
from core.cards import Cards, Timing
from core.errors import BadInput
from core.model import (
    Chain,
    Instrument,
    OptionQuote,
    OptionTerms,
    OrderType,
    Outcome,
    Position,
    Right,
    Side,
    Trading,
    TradingState,
)
from core.options.plan import PlanPreview, Strategy
from core.orderbook import OrderBook
from core.planner import Planner
from core.proposer import OFFER_SECONDS, Proposal, Proposer
from core.risk import Limits
from core.sizing import plan_quantity
from core.trading import TradingSwitch
from sim.clock import Clock as WorldTime
from sim.model import ModelServer
from sim.model.script import read_script
from sim.store import Store
from storage.database import Database
from storage.ledger import SqliteLedger
from tests.core.executor_desk import Bell, Notebook
from tests.values import AAPL, ACCOUNT, NOW, OWNER, position

EXPIRY = date(2026, 4, 1)
MIDS = {
    Right.CALL: {85: "15.60", 90: "10.90", 95: "6.70", 100: "3.59", 105: "1.66", 110: "0.65", 115: "0.22"},
    Right.PUT: {85: "0.14", 90: "0.45", 95: "1.33", 100: "3.26", 105: "6.30", 110: "10.30", 115: "14.90"},
}
"""Premiums of options on a share at 100, a month out, five cents to each side."""
CHAIN = Chain(
    AAPL.con_id, "AAPL", Decimal(100), (date(2026, 3, 6), EXPIRY), tuple(map(Decimal, MIDS[Right.CALL]))
)
GOOD: dict[str, Any] = {
    "ticker": "AAPL", "evidence": [{"fact": "price", "says": "it trades"}], "bear_case": "The market may turn.", "reasoning": "The trend is up.",
    "decision": "BUY", "time_horizon": 20, "confidence": 78, "target_price": 110, "stop_loss": 94, "option_plan": None, "injection_suspected": False,
}  # fmt: skip
LEVELS: dict[str, dict[str, Any]] = {
    "BUY": {"decision": "BUY"},
    "SELL": {"decision": "SELL", "target_price": 90, "stop_loss": 106},
    "HOLD": {"decision": "HOLD", "target_price": None, "stop_loss": None},
}
LIMITS = Limits(max_position_size=Decimal(100_000), max_spread_percent_options=Decimal(1000))
WORTH = Decimal(100_000)


class Street(Notebook):
    """A notebook with a chain of options. What a test wants to be different it sets."""

    def __init__(self, clock: "Clock") -> None:
        super().__init__(cast(Any, clock))
        self.clock, self.hangs, self.gone = clock, False, False

    async def chain(self, underlying: Instrument) -> Chain:
        if self.hangs:
            await asyncio.Event().wait()
        if self.gone:
            raise BadInput("There are no options on AAPL.")
        return CHAIN

    async def options(
        self, underlying: Instrument, wanted: Sequence[OptionTerms]
    ) -> tuple[Instrument | None, ...]:
        return tuple(option(terms) for terms in wanted)

    async def option_quotes(
        self, instruments: Sequence[Instrument], max_age_seconds: float, keep_seconds: float
    ) -> tuple[OptionQuote | None, ...]:
        return tuple(self._market(i.option) for i in instruments)

    def _market(self, terms: OptionTerms | None) -> OptionQuote | None:
        if terms is None or terms.expiry != EXPIRY:
            return None
        mid = Decimal(MIDS[terms.right][int(terms.strike)])
        cent = Decimal("0.05")
        return OptionQuote(mid - cent, mid + cent, None, self.clock.now(), volatility=0.3, delta=0.5)


def option(terms: OptionTerms) -> Instrument:
    """The contract; its number says what it is."""
    con_id = 1000 + int(terms.strike) * 2 + (terms.right is Right.PUT) + terms.expiry.day * 10_000
    return replace(
        AAPL, con_id=con_id, kind="OPT", option=replace(terms, trading_class="AAPL"), multiplier=Decimal(100)
    )


class Clock:
    """The Clock port, stood still at a moment of trading."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Room:
    """The desk around a proposer."""

    street: Street
    server: ModelServer
    cards: Cards
    book: OrderBook
    trading: TradingSwitch
    analyst: AnthropicAnalyst
    ledger: SqliteLedger
    clock: Clock
    steps: list[str]

    def proposer(self, options: bool = True, limits: Limits = LIMITS) -> Proposer:
        """One that knows the threshold of 70 %."""
        cards = Cards(self.street, self.ledger, self.clock, self.book, self.trading, limits, Timing())
        planner = Planner(self.street, self.clock, cards)
        return Proposer(
            self.street, cards, self.book, self.analyst, self.ledger, self.clock, 70, planner, options
        )

    def says(self, verdict: str, plan: dict[str, Any] | None, **change: Any) -> None:
        """Have the model answer this next."""
        answer = GOOD | LEVELS[verdict] | {"option_plan": plan} | change
        self.server.state.scripts.setdefault("scripted-1", deque()).append(read_script({"decision": answer}))

    def hold(self, *positions: Position) -> None:
        """So much is held."""
        self.street.positions = positions
        self.book.start_positions(positions)

    async def asks(self, proposer: Proposer | None = None) -> Proposal:
        """/analyze AAPL."""

        async def tell(step: str) -> None:
            self.steps.append(step)

        return await (proposer or self.proposer()).propose(OWNER, "AAPL", tell)

    def told(self) -> str:
        """What the model read last."""
        asked = [entry for entry in self.server.state.requests.after(0) if entry["path"] == "/v1/messages"]
        return str(asked[-1]["body"]["messages"][0]["content"])


@pytest.fixture(autouse=True, scope="module")
def sdk() -> None:
    """The SDK and the pricing library are there already: their import is not what is measured here."""
    importlib.import_module("anthropic.types")
    importlib.import_module("QuantLib")


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """A desk with nothing held."""
    clock = Clock()
    street = Street(clock)
    server = ModelServer(WorldTime(), Store(None), seed=1)
    await server.start()
    database = await Database.open(tmp_path / "greenlight.db")
    ledger = SqliteLedger(database, clock, (OWNER,))
    book = OrderBook(ledger, Bell(), clock)
    trading = TradingSwitch(ledger, Bell(), clock)
    trading.now = Trading(TradingState.ACTIVE)
    cards = Cards(street, ledger, clock, book, trading, LIMITS, Timing())
    await book.load()
    book.start_positions(())
    analyst = AnthropicAnalyst(
        api_key=server.api_key, base_url=server.address, model="scripted-1", clock=clock, records=ledger,
    )  # fmt: skip
    yield Room(street, server, cards, book, trading, analyst, ledger, clock, [])
    await analyst.close()
    await server.close()
    await database.close()


def plan(strategy: str, *strikes: float) -> dict[str, Any]:
    return {
        "why": "It limits the loss.",
        "strategy": strategy,
        "expiry": EXPIRY.isoformat(),
        "strikes": [*strikes],
    }


def card(told: Proposal) -> PlanPreview:
    """The card that an analysis became, free of denials."""
    assert isinstance(told.preview, PlanPreview), told.why_not
    assert told.preview.denials == ()
    return told.preview


# --- the size ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "strategy", "strikes", "confidence", "quantity", "each"),
    [
        # The net may rise half way from the middle to the other side: 1.93 + 0.05, 1.66 + 0.03 (on the cent), 6.85 + 0.05.
        ("BUY", "BULL_CALL_SPREAD", (100, 105), 78, 7, "198"),
        ("BUY", "BULL_CALL_SPREAD", (100, 105), 100, 10, "198"),
        ("BUY", "LONG_CALL", (105,), 78, 9, "171"),
        ("SELL", "BEAR_PUT_SPREAD", (95, 100), 78, 7, "198"),
        ("SELL", "LONG_PUT", (95,), 70, 10, "138"),
        ("HOLD", "LONG_STRADDLE", (100,), 78, 2, "690"),
        # A credit of 0.72 (0.74 on the middle less half of the way): 5.00 - 0.64 at worst.
        ("HOLD", "IRON_CONDOR", (85, 90, 110, 115), 75, 3, "436"),
    ],
)
async def test_the_worst_case_sizes_it(
    room: Room,
    verdict: str,
    strategy: str,
    strikes: tuple[float, ...],
    confidence: int,
    quantity: int,
    each: str,
) -> None:
    """As many as together lose at most MAX_PORTFOLIO_RISK (2 % of 100,000) times the confidence; the card shows what was measured."""
    room.says(verdict, plan(strategy, *strikes), confidence=confidence)
    drawn = card(await room.asks())
    ticket, count = drawn.ticket, Decimal(quantity)
    assert ticket.quantity == count
    assert drawn.risk is not None
    assert drawn.risk == count * Decimal(each)
    assert drawn.outcome is not None
    assert drawn.outcome.max_loss == drawn.risk
    assert (drawn.strategy, ticket.order_type) == (Strategy(strategy), OrderType.LIMIT)
    room_left = WORTH * LIMITS.max_portfolio_risk * confidence / 100
    assert drawn.risk <= room_left < drawn.risk + Decimal(each)
    assert {leg.leg.option.expiry for leg in drawn.legs if leg.leg.option} == {EXPIRY}
    assert {leg.leg.option.strike for leg in drawn.legs if leg.leg.option} == set(map(Decimal, strikes))


async def test_the_card_is_the_decisions(room: Room) -> None:
    """The decision is kept with its plan, the card bears its number and lives as long as a proposal, and its terms are approvable."""
    room.says("BUY", plan("BULL_CALL_SPREAD", 100, 105))
    told = await room.asks()
    drawn = card(told)
    assert told.decision is not None
    assert told.decision.option_plan is not None
    assert await room.ledger.decision(told.decision.decision_id) == told.decision
    assert drawn.ticket.decision_id == told.decision.decision_id
    assert drawn.ticket.expires_at - drawn.ticket.created_at == timedelta(seconds=900)
    assert drawn.ticket.instrument.kind == "BAG"
    assert [leg.ratio for leg in drawn.ticket.instrument.legs] == [1, -1]
    kept, again, why_not = await room.proposer().again(drawn.ticket)
    assert (kept, why_not) == (told.decision, "")
    assert isinstance(again, PlanPreview)
    assert again.ticket.terms() == drawn.ticket.terms()
    assert again.ticket.ticket_id != drawn.ticket.ticket_id


async def test_held_shares_cover_as_many_calls(room: Room) -> None:
    """Upon shares that are held only the option is traded, and never more than they cover, whatever the limits allow."""
    room.hold(position(350))
    room.says("HOLD", plan("COVERED_CALL", 105), confidence=75)
    drawn = card(await room.asks())
    assert (drawn.ticket.instrument.kind, drawn.ticket.side, drawn.ticket.quantity) == (
        "OPT",
        Side.SELL,
        Decimal(3),
    )
    assert drawn.risk == 0


async def test_a_put_on_held_shares_is_sized_by_its_price(room: Room) -> None:
    """What protects a holding risks what it costs: 138 each, 11 for the room, but three for the shares that are there."""
    room.hold(position(350))
    room.says("HOLD", plan("PROTECTIVE_PUT", 95), confidence=78)
    drawn = card(await room.asks())
    assert (drawn.ticket.instrument.kind, drawn.ticket.side, drawn.ticket.quantity) == (
        "OPT",
        Side.BUY,
        Decimal(3),
    )
    assert drawn.risk == 3 * 138


async def test_a_collar_on_held_shares_buys_none(room: Room) -> None:
    """Two options as one combination, as many as the shares are there for."""
    room.hold(position(200))
    room.says("HOLD", plan("COLLAR", 95, 105), confidence=78)
    drawn = card(await room.asks())
    assert drawn.ticket.quantity == 2
    assert [leg.leg.option is None for leg in drawn.legs] == [False, False]


async def test_shares_are_bought_with_it_for_a_buy(room: Room) -> None:
    """A BUY of a covered call without shares is one combination with the shares in it, sized by what falls to the assumed stop."""
    room.says("BUY", plan("COVERED_CALL", 105))
    drawn = card(await room.asks())
    assert [leg.ratio for leg in drawn.ticket.instrument.legs if leg.option is None] == [100]
    assert drawn.risk is not None
    each = drawn.risk / drawn.ticket.quantity
    assert 0 < drawn.risk <= 1560 < drawn.risk + each


async def test_more_than_one_order_may_have(room: Room) -> None:
    """MAX_ORDER_CONTRACTS bounds what the risk would allow."""
    room.says("BUY", plan("LONG_CALL", 115), confidence=100)
    drawn = card(await room.asks(room.proposer(limits=replace(LIMITS, max_order_contracts=Decimal(5)))))
    assert drawn.ticket.quantity == 5


async def test_another_limit_makes_it_smaller(room: Room) -> None:
    """Where a limit of the gate is tighter than the risk, the card is drawn at what that lets through."""
    room.says("BUY", plan("BULL_CALL_SPREAD", 100, 105))
    drawn = card(await room.asks(room.proposer(limits=replace(LIMITS, max_position_size=Decimal(800)))))
    assert drawn.ticket.quantity == 4


# --- no card ----------------------------------------------------------------------------------------------------------------


async def test_no_room_for_one(room: Room) -> None:
    """Where not even one fits, a sentence names both figures, and there is no card."""
    room.says("BUY", plan("LONG_CALL", 95))
    told = await room.asks(room.proposer(limits=replace(LIMITS, max_portfolio_risk=Decimal("0.008"))))
    assert told.preview is None
    assert told.decision is not None
    assert "no room for even one" in told.why_not
    assert "675.00 USD" in told.why_not
    assert "624.00" in told.why_not


async def test_below_the_threshold(room: Room) -> None:
    """Below MIN_CONFIDENCE a plan is kept and shown, and nothing is drawn."""
    room.says("BUY", plan("LONG_CALL", 105), confidence=69)
    told = await room.asks()
    assert (told.preview, told.decision is not None) == (None, True)
    assert "below your threshold of 70 %" in told.why_not


async def test_a_hold_without_a_plan(room: Room) -> None:
    """As ever: nothing to approve."""
    room.says("HOLD", None)
    told = await room.asks()
    assert (told.preview, told.why_not) == (None, "HOLD: nothing to approve.")


async def test_a_hold_buys_no_shares_when_they_are_gone(room: Room) -> None:
    """The shares that a HOLD's plan stood upon were sold while it waited: drawn anew it says so, and buys none."""
    room.hold(position(100))
    room.says("HOLD", plan("COVERED_CALL", 105))
    drawn = card(await room.asks())
    room.hold()
    kept, again, why_not = await room.proposer().again(drawn.ticket)
    assert (kept.verdict, again) == ("HOLD", None)
    assert "would buy shares" in why_not


async def test_a_halt_blocks_it(room: Room) -> None:
    """In a halt the card shows the denial and cannot be approved."""
    room.trading.now = Trading(TradingState.HALTED)
    room.says("BUY", plan("BULL_CALL_SPREAD", 100, 105))
    told = await room.asks()
    assert isinstance(told.preview, PlanPreview)
    assert told.preview.denials
    assert told.preview.ticket.state.value == "refused"
    assert told.why_not == "It is blocked by your rules."


async def test_a_chain_that_goes_away(room: Room) -> None:
    """What was on offer cannot be looked up again: a sentence instead of a card."""
    room.says("BUY", plan("BULL_CALL_SPREAD", 100, 105))
    drawn = card(await room.asks())
    room.street.gone = True
    _, again, why_not = await room.proposer().again(drawn.ticket)
    assert again is None
    assert why_not == "The plan cannot be drawn now. There are no options on AAPL."


# --- what is on offer -------------------------------------------------------------------------------------------------------


async def test_what_the_model_reads(room: Room) -> None:
    """Seven strikes of one expiry, calls and puts, beside the cash and the free shares: 200 held, one call written."""
    written = OptionTerms(EXPIRY, Decimal(110), Right.CALL, trading_class="AAPL")
    short = Position(ACCOUNT, option(written).con_id, "AAPL", "USD", Decimal(-1), Decimal(60), option=written)
    room.hold(position(200), short)
    room.says("HOLD", None)
    await room.asks()
    facts = {
        fact["id"]: fact for fact in json.loads(room.told().split(">", 1)[1].split("</facts", 1)[0])["facts"]
    }
    names = [name for name in facts if name.startswith(("call_", "put_"))]
    assert names == [f"{right}_{strike}" for right in ("call", "put") for strike in MIDS[Right.CALL]]
    assert (
        facts["call_105"]["value"]
        == "AAPL 105 C 2026-04-01, 30 days, bid 1.61, ask 1.71, implied volatility 30 %, delta 0.50"
    )
    assert (facts["cash"]["value"], facts["free_shares"]["value"]) == ("50000.00", "100")


async def test_without_options_nothing_changes(room: Room) -> None:
    """Switched off, or where there are none: no option among the facts, a plan all the same is invalid, and a plain answer is a plain card."""
    room.street.gone = True
    for proposer in (room.proposer(), room.proposer(options=False)):
        room.says("BUY", plan("BULL_CALL_SPREAD", 100, 105))
        told = await room.asks(proposer)
        assert "call_" not in room.told().split("</facts")[0]
        assert "free_shares" not in room.told().split("</facts")[0]
        assert (told.answer.call.outcome, told.preview) == (Outcome.INVALID, None)
        assert "no options were on offer" in told.answer.words
        room.street.gone = False
    room.says("BUY", None)
    plain = (await room.asks()).preview
    assert plain is not None
    assert plain.ticket.instrument.kind == "STK"


async def test_a_slow_chain_is_left_out(room: Room) -> None:
    """A chain that does not come holds an analysis up for a second and a half, and no longer."""
    room.street.hangs = True
    room.says("BUY", None)
    begun = asyncio.get_running_loop().time()
    told = await room.asks()
    assert OFFER_SECONDS <= asyncio.get_running_loop().time() - begun < OFFER_SECONDS + 1.5
    assert told.decision is not None
    assert "call_" not in room.told().split("</facts")[0]


async def test_a_hostile_plan_proposes_nothing(room: Room) -> None:
    """Through the real SDK: each is malformed or invalid, kept as a call, and neither decision nor card."""
    base = plan("BULL_CALL_SPREAD", 100, 105)
    hostile = [
        base | {"strikes": [100, 104]}, base | {"strikes": ["100", "105"]}, base | {"strikes": [100, 1e308]}, base | {"strikes": [105, 100]},
        base | {"expiry": "2026-03-06"}, base | {"quantity": 100}, {"strategy": "LONG_CALL"}, base | {"strategy": "BEAR_PUT_SPREAD"},
        base | {"strategy": "SHORT_STRANGLE"}, [base], "BULL_CALL_SPREAD 100/105",
    ]  # fmt: skip
    for said in hostile:
        room.says("BUY", cast(Any, said))
        told = await room.asks()
        assert told.answer.call.outcome in (Outcome.MALFORMED, Outcome.INVALID), said
        assert (told.decision, told.preview) == (None, None)
    assert await room.ledger.proposals() == ()


# --- the arithmetic ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidence", "loss", "allowed", "most", "quantity"),
    [
        (78, "198", "2000", "50", 7), (100, "200", "2000", "50", 10), (100, "200.01", "2000", "50", 9), (100, "2000", "2000", "50", 1),
        (99, "2000", "2000", "50", 0), (0, "1", "2000", "50", 0), (100, "1", "2000", "50", 50), (78, "0", "2000", "3", 3), (78, "0", "2000", "3.5", 3),
        (78, "0", "0", "3", 3), (78, "198", "-5", "50", 0), (78, "198", "2000", "0", 0),
    ],
)  # fmt: skip
def test_plan_quantity(confidence: int, loss: str, allowed: str, most: str, quantity: int) -> None:
    """Whole combinations whose worst case together stays within the room that the confidence leaves."""
    told = plan_quantity(
        confidence=confidence, loss=Decimal(loss), allowed=Decimal(allowed), most=Decimal(most)
    )
    assert told == quantity


@pytest.mark.parametrize("wild", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("name", ["loss", "allowed", "most"])
def test_plan_quantity_of_nothing_known(name: str, wild: str) -> None:
    """A figure that is no number sizes nothing; nor does a loss below zero, nor a confidence that is none."""
    good = {"loss": Decimal(1), "allowed": Decimal(1), "most": Decimal(1)}
    with pytest.raises(BadInput):
        plan_quantity(confidence=50, **(good | {name: Decimal(wild)}))
    with pytest.raises(BadInput):
        plan_quantity(confidence=50, **(good | {"loss": Decimal(-1)}))
    for confidence in (-1, 101):
        with pytest.raises(BadInput):
            plan_quantity(confidence=confidence, **good)
