-- Who may look.

CREATE TABLE people (
    id           INTEGER PRIMARY KEY,
    email        TEXT    NOT NULL UNIQUE,         -- lower case
    role         TEXT    NOT NULL,
    password     TEXT,                            -- an argon2id string; null until one is set
    made_at      INTEGER NOT NULL,
    signed_in_at INTEGER,
    disabled_at  INTEGER
) STRICT;

-- `mark` is an HMAC of the cookie's value under the key file: neither the store alone nor a backup opens a session.
CREATE TABLE sessions (
    mark         BLOB    PRIMARY KEY,
    person       INTEGER NOT NULL REFERENCES people (id),
    made_at      INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_person ON sessions (person);

CREATE TABLE one_time_links (
    mark       BLOB    PRIMARY KEY,
    person     INTEGER NOT NULL REFERENCES people (id),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A search for a person, kept so that its page has a link without the number or address in it.
CREATE TABLE searches (
    opaque  TEXT    PRIMARY KEY,
    term    TEXT    NOT NULL,
    made_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX searches_by_made_at ON searches (made_at);
