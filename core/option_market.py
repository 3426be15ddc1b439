"""Which options there are: the chain of an underlying, and the broker's own contracts for some of them, each asked for once in a while."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import ib_async as ib

from core import ib_mapping
from core.errors import BadInput, BrokerError, NotConnected, Refused
from core.model import Chain, Instrument, OptionTerms, OrderReport, Right
from core.ports import Clock
from core.wire import Budget, Line

KEPT_SECONDS = 6 * 3600.0  # chains and contracts: what is listed anew is found the same day
MISSING_SECONDS = 600.0  # what the broker did not know
ASKED_ONE_BY_ONE = 10  # above it, one question brings all strikes of an expiry and a right: hundreds of answers, and few messages
NO_SUCH_CONTRACT = 200
LEG_SECONDS = 3.0  # events wait behind the question what a leg is,
SILENT_SECONDS = 60.0  # so that where it had no answer, none is asked for a while
MOST_ASKED = 1000

Ask = Callable[..., Awaitable[Any]]
_Key = tuple[int, OptionTerms]


class OptionMarket:
    """Chains and contracts. `line` is the connection as it is now, `ask` gives a question its end (the answer, or a BrokerError) within seconds.

    `terms` are those of every option that was ever told, by con_id; the line adds to them.
    """

    def __init__(
        self, line: Callable[[], Line], ask: Ask, budget: Budget, clock: Clock, terms: dict[int, OptionTerms]
    ) -> None:
        self._line, self._ask, self._budget, self._clock, self._terms = line, ask, budget, clock, terms
        self._ask_legs_from: dict[int, float] = {}
        self._silent_until = -math.inf
        self._chains: dict[int, tuple[float, Chain]] = {}
        self._found: dict[_Key, tuple[float, Instrument | None]] = {}
        self._rules: dict[int, tuple[tuple[Decimal, Decimal], ...]] = {}
        self._asking_rule = asyncio.Lock()

    async def chain(self, underlying: Instrument) -> Chain:
        """The standard options of an underlying. Raises BadInput where it has none, Refused, NoAnswer or NotConnected."""
        line, now = self._line(), self._clock.monotonic()
        known = self._chains.get(underlying.con_id)
        if known is not None and now - known[0] < KEPT_SECONDS:
            return known[1]
        symbol = ib_mapping.wire_symbol(underlying.symbol)
        told = await self._none_for_unknown(
            lambda: line.reqSecDefOptParamsAsync(symbol, "", underlying.kind, underlying.con_id)
        )
        found = ib_mapping.chain(underlying, told)
        if found is None and told:
            raise BadInput(
                f"{underlying.symbol} has no standard options of 100 shares each; others are not traded here."
            )
        if found is None:
            raise BadInput(f"{underlying.symbol} has no listed options.")
        self._chains[underlying.con_id] = now, found
        return found

    async def options(
        self, underlying: Instrument, wanted: Sequence[OptionTerms]
    ) -> tuple[Instrument | None, ...]:
        """The broker's contracts for these; None for one that does not exist. Raises Refused, NoAnswer or NotConnected."""
        line = self._line()
        keys = [(underlying.con_id, self._exact(underlying, terms)) for terms in wanted]
        missing = list(dict.fromkeys(key for key in keys if not self._knows(key)))
        if len(missing) <= ASKED_ONE_BY_ONE:
            questions = [ib_mapping.option_question(underlying, terms) for _, terms in missing]
        else:
            families: dict[tuple[date, Right, Decimal, str], OptionTerms] = {}
            for _, terms in missing:
                families.setdefault((terms.expiry, terms.right, terms.multiplier, terms.trading_class), terms)
            questions = [
                ib_mapping.option_question(underlying, terms, every_strike=True)
                for terms in families.values()
            ]
        answers = await asyncio.gather(
            *(self._none_for_unknown(_question(line, of)) for of in questions), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            await self._keep(underlying, answer)
        now = self._clock.monotonic()
        for key in missing:
            if not self._knows(key):
                self._found[key] = now, None
        return tuple(self._found[key][1] for key in keys)

    async def with_legs(self, report: OrderReport) -> OrderReport:
        """The report with the terms of its legs. They come as ids, and a leg without terms means shares, so what it is is asked for."""
        for leg in report.legs:
            now = self._clock.monotonic()
            if leg.con_id in self._terms or now < max(
                self._silent_until, self._ask_legs_from.get(leg.con_id, -math.inf)
            ):
                continue
            if len(self._ask_legs_from) >= MOST_ASKED:
                self._ask_legs_from.clear()
            try:
                line = self._line()
                named = ib.Contract(conId=leg.con_id, exchange=ib_mapping.ROUTE)
                await self._none_for_unknown(_question(line, named), LEG_SECONDS)
                self._ask_legs_from[leg.con_id] = now + MISSING_SECONDS
            except NotConnected:
                break
            except BrokerError:
                self._silent_until = now + SILENT_SECONDS  # told as it came
        legs = tuple(replace(leg, option=self._terms.get(leg.con_id)) for leg in report.legs)
        return report if legs == report.legs else replace(report, legs=legs)

    def _exact(self, underlying: Instrument, terms: OptionTerms) -> OptionTerms:
        """Named by its class too, since one that was changed by a split may have the same expiry, strike and right."""
        if terms.trading_class:
            return terms
        return replace(terms, trading_class=ib_mapping.standard_class(underlying.symbol))

    def _knows(self, key: _Key) -> bool:
        at, found = self._found.get(key, (0.0, None))
        kept = KEPT_SECONDS if found is not None else MISSING_SECONDS
        return key in self._found and self._clock.monotonic() - at < kept

    async def _keep(self, underlying: Instrument, answer: Sequence[ib.ContractDetails]) -> None:
        now = self._clock.monotonic()
        rules = {rule for details in answer if (rule := ib_mapping.market_rule(details)) is not None}
        steps = {rule: await self._steps(rule) for rule in rules}
        for details in answer:
            try:
                found = ib_mapping.instrument(details)
            except ValueError:
                continue  # half told: it counts as missing
            if found.option is not None:
                ticks = steps.get(ib_mapping.market_rule(details) or 0, ())
                self._found[underlying.con_id, found.option] = now, replace(found, steps=ticks)

    async def _steps(self, rule: int) -> tuple[tuple[Decimal, Decimal], ...]:
        """The ticks of a market rule, asked for once; none where the broker does not tell, and then the smallest holds everywhere."""
        async with self._asking_rule:  # ib_async keeps one answer for each rule
            if rule not in self._rules:
                line = self._line()
                await self._budget.wait()
                told = await self._ask(lambda: line.reqMarketRuleAsync(rule))
                if not told:
                    return ()
                self._rules[rule] = ib_mapping.steps(told)
        return self._rules[rule]

    async def _none_for_unknown(
        self, question: Callable[[], Awaitable[Sequence[Any]]], *seconds: float
    ) -> Sequence[Any]:
        await self._budget.wait()
        try:
            told: Sequence[Any] = await self._ask(question, *seconds)
        except Refused as refused:
            if refused.code != NO_SUCH_CONTRACT:
                raise
            return ()
        return told


def _question(line: Line, of: ib.Contract) -> Callable[[], Awaitable[Sequence[ib.ContractDetails]]]:
    return lambda: line.reqContractDetailsAsync(of)
