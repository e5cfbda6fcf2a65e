-- What a zone is signed with. `keyset` is the keys in time, without private parts (JSON); `signed` what its name servers show of them, and
-- `wrapped` the key that they sign everything else with, wrapped for the node; `next_at` when something of it is due.
CREATE TABLE zone_signing (
    zone TEXT COLLATE "C" PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    keyset TEXT COLLATE "C" NOT NULL,
    signed BYTEA NOT NULL,
    algorithm BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    next_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL
);
CREATE INDEX zone_signing_next ON zone_signing (next_at);

-- The private parts, sealed with a data key.
CREATE TABLE zone_key (
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (zone, number)
);
