-- One address, network, system or country, for the visitors of a user's zones, an account's, or of one zone.
CREATE TABLE access_rule (
    id TEXT PRIMARY KEY,
    person TEXT REFERENCES person (id) ON DELETE CASCADE,
    account TEXT REFERENCES account (id) ON DELETE CASCADE,
    zone TEXT REFERENCES zone (id) ON DELETE CASCADE,
    mode TEXT NOT NULL,
    target TEXT NOT NULL,
    value TEXT NOT NULL,
    notes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    CHECK ((CASE WHEN person IS NULL THEN 0 ELSE 1 END) + (CASE WHEN account IS NULL THEN 0 ELSE 1 END)
        + (CASE WHEN zone IS NULL THEN 0 ELSE 1 END) = 1)
) STRICT;
CREATE UNIQUE INDEX access_rule_person ON access_rule (person, target, value);
CREATE UNIQUE INDEX access_rule_account ON access_rule (account, target, value);
CREATE UNIQUE INDEX access_rule_zone ON access_rule (zone, target, value);
