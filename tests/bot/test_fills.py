"""When the executions of an order are all there, leg by leg, with what they cost."""

from dataclasses import replace
from decimal import Decimal

import pytest

from bot.fills import is_whole
from core.model import Leg, Order, OrderState, Side, Trade
from tests.values import ORDER, execution

ONE = Decimal("1.00")


def trade(con_id: int, side: Side, quantity: int, commission: Decimal | None = ONE) -> Trade:
    done = execution(quantity, con_id=con_id, side=side)
    return Trade(done, 1, None, commission, "USD", None)


SHARES = replace(ORDER, side=Side.SELL, filled=Decimal(10), state=OrderState.FILLED)
SPREAD = replace(
    SHARES, kind="BAG", con_id=-5, legs=(Leg(21, 1), Leg(22, -2)), side=Side.BUY, filled=Decimal(3)
)
HERE = SHARES.con_id


@pytest.mark.parametrize(
    ("order", "trades", "whole"),
    [
        (SHARES, [trade(HERE, Side.SELL, 4), trade(HERE, Side.SELL, 6)], True),
        (SHARES, [trade(HERE, Side.SELL, 4)], False),
        (SHARES, [trade(HERE, Side.SELL, 4), trade(HERE, Side.SELL, 6, None)], False),
        (SHARES, [], False),
        (SPREAD, [trade(21, Side.BUY, 3), trade(22, Side.SELL, 6)], True),
        (SPREAD, [trade(21, Side.BUY, 3), trade(22, Side.SELL, 3)], False),
        (SPREAD, [trade(21, Side.BUY, 3)], False),
        (SPREAD, [trade(21, Side.BUY, 3), trade(22, Side.SELL, 6, None)], False),
    ],
)
def test_whole(order: Order, trades: list[Trade], whole: bool) -> None:
    assert is_whole(order, trades) is whole
