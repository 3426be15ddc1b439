"""Samples of the long runs, and what shows that they can fail: a leak, a stall and an error that nobody catches are planted and found."""

from pathlib import Path

import pytest

from tests.endurance import fuzz, soak
from tests.endurance.frames import Spoiler, reads
from tests.endurance.place import differences
from tests.endurance.soak import BOUNDS, TABLES, Bound, not_flat


@pytest.mark.parametrize(("name", "number"), [("tws", 4000), ("telegram", 150), ("model", 150)])
def test_what_is_malformed_does_no_harm(name: str, number: int, tmp_path: Path) -> None:
    """No uncaught exception, no stall, and afterwards a valid order goes through and the books agree."""
    report = fuzz.run(name, number, 1, tmp_path / name)
    assert not report.failures, str(report)
    assert report.thrown >= number


@pytest.mark.parametrize(("plant", "words"), [("error", "nobody caught"), ("stall", "stood still")])
def test_harm_is_seen(plant: str, words: str, tmp_path: Path) -> None:
    """The run fails where an error reaches nobody, and where the loop stands still for more than a second."""
    report = fuzz.run("tws", 200, 1, tmp_path / plant, plant)
    assert any(words in failure for failure in report.failures), str(report)


def test_two_days_leave_nothing_behind(tmp_path: Path) -> None:
    """A Monday and a Tuesday behind a weekend: the books agree every evening, and the second day adds no tasks, files or objects."""
    month, wrong = soak.run(5, 3, 1, tmp_path)
    assert not wrong
    assert month.filled == 15
    assert month.days[-1]["executions"] >= 27


def test_a_leak_is_seen(tmp_path: Path) -> None:
    """The run fails where something of each answer is kept for ever."""
    _, wrong = soak.run(2, 0, 1, tmp_path, plant="leak")
    assert any("objects grew" in one for one in wrong)
    assert any("blocks grew" in one for one in wrong)


def _days(**grows: float) -> list[dict[str, float]]:
    flat = dict.fromkeys(BOUNDS, 100_000.0) | {"tasks": 14, "threads": 6, "files": 20}
    return [{n: v + day * grows.get(n, 0) for n, v in flat.items()} | dict.fromkeys(TABLES, 10.0 * day) for day in range(30)]  # fmt: skip


@pytest.mark.parametrize("name", BOUNDS)
def test_growth_is_told_from_noise(name: str) -> None:
    """What grows a little every day is found, each measure by itself; what stays is not."""
    assert not not_flat(_days(), 10)
    grows = {"memory_kib": 500, "objects": 400, "blocks": 700}.get(name, 0.4)
    assert [one.partition(" ")[0] for one in not_flat(_days(**{name: grows}), 10)] == [name]


def test_a_table_that_grows_faster_every_day_is_found() -> None:
    """Books grow by what happens; a table that grows by more each day is none of them."""
    days = _days()
    for number, day in enumerate(days):
        day["audit"] = 5.0 * number**3
    assert ["audit" in one for one in not_flat(days, 10, {"tasks": Bound(0, 2)})] == [True]


def test_books_that_differ_are_found() -> None:
    """One order told otherwise, one missing on each side, and one share too many."""
    tables: dict[str, list[tuple[object, ...]]] = {
        "SELECT order_ref": [("a", "FILLED", "10"), ("b", "WORKING", "0"), ("c", "WORKING", "0")],
        "SELECT con_id, side": [(1, "BUY", "10")],
    }

    def rows(question: str) -> list[tuple[object, ...]]:
        return next((found for begin, found in tables.items() if question.startswith(begin)), [])

    order = {"manual": False, "status": "Filled", "filled": "10"}
    book = {"orders": [{**order, "ref": "a"}, {**order, "ref": "b"}, {**order, "ref": "d"}], "positions": [{"con_id": 1, "quantity": "11"}]}  # fmt: skip
    assert sorted(differences(book, rows)) == [
        "b has 10 filled at the broker and 0 in the file",
        "b is Filled at the broker and WORKING in the file",
        "c works in the file, and the broker has no such order",
        "of 1 the broker holds 11, the file explains 10",
        "the broker has d, the file has not",
    ]


def test_no_frame_about_an_order_that_can_be_read() -> None:
    """A spoilt execution is malformed, never just another one."""
    true = "11|-1|3|265598|AAPL|STK||0|||SMART|USD|AAPL|NMS|0000e0d5.01|20271124 15:00:01 US/Eastern|DU1|SMART|BOT|10|187.42|77|0|0|10|187.42|ref||||2|0|"
    payload, spoiler = true.replace("|", "\0").encode(), Spoiler(1)
    assert reads(payload)
    assert not any(reads(spoiler.spoil(payload)[4:]) for _ in range(3000))
