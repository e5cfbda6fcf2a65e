-- Ids are the text the API shows: 32 hexadecimal digits, or a UUID for tunnels, connectors and connections.
-- Times are microseconds since the Unix epoch, UTC. JSON is text.

-- One row. `change` goes up with every committed write; publish compares it with what it has seen.
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    change INTEGER NOT NULL
) STRICT;
INSERT INTO state (one, change) VALUES (1, 0);

CREATE TABLE account (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('standard', 'quick')),
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;

CREATE TABLE zone (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'active', 'moved')),
    name_server_1 TEXT,
    name_server_2 TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    activated_at INTEGER,
    UNIQUE (account, name)
) STRICT;
-- Several accounts may hold a name pending; one serves.
CREATE UNIQUE INDEX zone_serving ON zone (name) WHERE status IN ('active', 'moved');
CREATE INDEX zone_name ON zone (name);

-- One row a record; a record set is the rows of equal zone, name and type.
CREATE TABLE record (
    id TEXT PRIMARY KEY,
    zone TEXT NOT NULL REFERENCES zone (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    content TEXT NOT NULL,
    priority INTEGER,
    data TEXT,
    ttl INTEGER NOT NULL CHECK (ttl = 1 OR ttl BETWEEN 30 AND 86400),
    proxied INTEGER NOT NULL CHECK (proxied IN (0, 1)),
    comment TEXT,
    tags TEXT NOT NULL DEFAULT '[]',
    settings TEXT NOT NULL DEFAULT '{}',
    managed_by TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_same ON record (zone, name, type, content, ifnull(priority, -1));
CREATE INDEX record_content ON record (content, type);

CREATE TABLE tunnel (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    config_src TEXT NOT NULL CHECK (config_src IN ('local', 'cloudflare')),
    created_at INTEGER NOT NULL,
    deleted_at INTEGER,
    conns_active_at INTEGER,
    conns_inactive_at INTEGER,
    first_connected_at INTEGER,
    last_loss_at INTEGER,
    quick INTEGER NOT NULL DEFAULT 0 CHECK (quick IN (0, 1)),
    expires_at INTEGER
) STRICT;
CREATE UNIQUE INDEX tunnel_name ON tunnel (account, name) WHERE deleted_at IS NULL;
CREATE INDEX tunnel_expiry ON tunnel (expires_at) WHERE deleted_at IS NULL AND expires_at IS NOT NULL;

-- Two rows while a secret is rotated, one otherwise. `sealed` is bound to the tunnel's id and the digest.
CREATE TABLE tunnel_secret (
    tunnel TEXT NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tunnel, digest)
) STRICT;

-- Versions of a remotely managed tunnel, the first is 1; what the agent reads, as it reads it.
CREATE TABLE tunnel_configuration (
    tunnel TEXT NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    version INTEGER NOT NULL CHECK (version >= 0),
    config TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tunnel, version)
) STRICT;

-- What a locally managed tunnel's agent told of its configuration.
CREATE TABLE tunnel_local_configuration (
    tunnel TEXT PRIMARY KEY REFERENCES tunnel (id) ON DELETE CASCADE,
    connector TEXT NOT NULL,
    config TEXT NOT NULL,
    told_at INTEGER NOT NULL
) STRICT;

CREATE TABLE connector (
    tunnel TEXT NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    version TEXT NOT NULL,
    arch TEXT NOT NULL,
    features TEXT NOT NULL,
    run_at INTEGER NOT NULL,
    PRIMARY KEY (tunnel, id)
) STRICT;

-- Live connections, as the nodes tell.
CREATE TABLE connection (
    id TEXT PRIMARY KEY,
    tunnel TEXT NOT NULL,
    connector TEXT NOT NULL,
    number INTEGER NOT NULL,
    transport TEXT NOT NULL,
    origin_ip TEXT NOT NULL,
    location TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    draining INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (tunnel, connector) REFERENCES connector (tunnel, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX connection_tunnel ON connection (tunnel);

-- Data keys, wrapped by the node key; the newest seals.
CREATE TABLE data_key (
    id BLOB PRIMARY KEY,
    wrapped BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- What publish sends once its change is committed: orders to nodes now; mail and webhooks later.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
