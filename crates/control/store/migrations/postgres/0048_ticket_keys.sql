-- What visitors' session tickets are made with (RFC 5077), the same for all nodes: `starts_at` in seconds since the Unix epoch. `sealed` with a
-- data key, `wrapped` for the node.
CREATE TABLE ticket_key (
    starts_at BIGINT PRIMARY KEY,
    sealed BYTEA NOT NULL,
    wrapped BYTEA NOT NULL
);
