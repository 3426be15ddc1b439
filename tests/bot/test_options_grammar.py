"""What people type about options: good lines become values, every other line a sentence that says what would be right."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot import options_grammar as grammar
from bot.options_grammar import ChainLine, PlanLine, WizardLine, chain_line, option_line, strategy_line
from core.errors import BadInput
from core.model import Right, Side
from core.options.plan import ExpiryWish, PlanRequest, Strategy, StrikeWish

DEC = ExpiryWish(day=date(2026, 12, 18))
DAYS = ExpiryWish(days=30)
MONTHLY = ExpiryWish(monthly=True)
CALL, PUT = (Side.BUY, Right.CALL), (Side.BUY, Right.PUT)
SPREAD = Strategy.BULL_CALL_SPREAD


def strikes(*prices: str) -> tuple[StrikeWish, ...]:
    return tuple(StrikeWish(price=Decimal(price)) for price in prices)


def delta(value: str) -> tuple[StrikeWish, ...]:
    return (StrikeWish(delta=Decimal(value)),)


def percent(value: str) -> tuple[StrikeWish, ...]:
    return (StrikeWish(percent=Decimal(value)),)


def wish(symbol: str = "AAPL", *, preview: bool = False, **more: Any) -> PlanLine:
    numbers = {"quantity", "budget", "limit"}
    values: dict[str, Any] = {k: Decimal(v) if k in numbers else v for k, v in more.items()}
    return PlanLine(PlanRequest(symbol, **values), preview)


K190, K190_200 = strikes("190"), strikes("190", "200")
OPTIONS = [
    ("AAPL call 190 2026-12-18 1", wish(single=CALL, strikes=K190, expiry=DEC, quantity=1)),
    ("buy AAPL call 190 2026-12-18 1", wish(single=CALL, strikes=K190, expiry=DEC, quantity=1)),
    ("BUY aapl CALL 190 20261218 007", wish(single=CALL, strikes=K190, expiry=DEC, quantity=7)),
    ("sell AAPL put 190 30d 2", wish(single=(Side.SELL, Right.PUT), strikes=K190, expiry=DAYS, quantity=2)),
    ("AAPL C 190 18dec26", wish(single=CALL, strikes=K190, expiry=DEC)),
    ("AAPL P 190 18-Dec-2026", wish(single=PUT, strikes=K190, expiry=DEC)),
    ("AAPL 190c 18december26", wish(single=CALL, strikes=K190, expiry=DEC)),
    ("AAPL monthly P190 1", wish(single=PUT, strikes=K190, expiry=MONTHLY, quantity=1)),
    ("AAPL calls d30 30d", wish(single=CALL, strikes=delta("0.3"), expiry=DAYS)),
    ("AAPL call 0.30d 30days", wish(single=CALL, strikes=delta("0.30"), expiry=DAYS)),
    ("AAPL call .25d monthly", wish(single=CALL, strikes=delta("0.25"), expiry=MONTHLY)),
    ("AAPL call d0.05", wish(single=CALL, strikes=delta("0.05"))),
    ("AAPL call +5% $500", wish(single=CALL, strikes=percent("5"), budget=500)),
    ("AAPL put -7.5% qty 3", wish(single=PUT, strikes=percent("-7.5"), quantity=3)),
    ("AAPL call atm", wish(single=CALL, strikes=percent("0"))),
    ("AAPL call 30d 190 2", wish(single=CALL, strikes=K190, expiry=DAYS, quantity=2)),
    ("AAPL call 190 30d 1 @ 3.20", wish(single=CALL, strikes=K190, expiry=DAYS, quantity=1, limit="3.20")),
    ("AAPL call 190 @$3.20 30d", wish(single=CALL, strikes=K190, expiry=DAYS, limit="3.20")),
    (
        "AAPL call 190 limit .5 preview",
        wish(single=CALL, strikes=K190, limit="0.5", preview=True),
    ),
    ("C call 30", wish("C", single=CALL, strikes=strikes("30"))),
    ("sell C put 30", wish("C", single=(Side.SELL, Right.PUT), strikes=strikes("30"))),
    ("BRK.B put 402.5", wish("BRK.B", single=PUT, strikes=strikes("402.5"))),
]


@pytest.mark.parametrize(("line", "meant"), OPTIONS, ids=[line for line, _ in OPTIONS])
def test_good_option_lines(line: str, meant: PlanLine) -> None:
    """Every form of /option, and what it means to the last decimal."""
    assert option_line(line) == meant


STRATEGIES: list[tuple[str, PlanLine | WizardLine]] = [
    (
        "BULL_CALL_SPREAD AAPL 190/200 2026-12-18 1",
        wish(strategy=SPREAD, strikes=K190_200, expiry=DEC, quantity=1),
    ),
    (
        "bull call spread aapl 200/190 2026-12-18 1 @ 3.20",
        wish(strategy=SPREAD, strikes=K190_200, expiry=DEC, quantity=1, limit="3.20"),
    ),
    ("Bull-Call-Spread AAPL", wish(strategy=SPREAD)),
    ("bull call AAPL", wish(strategy=SPREAD)),
    ("BULL_CALL_SPREAD AAPL 30d 2", wish(strategy=SPREAD, expiry=DAYS, quantity=2)),
    ("BULL_CALL_SPREAD AAPL monthly $500", wish(strategy=SPREAD, expiry=MONTHLY, budget=500)),
    ("BULL_CALL_SPREAD AAPL qty 2", wish(strategy=SPREAD, quantity=2)),
    ("BULL_CALL_SPREAD AAPL 190/200 3", wish(strategy=SPREAD, strikes=K190_200, quantity=3)),
    (
        "BULL_CALL_SPREAD AAPL d50/d30 30d",
        wish(strategy=SPREAD, strikes=delta("0.5") + delta("0.3"), expiry=DAYS),
    ),
    (
        "BULL_CALL_SPREAD AAPL atm/+5%",
        wish(strategy=SPREAD, strikes=percent("0") + percent("5")),
    ),
    (
        "iron condor SPY 170/175/205/210 monthly 2 @ -0.76",
        wish(
            "SPY",
            strategy=Strategy.IRON_CONDOR,
            strikes=strikes("170", "175", "205", "210"),
            expiry=MONTHLY,
            quantity=2,
            limit="-0.76",
        ),
    ),
    ("condor AAPL credit 0.76", wish(strategy=Strategy.IRON_CONDOR, limit="-0.76")),
    ("condor AAPL @ credit $0.76", wish(strategy=Strategy.IRON_CONDOR, limit="-0.76")),
    ("condor AAPL @ -$0.76", wish(strategy=Strategy.IRON_CONDOR, limit="-0.76")),
    ("condor AAPL @ \N{MINUS SIGN}0.76", wish(strategy=Strategy.IRON_CONDOR, limit="-0.76")),
    ("straddle AAPL debit 3.20", wish(strategy=Strategy.LONG_STRADDLE, limit="3.20")),
    ("straddle AAPL @ +3.20", wish(strategy=Strategy.LONG_STRADDLE, limit="3.20")),
    ("collar AAPL @ 0", wish(strategy=Strategy.COLLAR, limit="0")),
    ("long call AAPL 190 30d 2", wish(strategy=Strategy.LONG_CALL, strikes=K190, expiry=DAYS, quantity=2)),
    ("long_strangle AAPL d20/d20", wish(strategy=Strategy.LONG_STRANGLE, strikes=delta("0.2") * 2)),
    ("BULL_CALL_SPREAD AAPL preview", wish(strategy=SPREAD, preview=True)),
    ("", WizardLine()),
    ("aapl", WizardLine("AAPL")),
    ("BRK.B", WizardLine("BRK.B")),
]


@pytest.mark.parametrize(("line", "meant"), STRATEGIES, ids=[line for line, _ in STRATEGIES])
def test_good_strategy_lines(line: str, meant: PlanLine | WizardLine) -> None:
    """Every form of /strategy, and what it means; without a name the wizard asks."""
    assert strategy_line(line) == meant


@pytest.mark.parametrize("strategy", Strategy)
def test_the_example_of_every_strategy_is_understood(strategy: Strategy) -> None:
    """Each of them has an example line, which an error may show, and that line is right."""
    line = f"{strategy} AAPL {'/'.join(grammar.STRIKES[strategy])} 2026-12-18 1"
    read = strategy_line(line)
    assert isinstance(read, PlanLine)
    assert read.request.strategy is strategy
    assert read.request.strikes == strikes(*grammar.STRIKES[strategy])
    assert grammar.strategy_named(strategy.replace("_", " ").lower()) is strategy


CHAINS = [
    ("AAPL", ChainLine("AAPL")),
    ("aapl 2026-12-18", ChainLine("AAPL", DEC)),
    ("AAPL 18DEC26", ChainLine("AAPL", DEC)),
    ("AAPL 30d", ChainLine("AAPL", DAYS)),
    ("AAPL Monthly", ChainLine("AAPL", MONTHLY)),
]


@pytest.mark.parametrize(("line", "meant"), CHAINS, ids=[line for line, _ in CHAINS])
def test_good_chain_lines(line: str, meant: ChainLine) -> None:
    """Every form of /chain."""
    assert chain_line(line) == meant


BAD = [
    (chain_line, "", ["Whose", "/chain AAPL"]),
    (chain_line, "AAPL 190", ["no expiry", "2026-12-18", "30d", "monthly"]),
    (chain_line, "AAPL 30d more", ["too much"]),
    (chain_line, "1", ["no symbol"]),
    (chain_line, "AAPL 2026-02-30", ["no day 2026-02-30"]),
    (chain_line, "AAPL 0d", ["1 to 1100", "30d"]),
    (chain_line, "AAPL 5000d", ["1 to 1100"]),
    (chain_line, "AAPL 18dec", ["which year", "18dec26"]),
    (chain_line, "AAPL 12/18/2026", ["two ways", "2026-12-18"]),
    (chain_line, "AAPL 18.12.26", ["two ways", "2026-12-18"]),
    (chain_line, "AAPL 2026-12", ["no whole date"]),
    (chain_line, "AAPL dec26", ["no whole date"]),
    (option_line, "", ["Which option", "/option AAPL call 190"]),
    (option_line, "buy", ["A call or a put"]),
    (option_line, "AAPL", ["call or a put"]),
    (option_line, "AAPL 190", ["call or a put"]),
    (option_line, "AAPL call", ["Which strike", "190", "d30", "+5%"]),
    (option_line, "AAPL call 30d", ["Which strike"]),
    (option_line, "AAPL call put 190", ["LONG_STRADDLE"]),
    (option_line, "AAPL call 190/200", ["1 strike", "190/200 is 2"]),
    (option_line, "AAPL call 190 30d 1 2", ["twice"]),
    (option_line, "AAPL call 190 30d 1 $500", ["twice"]),
    (option_line, "AAPL call 190 30d 60d", ["One expiry"]),
    (option_line, "AAPL call 190 30d 1.5", ["whole contracts"]),
    (option_line, "AAPL call 190 30d 0", ["quantity", "above zero"]),
    (option_line, "AAPL call 190 30d -1", ["quantity", "sign"]),
    (option_line, "AAPL call 190 30d 1,000", ["two ways", "1000"]),
    (option_line, "AAPL call 190 30d 1,5", ["two ways", "1.5"]),
    (option_line, "AAPL call 1,000", ["two ways", "1000"]),
    (option_line, "AAPL call 187,50", ["two ways", "187.50"]),
    (option_line, "AAPL call 190 $2,500", ["two ways", "$2500"]),
    (option_line, "AAPL call 190 $", ["budget", "plain number"]),
    (option_line, "AAPL call 190 @", ["price is missing"]),
    (option_line, "AAPL call 190 @ 3,20", ["two ways", "3.20"]),
    (option_line, "AAPL call 190 @ -3", ["above zero", "buy or sell"]),
    (option_line, "AAPL call 190 credit 3", ["above zero", "buy or sell"]),
    (option_line, "AAPL call 190 @ 0", ["above zero"]),
    (option_line, "AAPL call 190 @ 3 @ 4", ["One price"]),
    (option_line, "AAPL call 190 @ nan", ["plain number"]),
    (option_line, "AAPL call 5%", ["+5%", "-5%"]),
    (option_line, "AAPL call -100%", ["nearer"]),
    (option_line, "AAPL call d0.0", ["between 0 and 1"]),
    (option_line, "AAPL call d300", ["d30", "30d"]),
    (option_line, "AAPL call 1.5d", ["d30", "30d"]),
    (option_line, "AAPL call 190 gtc", ["for the day"]),
    (option_line, "AAPL call 190 market", ["never traded at market"]),
    (option_line, "AAPL call 190 sl 180", ["bounded by its legs"]),
    (option_line, "sell AAPL call 190 all", ["Close button"]),
    (option_line, "AAPL call 190 prevew", ["preview"]),
    (option_line, "AAPL call 190 qty", ["number is missing"]),
    (option_line, "AAPL call ١٩٠", ["not understood"]),
    (option_line, "AAPL sell call 190", ["before the symbol", "/option sell AAPL"]),
    (option_line, "AAPL call 190 30d 1 at 1.10", ["written with @"]),
    (option_line, "AAPL call 190 30d 1 1.10", ["How many is said twice", "written with @: @ 1.10"]),
    (option_line, "AAPL call 190 dec 18", ["'dec'", "2026-12-18"]),
    (option_line, "AAPL call 190 next friday", ["'next'", "2026-12-18"]),
    (chain_line, "AAPL next friday", ["'next friday' is no expiry", "2026-12-18"]),
    (chain_line, "AAPL Dec 18", ["'Dec 18' is no expiry"]),
    (strategy_line, "BULL_CALL_SPREAD", ["Of what", "/strategy BULL_CALL_SPREAD AAPL 190/200"]),
    (strategy_line, "BULL_CAL_SPREAD AAPL", ["Did you mean BULL_CALL_SPREAD", "IRON_CONDOR"]),
    (strategy_line, "STRADLE AAPL", ["Did you mean LONG_STRADDLE"]),
    (strategy_line, "iron kondor AAPL", ["Did you mean IRON_CONDOR"]),
    (strategy_line, "FOOBARBAZ", ["no strategy", "LONG_CALL"]),
    (strategy_line, "AAPL BULL_CALL_SPREAD", ["comes first", "/strategy BULL_CALL_SPREAD AAPL"]),
    (strategy_line, "AAPL 190/200", ["Which strategy", "/strategy AAPL alone"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL 190", ["2 strikes", "190/200", "30d 2"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL 2", ["2 strikes", "30d 2"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL 190/200/210", ["2 strikes", "is 3"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL 190/190", ["differ"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL 190/", ["not understood"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL 190/200 190/200", ["there already"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL credit -0.76", ["without a sign", "credit 0.76"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL @ --1", ["price"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL debit", ["price is missing"]),
    (strategy_line, "BULL_CALL_SPREAD AAPL debit 1,200.50", ["two ways", "1200.50"]),
    (strategy_line, "naked call AAPL", ["no strategy 'naked call'", "LONG_CALL"]),
    (strategy_line, "iron butterfly AAPL", ["no strategy 'iron butterfly'", "IRON_CONDOR"]),
    (strategy_line, "sell iron condor AAPL", ["'sell' is not needed", "/strategy IRON_CONDOR"]),
]


@pytest.mark.parametrize(("read", "line", "says"), BAD, ids=[f"{r.__name__} {line!r}" for r, line, _ in BAD])
def test_bad_lines_say_what_would_be_right(read: Any, line: str, says: list[str]) -> None:
    """Each is refused with a sentence that has the figure and the way out."""
    with pytest.raises(BadInput) as refused:
        read(line)
    assert all(word in str(refused.value) for word in says), str(refused.value)


PIECES = (
    "AAPL C 190 190/200 d30 0.30d 30d +5% -5% atm call put buy sell @ $ $500 1 2 -1 1,000 3.20 -0.76 credit debit qty limit preview "
    "monthly 2026-12-18 18dec26 18dec 12/18/2026 BULL_CALL_SPREAD iron condor IRON_CONDOR straddle gtc 1e5 nan ١ ² / // % d"
)
LINES = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES.split()), max_size=9).map(" ".join))


@given(LINES)
@example("d")
@example("BULL_CALL_SPREAD AAPL d99/d1 @ ")
@example("AAPL call 0000000000000")
def test_any_line_is_understood_or_refused_with_a_sentence(line: str) -> None:
    """Nothing but BadInput ever leaves the grammar, and what it understands can be meant."""
    for read in (chain_line, option_line, strategy_line):
        refused, told = "", None
        try:
            told = read(line)
        except BadInput as why:
            refused = str(why)
        if not isinstance(told, PlanLine):
            assert told is not None or 10 < len(refused) < 700
            continue
        request = told.request
        assert (request.strategy is None) is not (request.single is None)
        assert request.quantity is None or request.budget is None
        assert request.quantity is None or (request.quantity > 0 and request.quantity % 1 == 0)
        assert request.budget is None or request.budget > 0
        assert request.single is None or (len(request.strikes) == 1 and (request.limit or 1) > 0)
        prices = [one.price for one in request.strikes if one.price is not None]
        if len(prices) == len(request.strikes):
            assert prices == sorted(set(prices))
        for one in request.strikes:
            assert [one.price, one.delta, one.percent].count(None) == 2
