-- One address, network, system or country, for the visitors of a user's zones, an account's, or of one zone.
CREATE TABLE access_rule (
    id TEXT COLLATE "C" PRIMARY KEY,
    person TEXT COLLATE "C" REFERENCES person (id) ON DELETE CASCADE,
    account TEXT COLLATE "C" REFERENCES account (id) ON DELETE CASCADE,
    zone TEXT COLLATE "C" REFERENCES zone (id) ON DELETE CASCADE,
    mode TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    notes TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    CHECK ((CASE WHEN person IS NULL THEN 0 ELSE 1 END) + (CASE WHEN account IS NULL THEN 0 ELSE 1 END)
        + (CASE WHEN zone IS NULL THEN 0 ELSE 1 END) = 1)
);
CREATE UNIQUE INDEX access_rule_person ON access_rule (person, target, value);
CREATE UNIQUE INDEX access_rule_account ON access_rule (account, target, value);
CREATE UNIQUE INDEX access_rule_zone ON access_rule (zone, target, value);
