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
from collections.abc import AsyncIterator
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
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONIOENCODING": "utf-8"}

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
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """sdist, wheel of that sdist, and a clean environment with the wheel; the tests' own environment lends the dependencies."""
    here = tmp_path_factory.mktemp("package")
    for name in tracked():
        (here / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, here / "tree" / name)
    run("-m", "build", "--no-isolation", "--outdir", str(here / "dist"), str(here / "tree"))
    (sdist,), (wheel,) = (here / "dist").glob("*.tar.gz"), (here / "dist").glob("*.whl")
    run("-m", "venv", "--without-pip", str(here / "venv"))
    python = here / "venv" / "bin" / "python"
    run("-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet", str(wheel))
    (there,) = (here / "venv" / "lib").glob("python*/site-packages")
    (there / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", "utf-8")
    (here / "home").mkdir()
    return Built(sdist, wheel, here / "venv" / "bin" / "greenlight", here / "home")


def run(*words: str) -> None:
    """A Python program that has to succeed."""
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, timeout=100, cwd="/"
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
        [python, "-P", "-c", "import bot, sim; print(bot.__file__, sim.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        env=built.environment,
        cwd="/",
    )
    assert all(path.startswith(str(python.parent.parent)) for path in where.stdout.split())


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
