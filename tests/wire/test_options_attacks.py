"""Attacks on the order path of options, each kept from coming true again: cards that outlive what they close, cash and limits that are used twice."""

from tests.kit import House, Json
from tests.wire.attacks import later
from tests.wire.test_options_chat import desk as desk
from tests.wire.test_options_chat import expiry, held, labels, pin, sent, share


async def two_closing_cards(house: House, name: str, button: str) -> tuple[Json, Json, Json]:
    """The positions, and two cards from one Close button under them, neither of them sent yet."""
    shown = await house.phone.asks("/positions AAPL", name)
    tapped = next(label for label in labels(shown) if label.startswith(button))
    await house.phone.taps(tapped, shown)
    one = await house.phone.hears(f"CLOSE 1 {name}", after=shown["id"])
    await house.phone.taps(tapped, shown)
    return shown, one, await house.phone.hears(f"CLOSE 1 {name}", after=one["id"])


async def test_a_closing_card_never_opens(desk: House) -> None:
    """Two cards that close the same put: once the first is filled, the second would sell a put that nobody holds. It is not sent."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, P180="5.00")
    card = await phone.asks(f"/option AAPL put 180 {day} 1", "BUY 1 AAPL 180 P")
    await sent(desk, card, "FILLED BUY 1 AAPL 180 P")
    _, first, second = await two_closing_cards(desk, "AAPL 180 P", "Close AAPL 180 P")
    await sent(desk, first, "FILLED SELL 1 AAPL 180 P")
    await later(desk, 61)  # not the same order within a minute
    await share(desk, "180.00")
    await pin(desk, day, P180="5.00")
    await phone.taps("Send", second)
    await phone.hears("Not sent.*closes what is not held any more", after=second["id"])
    assert await held(desk) == {}


async def test_a_closing_card_is_not_sent_beside_one_that_works(desk: House) -> None:
    """The same while the first still works; and its Close button says so instead of drawing a third."""
    phone, day = desk.phone, expiry(desk)
    await pin(desk, day, C180="5.00", C185="2.80")
    card = await phone.asks(f"/strategy bull call spread AAPL 180/185 {day} 1", "BULL_CALL_SPREAD")
    await sent(desk, card, "FILLED BUY 1 AAPL BULL_CALL_SPREAD")
    shown, one, two = await two_closing_cards(desk, "AAPL BULL_CALL_SPREAD", "Close AAPL 180/185")
    await desk.control.post("/tws/fills", mode="hold")
    await phone.taps("Send", one)
    await phone.sees(lambda m: m["id"] == one["id"] and "working" in m["text"])
    await later(desk, 61)
    await share(desk, "180.00")
    await pin(desk, day, C180="5.00", C185="2.80")
    await phone.taps("Send", two)
    await phone.hears("Not sent.*closes what is not held any more", after=two["id"])
    await phone.taps(next(name for name in labels(shown) if name.startswith("Close AAPL 180/185")), shown)
    await phone.hears("It is on its way out already", after=two["id"])
    sent_orders = [o for o in (await desk.control.book())["orders"] if o["symbol"] == "AAPL"]
    assert len(sent_orders) == 2


async def test_one_cash_does_not_secure_the_puts_of_two_symbols(desk: House) -> None:
    """Puts on two companies, both drawn before either is sent: the second is refused when the first has left, because together they need more than there is."""
    phone = desk.phone
    one = await phone.asks("/strategy CASH_SECURED_PUT BRK.B 410 30d 2", "SELL 2 BRK.B 410 P")
    two = await phone.asks("/strategy CASH_SECURED_PUT SPY d30 30d 1", "SELL 1 SPY")
    assert labels(one) == labels(two) == ["Send", "Discard"]
    await desk.control.post("/tws/fills", mode="hold")
    await phone.taps("Send", one)
    await phone.sees(lambda m: m["id"] == one["id"] and "working" in m["text"])
    await phone.taps("Send", two)
    await phone.hears(
        "Not sent: SELL 1 SPY.*more than the cash that is there beside other puts", after=two["id"]
    )
