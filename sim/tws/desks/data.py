"""Market data: live and delayed ticks, generic ones beside them, and snapshots."""

import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sim.tws import answers, combos, generic
from sim.tws.contracts import Instrument
from sim.tws.desks.info import BBO, LETTERS, only
from sim.tws.errors import Refused
from sim.tws.generic import View
from sim.tws.market import Day, Quote
from sim.tws.terms import Contract, Leg

if TYPE_CHECKING:
    from sim.tws.session import Session

LIVE, DELAYED = 1, 3
_DELAY = timedelta(minutes=15)
_SIZE_OF = {1: 0, 2: 3, 4: 5, 66: 69, 67: 70, 68: 71}
_POURED = {1: 1, 2: 1, 66: 0, 67: 0}
"""Bids and asks, live and delayed, and whether they can be executed automatically."""
_QUOTED = frozenset({1, 2, 66, 67})
_COMPUTED = {"bid": 10, "ask": 11, "last": 12, "model": 13}
"""The types of live ticks that say what a price of an option means; those of delayed ones are 80 to 83."""
_PATIENCE_SECONDS = 0.05
"""How long everything else waits for the prices of options at most."""
_HALTED, _DELAYED_HALTED = 49, 90
_EXCHANGES = ((32, "bid"), (33, "ask"), (84, "last"))
_NEEDS_SUBSCRIPTION = (
    "Requested market data requires additional subscription for API. See link in 'Market Data Connections' dialog for more details."
    "Delayed market data is available."
)
_SNAPSHOT_OF_GENERIC = "Error validating request.-'bO' : cause - Snapshot market data subscription is not applicable to generic ticks"


@dataclass(slots=True)
class Subscription:
    """A stream of ticks of one instrument, and what was sent last by tick type."""

    instrument: Instrument
    kind: int
    codes: list[int] = field(default_factory=list)
    quotes: bool = True
    legs: tuple[Leg, ...] = ()
    sent: dict[int, tuple[Decimal, int]] = field(default_factory=dict)
    said: dict[int, object] = field(default_factory=dict)
    volume: int = -1
    halted: int | None = None

    @property
    def is_derived(self) -> bool:
        """Whether its prices are worked out from those of something else, which takes a while."""
        return self.instrument.is_option or self.instrument.is_combination


class DataDesk:
    """Streams prices to a client."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._market = session.engine.market
        self._wanted = LIVE
        self._ticks: dict[int, Subscription] = {}
        self._poured = 0
        self._turn = 0

    # -- requests

    def on_market_data_type(self, kind: int) -> None:
        """Live (1), frozen (2), delayed (3) or delayed and frozen (4) data from now on."""
        if kind not in {1, 2, 3, 4}:
            raise Refused(321, f"Error validating request.-'ck' : cause - Invalid market data type {kind}")
        self._wanted = kind

    def on_market_data(
        self,
        request_id: int,
        contract: Contract,
        generic: str,
        snapshot: bool,
        regulatory: bool,
        legs: tuple[Leg, ...] = (),
    ) -> None:
        """The ticks of an instrument, or one snapshot; generic ticks only with a stream."""
        session = self._session
        if contract.sec_type == "BAG":
            instrument = combos.instrument(legs, (), session.now)
        else:
            instrument = only(contract, session.now)
        codes, quotes = _generic(generic, snapshot or regulatory, instrument)
        permission = session.server.data_for(instrument.symbol)
        where = f"{instrument.symbol} {instrument.listing}/TOP/ALL"
        if permission == "none":
            raise Refused(354, f"Requested market data is not subscribed.{where}")
        if permission == "delayed" and self._wanted < DELAYED:
            raise Refused(10089, _NEEDS_SUBSCRIPTION + where)
        if permission == "delayed":
            session.fail(
                request_id, 10167, "Requested market data is not subscribed. Displaying delayed market data."
            )
        kind = LIVE if permission == "live" else DELAYED
        subscription = Subscription(instrument, kind, codes, quotes, legs)
        session.send(
            answers.tick_request_parameters(
                request_id, instrument.min_tick, BBO if instrument.is_share else ""
            )
        )
        session.send(answers.market_data_type(request_id, kind))
        self._begin(request_id, subscription)
        if snapshot or regulatory:
            session.send(answers.snapshot_end(request_id))
        else:
            self._ticks[request_id] = subscription

    def on_cancel_market_data(self, request_id: int) -> None:
        """No more ticks."""
        if self._ticks.pop(request_id, None) is None:
            raise Refused(300, f"Can't find EId with tickerId:{request_id}")

    # -- news

    def tell(self) -> None:
        """What the market shows now, where it is not what was sent before."""
        for request_id, subscription in self._ticks.items():
            if not subscription.is_derived:
                self._tell_one(request_id, subscription)
        self._tell_derived()

    def _tell_one(self, request_id: int, subscription: Subscription) -> None:
        self._send_ticks(request_id, subscription)
        self._send_halt(request_id, subscription)
        if subscription.codes:
            self._send_generic(request_id, subscription, first=False)

    def _tell_derived(self) -> None:
        """Options in turn, as many as can be worked out in a moment: where there are many, each is shown anew every few ticks."""
        derived = [number for number, one in self._ticks.items() if one.is_derived]
        begun = time.perf_counter()
        for told in range(len(derived)):
            number = derived[(self._turn + told) % len(derived)]
            self._tell_one(number, self._ticks[number])
            if time.perf_counter() - begun > _PATIENCE_SECONDS:
                self._turn = (self._turn + told + 1) % len(derived)
                break

    def pour(self, count: int) -> int:
        """So many more ticks of what is followed, in turn: true prices with sizes that change each time. Returns how many were sent."""
        lines = [
            (request_id, one) for request_id, one in self._ticks.items() if one.quotes and not one.halted
        ]
        lines = [(request_id, one) for request_id, one in lines if one.sent.keys() & _POURED.keys()]
        for number in range(count if lines else 0):
            turn, line = divmod(self._poured + number, len(lines))
            request_id, one = lines[line]
            kinds = [kind for kind in _POURED if kind in one.sent]
            kind = kinds[turn // 2 % len(kinds)]
            price, size = one.sent[kind][0], 100 * (1 + turn % 9)
            one.sent[kind] = price, size
            if turn % 2:
                self._session.send(answers.tick_size(request_id, _SIZE_OF[kind], size))
            else:
                self._session.send(answers.tick_price(request_id, kind, price, size, _POURED[kind]))
        self._poured += count if lines else 0
        return count if lines else 0

    def _begin(self, request_id: int, subscription: Subscription) -> None:
        """The first ticks, and what is said once: where the prices come from, and whether trading is halted."""
        live, send = subscription.kind == LIVE, self._session.send
        self._send_ticks(request_id, subscription)
        if subscription.instrument.is_share and subscription.quotes and live:
            for kind, _ in _EXCHANGES:
                send(answers.tick_string(request_id, kind, LETTERS[subscription.instrument.primary_exchange]))
        self._send_halt(request_id, subscription)
        self._send_generic(request_id, subscription, first=True)

    def _send_halt(self, request_id: int, subscription: Subscription) -> None:
        """Whether trading is halted, where that is not what was said before. It comes with the quotes, not with the generic ticks."""
        if not (subscription.instrument.is_share and subscription.quotes):
            return
        delayed = subscription.kind == DELAYED
        moment = self._session.now - _DELAY if delayed else self._session.now
        kind = self._market.halted(subscription.instrument.con_id, moment)
        if subscription.halted != kind:
            subscription.halted = kind
            self._session.send(
                answers.tick_generic(request_id, _DELAYED_HALTED if delayed else _HALTED, Decimal(kind))
            )

    def _send_ticks(self, request_id: int, subscription: Subscription) -> None:
        """TWS sends a price with its size, then the size again by itself; a size alone where only it changed."""
        if not subscription.quotes:
            return
        delayed, send, instrument = subscription.kind == DELAYED, self._session.send, subscription.instrument
        moment = self._session.now - _DELAY if delayed else self._session.now
        if subscription.legs:
            self._send_combination(request_id, subscription, moment)
            return
        quote, day = (
            self._market.quote(instrument.con_id, moment),
            self._market.day(instrument.con_id, moment),
        )
        unit = 1 if self._session.version >= 159 else 100  # before version 159 sizes are round lots
        for kind, price, size in _price_ticks(instrument, quote, day, delayed, unit):
            before = subscription.sent.get(kind)
            if before is None or before[0] != price:
                send(answers.tick_price(request_id, kind, price, size, int(kind in {1, 2})))
            if kind in _SIZE_OF and before != (price, size) and not instrument.is_index:
                send(answers.tick_size(request_id, _SIZE_OF[kind], size))
            subscription.sent[kind] = (price, size)
        if instrument.is_option:
            self._send_computations(request_id, subscription, quote, moment)
        if subscription.volume != day.volume and (instrument.is_share or instrument.is_option):
            subscription.volume = day.volume
            send(
                answers.tick_size(
                    request_id, 74 if delayed else 8, day.volume // (unit if instrument.is_share else 1)
                )
            )
            send(answers.tick_string(request_id, 88 if delayed else 45, str(int(quote.at.timestamp()))))

    def _send_combination(self, request_id: int, subscription: Subscription, moment: datetime) -> None:
        """Bid and ask of a combination, which may be below zero; there is nothing else to tell of one."""
        quote = combos.quote(self._market, subscription.legs, moment)
        kinds = (66, 67) if subscription.kind == DELAYED else (1, 2)
        for kind, price, size in zip(
            kinds, (quote.bid, quote.ask), (quote.bid_size, quote.ask_size), strict=True
        ):
            if subscription.sent.get(kind) != (price, size):
                subscription.sent[kind] = (price, size)
                self._session.send(answers.tick_price(request_id, kind, price, size, int(kind in {1, 2})))
                self._session.send(answers.tick_size(request_id, _SIZE_OF[kind], size))

    def _send_computations(
        self, request_id: int, subscription: Subscription, quote: Quote, moment: datetime
    ) -> None:
        """What bid, ask and last of an option mean by the model, and what the model says itself, where that is not what was said before."""
        options, option = self._market.options, subscription.instrument
        if moment >= option.expires:
            return
        of, spot = options.model(option, moment), float(options.spot(option, moment))
        dividends = options.present_dividends(option, moment)
        own = options.volatility_of(option, moment)
        prices = {"bid": quote.bid, "ask": quote.ask, "last": quote.last}
        for (name, live), late in zip(_COMPUTED.items(), range(80, 84), strict=True):
            kind = live if subscription.kind == LIVE else late
            price = of.value if name == "model" else float(prices[name])
            if name != "model" and not prices[name]:
                continue
            known = (round(price, 3), round(spot, 2), round(of.delta, 3))
            if subscription.said.get(kind) != known:
                subscription.said[kind] = known
                volatility = own if name == "model" else options.implied(option, prices[name], moment)
                self._session.send(
                    answers.option_computation(
                        request_id, kind, volatility, of, options.vega(option, moment), price, dividends, spot
                    )
                )

    def _send_generic(self, request_id: int, subscription: Subscription, first: bool) -> None:
        view = View(self._market, subscription.instrument, self._session.now)
        for write, kind, value in generic.ticks(subscription.codes, view, first):
            if subscription.said.get(kind) != value:
                subscription.said[kind] = value
                with_size = (0,) if write is answers.tick_price else ()
                self._session.send(write(request_id, kind, value, *with_size))


def _generic(text: str, snapshot: bool, instrument: Instrument) -> tuple[list[int], bool]:
    """The generic ticks asked for, and whether quotes are too. Refused (321) where they cannot be had."""
    if not text.strip(", "):
        return [], True
    if snapshot:
        raise Refused(321, _SNAPSHOT_OF_GENERIC)
    return generic.wanted(text, instrument.sec_type)


def _price_ticks(
    instrument: Instrument, quote: Quote, day: Day, delayed: bool, unit: int
) -> list[tuple[int, Decimal, int]]:
    """Tick types with price and size: bid, ask and last, then open, high, low and close, which have none.

    A pair has no last and no open, an index neither bid nor ask.
    """
    bid, ask, last, opened, high, low, close = (
        (66, 67, 68, 76, 72, 73, 75) if delayed else (1, 2, 4, 14, 6, 7, 9)
    )
    ticks: list[tuple[int, Decimal, int]] = []
    if instrument.is_option:
        unit = 1
        quote = replace(
            quote, bid=quote.bid or Decimal(-1), ask=quote.ask or Decimal(-1)
        )  # nobody bids for it
    if not instrument.is_index:
        ticks += [(bid, quote.bid, quote.bid_size // unit), (ask, quote.ask, quote.ask_size // unit)]
    if not instrument.is_forex:
        ticks += [(last, quote.last, quote.last_size // unit), (opened, day.open, 0)]
    if instrument.is_option and not quote.last:
        ticks = ticks[:2]  # worth nothing, it has not been traded
    return [*ticks, (high, day.high, 0), (low, day.low, 0), (close, day.close, 0)]
