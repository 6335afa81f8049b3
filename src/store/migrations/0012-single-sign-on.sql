-- Who is who at a provider of single sign-on. An account belongs to one person there, so that an address that is given to somebody
-- else does not open it.

CREATE TABLE single_sign_on (
    issuer  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    person  INTEGER NOT NULL REFERENCES people (id),
    made_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (issuer, person)
) STRICT, WITHOUT ROWID;
