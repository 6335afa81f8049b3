-- What could not be understood has an origin too: called back, fetched, imported, test.

ALTER TABLE quarantine ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
