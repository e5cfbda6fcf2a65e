-- Virtual networks; one of an account's that is in force is the default. Deleted ones are told of for a while.
CREATE TABLE virtual_network (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    is_default BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX virtual_network_name ON virtual_network (account, name) WHERE deleted_at IS NULL;

-- Which tunnel leads to a network. Deleted ones are told of for a while.
CREATE TABLE private_route (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    network TEXT COLLATE "C" NOT NULL,
    tunnel TEXT COLLATE "C" NOT NULL REFERENCES tunnel (id) ON DELETE CASCADE,
    virtual_network TEXT COLLATE "C" NOT NULL REFERENCES virtual_network (id) ON DELETE CASCADE,
    comment TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX private_route_network ON private_route (virtual_network, network) WHERE deleted_at IS NULL;
CREATE INDEX private_route_account ON private_route (account, deleted_at);
CREATE INDEX private_route_tunnel ON private_route (tunnel) WHERE deleted_at IS NULL;
