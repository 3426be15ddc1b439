"""A crowd that writes to the bot: many people it has never heard of, each a line now and then, all of them many a second.

Their lines are updates and nothing more: they stand in no chat, their authors are no people of the page, and the journal has one entry
for all of them. So it is the bot that is put to the test, and not what a simulator remembers.
"""

import asyncio
import time

from sim.telegram.engine import Engine
from sim.telegram.entities import tidy
from sim.telegram.people import Json, make_stranger, private_chat

#: The number of the first of them; the others follow.
FIRST = 6_000_000_000

#: How often those lines are handed over that are due by then.
_STEP_SECONDS = 0.01


async def write(engine: Engine, per_second: float, seconds: float, people: int, text: str) -> Json:
    """Let `people` write `text` in turn, at this rate by the real clock; returns {"sent", "seconds"} when the last line is queued."""
    body, entities = tidy(text, [])
    crowd = [make_stranger(FIRST + n) for n in range(people)]
    said = {"text": body} | ({"entities": entities} if entities else {})
    begun, sent, due = time.monotonic(), 0, round(per_second * seconds)
    while sent < due:
        for _ in range(min(int((time.monotonic() - begun) * per_second) + 1, due) - sent):
            who = crowd[sent % people]
            message = engine.new_message(private_chat(who), who) | said
            engine.updates.add("message", message, engine.clock.now())
            sent += 1
        await asyncio.sleep(_STEP_SECONDS)
    took = time.monotonic() - begun
    engine.journal.record("strangers", sent=sent, people=people)
    return {"sent": sent, "seconds": round(took, 3)}
