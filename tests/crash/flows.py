"""What a person and the market do in a run: one row for each story. A flow says what it waits for, and never how long."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.crash.life import Json
from tests.crash.stage import HOUR, Lost, Stage

ENDED = "FILLED|cancelled|not at the broker|REJECTED"
STANDS = f"{ENDED}|working|partly"
GUARDED = 20.0  # seconds, in which an entry without its stop is seen to
LATER = "try again in a moment|being compared|not known|not connected|not reachable|Not sent"
EVENING = 22  # UTC: the session in New York has closed, whatever the season
OVER = ("Filled", "Cancelled", "Inactive")


async def _nothing(stage: Stage) -> None:
    """The world is as it is."""


@dataclass(frozen=True)
class Flow:
    """`play` is the story, from a bot that is ready; `options` are settings of the bot for it."""

    name: str
    play: Callable[[Stage], Awaitable[None]]
    options: Callable[[Stage], dict[str, Any]] = field(default=lambda stage: {})
    prepare: Callable[[Stage], Awaitable[None]] = field(default=_nothing)
    first: bool = False
    """Begins with no file."""
    from_birth: bool = False
    """Counts from the very start, and not from a moment of the story."""
    hour: int = HOUR
    last_day: bool = False
    """Plays on the last day of some options."""
    symbol: str = ""
    """Whose lots and holdings are asked for in the chat when everything has come to rest."""


# --- what people see and do ---------------------------------------------------------------------------------------------


async def sent(stage: Stage, line: str, pattern: str, button: str = "Send") -> Json:
    """A card that was asked for by a line, and sent."""

    async def ask() -> Json:
        return await stage.phone.asks(line, f"{pattern}|{LATER}")

    return await sent_from(stage, ask, line, button)


async def sent_from(
    stage: Stage, ask: Callable[[], Awaitable[Json]], what: str, button: str = "Send"
) -> Json:
    """A card that `ask` brings, and sent. Who is told that it cannot be done right now tries again in a moment."""
    for _ in range(8):
        said = await ask()
        card = next(m for m in await stage.phone.chat() if m["id"] == said["id"])
        if not any(b["text"] == button for row in card["buttons"] for b in row):
            await stage.passes(2.0)
            continue
        for _ in range(8):
            name = await stage.tap(button, card)
            told = len(await not_sent(stage))

            async def answered(name: str = name, told: int = told) -> bool:
                (state,) = stage.file(f"SELECT state FROM tickets WHERE ticket_id = '{name}'")
                return state[0] != "open" or len(await not_sent(stage)) > told

            await stage.until(answered, f"an answer to {button} of {what}")
            if stage.file(f"SELECT 1 FROM tickets WHERE ticket_id = '{name}' AND state <> 'open'"):
                return card
            await stage.passes(2.0)
    raise Lost(f"{what} cannot be sent, however often it is tried")


async def not_sent(stage: Stage) -> list[Json]:
    return [m for m in await stage.phone.chat() if "Not sent" in m["text"]]


async def shows(stage: Stage, terms: str, words: str) -> Json:
    """The newest card of the bot about an order with these terms, as soon as it says one of these words of it."""
    return await stage.phone.sees(
        lambda m: (
            m["from"] == "bot"
            and re.search(rf"{terms}[^\n]*\n#\d+ · [^\n]*({words})", m["text"])
            and "While you were away" not in m["text"]
        ),
        f"{terms}: {words}",
    )


async def _bought_with_bracket(stage: Stage) -> None:
    """Ten MSFT, with a stop and a target that stand."""
    await price(stage, "MSFT", 400.00)
    await sent(stage, "/buy MSFT 10 sl 380 tp 440", "BUY 10 MSFT")
    await stage.phone.sees(
        lambda m: (
            "BUY 10 MSFT" in m["text"] and "FILLED 10/10" in m["text"] and m["text"].count("working") == 2
        ),
        "a filled bracket",
    )


async def _resting(stage: Stage, line: str = "/buy AAPL 10 @ 150", terms: str = "BUY 10 AAPL @ 150") -> Json:
    """A limit that rests; its card."""
    await sent(stage, line, terms)
    return await shows(stage, terms, STANDS)


async def cancelled(stage: Stage, terms: str) -> None:
    """Tap Cancel, and again whenever the bot says that it was lost, until the order is over."""
    for _ in range(4):
        card = await stage.phone.sees(
            lambda m: (
                terms in m["text"]
                and (m["buttons"] or re.search(ENDED, m["text"]))
                and not re.search("Send|Nothing is sent", str(m))
            )
        )
        if re.search(ENDED, card["text"]):
            return
        await stage.press(card["buttons"][0][0]["data"], card)
        await _over_or_lost(stage, terms, len(await _lost(stage)))


async def _over_or_lost(stage: Stage, terms: str, lost: int) -> None:
    """Wait until the order is over, or one more cancel is said to be lost."""

    async def over() -> bool:
        return bool(await _ended(stage, terms)) or len(await _lost(stage)) > lost

    await stage.until(over, f"{terms} cancelled or lost")


async def _ended(stage: Stage, terms: str) -> list[Json]:
    return [m for m in await stage.phone.chat() if re.search(rf"{terms}[^\n]*\n#\d+ · [^\n]*({ENDED})", m["text"])]  # fmt: skip


async def _lost(stage: Stage) -> list[Json]:
    return [m for m in await stage.phone.chat() if "cancel did not reach" in m["text"]]


# --- what the market does ------------------------------------------------------------------------------------------------


async def price(stage: Stage, symbol: str, bid: float) -> None:
    """The market stands there; orders that it reaches trade before this returns."""
    await stage.control.post("/tws/price", symbol=symbol, bid=bid, ask=round(bid + 0.02, 2), last=round(bid + 0.01, 2))  # fmt: skip


async def working(stage: Stage, symbol: str = "", *, side: str = "") -> list[Json]:
    """The broker's orders that are not over, with their references."""
    return [
        o
        for o in (await stage.control.book())["orders"]
        if o["status"] not in (*OVER, "Untransmitted") and symbol in o["symbol"] and side in o["side"]
    ]


async def _fill(stage: Stage, symbol: str, quantity: int | None = None) -> None:
    """The broker fills the purchase of a symbol, where it has one."""
    for order in await working(stage, symbol, side="BUY"):
        more = {} if quantity is None else {"quantity": quantity}
        await stage.control.post("/tws/fill", order=order["perm_id"], **more)


# --- the stories ------------------------------------------------------------------------------------------------------


async def market(stage: Stage) -> None:
    """A purchase at the market: card, tap, fill."""
    await stage.arm()
    await sent(stage, "/buy AAPL 10", "BUY 10 AAPL")
    await shows(stage, "BUY 10 AAPL", ENDED)


async def limit(stage: Stage) -> None:
    """A limit that rests until the price comes."""
    await stage.arm()
    await _resting(stage)
    await price(stage, "AAPL", 149.0)
    await shows(stage, "BUY 10 AAPL", ENDED)


async def bracket(stage: Stage) -> None:
    """An entry with a stop and a target leaves as one."""
    await price(stage, "MSFT", 400.00)
    await stage.arm()
    await sent(stage, "/buy MSFT 10 sl 380 tp 440", "BUY 10 MSFT")
    await shows(stage, "BUY 10 MSFT", ENDED)


async def stopped(stage: Stage) -> None:
    """The stop of a holding is hit, and its target goes with it."""
    await _bought_with_bracket(stage)
    await stage.arm()
    await price(stage, "MSFT", 379.00)
    await stage.phone.sees(
        lambda m: re.search("Stop hit: FILLED|SELL 10 MSFT stop[^\n]*\n[^\n]*FILLED", m["text"])
    )


async def cancel(stage: Stage) -> None:
    """A resting limit is cancelled by its button."""
    await _resting(stage)
    await stage.arm()
    await cancelled(stage, "BUY 10 AAPL @ 150")


async def cancel_all(stage: Stage) -> None:
    """Two resting limits are cancelled by one line; what a crash lost of it, by their buttons."""
    await _resting(stage)
    await _resting(stage, "/buy MSFT 5 @ 300", "BUY 5 MSFT @ 300")
    await stage.arm()
    await stage.phone.asks("/cancel all", "Cancel asked|no open order")
    for terms in ("BUY 10 AAPL @ 150", "BUY 5 MSFT @ 300"):
        await _over_or_lost(stage, terms, 0)
        await cancelled(stage, terms)


async def race(stage: Stage) -> None:
    """A cancel is asked and stays pending at the broker until a fill overtakes it."""
    card = await _resting(stage)
    await stage.control.post("/tws/cancels", mode="hold")
    await stage.arm()
    await stage.press(card["buttons"][0][0]["data"], card)
    await stage.until(lambda: _asked(stage), "a cancel at the broker or in the file")
    await _fill(stage, "AAPL")
    await shows(stage, "BUY 10 AAPL @ 150", "FILLED")


async def _asked(stage: Stage) -> bool:
    pending = any(o["status"] == "PendingCancel" for o in (await stage.control.book())["orders"])
    return pending or bool(stage.file("SELECT 1 FROM orders WHERE cancel_requested_at IS NOT NULL")) or bool(stage.died_at)  # fmt: skip


async def modify(stage: Stage) -> None:
    """A resting limit gets another price and another size."""
    await _resting(stage)
    await stage.arm()
    await _changed(stage, "/modify 1 @ 151 qty 8")


async def modify_stop(stage: Stage) -> None:
    """The stop of a holding is moved up."""
    await _bought_with_bracket(stage)
    (stop,) = (o for o in stage.file("SELECT number FROM orders WHERE role = 'STOP'"))
    await stage.arm()
    await _changed(stage, f"/modify {stop[0]} stop 390")


async def _changed(stage: Stage, line: str) -> None:
    card = await sent(stage, line, "CHANGE #")
    await stage.phone.sees(
        lambda m: (
            m["id"] >= card["id"] and re.search(r"Changed\.|Not changed|FILLED|not at the broker", m["text"])
        ),
        "what became of a change",
    )


async def bare(stage: Stage) -> None:
    """The broker refuses the stop of an entry that is filled: it is sent once more."""
    await stage.control.post("/tws/reject", type="STP", count=1)
    await stage.arm()
    await sent(stage, "/buy AAPL 10 sl 150 tp 250", "BUY 10 AAPL")
    await shows(stage, "BUY 10 AAPL", ENDED)
    await stage.passes(GUARDED)


async def bare_waits(stage: Stage) -> None:
    """The broker refuses the stop of an entry that rests: the entry is cancelled."""
    await stage.control.post("/tws/reject", type="STP", count=1)
    await stage.arm()
    await sent(stage, "/buy AAPL 10 @ 150 sl 140 tp 200", "BUY 10 AAPL")
    await shows(stage, "BUY 10 AAPL", ENDED)
    await stage.passes(GUARDED)


async def summary(stage: Stage) -> None:
    """The session has closed: its summary is told once."""
    await stage.phone.hears("Daily summary")


async def approve(stage: Stage) -> None:
    """A proposal of the analyst is approved: an entry with a stop and a target."""
    await stage.control.post("/model/script", model="scripted-1", answers=[{"verdict": "BUY", "confidence": 78}] * 6)  # fmt: skip
    await stage.arm()
    await sent(stage, "/analyze MSFT", "BUY MSFT.*confidence 78%", "Approve")
    await shows(stage, "BUY \\d+ MSFT", ENDED)


def _with_model(stage: Stage) -> dict[str, Any]:
    return {
        "anthropic_api_key": stage.world.model.api_key,
        "anthropic_base_url": stage.world.model.address,
        "anthropic_model": "scripted-1",
        "max_position_size": "10000",
    }


async def fill(stage: Stage) -> None:
    """An order that rests is filled while the bot looks on."""
    await _resting(stage)
    await stage.arm()
    await _fill(stage, "AAPL")
    await shows(stage, "BUY 10 AAPL", ENDED)


async def partial(stage: Stage) -> None:
    """An order is filled in three parts."""
    await _resting(stage)
    await stage.arm()
    for part in (3, 4, None):
        await _fill(stage, "AAPL", part)
        if part:
            await shows(stage, "BUY 10 AAPL", "partly|FILLED|not at")
    await shows(stage, "BUY 10 AAPL", ENDED)


async def sale(stage: Stage) -> None:
    """Protected shares are sold: the protection is taken down, then the sale."""
    await _bought_with_bracket(stage)
    await stage.arm()
    await sent(stage, "/sell MSFT all", "SELL 10 MSFT")
    await stage.phone.hears(
        "FILLED SELL 10 MSFT|sale did not happen|SELL 10 MSFT[^\n]*\n[^\n]*(FILLED|not at)"
    )


async def sale_of_a_part(stage: Stage) -> None:
    """Some protected shares are sold: the protection is made smaller, then the sale."""
    await _bought_with_bracket(stage)
    await stage.arm()
    await sent(stage, "/sell MSFT 4", "SELL 4 MSFT")
    await stage.phone.hears("FILLED SELL 4 MSFT|sale did not happen|SELL 4 MSFT[^\n]*\n[^\n]*(FILLED|not at)")


async def reject(stage: Stage) -> None:
    """The broker rejects an order."""
    await stage.control.post("/tws/reject", code=201, message="Order rejected - reason:not today")
    await stage.arm()
    await sent(stage, "/buy AAPL 10 @ 150", "BUY 10 AAPL")
    await shows(stage, "BUY 10 AAPL", ENDED)


async def correction(stage: Stage) -> None:
    """The broker corrects a fill, first its price, then its quantity."""
    await sent(stage, "/buy AAPL 10", "BUY 10 AAPL")
    await shows(stage, "BUY 10 AAPL", "FILLED")
    await stage.rest()
    await stage.arm()
    for change in ({"price": 171.5}, {"quantity": 9}):
        (latest,) = (e for e in (await stage.control.book())["executions"] if not e["superseded"])
        await stage.control.post("/tws/correct", exec_id=latest["exec_id"], **change)
        await stage.rest()


async def elsewhere(stage: Stage) -> None:
    """A trade and a working order are typed into TWS by hand; the order is cancelled there."""
    await stage.arm()
    await stage.control.post("/tws/external", symbol="MSFT", side="BUY", quantity=3)
    await stage.control.post("/tws/external", symbol="MSFT", side="BUY", quantity=5, price=300, working=True)
    await stage.phone.asks("/orders", "BUY 5 MSFT|No open orders")
    for order in await working(stage, "MSFT"):
        await stage.control.post("/tws/cancel", order=order["perm_id"])
    await stage.rest()


async def cut(stage: Stage) -> None:
    """The line to the broker is cut while orders rest; one fills meanwhile."""
    await _resting(stage)
    await _resting(stage, "/buy MSFT 5 @ 300", "BUY 5 MSFT @ 300")
    await stage.control.post("/tws/refuse", on=True)
    await stage.arm()
    await stage.control.post("/tws/drop")
    await _fill(stage, "AAPL")
    await stage.phone.hears("Broker not reachable")
    await stage.control.post("/tws/refuse", on=False)
    await shows(stage, "BUY 10 AAPL", ENDED)


async def away(stage: Stage) -> None:
    """The bot was dead while one order filled, one was cancelled, one partly filled, a fill was corrected and somebody traded by hand."""
    await sent(stage, "/buy AAPL 2", "BUY 2 AAPL")
    await shows(stage, "BUY 2 AAPL", "FILLED")
    await _resting(stage)
    await _resting(stage, "/buy MSFT 5 @ 300", "BUY 5 MSFT @ 300")
    await _resting(stage, "/buy AAPL 7 @ 140", "BUY 7 AAPL @ 140")
    await stage.rest()
    await stage.strike(restart=False)
    (first,) = (await stage.control.book())["executions"]
    await stage.control.post("/tws/correct", exec_id=first["exec_id"], price=171.5)
    orders = {float(o["quantity"]): o["perm_id"] for o in await working(stage)}
    await stage.control.post("/tws/fill", order=orders[10])
    await stage.control.post("/tws/cancel", order=orders[5])
    await stage.control.post("/tws/fill", order=orders[7], quantity=3)
    await stage.control.post("/tws/external", symbol="MSFT", side="BUY", quantity=3)
    await stage.control.post("/tws/external", symbol="MSFT", side="BUY", quantity=4, price=290, working=True)
    stage.armed = True
    stage.begin()
    await stage.phone.hears("While you were away.*BUY 10 AAPL")
    await shows(stage, "BUY 10 AAPL", "FILLED")


RESTING = (("/buy KO 5 @ 40", "BUY 5 KO @ 40"), ("/buy AAPL 10 @ 150", "BUY 10 AAPL @ 150"), ("/buy SPY 4 @ 400", "BUY 4 SPY @ 400"))  # fmt: skip


async def halt(stage: Stage) -> None:
    """Everything that could add is cancelled by one line; what protects stands."""
    await _bought_with_bracket(stage)
    for line, terms in RESTING:
        await _resting(stage, line, terms)
    await stage.arm()
    await stage.phone.asks("/halt", "HALTED")
    for _, terms in RESTING:
        await shows(stage, terms, ENDED)


async def flatten(stage: Stage) -> None:
    """Everything that is held is closed, protected or not; who finds something left after a crash asks once more."""
    await _bought_with_bracket(stage)
    await stage.arm()
    for _ in range(8):
        said = await stage.phone.asks("/flatten", f"Close everything|Nothing is held|{LATER}")
        if "Nothing is held" in said["text"]:
            break
        if said["buttons"]:
            await stage.press(said["buttons"][0][0]["data"], said)
            sure = await stage.phone.hears("Halt, and close", after=said["id"])
            await stage.press(sure["buttons"][0][0]["data"], sure)
            await stage.rest()
        await stage.passes(2.0)
    # One tap approves them all: which they are is what the bot says that it sent, each sold once and nothing twice by the broker's book.
    stage.approved += [name for (name,) in stage.file("SELECT ticket_id FROM tickets WHERE state = 'sent'")]
    if left := [p for p in (await stage.control.book())["positions"] if float(p["quantity"])]:
        raise Lost(f"still held after all: {left}")


async def first_day(stage: Stage) -> None:
    """The very first start: no file yet, books to be opened; then a purchase."""
    await sent(stage, "/buy AAPL 10", "BUY 10 AAPL")
    await shows(stage, "BUY 10 AAPL", ENDED)


FLOWS = {
    flow.name: flow
    for flow in (
        Flow("market", market),
        Flow("limit", limit),
        Flow("bracket", bracket),
        Flow("stopped", stopped),
        Flow("cancel", cancel),
        Flow("race", race),
        Flow("cancelall", cancel_all),
        Flow("modify", modify),
        Flow("modstop", modify_stop),
        Flow("bare", bare),
        Flow("barewaits", bare_waits),
        Flow("summary", summary, from_birth=True, hour=EVENING),
        Flow("approve", approve, options=_with_model),
        Flow("fill", fill),
        Flow("partial", partial),
        Flow("sale", sale),
        Flow("salepart", sale_of_a_part),
        Flow("reject", reject),
        Flow("correct", correction),
        Flow("elsewhere", elsewhere),
        Flow("cut", cut),
        Flow("away", away),
        Flow("halt", halt),
        Flow("flatten", flatten),
        Flow("first", first_day, first=True, from_birth=True),
    )
}
