"""What trading costs and what it ties up: IBKR's fixed commissions for shares, and margin in the manner of Regulation T."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from sim.tws.contracts import USD_PER, Instrument

CENT = Decimal("0.01")
_PER_SHARE, _LEAST, _MOST = Decimal("0.005"), Decimal("1.00"), Decimal("0.01")
_INITIAL, _MAINTENANCE, _MAINTENANCE_SHORT = Decimal("0.50"), Decimal("0.25"), Decimal("0.30")


@dataclass(frozen=True, slots=True)
class Margin:
    """An account's figures in its base currency, to the cent."""

    cash: Decimal
    stock_value: Decimal
    gross_value: Decimal
    initial: Decimal
    maintenance: Decimal

    @property
    def net_liquidation(self) -> Decimal:
        """Everything the account is worth; for shares also its equity with loan value."""
        return self.cash + self.stock_value

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
    """What an order would do to an account: the figures before and after it, and its commission."""

    before: Margin
    after: Margin
    commission: Decimal
    currency: str


def commission(quantity: Decimal, price: Decimal) -> Decimal:
    """IBKR fixed pricing for shares: 0.005 a share, at least 1.00, at most 1 % of the trade's value."""
    charge = max(quantity * _PER_SHARE, _LEAST)
    return min(charge, quantity * price * _MOST).quantize(Decimal("0.000001")).normalize() + Decimal(0)


def margin(cash: Mapping[str, Decimal], holdings: Iterable[tuple[Instrument, Decimal, Decimal]]) -> Margin:
    """The figures of an account from its cash by currency and its holdings (what, how many, at which price)."""
    money = sum((amount * USD_PER[currency] for currency, amount in cash.items()), Decimal(0))
    values = [
        quantity * price * instrument.multiplier * USD_PER[instrument.currency]
        for instrument, quantity, price in holdings
    ]
    gross = sum(map(abs, values), Decimal(0))
    maintenance = sum(
        (value * _MAINTENANCE if value > 0 else -value * _MAINTENANCE_SHORT for value in values), Decimal(0)
    )
    return Margin(
        *(cents(amount) for amount in (money, sum(values, Decimal(0)), gross, gross * _INITIAL, maintenance))
    )


def cents(amount: Decimal) -> Decimal:
    """An amount to the cent."""
    return amount.quantize(CENT, ROUND_HALF_UP)
