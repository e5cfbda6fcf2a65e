-- What visitors' session tickets are made with (RFC 5077), the same for all nodes: `starts_at` in seconds since the Unix epoch. `sealed` with a
-- data key, `wrapped` for the node.
CREATE TABLE ticket_key (
    starts_at INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
