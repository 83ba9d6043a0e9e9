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

import pytest
from command import INCLUDE, perennial, refused, spoil
from smtp_servers import smtp_server

from accounts import accounted_for
from contents import copies, messages, tables
from homes import environment, reopened, run_newest_day
from outbox import CAMPAIGN, DAY, NOW, freeze, later, new_message, settings_in
from perennial.flows import demo
from perennial.foundation.days import Origin, Run, yesterday
from perennial.ledger import open_ledger
from perennial.warehouse import open_warehouse

FIRST, LAST = date(2025, 12, 1), date(2026, 1, 21)
TODAY = date(2026, 1, 22)  # a Thursday on which every daily source brings a file


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def told(settings):
    """What a run leaves behind."""
    return tables(settings), messages(settings), copies(settings)


@pytest.fixture(scope="module")
def evening(homes, tmp_path_factory):
    """A home with a shop of two months whose last day was run. Not to be written to: copy it."""
    settings = homes.settings(tmp_path_factory.mktemp("evening") / "home")
    demo.build(settings, 500, FIRST, LAST)
    settings = reopened(settings)
    run_newest_day(settings)
    return settings


@pytest.fixture(scope="module")
def morning(evening, homes, tmp_path_factory):
    """The same home when the files of the next day have arrived."""
    settings = demo.advance(homes.copy(evening, tmp_path_factory.mktemp("morning") / "home"))
    assert yesterday(settings) == TODAY
    return settings


@pytest.fixture(scope="module")
def good_day(morning, homes, tmp_path_factory):
    """The same home after a run of that day in which nothing went wrong."""
    settings = homes.copy(morning, tmp_path_factory.mktemp("good_day") / "home")
    run_newest_day(settings)
    return settings


on_files = pytest.mark.parametrize("homes", ["duckdb"], indirect=True)  # nothing of it hangs on the engine


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


def health_today(settings):
    """Source -> its row of `marts.data_health`; every row that landed is in exactly one place."""
    health = accounted_for(settings)
    assert {row["source"] for row in health} == {path.stem for path in (INCLUDE / "sources").glob("*.yaml")}
    return {row["source"]: row for row in health if row["day"] == yesterday(settings)}


def landed_versions(settings, file):
    manifest = settings.landing_dir / file.split("/")[0] / "manifest.jsonl"
    entries = [json.loads(line) for line in manifest.read_text().splitlines()]
    return [(settings.landing_dir / entry["path"]).read_bytes() for entry in entries if entry["file"] == file]


@pytest.mark.slow
@on_files
def test_a_day_on_which_every_file_is_bad(morning, good_day, homes, tmp_path):
    settings = homes.copy(morning, tmp_path / "home")
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

    health = health_today(settings)
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


@on_files
@pytest.mark.slow
def test_what_stops_a_run_is_told_and_when_it_is_mended_the_day_is_as_good_as_any(
    morning, good_day, homes, tmp_path, include
):
    settings = homes.copy(morning, tmp_path / "home")
    home, before = settings.home, (messages(settings), copies(settings))
    here = environment(settings)
    given = here | {"PERENNIAL_INCLUDE": str(include)}

    with open_warehouse(settings):
        busy = perennial(home, "run", **here, PERENNIAL_LOCK_TIMEOUT="0.2")
    refused(busy, "is being written by another process", f"pid {os.getpid()}", "raise PERENNIAL_LOCK_TIMEOUT")

    rules = include / "rules" / "loyalty.yaml"
    spoil(rules, "from_points: 250", "from_points: many")
    refused(perennial(home, "run", **given), f"{rules}: field tiers.1.from_points", "(got 'many')")
    spoil(rules, "from_points: many", "from_points: 250")

    template = include / "templates" / "tier_upgrade" / "en" / "body.mjml.j2"
    spoil(template, "{{ first_name }}", "{{ products[0].colour }}")
    refused(perennial(home, "run", **given), "tier_upgrade/en/a: the html part cannot be rendered: ", "colour")
    spoil(template, "{{ products[0].colour }}", "{{ first_name }}")

    smtp = here | {"PERENNIAL_DELIVERY": "smtp", "PERENNIAL_SMTP_PORT": str(closed_port())}
    refused(perennial(home, "run", **smtp), "A demo run sends to the local mailbox only", "PERENNIAL_DELIVERY=mailbox")

    assert (messages(settings), copies(settings)) == before
    run_newest_day(settings)
    assert told(settings) == told(good_day)


@pytest.mark.slow
def test_two_runs_at_once_wait_for_each_other_and_end_as_one(morning, good_day, homes, tmp_path):
    settings = homes.copy(morning, tmp_path / "home")
    command = [Path(sys.executable).with_name("perennial"), "run"]
    both = [
        subprocess.Popen(
            command,
            env=os.environ | environment(settings) | {"PERENNIAL_LOCK_TIMEOUT": "300"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [(process.communicate()[1], process.returncode) for process in both] == [("", 0), ("", 0)]
    assert told(settings) == told(good_day)


# The ledger.


@pytest.mark.slow
@on_files
def test_an_old_ledger_put_back_blocks_the_run_until_somebody_answers_for_it(morning, good_day, homes, tmp_path):
    settings = homes.copy(good_day, tmp_path / "home")
    ledger = settings.ledger_dir / "ledger.sqlite"
    with sqlite3.connect(morning.ledger_dir / "ledger.sqlite") as old, sqlite3.connect(ledger) as put_back:
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
    assert told(settings) == told(good_day)


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
