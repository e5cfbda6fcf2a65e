-- Zones that no other account may add. `hold_after`: from when on; none: at once.
CREATE TABLE zone_hold (
    zone TEXT COLLATE "C" PRIMARY KEY REFERENCES zone (id) ON DELETE CASCADE,
    include_subdomains BOOLEAN NOT NULL,
    hold_after BIGINT
);

CREATE TABLE account_setting (
    account TEXT COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    modified_at BIGINT NOT NULL,
    PRIMARY KEY (account, id)
);
