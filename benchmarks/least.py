"""The least program that turns a tap into an order: stock python-telegram-bot, one handler, whose first statement is placeOrder.

No authorisation, no check, no database, no answer to whoever tapped twice: the yardstick for what all of that may cost.
"""

import asyncio
import os

import ib_async
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.ext import Application, CallbackQueryHandler, ContextTypes


async def _main() -> None:
    broker = ib_async.IB()
    await broker.connectAsync("127.0.0.1", int(os.environ["IBKR_PORT"]), 0)
    (share,) = await broker.qualifyContractsAsync(ib_async.Stock("AAPL", "SMART", "USD"))
    assert isinstance(share, ib_async.Contract)

    async def tapped(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
        broker.placeOrder(share, ib_async.MarketOrder("BUY", 1))
        if update.callback_query:
            await update.callback_query.answer()

    root = os.environ["TELEGRAM_API_URL"]
    chat = Application.builder().token(os.environ["TELEGRAM_BOT_TOKEN"]).base_url(f"{root}/bot").build()
    chat.add_handler(CallbackQueryHandler(tapped))
    async with chat:
        await chat.start()
        assert chat.updater is not None
        await chat.updater.start_polling()
        await chat.bot.send_message(
            int(os.environ["TELEGRAM_ALLOWED_USERS"]),
            "Connected",
            reply_markup=InlineKeyboardMarkup([[InlineKeyboardButton("Send", callback_data="send")]]),
        )
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
