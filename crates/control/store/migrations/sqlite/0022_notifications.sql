-- Programs that are told of an account's events.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- The secret, sealed; that of an empty text where there is none.
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    last_success INTEGER,
    last_failure INTEGER
) STRICT;
CREATE INDEX webhook_account ON webhook (account, created_at, id);

-- Who is told of what. `text` is the model's, JSON.
CREATE TABLE notification_policy (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    alert_type TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;
CREATE INDEX notification_policy_account ON notification_policy (account, created_at, id);
CREATE INDEX notification_policy_alert ON notification_policy (alert_type, account);

-- How a tunnel was when that was last told, or first looked at.
CREATE TABLE tunnel_told (
    tunnel TEXT PRIMARY KEY REFERENCES tunnel (id) ON DELETE CASCADE,
    status TEXT NOT NULL
) STRICT;
