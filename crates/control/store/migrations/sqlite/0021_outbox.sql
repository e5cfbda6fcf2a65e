-- Notices on their way out, each written with the change it tells of, and gone once it was taken or given up.
CREATE TABLE notice (
    -- Also the idempotency key that the recipient sees: Message-ID, webhook-id.
    id TEXT PRIMARY KEY,
    account TEXT REFERENCES account (id) ON DELETE CASCADE,
    channel TEXT NOT NULL CHECK (channel IN ('mail', 'webhook')),
    -- An address, or the id of a webhook.
    recipient TEXT NOT NULL,
    -- For eyes and counters; what is told is in `sealed`, since links let people in.
    kind TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    -- When it is tried, or tried again. Whoever takes it up moves this on, so that nobody else does meanwhile.
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    -- The node that has taken it up, until it says what came of it.
    taken_by TEXT
) STRICT;
CREATE INDEX notice_due ON notice (channel, due_at, id);
CREATE INDEX notice_recipient ON notice (channel, recipient);
