"""The real connection asks the simulated TWS for chains, contracts and markets of options: right, quick, and within the message limit."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

import aiohttp
import pytest

from core.broker import IBBroker
from core.errors import BadInput, NotConnected
from core.model import BrokerEvent, BrokerMessage, Chain, Instrument, LinkChanged, OptionTerms, Right
from sim.tws import contracts
from sim.world import World
from tests.kit import PATIENCE_SECONDS, Control, WorldClock


@dataclass
class Road:
    """The broker's port on a world of its own, and what was heard on it."""

    world: World
    control: Control
    broker: IBBroker
    heard: list[BrokerEvent] = field(default_factory=list)
    links: asyncio.Queue[LinkChanged] = field(default_factory=asyncio.Queue)

    async def find(self, symbol: str = "AAPL") -> tuple[Instrument, Chain]:
        """An underlying and its chain."""
        found = await self.broker.find(symbol)
        return found, await self.broker.chain(found)

    async def options(self, symbol: str = "AAPL", strikes: int = 2) -> list[Instrument]:
        """Calls and puts of so many strikes around the middle of the chain's fourth expiry."""
        underlying, chain = await self.find(symbol)
        found = await self.broker.options(underlying, wishes(chain, strikes))
        return [one for one in found if one is not None]

    async def asked(self, *kinds: str) -> int:
        """How many requests of these kinds the simulated TWS has read."""
        told = (await self.control.get("/tws/counts"))["requests"]
        return sum(told.get(kind, 0) for kind in kinds)

    async def lines(self) -> int:
        """How many streams of prices are open there."""
        return await self.asked("market_data") - await self.asked("cancel_market_data")

    def codes(self) -> list[int]:
        """The broker's error codes so far, without those that say that all is well."""
        told = [event.code for event in self.heard if isinstance(event, BrokerMessage)]
        return [code for code in told if code not in {2104, 2106, 2158}]


def wishes(chain: Chain, strikes: int, expiry: int = 3) -> list[OptionTerms]:
    """Calls and puts of so many strikes around the middle."""
    first = (len(chain.strikes) - strikes) // 2
    return [
        OptionTerms(chain.expiries[expiry], strike, right, chain.multiplier, chain.trading_class)
        for strike in chain.strikes[first : first + strikes]
        for right in Right
    ]


@pytest.fixture
async def road() -> AsyncIterator[Road]:
    """A connected broker, whose events somebody takes."""
    async with World(None, servers=["tws"]) as world, aiohttp.ClientSession() as http:
        clock = WorldClock(world)
        broker = IBBroker(
            host="127.0.0.1", port=world.tws.port, client_id=0, account="", wanted=True, clock=clock
        )
        made = Road(world, Control(http, world.control_url), broker)

        async def listen() -> None:
            while True:
                made.heard.append(await broker.next_event())
                if isinstance(made.heard[-1], LinkChanged):
                    made.links.put_nowait(made.heard[-1])

        tasks = [asyncio.create_task(broker.run()), asyncio.create_task(listen())]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await made.links.get()
            yield made
            assert (await made.control.get("/tws/counts"))["limits"] == {}
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks)


# --- which options there are ------------------------------------------------------------------------------------------


async def test_a_chain_and_its_contracts(road: Road) -> None:
    """A class of shares with a dot in its name, one strike that exists and one that does not."""
    underlying, chain = await road.find("BRK.B")
    assert (chain.con_id, chain.trading_class, chain.multiplier) == (underlying.con_id, "BRKB", Decimal(100))
    assert list(chain.expiries) == sorted(set(chain.expiries))
    assert list(chain.strikes) == sorted(set(chain.strikes))
    [good, *_] = wanted = wishes(chain, 1)
    found = await road.broker.options(underlying, [*wanted, replace(good, strike=Decimal("0.03"))])
    assert [one and one.option for one in found] == [*wanted, None]
    first = found[0]
    assert first is not None
    assert (first.symbol, first.kind, first.multiplier, first.currency) == (
        "BRK.B",
        "OPT",
        Decimal(100),
        "USD",
    )
    assert first.con_id > 0
    assert first.label.startswith(f"BRK.B {good.strike.normalize():f} C ")


async def test_terms_without_a_class_mean_the_standard_one(road: Road) -> None:
    """The same contract is found, and asked for once."""
    underlying, chain = await road.find()
    exact = wishes(chain, 1)
    named = await road.broker.options(underlying, exact)
    vague = await road.broker.options(underlying, [replace(terms, trading_class="") for terms in exact])
    assert vague == named
    assert None not in named


async def test_what_was_asked_is_not_asked_again(road: Road) -> None:
    """A chain, its contracts and what does not exist are known for hours; a page costs two questions and brings every strike."""
    underlying, chain = await road.find()
    wanted = wishes(chain, 8)
    found = await road.broker.options(underlying, wanted)
    assert None not in found
    assert await road.asked("contract_details") == 1 + 2
    assert await road.broker.options(underlying, wanted) == found
    assert None not in await road.broker.options(underlying, wishes(chain, 40))
    assert await road.broker.chain(underlying) == chain
    assert await road.asked("contract_details", "option_parameters") == 1 + 2 + 1


async def test_nothing_is_listed(road: Road) -> None:
    """It is said in a sentence, and is no empty chain."""
    london = next(one for one in contracts.INSTRUMENTS if one.time_zone == "Europe/London")
    underlying = replace(await road.broker.find("AAPL"), con_id=london.con_id, symbol=london.symbol)
    with pytest.raises(BadInput, match="no listed options"):
        await road.broker.chain(underlying)


async def test_no_connection_is_no_empty_chain(road: Road) -> None:
    """Whoever asks while the road is down hears that it is."""
    underlying, chain = await road.find()
    road.broker.want(False)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert not (await road.links.get()).up
    for ask in (
        road.broker.options(underlying, wishes(chain, 1)),
        road.broker.chain(underlying),
        road.broker.dividend(underlying),
        road.broker.option_quotes([underlying], 5, 5),
    ):
        with pytest.raises(NotConnected):
            await ask
