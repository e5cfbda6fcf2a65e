-- Programs that are told of an account's events.
CREATE TABLE webhook (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    -- The secret, sealed; that of an empty text where there is none.
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    last_success BIGINT,
    last_failure BIGINT
);
CREATE INDEX webhook_account ON webhook (account, created_at, id);

-- Who is told of what. `text` is the model's, JSON.
CREATE TABLE notification_policy (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    alert_type TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL
);
CREATE INDEX notification_policy_account ON notification_policy (account, created_at, id);
CREATE INDEX notification_policy_alert ON notification_policy (alert_type, account);

-- How a tunnel was when that was last told, or first looked at.
CREATE TABLE tunnel_told (
    tunnel TEXT COLLATE "C" PRIMARY KEY REFERENCES tunnel (id) ON DELETE CASCADE,
    status TEXT COLLATE "C" NOT NULL
);
