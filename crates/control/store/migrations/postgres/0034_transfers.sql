-- Networks that other name servers ask from.
CREATE TABLE transfer_acl (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    network TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX transfer_acl_account ON transfer_acl (account);

-- Secrets that are shared with other name servers: sealed with a data key, and wrapped for the node.
CREATE TABLE tsig_key (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    algorithm TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX tsig_key_name ON tsig_key (account, name);

-- Other name servers.
CREATE TABLE transfer_peer (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    ip TEXT COLLATE "C",
    port BIGINT NOT NULL,
    ixfr BOOLEAN NOT NULL,
    tsig TEXT COLLATE "C" REFERENCES tsig_key (id),
    created_at BIGINT NOT NULL
);
CREATE INDEX transfer_peer_account ON transfer_peer (account);
CREATE INDEX transfer_peer_tsig ON transfer_peer (tsig);

-- Who may have a zone whole. `peers` are ids with spaces between; `asked` counts how often they were to be told again.
CREATE TABLE zone_outgoing (
    zone TEXT COLLATE "C" PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    peers TEXT COLLATE "C" NOT NULL,
    enabled BOOLEAN NOT NULL,
    allows_unsigned BOOLEAN NOT NULL,
    asked BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    transferred_at BIGINT,
    serial BIGINT
);

-- Zones that are other servers': a zone of which there is a row is a secondary one, though it may not have been said yet whose (no name).
-- `refresh` is where the looking after it stands (`model::secondary`, JSON), `due_at` when it goes on.
CREATE TABLE zone_incoming (
    zone TEXT COLLATE "C" PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    name TEXT COLLATE "C",
    peers TEXT COLLATE "C" NOT NULL,
    every_secs BIGINT NOT NULL,
    refresh TEXT COLLATE "C" NOT NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL
);
CREATE INDEX zone_incoming_due ON zone_incoming (due_at);
