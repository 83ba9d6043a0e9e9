"""The shipped models, and tables made from a few given rows."""

from datetime import date

import pyarrow as pa

from engines import SETTINGS
from perennial.contracts import load_contracts
from perennial.flows.mirror import create_mirrors
from perennial.flows.raw_tables import create_raw_tables
from perennial.flows.tables import all_models, rule_tables
from perennial.foundation.days import Origin, Run
from perennial.warehouse import Materializer

DAY = date(2026, 1, 31)


def insert(warehouse, table, types, rows):
    """Put `rows` (dicts with some of the columns, values as YAML gives them) into `table`."""
    for row in rows:
        assert set(row) <= set(types), f"{table} has no column {set(row) - set(types)}"
        values = ", ".join(f"cast(${column} as {warehouse.type_name(types[column])})" for column in row)
        warehouse.execute(f"insert into {table} ({', '.join(row)}) values ({values})", **row)


class Bench:
    """Builds one table from given rows."""

    def __init__(self, warehouses):
        self.empty = warehouses.empty
        self.models = all_models(SETTINGS)
        self.rule_books = rule_tables(Run(DAY, Origin.DEMO), SETTINGS)
        self.columns = self._columns_of_all_tables()

    def build(self, table, day, given, touched=None) -> pa.Table:
        """
        `table` as of the end of `day`.

        Inputs that are not given are empty, rule books that are not given are the shipped ones. With `touched`
        (set -> keys), or with rows of `table` itself given, the table is there from an earlier run.
        """
        model = self.models[table]
        assert set(given) <= {*model.depends_on, table}, f"{table} does not read {set(given) - model.depends_on}"
        warehouse = self.empty()
        try:
            for name in model.depends_on:
                warehouse.create(name, self.columns[name])
                if name in self.rule_books and name not in given:
                    warehouse.append(name, self.rule_books[name])
            if touched is not None or table in given:
                before = Materializer(warehouse, self.models, day)
                before.build(model)
                before.settle()
            for name, rows in given.items():
                insert(warehouse, name, self.columns[name], rows)
            materializer = Materializer(warehouse, self.models, day)
            for key, values in (touched or {}).items():
                for value in values:
                    warehouse.execute(f"insert into touched.{key} values ($value)", value=value)
            materializer.build(model)
            assert warehouse.columns(table) == self.columns[table]  # types do not hang on the rows
            return warehouse.query(f"select * from {table}")
        finally:
            warehouse.close()

    def _columns_of_all_tables(self):
        """Every table -> its columns and types, from building all models on nothing."""
        warehouse = self.empty()
        materializer = Materializer(warehouse, self.models, DAY)
        create_raw_tables(warehouse, load_contracts(SETTINGS).values())
        create_mirrors(warehouse)
        for table, rows in self.rule_books.items():
            materializer.load_rules(table, rows)
        for model in self.models.values():
            materializer.build(model)
        found = {name: warehouse.columns(name) for name in warehouse.tables()}
        warehouse.close()
        return found
