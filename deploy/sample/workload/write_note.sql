-- A note, at times a long one (stored out of line), and an older one is pinned: the stream does not repeat its long text.
SELECT max(id) AS accounts FROM accounts \gset
SELECT max(id) AS notes FROM notes \gset
\set account random(1, :accounts)
\set pin random(1, :notes)
\set parts random(1, 200)
BEGIN;
INSERT INTO notes (account_id, author_id, body, attachment)
SELECT (SELECT id FROM accounts WHERE id >= :account ORDER BY id LIMIT 1), (SELECT min(id) FROM users),
       (SELECT string_agg(md5(random()::text), E'\n') FROM generate_series(1, CASE WHEN :parts > 150 THEN :parts ELSE 3 END)),
       decode(md5(:parts::text), 'hex');
UPDATE notes SET pinned = NOT pinned WHERE id = :pin;
UPDATE notes SET pinned = NOT pinned WHERE id % 40 = 0 AND id BETWEEN :pin AND :pin + 40;
COMMIT;
