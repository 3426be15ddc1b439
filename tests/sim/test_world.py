"""The world in a box: its control port, and `python -m sim` as a process."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from ib_async import IB, MarketOrder

from sim.control import Answer, application, get
from sim.world import AlreadyRunning, PortTaken, World
from tests.sim.process_kit import sim
from tests.sim.tws_kit import AAPL, Tws, running_tws, until


@pytest.fixture
async def tws() -> AsyncIterator[Tws]:
    async with running_tws() as tws:
        yield tws


async def test_every_route_is_listed_with_what_it_does(tws: Tws) -> None:
    listed = (await tws.get("/"))["routes"]
    paths = {route["path"] for route in listed}
    assert {"/", "/clock", "/tws/book", "/tws/price", "/tws/events"} <= paths
    assert any(path.startswith("/telegram") for path in paths)
    assert any(path.startswith("/model") for path in paths)
    assert [route["path"] for route in listed if not route["does"]] == []
    clock = next(route for route in listed if (route["method"], route["path"]) == ("POST", "/clock"))
    assert clock["body"]["to"] == {
        "type": "date-time or null", "default": None, "means": "ISO 8601 with its zone",
    }  # fmt: skip


async def test_the_openapi_document_has_every_route_with_its_fields(tws: Tws) -> None:
    listed = (await tws.get("/"))["routes"]
    document = await tws.get("/openapi.json")
    assert {(method.upper(), path) for path, methods in document["paths"].items() for method in methods} == {
        (route["method"], route["path"]) for route in listed
    }
    schemas = document["components"]["schemas"]
    for route in listed:
        operation = document["paths"][route["path"]][route["method"].lower()]
        if "body" in route:
            named = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert set(schemas[named.rpartition("/")[2]]["properties"]) == set(route["body"])
        asked = {parameter["name"] for parameter in operation.get("parameters", ())}
        assert asked == set(route.get("query", ()))


async def test_health_says_where_everything_is(tws: Tws) -> None:
    told = await tws.get("/health")
    assert (told["ok"], told["seed"], told["control"]) == (True, 1, tws.world.control_url)
    assert told["servers"] == {
        "tws": tws.world.tws.address,
        "telegram": tws.world.telegram.address,
        "model": tws.world.model.address,
    }


async def test_the_clock_goes_to_a_moment_and_not_back(tws: Tws) -> None:
    moment = (tws.clock.now() + timedelta(days=3)).replace(microsecond=0)
    told = await tws.post("/clock", to=moment.isoformat())
    assert moment <= datetime.fromisoformat(told["now"]) < moment + timedelta(seconds=5)
    for body in (
        {},
        {"advance": 1, "to": moment.isoformat()},
        {"to": "2020-01-01T00:00:00Z"},
        {"to": "2035-01-01T00:00:00"},
    ):
        assert len((await tws.post("/clock", status=400, **body))["error"]) > 20


async def test_a_world_can_do_without_some_servers() -> None:
    with pytest.raises(ValueError, match="servers are tws, telegram, model, not tv"):
        World(None, servers=("tv",))
    async with World(None, servers=("model",)) as world:
        assert set(world.places()) == {"model", "control"}
        with pytest.raises(LookupError, match="only model"):
            _ = world.tws


async def test_a_mistake_of_the_simulator_is_told_as_one() -> None:
    def wrong() -> Answer:
        """Divide by nothing."""
        raise ZeroDivisionError("by nothing")

    async with (
        TestClient(TestServer(application([get("/wrong", wrong)]))) as http,
        http.get("/wrong") as response,
    ):
        assert response.status == 500
        assert "not of the request" in (await response.json())["error"]


async def test_the_clock_moves_forward_and_remembers(tmp_path: Path) -> None:
    async with running_tws(state=tmp_path) as tws:
        before = tws.clock.now()
        await tws.post("/clock", advance=3600)
        assert (tws.clock.now() - before).total_seconds() >= 3600
        moved = tws.clock.now()
    async with running_tws(state=tmp_path) as tws:
        assert tws.clock.now() > moved


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
    ],
)
async def test_the_control_port_is_not_for_web_pages(tws: Tws, headers: dict[str, str], status: int) -> None:
    async with tws.http.get(tws.world.control_url + "/clock", headers=headers) as response:
        assert response.status == status


async def test_what_the_control_port_does_not_know(tws: Tws) -> None:
    async with tws.http.get(tws.world.control_url + "/nothing") as response:
        assert (response.status, "GET / lists" in (await response.json())["error"]) == (404, True)
    async with tws.http.post(tws.world.control_url + "/tws/drop", data=b"{not json") as response:
        assert (response.status, "JSON" in (await response.json())["error"]) == (400, True)
    async with tws.http.get(tws.world.control_url + "/tws/events?after=x") as response:
        assert response.status == 400


async def test_events_are_waited_for(tws: Tws) -> None:
    last = (await tws.get("/tws/events"))["last"]
    waiting = asyncio.ensure_future(tws.get("/tws/events", after=last, timeout=10))
    await tws.connect()
    assert (await waiting)["events"]
    assert (await tws.get("/tws/events", after=10**9, timeout=0))["events"] == []


async def test_everything_listens_on_loopback_only(tws: Tws) -> None:
    world = tws.world
    assert world.tws.address.startswith("127.0.0.1:")
    for address in (world.telegram.address, world.model.address, world.control_url):
        assert address.startswith("http://127.0.0.1:")


async def test_a_taken_port_is_named_and_nothing_stays_behind() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for which in ("tws", "telegram", "model", "control"):
            with pytest.raises(PortTaken, match=f"port {port} for {which} "):
                await World(None, **{f"{which}_port": port}).__aenter__()


async def test_two_worlds_do_not_share_a_state(tmp_path: Path) -> None:
    async with World(tmp_path):
        with pytest.raises(AlreadyRunning, match="another one is already running"):
            World(tmp_path)
    async with World(tmp_path):
        pass


async def test_closing_does_not_wait_for_clients_that_hang() -> None:
    loop = asyncio.get_running_loop()
    async with World(None) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.tws.port)
        async with aiohttp.ClientSession() as http:
            hanging = asyncio.ensure_future(http.get(world.control_url + "/tws/events?after=99&timeout=100"))
            await asyncio.sleep(0.05)
            begun = loop.time()
            await world.__aexit__(None, None, None)
            assert loop.time() - begun < 2
            with contextlib.suppress(aiohttp.ClientError):
                await hanging
        assert await reader.read() == b""
        writer.close()


async def test_sim_prints_where_it_listens_and_ends_on_a_signal(tmp_path: Path) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        async with sim(tmp_path) as running:
            await running.ready()
            assert running.addresses["tws"].startswith("127.0.0.1:")
            assert " token " in running.addresses["telegram"]
            assert "/?key=" in running.addresses["chat page"]
            seen = [await running.line() for _ in range(3)]
            assert "SIMULATED" in seen[1]
            assert seen[2].endswith(running.addresses["chat page"])
            assert await running.end(signum) == 0


async def test_sim_remembers_after_a_kill(tmp_path: Path) -> None:
    async with sim(tmp_path) as running:
        await running.ready()
        ib = IB()
        host, port = running.addresses["tws"].split(":")
        await ib.connectAsync(host, int(port), 1, raiseSyncErrors=True)
        trade = ib.placeOrder(AAPL, MarketOrder("BUY", 3, orderRef="kept"))
        await until(ib, trade.isDone)
        book = await running.get("/tws/book")
        book.pop("figures")  # they move with the prices
        ib.disconnect()
        assert await running.end(signal.SIGKILL) == -signal.SIGKILL
    async with sim(tmp_path) as running:
        await running.ready()
        assert (await running.get("/tws/book")) | {"figures": None} == book | {"figures": None}


async def test_sim_refuses_a_second_one_and_a_taken_port_in_one_line(tmp_path: Path) -> None:
    async with sim(tmp_path) as running:
        await running.ready()
        async with sim(tmp_path) as second:
            told = await second.line()
            assert "another one is already running" in told
            assert running.addresses["chat page"] in told
            assert await second.process.wait() == 1
        port = running.addresses["tws"].split(":")[1]
        async with sim(tmp_path / "other", "--tws-port", port) as third:
            assert f"port {port} for tws cannot be used" in await third.line()
            assert await third.process.wait() == 1


async def test_bookmark_and_open_tab_survive_a_restart(tmp_path: Path) -> None:
    """The same ports and the same key as before; the Bot API's token is a new one, and the state is nobody else's to read."""
    async with (
        World(tmp_path) as world,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as tab,
    ):
        before = world.tws.address, world.telegram.page_url, world.model.address, world.control_url
        token = world.telegram.token
        async with tab.get(world.telegram.page_url) as page:
            assert page.status == 200
        cookies = [(c.key, c.value) for c in tab.cookie_jar]
    async with World(tmp_path) as world, aiohttp.ClientSession() as tab:
        assert (world.tws.address, world.telegram.page_url, world.model.address, world.control_url) == before
        assert world.telegram.token != token
        async with tab.get(world.telegram.address, cookies=dict(cookies)) as page:
            assert page.status == 200
        assert (tmp_path / "world.db").stat().st_mode & 0o077 == 0


async def test_a_port_of_the_last_run_that_is_taken_now_is_given_up(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        port = world.telegram.port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        async with World(tmp_path) as world:
            assert world.telegram.port not in (0, port)


async def test_the_address_is_told_once_the_bot_hears(tmp_path: Path) -> None:
    """Whoever opens the page then is answered, not kept waiting."""
    async with sim(tmp_path, bot=True) as running:
        await running.ready()
        while not (line := await running.line()).startswith("Open this in a browser: "):
            pass
        assert line.endswith(running.addresses["chat page"])
        assert (await running.get("/telegram/counts"))["calls"]["getUpdates"] >= 1


async def test_a_bot_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    """One sentence of what is wrong and one of what to do; no traceback, no further attempts, no address of a dead chat."""
    (tmp_path / "greenlight.db").write_bytes(b"no database" * 1000)
    async with sim(tmp_path, bot=True) as running:
        await running.ready()
        assert running.process.stdout is not None
        async with asyncio.timeout(20):
            rest = (await running.process.stdout.read()).decode()
        assert await running.process.wait() == 1
    told = [line for line in rest.splitlines() if line]
    assert told[1].startswith("The bot could not start: Greenlight cannot start: ")
    assert "bot.log" in told[2]
    assert told[3:] == ["Stopping."]
    assert "Open this" not in rest
    assert "Traceback" not in rest


@pytest.mark.parametrize("option", [("--tws-port", "70000"), ("--seed", "x"), ("--what", "1")])
async def test_sim_says_what_is_wrong_with_its_options(tmp_path: Path, option: tuple[str, str]) -> None:
    async with sim(tmp_path, *option) as running:
        assert "usage" in await running.line()
        assert await running.process.wait() == 2


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks at other processes through /proc")


@needs_proc
async def test_sim_starts_a_bot_again_that_died_and_takes_it_along(tmp_path: Path) -> None:
    async with sim(tmp_path, bot=True) as running:
        await running.ready()
        bot = await child_of(running.process.pid)
        os.kill(bot, signal.SIGKILL)
        while "exit code -9; starting it again" not in await running.line():
            pass
        other = await child_of(running.process.pid, not_this=bot)
        assert await running.end() == 0
        assert not alive(other)


@needs_proc
async def test_a_killed_sim_takes_its_bot_along(tmp_path: Path) -> None:
    async with sim(tmp_path, bot=True) as running:
        await running.ready()
        bot = await child_of(running.process.pid)
        await running.end(signal.SIGKILL)
        async with asyncio.timeout(10):
            while alive(bot):  # noqa: ASYNC110 - nobody tells us when a process that is not our child ends
                await asyncio.sleep(0.02)


async def child_of(parent: int, not_this: int = 0) -> int:
    """The process that another one started, as soon as there is one."""
    async with asyncio.timeout(10):
        while not (found := [c for c in children(parent) if c != not_this]):  # noqa: ASYNC110 - nor when it begins
            await asyncio.sleep(0.02)
    return found[0]


def children(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()]


def alive(process: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
