-- A seller turns a lead into an account, a contact and a deal, in one transaction.
\set cents random(100000, 25000000)
\set seller random(1, 1000000)
BEGIN;
WITH lead AS (
    SELECT id, company, person FROM leads WHERE id >= gen_random_uuid() AND status IN ('new', 'working') ORDER BY id LIMIT 1
    FOR UPDATE SKIP LOCKED
), seller AS (
    SELECT id FROM users ORDER BY (id * 7919 + :seller) % 1009, id LIMIT 1
), account AS (
    INSERT INTO accounts (name, owner_id, tags) SELECT company, seller.id, '{converted}' FROM lead, seller RETURNING id, owner_id
), contact AS (
    INSERT INTO contacts (account_id, first_name, last_name, is_primary)
    SELECT account.id, split_part(lead.person, ' ', 1), split_part(lead.person, ' ', 2), true FROM lead, account
), deal AS (
    INSERT INTO opportunities (account_id, owner_id, name, amount, closes_on, products)
    SELECT id, owner_id, 'First deal', :cents / 100.0, current_date + 60, '{starter}' FROM account
)
UPDATE leads SET status = 'converted', converted_to = account.id, owner_id = account.owner_id
FROM lead, account WHERE leads.id = lead.id;
COMMIT;
