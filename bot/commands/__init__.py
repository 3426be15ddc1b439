"""One file per subject. Importing this package registers every command and button."""

from bot.commands import account, analyst, books, panic, system, trade

__all__ = ["account", "analyst", "books", "panic", "system", "trade"]
