-- How many callbacks came in each hour, so that a silence is seen: for five weeks, and a row only where some came. Never who sent
-- or got them.

CREATE TABLE hours (
    hour    INTEGER NOT NULL,                     -- since 1970 UTC
    service INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    PRIMARY KEY (hour, service)
) STRICT, WITHOUT ROWID;
