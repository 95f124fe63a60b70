-- A call is noted, an older task is ticked off.
SELECT max(id) AS contacts FROM contacts \gset
SELECT max(id) AS activities FROM activities \gset
\set contact random(1, :contacts)
\set done random(1, :activities)
\set minutes random(1, 90)
BEGIN;
INSERT INTO activities (kind, contact_id, user_id, subject, due_at, done_at, duration, outcome)
SELECT 'call', (SELECT id FROM contacts WHERE id >= :contact ORDER BY id LIMIT 1), (SELECT min(id) FROM users), 'Call back',
       localtimestamp + interval '3 days', now(), make_interval(mins => :minutes), '{"result": "reached", "next": ["mail", "offer"]}';
UPDATE activities SET done_at = now(), outcome = coalesce(outcome, '{}') || '{"closed": true}' WHERE id = :done;
COMMIT;
