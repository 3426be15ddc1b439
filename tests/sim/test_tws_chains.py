"""Options as contracts: chains, numbers that last, and what TWS answers to whole and to vague descriptions."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from ib_async import ComboLeg, Contract, Option, Stock

from sim.tws import chains, contracts, hours
from tests.sim.tws_kit import Tws, running_tws, until


def friday(tws: Tws, weeks: int = 3) -> str:
    """An expiry that is listed, in TWS's form."""
    return f"{chains.expiries(tws.clock.now())[weeks]:%Y%m%d}"


async def test_a_chain_has_its_expiries_and_strikes() -> None:
    """About twenty expiries, sessions all of them, and a hundred strikes on both sides of the price, at each exchange."""
    async with running_tws() as tws:
        ib = await tws.connect()
        found = await ib.reqSecDefOptParamsAsync("AAPL", "", "STK", 265598)
        assert {one.exchange for one in found} == set(contracts.OPTION_EXCHANGES)
        smart = next(one for one in found if one.exchange == "SMART")
        assert (smart.tradingClass, smart.multiplier) == ("AAPL", "100")
        days = [date.fromisoformat(text) for text in smart.expirations]
        assert 18 <= len(days) <= 24
        assert days == sorted(days)
        assert all(hours.is_session(day) for day in days)
        assert {day.weekday() for day in days} <= {3, 4}
        assert days[0] - tws.clock.now().date() < timedelta(8)
        assert days[-1] - days[0] > timedelta(380)
        assert len(smart.strikes) == chains.STRIKES
        assert smart.strikes[0] < 100 < 187.5 < 250 < smart.strikes[-1]
        assert await ib.reqSecDefOptParamsAsync("SPX", "", "IND", 416904) == []


async def test_an_option_is_described_in_full() -> None:
    """Multiplier, class, hours, rule and what it is on, found by its terms, its number or its name; always the same one."""
    async with running_tws() as tws:
        ib = await tws.connect()
        expiry = friday(tws)
        [told] = await ib.reqContractDetailsAsync(Option("AAPL", expiry, 190, "C", "SMART"))
        option = told.contract
        assert option is not None
        assert (option.symbol, option.secType, option.right, option.strike) == ("AAPL", "OPT", "C", 190.0)
        assert (option.lastTradeDateOrContractMonth, option.multiplier, option.tradingClass) == (
            expiry,
            "100",
            "AAPL",
        )
        assert option.localSymbol == f"AAPL  {expiry[2:]}C00190000"
        assert (told.underConId, told.underSymbol, told.underSecType) == (265598, "AAPL", "STK")
        assert (told.contractMonth, told.realExpirationDate, told.minTick) == (expiry[:6], expiry, 0.01)
        assert 1 << 20 < option.conId < 1 << 31
        for other in (Contract(conId=option.conId), Option(localSymbol=option.localSymbol, exchange="SMART")):
            [same] = await ib.reqContractDetailsAsync(other)
            assert same.contract is not None
            assert same.contract.conId == option.conId


@pytest.mark.parametrize(
    ("terms", "count"),
    [
        ({"strike": 190, "right": "C"}, 1),
        ({"strike": 190}, 2),
        ({"right": "P"}, chains.STRIKES),
        ({}, 2 * chains.STRIKES),
        ({"lastTradeDateOrContractMonth": "", "strike": 190, "right": "CALL"}, -1),
        ({"strike": 190.1}, 0),
        ({"right": "X"}, 0),
        ({"lastTradeDateOrContractMonth": "20200103"}, 0),
        ({"multiplier": "10"}, 0),
        ({"symbol": "NOSUCH"}, 0),
    ],
)  # fmt: skip
async def test_a_vague_description_fits_many(terms: dict[str, Any], count: int) -> None:
    """What is left out may be anything; nothing that fits is error 200. -1 stands for one of every expiry."""
    async with running_tws() as tws:
        ib = await tws.connect()
        ib.RaiseRequestErrors = False
        said: dict[str, Any] = {
            "symbol": "AAPL",
            "lastTradeDateOrContractMonth": friday(tws),
            "exchange": "SMART",
        } | terms
        found = await ib.reqContractDetailsAsync(Option(**said))
        assert len(found) == (len(chains.expiries(tws.clock.now())) if count < 0 else count)
        assert (200 in tws.codes()) is (count == 0)


async def test_a_month_stands_for_its_expiries() -> None:
    """YYYYMM finds every expiry of a month."""
    async with running_tws() as tws:
        ib = await tws.connect()
        listed = [f"{day:%Y%m%d}" for day in chains.expiries(tws.clock.now())]
        month = listed[4][:6]
        found = await ib.reqContractDetailsAsync(Option("AAPL", month, 190, "C", "SMART"))
        said = sorted(one.contract.lastTradeDateOrContractMonth for one in found if one.contract)
        assert said == [day for day in listed if day.startswith(month)]


async def test_a_combination_has_no_details() -> None:
    """TWS refuses to describe one, with or without its legs."""
    async with running_tws() as tws:
        ib = await tws.connect()
        ib.RaiseRequestErrors = False
        legs = [ComboLeg(265598, 1, "BUY", "SMART"), ComboLeg(272093, 1, "SELL", "SMART")]
        bag = Contract("BAG", symbol="AAPL", exchange="SMART", currency="USD", comboLegs=legs)
        asked = asyncio.ensure_future(ib.reqContractDetailsAsync(bag))  # 321 does not end it in ib_async
        await until(ib, lambda: 321 in tws.codes())
        asked.cancel()
        assert "'BAG' isn't supported for contract data request" in tws.errors[-1][2]
        assert tws.errors[-1][1] == 321


async def test_an_option_is_over_at_the_close_of_its_last_day() -> None:
    """Until then it is found, from then on it is not, though its number still says what it was."""
    async with running_tws() as tws:
        ib = await tws.connect()
        ib.RaiseRequestErrors = False
        [told] = await ib.reqContractDetailsAsync(Option("AAPL", friday(tws, 0), 190, "C", "SMART"))
        option = told.contract
        assert option is not None
        over = contracts.BY_ID[option.conId].expires
        tws.clock.advance((over - tws.clock.now()).total_seconds() - 60)
        assert len(await ib.reqContractDetailsAsync(Contract(conId=option.conId))) == 1
        tws.clock.advance(120)
        assert await ib.reqContractDetailsAsync(Contract(conId=option.conId)) == []
        assert contracts.BY_ID[option.conId].strike == 190


async def test_a_stranger_number_is_nothing() -> None:
    """A number in the range of options that no strike has is not found."""
    async with running_tws() as tws:
        ib = await tws.connect()
        ib.RaiseRequestErrors = False
        assert await ib.reqContractDetailsAsync(Contract(conId=(1 << 31) - 1)) == []
        assert tws.codes() == [200]
        assert await ib.qualifyContractsAsync(Stock("CRM", "SMART", "USD"))


def test_numbers_are_unique_and_lasting() -> None:
    """Every option that is listed has a number of its own, which says what it is and is no known contract's."""
    now = hours.session(date(2026, 11, 23))[0]
    seen: set[int] = set()
    for on in contracts.OPTIONABLE:
        for option in contracts.options(now, on, right="C") + contracts.options(now, on, right="P"):
            assert contracts.BY_ID[option.con_id] is option
            assert option.underlying == on.con_id
            seen.add(option.con_id)
    assert len(seen) == len(contracts.OPTIONABLE) * len(chains.expiries(now)) * chains.STRIKES * 2
    assert all(chains.FIRST_ID <= one < 1 << 31 for one in seen)
    assert max(one.con_id for one in contracts.INSTRUMENTS) < chains.FIRST_ID
    option = contracts.options(now, contracts.BY_ID[265598], "20261218", Decimal(190), "C")[0]
    assert option.con_id == 1073741824 + ((0 * 2048 + 363) * 1024 + 76) * 2 + 1


@pytest.mark.parametrize(
    ("friday", "expiry"),
    [
        (date(2027, 3, 26), date(2027, 3, 25)),  # Good Friday
        (date(2026, 12, 25), date(2026, 12, 24)),
        (date(2026, 11, 27), date(2026, 11, 27)),  # half a day, but a day
        (date(2027, 6, 18), date(2027, 6, 17)),  # the Nineteenth falls on a Saturday
    ],
)
def test_a_holiday_moves_an_expiry(friday: date, expiry: date) -> None:
    """Options whose Friday is a holiday end on the session day before."""
    now = hours.session(date(2026, 11, 24) if friday.year == 2026 else friday - timedelta(4))[0]
    assert expiry in chains.expiries(now)
    assert (friday in chains.expiries(now)) is (friday == expiry)
    assert chains.closes(date(2026, 11, 27)).hour == 18  # one o'clock in New York
