"""Which tables there are: SQL files, tables written from rule books, and the rule books themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta

import pyarrow as pa

from perennial.campaigns.definition import load_campaigns
from perennial.churn.rules import load_churn_rules
from perennial.contracts import Contract, load_contracts
from perennial.contracts.staging import GRAIN, staging_keys, staging_pii, staging_sql
from perennial.customers.identity import load_identity_rules
from perennial.flows.campaign_tables import Rows, campaign_tables, candidates_sql, send_day_tables
from perennial.foundation.days import Run
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.loyalty.rules import load_loyalty_rules
from perennial.metrics.rules import load_metric_rules
from perennial.quality import load_intake_rules
from perennial.segments.definitions import compile_segment_names, compile_segments, load_segments
from perennial.segments.rfm import load_rfm_map
from perennial.warehouse import Materializer, Model, Warehouse, open_warehouse, read_models, written_model

# Data goes this way only; a table reads its own schema and the ones before it.
SCHEMAS = ("staging", "core", "customers", "loyalty", "segments", "churn", "campaigns", "marts")
INPUTS = ("raw", "rules", "ledger")
_CALENDAR = (date(2000, 1, 1), date(2050, 1, 1))


def all_models(settings: Settings) -> dict[str, Model]:
    """Every model by table, each after those it reads; raises BadConfig naming file and problem."""
    written = [
        *(_staging(contract) for contract in load_contracts(settings).values()),
        written_model(
            "segments.membership",
            compile_segments(load_segments(settings)),
            settings.files.file("rules", "segments.yaml"),
            "Who is in which segment of the rule book. One row per segment and customer.",
            ("segment", "customer_id"),
        ),
        written_model(
            "segments.by_customer",
            compile_segment_names(load_segments(settings)),
            settings.files.file("rules", "segments.yaml"),
            "The names of the segments that each person is in. One row per customer.",
            ("customer_id",),
        ),
        written_model(
            "campaigns.candidates",
            candidates_sql(load_campaigns(settings)),
            settings.files.whole("templates"),
            "Who is considered by each campaign on the send day. One row per campaign and customer.",
            ("campaign", "customer_id"),
        ),
    ]
    personal = {f"raw.{contract.name}": contract.personal for contract in load_contracts(settings).values()}
    models = read_models(settings.files.files("sql", "*/*.sql"), written, personal)
    for model in models.values():
        allowed = {*INPUTS, *SCHEMAS[: SCHEMAS.index(model.schema) + 1]} if model.schema in SCHEMAS else set()
        wrong = sorted(table for table in model.depends_on if table.partition(".")[0] not in allowed)
        # Past decisions are an input: loaded from the frozen files, not computed.
        if wrong and wrong != ["campaigns.decisions"]:
            raise BadConfig(
                f"{model.path}: {model.table} may not read {', '.join(wrong)}: data flows {' -> '.join(SCHEMAS)}."
            )
        keys = {key for key in (model.replaces, *model.via, *model.connects) if key}
        blind = sorted(table for table in model.depends_on & models.keys() if keys.isdisjoint(models[table].keys))
        if keys and blind:
            raise BadConfig(
                f"{model.path}: {model.table} would not see what changes in {', '.join(blind)}: "
                f"give it one of the keys {', '.join(sorted(keys))}, or refresh by a key that it has."
            )
    return models


def _staging(contract: Contract) -> Model:
    return written_model(
        f"staging.{contract.name}",
        staging_sql(contract),
        contract.path,
        f"{contract.description} All that was accepted and has happened by the day. One row per row landed.",
        GRAIN,
        staging_keys(contract),
        staging_pii(contract),
    )


def rule_tables(run: Run, settings: Settings) -> dict[str, pa.Table]:
    """The rule books as tables, by name, as they are on the run's send day; BadConfig names file, field and value."""
    text, whole, real, day = pa.string(), pa.int64(), pa.float64(), pa.date32()
    loyalty = load_loyalty_rules(settings).tables()
    identity = load_identity_rules(settings)
    first, last = _CALENDAR
    tables: Mapping[str, tuple[dict[str, pa.DataType], Rows]] = {
        "rules.calendar": ({"day": day}, [{"day": first + timedelta(n)} for n in range((last - first).days)]),
        "rules.rfm": ({"code": text, "segment": text}, load_rfm_map(settings).rows()),
        "rules.loyalty": ({"qualifying_days": whole, "expires_after_days": whole}, loyalty["rules.loyalty"]),
        "rules.tiers": ({"place": whole, "tier": text, "from_points": whole}, loyalty["rules.tiers"]),
        "rules.earning": (
            {
                "rule": text,
                "event": text,
                "category": text,
                "points_per_unit": pa.decimal128(12, 4),
                "points": whole,
                "from_day": day,
                "to_day": day,
            },
            loyalty["rules.earning"],
        ),
        "rules.identifiers": (
            {"kind": text, "at_most": whole},
            [{"kind": kind, "at_most": count} for kind, count in identity.at_most.items()],
        ),
        "rules.nobodys_identifiers": ({"identifier": text}, [{"identifier": one} for one in identity.nobody]),
        "rules.mail_domains": (
            {"domain": text, "ignores_dots": pa.bool_(), "same_as": text},
            [{"domain": domain, **found.model_dump()} for domain, found in identity.mail_domains.items()],
        ),
        "rules.identity_cuts": (
            {"one": text, "other": text},
            [
                {"one": one, "other": other}
                for cut in identity.cuts
                for one, other in (cut.between, reversed(cut.between))
            ],
        ),
        "rules.churn": (
            {"prior_gaps": real, "default_gap_days": real, "medium_at": real, "high_at": real},
            [load_churn_rules(settings).model_dump()],
        ),
        "rules.metrics": ({"final_after_days": whole}, [load_metric_rules(settings).model_dump()]),
        "rules.segments": (
            {"segment": text, "title": text, "kind": text},
            [{"segment": s.name, "title": s.title, "kind": s.kind} for s in load_segments(settings)],
        ),
        "rules.intake": ({"unmended_days": whole}, [{"unmended_days": load_intake_rules(settings).unmended_days}]),
    }
    found = {name: pa.Table.from_pylist(rows, pa.schema(columns)) for name, (columns, rows) in tables.items()}
    return found | campaign_tables(settings) | send_day_tables(run, settings)


@contextmanager
def open_tables(run: Run, settings: Settings) -> Iterator[tuple[Warehouse, Materializer]]:
    """The warehouse, held for writing, and what makes its tables as of the run's day."""
    models = all_models(settings)
    with open_warehouse(settings) as warehouse:
        yield warehouse, Materializer(warehouse, models, run.day)


def build_schema(schema: str, materializer: Materializer) -> dict[str, int]:
    """Build every table of `schema`; rows written of each."""
    return materializer.build_all(model for model in materializer.models.values() if model.schema == schema)
