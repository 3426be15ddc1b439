"""The house itself: what stands where, which settings there are, and that nobody reads a clock on their own."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("bot", "core", "storage", "sim")
PLACES = {*PRODUCT, "tests", "benchmarks", "docs"}
CLOCKS = {"bot/clock.py", "sim/clock.py"}
READINGS = {
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "now",
    "utcnow",
    "today",
}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def clock_readings(tree: ast.AST) -> list[int]:
    """Lines that read a clock: time.monotonic(), datetime.now(), from time import time, and their like."""
    lines = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="time" | "datetime" | "date"), attr=attr) if (
                attr in READINGS
            ):
                lines.append(node.lineno)
            case ast.Attribute(value=ast.Attribute(attr="datetime" | "date"), attr=attr) if attr in READINGS:
                lines.append(node.lineno)
            case ast.ImportFrom(module="time", names=names) if any(a.name in READINGS for a in names):
                lines.append(node.lineno)
    return lines


def example_lines() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_no_new_package_at_the_top() -> None:
    """Code lives in the rooms that the plan names; a new room is a decision, not an accident."""
    rooms = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[!.]*/**/*.py")}
    assert rooms - {"build", "dist"} <= PLACES


def test_no_loose_module_at_the_top() -> None:
    """No Python file lies beside the packages, where no contract would see it."""
    assert [path.name for path in ROOT.glob("*.py")] == []


def test_the_packages_of_the_project_are_the_rooms_of_the_product() -> None:
    """What is installed is what the contracts look at."""
    told = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'include = ["bot*", "core*", "storage*", "sim*"]' in told
    assert 'root_packages = ["bot", "core", "storage", "sim"]' in told


def test_the_arrows_run_one_way() -> None:
    """The import contracts hold, so that `make test` alone notices a wrong arrow."""
    asked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert asked.returncode == 0, asked.stdout


def test_every_setting_has_a_line_in_the_example_and_every_line_is_a_setting() -> None:
    """.env.example and the settings are one list."""
    assert list(example_lines()) == [name.upper() for name in Settings.model_fields]


def test_every_line_of_the_example_is_explained() -> None:
    """A comment stands directly above each variable."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if re.match(r"[A-Z]", line) and not before.startswith("# ")
    ]
    assert bare == []


def test_the_example_is_safe_as_it_stands() -> None:
    """Nobody trades by copying a file: paper port, no token, nobody allowed."""
    lines = example_lines()
    assert lines["IBKR_PORT"] == "7497"
    assert [
        lines[name] for name in ("TELEGRAM_BOT_TOKEN", "TELEGRAM_ALLOWED_USERS", "ANTHROPIC_API_KEY")
    ] == ["", "", ""]


@pytest.mark.parametrize("name", [n for n in Settings.model_fields if n != "telegram_bot_token"])
def test_the_example_shows_the_default(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Copying .env.example changes nothing: each of its lines says what would hold without it."""
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:abc")
    default = getattr(Settings(), name)  # type: ignore[call-arg]
    monkeypatch.setenv(name.upper(), example_lines()[name.upper()])
    assert getattr(Settings(), name) == default  # type: ignore[call-arg]


@pytest.mark.parametrize("path", sources(*PRODUCT), ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    """Each module of the product opens with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("path", sources("bot", "core", "storage"), ids=name_of)
def test_public_functions_and_classes_say_what_they_do(path: Path) -> None:
    """What others may call has a docstring; a method may inherit it from the port or the class that it fills."""
    bare = [
        node.name
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and node.name != "main"
        and ast.get_docstring(node) is None
    ]
    assert bare == []


@pytest.mark.parametrize("path", sources("bot", "core", "storage"), ids=name_of)
def test_nobody_reads_a_clock_on_their_own(path: Path) -> None:
    """Time comes through the Clock port; one file of the product reads the system's clocks."""
    lines = clock_readings(ast.parse(path.read_text("utf-8")))
    assert bool(lines) is (name_of(path) in CLOCKS), lines


@pytest.mark.parametrize(
    "line",
    [
        "import time\ntime.time()",
        "import time\ntime.monotonic()",
        "from time import perf_counter",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "from datetime import date\ndate.today()",
    ],
)
def test_the_search_for_clocks_finds_them(line: str) -> None:
    """The test above can fail."""
    assert clock_readings(ast.parse(line))


@pytest.mark.parametrize("path", sources("bot", "core", "storage"), ids=name_of)
def test_nobody_swallows_errors_unseen(path: Path) -> None:
    """`except Exception: pass` hides what a person must know."""
    silent = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        )
        and all(isinstance(step, ast.Pass) for step in node.body)
    ]
    assert silent == []
