-- Zones that no other account may add. `hold_after`: from when on; none: at once.
CREATE TABLE zone_hold (
    zone TEXT PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    include_subdomains INTEGER NOT NULL CHECK (include_subdomains IN (0, 1)),
    hold_after INTEGER
) STRICT;

CREATE TABLE account_setting (
    account TEXT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    value TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT;
