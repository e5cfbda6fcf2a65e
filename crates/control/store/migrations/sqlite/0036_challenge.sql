-- What certificate authorities ask to be shown, until they have seen it or its time is over.
CREATE TABLE challenge (
    id TEXT PRIMARY KEY,
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    -- The owner of the TXT record, `_acme-challenge.` included.
    owner TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX challenge_of_zone ON challenge (zone, owner);
CREATE INDEX challenge_expires ON challenge (expires_at);
