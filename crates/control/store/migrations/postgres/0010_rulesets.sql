-- A ruleset of a zone or an account, as its newest version has it, without its rules.
CREATE TABLE ruleset (
    id TEXT COLLATE "C" PRIMARY KEY,
    account TEXT COLLATE "C" REFERENCES account (id) ON DELETE CASCADE,
    zone TEXT COLLATE "C" REFERENCES zone (id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('custom', 'root', 'zone')),
    phase TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    CHECK ((account IS NULL) <> (zone IS NULL))
);
CREATE INDEX ruleset_account ON ruleset (account);
CREATE INDEX ruleset_zone ON ruleset (zone);
CREATE UNIQUE INDEX ruleset_entry_of_account ON ruleset (account, phase) WHERE kind = 'root';
CREATE UNIQUE INDEX ruleset_entry_of_zone ON ruleset (zone, phase) WHERE kind = 'zone';

-- A version for every change; `rules` is the model's, JSON.
CREATE TABLE ruleset_version (
    ruleset TEXT COLLATE "C" NOT NULL REFERENCES ruleset (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    rules TEXT COLLATE "C" NOT NULL,
    last_updated BIGINT NOT NULL,
    PRIMARY KEY (ruleset, version)
);
