"""Values to rows and back: Decimal and times as text, so that nothing is ever rounded by the database."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from core.model import (
    Change,
    Execution,
    Instrument,
    Leg,
    OptionTerms,
    Order,
    OrderState,
    OrderType,
    Outgoing,
    Right,
    Role,
    Side,
    Ticket,
    TicketState,
    TimeInForce,
    plain,
    simple,
)


def text(value: datetime) -> str:
    """A time as sortable text, always UTC with microseconds."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def amount(value: str | None) -> Decimal | None:
    """A number that may be unknown."""
    return None if value is None else Decimal(value)


def moment(value: str | None) -> datetime | None:
    """A time that may not have come."""
    return None if value is None else datetime.fromisoformat(value)


def order(row: sqlite3.Row) -> Order:
    """A row of orders."""
    return Order(
        number=row["number"],
        order_ref=row["order_ref"],
        owner=row["owner"],
        account=row["account"],
        client_id=row["client_id"],
        order_id=row["order_id"],
        epoch=row["epoch"],
        con_id=row["con_id"],
        symbol=row["symbol"],
        currency=row["currency"],
        side=Side(row["side"]),
        quantity=Decimal(row["quantity"]),
        order_type=OrderType(row["order_type"]),
        limit_price=amount(row["limit_price"]),
        stop_price=amount(row["stop_price"]),
        tif=TimeInForce(row["tif"]),
        state=OrderState(row["state"]),
        sent_at=datetime.fromisoformat(row["sent_at"]),
        perm_id=row["perm_id"],
        filled=Decimal(row["filled"]),
        average_price=amount(row["average_price"]),
        reason=row["reason"],
        cancel_requested_at=moment(row["cancel_requested_at"]),
        role=Role(row["role"]),
        parent=row["parent"],
        oca=row["oca"],
        confirmed_quantity=amount(row["confirmed_quantity"]),
        decision_id=row["decision_id"],
        change=_change(row["change"]),
        worth=amount(row["worth"]),
        kind=row["kind"],
        option=OptionTerms.read(row["option"]),
        legs=_legs(json.loads(row["legs"])),
        name=row["name"],
        final_limit=amount(row["final_limit"]),
    )


def _legs(told: list[dict[str, Any]]) -> tuple[Leg, ...]:
    return tuple(Leg(leg["con_id"], leg["ratio"], _option(leg["option"])) for leg in told)


def _option(told: dict[str, Any] | None) -> OptionTerms | None:
    """From the JSON of a card."""
    if told is None:
        return None
    return OptionTerms(
        date.fromisoformat(told["expiry"]),
        Decimal(told["strike"]),
        Right(told["right"]),
        Decimal(told["multiplier"]),
        told["trading_class"],
    )


def _change(told: str | None) -> Change | None:
    if told is None:
        return None
    values = json.loads(told)
    return Change(
        values["ref"],
        Decimal(values["quantity"]),
        amount(values["limit_price"]),
        amount(values["stop_price"]),
        datetime.fromisoformat(values["asked_at"]),
    )


def execution(row: sqlite3.Row) -> Execution:
    """A row of executions."""
    return Execution(
        exec_id=row["exec_id"],
        account=row["account"],
        con_id=row["con_id"],
        symbol=row["symbol"],
        currency=row["currency"],
        side=Side(row["side"]),
        quantity=Decimal(row["quantity"]),
        price=Decimal(row["price"]),
        time=datetime.fromisoformat(row["time"]),
        client_id=row["client_id"],
        order_id=row["order_id"],
        perm_id=row["perm_id"],
        order_ref=row["order_ref"],
        kind=row["kind"],
        option=OptionTerms.read(row["option"]),
    )


def ticket(row: sqlite3.Row) -> Ticket:
    """A row of tickets; the state of the row is the one that counts."""
    told: dict[str, Any] = json.loads(row["ticket"])
    thing = told.pop("instrument")
    return Ticket(
        **{
            **told,
            "instrument": Instrument(
                **{
                    **thing,
                    "min_tick": Decimal(thing["min_tick"]),
                    "multiplier": Decimal(thing["multiplier"]),
                    "option": _option(thing.get("option")),
                    "legs": _legs(thing.get("legs", [])),
                    "steps": tuple((Decimal(a), Decimal(b)) for a, b in thing.get("steps", [])),
                }
            ),
            "side": Side(told["side"]),
            "quantity": Decimal(told["quantity"]),
            "order_type": OrderType(told["order_type"]),
            "limit_price": amount(told["limit_price"]),
            "stop_price": amount(told["stop_price"]),
            "tif": TimeInForce(told["tif"]),
            "stop_loss": amount(told.get("stop_loss")),
            "take_profit": amount(told.get("take_profit")),
            "final_limit": amount(told.get("final_limit")),
            "reference_price": Decimal(told["reference_price"]),
            "created_at": datetime.fromisoformat(told["created_at"]),
            "expires_at": datetime.fromisoformat(told["expires_at"]),
            "state": TicketState(row["state"]),
        }
    )


def outgoing(row: sqlite3.Row) -> Outgoing:
    """A row of messages."""
    return Outgoing(
        chat=row["chat"],
        kind=row["kind"],
        created_at=datetime.fromisoformat(row["created_at"]),
        text=row["text"],
        buttons=tuple(
            tuple((label, action) for label, action in line) for line in json.loads(row["buttons"])
        ),
        data=json.loads(row["data"]),
        subject=row["subject"],
        is_edit=bool(row["is_edit"]),
        urgent=bool(row["urgent"]),
        id=row["id"],
        picture=row["picture"],
    )


def columns(value: Any) -> dict[str, Any]:
    """A flat dataclass as the columns of its table: text for Decimal and times, a change as JSON, mappings as they are in JSON, the rest as it is."""
    return {field.name: _column(field.name, getattr(value, field.name)) for field in fields(value)}


def _column(name: str, entry: Any) -> Any:
    if name == "option":
        return "" if entry is None else entry.written()
    if name == "legs":
        return json.dumps([plain(leg) for leg in entry])
    if isinstance(entry, Decimal):
        return f"{entry:f}"
    if isinstance(entry, datetime):
        return text(entry)
    if isinstance(entry, Change):
        return json.dumps(plain(entry))
    return simple(entry) if isinstance(entry, Mapping) else entry


def insert(
    db: sqlite3.Connection, table: str, values: Mapping[str, Any], on_conflict: str = ""
) -> sqlite3.Cursor:
    """INSERT a row from a mapping of column names, which come from this program and never from a person."""
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    return db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks}) {on_conflict}", dict(values))
