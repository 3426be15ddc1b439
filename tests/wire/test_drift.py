"""Drift: what the broker holds and the books do not explain stops new orders in that symbol, is said, and is settled by a person."""

from tests.kit import House

TWO_DAYS = 2 * 86_400


async def traded_elsewhere(house: House, side: str = "BUY") -> None:
    """The books are opened, Greenlight is away for two days, and a trade elsewhere is too old for the broker to tell of it again."""
    async with house.bot():
        await house.ready()
        await house.phone.asks("/positions", "Positions")
        await house.phone.asks("/lots", "AAPL|KO")
    await house.control.post("/tws/external", symbol="AAPL", side=side, quantity=5)
    await house.control.post("/clock", advance=TWO_DAYS)


async def test_more_than_the_books_explain(house: House) -> None:
    """Said once with figures; buys in that symbol wait, sales and other symbols do not; taking the figure over settles it."""
    await traded_elsewhere(house)
    async with house.bot():
        told = await house.phone.hears("AAPL: the broker holds .*, the books explain")
        denied = await house.phone.asks("/buy AAPL 1", "books of Greenlight explain")
        assert not denied["buttons"]
        assert (await house.phone.asks("/buy KO 1", "BUY 1 KO"))["buttons"]
        assert (await house.phone.asks("/sell AAPL 1", "SELL 1 AAPL"))["buttons"]
        assert "the broker holds" in (await house.phone.asks("/status", "Broker connected"))["text"]
        (((button,),),) = (told["buttons"],)
        await house.phone.taps(button["text"], told)
        await house.phone.hears("The books have the broker's")
        assert (await house.phone.asks("/buy AAPL 1", "BUY 1 AAPL"))["buttons"]
        # The same button once more finds figures that are not there any more.
        await house.control.post("/telegram/press", message_id=told["id"], data=button["data"], late=True)
        await house.phone.hears_toast("have changed since")
    async with house.bot():
        await house.ready()
        assert (await house.phone.asks("/buy AAPL 2", "BUY 2 AAPL"))["buttons"], "it is settled for good"


async def test_fewer_than_the_books_explain(house: House) -> None:
    """Shares that went without a word: taken over, they leave the lots with neither gain nor loss, marked provisional."""
    await traded_elsewhere(house, "SELL")
    async with house.bot():
        told = await house.phone.hears("AAPL: the broker holds .*, the books explain")
        await house.phone.taps(told["buttons"][0][0]["text"], told)
        await house.phone.hears("5 fewer")
        await house.phone.asks("/lots AAPL", "AAPL")


async def test_trades_elsewhere_of_today_are_no_drift(house: House) -> None:
    """A trade in TWS while Greenlight is connected is told by its execution: nothing stops, nobody is alarmed."""
    async with house.bot():
        await house.ready()
        await house.control.post("/tws/external", symbol="AAPL", side="BUY", quantity=5)
        await house.control.post("/clock", advance=61)
        card = await house.phone.asks("/buy AAPL 1", "BUY 1 AAPL")
        assert card["buttons"]
        assert not [m for m in await house.phone.chat() if "books explain" in m["text"]]
