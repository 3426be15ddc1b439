"""Options and combinations for tests of the simulated TWS: AAPL fixed at a hundred, four quotes fixed with it, and real clients' contracts."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ib_async import IB, ComboLeg, Contract, LimitOrder, Option, Trade

from sim.tws import chains
from tests.sim.tws_kit import Tws, running_tws, until

HUNDRED: dict[str, Any] = {"symbol": "AAPL", "bid": 99.99, "ask": 100.01, "last": 100}
QUOTES = {
    (100, "C"): (3.55, 3.63),
    (105, "C"): (1.62, 1.70),
    (100, "P"): (3.22, 3.30),
    (95, "P"): (1.29, 1.37),
}
"""Bid and ask by strike and right."""


@dataclass
class Desk:
    """A client with qualified options of one expiry."""

    tws: Tws
    ib: IB
    expiry: str

    async def option(self, strike: float, right: str) -> Option:
        option = Option("AAPL", self.expiry, strike, right, "SMART")
        await self.ib.qualifyContractsAsync(option)
        return option

    async def bag(self, *legs: tuple[int, float, str]) -> Contract:
        """A combination of (ratio as it is to be owned, strike, right); a strike of 0 is the share itself."""
        made = []
        for ratio, strike, right in legs:
            con_id = (await self.option(strike, right)).conId if strike else 265598
            made.append(ComboLeg(con_id, abs(ratio), "BUY" if ratio > 0 else "SELL", "SMART"))
        return bag(made)

    async def position(self, con_id: int) -> tuple[Decimal, Decimal]:
        """Quantity and average cost by the broker's book."""
        held = [one for one in (await self.tws.book())["positions"] if one["con_id"] == con_id]
        return (
            (Decimal(held[0]["quantity"]), Decimal(held[0]["average_cost"]))
            if held
            else (Decimal(0), Decimal(0))
        )

    async def terms(self, strike: float, right: str) -> dict[str, Any]:
        return {"symbol": "AAPL", "expiry": self.expiry, "strike": strike, "right": right}

    async def hold(self, strike: float, right: str, side: str, quantity: int, price: float) -> int:
        """Trade an option in TWS by hand. Returns its con_id."""
        body = await self.terms(strike, right) | {"side": side, "quantity": quantity, "price": price}
        return int((await self.tws.post("/tws/external", **body))["con_id"])

    async def cash(self) -> Decimal:
        return Decimal((await self.tws.book())["cash"]["DU1234567"]["USD"])


def bag(legs: Sequence[ComboLeg]) -> Contract:
    return Contract(secType="BAG", symbol="AAPL", exchange="SMART", currency="USD", comboLegs=list(legs))


@asynccontextmanager
async def trading(weeks: int = 7, client_id: int = 0, **options: Any) -> AsyncIterator[Desk]:
    """A client of a TWS whose AAPL stands at a hundred."""
    async with running_tws(**options) as tws:
        await tws.post("/tws/price", **HUNDRED)
        ib = await tws.connect(client_id)
        ib.RaiseRequestErrors = False
        expiry = f"{chains.expiries(tws.clock.now())[weeks]:%Y%m%d}"
        for (strike, right), (bid, ask) in QUOTES.items():
            await tws.post(
                "/tws/option", symbol="AAPL", expiry=expiry, strike=strike, right=right, bid=bid, ask=ask
            )
        yield Desk(tws, ib, expiry)


async def traded(desk: Desk, contract: Contract, order: LimitOrder, legs: int = 1) -> Trade:
    """An order that is filled, with all commissions."""
    trade = desk.ib.placeOrder(contract, order)
    wanted = legs + (legs > 1)
    await until(
        desk.ib,
        lambda: trade.isDone() and sum(1 for f in trade.fills if f.commissionReport.execId) == legs and len(trade.fills) == wanted,
    )  # fmt: skip
    return trade
