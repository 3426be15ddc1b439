"""What was asked of the model and what it decided, as rows: small functions for the ledger, each inside a transaction of its caller."""

import json
import sqlite3
from datetime import date, datetime
from decimal import Decimal

from core.decision import Decision
from core.model import ModelCall, Outcome, ProposedPlan, StoredDecision, plain
from storage import rows

_MADE = "at >= :since AND outcome <> 'spend_cap'"
_FREE = "('overloaded', 'rate_limited', 'auth', 'unreachable')"
"""Outcomes without an answer that anybody would have to pay for."""


def save_call(db: sqlite3.Connection, call: ModelCall) -> None:
    """One call, for good."""
    rows.insert(db, "model_calls", rows.columns(call))


def call(db: sqlite3.Connection, call_id: str) -> ModelCall | None:
    """A call by its id."""
    row = db.execute("SELECT * FROM model_calls WHERE call_id = ?", (call_id,)).fetchone()
    if row is None:
        return None
    told = {
        **row,
        "at": datetime.fromisoformat(row["at"]),
        "outcome": Outcome(row["outcome"]),
        "cost": rows.amount(row["cost"]),
    }
    return ModelCall(**told)


def spent_since(db: sqlite3.Connection, since: datetime) -> tuple[int, Decimal, int]:
    """(calls, dollars, unpriced). A call that a spending limit kept from being answered is none."""
    found = db.execute(
        f"SELECT cost, outcome NOT IN {_FREE} FROM model_calls WHERE {_MADE}", {"since": rows.text(since)}
    ).fetchall()
    dollars = sum((Decimal(cost) for cost, _ in found if cost is not None), Decimal(0))
    return len(found), dollars, sum(1 for cost, answered in found if cost is None and answered)


def stored(
    call: ModelCall, decision: Decision, con_id: int, reference_price: Decimal | None, demo: bool
) -> StoredDecision:
    """A decision as it is kept: under the id and the time of its call."""
    return StoredDecision(
        decision_id=call.call_id,
        ticker=decision.ticker,
        con_id=con_id,
        verdict=decision.verdict.value,
        confidence=decision.confidence,
        time_horizon=decision.time_horizon,
        reference_price=reference_price,
        target_price=decision.target_price,
        stop_loss=decision.stop_loss,
        reasoning=decision.reasoning,
        bear_case=decision.bear_case,
        evidence=tuple((item.fact, item.says) for item in decision.evidence),
        injection_suspected=decision.injection_suspected,
        demo=demo,
        at=call.at,
        option_plan=decision.option_plan,
    )


def save_decision(db: sqlite3.Connection, decision: StoredDecision) -> None:
    """One decision, for good; its call must be there."""
    plan = decision.option_plan
    told = {
        **rows.columns(decision),
        "evidence": json.dumps(decision.evidence),
        "option_plan": None if plan is None else json.dumps(plain(plan)),
    }
    rows.insert(db, "decisions", told)


def decision(db: sqlite3.Connection, decision_id: str) -> StoredDecision | None:
    """A decision by its id."""
    row = db.execute("SELECT * FROM decisions WHERE decision_id = ?", (decision_id,)).fetchone()
    if row is None:
        return None
    told = {
        **row,
        "reference_price": rows.amount(row["reference_price"]),
        "target_price": rows.amount(row["target_price"]),
        "stop_loss": rows.amount(row["stop_loss"]),
        "evidence": tuple((fact, says) for fact, says in json.loads(row["evidence"])),
        "injection_suspected": bool(row["injection_suspected"]),
        "demo": bool(row["demo"]),
        "at": datetime.fromisoformat(row["at"]),
        "option_plan": _plan(row["option_plan"]),
    }
    return StoredDecision(**told)


def _plan(told: str | None) -> ProposedPlan | None:
    if told is None:
        return None
    plan = json.loads(told)
    strikes = tuple(Decimal(strike) for strike in plan["strikes"])
    return ProposedPlan(plan["strategy"], date.fromisoformat(plan["expiry"]), strikes, plan["why"])
