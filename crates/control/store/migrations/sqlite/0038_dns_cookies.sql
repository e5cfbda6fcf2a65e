-- What name servers make and know cookies by (RFC 7873), the same for all: `place` 0 makes them, the others are believed. `sealed` with a data
-- key, `wrapped` for the node.
CREATE TABLE dns_cookie_secret (
    number INTEGER PRIMARY KEY,
    made_at INTEGER NOT NULL,
    place INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
