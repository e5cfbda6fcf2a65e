-- Orders that certificate authorities were given lately, in seconds since the Unix epoch: they take so many within some hours, and count them
-- whoever restarts.
CREATE TABLE acme_order (
    directory TEXT NOT NULL,
    given_at INTEGER NOT NULL
) STRICT;
CREATE INDEX acme_order_by_time ON acme_order (given_at);

-- Authorities that are left alone until then, and why.
CREATE TABLE acme_rest (
    directory TEXT PRIMARY KEY,
    until INTEGER NOT NULL,
    why TEXT NOT NULL
) STRICT;
