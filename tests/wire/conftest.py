"""A world and a bot for each test, on free ports and in a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import kit


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[kit.House]:
    """The simulated world, and the means to start a bot in it."""
    async with kit.house(tmp_path) as made:
        yield made


@pytest.fixture
async def live(house: kit.House) -> AsyncIterator[kit.House]:
    """The same with the bot running in this process and ready."""
    async with house.bot():
        await house.ready()
        yield house
