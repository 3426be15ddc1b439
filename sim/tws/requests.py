"""What clients ask of TWS: every request as a value, read from its fields by server version.

The layouts are a table. Whatever has a field too many or too few is refused, for that is how a mistake in a layout shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sim.tws.codec import Reader, WireError, decimal, fields, whole
from sim.tws.terms import Contract, Leg, terms


class Request(NamedTuple):
    """A request by name with its arguments, and the id under which errors about it are reported (-1 where it has none)."""

    name: str
    id: int
    arguments: Mapping[str, Any]


class BadRequest(WireError):
    """A request that could not be read, with the id under which to say so."""

    def __init__(self, request_id: int, reason: str) -> None:
        super().__init__(reason)
        self.request_id = request_id


class UnknownRequest(WireError):
    """A request of a type that is not spoken here."""


# The fields of placeOrder by their API names, in the order in which they come; what is conditional stands in _place_order.
_MAIN = [
    "action",
    "totalQuantity",
    "orderType",
    "lmtPrice",
    "auxPrice",
    "tif",
    "ocaGroup",
    "account",
    "openClose",
    "origin",
    "orderRef",
    "transmit",
    "parentId",
    "blockOrder",
    "sweepToFill",
    "displaySize",
    "triggerMethod",
    "outsideRth",
    "hidden",
]
_ALLOCATION = [
    "sharesAllocation",
    "discretionaryAmt",
    "goodAfterTime",
    "goodTillDate",
    "faGroup",
    "faMethod",
    "faPercentage",
]
_EXTENDED = [
    "modelCode",
    "shortSaleSlot",
    "designatedLocation",
    "exemptCode",
    "ocaType",
    "rule80A",
    "settlingFirm",
    "allOrNone",
    "minQty",
    "percentOffset",
    "eTradeOnly",
    "firmQuoteOnly",
    "nbboPriceCap",
    "auctionStrategy",
    "startingPrice",
    "stockRefPrice",
    "delta",
    "stockRangeLower",
    "stockRangeUpper",
    "overridePercentageConstraints",
    "volatility",
    "volatilityType",
    "deltaNeutralOrderType",
    "deltaNeutralAuxPrice",
]
_DELTA_NEUTRAL = [
    "deltaNeutralConId",
    "deltaNeutralSettlingFirm",
    "deltaNeutralClearingAccount",
    "deltaNeutralClearingIntent",
    "deltaNeutralOpenClose",
    "deltaNeutralShortSale",
    "deltaNeutralShortSaleSlot",
    "deltaNeutralDesignatedLocation",
]
_TRAIL_AND_SCALE = [
    "continuousUpdate",
    "referencePriceType",
    "trailStopPrice",
    "trailingPercent",
    "scaleInitLevelSize",
    "scaleSubsLevelSize",
    "scalePriceIncrement",
]
_SCALE = [
    "scalePriceAdjustValue",
    "scalePriceAdjustInterval",
    "scaleProfitOffset",
    "scaleAutoReset",
    "scaleInitPosition",
    "scaleInitFillQty",
    "scaleRandomPercent",
]
_CLEARING = ["optOutSmartRouting", "clearingAccount", "clearingIntent", "notHeld"]
_MISC = ["algoId", "whatIf", "orderMiscOptions", "solicited", "randomizeSize", "randomizePrice"]
_PEG_BENCH = [
    "referenceContractId",
    "isPeggedChangeAmountDecrease",
    "peggedChangeAmount",
    "referenceChangeAmount",
    "referenceExchangeId",
]
_ADJUSTED = [
    "adjustedOrderType",
    "triggerPrice",
    "lmtPriceOffset",
    "adjustedStopPrice",
    "adjustedStopLimitPrice",
    "adjustedTrailingAmount",
    "adjustableTrailingUnit",
    "extOperator",
    "softDollarTierName",
    "softDollarTierVal",
    "cashQty",
    "mifid2DecisionMaker",
    "mifid2DecisionAlgo",
    "mifid2ExecutionTrader",
    "mifid2ExecutionAlgo",
    "dontUseAutoPriceForHedge",
    "isOmsContainer",
    "discretionaryUpToLimitPrice",
    "usePriceMgmtAlgo",
]
_LATER = (  # (first server version that has it, name)
    (158, "duration"),
    (160, "postToAts"),
    (162, "autoCancelParent"),
    (166, "advancedErrorOverride"),
    (169, "manualOrderTime"),
)
_CONDITION_FIELDS = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}
"""How many fields follow the type of a condition: price, time, margin, execution, volume, percent change."""


def parse(version: int, payload: bytes) -> Request:
    """A message of a client at a server version. UnknownRequest, or BadRequest where it does not fit its layout."""
    values = fields(payload)
    found = _REQUESTS.get(whole(values[0]) or 0)
    if found is None:
        raise UnknownRequest(values[0])
    name, layout = found
    reader = Reader(values[1:])
    arguments: dict[str, Any] = {}
    try:
        if callable(layout):
            arguments = layout(reader, version)
        else:
            _take(reader, version, layout, arguments)
        reader.end()
    except WireError as error:
        raise BadRequest(arguments.get("request_id", _first_id(name, values)), f"{name}: {error}") from error
    return Request(name, arguments.get("request_id", -1), arguments)


def _first_id(name: str, values: list[str]) -> int:
    """The id in a message that could not be read to its end."""
    index = 1 if name in _WITHOUT_VERSION else 2
    number = whole(values[index]) if index < len(values) else None
    return -1 if number is None else number


def _take(reader: Reader, version: int, layout: str, arguments: dict[str, Any]) -> None:
    """Read the fields that a layout names: `name:kind`, a kind `_` drops the field, `@176` wants that server version."""
    for entry in layout.split():
        name, _, kind = entry.partition(":")
        kind, _, since = kind.partition("@")
        if since and version < int(since):
            continue
        value = _KINDS[kind](reader)
        if kind != "_":
            arguments[name] = value


def _contract(reader: Reader) -> Contract:
    con_id, symbol, sec_type, expiry = reader.integer(), reader.text(), reader.text(), reader.text()
    strike = reader.number()
    right, multiplier, exchange, primary, currency, local_symbol, trading_class = reader.texts(7)
    return Contract(
        con_id,
        symbol,
        sec_type,
        expiry,
        strike or None,
        right,
        multiplier,
        exchange,
        primary,
        currency,
        local_symbol,
        trading_class,
    )


def _contract_without_primary(reader: Reader) -> Contract:
    """The contract of an exercise, which alone has no primary exchange."""
    con_id, symbol, sec_type, expiry = reader.integer(), reader.text(), reader.text(), reader.text()
    strike = reader.number()
    right, multiplier, exchange, currency, local_symbol, trading_class = reader.texts(6)
    return Contract(
        con_id, symbol, sec_type, expiry, strike or None, right, multiplier, exchange, "", currency, local_symbol, trading_class
    )  # fmt: skip


_KINDS: Mapping[str, Callable[[Reader], Any]] = {
    "_": Reader.text,
    "text": Reader.text,
    "int": Reader.integer,
    "flag": Reader.flag,
    "number": Reader.number,
    "contract": _contract,
    "short_contract": _contract_without_primary,
}


def _delta_neutral(reader: Reader) -> None:
    """Read over the contract of a delta-neutral combination; nothing here trades one."""
    if reader.flag():
        reader.texts(3)


def _short_legs(reader: Reader) -> tuple[Leg, ...]:
    return tuple(
        Leg(reader.integer(), reader.integer(), reader.text(), reader.text()) for _ in range(reader.count())
    )


def _long_leg(reader: Reader) -> Leg:
    con_id, ratio, action, exchange = reader.integer(), reader.integer(), reader.text(), reader.text()
    return Leg(
        con_id, ratio, action, exchange, reader.integer(), reader.integer(), reader.text(), reader.integer()
    )


def _market_data(reader: Reader, version: int) -> dict[str, Any]:
    reader.text()
    arguments: dict[str, Any] = {"request_id": reader.integer(), "contract": _contract(reader)}
    if arguments["contract"].sec_type == "BAG":
        arguments["legs"] = _short_legs(reader)
    _delta_neutral(reader)
    _take(reader, version, "generic:text snapshot:flag regulatory:flag options:_", arguments)
    return arguments


def _historical_data(reader: Reader, version: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    _take(
        reader,
        version,
        "request_id:int contract:contract expired:_ end:text size:text duration:text regular:flag what:text date_format:int",
        arguments,
    )
    if arguments["contract"].sec_type == "BAG":
        arguments["legs"] = _short_legs(reader)
    _take(reader, version, "keep:flag options:_", arguments)
    return arguments


def _place_order(reader: Reader, version: int) -> dict[str, Any]:
    order_id, contract = reader.integer(), _contract(reader)
    raw: dict[str, str] = {}

    def take(names: list[str]) -> None:
        raw.update(zip(names, reader.texts(len(names)), strict=True))

    take(["secIdType", "secId", *_MAIN])
    legs: tuple[Leg, ...] = ()
    leg_prices: tuple[str, ...] = ()
    if contract.sec_type == "BAG":
        legs = tuple(_long_leg(reader) for _ in range(reader.count()))
        leg_prices = tuple(reader.texts(reader.count()))
        raw["smartComboRoutingParams"] = _pairs(reader)
    take(_ALLOCATION)
    if version < 177:
        take(["faProfile"])
    take(_EXTENDED)
    if raw["deltaNeutralOrderType"]:
        _expect_name(raw["deltaNeutralOrderType"])
        take(_DELTA_NEUTRAL)
    take(_TRAIL_AND_SCALE)
    increment = decimal(raw["scalePriceIncrement"])
    if increment is not None and increment > 0:
        take(_SCALE)
    take(["scaleTable", "activeStartTime", "activeStopTime", "hedgeType"])
    if raw["hedgeType"]:
        _expect_name(raw["hedgeType"])
        take(["hedgeParam"])
    take(_CLEARING)
    _delta_neutral(reader)
    take(["algoStrategy"])
    if raw["algoStrategy"]:
        _expect_name(raw["algoStrategy"])
        raw["algoParams"] = _pairs(reader)
    take(_MISC)
    if raw["orderType"] in {"PEG BENCH", "PEGBENCH"}:
        take(_PEG_BENCH)
    conditions = tuple(_condition(reader) for _ in range(reader.count()))
    if conditions:
        take(["conditionsIgnoreRth", "conditionsCancelOrder"])
    take(_ADJUSTED)
    take([name for since, name in _LATER if version >= since])
    if version >= 170:
        take(_peg_offsets(contract.exchange, raw["orderType"]))
        if raw.get("competeAgainstBestOffset", "").lower() in {"infinite", "infinity"}:
            take(["midOffsetAtWhole", "midOffsetAtHalf"])
    return {
        "request_id": order_id,
        "contract": replace(contract, legs=legs),
        "terms": terms(raw, legs, leg_prices, conditions),
    }


def _expect_name(text: str) -> None:
    """What opens another block of fields is a name; a number there means that the fields before it are out of step."""
    if not text[0].isalpha():
        raise WireError(f"a name was expected, not {text!r}")


def _peg_offsets(exchange: str, order_type: str) -> list[str]:
    names = ["minTradeQty"] if exchange == "IBKRATS" else []
    if order_type in {"PEG BEST", "PEGBEST"}:
        names += ["minCompeteSize", "competeAgainstBestOffset"]
    elif order_type in {"PEG MID", "PEGMID"}:
        names += ["midOffsetAtWhole", "midOffsetAtHalf"]
    return names


def _condition(reader: Reader) -> tuple[str, ...]:
    kind = reader.integer()
    if kind not in _CONDITION_FIELDS:
        raise WireError(f"there is no condition of type {kind}")
    return (str(kind), *reader.texts(_CONDITION_FIELDS[kind]))


def _pairs(reader: Reader) -> str:
    """A counted list of tags and values, kept as one text."""
    return "\0".join(reader.texts(2 * reader.count()))


_REQUESTS: Mapping[int, tuple[str, str | Callable[[Reader, int], dict[str, Any]]]] = {
    1: ("market_data", _market_data),
    2: ("cancel_market_data", "_:_ request_id:int"),
    3: ("place_order", _place_order),
    4: ("cancel_order", "_:_ request_id:int manual_time:_@169"),
    5: ("open_orders", "_:_"),
    6: ("account_updates", "_:_ subscribe:flag account:text"),
    7: (
        "executions",
        "_:_ request_id:int client_id:int account:text since:text symbol:text sec_type:text exchange:text side:text",
    ),
    8: ("ids", "_:_ count:int"),
    9: (
        "contract_details",
        "_:_ request_id:int contract:contract expired:_ sec_id_type:text sec_id:text issuer_id:_@176",
    ),
    12: ("news_bulletins", "_:_ all_of_today:flag"),
    13: ("cancel_news_bulletins", "_:_"),
    14: ("server_log_level", "_:_ level:int"),
    15: ("auto_open_orders", "_:_ bind:flag"),
    16: ("all_open_orders", "_:_"),
    17: ("managed_accounts", "_:_"),
    20: ("historical_data", _historical_data),
    21: (
        "exercise_options",
        "_:_ request_id:int contract:short_contract action:int quantity:int account:text override:int",
    ),
    25: ("cancel_historical_data", "_:_ request_id:int"),
    49: ("current_time", "_:_"),
    50: ("realtime_bars", "_:_ request_id:int contract:contract size:int what:text regular:flag options:_"),
    51: ("cancel_realtime_bars", "_:_ request_id:int"),
    58: ("global_cancel", "_:_"),
    59: ("market_data_type", "_:_ kind:int"),
    61: ("positions", "_:_"),
    62: ("account_summary", "_:_ request_id:int group:text tags:text"),
    63: ("cancel_account_summary", "_:_ request_id:int"),
    64: ("cancel_positions", "_:_"),
    71: ("start_api", "_:_ client_id:int capabilities:_"),
    74: ("positions_multi", "_:_ request_id:int account:text model:text"),
    75: ("cancel_positions_multi", "_:_ request_id:int"),
    76: ("account_updates_multi", "_:_ request_id:int account:text model:text ledger:flag"),
    77: ("cancel_account_updates_multi", "_:_ request_id:int"),
    78: ("option_parameters", "request_id:int symbol:text exchange:text sec_type:text con_id:int"),
    79: ("soft_dollar_tiers", "request_id:int"),
    80: ("family_codes", ""),
    81: ("matching_symbols", "request_id:int pattern:text"),
    82: ("depth_exchanges", ""),
    83: ("smart_components", "request_id:int exchanges:text"),
    85: ("news_providers", ""),
    87: (
        "head_timestamp",
        "request_id:int contract:contract expired:_ regular:flag what:text date_format:int",
    ),
    88: ("histogram", "request_id:int contract:contract expired:_ regular:flag period:text"),
    89: ("cancel_histogram", "request_id:int"),
    90: ("cancel_head_timestamp", "request_id:int"),
    91: ("market_rule", "rule:int"),
    92: ("pnl", "request_id:int account:text model:text"),
    93: ("cancel_pnl", "request_id:int"),
    94: ("pnl_single", "request_id:int account:text model:text con_id:int"),
    95: ("cancel_pnl_single", "request_id:int"),
    96: (
        "historical_ticks",
        "request_id:int contract:contract expired:_ start:text end:text ticks:int what:text regular:flag ignore_size:flag options:_",
    ),
    97: ("tick_by_tick", "request_id:int contract:contract kind:text ticks:int ignore_size:flag"),
    98: ("cancel_tick_by_tick", "request_id:int"),
    99: ("completed_orders", "api_only:flag"),
    104: ("user_info", "request_id:int"),
}
NAMES = frozenset(name for name, _ in _REQUESTS.values())
"""Every request there is."""
WRITES = frozenset(
    [
        "place_order",
        "cancel_order",
        "exercise_options",
        "global_cancel",
        "open_orders",
        "auto_open_orders",
        "all_open_orders",
        "completed_orders",
    ]
)
"""What a read-only API refuses: everything about orders, reading them included, as TWS does."""
_WITHOUT_VERSION = frozenset(
    name for name, layout in _REQUESTS.values() if name != "market_data" and not str(layout).startswith("_:_")
)
"""The requests whose first field is their id and not a version."""
