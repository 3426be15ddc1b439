"""Contracts, symbols, market rules, ids and the time."""

from datetime import datetime
from typing import TYPE_CHECKING

from sim.tws import answers, chains, contracts, history
from sim.tws.contracts import Instrument
from sim.tws.engine import Opening
from sim.tws.errors import Refused
from sim.tws.terms import Contract

if TYPE_CHECKING:
    from sim.tws.session import Session

BBO = "9c0001"
"""The name under which the exchanges and their letters are asked for."""
LETTERS = {
    "NASDAQ": "Q",
    "NYSE": "N",
    "ARCA": "P",
    "AMEX": "A",
    "BATS": "Z",
    "IEX": "V",
    "TSE": "T",
    "LSEETF": "L",
}
_NO_COMBINATIONS = (
    "Error validating request.-'bI' : cause - 'BAG' isn't supported for contract data request. "
    "Please use the legs of the combination."
)
_NO_DEFINITION = "No security definition has been found for the request"


def find(contract: Contract, now: datetime) -> list[Instrument]:
    """Everything that a client's description fits. Refused (200) where there is nothing; options are found until they are over."""
    if contract.sec_type == "BAG":
        raise Refused(321, _NO_COMBINATIONS)
    known = contracts.BY_ID.get(contract.con_id) if contract.con_id > 0 else None
    if known is not None and known.is_option:
        found = [known] if now < known.expires and contract.exchange in {"", *known.exchanges} else []
    elif contract.sec_type == "OPT" and not contract.con_id:
        found = _options(contract, now)
    else:
        found = contracts.find(
            con_id=contract.con_id,
            symbol=contract.symbol.upper(),
            sec_type=contract.sec_type,
            exchange=contract.exchange,
            primary_exchange=contract.primary_exchange,
            currency=contract.currency,
            local_symbol=contract.local_symbol,
            trading_class=contract.trading_class,
        )
    if not found:
        raise Refused(200, _NO_DEFINITION)
    return found


def _options(contract: Contract, now: datetime) -> list[Instrument]:
    """The listed options that a description fits."""
    expiry, strike, right = contract.expiry, contract.strike, contract.right
    if contract.local_symbol:
        read = chains.from_local_symbol(contract.local_symbol)
        if read is None:
            return []
        expiry, right, strike = read[1:]
    found = [
        option
        for on in contracts.optionable(contract.symbol.upper(), contract.trading_class or (contract.local_symbol and contract.local_symbol[:-15].strip()))
        for option in contracts.options(now, on, expiry, strike, right)
    ]  # fmt: skip
    said = (
        (contract.exchange, contracts.OPTION_EXCHANGES),
        (contract.currency, (contracts.BASE,)),
        (contract.multiplier, ("100",)),
    )
    return found if all(not value or value in known for value, known in said) else []


def only(contract: Contract, now: datetime) -> Instrument:
    """The one instrument that a description fits. Refused (200) where there is none, or more than one."""
    found = find(contract, now)
    if len(found) > 1:
        raise Refused(200, f"The contract description specified for {contract.symbol} is ambiguous.")
    return found[0]


class InfoDesk:
    """Answers what any client may ask and no account is needed for."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def on_managed_accounts(self) -> None:
        """The accounts of this login."""
        self._session.send(answers.managed_accounts(self._session.engine.ledger.accounts))

    def on_ids(self, count: int) -> None:
        """The next order id; TWS ignores how many are asked for."""
        self._session.send(
            answers.next_valid_id(self._session.engine.register.next_id(self._session.client_id or 0))
        )

    def on_current_time(self) -> None:
        """The time."""
        self._session.send(answers.current_time(self._session.now))

    def on_server_log_level(self, level: int) -> None:
        """Accepted; there is no log to tune."""

    def on_user_info(self, request_id: int) -> None:
        """Who the user is to a white branded TWS."""
        self._session.send(answers.user_info(request_id))

    def on_family_codes(self) -> None:
        """Which accounts belong together."""
        self._session.send(answers.family_codes(list(self._session.engine.ledger.accounts)))

    def on_contract_details(self, request_id: int, contract: Contract, sec_id_type: str, sec_id: str) -> None:
        """Everything that a description fits, in full. Security ids (ISIN and the like) are not known here."""
        if sec_id:
            raise Refused(200, _NO_DEFINITION)
        version, now = self._session.version, self._session.now
        for instrument in find(contract, now):
            exchange = contract.exchange or instrument.exchanges[0]
            opening = self._session.engine.rules.opening
            told = answers.contract_details(
                version,
                request_id,
                instrument,
                exchange,
                now,
                always=opening is Opening.OPEN,
                closed=opening is Opening.CLOSED,
            )
            self._session.send(told)
        self._session.send(answers.contract_details_end(request_id))

    def on_matching_symbols(self, request_id: int, pattern: str) -> None:
        """What a few letters could mean."""
        self._session.send(
            answers.symbol_samples(self._session.version, request_id, contracts.search(pattern))
        )

    def on_market_rule(self, rule: int) -> None:
        """The price steps of a rule."""
        if rule not in contracts.MARKET_RULES:
            raise Refused(321, f"Error validating request.-'cO' : cause - Market rule id {rule} is invalid")
        self._session.send(answers.market_rule(rule, contracts.MARKET_RULES[rule]))

    def on_option_parameters(
        self, request_id: int, symbol: str, exchange: str, sec_type: str, con_id: int
    ) -> None:
        """The expiries and strikes of the options on something, once for each exchange; on most things there are none."""
        known = contracts.BY_ID.get(con_id)
        if known is None or (known.symbol, known.sec_type) != (symbol.upper(), sec_type):
            raise Refused(321, f"Error validating request.-'cs' : cause - Invalid contract id {con_id}")
        if known in contracts.OPTIONABLE and exchange in {"", *contracts.OPTION_EXCHANGES}:
            expiries, strikes = chains.expiries(self._session.now), chains.strikes(known.price)
            trading_class = contracts.options(self._session.now, known)[0].trading_class
            for where in [exchange] if exchange else contracts.OPTION_EXCHANGES:
                self._session.send(
                    answers.option_parameters(request_id, where, con_id, trading_class, expiries, strikes)
                )
        self._session.send(answers.option_parameters_end(request_id))

    def on_smart_components(self, request_id: int, exchanges: str) -> None:
        """The letters that stand for exchanges in ticks."""
        if exchanges != BBO:
            raise Refused(321, f"Error validating request.-'cq' : cause - Invalid bbo exchange {exchanges!r}")
        self._session.send(answers.smart_components(request_id, list(LETTERS.items())))

    def on_depth_exchanges(self) -> None:
        """Which exchanges have market depth."""
        self._session.send(answers.depth_exchanges())

    def on_news_providers(self) -> None:
        """Who sends news."""
        self._session.send(answers.news_providers())

    def on_soft_dollar_tiers(self, request_id: int) -> None:
        """The soft dollar tiers of the accounts."""
        self._session.send(answers.soft_dollar_tiers(request_id))

    def on_news_bulletins(self, all_of_today: bool) -> None:
        """Accepted; no bulletin is ever sent."""

    def on_cancel_news_bulletins(self) -> None:
        """There are none to end."""

    def on_head_timestamp(
        self, request_id: int, contract: Contract, regular: bool, what: str, date_format: int
    ) -> None:
        """Since when there are data of a contract."""
        history.shown(only(contract, self._session.now), what, 1)
        self._session.send(answers.head_timestamp(request_id, history.FIRST, date_format))

    def on_cancel_head_timestamp(self, request_id: int) -> None:
        """It was answered at once, so there is nothing to end."""
