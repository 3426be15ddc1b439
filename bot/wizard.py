"""Finding a strategy by buttons: symbol, view, budget, horizon, up to three suggestions, and then the card. Pure functions.

Everything that was answered so far stands in the data of the buttons, so that a restart forgets nothing and Back is the same with one
answer less.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from html import escape

from bot.text import SIGNS, badge
from core.model import Buttons, Link
from core.options.plan import ExpiryWish, PlanRequest, Strategy
from core.options.strategies import STRATEGIES, View

VIEWS: dict[str, tuple[View, str]] = {
    "r": (View.BULLISH, "I think it rises"),
    "f": (View.BEARISH, "I think it falls"),
    "s": (View.NEUTRAL, "I think it stays where it is"),
    "m": (View.VOLATILE, "I think it moves a lot"),
    "p": (View.PROTECT, "Protect what I hold"),
    "i": (View.INCOME, "Income"),
}
BUDGETS = ("250", "500", "1000", "2500")
MOST_RISK = "max"
HORIZONS = {"14": "About 2 weeks", "30": "About 1 month", "60": "About 2 months", "90": "About 3 months"}
SUGGESTED = 3
MOST_SYMBOLS = 6
CODES = {str(number): strategy for number, strategy in enumerate(Strategy)}


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered so far, in the order of the questions; empty is not answered yet. `name` is that of the message."""

    name: str
    symbol: str = ""
    view: str = ""
    budget: str = ""
    days: str = ""
    strategy: str = ""

    def written(self) -> str:
        """The data of a button, at most 64 bytes."""
        given = [self.name, self.symbol, self.view, self.budget, self.days, self.strategy]
        while not given[-1]:
            given.pop()
        return ":".join(["wiz", *given])

    @classmethod
    def read(cls, argument: str) -> "Answers | None":
        """What `written` made, without the word before the first colon; None for anything else."""
        parts = argument.split(":")
        if not 1 <= len(parts) <= 6 or not all(parts):
            return None
        read = cls(*parts)
        known = (
            (read.view, VIEWS),
            (read.budget, (*BUDGETS, MOST_RISK)),
            (read.days, HORIZONS),
            (read.strategy, CODES),
        )
        return read if all(not answer or answer in there for answer, there in known) else None

    @property
    def before(self) -> "Answers":
        """One answer less."""
        for field in ("strategy", "days", "budget", "view", "symbol"):
            if getattr(self, field):
                return replace(self, **{field: ""})
        return self

    def request(self, budget: Decimal) -> PlanRequest:
        """The plan that was chosen; `budget` is what the answer comes to now, in base currency."""
        return PlanRequest(
            self.symbol, strategy=CODES[self.strategy], expiry=ExpiryWish(days=int(self.days)), budget=budget
        )


def question(
    answers: Answers, link: Link, currency: str, held: Iterable[str] = (), found: Sequence[Strategy] = ()
) -> tuple[str, Buttons]:
    """The next question with its buttons. `held` are symbols to offer, `found` the strategies that fit the answers."""
    lines = [f"<b>{_head(answers, currency)}</b>", badge(link)]
    if not answers.symbol:
        lines.append("Of which stock? Write it behind the command, for example:\n/strategy AAPL")
        offered = list(dict.fromkeys(held))[:MOST_SYMBOLS]
        rows = _rows([(symbol, replace(answers, symbol=symbol).written()) for symbol in offered], 3)
        if offered:
            lines.append("Or tap one that you hold:")
        return "\n".join(lines), rows
    back = (("◀ Back", answers.before.written()),)
    if not answers.view:
        lines.append(f"What do you expect of {escape(answers.symbol)}, or want?")
        each = [(words, replace(answers, view=code).written()) for code, (_, words) in VIEWS.items()]
        return "\n".join(lines), (*_rows(each, 2), back)
    if not answers.budget:
        lines.append("How much may it lose at most?")
        sign = SIGNS.get(currency, f"{currency} ")
        each = [(f"{sign}{int(b):,}", replace(answers, budget=b).written()) for b in BUDGETS]
        most = ("My limit for one trade", replace(answers, budget=MOST_RISK).written())
        return "\n".join(lines), (*_rows(each, 2), (most,), back)
    if not answers.days:
        lines.append("By when?")
        each = [(words, replace(answers, days=code).written()) for code, words in HORIZONS.items()]
        return "\n".join(lines), (*_rows(each, 2), back)
    shown = found[:SUGGESTED]
    if not shown:
        lines.append("Nothing that fits can be had for that; a larger budget, or another view?")
        return "\n".join(lines), (back,)
    lines.append("What fits, the plainest first:")
    lines += [f"\n<b>{strategy}</b>\n{escape(STRATEGIES[strategy].sentence)}" for strategy in shown]
    lines.append("\nA tap shows the card; nothing is sent from here.")
    codes = {strategy: code for code, strategy in CODES.items()}
    choices = tuple(
        ((strategy.value, replace(answers, strategy=codes[strategy]).written()),) for strategy in shown
    )
    return "\n".join(lines), (*choices, back)


def _head(answers: Answers, currency: str) -> str:
    """What was answered, in one line."""
    parts = [f"Strategy for {answers.symbol}" if answers.symbol else "Find a strategy"]
    if answers.view:
        parts.append(VIEWS[answers.view][1])
    if answers.budget:
        sign = SIGNS.get(currency, f"{currency} ")
        parts.append("my limit" if answers.budget == MOST_RISK else f"{sign}{int(answers.budget):,}")
    if answers.days:
        parts.append(HORIZONS[answers.days].lower())
    return escape(" · ".join(parts))


def _rows(each: Sequence[tuple[str, str]], width: int) -> Buttons:
    return tuple(tuple(each[at : at + width]) for at in range(0, len(each), width))
