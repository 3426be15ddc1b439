"""What the simulated TWS lets a client have, what it does to one that wants more, and that others never notice."""

import asyncio
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ib_async import IB, LimitOrder

from sim.tws import hours
from sim.tws.errors import Refused
from sim.tws.limits import Limits, Pacing, Rate
from sim.tws.terms import Contract
from tests.sim.tws_kit import (
    AAPL,
    CALM,
    PATIENCE_SECONDS,
    Tws,
    Wire,
    filled,
    framed,
    place,
    resting,
    running_tws,
    until,
    wire,
)

SHARE = (0, "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
BARS = {
    "contract": Contract(265598, "AAPL"),
    "what": "TRADES",
    "size": "5 secs",
    "duration": "60 S",
    "end": "",
}


@pytest.fixture
async def tws() -> AsyncIterator[Tws]:
    async with running_tws() as tws:
        await tws.post("/tws/price", symbol="AAPL", **CALM)
        yield tws


async def hit(tws: Tws, name: str) -> int:
    """How often a limit was met."""
    return int((await tws.get("/tws/counts"))["limits"].get(name, 0))


async def answers(client: Wire, request: int = 0) -> list[list[str]]:
    """What a client is told, without the notices after connecting, up to the answer to a question of the time."""
    client.write(49, 1)
    heard = await client.frames(until="49")
    return [f for f in heard[:-1] if f[0] != "4" or f[3] not in {"2104", "2106", "2158"}]


def errors(heard: list[list[str]]) -> list[tuple[str, str]]:
    """Request ids and codes of the errors among messages."""
    return [(fields[2], fields[3]) for fields in heard if fields[0] == "4"]


def market_data(request: int, snapshot: int = 0) -> tuple[object, ...]:
    return 1, 11, request, *SHARE, 0, "", snapshot, 0, ""


def bars(
    request: int, size: str = "1 min", duration: str = "1 D", what: str = "TRADES", keep: int = 0
) -> tuple[object, ...]:
    return 20, request, *SHARE, 0, "", size, duration, 1, what, 1, keep, ""


async def in_session(tws: Tws) -> None:
    """Move the clock to an hour after the next opening, where there are bars of seconds."""
    now = tws.clock.now()
    await tws.post("/clock", advance=(hours.next_open(now) - now).total_seconds() + 3600)


# -- messages a second


def test_a_seconds_worth_at_once_and_as_much_every_second() -> None:
    rate = Rate()
    assert [rate.wait(4, 0.0) for _ in range(4)] == [0] * 4
    assert rate.wait(4, 0.125) == pytest.approx(0.125)
    assert rate.wait(4, 0.25) == 0
    assert rate.wait(4, 0.25) == pytest.approx(0.25)
    assert [rate.wait(4, 10.0) for _ in range(4)] == [0] * 4  # what is not used does not pile up
    assert rate.wait(4, 10.0) == pytest.approx(0.25)
    assert rate.wait(None, 10.0) == 0


@given(st.lists(st.floats(0, 0.19), min_size=12, max_size=12))
def test_jitter_is_not_held_against_a_client_that_keeps_to_45(late: list[float]) -> None:
    rate = Rate()
    for second, lag in enumerate(late):
        assert [rate.wait(50, second + lag) for _ in range(45)] == [0] * 45


def test_who_sends_51_a_second_for_long_is_caught() -> None:
    rate = Rate()
    assert any(rate.wait(50, n / 51) for n in range(51 * 60))


TOO_FAST = ["4", "-1", "100", "Max rate of messages per second has been exceeded."]


async def to_the_end(client: Wire) -> list[list[str]]:
    """Everything that comes until the server hangs up."""
    heard = []
    try:
        while True:
            heard.append(await client.frame())
    except (asyncio.IncompleteReadError, ConnectionError):
        return heard


async def test_one_message_too_many_is_refused_and_three_are_the_end(tws: Tws) -> None:
    bystander = await tws.connect(2)
    async with wire(tws) as client:
        for _ in range(60):
            client.write(49, 1)
        heard = await to_the_end(client)
    answered = [fields for fields in heard if fields[0] == "49"]
    refused = [fields for fields in heard if fields[:1] + fields[2:5] == TOO_FAST]
    assert len(refused) == 3
    assert len(answered) in range(
        49, 56
    )  # startApi was one of the fifty; what time passed since it allows some more
    assert (await hit(tws, "messages_per_second"), await hit(tws, "dropped_for_speed")) == (3, 1)
    await bystander.reqCurrentTimeAsync()


async def test_some_messages_too_many_are_forgiven(tws: Tws) -> None:
    await tws.post("/tws/limits", violations=5)
    async with wire(tws) as client:
        await tws.post("/tws/limits", messages_per_second=2)
        client.writer.write(framed(49, 1) * 5)
        said: list[list[str]] = []
        while len(said) < 5:
            fields = await client.frame()
            if fields[0] == "49" or fields[3] == "100":
                said.append(fields)
        await tws.post("/tws/limits", messages_per_second=None)
        assert await answers(client) == []
    assert await hit(tws, "messages_per_second") == len([f for f in said if f[0] == "4"]) > 0
    assert await hit(tws, "dropped_for_speed") == 0


async def test_a_client_that_asks_for_it_is_slowed_down(tws: Tws) -> None:
    ib = IB()
    tws.clients.append(ib)
    ib.client.MaxRequests = 0  # ib_async itself holds nothing back
    ib.client.setConnectOptions("+PACEAPI")
    ib.errorEvent += lambda request, code, text, _: tws.errors.append((request, code, text))
    await ib.connectAsync("127.0.0.1", tws.world.tws.port, 1)
    found = await asyncio.gather(*(ib.reqContractDetailsAsync(AAPL) for _ in range(60)))
    assert [len(details) for details in found] == [1] * 60
    assert tws.codes() == []
    assert await hit(tws, "paced") >= 1
    assert await hit(tws, "messages_per_second") == 0


async def test_ib_async_as_it_is_stays_below(tws: Tws) -> None:
    ib = await tws.connect()
    found = await asyncio.gather(*(ib.reqContractDetailsAsync(AAPL) for _ in range(60)))
    assert [len(details) for details in found] == [1] * 60
    assert (await tws.get("/tws/counts"))["limits"] == {}


async def test_what_piled_up_while_tws_hung_is_not_held_against_a_client(tws: Tws) -> None:
    async with wire(tws) as client:
        for fault in ("hang", "half_open"):
            await tws.post("/tws/limits", messages_per_second=2)
            await tws.post(f"/tws/{fault}", on=True)
            client.writer.write(framed(49, 1) * 20)
            await client.writer.drain()
            await tws.get("/tws/counts")
            await tws.post(f"/tws/{fault}", on=False)
            for _ in range(20):
                await client.frames(until="49")
    assert await hit(tws, "messages_per_second") == 0


# -- market data lines


async def test_market_data_lines_are_shared_by_all_clients(tws: Tws) -> None:
    await tws.post("/tws/limits", market_data_lines=3)
    async with wire(tws, 5) as one, wire(tws, 6) as two:
        for request in (1, 2):
            one.write(*market_data(request))
        assert errors(await answers(one)) == []
        two.write(*market_data(1))
        two.write(*market_data(2))
        two.write(*market_data(3, snapshot=1))
        assert errors(await answers(two)) == [("2", "101")]
        one.write(2, 1, 2)
        await answers(one)
        two.write(*market_data(2))
        assert errors(await answers(two)) == []
        assert await hit(tws, "market_data_lines") == 1
    async with wire(tws, 7) as three:  # the lines of those who left are free
        for request in (1, 2, 3, 4):
            three.write(*market_data(request))
        assert errors(await answers(three)) == [("4", "101")]


async def test_a_line_that_was_refused_takes_no_place(tws: Tws) -> None:
    await tws.post("/tws/limits", market_data_lines=1)
    async with wire(tws) as client:
        client.write(1, 11, 1, 0, "NOPE", *SHARE[2:], 0, "", 0, 0, "")
        client.write(*market_data(1))
        assert errors(await answers(client)) == [("1", "200")]


async def test_a_hundred_lines_are_allowed_by_default(tws: Tws) -> None:
    await tws.post("/tws/limits", messages_per_second=None)
    async with wire(tws) as client:
        for request in range(101):
            client.write(*market_data(request))
        assert errors(await answers(client)) == [("100", "101")]


async def test_three_streams_of_single_ticks(tws: Tws) -> None:
    async with wire(tws) as client:
        for request in range(1, 5):
            client.write(97, request, *SHARE, "Last", 0, 0)
        assert errors(await answers(client)) == [("4", "10190")]
        client.write(98, 1)
        client.write(97, 4, *SHARE, "Last", 0, 0)
        assert errors(await answers(client)) == []
    assert await hit(tws, "tick_by_tick") == 1


# -- ids in use


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (market_data(7), "102"),
        (bars(7, keep=1), "322"),
        ((62, 1, 7, "All", "NetLiquidation"), "322"),
        ((74, 1, 7, "DU1234567", ""), "322"),
        ((76, 1, 7, "DU1234567", "", 0), "322"),
        ((92, 7, "DU1234567", ""), "322"),
        ((94, 7, "DU1234567", "", 265598), "322"),
    ],
)
async def test_an_id_in_use(tws: Tws, request_: tuple[object, ...], code: str) -> None:
    async with wire(tws) as client:
        client.write(*request_)
        client.write(*request_)
        assert errors(await answers(client)) == [("7", code)]
    assert await hit(tws, "duplicate_id") == 1


async def test_an_id_is_free_again_once_its_request_is_over(tws: Tws) -> None:
    async with wire(tws) as client:
        client.write(*market_data(7))
        client.write(92, 7, "DU1234567", "")  # another kind of request may have the same id
        client.write(2, 1, 7)
        client.write(*market_data(7))
        client.write(*bars(8))
        client.write(*bars(8))
        assert errors(await answers(client)) == []


# -- historical data


async def test_the_same_small_bars_again_are_too_soon(tws: Tws) -> None:
    await in_session(tws)
    async with wire(tws) as client:
        client.write(*bars(1, "5 secs", "60 S"))
        client.write(*bars(2, "5 secs", "60 S"))
        client.write(*bars(3, "1 min"))
        client.write(*bars(4, "1 min"))
        client.write(*bars(5, "5 secs", "120 S"))
        heard = await answers(client)
        assert errors(heard) == [("2", "162")]
        assert "request pacing violation" in next(f[4] for f in heard if f[0] == "4")
        await tws.post("/clock", advance=16)
        client.write(*bars(2, "5 secs", "60 S"))
        assert errors(await answers(client)) == []
    assert await hit(tws, "historical_pacing") == 1


async def test_six_requests_for_one_contract_within_two_seconds_are_one_too_many(tws: Tws) -> None:
    await in_session(tws)
    async with wire(tws, 5) as one, wire(tws, 6) as two:
        for request in range(1, 6):
            one.write(*bars(request, "5 secs", f"{60 + request} S"))
        assert errors(await answers(one)) == []
        two.write(*bars(6, "5 secs", "90 S"))
        two.write(*bars(7, "5 secs", "90 S", what="MIDPOINT"))
        assert errors(await answers(two)) == [("6", "162")]


def paced(pacing: Pacing, at: float, **more: Any) -> bool:
    """Whether a request so many seconds after the first is let through."""
    try:
        pacing.check(Limits(), {**BARS, **more}, NOW + timedelta(seconds=at))
    except Refused as refused:
        return refused.code != 162
    return True


def test_sixty_requests_in_any_ten_minutes() -> None:
    pacing = Pacing()
    assert all(paced(pacing, n, duration=f"{n} S") for n in range(60))
    assert not paced(pacing, 599.9)
    assert paced(pacing, 600)
    assert not paced(pacing, 600.5, duration="7 S")
    assert paced(pacing, 601, duration="7 S")


def test_bids_and_asks_count_twice() -> None:
    pacing = Pacing()
    assert all(paced(pacing, n * 2, what="BID_ASK", duration=f"{n} S") for n in range(30))
    assert not paced(pacing, 100)
    assert paced(pacing, 100, size="1 min")


async def test_bars_kept_up_to_date_are_open_requests(tws: Tws) -> None:
    await tws.post("/tws/limits", historical_requests=2)
    async with wire(tws) as client:
        for request in (1, 2, 3):
            client.write(*bars(request, keep=1))
        client.write(*bars(4))
        assert errors(await answers(client)) == [("3", "322")]
        client.write(25, 1, 1)
        client.write(*bars(3, keep=1))
        assert errors(await answers(client)) == []


# -- other limits


async def test_two_account_summaries_at_once(tws: Tws) -> None:
    async with wire(tws) as client:
        for request in (1, 2, 3):
            client.write(62, 1, request, "All", "NetLiquidation")
        assert errors(await answers(client)) == [("3", "322")]
        client.write(63, 1, 1)
        client.write(62, 1, 3, "All", "NetLiquidation")
        assert errors(await answers(client)) == []
    assert await hit(tws, "account_summaries") == 1


async def test_one_client_too_many_is_hung_up_on(tws: Tws) -> None:
    await tws.post("/tws/limits", clients=2)
    one, _ = await tws.connect(1), await tws.connect(2)
    with pytest.raises((ConnectionError, TimeoutError)):
        await tws.connect(3, timeout=1)
    assert await hit(tws, "clients") == 1
    assert (await tws.get("/tws/counts"))["clients"] == [1, 2]
    await one.reqCurrentTimeAsync()


async def test_limits_are_set_one_by_one_and_may_be_lifted(tws: Tws) -> None:
    before = await tws.post("/tws/limits")
    assert (before["messages_per_second"], before["market_data_lines"], before["clients"]) == (50, 100, 32)
    after = await tws.post("/tws/limits", messages_per_second=None, identical_seconds=2.5)
    assert after == {**before, "messages_per_second": None, "identical_seconds": 2.5}
    assert tws.world.tws.limits.messages_per_second is None
    assert "greater than or equal to 1" in (await tws.post("/tws/limits", status=400, clients=0))["error"]
    assert "Extra inputs" in (await tws.post("/tws/limits", status=400, cleints=1))["error"]


async def event(tws: Tws, kind: str) -> dict[str, Any]:
    """The first event of a kind, as soon as there is one."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        seen = 0
        while True:
            told = await tws.get("/tws/events", after=seen, timeout=5)
            for entry in told["events"]:
                if entry["kind"] == kind:
                    return dict(entry)
            seen = told["last"]


async def test_a_client_that_does_not_read_is_dropped(tws: Tws) -> None:
    other = await tws.connect(2)
    await tws.post("/tws/limits", unsent_bytes=1 << 20)
    async with wire(tws, 5):
        for _ in range(32):
            await tws.post("/tws/garbage", bytes=1 << 20, client=5)
            if await hit(tws, "slow_reader"):
                break
        assert (await event(tws, "slow_reader"))["client"] == 5
    assert await hit(tws, "slow_reader") == 1
    assert (await tws.get("/tws/counts"))["clients"] == [2]
    await other.reqCurrentTimeAsync()


async def test_what_a_half_open_connection_holds_back_has_an_end_too(tws: Tws) -> None:
    await tws.post("/tws/limits", unsent_bytes=1 << 20)
    async with wire(tws, 5) as client:
        await tws.post("/tws/half_open", on=True)
        await tws.post("/tws/garbage", bytes=1 << 20)
        assert (await event(tws, "slow_reader"))["unsent_bytes"] > 1 << 20
        await to_the_end(client)


# -- several clients


async def test_each_client_has_its_own_orders(tws: Tws) -> None:
    one, two = await tws.connect(1), await tws.connect(2)
    mine, yours = await place(one, resting(), "mine"), await place(two, resting(), "yours")
    async with wire(tws, 5) as raw:
        raw.write(5, 1)
        assert [f for f in await raw.frames(until="53") if f[0] in {"3", "5"}] == []
        raw.write(16, 1)
        assert len([f for f in await raw.frames(until="53") if f[0] == "3"]) == 2
        raw.write(*VALID[2][:1], mine.order.orderId, *VALID[2][2:])  # ids are a client's own
        assert (await raw.frames(until="3"))[-1][:3] == ["3", str(mine.order.orderId), "Submitted"]
        raw.write(4, 1, mine.order.orderId, "")
        await raw.frames(until="4")
    assert [t.order.orderRef for t in one.trades()] == ["mine"]
    everything = await two.reqAllOpenOrdersAsync()
    assert sorted((t.order.clientId, t.order.orderRef) for t in everything) == [(1, "mine"), (2, "yours")]
    await tws.post("/tws/fill", order="mine")
    await until(one, lambda: mine.orderStatus.status == "Filled")
    await until(two, lambda: any(p.position == 50 for p in two.positions()))  # a position concerns everybody
    assert yours.orderStatus.status == "Submitted"
    assert [fill.execution.clientId for fill in await two.reqExecutionsAsync()] == [1]


async def test_another_clients_order_cannot_be_taken_back(tws: Tws) -> None:
    one, two = await tws.connect(1), await tws.connect(2)
    await place(one, resting(), "first")
    trade = await place(one, resting(), "mine")
    two.client.cancelOrder(trade.order.orderId)
    await until(two, lambda: 10147 in tws.codes())
    two.client.cancelOrder(1)
    await until(two, lambda: tws.codes().count(10147) == 2)
    assert [(await tws.order(ref))["status"] for ref in ("first", "mine")] == ["Submitted", "Submitted"]
    zero = await tws.connect(0)  # not even client 0 may
    zero.client.cancelOrder(1)
    await until(zero, lambda: tws.codes().count(10147) == 3)


async def test_a_global_cancel_takes_everybodys_orders_back(tws: Tws) -> None:
    one, two, zero = await tws.connect(1), await tws.connect(2), await tws.connect(0)
    mine, yours = await place(one, resting(), "mine"), await place(two, resting(), "yours")
    await tws.post("/tws/external", symbol="AAPL", side="BUY", quantity=3, price=120.0, working=True)
    await until(zero, zero.openTrades)
    two.reqGlobalCancel()
    await until(one, lambda: mine.orderStatus.status == "Cancelled")
    await until(two, lambda: yours.orderStatus.status == "Cancelled")
    await until(zero, lambda: not zero.openTrades())
    assert {order["status"] for order in (await tws.book())["orders"]} == {"Cancelled"}


async def test_only_client_0_hears_of_orders_by_hand(tws: Tws) -> None:
    one, zero = await tws.connect(1), await tws.connect(0)
    await tws.post("/tws/external", symbol="AAPL", side="BUY", quantity=3, price=120.0, working=True)
    await until(zero, zero.openTrades)
    await one.reqCurrentTimeAsync()
    assert one.openTrades() == []


# -- nonsense


@pytest.mark.parametrize(
    "kind", ["24", "0", "-5", "", "\u00fc", "\u00b2", "\u0663", "9" * 5000, "1_6", "+", "49.0", "\0\0\x001", "x" * 99]
)  # fmt: skip
async def test_unknown_requests_are_answered_and_counted(tws: Tws, kind: str) -> None:
    async with wire(tws) as client:
        client.write(kind, 1)
        assert errors(await answers(client)) == [("-1", "506")]
    [(name, count)] = (await tws.get("/tws/counts"))["unknown"].items()
    assert (name, count) == (kind.split("\0")[0][:40], 1)


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe\x00", b"49\0001", b"\x00\x00\x00\xcb\x08\x01", b"3\0"])
async def test_what_is_no_message_is_answered_and_noted(tws: Tws, payload: bytes) -> None:
    async with wire(tws) as client:
        client.writer.write(struct.pack(">I", len(payload)) + payload)
        assert [code for _, code in errors(await answers(client))] == ["320"]
    assert (await event(tws, "bad_request"))["client"] == 5


async def test_a_frame_beyond_all_bounds_ends_its_client_alone(tws: Tws) -> None:
    other = await tws.connect(2)
    async with wire(tws) as client:
        client.writer.write(struct.pack(">I", 0x7FFFFFFF) + b"x" * 1000)
        await to_the_end(client)
    assert "longer than" in (await event(tws, "protocol_error"))["reason"]
    await other.reqCurrentTimeAsync()


async def test_a_long_frame_is_read_in_time_however_it_comes(tws: Tws) -> None:
    async with wire(tws) as client:
        payload = b"2\x001\0" + b"1" * 8_000_000 + b"\0"
        client.writer.write(struct.pack(">I", len(payload)) + payload)
        heard = await answers(client)
        assert [code for _, code in errors(heard)] == ["320"]
        assert len(heard[0][4]) < 500  # what was wrong is quoted in part


VALID: list[tuple[object, ...]] = [
    market_data(9),
    bars(9, keep=1),
    (3, 9, *SHARE, "", "", "BUY", 1, "LMT", "20.5", "", "DAY", "", "", "", 0, "fuzz", 1, *[0] * 7, *[""] * 46, 0, "", *[""] * 6, 0, *[""] * 24),
    (4, 1, 9, ""),
    (6, 2, 1, "DU1234567"),
    (7, 3, 9, 0, "", "", "", "", "", ""),
    (9, 8, 9, *SHARE, 0, "", "", ""),
    (62, 1, 9, "All", "NetLiquidation"),
    (74, 1, 9, "DU1234567", ""),
    (81, 9, "app"),
    (87, 9, *SHARE, 0, 1, "TRADES", 1),
    (91, 26),
    (92, 9, "DU1234567", ""),
    (94, 9, "DU1234567", "", 265598),
    (71, 2, 3, ""),
]  # fmt: skip
NASTY = st.sampled_from(
    ["", "-", "-1", "0", "1", "2147483647", "2147483648", "9" * 5000, "1e400", "1e-400", "nan", "-inf", "1_0", "\u00b2", "\u00fc",
     "\U0001f600", "x" * 300, "99999 Y", "1 D", "00010101 00:00:00", "99991231 23:59:59 US/Eastern", "20260101-00:00:00", "BAG", "MKT", "TRAIL", "None", "1.7976931348623157E308"]
)  # fmt: skip
FIELDS = st.one_of(NASTY, st.text(max_size=12))


def _with(which: int, field: int, value: str) -> list[object]:
    """A valid message with one field changed."""
    fields = list(VALID[which])
    fields[field] = value
    return fields


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid message with some fields changed, dropped or added, perhaps cut, perhaps with bytes flipped."""
    fields = [str(value) for value in draw(st.sampled_from(VALID))]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(fields) - 1, 0)))
        match draw(st.sampled_from(("change", "change", "change", "drop", "add"))):
            case "change":
                fields[at : at + 1] = [draw(FIELDS)]
            case "drop":
                del fields[at : at + 1]
            case _:
                fields.insert(at, draw(FIELDS))
    data = bytearray(("\0".join(fields) + "\0").encode("utf-8", "surrogateescape"))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return struct.pack(">I", len(data)) + bytes(data)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)  # fmt: skip
@given(
    data=st.one_of(
        mutated(),
        mutated(),
        st.lists(mutated(), min_size=2, max_size=4).map(b"".join),
        st.binary(max_size=200),
    )
)
@example(framed(*_with(1, 17, "99999 Y")))
@example(framed(*_with(1, 15, "00010101 00:00:00")))
@example(framed(*_with(1, 15, "99991231 23:59:59 US/Eastern")))
@example(framed(*_with(0, 16, "9" * 5000)))
@example(framed(*_with(2, 17, "1e29")))
@example(framed(*_with(2, 19, "1e29")))
async def test_nonsense_hurts_nobody_else(tws: Tws, data: bytes) -> None:
    broken: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: broken.append(context))
    try:
        async with wire(tws, 8) as bystander:
            async with wire(tws, 5) as client:
                client.writer.write(data)
                client.writer.write_eof()
                async with asyncio.timeout(PATIENCE_SECONDS):
                    try:
                        while await client.reader.read(1 << 16):
                            pass
                    except ConnectionError:
                        pass
            await answers(bystander)
        tws.world.tws.tick()
    finally:
        loop.set_exception_handler(None)
    assert broken == []


async def test_the_book_survives_a_client_that_is_cut_off_in_mid_order(tws: Tws) -> None:
    ib = await tws.connect()
    await filled(ib)
    async with wire(tws, 5) as client:
        client.writer.write(framed(*VALID[2])[:-40])
        await client.writer.drain()
    trade = await place(ib, LimitOrder("BUY", 1, 100), "after")
    assert trade.orderStatus.status == "Submitted"
    assert [order["client"] for order in (await tws.book())["orders"]] == [1, 1]
