"""Runs, one after the other, in a process of their own: each is a job in JSON and ends as a result in JSON."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import sys
import time
import traceback
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.crash import oracle
from tests.crash.life import Nursery
from tests.crash.mutations import MUTATIONS
from tests.crash.option_flows import FLOWS
from tests.crash.real import real_stage
from tests.crash.stage import Lost, Stage, on_the_common_clock, stage
from tests.crash.timeline import Shared

AFTER_THE_FIRST = timedelta(minutes=10)
"""Runs begin when the life that left the file behind is over: what happened before the bot first looked is no news to it."""
NEXT_COMPARISON = 70.0
"""Seconds after which the bot has compared its books with the broker's once more without a reason, and a second time where they differ."""
REAL_SECONDS = 90
"""Nothing takes so long; a run that does is a fault of the harness and ends it."""


QUESTIONS = (("lots", "Lots of .*FIFO"), ("positions", "[Pp]osition"))
"""What is asked about the symbol of a story when everything has come to rest."""


@dataclass(frozen=True)
class Job:
    """A run: a flow, the boundaries at which its lives end, and the seed of what else goes wrong (0: nothing)."""

    flow: str
    kills: tuple[int | str, ...] = ()
    seed: int = 0
    mutations: tuple[str, ...] = ()
    trouble: tuple[tuple[str, dict[str, Any]], ...] = ()
    called: str = ""
    """The name of the crash, where it has one."""
    real: bool = False
    """A program of its own in real time that ends by SIGKILL, instead of a forked one on the common clock."""

    @classmethod
    def told(cls, told: dict[str, Any]) -> "Job":
        """From what JSON made of it."""
        lists = {name: tuple(told.get(name, ())) for name in ("kills", "mutations")}
        trouble = tuple((path, body) for path, body in told.get("trouble", ()))
        return cls(**{**told, **lists, "trouble": trouble})


@dataclass
class Result:
    """What became of a run. `names` are the boundaries that were passed in it."""

    job: dict[str, Any]
    names: list[str] = field(default_factory=list)
    died_at: list[str] = field(default_factory=list)
    lives: int = 0
    differences: list[str] = field(default_factory=list)
    tally: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    log: str = ""
    story: list[str] = field(default_factory=list)


class Worker:
    """A folder, a page of shared memory and a nursery; runs have the folder for themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.shared = Shared()
        self.nursery = Nursery(self.shared, MUTATIONS)
        self._base = folder / "base.db"

    def prepare(self) -> None:
        """Let the bot be there once before, so that runs begin with a file that exists and books that are open."""

        async def first() -> None:
            async with stage(self.shared, self.nursery, self.folder / "first", None) as made:
                made.begin()
                await made.ready()
                await made.rest()
                await made.close()
                for tail in ("", "-wal"):
                    shutil.copy(made.state / f"greenlight.db{tail}", f"{self._base}{tail}")

        with on_the_common_clock(self.shared) as runner:
            runner.run(first())
        books = sqlite3.connect(self._base)
        books.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        books.close()

    def run(self, job: Job) -> Result:
        """One run, from an empty world to the comparison."""
        began, result = time.monotonic(), Result(job=asdict(job))
        signal.alarm(REAL_SECONDS)
        flow = FLOWS[job.flow]
        if job.real:
            result = asyncio.run(self._run(job, real_stage(self.folder / "run", self._base_of(job))))
        else:
            began_at = on_the_common_clock(
                self.shared, flow.hour, last_day=flow.last_day, later=AFTER_THE_FIRST
            )
            with began_at as runner:
                place = stage(self.shared, self.nursery, self.folder / "run", self._base_of(job))
                result = runner.run(self._run(job, place))
        signal.alarm(0)
        result.seconds = round(time.monotonic() - began, 3)
        return result

    def _base_of(self, job: Job) -> Path | None:
        if FLOWS[job.flow].first:
            return None
        if job.real:
            return self._of_now()
        return self._base

    def _of_now(self) -> Path:
        """The file as if the bot had left it now, and not at the hour of the common clock: since then it looks at how options end."""
        file = self.folder / "now.db"
        shutil.copy(self._base, file)
        books = sqlite3.connect(file)
        with books:
            now = datetime.now(UTC).replace(microsecond=0).isoformat()  # noqa: TID251 - what runs in real time
            books.execute("UPDATE wishes SET value = ? WHERE key = 'nudging_since'", (now,))
        books.close()
        return file

    async def _run(self, job: Job, place: AbstractAsyncContextManager[Stage]) -> Result:
        flow, result = FLOWS[job.flow], Result(job=asdict(job))
        chance = random.Random(f"{job.flow} {job.seed}") if job.seed else None
        async with place as made:
            made.kills, made.chance, made.mutations = list(job.kills), chance, job.mutations
            made.trouble = list(job.trouble)
            made.options = flow.options(made)
            await flow.prepare(made)
            if flow.from_birth:
                made.armed = True
            made.begin()
            try:
                await made.ready()
                await flow.play(made)
                await made.after_all()
            except (Lost, AssertionError, LookupError, ValueError) as lost:
                made.complaints.append(f"{type(lost).__name__}: {lost}"[:600])
            shown: dict[str, str] = {}
            try:
                await made.rest()
                made.disarm()
                if flow.symbol and not job.real:
                    await made.passes(NEXT_COMPARISON)
                    await made.rest()
                for line, answer in QUESTIONS if flow.symbol else ():
                    told = await made.phone.asks(f"/{line} {flow.symbol}", answer)
                    shown[line] = told["text"]
                    await made.rest()
            except Lost as lost:
                made.complaints.append(str(lost)[:600])
            finally:
                await made.close()
            books = await self._books(made)
            books.symbol, books.lots, books.positions = (
                flow.symbol,
                shown.get("lots", ""),
                shown.get("positions", ""),
            )
            if (
                flow.symbol
                and chance is None
                and not job.trouble
                and not job.real
                and made.counted_from_start
            ):
                books.sends = made.names.count("after send placeOrder")
            result.differences = oracle.differences(books)
            result.tally = dict(books.tally)
            result.names, result.died_at, result.lives = made.names, made.died_at, made.lives
            result.faults = {
                **(await made.control.get("/tws/counts"))["faults"],
                **(await made.control.get("/telegram/counts"))["faults"],
            }
            result.story = _story(books)
            if result.differences:
                result.log = books.log[-4000:]
        return result

    async def _books(self, made: Stage) -> oracle.Books:
        events = (await made.control.get("/telegram/events", after=0))["events"]
        return oracle.Books(
            book=await made.control.book(),
            events=(await made.control.get("/tws/events", after=0))["events"],
            chat=await made.phone.chat(),
            said=[str(e.get("text", "")) for e in events],
            tables=oracle.read(made.database),
            approved=made.approved,
            waiting=(await made.control.get("/telegram/counts"))["waiting"],
            complaints=made.complaints,
            log=made.log.read_text() if made.log.exists() else "",
        )


def _story(books: oracle.Books) -> list[str]:
    lines = [
        f"broker: {o['ref'] or 'by hand'} {o['side']} {o['quantity']} {o['symbol']} {o['type']} {o['status']} {o['filled']}"
        for o in books.book["orders"]
    ]
    lines += [
        f"file: #{o['number']} {o['order_ref']} {o['role']} {o['state']} {o['filled']}/{o['quantity']} perm {o['perm_id']} {o['reason']}"
        for o in books.tables["orders"]
    ]
    lines += [f"closing: {c['ticket_id']} {c['state']} {c['protection']}" for c in books.tables["closings"]]
    return lines + [f"{m['from']} {m['id']}: {' / '.join(m['text'].splitlines())}" for m in books.chat]


def serve(road: socket.socket, folder: Path) -> None:
    """Take jobs from the road until it ends. For a forked process."""
    code = 1
    try:
        worker = Worker(folder)
        worker.prepare()
        road.sendall(b'{"ready": true}\n')
        with road.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                job = Job.told(json.loads(line))
                road.sendall(json.dumps(asdict(worker.run(job))).encode() + b"\n")
        worker.nursery.close()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        shutil.rmtree(folder, ignore_errors=True)
        sys.stdout.flush()
        os._exit(code)
