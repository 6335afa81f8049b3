-- What was missed is read back from Notify, and what was erased stays away.

-- Messages that were erased. Their ids stay, so that no callback, no reading back and no import brings them here again. Never the
-- person: their next message is to be kept.
CREATE TABLE erased_messages (
    notify_id ANY     PRIMARY KEY,                -- as in `callbacks`
    erased_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each list of each service has been read back.
CREATE TABLE backfills (
    service       INTEGER NOT NULL REFERENCES services (id),
    list          INTEGER NOT NULL,               -- 1 notifications, 2 received text messages
    begun_at      INTEGER,                        -- of the reading that is not done; null where none is under way
    since         INTEGER,                        -- how far back it goes
    older_than    TEXT,                           -- the id of Notify's from which it goes on
    covered_from  INTEGER,                        -- what was made between these two has been read
    covered_until INTEGER,
    PRIMARY KEY (service, list)
) STRICT, WITHOUT ROWID;

-- One row. When it was last known that callbacks were taken.
CREATE TABLE signs_of_life (
    alive_at INTEGER
) STRICT;
INSERT INTO signs_of_life (alive_at) VALUES (NULL);

-- Times in which the server may have been down for longer than Notify goes on trying.
CREATE TABLE gaps (
    began_at INTEGER PRIMARY KEY,
    ended_at INTEGER NOT NULL
) STRICT;
