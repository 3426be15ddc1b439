"""How options end: which executions say that one expired, was exercised or was assigned, and which shares moved with it.

The broker closes such an option by an execution at price zero that belongs to no order. Where the right was used, shares move by a second
execution at the strike in the same second. The broker ties the two together by nothing else, so they are found here, in one place, for
the books and for the chat alike. The answer does not depend on the order, or on how often, anything is told.
"""

from collections import defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from core.model import Execution, Right, Side

EXCHANGE = ZoneInfo("America/New_York")


class How(StrEnum):
    """How a piece of a holding came or went: by a trade, or by the end of an option."""

    TRADED = ""
    EXPIRED = "EXPIRED"
    EXERCISED = "EXERCISED"
    ASSIGNED = "ASSIGNED"


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of `option`'s contracts, and the `shares` that moved with it; None where it ended worthless.

    `doubtful`: the shares could as well belong to another option that ended in the same second, or shares that fit no end moved at the
    strike in that second, or it ended before its last day and no shares were told (yet).
    """

    option: Execution
    how: How
    shares: Execution | None = None
    doubtful: bool = False

    def is_settled_by(self, key: str) -> bool:
        """Whether books settle it at the execution of this key: at that of its shares, where there are any."""
        return key == (self.option if self.shares is None else self.shares).key


def ends_option(execution: Execution) -> bool:
    """Whether it closes an option without a trade: at price zero, and by no order."""
    return (
        execution.kind == "OPT" and not execution.price and bool(execution.quantity) and _orderless(execution)
    )


def endings(executions: Iterable[Execution]) -> tuple[Ending, ...]:
    """Every end of an option among `executions`, oldest first; of an execution's revisions the highest counts.

    Shares belong to an end where account, second, symbol and currency are the same, their price is the strike, their number is contracts
    times multiplier, and they move the way that the right goes; each belongs to one end only. Where several ends fit, it is the one
    whose id has the same beginning, as parts of one event have, else the one whose key is next before that of the shares.
    """
    newest: dict[str, Execution] = {}
    for execution in executions:
        if _orderless(execution):
            known = newest.setdefault(execution.key, execution)
            if execution.revision > known.revision:
                newest[execution.key] = execution
    ended: defaultdict[tuple[object, ...], list[Execution]] = defaultdict(list)
    moved: defaultdict[tuple[object, ...], list[Execution]] = defaultdict(list)
    for execution in sorted(newest.values(), key=lambda one: one.key):
        if ends_option(execution):
            ended[_awaited(execution)].append(execution)
        elif execution.kind == "STK" and execution.quantity:
            moved[_bucket(execution, execution.side, execution.price, execution.quantity)].append(execution)
    found = [ending for bucket, options in ended.items() for ending in _paired(options, moved[bucket])]
    claimed = {ending.shares.key for ending in found if ending.shares}
    loose = {bucket[:-1] for bucket, shares in moved.items() if any(one.key not in claimed for one in shares)}
    found = [replace(e, doubtful=e.doubtful or _could_have(e, loose)) for e in found]
    return tuple(sorted(found, key=lambda ending: (ending.option.time, ending.option.key)))


def _could_have(ending: Ending, loose: Set[tuple[object, ...]]) -> bool:
    """Whether shares that belong to no end, in parts for example, could be this one's: all but their number fits."""
    return ending.shares is None and _awaited(ending.option)[:-1] in loose


def _orderless(execution: Execution) -> bool:
    return not (execution.order_id or execution.perm_id or execution.order_ref)


def _awaited(end: Execution) -> tuple[object, ...]:
    """What the shares of an exercise or an assignment would look like."""
    terms = end.option
    if terms is None:
        return (end.key,)  # nobody knows its terms, so no shares can be told to be its own
    # A long call (closed by SELL) brings shares, a short one (closed by BUY) takes them; a put goes the way that it is closed.
    closes_long = end.side is Side.SELL
    side = Side.BUY if closes_long is (terms.right is Right.CALL) else Side.SELL
    return _bucket(end, side, terms.strike, end.quantity * terms.multiplier)


def _bucket(of: Execution, side: Side, price: Decimal, quantity: Decimal) -> tuple[object, ...]:
    second: datetime = of.time.replace(microsecond=0)
    return (of.account, second, of.symbol, of.currency, side, price, quantity)


def _paired(options: list[Execution], shares: list[Execution]) -> list[Ending]:
    """Each of `shares` with one of `options` of the same bucket, both in the order of their keys."""
    left = list(options)
    belongs: dict[str, Execution] = {}
    for one in shares:
        own = next((option for option in left if _event_of(option) == _event_of(one)), None)
        if own is not None:
            left.remove(own)
            belongs[own.key] = one
    loose = [one for one in shares if one not in belongs.values()]
    either = bool(loose) and len(left) > len(loose) and len({(o.con_id, o.side) for o in left}) > 1
    doubtful = {option.key for option in left} if either else set()
    for one in loose[: len(left)]:
        before = [option for option in left if option.key < one.key]
        option = before[-1] if before else left[0]
        left.remove(option)
        belongs[option.key] = one
    return [
        Ending(option, _how(option), belongs[option.key], option.key in doubtful)
        if option.key in belongs
        else Ending(option, How.EXPIRED, None, option.key in doubtful or _is_early(option))
        for option in options
    ]


def _event_of(execution: Execution) -> str:
    """The id before the number of the part, which is the same for all parts of one event; of an id without parts the id itself."""
    return execution.key.rpartition(".")[0] or execution.key


def _is_early(end: Execution) -> bool:
    return end.option is None or end.time.astimezone(EXCHANGE).date() < end.option.expiry


def _how(option: Execution) -> How:
    return How.EXERCISED if option.side is Side.SELL else How.ASSIGNED
