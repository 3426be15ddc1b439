"""A little module whose tests look at some of it and overlook the rest: the harness has to say which."""

from decimal import Decimal

LEAST = Decimal(2)
MOST = Decimal(5)


def within(figure: Decimal) -> bool:
    """Whether a figure lies between the edges."""
    return LEAST <= figure <= MOST


def halvings(figure: int) -> int:
    """How often a figure can be halved."""
    count = 0
    while figure > 1:
        figure = figure // 2
        count += 1
    return count


def never_called(figure: int) -> int:
    """No test comes here."""
    return figure + 1


def _named(name: str) -> tuple[str, int]:
    return (name, 7)


TABLE = (_named("seven"),)
