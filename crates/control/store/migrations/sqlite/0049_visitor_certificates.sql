-- Authorities that an account brought, to vouch for visitors of its zones' hosts; `certificates` in PEM. What one is never changes.
CREATE TABLE mtls_certificate (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    certificates TEXT NOT NULL,
    issuer TEXT NOT NULL,
    signature TEXT NOT NULL,
    serial TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX mtls_certificate_of_account ON mtls_certificate (account, created_at);

-- A zone's own authority for visitors, made when somebody first wants one: its certificate in PEM, its key sealed with a data key. It never leaves
-- control.
CREATE TABLE client_authority (
    zone TEXT PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    id TEXT NOT NULL UNIQUE,
    certificate TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Hosts whose visitors are asked for a certificate, and by whom it may be vouched for: a `mtls_certificate`, or the zone's `client_authority`.
CREATE TABLE visitor_host (
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    host TEXT NOT NULL,
    authority TEXT NOT NULL,
    PRIMARY KEY (zone, host, authority)
) STRICT;
CREATE INDEX visitor_host_of_authority ON visitor_host (authority);

-- Certificates that zones' own authorities issued to visitors; `serial` has 32 hexadecimal digits, `subject` is JSON.
CREATE TABLE visitor_certificate (
    id TEXT PRIMARY KEY,
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    serial TEXT NOT NULL,
    subject TEXT NOT NULL,
    request TEXT NOT NULL,
    certificate TEXT NOT NULL,
    ski TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    validity_days INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX visitor_certificate_of_zone ON visitor_certificate (zone, created_at);
CREATE INDEX visitor_certificate_over ON visitor_certificate (not_after);
