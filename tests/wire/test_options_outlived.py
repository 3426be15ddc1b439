"""Orders for options whose reason is gone, and those that only look as if it were: the first are taken back, the others are left alone."""

import asyncio
from datetime import date

import pytest

from bot import backups
from bot.clock import SystemClock
from tests.kit import House, Json
from tests.wire.attacks import alive, compared
from tests.wire.test_options_attacks import spread_of, step, working
from tests.wire.test_options_chat import desk as desk
from tests.wire.test_options_chat import expiry, held, in_session, labels, pin, sent, share


async def sent_off(house: House, line: str, pattern: str) -> Json:
    """The order of a line works."""
    card = await house.phone.asks(line, pattern)
    await house.phone.taps("Send", card)
    await working(house, card)
    return card


async def rolls(house: House, name: str) -> None:
    """The roll of what is held works."""
    shown = await house.phone.asks("/positions AAPL", name)
    await house.phone.taps(next(label for label in labels(shown) if label.startswith("Roll")), shown)
    card = await house.phone.hears("ROLL", after=shown["id"])
    await house.phone.taps("Send", card)
    await working(house, card)


async def elsewhere(house: House, side: str, day: date | None, name: str = "", quantity: int = 1) -> None:
    """Somebody trades in TWS: an option, or shares where no day is given."""
    option = {"expiry": f"{day:%Y%m%d}", "strike": int(name[1:]), "right": name[0]} if day else {}
    await house.control.post("/tws/external", symbol="AAPL", side=side, quantity=quantity, **option)
    await compared(house)


async def settled(house: House) -> list[Json]:
    """What still works a while later."""
    for _ in range(4):
        await step(house, 6)
    return await alive(house)


async def test_two_closings_of_one_holding(desk: House) -> None:
    """Two calls are held, and two orders sell one each; one call is sold in TWS. The younger order goes, and no call is ever owed."""
    day = expiry(desk)
    await pin(desk, day, C180="5.00")
    card = await desk.phone.asks(f"/option AAPL call 180 {day} 2", "BUY 2 AAPL 180 C")
    await sent(desk, card, "FILLED BUY 2 AAPL 180 C")
    await desk.control.post("/tws/fills", mode="hold")
    for _ in range(2):
        await sent_off(desk, f"/option sell AAPL call 180 {day} 1", "(CLOSE|SELL) 1 AAPL 180 C")
    first = (await alive(desk))[0]
    await elsewhere(desk, "SELL", day, "C180")
    assert [one["ref"] for one in await settled(desk)] == [first["ref"]]
    await desk.control.post("/tws/fill", order=first["ref"], quantity=1)
    assert await held(desk) == {}


@pytest.mark.parametrize(("side", "name"), [("BUY", "P180"), ("SELL", "P170")])
async def test_a_roll_of_what_is_gone(desk: House, side: str, name: str) -> None:
    """The put that a roll was to close was closed in TWS: the roll would open two things that nobody approved."""
    day, verb = expiry(desk), "sell " if side == "SELL" else ""
    await pin(desk, day, **{name: "3.00"})
    card = await desk.phone.asks(f"/option {verb}AAPL put {name[1:]} {day} 1", f"{side} 1 AAPL {name[1:]} P")
    await sent(desk, card, f"FILLED {side} 1 AAPL {name[1:]} P")
    await desk.control.post("/tws/fills", mode="hold")
    await rolls(desk, f"{name[1:]} P")
    await elsewhere(desk, "BUY" if side == "SELL" else "SELL", day, name)
    assert await settled(desk) == []
    assert await held(desk) == {}


async def test_a_buy_write_is_left_alone(desk: House) -> None:
    """It buys the shares behind its call itself; none of them are held before."""
    await desk.control.post("/tws/fills", mode="hold")
    await sent_off(desk, "/strategy COVERED_CALL MSFT d30 30d 1", "MSFT COVERED_CALL")
    assert len(await settled(desk)) == 1


async def test_nine_combinations_are_left_alone(desk: House) -> None:
    """Each has a long call of its own behind the short one, however many of them rest."""
    day = expiry(desk)
    await desk.control.post("/tws/fills", mode="hold")
    for cents in range(9):
        await share(desk, "180.00")
        await spread_of(desk, day, C180=("4.90", "5.10"), C185=("2.70", "2.90"))
        line = f"/strategy bull call spread AAPL 180/185 {day} 1 @ 1.9{cents}"
        await sent_off(desk, line, "BULL_CALL_SPREAD")
    assert len(await settled(desk)) == 9


async def test_one_of_two_covered_calls_stays(desk: House) -> None:
    """Two calls are on sale against 200 shares, of which 100 are sold in TWS: the younger order goes, the older one is still covered."""
    day = expiry(desk)
    card = await desk.phone.asks("/buy AAPL 160", "BUY 160 AAPL")
    await sent(desk, card, "FILLED BUY 160 AAPL")
    await desk.control.post("/tws/fills", mode="hold")
    await spread_of(desk, day, C185=("3.00", "3.00"))
    for _ in range(2):
        await sent_off(desk, f"/option sell AAPL call 185 {day} 1", "SELL 1 AAPL 185 C")
    first = (await alive(desk))[0]
    await elsewhere(desk, "SELL", None, quantity=100)
    assert [one["ref"] for one in await settled(desk)] == [first["ref"]]


async def test_an_order_of_before_a_restore_is_left_alone_and_counts(house: House) -> None:
    """It opens something though nobody knows any more what it was measured at: it stays, and the cap of the symbol has it."""
    await in_session(house)
    cap = {"max_position_size": "20000"}
    async with house.bot(**cap):
        await house.ready()
        day = expiry(house)
        await spread_of(house, day, C180=("4.90", "5.10"))
        await house.control.post("/tws/fills", mode="hold")
        await asyncio.to_thread(backups.make, house.settings(), None, SystemClock())
        await sent_off(house, f"/option AAPL call 180 {day} 5 @ 4.95", "BUY 5 AAPL 180 C")
        more = f"/option AAPL call 180 {day} 21 @ 4.95"
        await house.phone.asks(more, "BUY 21 AAPL 180 C.*more than MAX_POSITION_SIZE")
        await house.phone.settled()
    await asyncio.to_thread(backups.restore, house.settings(), backups.LATEST, SystemClock())
    last = (await house.phone.chat())[-1]["id"]
    async with house.bot(**cap):
        await house.phone.hears("A backup was restored", after=last)
        assert len(await settled(house)) == 1
        await house.phone.asks(more, "BUY 21 AAPL 180 C.*more than MAX_POSITION_SIZE")


async def test_an_error_in_one_look_ends_nothing(desk: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is logged, and looked at again."""
    day = expiry(desk)
    await pin(desk, day, C180="5.00")
    await desk.control.post("/tws/fills", mode="hold")

    def broken(*_: object) -> bool:
        raise ArithmeticError("unforeseen")

    with monkeypatch.context() as patch:
        patch.setattr("core.outlived.risk.outlived", broken)
        await sent_off(desk, f"/option AAPL call 180 {day} 1", "BUY 1 AAPL 180 C")
    await desk.phone.asks("/orders", "180 C")
