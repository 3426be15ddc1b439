"""The trading desk: what may leave for the market, and what came back. Knows no Telegram and no SQL."""
