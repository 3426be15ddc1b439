"""What trading costs and what it ties up: IBKR's commissions for shares, options and currencies, and margin in the manner of Regulation T."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from sim.tws import optionmargin
from sim.tws.contracts import BASE, Instrument

CENT = Decimal("0.01")
_PER_SHARE, _LEAST, _MOST = Decimal("0.005"), Decimal("1.00"), Decimal("0.01")
_PER_CONTRACT = Decimal("0.65")
_OF_FOREX, _LEAST_FOREX, _FOREX_MARGIN = Decimal("0.00002"), Decimal("2.00"), Decimal("0.025")
_INITIAL, _MAINTENANCE, _MAINTENANCE_SHORT = Decimal("0.50"), Decimal("0.25"), Decimal("0.30")


@dataclass(frozen=True, slots=True)
class Margin:
    """An account's figures in its base currency, to the cent."""

    cash: Decimal
    stock_value: Decimal
    gross_value: Decimal
    initial: Decimal
    maintenance: Decimal
    option_value: Decimal = Decimal(0)

    @property
    def net_liquidation(self) -> Decimal:
        """Everything the account is worth; for shares also its equity with loan value."""
        return self.cash + self.stock_value + self.option_value

    @property
    def available(self) -> Decimal:
        """What new positions may still tie up."""
        return self.net_liquidation - self.initial

    @property
    def excess(self) -> Decimal:
        """How far the account is from a liquidation."""
        return self.net_liquidation - self.maintenance


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would do to an account: the figures before and after it, and its commission in its currency."""

    before: Margin
    after: Margin
    commission: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Trade:
    """So many of an instrument (negative: sold) at a price for a commission."""

    instrument: Instrument
    change: Decimal
    price: Decimal
    fee: Decimal


def commission(
    instrument: Instrument, quantity: Decimal, price: Decimal, rate: Decimal, leg: bool = False
) -> Decimal:
    """What an order costs, in the currency of `fee_currency`. `rate` is what one unit of the instrument's currency is worth in the base.

    Shares: 0.005 each, at least 1.00, at most 1 % of the trade's value. Currencies: 0.2 basis points of the trade's value, at least 2.00.
    Options: 0.65 a contract, at least 1.00, unless they are a leg: then the order as a whole has reached that.
    """
    if instrument.is_forex:
        charge = max(quantity * price * rate * _OF_FOREX, _LEAST_FOREX)
    elif instrument.is_option:
        charge = max(quantity * _PER_CONTRACT, Decimal(0) if leg else _LEAST)
    else:
        charge = min(max(quantity * _PER_SHARE, _LEAST), quantity * price * _MOST)
    return charge.quantize(Decimal("0.000001")).normalize() + Decimal(0)


def fee_currency(instrument: Instrument) -> str:
    """The currency in which its commissions are charged: for a pair the base currency."""
    return BASE if instrument.is_forex else instrument.currency


def flows(instrument: Instrument, change: Decimal, price: Decimal, fee: Decimal) -> dict[str, Decimal]:
    """The money that moves, by currency, when `change` of an instrument (negative: a sale) is traded at a price."""
    moved = {instrument.currency: -change * price * instrument.multiplier}
    if instrument.is_forex:
        moved[instrument.symbol] = change
    charged = fee_currency(instrument)
    moved[charged] = moved.get(charged, Decimal(0)) - fee
    return moved


def margin(
    cash: Mapping[str, Decimal],
    holdings: Iterable[tuple[Instrument, Decimal, Decimal]],
    rates: Mapping[str, Decimal],
    spots: Mapping[int, Decimal] | None = None,
) -> Margin:
    """The figures of an account from its cash by currency, its holdings (what, how many, at which price) and the rates of their currencies.

    A pair that is held is money in two currencies already, so only the money counts; each currency but the base one ties up a little.
    `spots` are the prices of what the options are on, by its id.
    """
    holdings = list(holdings)
    money = sum((amount * rates[currency] for currency, amount in cash.items()), Decimal(0))
    worth = [
        (instrument, quantity * price * instrument.multiplier * rates[instrument.currency])
        for instrument, quantity, price in holdings
        if not instrument.is_forex
    ]
    values = [value for instrument, value in worth if not instrument.is_option]
    options = [value for instrument, value in worth if instrument.is_option]
    gross = sum(map(abs, values), Decimal(0))
    maintenance = sum(
        (value * _MAINTENANCE if value > 0 else -value * _MAINTENANCE_SHORT for value in values), Decimal(0)
    )
    abroad = sum(
        (abs(amount) * rates[currency] for currency, amount in cash.items() if currency != BASE), Decimal(0)
    )
    tied = abroad * _FOREX_MARGIN + optionmargin.requirement(holdings, spots or {})
    return Margin(
        *(
            cents(amount)
            for amount in (
                money,
                sum(values, Decimal(0)),
                gross + sum(map(abs, options), Decimal(0)),
                gross * _INITIAL + tied,
                maintenance + tied,
                sum(options, Decimal(0)),
            )
        )
    )


def cents(amount: Decimal) -> Decimal:
    """An amount to the cent."""
    return amount.quantize(CENT, ROUND_HALF_UP)
