"""A Trader Workstation for stocks, as its API clients see it: the socket protocol, a market, an account and its orders."""

from sim.tws.server import TwsServer

__all__ = ["TwsServer"]
