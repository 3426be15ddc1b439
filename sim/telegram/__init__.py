"""A Telegram for one bot on loopback: the Bot API for the program, a chat page for the person."""

from sim.telegram.server import TelegramServer

__all__ = ["TelegramServer"]
