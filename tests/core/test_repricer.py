"""The steps of a limit on its way: each on the tick of both ends, none past the end, and always there in a few."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.repricer import next_limit


@pytest.mark.parametrize(
    ("limit", "final", "then"),
    [
        ("1.00", "1.08", "1.04"),
        ("1.00", "1.01", "1.01"),
        ("1.00", "0.93", "0.96"),
        ("-0.76", "-0.70", "-0.73"),
        ("-0.02", "0.02", "0.00"),
        ("3.55", "3.75", "3.65"),
        ("3.50", "3.65", "3.60"),
        ("3.50", "3.55", "3.55"),
        ("3.10", "3.50", "3.30"),
        ("2.00", "2.00", "2.00"),
    ],
)
def test_the_next_step(limit: str, final: str, then: str) -> None:
    """Half of what is left, rounded up to the tick; what is left of a tick at once."""
    assert next_limit(Decimal(limit), Decimal(final)) == Decimal(then)


@given(st.integers(-500, 500), st.integers(-500, 500), st.sampled_from(["0.01", "0.05", "0.10"]))
def test_it_arrives_on_ticks(begin: int, end: int, tick: str) -> None:
    """Whatever the tick of an option is, no step between two limits on it is off it, and twelve are enough."""
    size = Decimal(tick)
    limit, final = begin * size, end * size
    for _ in range(12):
        if limit == final:
            break
        then = next_limit(limit, final)
        assert then % size == 0
        assert min(limit, final) <= then <= max(limit, final)
        assert abs(final - then) < abs(final - limit)
        limit = then
    assert limit == final
