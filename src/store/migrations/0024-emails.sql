-- Emails to the people who look, when there is something to look at. No row holds what was written, or by whom.

-- Where somebody wants them. What was typed gets a code and nothing else, until its owner has typed that code in.
CREATE TABLE email_addresses (
    person     INTEGER PRIMARY KEY REFERENCES people (id),
    address    TEXT,                              -- confirmed
    asked      TEXT,                              -- typed, and not confirmed yet
    asked_at   INTEGER,
    nonce      BLOB,                              -- the code is made of it with the key file, and stands nowhere
    tries      INTEGER NOT NULL DEFAULT 0,
    code_waits INTEGER NOT NULL DEFAULT 0,        -- the email with the code is still to be sent
    test_waits INTEGER NOT NULL DEFAULT 0,
    asks       INTEGER NOT NULL DEFAULT 0,        -- emails that were asked for by hand
    asks_since INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What somebody wants to be told. `since` is the last arrival that was told, or that was there before.
CREATE TABLE email_news (
    person  INTEGER NOT NULL REFERENCES people (id),
    news    TEXT    NOT NULL,
    wanted  INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    told_at INTEGER,
    PRIMARY KEY (person, news)
) STRICT, WITHOUT ROWID;

-- Texts that may tell of danger and were not read in time, by whom was told of each.
CREATE TABLE email_escalations (
    arrival INTEGER NOT NULL,
    person  INTEGER NOT NULL REFERENCES people (id),
    PRIMARY KEY (arrival, person)
) STRICT, WITHOUT ROWID;
