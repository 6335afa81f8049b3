-- What one person may ask for: that all of theirs is erased or redacted; and what keeps it: a hold.

-- Bodies that were erased from quarantine, for as long as Notify may send them again: an HMAC each under the key file.
CREATE TABLE erased_bodies (
    mark      BLOB    PRIMARY KEY,
    erased_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A hold keeps everything of a person or with a reference. The key is here as `callbacks` holds it, and not as a mark: a hold has to
-- go on finding what arrives after a restore, when the key file is another. It goes with the hold.
CREATE TABLE holds (
    id       INTEGER PRIMARY KEY,
    sort     INTEGER NOT NULL,                    -- 1 a person's key, 2 a reference's key
    key      TEXT    NOT NULL,
    services TEXT,                                -- a JSON list of the services whose callbacks it keeps; null for all
    reason   TEXT    NOT NULL,
    added_at INTEGER NOT NULL,
    is_whole INTEGER NOT NULL DEFAULT 0           -- 1 once all that was there is among the held
) STRICT;

-- The numbers of what is held, in `callbacks` and `quarantine`. What arrives joins in the transaction that stores it.
CREATE TABLE held_arrivals (
    arrival INTEGER NOT NULL,
    hold    INTEGER NOT NULL REFERENCES holds (id),
    PRIMARY KEY (arrival, hold)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_arrivals_by_hold ON held_arrivals (hold);

-- Messages whose text was redacted. What comes for them from now on is redacted too.
CREATE TABLE redacted_messages (
    notify_id   ANY     PRIMARY KEY,              -- as in `callbacks`
    recipient   INTEGER NOT NULL,                 -- 1 where it is not kept whose they were
    redacted_at INTEGER NOT NULL,
    reason      TEXT                              -- null after a restore
) STRICT, WITHOUT ROWID;

-- Redacted callbacks that the index may still find by what they said: of those in `removed_arrivals` the ones whose rows stay.
CREATE TABLE redacted_arrivals (
    arrival INTEGER PRIMARY KEY,
    turn    INTEGER NOT NULL                      -- grows with each redaction, which the index forgets one by one
) STRICT;
