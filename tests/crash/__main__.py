"""`make crash`: kills the bot at every boundary of every flow, and prints what came of it."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the process that forks must have one thread

import argparse
import json
import random
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.crash.flows import FLOWS
from tests.crash.life import warm
from tests.crash.oracle import summary
from tests.crash.work import Job, serve

Json = dict[str, Any]
say = partial(print, flush=True)
SECOND = 0.3
"""How many of the runs after the first sweep kill the next life too."""


class Crew:
    """Workers in processes of their own; `run` yields results as they come."""

    def __init__(self, count: int, folder: Path) -> None:
        self._roads: list[socket.socket] = []
        self._pids: list[int] = []
        for number in range(count):
            here, there = socket.socketpair()
            pid = os.fork()
            if pid == 0:
                here.close()
                for road in self._roads:
                    road.close()
                serve(there, folder / f"worker-{number}")
            there.close()
            self._roads.append(here)
            self._pids.append(pid)
        self._lines = {road: road.makefile("r", encoding="utf-8") for road in self._roads}
        for road in self._roads:
            self._hear(road)

    def _hear(self, road: socket.socket) -> Json:
        line = self._lines[road].readline()
        if not line:
            raise SystemExit("a worker ended; what it wrote above says why")
        told: Json = json.loads(line)
        return told

    def run(self, jobs: Iterator[Job]) -> Iterator[Json]:
        """Every job by whoever is free; results in the order in which they come."""
        with selectors.DefaultSelector() as ears:
            for road in self._roads:
                ears.register(road, selectors.EVENT_READ, road)
                self._give(road, jobs, ears)
            while ears.get_map():
                for key, _ in ears.select():
                    told = self._hear(key.data)
                    self._give(key.data, jobs, ears)
                    yield told

    def _give(self, road: socket.socket, jobs: Iterator[Job], ears: selectors.BaseSelector) -> None:
        job = next(jobs, None)
        if job is None:
            ears.unregister(road)
        else:
            road.sendall(json.dumps(asdict(job)).encode() + b"\n")

    def close(self) -> None:
        """Let them go home."""
        for road in self._roads:
            self._lines[road].close()
            road.close()
        for pid in self._pids:
            os.waitpid(pid, 0)


def plan(lengths: dict[str, int], kills: int, seed: int, mutations: tuple[str, ...]) -> Iterator[Job]:
    """First every boundary of every flow once, with nothing else wrong; then again and again, with other things wrong besides."""
    chance = random.Random(f"plan {seed}")
    sweep = [(flow, place) for flow, length in lengths.items() for place in range(1, length + 1)]
    chance.shuffle(sweep)
    for flow, place in sweep[:kills]:
        yield Job(flow, (place,), 0, mutations)
    for number in range(kills - len(sweep)):
        flow, place = sweep[number % len(sweep)]
        more = (chance.randrange(1, 60),) if chance.random() < SECOND else ()
        yield Job(flow, (place, *more), seed * 1_000_000 + number + 1, mutations)


def table(kills: dict[str, Counter[str]], bad: dict[str, Counter[str]], flows: Sequence[str]) -> str:
    """Boundaries down, flows across; each cell is the kills there, with the runs that differ behind a stroke."""
    width = max((len(name) for name in kills), default=8)
    lines = [" ".join([" " * width, *(flow[:9].rjust(9) for flow in flows), "      all"])]
    for name in sorted(kills, key=lambda n: (n.split()[-1], n)):
        cells = [_cell(kills[name][flow], bad[name][flow]) for flow in flows]
        whole = _cell(kills[name].total(), bad[name].total())
        lines.append(" ".join([name.ljust(width), *cells, whole]))
    each = [_cell(sum(k[f] for k in kills.values()), sum(b[f] for b in bad.values())) for f in flows]
    total = _cell(sum(k.total() for k in kills.values()), sum(b.total() for b in bad.values()))
    return "\n".join([*lines, " ".join(["all".ljust(width), *each, total])])


def _cell(count: int, wrong: int) -> str:
    return (f"{count}/{wrong}" if wrong else str(count) if count else "·").rjust(9)


def version() -> str:
    """The commit, where there is one."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=2000, help="how many lives of the bot end at a boundary")
    parser.add_argument("--seed", type=int, default=1, help="of the order, and of what else goes wrong")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--flow", action="append", choices=sorted(FLOWS), help="only this one (repeatable)")
    parser.add_argument("--mutate", action="append", default=[], help="a bot that is wrong on purpose")
    parser.add_argument("--at", default="", help="only boundaries with this in their name")
    parser.add_argument("--replay", default="", help="one run again, as it was printed: a job in JSON")
    parser.add_argument("--shown", type=int, default=10, help="how many runs that differ are told whole")
    return parser.parse_args(words)


def main() -> int:
    """0 where nothing differs."""
    asked = options()
    flows = asked.flow or list(FLOWS)
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="crash-", dir=memory if memory.is_dir() else None))
    say(
        f"crash: commit {version()}, seed {asked.seed}, {asked.kills} kills, {asked.workers} workers, flows {', '.join(flows)}",
    )
    warm()
    crew = Crew(asked.workers, folder)
    try:
        return _sweep(crew, asked, flows)
    finally:
        crew.close()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(crew: Crew, asked: argparse.Namespace, flows: Sequence[str]) -> int:
    began, mutations = time.monotonic(), tuple(asked.mutate)
    if asked.replay:
        told = json.loads(asked.replay)
        job = Job(told["flow"], tuple(told["kills"]), told["seed"], tuple(told["mutations"]))
        for result in crew.run(iter([job])):
            say(json.dumps(result, indent=1, ensure_ascii=False))
            return 1 if result["differences"] else 0
    recorded = {r["job"]["flow"]: r for r in crew.run(iter([Job(flow) for flow in flows]))}
    for flow, result in recorded.items():
        say(f"recorded {flow}: {len(result['names'])} boundaries in {result['seconds']:.2f} s")
        if result["differences"]:
            say(f"  without any kill:\n{summary(result['differences'])}")
            if asked.shown:
                say(*result["story"], result["log"], sep="\n      ")
    lengths = {flow: len(recorded[flow]["names"]) for flow in flows}
    jobs = plan(lengths, asked.kills, asked.seed, mutations)
    if asked.at:
        jobs = (j for j in jobs if asked.at in recorded[j.flow]["names"][j.kills[0] - 1])
    kills: dict[str, Counter[str]] = defaultdict(Counter)
    bad: dict[str, Counter[str]] = defaultdict(Counter)
    tally: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    runs = differing = shown = 0
    reasons: Counter[str] = Counter()
    for result in crew.run(jobs):
        runs += 1
        flow = result["job"]["flow"]
        for name in result["died_at"]:
            kills[_bare(name)][flow] += 1
        tally.update(result["tally"])
        faults.update(result["faults"])
        if result["differences"]:
            differing += 1
            name = _bare(result["died_at"][0]) if result["died_at"] else "no boundary"
            bad[name][flow] += 1
            reasons.update(_shape(d) for d in result["differences"])
            if shown < asked.shown:
                shown += 1
                again = json.dumps(result["job"] | {"kills": result["died_at"]})
                say(
                    f"\nDIFFERENT {json.dumps(result['job'])} again with --replay '{again}' died at {result['died_at']}\n{summary(result['differences'])}",
                )
                say(
                    *result["story"],
                    *result["log"].splitlines()[:30],
                    "passed: " + " | ".join(result["names"]),
                    sep="\n      ",
                )
        if runs % 500 == 0:
            say(
                f"{runs} runs, {sum(k.total() for k in kills.values())} kills, {differing} differ, {time.monotonic() - began:.0f} s",
            )
    say("\n" + table(kills, bad, flows))
    ends = sum(k.total() for k in kills.values())
    say(f"\nallowed and counted: {dict(sorted(tally.items()))}")
    say(f"faults of the world that fired: {dict(sorted(faults.items()))}")
    if reasons:
        say(
            "kinds of differences:\n"
            + "\n".join(f"  {count:6} {what}" for what, count in reasons.most_common())
        )
    say(
        f"seed {asked.seed}: {ends} kills in {runs} runs, {differing} differences, {time.monotonic() - began:.1f} s"
    )
    return 1 if differing or any(r["differences"] for r in recorded.values()) else 0


def _bare(name: str) -> str:
    """A boundary without the number of the time that it was passed."""
    return name.rpartition("#")[0]


def _shape(difference: str) -> str:
    import re

    return re.sub(r"[0-9A-Z]{26}|\d+(\.\d+)?|[0-9a-f]{8}(\.[0-9a-f]+)+", "~", difference)[:140]


if __name__ == "__main__":
    sys.exit(main())
