"""A small shop through the whole day: what is published, what it promises to readers, and what people may ask of it."""

import json
import re
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml
from pyarrow.dataset import dataset

from contents import orders
from html_pages import Page, outside_requests
from perennial.contracts import load_contracts
from perennial.demo import Dirt, build_shop
from perennial.flows import campaigns, churn, ingest, publish, reading, refresh
from perennial.flows.publications import PAGES
from perennial.foundation.days import Origin, Run, run_of
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.foundation.settings import load_settings
from perennial.ledger import open_ledger
from perennial.metrics.demands import OF_EVERY_SOURCE
from perennial.warehouse import open_warehouse
from perennial.warehouse.snapshot import open_snapshot

DAY = date(2026, 1, 31)
CONTRACT = Path(__file__).with_name("public_columns.yaml")
# Names that BI relies on for ever.
FIXED = {
    "marts.customer_360": (
        "customer_id first_order_date last_order_date orders net_revenue orders_12m net_revenue_12m aov "
        "recency_days rfm_code rfm_segment tier points_balance churn_risk churn_probability clv_12m country locale "
        "email_domain has_email_consent is_suppressed segments as_of_date"
    ),
    "marts.daily_kpis": (
        "day orders guest_orders active_customers new_customers gross_revenue discounts refunds net_revenue units "
        "aov repeat_purchase_rate interactions messages_sent as_of_date is_final"
    ),
    "marts.campaign_performance": (
        "campaign send_day variant arm considered held sent accepted delivered bounced opened_unique "
        "opened_machine clicked_unique unsubscribed complained converted attributed_revenue unknown"
    ),
    "marts.data_health": (
        "source day landed current superseded duplicate quarantined held refused freshness_hours status failing_check"
    ),
    "core.orders": (
        "order_id customer_id ordered_at ordered_date status is_completed lines units gross_revenue discounts "
        "refunds net_revenue currency channel source"
    ),
}


NOW = "2026-02-01T09:30:00+01:00"


@pytest.fixture(scope="module")
def shop(homes, tmp_path_factory):
    """A home in which the last day has been run up to its publication."""
    settings = homes.settings(tmp_path_factory.mktemp("shop") / "home", now=NOW)
    build_shop(settings, 500, date(2025, 11, 1), DAY, dirt=Dirt(duplicate=0.01, broken_date=0.01))
    run = run_of(DAY, settings)
    for source in ingest.source_names(settings):
        ingest.land(source, run, settings)
    ingest.load(run, settings)
    for schema in refresh.SCHEMAS:
        refresh.refresh(schema, run, settings)
    churn.score(run, settings)
    campaigns.plan(run, settings)
    for campaign in campaigns.due(run, settings):
        campaigns.queue(campaign, run, settings)
    publish.publish(run, settings)
    return settings


@pytest.fixture
def home(shop, homes, tmp_path, monkeypatch):
    """A copy of the shop that a test may change; pages are not drawn, which is what takes time."""
    monkeypatch.setattr(publish, "render_report", lambda *_: "<!doctype html>")
    return homes.copy(shop, tmp_path / "home", now=NOW)


def latest(settings):
    return reading.published_folder(settings)


def columns_of(settings):
    found = {}
    for row in reading.query(
        "select table_schema || '.' || table_name as name, column_name, data_type from information_schema.columns"
        " where table_schema <> 'internal' order by ordinal_position",
        settings,
    ).to_pylist():
        found.setdefault(row["name"], {})[row["column_name"]] = row["data_type"]
    return found


def test_published_columns_are_those_of_the_contract(shop):
    """A column that disappears, is renamed or retyped breaks somebody's dashboard; a new one is added to the file."""
    promised = yaml.safe_load(CONTRACT.read_text())
    published = columns_of(shop)
    broken = [
        f"{table}.{column}: promised as {kind}, published as {published.get(table, {}).get(column, 'nothing')}"
        for table, columns in promised.items()
        for column, kind in columns.items()
        if published.get(table, {}).get(column) != kind
    ]
    assert not broken
    added = [
        f"{table}.{c}" for table, columns in published.items() for c in columns if c not in promised.get(table, {})
    ]
    assert not added, f"published and not promised: add to {CONTRACT.name}"


@pytest.mark.parametrize("table", FIXED)
def test_fixed_columns_are_promised(table):
    assert set(FIXED[table].split()) <= yaml.safe_load(CONTRACT.read_text())[table].keys()


def parquet_of(folder, table):
    """The Parquet of a table: a file, or a folder of them."""
    (found,) = folder.glob(f"{table.partition('.')[2]}*")
    return dataset(found)


def test_publication_is_whole(shop):
    folder = latest(shop)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["day"] == "2026-01-31"
    assert folder.name.startswith("2026-01-31-")
    for table in columns_of(shop):
        rows = manifest["tables"][table]["rows"]
        assert parquet_of(folder, table).count_rows() == rows
        assert reading.query(f"select count(*) as n from {table}", shop).to_pylist() == [{"n": rows}]
    for table in ("core.orders", "marts.daily_kpis", "marts.customer_360", "marts.segment_daily", "marts.data_health"):
        assert manifest["tables"][table]["rows"] > 0, table
    assert "Saturday, 31 January 2026" in (folder / "report.html").read_text()
    for page in ("dictionary.html", "dictionary.md"):
        text = (folder / page).read_text()
        assert all(f"{column}" in text for columns in columns_of(shop).values() for column in columns)
    assert not [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o222]


def test_every_published_column_is_documented_in_the_file_itself(shop):
    undocumented = reading.query(
        "select schema_name || '.' || table_name || '.' || column_name as name from duckdb_columns()"
        " where not internal and schema_name <> 'internal' and coalesce(comment, '') = ''",
        shop,
    )
    assert undocumented.to_pylist() == []


def test_no_personal_data_is_published(shop):
    with open_warehouse(shop) as warehouse:
        people = warehouse.query("select email, phone, name from core.customers where email is not null").to_pylist()
    secrets = {value for row in people for value in row.values() if value}
    assert len(secrets) > 100
    with open_snapshot(latest(shop), shop) as snapshot:
        for table in snapshot.tables():
            for column in snapshot.query(f"select * from {table}").itercolumns():
                assert not secrets & {value for value in column.to_pylist() if isinstance(value, str)}, table
    pages = "".join((latest(shop) / page).read_text() for page in (*PAGES, "dictionary.md"))
    assert not [secret for secret in secrets if "@" in secret and secret in pages]


def test_the_quality_page_says_what_the_tables_say(shop):
    html = (latest(shop) / "quality.html").read_text()
    assert outside_requests(html) == []
    _, *sections = re.split(r'<section id="source-', html)
    sections = {section.partition('"')[0]: section for section in sections}
    assert sections.keys() == set(ingest.source_names(shop))
    with open_warehouse(shop) as warehouse:
        checks = warehouse.query(
            "select source, contract, rule, cast(sum(rows) as bigint) as rows, cast(sum(failed) as bigint) as failed"
            " from raw.checks group by source, contract, rule"
        ).to_pylist()
        refused = warehouse.query(
            "select source, reasons, count(*) as rows from quarantine.rows group by source, reasons"
        ).to_pylist()
    contracts = load_contracts(shop)
    for row in checks:
        (line,) = re.findall(f'role="rowheader"><code>{row["rule"]}</code>.*?</tr>', sections[row["source"]], re.DOTALL)
        assert re.findall(r'class="n (?:rows|failures)">([\d,]+)<', line) == [
            f"{row[figure]:,}" for figure in ("rows", "failed") if row["rows"]
        ]
        suite = {rule.rule for rule in contracts[row["contract"]].expectations}
        assert row["rule"] in suite | OF_EVERY_SOURCE.keys(), "metrics/demands.py does not say what it demands"
    assert sum(row["failed"] > 0 for row in checks) > 3
    for row in refused:
        reasons = ", ".join(json.loads(row["reasons"]))
        assert f"{reasons} {row['rows']:,} {row['rows']:,} " in Page(sections[row["source"]]).text
    assert len(refused) > 1


def test_every_page_leads_to_pages_that_are_published(shop):
    for name in PAGES:
        page = Page((latest(shop) / name).read_text())
        assert {link.partition("#")[0] for link in page.links} - {""} <= set(PAGES) - {name}
        targets = {link for link in page.links if link.startswith("quality.html#")}
        assert all(f'id="{link.partition("#")[2]}"' in (latest(shop) / "quality.html").read_text() for link in targets)


def test_money_adds_up_across_published_tables(shop):
    total = "cast(sum(net_revenue) as decimal(14, 2)) as total"
    by_day = reading.query(f"select {total} from marts.daily_kpis", shop).to_pylist()
    by_order = reading.query(f"select {total} from core.orders", shop).to_pylist()
    assert by_day == by_order
    assert by_day[0]["total"] > 0


def test_day_is_recorded_in_the_ledger(shop):
    with open_ledger(shop) as ledger:
        (found,) = ledger.day_runs()
    assert (found.day, found.origin, found.known_at) == (DAY, Origin.DEMO, datetime(2026, 2, 1, 8, 30, tzinfo=UTC))


def test_publishing_again_changes_nothing(home):
    first = publish.publish(run_of(DAY, home), home)  # the copy's first: its page is another one
    manifest = (latest(home) / "manifest.json").read_bytes()
    again = publish.publish(run_of(DAY, home), home)
    assert (first["published"], again["published"]) == (latest(home).name,) * 2
    assert again["is_new"] is False
    assert (latest(home) / "manifest.json").read_bytes() == manifest


def test_a_campaign_added_after_the_refresh_is_planned(home, tmp_path):
    include = tmp_path / "include"
    shutil.copytree(home.include, include)
    shutil.copytree(include / "templates" / "win_back", include / "templates" / "spring")
    planned = campaigns.plan(run_of(DAY, home), home.model_copy(update={"include": include}))
    assert sum(planned["spring"].values()) == sum(planned["win_back"].values()) > 0


def test_older_day_leaves_the_newer_publication(home):
    before = latest(home)
    figures = publish.publish(Run(date(2026, 1, 30), Origin.BACKFILL), home)
    assert figures == {"day": "2026-01-30", "published": None, "is_new": False}
    assert latest(home) == before


def test_reader_of_the_old_publication_goes_on(home):
    with open_snapshot(latest(home), home) as old:
        before = old.query("select count(*) as n from marts.daily_kpis").to_pylist()
        for number in range(publish.KEPT + 1):
            change(home, number)
            publish.publish(run_of(DAY, home), home)
        assert old.query("select count(*) as n from marts.daily_kpis").to_pylist() == before
    folders = [path for path in home.published_dir.iterdir() if not path.is_symlink()]
    assert len(folders) == publish.KEPT
    assert latest(home) in folders


@pytest.mark.parametrize("moment", ["_write_pages", "_content_id", "_make_durable", "_point_latest_to"])
def test_kill_leaves_the_old_publication_whole(home, monkeypatch, moment):
    before = latest(home)
    content = files(before)
    change(home, 1)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publish, moment, killed)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a kill cleans nothing up
        with pytest.raises(KeyboardInterrupt):
            publish.publish(run_of(DAY, home), home)
    assert latest(home) == before
    assert files(before) == content

    (home.published_dir / ".latest-cut-off").symlink_to("nowhere")
    publish.publish(run_of(DAY, home), home)
    assert latest(home) != before
    assert not list(home.published_dir.glob(".*"))


def sell_one_more(home, day):
    """One more unit in every order of a day, as a correction would have it."""
    with open_warehouse(home) as warehouse:
        warehouse.execute("update core.orders set units = units + 1 where ordered_date = $day", day=day)
        warehouse.execute("insert into state.unpublished values ($day)", day=day)


def assert_published(home):
    found = orders(home)
    assert all(rows == found["warehouse"] for rows in found.values())


def taken_over(home, old):
    """The months whose file is the one of the old publication."""
    files = {file.stem: file for file in (latest(home) / "orders").iterdir()}
    return sorted(month for month, file in files.items() if file.samefile(old / "orders" / file.name))


def test_months_without_a_change_are_taken_over(home):
    before = latest(home).resolve()
    sell_one_more(home, date(2025, 12, 24))
    publish.publish(run_of(DAY, home), home)
    assert_published(home)
    assert taken_over(home, before) == ["2025-11", "2026-01"]


def test_after_a_kill_at_the_very_end_nothing_is_taken_over(home, monkeypatch):
    """The warehouse does not know then which days are in the publication and which are not."""

    def killed(*_):
        raise KeyboardInterrupt

    sell_one_more(home, date(2025, 12, 24))
    with monkeypatch.context() as patch:
        patch.setattr(publish, "_remember", killed)
        with pytest.raises(KeyboardInterrupt):
            publish.publish(run_of(DAY, home), home)
    before = latest(home).resolve()
    sell_one_more(home, date(2025, 11, 30))
    publish.publish(run_of(DAY, home), home)
    assert_published(home)
    assert taken_over(home, before) == []


@pytest.mark.parametrize("other", ["name = '2026-01-30-of-a-copy'", "fingerprint = 'of older code'"])
def test_nothing_is_taken_over_from_another_warehouse_or_another_table(home, other):
    before = latest(home).resolve()
    with open_warehouse(home) as warehouse:
        warehouse.execute(f"update state.publication set {other}")
    change(home, 1)
    publish.publish(run_of(DAY, home), home)
    assert_published(home)
    assert taken_over(home, before) == []


def test_disk_that_takes_no_more_keeps_the_old_publication(home, monkeypatch):
    before = latest(home)
    change(home, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, "_write_pages", full)
    with pytest.raises(Retryable, match="No space left on device"):
        publish.publish(run_of(DAY, home), home)
    assert latest(home) == before
    assert not list(home.published_dir.glob(".*"))


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(home, number):
    """Make the next publication differ from the last."""
    with open_warehouse(home) as warehouse:
        warehouse.execute(f"update rules.tiers set from_points = from_points + {number + 1} where place = 4")


def test_reading_needs_a_publication(tmp_path):
    settings = load_settings(home=tmp_path, now=NOW)
    for ask in (lambda: reading.query("select 1", settings), lambda: reading.status(settings)):
        with pytest.raises(BadConfig, match="nothing is published yet"):
            ask()


def test_query_while_the_warehouse_is_held(shop):
    with open_warehouse(shop):
        assert reading.query("select max(day) as day from marts.daily_kpis", shop).to_pylist() == [{"day": DAY}]
    with pytest.raises(Permanent, match=r"Tables: .*marts\.daily_kpis"):
        reading.query("select * from raw.order_lines", shop)


def test_status(shop, tmp_path):
    (shop.home / "failures.jsonl").write_text('{"dag": "old"}\n' * 6 + '{"dag": "newest"}\n{"dag": "cut o')
    found = reading.status(shop)
    (shop.home / "failures.jsonl").unlink()
    assert found["day"] == "2026-01-31"
    assert {row["source"] for row in found["data_health"]} == set(ingest.source_names(shop)) - {"costs"}
    assert sum(found["tiers"].values()) == found["customers"]["customers"] > 100
    assert sum(found["churn_risk"].values()) == found["customers"]["buyers"]
    with open_ledger(shop) as ledger:
        planned = {frozen.campaign: frozen.counts for frozen in ledger.campaign_runs()}
    assert {name: decision["reasons"] for name, decision in found["decisions"].items()} == planned
    assert sum(found["messages"].values()) == sum(counts.get("send", 0) for counts in planned.values())
    assert [failure["dag"] for failure in found["failures"]] == ["newest", "old", "old", "old", "old"]


def test_explain_adds_up(shop):
    (customer,) = reading.query(
        "select customer_id from internal.decisions join marts.customer_360 using (customer_id)"
        " where reason = 'send' order by length(segments) desc, customer_id limit 1",
        shop,
    ).to_pylist()
    found = reading.explain(customer["customer_id"], shop)
    assert found["has_address"] is True
    assert {segment["segment"] for segment in found["segments"]} == set(found["profile"]["segments"].split(","))
    assert all(segment["rule"] and segment["since_day"] == DAY for segment in found["segments"])
    tier = found["tier"]
    assert tier["tier"] == found["profile"]["tier"]
    assert max(sum(entry["qualifying_points"] for entry in tier["entries"]), 0) == tier["qualifying_points"]
    assert sum(entry["points"] for entry in tier["entries"]) == found["profile"]["points_balance"]
    assert tier["qualifying_points"] >= tier["from_points"]
    assert f"{tier['qualifying_points']} points earned in 365 days" in tier["why"]
    assert found["churn"]["churn_risk"] == found["profile"]["churn_risk"]
    assert f"Silent for {found['profile']['recency_days']} days" in found["churn"]["why"]
    assert {"send"} == {row["reason"] for row in found["decisions"] if row["why"] == "Gets the mail"}
    (message,) = found["messages"]
    assert (message["state"], message["send_day"]) == ("queued", date(2026, 2, 1))
    assert "address" not in message


def test_explain_somebody_who_never_bought(shop):
    (customer,) = reading.query(
        "select customer_id from marts.customer_360 where orders = 0 order by customer_id limit 1", shop
    ).to_pylist()
    found = reading.explain(customer["customer_id"], shop)
    assert found["churn"] == {"churn_risk": "low", "why": "Has never bought, so cannot be lost."}
    assert found["messages"] == []


def test_explain_nobody(shop):
    with pytest.raises(BadConfig, match="'x' is not in the publication of 2026-01-31"):
        reading.explain("x", shop)
