-- Orders that certificate authorities were given lately, in seconds since the Unix epoch: they take so many within some hours, and count them
-- whoever restarts.
CREATE TABLE acme_order (
    directory TEXT COLLATE "C" NOT NULL,
    given_at BIGINT NOT NULL
);
CREATE INDEX acme_order_by_time ON acme_order (given_at);

-- Authorities that are left alone until then, and why.
CREATE TABLE acme_rest (
    directory TEXT COLLATE "C" PRIMARY KEY,
    until BIGINT NOT NULL,
    why TEXT NOT NULL
);
