-- What the status page shows of the last day, so that a start forgets none of it. Numbers alone: nothing of what was in a callback.

-- In the rows of service 0, which stand for all of them together and where nothing arrives.
ALTER TABLE hours ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hours ADD COLUMN took TEXT;           -- how many were answered within each range of times: a list of JSON

-- When a callback of each service and kind was taken last.
CREATE TABLE last_taken (
    service INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (service, kind)
) STRICT, WITHOUT ROWID;

-- The alarms that were told, so that a start tells none of them again, and tells when one has ended. About a service or a token, by
-- its name or number, or about nothing in particular.
CREATE TABLE told_alarms (
    sort    TEXT    NOT NULL,
    about   TEXT    NOT NULL,
    since   INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (sort, about)
) STRICT, WITHOUT ROWID;
