-- A person. The address is compared in lower case and kept so.
CREATE TABLE person (
    id TEXT COLLATE "C" PRIMARY KEY,
    email TEXT COLLATE "C" NOT NULL UNIQUE,
    first_name TEXT COLLATE "C",
    last_name TEXT COLLATE "C",
    -- argon2id; none until a password was chosen.
    password TEXT COLLATE "C",
    -- SHA-256 of the global key; none while there is none.
    key_digest BYTEA UNIQUE CHECK (length(key_digest) = 32),
    suspended BOOLEAN NOT NULL DEFAULT FALSE,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL
);

CREATE TABLE membership (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    person TEXT COLLATE "C" NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('accepted', 'pending', 'rejected')),
    -- Names of roles, JSON.
    roles TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    UNIQUE (account, person)
);
CREATE INDEX membership_person ON membership (person);

-- API tokens, a person's or an account's. `terms` is the model's, JSON.
CREATE TABLE api_token (
    id TEXT COLLATE "C" PRIMARY KEY,
    person TEXT COLLATE "C" REFERENCES person (id) ON DELETE CASCADE,
    account TEXT COLLATE "C" REFERENCES account (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'disabled')),
    terms TEXT COLLATE "C" NOT NULL,
    issued_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    last_used_at BIGINT,
    CHECK ((person IS NULL) <> (account IS NULL))
);
CREATE INDEX api_token_person ON api_token (person);
CREATE INDEX api_token_account ON api_token (account);

-- Who did what. Nothing refers to anything: the trace outlives what it tells of.
CREATE TABLE audit (
    id TEXT COLLATE "C" PRIMARY KEY,
    at BIGINT NOT NULL,
    account TEXT COLLATE "C",
    zone TEXT COLLATE "C",
    zone_name TEXT COLLATE "C",
    actor_kind TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C",
    actor_email TEXT COLLATE "C",
    actor_ip TEXT COLLATE "C",
    token TEXT COLLATE "C",
    token_name TEXT COLLATE "C",
    door TEXT COLLATE "C" NOT NULL,
    ray TEXT COLLATE "C",
    action TEXT COLLATE "C" NOT NULL,
    resource_kind TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    old_value TEXT COLLATE "C",
    new_value TEXT COLLATE "C"
);
CREATE INDEX audit_account ON audit (account, at, id);
CREATE INDEX audit_actor ON audit (actor, at, id);

ALTER TABLE account ADD COLUMN settings TEXT COLLATE "C" NOT NULL DEFAULT '{}';
