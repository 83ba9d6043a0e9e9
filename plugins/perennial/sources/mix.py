"""
How often each value of a column comes, so that a day which brings other values than usual is found.

Counted are the accepted rows of each file, in the columns that the contract marks with `mix`; numbers by their size:
1 to 3, 3 to 10, 10 to 30 and so on, which prices in cents leave as a whole and a sale does not.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from perennial.contracts import Column
from perennial.sources.arrival import Landed
from perennial.sources.batch import Batch
from perennial.sources.definition import literal
from perennial.sources.mapping import TYPED

_NONE = ""  # of a row without a value; no value is blank
_OTHERS = "others"
_KEPT = 50  # values of a column of a file are kept, its commonest; the rest are _OTHERS
_LONGEST = 40  # characters of a value
_SIZES = [Decimal(digit).scaleb(power) for power in range(-2, 10) for digit in (1, 3)]


@dataclass(frozen=True)
class ValueCount:
    """How many accepted rows of one file have a value in a column."""

    column_name: str
    value: str
    rows: int


def mix_of(batch: Batch, findings: str, held: Collection[Landed]) -> dict[Landed, list[ValueCount]]:
    """The values of each file that is taken, in the mapped columns of which the contract expects a usual mix."""
    of_contract = batch.source.contract.columns
    columns = [name for name in batch.source.columns if of_contract[name].mix]
    if not columns:
        return {}
    counted = " union all ".join(
        f"select _file, {literal(name)} as name, {_value(name, of_contract[name])} as value, count(*) as rows"
        " from taken group by all"
        for name in columns
    )
    found: dict[int, list[ValueCount]] = defaultdict(list)
    for number, name, value, rows in batch.scratch.rows(
        f"""
        with taken as (
            select _file, {", ".join(columns)} from {TYPED} as typed
            where not _deleted and not exists (select 1 from {findings} as found where found._id = typed._id)
        ),
        counted as ({counted}),
        placed as (
            select *, row_number() over (partition by _file, name order by rows desc, value) as place from counted
        )
        select _file, name, case when place <= {_KEPT} then value else '{_OTHERS}' end as value, sum(rows)::bigint
        from placed group by all order by all
        """
    ):
        found[number].append(ValueCount(name, value, rows))
    return {entry: found[number] for number, entry in batch.numbered() if entry not in held}


def _value(name: str, column: Column) -> str:
    """What is counted for a value, as SQL."""
    if not column.is_number:
        return f"coalesce(left({name}::varchar, {_LONGEST}), '{_NONE}')"
    size, least, most = f"abs({name})", f"{_SIZES[0]:f}", f"{_SIZES[-1]:f}"
    between = " ".join(f"when {size} < {to:f} then '{low:f} to {to:f}'" for low, to in pairwise(_SIZES))
    return f"""
        case when {name} is null then '{_NONE}' when {name} = 0 then '0'
            else case when {name} < 0 then 'minus ' else '' end
                || case when {size} < {least} then 'below {least}' {between} else 'from {most}' end end
    """
