-- What Notify's API says beside its callbacks: messages as they were sent, and the names of templates.

-- What was sent, of messages that somebody looked at. It goes by an age of its own, and with the callbacks of its message.
CREATE TABLE sent_texts (
    notify_id  ANY     PRIMARY KEY,               -- as in `callbacks`
    service    INTEGER NOT NULL REFERENCES services (id),
    subject    TEXT,
    body       TEXT,                              -- null where Notify no longer had it
    fetched_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_texts_by_age ON sent_texts (fetched_at);

CREATE TABLE template_names (
    service  INTEGER NOT NULL REFERENCES services (id),
    template INTEGER NOT NULL,                    -- its number in `templates`
    given    TEXT,                                -- by an admin; it goes before the other
    told     TEXT,                                -- by Notify
    asked_at INTEGER,                             -- when Notify last told it, or did not know it
    PRIMARY KEY (service, template)
) STRICT, WITHOUT ROWID;
