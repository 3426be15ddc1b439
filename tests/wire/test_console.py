"""`greenlight halt` beside the real bot, each a process of its own: with Telegram down, the disk full, the broker away, and the bot stopped."""

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from bot.console import door_of
from bot.halt import AT_START
from core.model import Trading, TradingState
from core.trading import KEY, of_text
from tests.kit import House, Json, end
from tests.wire.faults import approve, resting, said
from tests.wire.test_disk import OVER, fill_up, forbid_growth, run, small_disk
from tests.wire.test_robust import working

pytestmark = pytest.mark.skipif(
    len(os.fsencode(os.getcwd())) > 10_000, reason="never"
)
