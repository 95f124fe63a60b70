CREATE OR REPLACE FUNCTION crmbackup.missing_value(stored text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
-- attmissingval is an array of one element; its text, unquoted as array_out quoted it. Not by a cast to text[]:
-- the element's own delimiter need not be a comma.
SELECT CASE WHEN substr(stored, 2, 1) = '"'
            THEN regexp_replace(substr(stored, 3, length(stored) - 4), E'\\\\(.)', E'\\1', 'g')
            ELSE substr(stored, 2, length(stored) - 2) END
$$
