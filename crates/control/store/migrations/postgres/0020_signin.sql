-- What signing in needs (docs/decisions/0012-sign-in.md). Secrets are digests, or sealed under a data key.

-- Somebody who is signed in, in one browser.
CREATE TABLE user_session (
    id TEXT COLLATE "C" PRIMARY KEY,
    digest BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    person TEXT COLLATE "C" NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- What the browser calls itself, cut.
    device TEXT COLLATE "C" NOT NULL,
    -- password, password+totp, password+recovery, password+passkey, passkey or link.
    factors TEXT COLLATE "C" NOT NULL,
    ip TEXT COLLATE "C" NOT NULL,
    last_ip TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    -- When its person last proved who they are.
    confirmed_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX user_session_person ON user_session (person);
CREATE INDEX user_session_expiry ON user_session (expires_at);

-- From where a person has signed in before: strangers who try their address elsewhere do not slow them down there.
CREATE TABLE known_source (
    person TEXT COLLATE "C" NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- An IPv4 address, or the /64 of an IPv6 one.
    source TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (person, source)
);

-- A person's authenticator application.
CREATE TABLE totp (
    person TEXT COLLATE "C" PRIMARY KEY REFERENCES person (id) ON DELETE CASCADE,
    -- The seed, bound to the person's id.
    sealed BYTEA NOT NULL,
    -- The step of the last code that was taken: none is taken twice.
    last_step BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- None while it has not shown a code yet.
    confirmed_at BIGINT
);

-- Codes for whoever has lost their second factor; one that was used is gone.
CREATE TABLE recovery_code (
    person TEXT COLLATE "C" NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (person, digest)
);

CREATE TABLE passkey (
    id TEXT COLLATE "C" PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- The authenticator's name for it.
    credential_id BYTEA NOT NULL UNIQUE,
    -- The name of the site it was made for.
    site TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    -- Public key, counter and flags, JSON.
    credential TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX passkey_person ON passkey (person);

-- Links that let somebody in once, by the digest of what is in them.
CREATE TABLE one_time_link (
    digest BYTEA PRIMARY KEY CHECK (length(digest) = 32),
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('password', 'invitation')),
    person TEXT COLLATE "C" NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    membership TEXT COLLATE "C" REFERENCES membership (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CHECK ((kind = 'invitation') = (membership IS NOT NULL))
);
CREATE INDEX one_time_link_person ON one_time_link (person);
