-- Lists that rules name.
CREATE TABLE list (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('ip', 'redirect', 'hostname', 'asn')),
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

-- Two items of a list are the same when their key is. `value` is JSON as bodies bring it; `search` is what is searched, in lower case.
CREATE TABLE list_item (
    id TEXT PRIMARY KEY,
    list TEXT NOT NULL REFERENCES list (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    comment TEXT,
    search TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    UNIQUE (list, key)
) STRICT;

-- Writes of items, for those who ask after them; all of them are done.
CREATE TABLE list_operation (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    completed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX list_operation_account ON list_operation (account, completed_at);
