"""IB's own client believes the simulated TWS: a long tour is read to the last field of every message, at every layout there has been."""

import asyncio
import os
from itertools import pairwise
from typing import Any

import pytest
from ibapi.message import IN, OUT

from sim.tws import hours
from sim.tws.requests import NAMES
from tests.kit import ROOT
from tests.sim.tws_kit import CALM, Tws, running_tws
from tests.sim.tws_oracle import Client, Fields, Heard, Mismatch, Strict, Tamper, connected
from tests.sim.tws_tour import tour

VERSIONS = (157, 163, 170, 176, 177, 178)
GATES = (158, 160, 162, 163, 164, 166, 170, 176, 177, 178)
"""The server versions that changed the fields of an answer."""
NOT_SPOKEN = {"24": 1}
"""The one request of the tour that the simulated TWS does not know."""
OPEN_ORDER = int(IN.OPEN_ORDER)
LISTS = {
    IN.HISTORICAL_DATA: (4, 0), IN.MARKET_RULE: (2, 0), IN.FAMILY_CODES: (1, 0), IN.SMART_COMPONENTS: (2, 0), IN.HISTOGRAM_DATA: (2, 0),
    IN.HISTORICAL_SCHEDULE: (5, 0), IN.HISTORICAL_TICKS: (2, 1), IN.HISTORICAL_TICKS_BID_ASK: (2, 1), IN.HISTORICAL_TICKS_LAST: (2, 1),
}  # fmt: skip
"""How many fields stand before the elements of a list, the last of them their number, and how many after."""
BEGIN, END = "<!-- messages -->", "<!-- /messages -->"
_TOURS: dict[int, Client] = {}


async def toured(version: int, tamper: Tamper | None = None) -> Client:
    """IB's client after a whole tour at a server version."""
    async with running_tws() as tws:
        now = tws.clock.now()
        tws.clock.advance((hours.next_open(now) - now).total_seconds() + 7200)  # bars grow in a session only
        await tws.post("/tws/limits", messages_per_second=None)  # IB's client does not hold itself back
        await tws.post("/tws/price", symbol="AAPL", **CALM)
        await tws.post("/tws/external", symbol="KO", side="SELL", quantity=2, price=900, working=True)
        client = await asyncio.to_thread(_walk, tws, asyncio.get_running_loop(), version, tamper)
        assert (await tws.get("/tws/counts"))["unknown"] == NOT_SPOKEN
        told = (await tws.get("/tws/events"))["events"]
        assert [event for event in told if event["kind"] in {"bad_request", "protocol_error"}] == []
        wanted = NAMES - ({"user_info"} if version < 167 else set())
        assert wanted - set(tws.world.tws.messages) == set(), "the tour leaves requests out"
    return client


def _walk(tws: Tws, loop: asyncio.AbstractEventLoop, version: int, tamper: Tamper | None) -> Client:
    """The tour, in a thread of its own as IB's client wants it."""

    def post(path: str, body: dict[str, Any]) -> object:
        return asyncio.run_coroutine_threadsafe(tws.post(path, **body), loop).result()

    def hang_up(client_id: int) -> object:
        return post("/tws/drop", {"client": client_id})

    with connected(tws.world.tws.port, version, 0, hang_up, tamper) as client:
        tour(client, post)
    return client


async def whole(version: int) -> Client:
    """The undisturbed tour at a server version, taken once."""
    if version not in _TOURS:
        _TOURS[version] = await toured(version)
    return _TOURS[version]


def believed(version: int, message: int, fields: Fields) -> bool:
    """Whether the strict decoder reads a message at a server version."""
    try:
        Strict(Heard(), version).interpret(fields, message)
    except Mismatch:
        return False
    return True


@pytest.mark.parametrize("version", VERSIONS)
async def test_ibs_client_believes_every_field(version: int) -> None:
    """From connecting to nonsense: nothing is left over, nothing is missing, and what is told of an order is what was said."""
    client = await whole(version)
    assert len(client.answered) >= 40


# -- the controls: were something wrong, it would show


async def test_a_dropped_field_is_noticed() -> None:
    """The same tour fails where open orders lack one field."""
    with pytest.raises(Mismatch, match="message 5 at 178"):
        await toured(178, lambda message, fields: fields[:-1] if message == OPEN_ORDER else fields)


async def test_an_added_field_is_noticed() -> None:
    """The same tour fails where order statuses have one field more."""
    with pytest.raises(Mismatch, match="message 3 at 178"):
        await toured(178, lambda message, fields: (*fields, b"0") if message == IN.ORDER_STATUS else fields)


async def test_a_wrong_gate_is_noticed() -> None:
    """The same tour fails at 170 where the five fields that came with it come one version late."""
    with pytest.raises(Mismatch, match="message 5 at 170"):
        await toured(170, lambda message, fields: fields[:-5] if message == OPEN_ORDER else fields)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_message_is_held_to_its_length(version: int) -> None:
    """Of no message that was exchanged at any version could the last field go, or another one come, unnoticed."""
    for message, seen in (await whole(version)).answered.items():
        for fields in {len(fields): fields for fields in seen}.values():
            assert believed(version, message, fields)
            assert not fields or not believed(version, message, fields[:-1]), (message, fields)
            assert not believed(version, message, (*fields, b"")), (message, fields)


async def test_an_open_order_is_held_to_every_field() -> None:
    """An open order that lacks any one of its fields, wherever it stands, is not believed."""
    fields = (await whole(178)).answered[OPEN_ORDER][0]
    for place in range(len(fields)):
        assert not believed(178, OPEN_ORDER, fields[:place] + fields[place + 1 :]), place


@pytest.mark.parametrize(("before", "gate"), tuple(pairwise((157, *GATES))))
async def test_every_gate_is_held_to_its_version(before: int, gate: int) -> None:
    """What is sent since a server version is not what a client of the one before reads, and what was sent before it is not what is read since."""
    for sent, read in ((gate, gate - 1), (before, gate)):
        seen = (await whole(sent)).answered.items()
        assert not all(believed(read, message, fields) for message, several in seen for fields in several)


# -- the table


def size(message: int, several: list[Fields]) -> str:
    """How many fields a message has after its id; a + where there can be more, n where it is a list."""
    if message in LISTS:
        (head, tail), fields = LISTS[message], several[0]
        return f"{head}+{(len(fields) - head - tail) // int(fields[head - 1])}n{'+1' * tail}"
    if message == IN.SECURITY_DEFINITION_OPTION_PARAMETER:
        return "7+2n"  # two lists, whose lengths the calendar decides
    if message == IN.SYMBOL_SAMPLES:
        return f"2+{next(each for each in (6, 8) if _samples(several[0], each))}n+"
    sizes = {len(fields) for fields in several}
    return f"{min(sizes)}{'+' * (len(sizes) > 1)}"


def _samples(fields: Fields, each: int) -> bool:
    """Whether the symbols that were found have `each` fields, those that name their derivatives aside."""
    at = 2
    for _ in range(int(fields[1])):
        at += each + (int(fields[at + 5]) if at + 5 < len(fields) and fields[at + 5].isdigit() else 0)
    return at == len(fields)


def table(clients: dict[int, Client]) -> str:
    """Every message of the tour by server version."""
    rows = []
    for title, names, side in (("request", OUT, "asked"), ("answer", IN, "answered")):
        rows += [
            "",
            f"| id | {title} | {' | '.join(map(str, clients))} |",
            f"|---|---|{'---|' * len(clients)}",
        ]
        called = {value: name for name, value in vars(names).items() if isinstance(value, int)}
        exchanged = {version: getattr(client, side) for version, client in clients.items()}
        for message in sorted({message for by_id in exchanged.values() for message in by_id}):
            if side == "asked" and str(message) in NOT_SPOKEN:
                continue
            cells = [
                size(message if side == "answered" else 0, by_id[message]) if message in by_id else "–"
                for by_id in exchanged.values()
            ]
            rows.append(f"| {message} | {called[message].lower().replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


async def test_the_manual_shows_every_message_by_version() -> None:
    """The table between the marks is made from the tours; UPDATE_SIMULATORS=1 writes it."""
    manual = ROOT / "docs" / "simulators.md"
    text = manual.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, "the marks are gone"
    wanted = (
        f"{before}{BEGIN}\n{table({version: await whole(version) for version in VERSIONS})}\n{END}{after}"
    )
    if os.environ.get("UPDATE_SIMULATORS"):
        manual.write_text(wanted, "utf-8")
    assert manual.read_text("utf-8") == wanted
