"""Random lives of the desk, sixty steps each, of any kind, in any order; that the machine finds what is broken; and what it leaves out, and why."""

import contextlib
import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from core.model import OrderType, Request, Side, TimeInForce, TradingState
from tests.properties import machine
from tests.properties.machine import Desk
from tests.properties.mutations import MUTATIONS, TOLD, broken
from tests.values import OWNER

QUICK = settings(
    max_examples=40,
    stateful_step_count=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SEARCH = settings(QUICK, max_examples=150, phases=[Phase.generate], print_blob=False)
TEN = Decimal(10)
ENTRY = Request(Side.BUY, "AAA", TEN, order_type=OrderType.LIMIT, limit_price=Decimal(99))


@contextlib.contextmanager
def a_desk() -> Iterator[Desk]:
    """A machine that is moved by hand; at the end its books are compared."""
    desk = Desk()
    try:
        yield desk
    except BaseException:
        desk.close()
        raise
    else:
        desk.teardown()


def buy(desk: Desk, *, con: int = 1, stop: bool = False) -> None:
    """A limit for ten, sent at once."""
    desk.buy(
        con=con, quantity=TEN, kind=OrderType.LIMIT, stop=stop, goal=False, tif=TimeInForce.DAY, at_once=True
    )


def sell(desk: Desk, quantity: int) -> None:
    """A limit, sent at once."""
    desk.sell(con=1, quantity=Decimal(quantity), kind=OrderType.LIMIT, at_once=True)
    desk.no_more_is_for_sale_than_is_held()


def test_our_book_is_the_brokers_whatever_happens() -> None:
    """A sample; `make properties` makes more."""
    before = sum(machine.STEPS.values())
    run_state_machine_as_test(Desk, settings=QUICK)
    assert sum(machine.STEPS.values()) - before > 1000


def test_every_example_is_the_same_every_time() -> None:
    """The loop has no thread and no clock of its own: what was found once is found again."""
    seen = []
    for _ in range(2):
        with a_desk() as desk:
            buy(desk, stop=True)
            desk.fill(which=0, part=Decimal(4), price=9900)
            desk.restart(turns=3, anew=True, held=False)
            desk.wait(seconds=130)
            seen.append(
                [tuple(row) for row in desk.life.file("SELECT number, state, filled, sent_at FROM orders")]
            )
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_part_is_found(name: str) -> None:
    """With the part broken there is a counterexample, and it says what is wrong."""
    with broken(name), pytest.raises(AssertionError) as found:
        run_state_machine_as_test(seed(1)(type("Broken", (Desk,), {})), settings=SEARCH)
    assert re.search(MUTATIONS[name][1], str(found.value), re.DOTALL)


def test_an_order_that_leaves_before_the_books_agree_is_found() -> None:
    """TWS has lost its own connection for a moment, its answers are slow, and a card is sent."""

    def story() -> None:
        with a_desk() as desk:
            desk.hold()
            desk.flicker(back=True)
            desk.deliver(count=2)
            buy(desk)

    story()
    name = "orders leave before the books agree"
    with broken(name), pytest.raises(AssertionError, match=TOLD[name][1]):
        story()


def test_a_resend_of_what_is_unknown_is_found() -> None:
    """The line takes an order with it, and the broker never had it."""

    def story() -> None:
        with a_desk() as desk:
            desk.go_deaf(after=0)
            buy(desk)
            desk.disconnect()
            desk.connect(anew=False, held=False)

    story()
    name = "resend of UNKNOWN"
    with broken(name), pytest.raises(AssertionError, match=TOLD[name][1]):
        story()


def test_a_sale_beside_its_protection_is_found() -> None:
    """Forty are held, ten more are bought with a stop; then all fifty are sold."""

    def story() -> None:
        with a_desk() as desk:
            buy(desk, stop=True)
            desk.fill(which=0, part=None, price=9900)
            sell(desk, 40)
            sell(desk, 10)

    story()
    name = "protection is not counted"
    with broken(name), pytest.raises(AssertionError, match=TOLD[name][1]):
        story()


def test_a_halt_that_came_while_an_order_was_written_down_is_found() -> None:
    """A tap on Send, and a halt at any moment between the tap and the socket."""

    def story() -> None:
        for turns in range(16):
            with a_desk() as desk:
                desk.show(desk.life.cards.preview(ENTRY, OWNER), at_once=False)
                desk.halt_at_a_tap(which=0, turns=turns)

    story()
    name = "the state is asked too early"
    with broken(name), pytest.raises(AssertionError, match=TOLD[name][1]):
        story()


def test_a_halt_behind_a_resume_is_found() -> None:
    """Somebody thinks better of it before it is written down."""

    def story() -> None:
        for turns in range(6):
            with a_desk() as desk:
                desk.halt()
                desk.resume(turns=turns)
                desk.a_halt_that_is_written_holds()

    story()
    name = "a resume overrides a later halt"
    with broken(name), pytest.raises(AssertionError, match=TOLD[name][1]):
        story()


def test_a_loss_is_heeded_after_a_stop_out_of_order() -> None:
    """What the machine found third: the figures came before the books agreed, and nobody looked at them again."""
    with a_desk() as desk:
        desk.the_day(percent="6")
        desk.restart(turns=0, anew=False, held=False)
        desk.quiet()
        assert desk.life.trading.now.state is TradingState.HALTED


@pytest.mark.parametrize("what", ["halt", "flatten", "resume"])
def test_a_kill_anywhere_on_the_ladder(what: str) -> None:
    """Ten are held with a stop, ten more wait: at every moment of it."""
    for turns in range(0, 60, 3):
        with a_desk() as desk:
            buy(desk, stop=True)
            desk.fill(which=0, part=None, price=9900)
            buy(desk, con=2)
            if what == "resume":
                desk.halt()
            desk.die_on_the_ladder(what=what, turns=turns)
            desk.no_more_is_for_sale_than_is_held()
            desk.quiet()
            desk.a_halt_that_is_written_holds()
            desk.flatten_all(open_again=True)
            desk.open_again()


def test_errors_and_answers_are_not_lost_by_themselves() -> None:
    """What the machine leaves out: a line loses bytes only with itself. All else it may lose."""
    with a_desk() as desk:
        desk.hold()
        desk.world.exchange.rejects = 1
        buy(desk)
        kinds = {type(message).__name__: machine.may_be_lost(message) for message in desk.life.broker.down}
        assert kinds == {"BrokerMessage": False, "OrderReport": True}


def test_a_snapshot_with_both_revisions_of_an_execution() -> None:
    """What the machine found first: a trade of another program that was corrected before anybody here saw it counted twice."""
    with a_desk() as desk:
        desk.elsewhere(con=2, quantity=TEN, side=Side.BUY, by_hand=False, trades=True)
        desk.correct(which=0, price=9680, quantity=1)


def test_a_change_of_an_order_without_an_id() -> None:
    """And second: the change of an order that was typed into TWS left as an order with the number zero."""
    with a_desk() as desk:
        desk.elsewhere(con=1, quantity=TEN, side=Side.BUY, by_hand=True, trades=False)
        desk.change(which=0, quantity=None, cents=25, at_once=True)
        assert not desk.world.changed
        assert not desk.world.sent
