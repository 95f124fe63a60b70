-- A form on the web site is sent.
\set score random(0, 100)
\set campaign random(1, 40)
INSERT INTO leads (company, person, email, source, score, raw_form)
VALUES ('Walk-in :client_id', 'Ada Visitor', 'visitor' || :score || '@example.net', 'web', :score,
        jsonb_build_object('utm', jsonb_build_object('campaign', 'c' || :campaign), 'referrer', NULL));
