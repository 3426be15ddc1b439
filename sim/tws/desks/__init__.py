"""Who answers a client's requests: a desk each for orders, the account, market data, bars, single ticks and everything else.

A method `on_NAME` answers the request of that name; its parameters are the request's arguments.
"""

from sim.tws.desks.account import AccountDesk
from sim.tws.desks.bars import BarDesk
from sim.tws.desks.data import DataDesk
from sim.tws.desks.info import InfoDesk
from sim.tws.desks.orders import OrderDesk
from sim.tws.desks.ticks import TickDesk

__all__ = ["AccountDesk", "BarDesk", "DataDesk", "InfoDesk", "OrderDesk", "TickDesk"]
