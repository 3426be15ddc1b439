"""What is easily lost in the trading state: why it is closed after a stop out of order, who is woken, and what a cover lets a rule say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.model import Notice, Trading, TradingState
from core.trading import UNCLEAN, TradingSwitch
from tests.core.executor_desk import Desk
from tests.values import NOW, OWNER

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as made:
        yield made


def again(desk: Desk) -> TradingSwitch:
    """The switch of the next life, which has read what was kept."""
    switch = TradingSwitch(desk.ledger, desk.bell, desk)
    desk.do(switch.load())
    return switch


def test_the_cover_says_why_it_is_there(desk: Desk) -> None:
    """And what it covers keeps its own reason."""
    switch = again(desk)
    switch.block(REDUCING, "a bad day")
    desk.do(switch.keep())
    desk.do(switch.started())
    found = again(desk).now
    assert (found.state, found.reason, found.before) == (HALTED, UNCLEAN, switch.now)


def test_a_halt_needs_no_cover(desk: Desk) -> None:
    """It stays itself: nothing that ends by itself is put over it."""
    switch = again(desk)
    switch.block(HALTED, "Enough.")
    desk.do(switch.keep())
    desk.do(switch.started())
    next_life = again(desk)
    assert next_life.now == Trading(HALTED, "Enough.", desk.now())


def test_whether_the_last_stop_was_in_order_is_kept_under_its_name(desk: Desk) -> None:
    """The next version has to find it."""
    switch = again(desk)
    desk.do(switch.started())
    assert desk.do(desk.ledger.recall("running")) == "yes"
    desk.do(switch.stopped())
    assert desk.do(desk.ledger.recall("running")) == "no"


def test_whoever_sends_messages_is_woken(desk: Desk) -> None:
    """By a halt that was kept, and by an opening: what they have to say does not lie."""
    switch = again(desk)
    switch.block(HALTED, "Enough.")
    rung = desk.bell.rung
    desk.do(switch.keep(desk.origin(), (Notice("halted", to=OWNER),)))
    assert desk.bell.rung > rung
    rung = desk.bell.rung
    desk.do(switch.resume(desk.origin(), ACTIVE, (Notice("resumed", to=OWNER),)))
    assert desk.bell.rung > rung
    assert [m["kind"] for m in desk.messages()] == ["halted", "resumed"]


def test_under_a_cover_no_rule_has_news(desk: Desk) -> None:
    """It is closed already, and what is covered is judged when it comes back."""
    desk.trading.now = Trading(ACTIVE, UNCLEAN, before=Trading())
    assert not desk.trading.is_news(HALTED, NOW, of_loss=False)
