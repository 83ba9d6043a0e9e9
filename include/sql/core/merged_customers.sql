-- Customer numbers that stand for another now: people who were found to be one. One row per such number.
-- grain:   former_id
-- refresh: rebuild
-- pii:     none

select known_as as former_id, min(customer_id) as customer_id
from core.identities
where known_as <> customer_id
group by known_as
