"""Single ticks: every trade, quote or midpoint as it comes, and those of the past. There are four of them a second."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from sim.tws import answers, history
from sim.tws.bars import TICK
from sim.tws.contracts import Instrument
from sim.tws.desks.info import only
from sim.tws.engine import Opening
from sim.tws.errors import Refused
from sim.tws.market import Quote
from sim.tws.terms import Contract

if TYPE_CHECKING:
    from sim.tws.session import Session

_KINDS = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}
_PAST = {"Last": "TRADES", "AllLast": "TRADES", "BidAsk": "BID_ASK", "MidPoint": "MIDPOINT"}
_MOST, _MOST_LOOKS = 1_000, 40_000
_MOST_AT_ONCE = timedelta(minutes=1)
"""After a leap of the clock at most the ticks of its last minute are told."""


@dataclass(slots=True)
class _Stream:
    """Ticks of an instrument by kind, and the last one told."""

    instrument: Instrument
    kind: str
    only_prices: bool
    last: Quote


class TickDesk:
    """Tells a client every single tick."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._market = session.engine.market
        self._streams: dict[int, _Stream] = {}

    # -- requests

    def on_tick_by_tick(
        self, request_id: int, contract: Contract, kind: str, ticks: int, ignore_size: bool
    ) -> None:
        """Every tick from now on; `ticks` of the past first where there are to be some."""
        now = self._session.now
        instrument = only(contract, now)
        if kind not in _KINDS:
            raise Refused(
                321, f"Error validating request.-'cc' : cause - Incorrect tick type {kind!r}: Last, AllLast, BidAsk or MidPoint"
            )  # fmt: skip
        missing = instrument.is_forex and kind in {"Last", "AllLast"}
        missing = missing or instrument.is_option  # which IB has of the past only
        if missing or (instrument.is_index and kind in {"BidAsk", "MidPoint"}):
            text = f"{kind} tick-by-tick requests are not supported for {instrument.local_symbol}."
            raise Refused(10189, f"Failed to request tick-by-tick data.{text}")
        if self._session.server.data_for(instrument.symbol) != "live":
            where = f"{instrument.listing} {instrument.sec_type}"
            raise Refused(
                10189, f"Failed to request tick-by-tick data.No market data permissions for {where}"
            )
        if ticks > 0:
            self._send_past(request_id, instrument, None, now, min(ticks, _MOST), _PAST[kind], False, ignore_size)  # fmt: skip
        self._streams[request_id] = _Stream(
            instrument, kind, ignore_size, self._market.quote(instrument.con_id, now)
        )

    def on_cancel_tick_by_tick(self, request_id: int) -> None:
        """No more of them."""
        if self._streams.pop(request_id, None) is None:
            raise Refused(300, f"Can't find EId with tickerId:{request_id}")

    def on_historical_ticks(
        self,
        request_id: int,
        contract: Contract,
        start: str,
        end: str,
        ticks: int,
        what: str,
        regular: bool,
        ignore_size: bool,
    ) -> None:
        """Ticks of the past, from a moment on or up to one."""
        now = self._session.now
        instrument = only(contract, now)
        if what not in {"TRADES", "BID_ASK", "MIDPOINT"}:
            raise Refused(
                321, f"Error validating request.-'cb' : cause - What to show {what!r} is not available"
            )
        if bool(start) == bool(end) or not 0 < ticks <= _MOST:
            text = "Either a start or an end is needed, and a number of ticks from 1 to 1000"
            raise Refused(321, f"Error validating request.-'cb' : cause - {text}")
        history.shown(instrument, what, 1)
        first = max(history.parse_moment(start), history.FIRST) if start else None
        last = max(min(history.parse_moment(end), now), history.FIRST) if end else now
        self._send_past(request_id, instrument, first, last, ticks, what, regular, ignore_size)

    # -- news

    def tell(self) -> None:
        """The ticks since."""
        for request_id, stream in self._streams.items():
            number = _KINDS[stream.kind]
            start = max(stream.last.at, self._session.now - _MOST_AT_ONCE)
            for at in _moments(start, forward=True):
                if at > self._session.now:
                    break
                quote = self._market.quote(stream.instrument.con_id, at)
                if self._trades(stream.instrument, at) and _new(
                    _PAST[stream.kind], stream.last, quote, stream.only_prices
                ):
                    exchange = _exchange(stream.instrument)
                    self._session.send(answers.tick_by_tick(request_id, number, quote, exchange))
                stream.last = quote

    def _send_past(
        self,
        request_id: int,
        instrument: Instrument,
        start: datetime | None,
        end: datetime,
        wanted: int,
        what: str,
        regular: bool,
        only_prices: bool,
    ) -> None:
        """Ticks after `start`, or where there is none the last ones before `end`."""
        found: list[Quote] = []
        before: Quote | None = None
        for at in _moments(start or end, forward=start is not None, looks=_MOST_LOOKS):
            if at > end or len(found) == wanted:
                break
            if not instrument.calendar.is_open(at, regular) or self._market.halted(instrument.con_id, at):
                continue
            quote = self._market.quote(instrument.con_id, at)
            if before is None or _new(what, before, quote, only_prices):
                found.append(quote)
            before = quote
        if start is None:
            found.reverse()
        if what == "TRADES":
            message = answers.past_trades(request_id, found, _exchange(instrument), True)
        else:
            write = answers.past_quotes if what == "BID_ASK" else answers.past_midpoints
            message = write(request_id, found, True)
        self._session.send(message)

    def _trades(self, instrument: Instrument, moment: datetime) -> bool:
        """Whether there is a market in an instrument at a moment: the exchange is open, and it is not halted."""
        opening = self._session.engine.rules.opening
        by_hours = opening is Opening.HOURS and instrument.calendar.is_open(moment, regular=False)
        is_open = opening is Opening.OPEN or by_hours
        return is_open and not self._market.halted(instrument.con_id, moment)


def _moments(start: datetime, forward: bool, looks: int | None = None) -> Iterator[datetime]:
    """The moments of ticks after one, or from one back."""
    first = int(start.timestamp() / TICK)
    for step in count(1) if looks is None else range(looks):
        number = first + step if forward else first - step
        yield datetime.fromtimestamp(number * TICK, UTC)


def _new(what: str, before: Quote, quote: Quote, only_prices: bool) -> bool:
    """Whether a tick says something that the one before it did not; every trade does."""
    if what == "TRADES":
        return True
    if what == "MIDPOINT":
        return before.middle != quote.middle
    return not only_prices or (before.bid, before.ask) != (quote.bid, quote.ask)


def _exchange(instrument: Instrument) -> str:
    return instrument.primary_exchange if instrument.is_share else ""
