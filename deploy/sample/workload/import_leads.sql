-- A batch is imported: part of it fails and is rolled back to its savepoint; and an import that is given up as a whole.
\set batch random(1, 1000000000)
BEGIN;
INSERT INTO leads (company, person, source, score)
SELECT 'Import :batch row ' || i, 'Person ' || i, 'import', i % 100 FROM generate_series(1, 100) AS i;
SAVEPOINT second_half;
INSERT INTO leads (company, person, source) SELECT 'Never :batch', 'Nobody', 'import' FROM generate_series(1, 50);
ROLLBACK TO SAVEPOINT second_half;
UPDATE leads SET score = 100 WHERE company = 'Import :batch row 1' AND source = 'import' AND score = 1;
COMMIT;
BEGIN;
INSERT INTO leads (company, person, source) SELECT 'Given up :batch', 'Nobody', 'import' FROM generate_series(1, 20);
ROLLBACK;
