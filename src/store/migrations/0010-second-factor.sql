-- The second factor of sign-in.

CREATE TABLE second_factors (
    person    INTEGER PRIMARY KEY REFERENCES people (id),
    secret    BLOB    NOT NULL,                   -- what the app holds too, encrypted under the key file
    made_at   INTEGER NOT NULL,
    last_step INTEGER NOT NULL                    -- of the last code that was taken: it and those before are taken no more
) STRICT;

-- `mark` is an HMAC of the code under the key file. A code that was used is not here any more.
CREATE TABLE recovery_codes (
    mark   BLOB    PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES people (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX recovery_codes_by_person ON recovery_codes (person);

-- Who has given the right password and nothing more yet. It opens only the second step.
CREATE TABLE pending_sign_ins (
    mark    BLOB    PRIMARY KEY,
    person  INTEGER NOT NULL REFERENCES people (id),
    made_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_sign_ins_by_person ON pending_sign_ins (person);

-- Whether the session began with a second factor. One from before did not.
ALTER TABLE sessions ADD COLUMN second_factor INTEGER NOT NULL DEFAULT 0;
