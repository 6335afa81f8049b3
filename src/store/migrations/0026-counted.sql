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
