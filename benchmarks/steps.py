"""
What is measured, a function each. A step runs in a process of its own: `python steps.py <step> <arguments as JSON>`.

A step is given names and paths as text and returns figures; seconds, CPU time and peak memory of the process
are added to them.
"""

import json
import logging
import resource
import shutil
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import mail
import shop
import yaml

from perennial.flows import ingest
from perennial.flows.day import steps as day_steps
from perennial.foundation.days import run_of
from perennial.foundation.settings import REPOSITORY, Settings, load_settings

Figures = dict[str, Any]


class Clock:
    """Seconds and CPU seconds of this process since it was made: a step starts one when its imports are done."""

    def __init__(self) -> None:
        self.began = time.monotonic(), time.process_time()

    def read(self) -> Figures:
        return {"seconds": time.monotonic() - self.began[0], "cpu_seconds": time.process_time() - self.began[1]}


def generate(folder: str, customers: int, months: int, days: int) -> Figures:
    return {"rows": sum(shop.build(Path(folder), customers, months, days).values())}


def load(home: str, day: str) -> Figures:
    """The inbox through the gate. Great Expectations is imported before: ten seconds for any number of rows."""
    import great_expectations  # noqa: F401

    settings = _settings(home, day)
    run = run_of(date.fromisoformat(day), settings)
    clock = Clock()
    for source in ingest.source_names(settings):
        ingest.land(source, run, settings)
    figures = ingest.load(run, settings)
    return clock.read() | {"rows": sum(of["landed"] for of in figures.values())}


def order_lines(home: str, first: str, last: str, lines: int) -> Figures:
    shop.write_order_lines(Path(home), date.fromisoformat(first), date.fromisoformat(last), lines)
    return {}


def intake(home: str, day: str) -> Figures:
    """Files of order lines through the gate and into staging, in little memory; imports before the clock starts."""
    import great_expectations  # noqa: F401

    from perennial.flows.day_order import close_day
    from perennial.flows.refresh import refresh
    from perennial.flows.tables import open_tables

    settings = _settings(home, day).model_copy(update={"memory_limit": "800MB"})
    run = run_of(date.fromisoformat(day), settings)
    clock = Clock()
    ingest.land("web_orders", run, settings)
    loaded = ingest.load(run, settings)["web_orders"]
    refresh("staging", run, settings)
    figures = clock.read() | {"rows": loaded["landed"]}
    with open_tables(run, settings) as (warehouse, materializer):
        materializer.settle()  # no later table is made here: the day is done, and the next one adds to it
        close_day(run, warehouse, settings)
    assert loaded["accepted"] == loaded["landed"]
    return figures


def read_plainly(home: str) -> Figures:
    """The reference for `load`: the same files into text columns of a DuckDB table, with no check at all."""
    import duckdb

    rows = 0
    with duckdb.connect() as connection:
        connection.execute("set preserve_insertion_order = false")
        for source in sorted((Path(home) / "inbox").iterdir()):
            sample = next(iter(source.iterdir())).name
            if ".csv" in sample:
                reader = "read_csv($files, all_varchar = true, union_by_name = true, ignore_errors = true)"
            else:
                reader = "read_json($files, format = 'newline_delimited', ignore_errors = true)"
            connection.execute(f"create table {source.name} as select * from {reader}", {"files": f"{source}/*"})
            found = connection.execute(f"select count(*) from {source.name}").fetchall()
            rows += found[0][0]
    return {"rows": rows}


def first_refresh(home: str, day: str) -> Figures:
    """All tables of what is loaded, churn, plan, queue and publication."""
    return _run(_settings(home, day), day, lambda name: not name.startswith(("land ", "load", "restore", "deliver")))


def increment(home: str, day: str) -> Figures:
    """A whole day, but for handing mail over: that is the provider's time, not ours."""
    import great_expectations  # noqa: F401

    return _run(_settings(home, day), day, lambda name: name != "deliver")


def _run(settings: Settings, day: str, wanted: Callable[[str], bool]) -> Figures:
    parts: dict[str, float] = {}
    clock = Clock()
    rows = 0
    for name, call in day_steps(run_of(date.fromisoformat(day), settings), settings):
        if wanted(name):
            begun = time.monotonic()
            found = call()
            stage = name.split()[0] if name.startswith(("land", "queue")) else name
            parts[stage] = round(parts.get(stage, 0) + time.monotonic() - begun, 3)
            rows += sum(of["landed"] for of in found.values()) if name == "load" else 0
    return clock.read() | {"rows": rows, "parts": parts}


def tables(home: str, day: str) -> Figures:
    """Seconds that each table of the day took, and those that RFM, points and daily figures need together."""
    from perennial.flows.tables import all_models
    from perennial.warehouse import open_warehouse

    settings = _settings(home, day)
    models = all_models(settings)
    needed, waiting = set(), ["customers.rfm", "loyalty.balances", "marts.daily_kpis"]
    while waiting:
        table = waiting.pop()
        if table in models and table not in needed:
            needed.add(table)
            waiting.extend(models[table].depends_on)
    with open_warehouse(settings) as warehouse:
        rows = warehouse.query(
            "select table_name, how, row_count, seconds from state.builds where day = $day order by seconds desc",
            day=date.fromisoformat(day),
        ).to_pylist()
    same_work = sum(row["seconds"] for row in rows if row["table_name"] in needed)
    return {"same_work_seconds": same_work, "tables": rows}


def people(home: str, day: str, links: int) -> Figures:
    """
    Who is one person, of `links` links: all of it, and then a day on which 5,000 of them are new.

    Half the references share a phone number with another; there are a chain of 10,000 and a number that 100,000 share.
    """
    from perennial.flows.tables import open_tables, rule_tables
    from perennial.warehouse import Materializer, Warehouse

    settings = _settings(home, day)
    number = links * 4 // 11  # of references: two and three quarters of a link each
    run = run_of(date.fromisoformat(day), settings)
    tables = [f"core.{name}" for name in ("trusted_links", "components", "identities", "merged_customers")]

    def build(materializer: Materializer) -> float:
        began = time.monotonic()
        for table in tables:
            materializer.build(materializer.models[table])
        materializer.settle()
        return time.monotonic() - began

    def link(warehouse: Warehouse, sql: str) -> None:
        warehouse.execute(
            f"insert into core.links select identity, linked, identity, linked, date '2025-01-01' from ({sql}) as named"
        )

    with open_tables(run, settings) as (warehouse, materializer):
        for table, rows in rule_tables(run, settings).items():
            materializer.load_rules(table, rows)
        warehouse.create(
            "core.links",
            {**dict.fromkeys(("identity", "linked", "identity_name", "linked_name"), "text"), "first_day": "date"},
        )
        for linked, count, every in (
            ("'ref:' || n", number, 1),
            ("'email:' || n || '@example.com'", number, 1),
            ("'phone:+49' || n", number // 2, 1),
            ("'phone:+49' || n + 1", number // 2, 2),
            ("'card:chain' || n", 10_000, 1),
            ("'card:chain' || n + 1", 10_000, 1),
            ("'phone:+1'", 100_000, 1),
        ):
            link(warehouse, f"select 'ref:' || n as identity, {linked} as linked from {_numbers(count, every)}")
        found = {"links": warehouse.count("select count(*) from core.links"), "whole": build(materializer)}
        found["people"] = warehouse.count("select count(distinct customer_id) from core.identities")
        longest = "select count(*) as members from core.identities group by component"
        assert warehouse.count(f"select max(members) from ({longest}) as chains") >= 10_000
    with open_tables(run, settings) as (warehouse, materializer):
        mail = f"select 'email:' || n * 100 || '@example.com' as key, n from {_numbers(5_000)}"
        link(warehouse, f"select 'ref:' || n * 100 + 3 as identity, key as linked from ({mail}) as mail")
        warehouse.execute(f"insert into touched.identifiers select key from ({mail}) as mail")
        found["day"] = build(materializer)
        assert warehouse.count("select count(distinct customer_id) from core.identities") < found["people"]
    return found


def plan(home: str, day: str, customers: int, campaigns: int) -> Figures:
    """
    One plan of so many campaigns that each consider everybody: decided, frozen, written out.

    Everybody has an address of their own, nine of ten have consented, half had a mail lately and every tenth had one of
    the first campaign; one campaign in two has a holdout and two wordings.
    """
    from perennial.contracts import load_contracts
    from perennial.flows import campaigns as flow
    from perennial.flows.mirror import create_mirrors
    from perennial.flows.raw_tables import create_raw_tables
    from perennial.flows.tables import open_tables, rule_tables

    settings = _with_campaigns(_settings(home, day), campaigns)
    run = run_of(date.fromisoformat(day), settings)
    people = f"select 'c' || n as customer_id, n from {_numbers(customers)}"
    filled = {
        "core.customers": "customer_id, customer_id || '@example.com' as email, 'en' as locale, 'DE' as country",
        "customers.profile": "customer_id, 'en' as locale, 'DE' as country, 3 as orders, 12.5 as mean_gap_days",
        "loyalty.tiers": "customer_id, 'seed' as tier",
        "segments.by_customer": "customer_id, '' as segments",
        "core.consents": "customer_id, 'email' as channel, 'all' as topic,"
        " case when n % 10 = 0 then 'denied' else 'granted' end as state",
        "ledger.messages": "'m' || n as message_id, 'offers' as topic, customer_id,"
        " case when n % 20 = 0 then 'campaign00' else 'another' end as campaign,"
        " address_hash(customer_id || '@example.com') as address_hash,"
        f" date '{day}' - cast(n % 30 as integer) as send_day, 'promotional' as purpose, 'accepted' as state",
    }
    with open_tables(run, settings) as (warehouse, materializer):
        create_raw_tables(warehouse, load_contracts(settings).values())
        create_mirrors(warehouse)
        for table, rows in rule_tables(run, settings).items():
            materializer.load_rules(table, rows)
        for model in materializer.models.values():
            materializer.build(model)
        for table, columns in filled.items():
            half = " where n % 2 = 0" if table == "ledger.messages" else ""
            warehouse.execute("drop table if exists given_rows")
            warehouse.create_as("given_rows", f"select {columns} from ({people}) as people{half}", temporary=True)
            warehouse.insert(table, "given_rows", warehouse.columns("given_rows"))
    clock = Clock()
    decided = flow.plan(run, settings)
    return clock.read() | {
        "candidates": sum(sum(counts.values()) for counts in decided.values()),
        "sends": sum(counts.get("send", 0) for counts in decided.values()),
    }


def _with_campaigns(settings: Settings, count: int) -> Settings:
    """An include folder beside the home, with copies of one campaign."""
    include = settings.home / "include"
    for number in range(count):
        folder = include / "templates" / f"campaign{number:02}"
        shutil.copytree(settings.files.whole("templates") / "win_back", folder)
        told = yaml.safe_load((folder / "campaign.yaml").read_text())
        told["audience"] = {"where": "orders > 0", "exclude": ["staff"]}
        told["needs"] = []
        told["priority"] = number + 1
        told["experiment"]["holdout"] = f"{10 * (number % 2)}%"
        (folder / "campaign.yaml").write_text(yaml.safe_dump(told, allow_unicode=True))
    return settings.model_copy(update={"include": include})


def _numbers(count: int, every: int = 1) -> str:
    """SQL for a table of n from 0, on either engine."""
    return f"(select value as n from generate_series(0, {count - 1}, {every}) as numbers(value)) as numbers"


def export(home: str, day: str, folder: str) -> Figures:
    """What passed the gate, and our results, as Parquet: input and touchstone of the pandas program."""
    import duckdb

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    wanted = {
        "order_lines": "select * from raw.order_lines",
        "interactions": "select * from raw.interactions",
        "customers": "select * from raw.customers",
        "products": "select * from raw.products",
        "our_rfm": "select customer_id, frequency, cast(monetary * 100 as bigint) as monetary, recency_days,"
        " recency_score, frequency_score, monetary_score from customers.rfm",
        "our_balances": "select customer_id, points_balance from loyalty.balances",
        "our_days": "select day, cast(gross_revenue * 100 as bigint) as gross, cast(discounts * 100 as bigint) as"
        " discounts, cast(refunds * 100 as bigint) as refunds, cast(net_revenue * 100 as bigint) as net,"
        " cast(units * 10000 as bigint) as units, orders, guest_orders, interactions, active_customers, new_customers"
        " from marts.daily_kpis",
    }
    path = _settings(home, day).warehouse_url.partition(":///")[2]
    with duckdb.connect(path, read_only=True) as connection:
        for name, sql in wanted.items():
            connection.execute(f"copy ({sql}) to '{target / name}.parquet' (format parquet)")
    return {}


def pandas(folder: str, day: str) -> Figures:
    """The same work in pandas, and whether it comes to the same results."""
    import pandas as pd
    import pandas_day

    clock = Clock()
    theirs = pandas_day.compute(
        Path(folder), REPOSITORY / "include" / "rules" / "loyalty.yaml", date.fromisoformat(day)
    )
    used = clock.read()
    keys = {"rfm": "customer_id", "balances": "customer_id", "days": "day"}
    for name, key in keys.items():
        ours = pd.read_parquet(Path(folder) / f"our_{name}.parquet").sort_values(key).reset_index(drop=True)
        found = theirs[name].sort_values(key).reset_index(drop=True)[list(ours.columns)]
        pd.testing.assert_frame_equal(ours, found, check_dtype=False)
    return used


def fill_outbox(home: str, messages: int, ledger: str | None, port: int) -> Figures:
    mail.fill(_mailing(home, ledger, port), messages)
    return {}


def sample_mail(path: str) -> Figures:
    """One of the mails as a file, for smtp-source."""
    Path(path).write_bytes(mail.sample().replace(b"\r\n", b"\n"))
    return {}


def deliver_mail(home: str, messages: int, ledger: str | None, port: int) -> Figures:
    """The whole path: claim, render, MIME, SMTP, record."""
    from perennial.flows.delivery import deliver

    settings = _mailing(home, ledger, port)
    clock = Clock()
    assert deliver(settings) == {"accepted": messages}
    return clock.read() | {"rows": messages}


def send_plainly(messages: int, port: int) -> Figures:
    """The reference: the loop that one would write first."""
    clock = Clock()
    mail.send_plainly(port, messages)
    return clock.read() | {"rows": messages}


def _mailing(home: str, ledger: str | None, port: int) -> Settings:
    return load_settings(home=Path(home), ledger=ledger, delivery="smtp", smtp_port=port)


def parse_dags() -> Figures:
    """Every DAG file once, in a process that has imported Airflow."""
    import airflow.sdk  # noqa: F401
    from airflow.dag_processing.dagbag import DagBag

    clock = Clock()
    bag = DagBag(REPOSITORY / "dags")
    used = clock.read()
    assert not bag.import_errors, bag.import_errors
    return used | {"files": len(bag.dagbag_stats)}


def plain_day(home: str) -> Figures:
    """The newest day by the command line's flows: what the chain under Airflow does, without Airflow."""
    settings = load_settings(home=Path(home))
    from perennial.foundation.days import yesterday

    return _run(settings, yesterday(settings).isoformat(), lambda _: True)


def webhooks(home: str, ledger: str | None, messages: int, a_request: int) -> Figures:
    """Events of a provider over HTTP, until each request is answered: durable by then."""
    import hooks

    return hooks.measure(Path(home), ledger, messages, a_request)


def _settings(home: str, day: str) -> Settings:
    return shop.settings_of(Path(home), date.fromisoformat(day))


STEPS = {
    step.__name__: step
    for step in (
        generate,
        load,
        order_lines,
        intake,
        read_plainly,
        first_refresh,
        increment,
        tables,
        people,
        plan,
        export,
        pandas,
        fill_outbox,
        sample_mail,
        deliver_mail,
        send_plainly,
        parse_dags,
        plain_day,
        webhooks,
    )
}


def main() -> None:
    logging.disable(logging.WARNING)
    clock = Clock()
    found = STEPS[sys.argv[1]](**json.loads(sys.argv[2]))
    figures = clock.read() | found
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write("\n" + json.dumps(figures, default=str) + "\n")


if __name__ == "__main__":
    main()
