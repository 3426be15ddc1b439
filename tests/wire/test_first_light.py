"""The main job on real wires: type /buy in a chat, see the fill; every command of the first day."""

from tests.kit import House


async def test_start_explains_in_five_lines(live: House) -> None:
    """/start greets, says what this is in five lines, and whose money it is."""
    told = await live.phone.asks("/start", "Greenlight")
    assert len(told["text"].splitlines()) == 5
    assert "SIMULATED" in told["text"]
    assert "not financial advice" in told["text"]


async def test_positions_shows_the_seeded_account(live: House) -> None:
    """/positions agrees with the broker's own book, and with one symbol shows only that."""
    told = await live.phone.asks("/positions", "Total")
    for held in (await live.control.book())["positions"]:
        assert held["symbol"] in told["text"]
    one = await live.phone.asks("/positions AAPL", "Positions")
    assert "AAPL" in one["text"]
    assert "SPY" not in one["text"]
    none = await live.phone.asks("/positions MSFT", "MSFT")
    assert "No position in MSFT" in none["text"]


async def test_buy_card_send_fill(live: House) -> None:
    """/buy shows a card, Send places exactly its terms, the card is edited in place and the fill arrives as a message."""
    phone = live.phone
    card = await phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    assert "SIMULATED" in card["text"]
    assert [b["text"] for row in card["buttons"] for b in row][:2] == ["Send", "Discard"]
    assert not (await live.control.book())["orders"]
    await phone.taps("Send", card)
    await phone.hears("FILLED BUY 10 AAPL", after=card["id"])
    shown = await phone.sees(lambda m: m["id"] == card["id"] and "FILLED 10/10" in m["text"])
    assert shown["buttons"] == []
    (order,) = (await live.control.book())["orders"]
    assert (order["status"], float(order["filled"])) == ("Filled", 10)
    trades = await phone.asks("/trades", "Trades")
    assert "BUY 10 AAPL" in trades["text"]
    assert "commission $1.00" in trades["text"]


async def test_limit_order_waits_and_is_cancelled(live: House) -> None:
    """A limit far below rests, stands in /orders, and is over only when the broker says so."""
    phone = live.phone
    card = await phone.asks("/buy AAPL $2500 @ 150", "BUY 16 AAPL @ 150")
    await phone.taps("Send", card)
    await phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    listed = await phone.asks("/orders", "Open orders")
    assert "BUY 16 AAPL @ 150.00" in listed["text"]
    await phone.asks("/cancel AAPL", "Cancel asked")
    await phone.hears("Cancelled BUY 16 AAPL")
    (order,) = (await live.control.book())["orders"]
    assert order["status"] == "Cancelled"
    await phone.asks("/orders", "No open orders")


async def test_stop_order_waits_for_its_price(live: House) -> None:
    """A sell stop below the market rests, and fills once the price falls to it."""
    phone = live.phone
    card = await phone.asks("/sell AAPL half stop 150 gtc", "SELL 20 AAPL stop 150.00 GTC")
    await phone.taps("Send", card)
    await phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    await live.control.post("/tws/price", symbol="AAPL", bid=149.0, ask=149.02, last=149.0)
    await phone.hears("FILLED SELL 20 AAPL")


async def test_discard_sends_nothing(live: House) -> None:
    """Discard ends the card; its Send, tapped late from another screen, says how the story ended and does nothing."""
    phone = live.phone
    card = await phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await phone.taps("Discard", card)
    await phone.sees(lambda m: m["id"] == card["id"] and "discarded" in m["text"])
    data = card["buttons"][0][0]["data"]
    await live.control.post("/telegram/press", message_id=card["id"], data=data, late=True)
    await phone.hears_toast("discarded")
    assert not (await live.control.book())["orders"]


async def test_preview_has_no_send_button(live: House) -> None:
    """`preview` at the end shows the card without a way to send it."""
    card = await live.phone.asks("/buy AAPL 10 preview", "BUY 10 AAPL")
    assert card["buttons"] == []
