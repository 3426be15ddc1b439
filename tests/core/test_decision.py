"""What the model answered: only an exact decision gets through, and everything else says why not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decision import DECISION_SCHEMA, HORIZONS, Decision, Verdict, read_decision
from core.errors import DecisionError
from core.facts import AGREES, Fact, option_facts, prompt
from core.model import Leg, OptionQuote, OptionTerms, ProposedPlan, Right
from core.options.plan import PlanLeg, Strategy
from core.options.strategies import STRATEGIES
from sim.model.demo import decide
from sim.model.facts import read_facts
from sim.model.schema import complaint, conform
from tests.values import AAPL, NOW

KNOWN = {"price": "240", "atr14": "8", "rsi14": "61.2", "position_quantity": "0"}
GOOD: dict[str, Any] = {
    "ticker": "AAPL",
    "evidence": [{"fact": "rsi14", "says": "momentum without excess"}],
    "bear_case": "The market may turn.",
    "reasoning": "The trend is up.",
    "decision": "BUY",
    "time_horizon": 20,
    "confidence": 78,
    "target_price": 255,
    "stop_loss": 235.5,
    "option_plan": None,
    "injection_suspected": False,
}
SELL = {"decision": "SELL", "target_price": 225, "stop_loss": 245}
BARE = {"target_price": None, "stop_loss": None}


def facts(**change: str | None) -> tuple[Fact, ...]:
    return tuple(Fact(name, value, "", "") for name, value in {**KNOWN, **change}.items())


def read(change: dict[str, Any] | None = None, **known: str | None) -> Decision:
    return read_decision(json.dumps(GOOD | (change or {})), "AAPL", facts(**known))


def fault(text: str, **known: str | None) -> DecisionError:
    with pytest.raises(DecisionError) as caught:
        read_decision(text, "AAPL", facts(**known))
    return caught.value


def test_a_good_answer() -> None:
    """Every field arrives, prices without a detour over binary fractions."""
    told = read()
    assert (told.ticker, told.verdict, told.time_horizon, told.confidence) == ("AAPL", Verdict.BUY, 20, 78)
    assert (told.target_price, told.stop_loss, told.injection_suspected) == (
        Decimal(255),
        Decimal("235.5"),
        False,
    )
    assert [(item.fact, item.says) for item in told.evidence] == [("rsi14", "momentum without excess")]
    assert (told.bear_case, told.reasoning, told.term) == (
        "The market may turn.",
        "The trend is up.",
        "MEDIUM",
    )


def test_words_of_the_horizon() -> None:
    """One and five sessions are SHORT, twenty MEDIUM, sixty LONG."""
    words = {sessions: read({"time_horizon": sessions}).term for sessions in HORIZONS}
    assert words == {1: "SHORT", 5: "SHORT", 20: "MEDIUM", 60: "LONG"}


def test_nulls() -> None:
    """A HOLD needs no levels and may have some; nor does leaving a holding; opening anything does."""
    assert read({"decision": "HOLD", **BARE}).target_price is None
    assert read({"decision": "HOLD"}).stop_loss == Decimal("235.5")
    assert read({**SELL, **BARE}, position_quantity="10").stop_loss is None
    assert read(SELL).verdict is Verdict.SELL
    for change in ({**BARE}, {"stop_loss": None}, {"target_price": None}, {**SELL, **BARE}):
        assert fault(json.dumps(GOOD | change)).kind == "invalid"
    assert fault(json.dumps(GOOD | BARE), position_quantity="10").kind == "invalid"
    assert fault(json.dumps(GOOD | SELL | BARE), position_quantity="-10").kind == "invalid"
    assert read({"decision": "HOLD", **BARE}, price=None, atr14=None).verdict is Verdict.HOLD


LEVELS = [
    {"stop_loss": 240}, {"stop_loss": 245}, {"target_price": 240}, {"target_price": 239}, {"stop_loss": 238.01}, {"stop_loss": 255, "target_price": 235},
    {"stop_loss": 0}, {"stop_loss": -5}, {"target_price": 1e300}, {"stop_loss": 1e-300}, {**SELL, "target_price": 241}, {**SELL, "stop_loss": 239},
    {**SELL, "stop_loss": 241.5}, {**SELL, "target_price": 0}, {"decision": "HOLD", "stop_loss": -1},
]  # fmt: skip


@pytest.mark.parametrize("change", LEVELS)
def test_levels(change: dict[str, Any]) -> None:
    """Target and stop stand on their sides of the price, and the stop a quarter of the ATR away."""
    assert fault(json.dumps(GOOD | change)).kind == "invalid"


def test_stop_at_the_limit() -> None:
    """Exactly a quarter of the ATR is far enough; a holding that is left keeps its levels in order all the same."""
    assert read({"stop_loss": 238}).stop_loss == 238
    assert read({**SELL, "stop_loss": 242}).stop_loss == 242
    assert (
        fault(json.dumps(GOOD | SELL | {"target_price": None, "stop_loss": 239}), position_quantity="1").kind
        == "invalid"
    )
    assert (
        fault(json.dumps(GOOD | SELL | {"target_price": 250, "stop_loss": None}), position_quantity="1").kind
        == "invalid"
    )


def test_stop_at_the_price() -> None:
    """A stop at the price is none, even where nothing moved and the ATR is zero."""
    assert fault(json.dumps(GOOD | {"stop_loss": 240}), atr14="0").kind == "invalid"


@pytest.mark.parametrize("unknown", ["price", "atr14"])
def test_unknown_facts_prove_nothing(unknown: str) -> None:
    """A stop cannot be judged against a price or an ATR that nobody knew."""
    assert fault(json.dumps(GOOD), **{unknown: None}).kind == "invalid"


MEANINGS = [
    {"ticker": "ZZZZ"}, {"ticker": "aapl"}, {"ticker": " AAPL"}, {"ticker": ""}, {"confidence": 101}, {"confidence": -1}, {"confidence": 10**40},
    {"time_horizon": 7}, {"time_horizon": 0}, {"time_horizon": -20}, {"decision": "STRONG BUY"}, {"decision": "buy"}, {"decision": ""},
    {"evidence": [{"fact": "insider_tip", "says": "trust me"}]}, {"evidence": [{"fact": "rsi14", "says": "x"}] * 51},
]  # fmt: skip


@pytest.mark.parametrize("change", MEANINGS)
def test_meanings(change: dict[str, Any]) -> None:
    """Another ticker, a figure out of range, an unknown word or an uncited fact is invalid."""
    assert fault(json.dumps(GOOD | change)).kind == "invalid"


SHAPES: list[dict[str, Any]] = [
    {"confidence": True}, {"confidence": "78"}, {"confidence": 78.0}, {"confidence": None}, {"confidence": [78]}, {"time_horizon": "20"}, {"time_horizon": 20.0},
    {"time_horizon": True}, {"target_price": "255"}, {"target_price": True}, {"target_price": [255]}, {"target_price": {}}, {"stop_loss": "none"},
    {"injection_suspected": "false"}, {"injection_suspected": 0}, {"injection_suspected": None}, {"ticker": None}, {"ticker": 1}, {"reasoning": None},
    {"reasoning": ["a"]}, {"bear_case": {}}, {"decision": None}, {"decision": ["BUY"]}, {"option_plan": {"strategy": "call"}}, {"option_plan": ""},
    {"quantity": 1000}, {"order_type": "MKT"}, {"account": "U1"}, {"evidence": None}, {"evidence": {}}, {"evidence": "rsi14"}, {"evidence": ["rsi14"]},
    {"evidence": [{"fact": "rsi14"}]}, {"evidence": [{"says": "x"}]}, {"evidence": [{"fact": "rsi14", "says": 1}]}, {"evidence": [{"fact": None, "says": "x"}]},
    {"evidence": [{"fact": "rsi14", "says": "x", "weight": 1}]}, {"evidence": [[]]},
]  # fmt: skip


@pytest.mark.parametrize("change", SHAPES)
def test_shapes(change: dict[str, Any]) -> None:
    """A type that is nearly right, a key nobody asked for and a value of another kind are malformed: nothing is converted."""
    assert fault(json.dumps(GOOD | change)).kind == "malformed"


@pytest.mark.parametrize("key", sorted(GOOD))
def test_every_key_is_needed(key: str) -> None:
    """Without any one of its keys it is not a decision."""
    assert fault(json.dumps({name: value for name, value in GOOD.items() if name != key})).kind == "malformed"


TEXT = json.dumps(GOOD)
TEXTS = [
    "", " ", "null", "true", "42", '"BUY"', "[]", "{}", f"[{TEXT}]", f"Here is my decision: {TEXT}", f"{TEXT}\nGood luck!", f"```json\n{TEXT}\n```",
    TEXT + TEXT, TEXT[: len(TEXT) * 2 // 3], TEXT.replace("255", "NaN"), TEXT.replace("255", "Infinity"), TEXT.replace("255", "-Infinity"),
    TEXT.replace("78", "0x4e"), TEXT.replace("78", "078"), TEXT.replace("78", "+78"), TEXT.replace('"', "'"), TEXT[:-1] + ",}", TEXT[:-1] + ', "confidence": 99}',
    TEXT.replace("255", "1e999999999999999999999"), TEXT.replace("78", "9" * 5000), "[" * 100_000, '{"a":' * 50_000, "\ufeff" + TEXT, TEXT.replace("BUY", "BU\nY"),
    "{" + " " * 100_000 + TEXT[1:], "<decision>BUY</decision>", "I cannot help with that.", TEXT.replace('"rsi14"', '"rsi14", "fact": "price"'),
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    """Prose, fences, halves, doubles, nests and numbers that are none are malformed, each with a sentence."""
    error = fault(text)
    assert error.kind == "malformed"
    assert str(error).startswith("The model's answer cannot be read: ")


def test_space_around_is_no_prose() -> None:
    """JSON may stand in white space and in any order of keys."""
    assert (
        read_decision(f"\n  {json.dumps(dict(reversed(GOOD.items())), indent=2)}\n", "AAPL", facts())
        == read()
    )


def test_texts_are_cut_and_cleaned() -> None:
    """A long text is shortened, not refused; what cannot be stored or turns the writing round is left out; markup stays text."""
    long, odd = read({"reasoning": "x" * 5000}), read({"bear_case": "a\x00b\x1b[2J\ud800c\u202ed\nline <b>"})
    assert (len(long.reasoning), long.reasoning[-2:]) == (1200, "x…")
    assert odd.bear_case == "ab[2Jcd\nline <b>"
    assert read({"reasoning": "x" * 1200}).reasoning == "x" * 1200
    odd.bear_case.encode()


def test_sentences_quote_briefly() -> None:
    """A hostile value is quoted short and on one line, however long it is."""
    error = fault(json.dumps(GOOD | {"ticker": "EVIL\n" * 1000}))
    assert "\n" not in str(error)
    assert len(str(error)) < 160


def test_schema() -> None:
    """The API accepts the schema: closed objects, every key required, no bounds; and evidence comes before the verdict."""
    schema = json.loads(json.dumps(DECISION_SCHEMA))
    keys = list(schema["properties"])
    assert complaint(schema) is None
    assert keys == list(GOOD) == schema["required"]
    assert keys.index("evidence") < keys.index("bear_case") < keys.index("reasoning") < keys.index("decision")
    assert conform(GOOD, schema) == GOOD
    planned = GOOD | {"option_plan": PLAN}
    assert conform(planned, schema) == planned
    assert schema["properties"]["option_plan"]["anyOf"][1]["additionalProperties"] is False
    assert schema["properties"]["evidence"]["items"]["additionalProperties"] is False


numbers = st.decimals("0.5", "900", places=2)


@given(
    values=st.fixed_dictionaries(
        {"price": numbers, "atr14": st.decimals("0.01", "60", places=2), "sma20": numbers, "sma50": numbers},
        optional={
            "sma200": numbers,
            "rsi14": st.decimals("0", "100", places=1),
            "position_quantity": st.integers(0, 500),
        },
    ),
    verdict=st.sampled_from([None, "BUY", "SELL", "HOLD"]),
)
def test_reads_what_the_demo_answers(values: dict[str, Any], verdict: Any) -> None:
    """From facts over prompt, demo analyst, schema and text to a decision: the two sides agree, or a stop makes no sense."""
    supplied = [Fact(name, str(value), "", "") for name, value in values.items()]
    answer = conform(
        decide(read_facts(prompt(supplied, "AAPL", [], "5d1f00aa")), verdict), dict(DECISION_SCHEMA)
    )
    leaves = answer["decision"] == "SELL" and values.get("position_quantity", 0) > 0
    if answer["decision"] != "HOLD" and answer["stop_loss"] is None and not leaves:
        with pytest.raises(DecisionError) as caught:
            read_decision(json.dumps(answer), "AAPL", supplied)
        assert caught.value.kind == "invalid"
        return
    told = read_decision(json.dumps(answer), "AAPL", supplied)
    assert (told.verdict, told.confidence, told.time_horizon) == (
        answer["decision"],
        answer["confidence"],
        answer["time_horizon"],
    )
    assert "not an AI" in told.reasoning


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "extra"]), json_values, max_size=4), st.booleans())
def test_nothing_odd_gets_through(change: dict[str, Any], from_good: bool) -> None:
    """Any JSON in any place is refused with one of the two kinds, or is a decision that keeps every promise."""
    answer = (GOOD if from_good else {}) | change
    try:
        told = read_decision(json.dumps(answer), "AAPL", facts())
    except DecisionError as error:
        assert error.kind in ("malformed", "invalid")  # noqa: PT017 (a refusal is one of two good outcomes)
        return
    assert told.ticker == "AAPL"
    assert told.time_horizon in HORIZONS
    assert 0 <= told.confidence <= 100
    if told.verdict is Verdict.BUY:
        assert told.stop_loss is not None
        assert told.target_price is not None
        assert told.stop_loss <= 238 < 240 < told.target_price


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """No text makes the reader fall over."""
    assert fault(text).kind == "malformed"


# --- plans of options -----------------------------------------------------------------------------------------------------

DEC, JAN = date(2026, 12, 18), date(2027, 1, 15)
STRIKES = ("225", "230", "237.5", "240", "242.5", "250")


def offered_option(strike: str, right: Right, expiry: date = DEC, **change: Any) -> PlanLeg:
    """An option on offer, 3.10 to 3.20."""
    terms = OptionTerms(expiry, Decimal(strike), right, trading_class="AAPL")
    instrument = replace(AAPL, con_id=70, kind="OPT", option=terms, multiplier=Decimal(100))
    quote = OptionQuote(Decimal("3.10"), Decimal("3.20"), None, NOW)
    return PlanLeg(Leg(instrument.con_id, 1, terms), instrument, replace(quote, **change))


CHAIN = tuple(offered_option(strike, right) for strike in STRIKES for right in Right)
PLAN: dict[str, Any] = {
    "why": "The loss is limited.",
    "strategy": "BULL_CALL_SPREAD",
    "expiry": "2026-12-18",
    "strikes": [240, 250],
}
HOLD = {"decision": "HOLD", **BARE}
LEVELS_OF: Mapping[str, dict[str, Any]] = {"BUY": {}, "SELL": SELL, "HOLD": HOLD}


def plan_of(
    change: dict[str, Any] | None = None,
    verdict: dict[str, Any] | None = None,
    chain: Sequence[PlanLeg] = CHAIN,
    **known: str | None,
) -> ProposedPlan:
    """The plan of an answer that is read."""
    answer = GOOD | (verdict or {}) | {"option_plan": PLAN | (change or {})}
    told = read_decision(json.dumps(answer), "AAPL", facts(**known), chain).option_plan
    assert told is not None
    return told


def plan_fault(
    change: dict[str, Any],
    verdict: dict[str, Any] | None = None,
    chain: Sequence[PlanLeg] = CHAIN,
    **known: str | None,
) -> DecisionError:
    """How an answer with such a plan is refused."""
    with pytest.raises(DecisionError) as caught:
        plan_of(change, verdict, chain, **known)
    return caught.value


def test_a_good_plan() -> None:
    """Every field arrives, strikes without a detour over binary fractions."""
    told = plan_of({"strikes": [237.5, 242.5]})
    assert told == ProposedPlan(
        "BULL_CALL_SPREAD", DEC, (Decimal("237.5"), Decimal("242.5")), "The loss is limited."
    )
    assert read().option_plan is None


FIT: Mapping[int, list[float]] = {1: [240], 2: [237.5, 242.5], 4: [225, 230, 242.5, 250]}


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("verdict", ["BUY", "SELL", "HOLD"])
def test_each_strategy_with_each_verdict(strategy: Strategy, verdict: str) -> None:
    """A strategy is taken with the verdicts of its table and with no other."""
    change = {"strategy": strategy, "strikes": FIT[STRATEGIES[strategy].strikes]}
    levels = LEVELS_OF[verdict]
    if strategy in AGREES[verdict]:
        assert plan_of(change, levels, free_shares="100").strategy == strategy
    else:
        error = plan_fault(change, levels, free_shares="100")
        assert (error.kind, "contradicts" in str(error)) == ("invalid", True)


@pytest.mark.parametrize("free", ["0", "99", None])
@pytest.mark.parametrize("strategy", ["COVERED_CALL", "PROTECTIVE_PUT", "COLLAR"])
def test_a_hold_buys_no_shares(strategy: str, free: str | None) -> None:
    """What earns on a holding or insures it needs one with HOLD; with BUY the shares may be bought with it."""
    change = {"strategy": strategy, "strikes": [237.5, 242.5] if strategy == "COLLAR" else [240]}
    assert plan_fault(change, HOLD, free_shares=free).kind == "invalid"
    assert plan_of(change, free_shares=free).strategy == strategy


WRONG: list[dict[str, Any]] = [
    {"strikes": [240, 251]}, {"strikes": [239.99, 250]}, {"strikes": [0.01, 0.02]}, {"strikes": [250, 240]}, {"strikes": [240, 240]}, {"strikes": [240]},
    {"strikes": []}, {"strikes": [237.5, 240, 250]}, {"strikes": [240] * 8}, {"strikes": [240] * 9}, {"strikes": [240, 1e308]},
    {"strikes": [10**400, 250]}, {"strikes": [1e-300, 250]}, {"strikes": [-240, 250]}, {"strikes": [0, 250]}, {"strikes": [240, 250, 250, 240]},
    {"expiry": "2027-01-15"}, {"expiry": "2026-12-17"}, {"expiry": "18 Dec 26"}, {"expiry": "20261218"}, {"expiry": "2026-W51-5"}, {"expiry": "2026-02-30"},
    {"expiry": ""}, {"expiry": "2026-12-18T00:00:00"}, {"expiry": " 2026-12-18"}, {"expiry": "٢٠٢٦-١٢-١٨"}, {"expiry": "2026-12-18\n"}, {"expiry": "x" * 5000},
    {"strategy": "NAKED_CALL"}, {"strategy": "bull_call_spread"}, {"strategy": ""}, {"strategy": "BULL_CALL_SPREAD "}, {"strategy": "y" * 5000},
    {"strategy": "BEAR_PUT_SPREAD"}, {"strategy": "LONG_PUT", "strikes": [240]}, {"strategy": "IRON_CONDOR", "strikes": [225, 230, 242.5, 250]},
    {"strategy": "LONG_CALL"}, {"strategy": "COLLAR", "strikes": [242.5, 237.5]}, {"strategy": "IRON_CONDOR"},
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG)
def test_a_plan_that_cannot_be(change: dict[str, Any]) -> None:
    """A leg or day that was not on offer, strikes that make no such strategy, a contradiction of the verdict: one sentence, and no plan."""
    error = plan_fault(change, free_shares="100")
    assert error.kind == "invalid"
    assert len(str(error)) < 260
    assert "\n" not in str(error)


MISSHAPEN: list[Any] = [
    [], "", 0, False, "BULL_CALL_SPREAD", [PLAN], {}, PLAN | {"quantity": 10}, PLAN | {"legs": []}, PLAN | {"limit": 1.0}, PLAN | {"account": "U1"},
    PLAN | {"strikes": ["240", "250"]}, PLAN | {"strikes": "240/250"}, PLAN | {"strikes": {"low": 240, "high": 250}}, PLAN | {"strikes": None},
    PLAN | {"strikes": 240}, PLAN | {"strikes": [True, 250]}, PLAN | {"strikes": [None, 250]}, PLAN | {"strikes": [[240, 250]]}, PLAN | {"strikes": [{"price": 240}]},
    PLAN | {"expiry": None}, PLAN | {"expiry": 20261218}, PLAN | {"expiry": ["2026-12-18"]}, PLAN | {"strategy": None}, PLAN | {"strategy": ["LONG_CALL"]},
    PLAN | {"strategy": 1}, PLAN | {"why": None}, PLAN | {"why": 1}, *({k: v for k, v in PLAN.items() if k != gone} for gone in PLAN),
]  # fmt: skip


@pytest.mark.parametrize("plan", MISSHAPEN)
def test_a_misshapen_plan(plan: Any) -> None:
    """A missing or unasked field and a value of another type are malformed: nothing is converted or filled in."""
    with pytest.raises(DecisionError) as caught:
        read_decision(json.dumps(GOOD | {"option_plan": plan}), "AAPL", facts(), CHAIN)
    assert caught.value.kind == "malformed"


NO_CHAINS: list[Sequence[PlanLeg]] = [
    (), tuple(replace(leg, quote=None) for leg in CHAIN), tuple(offered_option(strike, right, JAN) for strike in STRIKES for right in Right),
    tuple(leg for leg in CHAIN if leg.leg.option and leg.leg.option.right is Right.PUT), CHAIN[:-2],
    *((*CHAIN[:-2], offered_option("250", Right.CALL, **gone)) for gone in ({"bid": None}, {"ask": None}, {"bid": Decimal(4)}, {"bid": Decimal(0), "ask": Decimal(0)})),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(NO_CHAINS)))
def test_only_what_was_on_offer(number: int) -> None:
    """Without the option, or without its bid and ask, there is no such plan."""
    error = plan_fault({}, chain=NO_CHAINS[number])
    assert (error.kind, "on offer" in str(error)) == ("invalid", True)


def test_strikes_are_compared_as_numbers() -> None:
    """240 and 240.0 are one strike; another digit is another strike."""
    assert plan_of({"strikes": [240.0, 250]}).strikes == (Decimal(240), Decimal(250))
    assert plan_fault({"strikes": [240.0000001, 250]}).kind == "invalid"


def test_the_reason_of_a_plan_is_cleaned() -> None:
    """Its words are cut and freed of what cannot be shown, like all others."""
    assert plan_of({"why": "a\x00\u202eb" + "x" * 5000}).why == "ab" + "x" * 1197 + "…"


EVERY = (
    *CHAIN,
    *(offered_option(strike, right, JAN) for strike in STRIKES for right in Right),
)
SPOILT: list[dict[str, Any]] = [{"bid": None}, {"bid": Decimal("3.30")}, {"ask": None}]


@st.composite
def offers(draw: st.DrawFn) -> tuple[PlanLeg, ...]:
    """All the options that there could be but a few, and a few without a market."""
    gone = draw(st.sets(st.integers(0, len(EVERY) - 1), max_size=8))
    spoilt = draw(st.dictionaries(st.integers(0, len(EVERY) - 1), st.sampled_from(SPOILT), max_size=4))
    legs = []
    for number, leg in enumerate(EVERY):
        if number not in gone and leg.quote is not None:
            legs.append(replace(leg, quote=replace(leg.quote, **spoilt.get(number, {}))))
    return tuple(legs)


@st.composite
def strikes_for(draw: st.DrawFn, strategy: Strategy) -> list[float]:
    """Strikes of the right number in their order; now and then any others."""
    if draw(st.integers(0, 4)):
        count = STRATEGIES[strategy].strikes
        chosen = draw(st.sets(st.sampled_from(STRIKES), min_size=count, max_size=count))
        return sorted(float(strike) for strike in chosen)
    return [float(strike) for strike in draw(st.lists(st.sampled_from(STRIKES), max_size=4))]


@given(
    chain=offers(),
    strategy=st.sampled_from(Strategy),
    verdict=st.sampled_from(["BUY", "SELL", "HOLD"]),
    expiry=st.sampled_from(["2026-12-18", "2027-01-15"]),
    free=st.sampled_from([None, "0", "100"]),
    data=st.data(),
)
def test_a_plan_that_is_read_can_be_traded(
    chain: tuple[PlanLeg, ...],
    strategy: Strategy,
    verdict: str,
    expiry: str,
    free: str | None,
    data: st.DataObject,
) -> None:
    """Worked out here a second time, part by part of the strategy's outline: exactly the plans that can be traded and agree are read."""
    strikes = data.draw(strikes_for(strategy))
    outline, day = STRATEGIES[strategy], date.fromisoformat(expiry)
    there = {
        (leg.leg.option.right, float(leg.leg.option.strike))
        for leg in chain
        if leg.leg.option and leg.leg.option.expiry == day and leg.quote and leg.quote.bid == Decimal("3.10") and leg.quote.ask
    }  # fmt: skip
    shares = any(part.right is None for part in outline.parts)
    good = (
        strategy in AGREES[verdict]
        and strikes == sorted(set(strikes))
        and len(strikes) == outline.strikes
        and all((part.right, strikes[part.strike]) in there for part in outline.parts if part.right)
        and not (verdict == "HOLD" and shares and free != "100")
    )
    change = {"strategy": strategy, "expiry": expiry, "strikes": strikes}
    levels = LEVELS_OF[verdict]
    if good:
        told = plan_of(change, levels, chain, free_shares=free)
        assert (told.strategy, told.expiry, [float(s) for s in told.strikes]) == (strategy, day, strikes)
    else:
        assert plan_fault(change, levels, chain, free_shares=free).kind == "invalid"


@given(st.dictionaries(st.sampled_from([*PLAN, "extra"]), json_values, max_size=4), st.booleans())
def test_no_odd_plan_gets_through(change: dict[str, Any], from_good: bool) -> None:
    """Any JSON in any place of a plan is refused with one of the two kinds, or is a plan of options that were on offer."""
    answer = GOOD | {"option_plan": (PLAN if from_good else {}) | change}
    try:
        told = read_decision(json.dumps(answer), "AAPL", facts(), CHAIN).option_plan
    except DecisionError as error:
        assert error.kind in ("malformed", "invalid")  # noqa: PT017 (a refusal is one of two good outcomes)
        return
    assert told is not None
    assert told.expiry == DEC
    assert set(told.strikes) <= {Decimal(strike) for strike in STRIKES}


@given(
    chain=offers(),
    price=st.decimals("225", "249.99", places=2),
    atr=st.decimals("1", "20", places=2),
    verdict=st.sampled_from(["BUY", "SELL", "HOLD"]),
)
def test_reads_the_plans_of_the_demo(
    chain: tuple[PlanLeg, ...], price: Decimal, atr: Decimal, verdict: Any
) -> None:
    """Whatever is on offer, the demo's plan over facts, prompt, schema and text is one that can be traded."""
    nvda = replace(AAPL, symbol="NVDA")
    supplied = (
        *(Fact(name, str(value), "", "") for name, value in (("price", price), ("atr14", atr))),
        *option_facts(nvda, chain, None, None, NOW),
    )
    answer = conform(
        decide(read_facts(prompt(supplied, "NVDA", [], "5d1f00aa")), verdict), dict(DECISION_SCHEMA)
    )
    told = read_decision(json.dumps(answer), "NVDA", supplied, chain).option_plan
    assert (told is None) == (answer["option_plan"] is None)
    if verdict == "HOLD" or chain == EVERY:
        assert (told is None) == (verdict == "HOLD")
