"""The wire by server version: frames split anywhere, requests read to their last field, answers with exactly the fields of a version."""

import contextlib
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.tws import codec, order_answers
from sim.tws.book import Order
from sim.tws.codec import MAX_VERSION, MIN_VERSION, Reader, WireError
from sim.tws.money import Preview, margin
from sim.tws.requests import BadRequest, UnknownRequest, parse
from sim.tws.terms import Terms, terms

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
VERSIONS = range(MIN_VERSION, MAX_VERSION + 1)
UNSET = ["", "1.7976931348623157E308", "1.7976931348623157e+308", "2147483647", "9223372036854775807"]
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def payload(*values: object) -> bytes:
    return ("\0".join(map(str, values)) + "\0").encode()


def place_order(version: int, **change: str) -> list[str]:
    """A placeOrder as a client of a server version writes it, from the list of its fields; every optional block appears when its switch is set."""
    said = {
        "action": "BUY",
        "totalQuantity": "10",
        "orderType": "LMT",
        "lmtPrice": "187.5",
        "orderRef": "r",
        "transmit": "1",
    } | change
    out = [
        "3",
        "7",
        "265598",
        "AAPL",
        "STK",
        "",
        "0.0",
        "",
        "",
        said.get("exchange", "SMART"),
        "",
        "USD",
        "",
        "",
        "",
        "",
    ]
    if said.get("legs"):
        out[4] = "BAG"

    def put(names: str) -> None:
        out.extend(said.get(name, "") for name in names.split())

    put(
        "action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin orderRef transmit parentId blockOrder"
    )
    put("sweepToFill displaySize triggerMethod outsideRth hidden")
    if said.get("legs"):
        count = int(said["legs"])
        out.append(str(count))
        for leg in range(count):
            out.extend([str(1000 + leg), "1", "BUY" if leg % 2 else "SELL", "SMART", "0", "0", "", "-1"])
        out.extend(["1", "0.55", "1", "NonGuaranteed", "1"])
    put("sharesAllocation discretionaryAmt goodAfterTime goodTillDate faGroup faMethod faPercentage")
    if version < 177:
        put("faProfile")
    put(
        "modelCode shortSaleSlot designatedLocation exemptCode ocaType rule80A settlingFirm allOrNone minQty percentOffset eTradeOnly"
    )
    put(
        "firmQuoteOnly nbboPriceCap auctionStrategy startingPrice stockRefPrice delta stockRangeLower stockRangeUpper override"
    )
    put("volatility volatilityType deltaNeutralOrderType deltaNeutralAuxPrice")
    if said.get("deltaNeutralOrderType"):
        out.extend(["1", "firm", "account", "intent", "O", "0", "0", "where"])
    put(
        "continuousUpdate referencePriceType trailStopPrice trailingPercent scaleInit scaleSubs scalePriceIncrement"
    )
    if said.get("scalePriceIncrement"):
        out.extend(["0.1", "5", "0.2", "1", "0", "0", "0"])
    put("scaleTable activeStartTime activeStopTime hedgeType")
    if said.get("hedgeType"):
        put("hedgeParam")
    put("optOutSmartRouting clearingAccount clearingIntent notHeld")
    out.extend(["1", "265598", "0.5", "100"] if said.get("deltaNeutral") else ["0"])
    put("algoStrategy")
    if said.get("algoStrategy"):
        out.extend(["2", "adaptivePriority", "Normal", "b", "c"])
    put("algoId whatIf orderMiscOptions solicited randomizeSize randomizePrice")
    if said["orderType"] in {"PEG BENCH", "PEGBENCH"}:
        out.extend(["265598", "1", "0.1", "0.2", "NASDAQ"])
    if said.get("conditions"):
        out.append("6")
        out.extend(
            [
                "1",
                "a",
                "1",
                "100",
                "265598",
                "SMART",
                "0",
                "3",
                "a",
                "1",
                "20260101 10:00:00",
                "4",
                "o",
                "1",
                "30",
            ]
        )
        out.extend(
            [
                "5",
                "a",
                "STK",
                "SMART",
                "AAPL",
                "6",
                "a",
                "1",
                "1000",
                "265598",
                "SMART",
                "7",
                "a",
                "1",
                "5",
                "265598",
                "SMART",
            ]
        )
        out.extend(["1", "0"])
    else:
        out.append("0")
    put(
        "adjustedOrderType triggerPrice lmtPriceOffset adjustedStopPrice adjustedStopLimitPrice adjustedTrailingAmount"
    )
    put(
        "adjustableTrailingUnit extOperator tierName tierValue cashQty mifidMaker mifidAlgo mifidTrader mifidExecution dontUseAuto isOms"
    )
    put("discretionaryUpToLimit usePriceMgmtAlgo")
    gates = {
        158: "duration",
        160: "postToAts",
        162: "autoCancelParent",
        166: "advancedErrorOverride",
        169: "manualOrderTime",
    }
    out.extend(said.get(name, "") for gate, name in gates.items() if version >= gate)
    if version >= 170:
        if said.get("exchange") == "IBKRATS":
            put("minTradeQty")
        if said["orderType"] == "PEG BEST":
            put("minCompeteSize competeAgainstBestOffset")
            if said.get("competeAgainstBestOffset") == "Infinite":
                put("midOffsetAtWhole midOffsetAtHalf")
        elif said["orderType"] == "PEG MID":
            put("midOffsetAtWhole midOffsetAtHalf")
    return out


SHAPES: dict[str, dict[str, str]] = {
    "plain": {},
    "combination": {"legs": "2"},
    "delta neutral": {"deltaNeutralOrderType": "MKT", "deltaNeutral": "1"},
    "scale": {"scalePriceIncrement": "0.5"},
    "hedge": {"hedgeType": "D", "hedgeParam": "x"},
    "algorithm": {"algoStrategy": "Adaptive"},
    "conditions": {"conditions": "1"},
    "benchmark": {"orderType": "PEG BENCH"},
    "peg best": {"orderType": "PEG BEST", "competeAgainstBestOffset": "0.02"},
    "peg best to the middle": {"orderType": "PEG BEST", "competeAgainstBestOffset": "Infinite"},
    "peg middle at the ats": {"orderType": "PEG MID", "exchange": "IBKRATS"},
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_order_is_read_to_its_last_field(version: int, shape: dict[str, str]) -> None:
    request = parse(version, payload(*place_order(version, **shape)))
    order: Terms = request.arguments["terms"]
    assert (request.name, request.id) == ("place_order", 7)
    assert (order.action, order.quantity, order.limit, order.ref) == (
        "BUY",
        Decimal(10),
        Decimal("187.5"),
        "r",
    )
    assert len(order.legs) == int(shape.get("legs", 0))
    assert len(order.conditions) == (6 if "conditions" in shape else 0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_field_too_many_or_too_few_is_noticed(version: int, shape: dict[str, str]) -> None:
    said = place_order(version, **shape)
    for wrong in (said[:-1], [*said, ""], [*said[:40], "", *said[40:]], [*said[:-20], *said[-19:]]):
        with pytest.raises(BadRequest) as caught:
            parse(version, payload(*wrong))
        assert caught.value.request_id == 7


@pytest.mark.parametrize(
    ("version", "other"), [(157, 158), (159, 160), (161, 162), (165, 166), (168, 169), (176, 177)]
)
def test_an_order_of_another_version_is_noticed(version: int, other: int) -> None:
    for said, read in ((version, other), (other, version)):
        with pytest.raises(BadRequest):
            parse(read, payload(*place_order(said)))


@pytest.mark.parametrize(
    ("version", "values", "name", "arguments"),
    [
        (168, [4, 1, 9], "cancel_order", {"request_id": 9}),
        (169, [4, 1, 9, "20260101"], "cancel_order", {"request_id": 9}),
        (178, [8, 1, 1], "ids", {"count": 1}),
        (178, [6, 2, 1, "DU1"], "account_updates", {"subscribe": True, "account": "DU1"}),
        (178, [99, "false"], "completed_orders", {"api_only": False}),
        (178, [81, 3, "AA"], "matching_symbols", {"request_id": 3, "pattern": "AA"}),
        (
            178,
            [94, 3, "DU1", "", 7],
            "pnl_single",
            {"request_id": 3, "account": "DU1", "model": "", "con_id": 7},
        ),
        (178, [58, 1], "global_cancel", {}),
        (178, [80], "family_codes", {}),
    ],
)
def test_requests_by_table(version: int, values: list[object], name: str, arguments: dict[str, Any]) -> None:
    request = parse(version, payload(*values))
    assert (request.name, dict(request.arguments)) == (name, arguments)
    with pytest.raises(BadRequest):
        parse(version, payload(*values, "more"))
    if len(values) > 1:
        with pytest.raises(BadRequest):
            parse(version, payload(*values[:-1]))


def test_a_request_of_a_type_that_is_not_spoken() -> None:
    with pytest.raises(UnknownRequest, match="999"):
        parse(178, payload(999, 1))


def contract(symbol: str = "AAPL", kind: str = "STK") -> list[object]:
    return [0, symbol, kind, "", "0.0", "", "", "SMART", "", "USD", "", ""]


@pytest.mark.parametrize("version", VERSIONS)
def test_requests_with_a_contract(version: int) -> None:
    issuer = [""] if version >= 176 else []
    details = parse(version, payload(9, 8, 5, *contract(), 0, "", "", *issuer))
    assert (details.id, details.arguments["contract"].symbol) == (5, "AAPL")
    ticks = parse(version, payload(1, 11, 6, *contract(), 0, "233", 1, 0, ""))
    assert (ticks.id, ticks.arguments["generic"], ticks.arguments["snapshot"]) == (6, "233", True)
    combo = parse(
        version,
        payload(1, 11, 6, *contract(kind="BAG"), 1, 42, 1, "BUY", "SMART", 1, 9, "0.5", 10, "", 0, 0, ""),
    )
    assert [leg.con_id for leg in combo.arguments["legs"]] == [42]
    bars = parse(version, payload(20, 7, *contract(), 0, "", "1 day", "1 M", 1, "TRADES", 1, 0, ""))
    assert (bars.id, bars.arguments["duration"], bars.arguments["keep"]) == (7, "1 M", False)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_and_nothing_else(rubbish: bytes) -> None:
    for version in (MIN_VERSION, MAX_VERSION):
        with contextlib.suppress(WireError):
            parse(version, rubbish)


@given(st.lists(st.binary(max_size=60), max_size=6), st.data())
def test_frames_may_be_split_anywhere(payloads: list[bytes], data: st.DataObject) -> None:
    stream, buffer = b"".join(map(codec.frame, payloads)), b""
    got: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        frames, buffer = codec.split_frames(buffer + stream[:size])
        got, stream = got + frames, stream[size:]
    assert (got, buffer) == (payloads, b"")


def test_an_absurd_length_is_refused() -> None:
    with pytest.raises(WireError, match="longer"):
        codec.split_frames(struct.pack(">I", 0x7FFFFFFF))


@given(st.lists(text, min_size=1, max_size=8))
def test_texts_come_back_in_ascii(values: list[str]) -> None:
    [read], rest = codec.split_frames(codec.message(*values))
    assert rest == b""
    assert read.isascii()
    assert codec.fields(read) == [value.encode("ascii", "backslashreplace").decode() for value in values]


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=6))
def test_numbers_come_back_without_exponent(number: Decimal) -> None:
    written = codec.plain(number)
    assert Decimal(written) == number
    assert "E" not in written


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (True, "1"),
        (False, "0"),
        (None, ""),
        (Decimal("187.50"), "187.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.00"), "0"),
        (7, "7"),
    ],
)
def test_fields(value: object, wire: str) -> None:
    assert codec.field(value) == wire


@pytest.mark.parametrize("unset", UNSET)
def test_every_way_to_say_no_value(unset: str) -> None:
    reader = Reader([unset, unset])
    assert reader.number() is None
    assert reader.integer(default=-1) == -1
    reader.end()


@pytest.mark.parametrize("wrong", ["nan", "inf", "-Infinity", "1,5", "abc"])
def test_numbers_that_are_none(wrong: str) -> None:
    with pytest.raises(WireError):
        Reader([wrong]).number()


@pytest.mark.parametrize(
    ("hello", "version"),
    [(b"v157..178", 178), (b"v100..165", 165), (b"v157..300 +PACEAPI", 178), (b"v160", 160)],
)
def test_versions_agreed_on(hello: bytes, version: int) -> None:
    assert codec.parse_hello(hello) == version


@pytest.mark.parametrize("hello", [b"v100..156", b"v179..200", b"178", b"v..", b"vx..y", b"", b"\xff"])
def test_versions_with_nothing_in_common(hello: bytes) -> None:
    with pytest.raises(WireError):
        codec.parse_hello(hello)


def order_of(raw: dict[str, str]) -> Order:
    said = {"action": "BUY", "totalQuantity": "10", "orderType": "LMT", "lmtPrice": "1"} | raw
    return Order(1, 2, 3, 265598, "SMART", terms(said), "DU1", NOON, 0, status="Submitted")


@pytest.mark.parametrize("version", VERSIONS)
def test_open_orders_have_the_fields_of_their_version(version: int) -> None:
    gates = [(158, 1), (160, 1), (162, 1), (170, 5), (177, -1)]
    expected = 128 + sum(count for since, count in gates if version >= since)
    assert len(codec.fields(order_answers.open_order(version, order_of({}), 0)[4:])) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_completed_orders_have_the_fields_of_their_version(version: int) -> None:
    gates = [(170, 5), (177, -1)]
    expected = 96 + sum(count for since, count in gates if version >= since)
    assert len(codec.fields(order_answers.completed_order(version, order_of({}))[4:])) == expected


def test_what_if_has_the_shape_of_an_open_order() -> None:
    order = order_of({"whatIf": "1"})
    nothing = margin({"USD": Decimal(100)}, [], {"USD": Decimal(1)})
    shown = order_answers.previewed(178, order, 0, Preview(nothing, nothing, Decimal(1), "USD"))
    assert len(codec.fields(shown[4:])) == len(codec.fields(order_answers.open_order(178, order, 0)[4:]))
