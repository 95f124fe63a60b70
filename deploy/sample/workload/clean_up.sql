-- Old things go: an activity, a note, a lead; and a lead gets a new id (its key changes).
SELECT max(id) AS activities FROM activities \gset
SELECT max(id) AS notes FROM notes \gset
\set activity random(1, :activities)
\set note random(1, :notes)
DELETE FROM activities WHERE id = :activity;
DELETE FROM notes WHERE id = :note AND NOT pinned;
DELETE FROM leads WHERE id = (SELECT id FROM leads WHERE id >= gen_random_uuid() AND status = 'lost' ORDER BY id LIMIT 1);
UPDATE leads SET id = gen_random_uuid()
WHERE id = (SELECT id FROM leads WHERE id >= gen_random_uuid() ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED);
