"""Work in order: one person's wishes are done in the order asked, and nobody waits behind somebody else."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.lanes import Lanes, Tally


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - the turns of the loop are what is waited for
            await asyncio.sleep(0)


async def test_one_person_is_served_in_order() -> None:
    """What was asked first is finished before the next begins, however long it takes."""
    lanes, done = Lanes(), list[str]()

    def work(name: str, pauses: int) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            done.append(f"{name} begins")
            for _ in range(pauses):
                await asyncio.sleep(0)
            done.append(f"{name} ends")

        return run

    lanes.add(1, work("slow", 20))
    lanes.add(1, work("quick", 0))
    await until(lambda: len(done) == 4)
    assert done == ["slow begins", "slow ends", "quick begins", "quick ends"]


async def test_nobody_waits_behind_somebody_else() -> None:
    """While one person's work stands still, another's is done."""
    lanes, gate, done = Lanes(), asyncio.Event(), list[int]()

    async def stuck() -> None:
        await gate.wait()
        done.append(1)

    async def quick() -> None:
        done.append(2)

    lanes.add(1, stuck)
    lanes.add(2, quick)
    await until(lambda: done == [2])
    gate.set()
    await until(lambda: done == [2, 1])


async def test_a_lane_that_ran_empty_works_again() -> None:
    """The next wish after a pause is served like the first."""
    lanes, done = Lanes(), list[int]()

    async def work() -> None:
        done.append(1)

    for count in (1, 2, 3):
        lanes.add(1, work)
        await until(lambda count=count: len(done) == count)  # type: ignore[misc]


async def test_work_may_ask_for_more_work() -> None:
    """What work adds to its own lane comes after it."""
    lanes, done = Lanes(), list[str]()

    async def second() -> None:
        done.append("second")

    async def first() -> None:
        lanes.add(1, second)
        done.append("first")

    lanes.add(1, first)
    await until(lambda: len(done) == 2)
    assert done == ["first", "second"]


async def test_closing_finishes_what_was_begun_and_begins_nothing() -> None:
    """What is being done ends; what waits, or comes later, is left to the next start."""
    lanes, gate, done = Lanes(), asyncio.Event(), list[str]()

    async def begun() -> None:
        await gate.wait()
        done.append("begun")

    async def waiting() -> None:
        done.append("waiting")

    lanes.add(1, begun)
    lanes.add(1, waiting)
    await asyncio.sleep(0)
    closing = asyncio.create_task(lanes.close(5))
    await asyncio.sleep(0)
    lanes.add(2, waiting)
    gate.set()
    await closing
    await asyncio.sleep(0)
    assert done == ["begun"]


async def test_closing_does_not_wait_for_ever() -> None:
    """Work that does not end is cut off when the patience is over."""
    lanes, cut = Lanes(), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    lanes.add(1, endless)
    await asyncio.sleep(0)
    await lanes.close(0.01)
    async with asyncio.timeout(5):
        await cut.wait()


async def test_closing_what_never_worked() -> None:
    """Nothing to wait for is no reason to wait."""
    await Lanes().close(60)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), max_size=15))
def test_any_traffic_keeps_each_persons_order(traffic: list[tuple[int, int]]) -> None:
    """However lanes interleave, each of them is in order and nothing is lost or done twice."""
    done: list[tuple[int, int]] = []

    async def story() -> None:
        lanes = Lanes()
        for number, (key, pauses) in enumerate(traffic):

            async def run(key: int = key, pauses: int = pauses, number: int = number) -> None:
                for _ in range(pauses):
                    await asyncio.sleep(0)
                done.append((key, number))

            lanes.add(key, run)
        await until(lambda: len(done) == len(traffic))

    asyncio.run(story())
    for lane in (1, 2, 3):
        assert [n for key, n in done if key == lane] == [
            n for n, (key, _) in enumerate(traffic) if key == lane
        ]


async def test_work_that_raises_does_not_stop_its_lane(caplog: pytest.LogCaptureFixture) -> None:
    """An error nobody foresaw is logged, and what was asked next is done."""
    lanes, done = Lanes(), list[int]()

    async def broken() -> None:
        raise KeyError("unforeseen")

    async def work() -> None:
        done.append(1)

    lanes.add(1, broken)
    lanes.add(1, work)
    await until(lambda: done == [1])
    assert "unforeseen" in caplog.text


# --- what is only counted ---------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 40)), max_size=60), st.integers(1, 5))
def test_a_tally_counts_everything_once_and_stays_small(arrivals: list[tuple[int, int]], most: int) -> None:
    """Firsts and sums together are all that came, and there are never more of them in a minute than the tally may hold."""
    tally, now, told = Tally(most), 0.0, 0
    for key, wait in [*arrivals, (1, 61)]:
        now += wait
        summed = tally.over(now)
        assert len(summed) <= most + 1
        told += sum(summed.values()) + tally.count(key, now)
    assert told + sum(tally.over(now + 60).values()) == len(arrivals) + 1


def test_a_tally_tells_the_first_of_each_at_once() -> None:
    """The first of a key is told, the rest of its minute is one number, and then it begins anew."""
    tally = Tally()
    assert [tally.count(key, 0) for key in ("a", "a", "b", "a")] == [True, False, True, False]
    assert tally.over(59) == {}
    assert tally.over(60) == {"a": 2}
    assert tally.count("a", 60)
