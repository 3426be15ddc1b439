"""What the account holds and what it did: /positions, /orders, /trades."""

from decimal import Decimal
from html import escape

from bot import history, notices, plans, text
from bot.command import Caller, Symbol, button, command
from bot.reply import Reply
from bot.services import Desk
from core.errors import BrokerError
from core.model import Instrument, Position
from core.options import recognise

TRADES, PARTS = 20, 200
"""How many trades are shown, and how many executions are looked at for them: one of a combination has several."""


@command("/positions [SYMBOL]")
async def positions(desk: Desk, who: Caller, symbol: Symbol | None = None) -> Reply:
    """What you hold: shares, options and strategies with cost, value and gain, and the total.

    Options that belong together are shown as one strategy, also where they were opened elsewhere; Close and Roll do all of it as one order.
    Prices are those of the broker's last account update, or live where a quote is being watched.
    """
    held = desk.broker.positions
    link = desk.broker.link
    if held is None:
        why = link.trouble or "They load a few seconds after connecting."
        if not link.wanted:
            why = "Disconnected at your wish; /connect brings it back."
        return Reply(f"⚠️ The positions are not known now. {escape(why)}")
    mine = [p for p in held if p.signed_quantity and (symbol is None or p.symbol == symbol)]
    drifts = [d for d in desk.executor.drifts if symbol in (None, d.symbol)]
    if not mine and not drifts:
        what = f"No position in {symbol}." if symbol else "No positions: the account holds nothing."
        return Reply(f"{what}\n{text.badge(link)}")
    if symbol is not None:
        mine = [await _with_price(desk, p) for p in mine]
    groups = [g for g in recognise.groups(mine) if symbol in (None, g.symbol)]
    body = [*plans.held_lines(groups, desk.planner.today), *text.total_lines(mine)]
    lines = ["<b>Positions</b>", text.badge(link), "", *body, *text.drift_lines(drifts)]
    return Reply("\n".join(lines), (*plans.group_buttons(groups), *text.drift_buttons(drifts)))


@button("takeover")
async def take_over(desk: Desk, who: Caller, what: str) -> Reply:
    """The broker's figure of a holding that the books do not explain is taken over into them."""
    con_id, _, told = what.partition(":")
    drift = await desk.executor.take_over(int(con_id), Decimal(told), who.origin)
    more = drift.told - drift.reckoned
    return Reply(
        f"✅ The books have the broker's {text.quantity(drift.told)} {escape(drift.symbol)} now: {text.quantity(abs(more))} "
        f"{'more' if more > 0 else 'fewer'}, with the broker's average cost. What is derived from it (/lots) is marked provisional.\n"
        f"{text.badge(desk.broker.link)}"
    )


async def _with_price(desk: Desk, position: Position) -> Position:
    """The same holding at a live quote, where one can be had."""
    try:
        instrument: Instrument = await desk.broker.find(position.symbol)
        await desk.broker.quote(instrument, 15.0, 60.0)
    except BrokerError:
        return position
    return next((p for p in desk.broker.positions or () if p.con_id == position.con_id), position)


@command("/orders")
async def orders(desk: Desk, who: Caller) -> Reply:
    """The orders that can still trade, each with a button to cancel it.

    Orders that were placed elsewhere (in TWS, by another program) are marked EXTERNAL.
    """
    working = desk.executor.orders
    badge = text.badge(desk.broker.link)
    if not working:
        return Reply(f"No open orders.\n{badge}")
    by_number = {order.number: order for order in working}
    lines = ["<b>Open orders</b>", badge]
    lines += [
        f"\n<b>{text.terms(order)}</b>{' · EXTERNAL' if order.external else ''}\n"
        f"{text.order_state(order, by_number.get(order.parent or 0), await notices.opening(desk, order))}"
        for order in working[-25:]
    ]
    if len(working) > 25:
        lines.append(f"\n… and {len(working) - 25} older ones.")
    if not desk.broker.link.reconciled:
        back = "" if desk.broker.link.wanted else " /connect brings the broker back."
        lines.append(f"\n⚠️ Not connected: this is how they stood when the broker was last heard.{back}")
    buttons = tuple((text.cancel_button(order),) for order in working[-8:] if not order.cancel_requested_at)
    return Reply("\n".join(lines), buttons)


@command("/trades")
async def trades(desk: Desk, who: Caller) -> Reply:
    """The last twenty fills, with their commissions.

    A dash stands for a commission that the broker has not reported yet. A combination is one fill, with its legs below it.
    """
    found = await desk.ledger.trades(PARTS)
    badge = text.badge(desk.broker.link)
    if not found:
        return Reply(f"No trades yet.\n{badge}")
    zone = desk.settings.timezone
    lines = history.trade_lines(found, zone)[:TRADES]
    return Reply("\n".join(["<b>Trades</b>", badge, "", *lines]))
