"""Options and combinations traded: fills, legs that add up, commissions, positions, margins, and how options end."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_async import (
    IB,
    ComboLeg,
    Contract,
    ExecutionFilter,
    LimitOrder,
    MarketOrder,
    Order,
    OrderComboLeg,
    OrderState,
    Position,
)

from sim.tws import chains, combos, contracts, optionmargin, pricing
from sim.tws.market import Market
from sim.tws.terms import Leg
from tests.sim.option_kit import Desk, bag, traded, trading
from tests.sim.tws_kit import until

D = Decimal
CALL_SPREAD = ((1, 100, "C"), (-1, 105, "C"))
"""Natural at 3.63 - 1.62 = 2.01, at 1.85 the other way round, 1.93 in the middle."""


async def test_an_option_is_filled_at_the_other_side() -> None:
    """A limit below the ask waits; at it, it trades. A contract counts a hundredfold, in money and in average cost."""
    async with trading() as desk:
        option, before = await desk.option(100, "C"), await desk.cash()
        order = LimitOrder("BUY", 2, 3.62)
        trade = desk.ib.placeOrder(option, order)
        await until(desk.ib, lambda: trade.orderStatus.status == "Submitted")
        assert not trade.fills
        order.lmtPrice = 3.63
        desk.ib.placeOrder(option, order)
        await until(desk.ib, lambda: trade.fills and trade.fills[0].commissionReport.execId)
        [fill] = trade.fills
        assert (fill.contract.secType, fill.contract.strike, fill.contract.right) == ("OPT", 100, "C")
        assert (fill.execution.price, fill.execution.shares, fill.execution.side) == (3.63, 2, "BOT")
        assert fill.commissionReport.commission == 1.30
        assert await desk.position(option.conId) == (D(2), D("363.65"))
        assert before - await desk.cash() == D("727.30")
        await until(desk.ib, lambda: any(held.contract.conId == option.conId for held in desk.ib.positions()))
        [held] = [one for one in desk.ib.positions() if one.contract.conId == option.conId]
        assert (held.position, held.avgCost, held.contract.multiplier) == (2, 363.65, "100")
        assert held.contract.localSymbol == option.localSymbol


async def test_one_contract_costs_a_dollar_at_least() -> None:
    """0.65 a contract, 1.00 an order."""
    async with trading() as desk:
        trade = await traded(desk, await desk.option(100, "C"), LimitOrder("BUY", 1, 4))
        assert trade.fills[0].execution.price == 3.63  # through the ask is filled at the ask
        assert trade.fills[0].commissionReport.commission == 1.0
        sold = await traded(desk, await desk.option(100, "C"), LimitOrder("SELL", 1, 3.50))
        assert sold.fills[0].execution.price == 3.55
        assert sold.fills[0].commissionReport.realizedPNL == pytest.approx(-10.0)


async def test_a_market_order_takes_the_other_side() -> None:
    """As TWS lets it."""
    async with trading() as desk:
        trade = desk.ib.placeOrder(await desk.option(95, "P"), MarketOrder("BUY", 1))
        await until(desk.ib, lambda: trade.fills)
        assert trade.fills[0].execution.price == 1.37


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (LimitOrder("BUY", 1, 0), 110),
        (LimitOrder("BUY", 1, 1.005), 110),
        (Order(action="BUY", totalQuantity=1, orderType="MOC"), 387),
    ],
)
async def test_what_is_no_order_for_an_option(order: Order, code: int) -> None:
    """A price of nothing, a price off the tick, and the closing auction."""
    async with trading() as desk:
        desk.ib.placeOrder(await desk.option(100, "C"), order)
        await until(desk.ib, lambda: code in desk.tws.codes())


async def test_a_combination_is_repriced_into_a_fill() -> None:
    """The middle and less is not enough; a quarter of the way to the other side is. One execution of the whole, then one a leg, then the costs."""
    async with trading() as desk:
        combination, before = await desk.bag(*CALL_SPREAD), await desk.cash()
        order = LimitOrder("BUY", 3, 1.93, orderRef="spread")
        trade = desk.ib.placeOrder(combination, order)
        await until(desk.ib, lambda: trade.orderStatus.status == "Submitted")
        order.lmtPrice = 1.94
        desk.ib.placeOrder(combination, order)
        await desk.ib.reqOpenOrdersAsync()
        assert not trade.fills
        order.lmtPrice = 1.95
        desk.ib.placeOrder(combination, order)
        await until(desk.ib, lambda: len([f for f in trade.fills if f.commissionReport.execId]) == 2)
        whole, first, second = trade.fills
        assert (whole.contract.secType, whole.contract.conId, whole.contract.tradingClass) == (
            "BAG",
            28812380,
            "COMB",
        )
        assert (whole.execution.price, whole.execution.shares, whole.commissionReport.execId) == (1.95, 3, "")
        assert [(f.contract.secType, f.execution.side, f.execution.shares) for f in (first, second)] == [
            ("OPT", "BOT", 3),
            ("OPT", "SLD", 3),
        ]
        assert D(str(first.execution.price)) - D(str(second.execution.price)) == D("1.95")
        assert 3.55 <= first.execution.price <= 3.63
        assert 1.62 <= second.execution.price <= 1.70
        assert {f.execution.permId for f in trade.fills} == {trade.order.permId}
        assert {(f.execution.orderId, f.execution.orderRef) for f in trade.fills} == {
            (order.orderId, "spread")
        }
        stem = whole.execution.execId.removesuffix(".01.01")
        assert [f.execution.execId for f in trade.fills] == [f"{stem}.{n:02d}.01" for n in (1, 2, 3)]
        assert (trade.orderStatus.status, trade.orderStatus.avgFillPrice) == ("Filled", 1.95)
        assert before - await desk.cash() == D("1.95") * 300 + D("0.65") * 6
        assert (await desk.position(first.contract.conId))[0] == 3
        assert (await desk.position(second.contract.conId))[0] == -3


@pytest.mark.parametrize(("improves", "limit", "fills"), [("1", 2.00, False), ("1", 2.01, True), ("0", 1.93, True), ("0.5", 1.96, False)])  # fmt: skip
async def test_how_far_a_limit_must_reach_is_arranged(improves: str, limit: float, fills: bool) -> None:
    """From the middle on, from the other side's prices only, or anything between."""
    async with trading() as desk:
        await desk.tws.post("/tws/fills", improves=improves)
        trade = desk.ib.placeOrder(await desk.bag(*CALL_SPREAD), LimitOrder("BUY", 1, limit))
        await until(desk.ib, lambda: trade.orderStatus.status in {"Submitted", "Filled"})
        await desk.ib.reqOpenOrdersAsync()
        assert trade.isDone() is fills


async def test_a_credit_has_a_price_below_zero() -> None:
    """A combination bought at a credit: limit, fill and average below zero, and money comes in."""
    async with trading() as desk:
        combination, before = await desk.bag((-1, 100, "P"), (1, 95, "P")), await desk.cash()
        trade = await traded(desk, combination, LimitOrder("BUY", 2, -1.85), 2)
        assert trade.orderStatus.avgFillPrice == -1.85  # the natural price: 1.37 - 3.22
        assert trade.fills[0].execution.price == -1.85
        assert await desk.cash() - before == D(370) - D("0.65") * 4


async def test_a_combination_at_zero() -> None:
    """A limit of zero is a limit."""
    async with trading() as desk:
        trade = desk.ib.placeOrder(await desk.bag(*CALL_SPREAD), LimitOrder("BUY", 1, 0))
        await until(desk.ib, lambda: trade.orderStatus.status == "Submitted")
        assert not trade.fills


async def test_a_combination_trades_in_parts() -> None:
    """A third at a time, each part with the executions of all legs; the commission is that of one order."""
    async with trading() as desk:
        await desk.tws.post("/tws/fills", mode="partial")
        trade = await traded_in_parts(desk)
        assert [f.execution.shares for f in trade if f.contract.secType == "BAG"] == [2, 2, 2]
        assert [f.execution.cumQty for f in trade if f.contract.secType == "BAG"] == [2, 4, 6]
        legs = [f for f in trade if f.contract.secType == "OPT"]
        assert len(legs) == 6
        assert sum(f.commissionReport.commission for f in legs) == pytest.approx(12 * 0.65)


async def traded_in_parts(desk: Desk) -> list[Any]:
    trade = desk.ib.placeOrder(await desk.bag(*CALL_SPREAD), LimitOrder("BUY", 6, 2.01))
    await until(desk.ib, lambda: len([f for f in trade.fills if f.commissionReport.execId]) == 6)
    return trade.fills


async def test_a_held_combination_is_filled_by_hand() -> None:
    """With fills on hold nothing happens, until the control port fills a part at a price of its own."""
    async with trading() as desk:
        await desk.tws.post("/tws/fills", mode="hold")
        trade = desk.ib.placeOrder(await desk.bag(*CALL_SPREAD), LimitOrder("BUY", 2, 2.01, orderRef="held"))
        await until(desk.ib, lambda: trade.orderStatus.status == "Submitted")
        await desk.tws.post("/tws/fill", order="held", quantity=1, price=1.90)
        await until(desk.ib, lambda: len(trade.fills) == 3)
        assert D(str(trade.fills[1].execution.price)) - D(str(trade.fills[2].execution.price)) == D("1.90")
        assert trade.orderStatus.status == "Submitted"
        assert trade.remaining() == 1


async def test_shares_and_options_in_one() -> None:
    """A covered call: a hundred shares and a short call, at the price of one share less the premium."""
    async with trading() as desk:
        combination = await desk.bag((100, 0, ""), (-1, 105, "C"))
        trade = await traded(desk, combination, LimitOrder("BUY", 1, 98.39), 2)
        whole, shares, call = trade.fills
        assert whole.execution.price == 98.39
        assert (shares.contract.secType, shares.execution.shares, shares.execution.price) == (
            "STK",
            100,
            100.01,
        )
        assert (call.contract.secType, call.execution.side, call.execution.price) == ("OPT", "SLD", 1.62)


def test_legs_add_up_for_any_ratio() -> None:
    """Whatever the ratios, the legs' prices sum to the net price exactly, are on their ticks and not below zero."""
    market, now = Market(1), datetime(2026, 11, 24, 16, tzinfo=UTC)
    of = contracts.options(now, contracts.BY_ID[265598], f"{chains.expiries(now)[6]:%Y%m%d}", right="C")[
        40:60
    ]
    for ratios in ((1, -1), (1, -2, 1), (2, -3), (3, -2), (1, -1, -1, 1), (3, -5), (-1, 2)):
        legs = [
            Leg(of[3 * n].con_id, abs(ratio), "BUY" if ratio > 0 else "SELL", "SMART")
            for n, ratio in enumerate(ratios)
        ]
        quoted = combos.quote(market, legs, now)
        net = quoted.bid
        while net <= quoted.ask:
            prices = combos.split(market, legs, net, now)
            assert sum(ratio * price for ratio, price in zip(ratios, prices, strict=True)) == net
            assert all(price >= 0 and price % D("0.01") == 0 for price in prices), (ratios, prices)
            net += D("0.01")


@pytest.mark.parametrize(
    ("legs", "code"),
    [
        ([], 314),
        ([(265598, 1, "BUY")], 314),
        ([(265598, 1, "BUY"), (265598, 1, "SELL")], 321),
        ([(265598, 2, "BUY"), (-1, 2, "SELL")], 321),
        ([(265598, 100, "BUY"), (999_999_999, 1, "SELL")], 200),
        ([(265598, 100, "BUY"), (-1, 0, "SELL")], 313),
        ([(272093, 100, "BUY"), (-1, 1, "SELL")], 321),
        ([(12087792, 1, "BUY"), (-1, 1, "SELL")], 313),
    ],
)
async def test_what_is_no_combination(legs: list[tuple[int, int, str]], code: int) -> None:
    """Legs that are missing, unknown, twice there, of no or of reducible ratio, on something else, or no shares; -1 stands for an option."""
    async with trading() as desk:
        call = (await desk.option(105, "C")).conId
        made = [
            ComboLeg(call if con_id < 0 else con_id, ratio, side, "SMART") for con_id, ratio, side in legs
        ]
        desk.ib.placeOrder(bag(made), LimitOrder("BUY", 1, 1))
        await until(desk.ib, lambda: code in desk.tws.codes())
        assert (await desk.tws.book())["orders"] == []


async def test_legs_have_no_prices_of_their_own() -> None:
    """Per-leg prices are refused."""
    async with trading() as desk:
        order = LimitOrder("BUY", 1, 1, orderComboLegs=[OrderComboLeg(3.6), OrderComboLeg(1.6)])
        desk.ib.placeOrder(await desk.bag(*CALL_SPREAD), order)
        await until(desk.ib, lambda: 10058 in desk.tws.codes())


async def test_lists_show_combinations() -> None:
    """Open, completed and executed orders of a combination carry its legs."""
    async with trading() as desk:
        combination = await desk.bag(*CALL_SPREAD)
        waiting = desk.ib.placeOrder(combination, LimitOrder("BUY", 1, 1.5))
        await until(desk.ib, lambda: waiting.orderStatus.status == "Submitted")
        await traded(desk, combination, LimitOrder("BUY", 1, 2.01), 2)
        other = await desk.tws.connect(7)
        [shown] = await other.reqAllOpenOrdersAsync()
        [done] = await other.reqCompletedOrdersAsync(False)
        for one in (shown.contract, done.contract):
            assert (one.secType, one.conId, one.symbol) == ("BAG", 28812380, "AAPL")
            assert [(leg.conId, leg.ratio, leg.action) for leg in one.comboLegs] == [
                (leg.conId, leg.ratio, leg.action) for leg in combination.comboLegs
            ]
        fills = await other.reqExecutionsAsync(ExecutionFilter())
        assert [one.contract.secType for one in fills] == ["BAG", "OPT", "OPT"]
        assert [
            one.contract.secType for one in await other.reqExecutionsAsync(ExecutionFilter(secType="OPT"))
        ] == ["OPT", "OPT"]
        ticker = desk.ib.reqMktData(Contract(**{**vars_of(combination), "conId": 28812380}))
        await until(desk.ib, lambda: (ticker.bid, ticker.ask) == (1.85, 2.01))


def vars_of(contract: Contract) -> dict[str, Any]:
    return {
        name: getattr(contract, name) for name in ("secType", "symbol", "exchange", "currency", "comboLegs")
    }


# -- margins


MARGINS: list[tuple[str, tuple[tuple[int, float, str], ...], float, str, str]] = [
    ("long call", ((1, 100, "C"),), 3.63, "359", "1"),
    ("long put", ((1, 95, "P"),), 1.37, "133", "1"),
    ("call spread", CALL_SPREAD, 2.01, "193", "1.3"),
    ("put credit spread", ((-1, 100, "P"), (1, 95, "P")), -1.85, "307", "1.3"),
    ("cash-secured put", ((-1, 95, "P"),), 1.29, "1500", "1"),
    ("naked call", ((-1, 105, "C"),), 1.62, "1500", "1"),
    ("straddle", ((1, 100, "C"), (1, 100, "P")), 6.93, "685", "1.3"),
    ("short straddle", ((-1, 100, "C"), (-1, 100, "P")), -6.77, "2000", "1.3"),
    ("covered call", ((100, 0, ""), (-1, 105, "C")), 98.39, "5000", "1.65"),
    ("collar", ((100, 0, ""), (1, 95, "P"), (-1, 105, "C")), 99.76, "5133", "2.3"),
]


@pytest.mark.parametrize(("name", "legs", "limit", "margin", "fee"), MARGINS, ids=[row[0] for row in MARGINS])
async def test_what_a_strategy_ties_up(
    name: str, legs: tuple[tuple[int, float, str], ...], limit: float, margin: str, fee: str
) -> None:
    """By what-if: premiums for what is bought, the worst case where it is bounded, a fifth of the price where it is not, half of shares."""
    async with trading() as desk:
        contract = await desk.bag(*legs) if len(legs) > 1 else await desk.option(legs[0][1], legs[0][2])
        side = "SELL" if len(legs) == 1 and legs[0][0] < 0 else "BUY"
        state = await desk.ib.whatIfOrderAsync(contract, LimitOrder(side, 1, limit))
        assert isinstance(state, OrderState)
        assert D(state.initMarginChange) == D(margin)
        assert state.commission == pytest.approx(float(fee))
        if not any(strike == 0 for _, strike, _ in legs):
            assert D(state.maintMarginChange) == D(margin)
        assert (await desk.tws.book())["orders"] == []


LINES = st.lists(
    st.tuples(st.sampled_from(["C", "P"]), st.sampled_from([90, 95, 100, 105, 110]), st.integers(1, 5), st.integers(0, 5)),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(lines=LINES, spot=st.integers(70, 130))
def test_what_is_bounded_is_covered(lines: list[tuple[str, int, int, int]], spot: int) -> None:
    """However options of one expiry are combined: where every short one has a long one, what they tie up is at least the most they can lose."""
    now = datetime(2026, 11, 24, 16, tzinfo=UTC)
    expiry = f"{chains.expiries(now)[5]:%Y%m%d}"
    held: dict[contracts.Instrument, int] = {}
    for right, strike, bought, further in lines:  # so many sold, and as many bought further out or in
        other = strike + 5 * (further - 2) or 5
        for at, quantity in ((strike, -bought), (other, bought)):
            [option] = contracts.options(now, contracts.BY_ID[265598], expiry, D(at), right)
            held[option] = held.get(option, 0) + quantity
    prices = {
        one: D(str(round(pricing.model(spot, float(one.strike), one.right, 0.1, 0.3).value, 2)))
        for one in held
    }
    tied = optionmargin.requirement([(one, D(n), prices[one]) for one, n in held.items()], {265598: D(spot)})
    worth = sum((n * prices[one] for one, n in held.items()), D(0))
    ends = [
        sum(
            (n * D(str(pricing.intrinsic(at, float(one.strike), one.right))) for one, n in held.items()), D(0)
        )
        for at in range(0, 300, 5)
    ]
    assert tied >= 100 * (worth - min(ends))
    assert tied >= 0


async def test_what_no_account_can_bear_is_rejected() -> None:
    """A thousand naked calls: 201, in TWS's words, and nothing is held."""
    async with trading() as desk:
        trade = desk.ib.placeOrder(await desk.option(105, "C"), LimitOrder("SELL", 1_000, 1.62))
        await until(desk.ib, lambda: 201 in desk.tws.codes())
        assert trade.orderStatus.status == "Inactive"


async def test_the_account_knows_of_its_options() -> None:
    """What options are worth is part of what the account is worth, under its own tag, and profit and loss agree."""
    async with trading() as desk:
        option = await desk.option(100, "C")
        before = desk.tws.world.tws.engine.ledger.margin("DU1234567", desk.tws.clock.now())
        await traded(desk, option, LimitOrder("BUY", 2, 3.63))
        after = desk.tws.world.tws.engine.ledger.margin("DU1234567", desk.tws.clock.now())
        assert after.option_value == D(718)
        assert after.cash == before.cash - D("727.30")
        values = {
            value.tag: value.value
            for value in await fresh_values(desk.ib)
            if value.currency in {"USD", "BASE"}
        }
        assert values["OptionMarketValue"] == "718.00"
        single = desk.ib.reqPnLSingle("DU1234567", "", option.conId)
        await until(desk.ib, lambda: single.position == 2)
        assert single.value == pytest.approx(718)
        assert single.unrealizedPnL == pytest.approx(718 - 727.30)


async def fresh_values(ib: IB) -> list[Any]:
    await ib.reqAccountUpdatesAsync("DU1234567")
    return list(ib.accountValues("DU1234567"))


# -- how options end


async def leap(desk: Desk, after: timedelta = timedelta(minutes=1)) -> None:
    """To after the close of the expiry day."""
    closes = chains.closes(
        next(d for d in chains.expiries(desk.tws.clock.now()) if f"{d:%Y%m%d}" == desk.expiry)
    )
    await desk.tws.post("/clock", advance=(closes + after - desk.tws.clock.now()).total_seconds())


ENDS: list[tuple[str, float, str, str, str, float, tuple[str, int] | None]] = [
    ("long call in the money", 95, "C", "BUY", "SLD", 100, ("BOT", 200)),
    ("short call in the money", 95, "C", "SELL", "BOT", 100, ("SLD", 200)),
    ("long put in the money", 105, "P", "BUY", "SLD", 100, ("SLD", 200)),
    ("short put in the money", 105, "P", "SELL", "BOT", 100, ("BOT", 200)),
    ("long call at the money", 100, "C", "BUY", "SLD", 100, None),
    ("short put out of the money", 95, "P", "SELL", "BOT", 100, None),
    ("a cent in the money", 100, "C", "BUY", "SLD", 100.01, ("BOT", 200)),
]


@pytest.mark.parametrize(
    ("name", "strike", "right", "side", "gone", "close", "shares"), ENDS, ids=[row[0] for row in ENDS]
)
async def test_what_becomes_of_an_option_at_its_close(
    name: str, strike: float, right: str, side: str, gone: str, close: float, shares: tuple[str, int] | None
) -> None:
    """It is gone at a price of nothing; a cent in the money moves its shares at the strike; nothing of it belongs to an order."""
    async with trading(weeks=0) as desk:
        option = await desk.hold(strike, right, side, 2, 5)
        held, cash = await desk.position(265598), await desk.cash()
        await desk.tws.post("/tws/price", symbol="AAPL", bid=close - 0.01, ask=close + 0.01, last=close)
        before = len((await desk.tws.book())["executions"])
        await leap(desk)
        made = [one for one in (await desk.tws.book())["executions"] if one["con_id"] in {option, 265598}][1:]
        assert len((await desk.tws.book())["executions"]) - before == len(made)
        told: list[tuple[int, str, float, int]] = [
            (one["con_id"], one["side"], float(one["price"]), int(one["quantity"])) for one in made
        ]
        assert told[0] == (option, gone, 0.0, 2)
        assert (await desk.position(option))[0] == 0
        if shares is None:
            assert len(made) == 1
            assert await desk.cash() == cash
        else:
            assert told[1] == (265598, shares[0], strike, shares[1])
            sign = 1 if shares[0] == "BOT" else -1
            assert (await desk.position(265598))[0] == held[0] + sign * shares[1]
            assert await desk.cash() == cash - sign * shares[1] * D(str(strike))
        assert {(one["order_id"], one["perm_id"], one["ref"]) for one in made} == {(0, 0, "")}
        assert len({one["at"] for one in made}) == 1


async def test_client_zero_hears_of_an_assignment() -> None:
    """Early, by a part: the executions arrive, positions follow, and whoever asks later is told the same."""
    async with trading() as desk:
        option = await desk.hold(95, "P", "SELL", 3, 1.5)
        moved: list[Position] = []
        desk.ib.positionEvent += moved.append
        told = await desk.tws.post("/tws/assign", con_id=option, quantity=1)
        assert [(one["side"], one["price"]) for one in told["executions"]] == [("BOT", "0"), ("BOT", "95.0")]
        await until(desk.ib, lambda: {one.contract.conId for one in moved} >= {option, 265598})
        fills = await desk.ib.reqExecutionsAsync(ExecutionFilter())
        ends = [f for f in fills if f.execution.permId == 0]
        assert [
            (f.contract.secType, f.execution.orderId, f.execution.orderRef, f.execution.price) for f in ends
        ] == [
            ("OPT", 0, "", 0.0),
            ("STK", 0, "", 95.0),
        ]
        assert (await desk.position(option))[0] == -2
        assert (await desk.position(265598))[0] == 140
        await desk.tws.post("/tws/exercise", con_id=option, status=400)
        await desk.tws.post("/tws/assign", con_id=option, quantity=5, status=400)
        assert await desk.tws.fired("assign") == 1


async def test_a_holder_exercises() -> None:
    """By the API: what is held and in the money, or out of it with override; not what is not held."""
    async with trading() as desk:
        option = await desk.option(95, "C")
        await desk.hold(95, "C", "BUY", 2, 6)
        desk.ib.client.exerciseOptions(900, option, 1, 1, "DU1234567", 0)
        await until(
            desk.ib,
            lambda: any(p.contract.conId == 265598 and p.position == 140 for p in desk.ib.positions()),
        )
        assert (await desk.position(option.conId))[0] == 1
        desk.ib.client.exerciseOptions(901, option, 1, 2, "", 0)
        await until(desk.ib, lambda: desk.tws.codes().count(322) == 1)
        await desk.hold(110, "C", "BUY", 1, 0.5)
        out = await desk.option(110, "C")
        desk.ib.client.exerciseOptions(902, out, 1, 1, "", 0)
        await until(desk.ib, lambda: desk.tws.codes().count(322) == 2)
        desk.ib.client.exerciseOptions(903, out, 1, 1, "", 1)
        await until(
            desk.ib,
            lambda: any(p.contract.conId == 265598 and p.position == 240 for p in desk.ib.positions()),
        )


async def test_a_holder_lets_an_option_lapse() -> None:
    """An option that is to lapse is not exercised at its close, however much it is worth."""
    async with trading(weeks=0) as desk:
        option = await desk.option(95, "C")
        await desk.hold(95, "C", "BUY", 1, 6)
        desk.ib.client.exerciseOptions(900, option, 2, 1, "DU1234567", 0)
        await desk.ib.reqCurrentTimeAsync()
        await leap(desk)
        assert (await desk.position(option.conId))[0] == 0
        assert (await desk.position(265598))[0] == 40


async def test_expiry_ends_orders_too() -> None:
    """An order for an option, or with one as a leg, is cancelled when the option is over."""
    async with trading(weeks=0) as desk:
        single = desk.ib.placeOrder(await desk.option(105, "C"), LimitOrder("BUY", 1, 0.01, tif="GTC"))
        whole = desk.ib.placeOrder(await desk.bag(*CALL_SPREAD), LimitOrder("BUY", 1, 0.01, tif="GTC"))
        await until(desk.ib, lambda: {single.orderStatus.status, whole.orderStatus.status} == {"Submitted"})
        await leap(desk)
        await until(desk.ib, lambda: {single.orderStatus.status, whole.orderStatus.status} == {"Cancelled"})


async def test_expiry_is_brought_about_by_hand() -> None:
    """What the close would do, now, for one expiry of one symbol."""
    async with trading() as desk:
        call, put = await desk.hold(95, "C", "SELL", 1, 6), await desk.hold(95, "P", "BUY", 1, 1.4)
        assert (await desk.tws.post("/tws/expire"))["executions"] == []
        made = (await desk.tws.post("/tws/expire", symbol="AAPL", expiry=desk.expiry))["executions"]
        assert [(one["con_id"], one["side"], one["price"]) for one in made] == [
            (call, "BOT", "0"),
            (265598, "SLD", "95.0"),
            (put, "SLD", "0"),
        ]
        assert (await desk.position(265598))[0] == -60


async def test_options_and_combinations_survive_a_kill(tmp_path: Path) -> None:
    """Positions, a working combination and executions are there again, under the same numbers, and the order still trades."""
    async with trading(state=tmp_path) as desk:
        combination = await desk.bag(*CALL_SPREAD)
        await traded(desk, combination, LimitOrder("BUY", 2, 2.01), 2)
        desk.ib.placeOrder(combination, LimitOrder("BUY", 1, 1.5, orderRef="waits", tif="GTC"))
        await until(desk.ib, lambda: len(desk.ib.openTrades()) == 1)
        before = await desk.tws.book()
    async with trading(state=tmp_path) as desk:
        after = await desk.tws.book()
        for part in ("positions", "executions", "orders", "cash"):
            assert after[part] == before[part]
        assert [leg["side"] for leg in (await desk.tws.order("waits"))["legs"]] == ["BUY", "SELL"]
        await desk.tws.post("/tws/fill", order="waits")
        assert (await desk.tws.order("waits"))["status"] == "Filled"


async def test_the_execution_of_a_whole_combination_gets_lost() -> None:
    """An armed fault strikes it like any other; the legs and the broker's book have what is missing."""
    async with trading() as desk:
        await desk.tws.post("/tws/lose", what="execution", count=1)
        trade = desk.ib.placeOrder(await desk.bag(*CALL_SPREAD), LimitOrder("BUY", 1, 2.01))
        await until(desk.ib, lambda: sum(1 for f in trade.fills if f.commissionReport.execId) == 2)
        assert [f.contract.secType for f in trade.fills] == ["OPT", "OPT"]
        kinds = [one["contract"]["type"] for one in (await desk.tws.book())["executions"]]
        assert kinds == ["BAG", "OPT", "OPT"]
        assert await desk.tws.fired("lose_execution") == 1


async def test_a_leg_is_corrected_and_the_whole_is_not() -> None:
    """A correction of a leg has the next revision and moves what that leg cost; that of the whole is refused."""
    async with trading() as desk:
        trade = await traded(desk, await desk.bag(*CALL_SPREAD), LimitOrder("BUY", 1, 2.01), 2)
        whole, bought, _ = (f.execution.execId for f in trade.fills)
        await desk.tws.post("/tws/correct", exec_id=whole, price=2, status=400)
        told = await desk.tws.post("/tws/correct", exec_id=bought, price=3.60)
        assert told["exec_id"] == bought.removesuffix("01") + "02"
        assert (await desk.position(told["con_id"]))[1] == D("360.65")
        [order] = (await desk.tws.book())["orders"]
        assert (order["filled"], order["average"]) == ("1", "2.01")
