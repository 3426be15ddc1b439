"""An entry is never left without the stop it was approved with: what it has not bought is cancelled, what it has bought is protected."""

from decimal import Decimal

from tests.kit import House, Json


async def sent(house: House, line: str, **reject: object) -> Json:
    """A bracket whose stop the broker refuses; returns the card after its tap."""
    card = await house.phone.asks(line, "BUY 10 AAPL")
    await house.control.post("/tws/reject", type="STP", **{"count": 1, **reject})
    await house.phone.taps("Send", card)
    return card


async def orders(house: House) -> dict[str, tuple[str, str]]:
    """(status, quantity) of the broker's orders by the end of their ref."""
    book = await house.control.book()
    return {o["ref"].partition(".")[2]: (o["status"], o["quantity"]) for o in book["orders"]}


async def test_an_entry_that_waits_is_cancelled_when_its_stop_is_refused(house: House) -> None:
    """The stop is rejected while the entry rests: five seconds later the entry is cancelled, and the owner is told why."""
    async with house.bot():
        await house.ready()
        card = await sent(house, "/buy AAPL 10 @ 150 sl 140 tp 200")
        await house.phone.hears("REJECTED SELL 10 AAPL stop 140", after=card["id"])
        await house.phone.hears("Its stop is not at the broker, so what it has not bought yet is cancelled")
        await house.phone.hears("Cancelled BUY 10 AAPL")
        assert (await orders(house))[""][0] == "Cancelled"
        assert (await house.control.get("/tws/counts"))["faults"]["reject"] == 1


async def test_bought_shares_get_their_stop_once_more(house: House) -> None:
    """The entry is filled when the stop is rejected: the target goes, and the stop is sent once more for what was bought."""
    async with house.bot():
        await house.ready()
        card = await sent(house, "/buy AAPL 10 sl 150 tp 250")
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        await house.phone.hears("The target goes first")
        await house.phone.hears("It is sent once more, as #4")
        await house.phone.sees(lambda m: m["id"] == card["id"] and "#4 · 🟢 working" in m["text"])
        (again,) = [o for o in (await house.control.book())["orders"] if o["status"] == "PreSubmitted"]
        assert (again["type"], Decimal(again["quantity"]), Decimal(again["aux"])) == (
            "STP",
            Decimal(10),
            Decimal(150),
        )


async def test_refused_twice_is_said_and_not_tried_for_ever(house: House) -> None:
    """A broker that refuses the stop a second time is not asked a third time: the shares are not protected, and that is said."""
    async with house.bot():
        await house.ready()
        card = await sent(house, "/buy AAPL 10 sl 150", count=2)
        await house.phone.hears("It is sent once more, as #3", after=card["id"])
        await house.phone.hears("refused the stop of these shares twice: they are NOT protected")
        assert (await house.control.get("/tws/counts"))["faults"]["reject"] == 2
        assert len((await house.control.book())["orders"]) == 3


async def test_partly_filled_the_rest_goes_and_the_part_is_protected(house: House) -> None:
    """Four of ten are bought when the stop turns out to be missing: the other six are cancelled, the four get their stop."""
    async with house.bot():
        await house.ready()
        await house.control.post("/tws/fills", mode="hold")
        card = await sent(house, "/buy AAPL 10 @ 250 sl 150")
        await house.phone.hears("REJECTED SELL 10 AAPL stop 150", after=card["id"])
        entry = next(o for o in (await house.control.book())["orders"] if "." not in o["ref"])
        await house.control.post("/tws/fill", order=entry["ref"], quantity=4)
        await house.phone.hears("It is sent once more, as #3")
        (again,) = [o for o in (await house.control.book())["orders"] if o["status"] == "PreSubmitted"]
        assert (again["type"], Decimal(again["quantity"])) == ("STP", Decimal(4))


async def test_a_restart_takes_it_up(house: House) -> None:
    """Killed between the reject and the mending, the next start mends it."""
    async with house.bot():
        await house.ready()
        card = await sent(house, "/buy AAPL 10 sl 150")
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    assert len((await house.control.book())["orders"]) == 2, "stopped before the five seconds were over"
    async with house.bot():
        await house.phone.hears("It is sent once more, as #3")


async def test_a_stop_that_a_person_takes_away_is_not_put_back(house: House) -> None:
    """Who cancels the stop of a holding wants that: it is said that the shares are bare, and nothing is sent."""
    async with house.bot():
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10 sl 150", "BUY 10 AAPL")
        await house.phone.taps("Send", card)
        await house.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
        await house.phone.says("/cancel 2")
        await house.phone.hears("Cancelled SELL 10 AAPL.*have no stop now")
        await house.control.post("/clock", advance=61)
        await house.phone.asks("/status", "Broker connected")
        assert len((await house.control.book())["orders"]) == 2
