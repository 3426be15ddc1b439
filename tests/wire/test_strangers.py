"""A crowd that writes a thousand lines a second, and a disk that takes nothing: the owner is heard all the same, at once and in order."""

import asyncio
import re
import time

from tests.kit import House
from tests.wire.test_robust import locked, query

PER_SECOND, SECONDS, PEOPLE = 1000, 3, 250
LIMIT_SECONDS = 1.0


async def crowded(live: House, text: str = "/halt") -> list[float]:
    """The owner's waiting times in seconds while a crowd writes; every line of theirs has been fetched at the end."""
    crowd = asyncio.ensure_future(
        live.control.post(
            "/telegram/strangers", per_second=PER_SECOND, seconds=SECONDS, people=PEOPLE, text=text
        )
    )
    waited = []
    while not crowd.done():
        begun = time.perf_counter()
        await live.phone.asks("/whoami", "Your id")
        waited.append(time.perf_counter() - begun)
    assert (await crowd)["sent"] == PER_SECOND * SECONDS
    await live.phone.settled()
    return waited


async def test_the_owner_is_answered_at_once_among_a_thousand_strangers_a_second(live: House) -> None:
    """Half of the answers, the worst of a busy machine aside, come well within a second; no line of either is lost."""
    waited = sorted(await crowded(live))
    assert len(waited) >= 3
    assert waited[len(waited) // 2] < LIMIT_SECONDS
    said = [m for m in await live.phone.chat() if m["from"] == "user"]
    answers = [m for m in await live.phone.chat() if "Your id" in m["text"]]
    assert len(said) == len(answers) == len(waited)

    # Of each stranger the first line is told; the tally of the rest follows with the next after the minute.
    await live.control.post("/clock", advance=61)
    await live.phone.says("/buy", user=99)
    await live.phone.settled()
    lines = query(live, "SELECT user, detail FROM audit WHERE kind = 'refused' ORDER BY id")
    counts = [int(found[1]) for _, line in lines if (found := re.search(r"(\d+) more within", line))]
    firsts = [user for user, line in lines if line.endswith(": stranger")]
    assert len(firsts) + sum(counts) == PER_SECOND * SECONDS + 1
    assert len(set(firsts)) == len(firsts) == 201  # as many as are told apart, and the one of the next minute
    assert query(live, "SELECT count(*) FROM updates WHERE user <> ?", live.world.telegram.user_id) == [
        (201,)
    ]
    assert query(live, "SELECT count(*) FROM updates WHERE finished_at IS NULL") == [(0,)]


async def test_what_is_asked_while_nothing_can_be_written_is_still_heard(live: House) -> None:
    """A line that waits for the disk is not confirmed, and does not keep the bot from hearing the next; afterwards each is answered once."""
    with locked(live):
        await live.phone.says("/whoami")
        await live.phone.hears("Nothing can be written down")
        asked = await live.phone.says("/halt")
        await live.phone.hears("The disk did not take it", after=asked)
        assert (await live.control.get("/telegram/counts"))["waiting"] == 2
    await live.phone.hears("Your id", after=asked)
    await live.phone.settled()
    answers = [m["text"] for m in await live.phone.chat() if m["from"] == "bot" and m["id"] > asked]
    assert [sum(word in text for text in answers) for word in ("Your id", "did not take")] == [1, 1]
    assert query(live, "SELECT count(*), count(finished_at) FROM updates") == [(2, 2)]
