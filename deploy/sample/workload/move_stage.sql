-- A deal moves on, or is corrected; a trigger writes stage_history.
SELECT max(id) AS opportunities FROM opportunities \gset
\set deal random(1, :opportunities)
\set stage random(1, 6)
\set percent random(0, 100)
UPDATE opportunities SET stage = (enum_range(NULL::opportunity_stage))[:stage], probability = :percent / 100.0, amount = amount * 1.01
WHERE id = :deal;
