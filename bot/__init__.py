"""The chat: what a phone sees. Knows Telegram, decides nothing about money."""

import os

# python-telegram-bot 22 warns at every flood limit unless it may tell it as a timedelta.
os.environ.setdefault("PTB_TIMEDELTA", "true")
