-- Networks that other name servers ask from.
CREATE TABLE transfer_acl (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    network TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX transfer_acl_account ON transfer_acl (account);

-- Secrets that are shared with other name servers: sealed with a data key, and wrapped for the node.
CREATE TABLE tsig_key (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    sealed BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX tsig_key_name ON tsig_key (account, name);

-- Other name servers.
CREATE TABLE transfer_peer (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    ip TEXT,
    port INTEGER NOT NULL,
    ixfr INTEGER NOT NULL,
    tsig TEXT REFERENCES tsig_key (id),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX transfer_peer_account ON transfer_peer (account);
CREATE INDEX transfer_peer_tsig ON transfer_peer (tsig);

-- Who may have a zone whole. `peers` are ids with spaces between; `asked` counts how often they were to be told again.
CREATE TABLE zone_outgoing (
    zone TEXT PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    peers TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    allows_unsigned INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    transferred_at INTEGER,
    serial INTEGER
) STRICT;

-- Zones that are other servers': a zone of which there is a row is a secondary one, though it may not have been said yet whose (no name).
-- `refresh` is where the looking after it stands (`model::secondary`, JSON), `due_at` when it goes on.
CREATE TABLE zone_incoming (
    zone TEXT PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    name TEXT,
    peers TEXT NOT NULL,
    every_secs INTEGER NOT NULL,
    refresh TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;
CREATE INDEX zone_incoming_due ON zone_incoming (due_at);
