"""One file per subject. Importing this package registers every command and button."""

from bot.commands import account, analyst, books, options, panic, system, trade

__all__ = ["account", "analyst", "books", "options", "panic", "system", "trade"]
