"""Figures of options that are no numbers: those of the same share hold every order, those of others hold only what opens or adds."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from core import risk
from core.model import Leg, Side
from core.risk import Limits
from tests.core.risk_plan_cases import C100, C105, bag_works, line, owed, shares, works
from tests.values import approval, snapshot, ticket

NAN = Decimal("NaN")
LIMITS = Limits(max_position_size=Decimal(10_000))


def wild(leg: Leg, name: str) -> Leg:
    """The leg with a figure of its option that is none."""
    changes: dict[str, Any] = {name: NAN}
    assert leg.option is not None
    return replace(leg, option=replace(leg.option, **changes))


def codes(side: Side, own: Any, symbol: str, where: str) -> list[str]:
    """Of an order for shares beside an option of so named a share, which is held or works."""
    own = replace(own, symbol=symbol)
    seen: dict[str, Any] = {"positions": (shares(50),)} | {
        where: (shares(50), own) if where != "working" else (own,)
    }
    asked = ticket(side, 10)
    denials = risk.check(asked, snapshot(of=asked, approved=approval(asked), **seen), LIMITS)
    return [d.code for d in denials if d.code == "NOT_A_NUMBER"]


HELD = [
    replace(line(C100, 1), signed_quantity=NAN),
    replace(line(C100, 1), option=wild(C100, "strike").option),
    replace(line(C100, 1), option=wild(C100, "multiplier").option),
]
WORKING = [
    replace(works(C100, Side.BUY, 1), limit_price=NAN),
    replace(works(C100, Side.BUY, 1), option=wild(C100, "strike").option),
    replace(works(C100, Side.BUY, 1), option=wild(C100, "multiplier").option),
    replace(bag_works(C100, owed(C105)), quantity=NAN),
    bag_works(wild(C100, "strike"), owed(C105)),
    bag_works(C100, owed(wild(C105, "multiplier"))),
    bag_works(C100, replace(C105, ratio=10**40)),
]
EVERYWHERE = [
    *((one, where) for one in HELD for where in ("positions", "told")),
    *((one, "working") for one in WORKING),
]


@pytest.mark.parametrize(("own", "where"), EVERYWHERE)
def test_of_the_same_share_it_holds_everything(own: Any, where: str) -> None:
    assert codes(Side.SELL, own, "AAPL", where) == ["NOT_A_NUMBER"]
    assert codes(Side.BUY, own, "AAPL", where) == ["NOT_A_NUMBER"]


@pytest.mark.parametrize(("own", "where"), EVERYWHERE)
def test_of_another_share_it_holds_nobody_who_gets_out(own: Any, where: str) -> None:
    assert codes(Side.SELL, own, "MSFT", where) == []
    assert codes(Side.BUY, own, "MSFT", where) == ["NOT_A_NUMBER"]


@pytest.mark.parametrize("own", [works(C100, Side.BUY, 1), bag_works(C100, owed(C105)), line(C100, 1)])
def test_figures_that_are_numbers_hold_nobody(own: Any) -> None:
    where = "positions" if hasattr(own, "signed_quantity") else "working"
    assert codes(Side.SELL, own, "AAPL", where) == codes(Side.BUY, own, "AAPL", where) == []
