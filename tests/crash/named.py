"""The crashes in the life of an order by name: where each falls, and what is wrong with the world besides."""

from typing import Any

Row = tuple[str, str, str, tuple[tuple[str, dict[str, Any]], ...]]

FAULTS: tuple[Row, ...] = (
    ("update fetched, not stored", "market", "answered getUpdates", ()),
    ("update stored, not answered", "limit", "after COMMIT finish", ()),
    ("answer on its way", "limit", "before sendMessage", ()),
    ("risk passed, intent not committed", "market", "before COMMIT record_sending", ()),
    ("intent committed, not sent", "market", "after COMMIT record_sending", ()),
    ("SENDING committed, not written", "limit", "resumed after COMMIT record_sending", ()),
    ("written, broker never got it", "market", "after send placeOrder", (("/tws/swallow", {"count": 1}),)),
    ("broker got it, no acknowledgement", "limit", "after send placeOrder", (("/tws/no_ack", {"count": 1}),)),
    ("acknowledged, not committed", "limit", "heard OrderReport", ()),
    ("acknowledgement committed, no message", "limit", "after COMMIT record", ()),
    ("execution received, not committed", "fill", "heard Execution", ()),
    ("execution committed, no commission", "fill", "before COMMIT record", (("/tws/commissions", {"mode": "never"}),)),
    ("commission first", "fill", "heard Execution", (("/tws/commissions", {"mode": "before"}),)),
    ("fill committed, alert not sent", "fill", "before sendMessage", ()),
    ("alert sent, not marked", "fill", "answered sendMessage", ()),
    ("cancel intent", "cancel", "after COMMIT record_cancel", ()),
    ("cancel written", "cancel", "after send cancelOrder", ()),
    ("fill races cancel", "race", "after send cancelOrder", (("/tws/cancels", {"mode": "hold"}),)),
    ("modify written", "modify", "after send placeOrder", ()),
    ("bracket parent sent, children not", "bracket", "after send placeOrder#1", ()),
    ("protection down, not sold", "sale", "before COMMIT move_closing", ()),
    ("proposal approved, not sent", "approve", "after COMMIT record_sending", ()),
    ("part of a fill", "partial", "after COMMIT record", ()),
    ("correction heard, not committed", "correct", "heard Execution", ()),
    ("inside reconcile, asking", "away", "after send reqExecutions", ()),
    ("inside reconcile, writing", "away", "before COMMIT record", ()),
    ("inside a reconnect", "cut", "after send startApi", ()),
    ("halt set, nothing cancelled", "halt", "after COMMIT keep_trading", ()),
    ("halt set, cancels half sent", "halt", "after send cancelOrder#1", ()),
    ("flatten between two sales", "flatten", "after send placeOrder#1", ()),
    ("inside a migration", "first", "migration step", ()),
)  # fmt: skip
"""(name, flow, boundary, trouble): `#1` behind a boundary is the first time that it is passed; without, any time will do."""
