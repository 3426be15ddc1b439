"""`make crash`: kills the bot at every boundary of every flow, and prints what came of it."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the process that forks must have one thread

import argparse
import json
import random
import re
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

from tests.crash.life import warm
from tests.crash.mutations import WRONG
from tests.crash.named import FAULTS, Row
from tests.crash.option_flows import FLOWS
from tests.crash.oracle import summary
from tests.crash.work import Job, serve

Json = dict[str, Any]
say = partial(print, flush=True)
BITES = 2
"""How often each bot that is wrong on purpose is killed."""
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


def plan(
    names: dict[str, list[str]], kills: int, seed: int, mutations: tuple[str, ...], at: str
) -> Iterator[Job]:
    """First every boundary of every flow once, with nothing else wrong; then again and again, with other things wrong besides.

    With `at`, only boundaries with this in their name.
    """
    chance = random.Random(f"plan {seed}")
    # By its name and time a boundary is met for sure; by its number alone only where no thread was quicker than in the recording.
    sweep: list[tuple[str, int | str]] = [
        (flow, f"{name}#{names[flow][:place].count(name)}" if at else place)
        for flow in names
        for place, name in enumerate(names[flow], 1)
        if at in name
    ]
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
    parser.add_argument(
        "--sigkill",
        type=int,
        default=0,
        help="how many programs of their own end by a real SIGKILL, behind the others",
    )
    parser.add_argument(
        "--named", action="store_true", help="each named crash once, results as lines of JSON"
    )
    parser.add_argument(
        "--bites", action="store_true", help="bots that are wrong on purpose, results as lines of JSON"
    )
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
        for result in crew.run(iter([Job.told(json.loads(asked.replay))])):
            say(json.dumps(result, indent=1, ensure_ascii=False))
            return 1 if result["differences"] else 0
    if asked.named or asked.bites:
        failed = _named(crew) if asked.named else _bites(crew)
        say(f"all of it took {time.monotonic() - began:.0f} s")
        return failed
    recorded = {r["job"]["flow"]: r for r in crew.run(iter([Job(flow) for flow in flows]))}
    for flow, result in recorded.items():
        say(f"recorded {flow}: {len(result['names'])} boundaries in {result['seconds']:.2f} s")
        if result["differences"]:
            say(f"  without any kill:\n{summary(result['differences'])}")
            if asked.shown:
                say(*result["story"], result["log"], sep="\n      ")
    names = {flow: result["names"] for flow, result in recorded.items()}
    jobs = plan(names, asked.kills, asked.seed, mutations, asked.at)
    wrong = _told("in-process kills", crew.run(jobs), asked, flows)
    if asked.sigkill:
        # On the clock of the machine it is the day that it is.
        rows = [row for row in FAULTS if row[1] in flows and not FLOWS[row[1]].last_day]
        jobs = named_plan(names, rows, asked.sigkill, asked.seed, real=True)
        wrong += _told("SIGKILLs", crew.run(jobs), asked, flows)
    say(f"all of it took {time.monotonic() - began:.0f} s")
    return 1 if wrong or any(r["differences"] for r in recorded.values()) else 0


def named_plan(
    names: dict[str, list[str]], rows: Sequence[Row], kills: int, seed: int, *, real: bool
) -> Iterator[Job]:
    """Each named fault in turn; which time that its boundary is passed, by chance."""
    chance = random.Random(f"real {seed}")
    for number in range(kills):
        called, flow, boundary, trouble = rows[number % len(rows)]
        if "#" not in boundary:
            boundary += f"#{chance.randint(1, max(names.get(flow, []).count(boundary), 1))}"
        yield Job(flow, (boundary,), trouble=trouble, called=called, real=real)


def _named(crew: Crew) -> int:
    """Each named crash once, in-process; one line of JSON each."""
    wrong = 0
    for result in crew.run(named_plan({}, FAULTS, len(FAULTS), 1, real=False)):
        wrong += bool(result["differences"])
        say(json.dumps(result))
    return 1 if wrong else 0


def _bites(crew: Crew) -> int:
    """Every bot that is wrong on purpose, killed a few times where it must show; one line of JSON each."""
    flows = dict.fromkeys(flow for flow, _, _ in WRONG.values())
    names = {r["job"]["flow"]: r["names"] for r in crew.run(iter([Job(flow) for flow in flows]))}
    jobs = [
        job
        for mutation, (flow, at, _) in WRONG.items()
        for job in plan({flow: names[flow]}, BITES, 1, (mutation,), at)
    ]
    for result in crew.run(iter(jobs)):
        say(json.dumps(result))
    return 0


def _told(what: str, results: Iterator[Json], asked: argparse.Namespace, flows: Sequence[str]) -> int:
    """Print what became of runs; how many of them differ."""
    began = time.monotonic()
    kills: dict[str, Counter[str]] = defaultdict(Counter)
    bad: dict[str, Counter[str]] = defaultdict(Counter)
    tally: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    named: Counter[str] = Counter()
    runs = differing = 0
    for result in results:
        runs += 1
        flow = result["job"]["flow"]
        for name in result["died_at"]:
            kills[_bare(name)][flow] += 1
        if result["job"]["called"] and result["died_at"]:
            named[result["job"]["called"]] += 1
        tally.update(result["tally"])
        faults.update(result["faults"])
        if result["differences"]:
            differing += 1
            bad[_bare(result["died_at"][0]) if result["died_at"] else "no boundary"][flow] += 1
            reasons.update(_shape(d) for d in result["differences"])
            if differing <= asked.shown:
                _tell(result)
        if runs % 500 == 0:
            ends = sum(k.total() for k in kills.values())
            say(f"{runs} runs, {ends} {what}, {differing} differ, {time.monotonic() - began:.0f} s")
    say("\n" + table(kills, bad, [f for f in flows if any(k[f] for k in kills.values())]))
    if named:
        say("\n" + "\n".join(f"{count:6} {name}" for name, count in named.items()))
    say(f"\nallowed and counted: {dict(sorted(tally.items()))}")
    say(f"faults of the world that fired: {dict(sorted(faults.items()))}")
    if reasons:
        lines = (f"  {count:6} {reason}" for reason, count in reasons.most_common())
        say("kinds of differences:\n" + "\n".join(lines))
    ends = sum(k.total() for k in kills.values())
    say(
        f"seed {asked.seed}: {ends} {what} in {runs} runs, {differing} runs differ, {time.monotonic() - began:.1f} s"
    )
    return differing


def _tell(result: Json) -> None:
    """A run that differs, and how to have it again."""
    again = json.dumps(result["job"] | {"kills": result["died_at"]})
    say(
        f"\nDIFFERENT {json.dumps(result['job'])}; again with --replay '{again}'\n{summary(result['differences'])}"
    )
    passed = "passed: " + " | ".join(result["names"])
    say(*result["story"], *result["log"].splitlines()[:30], passed, sep="\n      ")


def _bare(name: str) -> str:
    """A boundary without the number of the time that it was passed."""
    return name.rpartition("#")[0]


def _shape(difference: str) -> str:
    """A difference without its numbers and names."""
    return re.sub(r"[0-9A-Z]{26}|\d+(\.\d+)?|[0-9a-f]{8}(\.[0-9a-f]+)+", "~", difference)[:140]


if __name__ == "__main__":
    sys.exit(main())
