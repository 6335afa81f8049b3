-- Passkeys: what an authenticator has the private key of.

CREATE TABLE passkeys (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    person      INTEGER NOT NULL REFERENCES people (id),
    credential  BLOB    NOT NULL UNIQUE,          -- the id that the authenticator gave it
    public_key  BLOB    NOT NULL,                 -- as COSE_Key
    user_handle BLOB    NOT NULL,                 -- random, the same for all of a person's: authenticators keep it
    name        TEXT    NOT NULL,
    sign_count  INTEGER NOT NULL,                 -- the authenticator's own count; 0 where it has none
    made_at     INTEGER NOT NULL,
    used_at     INTEGER
) STRICT;
CREATE INDEX passkeys_by_person ON passkeys (person);

-- Challenges that were answered: none is taken twice.
CREATE TABLE used_challenges (
    mark    BLOB    PRIMARY KEY,
    made_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
