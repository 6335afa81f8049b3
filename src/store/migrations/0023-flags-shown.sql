-- Flags where people look first. Of whose conversation each is, and in each conversation the newest arrival that is flagged so.
ALTER TABLE flags ADD COLUMN conversation INTEGER;
ALTER TABLE flags ADD COLUMN service INTEGER;
CREATE INDEX flags_by_conversation ON flags (conversation, service, flag, arrival);

ALTER TABLE conversation_services ADD COLUMN danger INTEGER NOT NULL DEFAULT 0;       -- 0 where none is
ALTER TABLE conversation_services ADD COLUMN stop INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation_services ADD COLUMN wrong_person INTEGER NOT NULL DEFAULT 0;

-- Few are flagged, and the inbox is read from them in its order.
CREATE INDEX conversation_services_flagged
    ON conversation_services (latest, danger, stop, wrong_person, read_to, taken_by, done_at, destination)
    WHERE max(danger, stop, wrong_person) > 0;
CREATE INDEX conversation_services_in_danger ON conversation_services (latest) WHERE danger > read_to;

-- What is flagged already has none of that yet: every text is held against the list once more.
UPDATE following SET next_text = 1;
