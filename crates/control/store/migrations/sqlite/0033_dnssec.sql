-- What a zone is signed with. `keyset` is the keys in time, without private parts (JSON); `signed` what its name servers show of them, and
-- `wrapped` the key that they sign everything else with, wrapped for the node; `next_at` when something of it is due.
CREATE TABLE zone_signing (
    zone TEXT PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    keyset TEXT NOT NULL,
    signed BLOB NOT NULL,
    algorithm INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    next_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;
CREATE INDEX zone_signing_next ON zone_signing (next_at);

-- The private parts, sealed with a data key.
CREATE TABLE zone_key (
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (zone, number)
) STRICT;
