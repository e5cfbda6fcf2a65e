-- A ruleset of a zone or an account, as its newest version has it, without its rules.
CREATE TABLE ruleset (
    id TEXT PRIMARY KEY,
    account TEXT REFERENCES account (id) ON DELETE CASCADE,
    zone TEXT REFERENCES zone (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('custom', 'root', 'zone')),
    phase TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    version INTEGER NOT NULL,
    last_updated INTEGER NOT NULL,
    CHECK ((account IS NULL) <> (zone IS NULL))
) STRICT;
CREATE INDEX ruleset_account ON ruleset (account);
CREATE INDEX ruleset_zone ON ruleset (zone);
CREATE UNIQUE INDEX ruleset_entry_of_account ON ruleset (account, phase) WHERE kind = 'root';
CREATE UNIQUE INDEX ruleset_entry_of_zone ON ruleset (zone, phase) WHERE kind = 'zone';

-- A version for every change; `rules` is the model's, JSON.
CREATE TABLE ruleset_version (
    ruleset TEXT NOT NULL REFERENCES ruleset (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    rules TEXT NOT NULL,
    last_updated INTEGER NOT NULL,
    PRIMARY KEY (ruleset, version)
) STRICT;
