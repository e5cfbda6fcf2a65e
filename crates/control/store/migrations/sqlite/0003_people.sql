-- A person. The address is compared in lower case and kept so.
CREATE TABLE person (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    first_name TEXT,
    last_name TEXT,
    -- argon2id; none until a password was chosen.
    password TEXT,
    -- SHA-256 of the global key; none while there is none.
    key_digest BLOB UNIQUE CHECK (length(key_digest) = 32),
    suspended INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;

CREATE TABLE membership (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    person TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    status TEXT NOT NULL CHECK (status IN ('accepted', 'pending', 'rejected')),
    -- Names of roles, JSON.
    roles TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    UNIQUE (account, person)
) STRICT;
CREATE INDEX membership_person ON membership (person);

-- API tokens, a person's or an account's. `terms` is the model's, JSON.
CREATE TABLE api_token (
    id TEXT PRIMARY KEY,
    person TEXT REFERENCES person (id) ON DELETE CASCADE,
    account TEXT REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
    terms TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    last_used_at INTEGER,
    CHECK ((person IS NULL) <> (account IS NULL))
) STRICT;
CREATE INDEX api_token_person ON api_token (person);
CREATE INDEX api_token_account ON api_token (account);

-- Who did what. Nothing refers to anything: the trace outlives what it tells of.
CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    account TEXT,
    zone TEXT,
    zone_name TEXT,
    actor_kind TEXT NOT NULL,
    actor TEXT,
    actor_email TEXT,
    actor_ip TEXT,
    token TEXT,
    token_name TEXT,
    door TEXT NOT NULL,
    ray TEXT,
    action TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource TEXT NOT NULL,
    old_value TEXT,
    new_value TEXT
) STRICT;
CREATE INDEX audit_account ON audit (account, at, id);
CREATE INDEX audit_actor ON audit (actor, at, id);

ALTER TABLE account ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
