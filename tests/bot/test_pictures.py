"""The payoff picture: right figures, nothing over anything else, and nothing imported before it is wanted."""

import gc
import json
import subprocess
import sys
import threading
from datetime import date
from decimal import Decimal
from io import BytesIO
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from bot.pictures import HEIGHT, WIDTH, draw, payoff_canvas, payoff_facts, span
from core.model import Leg, Mode, OptionTerms, Right
from core.options.pricing import worth_today

TODAY, EXPIRY = date(2026, 11, 23), date(2026, 12, 18)
SHARES = Leg(-1, 100)


def call(ratio: int, strike: str) -> Leg:
    return Leg(int(Decimal(strike) * 20), ratio, OptionTerms(EXPIRY, Decimal(strike), Right.CALL))


def put(ratio: int, strike: str) -> Leg:
    return Leg(int(Decimal(strike) * 20) + 1, ratio, OptionTerms(EXPIRY, Decimal(strike), Right.PUT))


STRATEGIES: dict[str, tuple[list[Leg], str, str]] = {
    "long call 105": ([call(1, "105")], "1.66", "100"),
    "covered call 105": ([SHARES, call(-1, "105")], "98.34", "100"),
    "protective put 95": ([SHARES, put(1, "95")], "101.33", "100"),
    "bull call spread 100/105": ([call(1, "100"), call(-1, "105")], "1.93", "100"),
    "cash secured put 95": ([put(-1, "95")], "-1.33", "100"),
    "collar 95/105": ([SHARES, put(1, "95"), call(-1, "105")], "99.67", "100"),
    "iron condor 85/90/110/115": (
        [put(1, "85"), put(-1, "90"), call(-1, "110"), call(1, "115")],
        "-0.76",
        "100",
    ),
    "iron condor 227.5/230/232.5/235": (
        [put(1, "227.5"), put(-1, "230"), call(-1, "232.5"), call(1, "235")],
        "-1.76",
        "231.42",
    ),
    "bull put spread 540/545": ([put(1, "540"), put(-1, "545")], "-0.55", "612.20"),
    "long straddle 100": ([call(1, "100"), put(1, "100")], "6.85", "100"),
}


def facts(name: str, quantity: str = "1", **other: Any) -> dict[str, Any]:
    legs, price, spot = STRATEGIES[name]
    volatilities = {leg.con_id: 0.3 for leg in legs}
    told = payoff_facts(
        f"AAPL {name} 18 Dec 26 × {quantity}",
        legs,
        Decimal(price),
        Decimal(quantity),
        spot=Decimal(spot),
        mode=Mode.PAPER,
        worth=lambda spots: worth_today(legs, Decimal(price), spots, volatilities, 0.04, TODAY),
        **other,
    )
    again: dict[str, Any] = json.loads(json.dumps(told))
    return again


def words(told: dict[str, Any]) -> list[Text]:
    """Every label that is seen."""
    figure = payoff_canvas(told).figure
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def said(told: dict[str, Any]) -> set[str]:
    return {text.get_text() for text in words(told)}


def assert_readable(told: dict[str, Any]) -> None:
    """No label over another, none over the edge."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in words(told)]
    for label, box in boxes:
        assert box.x0 >= 0, (label, box)
        assert box.x1 <= WIDTH, (label, box)
        assert box.y0 >= 0, (label, box)
        assert box.y1 <= HEIGHT, (label, box)
    for (one, box), (other, under) in combinations(boxes, 2):
        assert not box.overlaps(under), (one, other)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_a_picture_that_can_be_read(name: str) -> None:
    told = facts(name, "3")
    assert_readable(told)
    assert len(json.dumps(told)) < 2500, "what is stored of it is small"
    drawn = Image.open(BytesIO(draw("payoff", told)))
    assert (drawn.format, drawn.size) == ("PNG", (WIDTH, HEIGHT))


def test_it_says_what_the_card_says() -> None:
    assert {
        "AAPL bull call spread 100/105 18 Dec 26 × 3",
        "PAPER",
        "+$921",
        "-$579",
        "101.93",
        "even 101.93",
        "now 100.00",
        "100",
        "105",
        "today",
    } <= said(facts("bull call spread 100/105", "3"))
    assert {"+$76", "-$424", "89.24 / 110.76", "85", "90", "110", "115"} <= said(
        facts("iron condor 85/90/110/115")
    )
    assert {"unlimited", "-$166", "106.66"} <= said(facts("long call 105"))
    assert {"+$133", "-$9,367", "93.67"} <= said(facts("cash secured put 95"))
    assert {"+€307", "-€193"} <= said(facts("bull call spread 100/105", currency="EUR"))


def test_what_is_not_known_is_left_out() -> None:
    legs, price, _ = STRATEGIES["bull call spread 100/105"]
    told = payoff_facts("spread", legs, Decimal(price), Decimal(1), spot=None)
    assert told["today"] == []
    seen = said(told)
    assert not any(label.startswith("now") or label == "today" for label in seen)
    assert not seen & {"PAPER", "LIVE"}
    assert_readable(told)


def test_today_is_of_the_whole_quantity() -> None:
    one, three = facts("bull call spread 100/105"), facts("bull call spread 100/105", "3")
    assert len(one["today"]) == 61
    for (at, money), (same, more) in zip(one["today"], three["today"], strict=True):
        assert (at, Decimal(money) * 3) == (same, Decimal(more))


def test_gain_is_green_above_the_line_and_loss_red_below() -> None:
    told = facts("bull call spread 100/105")
    canvas = payoff_canvas(told)
    (axes,) = canvas.figure.axes
    draw_to = BytesIO()
    canvas.print_png(draw_to)
    drawn = Image.open(draw_to).convert("RGB")

    def colour(price: float, money: float) -> tuple[int, int, int]:
        x, y = axes.transData.transform((price, money))
        red, green, blue = drawn.getpixel((int(x), HEIGHT - 1 - int(y)))  # type: ignore[misc]
        return red, green, blue

    red, green, _ = colour(107, 240)
    assert green > red, "a gain"
    red, green, _ = colour(98.2, -160)
    assert red > green, "a loss"
    for nothing in ((98.2, 100), (107, -100)):
        assert max(colour(*nothing)) - min(colour(*nothing)) < 8, nothing


def test_a_dollar_sign_begins_no_formula() -> None:
    told = facts("bull call spread 100/105") | {"label": "$AAPL$ ^2_x {} \\frac"}
    assert "$AAPL$ ^2_x {} \\frac" in said(told)
    assert draw("payoff", told)


def test_a_name_that_is_too_long_is_cut() -> None:
    told = facts("bull call spread 100/105") | {"label": "AAPL " + "a very long name " * 12}
    assert any(label.endswith("…") for label in said(told))
    assert_readable(told)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_labels_never_meet(data: st.DataObject) -> None:
    """Whatever the strikes, the price and the number of legs."""
    scale = data.draw(st.sampled_from([Decimal("0.5"), Decimal(1), Decimal("2.5"), Decimal(10), Decimal(50)]))
    steps = data.draw(st.lists(st.integers(1, 120), min_size=1, max_size=4, unique=True))
    kinds = data.draw(st.lists(st.booleans(), min_size=len(steps), max_size=len(steps)))
    ratios = data.draw(st.lists(st.sampled_from([-2, -1, 1, 2]), min_size=len(steps), max_size=len(steps)))
    legs = [
        (call if kind else put)(ratio, str(scale * step))
        for kind, ratio, step in zip(kinds, ratios, steps, strict=True)
    ]
    price = data.draw(st.integers(-2000, 2000)) * scale / 100
    spot = scale * data.draw(st.integers(100, 12_000)) / 100
    quantity = Decimal(data.draw(st.sampled_from([1, 7, 250])))
    assert_readable(payoff_facts("AAPL strategy 18 Dec 26", legs, price, quantity, spot=spot, mode=Mode.LIVE))


@given(st.lists(st.decimals(0, 5000, places=2), min_size=1, max_size=8))
def test_everything_that_matters_is_in_view(points: list[Decimal]) -> None:
    low, high = span(points)
    assert 0 <= low <= min(points)
    assert max(points) <= high


def test_a_picture_that_there_is_none_of_is_an_error() -> None:
    with pytest.raises(KeyError):
        draw("landscape", {})
    with pytest.raises(KeyError):
        draw("payoff", {"label": "x"})


def test_two_at_once_are_what_they_are_alone() -> None:
    told = [facts(name) for name in list(STRATEGIES)[:3]]
    alone = [draw("payoff", each) for each in told]
    together: list[bytes] = [b""] * 3

    def work(place: int) -> None:
        together[place] = draw("payoff", told[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_nothing_of_a_picture_stays() -> None:
    told = facts("bull call spread 100/105")
    gc.collect()
    before = {id(each) for each in gc.get_objects() if isinstance(each, Figure)}
    for _ in range(3):
        draw("payoff", told)
    with pytest.raises(KeyError):
        draw("payoff", {name: told[name] for name in told if name != "today"})
    assert not [each for each in gc.get_objects() if isinstance(each, Figure) and id(each) not in before]


def test_nothing_heavy_is_imported_before_it_is_wanted() -> None:
    """The whole bot starts without matplotlib and QuantLib; a picture brings no pyplot and changes no global setting."""
    script = """
import json, sys
import bot.app
heavy = ("matplotlib", "QuantLib", "PIL")
assert not [name for name in heavy if name in sys.modules], [name for name in heavy if name in sys.modules]
from bot.pictures import draw
draw("payoff", json.loads(sys.stdin.read()))
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules and "QuantLib" not in sys.modules
"""
    told = json.dumps(facts("bull call spread 100/105"))
    subprocess.run([sys.executable, "-W", "error", "-c", script], input=told, text=True, check=True)
