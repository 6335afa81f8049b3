-- Few conversations are taken at a time, and whoever narrows the inbox chooses among those who have some.
CREATE INDEX conversation_services_taken ON conversation_services (taken_by, service) WHERE taken_by IS NOT NULL;
