"""
Making tables from models: whole, or only where something changed.

A *touched set* `touched.<keys>(key)` holds the keys whose rows may have to change: `touched.days`,
`touched.customers`, … It starts from the raw rows that came since the last settled run. Each build that changes rows
adds the keys of those rows, before and after, in the transaction of the build, so the sets are right wherever a run is
killed; they are emptied when a run has refreshed everything (`settle`). A table that has a key column is read by a
`replace_<keys>` model only at its touched keys: the models say nothing of it, the engine filters.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from copy import copy
from dataclasses import dataclass
from datetime import date
from graphlib import TopologicalSorter
from typing import Self

import pyarrow as pa

from perennial.foundation.errors import Permanent
from perennial.warehouse.compose import compose
from perennial.warehouse.connect import connected
from perennial.warehouse.engine import Warehouse
from perennial.warehouse.model import Model

log = logging.getLogger(__name__)

_KEY_TYPES = {"days": "date"}  # every other key is text
# Rows of these keys lie all over a table, those of other keys together.
_OF_PEOPLE = {"components", "customers", "identifiers", "identities", "joined", "people", "sightings"}


@dataclass(frozen=True)
class Progress:
    """How far the warehouse is refreshed: all raw rows up to `batch_id`, as of the end of `day`."""

    batch_id: int
    day: date

    @classmethod
    def read(cls, warehouse: Warehouse) -> Self | None:
        """None where no run has been settled yet."""
        warehouse.create("state.progress", {"batch_id": "bigint", "day": "date"})
        rows = warehouse.query("select batch_id, day from state.progress").to_pylist()
        return cls(**rows[0]) if rows else None


@dataclass(frozen=True)
class Build:
    """What one build did."""

    table: str
    how: str  # rebuilt | replaced | history
    rows: int
    seconds: float


class Materializer:
    """Builds models of one set, as of one day."""

    def __init__(self, warehouse: Warehouse, models: Mapping[str, Model], day: date) -> None:
        self.warehouse = warehouse
        self.models = models
        self.day = day
        self.settled = Progress.read(warehouse)
        warehouse.create("state.seeded", {"batch_id": "bigint"})
        warehouse.create("state.unpublished", {"day": "date"})
        warehouse.create("state.tables", {"table_name": "text", "fingerprint": "text"})
        warehouse.create(
            "state.builds",
            {"day": "date", "table_name": "text", "how": "text", "row_count": "bigint", "seconds": "double"},
        )
        for key in {key for model in models.values() for key in model.keys}:
            warehouse.create(f"touched.{key}", {"key": _KEY_TYPES.get(key, "text")})

    def seed(self) -> None:
        """
        Touch what came since the last settled run: new rows, rows of replaced files, rows whose day has now come.

        Batches that come in while the run goes on are left to the next one.
        """
        with self.warehouse.transaction():
            self.warehouse.execute("delete from state.seeded")
            self.warehouse.execute(
                "insert into state.seeded values ($batch)",
                batch=self.warehouse.value("select coalesce(max(batch_id), 0) from raw.files"),
            )
        for model in self.models.values():
            raw = f"raw.{model.table.partition('.')[2]}"
            if model.schema != "staging" or not model.replaces or not self.warehouse.has(raw):
                continue
            self.warehouse.tune(raw, ())
            if self.settled is None:
                continue
            column = model.keys[model.replaces]
            self.warehouse.execute(
                f"""
                insert into touched.{model.replaces}
                with replaced_files as (
                    select old.source, old.file, old.batch_id
                    from raw.files as old
                    inner join raw.files as new on old.source = new.source and old.file = new.file
                    where old.batch_id <= $batch_id and new.batch_id > $batch_id
                )

                select distinct {column}
                from (
                    select {column} from {raw} where _batch_id > $batch_id
                    union all
                    select {column} from {raw}
                    where _batch_id in (select batch_id from replaced_files)
                        and (_source, _file) in (select source, file from replaced_files)
                    union all
                    select {column} from {raw} where _day > $settled_day and _day <= $day
                ) as landed
                where {column} is not null
                    and not exists (select 1 from touched.{model.replaces} as known where known.key = landed.{column})
                """,
                batch_id=self.settled.batch_id,
                settled_day=self.settled.day,
                day=self.day,
            )

    def build(self, model: Model) -> Build:
        """Bring one table up to date, in one transaction; raises Permanent when its grain does not hold."""
        started = time.monotonic()
        lineage = self._lineage(model)
        exists = self.warehouse.has(model.table)
        for key in filter(None, (model.replaces, *model.via, *model.connects)):
            # Not in the transaction: PostgreSQL would let other builds of the same set wait until it ends.
            self.warehouse.tune(f"touched.{key}", ())
        with self.warehouse.transaction():
            if model.refresh == "history" and exists:
                how, rows = "history", self._history(model)
            elif exists and self.settled and self._built_as(model.table) == lineage and model.replaces:
                how, rows = "replaced", self._replace(model, model.replaces)
            elif exists and self.settled and self._built_as(model.table) == lineage and model.connects:
                how, rows = "replaced", self._connect(model)
            else:
                how, rows = "rebuilt", self._rebuild(model, exists=exists)
            self._remember(model.table, lineage)
            seconds = time.monotonic() - started
            self.warehouse.execute(
                "insert into state.builds values ($day, $name, $how, $rows, $seconds)",
                day=self.day,
                name=model.table,
                how=how,
                rows=rows,
                seconds=round(seconds, 3),
            )
        log.info("%s: %s, %s rows, %.2f s", model.table, how, f"{rows:,}", seconds)
        return Build(model.table, how, rows, seconds)

    def build_all(self, models: Iterable[Model]) -> dict[str, int]:
        """
        Build `models`, each after those of them that it reads, side by side where the engine can; rows of each table.

        After an error nothing new is begun.
        """
        by_table = {model.table: model for model in models}
        order = TopologicalSorter({table: model.depends_on & by_table.keys() for table, model in by_table.items()})
        order.prepare()
        for schema in sorted({model.schema for model in by_table.values()}):  # two at once would both make it
            self.warehouse.execute(f"create schema if not exists {schema}")
        rows: dict[str, int] = {}
        running: dict[Future[Build], str] = {}
        with ThreadPoolExecutor(self.warehouse.hands) as hands:
            while order.is_active():
                for table in sorted(order.get_ready()):
                    running[hands.submit(self._build_beside, by_table[table])] = table
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    table = running.pop(done)
                    try:
                        rows[table] = done.result().rows
                    except BaseException:
                        hands.shutdown(cancel_futures=True)
                        raise
                    order.done(table)
        return rows

    def _build_beside(self, model: Model) -> Build:
        with self.warehouse.beside() as warehouse:
            other = copy(self)
            other.warehouse = warehouse
            return other.build(model)

    def settle(self) -> None:
        """
        Everything is refreshed: remember how far, and empty the touched sets.

        The days that changed, of which the run's own is always one, are remembered until somebody has published them:
        `state.unpublished`.
        """
        with self.warehouse.transaction():
            batch = self.warehouse.value("select coalesce(max(batch_id), 0) from state.seeded")
            self.warehouse.execute("delete from state.progress")
            self.warehouse.execute("insert into state.progress values ($batch, $day)", batch=batch, day=self.day)
            keys = {key for model in self.models.values() for key in model.keys}
            if "days" in keys:
                self.warehouse.execute(
                    "insert into state.unpublished"
                    " select day from (select key as day from touched.days union select $day) as changed"
                    " where day not in (select day from state.unpublished)",
                    day=self.day,
                )
            for key in keys:
                self.warehouse.execute(f"delete from touched.{key}")

    def load_rules(self, table: str, rows: pa.Table) -> None:
        """Load a rule book as a table; models that read it are rebuilt whole when it changed."""
        fingerprint = _hash(rows.schema.to_string(), sorted(rows.to_pylist(), key=repr))
        if self.warehouse.has(table) and self._built_as(table) == fingerprint:
            return
        with self.warehouse.transaction():
            self.warehouse.drop(table)
            self.warehouse.load(table, rows)
            self.warehouse.tune(table, ())
            self._remember(table, fingerprint)

    def _rebuild(self, model: Model, *, exists: bool) -> int:
        new = f"{model.table}__new"
        self.warehouse.drop(new)
        self._create(model, new, {})
        self._check_grain(model, new)
        if exists and self.settled:
            for key, column in model.keys.items():
                self._touch(key, column, self._difference(model.table, new, column))
        self.warehouse.swap(new, model.table)
        self.warehouse.tune(model.table, sorted(set(model.keys.values())))
        raw = f"raw.{model.table.partition('.')[2]}"
        if (
            model.schema == "staging" and model.replaces and raw in model.depends_on
        ):  # after a first load, not during it
            self.warehouse.tune(raw, sorted({model.keys[model.replaces], "_batch_id", "_day", "_file"}))
        return self._count(model.table)

    def _replace(self, model: Model, key: str) -> int:
        for via in model.via:
            self._touch_via(model, key, via)
        column = model.keys[key]
        if not self.warehouse.value(f"select count(*) from touched.{key}"):
            return 0
        touched = self._touched(model.table, column, key)
        others = {other: other_column for other, other_column in model.keys.items() if other != key}
        return self._exchange(model, touched, self._picked(model, key), others)

    def _connect(self, model: Model) -> int:
        """Make the chains anew that touched identifiers were part of, are part of now, or are joined by."""
        identifier, component = list(model.columns)[:2]
        reached = []
        for table in model.depends_on:
            keys = self._keys_of(table)
            for key in (key for key in model.connects if key in keys):
                reached.append(f"select {identifier} from {table} where {self._touched(table, keys[key], key)}")
                if keys[key] == identifier:
                    reached.append(f"select key as {identifier} from touched.{key}")  # of pairs that are gone, too
        self.warehouse.execute("drop table if exists reached")
        self.warehouse.create_as("reached", " union ".join(reached), temporary=True)
        if not self.warehouse.value("select count(*) from reached"):
            return 0
        chained = (
            f"select {identifier} as key from reached union select {identifier} as key from {model.table}"
            f" where {component} in (select {component} from {model.table}"
            f" where {identifier} in (select {identifier} from reached))"
        )
        self.warehouse.execute("drop table if exists chained")
        self.warehouse.create_as("chained", chained, temporary=True)
        condition = f"{identifier} in (select key from chained)"
        return self._exchange(model, condition, dict.fromkeys(model.depends_on, condition), model.keys)

    def _exchange(self, model: Model, touched: str, picked: Mapping[str, str], others: Mapping[str, str]) -> int:
        """Replace the `touched` rows by those made of `picked` inputs, and touch the `others` keys of what changed."""
        self.warehouse.execute("drop table if exists replacement")
        self._create(model, "replacement", picked, temporary=True)
        self._check_grain(model, "replacement")
        if others:  # a row that comes out as it was touches nobody: a day made anew leaves most of its people alone
            columns = ", ".join(model.columns)
            self.warehouse.execute("drop table if exists replaced")
            self.warehouse.create_as("replaced", f"select {columns} from {model.table} where {touched}", temporary=True)
            for other, other_column in others.items():
                self._touch(other, other_column, self._difference("replaced", "replacement", other_column))
        self.warehouse.execute(f"delete from {model.table} where {touched}")
        self.warehouse.insert(model.table, "replacement", model.columns)
        return self._count("replacement")

    def _history(self, model: Model) -> int:
        new = f"{model.table}__new"
        self.warehouse.drop(new)
        self._create(model, new, {})
        self._check_grain(model, new)
        self.warehouse.create(model.table, self.warehouse.columns(new))
        self.warehouse.execute(f"delete from {model.table} where day = $day", day=self.day)
        self.warehouse.insert(model.table, new, model.columns)
        rows = self._count(new)
        self.warehouse.drop(new)
        return rows

    def _create(self, model: Model, table: str, picked: Mapping[str, str], *, temporary: bool = False) -> None:
        """Make `table` of the model's rows for the day, from the `picked` rows of its inputs."""
        sql = self._sql(model, picked)
        if not model.connects:
            self.warehouse.create_as(table, sql, temporary=temporary)
            return
        self.warehouse.load(table, connected(self.warehouse.query(sql)), temporary=temporary)

    def _sql(self, model: Model, picked: Mapping[str, str]) -> str:
        """The model's SELECT for the day; `picked` maps an input to the condition on its rows."""
        missing = not self.warehouse.has(model.table)
        return compose(model, self.day, self.warehouse.dialect, picked=picked, missing=missing)

    def _picked(self, model: Model, key: str) -> dict[str, str]:
        """For each input that has the key: the condition on its touched rows."""
        return {
            table: self._touched(table, self._keys_of(table)[key], key)
            for table in sorted(model.depends_on)
            if key in self._keys_of(table)
        }

    def _touched(self, table: str, column: str, key: str) -> str:
        """A condition for the rows of `table` at the touched keys."""
        if key in _OF_PEOPLE:
            return f"{column} in (select key from touched.{key})"
        return self.warehouse.rows_at(table, column, f"touched.{key}")

    def _keys_of(self, table: str) -> Mapping[str, str]:
        """A model's keys; raw rows are picked by the key of the staging table made from them."""
        schema, _, name = table.partition(".")
        model = self.models.get(f"staging.{name}" if schema == "raw" else table)
        if model is None:
            return {}
        return {model.replaces: model.keys[model.replaces]} if schema == "raw" and model.replaces else model.keys

    def _difference(self, old: str, new: str, column: str) -> str:
        """The rows that only one of the two tables has; all rows of both when their columns or their order differ."""
        before, after = self.warehouse.columns(old), self.warehouse.columns(new)
        if list(before.items()) != list(after.items()):
            tables = [table for table, columns in ((old, before), (new, after)) if column in columns]
            return f"({' union all '.join(f'select {column} from {table}' for table in tables)})"
        added = f"(select * from {new} except select * from {old})"
        removed = f"(select * from {old} except select * from {new})"
        return f"({added} union all {removed})"

    def _touch(self, key: str, column: str, rows: str) -> None:
        self.warehouse.execute(
            f"insert into touched.{key} select distinct {column} from {rows} as changed where {column} is not null"
            f" and not exists (select 1 from touched.{key} as known where known.key = changed.{column})"
        )

    def _touch_via(self, model: Model, key: str, via: str) -> None:
        """Touch the `key`s of the input rows that share a touched `via` with the input that declares it."""
        column = next(self._keys_of(table)[via] for table in model.depends_on if via in self._keys_of(table))
        for table in sorted(model.depends_on):
            keys = self._keys_of(table)
            if key in keys and column in self.models[table].columns:
                self._touch(
                    key, keys[key], f"(select * from {table} where {column} in (select key from touched.{via}))"
                )

    def _check_grain(self, model: Model, table: str) -> None:
        grain = ", ".join(model.grain)
        missing = " or ".join(f"{column} is null" for column in model.grain)
        repeated = self.warehouse.query(
            f"select {grain}, count(*) as copies from {table} group by {grain} having count(*) > 1 or {missing} limit 3"
        ).to_pylist()
        if repeated:
            example = {name: value for name, value in repeated[0].items() if name not in model.pii}
            raise Permanent(
                f"{model.path}: grain ({grain}) does not hold, for example {example}. "
                f"The old {model.table} is kept. Correct the SQL, or the data it reads."
            )

    def _lineage(self, model: Model) -> str:
        """
        Fingerprint of the model and of the rule books that it reads.

        Of the models that it reads it needs none: what changes there, for whatever reason, is touched.
        """
        books = sorted(model.depends_on - self.models.keys())
        return _hash(model.fingerprint, *map(self._built_as, books))

    def _built_as(self, table: str) -> str | None:
        found = self.warehouse.value("select fingerprint from state.tables where table_name = $name", name=table)
        return None if found is None else str(found)

    def _remember(self, table: str, fingerprint: str) -> None:
        self.warehouse.execute("delete from state.tables where table_name = $name", name=table)
        self.warehouse.execute("insert into state.tables values ($name, $print)", name=table, print=fingerprint)

    def _count(self, table: str) -> int:
        return self.warehouse.count(f"select count(*) from {table}")


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
