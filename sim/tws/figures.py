"""The figures of an account as TWS lists them: (tag, value, currency) for updates, summaries and their multi-account forms."""

from datetime import datetime
from decimal import Decimal

from sim.tws.contracts import USD_PER
from sim.tws.ledger import Ledger
from sim.tws.money import cents

BASE = "USD"
Figure = tuple[str, str, str]


def unrealized(ledger: Ledger, account: str, now: datetime) -> Decimal:
    """What the positions of an account have gained on paper, in its base currency."""
    total = Decimal(0)
    for held in ledger.held(account):
        instrument = held.instrument
        worth = ledger.price(held.con_id, now) * instrument.multiplier
        total += held.quantity * (worth - held.average_cost) * USD_PER[instrument.currency]
    return total


def account_figures(ledger: Ledger, account: str, now: datetime) -> list[Figure]:
    """Every figure of an account."""
    margin = ledger.margin(account, now)
    book = ledger.accounts[account]
    totals = {
        "NetLiquidation": margin.net_liquidation,
        "TotalCashValue": margin.cash,
        "SettledCash": margin.cash,
        "AccruedCash": Decimal(0),
        "BuyingPower": max(margin.available, Decimal(0)) * 2,
        "EquityWithLoanValue": margin.net_liquidation,
        "PreviousEquityWithLoanValue": cents(book.opening),
        "PreviousDayEquityWithLoanValue": cents(book.opening),
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
    paper = unrealized(ledger, account, now)
    lines = {
        "BASE": (margin.cash, margin.stock_value, paper, book.realized, Decimal(1)),
        **{currency: (amount, _stock(ledger, account, currency, now), paper if currency == BASE else Decimal(0), book.realized, USD_PER[currency]) for currency, amount in book.cash.items()},
    }  # fmt: skip
    figures: list[Figure] = []
    for currency, (cash, stock, gain, realized, rate) in lines.items():
        figures += [
            ("CashBalance", f"{cash:.2f}", currency),
            ("TotalCashBalance", f"{cash:.2f}", currency),
            ("StockMarketValue", f"{stock:.2f}", currency),
            ("NetLiquidationByCurrency", f"{cash + stock:.2f}", currency),
            ("UnrealizedPnL", f"{gain:.2f}", currency),
            ("RealizedPnL", f"{realized:.2f}", currency),
            ("ExchangeRate", f"{rate:.2f}", currency),
        ]
    return figures


def _stock(ledger: Ledger, account: str, currency: str, now: datetime) -> Decimal:
    held = [p for p in ledger.held(account) if p.instrument.currency == currency]
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
    book = ledger.accounts[account]
    return (
        ledger.margin(account, now).net_liquidation - book.opening,
        unrealized(ledger, account, now),
        book.realized,
    )


def pnl_single(
    ledger: Ledger, account: str, con_id: int, now: datetime
) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal]:
    """Quantity, daily, unrealized and realized profit and loss and value of one position."""
    held = ledger.positions.get((account, con_id))
    if held is None:
        return (Decimal(0),) * 5
    price, close = ledger.price(con_id, now), ledger.market.previous_close(con_id, now)
    value = held.quantity * price * held.instrument.multiplier
    daily = held.quantity * (price - close) * held.instrument.multiplier
    return held.quantity, daily, value - held.quantity * held.average_cost, held.realized, value
