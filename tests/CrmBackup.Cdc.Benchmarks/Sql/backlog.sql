-- Row changes on the CRM of deploy/sample, the same ones at every run: transactions of 10 to 1000 rows, small ones more often.
-- Before it: SET bench.changes = 'N'. After it, bench.changes says how many there were.
DO $$
DECLARE
    wanted bigint := current_setting('bench.changes');
    done bigint := 0;
    oldest bigint := (SELECT min(id) FROM activities);
    user_count integer := (SELECT max(id) FROM users);
    account_count integer := (SELECT max(id) FROM accounts);
    contact_count integer := (SELECT max(id) FROM contacts);
    deal_count integer := (SELECT max(id) FROM opportunities);
    rows integer;
    first integer;
    dice integer;
    changed bigint;
BEGIN
    PERFORM setseed(0.42);
    WHILE done < wanted LOOP
        rows := least(10 * 100 ^ random(), wanted - done);
        dice := random() * 99;
        first := random() * 1000000000;
        CASE
        WHEN dice < 35 THEN
            INSERT INTO activities (kind, contact_id, opportunity_id, user_id, subject, due_at, done_at, duration, outcome)
            SELECT (array['call','email','meeting','task'])[i % 4 + 1], 1 + (first + i * 7) % contact_count,
                   CASE WHEN i % 3 = 0 THEN 1 + (first + i * 3) % deal_count END, 1 + (first + i) % user_count,
                   'Follow-up ' || first + i || ' on ' || (array['solar','pump','harbour','copper','orchid','signal'])[i % 6 + 1],
                   timestamp '2026-01-01' + (first % 31536000) * interval '1 second',
                   CASE WHEN i % 2 = 0 THEN timestamptz '2026-01-01 00:00:00+00' + (first % 31536000 + i) * interval '1 second' END,
                   make_interval(mins => 5 + i % 90), jsonb_build_object('result', (array['reached','voicemail','no answer'])[i % 3 + 1], 'score', random())
            FROM generate_series(1, rows) AS i;
        WHEN dice < 50 THEN
            INSERT INTO leads (id, owner_id, company, person, email, source, score, raw_form, created_at)
            SELECT md5(first || '/' || i)::uuid, 1 + (first + i) % user_count, 'Company ' || first + i, 'Person ' || i, 'lead' || first + i || '@example.net',
                   (array['web','fair','referral','phone','import'])[i % 5 + 1], i % 101,
                   jsonb_build_object('utm', jsonb_build_object('campaign', 'c' || i % 40, 'medium', 'cpc'), 'message', 'Please call me about offer ' || first + i),
                   timestamptz '2026-01-01 00:00:00+00' + (first % 31536000) * interval '1 second'
            FROM generate_series(1, rows) AS i ON CONFLICT DO NOTHING;
        WHEN dice < 70 THEN
            UPDATE contacts SET phone = '+49 ' || first % 900 + 100 || ' ' || id, consent = jsonb_build_object('newsletter', id % 2 = 0, 'batch', first)
            WHERE id BETWEEN first % contact_count AND first % contact_count + rows - 1;
        WHEN dice < 85 THEN
            UPDATE opportunities SET amount = amount + 1.25, probability = (id + first) % 100 / 100.0
            WHERE id BETWEEN first % deal_count AND first % deal_count + rows - 1;
        WHEN dice < 90 THEN
            INSERT INTO notes (account_id, author_id, body, created_at)
            SELECT 1 + (first + i) % account_count, 1 + i % user_count, 'Talked about batch ' || first || E'.\nNext step:\tcall again in ' || i % 30 || ' days.'
                   || CASE WHEN i % 50 = 0 THEN repeat(md5(first + i || ''), 90) ELSE '' END,
                   timestamptz '2026-01-01 00:00:00+00' + (first % 31536000) * interval '1 second'
            FROM generate_series(1, rows) AS i;
        WHEN dice < 95 THEN
            DELETE FROM activities WHERE id BETWEEN oldest AND oldest + rows - 1;
            oldest := oldest + rows;
        ELSE
            UPDATE accounts SET employees = coalesce(employees, 0) + 1, tags = array['batch', 'b' || first % 50]
            WHERE id BETWEEN first % account_count AND first % account_count + rows - 1;
        END CASE;
        GET DIAGNOSTICS changed = ROW_COUNT;
        done := done + changed;
        COMMIT;
    END LOOP;
    PERFORM set_config('bench.changes', done::text, false);
END $$;
