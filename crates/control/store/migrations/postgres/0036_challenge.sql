-- What certificate authorities ask to be shown, until they have seen it or its time is over.
CREATE TABLE challenge (
    id TEXT COLLATE "C" PRIMARY KEY,
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    -- The owner of the TXT record, `_acme-challenge.` included.
    owner TEXT COLLATE "C" NOT NULL,
    text TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX challenge_of_zone ON challenge (zone, owner);
CREATE INDEX challenge_expires ON challenge (expires_at);
