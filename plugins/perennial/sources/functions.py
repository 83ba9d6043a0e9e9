"""What a mapping can call beside DuckDB's own functions."""

from html import unescape

from duckdb import DuckDBPyConnection
from duckdb.sqltypes import VARCHAR

from perennial.sources.phone import e164


def add_functions(connection: DuckDBPyConnection) -> None:
    """`html_text('Tee &amp; Cap')` is `Tee & Cap`; `e164(number, country)` is a phone number in its one form."""
    connection.create_function("html_text", unescape, [VARCHAR], VARCHAR)
    connection.create_function("e164", e164, [VARCHAR, VARCHAR], VARCHAR)
