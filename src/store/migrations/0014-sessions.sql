-- Where people have signed in, and with what.

-- `mark` is an HMAC of the cookie's value under the key file. One browser may be several people's.
CREATE TABLE known_browsers (
    mark    BLOB    NOT NULL,
    person  INTEGER NOT NULL REFERENCES people (id),
    used_at INTEGER NOT NULL,
    PRIMARY KEY (mark, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_browsers_by_person ON known_browsers (person, used_at);

-- The IP address, the browser in words, and what is told once of the sign-in before: null when it was told or there was none.
ALTER TABLE sessions ADD COLUMN source TEXT;
ALTER TABLE sessions ADD COLUMN browser TEXT;
ALTER TABLE sessions ADD COLUMN before_at INTEGER;
ALTER TABLE sessions ADD COLUMN before_source TEXT;
ALTER TABLE sessions ADD COLUMN failed_before INTEGER;

-- Where the last sign-in came from, and how many tries with this address have failed since.
ALTER TABLE people ADD COLUMN signed_in_source TEXT;
ALTER TABLE people ADD COLUMN failed_since INTEGER NOT NULL DEFAULT 0;
