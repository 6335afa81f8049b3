-- Whose callbacks a person may see, where it is not everything.

ALTER TABLE people ADD COLUMN limited INTEGER NOT NULL DEFAULT 0;

CREATE TABLE person_services (
    person  INTEGER NOT NULL REFERENCES people (id),
    service INTEGER NOT NULL REFERENCES services (id),
    PRIMARY KEY (person, service)
) STRICT, WITHOUT ROWID;

-- The record: who saw or changed what. Numbers have no gap. `mac` is an HMAC, under the key file, of the row and of the `mac`
-- before it, so that no row can be changed, left out, moved or added without that key.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    person  INTEGER,                              -- the account; null for a command and for the server itself
    who     TEXT    NOT NULL,
    source  TEXT    NOT NULL,                     -- from where: a network address, or empty
    did     TEXT    NOT NULL,
    object  TEXT,                                 -- to what: a receipt's id, an account's number and the like
    subject BLOB,                                 -- of whose data: a mark under the key file
    detail  TEXT,
    key     BLOB    NOT NULL,                     -- which key file
    mac     BLOB    NOT NULL
) STRICT;
CREATE INDEX audit_by_subject ON audit (subject) WHERE subject IS NOT NULL;
CREATE INDEX audit_by_who ON audit (who);
CREATE INDEX audit_by_time ON audit (at);

-- One row: the record begins at `first`, after a row whose `mac` was `before`, and ends at `last`, whose `mac` is `head`.
-- `seal` is an HMAC of the four.
CREATE TABLE audit_ends (
    first  INTEGER NOT NULL,
    before BLOB    NOT NULL,
    last   INTEGER NOT NULL,
    head   BLOB    NOT NULL,
    seal   BLOB    NOT NULL
) STRICT;
