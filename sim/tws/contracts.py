"""What the simulated market knows: well-known shares and funds with their options, currency pairs and indices, found by id, by symbol or by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from sim.tws import chains, hours

BASE = "USD"
"""The base currency of the simulated accounts."""
ORDER_TYPES = (
    "ACTIVETIM,AD,ADJUST,ALERT,ALLOC,AVGCOST,BASKET,COND,CONDORDER,DAY,DEACT,DEACTDIS,DEACTEOD,DIS,GAT,GTC,GTD,GTT,"
    "HID,IOC,LIT,LMT,MIT,MKT,MOC,NGCOMB,NONALGO,OCA,OPG,PEGBENCH,SCALE,SNAPMID,STP,STPLMT,TRAIL,TRAILLIT,TRAILLMT,TRAILMIT,WHATIF"
)
FOREX_ORDER_TYPES = (
    "ACTIVETIM,AD,ADJUST,ALERT,ALGO,ALLOC,AVGCOST,BASKET,CASHQTY,COND,CONDORDER,DAY,DEACT,DEACTDIS,DEACTEOD,GAT,GTC,GTD,GTT,HID,IOC,"
    "LIT,LMT,MIT,MKT,NONALGO,OCA,REL,RELPCTOFS,SCALE,SCALERST,STP,STPLMT,TRAIL,TRAILLIT,TRAILLMT,TRAILMIT,WHATIF"
)
AMERICAN = (
    "SMART",
    "AMEX",
    "NYSE",
    "CBOE",
    "PHLX",
    "ISE",
    "CHX",
    "ARCA",
    "NASDAQ",
    "BATS",
    "IEX",
    "EDGEA",
    "BYX",
    "ISLAND",
)
OPTION_EXCHANGES = (
    "SMART",
    "AMEX",
    "CBOE",
    "PHLX",
    "PSE",
    "ISE",
    "BOX",
    "BATS",
    "NASDAQOM",
    "CBOE2",
    "NASDAQBX",
    "MIAX",
    "GEMINI",
    "EDGX",
    "MERCURY",
    "PEARL",
    "EMERALD",
    "MEMX",
)
COMBINATION = 28812380
"""The number by which TWS calls every combination in dollars, whatever its legs are."""
PENNIES, NICKELS = 32, 109
"""The market rules of options: a cent at every price, or five of them from three dollars on."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """Something that has a price. `price` is where its simulated price wanders around, `volatility` its daily standard deviation.

    A pair of two currencies neither of which is the dollar has `legs` instead: the ids of their dollar pairs, with the power (1 or -1)
    in which the price of each goes into its own. An option has `expiry`, `strike`, `right` (C or P) and the id of its `underlying`. A
    combination is known by its underlying only, under the negative of that one's id; what it consists of its order says.
    """

    con_id: int
    symbol: str
    primary_exchange: str
    long_name: str
    industry: str
    category: str
    price: Decimal
    volatility: float
    stock_type: str = "COMMON"
    currency: str = "USD"
    sec_type: str = "STK"
    trading_class: str = ""
    time_zone: str = "US/Eastern"
    min_tick: Decimal = Decimal("0.01")
    multiplier: Decimal = Decimal(1)
    market_rule: int = 26
    legs: tuple[tuple[int, int], ...] = ()
    expiry: date | None = None
    strike: Decimal = Decimal(0)
    right: str = ""
    underlying: int = 0

    @property
    def wire_id(self) -> int:
        """The id by which clients are told of it."""
        return COMBINATION if self.is_combination else self.con_id

    @property
    def is_option(self) -> bool:
        """Whether it is an option on a share or a fund."""
        return self.sec_type == "OPT"

    @property
    def is_combination(self) -> bool:
        """Whether it is a combination of others."""
        return self.sec_type == "BAG"

    @property
    def expires(self) -> datetime:
        """When an option is over, aware UTC."""
        assert self.expiry is not None
        return chains.closes(self.expiry)

    @property
    def is_share(self) -> bool:
        """Whether it is a share or a fund."""
        return self.sec_type == "STK"

    @property
    def is_forex(self) -> bool:
        """Whether it is a pair of currencies: quoted by bid and ask, without trades."""
        return self.sec_type == "CASH"

    @property
    def is_index(self) -> bool:
        """Whether it is an index: a number that nobody can buy."""
        return self.sec_type == "IND"

    @property
    def local_symbol(self) -> str:
        """The symbol as the exchange writes it; for a share the same."""
        if self.is_option and self.expiry is not None:
            return chains.local_symbol(self.trading_class, self.expiry, self.right, self.strike)
        return f"{self.symbol}.{self.currency}" if self.is_forex else self.symbol

    @property
    def calendar(self) -> hours.Calendar:
        """When it is traded. Options are traded in the regular sessions only, as indices are."""
        regular_only = self.is_index or self.is_option or self.is_combination
        return hours.FOREX if self.is_forex else hours.INDICES if regular_only else hours.SHARES

    @property
    def spread(self) -> int:
        """How far bid and ask are apart, in ticks."""
        return max(1, round(float(self.price) * 0.00008 / float(self.min_tick)))

    @property
    def order_types(self) -> str:
        """The order types TWS lists for it; an index has none."""
        return "" if self.is_index else FOREX_ORDER_TYPES if self.is_forex else ORDER_TYPES

    @property
    def listing(self) -> str:
        """The exchange by which a position in it is shown."""
        return self.primary_exchange or self.exchanges[int(self.is_option)]

    def tick(self, price: Decimal) -> Decimal:
        """The step of its prices at a price."""
        steps = MARKET_RULES[self.market_rule]
        return next((step for start, step in reversed(steps) if abs(price) >= start), self.min_tick)

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Where it can be traded, or looked up: for a share the smart router first."""
        if self.is_forex:
            return ("IDEALPRO",)
        if self.is_index:
            return (self.primary_exchange,)
        if self.is_option:
            return OPTION_EXCHANGES
        return (
            AMERICAN
            if self.time_zone == "US/Eastern" and self.currency == "USD"
            else ("SMART", self.primary_exchange)
        )


def _share(
    con_id: int,
    symbol: str,
    exchange: str,
    name: str,
    industry: str,
    category: str,
    price: str,
    volatility: float,
    currency: str = "USD",
    zone: str = "US/Eastern",
) -> Instrument:
    trading_class = "NMS" if exchange == "NASDAQ" else symbol
    return Instrument(
        con_id, symbol, exchange, name, industry, category, Decimal(price), volatility, "COMMON", currency, "STK", trading_class, zone
    )  # fmt: skip


def _fund(
    con_id: int,
    symbol: str,
    exchange: str,
    name: str,
    price: str,
    volatility: float,
    zone: str = "US/Eastern",
) -> Instrument:
    trading_class = "NMS" if exchange == "NASDAQ" else symbol
    return Instrument(
        con_id, symbol, exchange, name, "", "", Decimal(price), volatility, "ETF", "USD", "STK", trading_class, zone
    )  # fmt: skip


def _pair(
    con_id: int,
    symbol: str,
    currency: str,
    name: str,
    price: str,
    volatility: float,
    *legs: tuple[int, int],
) -> Instrument:
    yen = currency == "JPY"
    return Instrument(
        con_id, symbol, "", name, "", "", Decimal(price), volatility, "", currency, "CASH", f"{symbol}.{currency}",
        min_tick=Decimal("0.005") if yen else Decimal("0.00005"), market_rule=240 if yen else 239, legs=legs,
    )  # fmt: skip


def _index(
    con_id: int, symbol: str, exchange: str, name: str, price: str, volatility: float, zone: str
) -> Instrument:
    return Instrument(
        con_id, symbol, exchange, name, "Indices", "Broad Range Equity Index", Decimal(price), volatility, "", "USD", "IND", symbol, zone
    )  # fmt: skip


_EUR, _GBP, _AUD, _YEN, _FRANC, _LOONIE = 12087792, 12087797, 14433401, 15016059, 12087820, 15016062
_EURO, _POUND, _DOLLAR = "European Monetary Union Euro", "British pound", "United States dollar"
# fmt: off
INSTRUMENTS: tuple[Instrument, ...] = (
    _share(265598, "AAPL", "NASDAQ", "APPLE INC", "Technology", "Computers", "187.50", 0.016),
    _share(272093, "MSFT", "NASDAQ", "MICROSOFT CORP", "Technology", "Software", "415.00", 0.015),
    _share(208813719, "GOOGL", "NASDAQ", "ALPHABET INC-CL A", "Communications", "Internet", "165.00", 0.018),
    _share(208813720, "GOOG", "NASDAQ", "ALPHABET INC-CL C", "Communications", "Internet", "166.40", 0.018),
    _share(3691937, "AMZN", "NASDAQ", "AMAZON.COM INC", "Communications", "Internet", "182.00", 0.019),
    _share(107113386, "META", "NASDAQ", "META PLATFORMS INC-CLASS A", "Communications", "Internet", "505.00", 0.022),
    _share(4815747, "NVDA", "NASDAQ", "NVIDIA CORP", "Technology", "Semiconductors", "121.00", 0.029),
    _share(76792991, "TSLA", "NASDAQ", "TESLA INC", "Consumer, Cyclical", "Auto Manufacturers", "244.00", 0.034),
    _share(15124833, "NFLX", "NASDAQ", "NETFLIX INC", "Communications", "Internet", "642.00", 0.021),
    _share(4391, "AMD", "NASDAQ", "ADVANCED MICRO DEVICES", "Technology", "Semiconductors", "158.00", 0.03),
    _share(270639, "INTC", "NASDAQ", "INTEL CORP", "Technology", "Semiconductors", "31.20", 0.026),
    _share(313130367, "AVGO", "NASDAQ", "BROADCOM INC", "Technology", "Semiconductors", "164.00", 0.027),
    _share(273544, "QCOM", "NASDAQ", "QUALCOMM INC", "Technology", "Semiconductors", "172.00", 0.022),
    _share(268084, "CSCO", "NASDAQ", "CISCO SYSTEMS INC", "Communications", "Telecommunications", "49.10", 0.012),
    _share(265768, "ADBE", "NASDAQ", "ADOBE INC", "Technology", "Software", "540.00", 0.02),
    _share(272997, "COST", "NASDAQ", "COSTCO WHOLESALE CORP", "Consumer, Cyclical", "Retail", "872.00", 0.012),
    _share(11017, "PEP", "NASDAQ", "PEPSICO INC", "Consumer, Non-cyclical", "Beverages", "172.00", 0.009),
    _share(199169591, "PYPL", "NASDAQ", "PAYPAL HOLDINGS INC", "Consumer, Non-cyclical", "Commercial Services", "66.80", 0.024),
    _share(481691285, "COIN", "NASDAQ", "COINBASE GLOBAL INC -CLASS A", "Financial", "Diversified Finan Serv", "212.00", 0.048),
    _share(444857009, "PLTR", "NASDAQ", "PALANTIR TECHNOLOGIES INC-A", "Technology", "Software", "27.40", 0.034),
    _share(8314, "IBM", "NYSE", "INTL BUSINESS MACHINES CORP", "Technology", "Computers", "192.00", 0.012),
    _share(26640, "CRM", "NYSE", "SALESFORCE INC", "Technology", "Software", "256.00", 0.02),
    _share(272800, "ORCL", "NYSE", "ORACLE CORP", "Technology", "Software", "139.00", 0.018),
    _share(1520593, "JPM", "NYSE", "JPMORGAN CHASE & CO", "Financial", "Banks", "204.00", 0.013),
    _share(10098, "BAC", "NYSE", "BANK OF AMERICA CORP", "Financial", "Banks", "40.30", 0.015),
    _share(4627828, "GS", "NYSE", "GOLDMAN SACHS GROUP INC", "Financial", "Banks", "478.00", 0.016),
    _share(49462172, "V", "NYSE", "VISA INC-CLASS A SHARES", "Financial", "Diversified Finan Serv", "268.00", 0.011),
    _share(38685693, "MA", "NYSE", "MASTERCARD INC - A", "Financial", "Diversified Finan Serv", "446.00", 0.011),
    _share(72063691, "BRK B", "NYSE", "BERKSHIRE HATHAWAY INC-CL B", "Financial", "Insurance", "432.00", 0.009),
    _share(6459, "DIS", "NYSE", "WALT DISNEY CO/THE", "Communications", "Media", "97.50", 0.015),
    _share(8894, "KO", "NYSE", "COCA-COLA CO/THE", "Consumer, Non-cyclical", "Beverages", "64.20", 0.008),
    _share(11081, "PG", "NYSE", "PROCTER & GAMBLE CO/THE", "Consumer, Non-cyclical", "Cosmetics/Personal Care", "167.00", 0.009),
    _share(8719, "JNJ", "NYSE", "JOHNSON & JOHNSON", "Consumer, Non-cyclical", "Pharmaceuticals", "152.00", 0.009),
    _share(11031, "PFE", "NYSE", "PFIZER INC", "Consumer, Non-cyclical", "Pharmaceuticals", "28.90", 0.013),
    _share(9160, "LLY", "NYSE", "ELI LILLY & CO", "Consumer, Non-cyclical", "Pharmaceuticals", "858.00", 0.02),
    _share(13272, "UNH", "NYSE", "UNITEDHEALTH GROUP INC", "Consumer, Non-cyclical", "Healthcare-Services", "562.00", 0.015),
    _share(13977, "XOM", "NYSE", "EXXON MOBIL CORP", "Energy", "Oil&Gas", "116.00", 0.013),
    _share(5684, "CVX", "NYSE", "CHEVRON CORP", "Energy", "Oil&Gas", "158.00", 0.013),
    _share(13824, "WMT", "NYSE", "WALMART INC", "Consumer, Cyclical", "Retail", "69.70", 0.01),
    _share(7930, "HD", "NYSE", "HOME DEPOT INC", "Consumer, Cyclical", "Retail", "358.00", 0.013),
    _share(9408, "MCD", "NYSE", "MCDONALD'S CORP", "Consumer, Cyclical", "Retail", "258.00", 0.01),
    _share(10291, "NKE", "NYSE", "NIKE INC -CL B", "Consumer, Cyclical", "Apparel", "73.90", 0.018),
    _share(4762, "BA", "NYSE", "BOEING CO/THE", "Industrial", "Aerospace/Defense", "178.00", 0.021),
    _share(5437, "CAT", "NYSE", "CATERPILLAR INC", "Industrial", "Machinery-Constr&Mining", "342.00", 0.017),
    _share(9599491, "F", "NYSE", "FORD MOTOR CO", "Consumer, Cyclical", "Auto Manufacturers", "11.90", 0.02),
    _share(37018770, "T", "NYSE", "AT&T INC", "Communications", "Telecommunications", "18.90", 0.012),
    _share(365207014, "UBER", "NYSE", "UBER TECHNOLOGIES INC", "Technology", "Internet", "69.50", 0.023),
    _share(195014116, "SHOP", "NASDAQ", "SHOPIFY INC - CLASS A", "Communications", "Internet", "68.00", 0.03),
    _share(195014121, "SHOP", "TSE", "SHOPIFY INC - CLASS A", "Communications", "Internet", "93.10", 0.03, "CAD"),
    _share(11280, "RY", "NYSE", "ROYAL BANK OF CANADA", "Financial", "Banks", "110.00", 0.009),
    _share(4458964, "RY", "TSE", "ROYAL BANK OF CANADA", "Financial", "Banks", "150.60", 0.009, "CAD"),
    _share(776773456, "GOLD", "NYSE", "GOLD.COM INC", "Financial", "Diversified Finan Serv", "26.40", 0.024),
    _fund(413951498, "GOLD", "LSEETF", "WISDOMTREE PHYSICAL GOLD", "239.00", 0.009, "Europe/London"),
    _fund(756733, "SPY", "ARCA", "SS SPDR S&P 500 ETF TRUST-US", "547.00", 0.009),
    _fund(136155102, "VOO", "ARCA", "VANGUARD S&P 500 ETF", "502.00", 0.009),
    _fund(320227571, "QQQ", "NASDAQ", "INVESCO QQQ TRUST SERIES 1", "474.00", 0.012),
    _fund(9579970, "IWM", "ARCA", "ISHARES RUSSELL 2000 ETF", "208.00", 0.013),
    _fund(73128548, "DIA", "ARCA", "SPDR DJIA TRUST", "394.00", 0.008),
    _fund(51529211, "GLD", "ARCA", "SPDR GOLD SHARES", "221.00", 0.009),
    _fund(15547841, "TLT", "NASDAQ", "ISHARES 20+ YEAR TREASURY BD", "93.10", 0.009),
    _fund(4215220, "XLF", "ARCA", "FINANCIAL SELECT SECTOR SPDR", "41.90", 0.01),
    _fund(4215217, "XLE", "ARCA", "ENERGY SELECT SECTOR SPDR", "90.60", 0.013),
    _pair(_EUR, "EUR", "USD", _EURO, "1.0850", 0.0045),
    _pair(_GBP, "GBP", "USD", _POUND, "1.2700", 0.005),
    _pair(_AUD, "AUD", "USD", "Australian dollar", "0.6600", 0.006),
    _pair(39453441, "NZD", "USD", "New Zealand dollar", "0.6100", 0.006),
    _pair(_YEN, "USD", "JPY", _DOLLAR, "149.50", 0.0055),
    _pair(_LOONIE, "USD", "CAD", _DOLLAR, "1.3650", 0.004),
    _pair(_FRANC, "USD", "CHF", _DOLLAR, "0.8850", 0.005),
    _pair(12087807, "EUR", "GBP", _EURO, "0.8543", 0.004, (_EUR, 1), (_GBP, -1)),
    _pair(12087817, "EUR", "CHF", _EURO, "0.9602", 0.004, (_EUR, 1), (_FRANC, 1)),
    _pair(14321016, "EUR", "JPY", _EURO, "162.21", 0.006, (_EUR, 1), (_YEN, 1)),
    _index(416904, "SPX", "CBOE", "S&P 500 Stock Index", "5480.00", 0.009, "US/Central"),
    _index(13455763, "VIX", "CBOE", "CBOE Volatility Index", "14.20", 0.045, "US/Central"),
    _index(416843, "NDX", "NASDAQ", "NASDAQ 100 Stock Index", "19450.00", 0.012, "US/Eastern"),
    _index(416888, "RUT", "RUSSELL", "Russell 2000 Stock Index", "2090.00", 0.013, "US/Eastern"),
    _index(1935181, "INDU", "CME", "Dow Jones Industrial Average", "39400.00", 0.008, "US/Central"),
)
# fmt: on

OPTIONABLE: tuple[Instrument, ...] = tuple(
    one for one in INSTRUMENTS if one.is_share and one.currency == BASE and one.time_zone == "US/Eastern"
)
"""What there are options on. An option's number holds a place in here, so new ones belong at the end of `INSTRUMENTS`."""
_SLOTS = {one.con_id: slot for slot, one in enumerate(OPTIONABLE)}
_IN_NICKELS = frozenset({"BRK B", "RY", "GOLD", "CAT", "GS", "PEP"})


class _ById(dict[int, Instrument]):
    """Instruments by their ids. Options and combinations are worked out from theirs, so that there may be any number of them."""

    def __missing__(self, con_id: int) -> Instrument:
        found = _combination(con_id) if con_id < 0 else _option(con_id)
        if found is None:
            raise KeyError(con_id)
        return found

    def get(self, con_id: int, default: Instrument | None = None, /) -> Instrument | None:  # type: ignore[override]
        """The same, or `default` where there is none."""
        try:
            return self[con_id]
        except KeyError:
            return default


@lru_cache(maxsize=1 << 14)
def _option(con_id: int) -> Instrument | None:
    parts = chains.parts(con_id)
    if parts is None or parts.slot >= len(OPTIONABLE):
        return None
    on = OPTIONABLE[parts.slot]
    strike = chains.step(on.price) * parts.steps
    if not chains.strikes(on.price)[0] <= strike <= chains.strikes(on.price)[-1]:
        return None
    return Instrument(
        con_id, on.symbol, "", on.long_name, on.industry, on.category, on.price, on.volatility, "", on.currency, "OPT",
        on.symbol.replace(" ", ""), on.time_zone, multiplier=Decimal(100), market_rule=NICKELS if on.symbol in _IN_NICKELS else PENNIES,
        expiry=parts.expiry, strike=strike, right=parts.right, underlying=on.con_id,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _combination(con_id: int) -> Instrument | None:
    on = BY_ID.get(-con_id)
    if on is None or not on.is_share:
        return None
    return Instrument(
        con_id, on.symbol, "", on.long_name, "", "", on.price, on.volatility, "", on.currency, "BAG", "COMB", on.time_zone,
        underlying=on.con_id,
    )  # fmt: skip


BY_ID: Mapping[int, Instrument] = _ById({instrument.con_id: instrument for instrument in INSTRUMENTS})
"""Every instrument by its id; an option by its number, listed now or long over, a combination by the negative id of its underlying."""
DOLLAR_PAIRS: Mapping[str, tuple[int, int]] = {
    currency: (pair.con_id, power)
    for pair in INSTRUMENTS
    if pair.is_forex and BASE in {pair.symbol, pair.currency}
    for currency, power in [(pair.symbol, 1) if pair.currency == BASE else (pair.currency, -1)]
}
"""For every currency the id of its pair with the dollar, and the power of that pair's price that one unit is worth in dollars."""
MARKET_RULES: Mapping[int, tuple[tuple[Decimal, Decimal], ...]] = {
    26: ((Decimal(0), Decimal("0.01")),),
    PENNIES: ((Decimal(0), Decimal("0.01")),),
    NICKELS: ((Decimal(0), Decimal("0.01")), (Decimal(3), Decimal("0.05"))),
    239: ((Decimal(0), Decimal("0.00005")),),
    240: ((Decimal(0), Decimal("0.005")),),
}
"""Price steps by market rule, each from a price on."""
IDEALPRO_LEAST: Mapping[str, int] = {
    "AUD": 25_000, "CAD": 25_000, "CHF": 25_000, "EUR": 20_000, "GBP": 20_000, "JPY": 2_500_000, "NZD": 35_000, "USD": 25_000,
}  # fmt: skip
"""The smallest order that is not an odd lot, in units of the pair's first currency."""


def find(
    con_id: int = 0,
    symbol: str = "",
    sec_type: str = "",
    exchange: str = "",
    primary_exchange: str = "",
    currency: str = "",
    local_symbol: str = "",
    trading_class: str = "",
) -> list[Instrument]:
    """Everything but options that agrees with what is given; nothing given finds nothing. An id decides alone, like in TWS."""
    if con_id:
        found = BY_ID.get(con_id)
        return [found] if found and exchange in {"", *found.exchanges} else []
    if not (symbol or local_symbol):
        return []
    wanted = {
        "symbol": symbol,
        "sec_type": sec_type,
        "primary_exchange": primary_exchange,
        "currency": currency,
        "local_symbol": local_symbol,
        "trading_class": trading_class,
    }
    return [
        instrument
        for instrument in INSTRUMENTS
        if all(not value or getattr(instrument, name) == value for name, value in wanted.items())
        and exchange in {"", *instrument.exchanges}
    ]


def options(
    now: datetime,
    on: Instrument,
    expiry: str = "",
    strike: Decimal | None = None,
    right: str = "",
) -> list[Instrument]:
    """The options on something that are listed and agree with what is given, by expiry and strike; `expiry` is YYYYMMDD, YYYYMM or empty."""
    said = chains.parse_right(right)
    slot, size = _SLOTS.get(on.con_id), chains.step(on.price)
    if said is None or slot is None:
        return []
    strikes = [one for one in chains.strikes(on.price) if strike is None or one == strike]
    return [
        BY_ID[chains.number(slot, day, int(one / size), either)]
        for day in chains.expiries(now)
        if f"{day:%Y%m%d}".startswith(expiry) and len(expiry) in {0, 4, 6, 8}
        for one in strikes
        for either in ("C", "P")
        if said in {"", either}
    ]


def past_option(on: Instrument, expiry: str, strike: Decimal, right: str) -> list[Instrument]:
    """The option of these terms (YYYYMMDD) whether it is still listed or not; none where no chain ever had it."""
    size = chains.step(on.price)
    try:
        day = date.fromisoformat(expiry)
    except ValueError:
        return []
    if strike not in chains.strikes(on.price) or right not in {"C", "P"}:
        return []
    found = BY_ID[chains.number(_SLOTS[on.con_id], day, int(strike / size), right)]
    return [found] if found.expiry == day else []


def optionable(symbol: str = "", trading_class: str = "") -> list[Instrument]:
    """What there are options on, by its symbol or by the class of its options."""
    return [
        one
        for one in OPTIONABLE
        if (symbol or trading_class)
        and symbol in {"", one.symbol}
        and trading_class in {"", one.symbol.replace(" ", "")}
    ]


def named(symbol: str) -> Instrument | None:
    """What a person means by a symbol: a pair by EUR.USD, anything else by its symbol, in dollars where there is a choice."""
    wanted = symbol.upper()
    found = [one for one in INSTRUMENTS if wanted in {one.symbol, one.local_symbol}]
    return min(found, key=lambda one: (one.local_symbol != wanted, one.currency != BASE), default=None)


def search(pattern: str) -> list[Instrument]:
    """At most 16 instruments whose symbol begins with `pattern` or whose name has a word that does, exact symbols first."""
    needle = pattern.strip().upper()

    def ranks() -> Iterator[tuple[int, Instrument]]:
        for instrument in INSTRUMENTS:
            if needle in {instrument.symbol, instrument.local_symbol}:
                yield 0, instrument
            elif instrument.symbol.startswith(needle):
                yield 1, instrument
            elif any(word.startswith(needle) for word in instrument.long_name.upper().split()):
                yield 2, instrument

    return [instrument for _, instrument in sorted(ranks(), key=lambda pair: pair[0])[:16]] if needle else []
