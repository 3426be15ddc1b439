"""Bad input and bad days: one clear sentence with what to do, no Send where nothing can be sent, nothing lost, nothing half done."""

import sqlite3

import ib_async
import pytest

from tests.kit import House, end


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/buy", "What should be bought"),
        ("/buy AAPL", "How many"),
        ("/buy AAPL -3", "above zero"),
        ("/buy AAPL 0", "above zero"),
        ("/buy AAPL nan", "plain number"),
        ("/buy AAPL inf", "plain number"),
        ("/buy AAPL 1e3", "plain number"),
        ("/buy AAPL 99999999999999", "too large"),
        ("/buy AAPL 2000000", "more shares than"),
        ("/buy AAPL 1,000", "you mean 1000"),
        ("/buy AAPL 10 @ 187,50", "you mean 187.50"),
        ("/buy AAPL ١٠", "plain number"),
        ("/buy AAPL 1.5", "whole shares"),
        ("/buy ZZZQ 10", "no US stock"),
        ("/buy A+B 10", "no symbol"),
        ("/buy AAPL 10 187.50", "limit or a stop"),
        ("/buy AAPL 10 @ 18.75", "off by a factor"),
        ("/buy AAPL 10 @ 170.005", "tick"),
        ("/sell AAPL 1000", "open a short"),
        ("/sell MSFT all", "nothing of MSFT"),
        ("/buy AAPL 10000", "MAX_POSITION_SIZE"),
        ("/cancel 99", "no open order #99"),
        ("/cancel", "Something is missing"),
        ("/byu AAPL 10", "Did you mean /buy"),
        ("/positions AAPL MSFT", "too much"),
    ],
)
async def test_bad_input_gets_a_sentence(live: House, line: str, sentence: str) -> None:
    """What cannot be meant, or may not leave, is answered with what would be right and without a Send button."""
    told = await live.phone.asks(line, sentence)
    assert "Send" not in str(told["buttons"])
    assert "Traceback" not in told["text"]
    assert not (await live.control.book())["orders"]


async def test_no_market_data(live: House) -> None:
    """Without any price there is a sentence that says so and no way to send."""
    await live.control.post("/tws/market", symbol="MSFT", data="none")
    told = await live.phone.asks("/buy MSFT 5", "market data")
    assert told["buttons"] == []


async def test_delayed_data_says_so(live: House) -> None:
    """Delayed prices carry a mark on the card of a paper account."""
    await live.control.post("/tws/market", symbol="MSFT", data="delayed")
    told = await live.phone.asks("/buy MSFT 5", "DELAYED")
    assert [b["text"] for row in told["buttons"] for b in row][:2] == ["Send", "Discard"]


async def test_market_closed(live: House) -> None:
    """A limit in a closed market is held by the broker until the open, and the chat says so; at market nothing is bought unseen."""
    await live.control.post("/tws/market", open=False)
    told = await live.phone.asks("/buy AAPL 10", "market of AAPL is closed.*A limit")
    assert told["buttons"] == []
    card = await live.phone.asks("/buy AAPL 10 @ 178", "BUY 10 AAPL")
    await live.phone.taps("Send", card)
    await live.phone.hears("until the market opens")
    await live.control.post("/tws/price", symbol="AAPL", bid=177.9, ask=177.95, last=177.9)
    await live.control.post("/tws/market", open=True)
    await live.phone.hears("FILLED BUY 10 AAPL")


async def test_rejected_by_the_broker(live: House) -> None:
    """A rejection comes with the broker's reason, and the order counts for nothing any more."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await live.control.post("/tws/reject", code=201, message="Order rejected - reason:insufficient margin")
    await live.phone.taps("Send", card)
    await live.phone.hears("REJECTED BUY 10 AAPL.*margin")
    await live.phone.asks("/orders", "No open orders")


async def test_tws_not_running(house: House) -> None:
    """With nobody at the port the bot starts, says once what to do, and comes up by itself when TWS does."""
    await house.control.post("/tws/refuse", on=True)
    async with house.bot():
        await house.phone.hears("Is it running")
        told = await house.phone.asks("/status", "not connected")
        assert "IBKR" not in told["text"]
        await house.phone.asks("/buy AAPL 10", "Cannot connect")
        await house.phone.asks("/positions", "not known now")
        await house.control.post("/tws/refuse", on=False)
        await house.phone.says("/connect")
        await house.ready()
        outages = [m for m in await house.phone.chat() if "not reachable" in m["text"]]
        assert len(outages) == 1


async def test_connection_lost_and_back(live: House) -> None:
    """A cut is told once, and its end once; in between nothing can be sent."""
    await live.control.post("/tws/refuse", on=True)
    await live.control.post("/tws/drop")
    down = await live.phone.hears("not reachable")
    told = await live.phone.asks("/buy AAPL 10", "Cannot connect|connection")
    assert told["buttons"] == []
    await live.control.post("/tws/refuse", on=False)
    await live.phone.hears("Connected", after=down["id"])
    await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")


async def test_read_only_api(house: House) -> None:
    """With the API in read-only mode the chat says which box to untick, and offers no Send."""
    await house.control.post("/tws/read_only", on=True)
    async with house.bot():
        await house.phone.says("/status")
        await house.phone.hears("Read-Only")
        told = await house.phone.asks("/buy AAPL 10", "Read-Only")
        assert told["buttons"] == []


async def test_several_accounts_are_not_chosen_among(house: House) -> None:
    """A login with two accounts is listed and refused until IBKR_ACCOUNT_ID says which."""
    await house.control.post("/tws/accounts", add="DU7654321")
    async with house.bot():
        await house.phone.asks("/status", "DU7654321.*IBKR_ACCOUNT_ID|IBKR_ACCOUNT_ID")
        told = await house.phone.asks("/buy AAPL 10", "several accounts")
        assert told["buttons"] == []


async def test_wrong_account_is_named(house: House) -> None:
    """An account that this login does not have is refused with the ones that it has."""
    async with house.bot(ibkr_account_id="DU9999999"):
        await house.phone.asks("/status", "DU9999999.*DU1234567")


async def test_live_account_is_read_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A LIVE account is shown in red and nothing can be sent to it."""
    from tests import kit

    async with kit.house(tmp_path_factory.mktemp("live"), accounts=("U1234567",)) as house, house.bot():
        await house.ready()
        told = await house.phone.asks("/buy AAPL 10", "LIVE")
        assert told["buttons"] == []
        assert "read-only" in told["text"]


async def test_disconnect_stays_over_a_restart(house: House) -> None:
    """/disconnect is a wish that a restart remembers; /connect ends it."""
    async with house.bot():
        await house.ready()
        await house.phone.asks("/disconnect", "Disconnected until")
        await house.phone.asks("/buy AAPL 10", "/connect brings it back")
    async with house.bot():
        told = await house.phone.asks("/status", "at your wish")
        before = told["id"]
        await house.phone.says("/connect")
        await house.phone.hears("Connected and compared", after=before)


async def test_telegram_down_at_start_and_later(house: House) -> None:
    """With Telegram out the bot starts anyway and works; what was missed arrives when it is back."""
    await house.control.post("/telegram/fault", kind="outage")
    process = await house.spawn()
    try:
        seen = 0
        while not (await house.control.get("/tws/counts"))["connections"]:
            seen = (await house.control.get("/tws/events", after=seen, timeout=5))["last"]
        await house.control.post("/telegram/fault", kind="clear")
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
        await house.control.post("/tws/fills", mode="hold")
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
        await house.control.post("/telegram/fault", kind="outage")
        (order,) = (await house.control.book())["orders"]
        await house.control.post("/tws/fill", order=order["ref"])
        await house.control.post("/telegram/fault", kind="clear")
        await house.phone.hears("FILLED BUY 10 AAPL")
    finally:
        code, errors = await end(process)
    assert code == 0, errors


async def test_strangers_get_nothing(live: House) -> None:
    """A stranger, a group, a forward and an edit do nothing, get nothing, and are logged."""
    phone, owner = live.phone, live.world.telegram.user_id
    first = await phone.says("/whoami")
    card = await phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await phone.hears(f"{owner}")
    await live.control.post("/telegram/message", text="/positions", user=99)
    await live.control.post("/telegram/message", text="/positions", chat="group")
    await live.control.post("/telegram/message", text="/positions", forward=True)
    await live.control.post("/telegram/edit", message_id=first, text="/positions")
    await live.control.post("/telegram/press", message_id=card["id"], button="Send", user=99)
    await phone.settled()
    assert not [m for m in await phone.chat() if "Total" in m["text"]]
    assert not [
        m for m in (await live.control.get("/telegram/chat", user=99))["messages"] if m["from"] == "bot"
    ]
    with sqlite3.connect(live.state / "greenlight.db") as books:
        logged = [
            detail
            for (detail,) in books.execute("SELECT detail FROM audit WHERE kind = 'refused' ORDER BY id")
        ]
    books.close()
    assert [line.partition(": ")[2] for line in logged] == [
        "stranger",
        "not private",
        "forwarded",
        "edited",
        "not private",
    ]
    assert not (await live.control.book())["orders"]


async def test_empty_allow_list_allows_nobody(house: House) -> None:
    """While nobody is allowed, a private message is answered with the sender's own id and nothing else."""
    async with house.bot(telegram_allowed_users=""):
        owner = house.world.telegram.user_id
        told = await house.phone.asks("/positions", str(owner))
        assert told["text"] == f"Your id: {owner}"
        assert told["buttons"] == []


async def test_double_tap_is_one_order(live: House) -> None:
    """The same press twenty times, with twenty update ids, is one order."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await live.phone.taps("Send", card, repeat=20)
    await live.phone.hears("FILLED BUY 10 AAPL")
    await live.phone.settled()
    assert len((await live.control.book())["orders"]) == 1


async def test_old_command_gets_a_fresh_card(house: House) -> None:
    """A command that lay for minutes while the bot was away is never executed, only answered with a card of now."""
    await house.phone.says("/buy AAPL 10")
    await house.control.post("/clock", advance=600)
    async with house.bot(max_command_age_seconds=60):
        card = await house.phone.hears("took 10 minutes.*BUY 10 AAPL")
        assert [b["text"] for row in card["buttons"] for b in row][:2] == ["Send", "Discard"]
        await house.phone.settled()
        assert not (await house.control.book())["orders"]


async def test_old_cancel_asks_again(house: House) -> None:
    """A /cancel that is minutes old cancels nothing, and offers to do it now."""
    async with house.bot():
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10 @ 150", "BUY 10 AAPL @ 150")
        await house.phone.taps("Send", card)
        await house.phone.sees(lambda m: m["id"] == card["id"] and "working" in m["text"])
    said = await house.phone.says("/cancel all")
    await house.control.post("/clock", advance=600)
    async with house.bot():
        told = await house.phone.hears("nothing was cancelled", after=said)
        (order,) = (await house.control.book())["orders"]
        assert order["status"] == "Submitted"
        await house.phone.taps(told["buttons"][0][0]["text"], told)
        await house.phone.hears("Cancelled BUY 10 AAPL")


async def test_late_tap_gets_a_fresh_card(live: House) -> None:
    """A card past its two minutes sends nothing; its tap brings a card of now."""
    card = await live.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
    await live.control.post("/clock", advance=121)
    await live.phone.taps("Send", card)
    fresh = await live.phone.hears("too old to send.*BUY 10 AAPL", after=card["id"])
    assert not (await live.control.book())["orders"]
    await live.phone.sees(lambda m: m["id"] == card["id"] and "too old" in m["text"] and not m["buttons"])
    await live.phone.taps("Send", fresh)
    await live.phone.hears("FILLED BUY 10 AAPL")


async def test_price_that_runs_away_gives_a_new_card(live: House) -> None:
    """A tap after the price moved by more than half a percent sends nothing and shows a new card at the new price."""
    await live.control.post("/tws/price", symbol="AAPL", bid=170.00, ask=170.02, last=170.01)
    card = await live.phone.asks("/buy AAPL 10", "ask 170.02")
    await live.control.post("/tws/price", symbol="AAPL", bid=175.00, ask=175.02, last=175.01)
    await live.phone.taps("Send", card)
    fresh = await live.phone.hears("price moved.*BUY 10 AAPL.*ask 175.02", after=card["id"])
    assert not (await live.control.book())["orders"]
    await live.phone.taps("Send", fresh)
    await live.phone.hears("FILLED BUY 10 AAPL")
    assert len((await live.control.book())["orders"]) == 1


async def test_no_secret_is_written_anywhere(house: House) -> None:
    """The token and the model's key appear in no log line, message or table, at the most talkative level."""
    key = "canary-model-key-0123456789"
    process = await house.spawn(LOG_LEVEL="DEBUG", ANTHROPIC_API_KEY=key)
    try:
        await house.ready()
        card = await house.phone.asks("/buy AAPL 10", "BUY 10 AAPL")
        await house.phone.taps("Send", card)
        await house.phone.hears("FILLED")
        await house.control.post("/telegram/fault", kind="500", count=2)
        await house.phone.asks("/status", "Account")
    finally:
        _, errors = await end(process)
    token = house.world.telegram.token
    shown = "\n".join(m["text"] for m in await house.phone.chat())
    stored = b"".join(path.read_bytes() for path in house.state.glob("greenlight.db*"))
    for secret in (token, token.partition(":")[2], key):
        assert secret not in errors
        assert secret not in shown
        assert secret.encode() not in stored
    assert "DEBUG telegram" in errors  # the log was really talkative


async def test_client_id_in_use(house: House) -> None:
    """Another program has the client id: the bot says that it stands by, and takes over when that one is gone."""
    other = ib_async.IB()
    await other.connectAsync("127.0.0.1", house.world.tws.port, 0)
    try:
        async with house.bot():
            await house.phone.hears("Client id 0 is in use.*stands by")
            told = await house.phone.asks("/buy AAPL 10", "Client id 0 is in use")
            assert told["buttons"] == []
            other.disconnect()
            await house.phone.hears("Connected and compared", after=told["id"])
    finally:
        other.disconnect()


@pytest.mark.parametrize("silence", ["hang", "not_logged_in"])
async def test_port_open_but_silent(house: House, silence: str) -> None:
    """A port that accepts and says nothing, or has no login yet, is told as such, and used as soon as it speaks."""
    await house.control.post(f"/tws/{silence}", on=True)
    async with house.bot():
        await house.phone.hears("does not answer.*login")
        told = await house.phone.asks("/buy AAPL 10", "does not answer")
        assert told["buttons"] == []
        await house.control.post(f"/tws/{silence}", on=False)
        await house.phone.hears("Connected and compared", after=told["id"])
