"""kill -9 at every place in the life of an order that has a name: `python -m bot` ends there by a real SIGKILL, is started again, and chat, file and broker tell one story.

Each row says what must be so at the moment of death (so that the name is true), and the oracle of tests/crash says what must be so in the end.
"""

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.crash import oracle
from tests.crash.real import real_stage
from tests.crash.recorder import put
from tests.crash.stage import Stage
from tests.crash.work import Job, Result, Worker
from tests.kit import Json

SETTLED, STEP, AT_ONCE, PATIENCE_SECONDS = 0.3, 0.05, 4, 110
Trouble = tuple[tuple[str, dict[str, Any]], ...]


@dataclass
class Moment:
    """What the file and the broker had when the process was gone, before the next one began."""

    code: int
    tables: dict[str, list[dict[str, Any]]]
    orders: list[Json] = field(default_factory=list)
    chat: list[Json] = field(default_factory=list)
    unconfirmed: int = 0

    def state(self) -> list[str]:
        """The states of the bot's orders, in their order."""
        return [row["state"] for row in self.tables["orders"]]

    def at_broker(self) -> list[str]:
        """The statuses of the broker's orders, in their order."""
        return [order["status"] for order in self.orders]

    def unsent(self) -> list[str]:
        """The kinds of what waits in the outbox."""
        return [row["kind"] for row in self.tables["messages"] if row["state"] == "waiting"]

    def finished(self) -> list[bool]:
        """Of every stored update, whether it is done."""
        return [row["finished_at"] is not None for row in self.tables["updates"]]

    def shows(self, words: str) -> bool:
        """Whether somebody can read that."""
        return any(words in message["text"] for message in self.chat)


@dataclass(frozen=True)
class Fault:
    """Where it falls, what is wrong with the world besides, what is so at that moment, and what the simulators count."""

    flow: str
    boundary: str
    then: Callable[[Moment], bool]
    trouble: Trouble = ()
    fired: tuple[str, ...] = ()


FAULTS: dict[str, Fault] = {
    "update fetched not stored": Fault(
        "market", "answered getUpdates#1", lambda m: not m.finished() and m.unconfirmed == 1
    ),
    "stored not answered": Fault(
        "market",
        "after COMMIT finish#1",
        lambda m: m.finished() == [True] and m.unsent() != [] and not m.shows("Margin"),
    ),
    "risk passed, intent not committed": Fault(
        "market",
        "before COMMIT record_sending#1",
        lambda m: m.state() == [] and m.at_broker() == [] and m.tables["tickets"][0]["state"] == "open",
    ),
    "intent committed not sent": Fault(
        "market", "after COMMIT record_sending#1", lambda m: m.state() == ["SENDING"] and m.at_broker() == []
    ),
    "SENDING committed not written": Fault(
        "limit", "before send placeOrder#1", lambda m: m.state() == ["SENDING"] and m.at_broker() == []
    ),
    "written, broker never got it": Fault(
        "market",
        "after send placeOrder#1",
        lambda m: m.state() == ["SENDING"] and m.at_broker() == [],
        (("/tws/swallow", {"count": 1}),),
        ("swallow",),
    ),
    "broker got it, no ack": Fault(
        "limit",
        "after send placeOrder#1",
        lambda m: m.state() == ["SENDING"] and m.at_broker() == ["Submitted"],
        (("/tws/no_ack", {"count": 1}),),
        ("no_ack",),
    ),
    "ack not committed": Fault(
        "limit", "heard OrderReport#1", lambda m: m.state() == ["SENDING"] and m.at_broker() == ["Submitted"]
    ),
    "ack committed, no message": Fault(
        "limit", "after COMMIT record#1", lambda m: m.state() == ["WORKING"] and not m.shows("working")
    ),
    "execution received not committed": Fault(
        "fill",
        "heard Execution#1",
        lambda m: m.at_broker() == ["Filled"] and m.tables["executions"] == [],
    ),
    "committed without commission": Fault(
        "fill",
        "after COMMIT record#1",
        lambda m: len(m.tables["executions"]) == 1 and m.tables["commissions"] == [],
        (("/tws/commissions", {"mode": "never"}),),
        ("commission_never",),
    ),
    "commission first": Fault(
        "fill",
        "heard Commission#1",
        lambda m: m.at_broker() == ["Filled"] and m.tables["executions"] == [],
        (("/tws/commissions", {"mode": "before"}),),
        ("commission_before",),
    ),
    "fill committed, alert not sent": Fault(
        "fill",
        "before sendMessage#1",
        lambda m: m.state() == ["FILLED"] and m.unsent() != [] and not m.shows("FILLED BUY"),
    ),
    "alert sent, not marked": Fault(
        "fill", "answered sendMessage#1", lambda m: m.shows("FILLED BUY") and m.unsent() != []
    ),
    "cancel intent": Fault(
        "cancel",
        "after COMMIT record_cancel#1",
        lambda m: (
            m.tables["orders"][0]["cancel_requested_at"] is not None and m.at_broker() == ["Submitted"]
        ),
    ),
    "cancel written": Fault(
        "cancel",
        "after send cancelOrder#1",
        lambda m: m.state() == ["WORKING"] and m.at_broker() == ["Cancelled"],
    ),
    "fill races cancel": Fault(
        "race",
        "after send cancelOrder#1",
        lambda m: (
            m.state() == ["WORKING"]
            and m.tables["orders"][0]["cancel_requested_at"] is not None
            and m.at_broker() in (["PendingCancel"], ["Filled"])
        ),
        (("/tws/cancels", {"mode": "hold"}),),
        ("cancels_hold",),
    ),
    "modify written": Fault(
        "modify",
        "after send placeOrder#1",
        lambda m: (
            Decimal(m.tables["orders"][0]["limit_price"]) == 150
            and m.tables["orders"][0]["change"] is not None
            and Decimal(m.orders[0]["limit"]) == 151
        ),
    ),
    "bracket parent sent, children not": Fault(
        "bracket",
        "after send placeOrder#1",
        lambda m: m.state() == ["SENDING"] * 3 and m.at_broker() == ["Untransmitted"],
    ),
    "inside reconcile": Fault(
        "away", "before COMMIT record#1", lambda m: m.shows("BUY 10 AAPL") and m.tables["executions"] != [], fired=("correct", "cancel", "external")
    ),
    "halt set, cancels half sent": Fault(
        "halt",
        "after send cancelOrder#1",
        lambda m: (
            '"HALTED"' in str([row["value"] for row in m.tables["wishes"] if row["key"] == "trading"])
            and sorted(o["status"] for o in m.orders if o["side"] == "BUY")
            == ["Cancelled", "Filled", "Submitted", "Submitted"]
            and [o["symbol"] for o in m.orders if o["status"] == "Cancelled"] == ["SPY"]
            and {o["status"] for o in m.orders if o["side"] == "SELL"} <= {"Submitted", "PreSubmitted"}
        ),
    ),
    "inside a migration": Fault("first", "migration step#24", lambda m: m.tables == {}),
}  # fmt: skip
"""The crashes of the order's life, in its words."""

Crash = tuple[Result, list[Moment]]


@contextlib.asynccontextmanager
async def watched(state: Path, moments: list[Moment]) -> AsyncIterator[Stage]:
    """A stage in real time on which somebody looks at all three books whenever a life has ended, before the next begins."""
    async with real_stage(state, None) as made:
        made.step, made.settled = STEP, SETTLED
        over, looking = made._over, set[asyncio.Task[None]]()

        async def look(code: int) -> None:
            if made.shared.cells.died:
                orders = (await made.control.book())["orders"]
                unconfirmed = (await made.control.get("/telegram/counts"))["waiting"]
                moments.append(
                    Moment(code, _tables(made.database), orders, await made.phone.chat(), unconfirmed)
                )
            over(code)

        def seen(code: int) -> None:
            looking.add(asyncio.get_running_loop().create_task(look(code)))

        put(made, "_over", seen)
        yield made
    for end in (made.shared.driver_end, made.shared.bot_end):
        end.close()


def _tables(database: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        return oracle.read(database)
    except sqlite3.OperationalError:
        return {}  # it has no tables yet


async def crash(name: str, state: Path) -> Crash:
    """One story with its death, and what came of it."""
    fault, moments = FAULTS[name], list[Moment]()
    job = Job(fault.flow, (fault.boundary,), trouble=fault.trouble, called=name, real=True)
    # A worker forks and injects time; a run in real time needs neither.
    return await Worker._run(object.__new__(Worker), job, watched(state, moments)), moments


@pytest.fixture(scope="module")
def crashes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Crash]:
    """What became of a crash. Each has a world of its own, so a few run at once: most of their time is waiting."""
    items: list[Any] = request.session.items
    chosen = [
        item.callspec.params["name"] for item in items if getattr(item, "originalname", "") == "test_killed"
    ]
    known: dict[str, Crash] = {}

    async def together(names: list[str]) -> None:
        folders = [tmp_path_factory.mktemp("crash") / "run" for _ in names]
        async with asyncio.timeout(PATIENCE_SECONDS):
            known.update(zip(names, await asyncio.gather(*map(crash, names, folders)), strict=True))

    def of(name: str) -> Crash:
        if name not in known:
            asyncio.run(together([n for n in chosen[chosen.index(name) :] if n not in known][:AT_ONCE]))
        return known[name]

    return of


@pytest.mark.parametrize("name", FAULTS)
def test_killed(crashes: Callable[[str], Crash], name: str) -> None:
    """The process ended exactly there, by SIGKILL; started again, it brings everything to one end: in the file, at the broker, in the chat."""
    fault, (result, moments) = FAULTS[name], crashes(name)
    assert result.died_at == [fault.boundary]
    (moment,) = moments
    assert moment.code == -signal.SIGKILL
    assert fault.then(moment), moment
    assert not [kind for kind in fault.fired if not result.faults.get(kind)], result.faults
    assert result.differences == [], "\n".join([*result.differences, *result.story, result.log])
