"""What TWS says about orders and executions, as framed messages by server version; the layouts follow IB's own decoder.

Most of an open order is what the client said, repeated. Those stretches are tables of `name=default`; a default of D or I is
TWS's unset number or integer.
"""

from decimal import Decimal
from typing import NamedTuple

from sim.tws.answers import contract_fields, moment_text, rounded
from sim.tws.book import Execution, Order
from sim.tws.codec import UNSET_DOUBLE, UNSET_INTEGER, message
from sim.tws.money import Preview, fee_currency
from sim.tws.terms import Terms

_NEVER = {"D": UNSET_DOUBLE, "I": UNSET_INTEGER}


class _Stretch(NamedTuple):
    """Fields that repeat what the client said, from one server version up to another."""

    entries: tuple[tuple[str, str], ...]
    since: int = 0
    until: int = 1_000


def _stretch(text: str, since: int = 0, until: int = 1_000) -> _Stretch:
    pairs = (entry.split("=") for entry in text.split())
    return _Stretch(tuple((name, _NEVER.get(default, default)) for name, default in pairs), since, until)


_TIMES = _stretch("outsideRth=0 hidden=0 discretionaryAmt=0 goodAfterTime=")
_ALLOCATION = _stretch("faGroup= faMethod= faPercentage=")
_PROFILE = _stretch("faProfile=", until=176)
_EXTENDED = _stretch(
    "modelCode= goodTillDate= rule80A= percentOffset=D settlingFirm= shortSaleSlot=0 designatedLocation= exemptCode=-1"
)
_STRATEGY = _stretch("auctionStrategy=0")
_BOX = _stretch("startingPrice=D stockRefPrice=D delta=D stockRangeLower=D stockRangeUpper=D displaySize=I")
_BLOCK = _stretch("blockOrder=0")
_SIZES = _stretch("sweepToFill=0 allOrNone=0 minQty=I")
_TRIGGER = _stretch("triggerMethod=0")
_VOLATILITY = _stretch("volatility=D volatilityType=0")
_REFERENCE = _stretch("continuousUpdate=0 referencePriceType=0")
_SCALE = _stretch("scaleInitLevelSize=I scaleSubsLevelSize=I scalePriceIncrement=D")
_SCALE_MORE = _stretch(
    "scalePriceAdjustValue=D scalePriceAdjustInterval=I scaleProfitOffset=D scaleAutoReset=0 scaleInitPosition=I "
    "scaleInitFillQty=I scaleRandomPercent=0"
)
_ROUTING = _stretch("optOutSmartRouting=0")
_CLEARING = _stretch("clearingAccount= clearingIntent=IB notHeld=0")
_SOLICITED = _stretch("solicited=0")
_RANDOM = _stretch("randomizeSize=0 randomizePrice=0")
_PEG_BENCH = _stretch(
    "referenceContractId=0 isPeggedChangeAmountDecrease=0 peggedChangeAmount=0 referenceChangeAmount=0 referenceExchangeId="
)
_CONDITIONS = _stretch("conditionsIgnoreRth=0 conditionsCancelOrder=0")
_ADJUSTED = _stretch("adjustedOrderType=None triggerPrice=D")
_ADJUSTED_MORE = _stretch(
    "lmtPriceOffset=D adjustedStopPrice=D adjustedStopLimitPrice=D adjustedTrailingAmount=D adjustableTrailingUnit=0 "
    "softDollarTierName= softDollarTierVal= softDollarTierDisplay= cashQty=0 dontUseAutoPriceForHedge=0 isOmsContainer=0 "
    "discretionaryUpToLimitPrice=0 usePriceMgmtAlgo=0"
)
_LATER = (
    _stretch("duration=I", since=158),
    _stretch("postToAts=I", since=160),
    _stretch("autoCancelParent=0", since=162),
)
_PEG = _stretch(
    "minTradeQty=I minCompeteSize=I competeAgainstBestOffset=D midOffsetAtWhole=D midOffsetAtHalf=D",
    since=170,
)
_COMPLETED = _stretch("lmtPriceOffset=D cashQty=0 dontUseAutoPriceForHedge=0 isOmsContainer=0")
_AUTO_CANCEL = _stretch("autoCancelParent=0")

# TWS always names a delta-neutral order type ("None"), so the fields of one follow.
_DELTA_NEUTRAL = ("None", UNSET_DOUBLE, 0, "", "", "", "?", 0, 0, "")
_DELTA_NEUTRAL_COMPLETED = ("None", UNSET_DOUBLE, 0, 0, 0, "")
_NO_CONTRACT = 0


class _Writer:
    """Collects the fields of one order for one server version."""

    def __init__(self, version: int, terms: Terms, *values: object) -> None:
        self._version, self._terms = version, terms
        self.values: list[object] = list(values)

    def put(self, *values: object) -> None:
        """Fields that are known here."""
        self.values.extend(values)

    def repeat(self, *stretches: _Stretch) -> None:
        """What the client said, where this version has it."""
        said = self._terms.raw.get
        for entries, since, until in stretches:
            if since <= self._version <= until:
                self.values.extend(said(name, default) for name, default in entries)

    def main(self, account: str) -> None:
        """What every order has."""
        terms, said = self._terms, self._terms.raw.get
        self.put(
            terms.action,
            terms.quantity,
            terms.type,
            terms.limit or 0,
            terms.aux or 0,
            terms.tif,
            terms.oca_group,
        )
        self.put(account, said("openClose", ""), said("origin", "0"), terms.ref)

    def trail(self, stop: Decimal | None) -> None:
        """Where a trailing stop stands, and by how much it trails."""
        percent = self._terms.trail_percent
        self.put(_stop(self._terms, stop), UNSET_DOUBLE if percent is None else percent)

    def combination(self) -> None:
        """Legs, their prices and how they are routed."""
        legs = self._terms.legs
        self.put(
            ",".join(f"{leg.con_id}|{leg.ratio if leg.action == 'BUY' else -leg.ratio}" for leg in legs),
            len(legs),
        )
        for leg in legs:
            self.put(leg.con_id, leg.ratio, leg.action, leg.exchange)
            self.put(leg.open_close, leg.short_sale_slot, leg.location, leg.exempt)
        self.put(len(self._terms.leg_prices), *(price or UNSET_DOUBLE for price in self._terms.leg_prices))
        self.pairs("smartComboRoutingParams")

    def scale_and_hedge(self) -> None:
        """A scale order's steps, a hedge's parameter."""
        said = self._terms.raw.get
        self.repeat(_SCALE)
        if said("scalePriceIncrement"):
            self.repeat(_SCALE_MORE)
        self.put(said("hedgeType", ""))
        if said("hedgeType"):
            self.put(said("hedgeParam", ""))

    def algo(self) -> None:
        """An algorithm with its parameters."""
        strategy = self._terms.raw.get("algoStrategy", "")
        self.put(strategy)
        if strategy:
            self.pairs("algoParams")

    def pairs(self, name: str) -> None:
        """A counted list of tags and values."""
        text = self._terms.raw.get(name, "")
        parts = text.split("\0") if text else []
        self.put(len(parts) // 2, *parts)

    def pegs_and_conditions(self) -> None:
        """What a pegged order is pegged to, and the conditions of a conditional one."""
        if self._terms.type in {"PEG BENCH", "PEGBENCH"}:
            self.repeat(_PEG_BENCH)
        self.put(
            len(self._terms.conditions), *(text for condition in self._terms.conditions for text in condition)
        )
        if self._terms.conditions:
            self.repeat(_CONDITIONS)

    def framed(self) -> bytes:
        """The message."""
        return message(*self.values)


def order_status(order: Order, parent_id: int) -> bytes:
    """Where an order stands."""
    progress = (order.status, order.filled, max(order.remaining, Decimal(0)), rounded(order.average))
    return message(
        3,
        order.order_id,
        *progress,
        order.perm_id,
        parent_id,
        order.last_price,
        order.client_id,
        order.why_held,
        0,
    )


def open_order(version: int, order: Order, parent_id: int) -> bytes:
    """An order as a whole."""
    fee = order.commission
    known = (UNSET_DOUBLE, "") if fee is None else (fee, fee_currency(order.instrument))
    return _open_order(
        version, order, parent_id, (*[UNSET_DOUBLE] * 9, known[0], UNSET_DOUBLE, UNSET_DOUBLE, known[1], "")
    )


def previewed(version: int, order: Order, parent_id: int, preview: Preview, gaps: bool = False) -> bytes:
    """The answer to a what-if order: its margin and commission; with `gaps` nothing of what would be afterwards. No status follows."""
    before, after = preview.before, preview.after
    first = (before.initial, before.maintenance, before.net_liquidation)
    last = (after.initial, after.maintenance, after.net_liquidation)
    change = [new - old for old, new in zip(first, last, strict=True)]
    told = (UNSET_DOUBLE,) * len(last) if gaps else last
    warning = "" if after.available >= 0 else "Your order would exceed the funds available for trading."
    cost = (preview.commission, UNSET_DOUBLE, UNSET_DOUBLE, preview.currency)
    return _open_order(version, order, parent_id, (*first, *change, *told, *cost, warning))


def _open_order(version: int, order: Order, parent_id: int, state: tuple[object, ...]) -> bytes:
    terms = order.terms
    writer = _Writer(
        version, terms, 5, order.order_id, *contract_fields(order.instrument, order.exchange, "?")
    )
    writer.main(order.account)
    writer.put(order.client_id, order.perm_id)
    writer.repeat(_TIMES)
    writer.put("")  # the shares of an allocation, long gone
    writer.repeat(_ALLOCATION, _PROFILE, _EXTENDED, _STRATEGY, _BOX, _BLOCK, _SIZES)
    writer.put(terms.oca_type or 3, 0, 0, UNSET_DOUBLE, parent_id)
    writer.repeat(_TRIGGER, _VOLATILITY)
    writer.put(*_DELTA_NEUTRAL)
    writer.repeat(_REFERENCE)
    writer.trail(order.stop)
    writer.put(UNSET_DOUBLE, UNSET_INTEGER)  # basis points
    writer.combination()
    writer.scale_and_hedge()
    writer.repeat(_ROUTING, _CLEARING)
    writer.put(_NO_CONTRACT)
    writer.algo()
    writer.repeat(_SOLICITED)
    writer.put(terms.what_if, order.status, *state)
    writer.repeat(_RANDOM)
    writer.pegs_and_conditions()
    writer.repeat(_ADJUSTED)
    writer.put(_stop(terms, order.stop))
    writer.repeat(_ADJUSTED_MORE, *_LATER, _PEG)
    return writer.framed()


def completed_order(version: int, order: Order) -> bytes:
    """An order that is done, as the list of completed orders shows it: without order id and client id."""
    terms = order.terms
    writer = _Writer(version, terms, 101, *contract_fields(order.instrument, order.exchange, "?"))
    writer.main(order.account)
    writer.put(order.perm_id)
    writer.repeat(_TIMES, _ALLOCATION, _PROFILE, _EXTENDED, _BOX, _SIZES)
    writer.put(terms.oca_type or 3)
    writer.repeat(_TRIGGER, _VOLATILITY)
    writer.put(*_DELTA_NEUTRAL_COMPLETED)
    writer.repeat(_REFERENCE)
    writer.trail(order.stop)
    writer.combination()
    writer.scale_and_hedge()
    writer.repeat(_CLEARING)
    writer.put(_NO_CONTRACT)
    writer.algo()
    writer.repeat(_SOLICITED)
    writer.put(order.status)
    writer.repeat(_RANDOM)
    writer.pegs_and_conditions()
    writer.put(_stop(terms, order.stop))
    writer.repeat(_COMPLETED)
    writer.put("", order.filled, UNSET_INTEGER)
    writer.repeat(_AUTO_CANCEL)
    writer.put("Not an insider or substantial shareholder", 0, 0, order.parent_perm_id)
    writer.put(moment_text(order.completed or order.created, version), order.completed_text)
    writer.repeat(_PEG)
    return writer.framed()


def _stop(terms: Terms, stop: Decimal | None) -> object:
    price = stop if stop is not None else terms.trail_stop
    return UNSET_DOUBLE if price is None else price


def open_orders_end() -> bytes:
    """No more open orders."""
    return message(53, 1)


def completed_orders_end() -> bytes:
    """No more completed orders."""
    return message(102)


def order_bound(perm_id: int, client_id: int, order_id: int) -> bytes:
    """An order typed into TWS now has an id of a client."""
    return message(100, perm_id, client_id, order_id)


def execution(version: int, request_id: int, fill: Execution) -> bytes:
    """A fill; `request_id` is -1 for one that happens now."""
    values: list[object] = [11, request_id, fill.order_id, *contract_fields(fill.instrument, fill.exchange)]
    values += [
        fill.exec_id,
        moment_text(fill.at, version),
        fill.account,
        fill.exchange,
        fill.side,
        fill.quantity,
        fill.price,
    ]
    values += [
        fill.perm_id,
        fill.client_id,
        0,
        fill.cumulative,
        rounded(fill.average),
        fill.ref,
        "",
        "",
        "",
        2,
    ]
    if version >= 178:
        values.append(False)  # no price revision is pending
    return message(*values)


def executions_end(request_id: int) -> bytes:
    """No more executions."""
    return message(55, 1, request_id)


def commission(fill: Execution) -> bytes:
    """What a fill cost, and what it realized where it closed something."""
    realized = fill.realized or UNSET_DOUBLE
    return message(59, 1, fill.exec_id, fill.commission, fill.currency, realized, UNSET_DOUBLE, "")
