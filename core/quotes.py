"""Live prices on the line to the broker: one stream for each instrument that somebody looks at, kept for as long as they do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import ib_async as ib

from core import ib_mapping, ib_messages
from core.errors import BrokerError, NoAnswer, Refused
from core.model import BrokerMessage, Instrument, Quote
from core.ports import Clock
from core.wire import Budget, Line

FIRST_QUOTE_SECONDS = 4.0
CLOSE_SECONDS = 1.0
NO_HARM_TO_DATA = frozenset(
    {10167, 10090, *range(2100, 2200)}
)  # "delayed instead", and notices about data farms


@dataclass(slots=True)
class Stream:
    """The ticks of an instrument, `first` its first two-sided quote or the broker's refusal; idle after `until` (monotonic seconds)."""

    line: Line
    ticker: ib.Ticker
    contract: ib.Contract
    request_id: int
    first: "asyncio.Future[Quote]"
    until: float = 0.0
    waits: bool = False
    heard: datetime | None = None

    def quote(self) -> Quote | None:
        """The top of the book; None before the first tick."""
        return None if self.heard is None else ib_mapping.quote(self.ticker, self.heard)

    def fail(self, why: BrokerError) -> None:
        """Tell whoever waits for the first quote."""
        if not self.first.done():
            self.first.set_exception(why)
            self.first.exception()  # somebody may no longer wait: not worth a complaint of the loop


class Quotes:
    """The streams by con_id. `line` is the connection as it is now; it raises NotConnected where there is none."""

    def __init__(self, line: Callable[[], Line], budget: Budget, clock: Clock) -> None:
        self._line, self._budget, self._clock = line, budget, clock
        self._streams: dict[int, Stream] = {}

    def seen(self, con_id: int) -> Quote | None:
        """The quote of an instrument whose stream runs anyway."""
        stream = self._streams.get(con_id)
        return stream.quote() if stream else None

    async def quote(self, instrument: Instrument, max_age_seconds: float, keep_seconds: float) -> Quote:
        """A quote no older than `max_age_seconds`, kept subscribed for `keep_seconds`. Raises Refused, NoAnswer or NotConnected."""
        self._line()
        until = self._clock.monotonic() + keep_seconds
        stream = self._streams.get(instrument.con_id)
        if stream is not None and stream.first.done():
            quote = stream.quote()
            age = self._clock.now() - quote.time if quote else None
            if quote and age is not None and age.total_seconds() <= max_age_seconds:
                stream.until = max(stream.until, until)
                return quote
            # A quiet stock may not tick for minutes; asking anew brings the standing quote at once.
            self.end(instrument.con_id)
            stream = None
        if stream is None:
            await self._budget.wait()
            stream = self._streams.get(instrument.con_id) or self._begin(instrument)
        stream.until = max(stream.until, until)
        try:
            async with asyncio.timeout(FIRST_QUOTE_SECONDS):
                return await asyncio.shield(stream.first)
        except TimeoutError:
            partial = stream.quote()
            self.end(instrument.con_id)
            if partial is not None and (partial.bid or partial.ask or partial.last):
                return partial
            raise NoAnswer(
                f"No price for {instrument.symbol} came within {FIRST_QUOTE_SECONDS:.0f} s. "
                "Is the market open, and does the account have its market data?"
            ) from None

    def _begin(self, instrument: Instrument) -> Stream:
        line, contract = self._line(), ib_mapping.contract(instrument)
        ticker = line.reqMktData(contract)
        first: asyncio.Future[Quote] = asyncio.get_running_loop().create_future()
        request_id = line.wrapper.ticker2ReqId["mktData"][ticker]
        made = self._streams[instrument.con_id] = Stream(line, ticker, contract, request_id, first)

        def settle() -> None:
            if not first.done() and (seen := made.quote()) and seen.bid and seen.ask:
                first.set_result(seen)

        def look(_ticker: ib.Ticker) -> None:
            made.heard = self._clock.now()
            if first.done() or not (seen := made.quote()) or not (seen.bid and seen.ask):
                return
            if seen.close is not None:
                settle()
            elif not made.waits:
                made.waits = (
                    True  # the close of the session before comes behind the first prices, where there is one
                )
                asyncio.get_running_loop().call_later(CLOSE_SECONDS, settle)

        ticker.updateEvent += look
        return made

    def end(self, con_id: int) -> None:
        """Nobody looks at it any more."""
        gone = self._streams.pop(con_id, None)
        if gone is not None and gone.line.isConnected():
            gone.line.cancelMktData(gone.contract)
            gone.line.wrapper.tickers.pop(hash(gone.contract), None)

    def end_idle(self) -> None:
        """End the streams whose time is over."""
        now = self._clock.monotonic()
        for con_id in [c for c, s in self._streams.items() if s.until < now]:
            self.end(con_id)

    def end_all(self) -> None:
        """The broker has forgotten all of them, though the socket holds: they are asked anew when they are wanted."""
        for con_id in list(self._streams):
            self.end(con_id)

    def lost(self, why: BrokerError) -> None:
        """The connection is gone, and with it every stream."""
        for stream in self._streams.values():
            stream.fail(why)
        self._streams.clear()

    def hear(self, message: BrokerMessage) -> None:
        """What the broker says about a stream: what is no mere notice ends it."""
        for con_id, stream in list(self._streams.items()):
            if stream.request_id == message.request_id and message.code not in NO_HARM_TO_DATA:
                stream.fail(Refused(message.code, ib_messages.plain_words(message.code, message.text)))
                del self._streams[con_id]
