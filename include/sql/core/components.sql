-- Which identities belong together: those that a chain of trusted links connects. One row per identity.
-- A component is named by the smallest identifier in it.
-- grain:   identity
-- refresh: connect joined, identifiers
-- keys:    components = component, members = identity
-- pii:     identity, component

select identity, linked as component, first_day
from core.trusted_links
