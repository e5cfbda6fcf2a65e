-- Ids are the text the API shows: 32 hexadecimal digits, or a UUID for tunnels, connectors and connections. Text is compared by its bytes.
-- Times are microseconds since the Unix epoch, UTC. JSON is text.

-- One row. `change` goes up with every committed write; publish compares it with what it has seen.
CREATE TABLE state (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    change BIGINT NOT NULL
);
INSERT INTO state (one, change) VALUES (1, 0);

CREATE TABLE account (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('standard', 'quick')),
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL
);

CREATE TABLE zone (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id),
    name TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'active', 'moved')),
    name_server_1 TEXT COLLATE "C",
    name_server_2 TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    activated_at BIGINT,
    UNIQUE (account, name)
);
-- Several accounts may hold a name pending; one serves.
CREATE UNIQUE INDEX zone_serving ON zone (name) WHERE status IN ('active', 'moved');
CREATE INDEX zone_name ON zone (name);

-- One row a record; a record set is the rows of equal zone, name and type.
CREATE TABLE record (
    id TEXT COLLATE "C" PRIMARY KEY,
    zone TEXT COLLATE "C" NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    priority BIGINT,
    data TEXT COLLATE "C",
    ttl BIGINT NOT NULL CHECK (ttl = 1 OR ttl BETWEEN 30 AND 86400),
    proxied BOOLEAN NOT NULL,
    comment TEXT COLLATE "C",
    tags TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    settings TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    managed_by TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX record_same ON record (zone, name, type, content, coalesce(priority, -1));
CREATE INDEX record_content ON record (content, type);

CREATE TABLE tunnel (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id),
    name TEXT COLLATE "C" NOT NULL,
    config_src TEXT COLLATE "C" NOT NULL CHECK (config_src IN ('local', 'cloudflare')),
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    conns_active_at BIGINT,
    conns_inactive_at BIGINT,
    first_connected_at BIGINT,
    last_loss_at BIGINT,
    quick BOOLEAN NOT NULL DEFAULT FALSE,
    expires_at BIGINT
);
CREATE UNIQUE INDEX tunnel_name ON tunnel (account, name) WHERE deleted_at IS NULL;
CREATE INDEX tunnel_expiry ON tunnel (expires_at) WHERE deleted_at IS NULL AND expires_at IS NOT NULL;

-- Two rows while a secret is rotated, one otherwise. `sealed` is bound to the tunnel's id and the digest.
CREATE TABLE tunnel_secret (
    tunnel TEXT COLLATE "C" NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tunnel, digest)
);

-- Versions of a remotely managed tunnel, the first is 1; what the agent reads, as it reads it.
CREATE TABLE tunnel_configuration (
    tunnel TEXT COLLATE "C" NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    version BIGINT NOT NULL CHECK (version >= 0),
    config TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tunnel, version)
);

-- What a locally managed tunnel's agent told of its configuration.
CREATE TABLE tunnel_local_configuration (
    tunnel TEXT COLLATE "C" PRIMARY KEY REFERENCES tunnel (id) ON DELETE CASCADE,
    connector TEXT COLLATE "C" NOT NULL,
    config TEXT COLLATE "C" NOT NULL,
    told_at BIGINT NOT NULL
);

CREATE TABLE connector (
    tunnel TEXT COLLATE "C" NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    arch TEXT COLLATE "C" NOT NULL,
    features TEXT COLLATE "C" NOT NULL,
    run_at BIGINT NOT NULL,
    PRIMARY KEY (tunnel, id)
);

-- Live connections, as the nodes tell.
CREATE TABLE connection (
    id TEXT COLLATE "C" PRIMARY KEY,
    tunnel TEXT COLLATE "C" NOT NULL,
    connector TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    transport TEXT COLLATE "C" NOT NULL,
    origin_ip TEXT COLLATE "C" NOT NULL,
    location TEXT COLLATE "C" NOT NULL,
    opened_at BIGINT NOT NULL,
    draining BOOLEAN NOT NULL DEFAULT FALSE,
    FOREIGN KEY (tunnel, connector) REFERENCES connector (tunnel, id) ON DELETE CASCADE
);
CREATE INDEX connection_tunnel ON connection (tunnel);

-- Data keys, wrapped by the node key; the newest seals.
CREATE TABLE data_key (
    id BYTEA PRIMARY KEY,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- What publish sends once its change is committed: orders to nodes now; mail and webhooks later.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    payload TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);
