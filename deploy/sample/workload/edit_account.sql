-- Somebody corrects an account's card.
SELECT max(id) AS accounts FROM accounts \gset
\set account random(1, :accounts)
\set zip random(10000, 99999)
\set staff random(1, 9000)
UPDATE accounts SET employees = :staff, tags = array_append(tags[1:5], 'edited'),
    address = jsonb_set(coalesce(address, '{}'), '{zip}', to_jsonb(:zip::text)) WHERE id = :account;
