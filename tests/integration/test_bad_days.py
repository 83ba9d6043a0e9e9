"""
Bad days, seen from outside: a clear word about what is wrong, nothing lost, and all there once when it is mended.

What each room makes of each mistake is tried in its own tests.
"""

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest
import yaml
from smtp_servers import smtp_server

from contents import copies, messages, tables
from outbox import CAMPAIGN, DAY, NOW, freeze, later, new_message, run_in, settings_in
from perennial.flows import demo, reading
from perennial.flows.day import steps
from perennial.flows.validate import checks
from perennial.foundation.days import Origin, Run, run_of, yesterday
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings
from perennial.ledger import NewTemplate, open_ledger
from perennial.warehouse import open_warehouse

FIRST, LAST = date(2025, 12, 1), date(2026, 1, 21)
TODAY = date(2026, 1, 22)  # a Thursday on which every daily source brings a file
INCLUDE = load_settings().include


def perennial(home, *arguments, **environment):
    """The command as a person runs it; whatever happens, it shows neither a traceback nor an address."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("perennial"), *arguments],
        env=inherited | {"PERENNIAL_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert not re.search(r"\w@\w", done.stdout + done.stderr)
    return done


def refused(done, *words):
    """It ended with an error that says all of this."""
    assert done.returncode == 1, done.stdout
    assert "Error: " in done.stderr
    for word in words:
        assert word in done.stderr


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def run_newest_day(settings):
    for _, step in steps(run_of(yesterday(settings), settings), settings):
        step()


def copy_of(home, tmp_path, name="home"):
    shutil.copytree(home, tmp_path / name, symlinks=True)
    return load_settings(home=tmp_path / name)


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    """A home with a shop of two months whose last day was run. Not to be written to: copy it."""
    settings = load_settings(home=tmp_path_factory.mktemp("evening") / "home")
    demo.build(settings, 500, FIRST, LAST)
    settings = load_settings(home=settings.home)
    run_newest_day(settings)
    return settings.home


@pytest.fixture(scope="module")
def morning(evening, tmp_path_factory):
    """The same home when the files of the next day have arrived."""
    settings = demo.advance(copy_of(evening, tmp_path_factory.mktemp("morning")))
    assert yesterday(settings) == TODAY
    return settings.home


@pytest.fixture(scope="module")
def good_day(morning, tmp_path_factory):
    """The same home after a run of that day in which nothing went wrong."""
    settings = copy_of(morning, tmp_path_factory.mktemp("good_day"))
    run_newest_day(settings)
    return settings


@pytest.fixture
def include(tmp_path):
    """A copy of every file that people edit, to be spoilt."""
    shutil.copytree(INCLUDE, tmp_path / "include")
    return tmp_path / "include"


def spoil(file, before, after):
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1), encoding="utf-8")


# Files.


def missing_column(content):
    return content.replace(b",created,", b",creatd,", 1)


def one_wrong_type(content):
    first, second, *others = content.splitlines(keepends=True)
    return b"".join([first, json.dumps(json.loads(second) | {"ts": "gestern"}).encode() + b"\n", *others])


def only_wrong_types(content):
    header, *rows = content.splitlines()
    return b"\n".join([header, *(b";".join([*row.split(b";")[:9], b"zwei", *row.split(b";")[10:]]) for row in rows)])


BAD_FILES = {  # file -> what happened to it, and what a person is told about it
    f"web_orders/{TODAY}.csv": (missing_column, "column 'created' is missing, from which ordered_at is read"),
    f"store_tills/{TODAY}.csv": (only_wrong_types, "Held whole: 7 of 7 rows break critical rules, allowed is 20%"),
    f"web_interactions/{TODAY}.jsonl": (one_wrong_type, None),
    f"app_interactions/{TODAY}.jsonl.gz": (lambda content: content[:-20], "truncated or damaged"),
    f"support_desk/{TODAY}.jsonl": (
        lambda _: b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "not readable as text (utf-8: byte 0 in line 1 is 0x89)",
    ),
    f"customers/{TODAY}.csv": (lambda _: b"", "is empty, without even a header"),
}
NO_ROWS = f"products/{TODAY}.csv"
COPY = f"consents/{TODAY}.jsonl"  # an earlier file, once more
FACTS = ("core.", "customers.", "loyalty.", "segments.", "churn.", "marts.")
ABOUT_FILES_AND_MAIL = {"core.file_fates", "core.file_waits", "marts.data_health", "marts.campaign_performance"}


def files(settings):
    """(file, version) -> (status, rows landed, rows found in some place), counted from the rows themselves."""
    staged = " union all ".join(
        f"select _source, _file, _version from staging.{contract}"
        for contract in ("order_lines", "customers", "interactions", "products", "consents", "costs")
    )
    with duckdb.connect(str(settings.home / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            f"""
            with placed (source, file, version) as (
                {staged}
                union all select source, file, version from quarantine.rows
                union all select source, file, version from core.file_waits, range(waiting_rows)
            )
            select files.file, files.version, files.status, files.rows, count(placed.file)
            from raw.files as files left join placed using (source, file, version)
            group by all
            """
        ).fetchall()
    return {(file, version): (status, landed, placed) for file, version, status, landed, placed in rows}


def accounted_for(settings):
    """Every row that landed is in exactly one place: by the published table, and by counting."""
    health = reading.query("select * from marts.data_health", settings).to_pylist()
    places = ("current", "superseded", "duplicate", "quarantined", "held", "refused")
    assert {row["source"] for row in health} == {path.stem for path in (INCLUDE / "sources").glob("*.yaml")}
    for row in health:
        assert row["landed"] == sum(row[place] for place in places), row
    counted = files(settings)
    for (file, version), (status, landed, placed) in counted.items():
        assert placed == (landed if status == "loaded" else 0), (file, version)
    assert sum(row["landed"] for row in health) == sum(landed for _, landed, _ in counted.values())
    return {row["source"]: row for row in health if row["day"] == yesterday(settings)}


def landed_versions(settings, file):
    manifest = settings.landing_dir / file.split("/")[0] / "manifest.jsonl"
    entries = [json.loads(line) for line in manifest.read_text().splitlines()]
    return [(settings.landing_dir / entry["path"]).read_bytes() for entry in entries if entry["file"] == file]


@pytest.mark.slow
def test_a_day_on_which_every_file_is_bad(morning, good_day, tmp_path):
    settings = copy_of(morning, tmp_path)
    right = {file: (settings.inbox_dir / file).read_bytes() for file in (*BAD_FILES, COPY)}
    for file, (damage, _) in BAD_FILES.items():
        (settings.inbox_dir / file).write_bytes(damage(right[file]))
        assert (settings.inbox_dir / file).read_bytes() != right[file]
    original = sorted((settings.inbox_dir / "consents").iterdir())[-2]
    shutil.copy(original, settings.inbox_dir / COPY)
    header = next((settings.inbox_dir / "products").iterdir()).read_bytes().split(b"\n")[0]
    (settings.inbox_dir / NO_ROWS).write_bytes(header + b"\n")

    bad = perennial(settings.home, "run")
    assert bad.returncode == 0, bad.stderr
    status = perennial(settings.home, "status").stdout
    for file, (_, words) in BAD_FILES.items():
        if words:
            [line] = [line for line in bad.stderr.splitlines() if file in line]
            assert words in line
            assert any(f" {file}: " in line and words in line for line in status.splitlines())
    assert "correct the file or the mapping in sources/web_orders.yaml" in bad.stderr

    health = accounted_for(settings)
    assert {source: row["status"] for source, row in health.items()} == {
        "web_orders": "failed",
        "web_interactions": "degraded",
        "app_interactions": "failed",
        "support_desk": "failed",
        "store_tills": "failed",
        "customers": "failed",
        "consents": "ok",
        "products": "ok",
        "social": "ok",
    }
    assert (health["store_tills"]["held"], health["web_interactions"]["quarantined"]) == (7, 1)
    with open_warehouse(settings) as warehouse:
        [row] = warehouse.query(
            "select file, row, reasons, content from quarantine.rows where day = $day",
            day=TODAY,
        ).to_pylist()
        told = {
            file["file"]: (file["status"], file["rows"], file["reason"])
            for file in warehouse.query(
                "select file, status, rows, reason from raw.files where version = 1"
            ).to_pylist()
        }
    assert (row["file"], row["row"]) == (f"web_interactions/{TODAY}.jsonl", 2)
    assert json.loads(row["reasons"]) == ["readable: occurred_at"]
    assert json.loads(row["content"])["ts"] == "gestern"
    assert told[COPY] == ("duplicate", 0, f"The same content as consents/{original.name}.")
    assert told[NO_ROWS] == ("loaded", 0, None)

    for file, content in right.items():
        (settings.inbox_dir / file).write_bytes(content)
    run_newest_day(settings)
    accounted_for(settings)
    for file, content in right.items():
        assert landed_versions(settings, file)[1] == content
    expected, found = tables(good_day), tables(settings)
    facts = [table for table in expected if table.startswith(FACTS) and table not in ABOUT_FILES_AND_MAIL]
    assert len(facts) > 20
    assert [table for table in facts if found[table] != expected[table]] == []


# Everything that stops a run.


@pytest.mark.slow
def test_what_stops_a_run_is_told_and_when_it_is_mended_the_day_is_as_good_as_any(morning, good_day, tmp_path, include):
    settings = copy_of(morning, tmp_path)
    home, before = settings.home, (messages(settings), copies(settings))
    given = {"PERENNIAL_INCLUDE": str(include)}

    with open_warehouse(settings):
        busy = perennial(home, "run", PERENNIAL_LOCK_TIMEOUT="0.2")
    refused(busy, str(home / "warehouse.duckdb"), f"pid {os.getpid()}", "raise PERENNIAL_LOCK_TIMEOUT")

    rules = include / "rules" / "loyalty.yaml"
    spoil(rules, "from_points: 250", "from_points: many")
    refused(perennial(home, "run", **given), f"{rules}: field tiers.1.from_points", "(got 'many')")
    spoil(rules, "from_points: many", "from_points: 250")

    template = include / "templates" / "tier_upgrade" / "en" / "body.mjml.j2"
    spoil(template, "{{ first_name }}", "{{ products[0].colour }}")
    refused(perennial(home, "run", **given), "tier_upgrade/en/a: the html part cannot be rendered: ", "colour")
    spoil(template, "{{ products[0].colour }}", "{{ first_name }}")

    smtp = {"PERENNIAL_DELIVERY": "smtp", "PERENNIAL_SMTP_PORT": str(closed_port())}
    refused(perennial(home, "run", **smtp), "A demo run sends to the local mailbox only", "PERENNIAL_DELIVERY=mailbox")

    assert (messages(settings), copies(settings)) == before
    run_newest_day(settings)
    assert (tables(settings), messages(settings), copies(settings)) == (
        tables(good_day),
        messages(good_day),
        copies(good_day),
    )


@pytest.mark.slow
def test_two_runs_at_once_wait_for_each_other_and_end_as_one(morning, good_day, tmp_path):
    settings = copy_of(morning, tmp_path)
    command = [Path(sys.executable).with_name("perennial"), "run"]
    both = [
        subprocess.Popen(
            command,
            env=os.environ | {"PERENNIAL_HOME": str(settings.home), "PERENNIAL_LOCK_TIMEOUT": "300"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [(process.communicate()[1], process.returncode) for process in both] == [("", 0), ("", 0)]
    assert (tables(settings), messages(settings), copies(settings)) == (
        tables(good_day),
        messages(good_day),
        copies(good_day),
    )


# The ledger.


@pytest.mark.slow
def test_an_old_ledger_put_back_blocks_the_run_until_somebody_answers_for_it(morning, good_day, tmp_path):
    settings = copy_of(good_day.home, tmp_path)
    ledger = settings.ledger_dir / "ledger.sqlite"
    with sqlite3.connect(morning / "ledger" / "ledger.sqlite") as old, sqlite3.connect(ledger) as put_back:
        old.backup(put_back)
    assert len(messages(settings)) < len(messages(good_day))

    blocked = perennial(settings.home, "run")
    refused(
        blocked,
        str(settings.home / "ledger.mark"),
        "an old copy was put back",
        "perennial ledger reconcile --by <your name>",
    )
    refused(perennial(settings.home, "deliver"), "an old copy was put back")
    assert copies(settings) == copies(good_day)

    assert perennial(settings.home, "ledger", "reconcile").returncode == 2  # by whom?
    assert perennial(settings.home, "ledger", "reconcile", "--by", "me").returncode == 0
    run_newest_day(settings)
    assert (tables(settings), messages(settings), copies(settings)) == (
        tables(good_day),
        messages(good_day),
        copies(good_day),
    )


def test_no_run_is_live_under_the_demo_clock(tmp_path):
    done = perennial(tmp_path / "home", "run", "--origin", "live", PERENNIAL_NOW=NOW, PERENNIAL_DELIVERY="smtp")
    refused(done, "Under the demo clock (PERENNIAL_NOW, or ", "no run is live")
    assert not (tmp_path / "home").exists()


def test_an_unreachable_mail_server_is_named_and_the_mails_go_out_once_when_it_is_back(tmp_path):
    settings = settings_in(tmp_path, delivery="smtp")
    queued = [new_message(number, settings) for number in range(5)]
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=len(queued))
        ledger.queue(Run(DAY, Origin.LIVE), CAMPAIGN, "smtp", queued)

    def deliver(port, settings):
        return perennial(
            tmp_path,
            "deliver",
            PERENNIAL_NOW=settings.now.isoformat(),
            PERENNIAL_DELIVERY="smtp",
            PERENNIAL_SMTP_PORT=str(port),
        )

    port = closed_port()
    refused(deliver(port, settings), f"SMTP server 127.0.0.1:{port} cannot be reached", "PERENNIAL_SMTP_HOST")
    assert list(messages(settings).values()) == ["retry"] * len(queued)

    back = later(settings, hours=1)
    with smtp_server() as server:
        for _ in range(2):
            assert deliver(server.port, back).returncode == 0
    assert list(messages(settings).values()) == ["accepted"] * len(queued)
    sent = [re.search(rb"(?m)^X-Perennial-Message: (\S+)", body)[1].decode() for body in server.taken]
    assert sorted(sent) == sorted(messages(settings))


# Templates.


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        (
            "win_back/en/subject.b.txt.j2",
            None,
            "{{ nickname }}, come back",
            "subject.b.txt.j2, line 1: undefined variable 'nickname'",
        ),
        (
            "tier_upgrade/zh-CN/body.mjml.j2",
            "{{ first_name }}",
            "{{ nickname }}",
            "body.mjml.j2, line 9: undefined variable 'nickname'",
        ),
        (
            "_shared/product_card.mjml.j2",
            "product.name",
            "product.title",
            "win_back/en/a: the html part cannot be rendered: ",
        ),
    ],
)
def test_validate_finds_an_undefined_variable_in_a_template(include, file, before, after, words):
    path = include / "templates" / file
    spoil(path, path.read_text(encoding="utf-8") if before is None else before, after)
    with pytest.raises(BadConfig) as told:
        check("campaigns", include)
    assert words in str(told.value)


def test_a_frozen_template_with_an_undefined_variable_fails_its_own_mails_only(tmp_path):
    settings = settings_in(tmp_path)
    broken = NewTemplate(CAMPAIGN, "en", "b", "{{ nickname }}, come back", "<p></p>", "")
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=3)
        ledger.freeze([], [broken], run_in(settings).origin)
        rows = [new_message(n, settings, **({"template_hash": broken.hash} if n == 1 else {})) for n in range(3)]
        ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows)
    done = perennial(tmp_path, "deliver", PERENNIAL_NOW=NOW)
    assert done.returncode == 0
    assert "win_back/en: the subject cannot be rendered: 'nickname' is undefined." in done.stderr
    states = messages(settings)
    assert sorted(states.values()) == ["accepted", "accepted", "failed"]
    assert copies(settings) == {message_id: 1 for message_id, state in states.items() if state == "accepted"}
    [failed] = (message_id for message_id, state in states.items() if state == "failed")
    assert f"Message {failed} cannot be written" in done.stderr


# YAML.

YAML = {  # file -> the check that reads it, and a value of a wrong type: (before, after, field, value as told)
    "sources/app_interactions.yaml": ("sources", "format: jsonl", "format: 7", "field format: ", "(got 7)"),
    "expectations/consents.yaml": (
        "contracts",
        "key: [customer_ref, email, channel, topic, recorded_at]",
        "key: 7",
        "field key: ",
        "(got 7)",
    ),
    "rules/segments.yaml": (
        "segments",
        "title: VIP",
        "title: [VIP]",
        "field segments.vip.title: ",
        "(got ['VIP'])",
    ),
    "rules/loyalty.yaml": (
        "rule books",
        "qualifying_days: 365",
        "qualifying_days: a year",
        "field qualifying_days: ",
        "(got 'a year')",
    ),
    "rules/churn.yaml": ("rule books", "high_at: 3.0", "high_at: much", "field high_at: ", "(got 'much')"),
    "rules/rfm.yaml": ("rule books", "Lost: [111,", "Lost: [lost,", "field segments.Lost.0: ", "(got 'lost')"),
    "rules/metrics.yaml": (
        "rule books",
        "final_after_days: 10",
        "final_after_days: 2026-01-01",
        "field final_after_days: ",
        "2026",
    ),
    "rules/contact_policy.yaml": (
        "rule books",
        "min_gap_days: 2",
        "min_gap_days: two",
        "field min_gap_days: ",
        "(got 'two')",
    ),
    "templates/win_back/campaign.yaml": ("campaigns", "priority: 40", "priority: high", "field priority: ", "'high'"),
}


def check(name, include):
    """One check of `perennial validate`."""
    return dict(checks(load_settings(include=include)))[name]()


def test_every_yaml_file_is_of_a_kind_tried_here():
    kinds = {path.split("/")[-2:][0] if "campaign.yaml" not in path else "campaign" for path in YAML}
    assert kinds == {"sources", "expectations", "rules", "campaign"}
    assert {f"rules/{path.name}" for path in (INCLUDE / "rules").iterdir()} <= set(YAML)
    assert {path.name for path in INCLUDE.rglob("*.y*ml") if path.parent.parent.name == "templates"} == {
        "campaign.yaml"
    }


@pytest.mark.parametrize("file", YAML)
def test_an_unknown_key_is_named_with_its_file_and_value(include, file):
    path = include / file
    path.write_text(path.read_text(encoding="utf-8") + "\nsuprise: 42\n", encoding="utf-8")
    with pytest.raises(BadConfig) as told:
        check(YAML[file][0], include)
    assert f"{path}: unknown field suprise (value 42). Remove it or correct its spelling." in str(told.value)


@pytest.mark.parametrize(
    ("file", "before", "after", "field"),
    [
        ("sources/app_interactions.yaml", "jsonl\n", "jsonl\ncsv: {delimitr: ;}\n", "csv.delimitr (value ';')"),
        (
            "expectations/consents.yaml",
            "{type: text}",
            "{type: text, requird: true}",
            "columns.customer_ref.requird (value True)",
        ),
        ("expectations/consents.yaml", "severity:", "severty:", "expectations.0.severty (value 'critical')"),
        ("rules/segments.yaml", "kind: value", "kind: value\n    owner: me", "segments.vip.owner (value 'me')"),
        ("rules/loyalty.yaml", "tier: leaf,", "tier: leaf, title: Leaf,", "tiers.1.title (value 'Leaf')"),
        ("rules/loyalty.yaml", "points: 20,", "points: 20, until: 2027,", "earning.2.until (value 2027)"),
        ("rules/contact_policy.yaml", "at_most: 3,", "at_most: 3, at_least: 1,", "promotional.at_least (value 1)"),
        (
            "templates/win_back/campaign.yaml",
            "{name: a}",
            "{name: a, wieght: 2}",
            "experiment.variants.0.wieght (value 2)",
        ),
    ],
)
def test_an_unknown_key_deep_inside_is_named_with_its_path(include, file, before, after, field):
    spoil(include / file, before, after)
    with pytest.raises(BadConfig) as told:
        check(YAML[file][0], include)
    assert f"{include / file}: unknown field {field}. " in str(told.value)


@pytest.mark.parametrize("file", YAML)
def test_a_value_of_a_wrong_type_is_named_with_its_file_and_field(include, file):
    kind, before, after, field, value = YAML[file]
    spoil(include / file, before, after)
    with pytest.raises(BadConfig) as told:
        check(kind, include)
    assert f"{include / file}: {field}" in str(told.value)
    assert value in str(told.value)


@pytest.mark.parametrize("file", YAML)
def test_a_key_written_twice_is_named_with_its_file_and_line(include, file):
    path = include / file
    text = path.read_text(encoding="utf-8")
    first = next(iter(yaml.safe_load(text)))
    path.write_text(f"{text}\n{first}: again\n", encoding="utf-8")
    with pytest.raises(BadConfig) as told:
        check(YAML[file][0], include)
    assert str(path) in str(told.value)
    assert f"key {first!r} is written twice" in str(told.value)
    assert f"line {text.count(chr(10)) + 2}," in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a mapping of fields at the top, got nothing"),
        ("- high_at", "expected a mapping of fields at the top, got list"),
        ("high_at: [1", "not readable as YAML"),
        ("high_at: {{ nickname }}", "line 1, column 11"),
        ("high_at: 2026-02-30", "2026-02-30 is not a date: day is out of range for month"),
        ("high_at: !!python/object/apply:os.getcwd []", "not readable as YAML"),
        ("high_at: &a [*a]", "not readable as YAML"),
        ("1: 2", "1"),
        (b"high_at: \xff\xfe", "not readable as YAML"),
        (b"high_at: \0", "not readable as YAML"),
    ],
)
def test_what_is_no_yaml_of_ours_is_told_with_its_file(include, text, words):
    path = include / "rules" / "churn.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadConfig) as told:
        check("rule books", include)
    assert str(path) in str(told.value)
    assert words in str(told.value)


def test_validate_tells_all_that_is_wrong_at_once(include, tmp_path):
    for file, field in (
        ("sources/web_orders.yaml", "max_refusd: 1"),
        ("rules/churn.yaml", "higher_at: 5"),
        ("templates/win_back/en/subject.txt.j2", "{{ nickname }}"),
    ):
        path = include / file
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{field}\n", encoding="utf-8")
    done = perennial(tmp_path / "home", "validate", PERENNIAL_INCLUDE=str(include))
    assert done.returncode == 1
    for words in (
        f"{include}/sources/web_orders.yaml: unknown field max_refusd (value 1)",
        f"{include}/rules/churn.yaml: unknown field higher_at (value 5)",
        f"{include}/templates/win_back/en/subject.txt.j2, line 3: ",
    ):
        assert words in done.stdout
    assert "ok      contracts" in done.stdout
    assert not (tmp_path / "home").exists()


# Settings.


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PERENNIAL_HOEM", "elsewhere", "Unknown setting PERENNIAL_HOEM. Known settings: PERENNIAL_HOME, "),
        ("PERENNIAL_SMTP_PASWORD", "hunter2", "Unknown setting PERENNIAL_SMTP_PASWORD"),
        ("PERENNIAL_SMTP_PORT", "none", "PERENNIAL_SMTP_PORT: "),
        ("PERENNIAL_TIMEZONE", "Berlin", "PERENNIAL_TIMEZONE: Value error, is not an IANA time zone"),
        ("PERENNIAL_NOW", "yesterday", "PERENNIAL_NOW: "),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_done(tmp_path, name, value, words):
    done = perennial(tmp_path / "home", "run", **{name: value})
    refused(done, words)
    assert "hunter2" not in done.stderr
    assert not (tmp_path / "home").exists()
