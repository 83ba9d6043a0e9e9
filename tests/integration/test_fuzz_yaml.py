"""Every key of every YAML file of the intake and the rules, missing or of another value: it works, or it is told."""

import shutil

import pytest
import yaml
from command import INCLUDE
from mutations import documents

from perennial.campaigns.contact_policy import load_contact_policy
from perennial.campaigns.festivals import load_festivals
from perennial.campaigns.laws import load_laws
from perennial.campaigns.seeds import load_seeds
from perennial.campaigns.topics import load_topics
from perennial.churn.rules import load_churn_rules
from perennial.contracts import load_contract
from perennial.contracts.staging import staging_sql
from perennial.customers.identity import load_identity_rules
from perennial.foundation.errors import BadConfig, PerennialError
from perennial.foundation.settings import load_settings
from perennial.loyalty.rules import load_loyalty_rules
from perennial.metrics.rules import load_metric_rules
from perennial.quality import load_intake_rules
from perennial.segments.definitions import load_segments
from perennial.segments.rfm import load_rfm_map
from perennial.sources import load_source, open_scratch, parse, take

READERS = {
    "sources/*": load_source,
    "expectations/*": lambda name, settings: staging_sql(load_contract(name, settings)),
    "rules/churn": lambda _, settings: load_churn_rules(settings),
    "rules/contact_policy": lambda _, settings: load_contact_policy(settings),
    "rules/festivals": lambda _, settings: load_festivals(settings),
    "rules/identity": lambda _, settings: load_identity_rules(settings),
    "rules/intake": lambda _, settings: load_intake_rules(settings),
    "rules/laws": lambda _, settings: load_laws(settings),
    "rules/loyalty": lambda _, settings: load_loyalty_rules(settings).tables(),
    "rules/metrics": lambda _, settings: load_metric_rules(settings),
    "rules/rfm": lambda _, settings: load_rfm_map(settings).rows(),
    "rules/seeds": lambda _, settings: load_seeds(["win_back"], settings),
    "rules/segments": lambda _, settings: load_segments(settings),
    "rules/topics": lambda _, settings: load_topics(settings),
}
FILES = sorted(
    path.relative_to(INCLUDE)
    for room in ("sources", "expectations", "rules")
    for path in INCLUDE.glob(f"{room}/*.yaml")
)


@pytest.fixture(scope="module")
def include(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "include"
    for room in ("sources", "expectations", "rules"):
        shutil.copytree(INCLUDE / room, folder / room)
    return folder


@pytest.mark.parametrize("file", FILES, ids=str)
def test_any_key_missing_or_of_another_value_works_or_is_told(include, file):
    read = READERS.get(str(file.with_suffix(""))) or READERS[f"{file.parent}/*"]
    settings = load_settings(include=include)
    path = include / file
    text = path.read_text(encoding="utf-8")
    wrong = []
    for keys, document in documents(yaml.safe_load(text)):
        path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper), encoding="utf-8")
        try:
            read(file.stem, settings)
        except BadConfig as error:
            if str(path) not in str(error) or not any(str(key) in str(error) for key in keys):
                wrong.append((keys, str(error)[:300]))
        except Exception as error:  # noqa: BLE001 - whatever else it is
            wrong.append((keys, repr(error)[:200]))
    path.write_text(text, encoding="utf-8")
    assert wrong == []


EVERYTHING = """
source: shop
contract: order_lines
path: shop/*.csv
format: csv
csv: {delimiter: ","}
encodings: [utf-8, cp1252]
timezone: Europe/Berlin
country: DE
formats: {ordered_at: ["%Y-%m-%d"]}
columns:
  order_id: order_id
  ordered_at: ordered_at
  phone: phone
  customer_ref: [customer_ref, customer]
  quantity: quantity
  unit_price: {sql: "replace(price, ',', '.')"}
deleted: is_void
max_refused: 0.2
identical_rows: duplicates
known_forms: {order_id: ["9"]}
stale_after: 2
required: false
"""
FILE = (
    "order_id,ordered_at,phone,customer_ref,quantity,price,is_void\n1,2026-01-05,030 1234567,c1,1,9.90,\n2,,,,,,yes\n"
)


def test_a_source_file_that_is_taken_can_be_used(include, tmp_path):
    path = include / "sources" / "shop.yaml"
    settings = load_settings(home=tmp_path, include=include, now="2026-02-01T09:30:00+01:00")
    (settings.inbox_dir / "shop").mkdir(parents=True)
    (settings.inbox_dir / "shop" / "a.csv").write_text(FILE)
    wrong, worked = [], 0
    for keys, document in documents(yaml.safe_load(EVERYTHING), loads=500):
        path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper), encoding="utf-8")
        shutil.rmtree(settings.landing_dir, ignore_errors=True)
        try:
            source = load_source("shop", settings)
            with open_scratch(source.timezone, settings) as scratch:
                entries = take(source, settings)
                batch = parse(scratch, source, entries, settings)
                scratch.connection.execute("create table findings (_id bigint, reasons text[])")
                counts = batch.counts("findings", settings.zone)
                assert len(counts) + len(batch.refused) == len(entries)
            worked += 1
        except PerennialError as error:
            if "shop" not in str(error):
                wrong.append((keys, document, str(error)[:300]))
        except Exception as error:  # noqa: BLE001 - whatever else it is
            wrong.append((keys, document, repr(error)[:200]))
    path.unlink()
    assert wrong == []
    assert worked > 20
