"""The prices of options: no arbitrage in any chain, the library's own figures, and what clients are told of quotes and Greeks."""

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_async import IB, Option, Stock, Ticker

from sim.tws import chains, contracts, pricing
from sim.tws.market import Market
from tests.sim.tws_kit import AAPL, Tws, running_tws, until

SPOTS, VOLATILITIES, YEARS = st.floats(20, 900), st.floats(0.1, 1.2), st.floats(0.003, 1.4)
RIGHTS = st.sampled_from(["C", "P"])
SLACK = 2e-3
"""Dollars by which a value found by finite differences may be off, for a spot of a hundred."""


@pytest.mark.parametrize(("dividends", "value"), [((), 11.172), (((25 / 365, 1.5),), 12.351)])
def test_the_library_says_what_it_should(dividends: pricing.Dividends, value: float) -> None:
    """A 110 put at 100, 60 days, volatility 30 %: early exercise and a dividend are in it."""
    found = pricing.model(100.0, 110.0, "P", 60 / 365, 0.3, dividends)
    assert found.value == pytest.approx(value, abs=2e-3)
    assert found.delta < -0.75
    assert pricing.implied_volatility(found.value, 100.0, 110.0, "P", 60 / 365, dividends) == pytest.approx(
        0.3, abs=1e-4
    )


@settings(max_examples=40, deadline=None)
@given(spot=SPOTS, volatility=VOLATILITIES, years=YEARS, right=RIGHTS, pays=st.booleans())
def test_no_chain_can_be_arbitraged(
    spot: float, volatility: float, years: float, right: str, pays: bool
) -> None:
    """Within its bounds, monotone and convex in the strike, at every volatility and time."""
    due = ((years / 2, spot * 0.005),) if pays else ()
    strikes = [spot * (0.7 + 0.05 * n) for n in range(13)]
    slack = SLACK * spot / 100
    values = [pricing.model(spot, strike, right, years, volatility, due).value for strike in strikes]
    for strike, value in zip(strikes, values, strict=True):
        assert pricing.intrinsic(spot, strike, right) <= value
        assert value <= (spot if right == "C" else strike) + slack
    rising = values if right == "P" else values[::-1]
    for (low, high), (nearer, further) in zip(pairwise(rising), pairwise(strikes), strict=True):
        assert low - slack <= high <= low + (further - nearer) + slack
    for left, middle, other in zip(values, values[1:], values[2:], strict=False):
        assert left - 2 * middle + other >= -2 * slack


@settings(max_examples=40, deadline=None)
@given(spot=SPOTS, volatility=VOLATILITIES, years=YEARS, right=RIGHTS, strike=st.floats(0.7, 1.4))
def test_more_time_is_worth_no_less(
    spot: float, volatility: float, years: float, right: str, strike: float
) -> None:
    """Without dividends an American option of a later expiry has everything that the earlier one has."""
    early, late = (
        pricing.model(spot, spot * strike, right, span, volatility).value for span in (years, years * 1.3)
    )
    assert early <= late + SLACK * spot / 100


@settings(max_examples=40, deadline=None)
@given(spot=SPOTS, volatility=VOLATILITIES, years=YEARS, right=RIGHTS, strike=st.floats(0.8, 1.25))
def test_greeks_are_slopes(spot: float, volatility: float, years: float, right: str, strike: float) -> None:
    """Delta and vega are what the value does when spot and volatility move a little."""
    at, step = spot * strike, spot * 0.001
    of = pricing.model(spot, at, right, years, volatility)
    up = pricing.model(spot + step, at, right, years, volatility).value
    down = pricing.model(spot - step, at, right, years, volatility).value
    assert of.delta == pytest.approx((up - down) / (2 * step), abs=0.02)
    more, less = (
        pricing.model(spot, at, right, years, volatility + change).value for change in (0.005, -0.005)
    )
    vega = pricing.vega(spot, at, right, years, volatility)
    # The grid is right to about a ten-thousandth of the spot, which far from the strike is more than vega.
    assert vega == pytest.approx(more - less, abs=1.5e-4 * spot + 0.1 * vega)
    assert of.gamma >= 0
    assert of.theta <= 1e-3 * spot or right == "P"


def test_quotes_stand_around_the_value_on_their_ticks() -> None:
    """Every quote of a chain: bid below ask, on the tick, around the model, in order of the strikes, puts and calls within parity."""
    market = Market(1)
    now = datetime(2026, 11, 23, 17, tzinfo=UTC)
    on = contracts.BY_ID[76792991]
    for day in chains.expiries(now)[::4]:
        quotes = {}
        for option in contracts.options(now, on, f"{day:%Y%m%d}"):
            quote = market.quote(option.con_id, now)
            value = market.options.model(option, now).value
            assert quote.bid < quote.ask
            assert float(quote.bid) <= value + 1e-6
            assert float(quote.ask) >= value - 1e-6
            for price in (quote.bid, quote.ask):
                assert price % option.tick(price) == 0
            quotes[option.strike, option.right] = quote
        strikes = sorted({strike for strike, _ in quotes})
        for low, high in pairwise(strikes):
            # what nobody could have for nothing: a vertical spread at a credit and without a loss, or for more than its width
            assert quotes[low, "C"].ask >= quotes[high, "C"].bid
            assert quotes[high, "P"].ask >= quotes[low, "P"].bid
            assert quotes[low, "C"].bid - quotes[high, "C"].ask <= high - low
        for a, b, c in zip(strikes, strikes[1:], strikes[2:], strict=False):
            for right in "CP":
                assert quotes[a, right].ask + quotes[c, right].ask >= 2 * quotes[b, right].bid


async def expiry_of(tws: Tws, weeks: int = 4) -> str:
    return f"{chains.expiries(tws.clock.now())[weeks]:%Y%m%d}"


async def watched(ib: IB, expiry: str, strike: float, right: str, generic: str = "") -> Ticker:
    """An option's ticker once the model has spoken."""
    option = Option("AAPL", expiry, strike, right, "SMART")
    await ib.qualifyContractsAsync(option)
    ticker = ib.reqMktData(option, generic)
    await until(ib, lambda: ticker.modelGreeks)
    return ticker


def _said(found: object) -> Any:
    """Greeks that were told."""
    assert found is not None
    return found


async def test_quotes_and_greeks_arrive() -> None:
    """Bid, ask, last, the model's Greeks and those of each price, open interest and the dividends before expiry."""
    async with running_tws() as tws:
        ib = await tws.connect()
        await tws.post("/tws/price", symbol="AAPL", bid=99.99, ask=100.01, last=100)
        call = await watched(ib, await expiry_of(tws), 100, "C", "100,101,106")
        put = await watched(ib, await expiry_of(tws), 100, "P", "101")
        for ticker in (call, put):
            of, bid, ask = (_said(one) for one in (ticker.modelGreeks, ticker.bidGreeks, ticker.askGreeks))
            assert ticker.bid < of.optPrice < ticker.ask
            assert of.undPrice == 100
            assert of.impliedVol == pytest.approx(0.254)
            assert bid.impliedVol < 0.254 < ask.impliedVol
            assert of.pvDividend == pytest.approx(0.25, abs=0.01)
            assert of.gamma > 0
            assert of.vega > 0
            assert of.theta < 0
        assert 0.4 < _said(call.modelGreeks).delta < 0.65
        await until(ib, lambda: not math.isnan(call.callOpenInterest) and not math.isnan(put.putOpenInterest))
        assert call.callOpenInterest > 0
        assert put.callOpenInterest == 0


async def test_options_follow_what_they_are_on() -> None:
    """When the price of the share is fixed elsewhere, options move with it, at once."""
    async with running_tws() as tws:
        ib = await tws.connect()
        await tws.post("/tws/price", symbol="AAPL", bid=99.99, ask=100.01, last=100)
        ticker = await watched(ib, await expiry_of(tws), 100, "C")
        before = ticker.bid
        await tws.post("/tws/price", symbol="AAPL", bid=109.99, ask=110.01, last=110)
        await until(ib, lambda: ticker.modelGreeks and ticker.modelGreeks.undPrice == 110)
        assert ticker.bid > before + 5
        await tws.post("/tws/price", symbol="AAPL", bid=64.99, ask=65.01, last=65)
        await until(ib, lambda: ticker.bid == -1)  # nobody bids for what is worth nothing
        assert ticker.ask <= 0.02


async def test_quotes_and_volatilities_are_fixed_by_hand() -> None:
    """An option's own quote, its own volatility, and that of all of a symbol; and free again."""
    async with running_tws() as tws:
        ib = await tws.connect()
        await tws.post("/tws/price", symbol="AAPL", bid=99.99, ask=100.01, last=100)
        terms: dict[str, Any] = {
            "symbol": "AAPL",
            "expiry": await expiry_of(tws),
            "strike": 105,
            "right": "C",
        }
        ticker = await watched(ib, str(terms["expiry"]), 105, "C")
        usual = ticker.bid
        await tws.post("/tws/option", **terms, bid=1.64, ask=1.68)
        await until(ib, lambda: (ticker.bid, ticker.ask) == (1.64, 1.68))
        assert ticker.last == 1.66
        await tws.post("/tws/option", **terms, iv=0.5)
        await until(ib, lambda: ticker.modelGreeks and ticker.modelGreeks.impliedVol == 0.5)
        assert ticker.bid > 2 * usual
        await tws.post("/tws/option", **terms, unpin=True)
        await until(ib, lambda: abs(ticker.bid - usual) <= 0.02)
        told = await tws.post("/tws/volatility", symbol="AAPL", volatility=0.6)
        assert told == {"symbol": "AAPL", "volatility": 0.6}
        await until(ib, lambda: ticker.modelGreeks and ticker.modelGreeks.impliedVol == 0.6)
        wrongs: tuple[dict[str, Any], ...] = (
            {"strike": 105.1},
            {"expiry": "20200103"},
            {"symbol": "EUR"},
            {"bid": 2},
            {},
        )
        for wrong in wrongs:
            await tws.post("/tws/option", status=400, **(terms | wrong))


async def test_delayed_options_have_delayed_types() -> None:
    """Where there are only delayed data the Greeks come under their own types, and not before they are asked for."""
    async with running_tws() as tws:
        ib = await tws.connect()
        await tws.post("/tws/market", data="delayed")
        ib.reqMarketDataType(3)
        ticker = await watched(ib, await expiry_of(tws), 190, "C")
        assert ticker.marketDataType == 3
        assert 10167 in tws.codes()
        await until(ib, lambda: ticker.bidGreeks and ticker.askGreeks)


async def test_dividends_are_told() -> None:
    """Four a year, the next one about three weeks ahead of the first start; none where none are paid; and what is arranged."""
    async with running_tws() as tws:
        ib = await tws.connect()
        ticker = ib.reqMktData(AAPL, "456,100,101,106")
        await until(ib, lambda: ticker.dividends and not math.isnan(ticker.impliedVolatility))
        paid = ticker.dividends
        assert paid is not None
        assert paid.nextDate is not None
        assert (paid.past12Months, paid.next12Months, paid.nextAmount) == (1.0, 1.0, 0.25)
        ahead = paid.nextDate - tws.clock.now().date()
        assert timedelta(20) <= ahead <= timedelta(26)
        assert ticker.callOpenInterest > 0
        await tws.post("/tws/dividend", symbol="TSLA", ex_date=paid.nextDate.isoformat(), amount="1.50")
        tesla = ib.reqMktData(Stock("TSLA", "SMART", "USD", conId=76792991), "456")
        await until(ib, lambda: tesla.dividends)
        assert tesla.dividends is not None
        assert (tesla.dividends.nextAmount, tesla.dividends.next12Months) == (1.5, 1.5)
        await tws.post("/tws/dividend", symbol="TSLA", ex_date=paid.nextDate.isoformat(), status=400)


async def test_a_whole_chain_meets_the_limits() -> None:
    """A client that follows a whole chain is told that there are no more lines, and one that asks too fast is told so too."""
    async with running_tws() as tws:
        ib = await tws.connect()
        await tws.post("/tws/limits", messages_per_second=None)
        listed = await ib.reqContractDetailsAsync(Option("AAPL", await expiry_of(tws), 0, "", "SMART"))
        assert len(listed) == 200
        for one in listed:
            assert one.contract is not None
            ib.reqMktData(one.contract)
        await until(ib, lambda: tws.codes().count(101) == 100)
        assert (await tws.get("/tws/counts"))["limits"] == {"market_data_lines": 100}


async def test_options_survive_a_restart(tmp_path: Path) -> None:
    """What was arranged of options is remembered, and the same moment shows the same quote."""
    async with running_tws(state=tmp_path) as tws:
        await tws.post("/tws/price", symbol="AAPL", bid=99.99, ask=100.01, last=100)
        await tws.post("/tws/volatility", symbol="AAPL", volatility=0.4)
        await tws.post("/tws/dividend", symbol="AAPL")
        expiry = await expiry_of(tws)
        terms: dict[str, Any] = {"symbol": "AAPL", "expiry": expiry, "strike": 105, "right": "C"}
        pinned = await tws.post("/tws/option", **terms, bid=1.64, ask=1.68)
    async with running_tws(state=tmp_path) as tws:
        options, now = tws.world.tws.market.options, tws.clock.now()
        assert options.volatility("AAPL") == 0.4
        assert options.dividends("AAPL") == []
        quote = tws.world.tws.market.quote(pinned["con_id"], now)
        assert (quote.bid, quote.ask) == (Decimal("1.64"), Decimal("1.68"))


def test_starting_costs_no_pricing_library() -> None:
    """The library is loaded by the first option that somebody asks about, not by the start."""
    program = "import sys, sim.world; assert 'QuantLib' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
