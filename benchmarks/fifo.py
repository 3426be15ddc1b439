"""How fast the books are derived: 100,000 trades of one symbol through FIFO, in three shapes of market."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter

from core.lots import book
from core.model import Commission, Execution, Side

TRADES = 100_000
GOAL_SECONDS = 0.5
START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


def _side_churn(number: int) -> tuple[Side, int]:
    """In and out, never flat for long: pieces of every size, long and short."""
    return (Side.BUY if (number * 7919) % 13 < 7 else Side.SELL), 1 + (number * 31) % 97


def _side_hoard(number: int) -> tuple[Side, int]:
    """Half of it buys everything, the other half sells it: the deepest shelf."""
    return (Side.BUY if number < TRADES // 2 else Side.SELL), 100


def _side_pairs(number: int) -> tuple[Side, int]:
    """A day trader: in, out, in, out."""
    return (Side.SELL if number % 2 else Side.BUY), 100


SHAPES: dict[str, Callable[[int], tuple[Side, int]]] = {
    "churn": _side_churn,
    "hoard": _side_hoard,
    "pairs": _side_pairs,
}


def trades(
    shape: Callable[[int], tuple[Side, int]], count: int = TRADES
) -> tuple[list[Execution], list[Commission]]:
    """`count` executions a quarter of an hour apart, and what each cost."""
    executions, commissions = [], []
    for number in range(count):
        side, quantity = shape(number)
        exec_id = f"0000e0d5.{number:08x}.01.01"
        executions.append(
            Execution(
                exec_id=exec_id,
                account="DU1",
                con_id=1,
                symbol="AAPL",
                currency="USD",
                side=side,
                quantity=Decimal(quantity),
                price=Decimal(10_000 + (number * 17) % 5_000) / 100,
                time=START + number * timedelta(minutes=15),
                client_id=0,
                order_id=number,
                perm_id=number,
                order_ref="",
            )
        )
        commissions.append(Commission(exec_id, Decimal("1.04"), "USD"))
    return executions, commissions


def main() -> None:
    """Print the best of three runs of each shape."""
    for name, shape in SHAPES.items():
        executions, commissions = trades(shape)
        runs = []
        for _ in range(3):
            started = perf_counter()
            books = book(executions, commissions)
            runs.append(perf_counter() - started)
        print(
            f"fifo {name}: {TRADES:,} trades of one symbol in {min(runs):.3f} s (goal {GOAL_SECONDS} s): "
            f"{len(books.closures):,} closures, {len(books.lots):,} open lots"
        )


if __name__ == "__main__":
    main()
