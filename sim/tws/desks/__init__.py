"""Who answers a client's requests: one desk each for orders, the account, market data and everything else.

A method `on_NAME` answers the request of that name; its parameters are the request's arguments.
"""

from sim.tws.desks.account import AccountDesk
from sim.tws.desks.data import DataDesk
from sim.tws.desks.info import InfoDesk
from sim.tws.desks.orders import OrderDesk

__all__ = ["AccountDesk", "DataDesk", "InfoDesk", "OrderDesk"]
