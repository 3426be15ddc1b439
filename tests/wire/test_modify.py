"""/modify: a change is shown, approved and written down like an order, and true only when the broker shows the new terms."""

from decimal import Decimal

from tests.kit import House, Json


async def resting(house: House, line: str = "/buy AAPL 10 @ 150") -> Json:
    """An order that works; returns its card."""
    card = await house.phone.asks(line, "BUY 10 AAPL")
    await house.phone.taps("Send", card)
    return await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])


async def at_broker(house: House, role: str = "") -> Json:
    """The one order at the broker whose ref ends in `role`."""
    orders: list[Json] = (await house.control.book())["orders"]
    found = [o for o in orders if o["ref"].endswith(role)]
    assert len(found) == 1 or role == "", found
    return found[0]


async def test_another_limit(house: House) -> None:
    """The card shows before and after; after Send the broker has the new price under the same order, and both cards say so."""
    async with house.bot():
        await house.ready()
        first = await resting(house)
        card = await house.phone.asks("/modify 1 @ 151", "CHANGE #1")
        assert "@ 151.00" in card["text"]
        assert "Now: BUY 10 AAPL @ 150.00" in card["text"]
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "Changed." in m["text"])
        await house.phone.sees(lambda m: m["id"] == first["id"] and "@ 151.00" in m["text"])
        (order,) = (await house.control.book())["orders"]
        assert Decimal(order["limit"]) == 151
        # A second tap on the same card is no second change.
        await house.control.post(
            "/telegram/press", message_id=card["id"], data=card["buttons"][0][0]["data"], late=True
        )
        assert "already" in await house.phone.hears_toast("already")


async def test_another_quantity_and_price(house: House) -> None:
    """Quantity and price together; the new quantity is the whole, and what is filled stays filled."""
    async with house.bot():
        await house.ready()
        await house.control.post("/tws/fills", mode="hold")
        await resting(house)
        ref = (await at_broker(house))["ref"]
        await house.control.post("/tws/fill", order=ref, quantity=4)
        await house.phone.hears("4/10")
        refused = await house.phone.asks("/modify 1 qty 4", "4 of #1 are filled")
        assert "above that" in refused["text"]
        card = await house.phone.asks("/modify 1 @ 151 qty 6", "CHANGE #1")
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "Changed." in m["text"])
        await house.control.post("/tws/fill", order=ref)
        await house.phone.hears("FILLED BUY 6 AAPL @ 151")


async def test_the_stop_of_a_bracket(house: House) -> None:
    """The stop of a bracket gets another price; its quantity hangs together with the entry's and is refused."""
    async with house.bot():
        await house.ready()
        await resting(house, "/buy AAPL 10 @ 150 sl 140 tp 200")
        refused = await house.phone.asks("/modify 3 qty 5", "bracket")
        assert "/cancel 3" in refused["text"]
        card = await house.phone.asks("/modify 3 stop 145", "CHANGE #3")
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "Changed." in m["text"])
        assert Decimal((await at_broker(house, ".stop"))["aux"]) == 145
        wrong = await house.phone.asks("/modify 1 @ 140", "BUY 10 AAPL")
        assert "stop loss must lie below" in wrong["text"]
        assert not wrong["buttons"]


async def test_refused_by_the_broker(house: House) -> None:
    """What the broker does not take is said, and the order works on with its old terms."""
    async with house.bot():
        await house.ready()
        await resting(house)
        card = await house.phone.asks("/modify 1 @ 151", "CHANGE #1")
        await house.control.post("/tws/reject", code=201, message="Order rejected - reason: test", count=1)
        await house.phone.taps("Send", card)
        await house.phone.hears("Not changed: it works on with its old terms")
        await house.phone.sees(lambda m: m["id"] == card["id"] and "Not changed" in m["text"])
        (order,) = (await house.control.book())["orders"]
        assert Decimal(order["limit"]) == 150
        assert order["status"] in ("Submitted", "PreSubmitted")


async def test_filled_while_it_is_changed(house: House) -> None:
    """A fill that overtakes the change ends it: the order is filled at its old terms, once."""
    async with house.bot():
        await house.ready()
        await house.control.post("/tws/fills", mode="hold")
        await resting(house)
        ref = (await at_broker(house))["ref"]
        card = await house.phone.asks("/modify 1 @ 151", "CHANGE #1")
        await house.control.post("/tws/fill", order=ref)
        await house.phone.hears("FILLED BUY 10 AAPL")
        await house.phone.taps("Send", card)
        await house.phone.hears_toast("over")


async def test_lost_on_its_way(house: House) -> None:
    """A change that a cut connection swallowed is said to be lost after the reconnect; it is never sent again."""
    async with house.bot():
        await house.ready()
        await resting(house)
        card = await house.phone.asks("/modify 1 @ 151", "CHANGE #1")
        await house.control.post("/tws/swallow", count=1)
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "Change asked" in m["text"])
        await house.control.post("/tws/drop")
        await house.phone.hears("Not changed.*did not reach the broker")
        (order,) = (await house.control.book())["orders"]
        assert Decimal(order["limit"]) == 150
        assert (await house.control.get("/tws/counts"))["faults"]["swallow"] == 1


async def test_what_cannot_be_meant(house: House) -> None:
    """Wrong lines are answered with what was wrong and what would be right; nothing is changed."""
    async with house.bot():
        await house.ready()
        await resting(house)
        for line, answer in (
            ("/modify", "Which order"),
            ("/modify AAPL @ 3", "by its number"),
            ("/modify 1", "What should be different"),
            ("/modify 1 151", "a price or a quantity"),
            ("/modify 1 @", "number is missing"),
            ("/modify 1 stop 140", "no stop to change"),
            ("/modify 1 @ 150", "these terms already"),
            ("/modify 9 @ 150", "no open order #9"),
            ("/modify 1 qty 2.5", "whole shares"),
            ("/modify 1 @ 150.001", "not on the tick"),
        ):
            await house.phone.asks(line, answer)
        (order,) = (await house.control.book())["orders"]
        assert Decimal(order["limit"]) == 150
