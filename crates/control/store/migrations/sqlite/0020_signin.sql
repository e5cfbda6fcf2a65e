-- What signing in needs (docs/decisions/0012-sign-in.md). Secrets are digests, or sealed under a data key.

-- Somebody who is signed in, in one browser.
CREATE TABLE user_session (
    id TEXT PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    person TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- What the browser calls itself, cut.
    device TEXT NOT NULL,
    -- password, password+totp, password+recovery, password+passkey, passkey or link.
    factors TEXT NOT NULL,
    ip TEXT NOT NULL,
    last_ip TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- When its person last proved who they are.
    confirmed_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX user_session_person ON user_session (person);
CREATE INDEX user_session_expiry ON user_session (expires_at);

-- From where a person has signed in before: strangers who try their address elsewhere do not slow them down there.
CREATE TABLE known_source (
    person TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- An IPv4 address, or the /64 of an IPv6 one.
    source TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (person, source)
) STRICT;

-- A person's authenticator application.
CREATE TABLE totp (
    person TEXT PRIMARY KEY REFERENCES person (id) ON DELETE CASCADE,
    -- The seed, bound to the person's id.
    sealed BLOB NOT NULL,
    -- The step of the last code that was taken: none is taken twice.
    last_step INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- None while it has not shown a code yet.
    confirmed_at INTEGER
) STRICT;

-- Codes for whoever has lost their second factor; one that was used is gone.
CREATE TABLE recovery_code (
    person TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (person, digest)
) STRICT;

CREATE TABLE passkey (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    -- The authenticator's name for it.
    credential_id BLOB NOT NULL UNIQUE,
    -- The name of the site it was made for.
    site TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Public key, counter and flags, JSON.
    credential TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX passkey_person ON passkey (person);

-- Links that let somebody in once, by the digest of what is in them.
CREATE TABLE one_time_link (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('password', 'invitation')),
    person TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
    membership TEXT REFERENCES membership (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK ((kind = 'invitation') = (membership IS NOT NULL))
) STRICT;
CREATE INDEX one_time_link_person ON one_time_link (person);
