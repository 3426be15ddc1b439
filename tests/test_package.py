"""The package as people get it: built from what is tracked, installed where nothing else is, and run by its own command."""

import asyncio
import configparser
import email
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import COMMANDS
from tests import kit
from tests.kit import ROOT

PRODUCT = ("bot", "core", "storage", "sim")
PATIENCE_SECONDS = 30.0


def tracked() -> list[str]:
    """The files of the project, as git knows them, that are there."""
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in told.stdout.split("\0") if name and (ROOT / name).exists()]


@dataclass(frozen=True)
class Built:
    """The two archives, and the program that the wheel installs."""

    sdist: Path
    wheel: Path
    greenlight: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of this checkout, and nothing of whoever runs the tests."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C"}

    def metadata(self) -> Message:
        """What the wheel says of itself."""
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
            return email.message_from_bytes(archive.read(name))

    def files(self) -> set[str]:
        """What the wheel installs, its own papers left out."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """sdist, wheel of that sdist, and a clean environment with the wheel; the tests' own environment lends the dependencies.

    Everything that may go wrong on a stranger's computer is so: a home with a space in it, a place for programs that is read-only, files
    that nobody else may read, and no language.
    """
    here = tmp_path_factory.mktemp("package")
    for name in tracked():
        (here / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, here / "tree" / name)
    run("-m", "build", "--no-isolation", "--outdir", str(here / "dist"), str(here / "tree"))
    (sdist,), (wheel,) = (here / "dist").glob("*.tar.gz"), (here / "dist").glob("*.whl")
    there = installed(here / "a venv", wheel)
    (there / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", "utf-8")
    (here / "a home").mkdir()
    for path in (there, *there.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    yield Built(sdist, wheel, here / "a venv" / "bin" / "greenlight", here / "a home")
    for path in (there, *there.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


def installed(where: Path, wheel: Path) -> Path:
    """A new environment with the wheel and nothing else; returns where its packages are."""
    run("-m", "venv", "--without-pip", str(where))
    words = ("install", "--no-deps", "--no-index", "--quiet", str(wheel))
    run("-m", "pip", "--python", str(where / "bin" / "python"), *words)
    (there,) = (where / "lib").glob("python*/site-packages")
    return there


def run(*words: str) -> None:
    """A Python program that has to succeed."""
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd="/",
        umask=0o077,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
async def started(built: Built) -> AsyncIterator[Any]:
    """Start `greenlight` with some words; whatever still runs at the end is killed."""
    processes: list[asyncio.subprocess.Process] = []

    async def start(*words: str, **environment: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            built.greenlight,
            *words,
            cwd=built.home,
            env=built.environment | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def lines_until(process: asyncio.subprocess.Process, pattern: str) -> str:
    """What it prints, up to a line that fits."""
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in process.stdout:
            said += line.decode()
            if re.match(pattern, line.decode()):
                return said
    raise AssertionError(f"it ended without {pattern!r}: {said}")


def test_the_wheel_has_the_product_and_nothing_else(built: Built) -> None:
    """Every tracked file of the four packages, pages, prices and pictures included; no test, no benchmark."""
    assert built.files() == {name for name in tracked() if name.split("/")[0] in PRODUCT}
    assert {Path(name).suffix for name in built.files()} >= {".py", ".json", ".html", ".js", ".css", ".svg"}


def test_the_sdist_can_be_built_from(built: Built) -> None:
    """The wheel was made of it; the papers that people look for are in it too."""
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= built.files() | {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/"))}
    assert names >= {
        ".env.example",
        "requirements.txt",
        "Dockerfile",
        "compose.yaml",
        "deploy/greenlight.service",
    }


def test_the_metadata_is_that_of_the_project(built: Built) -> None:
    """Name, version, Python, license, description and every dependency, as pyproject.toml has them; one command."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    told = built.metadata()
    assert (told["Name"], told["Version"]) == (project["name"], project["version"])
    assert (told["Summary"], told["Requires-Python"]) == (project["description"], project["requires-python"])
    assert (told["License-Expression"], told["License-File"]) == ("MIT", "LICENSE")
    assert told.get_all("Project-URL") is told.get_all("Home-page") is None
    assert str(told.get_payload()).startswith("# Greenlight")
    needed = [line for line in told.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(map(plain, needed)) == sorted(map(plain, project["dependencies"]))
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        entries = configparser.ConfigParser()
        entries.read_string(archive.read(name).decode())
    assert dict(entries["console_scripts"]) == {"greenlight": "bot.__main__:main"}


def plain(requirement: str) -> tuple[str, tuple[str, ...]]:
    """A requirement as (name, its conditions), however it is spelled."""
    name, conditions = re.match(r"([\w.-]+)(.*)", requirement.replace(" ", "")).groups()  # type: ignore[union-attr]
    return name.lower().replace("_", "-"), tuple(sorted(filter(None, conditions.split(","))))


def test_the_wheel_is_the_same_from_the_sdist_and_from_the_tree(built: Built, tmp_path: Path) -> None:
    """Whoever builds either gets the same files, byte for byte."""
    run(
        "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(built.home.parent / "tree")
    )
    (again,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built.wheel) as one, zipfile.ZipFile(again) as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }


def test_what_is_installed_can_be_taken_away_again(built: Built, tmp_path: Path) -> None:
    """After it has run, too: no file of it is left."""
    there = installed(tmp_path / "venv", built.wheel)
    python, command = tmp_path / "venv" / "bin" / "python", tmp_path / "venv" / "bin" / "greenlight"
    (there / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", "utf-8")
    subprocess.run([command, "--version"], check=True, capture_output=True, env=built.environment, cwd="/")
    assert list(there.rglob("__pycache__"))
    run("-m", "pip", "--python", str(python), "uninstall", "--yes", "--quiet", "greenlight")
    assert [path.name for path in there.iterdir()] == ["lent.pth"]
    assert not command.exists()


async def test_version_and_settings(built: Built, started: Any) -> None:
    """Which version is installed, and every setting explained, without a checkout."""
    for word, told in (
        ("--version", f"greenlight {built.metadata()['Version']}\n"),
        ("settings", (ROOT / ".env.example").read_text("utf-8")),
    ):
        process = await started(word)
        out, errors = await process.communicate()
        assert (process.returncode, out.decode(), errors) == (0, told, b"")


@pytest.mark.parametrize("words", [("-m", "bot"), ("-m", "sim"), ("-m", "sim.tws")])
def test_as_modules(built: Built, words: tuple[str, ...]) -> None:
    """`python -m` works with what is installed."""
    done = subprocess.run(
        [built.greenlight.with_name("python"), "-P", *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=built.environment,
        cwd=built.home,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: " in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "TELEGRAM_BOT_TOKEN: is missing"),
        (("run",), "greenlight setup asks for what is missing"),
        (("setup",), "needs a terminal"),
        (("stop",), "there is no 'stop'"),
        (("demo", "--loud"), "greenlight demo: error: unrecognized arguments: --loud"),
        (("sim", "tws", "--loud"), "greenlight sim tws: error: unrecognized arguments: --loud"),
    ],
)
async def test_what_cannot_be_done_is_said(started: Any, words: tuple[str, ...], said: str) -> None:
    """Without settings, without a terminal and with words that cannot be meant: exit code 2, and what would be right."""
    process = await started(*words)
    out, errors = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert said in errors.decode()


@pytest.mark.parametrize("word", ["doctor", "health", "settings", "--version", "--help"])
def test_nobody_reads_what_it_says(built: Built, word: str) -> None:
    """Where the reader has gone (`| head -0`) or the disk is full, there is no trace of Python."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as gone, open("/dev/full", "wb") as full:
        for out in (gone, full):
            done = subprocess.run(
                [built.greenlight, word],
                cwd=built.home,
                env=built.environment,
                stdout=out,
                stderr=subprocess.PIPE,
                check=False,
                timeout=PATIENCE_SECONDS,
            )
            assert b"Traceback" not in done.stderr


async def test_help(built: Built, started: Any) -> None:
    """The installed command names its words, from the installed files."""
    process = await started("--help")
    out, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    for word in COMMANDS:
        assert word in out.decode()


def test_the_command_is_the_installed_one(built: Built) -> None:
    """What runs comes from the clean environment, not from this checkout."""
    python = built.greenlight.with_name("python")
    where = subprocess.run(
        [python, "-P", "-c", "import bot, sim; print(bot.__file__, sim.__file__, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
        env=built.environment,
        cwd="/",
    )
    assert all(path.startswith(str(python.parent.parent)) for path in where.stdout.splitlines())


async def test_doctor(tmp_path: Path, started: Any) -> None:
    """The installed doctor finds a simulated world in order."""
    async with kit.house(tmp_path) as house:
        environment = {n: v for n, v in house.environment().items() if n not in ("PATH", "PYTHONPATH")}
        process = await started("doctor", **environment)
        out, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (process.returncode, errors) == (0, b""), out.decode()
    assert "DU1234567, PAPER" in out.decode()


async def test_the_world_alone(built: Built, started: Any) -> None:
    """`greenlight sim --no-bot` prints where it listens and ends at SIGTERM."""
    process = await started("sim", "--no-bot")
    said = await lines_until(process, "Open this in a browser")
    for line in ("tws: 127.0.0.1:", "telegram: http", "model: http", "control: http", "chat page: http"):
        assert f"\n{line}" in f"\n{said}"
    process.send_signal(signal.SIGTERM)
    out, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert (process.returncode, errors) == (0, b"")
    assert out.decode().endswith("Stopping.\n")
    assert (built.home / ".local" / "state" / "greenlight" / "sim" / "world.db").exists()


async def test_demo(built: Built, started: Any, tmp_path: Path) -> None:
    """`greenlight demo` runs until the bot polls, in the user's state directory or the one that is named, and ends at SIGTERM.

    A folder of the same name where it is started is nothing that it would run.
    """
    (built.home / "sim").mkdir(exist_ok=True)
    (built.home / "sim" / "__main__.py").write_text("raise SystemExit('not me')")
    for words, state in (
        ((), built.home / ".local" / "state" / "greenlight" / "demo"),
        (("--state", str(tmp_path / "mine")), tmp_path / "mine"),
    ):
        process = await started("demo", *words)
        said = await lines_until(process, "Open this in a browser")  # printed once the bot polls
        assert "SIMULATED: no real money" in said
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        assert (process.returncode, errors) == (0, b"")
        assert (state / "greenlight.db").exists()
