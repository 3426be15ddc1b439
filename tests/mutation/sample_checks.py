"""The tests of the sample. They try its lower edge, and not its upper one; not collected with the others, because of their name."""

from decimal import Decimal

from tests.mutation.sample import TABLE, halvings, within


def test_lower_edge() -> None:
    assert within(Decimal(2))
    assert not within(Decimal("1.99"))
    assert not within(Decimal(9))


def test_halvings() -> None:
    assert halvings(8) == 3


def test_table() -> None:
    assert TABLE[0][0] == "seven"
