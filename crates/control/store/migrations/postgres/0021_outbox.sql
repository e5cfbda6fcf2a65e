-- Notices on their way out, each written with the change it tells of, and gone once it was taken or given up.
CREATE TABLE notice (
    -- Also the idempotency key that the recipient sees: Message-ID, webhook-id.
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" REFERENCES account (id) ON DELETE CASCADE,
    channel TEXT COLLATE "C" NOT NULL CHECK (channel IN ('mail', 'webhook')),
    -- An address, or the id of a webhook.
    recipient TEXT COLLATE "C" NOT NULL,
    -- For eyes and counters; what is told is in `sealed`, since links let people in.
    kind TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    -- When it is tried, or tried again. Whoever takes it up moves this on, so that nobody else does meanwhile.
    due_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    -- The node that has taken it up, until it says what came of it.
    taken_by TEXT COLLATE "C"
);
CREATE INDEX notice_due ON notice (channel, due_at, id);
CREATE INDEX notice_recipient ON notice (channel, recipient);
