"""A parsed batch: what it holds, file by file, and its rows as they go to the warehouse."""

from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa

from perennial.contracts import Erased
from perennial.contracts.erased import NOBODY, mentions_erased
from perennial.foundation.settings import Settings
from perennial.sources.arrival import Landed
from perennial.sources.definition import Source, literal, quoted
from perennial.sources.erased import know_erased
from perennial.sources.mapping import JUDGED, TYPED, business_dates, key_of
from perennial.sources.reading import Group, row_number
from perennial.sources.scratch import Scratch

_ROWS_AT_ONCE = 100_000
FRAMING = "framing"
"""The reason of a line that is no record."""

LEFT_OUT = '{"erased": true}'
"""The content of a refused row that names somebody who was erased."""


@dataclass(frozen=True)
class Note:
    """Something about the files themselves that goes with the checks."""

    rule: str
    severity: str
    detail: str


@dataclass(frozen=True)
class FileCount:
    """Rows of one file: `quarantined` of `rows` break a critical rule, by `reasons`; `newest_day` is of the others."""

    entry: Landed
    rows: int
    quarantined: int
    reasons: dict[str, int]
    newest_day: date | None


@dataclass(frozen=True)
class Batch:
    """
    Files of one source, typed in `scratch` as the table `typed`.

    `findings` below is a table of (`_id`, `reasons` text list) in the same database: the rows that are refused.
    """

    scratch: Scratch
    source: Source
    entries: list[Landed]
    refused: dict[Landed, str]
    groups: list[Group] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def table(self) -> str:
        """What the contract's suite is held against."""
        return JUDGED if self.source.deleted else TYPED

    def counts(self, findings: str, zone: ZoneInfo) -> list[FileCount]:
        """Rows, reasons and newest day by file, in the order of the files."""
        rows: dict[int, int] = dict(
            self.scratch.rows(
                f"select _file, count(*) from (select _file from {TYPED} union all select __file from unframed) "
                "group by _file"
            )
        )
        quarantined: dict[int, int] = dict(
            self.scratch.rows(
                f"select _file, count(*) from (select _file from {findings} join {TYPED} using (_id) "
                "union all select __file from unframed) group by _file"
            )
        )
        reasons: dict[int, dict[str, int]] = {}
        for number, reason, count in self.scratch.rows(
            f"select _file, reason, count(*) from (select _file, unnest(reasons) as reason "
            f"from {findings} join {TYPED} using (_id) union all select __file, '{FRAMING}' from unframed) "
            "group by _file, reason order by count(*) desc, reason"
        ):
            reasons.setdefault(number, {})[str(reason)] = count
        dated = f"select _id, _file{business_dates(self.source.contract, zone)} from {TYPED}"
        newest: dict[int, date] = dict(
            self.scratch.rows(
                f"select _file, max(_day) from ({dated}) as dated "
                f"where not exists (select 1 from {findings} as found where found._id = dated._id) group by _file"
            )
        )
        return [
            FileCount(
                entry, rows.get(number, 0), quarantined.get(number, 0), reasons.get(number, {}), newest.get(number)
            )
            for number, entry in self.numbered()
        ]

    def numbered(self) -> list[tuple[int, Landed]]:
        """The files, each with its number in `scratch`."""
        numbers = {
            (name, version): number
            for number, name, version in self.scratch.rows("select number, name, version from files")
        }
        return [(numbers[entry.file, entry.version], entry) for entry in self.entries]

    def passing(self, findings: str, rows: pa.Table) -> pa.Table:
        """Those of `rows` (file, version, row) that are in this batch and that no critical rule refuses."""
        self.scratch.connection.register("asked_rows", rows)
        found = self.scratch.connection.sql(
            f"""
            select asked.file, asked.version, asked.row
            from asked_rows as asked
            join files on files.name = asked.file and files.version = asked.version
            join {TYPED} as typed on typed._file = files.number and typed._row = asked.row
            where not exists (select 1 from {findings} as found where found._id = typed._id)
            order by all
            """
        ).to_arrow_table()
        self.scratch.connection.unregister("asked_rows")
        return found

    def accepted(
        self,
        findings: str,
        held: list[Landed],
        batch_id: int,
        ingested_at: datetime,
        settings: Settings,
        only: pa.Table | None = None,
    ) -> pa.RecordBatchReader:
        """The rows no critical rule refuses, as they go to `raw.<contract>`; of these `only` (file, version, row)."""
        contract = self.source.contract
        asked = "true"
        if only is not None:
            self.scratch.connection.register("only_rows", only)
            asked = "(files.name, files.version, _row) in (select file, version, row from only_rows)"
        key = key_of(self.source, all_numbered=self._all_numbered())
        relation = self.scratch.connection.sql(
            f"""
            select
                {", ".join(f"keyed.{column}" for column in contract.columns)}{business_dates(contract, settings.zone)},
                $source as _source, files.name as _file, files.version::bigint as _version, _row,
                $batch_id::bigint as _batch_id, $ingested_at::timestamptz as _ingested_at, _key, _hash, _deleted
            from (select *, {key} as _key from {TYPED}) as keyed join files on files.number = _file
            where not exists (select 1 from {findings} as found where found._id = keyed._id)
                and {self._not_in(held)} and {asked}
            """,
            params={"source": self.source.name, "batch_id": batch_id, "ingested_at": ingested_at},
        )
        return relation.to_arrow_reader(_ROWS_AT_ONCE)

    def quarantined(
        self,
        findings: str,
        held: list[Landed],
        batch_id: int,
        ingested_at: datetime,
        day: date,
        erased: Erased = NOBODY,
    ) -> pa.RecordBatchReader:
        """
        The refused rows with all their reasons and their source columns, as they go to `quarantine.rows`.

        Of a row that names somebody erased its reasons are left, and LEFT_OUT.
        """
        names_erased = "false"
        if erased:
            know_erased(self.scratch.connection, erased)
            names_erased = mentions_erased(self.source.contract, erased.salt)
        if self.source.is_json and not self.source.each:
            contents = "select __file, __row, line as content from lines"
        else:
            contents = " union all ".join(
                f"select __file, {row_number(group)} as __row, "
                f"to_json({_struct(group)})::varchar as content from {group.table}"
                for group in self.groups
            )
        contents = contents or "select null::integer as __file, null::bigint as __row, null::varchar as content limit 0"
        relation = self.scratch.connection.sql(
            f"""
            with refused as (
                select _file, typed._row, found.reasons,
                    case when {names_erased} then '{LEFT_OUT}' else content end as content
                from {findings} as found join {TYPED} as typed using (_id)
                join ({contents}) as contents on __file = _file and __row = typed._row
                union all
                select __file, __row, ['{FRAMING}'], json_object('_text', content) from unframed
            )
            select
                $source as source, $contract as contract, name as file, version::bigint as version, _row as row,
                $batch_id::bigint as batch_id, $ingested_at::timestamptz as ingested_at, $day::date as day,
                to_json(reasons)::varchar as reasons, content::varchar as content
            from refused join files on number = _file
            where {self._not_in(held)}
            order by number, _row
            """,
            params={
                "source": self.source.name,
                "contract": self.source.contract.name,
                "batch_id": batch_id,
                "ingested_at": ingested_at,
                "day": day,
            },
        )
        return relation.to_arrow_reader(_ROWS_AT_ONCE)

    def _all_numbered(self) -> bool:
        numbered_by = self.source.contract.numbered_by
        if numbered_by is None:
            return True
        return not self.scratch.rows(f"select 1 from {TYPED} where {numbered_by} is null limit 1")

    def _not_in(self, held: list[Landed]) -> str:
        if not held:
            return "true"
        pairs = ", ".join(f"({literal(entry.file)}, {entry.version})" for entry in held)
        return f"(files.name, files.version) not in ({pairs})"


def _struct(group: Group) -> str:
    """The source columns of one row as a DuckDB struct."""
    return "{" + ", ".join(f"{literal(name)}: {quoted(name)}" for name in group.header) + "}"
