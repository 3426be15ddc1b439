"""A Messages API on loopback: the real anthropic SDK talks to a rule-based demo analyst, to scripted answers, and to every failure on demand."""

from sim.model.server import ModelServer

__all__ = ["ModelServer"]
