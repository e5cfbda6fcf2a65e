-- Authorities that an account brought, to vouch for visitors of its zones' hosts; `certificates` in PEM. What one is never changes.
CREATE TABLE mtls_certificate (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    certificates TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    signature TEXT COLLATE "C" NOT NULL,
    serial TEXT COLLATE "C" NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX mtls_certificate_of_account ON mtls_certificate (account, created_at);

-- A zone's own authority for visitors, made when somebody first wants one: its certificate in PEM, its key sealed with a data key. It never leaves
-- control.
CREATE TABLE client_authority (
    zone TEXT COLLATE "C" PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    certificate TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- Hosts whose visitors are asked for a certificate, and by whom it may be vouched for: a `mtls_certificate`, or the zone's `client_authority`.
CREATE TABLE visitor_host (
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    host TEXT COLLATE "C" NOT NULL,
    authority TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (zone, host, authority)
);
CREATE INDEX visitor_host_of_authority ON visitor_host (authority);

-- Certificates that zones' own authorities issued to visitors; `serial` has 32 hexadecimal digits, `subject` is JSON.
CREATE TABLE visitor_certificate (
    id TEXT COLLATE "C" PRIMARY KEY,
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    serial TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    certificate TEXT COLLATE "C" NOT NULL,
    ski TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    validity_days BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX visitor_certificate_of_zone ON visitor_certificate (zone, created_at);
CREATE INDEX visitor_certificate_over ON visitor_certificate (not_after);
