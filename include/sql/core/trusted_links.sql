-- The links that make two identifiers one person. One row per identity and identifier named with it.
-- Left out are identifiers that stand for nobody and those that more share than one person has: who is known by such
-- a one alone is a guest. So are links that somebody cut.
-- grain:   identity, linked
-- refresh: replace_identifiers
-- keys:    identifiers = linked, joined = identity
-- pii:     identity, linked

with shared as (
    select links.linked
    from core.links as links
    inner join rules.identifiers as books on split_part(links.linked, ':', 1) = books.kind
    where links.identity <> links.linked
    group by links.linked, books.at_most
    having count(*) > books.at_most
)

select links.identity, links.linked, links.first_day
from core.links as links
where not exists (select 1 from shared where shared.linked = links.linked)
    and not exists (select 1 from rules.nobodys_identifiers as nobodys where nobodys.identifier = links.linked)
    and not exists (
        select 1
        from rules.identity_cuts as cuts
        where cuts.one = links.identity_name and cuts.other = links.linked_name
    )
