"""The trade history as it is shown: executions as people count them."""

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from zoneinfo import ZoneInfo

from bot.text import added, local, money, net_price, plain_price, quantity, verb_and_name, way
from core.exercise import Ending, endings
from core.model import Execution, Side, Trade


def trade_lines(trades: Sequence[Trade], zone: ZoneInfo) -> list[str]:
    """Trades as people count them: each fill of a combination once, with its legs below, and the end of an option with the shares it moved.

    They stay in the order in which they are told.
    """
    ended = {e.option.key: e for e in endings(t.execution for t in trades)}
    shares = {e.shares.key: e.option.key for e in ended.values() if e.shares is not None}
    by_key = {t.execution.key: t for t in trades}
    wholes = {_fill_of(t): t for t in trades if not t.execution.moves_holding}
    legs: dict[tuple[str, str, int, str], list[Trade]] = {fill: [] for fill in wholes}
    for trade in sorted(trades, key=lambda t: t.execution.key):
        if trade.execution.moves_holding and _fill_of(trade) in wholes:
            legs[_fill_of(trade)].append(trade)
    lines = []
    for trade in trades:
        key = trade.execution.key
        if key in ended:
            moved = ended[key].shares
            lines.append(_end_line(ended[key], trade, None if moved is None else by_key[moved.key], zone))
        elif not trade.execution.moves_holding:
            lines.append(_whole_line(trade, legs[_fill_of(trade)], zone))
        elif key not in shares and _fill_of(trade) not in wholes:
            lines.append(trade_line(trade, zone))
    return lines


def _fill_of(trade: Trade) -> tuple[str, str, int, str]:
    """What the parts of one fill of a combination have in common: their order, and the id before the number of the part."""
    done = trade.execution
    return (done.account, done.order_ref, done.perm_id, done.key.rpartition(".")[0])


def trade_line(trade: Trade, zone: ZoneInfo) -> str:
    """One execution, and the combination that it is a leg of, where it is one."""
    done = trade.execution
    strategy = f"\n   of {escape(trade.strategy)}" if trade.strategy else ""
    return (
        f"<b>{_traded(done)}</b>\n   {money(done.quantity * done.price * done.multiplier, done.currency)} · {_costs([trade])}"
        f"{_gains([trade])}{strategy}\n   {_when(trade, zone)}"
    )


def _traded(done: Execution) -> str:
    return f"{done.side} {quantity(done.quantity)} {escape(done.label)} @ {plain_price(done.price)}"


def _whole_line(whole: Trade, legs: Sequence[Trade], zone: ZoneInfo) -> str:
    """One fill of a combination: its net, what its legs came to in money, and the legs."""
    done = whole.execution
    verb, name = verb_and_name(done.side, whole.strategy or f"{done.symbol} combination")
    parts = [t.execution for t in legs]
    total = sum((e.side.sign * e.quantity * e.price * e.multiplier for e in parts), Decimal(0))
    paid = f"{way(total)} {money(abs(total), done.currency)}" if parts else "legs not reported yet"
    lines = [
        f"<b>{verb} {quantity(done.quantity)} {escape(name)} {net_price(done.price * done.side.sign)}</b>",
        f"   {paid} · {_costs(legs)}{_gains(legs)}",
        *(f"   {_traded(e)}" for e in parts),
        f"   {_when(whole, zone)}",
    ]
    return "\n".join(lines)


def _end_line(ending: Ending, trade: Trade, moved: Trade | None, zone: ZoneInfo) -> str:
    """How an option came to its end, and the shares that moved with it at the strike."""
    option, of = ending.option, [trade] if moved is None else [trade, moved]
    lines = [f"<b>{ending.how} {quantity(option.quantity)} {escape(option.label)}</b>"]
    if moved is not None:
        done = moved.execution
        lines.append(f"   {_traded(done)} · {money(done.quantity * done.price, done.currency)}")
    charged = [t for t in of if t.commission]
    lines += [f"   {_costs(charged)}"] if charged else []  # the broker takes nothing for it as a rule
    lines += [gain.lstrip("\n")] if (gain := _gains(of[-1:])) else []  # of an exercise, that of the shares
    return "\n".join([*lines, f"   {_when(trade, zone)}"])


def _costs(trades: Sequence[Trade]) -> str:
    """What the broker took for all of them; a dash where one is not known."""
    currencies = {t.commission_currency for t in trades}
    total = added(t.commission for t in trades) if len(currencies) == 1 else None
    return "commission –" if total is None else f"commission {money(total, currencies.pop() or '')}"


def _gains(trades: Sequence[Trade]) -> str:
    """What the broker says they brought, in a line of its own; empty for what only opened, and where it has not said."""
    gain = added(t.realized for t in trades)
    closes = any(t.execution.side is Side.SELL and t.execution.option is None for t in trades)
    if not trades or gain is None or not (closes or (gain and any(t.execution.option for t in trades))):
        return ""
    return f"\n   realised {money(gain, trades[0].execution.currency, signed=True)}"


def _when(trade: Trade, zone: ZoneInfo) -> str:
    which = f" · #{trade.order_number}" if trade.order_number else ""
    which += f" · AI {trade.confidence}%" if trade.confidence is not None else ""
    return f"{local(trade.execution.time, zone)}{which}"
