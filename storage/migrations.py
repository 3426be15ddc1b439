"""The schema as a list that only grows: entry n brings a file from version n to n + 1, each in its own transaction."""

import sqlite3

from core.errors import StorageError

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE updates (
        update_id INTEGER PRIMARY KEY,
        user INTEGER NOT NULL,
        raw TEXT NOT NULL,
        received_at TEXT NOT NULL,
        finished_at TEXT,
        outcome TEXT
    ) STRICT;
    CREATE INDEX updates_unfinished ON updates (update_id) WHERE finished_at IS NULL;

    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        chat INTEGER NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        buttons TEXT NOT NULL,
        data TEXT NOT NULL,
        subject TEXT NOT NULL,
        is_edit INTEGER NOT NULL,
        urgent INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed')),
        telegram_id INTEGER,
        ended_at TEXT,
        error TEXT
    ) STRICT;
    CREATE INDEX messages_waiting ON messages (id) WHERE state = 'waiting';
    CREATE INDEX messages_subject ON messages (subject, chat) WHERE subject <> '' AND is_edit = 0;

    CREATE TABLE tickets (
        ticket_id TEXT PRIMARY KEY,
        owner INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'sent', 'discarded', 'expired', 'replaced', 'refused')),
        terms_hash TEXT NOT NULL,
        ticket TEXT NOT NULL,
        created_at TEXT NOT NULL,
        ended_at TEXT
    ) STRICT;

    CREATE TABLE orders (
        number INTEGER PRIMARY KEY,
        order_ref TEXT NOT NULL,
        owner INTEGER,
        account TEXT NOT NULL,
        client_id INTEGER NOT NULL,
        order_id INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        perm_id INTEGER,
        con_id INTEGER NOT NULL,
        symbol TEXT NOT NULL,
        currency TEXT NOT NULL,
        side TEXT NOT NULL,
        quantity TEXT NOT NULL,
        order_type TEXT NOT NULL,
        limit_price TEXT,
        stop_price TEXT,
        tif TEXT NOT NULL,
        state TEXT NOT NULL,
        filled TEXT NOT NULL,
        average_price TEXT,
        reason TEXT NOT NULL,
        sent_at TEXT NOT NULL,
        cancel_requested_at TEXT
    ) STRICT;
    CREATE UNIQUE INDEX orders_ref ON orders (order_ref) WHERE order_ref <> '' AND owner IS NOT NULL;
    CREATE INDEX orders_perm ON orders (perm_id) WHERE perm_id IS NOT NULL;
    CREATE INDEX orders_open ON orders (number) WHERE state NOT IN ('FILLED', 'CANCELLED', 'REJECTED', 'NOT_AT_BROKER');

    CREATE TABLE executions (
        key TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        exec_id TEXT NOT NULL,
        account TEXT NOT NULL,
        con_id INTEGER NOT NULL,
        symbol TEXT NOT NULL,
        currency TEXT NOT NULL,
        side TEXT NOT NULL,
        quantity TEXT NOT NULL,
        price TEXT NOT NULL,
        time TEXT NOT NULL,
        client_id INTEGER NOT NULL,
        order_id INTEGER NOT NULL,
        perm_id INTEGER NOT NULL,
        order_ref TEXT NOT NULL
    ) STRICT;
    CREATE INDEX executions_time ON executions (time);

    -- No foreign key: the broker's report of a commission may come before its execution.
    CREATE TABLE commissions (
        key TEXT PRIMARY KEY,
        exec_id TEXT NOT NULL,
        amount TEXT NOT NULL,
        currency TEXT NOT NULL,
        realized TEXT
    ) STRICT;

    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        user INTEGER,
        detail TEXT NOT NULL
    ) STRICT;

    CREATE TABLE wishes (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

    CREATE VIEW trade_history AS
        SELECT e.symbol AS ticker, e.side AS action, e.quantity, e.price, o.order_type, o.number AS order_number, e.order_id,
               e.order_ref, e.time, e.exec_id, e.currency, c.amount AS commission, c.currency AS commission_currency, c.realized
        FROM executions e
        LEFT JOIN orders o ON o.number = (
            SELECT number FROM orders WHERE (order_ref <> '' AND order_ref = e.order_ref) OR (perm_id = e.perm_id AND e.perm_id <> 0) LIMIT 1
        )
        LEFT JOIN commissions c ON c.key = e.key;
    """,
    """
    ALTER TABLE orders ADD COLUMN role TEXT NOT NULL DEFAULT 'ENTRY';
    ALTER TABLE orders ADD COLUMN parent INTEGER REFERENCES orders (number);
    ALTER TABLE orders ADD COLUMN oca TEXT NOT NULL DEFAULT '';
    ALTER TABLE orders ADD COLUMN confirmed_quantity TEXT;
    ALTER TABLE orders ADD COLUMN decision_id TEXT;
    ALTER TABLE tickets ADD COLUMN decision_id TEXT;
    CREATE INDEX tickets_proposed ON tickets (ticket_id) WHERE decision_id IS NOT NULL AND state = 'open';

    -- A sale that first takes down the orders that protect what it sells; a row that has not ended is taken up after a crash.
    CREATE TABLE closings (
        ticket_id TEXT PRIMARY KEY REFERENCES tickets (ticket_id),
        protection TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('taking_down', 'selling', 'done', 'put_back')),
        begun_at TEXT NOT NULL,
        ended_at TEXT
    ) STRICT;

    CREATE TABLE model_calls (
        call_id TEXT PRIMARY KEY,
        user INTEGER NOT NULL,
        ticker TEXT NOT NULL,
        at TEXT NOT NULL,
        model TEXT NOT NULL,
        prompt_version TEXT NOT NULL,
        prompt_hash TEXT NOT NULL,
        facts TEXT NOT NULL,
        outcome TEXT NOT NULL,
        said TEXT NOT NULL,
        problem TEXT NOT NULL,
        request_id TEXT NOT NULL,
        stop_reason TEXT NOT NULL,
        input_tokens INTEGER,
        output_tokens INTEGER,
        cost TEXT,
        latency_seconds REAL NOT NULL
    ) STRICT;
    CREATE INDEX model_calls_at ON model_calls (at);

    CREATE TABLE decisions (
        decision_id TEXT PRIMARY KEY REFERENCES model_calls (call_id),
        ticker TEXT NOT NULL,
        con_id INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        confidence INTEGER NOT NULL,
        time_horizon INTEGER NOT NULL,
        reference_price TEXT,
        target_price TEXT,
        stop_loss TEXT,
        reasoning TEXT NOT NULL,
        bear_case TEXT NOT NULL,
        evidence TEXT NOT NULL,
        injection_suspected INTEGER NOT NULL,
        demo INTEGER NOT NULL,
        at TEXT NOT NULL
    ) STRICT;

    -- A proposal is a card with a decision behind it: the card's story in the words of proposals.
    CREATE VIEW proposals AS
        SELECT t.ticket_id AS proposal_id, t.decision_id, t.owner, d.ticker, d.verdict, d.confidence, t.created_at, t.ended_at,
               CASE t.state WHEN 'open' THEN 'pending' WHEN 'sent' THEN 'approved' WHEN 'discarded' THEN 'rejected'
                            WHEN 'replaced' THEN 'superseded' WHEN 'refused' THEN 'blocked' ELSE t.state END AS state
        FROM tickets t JOIN decisions d USING (decision_id);

    DROP VIEW trade_history;
    CREATE VIEW trade_history AS
        SELECT e.symbol AS ticker, e.side AS action, e.quantity, e.price, o.order_type, o.number AS order_number, e.order_id,
               e.order_ref, e.time, e.exec_id, e.currency, c.amount AS commission, c.currency AS commission_currency, c.realized,
               o.decision_id, d.confidence, d.reasoning, o.sent_at
        FROM executions e
        LEFT JOIN orders o ON o.number = (
            SELECT number FROM orders WHERE (order_ref <> '' AND order_ref = e.order_ref) OR (perm_id = e.perm_id AND e.perm_id <> 0) LIMIT 1
        )
        LEFT JOIN decisions d USING (decision_id)
        LEFT JOIN commissions c ON c.key = e.key;
    """,
    """
    -- What an account held before its executions were known; a row of opened_books says that this was written down.
    CREATE TABLE opened_books (account TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
    CREATE TABLE opening_lots (
        account TEXT NOT NULL REFERENCES opened_books (account),
        con_id INTEGER NOT NULL,
        symbol TEXT NOT NULL,
        currency TEXT NOT NULL,
        signed_quantity TEXT NOT NULL,
        average_cost TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (account, con_id)
    ) STRICT;

    -- A scheduled job is done once for a session of the exchange, whatever restarts and clocks do.
    CREATE TABLE jobs (
        job TEXT NOT NULL,
        session TEXT NOT NULL,
        at TEXT NOT NULL,
        facts TEXT NOT NULL,
        PRIMARY KEY (job, session)
    ) STRICT;
    """,
    """
    -- Terms that were asked for an order that works, as JSON, until the broker shows them or refuses.
    ALTER TABLE orders ADD COLUMN change TEXT;

    -- What the broker held more (or less) than the books explained, when the owner took its figure over.
    CREATE TABLE adjustments (
        account TEXT NOT NULL,
        con_id INTEGER NOT NULL,
        symbol TEXT NOT NULL,
        currency TEXT NOT NULL,
        signed_quantity TEXT NOT NULL,
        average_cost TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (account, con_id, at)
    ) STRICT;
    """,
    """
    -- What an order that opens or adds was measured at when it was sent, in the base currency of that moment.
    ALTER TABLE orders ADD COLUMN worth TEXT;
    CREATE INDEX orders_sent ON orders (sent_at);
    CREATE INDEX audit_kind ON audit (kind, id);
    """,
    """
    -- Options and combinations: what an option is ("2026-12-18 190 C 100 AAPL"), and the legs of a combination as JSON.
    ALTER TABLE orders ADD COLUMN kind TEXT NOT NULL DEFAULT 'STK';
    ALTER TABLE orders ADD COLUMN option TEXT NOT NULL DEFAULT '';
    ALTER TABLE orders ADD COLUMN legs TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE orders ADD COLUMN name TEXT NOT NULL DEFAULT '';
    ALTER TABLE orders ADD COLUMN final_limit TEXT;
    ALTER TABLE executions ADD COLUMN kind TEXT NOT NULL DEFAULT 'STK';
    ALTER TABLE executions ADD COLUMN option TEXT NOT NULL DEFAULT '';
    ALTER TABLE opening_lots ADD COLUMN option TEXT NOT NULL DEFAULT '';
    ALTER TABLE adjustments ADD COLUMN option TEXT NOT NULL DEFAULT '';

    -- The kind of picture that is drawn from a message's data when it is sent.
    ALTER TABLE messages ADD COLUMN picture TEXT NOT NULL DEFAULT '';

    -- The plan of options that a decision proposes, as JSON; NULL without one.
    ALTER TABLE decisions ADD COLUMN option_plan TEXT;

    DROP VIEW trade_history;
    CREATE VIEW trade_history AS
        SELECT e.symbol AS ticker, e.side AS action, e.quantity, e.price, o.order_type, o.number AS order_number, e.order_id,
               e.order_ref, e.time, e.exec_id, e.currency, c.amount AS commission, c.currency AS commission_currency, c.realized,
               o.decision_id, d.confidence, d.reasoning, o.sent_at, e.kind, e.option, o.name AS strategy
        FROM executions e
        LEFT JOIN orders o ON o.number = (
            SELECT number FROM orders WHERE (order_ref <> '' AND order_ref = e.order_ref) OR (perm_id = e.perm_id AND e.perm_id <> 0) LIMIT 1
        )
        LEFT JOIN decisions d USING (decision_id)
        LEFT JOIN commissions c ON c.key = e.key;
    """,
)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to this program's version. Raises StorageError where the file is newer, or a step fails (which undoes it)."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StorageError(
            f"The database is of version {version}, this program knows {len(MIGRATIONS)}: use the newer Greenlight that wrote it."
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
