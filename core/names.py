"""Orders and evidence by the names they bear, so that what belongs together is found without holding everything against everything.

Orders, reports and executions all have the same names: order_ref, perm_id, and the pair of client and order id. `near` finds what shares one
of them; whether it really belongs is `core.lifecycle.belongs`' to say.
"""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """What bears the names of an order, as far as they are known."""

    @property
    def order_ref(self) -> str | None: ...
    @property
    def perm_id(self) -> int | None: ...
    @property
    def client_id(self) -> int: ...
    @property
    def order_id(self) -> int: ...


T = TypeVar("T", bound=Named)
Name = str | int | tuple[int, int]


def names(thing: Named) -> list[Name]:
    """The names that it bears; an empty ref, a perm id of zero and an order id below one name nothing."""
    found: list[Name] = []
    if thing.order_ref:
        found.append(thing.order_ref)
    if thing.perm_id:
        found.append(thing.perm_id)
    if thing.order_id > 0:
        found.append((thing.client_id, thing.order_id))
    return found


class Index(Generic[T]):
    """Things by name, in the order in which they were added."""

    def __init__(self, things: Iterable[T] = ()) -> None:
        self._found: dict[Name, list[T]] = {}
        for thing in things:
            self.add(thing)

    def add(self, thing: T) -> None:
        """One more."""
        for name in names(thing):
            self._found.setdefault(name, []).append(thing)

    def near(self, thing: Named) -> list[T]:
        """Everything that shares a name with `thing`, each once."""
        lists = [self._found.get(name, ()) for name in names(thing)]
        return list({id(one): one for found in lists for one in found}.values())
