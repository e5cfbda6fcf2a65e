-- What name servers make and know cookies by (RFC 7873), the same for all: `place` 0 makes them, the others are believed. `sealed` with a data
-- key, `wrapped` for the node.
CREATE TABLE dns_cookie_secret (
    number BIGINT PRIMARY KEY,
    made_at BIGINT NOT NULL,
    place BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    wrapped BYTEA NOT NULL
);
