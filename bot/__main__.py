"""`python -m bot`: the bot against the world that .env names, until Ctrl-C or SIGTERM."""

import asyncio
import signal
import sys

from bot.settings import SettingsError, load


def main() -> int:
    """Run until told to stop. Returns the exit code: 0 after a stop, 2 for settings that cannot be used, 1 for anything else."""
    try:
        settings = load()
    except SettingsError as wrong:
        print(f"Greenlight cannot start with these settings:\n{wrong}", file=sys.stderr)
        return 2
    return asyncio.run(_run(settings))


async def _run(settings: object) -> int:
    # Imported late, so that wrong settings are told at once and without the weight of the libraries.
    from telegram.error import InvalidToken

    from bot.app import running
    from bot.redaction import set_up
    from bot.settings import Settings
    from core.errors import GreenlightError

    assert isinstance(settings, Settings)
    secrets = [settings.telegram_bot_token, settings.anthropic_api_key]
    set_up(settings.log_level, [secret.get_secret_value() for secret in secrets if secret is not None])
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        async with running(settings) as (_, life):
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({life, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                life.result()
            stopping.cancel()
    except GreenlightError as problem:
        print(f"Greenlight cannot start: {problem}", file=sys.stderr)
        return 1
    except BaseExceptionGroup as several:
        if several.subgroup(InvalidToken):
            print(
                "TELEGRAM_BOT_TOKEN: Telegram does not know this token; ask @BotFather for the right one.",
                file=sys.stderr,
            )
            return 2
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
