"""
A landed copy without personal data: its rows as the gate accepted them, in Parquet, enough to load them again.

A personal text becomes a keyed hash, the same for the same text whatever its case, so that rows of one address stay
together; it looks like no address and like no number, and nobody can be written to. Other personal values become null.
Of a row that was refused its number and the reasons are left.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.foundation.errors import BadData
from perennial.foundation.settings import Settings
from perennial.sources.arrival import Landed
from perennial.sources.definition import Source

_SUFFIX = ".pseudonymised.parquet"
_HASH_BYTES = 12

KEPT = "_is_kept"
"""Of the rows to write: whether this one keeps its personal data."""

REASONS = "_reasons"
"""Of a refused row, as JSON; null of an accepted one."""


def write_pseudonymised(
    entry: Landed, source: Source, accepted: pa.RecordBatchReader, refused: pa.Table, secret: bytes, settings: Settings
) -> Landed:
    """
    Write the copy of `entry`; returns the entry that names it, for the landing to take.

    `accepted` has its rows as `raw.<contract>` has them, and KEPT; `refused` has `_row` and REASONS of the others.
    """
    path = entry.path.removesuffix(_SUFFIX) + _SUFFIX
    schema = pa.schema([*(field for field in accepted.schema if field.name != KEPT), pa.field(REASONS, pa.string())])
    personal_rows = 0
    writing = settings.landing_dir / source.name / ".pseudonymising"
    with pq.ParquetWriter(writing, schema, compression="zstd") as file:
        for batch in accepted:
            kept = batch[KEPT]
            personal_rows += pc.sum(kept).as_py() or 0
            values = {name: batch[name] for name in batch.schema.names}
            for name in source.contract.personal:
                values[name] = pc.if_else(kept, values[name], _hidden(values[name], secret))
            file.write_table(_table(values, len(batch), schema))
        file.write_table(_table({name: refused[name] for name in refused.column_names}, len(refused), schema))
    with writing.open("rb") as written:
        os.fsync(written.fileno())
    writing.rename(settings.landing_dir / path)
    return replace(entry, path=path, personal_rows=personal_rows)


def read_pseudonymised(entry: Landed, settings: Settings) -> Iterator[pa.Table]:
    """The rows of a pseudonymised copy, the refused ones last. Raises BadData when it is gone or damaged."""
    path = settings.landing_dir / entry.path
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield pa.table(batch)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadData(f"{path} is gone or damaged ({error}). Restore the landing from its backup.") from error


def _table(values: Mapping[str, pa.Array], rows: int, schema: pa.Schema) -> pa.Table:
    """The values with null for what they lack."""
    return pa.table([values.get(field.name, pa.nulls(rows, field.type)) for field in schema], schema=schema)


def _hidden(values: pa.Array, secret: bytes) -> pa.Array:
    if not pa.types.is_string(values.type):
        return pa.nulls(len(values), values.type)
    distinct = values.dictionary_encode()
    hashes = [_hash(text, secret) for text in distinct.dictionary.to_pylist()]
    return pa.array(hashes, pa.string()).take(distinct.indices)


def _hash(text: str, secret: bytes) -> str:
    key = hashlib.sha256(secret).digest()
    return "~" + hashlib.blake2b(text.lower().encode(), digest_size=_HASH_BYTES, key=key).hexdigest()
