-- Accounts at certificate authorities, one for each directory. `issuers` are what CAA records call the authority, separated by spaces;
-- `sealed` is the account's key.
CREATE TABLE acme_account (
    directory TEXT COLLATE "C" PRIMARY KEY,
    uri TEXT COLLATE "C" NOT NULL,
    issuers TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- Names that are to have one certificate, separated by spaces; `course` is its life so far, as JSON. `authority` and `method` are what
-- somebody asked for.
CREATE TABLE certificate_pack (
    id TEXT COLLATE "C" PRIMARY KEY,
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('universal', 'total_tls', 'advanced', 'sni_custom')),
    hosts TEXT COLLATE "C" NOT NULL,
    authority TEXT COLLATE "C",
    method TEXT COLLATE "C",
    validity_days BIGINT,
    priority BIGINT NOT NULL DEFAULT 0,
    bundle_method TEXT COLLATE "C" NOT NULL DEFAULT 'ubiquitous',
    course TEXT COLLATE "C" NOT NULL,
    -- When something of it is due; null: never.
    due_at BIGINT,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL
);
CREATE INDEX certificate_pack_of_zone ON certificate_pack (zone, created_at);
CREATE INDEX certificate_pack_due ON certificate_pack (due_at) WHERE due_at IS NOT NULL;

-- The certificate of a pack: its chain in PEM, and its key, sealed with a data key and wrapped for the node.
CREATE TABLE certificate (
    id TEXT COLLATE "C" PRIMARY KEY,
    pack TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES certificate_pack (id) ON DELETE CASCADE,
    hosts TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    signature TEXT COLLATE "C" NOT NULL,
    chain TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    wrapped BYTEA NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
