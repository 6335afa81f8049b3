-- A token that was revoked at once is refused whatever the clock says from then on.
ALTER TABLE tokens ADD COLUMN revoked_at_once INTEGER NOT NULL DEFAULT 0;
