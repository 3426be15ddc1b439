"""The three books against each other: the broker's, the bot's file, and what a person saw. Written apart from the bot, and knows only SQL and JSON.

Every line that is returned is a difference: something that the promise does not allow. `Tally` counts what it allows and is worth knowing.
"""

import json
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.crash import lots

Json = dict[str, Any]
Row = dict[str, Any]

STATES = {
    "PreSubmitted": {"WORKING", "PARTIAL"},
    "Submitted": {"WORKING", "PARTIAL"},
    "PendingCancel": {"WORKING", "PARTIAL"},
    "Filled": {"FILLED"},
    "Cancelled": {"CANCELLED"},
    "Inactive": {"REJECTED", "SUSPENDED"},
}
"""What the file may say of an order that the broker has in a status."""
OPEN = ("PreSubmitted", "Submitted", "PendingCancel")
SHOWN = {
    "WORKING": "working|waits for",
    "PARTIAL": "partly filled",
    "FILLED": "FILLED",
    "CANCELLED": "cancelled",
    "REJECTED": "REJECTED",
    "SUSPENDED": "held by the broker",
    "NOT_AT_BROKER": "not at the broker",
}
"""How a card says a state."""
NEWS = {"FILLED": "FILLED", "CANCELLED": "Cancelled|cancelled", "REJECTED": "REJECTED", "NOT_AT_BROKER": "Not at the broker|not at the broker"}  # fmt: skip


@dataclass
class Books:
    """What the three of them say at the end of a run."""

    book: Json
    chat: Sequence[Json]
    said: Sequence[str]
    """Every text that the bot ever sent or edited to, in order."""
    tables: dict[str, list[Row]]
    approved: Sequence[str]
    waiting: int
    complaints: Sequence[str]
    log: str
    lots: str = ""
    """What the chat says of the lots of `symbol`; empty where nobody asked."""
    symbol: str = ""
    positions: str = ""
    """What it says of the holdings of that symbol."""
    events: Sequence[Json] = ()
    """What the broker saw, in order."""
    sends: int | None = None
    """How many orders and changes the bot wrote to the socket; None where that cannot be known."""
    tally: Counter[str] = field(default_factory=Counter)


TABLES = (
    "orders",
    "executions",
    "commissions",
    "tickets",
    "updates",
    "messages",
    "closings",
    "opening_lots",
    "jobs",
    "wishes",
)


def read(database: Path) -> dict[str, list[Row]]:
    """The bot's file, as it is on the disk."""
    books = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    books.row_factory = sqlite3.Row
    try:
        return {name: [dict(row) for row in books.execute(f"SELECT * FROM {name}")] for name in TABLES}
    finally:
        books.close()


def _lots(books: Books) -> Iterator[str]:
    """What the chat says of lots and of what was closed is what the broker's book comes to."""
    if books.symbol:
        openings = {
            lot["con_id"]: (Decimal(lot["signed_quantity"]), Decimal(lot["average_cost"]))
            for lot in books.tables["opening_lots"]
        }
        yield from lots.differences(books.book, openings, books.symbol, books.lots)
        yield from lots.held_differently(books.book, books.symbol, books.positions)


def differences(books: Books) -> list[str]:
    """Everything in which the books do not tell one story."""
    found: list[str] = list(books.complaints)
    for check in (
        _changes,
        _jobs,
        _children,
        _life,
        _approvals,
        _orders,
        _absent,
        _executions,
        _combinations,
        _limits,
        _sends,
        _positions,
        _covered,
        _ends,
        _lots,
        _brackets,
        _cancels,
        _halted,
        _cards,
        _news,
        _ways,
    ):
        found += check(books)
    return found


def _life(books: Books) -> Iterator[str]:
    """Nothing unforeseen happened in the bot."""
    for line in books.log.splitlines():
        # ib_async calls every answer of the broker that is no good news an error.
        if re.search(r"\b(ERROR|CRITICAL)\b", line[:60]) and "ib_async" not in line[:60]:
            yield f"the log has an error: {line[:200]}"


def _ours(books: Books) -> list[Json]:
    return [o for o in books.book["orders"] if not o["manual"] and o["client"] == 0 and o["ref"]]


def _card(ref: str) -> str:
    return ref.partition(".")[0]


def _approvals(books: Books) -> Iterator[str]:
    """Every order comes from one approved card, and no card has two."""
    refs = Counter(o["ref"] for o in _ours(books))
    for ref, count in refs.items():
        if count > 1:
            yield f"{count} orders at the broker have the reference {ref}"
        if _card(ref) not in books.approved:
            yield f"the order {ref} at the broker was never approved"
    tickets = {t["ticket_id"]: t for t in books.tables["tickets"]}
    for ref in refs:
        ticket = tickets.get(_card(ref))
        if ticket is None or ticket["state"] != "sent":
            yield f"the order {ref} is at the broker, its card is {ticket and ticket['state']}"
    with_order = {_card(o["order_ref"]) for o in books.tables["orders"]} | {
        c["ticket_id"] for c in books.tables["closings"]
    }
    for name, ticket in tickets.items():
        if (
            ticket["state"] == "sent"
            and name not in with_order
            and not json.loads(ticket["ticket"]).get("modifies")
        ):
            yield f"the card {name} was sent, and there is no order of it"
    for name in set(books.approved):
        ticket = tickets.get(name)
        if ticket is None:
            yield f"the card {name} was tapped and is not in the file"
        elif ticket["state"] == "open" and not any("Not sent" in text for text in books.said):
            yield f"the card {name} was tapped, is still open, and nobody said why"


def _orders(books: Books) -> Iterator[str]:
    """What the broker has is in the file, and is the same."""
    mine = {o["order_ref"]: o for o in books.tables["orders"] if o["owner"] is not None}
    by_perm = {o["perm_id"]: o for o in books.tables["orders"]}
    for told in _ours(books):
        name, ours = f"{told['ref']} ({told['status']})", mine.get(told["ref"])
        if ours is None:
            yield f"the broker has {name}, the file does not"
            continue
        if told["status"] == "Untransmitted":
            books.tally["untransmitted at the broker"] += 1
            if ours["state"] != "NOT_AT_BROKER":
                yield f"{name} was never transmitted, the file says {ours['state']}"
            continue
        if ours["state"] not in STATES[told["status"]]:
            yield f"the broker has {name}, the file says {ours['state']}"
        for theirs, our in (
            ("filled", "filled"),
            ("quantity", "quantity"),
            ("limit", "limit_price"),
            ("perm_id", "perm_id"),
        ):
            if _number(told[theirs]) != _number(ours[our]):
                yield f"{name}: {our} is {told[theirs]} at the broker and {ours[our]} in the file"
        if Decimal(told["filled"]) and _number(told["average"]) != _number(ours["average_price"]):
            yield f"{name}: average is {told['average']} at the broker and {ours['average_price']} in the file"
    for told in books.book["orders"]:
        if not told["manual"]:
            continue
        ours = by_perm.get(told["perm_id"])
        if ours is None and told["status"] in OPEN:
            yield f"the broker has {told['perm_id']} by hand ({told['status']}), the file does not"
        if ours is not None and ours["owner"] is not None:
            yield f"the file calls {told['perm_id']} its own, it was typed by hand"
    strangers = [o["order_ref"] for o in books.tables["orders"] if o["owner"] is None and o["order_ref"] and o["order_ref"] in {t["ref"] for t in _ours(books)}]  # fmt: skip
    yield from (f"the file calls its own order {ref} a stranger's" for ref in strangers)


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _absent(books: Books) -> Iterator[str]:
    """What the broker does not have is said not to be there; nothing else is open in the file."""
    there = {o["ref"] for o in _ours(books)}
    for ours in books.tables["orders"]:
        if ours["owner"] is not None and ours["order_ref"] not in there:
            # A child whose parent was lost on the way is refused without being booked: that is an answer.
            refused = ours["role"] != "ENTRY" and ours["state"] == "REJECTED" and "(135)" in ours["reason"]
            books.tally["refused, never booked" if refused else "not at the broker"] += 1
            if ours["state"] != "NOT_AT_BROKER" and not refused:
                yield f"the file has #{ours['number']} {ours['order_ref']} as {ours['state']}, the broker never had it"


def _executions(books: Books) -> Iterator[str]:
    """Each fill once, in its newest revision, with what it cost."""

    def key(exec_id: str) -> str:
        return exec_id.rpartition(".")[0]

    theirs = {
        key(e["exec_id"]): (
            e["exec_id"],
            Decimal(e["quantity"]),
            Decimal(e["price"]),
            {"BOT": "BUY", "SLD": "SELL"}[e["side"]],
        )
        for e in books.book["executions"]
        if not e["superseded"]
    }
    ours = Counter(key(e["exec_id"]) for e in books.tables["executions"])
    yield from (
        f"the file has {count} rows of the execution {name}" for name, count in ours.items() if count > 1
    )
    rows = {
        key(e["exec_id"]): (e["exec_id"], Decimal(e["quantity"]), Decimal(e["price"]), e["side"])
        for e in books.tables["executions"]
    }
    for name in theirs.keys() | rows.keys():
        if theirs.get(name) != rows.get(name):
            yield f"execution {name}: {_words(theirs.get(name))} at the broker, {_words(rows.get(name))} in the file"
    costs = {key(c["exec_id"]): Decimal(c["amount"]) for c in books.tables["commissions"]}
    for e in books.book["executions"]:
        if e["reported"] and not e["superseded"] and costs.get(key(e["exec_id"])) != Decimal(e["commission"]):
            yield f"commission of {e['exec_id']}: {e['commission']} at the broker, {costs.get(key(e['exec_id']))} in the file"


def _words(execution: tuple[Any, ...] | None) -> str:
    return "nothing" if execution is None else " ".join(map(str, execution))


WHOLE = "BAG"


def _combinations(books: Books) -> Iterator[str]:
    """Of a combination the order is filled by its whole and the holdings move by its legs, in the ratios that were approved."""
    tickets = {t["ticket_id"]: json.loads(t["ticket"])["instrument"] for t in books.tables["tickets"]}
    theirs = {o["ref"]: o for o in _ours(books)}
    for ours in books.tables["orders"]:
        if ours["owner"] is None or ours["kind"] != WHOLE:
            continue
        name, ref = f"#{ours['number']} ({ours['name']})", ours["order_ref"]
        ratios = {leg["con_id"]: int(leg["ratio"]) for leg in json.loads(ours["legs"])}
        told = theirs.get(ref)
        if told is not None:
            at_broker = {
                leg["con_id"]: leg["ratio"] * (1 if leg["side"] == "BUY" else -1) for leg in told["legs"]
            }
            if at_broker != ratios:
                yield f"{name} has the legs {ratios}, at the broker {at_broker}"
        approved = {leg["con_id"]: int(leg["ratio"]) for leg in tickets[_card(ref)]["legs"]}
        if approved != ratios:
            yield f"{name} has the legs {ratios}, approved were {approved}"
        mine = [e for e in books.tables["executions"] if e["order_ref"] == ref]
        whole = sum((Decimal(e["quantity"]) for e in mine if e["kind"] == WHOLE), Decimal(0))
        if whole != Decimal(ours["filled"]):
            yield f"{name} is filled by {ours['filled']}, its executions as a whole are {whole}"
        for con_id, ratio in ratios.items():
            moved = sum(
                (
                    Decimal(e["quantity"]) * (1 if e["side"] == "BUY" else -1)
                    for e in mine
                    if e["con_id"] == con_id
                ),
                Decimal(0),
            )
            if moved != ratio * Decimal(ours["filled"]):
                yield f"{name}: {ours['filled']} are filled and the leg {con_id} (ratio {ratio}) moved by {moved}"


def _limits(books: Books) -> Iterator[str]:
    """No limit ever stood at the broker that was not on the card or between its two limits, and none went back."""
    for ticket in books.tables["tickets"]:
        terms = json.loads(ticket["ticket"])
        if terms.get("modifies") or terms.get("final_limit") is None:
            continue
        first, last = Decimal(terms["limit_price"]), Decimal(terms["final_limit"])
        stood = [
            Decimal(e["limit"])
            for e in books.events
            if e["kind"] == "order" and e["ref"] == ticket["ticket_id"] and e["limit"]
        ]
        way = (last - first).copy_abs() and (last - first) / (last - first).copy_abs()
        for before, after in zip([first, *stood], stood, strict=False):
            if not min(first, last) <= after <= max(first, last):
                yield f"{ticket['ticket_id']} stood at {after} at the broker, approved were {first} to {last}"
            if (after - before) * way < 0:
                yield f"the limit of {ticket['ticket_id']} went back from {before} to {after}"


def _sends(books: Books) -> Iterator[str]:
    """Where nothing else is wrong, every order and every change of its limit left once: as often as the broker saw other terms."""
    if books.sends is None:
        return
    seen = {
        (e["ref"], e["quantity"], e["limit"])
        for e in books.events
        if e["kind"] == "order" and not e["manual"]
    }
    if books.sends > len(seen):
        yield f"{books.sends} orders and changes were sent, the broker saw {len(seen)}"


def _covered(books: Books) -> Iterator[str]:
    """However it came about, a call that is owed has a call or shares behind it."""
    calls: dict[str, Decimal] = defaultdict(Decimal)
    for p in books.book["positions"]:
        kind, quantity = p["contract"]["type"], Decimal(p["quantity"])
        if kind == "STK":
            calls[p["symbol"]] += max(quantity, Decimal(0)) / 100
        elif p["contract"]["right"] == "C":
            calls[p["symbol"]] += quantity
    yield from (
        f"{-free} calls of {symbol} are owed and not covered" for symbol, free in calls.items() if free < 0
    )


def _ends(books: Books) -> Iterator[str]:
    """What became of each option without an order was said, as what it was, and written down once; so is every other nudge."""
    said = [m for m in books.tables["messages"] if m["kind"] in ("nudge", "option_ended")]
    for facts, count in Counter((m["kind"], m["data"], m["chat"]) for m in said).items():
        if count > 1:
            yield f"said {count} times: {facts[0]} {facts[1][:160]}"
    jobs = [j["job"] for j in books.tables["jobs"] if j["job"].startswith(("nudge:", "ended:"))]
    if len(jobs) != len(said):
        yield f"{len(jobs)} nudges and ends are marked as said, {len(said)} were"
    shares = {
        lots.event(e)
        for e in books.book["executions"]
        if lots.by_itself(e) and e["contract"]["type"] == "STK"
    }
    expected = 0
    for e in books.book["executions"]:
        if not lots.by_itself(e) or e["contract"]["type"] != "OPT":
            continue
        how = ("assigned" if e["side"] == "BOT" else "exercised") if lots.event(e) in shares else "expired"
        what = f"{_plain(e['quantity'])} {lots.label(e['symbol'], e['contract'])}"
        expected += 1
        shown = sum(bool(re.search(rf"{re.escape(what)} (was |were )?{how}", m["text"])) for m in books.chat)
        if not shown:
            yield f"nobody said that {what} was {how}"
        books.tally["ends shown twice"] += max(shown - 1, 0)
    if expected != sum(job.startswith("ended:") for job in jobs):
        yield f"{expected} options ended without an order, the file says {[j for j in jobs if j.startswith('ended:')]}"
    for m in books.tables["messages"]:
        if m["kind"] == "elsewhere" and any(map(lots.by_itself, books.book["executions"])):
            yield f"the end of an option was told as a trade elsewhere: {m['data'][:160]}"


def _positions(books: Books) -> Iterator[str]:
    """What the file knows of purchases and sales adds up to what is held."""
    held: dict[int, Decimal] = defaultdict(Decimal)
    for lot in books.tables["opening_lots"]:
        held[lot["con_id"]] += Decimal(lot["signed_quantity"])
    for e in books.tables["executions"]:
        if e["kind"] != WHOLE:  # of a combination the legs are held
            held[e["con_id"]] += Decimal(e["quantity"]) * (1 if e["side"] == "BUY" else -1)
    told = {p["con_id"]: Decimal(p["quantity"]) for p in books.book["positions"]}
    for con_id in held.keys() | told.keys():
        if held.get(con_id, 0) != told.get(con_id, 0):
            yield f"position of {con_id}: {told.get(con_id, 0)} at the broker, {held.get(con_id, 0)} in the file"
    moved: dict[int, Decimal] = defaultdict(Decimal)
    for e in filter(lots.by_itself, books.book["executions"]):
        moved[e["con_id"]] += Decimal(e["quantity"]) * (1 if e["side"] == "BOT" else -1)
    # By their own words too: the bot counts on while it lives, and what it counts must be what it wrote down.
    yield from (
        f"the bot says that it cannot explain a holding: {m['data']}"
        for m in books.tables["messages"]
        if m["kind"] == "drift"
    )
    for p in books.book["positions"]:
        # An assignment may take shares that are not there; an order may not.
        taken = min(moved[p["con_id"]], Decimal(0))
        if p["contract"]["type"] == "STK" and Decimal(p["quantity"]) < taken:
            yield f"a short by accident: {p['quantity']} {p['symbol']}"


def _brackets(books: Books) -> Iterator[str]:
    """Bought shares whose stop was approved have it, unless that stop or another exit was filled or cancelled on purpose."""
    stops = {t["ticket_id"]: json.loads(t["ticket"]).get("stop_loss") for t in books.tables["tickets"]}
    closed = {n for c in books.tables["closings"] for n, _ in json.loads(c["protection"])}
    numbers = {o["order_ref"]: o for o in books.tables["orders"]}
    for entry in _ours(books):
        if "." in entry["ref"] or entry["side"] != "BUY" or not stops.get(entry["ref"]):
            continue
        family = [o for o in _ours(books) if _card(o["ref"]) == entry["ref"] and o is not entry]
        if entry["status"] in OPEN and not any(o["type"] == "STP" and o["status"] in OPEN for o in family):
            yield f"{entry['ref']} works at the broker without its stop"
        if not Decimal(entry["filled"]):
            continue
        standing = [o for o in family if o["type"] == "STP" and o["status"] in OPEN]
        exits = [o for o in family if Decimal(o["filled"])]
        asked = [
            o
            for o in family
            if (row := numbers.get(o["ref"])) and row["cancel_requested_at"] and row["number"] not in closed
        ]
        held = sum(
            (Decimal(p["quantity"]) for p in books.book["positions"] if p["con_id"] == entry["con_id"]),
            Decimal(0),
        )
        if held > 0 and not standing and not exits and not asked and not _sold(books, entry["con_id"]):
            yield f"{entry['ref']} was filled and has no stop"
    # However it came about, what is on sale is never more than what is held.
    for p in books.book["positions"]:
        groups: dict[str, Decimal] = defaultdict(Decimal)
        for o in books.book["orders"]:
            if o["con_id"] == p["con_id"] and o["side"] == "SELL" and o["status"] in OPEN:
                if o["parent"] and any(
                    e["perm_id"] == o["parent"] and e["status"] in OPEN for e in books.book["orders"]
                ):
                    continue
                left = Decimal(o["quantity"]) - Decimal(o["filled"])
                name = o["oca_group"] or str(o["perm_id"])
                groups[name] = max(groups[name], left)
        if groups and sum(groups.values(), Decimal(0)) > Decimal(p["quantity"]) and not _writes(p):
            yield f"{sum(groups.values(), Decimal(0))} {p['symbol']} are on sale, {p['quantity']} are held"


def _writes(position: Json) -> bool:
    """Options may be sold that are not held; what has to stand behind them `_covered` looks at."""
    return bool(position["contract"]["type"] == "OPT")


def _sold(books: Books, con_id: int) -> bool:
    """Whether a sale that moves protection still works: its shares are on sale, and not bare."""
    return any(
        o["con_id"] == con_id and o["side"] == "SELL" and o["status"] in OPEN and "." not in o["ref"]
        for o in _ours(books)
    )


def _cancels(books: Books) -> Iterator[str]:
    """A cancel that was asked is done, or said to have been lost."""
    told = {o["ref"]: o for o in _ours(books)}
    for ours in books.tables["orders"]:
        theirs = told.get(ours["order_ref"])
        if ours["cancel_requested_at"] and theirs and theirs["status"] in ("PreSubmitted", "Submitted"):
            yield f"a cancel of #{ours['number']} was asked, the broker has it as {theirs['status']}"


def _halted(books: Books) -> Iterator[str]:
    """Who asked for a halt has it on the disk; while it is there, nothing of ours that buys works at the broker but what is being cancelled.

    Nobody here is short, so that every purchase adds; what protects is looked at by the other checks.
    """
    kept = {row["key"]: row["value"] for row in books.tables["wishes"]}
    state = json.loads(kept["trading"])["state"] if "trading" in kept else "ACTIVE"
    asked = any(m["from"] != "bot" and m["text"].startswith("/halt") for m in books.chat)
    opened = any("trading is open again" in text for text in books.said)
    if asked and not opened and state != "HALTED":
        yield f"a halt was asked for, the file says {state}"
    if state != "HALTED":
        return
    for told in _ours(books):
        if told["side"] == "BUY" and told["status"] in ("PreSubmitted", "Submitted"):
            yield f"it is HALTED, and {told['ref']} {told['symbol']} works at the broker"


def _changes(books: Books) -> Iterator[str]:
    """A change that was sent has come true at the broker, or it was said that it has not; none is left open."""
    told = {o["ref"]: o for o in _ours(books)}
    orders = {o["number"]: o for o in books.tables["orders"]}
    for ours in books.tables["orders"]:
        if ours["change"]:
            yield f"#{ours['number']} waits for a change for ever: {ours['change']}"
    asked: set[str] = set()
    for ticket in books.tables["tickets"]:
        terms = json.loads(ticket["ticket"])
        if not terms.get("modifies") or ticket["state"] != "sent":
            continue
        theirs = told.get(orders[terms["modifies"]]["order_ref"])
        asked.add(str(terms["modifies"]))
        true = theirs is not None and all(
            wanted is None or _number(wanted) == _number(theirs[name])
            for name, wanted in (
                ("quantity", terms["quantity"]),
                ("limit", terms["limit_price"]),
                ("aux", terms["stop_price"]),
            )
        )
        said = any(
            re.search(rf"#{terms['modifies']}\b", m["text"]) and "Not changed" in m["text"]
            for m in books.chat
        )
        if not true and not said:
            yield f"the change {ticket['ticket_id']} of #{terms['modifies']} did not come true, and nobody said so"
    for text in (m["text"] for m in books.chat if "Not changed" in m["text"]):
        if not asked.intersection(re.findall(r"#(\d+)\b", text)):
            yield f"nobody asked for the change of which it was said: {_one_line(text)}"


def _cards(books: Books) -> Iterator[str]:
    """The card of every order says how it stands, on the latest copy in the chat."""
    shown = {m["id"]: m for m in books.chat}
    for ours in books.tables["orders"]:
        if ours["owner"] is None or "." in ours["order_ref"]:
            continue
        copies = [m["telegram_id"] for m in books.tables["messages"] if m["subject"] == ours["order_ref"] and not m["is_edit"] and m["telegram_id"]]  # fmt: skip
        card = shown.get(copies[-1]) if copies else None
        if card is None:
            yield f"#{ours['number']} has no card in the chat"
        elif not re.search(rf"#{ours['number']} · [^\n]*({SHOWN.get(ours['state'], '(?!)')})", card["text"]):
            yield f"#{ours['number']} is {ours['state']}, its card says: {_one_line(card['text'])}"
        elif (
            Decimal(ours["filled"])
            and f"{_plain(ours['filled'])}/{_plain(ours['quantity'])}" not in card["text"]
        ):
            yield f"#{ours['number']} has {ours['filled']} filled, its card says: {_one_line(card['text'])}"


def _children(books: Books) -> Iterator[str]:
    """The stop and target on a card stand there as they stand at the broker: of each the one that came last."""
    shown = {m["id"]: m["text"] for m in books.chat}
    latest: dict[tuple[str, str], Row] = {}
    for ours in sorted(books.tables["orders"], key=lambda o: int(o["number"])):
        if ours["owner"] is not None and ours["role"] != "ENTRY":
            latest[_card(ours["order_ref"]), ours["role"]] = ours
    for (card, role), ours in latest.items():
        copies = [m["telegram_id"] for m in books.tables["messages"] if m["subject"] == card and not m["is_edit"] and m["telegram_id"]]  # fmt: skip
        text = shown.get(copies[-1], "") if copies else ""
        if not re.search(
            rf"{role.lower()} [^\n]*#{ours['number']} · [^\n]*({SHOWN.get(ours['state'], '(?!)')})", text
        ):
            yield f"{role} #{ours['number']} is {ours['state']}, its card says: {_one_line(text)}"


def _plain(value: str) -> str:
    return f"{Decimal(value).normalize():,f}"


def _one_line(text: str) -> str:
    return " / ".join(text.splitlines())[:300]


def _taken_back(ours: Json, books: Books) -> bool:
    """Whether a halt took it back unfilled: the halt told of all of them at once, and each card shows its end (see `_cards`)."""
    halts = [m for m in books.chat if m["from"] == "bot" and m["text"].startswith("🛑 HALTED")]
    unfilled = ours["state"] == "CANCELLED" and ours["cancel_requested_at"] and Decimal(ours["filled"]) == 0
    return bool(unfilled and any(f"#{ours['number']} " in m["text"] for m in halts))


def _news(books: Books) -> Iterator[str]:
    """Each end of an order was announced in a message of its own, or in the one after a gap; more than once is counted."""
    shown = [m for m in books.chat if m["from"] == "bot"]
    for ours in books.tables["orders"]:
        words = NEWS.get(ours["state"])
        if ours["owner"] is None or words is None or (ours["role"] != "ENTRY" and ours["state"] != "FILLED"):
            continue
        verb = (
            ours["name"].partition(" ")[0].upper()
            if ours["name"].startswith(("Close ", "Roll "))
            else ours["side"]
        )
        what = rf"{verb} {_plain(ours['quantity'])} {ours['symbol']}\b"
        told = 0
        for message in shown:
            text = message["text"]
            if "While you were away" in text:
                told += len(re.findall(rf"{what}[^\n]*\n\s*#{ours['number']} · [^\n]*({words})", text))
            elif (
                re.match(rf"\W*(Stop hit: |Target reached: )?({words}):? {what}", text)
                and f"#{ours['number']}" in text
            ):
                told += 1
        if not told and _taken_back(ours, books):
            continue
        if not told:
            yield f"#{ours['number']} ({what}) is {ours['state']} and was never announced"
        elif told > 1:
            books.tally["repeated announcements"] += told - 1


def _jobs(books: Books) -> Iterator[str]:
    """A scheduled message is one row for its session, and was shown."""
    rows = [m for m in books.tables["messages"] if m["kind"] == "summary"]
    due = [j for j in books.tables["jobs"] if not j["job"].startswith(("nudge:", "ended:"))]
    if len(rows) != len(due):
        yield f"{len(due)} summaries were due, {len(rows)} are in the file"
    shown = sum("Daily summary" in m["text"] for m in books.chat)
    if shown < len(rows):
        yield f"{len(rows)} summaries are in the file, {shown} were shown"
    books.tally["summaries shown twice"] += max(shown - len(rows), 0)


def _ways(books: Books) -> Iterator[str]:
    """Nothing lies in the inbox or the outbox, and nothing was refused."""
    if books.waiting:
        yield f"{books.waiting} updates were never confirmed"
    for update in books.tables["updates"]:
        if update["finished_at"] is None:
            yield f"update {update['update_id']} was never finished"
        elif update["outcome"] == "failed":
            yield f"update {update['update_id']} failed"
    for message in books.tables["messages"]:
        if message["state"] == "waiting":
            yield f"message {message['id']} ({message['kind']}) was never sent"
        elif message["state"] == "failed" and message["error"] != "a newer edit took its place":
            yield f"message {message['id']} ({message['kind']}) was refused: {message['error']}"
    texts = Counter(m["text"] for m in books.chat if m["from"] == "bot" and "Connected" not in m["text"])
    books.tally["messages shown twice"] += sum(count - 1 for count in texts.values())


def summary(found: Iterable[str]) -> str:
    """Differences as an indented list."""
    return "\n".join(f"    {line}" for line in found)
