"""The account: positions, figures, summaries, profit and loss, once and whenever they change."""

from typing import TYPE_CHECKING

from sim.tws import answers, figures
from sim.tws.errors import Refused

if TYPE_CHECKING:
    from sim.tws.session import Session


class AccountDesk:
    """Shows a client its accounts and remembers what it follows."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._ledger = session.engine.ledger
        self._follows_positions = False
        self._followed = ""
        self._multi: dict[int, str] = {}
        self._positions_multi: dict[int, str] = {}
        self._summaries: dict[int, str] = {}
        self._pnl: dict[int, tuple[str, int]] = {}

    def _known(self, account: str) -> str:
        """An account by its id, or the first one for an empty one."""
        account = account or next(iter(self._ledger.accounts))
        if account not in self._ledger.accounts:
            raise Refused(321, f"Error validating request.-'bP' : cause - Invalid account code '{account}'.")
        return account

    # -- requests

    def on_positions(self) -> None:
        """All positions, and every change of one."""
        self._follows_positions = True
        for account in self._ledger.accounts:
            for held in self._ledger.held(account):
                self._session.send(answers.position(held))
        self._session.send(answers.positions_end())

    def on_cancel_positions(self) -> None:
        """No more positions."""
        self._follows_positions = False

    def on_positions_multi(self, request_id: int, account: str, model: str) -> None:
        """The positions of an account, and every change of one."""
        self._positions_multi[request_id] = self._known(account)
        for held in self._ledger.held(self._positions_multi[request_id]):
            self._session.send(answers.position_multi(request_id, held))
        self._session.send(answers.position_multi_end(request_id))

    def on_cancel_positions_multi(self, request_id: int) -> None:
        """No more of them."""
        self._positions_multi.pop(request_id, None)

    def on_account_updates(self, subscribe: bool, account: str) -> None:
        """The figures and the portfolio of an account, and their changes."""
        account = self._known(account)
        self._followed = account if subscribe else ""
        if subscribe:
            self._send_figures()
            for held in self._ledger.held(account):
                self._session.send(
                    answers.portfolio(held, self._ledger.price(held.con_id, self._session.now))
                )
            self._session.send(answers.account_time(self._session.now))
            self._session.send(answers.account_download_end(account))

    def _send_figures(self) -> None:
        for tag, value, currency in figures.account_figures(self._ledger, self._followed, self._session.now):
            self._session.send(answers.account_value(tag, value, currency, self._followed))

    def on_account_updates_multi(self, request_id: int, account: str, model: str, ledger: bool) -> None:
        """The figures of an account for a request of its own; `ledger` wants only the money by currency."""
        self._multi[request_id] = account = self._known(account)
        select = figures.ledger_figures if ledger else figures.account_figures
        for tag, value, currency in select(self._ledger, account, self._session.now):
            self._session.send(answers.account_value_multi(request_id, account, tag, value, currency))
        self._session.send(answers.account_multi_end(request_id))

    def on_cancel_account_updates_multi(self, request_id: int) -> None:
        """No more of them."""
        self._multi.pop(request_id, None)

    def on_account_summary(self, request_id: int, group: str, tags: str) -> None:
        """Chosen figures of all accounts, and again every three minutes."""
        self._summaries[request_id] = tags
        self._send_summary(request_id)

    def _send_summary(self, request_id: int) -> None:
        for account in self._ledger.accounts:
            for tag, value, currency in figures.summary(
                self._ledger, account, self._summaries[request_id], self._session.now
            ):
                self._session.send(answers.account_summary(request_id, account, tag, value, currency))
        self._session.send(answers.account_summary_end(request_id))

    def on_cancel_account_summary(self, request_id: int) -> None:
        """No more of them."""
        self._summaries.pop(request_id, None)

    def on_pnl(self, request_id: int, account: str, model: str) -> None:
        """Profit and loss of an account, about once a second."""
        self._pnl[request_id] = self._known(account), 0
        self.tell_pnl()

    def on_pnl_single(self, request_id: int, account: str, model: str, con_id: int) -> None:
        """Profit and loss of one position, about once a second."""
        self._pnl[request_id] = self._known(account), con_id
        self.tell_pnl()

    def on_cancel_pnl(self, request_id: int) -> None:
        """No more of it."""
        self._pnl.pop(request_id, None)

    def on_cancel_pnl_single(self, request_id: int) -> None:
        """No more of it."""
        self._pnl.pop(request_id, None)

    # -- news

    def tell_pnl(self) -> None:
        """Profit and loss to whoever follows it, unless something was arranged to be said instead."""
        faults, now = self._session.server.faults, self._session.now
        for request_id, (account, con_id) in self._pnl.items():
            if faults.pnl != "known":
                faults.fire(f"pnl_{faults.pnl}")
            if faults.pnl == "silent":
                continue
            if con_id:
                held, *known = figures.pnl_single(self._ledger, account, con_id, now)
                told = [None] * len(known) if faults.pnl == "unset" else known
                self._session.send(answers.pnl_single(request_id, held, *told))
            else:
                of_account = figures.pnl(self._ledger, account, now)
                self._session.send(
                    answers.pnl(
                        request_id, *([None] * len(of_account) if faults.pnl == "unset" else of_account)
                    )
                )

    def tell_change(self, account: str, con_id: int) -> None:
        """A position or the money of an account changed."""
        held = self._ledger.positions.get((account, con_id))
        if held is not None and self._follows_positions:
            self._session.send(answers.position(held))
        for request_id, followed in self._positions_multi.items():
            if held is not None and followed == account:
                self._session.send(answers.position_multi(request_id, held))
        if self._followed == account:
            if held is not None:
                self._session.send(answers.portfolio(held, self._ledger.price(con_id, self._session.now)))
            self._send_figures()

    def refresh(self) -> None:
        """Everything that TWS repeats every three minutes."""
        if self._followed:
            self.on_account_updates(True, self._followed)
        for request_id in self._summaries:
            self._send_summary(request_id)
