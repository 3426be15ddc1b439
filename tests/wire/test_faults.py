"""The faults that the design of an order's life names, in its words, and the test of each. A fault without a test fails here."""

import subprocess
import sys

import pytest

from tests.kit import ROOT
from tests.wire import test_faults_crash

CRASH = "tests/wire/test_faults_crash.py::test_killed[{}]"
NETWORK = "tests/wire/test_faults_network.py::test_"
TIME = "tests/wire/test_faults_time.py::test_"
SUPERVISION = "tests/wire/test_supervision.py::test_"
DISK = "tests/wire/test_disk.py::test_"
BACKUP = "tests/storage/test_backup.py::test_"

CRASHES = (
    "update fetched not stored",
    "stored not answered",
    "risk passed, intent not committed",
    "intent committed not sent",
    "SENDING committed not written",
    "written, broker never got it",
    "broker got it, no ack",
    "ack not committed",
    "ack committed, no message",
    "execution received not committed",
    "committed without commission",
    "commission first",
    "fill committed, alert not sent",
    "alert sent, not marked",
    "cancel intent",
    "cancel written",
    "fill races cancel",
    "modify written",
    "bracket parent sent, children not",
    "inside reconcile",
    "halt set, cancels half sent",
    "inside a migration",
)

FAULTS: dict[str, tuple[str, ...]] = {
    **{words: (CRASH.format(words),) for words in CRASHES},
    "inside a backup": (BACKUP + "killed_inside_a_backup", BACKUP + "killed_in_the_middle_of_the_bytes"),
    # network
    "Telegram down an hour": (NETWORK + "telegram_down_an_hour",),
    "429 with retry_after": (NETWORK + "429_with_retry_after",),
    "409": (SUPERVISION + "telegram_409_stops_the_second_one", SUPERVISION + "a_short_409_is_waited_for"),
    "IB reset": (NETWORK + "ib_reset",),
    "half-open": (NETWORK + "half_open", SUPERVISION + "a_dead_link_is_found_within_fifteen_seconds"),
    "1100/1101/1102": (NETWORK + "1100_1101_1102", SUPERVISION + "data_lost_subscribes_anew"),
    "flapping": (NETWORK + "flapping",),
    "port open but gateway not logged in": (NETWORK + "port_open_but_gateway_not_logged_in",),
    "model down, slow, garbage": (NETWORK + "model_down_slow_garbage",),
    # storage
    "disk full or I/O error": (DISK + "disk_full_or_io_error_while_an_order_works",),
    "locked": ("tests/wire/test_faults_storage.py::test_locked",),
    "corrupt page at start": (DISK + "corrupt_page_at_start",),
    "older backup restored": (DISK + "older_backup_restored",),
    # time and duplicates
    "double tap from two devices": (TIME + "double_tap_from_two_devices",),
    "late tap": (TIME + "late_tap",),
    "replayed callback": (TIME + "replayed_callback",),
    "duplicated or reordered statuses": (TIME + "duplicated_or_reordered_statuses",),
    "overfill": (TIME + "overfill",),
    "order ids restarting at 1": (TIME + "order_ids_restarting_at_1",),
    "clock jumps": (TIME + "clock_jumps",),
    "two instances": (TIME + "two_instances_on_one_database", TIME + "two_instances_on_one_account"),
}


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """Every test that pytest finds in the files of the table, with and without its parameters."""
    files = sorted({node.partition("::")[0] for nodes in FAULTS.values() for node in nodes})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-n", "0", *files],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    whole = {line.strip() for line in done.stdout.splitlines() if "::" in line}
    return whole | {node.partition("[")[0] for node in whole}


@pytest.mark.parametrize("words", FAULTS)
def test_every_fault_has_its_test(collected: set[str], words: str) -> None:
    """The tests of this fault are there."""
    assert FAULTS[words]
    missing = [node for node in FAULTS[words] if node not in collected]
    assert not missing, f"the fault {words!r} has lost its test: {missing}"


def test_every_named_crash_is_in_the_table() -> None:
    """No crash is tried under a name that the design does not know."""
    assert tuple(test_faults_crash.FAULTS) == CRASHES
