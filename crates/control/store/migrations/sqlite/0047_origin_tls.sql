-- Certificates that the edge shows a zone's origins, where somebody brought them: the chain in PEM, and its key, sealed with a data key and
-- wrapped for the node. The newest of a zone is shown.
CREATE TABLE client_certificate (
    id TEXT PRIMARY KEY,
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    signature TEXT NOT NULL,
    chain TEXT NOT NULL,
    sealed BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX client_certificate_of_zone ON client_certificate (zone, created_at);

-- Certificates that this node's authority for origins issued; `serial` has 32 hexadecimal digits, `hostnames` are separated by spaces. What was
-- revoked is kept until it would have ended, though its zone is gone.
CREATE TABLE origin_certificate (
    serial TEXT PRIMARY KEY,
    zone TEXT NOT NULL,
    hostnames TEXT NOT NULL,
    request_type TEXT NOT NULL CHECK (request_type IN ('origin-rsa', 'origin-ecc')),
    validity_days INTEGER NOT NULL,
    request TEXT NOT NULL,
    certificate TEXT NOT NULL,
    not_after INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX origin_certificate_of_zone ON origin_certificate (zone, created_at);
CREATE INDEX origin_certificate_revoked ON origin_certificate (not_after) WHERE revoked_at IS NOT NULL;
