"""The data dictionary of what is published: each table, its grain, and each column with type, unit and meaning."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from perennial.metrics.pages import render_page

_UNIT = re.compile(r"\s*\(([^()]+)\)$")


@dataclass(frozen=True)
class ColumnEntry:
    """One published column. `documentation` is the comment in the model; what stands last in brackets is the unit."""

    name: str
    type: str
    documentation: str

    @property
    def unit(self) -> str:
        match = _UNIT.search(self.documentation)
        return match[1] if match else ""

    @property
    def meaning(self) -> str:
        return _UNIT.sub("", self.documentation)


@dataclass(frozen=True)
class TableEntry:
    """One published table."""

    name: str  # schema.table
    sentence: str
    grain: tuple[str, ...]
    columns: tuple[ColumnEntry, ...]

    @property
    def file(self) -> str:
        return f"{self.name.partition('.')[2]}.parquet"


def render_dictionary(tables: Sequence[TableEntry], *, shop_name: str, currency: str) -> str:
    """The dictionary as one HTML page without any outside request."""
    return render_page("dictionary.html.j2", tables=tables, shop_name=shop_name, currency=currency)


def render_dictionary_markdown(tables: Sequence[TableEntry], *, shop_name: str, currency: str) -> str:
    """The dictionary as Markdown."""
    lines = [
        f"# Data dictionary of {shop_name}",
        "",
        f"What is published each day. Money is in {currency}, the business currency; days are business days.",
    ]
    for table in tables:
        lines += [
            "",
            f"## {table.name}",
            "",
            table.sentence,
            f"Unique by: {', '.join(table.grain)}. Parquet: `{table.file}`.",
            "",
            "| column | type | unit | meaning |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {column.name} | {column.type.lower()} | {_cell(column.unit)} | {_cell(column.meaning)} |"
            for column in table.columns
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
