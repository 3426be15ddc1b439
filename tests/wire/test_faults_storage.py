"""A database that somebody else holds: no order leaves, and nothing that the broker says meanwhile is lost. The other faults of the disk are in test_disk.py."""

from tests.kit import House
from tests.wire.faults import agree, fired, resting, said
from tests.wire.test_robust import locked


async def test_locked(live: House) -> None:
    """While another program holds the file a tap sends nothing and is told so; a fill of that time is booked once, with its commission, when it lets go, and the same card can be sent then."""
    await resting(live)
    card = await live.phone.asks("/buy MSFT 1", "BUY 1 MSFT")
    (order,) = (await live.control.book())["orders"]
    await live.control.post("/tws/duplicate", what="execution", count=2)
    with locked(live):
        await live.control.post("/tws/fill", order=order["ref"])
        await live.phone.taps("Send", card)
        await live.phone.hears("Nothing can be written down", after=card["id"])
    await live.phone.hears("nothing was done", after=card["id"])
    await live.phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    assert [o["symbol"] for o in (await live.control.book())["orders"]] == ["AAPL"]
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED BUY 1 MSFT", after=card["id"])
    books = await agree(live)
    assert [o["symbol"] for o in books.book["orders"]] == ["AAPL", "MSFT"]
    assert len(books.tables["executions"]) == len(books.tables["commissions"]) == 2
    assert await said(live, "FILLED BUY 10 AAPL") == 1
    await fired(live, "tws", duplicate_execution=1)
