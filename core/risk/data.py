"""Whether the price is one to go by."""

from datetime import timedelta
from decimal import Decimal

from core.ib_messages import in_reset_window
from core.model import Denial, Mode, OrderType, Ticket
from core.risk.terms import Limits, Snapshot
from core.sessions import parse

HUNDRED = Decimal(100)


def price_known(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """There is a quote, it is two-sided where it matters, not crossed, and fresh."""
    quote, symbol = snapshot.quote, ticket.instrument.symbol
    far = quote.far_side(ticket.side) if quote else None
    if quote is None or far is None or far <= 0:
        return Denial(
            "PRICE_UNKNOWN",
            f"There is no price for {symbol} now, so nothing can be valued.",
            remedy="check the market data subscription and the trading hours",
        )
    if quote.bid is not None and quote.ask is not None and quote.bid > quote.ask:
        return Denial(
            "QUOTE_CROSSED",
            f"The quote of {symbol} is crossed.",
            f"{quote.bid:f} / {quote.ask:f}",
            "bid below ask",
        )
    age = snapshot.now - quote.time
    if age < timedelta(seconds=-limits.max_quote_age_seconds):
        return Denial(
            "QUOTE_TIME",
            f"The last quote of {symbol} is from the future: a clock is wrong.",
            f"{-age.total_seconds():.0f} s ahead",
            "now",
        )
    if age > timedelta(seconds=limits.max_quote_age_seconds):
        return Denial(
            "QUOTE_OLD",
            f"The last quote of {symbol} is too old.",
            f"{age.total_seconds():.0f} s",
            f"{limits.max_quote_age_seconds:.0f} s",
            "try again",
        )
    return None


def delayed_data(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """With real money, delayed prices allow exits and hand-priced limits only. Paper trades on them with a mark on the card."""
    if snapshot.link.mode is not Mode.LIVE or snapshot.quote is None or not snapshot.quote.delayed:
        return None
    if ticket.order_type is OrderType.LIMIT:
        return None
    return Denial(
        "DELAYED",
        "The prices are delayed, so an entry needs a limit that you set by hand.",
        remedy="@ with your price",
    )


def spread(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """Bid and ask are near enough to each other to be a market: an entry at market into a wide one pays half of it at once."""
    quote = snapshot.quote
    if quote is None or quote.bid is None or quote.ask is None or quote.bid + quote.ask <= 0:
        return Denial(
            "SPREAD", f"Bid and ask of {ticket.instrument.symbol} are not both known.", remedy="try again"
        )
    if quote.bid >= quote.ask:
        return Denial(
            "SPREAD",
            f"The bid of {ticket.instrument.symbol} is not below its ask.",
            f"{quote.bid:f} / {quote.ask:f}",
            "bid below ask",
            "try again",
        )
    wide = (quote.ask - quote.bid) * 2 * HUNDRED / (quote.bid + quote.ask)
    if wide <= limits.max_spread_percent:
        return None
    return Denial(
        "SPREAD",
        f"Bid and ask of {ticket.instrument.symbol} lie far apart: {quote.bid:f} / {quote.ask:f}.",
        f"{wide:.2f} %",
        f"{limits.max_spread_percent:f} %",
        "wait for a market, or raise MAX_SPREAD_PERCENT",
    )


def jump(ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The price has not jumped since the last close: either the quote is wrong, or there is news that a person should read first."""
    price = snapshot.quote.far_side(ticket.side) if snapshot.quote else None
    close = snapshot.quote.close if snapshot.quote else None
    if price is None or close is None or close <= 0:
        return Denial(
            "JUMP",
            f"Whether the price of {ticket.instrument.symbol} has jumped cannot be told: its last close is not known.",
            remedy="try again in a few seconds",
        )
    moved = abs(price - close) * HUNDRED / close
    if moved <= limits.max_jump_percent:
        return None
    return Denial(
        "JUMP",
        f"{ticket.instrument.symbol} is far from its last close of {close:f}.",
        f"{moved:.1f} %",
        f"{limits.max_jump_percent:f} %",
        "read the news, then raise MAX_JUMP_PERCENT for it",
    )


def session(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """A market order into a closed market would trade at the next opening, at a price that nobody has seen. A limit may wait for it."""
    if ticket.order_type is not OrderType.MARKET:
        return None
    instrument = ticket.instrument
    if parse(instrument.hours, instrument.time_zone).is_open(snapshot.now):
        return None
    return Denial(
        "SESSION",
        f"The market of {instrument.symbol} is closed, or its hours are not known: at market it would trade at an unseen price.",
        remedy="a limit, e.g. @ 187.50, which waits for the opening",
    )


def exchange_halt(ticket: Ticket, snapshot: Snapshot, _limits: Limits) -> Denial | None:
    """The exchange lets it trade."""
    if snapshot.quote is None or not snapshot.quote.halted:
        return None
    return Denial(
        "HALTED_BY_EXCHANGE",
        f"The exchange has halted {ticket.instrument.symbol}.",
        remedy="the same when it trades again",
    )


def reset_window(_ticket: Ticket, snapshot: Snapshot, limits: Limits) -> Denial | None:
    """The broker is not restarting its servers, or the owner sends then all the same."""
    if limits.entries_in_reset_window or not in_reset_window(snapshot.now):
        return None
    return Denial(
        "RESET_WINDOW",
        "Interactive Brokers restarts its servers now (23:45 to 00:45 New York, from Friday 23:00 to 03:00), so no entry is sent.",
        remedy="the same after it, or ENTRIES_IN_RESET_WINDOW",
    )
