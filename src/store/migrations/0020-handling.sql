-- What a team does about conversations: reads, takes and deals with them, and writes notes. Apart by service, as the texts are, so
-- that whoever is limited to some services learns nothing of the others.

-- The numbers that texts are sent to, each by a number of its own, which stands in addresses in its place.
CREATE TABLE destinations (
    id      INTEGER PRIMARY KEY,
    service INTEGER NOT NULL,
    number  TEXT    NOT NULL,
    UNIQUE (service, number)
) STRICT;

ALTER TABLE conversation_services ADD COLUMN destination INTEGER;                  -- of its newest text
ALTER TABLE conversation_services ADD COLUMN version INTEGER NOT NULL DEFAULT 0;   -- grows with each text and each change
ALTER TABLE conversation_services ADD COLUMN read_to INTEGER NOT NULL DEFAULT 0;   -- texts that came after this arrival are unread
ALTER TABLE conversation_services ADD COLUMN taken_by INTEGER REFERENCES people (id);
ALTER TABLE conversation_services ADD COLUMN taken_at INTEGER;
ALTER TABLE conversation_services ADD COLUMN done_by INTEGER REFERENCES people (id);
ALTER TABLE conversation_services ADD COLUMN done_at INTEGER;

INSERT INTO destinations (service, number)
    SELECT DISTINCT cs.service, c.destination FROM conversation_services cs JOIN callbacks c ON c.arrival = cs.latest
    WHERE c.destination <> '' AND length(c.destination) <= 100;
UPDATE conversation_services SET destination =
    (SELECT d.id FROM destinations d JOIN callbacks c ON c.destination = d.number
     WHERE c.arrival = conversation_services.latest AND d.service = conversation_services.service);

-- The inbox is read from it in its order, whatever it is narrowed to.
DROP INDEX conversation_services_by_latest;
CREATE INDEX conversation_services_by_latest
    ON conversation_services (latest, read_to, taken_by, done_at, destination);
-- Few are unread, and they are counted for every page.
CREATE INDEX conversation_services_unread ON conversation_services (service, conversation) WHERE latest > read_to;

-- Who changed what of it, the last ones: for whoever had it open meanwhile, and to take a change back.
CREATE TABLE handling_changes (
    conversation INTEGER NOT NULL,
    service      INTEGER NOT NULL,
    version      INTEGER NOT NULL,                -- that it made
    did          TEXT    NOT NULL,                -- as in the record
    person       INTEGER NOT NULL REFERENCES people (id),
    at           INTEGER NOT NULL,
    given_to     INTEGER REFERENCES people (id),
    was_read_to  INTEGER NOT NULL,                -- as it was before
    was_taken_by INTEGER,
    was_taken_at INTEGER,
    was_done_by  INTEGER,
    was_done_at  INTEGER,
    PRIMARY KEY (conversation, service, version)
) STRICT, WITHOUT ROWID;

-- A note that its writer removed stays without its text.
CREATE TABLE notes (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL,
    service      INTEGER NOT NULL,
    person       INTEGER NOT NULL REFERENCES people (id),
    made_at      INTEGER NOT NULL,
    text         TEXT,
    removed_at   INTEGER
) STRICT;
CREATE INDEX notes_by_conversation ON notes (conversation, service);
