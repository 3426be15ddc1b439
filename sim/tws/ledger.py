"""The broker's ledger: cash, positions and executions of every account, and the figures that follow from them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from sim.tws import hours, money
from sim.tws.book import Account, Execution, Position, Record
from sim.tws.contracts import BASE, BY_ID, Instrument
from sim.tws.market import Market

_CASH = Decimal("104250.37")
_HOLDINGS = ((265598, 40), (756733, 25), (8894, 120), (4815747, 60))
"""What a new account begins with: AAPL, SPY, KO and NVDA."""


class Ledger:
    """Books executions at average cost, commissions included. Tells `changed` of every record that is not what it was."""

    def __init__(self, seed: int, market: Market, changed: Callable[[Record], None]) -> None:
        self.market = market
        self.accounts: dict[str, Account] = {}
        self.positions: dict[tuple[str, int], Position] = {}
        self.executions: dict[str, Execution] = {}
        self._of_order: dict[int, list[Execution]] = {}
        self._of_position: dict[tuple[str, int], list[Execution]] = {}
        self._at_close: dict[str, tuple[tuple[datetime, datetime], money.Margin]] = {}
        self._seed = seed
        self._changed = changed

    def open_account(self, account_id: str, now: datetime) -> None:
        """Open an account with cash and a few positions; nothing happens where it is already there."""
        if account_id in self.accounts:
            return
        account = self.accounts[account_id] = Account(account_id, {"USD": _CASH})
        for con_id, quantity in _HOLDINGS:
            self.endow(account_id, con_id, Decimal(quantity), now)
        account.day = hours.new_york_day(now)
        self._changed(account)

    def endow(self, account_id: str, con_id: int, quantity: Decimal, now: datetime) -> None:
        """Let an account have held something for a month; no money moves, and there is no execution of it."""
        cost = self.market.previous_close(con_id, now - timedelta(30 + self._seed % 7))
        position = Position(account_id, con_id, quantity, cost, opening=quantity, opening_cost=cost)
        self.positions[account_id, con_id] = position
        self._at_close.pop(account_id, None)
        self._changed(position)

    def restore(self, execution: Execution) -> None:
        """Take up an execution from an earlier run."""
        self.executions[execution.exec_id] = execution
        self._of_order.setdefault(execution.perm_id, []).append(execution)
        self._of_position.setdefault((execution.account, execution.con_id), []).append(execution)

    # -- questions

    def held(self, account: str) -> list[Position]:
        """The positions of an account that are not flat."""
        return [
            position
            for position in self.positions.values()
            if position.account == account and position.quantity
        ]

    def over(self, now: datetime) -> list[Position]:
        """The options that are still held though their time is over, the earliest first."""
        options = [p for p in self.positions.values() if p.quantity and p.instrument.is_option]
        return sorted((p for p in options if p.instrument.expires <= now), key=lambda p: p.instrument.expires)

    def price(self, con_id: int, now: datetime) -> Decimal:
        """What one share is worth at a moment: its last price, or the midpoint of a pair."""
        return self.market.quote(con_id, now).last

    def rates(self, account: str, now: datetime) -> Mapping[str, Decimal]:
        """What one unit of every currency an account has to do with is worth in the base currency."""
        known = {BASE, *self.accounts[account].cash}
        known |= {held.instrument.currency for held in self.held(account)}
        return {currency: self.market.rate(currency, now) for currency in known}

    def since_close(self, account: str, con_id: int, now: datetime) -> list[Execution]:
        """The executions of one position since the close of the session before, as they stand."""
        made = self._of_position.get((account, con_id), [])
        closed = BY_ID[con_id].calendar.closed_before(now) if made else now
        return [one for one in made if one.at > closed and not one.superseded]

    def executed_on(self, now: datetime) -> list[Execution]:
        """The executions since midnight in New York, those corrected later included."""
        day = hours.new_york_day(now)
        return [
            execution for execution in self.executions.values() if hours.new_york_day(execution.at) == day
        ]

    def valid(self, perm_id: int) -> list[Execution]:
        """The executions of an order as they stand, corrections applied."""
        return [execution for execution in self._of_order.get(perm_id, []) if not execution.superseded]

    def margin(self, account: str, now: datetime, trades: Iterable[money.Trade] = ()) -> money.Margin:
        """The figures of an account, as they are or as they were after some trades."""
        quantities = {position.con_id: position.quantity for position in self.held(account)}
        cash, rates = dict(self.accounts[account].cash), dict(self.rates(account, now))
        for trade in trades:
            con_id = trade.instrument.con_id
            quantities[con_id] = quantities.get(con_id, Decimal(0)) + trade.change
            moved = money.flows(trade.instrument, trade.change, trade.price, trade.fee)
            for currency, amount in moved.items():
                cash[currency] = cash.get(currency, Decimal(0)) + amount
                rates[currency] = self.market.rate(currency, now)
        holdings = [(BY_ID[i], n, self.price(i, now)) for i, n in quantities.items()]
        spots = {one.underlying: self.price(one.underlying, now) for one, _, _ in holdings if one.is_option}
        return money.margin(cash, holdings, rates, spots)

    def at_close(self, account: str, now: datetime) -> money.Margin:
        """The figures of an account at the close before: what was traded since undone, at the prices and rates of that close.

        Each instrument has its own close: shares at four in New York, currencies at five. Until the next one nothing that is traded changes
        these figures, so they are worked out once.
        """
        closes = hours.SHARES.closed_before(now), hours.FOREX.closed_before(now)
        known_for, figures = self._at_close.get(account, (None, None))
        if figures is None or known_for != closes:
            figures = self._work_out_close(account, now)
            self._at_close[account] = closes, figures
        return figures

    def _work_out_close(self, account: str, now: datetime) -> money.Margin:
        cash, holdings = dict(self.accounts[account].cash), []
        for position in self.positions.values():
            if position.account == account:
                quantity, instrument = position.quantity, position.instrument
                for one in self.since_close(account, position.con_id, now):
                    change = one.sign * one.quantity
                    quantity -= change
                    for currency, amount in money.flows(
                        instrument, change, one.price, one.commission
                    ).items():
                        cash[currency] = cash.get(currency, Decimal(0)) - amount
                if quantity:
                    holdings.append((instrument, quantity, self.market.previous_close(position.con_id, now)))
        known = {BASE, *cash} | {instrument.currency for instrument, _, _ in holdings}
        spots = {
            one.underlying: self.market.previous_close(one.underlying, now)
            for one, _, _ in holdings
            if one.is_option
        }
        return money.margin(cash, holdings, {one: self.market.closing_rate(one, now) for one in known}, spots)

    def daily(self, account: str, now: datetime) -> Decimal:
        """What an account gained since the close before, trades and commissions included, in its base currency, to the cent."""
        return self.margin(account, now).net_liquidation - self.at_close(account, now).net_liquidation

    # -- bookings

    def book(self, execution: Execution) -> None:
        """Book a fill: shares, money, and what it realized. That of a combination moves nothing: its legs do."""
        if execution.instrument.is_combination:
            self.restore(execution)
            self._changed(execution)
            return
        position = self._position(execution)
        execution.realized = self._trade(position, execution)
        self._pay(execution, 1)
        self._realize(self.accounts[execution.account], execution)
        self.restore(execution)
        for record in (execution, position):
            self._changed(record)

    def correct(self, exec_id: str, quantity: Decimal | None, price: Decimal | None) -> Execution:
        """Put a corrected execution, with the next revision in its id, in place of one. KeyError or ValueError where that cannot be."""
        old = self.executions[exec_id]
        if old.superseded:
            raise ValueError(f"execution {exec_id} has been corrected already")
        if old.instrument.is_combination:
            raise ValueError(f"execution {exec_id} is that of a combination: correct those of its legs")
        stem, _, revision = exec_id.rpartition(".")
        quantity, price = quantity or old.quantity, price or old.price
        new = replace(
            old,
            exec_id=f"{stem}.{int(revision) + 1:02d}",
            quantity=quantity,
            price=price,
            cumulative=old.cumulative + quantity - old.quantity,
            average=(old.average * old.cumulative + price * quantity - old.price * old.quantity)
            / (old.cumulative + quantity - old.quantity),
        )
        self._pay(old, -1)
        self._at_close.pop(old.account, None)  # the execution may be one of a day before
        old.superseded = True
        self.restore(new)
        position = self._replay(self._position(new))
        self._pay(new, 1)
        account = self.accounts[new.account]
        account.realized, account.realized_in = Decimal(0), {}
        for execution in self.executed_on(new.at):
            if execution.account == account.id and not execution.superseded:
                self._realize(account, execution)
        for record in (old, new, position):
            self._changed(record)
        return new

    def _position(self, execution: Execution) -> Position:
        key = execution.account, execution.con_id
        return self.positions.setdefault(key, Position(*key))

    def _replay(self, position: Position) -> Position:
        """Draw up a position anew from where it began."""
        position.quantity, position.average_cost, position.realized = (
            position.opening,
            position.opening_cost,
            Decimal(0),
        )
        for execution in sorted(self.executions.values(), key=lambda e: e.at):
            if (execution.account, execution.con_id) == (
                position.account,
                position.con_id,
            ) and not execution.superseded:
                execution.realized = self._trade(position, execution)
        return position

    def _pay(self, execution: Execution, direction: int) -> None:
        """Move the money of an execution (`direction` 1) or move it back (-1)."""
        account, instrument = self.accounts[execution.account], execution.instrument
        self.roll_day(account, execution.at)
        change = execution.sign * execution.quantity
        for currency, amount in money.flows(
            instrument, change, execution.price, execution.commission
        ).items():
            account.cash[currency] = account.cash.get(currency, Decimal(0)) + direction * amount
        self._changed(account)

    def roll_day(self, account: Account, now: datetime) -> None:
        """Begin a new day in an account's profit and loss where one has begun in New York."""
        if account.day < hours.new_york_day(now):
            account.day, account.realized = hours.new_york_day(now), Decimal(0)
            account.realized_in = {}
            self._changed(account)

    def _realize(self, account: Account, execution: Execution) -> None:
        """Add what an execution realized to that of the day."""
        account.realized += execution.realized * self.market.rate(execution.currency, execution.at)
        if execution.realized:
            before = account.realized_in.get(execution.currency, Decimal(0))
            account.realized_in[execution.currency] = before + execution.realized

    def _trade(self, position: Position, execution: Execution) -> Decimal:
        """Add an execution to a position at average cost, and return what it realized, in the currency of its commission.

        The commission of a share is part of its cost; that of a pair, charged in another currency, only of what is realized.
        """
        instrument, fee = position.instrument, execution.commission
        change, worth = execution.sign * execution.quantity, execution.price * instrument.multiplier
        before, after = position.quantity, position.quantity + change
        if before * change >= 0:  # more of the same
            cost = (
                before * position.average_cost + change * worth + (Decimal(0) if instrument.is_forex else fee)
            )
            position.quantity, position.average_cost = after, cost / after
            return Decimal(0)
        closed = min(abs(change), abs(before))
        gained = (closed if before > 0 else -closed) * (worth - position.average_cost)
        if instrument.is_forex:
            gained *= self.market.rate(instrument.currency, execution.at)
        realized = gained - fee
        position.quantity = after
        position.realized += realized
        if not after:
            position.average_cost = Decimal(0)
        elif before * after < 0:
            position.average_cost = worth
        return realized


def cost_of(
    instrument: Instrument, made: Execution, rate: Decimal, paid: Iterable[Execution], leg: bool
) -> Decimal:
    """The commission of the next fill of an order, or of a leg of one: that of the whole less what the fills before paid."""
    before = sum((execution.commission for execution in paid), Decimal(0))
    whole = money.commission(instrument, made.cumulative, made.average, rate, leg)
    return max(whole - before, Decimal(0))
