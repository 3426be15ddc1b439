"""Which mutants the tests notice. Nothing is written to the tree: a mutant lives in a process of its own, and dies with it.

The tests are collected once and run once, each line by line, so that a mutant is shown only to the tests that reach its line, the quickest first.
For each mutant the process forks; the child puts the wrong code into the function that the tests have in their hands, and runs until
one fails. What happens at import (a table, a default) is tried in a child that has imported nothing of ours yet: it imports the wrong module.
"""

import contextlib
import dataclasses
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import math
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, TextIO

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings

from tests.mutation.operators import Mutant

HOUSE = Path(__file__).parents[2]
WAITING_FACTOR = 10.0
"""A child that works is measured by the processor's time, which a busy machine does not stretch; one that waits by so many times that."""
PATIENCE_FACTOR = 5.0
"""How many times as long as without it the tests of a mutant may take, beside the seconds that are asked for, before it counts as hanging."""
KILLED, SURVIVED, TIMED_OUT, UNREACHED = "killed", "survived", "timed out", "not reached"
ARGUMENTS = ("-q", "-W", "ignore:Module already imported", "-x", "-s", "-p", "no:cacheprovider", "-n0", "--timeout=0", "-o", "tmp_path_retention_policy=failed")  # fmt: skip

Lines = dict[str, set[int]]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, and the test that noticed it."""

    mutant: Mutant
    outcome: str
    by: str = ""


@dataclass(frozen=True)
class Reached:
    """A test that passes by itself: how long it takes, in seconds, and which lines of the mutated files it runs."""

    item: Any
    seconds: float
    lines: Lines


@dataclass
class Job:
    """A mutant under trial. `said` is where its child writes the test that failed."""

    mutant: Mutant
    said: Path
    deadline: float


@dataclass(frozen=True)
class How:
    """How many mutants are tried at a time, and how many seconds one may take beside what its tests do."""

    jobs: int
    patience: float


def judge(
    mutants: Sequence[Mutant], tests: Sequence[str], how: How, say: Callable[[str], None]
) -> Iterator[Verdict]:
    """The fate of every mutant of these, with these tests. Raises RuntimeError where a test fails without any mutant."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        reading, writing = os.pipe()
        pid = _fork(lambda: _collect(mutants, tests, how, Path(place), writing))
        os.close(writing)
        seconds: dict[str, float] = {}
        rest: list[Mutant] = []
        failed: list[str] = []
        with os.fdopen(reading) as lines:
            for kind, told in map(json.loads, lines):
                if kind == "seconds":
                    seconds = told
                    say(f"{len(seconds)} tests, {sum(seconds.values()):.0f} s\n")
                elif kind == "failed":
                    failed = told
                elif kind == "rest":
                    rest = [mutants[number] for number in told]
                else:
                    number, outcome, by = told
                    yield Verdict(mutants[number], outcome, by)
        _, status = os.waitpid(pid, 0)
        if failed or os.waitstatus_to_exitcode(status) != 0:
            which = f" These fail: {', '.join(failed)}" if failed else ""
            raise RuntimeError(
                f"The tests do not pass without a mutant, so they cannot be asked about one.{which}"
            )
        allowed = how.patience + PATIENCE_FACTOR * sum(seconds.values())

        def start(mutant: Mutant, said: Path) -> tuple[Callable[[], None], float]:
            return lambda: _import_wrong(mutant, tests, seconds, Path(place), said), allowed

        yield from _try_all(rest, start, how.jobs, Path(place))


def _fork(work: Callable[[], None], most_seconds: float | None = None) -> int:
    """A child in a group of its own that does this and ends; at the latest when it has used so much of the processor."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        if most_seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(most_seconds), resource.RLIM_INFINITY))
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - whatever it was, it must not go on as the parent
        if os.environ.get("MUTANTS_LOUD"):
            sys.excepthook(*sys.exc_info())
        os._exit(2)


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _try_all(
    mutants: Sequence[Mutant],
    start: Callable[[Mutant, Path], tuple[Callable[[], None], float]],
    jobs: int,
    place: Path,
) -> Iterator[Verdict]:
    """So many children at a time. One that ends with 0 has noticed nothing."""
    waiting, running = list(reversed(mutants)), dict[int, Job]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                mutant = waiting.pop()
                said = place / f"said-{id(mutant)}"
                work, allowed = start(mutant, said)
                pid = _fork(work, most_seconds=allowed)
                running[pid] = Job(mutant, said, time.monotonic() + allowed * WAITING_FACTOR)
            ended = [(pid, status) for pid in running for got, status in [os.waitpid(pid, os.WNOHANG)] if got]
            for pid, status in ended:
                job, code = running.pop(pid), os.waitstatus_to_exitcode(status)
                outcome = SURVIVED if code == 0 else TIMED_OUT if code == -signal.SIGXCPU else KILLED
                yield Verdict(job.mutant, outcome, _word(job.said) if outcome == KILLED else "")
            for pid, job in list(running.items()):
                if time.monotonic() > job.deadline:
                    _end(running, pid)
                    yield Verdict(job.mutant, TIMED_OUT)
            if not ended:
                time.sleep(0.002)
    finally:
        for pid in list(running):
            _end(running, pid)


def _end(running: dict[int, Job], pid: int) -> None:
    """Whatever a child has started ends with it."""
    del running[pid]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _word(said: Path) -> str:
    return said.read_text() if said.exists() else "at import"


# --- what a function does ------------------------------------------------------------------------------------------------


class _Trial:
    """A plugin that, instead of running the tests once, runs them once for each mutant. What it finds goes to `told`, a line at a time."""

    def __init__(self, mutants: Sequence[Mutant], how: How, place: Path, told: TextIO) -> None:
        self._mutants, self._how, self._place, self._told = mutants, how, place, told
        self._files = {str(HOUSE / m.path): m.path for m in mutants}
        self._at_import: Lines = {}
        sys.settrace(_tracer(self._files, self._at_import))

    def _tell(self, kind: str, value: object) -> None:
        self._told.write(json.dumps([kind, value]) + "\n")
        self._told.flush()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise RuntimeError("The tests cannot be collected.")
        sys.settrace(None)
        _plain_hypothesis()
        reached, failed = self._reached(session.items)
        if failed:
            self._tell("failed", failed)
            return True
        self._tell("seconds", {r.item.nodeid: r.seconds for r in reached})
        inside = {id(m): function for m in self._mutants if (function := _function(m)) is not None}
        numbers = {id(m): number for number, m in enumerate(self._mutants)}
        tests = {id(m): _tests_of(m, reached) for m in self._mutants if id(m) in inside}

        def start(mutant: Mutant, said: Path) -> tuple[Callable[[], None], float]:
            mine = tests[id(mutant)]
            allowed = self._how.patience + PATIENCE_FACTOR * sum(r.seconds for r in mine)
            return lambda: _show(mutant, inside[id(mutant)], [r.item for r in mine], said), allowed

        for mutant in [m for m in self._mutants if tests.get(id(m)) == []]:
            if self._at_import.get(mutant.path, set()).isdisjoint(mutant.lines):
                self._tell("verdict", (numbers[id(mutant)], UNREACHED, ""))
            else:
                del inside[id(mutant)]  # a function that makes a table, when its module is imported
        trials = [m for m in self._mutants if tests.get(id(m))]
        for verdict in _try_all(trials, start, self._how.jobs, self._place):
            self._tell("verdict", (numbers[id(verdict.mutant)], verdict.outcome, verdict.by))
        self._tell("rest", [numbers[id(m)] for m in self._mutants if id(m) not in inside])
        return True

    def _reached(self, items: Sequence[Any]) -> tuple[list[Reached], list[str]]:
        """Each test once, without a mutant: (those that pass, the quickest first; the names of the others)."""
        found, failed = list[Reached](), list[str]()
        for item, following in _in_turn(items):
            lines: Lines = {}
            trace = _tracer(self._files, lines)
            begun = time.perf_counter()
            sys.settrace(trace)
            try:
                good = _passes(item, following)
            finally:
                sys.settrace(None)
            if good:
                found.append(Reached(item, time.perf_counter() - begun, lines))
            else:
                failed.append(item.nodeid)
        return sorted(found, key=lambda r: r.seconds), failed


def _collect(mutants: Sequence[Mutant], tests: Sequence[str], how: How, place: Path, told: int) -> None:
    if not os.environ.get("MUTANTS_LOUD"):
        _silence()
    trial = _Trial(mutants, how, place, os.fdopen(told, "w"))
    code = pytest.main([*ARGUMENTS, f"--basetemp={place / 'tests'}", *tests], plugins=[trial])
    os._exit(int(code))


def _tracer(files: dict[str, str], lines: Lines) -> Callable[[FrameType, str, Any], Any]:
    def call(frame: FrameType, event: str, _argument: Any) -> Any:
        path = files.get(frame.f_code.co_filename)
        if path is None or frame.f_code.co_name == "<module>":
            return None
        seen = lines.setdefault(path, set())
        seen.add(frame.f_lineno)

        def line(frame: FrameType, event: str, _argument: Any) -> Any:
            seen.add(frame.f_lineno)
            return line

        return line

    return call


def _tests_of(mutant: Mutant, reached: Sequence[Reached]) -> list[Reached]:
    return [r for r in reached if not r.lines.get(mutant.path, set()).isdisjoint(mutant.lines)]


def _plain_hypothesis() -> None:
    """The same examples every time, and no time spent on making a counterexample small."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile(
        "mutants", settings(settings.default, derandomize=True, database=None, phases=phases)
    )
    settings.load_profile("mutants")


def _passes(item: Any, following: Any) -> bool:
    """Whether a test passes. One that needs nothing from pytest is simply called: thousands of them are, for each mutant that survives."""
    if _is_plain(item):
        try:
            item.obj(**(item.callspec.params if hasattr(item, "callspec") else {}))
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a failed assertion, or whatever the wrong code led to
            return False
        return True
    return not any(report.failed for report in runtestprotocol(item, nextitem=following, log=False))


def _in_turn(items: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Each test with the next one that pytest runs, for which it keeps the fixtures that both share."""
    pairs: list[tuple[Any, Any]] = []
    following = None
    for item in reversed(items):
        pairs.append((item, following))
        following = following if _is_plain(item) else item
    return pairs[::-1]


def _is_plain(item: Any) -> bool:
    """Whether it is a function of its parameters alone: no fixture, no loop, no mark."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    marks = {mark.name for mark in item.iter_markers()} - {"parametrize"}
    fixtures = set(item._fixtureinfo.argnames) - set(given)
    return not marks and not fixtures and not inspect.iscoroutinefunction(item.obj)


def _show(mutant: Mutant, function: Any, items: Sequence[Any], said: Path) -> None:
    """In the child: the wrong code, then the tests until one fails."""
    if not os.environ.get("MUTANTS_LOUD"):
        _silence()
    code = _code_of(mutant.compiled(), function.__code__)
    assert code is not None
    function.__code__ = code
    for item, following in _in_turn(items):
        if not _passes(item, following):
            said.write_text(item.nodeid)
            os._exit(1)


def _function(mutant: Mutant) -> Any:
    """The outermost function around the change, as it is now; None where the change is not inside one, or it cannot be had."""
    if mutant.at_import:
        return None
    found: Any = sys.modules.get(_module_name(mutant.path))
    for scope in mutant.scopes:
        found = vars(found).get(scope.name) if found is not None else None
        found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
        found = getattr(found, "__wrapped__", found)
        if hasattr(found, "__code__"):
            return found if _code_of(mutant.compiled(), found.__code__) is not None else None
    return None


def _code_of(module: CodeType, of: CodeType) -> CodeType | None:
    """The code of the same function in a module compiled anew."""
    for one in module.co_consts:
        if isinstance(one, CodeType):
            same = one.co_qualname == of.co_qualname and one.co_firstlineno == of.co_firstlineno
            if same:
                return one if one.co_freevars == of.co_freevars else None
            if (inner := _code_of(one, of)) is not None:
                return inner
    return None


# --- what happens at import ----------------------------------------------------------------------------------------------


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Wrong(importlib.machinery.SourceFileLoader):
    """Loads a module with other code than its file has."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


@dataclass(frozen=True)
class _Finder(importlib.abc.MetaPathFinder):
    name: str
    path: Path
    code: CodeType

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        inside = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        loader = _Wrong(fullname, str(self.path), self.code)
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=loader, submodule_search_locations=inside
        )


@dataclass(frozen=True)
class _Quickest:
    """A plugin: the tests that pass without a mutant, the quickest first; the first that fails is written down."""

    seconds: dict[str, float]
    said: Path

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        _plain_hypothesis()
        items[:] = sorted(
            (i for i in items if i.nodeid in self.seconds), key=lambda i: self.seconds[i.nodeid]
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.said.write_text(report.nodeid)
            os._exit(1)


def _import_wrong(
    mutant: Mutant, tests: Sequence[str], seconds: dict[str, float], place: Path, said: Path
) -> None:
    if not os.environ.get("MUTANTS_LOUD"):
        _silence()
    name = _module_name(mutant.path)
    assert name not in sys.modules
    sys.meta_path.insert(0, _Finder(name, HOUSE / mutant.path, mutant.compiled()))
    code = pytest.main(
        [*ARGUMENTS, f"--basetemp={place / said.name}-tests", *tests], plugins=[_Quickest(seconds, said)]
    )
    os._exit(int(code))


def fields_of(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it is written into a file."""
    return {
        "name": verdict.mutant.name,
        "line": verdict.mutant.line,
        **{f.name: getattr(verdict, f.name) for f in dataclasses.fields(verdict) if f.name != "mutant"},
    }
