"""Orders and executions as the control port shows them: JSON with numbers as strings."""

from decimal import Decimal
from typing import Any

from sim.tws.book import Execution, Order
from sim.tws.contracts import BY_ID, Instrument


def describe_instrument(instrument: Instrument) -> dict[str, Any]:
    """What something is beyond its symbol: the terms of an option."""
    told: dict[str, Any] = {"type": instrument.sec_type}
    if instrument.expiry is not None:
        told |= {
            "expiry": f"{instrument.expiry:%Y%m%d}",
            "strike": str(instrument.strike),
            "right": instrument.right,
        }
        told |= {"local_symbol": instrument.local_symbol, "multiplier": str(instrument.multiplier)}
    return told


def describe_order(order: Order) -> dict[str, Any]:
    terms = order.terms
    return {
        "perm_id": order.perm_id, "client": order.client_id, "order_id": order.order_id, "ref": terms.ref, "account": order.account,
        "symbol": order.instrument.symbol, "con_id": order.con_id, "side": terms.action, "quantity": str(terms.quantity), "type": terms.type,
        "limit": _text(terms.limit), "aux": _text(terms.aux), "stop": _text(order.stop), "tif": terms.tif,
        "status": order.status or "Untransmitted", "why_held": order.why_held, "held": order.held, "filled": str(order.filled),
        "average": str(order.average), "parent": order.parent_perm_id, "oca_group": terms.oca_group, "manual": order.manual,
        "contract": describe_instrument(order.instrument),
        "legs": [{"con_id": leg.con_id, "ratio": leg.ratio, "side": leg.action} | describe_instrument(BY_ID[leg.con_id]) for leg in terms.legs],
        "created": order.created.isoformat(), "received_ns": order.received_ns,
    }  # fmt: skip


def describe_execution(execution: Execution) -> dict[str, Any]:
    return {
        "exec_id": execution.exec_id, "perm_id": execution.perm_id, "client": execution.client_id, "order_id": execution.order_id,
        "ref": execution.ref, "account": execution.account, "symbol": execution.instrument.symbol,
        "con_id": execution.con_id, "contract": describe_instrument(execution.instrument), "side": execution.side,
        "quantity": str(execution.quantity), "price": str(execution.price), "at": execution.at.isoformat(),
        "commission": str(execution.commission), "realized": str(execution.realized), "reported": execution.reported,
        "superseded": execution.superseded,
    }  # fmt: skip


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
