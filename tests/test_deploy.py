"""Dockerfile, compose.yaml, the systemd unit and .env.example tell one story: names, ports, paths, users and commands that exist."""

import asyncio
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.__main__ import COMMANDS
from bot.app import PATIENCE_SECONDS
from bot.settings import Settings
from tests import kit
from tests.kit import ROOT, end

VARIABLES = {name.upper() for name in Settings.model_fields}
RELAYS = {"paper": "4004", "live": "4003"}
"""Where the gateway's image listens for other containers, as its documentation has it."""
BEHIND = {"4004": "4002", "4003": "4001"}
"""Where each relay finds the gateway inside that container."""
GATEWAY_KNOWS = frozenset(
    [
        "TWS_USERID",
        "TWS_PASSWORD",
        "TWS_PASSWORD_FILE",
        "TRADING_MODE",
        "TWS_USERID_PAPER",
        "TWS_PASSWORD_PAPER",
        "TWS_PASSWORD_PAPER_FILE",
        "READ_ONLY_API",
        "VNC_SERVER_PASSWORD",
        "VNC_SERVER_PASSWORD_FILE",
        "TWOFA_TIMEOUT_ACTION",
        "TWOFA_DEVICE",
        "TWOFA_EXIT_INTERVAL",
        "BYPASS_WARNING",
        "AUTO_RESTART_TIME",
        "AUTO_LOGOFF_TIME",
        "TWS_COLD_RESTART",
        "SAVE_TWS_SETTINGS",
        "RELOGIN_AFTER_TWOFA_TIMEOUT",
        "EXISTING_SESSION_DETECTED_ACTION",
        "ALLOW_BLIND_TRADING",
        "TIME_ZONE",
        "TZ",
        "TWS_SETTINGS_PATH",
        "TWS_ACCEPT_INCOMING",
        "TWS_MASTER_CLIENT_ID",
        "CUSTOM_CONFIG",
        "JAVA_HEAP_SIZE",
    ]
)
"""The variables of that image, as its documentation has them."""
STOP_SECONDS = 3 * PATIENCE_SECONDS
"""What has to be left for an orderly stop: lanes and parts have their patience each, and the database is closed behind them."""

# Every file that Python opens to write, and every folder that it makes, is told on a line of its own.
WATCH = """
import os, sys
def watch(event, args):
    made = event in ("os.mkdir", "os.rename", "sqlite3.connect")
    opened = event == "open" and isinstance(args[0], (str, bytes)) and (
        args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(args[2], int) else False
    )
    if made or opened:
        os.write(told, os.fsencode(os.path.abspath(os.fsdecode(args[0]))) + b"\\n")
told = os.open(os.environ["WATCH"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(watch)
"""


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, rest), continuations joined, comments left out."""
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text("Dockerfile"))).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line)]


def last_stage() -> dict[str, str]:
    """What holds in the image that runs: the last of each instruction behind the last FROM."""
    told = instructions()
    begin = max(index for index, (word, _) in enumerate(told) if word == "FROM")
    return dict(told[begin:])


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in last_stage()["ENV"].split())


def compose() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return told


def unit() -> dict[str, list[str]]:
    """The unit's lines by their keys."""
    found: dict[str, list[str]] = {}
    for line in text("deploy/greenlight.service").splitlines():
        if line and line[0] not in "#[":
            found.setdefault(line.split("=", 1)[0], []).append(line.split("=", 1)[1])
    return found


# --- the image ------------------------------------------------------------------------------------------------------------


def test_the_image_runs_words_that_the_program_has() -> None:
    """Its entry point is the installed command; what it runs and how it is asked for its health are words of it."""
    stage = last_stage()
    (command,) = tomllib.loads(text("pyproject.toml"))["project"]["scripts"]
    assert json.loads(stage["ENTRYPOINT"]) == [command]
    (word,) = json.loads(stage["CMD"])
    asked = json.loads(stage["HEALTHCHECK"].split(" CMD ")[1])
    assert asked == [command, "health"]
    assert {word, "health"} <= COMMANDS.keys()


def test_the_image_copies_what_is_there_and_all_of_the_product() -> None:
    """Every COPY from here names a tracked path that .dockerignore lets through; the packages are those of the project."""
    sources = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    ignored = text(".dockerignore").splitlines()
    assert ignored[1] == "*"
    assert sorted(f"!{source}" for source in sources) == sorted(
        line for line in ignored if line.startswith("!")
    )
    assert all((ROOT / source).exists() for source in sources)
    found = tomllib.loads(text("pyproject.toml"))["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {source for source in sources if (ROOT / source).is_dir()} == {name.rstrip("*") for name in found}


def test_the_image_has_a_python_that_will_do() -> None:
    """Both stages stand on one image, and its Python is the one that the requirements are locked for."""
    bases = {rest.split(" AS ")[0] for word, rest in instructions() if word == "FROM"}
    (base,) = bases
    lowest = tomllib.loads(text("pyproject.toml"))["project"]["requires-python"].removeprefix(">=")
    assert base == f"python:{lowest}-slim"
    assert f"--python-version {lowest}" in text("Makefile")


def test_the_image_runs_as_nobody_special_and_writes_to_one_place() -> None:
    """A user by number, who owns /data; working directory, home, volume and database are there."""
    stage, environment = last_stage(), image_environment()
    user, group = stage["USER"].split(":")
    assert int(user) > 0
    assert f"--uid {user} --gid {group}" in stage["RUN"]
    assert "install -d -o greenlight -g greenlight -m 0700 /data" in stage["RUN"]
    assert stage["WORKDIR"] == stage["VOLUME"] == environment["HOME"] == "/data"
    assert Path(environment["DATABASE_PATH"]).parent == Path("/data")
    assert {name for name in environment if name in VARIABLES} == {"DATABASE_PATH"}


# --- compose --------------------------------------------------------------------------------------------------------------


def test_compose_hands_on_every_setting_by_its_name() -> None:
    """The bot's variables are those of the settings; what compose fixes is where the gateway and the data are."""
    environment = compose()["services"]["greenlight"]["environment"]
    assert set(environment) == VARIABLES
    fixed = {name: value for name, value in environment.items() if value is not None}
    assert fixed.keys() == {"IBKR_HOST", "IBKR_PORT", "DATABASE_PATH"}
    assert fixed["DATABASE_PATH"] == image_environment()["DATABASE_PATH"]


def test_the_bot_reaches_the_gateway_and_nobody_else_does() -> None:
    """Host and port are the service and its relay for the mode; both are on one private network, and no port is published."""
    services, networks = compose()["services"], compose()["networks"]
    bot, gateway = services["greenlight"], services["ib-gateway"]
    assert bot["environment"]["IBKR_HOST"] in services
    assert services[bot["environment"]["IBKR_HOST"]] is gateway
    assert bot["environment"]["IBKR_PORT"] == RELAYS[gateway["environment"]["TRADING_MODE"]]
    assert gateway["environment"]["TRADING_MODE"] == "paper"
    assert gateway["environment"]["READ_ONLY_API"] == "no"
    assert bot["networks"] == gateway["networks"] == list(networks)
    for service in services.values():
        assert not {"ports", "network_mode", "privileged"} & service.keys()
        assert service["restart"] == "unless-stopped"


def test_the_bots_container_is_closed() -> None:
    """Read-only but for its volume and /tmp, without capabilities; the volume is declared and mounted where the image writes."""
    bot, volumes = compose()["services"]["greenlight"], compose()["volumes"]
    assert bot["read_only"] is True
    assert bot["cap_drop"] == ["ALL"]
    assert [one.partition(":")[0] for one in bot["tmpfs"]] == ["/tmp"]
    assert bot["init"] is True  # a signal that comes before Python listens for it ends it too
    assert "user" not in bot
    (mounted,) = bot["volumes"]
    assert mounted.split(":") == [next(iter(volumes)), last_stage()["VOLUME"]]
    assert bot["build"] == "."
    assert bot["image"] == f"greenlight:{tomllib.loads(text('pyproject.toml'))['project']['version']}"


def test_the_login_of_the_gateway_is_asked_for_and_explained() -> None:
    """What compose takes from .env for the gateway stands in .env.example, commented out; its password does not reach the bot."""
    wanted = set(re.findall(r"\$\{(\w+):\?", text("compose.yaml")))
    told = set(re.findall(r"(?m)^#([A-Z_]+)=$", text(".env.example")))
    assert wanted == told == {"TWS_USERID", "TWS_PASSWORD"}
    assert re.findall(r"\$\{\w+(?!\w|:\?)", text("compose.yaml")) == []


def test_the_gateway_is_told_what_it_knows_and_asked_where_it_listens() -> None:
    """Every variable is one of its documentation; its health is that of the gateway behind the relay that the bot uses; no dialog waits."""
    services = compose()["services"]
    gateway, port = services["ib-gateway"], services["greenlight"]["environment"]["IBKR_PORT"]
    environment = gateway["environment"]
    assert environment.keys() <= GATEWAY_KNOWS
    assert environment["TWS_ACCEPT_INCOMING"] == "accept"
    assert environment["TIME_ZONE"] == environment["TZ"]
    assert datetime.strptime(environment["AUTO_RESTART_TIME"], "%I:%M %p")  # noqa: DTZ007 - a time of day
    assert (
        environment["TWOFA_TIMEOUT_ACTION"] == "restart"
    )  # as its documentation wants beside AUTO_RESTART_TIME
    (*_, asked) = gateway["healthcheck"]["test"]
    assert asked == f"</dev/tcp/127.0.0.1/{BEHIND[port]}"
    assert "volumes" not in gateway


def test_nothing_grows_without_an_end_and_stops_are_orderly() -> None:
    """Memory, processes and logs of both containers are limited; there is time for an orderly stop."""
    for service in compose()["services"].values():
        assert re.fullmatch(r"\d+g", service["mem_limit"])
        assert service["pids_limit"] > 0
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}
        assert int(service["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert last_stage()["STOPSIGNAL"] == "SIGTERM"


# --- systemd --------------------------------------------------------------------------------------------------------------


def test_settings_that_cannot_be_used_end_with_the_code_that_the_unit_knows(tmp_path: Path) -> None:
    """Trying again would not help, so systemd does not."""
    _, word = unit()["ExecStart"][0].split()
    done = subprocess.run(
        [sys.executable, "-m", "bot", word],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert [str(done.returncode)] == unit()["RestartPreventExitStatus"]


def test_the_unit_runs_the_bot_where_it_may_write() -> None:
    """Its word exists; the working directory, where .env and the database are, is its own state directory; never as root."""
    told = unit()
    program, word = told["ExecStart"][0].split()
    assert Path(program).name == "greenlight"
    assert word in COMMANDS
    assert told["WorkingDirectory"] == [f"/var/lib/{told['StateDirectory'][0]}"]
    assert told["User"][0] not in ("", "root")
    assert told["ProtectSystem"] == ["strict"]
    assert told["NoNewPrivileges"] == ["yes"]
    assert "ReadWritePaths" not in told


def test_the_unit_starts_again_but_not_for_ever_and_stops_in_order() -> None:
    """A crash is followed by a start, a row of crashes by an end; SIGTERM has the time that the bot takes."""
    told = {key: values[0] for key, values in unit().items()}
    assert told["Restart"] == "on-failure"
    assert int(told["RestartSec"]) * int(told["StartLimitBurst"]) < int(told["StartLimitIntervalSec"])
    assert int(told["TimeoutStopSec"]) > STOP_SECONDS


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd here: its unit was not read by systemd"
)
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """systemd itself finds nothing wrong with it, and little exposed."""
    copy = tmp_path / "greenlight.service"
    program = unit()["ExecStart"][0].split()[0]
    copy.write_text(text("deploy/greenlight.service").replace(program, sys.executable), "utf-8")
    for words in (("verify",), ("security", "--offline=yes", "--threshold=15")):
        done = subprocess.run(
            ["systemd-analyze", *words, str(copy)], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout  # an unknown line is only warned of


# --- what they promise ----------------------------------------------------------------------------------------------------


def test_the_manual_names_what_there_is() -> None:
    """Every `greenlight` word in docs/deploy.md is a command, every path and variable one of these files."""
    manual = text("docs/deploy.md")
    words = set(
        re.findall(r"bin/greenlight (\w+)|(?m:^ {4}greenlight (\w+))|greenlight greenlight (\w+)", manual)
    )
    assert {word for found in words for word in found if word} <= COMMANDS.keys()
    assert unit()["WorkingDirectory"][0] in manual
    assert unit()["ExecStart"][0].split()[0].removesuffix("bin/greenlight").rstrip("/") in manual
    for name in re.findall(r"`([A-Z]+_[A-Z_]+)`", manual):
        assert name in VARIABLES | set(compose()["services"]["ib-gateway"]["environment"])


def deny_write_execute() -> None:
    """As MemoryDenyWriteExecute of the unit does; a kernel that does not know it leaves it be."""
    ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN


async def test_everything_is_written_in_one_place(tmp_path: Path) -> None:
    """As in the image and under the unit: from start to a filled order and an orderly stop no file is opened to write elsewhere, and no
    memory made executable.
    """
    data, hook, told = tmp_path / "data", tmp_path / "hook", tmp_path / "told"
    data.mkdir()
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(WATCH, "utf-8")
    async with kit.house(tmp_path / "world") as house:
        environment = {
            **{name: value for name, value in image_environment().items() if name.startswith("PYTHON")},
            **house.environment(DATABASE_PATH=str(data / "greenlight.db")),
            "HOME": str(data),
            "WATCH": str(told),
        }
        environment["PYTHONPATH"] = f"{hook}:{environment['PYTHONPATH']}"
        bot = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run"),
            cwd=data,
            env=environment,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=deny_write_execute,
        )
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
        await house.phone.taps("Send", card)
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        assert (await end(bot))[0] == 0
    written = set(told.read_text("utf-8").splitlines())
    assert str(data / "greenlight.db") in written
    assert {path for path in written if not f"{path}/".startswith((f"{data}/", "/dev/"))} == set()
