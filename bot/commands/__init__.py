"""One file per subject. Importing this package registers every command and button."""

from bot.commands import account, system, trade

__all__ = ["account", "system", "trade"]
