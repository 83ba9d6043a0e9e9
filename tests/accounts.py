"""Where every row that landed is: by the published table, and counted from the rows themselves."""

from perennial.contracts import load_contracts
from perennial.flows import reading
from perennial.warehouse import open_warehouse

PLACES = ("current", "superseded", "duplicate", "quarantined", "held", "refused")


def files(settings):
    """(file, version) -> (status, rows landed, rows found in some place), counted from the rows themselves."""
    staged = " union all ".join(
        f"select _source as source, _file as file, _version as version from staging.{contract}"
        for contract in load_contracts(settings)
    )
    with open_warehouse(settings) as warehouse:
        rows = warehouse.query(
            f"""
            with placed as (
                select source, file, version, count(*) as found
                from ({staged} union all select source, file, version from quarantine.rows) as one_by_one
                group by source, file, version
                union all
                select source, file, version, waiting_rows as found from core.file_waits
            )
            select files.file, files.version, files.status, files.rows, cast(coalesce(sum(found), 0) as bigint) as found
            from raw.files as files left join placed using (source, file, version)
            group by files.file, files.version, files.status, files.rows
            """
        ).to_pylist()
    return {(row["file"], row["version"]): (row["status"], row["rows"], row["found"]) for row in rows}


def accounted_for(settings):
    """Every row that landed is in exactly one place; the rows of `marts.data_health`."""
    health = reading.query("select * from marts.data_health", settings).to_pylist()
    for row in health:
        assert row["landed"] == sum(row[place] for place in PLACES), row
    counted = files(settings)
    for file, (status, landed, found) in counted.items():
        assert found == (landed if status == "loaded" else 0), file
    assert sum(row["landed"] for row in health) == sum(landed for _, landed, _ in counted.values())
    return health
