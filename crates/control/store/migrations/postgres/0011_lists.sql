-- Lists that rules name.
CREATE TABLE list (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('ip', 'redirect', 'hostname', 'asn')),
    description TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    UNIQUE (account, name)
);

-- Two items of a list are the same when their key is. `value` is JSON as bodies bring it; `search` is what is searched, in lower case.
CREATE TABLE list_item (
    id TEXT COLLATE "C" PRIMARY KEY,
    list TEXT COLLATE "C" NOT NULL REFERENCES list (id) ON DELETE CASCADE,
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    comment TEXT COLLATE "C",
    search TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    UNIQUE (list, key)
);

-- Writes of items, for those who ask after them; all of them are done.
CREATE TABLE list_operation (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    completed_at BIGINT NOT NULL
);
CREATE INDEX list_operation_account ON list_operation (account, completed_at);
