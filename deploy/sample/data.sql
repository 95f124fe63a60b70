-- Rows for schema.sql: the same ones at every run, on every machine. At scale 1 about 345,000 rows, 80 MB.
--   psql -c "SET sample.scale = '0.1'" -f data.sql        (the same session; without it the scale is 1)
-- Every value comes from pick(row, salt, n): a number in [0, n) that depends on nothing else.

CREATE FUNCTION pg_temp.pick(i bigint, salt integer, n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
    $$ SELECT ((hashint8extended(i, salt::bigint) & 9223372036854775807) % n)::integer $$;
CREATE FUNCTION pg_temp.rows(n integer) RETURNS integer LANGUAGE sql STABLE AS
    $$ SELECT greatest(10, round(n * coalesce(nullif(current_setting('sample.scale', true), '')::numeric, 1)))::integer $$;
CREATE FUNCTION pg_temp.first_name(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT (array['Ada','Jörg','Zoë','Mehmet','Anna','Łukasz','Marie','Ivan','Siân','José','Chloé','Mina','Paul','Ines',
       'Noah','Emma','Ødger','Lea','Tomáš','Rosa','Kai','Olga','Ben','Yuki','Omar','Nina','Max','Eva','Hugo','Li'])[i % 30 + 1] $$;
CREATE FUNCTION pg_temp.last_name(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT (array['Müller','García','O''Brien','Nguyễn','Smith','Kowalski','Rossi','Novák','Dubois','Jensen','Silva',
       'van der Berg','Yılmaz','Schmidt','Ivanova','Lindström','Papadopoulos','Tanaka','Haddad','Weber'])[i % 20 + 1] $$;
CREATE FUNCTION pg_temp.word(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT (array['solar','pump','harbour','copper','orchid','signal','granite','velvet','meadow','circuit','lantern',
       'falcon','timber','crystal','canyon','ember','summit','delta','willow','quartz'])[i % 20 + 1] $$;
CREATE FUNCTION pg_temp.moment(i bigint, salt integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
    $$ SELECT timestamptz '2024-01-01 08:00:00+00' + pg_temp.pick(i, salt, 63072000) * interval '1 second'
              + pg_temp.pick(i, salt + 1, 1000000) * interval '1 microsecond' $$;

INSERT INTO users (email, full_name, role, is_active, last_login_at, last_login_ip, settings)
SELECT 'user' || i || '@example.com', pg_temp.first_name(pg_temp.pick(i, 1, 30)) || ' ' || pg_temp.last_name(pg_temp.pick(i, 2, 20)),
       (array['sales','sales','sales','sales','manager','support','support','admin'])[pg_temp.pick(i, 3, 8) + 1],
       pg_temp.pick(i, 4, 20) <> 0, pg_temp.moment(i, 5),
       ('10.' || pg_temp.pick(i, 7, 256) || '.' || pg_temp.pick(i, 8, 256) || '.' || pg_temp.pick(i, 9, 256))::inet,
       jsonb_build_object('theme', (array['light','dark'])[i % 2 + 1], 'pageSize', 25 * (1 + i % 4))
FROM generate_series(1, pg_temp.rows(200)) AS i;

INSERT INTO accounts (name, owner_id, parent_id, industry, annual_revenue, employees, rating, tags, address, created_at, updated_at)
SELECT initcap(pg_temp.word(pg_temp.pick(i, 11, 20)) || ' ' || pg_temp.word(pg_temp.pick(i, 12, 20)))
           || (array[' GmbH',' Ltd',' S.A.',' AG',' Inc',' B.V.'])[pg_temp.pick(i, 13, 6) + 1],
       1 + pg_temp.pick(i, 14, pg_temp.rows(200)),
       CASE WHEN i > 50 AND pg_temp.pick(i, 15, 10) = 0 THEN 1 + pg_temp.pick(i, 16, 50) % (i - 1) END,
       (array['manufacturing','retail','health','energy','software','logistics', NULL])[pg_temp.pick(i, 17, 7) + 1],
       CASE WHEN pg_temp.pick(i, 18, 9) > 0 THEN pg_temp.pick(i, 19, 2000000000)::numeric / 100 END,
       1 + pg_temp.pick(i, 20, 5000), (pg_temp.pick(i, 21, 50) / 10.0)::real,
       (SELECT coalesce(array_agg(pg_temp.word(pg_temp.pick(i, 22 + t, 20)) ORDER BY t), '{}')
        FROM generate_series(1, pg_temp.pick(i, 22, 4)) AS t),
       jsonb_build_object('street', initcap(pg_temp.word(pg_temp.pick(i, 30, 20))) || 'straße ' || pg_temp.pick(i, 31, 200),
           'zip', lpad(pg_temp.pick(i, 32, 99999)::text, 5, '0'), 'country', (array['DE','FR','CZ','PL','ES'])[pg_temp.pick(i, 33, 5) + 1]),
       pg_temp.moment(i, 34), pg_temp.moment(i, 34)
FROM generate_series(1, pg_temp.rows(20000)) AS i ORDER BY i;

INSERT INTO contacts (account_id, first_name, last_name, email, phone, born_on, is_primary, consent, created_at, updated_at)
SELECT 1 + (i - 1) % pg_temp.rows(20000), pg_temp.first_name(pg_temp.pick(i, 41, 30)), pg_temp.last_name(pg_temp.pick(i, 42, 20)),
       CASE WHEN pg_temp.pick(i, 43, 12) > 0 THEN 'contact' || i || '@' || pg_temp.word(pg_temp.pick(i, 44, 20)) || '.example' END,
       '+49 ' || pg_temp.pick(i, 45, 900) + 100 || ' ' || pg_temp.pick(i, 46, 9000000) + 1000000,
       CASE WHEN pg_temp.pick(i, 47, 3) = 0 THEN date '1950-01-01' + pg_temp.pick(i, 48, 20000) END,
       i <= pg_temp.rows(20000),
       CASE pg_temp.pick(i, 49, 4) WHEN 0 THEN NULL WHEN 1 THEN 'null'::jsonb
            ELSE jsonb_build_object('newsletter', i % 2 = 0, 'givenAt', pg_temp.moment(i, 50)) END,
       pg_temp.moment(i, 51), pg_temp.moment(i, 51)
FROM generate_series(1, pg_temp.rows(60000)) AS i ORDER BY i;

INSERT INTO leads (id, owner_id, company, person, email, source, score, status, raw_form, created_at)
SELECT md5('lead ' || i)::uuid, CASE WHEN pg_temp.pick(i, 61, 5) > 0 THEN 1 + pg_temp.pick(i, 62, pg_temp.rows(200)) END,
       initcap(pg_temp.word(pg_temp.pick(i, 63, 20))) || ' ' || i,
       pg_temp.first_name(pg_temp.pick(i, 64, 30)) || ' ' || pg_temp.last_name(pg_temp.pick(i, 65, 20)),
       'lead' || i || '@example.net', (array['web','fair','referral','phone','import'])[pg_temp.pick(i, 66, 5) + 1],
       pg_temp.pick(i, 67, 101), (array['new','new','working','lost'])[pg_temp.pick(i, 68, 4) + 1],
       CASE WHEN pg_temp.pick(i, 69, 2) = 0 THEN jsonb_build_object('utm', jsonb_build_object('campaign', 'c' || i % 40,
           'medium', 'cpc'), 'message', 'Please call me about the ' || pg_temp.word(pg_temp.pick(i, 70, 20)) || ' "offer"') END,
       pg_temp.moment(i, 71)
FROM generate_series(1, pg_temp.rows(40000)) AS i;

INSERT INTO opportunities (account_id, owner_id, name, stage, amount, probability, closes_on, products, updated_at)
SELECT 1 + pg_temp.pick(i, 81, pg_temp.rows(20000)), 1 + pg_temp.pick(i, 82, pg_temp.rows(200)),
       initcap(pg_temp.word(pg_temp.pick(i, 83, 20))) || ' deal ' || i,
       (enum_range(NULL::opportunity_stage))[pg_temp.pick(i, 84, 6) + 1], pg_temp.pick(i, 85, 25000000)::numeric / 100,
       pg_temp.pick(i, 86, 100) / 100.0, date '2025-01-01' + pg_temp.pick(i, 87, 800),
       ARRAY[pg_temp.word(pg_temp.pick(i, 88, 20)), 'SKU-' || pg_temp.pick(i, 89, 5000)], pg_temp.moment(i, 90)
FROM generate_series(1, pg_temp.rows(30000)) AS i ORDER BY i;

INSERT INTO activities (kind, contact_id, opportunity_id, user_id, subject, due_at, done_at, duration, outcome)
SELECT (array['call','email','meeting','task'])[pg_temp.pick(i, 101, 4) + 1], 1 + pg_temp.pick(i, 102, pg_temp.rows(60000)),
       CASE WHEN pg_temp.pick(i, 103, 3) > 0 THEN 1 + pg_temp.pick(i, 104, pg_temp.rows(30000)) END,
       1 + pg_temp.pick(i, 105, pg_temp.rows(200)),
       initcap(pg_temp.word(pg_temp.pick(i, 106, 20))) || ' ' || pg_temp.word(pg_temp.pick(i, 107, 20)) || ' follow-up',
       pg_temp.moment(i, 108) AT TIME ZONE 'UTC', CASE WHEN i % 4 > 0 THEN pg_temp.moment(i, 108) + interval '2 hours' END,
       CASE WHEN i % 3 = 0 THEN make_interval(mins => 5 + pg_temp.pick(i, 110, 120)) END,
       CASE WHEN i % 5 = 0 THEN jsonb_build_object('result', (array['reached','voicemail','no answer'])[pg_temp.pick(i, 111, 3) + 1]) END
FROM generate_series(1, pg_temp.rows(150000)) AS i ORDER BY i;

INSERT INTO notes (account_id, author_id, body, attachment, pinned, created_at)
SELECT 1 + pg_temp.pick(i, 121, pg_temp.rows(20000)), 1 + pg_temp.pick(i, 122, pg_temp.rows(200)),
       'Talked about ' || pg_temp.word(pg_temp.pick(i, 123, 20)) || E'.\nNext step:\t' || pg_temp.word(pg_temp.pick(i, 124, 20))
           || CASE WHEN i % 40 = 0 THEN (SELECT string_agg(md5(i || '/' || part), E'\n' ORDER BY part)
                                         FROM generate_series(1, 200) AS part) ELSE '' END,
       CASE WHEN i % 25 = 0 THEN decode(md5('file ' || i) || md5('more ' || i), 'hex') END,
       pg_temp.pick(i, 125, 30) = 0, pg_temp.moment(i, 126)
FROM generate_series(1, pg_temp.rows(40000)) AS i ORDER BY i;

INSERT INTO stage_history (opportunity_id, old_stage, new_stage, changed_at, changed_by)
SELECT o.id, 'prospecting', o.stage, o.updated_at, 'import' FROM opportunities o WHERE o.stage IN ('won', 'lost') AND o.id % 2 = 0
ORDER BY o.id;
