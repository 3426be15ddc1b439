"""Market data: live and delayed ticks, snapshots, and bars of the past that may be kept up to date."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sim.tws import answers, history
from sim.tws.desks.info import only
from sim.tws.errors import Refused
from sim.tws.market import Day, Quote
from sim.tws.terms import Contract, Leg

if TYPE_CHECKING:
    from sim.tws.session import Session

LIVE, DELAYED = 1, 3
_DELAY = timedelta(minutes=15)
_SIZE_OF = {1: 0, 2: 3, 4: 5, 66: 69, 67: 70, 68: 71}
_NEEDS_SUBSCRIPTION = (
    "Requested market data requires additional subscription for API. See link in 'Market Data Connections' dialog for more details."
    "Delayed market data is available."
)


@dataclass(slots=True)
class Subscription:
    """A stream of ticks of one instrument, and what was sent last by tick type."""

    con_id: int
    kind: int
    sent: dict[int, tuple[Decimal, int]] = field(default_factory=dict)
    volume: int = -1


class DataDesk:
    """Streams prices to a client."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._market = session.engine.market
        self._wanted = LIVE
        self._ticks: dict[int, Subscription] = {}
        self._bars: dict[int, history.Kept] = {}

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
        """The ticks of an instrument, or one snapshot. Generic ticks may be asked for; there are none."""
        session, instrument = self._session, only(contract)
        permission = session.server.data_for(instrument.symbol)
        where = f"{instrument.symbol} {instrument.primary_exchange}/TOP/ALL"
        if permission == "none":
            raise Refused(354, f"Requested market data is not subscribed.{where}")
        if permission == "delayed" and self._wanted < DELAYED:
            raise Refused(10089, _NEEDS_SUBSCRIPTION + where)
        if permission == "delayed":
            session.fail(
                request_id, 10167, "Requested market data is not subscribed. Displaying delayed market data."
            )
        subscription = Subscription(instrument.con_id, LIVE if permission == "live" else DELAYED)
        session.send(answers.tick_request_parameters(request_id, instrument.min_tick))
        session.send(answers.market_data_type(request_id, subscription.kind))
        self._send_ticks(request_id, subscription)
        if snapshot or regulatory:
            session.send(answers.snapshot_end(request_id))
        else:
            self._ticks[request_id] = subscription

    def on_cancel_market_data(self, request_id: int) -> None:
        """No more ticks."""
        if self._ticks.pop(request_id, None) is None:
            raise Refused(300, f"Can't find EId with tickerId:{request_id}")

    def on_historical_data(
        self,
        request_id: int,
        contract: Contract,
        end: str,
        size: str,
        duration: str,
        regular: bool,
        what: str,
        date_format: int,
        keep: bool,
        legs: tuple[Leg, ...] = (),
    ) -> None:
        """Bars of the past; `keep` wants the last one kept up to date."""
        instrument, version = only(contract), self._session.version
        question = history.question(instrument.con_id, end, duration, size, regular, what, self._session.now)
        bars = self._market.bars(
            question.con_id, question.start, question.end, question.size, question.regular
        )
        if not bars:
            text = f"HMDS query returned no data: {instrument.symbol}@SMART {what}"
            raise Refused(162, f"Historical Market Data Service error message:{text}")
        span = (question.start, question.end)
        self._session.send(
            answers.historical_data(version, request_id, span, bars, question.size, date_format, what)
        )
        if keep:
            self._bars[request_id] = history.Kept(question, date_format, what, bars[-1])

    def on_cancel_historical_data(self, request_id: int) -> None:
        """No more updates of the last bar."""
        self._bars.pop(request_id, None)

    def on_realtime_bars(
        self, request_id: int, contract: Contract, size: int, what: str, regular: bool
    ) -> None:
        """Bars of five seconds are not made here; historical bars can be kept up to date instead."""
        raise Refused(420, "Invalid Real-time Query:Real-time bars are not available in this simulation")

    def on_cancel_realtime_bars(self, request_id: int) -> None:
        """There are none to end."""

    # -- news

    def tell(self) -> None:
        """What the market shows now, where it is not what was sent before."""
        for request_id, subscription in self._ticks.items():
            self._send_ticks(request_id, subscription)
        for request_id, kept in self._bars.items():
            for bar in kept.news(self._market, self._session.now):
                version = self._session.version
                self._session.send(
                    answers.historical_update(version, request_id, bar, kept.size, kept.style, kept.what)
                )

    def _send_ticks(self, request_id: int, subscription: Subscription) -> None:
        """TWS sends a price with its size, then the size again by itself; a size alone where only it changed."""
        delayed, send = subscription.kind == DELAYED, self._session.send
        moment = self._session.now - _DELAY if delayed else self._session.now
        quote, day = (
            self._market.quote(subscription.con_id, moment),
            self._market.day(subscription.con_id, moment),
        )
        unit = 1 if self._session.version >= 159 else 100  # before version 159 sizes are round lots
        for kind, price, size in _price_ticks(quote, day, delayed, unit):
            before = subscription.sent.get(kind)
            if before is None or before[0] != price:
                send(answers.tick_price(request_id, kind, price, size, int(kind in {1, 2})))
            if kind in _SIZE_OF and before != (price, size):
                send(answers.tick_size(request_id, _SIZE_OF[kind], size))
            subscription.sent[kind] = (price, size)
        if subscription.volume != day.volume:
            subscription.volume = day.volume
            send(answers.tick_size(request_id, 74 if delayed else 8, day.volume // unit))
            send(answers.tick_string(request_id, 88 if delayed else 45, str(int(quote.at.timestamp()))))


def _price_ticks(quote: Quote, day: Day, delayed: bool, unit: int) -> list[tuple[int, Decimal, int]]:
    """Tick types with price and size: bid, ask and last, then open, high, low and close, which have none."""
    kinds = (66, 67, 68, 76, 72, 73, 75) if delayed else (1, 2, 4, 14, 6, 7, 9)
    prices = (quote.bid, quote.ask, quote.last, day.open, day.high, day.low, day.close)
    sizes = (quote.bid_size // unit, quote.ask_size // unit, quote.last_size // unit, 0, 0, 0, 0)
    return list(zip(kinds, prices, sizes, strict=True))
