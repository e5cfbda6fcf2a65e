-- Certificates that the edge shows a zone's origins, where somebody brought them: the chain in PEM, and its key, sealed with a data key and
-- wrapped for the node. The newest of a zone is shown.
CREATE TABLE client_certificate (
    id TEXT COLLATE "C" PRIMARY KEY,
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    issuer TEXT COLLATE "C" NOT NULL,
    signature TEXT COLLATE "C" NOT NULL,
    chain TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    wrapped BYTEA NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX client_certificate_of_zone ON client_certificate (zone, created_at);

-- Certificates that this node's authority for origins issued; `serial` has 32 hexadecimal digits, `hostnames` are separated by spaces. What was
-- revoked is kept until it would have ended, though its zone is gone.
CREATE TABLE origin_certificate (
    serial TEXT COLLATE "C" PRIMARY KEY,
    zone TEXT COLLATE "C" NOT NULL,
    hostnames TEXT COLLATE "C" NOT NULL,
    request_type TEXT COLLATE "C" NOT NULL CHECK (request_type IN ('origin-rsa', 'origin-ecc')),
    validity_days BIGINT NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    certificate TEXT COLLATE "C" NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX origin_certificate_of_zone ON origin_certificate (zone, created_at);
CREATE INDEX origin_certificate_revoked ON origin_certificate (not_after) WHERE revoked_at IS NOT NULL;
