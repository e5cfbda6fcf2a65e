-- Accounts at certificate authorities, one for each directory. `issuers` are what CAA records call the authority, separated by spaces;
-- `sealed` is the account's key.
CREATE TABLE acme_account (
    directory TEXT PRIMARY KEY,
    uri TEXT NOT NULL,
    issuers TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Names that are to have one certificate, separated by spaces; `course` is its life so far, as JSON. `authority` and `method` are what
-- somebody asked for.
CREATE TABLE certificate_pack (
    id TEXT PRIMARY KEY,
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('universal', 'total_tls', 'advanced', 'sni_custom')),
    hosts TEXT NOT NULL,
    authority TEXT,
    method TEXT,
    validity_days INTEGER,
    priority INTEGER NOT NULL DEFAULT 0,
    bundle_method TEXT NOT NULL DEFAULT 'ubiquitous',
    course TEXT NOT NULL,
    -- When something of it is due; null: never.
    due_at INTEGER,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;
CREATE INDEX certificate_pack_of_zone ON certificate_pack (zone, created_at);
CREATE INDEX certificate_pack_due ON certificate_pack (due_at) WHERE due_at IS NOT NULL;

-- The certificate of a pack: its chain in PEM, and its key, sealed with a data key and wrapped for the node.
CREATE TABLE certificate (
    id TEXT PRIMARY KEY,
    pack TEXT NOT NULL UNIQUE REFERENCES certificate_pack (id) ON DELETE CASCADE,
    hosts TEXT NOT NULL,
    issuer TEXT NOT NULL,
    signature TEXT NOT NULL,
    chain TEXT NOT NULL,
    sealed BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
