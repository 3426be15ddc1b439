"""The figures of an account as TWS lists them: (tag, value, currency) for updates, summaries and their multi-account forms."""

from datetime import datetime
from decimal import Decimal

from sim.tws.contracts import BASE
from sim.tws.ledger import Ledger

Figure = tuple[str, str, str]


def unrealized(ledger: Ledger, account: str, now: datetime) -> Decimal:
    """What the positions of an account have gained on paper, in its base currency."""
    rates = ledger.rates(account, now)
    gains = _gains(ledger, account, now)
    return sum((gain * rates[currency] for currency, gain in gains.items()), Decimal(0))


def _gains(ledger: Ledger, account: str, now: datetime) -> dict[str, Decimal]:
    """What the positions have gained on paper, by currency."""
    gains: dict[str, Decimal] = {}
    for held in ledger.held(account):
        worth = ledger.price(held.con_id, now) * held.instrument.multiplier
        gain = held.quantity * (worth - held.average_cost)
        gains[held.instrument.currency] = gains.get(held.instrument.currency, Decimal(0)) + gain
    return gains


def account_figures(ledger: Ledger, account: str, now: datetime) -> list[Figure]:
    """Every figure of an account."""
    margin, before = ledger.margin(account, now), ledger.at_close(account, now).net_liquidation
    totals = {
        "NetLiquidation": margin.net_liquidation,
        "TotalCashValue": margin.cash,
        "SettledCash": margin.cash,
        "AccruedCash": Decimal(0),
        "BuyingPower": max(margin.available, Decimal(0)) * 2,
        "EquityWithLoanValue": margin.net_liquidation,
        "PreviousEquityWithLoanValue": before,
        "PreviousDayEquityWithLoanValue": before,
        "GrossPositionValue": margin.gross_value,
        "RegTEquity": margin.net_liquidation,
        "RegTMargin": margin.initial,
        "SMA": margin.available,
        "InitMarginReq": margin.initial,
        "MaintMarginReq": margin.maintenance,
        "AvailableFunds": margin.available,
        "ExcessLiquidity": margin.excess,
        "FullInitMarginReq": margin.initial,
        "FullMaintMarginReq": margin.maintenance,
        "FullAvailableFunds": margin.available,
        "FullExcessLiquidity": margin.excess,
        "LookAheadInitMarginReq": margin.initial,
        "LookAheadMaintMarginReq": margin.maintenance,
        "LookAheadAvailableFunds": margin.available,
        "LookAheadExcessLiquidity": margin.excess,
    }
    cushion = margin.excess / margin.net_liquidation if margin.net_liquidation else Decimal(0)
    figures = [
        ("AccountCode", account, ""),
        ("AccountReady", "true", ""),
        ("AccountType", "INDIVIDUAL", ""),
        ("Currency", BASE, BASE),
        ("Cushion", f"{cushion:.6f}", ""),
        ("DayTradesRemaining", "-1", ""),
        ("HighestSeverity", "0", ""),
        ("LookAheadNextChange", "0", ""),
        *((tag, f"{value:.2f}", BASE) for tag, value in totals.items()),
    ]
    return figures + ledger_figures(ledger, account, now)


def ledger_figures(ledger: Ledger, account: str, now: datetime) -> list[Figure]:
    """The money by currency, first of all in the base currency as a whole."""
    margin, book = ledger.margin(account, now), ledger.accounts[account]
    rates, gains = ledger.rates(account, now), _gains(ledger, account, now)
    paper = sum((gain * rates[currency] for currency, gain in gains.items()), Decimal(0))
    lines = {"BASE": (margin.cash, margin.stock_value, margin.option_value, paper, book.realized, Decimal(1))}
    for currency in sorted(rates, key=lambda one: (one != BASE, one)):
        lines[currency] = (
            book.cash.get(currency, Decimal(0)),
            _worth(ledger, account, currency, now, options=False),
            _worth(ledger, account, currency, now, options=True),
            gains.get(currency, Decimal(0)),
            book.realized_in.get(currency, Decimal(0)),
            rates[currency],
        )
    figures: list[Figure] = []
    for currency, (cash, stock, options, gain, realized, rate) in lines.items():
        figures += [
            ("Currency", currency, currency),
            ("RealCurrency", BASE if currency == "BASE" else currency, currency),
            ("CashBalance", f"{cash:.2f}", currency),
            ("TotalCashBalance", f"{cash:.2f}", currency),
            ("StockMarketValue", f"{stock:.2f}", currency),
            ("OptionMarketValue", f"{options:.2f}", currency),
            ("NetLiquidationByCurrency", f"{cash + stock + options:.2f}", currency),
            ("UnrealizedPnL", f"{gain:.2f}", currency),
            ("RealizedPnL", f"{realized:.2f}", currency),
            ("ExchangeRate", f"{rate:.7f}", currency),
        ]
    return figures


def _worth(ledger: Ledger, account: str, currency: str, now: datetime, *, options: bool) -> Decimal:
    """What the shares in a currency, or the options, are worth; a pair is not among them, it is money."""
    held = [
        p
        for p in ledger.held(account)
        if p.instrument.currency == currency
        and not p.instrument.is_forex
        and p.instrument.is_option is options
    ]
    return sum(
        (p.quantity * ledger.price(p.con_id, now) * p.instrument.multiplier for p in held),
        Decimal(0),
    )


def summary(ledger: Ledger, account: str, tags: str, now: datetime) -> list[Figure]:
    """The figures that a summary asks for by comma-separated tags, `$LEDGER` and `$LEDGER:ALL` included."""
    wanted = [tag.strip() for tag in tags.split(",")]
    figures = [
        figure
        for figure in account_figures(ledger, account, now)
        if figure[0] in wanted and figure[2] in {"", BASE}
    ]
    if any(tag.startswith("$LEDGER") for tag in wanted):
        figures += ledger_figures(ledger, account, now)
    return figures


def pnl(ledger: Ledger, account: str, now: datetime) -> tuple[Decimal, Decimal, Decimal]:
    """Daily, unrealized and realized profit and loss of an account in its base currency."""
    return ledger.daily(account, now), unrealized(ledger, account, now), ledger.accounts[account].realized


def pnl_single(
    ledger: Ledger, account: str, con_id: int, now: datetime
) -> tuple[Decimal, Decimal | None, Decimal | None, Decimal | None, Decimal | None]:
    """Quantity, then daily, unrealized and realized profit and loss and value of one position, in the base currency.

    None is what is not known: everything of what was never held. The day's profit is what the position is worth, less what it was worth at
    the close before and what was paid for the change since.
    """
    held = ledger.positions.get((account, con_id))
    if held is None:
        return Decimal(0), None, None, None, None
    instrument, today = held.instrument, ledger.since_close(account, con_id, now)
    price, close = ledger.price(con_id, now), ledger.market.previous_close(con_id, now)
    rate = ledger.market.rate(instrument.currency, now)
    value = held.quantity * price * instrument.multiplier
    overnight = held.quantity - sum((one.sign * one.quantity for one in today), Decimal(0))
    paid = sum((one.sign * one.quantity * one.price for one in today), Decimal(0)) * instrument.multiplier
    fees = sum((one.commission * ledger.market.rate(one.currency, now) for one in today), Decimal(0))
    daily = (value - overnight * close * instrument.multiplier - paid) * rate - fees
    realized = held.realized * (Decimal(1) if instrument.is_forex else rate)
    return (
        held.quantity,
        daily,
        (value - held.quantity * held.average_cost) * rate,
        realized,
        value * rate,
    )
