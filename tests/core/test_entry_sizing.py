"""The size of an entry: the published example, each bound alone, and what must hold for any figures."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from core.sizing import Bound, Sized, entry_quantity


def sized(
    confidence: int = 78,
    price: str = "240",
    stop: str = "235",
    cap: str = "10000",
    held: str = "0",
    worth: str = "1000000",
    risk: str = "0.02",
    rate: str = "1",
) -> Sized:
    return entry_quantity(
        confidence=confidence,
        price=Decimal(price),
        stop=Decimal(stop),
        max_position_size=Decimal(cap),
        held_value=Decimal(held),
        net_liquidation=Decimal(worth),
        max_portfolio_risk=Decimal(risk),
        rate=Decimal(rate),
    )


def test_example() -> None:
    """78 % of 10,000 buys 32 shares at 240; neither the cap nor the stop is in the way."""
    assert sized() == Sized(Decimal(32), Bound.CONFIDENCE)


@pytest.mark.parametrize(
    ("change", "quantity", "by"),
    [
        ({"held": "5000"}, 20, Bound.POSITION_CAP),
        ({"held": "-5000"}, 20, Bound.POSITION_CAP),
        ({"held": "12000"}, 0, Bound.POSITION_CAP),
        ({"worth": "5000"}, 20, Bound.RISK),
        ({"worth": "5000", "stop": "245"}, 20, Bound.RISK),
        ({"worth": "5000", "stop": "239"}, 32, Bound.CONFIDENCE),
        ({"worth": "-100"}, 0, Bound.RISK),
        ({"held": "12000", "price": "0.5", "stop": "0.25"}, 0, Bound.POSITION_CAP),
        ({"worth": "-100", "price": "0.5", "stop": "0.25"}, 0, Bound.RISK),
        ({"confidence": 0}, 0, Bound.CONFIDENCE),
        ({"confidence": 100}, 41, Bound.CONFIDENCE),
        ({"price": "10000.01", "stop": "9000", "confidence": 100}, 0, Bound.CONFIDENCE),
        ({"price": "0.1", "stop": "0.09", "confidence": 100, "cap": "0.3"}, 3, Bound.CONFIDENCE),
    ],
)
def test_bounds(change: dict[str, str], quantity: int, by: Bound) -> None:
    """Each bound can be the tightest, and then it is the one that is named."""
    assert sized(**change) == Sized(Decimal(quantity), by)  # type: ignore[arg-type]


def test_exchange_rate() -> None:
    """At 1.10 base per unit a share costs 264 and loses 5.50: fewer fit under every bound."""
    assert sized(rate="1.10") == Sized(Decimal(29), Bound.CONFIDENCE)
    assert sized(rate="1.10", worth="5000") == Sized(Decimal(18), Bound.RISK)


@pytest.mark.parametrize(
    "change",
    [{"stop": "240"}, {"price": "0"}, {"stop": "-1"}, {"rate": "0"}, {"price": "NaN"}, {"worth": "Infinity"}, {"confidence": 101}, {"confidence": -1}],
)  # fmt: skip
def test_refused(change: dict[str, str]) -> None:
    """What cannot be measured is refused with a sentence, not sized."""
    with pytest.raises(BadInput):
        sized(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["price", "stop", "cap", "held", "worth", "risk", "rate"])
@pytest.mark.parametrize("wild", ["NaN", "Infinity", "-Infinity"])
def test_no_figure_may_be_wild(name: str, wild: str) -> None:
    """Each figure is looked at: one that is no number sizes nothing."""
    with pytest.raises(BadInput, match="cannot be measured"):
        sized(**{name: wild})  # type: ignore[arg-type]


def test_the_bounds_by_name_and_rank() -> None:
    """The names that are kept with a proposal, and the order in which equally tight ones are named."""
    assert [bound.value for bound in Bound] == ["confidence", "position_cap", "risk"]
    assert sized(confidence=100, price="100", stop="50", worth="250000").by is Bound.CONFIDENCE
    assert sized(confidence=100, price="100", stop="50", held="1", worth="249975").by is Bound.POSITION_CAP


cents = st.decimals("0.01", "5000", places=2)
money = st.decimals("0", "1000000", places=2)


@given(
    confidence=st.integers(0, 100),
    price=cents,
    stop=cents,
    cap=money,
    held=st.decimals("-1000000", "1000000", places=2),
    worth=money,
    risk=st.decimals("0", "1", places=3),
    rate=st.decimals("0.0050", "200", places=4),
)
def test_largest_that_fits(
    confidence: int,
    price: Decimal,
    stop: Decimal,
    cap: Decimal,
    held: Decimal,
    worth: Decimal,
    risk: Decimal,
    rate: Decimal,
) -> None:
    """The quantity is whole, passes every bound, and one share more would break one of them."""
    if price == stop:
        stop += 1
    told = entry_quantity(
        confidence=confidence, price=price, stop=stop, max_position_size=cap, held_value=held, net_liquidation=worth,
        max_portfolio_risk=risk, rate=rate,
    )  # fmt: skip

    def fits(quantity: Decimal) -> bool:
        value = quantity * price * rate
        lost = quantity * abs(price - stop) * rate
        return value <= cap * confidence / 100 and value + abs(held) <= cap and lost <= worth * risk

    assert told.quantity == told.quantity.to_integral_value() >= 0
    assert told.quantity == 0 or fits(told.quantity)
    assert not fits(told.quantity + 1)


@given(st.integers(0, 99), st.integers(1, 239), st.integers(0, 10_000), st.integers(0, 100_000))
def test_more_room_never_sells(confidence: int, distance: int, held: int, worth: int) -> None:
    """More confidence, a nearer stop, more room or more money never makes the entry smaller."""
    stop, nearer = str(240 - distance), str(240 - Decimal(distance) / 2)
    least = sized(confidence, stop=stop, held=str(held), worth=str(worth)).quantity
    assert sized(confidence + 1, stop=stop, held=str(held), worth=str(worth)).quantity >= least
    assert sized(confidence, stop=nearer, held=str(held), worth=str(worth)).quantity >= least
    assert sized(confidence, stop=stop, held=str(held // 2), worth=str(worth)).quantity >= least
    assert sized(confidence, stop=stop, held=str(held), worth=str(worth * 2)).quantity >= least
