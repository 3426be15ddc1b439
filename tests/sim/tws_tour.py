"""The tour through the simulated TWS with IB's own client: every request it can make, and what the answers must say."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import pairwise
from operator import eq
from typing import Any

import pytest
from ibapi.const import UNSET_DOUBLE
from ibapi.contract import Contract
from ibapi.execution import ExecutionFilter
from ibapi.order import Order
from ibapi.order_cancel import OrderCancel
from ibapi.order_condition import (
    ExecutionCondition,
    MarginCondition,
    PercentChangeCondition,
    PriceCondition,
    TimeCondition,
    VolumeCondition,
)
from ibapi.softdollartier import SoftDollarTier
from ibapi.tag_value import TagValue

from tests.sim.tws_kit import CALM
from tests.sim.tws_oracle import (
    Client,
    Told,
    combination,
    comparable,
    index,
    leg,
    option,
    order,
    pair,
    said,
    stock,
)

Post = Callable[[str, dict[str, Any]], object]
"""The control port: a path and a body."""


def tour(client: Client, post: Post) -> None:
    """Everything the simulated TWS speaks, asked with IB's client, and what it says believed."""
    connection(client)
    instruments(client)
    courtesies(client)
    quotes(client, post)
    bars(client, post)
    real_time(client, post)
    ticks(client, post)
    account(client, post)
    single_orders(client)
    previews(client, post)
    whole_orders(client)
    brackets(client)
    fills_and_lists(client)
    currencies(client)
    indices(client)
    options(client, post)
    nonsense(client)


def connection(client: Client) -> None:
    """Ids, accounts, time and users."""
    client.hear("nextValidId")
    assert client.heard.calls[0] == ("managedAccounts", ("DU1234567",))
    assert client.ask(client.reqIds, 1, until="nextValidId").last("nextValidId") == (1,)
    assert client.ask(client.reqManagedAccts, until="managedAccounts").last("managedAccounts") == (
        "DU1234567",
    )
    assert client.ask(client.reqCurrentTime, until="currentTime").last("currentTime")[0] > 1_600_000_000
    client.setServerLogLevel(2)
    [codes] = client.ask(client.reqFamilyCodes, until="familyCodes").last("familyCodes")
    assert [code.accountID for code in codes] == ["DU1234567"]
    if client.version >= 167:
        assert client.ask(client.reqUserInfo, 1, until="userInfo").last("userInfo") == (1, "")


def instruments(client: Client) -> None:
    """Contract details, a search, a market rule and the first moment there are data of."""
    _, details = client.ask(client.reqContractDetails, 10, stock(), until="contractDetailsEnd").last(
        "contractDetails"
    )
    assert (details.contract.conId, details.contract.primaryExchange) == (265598, "NASDAQ")
    assert (details.longName, details.minTick, details.stockType) == ("APPLE INC", 0.01, "COMMON")
    assert details.timeZoneId == "US/Eastern"
    assert len(details.marketRuleIds.split(",")) == len(details.validExchanges.split(","))
    told = client.ask(client.reqContractDetails, 11, stock("SHOP", kind="STK"), until="contractDetailsEnd")
    assert told.all("contractDetails")
    told = client.ask(client.reqContractDetails, 12, stock("NOSUCH"), until="error")
    assert errors(told) == [(12, 200)]
    _, found = client.ask(client.reqMatchingSymbols, 13, "AAPL", until="symbolSamples").last("symbolSamples")
    assert found[0].contract.conId == 265598
    rule, steps = client.ask(client.reqMarketRule, 26, until="marketRule").last("marketRule")
    assert (rule, [(step.lowEdge, step.increment) for step in steps]) == (26, [(0.0, 0.01)])
    _, since = client.ask(client.reqHeadTimeStamp, 14, stock(), "TRADES", 1, 1, until="headTimestamp").last(
        "headTimestamp"
    )
    assert since == "19900102-14:30:00"
    client.cancelHeadTimeStamp(14)


def quotes(client: Client, post: Post) -> None:
    """Live ticks, delayed ones, a snapshot."""
    told = client.ask(client.reqMktData, 20, stock(), "233", False, False, [], until="tickString")
    assert told.last("tickReqParams")[:2] == (20, 0.01)
    assert told.last("marketDataType") == (20, 1)
    prices = {kind: price for _, kind, price, _ in told.all("tickPrice")}
    assert (prices[1], prices[2], prices[4]) == (150.0, 150.02, 150.01)
    client.hear("tickGeneric", lambda *said: said == (20, 49, 0.0))
    for body, halted in (({"volatility": True}, 2.0), ({}, 1.0), ({"halted": False}, 0.0)):
        told_so = partial(eq, (20, 49, halted))
        client.hear(
            "tickGeneric",
            lambda *said, told_so=told_so: told_so(said),
            post,
            "/tws/halt",
            {"symbol": "AAPL", **body},
        )
    sizes = {kind: size for _, kind, size in told.all("tickSize")}
    assert (sizes[0] >= 100) is (client.version >= 159)  # shares since then, round lots before
    client.hear(
        "tickPrice",
        lambda request, kind, price, _: (request, kind, price) == (20, 2, 150.03),
        post,
        "/tws/price",
        CALM | {"symbol": "AAPL", "ask": 150.03},
    )
    client.cancelMktData(20)
    assert errors(client.ask(client.cancelMktData, 20, until="error")) == [(20, 300)]
    told = client.ask(client.reqMktData, 21, stock("MSFT"), "", True, False, [], until="tickSnapshotEnd")
    assert {1, 2, 4, 6, 7, 9, 14} <= {kind for _, kind, _, _ in told.all("tickPrice")}
    post("/tws/market", {"symbol": "KO", "data": "delayed"})
    client.reqMarketDataType(3)
    told = client.ask(client.reqMktData, 22, stock("KO"), "", True, False, [], until="tickSnapshotEnd")
    assert errors(told) == [(22, 10167)]
    assert told.last("marketDataType") == (22, 3)
    assert {66, 67, 68} <= {kind for _, kind, _, _ in told.all("tickPrice")}
    assert errors(client.ask(client.reqMktData, 23, combination(), "", False, False, [], until="error"))
    generic = "100,101,104,106,165,232,233,236,293,294,295,318,375,411,456,595"
    told = client.ask(
        client.reqMktData, 24, stock("MSFT"), generic, False, False, [],
        until="tickSize", that=lambda number, kind, _: (number, kind) == (24, 65),
    )  # fmt: skip
    texts = {kind: text for _, kind, text in told.all("tickString")}
    assert {48, 77, 59, 32, 33, 84} <= set(texts)
    assert texts[48].count(";") == 5
    assert {15, 16, 17, 18, 19, 20, 37, 57} <= {kind for _, kind, _, _ in told.all("tickPrice")}
    assert {21, 63, 64, 65, 89} <= {kind for _, kind, _ in told.all("tickSize")}
    numbers = {kind: value for _, kind, value in told.all("tickGeneric")}
    assert (numbers[49], numbers[46]) == (0, 3)
    assert 0.05 < numbers[23] < 1
    client.cancelMktData(24)
    for number, asked, snapshot in ((25, "233,999", False), (26, "233", True)):
        told = client.ask(client.reqMktData, number, stock(), asked, snapshot, False, [], until="error")
        assert errors(told) == [(number, 321)]


def courtesies(client: Client) -> None:
    """What other vendors' clients ask when they begin: answered, though there is nothing."""
    assert client.ask(client.reqMktDepthExchanges, until="mktDepthExchanges").last("mktDepthExchanges") == (
        [],
    )
    assert client.ask(client.reqNewsProviders, until="newsProviders").last("newsProviders") == ([],)
    assert client.ask(client.reqSoftDollarTiers, 16, until="softDollarTiers").last("softDollarTiers") == (
        16,
        [],
    )
    _, letters = client.ask(client.reqSmartComponents, 17, "9c0001", until="smartComponents").last(
        "smartComponents"
    )
    assert ("NASDAQ", "Q") in {(one.exchange, one.exchangeLetter) for one in letters}
    assert errors(client.ask(client.reqSmartComponents, 18, "nonsense", until="error")) == [(18, 321)]
    end = "securityDefinitionOptionParameterEnd"
    told = client.ask(client.reqSecDefOptParams, 19, "SPX", "", "IND", 416904, until=end)
    assert told.last(end) == (19,)
    client.reqNewsBulletins(True)
    client.cancelNewsBulletins()


def real_time(client: Client, post: Post) -> None:
    """A bar every five seconds, which is the one that the past shows."""
    client.reqRealTimeBars(32, stock("MSFT"), 5, "TRADES", True, [])
    client.reqRealTimeBars(33, pair(), 5, "MIDPOINT", False, [])
    post("/clock", {"advance": 10})
    heard = client.hear("realtimeBar", lambda number, *_: number == 33).all("realtimeBar")
    _, begun, opened, high, low, close, volume, _, count = next(said for said in heard if said[0] == 32)
    assert (begun % 5, low <= opened <= high, low <= close <= high, volume > 0, count > 0) == (0, *[True] * 4)
    assert next(said for said in heard if said[0] == 33)[6:] == (-1, -1, -1)
    client.cancelRealTimeBars(32)
    client.cancelRealTimeBars(33)
    assert errors(client.ask(client.cancelRealTimeBars, 32, until="error")) == [(32, 300)]
    told = past(client, 34, stock("MSFT"), "60 S", "5 secs", "TRADES", style=2)
    same = {bar.date: (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.barCount) for bar in told}
    assert same[str(begun)] == (opened, high, low, close, volume, count)


def ticks(client: Client, post: Post) -> None:
    """Single ticks of the past and as they come, and how much was traded where."""
    for number, kind, heard in (
        (35, "AllLast", "tickByTickAllLast"),
        (36, "BidAsk", "tickByTickBidAsk"),
        (37, "MidPoint", "tickByTickMidPoint"),
    ):
        client.reqTickByTickData(number, stock("LLY"), kind, 0, True)
        post("/clock", {"advance": 60})
        assert client.hear(heard).last(heard)[0] == number
        client.cancelTickByTickData(number)
    told = client.ask(
        client.reqTickByTickData, 38, stock("MSFT"), "Last", 20, False, until="historicalTicksLast"
    )
    assert len(told.last("historicalTicksLast")[1]) == 20
    client.cancelTickByTickData(38)
    assert errors(client.ask(client.reqTickByTickData, 39, pair(), "Last", 0, False, until="error")) == [
        (39, 10189)
    ]
    moment = "20260304 15:00:00 US/Eastern"
    for what, heard in (
        ("MIDPOINT", "historicalTicks"),
        ("BID_ASK", "historicalTicksBidAsk"),
        ("TRADES", "historicalTicksLast"),
    ):
        told = client.ask(
            client.reqHistoricalTicks, 45, stock("MSFT"), moment, "", 30, what, 1, False, [], until=heard
        )
        number, found, done = told.last(heard)
        assert (number, len(found), done) == (45, 30, True)
        assert all(one.time <= two.time for one, two in pairwise(found))
    _, volumes = client.ask(
        client.reqHistogramData, 46, stock("MSFT"), True, "1 day", until="histogramData"
    ).last("histogramData")
    assert sum(point.size for point in volumes) > 1_000
    client.cancelHistogramData(46)


def currencies(client: Client) -> None:
    """A pair: its description, its prices and bars without trades, and a deal."""
    _, details = client.ask(client.reqContractDetails, 70, pair(), until="contractDetailsEnd").last(
        "contractDetails"
    )
    assert (details.contract.conId, details.contract.localSymbol, details.minTick) == (
        12087792,
        "EUR.USD",
        5e-05,
    )
    assert (details.validExchanges, details.marketRuleIds, details.aggGroup) == ("IDEALPRO", "239", 4)
    rule, steps = client.ask(client.reqMarketRule, 239, until="marketRule").last("marketRule")
    assert (rule, [(step.lowEdge, step.increment) for step in steps]) == (239, [(0.0, 0.00005)])
    assert errors(client.ask(client.reqContractDetails, 71, stock("EUR", kind="CASH"), until="error")) == [
        (71, 200)
    ]
    told = client.ask(client.reqMktData, 72, pair(), "", True, False, [], until="tickSnapshotEnd")
    assert {kind for _, kind, _, _ in told.all("tickPrice")} == {1, 2, 6, 7, 9}
    assert errors(past_refused(client, 73, pair(), "TRADES")) == [(73, 162)]
    for what in ("MIDPOINT", "BID", "ASK", "BID_ASK"):
        bars = past(client, 74, pair(), "1 D", "1 hour", what)
        assert {bar.volume for bar in bars} == {-1}
    bid = past(client, 74, pair(), "1 D", "1 day", "BID")[-1]
    ask = past(client, 74, pair(), "1 D", "1 day", "ASK")[-1]
    assert 0 < ask.low - bid.low < 0.001
    asked = order("MKT", 30_000, orderRef="pair")
    told = client.ask(client.placeOrder, 51, pair(), asked, until="commissionAndFeesReport")
    _, contract, fill = told.last("execDetails")
    assert (contract.localSymbol, fill.exchange, fill.shares) == ("EUR.USD", "IDEALPRO", 30_000)
    [report] = told.last("commissionAndFeesReport")
    assert (report.commissionAndFees, report.currency) == (2.0, "USD")
    told = client.ask(client.placeOrder, 52, pair(), order("LMT", 1_000, lmtPrice=0.5), until="orderStatus")
    assert errors(told) == [(52, 399)]
    told = client.ask(
        client.cancelOrder, 52, OrderCancel(), until="error", that=lambda _, __, code, *___: code == 202
    )
    asked = order("LMT", 30_000, "SELL", lmtPrice=1.01, whatIf=True)
    _, _, _, state = client.ask(client.placeOrder, 53, pair(), asked, until="openOrder").last("openOrder")
    assert (state.commissionAndFees, state.commissionAndFeesCurrency) == (2.0, "USD")
    assert errors(client.ask(client.placeOrder, 54, pair(), order("MOC", 30_000), until="error")) == [
        (54, 387)
    ]
    assert errors(
        client.ask(client.placeOrder, 55, pair(), order("LMT", 30_000, lmtPrice=1.00001), until="error")
    ) == [(55, 110)]
    told = client.ask(client.reqAccountUpdatesMulti, 85, "", "", True, until="accountUpdateMultiEnd")
    figures = {(tag, currency): value for _, _, _, tag, value, currency in told.all("accountUpdateMulti")}
    assert float(figures["CashBalance", "EUR"]) == 30_000
    assert 0.5 < float(figures["ExchangeRate", "EUR"]) < 2
    client.cancelAccountUpdatesMulti(85)
    told = client.ask(
        client.placeOrder, 56, pair(), order("MKT", 30_000, "SELL"), until="commissionAndFeesReport"
    )
    assert told.last("execDetails")[2].side == "SLD"


def indices(client: Client) -> None:
    """An index: a last and nothing to buy; its sessions."""
    _, details = client.ask(client.reqContractDetails, 87, index(), until="contractDetailsEnd").last(
        "contractDetails"
    )
    assert (details.contract.conId, details.timeZoneId, details.orderTypes) == (416904, "US/Central", "")
    _, found = client.ask(client.reqMatchingSymbols, 88, "SPX", until="symbolSamples").last("symbolSamples")
    assert (found[0].contract.secType, "OPT" in found[0].derivativeSecTypes) == ("IND", True)
    told = client.ask(client.reqMktData, 89, index(), "", True, False, [], until="tickSnapshotEnd")
    assert {kind for _, kind, _, _ in told.all("tickPrice")} == {4, 6, 7, 9, 14}
    bars = past(client, 90, index(), "2 D", "30 mins", "TRADES")
    assert {(bar.volume, bar.wap) for bar in bars} == {(0, 0)}
    assert all(bar.barCount > 0 for bar in bars)
    assert errors(past_refused(client, 91, index(), "MIDPOINT")) == [(91, 162)]
    assert errors(client.ask(client.placeOrder, 57, index(), order("MKT"), until="error")) == [(57, 387)]
    assert past(client, 93, index(), "1 M", "1 day", "HISTORICAL_VOLATILITY")[-1].close > 0.03
    if client.version >= 165:
        asked: tuple[Any, ...] = (94, index(), "", "5 D", "1 day", "SCHEDULE", 1, 1, False, [])
        told = client.ask(client.reqHistoricalData, *asked, until="historicalSchedule")
        _, _, _, zone, sessions = told.last("historicalSchedule")
        assert (zone, sessions[-1].startDateTime[9:]) == ("US/Central", "08:30:00")


def bars(client: Client, post: Post) -> None:
    """Bars of a day and of an hour, in both ways to write a time, and their updates."""
    told = client.ask(
        client.reqHistoricalData,
        30,
        stock(),
        "",
        "5 D",
        "1 day",
        "TRADES",
        1,
        1,
        False,
        [],
        until="historicalDataEnd",
    )
    daily = [bar for _, bar in told.all("historicalData")]
    assert daily
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in daily)
    assert all(bar.volume >= 0 and bar.barCount > 0 and bar.low <= bar.wap <= bar.high for bar in daily)
    told = client.ask(
        client.reqHistoricalData,
        31,
        stock(),
        "",
        "2 D",
        "1 hour",
        "MIDPOINT",
        0,
        2,
        True,
        [],
        until="historicalDataEnd",
    )
    assert all(bar.date.isdigit() for _, bar in told.all("historicalData"))
    client.hear(
        "historicalDataUpdate",
        None,
        post,
        "/tws/price",
        CALM | {"symbol": "AAPL", "bid": 150.9, "ask": 151.1, "last": 151.0},
    )
    client.cancelHistoricalData(31)
    post("/tws/price", CALM | {"symbol": "AAPL"})


def account(client: Client, post: Post) -> None:
    """Positions, figures, summary, profit and loss: once and for a request of their own."""
    told = client.ask(client.reqPositions, until="positionEnd")
    held = {contract.symbol: (where, size) for where, contract, size, _ in told.all("position")}
    assert held["AAPL"] == ("DU1234567", 40)
    client.cancelPositions()
    told = client.ask(client.reqPositionsMulti, 40, "DU1234567", "", until="positionMultiEnd")
    assert {contract.symbol: size for _, _, _, contract, size, _ in told.all("positionMulti")}["AAPL"] == 40
    client.cancelPositionsMulti(40)
    told = client.ask(client.reqAccountUpdates, True, "", until="accountDownloadEnd")
    values = {(tag, currency): value for tag, value, currency, _ in told.all("updateAccountValue")}
    assert float(values["NetLiquidation", "USD"]) > 100_000
    shown = {contract.symbol: (size, price) for contract, size, price, *_ in told.all("updatePortfolio")}
    assert shown["AAPL"] == (40, 150.01)
    assert told.last("updateAccountTime")
    client.reqAccountUpdates(False, "")
    told = client.ask(client.reqAccountUpdatesMulti, 41, "", "", False, until="accountUpdateMultiEnd")
    assert {said[3] for said in told.all("accountUpdateMulti")} >= {"NetLiquidation", "BuyingPower"}
    client.cancelAccountUpdatesMulti(41)
    told = client.ask(
        client.reqAccountSummary, 42, "All", "NetLiquidation,$LEDGER:ALL", until="accountSummaryEnd"
    )
    assert told.all("accountSummary")[0][:3] == (42, "DU1234567", "NetLiquidation")
    client.cancelAccountSummary(42)
    told = client.ask(client.reqPnL, 43, "DU1234567", "", until="pnl")
    assert all(isinstance(value, float) for value in told.last("pnl")[1:])
    client.hear("pnl", lambda *said: set(said[1:]) == {UNSET_DOUBLE}, post, "/tws/pnl", {"mode": "unset"})
    client.hear("pnl", lambda *said: abs(said[1]) < 1e6, post, "/tws/pnl", {"mode": "known"})
    client.cancelPnL(43)
    told = client.ask(client.reqPnLSingle, 44, "DU1234567", "", 265598, until="pnlSingle")
    assert told.last("pnlSingle")[1] == 40
    client.cancelPnLSingle(44)


def single_orders(client: Client) -> None:
    """Each order type: what is told of it, a change, a cancel, a question what it would do."""
    told = place(client, 1, order("MKT", 10, orderRef="market"), until="commissionAndFeesReport")
    assert [status for _, status, *_ in told.all("orderStatus")] == ["PreSubmitted", "Filled", "Filled"]
    request, contract, fill = told.last("execDetails")
    assert (request, contract.symbol, fill.side, fill.shares, fill.price) == (-1, "AAPL", "BOT", 10, 150.02)
    assert (fill.orderId, fill.clientId, fill.acctNumber, fill.orderRef) == (1, 0, "DU1234567", "market")
    assert (fill.cumQty, fill.avgPrice, fill.lastLiquidity, fill.pendingPriceRevision) == (
        10,
        150.02,
        2,
        False,
    )
    [report] = told.last("commissionAndFeesReport")
    assert (report.execId, report.commissionAndFees, report.currency) == (fill.execId, 1.0, "USD")
    place(client, 2, order("LMT", lmtPrice=100.5, orderRef="limit"))
    place(client, 3, order("STP", auxPrice=180.0, tif="GTC"), why="trigger")
    place(client, 4, order("STP LMT", auxPrice=180.0, lmtPrice=181.0, outsideRth=True), why="trigger")
    place(client, 5, order("TRAIL", 5, "SELL", trailingPercent=5.0, trailStopPrice=142.0), why="trigger")
    place(
        client,
        6,
        order("TRAIL LIMIT", 5, "SELL", auxPrice=8.0, trailStopPrice=142.0, lmtPriceOffset=0.1),
        why="trigger",
    )
    place(client, 7, order("MIT", auxPrice=90.0), why="trigger")
    place(client, 8, order("LIT", auxPrice=90.0, lmtPrice=91.0), why="trigger")
    place(client, 9, order("MOC", 3))
    place(client, 10, order("LOC", 3, lmtPrice=120.0))
    changed = place(client, 2, order("LMT", lmtPrice=101.25, orderRef="limit", totalQuantity=Decimal(6)))
    assert changed.last("orderStatus")[1:4] == ("Submitted", 0, 6)
    for wanted in (2, 3):
        told = client.ask(client.cancelOrder, wanted, OrderCancel(), until="error")
        assert (told.last("orderStatus")[:2], errors(told)) == ((wanted, "Cancelled"), [(wanted, 202)])
    asked = order("LMT", 100, lmtPrice=150.0, whatIf=True)
    number, _, shown, state = client.ask(client.placeOrder, 11, stock(), asked, until="openOrder").last(
        "openOrder"
    )
    assert (number, shown.whatIf, state.status, state.commissionAndFees) == (11, True, "PreSubmitted", 1.0)
    assert float(state.initMarginAfter) - float(state.initMarginBefore) == float(state.initMarginChange) > 0


def previews(client: Client, post: Post) -> None:
    """What an order would do, with figures that are left out."""
    asked = order("LMT", 100, lmtPrice=150.0, whatIf=True)
    for fault, after, change in (
        ("what_if_gaps", True, False),
        ("what_if_unset", True, True),
        ("", False, False),
    ):
        if fault:
            post(f"/tws/{fault}", {"count": 1})
        _, _, shown, state = client.ask(client.placeOrder, 12, stock(), asked, until="openOrder").last(
            "openOrder"
        )
        told = [float(value) == UNSET_DOUBLE for value in (state.equityWithLoanAfter, state.initMarginChange)]
        assert (shown.whatIf, told) == (True, [after, change])


def whole_orders(client: Client) -> None:
    """Every block of fields that an order may have, there and back."""
    limit = partial(order, "LMT", 3, lmtPrice=90.0)
    place(client, 20, limit(algoStrategy="Adaptive", algoParams=[TagValue("adaptivePriority", "Normal")]))
    place(
        client,
        21,
        limit(
            scaleInitLevelSize=1, scaleSubsLevelSize=1, scalePriceIncrement=0.5, scalePriceAdjustValue=0.1, scalePriceAdjustInterval=5,
            scaleProfitOffset=0.2, scaleAutoReset=True, scaleInitPosition=1, scaleInitFillQty=1, scaleRandomPercent=True,
        ),
    )  # fmt: skip
    place(client, 22, limit(hedgeType="B", hedgeParam="0.5"))
    place(client, 23, limit(conditions=conditions(), conditionsIgnoreRth=True, conditionsCancelOrder=True))
    many = limit(
        ocaGroup="group", ocaType=2, openClose="O", orderRef="many", blockOrder=True, sweepToFill=True, displaySize=1, triggerMethod=2,
        hidden=True, discretionaryAmt=0.05, faGroup="g", faMethod="m", faPercentage="50", modelCode="model", rule80A="I",
        settlingFirm="firm", allOrNone=True, minQty=1, percentOffset=0.1, startingPrice=1.0, stockRefPrice=2.0, delta=0.5,
        stockRangeLower=1.5, stockRangeUpper=2.5, continuousUpdate=True, referencePriceType=1, volatility=0.3, volatilityType=1, optOutSmartRouting=True,
        clearingAccount="clear", clearingIntent="Away", notHeld=True, solicited=True, randomizeSize=True, randomizePrice=True,
        adjustedOrderType="STP", triggerPrice=95.0, adjustedStopPrice=94.0, adjustedStopLimitPrice=93.0, adjustedTrailingAmount=2.0,
        adjustableTrailingUnit=1, softDollarTier=SoftDollarTier("tier", "7"), cashQty=5.0, dontUseAutoPriceForHedge=True, isOmsContainer=True,
        discretionaryUpToLimitPrice=True, usePriceMgmtAlgo=True, shortSaleSlot=2, designatedLocation="here", exemptCode=1, auctionStrategy=1,
    )  # fmt: skip
    if client.version >= 158:
        many.duration = 60
    if client.version >= 160:
        many.postToAts = 4
    if client.version >= 162:
        many.autoCancelParent = True
    place(client, 24, many)
    for number, asked, contract in (
        (25, pegged(), stock()),
        (26, limit(smartComboRoutingParams=[TagValue("NonGuaranteed", "1")]), combination()),
    ):
        assert errors(
            client.ask(client.placeOrder, number, contract, asked, until="error")
        )  # read to the end, and not traded here
    if client.version >= 170:
        for number, kind in ((27, "PEG BEST"), (28, "PEG MID")):
            asked = order(
                kind,
                3,
                lmtPrice=90.0,
                minTradeQty=1,
                minCompeteSize=1,
                midOffsetAtWhole=0.01,
                midOffsetAtHalf=0.02,
                competeAgainstBestOffset=float("inf"),
            )
            assert errors(
                client.ask(client.placeOrder, number, stock(exchange="IBKRATS"), asked, until="error")
            )


def brackets(client: Client) -> None:
    """Nothing is told before the order that transmits; then parent and children know of each other."""
    client.placeOrder(40, stock(), order("LMT", lmtPrice=90.0, transmit=False))
    client.placeOrder(41, stock(), order("LMT", 5, "SELL", lmtPrice=190.0, parentId=40, transmit=False))
    told = place(
        client, 42, order("STP", 5, "SELL", auxPrice=80.0, parentId=40, tif="GTC"), why="child,trigger"
    )
    shown = {number: made for number, _, made, _ in told.all("openOrder")}
    assert {number: made.parentId for number, made in shown.items()} == {40: 0, 41: 40, 42: 40}
    assert shown[41].ocaGroup == shown[42].ocaGroup == str(shown[40].permId)
    assert [status[9] for status in told.all("orderStatus")] == ["", "child", "child,trigger"]
    told = client.ask(
        client.cancelOrder, 40, OrderCancel(), until="error", that=lambda number, *_: number == 42
    )
    assert errors(told) == [(40, 202), (41, 202), (42, 202)]


def fills_and_lists(client: Client) -> None:
    """What is open, executed and done; orders typed by hand; the end of all orders."""
    told = client.ask(client.reqExecutions, 50, ExecutionFilter(), until="execDetailsEnd")
    assert [(number, fill.shares) for number, _, fill in told.all("execDetails")] == [(50, 10)]
    assert len(told.all("commissionAndFeesReport")) == 1
    told = client.ask(client.reqAutoOpenOrders, True, until="orderBound")
    perm_id, owner, number = told.last("orderBound")
    assert (owner, number < 0, perm_id > 0) == (0, True, True)
    mine = {number for number, *_ in client.ask(client.reqOpenOrders, until="openOrderEnd").all("openOrder")}
    assert {4, 5, 20, 24} <= mine
    told = client.ask(client.reqAllOpenOrders, until="openOrderEnd")
    [(_, _, made, _)] = [shown for shown in told.all("openOrder") if shown[0] == number]
    assert (made.permId, made.action, made.totalQuantity) == (perm_id, "SELL", 2)
    left = {shown[0] for shown in told.all("openOrder")}

    def gone(cancelled: int, *_: object) -> bool:
        left.discard(cancelled)
        return not left

    told = client.ask(client.reqGlobalCancel, OrderCancel(), until="error", that=gone)
    assert {code for _, code in errors(told)} == {202}
    told = client.ask(client.reqCompletedOrders, False, until="completedOrdersEnd")
    done = {made.orderRef: (contract, made, state) for contract, made, state in told.all("completedOrder")}
    contract, made, state = done["market"]
    assert (contract.symbol, made.totalQuantity, made.filledQuantity, state.status) == (
        "AAPL",
        10,
        10,
        "Filled",
    )
    assert (state.completedStatus, bool(state.completedTime), made.permId > 0) == (
        "Filled Size: 10",
        True,
        True,
    )
    _, made, state = done["many"]
    assert (state.status, made.volatility, made.softDollarTier.name) == ("Cancelled", 0.3, "")
    conditional = next(one for _, one, _ in told.all("completedOrder") if one.conditions)
    assert comparable(conditional.conditions) == comparable(conditions())


def options(client: Client, post: Post) -> None:
    """A chain, an option with its quotes and Greeks, orders for it and for a combination, what is held of them, and an exercise."""
    told = client.ask(
        client.reqSecDefOptParams,
        300,
        "AAPL",
        "",
        "STK",
        265598,
        until="securityDefinitionOptionParameterEnd",
    )
    classes = told.all("securityDefinitionOptionParameter")
    _, _, on, trading_class, multiplier, expiries, strikes = next(one for one in classes if one[1] == "SMART")
    assert (on, trading_class, multiplier) == (265598, "AAPL", "100")
    expiry = sorted(expiries)[5]
    assert 150.0 in strikes
    found = []
    for number, strike in ((301, 150.0), (302, 155.0)):
        asked = option(expiry, strike, "C")
        _, details = client.ask(client.reqContractDetails, number, asked, until="contractDetailsEnd").last(
            "contractDetails"
        )
        shown = details.contract
        assert (shown.lastTradeDateOrContractMonth, shown.strike, shown.right) == (expiry, strike, "C")
        assert (details.underConId, details.underSymbol, details.realExpirationDate) == (
            265598,
            "AAPL",
            expiry,
        )
        assert len(details.marketRuleIds.split(",")) == len(details.validExchanges.split(","))
        found.append(shown)
    client.reqMarketDataType(1)
    told = client.ask(
        client.reqMktData, 303, found[0], "100,101,106,456", False, False, [],
        until="tickString", that=lambda number, kind, _: (number, kind) == (303, 59),
    )  # fmt: skip
    computed = {said[1]: said for said in told.all("tickOptionComputation")}
    assert {10, 11, 12, 13} <= computed.keys()
    _, _, _, volatility, delta, price, dividends, gamma, vega, theta, spot = computed[13]
    assert volatility == pytest.approx(0.254)
    assert 0 < delta < 1 < price
    assert min(gamma, vega, -theta) > 0
    assert (dividends is not None, spot) == (True, 150.01)
    assert {27, 28, 29, 30} <= {kind for _, kind, _ in told.all("tickSize")}
    client.cancelMktData(303)
    combination_orders(client, post, found)


def combination_orders(client: Client, post: Post, found: list[Contract]) -> None:
    """Orders for one option and for a spread of two, from the preview to the list of what is done."""
    told = client.ask(
        client.placeOrder, 304, found[0], order("LMT", 1, lmtPrice=50.0), until="commissionAndFeesReport"
    )
    _, contract, fill = told.last("execDetails")
    assert (contract.secType, contract.strike, contract.multiplier, fill.shares) == ("OPT", 150.0, "100", 1)
    spread = stock(kind="BAG")
    spread.comboLegs = [leg(one.conId, side) for one, side in zip(found, ("BUY", "SELL"), strict=True)]
    assert errors(client.ask(client.reqContractDetails, 305, spread, until="error")) == [(305, 321)]
    told = client.ask(
        client.reqMktData,
        306,
        spread,
        "",
        False,
        False,
        [],
        until="tickPrice",
        that=lambda _, kind, *__: kind == 2,
    )
    client.cancelMktData(306)
    asked = order("LMT", 2, lmtPrice=-1.5, whatIf=True)
    _, shown, _, state = client.ask(client.placeOrder, 307, spread, asked, until="openOrder").last(
        "openOrder"
    )
    assert (shown.conId, shown.tradingClass, state.commissionAndFees) == (28812380, "COMB", 2.6)
    told = client.ask(
        client.placeOrder, 308, spread, order("LMT", 2, lmtPrice=-1.5, orderRef="spread"), until="orderStatus"
    )
    _, shown, made, _ = told.last("openOrder")
    assert (shown.secType, made.lmtPrice) == ("BAG", -1.5)
    assert [(one.conId, one.ratio, one.action) for one in shown.comboLegs] == [
        (one.conId, 1, side) for one, side in zip(found, ("BUY", "SELL"), strict=True)
    ]
    told = client.hear(
        "commissionAndFeesReport", lambda said: said.execId.endswith(".03.01"), post, "/tws/fill", {"order": "spread", "price": 2}
    )  # fmt: skip
    kinds = [(contract.secType, fill.side, fill.shares) for _, contract, fill in told.all("execDetails")]
    assert kinds == [("BAG", "BOT", 2), ("OPT", "BOT", 2), ("OPT", "SLD", 2)]
    told = client.ask(client.reqCompletedOrders, False, until="completedOrdersEnd")
    [done] = [made for contract, made, _ in told.all("completedOrder") if contract.secType == "BAG"]
    assert (done.filledQuantity, done.lmtPrice) == (2, -1.5)
    held = client.ask(client.reqPositions, until="positionEnd").all("position")
    assert {contract.strike: quantity for _, contract, quantity, _ in held if contract.secType == "OPT"} == {
        150.0: 3,
        155.0: -2,
    }
    told = client.ask(
        client.exerciseOptions, 309, found[0], 1, 1, "DU1234567", 1, "", "", False,
        until="execDetails", that=lambda _, contract, __: contract.secType == "STK",
    )  # fmt: skip
    closed, bought = told.all("execDetails")
    assert (closed[2].price, closed[2].side, closed[2].permId) == (0.0, "SLD", 0)
    assert (bought[2].price, bought[2].shares, bought[2].orderRef) == (150.0, 100, "")
    client.hear("commissionAndFeesReport")


def nonsense(client: Client) -> None:
    """Errors: what cannot be cancelled, bought, or understood."""
    assert errors(client.ask(client.cancelOrder, 77, OrderCancel(), until="error")) == [(77, 10147)]
    assert errors(client.ask(client.cancelOrder, 1, OrderCancel(), until="error")) == [(1, 10148)]
    told = client.ask(client.placeOrder, 360, stock(), order("MKT", 1_000_000), until="orderStatus")
    assert (told.last("orderStatus")[1], errors(told)) == ("Inactive", [(360, 201)])
    assert errors(client.ask(client.placeOrder, 361, stock("NOSUCH"), order("MKT"), until="error")) == [
        (361, 200)
    ]
    assert errors(
        client.ask(client.placeOrder, 362, stock(), order("LMT", lmtPrice=1.001), until="error")
    ) == [(362, 110)]
    assert errors(client.ask(client.reqMarketDataType, 9, until="error")) == [(-1, 321)]
    assert errors(client.ask(client.reqScannerParameters, until="error")) == [(-1, 506)]


# -- on the way


def past(
    client: Client, number: int, contract: Any, duration: str, size: str, what: str, style: int = 1
) -> list[Any]:
    """Bars of the past."""
    asked: tuple[Any, ...] = (number, contract, "", duration, size, what, 1, style, False, [])
    told = client.ask(client.reqHistoricalData, *asked, until="historicalDataEnd")
    return [bar for _, bar in told.all("historicalData")]


def past_refused(client: Client, number: int, contract: Any, what: str) -> Told:
    """A question about a past that there is not."""
    asked: tuple[Any, ...] = (number, contract, "", "1 D", "1 hour", what, 1, 1, False, [])
    return client.ask(client.reqHistoricalData, *asked, until="error")


def place(client: Client, number: int, asked: Order, until: str = "orderStatus", why: str = "") -> Told:
    """Place or change an order, and find in what is told of it all that was said."""
    contract = stock()
    told = client.ask(
        client.placeOrder,
        number,
        contract,
        asked,
        until=until,
        that=lambda first, *_: until != "orderStatus" or first == number,
    )
    told_number, told_contract, made, state = [
        shown for shown in told.all("openOrder") if shown[0] == number
    ][-1]
    assert (told_number, told_contract.conId, told_contract.symbol) == (number, 265598, contract.symbol)
    assert (made.orderId, made.clientId, made.account) == (number, client.clientId, "DU1234567")
    wanted = {name: value for name, value in said(asked).items() if name not in {"transmit", "permId"}}
    shown = {name: comparable(getattr(made, name)) for name in wanted}
    assert shown == wanted
    _, status, _, _, _, perm_id, _, _, owner, held, _ = (
        told.last("orderStatus") if until == "orderStatus" else told.all("orderStatus")[-1]
    )
    assert (perm_id, owner, held, status) == (made.permId, client.clientId, why, state.status)
    return told


def pegged() -> Order:
    """An order pegged to a benchmark, which has five more fields."""
    return order(
        "PEG BENCH",
        3,
        lmtPrice=90.0,
        referenceContractId=265598,
        peggedChangeAmount=0.1,
        referenceChangeAmount=0.2,
        referenceExchangeId="NASDAQ",
    )


def conditions() -> list[Any]:
    """One condition of each kind."""
    return [
        PriceCondition(2, 265598, "SMART", True, 200.0),
        TimeCondition(True, "20300101 12:00:00 US/Eastern"),
        MarginCondition(False, 30.0),
        ExecutionCondition("STK", "SMART", "KO"),
        VolumeCondition(265598, "SMART", True, 1_000_000),
        PercentChangeCondition(265598, "SMART", True, 5.0).Or(),
    ]


def errors(told: Told) -> list[tuple[int, int]]:
    """Errors by request and code, without those that say that all is well."""
    return [(number, code) for number, _, code, *_ in told.all("error") if code not in {2104, 2106, 2158}]
