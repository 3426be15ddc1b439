"""Live prices on the line to the broker: one stream for each instrument that somebody looks at, kept for as long as they do."""

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import ib_async as ib

from core import ib_mapping, ib_messages
from core.errors import BrokerError, NoAnswer, Refused
from core.model import BrokerMessage, Dividend, Instrument, OptionQuote, Quote
from core.ports import Clock
from core.wire import RESERVED_FOR_ORDERS, Budget, Line

FIRST_QUOTE_SECONDS = 4.0
CLOSE_SECONDS = 1.0
GREEKS_SECONDS = 1.2  # after the first of several options has its prices: the others are not waited for
INTEREST_SECONDS = 0.2  # open interest comes behind the prices, and a card does not hang on it
DIVIDEND_SECONDS = 0.5
DIVIDEND_KEEP_SECONDS = 10.0
UNTOLD_SECONDS = 600.0  # how long a dividend that was not told is not asked for again
MOST_LINES = 60  # of the hundred that an account has
MORE_TICKS = {"STK": "456", "OPT": "101"}  # beside the prices: the next dividend, the open interest
BAD_REQUEST = 321
NO_HARM_TO_DATA = frozenset(
    {10167, 10090, *range(2100, 2200)}
)  # "delayed instead", and notices about data farms


@dataclass(slots=True)
class Stream:
    """The ticks of an instrument, `first` its first two-sided quote or the broker's refusal; idle after `until` (monotonic seconds).

    `over` says why it ended by itself. While it has `watchers`, who are told of every tick, it is not ended to make room.
    """

    line: Line
    ticker: ib.Ticker
    instrument: Instrument
    contract: ib.Contract
    request_id: int
    first: "asyncio.Future[Quote]"
    until: float = 0.0
    begun: float = 0.0
    waits: bool = False
    plain: bool = False
    heard: datetime | None = None
    over: BrokerError | None = None
    watchers: list[asyncio.Event] = field(default_factory=list)

    def quote(self) -> Quote | None:
        """The top of the book; None before the first tick."""
        return None if self.heard is None else ib_mapping.quote(self.ticker, self.heard)

    def option_quote(self) -> OptionQuote | None:
        """The same with the Greeks of the broker's model; None where it was refused, too."""
        if self.heard is None or self.over is not None:
            return None
        return ib_mapping.option_quote(self.ticker, self.instrument.option, self.heard)

    @property
    def has_sides(self) -> bool:
        """Whether both sides were told, if only that nobody quotes them."""
        return not (math.isnan(self.ticker.bid) or math.isnan(self.ticker.ask))

    @property
    def has_greeks(self) -> bool:
        """Whether the broker's model has spoken."""
        return self.ticker.modelGreeks is not None

    @property
    def has_interest(self) -> bool:
        """Whether the open interest was told."""
        return not (math.isnan(self.ticker.callOpenInterest) and math.isnan(self.ticker.putOpenInterest))

    def wake(self) -> None:
        """Tell whoever watches it."""
        for watcher in self.watchers:
            watcher.set()

    def fail(self, why: BrokerError) -> None:
        """It has ended: tell whoever waits for it."""
        self.over = why
        if not self.first.done():
            self.first.set_exception(why)
            self.first.exception()  # somebody may no longer wait: not worth a complaint of the loop
        self.wake()


class Quotes:
    """The streams by con_id. `line` is the connection as it is now; it raises NotConnected where there is none."""

    def __init__(self, line: Callable[[], Line], budget: Budget, clock: Clock) -> None:
        self._line, self._budget, self._clock = line, budget, clock
        self._streams: dict[int, Stream] = {}
        self._dividends: dict[int, tuple[date, float, Dividend | None]] = {}
        self._plain: set[str] = set()  # the kinds of which this broker tells prices alone

    def seen(self, con_id: int) -> Quote | None:
        """The quote of an instrument whose stream runs anyway."""
        stream = self._streams.get(con_id)
        return stream.quote() if stream else None

    async def quote(self, instrument: Instrument, max_age_seconds: float, keep_seconds: float) -> Quote:
        """A quote no older than `max_age_seconds`, kept subscribed for `keep_seconds`. Raises Refused, NoAnswer or NotConnected."""
        self._line()
        until = self._clock.monotonic() + keep_seconds
        stream = await self._stream(instrument, max_age_seconds, [instrument.con_id])
        stream.until = max(stream.until, until)
        waiting = asyncio.Event()
        stream.watchers.append(waiting)
        try:
            async with asyncio.timeout(FIRST_QUOTE_SECONDS):
                await asyncio.shield(stream.first)
        except TimeoutError:
            if stream.watchers == [waiting]:
                self._budget.note()
                self._end(stream)
            partial = stream.quote()
            if partial is not None and (partial.bid or partial.ask or partial.last):
                return partial
            raise NoAnswer(
                f"No price for {instrument.label} came within {FIRST_QUOTE_SECONDS:.0f} s. "
                "Is the market open, and does the account have its market data?"
            ) from None
        finally:
            stream.watchers.remove(waiting)
        return stream.quote() or stream.first.result()

    async def option_quotes(
        self, instruments: Sequence[Instrument], max_age_seconds: float, keep_seconds: float
    ) -> tuple[OptionQuote | None, ...]:
        """The markets of several options, asked together and none held up by another; None for one of which nothing came.

        Raises NotConnected, and what the broker refused with where he refused all of them.
        """
        distinct = list({of.con_id: of for of in instruments}.values())
        found: dict[int, OptionQuote | None] = {}
        refused: list[BrokerError] = []
        for begin in range(0, len(distinct), MOST_LINES):
            streams = await self._together(
                distinct[begin : begin + MOST_LINES], max_age_seconds, keep_seconds
            )
            found |= {con_id: stream.option_quote() for con_id, stream in streams.items()}
            refused += [stream.over for stream in streams.values() if stream.over is not None]
        if refused and len(refused) == len(distinct):
            raise refused[0]
        return tuple(found[of.con_id] for of in instruments)

    async def _together(
        self, instruments: Sequence[Instrument], max_age_seconds: float, keep_seconds: float
    ) -> dict[int, Stream]:
        """Their streams, as far as they got in the time that there is."""
        self._line()
        until, watcher = self._clock.monotonic() + keep_seconds, asyncio.Event()
        wanted = [of.con_id for of in instruments]
        streams: dict[int, Stream] = {}
        try:
            for of in instruments:
                stream = streams[of.con_id] = await self._stream(of, max_age_seconds, wanted)
                stream.until = max(stream.until, until)
                stream.watchers.append(watcher)
            every = list(streams.values())
            if await _until(
                watcher,
                lambda: all(s.over or (s.has_sides and s.has_greeks) for s in every),
                FIRST_QUOTE_SECONDS,
                lambda: any(s.has_sides for s in every),
                GREEKS_SECONDS,
            ):
                await _until(watcher, lambda: all(s.over or s.has_interest for s in every), INTEREST_SECONDS)
        finally:
            for stream in streams.values():
                if watcher in stream.watchers:
                    stream.watchers.remove(watcher)
        return streams

    async def dividend(self, underlying: Instrument) -> Dividend | None:
        """The next dividend of a share, which the broker tells beside its prices once a day; None where he tells none. Raises NotConnected."""
        self._line()
        now, today = self._clock.monotonic(), self._clock.now().date()
        known = self._dividends.get(underlying.con_id)
        if known is not None and known[0] == today and now < known[1]:
            return known[2]
        stream, watcher = await self._stream(underlying, math.inf, [underlying.con_id]), asyncio.Event()
        stream.until = max(stream.until, now + DIVIDEND_KEEP_SECONDS)
        stream.watchers.append(watcher)
        try:
            left = DIVIDEND_SECONDS - (self._clock.monotonic() - stream.begun)
            await _until(
                watcher, lambda: stream.ticker.dividends is not None or stream.over is not None, left
            )
        finally:
            stream.watchers.remove(watcher)
        told = stream.ticker.dividends
        found = ib_mapping.dividend(told)
        if found is not None and found.ex_date < today:
            found = None
        if stream.over is None:
            until = math.inf if told is not None else self._clock.monotonic() + UNTOLD_SECONDS
            self._dividends[underlying.con_id] = today, until, found
        return found

    async def _stream(
        self, instrument: Instrument, max_age_seconds: float, wanted: Collection[int]
    ) -> Stream:
        """The stream of an instrument, begun where there is none whose last tick is young enough; lines that are not `wanted` may go for it."""
        stream = self._streams.get(instrument.con_id)
        if stream is not None and self._stale(stream, max_age_seconds):
            # A quiet instrument may not tick for minutes; asking anew brings the standing quote at once.
            await self._budget.wait()
            self._end(stream)
        if instrument.con_id not in self._streams:
            await self._make_room(wanted)
            await self._budget.wait()
        return self._streams.get(instrument.con_id) or self._begin(instrument)

    def _stale(self, stream: Stream, max_age_seconds: float) -> bool:
        beginning = self._clock.monotonic() - stream.begun < FIRST_QUOTE_SECONDS
        if stream.heard is None or (beginning and not stream.first.done() and not stream.has_sides):
            return False  # somebody has just begun it and waits for it
        return (self._clock.now() - stream.heard).total_seconds() > max_age_seconds

    async def _make_room(self, wanted: Collection[int]) -> None:
        """Before one more line: end those that were to end first, as long as there are too many and nobody waits for them."""
        while len(self._streams) >= MOST_LINES and self._idlest(wanted) is not None:
            await self._budget.wait()
            if len(self._streams) >= MOST_LINES and (idlest := self._idlest(wanted)) is not None:
                self._end(idlest)

    def _idlest(self, wanted: Collection[int]) -> Stream | None:
        free = [s for con_id, s in self._streams.items() if con_id not in wanted and not s.watchers]
        return min(free, key=lambda s: s.until, default=None)

    def _begin(self, instrument: Instrument) -> Stream:
        line, contract = self._line(), ib_mapping.contract(instrument)
        first: asyncio.Future[Quote] = asyncio.get_running_loop().create_future()
        made = Stream(line, ib.Ticker(), instrument, contract, 0, first)
        made.begun = self._clock.monotonic()
        self._streams[instrument.con_id] = made
        self._listen(made, "" if instrument.kind in self._plain else MORE_TICKS.get(instrument.kind, ""))
        return made

    def _listen(self, made: Stream, more: str) -> None:
        """Ask for the ticks of a stream, and for `more` than its prices."""
        made.plain, first = not more, made.first
        made.ticker = made.line.reqMktData(made.contract, more)
        made.request_id = made.line.wrapper.ticker2ReqId["mktData"][made.ticker]

        def settle() -> None:
            if not first.done() and (seen := made.quote()) and seen.bid and seen.ask:
                first.set_result(seen)

        def look(_ticker: ib.Ticker) -> None:
            made.heard = self._clock.now()
            made.wake()
            if first.done() or not (seen := made.quote()) or not (seen.bid and seen.ask):
                return
            if seen.close is not None:
                settle()
            elif not made.waits:
                made.waits = (
                    True  # the close of the session before comes behind the first prices, where there is one
                )
                asyncio.get_running_loop().call_later(CLOSE_SECONDS, settle)

        made.ticker.updateEvent += look

    def _end(self, stream: Stream) -> None:
        """Nobody looks at it any more. Costs a message, which the caller has counted."""
        if self._has(stream):
            self._drop(stream)
            if stream.line.isConnected():
                stream.line.client.cancelMktData(stream.request_id)

    def _has(self, stream: Stream) -> bool:
        return self._streams.get(stream.instrument.con_id) is stream

    def _drop(self, stream: Stream) -> None:
        """Forget it, here and in ib_async's books, where the next stream would find its prices and take them for its own."""
        del self._streams[stream.instrument.con_id]
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        wrapper = stream.line.wrapper
        if wrapper.tickers.get(hash(stream.contract)) is stream.ticker:
            del wrapper.tickers[hash(stream.contract)]
        wrapper.endTicker(stream.ticker, "mktData")

    async def end_idle(self) -> None:
        """End the streams whose time is over, as fast as the broker's limit lets them."""
        for stream in list(self._streams.values()):
            if self._is_idle(stream):
                await self._budget.wait()
                if self._is_idle(stream):
                    self._end(stream)

    def _is_idle(self, stream: Stream) -> bool:
        return self._has(stream) and not stream.watchers and stream.until < self._clock.monotonic()

    def end_all(self) -> None:
        """The broker has forgotten all of them, though the socket holds: they are asked anew when they are wanted."""
        for stream in list(self._streams.values()):
            self._drop(stream)

    def lost(self, why: BrokerError) -> None:
        """The connection is gone, and with it every stream."""
        for stream in self._streams.values():
            stream.fail(why)
        self._streams.clear()
        self._plain.clear()

    def hear(self, message: BrokerMessage) -> None:
        """What the broker says about a stream: what is no mere notice ends it. Where what was asked beside prices is refused, prices are asked alone."""
        for stream in list(self._streams.values()):
            if stream.request_id != message.request_id or message.code in NO_HARM_TO_DATA:
                continue
            again = message.code == BAD_REQUEST and not stream.plain and stream.line.isConnected()
            if again:
                self._plain.add(stream.instrument.kind)
            if again and self._budget.room > RESERVED_FOR_ORDERS:
                self._forget(stream)
                self._budget.note()
                self._listen(stream, "")
            else:
                self._drop(stream)
                stream.fail(Refused(message.code, ib_messages.plain_words(message.code, message.text)))


async def _until(
    watcher: asyncio.Event,
    enough: Callable[[], bool],
    seconds: float,
    begun: Callable[[], bool] = lambda: False,
    seconds_then: float = math.inf,
) -> bool:
    """Wait, looking at every tick, until there is `enough`: so many `seconds`, and so many from when it has `begun`. Whether there was."""
    loop = asyncio.get_running_loop()
    end, counted = loop.time() + seconds, False
    while not enough():
        if not counted and begun():
            end, counted = min(end, loop.time() + seconds_then), True
        watcher.clear()
        try:
            async with asyncio.timeout_at(end):
                await watcher.wait()
        except TimeoutError:
            return enough()
    return True
