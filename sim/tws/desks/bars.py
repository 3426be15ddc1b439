"""Bars: of the past, kept up to date where asked, and of the last five seconds as they end; sessions and volumes of the past."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sim.tws import answers, history
from sim.tws.contracts import Instrument
from sim.tws.desks.info import only
from sim.tws.engine import Opening
from sim.tws.errors import Refused
from sim.tws.terms import Contract, Leg

if TYPE_CHECKING:
    from sim.tws.session import Session

_FIVE = 5
_SCHEDULE_SINCE = 165
"""The server version with which clients learned to read schedules."""
_MOST_AT_ONCE = 720
"""After a leap of the clock at most the bars of its last hour are told."""
_REAL_TIME = frozenset({"TRADES", "MIDPOINT", "BID", "ASK"})
_PERIODS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
    "year": 31_536_000,
}


@dataclass(slots=True)
class _Live:
    """Bars of five seconds of an instrument, and when the next one ends (seconds since 1970)."""

    instrument: Instrument
    what: str
    regular: bool
    end: int


class BarDesk:
    """Answers what was, and tells every bar that ends."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._market = session.engine.market
        self._kept: dict[int, history.Kept] = {}
        self._live: dict[int, _Live] = {}

    # -- requests

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
        """Bars of the past, or its sessions; `keep` wants the last bar kept up to date."""
        session = self._session
        instrument = only(contract, session.now)
        question = history.question(instrument, end, duration, size, regular, what, keep, session.now)
        if what == "SCHEDULE" and session.version < _SCHEDULE_SINCE:
            raise Refused(
                321, "Error validating request.-'bA' : cause - What to show 'SCHEDULE' is not available"
            )
        if what == "SCHEDULE":
            found = history.sessions(question)
            session.send(answers.schedule(session.version, request_id, instrument.time_zone, found))
            return
        bars = question.answer(self._market)
        if not bars:
            text = f"HMDS query returned no data: {instrument.local_symbol}@{instrument.exchanges[0]} {what}"
            raise Refused(162, f"Historical Market Data Service error message:{text}")
        span, volumes = (question.start, question.end), _volumes(instrument, what)
        session.send(
            answers.historical_data(
                session.version, request_id, span, bars, question.size, date_format, volumes
            )
        )
        if keep:
            self._kept[request_id] = history.Kept(question, date_format, bars[-1])

    def on_cancel_historical_data(self, request_id: int) -> None:
        """No more updates of the last bar."""
        self._kept.pop(request_id, None)

    def on_realtime_bars(
        self, request_id: int, contract: Contract, size: int, what: str, regular: bool
    ) -> None:
        """A bar every five seconds, whatever size was asked for, as TWS has it."""
        instrument = only(contract, self._session.now)
        if what not in _REAL_TIME:
            raise Refused(
                321, f"Error validating request.-'bV' : cause - What to show {what!r} is not available"
            )
        if self._session.server.data_for(instrument.symbol) != "live":
            where = f"{instrument.listing} {instrument.sec_type}"
            raise Refused(420, f"Invalid Real-time Query:No market data permissions for {where}")
        try:
            history.shown(instrument, what, _FIVE)
        except Refused:
            raise Refused(
                420, f"Invalid Real-time Query:{history.no_data(instrument, what, _FIVE)}"
            ) from None
        end = int(self._session.now.timestamp()) // _FIVE * _FIVE + _FIVE
        self._live[request_id] = _Live(instrument, what, regular, end)

    def on_cancel_realtime_bars(self, request_id: int) -> None:
        """No more of them."""
        if self._live.pop(request_id, None) is None:
            raise Refused(300, f"Can't find EId with tickerId:{request_id}")

    def on_histogram(self, request_id: int, contract: Contract, regular: bool, period: str) -> None:
        """How much was traded at each price in the time before."""
        now = self._session.now
        instrument = only(contract, now)
        match = re.fullmatch(r"(\d{1,4}) ([a-z]+?)s?", period.strip().lower())
        length = int(match[1]) * _PERIODS.get(match[2], 0) if match else 0
        if not 0 < length <= _PERIODS["year"]:
            raise Refused(321, "Error validating request.-'bO' : cause - Invalid time period")
        volumes: dict[Decimal, int] = {}
        if instrument.is_share:
            start, minute = now - timedelta(seconds=length), timedelta(minutes=1)
            for bar in self._market.bars(instrument.con_id, start, now, minute, regular):
                volumes[bar.close] = volumes.get(bar.close, 0) + bar.volume
        self._session.send(answers.histogram(request_id, sorted(volumes.items())))

    def on_cancel_histogram(self, request_id: int) -> None:
        """It was answered at once, so there is nothing to end."""

    # -- news

    def tell(self) -> None:
        """The bars that have ended or grown since."""
        now, session = self._session.now, self._session
        for request_id, kept in self._kept.items():
            question = kept.question
            volumes = _volumes(question.instrument, question.what)
            for bar in kept.news(self._market, now):
                session.send(
                    answers.historical_update(
                        session.version, request_id, bar, question.size, kept.style, volumes
                    )
                )
        for request_id, live in self._live.items():
            self._tell_live(request_id, live, now)

    def _tell_live(self, request_id: int, live: _Live, now: datetime) -> None:
        latest = int(now.timestamp()) // _FIVE * _FIVE
        live.end = max(live.end, latest - (_MOST_AT_ONCE - 1) * _FIVE)
        while live.end <= latest:
            start, end = (datetime.fromtimestamp(at, UTC) for at in (live.end - _FIVE, live.end))
            if self._trades(live, start):
                bar = self._market.bar(live.instrument.con_id, start, end, live.what)
                volumes = _volumes(live.instrument, live.what)
                self._session.send(answers.real_time_bar(request_id, bar, volumes))
            live.end += _FIVE

    def _trades(self, live: _Live, moment: datetime) -> bool:
        """Whether there are bars at a moment: always where the exchange is always open, else in its sessions."""
        opening = self._session.engine.rules.opening
        by_hours = opening is Opening.HOURS and live.instrument.calendar.is_open(moment, live.regular)
        return opening is Opening.OPEN or by_hours


def _volumes(instrument: Instrument, what: str) -> bool | None:
    """Whether bars have volumes; None for the trades of an index, which have none."""
    trades = what in {"TRADES", "ADJUSTED_LAST"}
    return None if trades and instrument.is_index else trades
