"""A small shop with models of its own, to try the warehouse on."""

import itertools
from contextlib import ExitStack

import pyarrow as pa

from perennial.warehouse import Materializer, open_warehouse, read_models

MODELS = {
    "staging.visits": """\
-- Visits that have happened by the day. One row per visit.
-- grain:   visit
-- refresh: replace_visits
-- keys:    visits = visit
-- pii:     none

with ranked as (
    select visit, identity, _day as day, spent, _batch_id, max(_batch_id) over (partition by visit) as newest
    from raw.visits
    where _day <= $day
)

select visit, identity, day, spent from ranked where _batch_id = newest
""",
    "core.identities": """\
-- Whose an identity is. One row per identity.
-- grain:   identity
-- refresh: rebuild
-- keys:    identities = identity
-- pii:     none

select identity, customer_id from raw.claims
union all
select distinct
    visits.identity,
    case when starts_with(visits.identity, 'ref:') then substring(visits.identity, 5) else 'x' end as customer_id
from staging.visits as visits
where visits.identity is not null and not exists (select 1 from raw.claims where claims.identity = visits.identity)
""",
    "core.visits": """\
-- Visits with the person. One row per visit.
-- grain:   visit
-- refresh: replace_visits via identities
-- keys:    visits = visit, customers = customer_id, days = day
-- pii:     none

select visits.visit, identities.customer_id, visits.day, visits.spent as spent
from staging.visits as visits
left join core.identities as identities on visits.identity = identities.identity
""",
    "core.days": """\
-- Visits of each day. One row per day.
-- grain:   day
-- refresh: replace_days
-- keys:    days = day
-- pii:     none

select day, count(*) as visits, cast(sum(spent) as bigint) as spent from core.visits group by day
""",
    "customers.totals": """\
-- What each person spent. One row per customer who spent more than the least.
-- grain:   customer_id
-- refresh: replace_customers
-- keys:    customers = customer_id
-- pii:     none

select visits.customer_id, cast(sum(visits.spent) as bigint) as total
from core.visits as visits
cross join rules.least as books
where visits.customer_id is not null
group by visits.customer_id, books.least
having sum(visits.spent) > books.least
""",
    "customers.best_days": """\
-- Days on which a person's total was higher than ever told. One row per day and customer.
-- grain:   day, customer_id
-- refresh: history
-- pii:     none

with told as (
    select customer_id, max(total) as total from customers.best_days where day < $day group by customer_id
)

select
    cast($day as date) as day,
    cast(totals.customer_id as text) as customer_id,
    cast(totals.total as bigint) as total
from customers.totals as totals
left join told on totals.customer_id = told.customer_id
where told.total is null or totals.total > told.total
""",
}


class Shop:
    """Its files, its models and its warehouse, run day by day."""

    def __init__(self, settings):
        self.home = settings.home
        self.settings = settings
        self.opened = ExitStack()
        self.batches = itertools.count(1)
        for table, text in MODELS.items():
            path = self._path(table)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.reopen()
        columns = {"visit": "text", "identity": "text", "spent": "bigint"}
        stamps = {"_day": "date", "_batch_id": "bigint", "_source": "text", "_file": "text"}
        self.warehouse.create("raw.visits", columns | stamps)
        self.warehouse.create("raw.claims", {"identity": "text", "customer_id": "text"})
        self.warehouse.create("raw.files", {"source": "text", "file": "text", "batch_id": "bigint"})
        self.book(least=0)

    def reopen(self):
        """As a new process finds it."""
        self.opened.close()
        self.warehouse = self.opened.enter_context(open_warehouse(self.settings))
        self.models = read_models((self.home / "sql").glob("*/*.sql"))

    def close(self):
        self.opened.close()

    def materializer(self, day):
        return Materializer(self.warehouse, self.models, day)

    def land(self, *visits):
        """One file of visits: (visit, identity, day, spent)."""
        batch = next(self.batches)
        self.execute(f"insert into raw.files values ('shop', 'f{batch}', {batch})")
        for visit, identity, day, spent in visits:
            self.warehouse.execute(
                f"insert into raw.visits values ($visit, $identity, $spent, $day, {batch}, 'shop', 'f{batch}')",
                visit=visit,
                identity=identity,
                spent=spent,
                day=day,
            )

    def run(self, day, killed_after=None, meanwhile=None):
        materializer = self.materializer(day)
        materializer.seed()
        builds = []
        for model in self.models.values():
            if len(builds) == killed_after:
                return builds
            builds.append(materializer.build(model))
            if meanwhile and model.table == "staging.visits":
                meanwhile()
        materializer.settle()
        return builds

    def book(self, least):
        """The rule book of the shop."""
        rows = pa.table({"least": pa.array([least], pa.int64())})
        self.materializer(None).load_rules("rules.least", rows)

    def rewrite(self, table, old, new):
        path = self._path(table)
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        self.models = read_models((self.home / "sql").glob("*/*.sql"))

    def mark(self, table, change):
        self.execute(f"update {table} set {change}")

    def execute(self, sql):
        self.warehouse.execute(sql)

    def rows(self, table):
        return sorted(tuple(row.values()) for row in self.warehouse.query(f"select * from {table}").to_pylist())

    def _path(self, table):
        return self.home / "sql" / f"{table.replace('.', '/')}.sql"
