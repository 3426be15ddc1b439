"""What people type: good lines become values, every other line a sentence that says what would be right."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot import grammar
from bot.grammar import OrderLine, Target, order_line
from core.errors import BadInput
from core.model import OrderType, Request, Side, TimeInForce

BUY, SELL = Side.BUY, Side.SELL
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP


def wish(side: Side = BUY, symbol: str = "AAPL", *, preview: bool = False, **more: Any) -> OrderLine:
    numbers = {"quantity", "amount", "fraction", "limit_price", "stop_price", "stop_loss", "take_profit"}
    values: dict[str, Any] = {k: Decimal(v) if k in numbers else v for k, v in more.items()}
    return OrderLine(Request(side, symbol, **values), preview)


GTC = TimeInForce.GTC
GOOD = [
    (BUY, "AAPL 10", wish(quantity=10)),
    (BUY, "aapl 10", wish(quantity=10)),
    (BUY, "  AAPL   10  ", wish(quantity=10)),
    (BUY, "AAPL\n10", wish(quantity=10)),
    (BUY, "AAPL 10.0", wish(quantity=10)),
    (BUY, "AAPL 007", wish(quantity=7)),
    (BUY, "BRK.B 1", wish(symbol="BRK.B", quantity=1)),
    (BUY, "F 1", wish(symbol="F", quantity=1)),
    (BUY, "AAPL $2500", wish(amount=2500)),
    (BUY, "AAPL $99.95", wish(amount="99.95")),
    (BUY, "AAPL 10 @ 187.50", wish(quantity=10, order_type=LIMIT, limit_price="187.50")),
    (BUY, "AAPL 10 @187.50", wish(quantity=10, order_type=LIMIT, limit_price="187.50")),
    (BUY, "AAPL 10@187.50", wish(quantity=10, order_type=LIMIT, limit_price="187.50")),
    (BUY, "AAPL 10 limit $187.50", wish(quantity=10, order_type=LIMIT, limit_price="187.50")),
    (BUY, "AAPL 10 LIMIT .5", wish(quantity=10, order_type=LIMIT, limit_price="0.5")),
    (BUY, "AAPL $2500 @ 187.50 gtc", wish(amount=2500, order_type=LIMIT, limit_price="187.50", tif=GTC)),
    (BUY, "AAPL 10 gtc @ 187.50", wish(quantity=10, order_type=LIMIT, limit_price="187.50", tif=GTC)),
    (BUY, "AAPL 10 stop 190 GTC", wish(quantity=10, order_type=STOP, stop_price=190, tif=GTC)),
    (BUY, "AAPL 10 day", wish(quantity=10)),
    (
        BUY,
        "AAPL 10 @ 187.50 sl 180 tp 200 gtc",
        wish(quantity=10, order_type=LIMIT, limit_price="187.50", stop_loss=180, take_profit=200, tif=GTC),
    ),
    (BUY, "AAPL 10 SL $180", wish(quantity=10, stop_loss=180)),
    (BUY, "AAPL 10 preview", wish(quantity=10, preview=True)),
    (BUY, "AAPL 10 preview @ 5", wish(quantity=10, order_type=LIMIT, limit_price=5, preview=True)),
    (SELL, "AAPL 10 stop 180", wish(SELL, quantity=10, order_type=STOP, stop_price=180)),
    (SELL, "AAPL all", wish(SELL, fraction=1)),
    (SELL, "AAPL ALL", wish(SELL, fraction=1)),
    (SELL, "AAPL half", wish(SELL, fraction="0.5")),
    (SELL, "AAPL 25%", wish(SELL, fraction="0.25")),
    (SELL, "AAPL 100%", wish(SELL, fraction=1)),
    (SELL, "AAPL 0.5%", wish(SELL, fraction="0.005")),
    (SELL, "AAPL half @ 200", wish(SELL, fraction="0.5", order_type=LIMIT, limit_price=200)),
    (SELL, "AAPL $100", wish(SELL, amount=100)),
]


@pytest.mark.parametrize(("side", "line", "meant"), GOOD, ids=[f"{side} {line!r}" for side, line, _ in GOOD])
def test_good_lines(side: Side, line: str, meant: OrderLine) -> None:
    """Every form of the grammar, and what it means to the last decimal."""
    assert order_line(side, line) == meant


BAD = [
    # nothing, or not enough
    (BUY, "", ["bought", "/buy AAPL 10"]),
    (SELL, "   ", ["sold", "/sell AAPL 10"]),
    (BUY, "aapl", ["How many", "/buy AAPL 10", "$2500"]),
    (SELL, "aapl", ["How many", "/sell AAPL 10", "all"]),
    # quantities
    (BUY, "AAPL 0", ["quantity", "above zero"]),
    (BUY, "AAPL 0.0", ["quantity", "above zero"]),
    (BUY, "AAPL -5", ["quantity", "sign"]),
    (BUY, "AAPL +5", ["quantity", "sign"]),
    (BUY, "AAPL 1.5", ["whole shares", "/buy AAPL 1"]),
    (BUY, "AAPL 0.5", ["whole shares", "/buy AAPL 1"]),
    (BUY, "AAPL 1,000", ["two ways", "1000"]),
    (BUY, "AAPL 1'000", ["two ways", "1000"]),
    (BUY, "AAPL 1_000", ["two ways", "1000"]),
    (BUY, "AAPL 1,000,000.50", ["two ways", "1000000.50"]),
    (BUY, "AAPL 1,5", ["two ways", "1.5"]),
    (BUY, "AAPL 10,00", ["two ways", "10.00"]),
    (BUY, "AAPL nan", ["quantity", "plain number"]),
    (BUY, "AAPL NaN", ["quantity", "plain number"]),
    (BUY, "AAPL inf", ["quantity", "plain number"]),
    (BUY, "AAPL Infinity", ["quantity", "plain number"]),
    (BUY, "AAPL -inf", ["quantity", "sign"]),
    (BUY, "AAPL 1e5", ["quantity", "plain number"]),
    (BUY, "AAPL 0x10", ["quantity", "plain number"]),
    (BUY, "AAPL ten", ["quantity", "plain number"]),
    (BUY, "AAPL ١٠", ["quantity", "plain number"]),
    (BUY, "AAPL １０", ["quantity", "plain number"]),
    (BUY, "AAPL 1²", ["quantity", "plain number"]),
    (BUY, "AAPL 9999999999999", ["quantity", "too large"]),
    (BUY, "AAPL " + "9" * 5000, ["quantity", "too large"]),
    (BUY, "AAPL 10.", ["quantity", "plain number"]),
    (BUY, "AAPL 1.123456789", ["quantity", "plain number"]),
    # amounts
    (BUY, "AAPL $", ["amount", "plain number"]),
    (BUY, "AAPL $0", ["amount", "above zero"]),
    (BUY, "AAPL $-5", ["amount", "sign"]),
    (BUY, "AAPL $2,500", ["two ways", "2500"]),
    (BUY, "AAPL $nan", ["amount", "plain number"]),
    # parts
    (BUY, "AAPL all", ["only be sold"]),
    (BUY, "AAPL half", ["only be sold"]),
    (BUY, "AAPL 25%", ["only be sold"]),
    (SELL, "AAPL 0%", ["percentage", "above zero"]),
    (SELL, "AAPL 101%", ["more than everything"]),
    (SELL, "AAPL %", ["percentage", "plain number"]),
    (SELL, "AAPL -5%", ["percentage", "sign"]),
    # symbols
    (BUY, "10 AAPL", ["no symbol", "AAPL"]),
    (BUY, "ААРL 10", ["no symbol"]),  # the first letters are Cyrillic
    (BUY, "AAPL; 10", ["no symbol"]),
    (BUY, "$AAPL 10", ["no symbol"]),
    (BUY, "ﬁ 10", ["no symbol"]),
    (BUY, "ß 10", ["no symbol"]),
    (BUY, "A" * 200 + " 10", ["no symbol"]),
    # prices
    (BUY, "AAPL 10 @", ["price is missing", "187.50"]),
    (BUY, "AAPL 10 stop", ["price is missing", "stop"]),
    (BUY, "AAPL 10 @ 0", ["price", "above zero"]),
    (BUY, "AAPL 10 @ -3", ["price", "sign"]),
    (BUY, "AAPL 10 @ 1,234.50", ["two ways", "1234.50"]),
    (BUY, "AAPL 10 @ 187,50", ["two ways", "187.50"]),
    (BUY, "AAPL 10 @ nan", ["price", "plain number"]),
    (BUY, "AAPL 10 @ market", ["price", "plain number"]),
    (BUY, "AAPL 10 @ 5 stop 6", ["One price"]),
    (BUY, "AAPL 10 @ 5 @ 6", ["One price"]),
    (BUY, "AAPL 10 187.50", ["limit or a stop", "@ 187.50", "stop 187.50"]),
    (BUY, "AAPL 10 sl", ["price is missing", "sl"]),
    (BUY, "AAPL 10 tp -1", ["price", "sign"]),
    (BUY, "AAPL 10 sl 1,234.50", ["two ways"]),
    (SELL, "AAPL 10 sl 180", ["closes a holding", "stop"]),
    # the rest of the line
    (BUY, "AAPL 10 gtc", ["market order", "gtc"]),
    (BUY, "AAPL 10 limt 5", ["Did you mean", "limit"]),
    (BUY, "AAPL 10 pls", ["not understood"]),
    (BUY, "AAPL 10 <b>", ["not understood"]),
    (BUY, "AAPL 10 " + "x" * 500, ["not understood"]),
]


@pytest.mark.parametrize(
    ("side", "line", "words"), BAD, ids=[f"{side} {line[:24]!r}" for side, line, _ in BAD]
)
def test_bad_lines(side: Side, line: str, words: list[str]) -> None:
    """Each mistake has its own sentence, with what would be right, short enough for a phone."""
    with pytest.raises(BadInput) as wrong:
        order_line(side, line)
    said = str(wrong.value)
    assert [word for word in words if word not in said] == []
    assert len(said) < 6000 if len(line) > 4000 else len(said) < 300


lines = st.lists(
    st.sampled_from(
        [
            "AAPL",
            "10",
            "$5",
            "@",
            "stop",
            "limit",
            "gtc",
            "day",
            "preview",
            "all",
            "half",
            "25%",
            "1,000",
            "-1",
            "187.5",
            "%",
            "$",
        ]
    )
    | st.text(max_size=6),
    max_size=7,
).map(" ".join)


@given(st.sampled_from(Side), lines | st.text(max_size=60))
@example(BUY, "AAPL @")
@example(SELL, "AAPL \x00")
@example(BUY, "AAPL 10 \ud800")
def test_any_text_is_a_value_or_a_sentence(side: Side, line: str) -> None:
    """Nothing that can be typed raises anything but BadInput, and what is understood makes sense."""
    try:
        asked = order_line(side, line).request
    except BadInput:
        return
    assert asked.side is side
    assert re.fullmatch(r"[A-Z][A-Z0-9.]*", asked.symbol)
    sizes = [asked.quantity, asked.amount, asked.fraction]
    assert sum(size is not None for size in sizes) == 1
    for value in (*sizes, asked.limit_price, asked.stop_price):
        assert value is None or (value.is_finite() and 0 < value < 10**12)
    assert asked.quantity is None or asked.quantity == asked.quantity.to_integral_value()
    assert asked.fraction is None or (side is SELL and asked.fraction <= 1)
    assert (asked.order_type is LIMIT) is (asked.limit_price is not None)
    assert (asked.order_type is STOP) is (asked.stop_price is not None)


@given(st.decimals("0.00000001", 10**11, places=8))
def test_a_plain_number_is_read_exactly(value: Decimal) -> None:
    """No digit is lost between the fingers and the ticket."""
    assert grammar.number(f"{value:f}", "price") == value


@given(st.text(max_size=20))
def test_number_takes_ascii_digits_only(word: str) -> None:
    """Whatever else Python would call a number is refused with a sentence."""
    try:
        value = grammar.number(word, "price")
    except BadInput:
        return
    assert re.fullmatch(r"[0-9.]+", word)
    assert value > 0


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("17", Target(number=17)),
        ("#17", Target(number=17)),
        ("0017", Target(number=17)),
        ("aapl", Target(symbol="AAPL")),
        ("BRK.B", Target(symbol="BRK.B")),
        ("all", Target()),
        ("ALL", Target()),
        ("#all", Target()),
    ],
)
def test_target(word: str, meant: Target) -> None:
    """One order, those of a symbol, or all; only `all` means everything."""
    assert grammar.target(word) == meant
    assert meant.everything is (word.lower().endswith("all"))


@pytest.mark.parametrize("word", ["", "#", "-1", "1.5", "١٧", "²", "9" * 10, "9" * 5000, "a b c", "<b>"])
def test_no_target(word: str) -> None:
    """What names no order is a sentence, and never by accident everything."""
    with pytest.raises(BadInput):
        grammar.target(word)


@given(st.text(max_size=20))
def test_any_word_is_a_target_or_a_sentence(word: str) -> None:
    """Nothing but the word all cancels all."""
    try:
        meant = grammar.target(word)
    except BadInput:
        return
    assert meant.everything is (word.removeprefix("#").lower() == "all")
