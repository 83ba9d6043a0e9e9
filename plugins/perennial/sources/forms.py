"""
The forms that a source's values have, so that a column which changes overnight is found before it counts.

The form of `17850` is `9`, of `17850.0` it is `9.9`: digits and letters stand for each other, whatever their number.
Only of dates and times digits are counted, because that tells one format from another. Forms are of the text after the
mapping: a corrected mapping gives the known form again. They hold nothing personal and may be told to anybody.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from perennial.sources.arrival import Landed
from perennial.sources.batch import Batch
from perennial.sources.definition import Source, literal, quoted
from perennial.sources.header import unknown_columns
from perennial.sources.mapping import mapped_text
from perennial.sources.reading import Group, without_nul

_VALUES = 500  # of a file are looked at, its first
_FORMS = 10  # of a column of a file are kept, the commonest
_SETTLED = 200  # values that must have been seen before a column has forms of its own …
_FEW = 5  # … which are so few …
_MOST = 0.98  # … that they cover this share of its values
_ENOUGH = 20  # values a file needs for a judgement
_OTHERS = 0.5  # the share of values in unknown forms from which a column is another one


@dataclass(frozen=True)
class Form:
    """How often a form is found in a column of one file, and a value of it whose signs a 9 or an a hides."""

    column_name: str
    is_mapped: bool
    form: str
    rows: int
    example: str


@dataclass(frozen=True)
class FileFinding:
    """What is new in one file. `holds` says that taking it would part what people did from who they are."""

    entry: Landed
    column: str
    rule: str
    rows: int
    failed: int
    holds: bool
    detail: str


def forms_of(batch: Batch) -> dict[Landed, list[Form]]:
    """The forms in each file: of the contract's columns as mapped, and of the columns that the mapping does not use."""
    found: dict[int, list[Form]] = defaultdict(list)
    queries = [query for group in batch.groups if (query := _of_group(batch.source, group))]
    if batch.source.is_json:
        queries.append(_of_unknown_keys(batch.source))
    if not queries:
        return {}
    for number, column, is_mapped, form, rows, example in batch.scratch.rows(
        f"""
        select * from ({" union all ".join(f"({query})" for query in queries)})
        qualify row_number() over (partition by file, is_mapped, name order by rows desc, form) <= {_FORMS}
        order by all
        """
    ):
        found[number].append(Form(column, is_mapped, form, rows, example))
    return {entry: found[number] for number, entry in batch.numbered()}


class KnownForms:
    """The forms that the columns of a source had until now, by column and whether it is mapped."""

    def __init__(self, source: Source, forms: Iterable[Form]) -> None:
        self.source = source
        self._rows: dict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
        self.learn(forms)

    def learn(self, forms: Iterable[Form]) -> None:
        """Count in what was found in a file that is taken."""
        for form in forms:
            self._rows[form.column_name, form.is_mapped][form.form] += form.rows

    def judge(self, entry: Landed, forms: list[Form]) -> list[FileFinding]:
        """What is new in a file, against all that were taken before it; of the first nothing is."""
        return [*self._changed(entry, forms), *self._new(entry, forms)] if self._rows else []

    def _changed(self, entry: Landed, forms: list[Form]) -> Iterator[FileFinding]:
        of_column: dict[str, list[Form]] = defaultdict(list)
        for form in forms:
            if form.is_mapped:
                of_column[form.column_name].append(form)
        for column, seen in of_column.items():
            known, rows = self._rows[column, True], sum(form.rows for form in seen)
            allowed = self.source.known_forms.get(column, ())
            others = [form for form in seen if form.form not in known and form.form not in allowed]
            failed = sum(form.rows for form in others)
            if rows < _ENOUGH or failed < _OTHERS * rows or not _is_settled(known):
                continue
            holds = self.source.contract.columns[column].identifies
            usual = ", ".join(repr(form) for form, _ in known.most_common(3))
            detail = (
                f"{entry.file}: {column} ({self._read_from(column)}) looks different in {failed} of {rows} values: "
                f"{_shown(others)}, until now {usual}"
            )
            yield FileFinding(entry, column, "changed_form", rows, failed, holds, detail)

    def _new(self, entry: Landed, forms: list[Form]) -> Iterator[FileFinding]:
        of_column: dict[str, list[Form]] = defaultdict(list)
        for form in forms:
            if not form.is_mapped and (form.column_name, False) not in self._rows:
                of_column[form.column_name].append(form)
        for column, seen in of_column.items():
            rows = sum(form.rows for form in seen)
            detail = f"{entry.file}: column {column!r} is new, with {_shown(seen)}; no contract column is read from it"
            yield FileFinding(entry, column, "new_column", rows, rows, holds=False, detail=detail)

    def _read_from(self, column: str) -> str:
        mapping = self.source.columns[column]
        names = " or ".join(repr(name) for name in mapping.names) or "an expression"
        return f"read from {names}"


def _is_settled(known: Mapping[str, int]) -> bool:
    rows = sum(known.values())
    return rows >= _SETTLED and sum(sorted(known.values())[-_FEW:]) >= _MOST * rows


def _shown(forms: Iterable[Form]) -> str:
    commonest = sorted(forms, key=lambda form: (-form.rows, form.form))[:3]
    return ", ".join(f"{form.form!r} (such as {form.example!r})" for form in commonest)


def _of_group(source: Source, group: Group) -> str:
    """SQL for the forms of a group: file, name, is_mapped, form, rows, example; "" where it has no column."""
    texts = [
        (
            name,
            source.contract.columns[name].type in ("date", "timestamp"),
            True,
            mapped_text(mapping, group.header),
        )
        for name, mapping in source.columns.items()
        if not mapping.missing_from(group.header)
    ]
    texts += [(name, False, False, quoted(name)) for name in unknown_columns(source, group.header)]
    if not texts:
        return ""
    values = " union all ".join(
        f"select __file as file, {literal(name)} as name, {is_mapped} as is_mapped, {is_moment} as is_moment, "
        f"trim({without_nul(text)}) as value from first_rows"
        for name, is_moment, is_mapped, text in texts
    )
    return f"""
        with starts as (select __file, min(rowid) as first from {group.table} group by __file),
        first_rows as materialized (
            select {group.table}.* from {group.table}
            join starts on starts.__file = {group.table}.__file and {group.table}.rowid < starts.first + {_VALUES}
        )
        {_counted(values)}
    """


def _of_unknown_keys(source: Source) -> str:
    """The same for the keys of JSON lines that the mapping does not use."""
    used = ", ".join(literal(name.lower()) for name in source.names_read)
    values = f"""
        select __file as file, {without_nul("pair.key")} as name, false as is_mapped, false as is_moment,
            trim({without_nul("pair.value ->> '$'")}) as value
        from (
            select lines.__file, line from lines
            join (select __file, min(rowid) as first from lines group by __file) as starts
                on starts.__file = lines.__file and lines.rowid < starts.first + {_VALUES}
        ) as first_lines, json_each(first_lines.line) as pair
        where lower(pair.key) not in ({used})
    """
    return _counted(values)


def _counted(values: str) -> str:
    """Values to forms, each distinct one once: regular expressions cost more than the rest together."""
    runs = r"regexp_replace(regexp_replace(value, '[0-9]+', '9', 'g'), '\pL+', 'a', 'g')"
    return f"""
        select file, name, is_mapped, form, sum(rows)::bigint as rows,
            regexp_replace(regexp_replace(min(value), '[0-9]', '9', 'g'), '\\pL', 'a', 'g')[:40] as example
        from (
            select file, name, is_mapped, value, count(*) as rows,
                case when is_moment then
                    regexp_replace(regexp_replace(value, '[0-9]', '9', 'g'), '\\pL+', 'a', 'g')
                else regexp_replace({runs}, '(9a|a9)[9a]*', 'x', 'g') end[:40] as form
            from ({values})
            where value <> ''
            group by file, name, is_mapped, is_moment, value
        )
        group by file, name, is_mapped, form
    """
