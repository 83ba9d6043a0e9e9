"""The quality page, on both engines: every check with its history, every file with its fate, no value of any row."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from html_pages import Page, outside_requests
from perennial.contracts import load_contracts
from perennial.flows import publish
from perennial.flows.raw_tables import CHECKS, FILES, as_arrow, create_raw_tables
from perennial.foundation.settings import load_settings
from perennial.metrics.report import About

DAY = date(2026, 1, 31)
ABOUT = About(DAY, "Ada & Bob <Garden>", "EUR")
EVIL = "<script>alert(1)</script>&\"'"
RULE = "quantity_not_zero"
FATES = {"source": "text", "file": "text", "version": "bigint"}


@pytest.fixture(scope="module")
def empty(warehouses):
    """A warehouse in which nothing was loaded."""
    warehouse = warehouses.empty()
    create_raw_tables(warehouse, [])
    counts = dict.fromkeys(("current_rows", "duplicate_rows", "superseded_rows"), "bigint")
    warehouse.create("core.file_fates", FATES | counts)
    warehouse.create("core.file_waits", FATES | {"waiting_rows": "bigint"})
    rows = dict.fromkeys(("landed", "current", "superseded", "duplicate", "quarantined", "held", "refused"), "bigint")
    warehouse.create(
        "marts.data_health", {"source": "text", "day": "date", **rows, "status": "text", "failing_check": "text"}
    )
    yield warehouse
    warehouse.close()


@pytest.fixture(scope="module")
def html(empty):
    """A source with trouble, one with a name that wants to break out, and several that never brought anything."""
    days = [DAY - timedelta(days=age) for age in range(100)]  # more than the page shows
    checks = [check(day, RULE, rows=200, failed=3 if age in (0, 10) else 0) for age, day in enumerate(days) if age != 5]
    checks += [
        check(DAY, RULE, rows=100, failed=0),  # a second batch of the day
        check(DAY - timedelta(5), "framing"),  # the day was run, and brought no rows for the rule
        check(DAY, "volume", "warning", rows=5, failed=1, detail="5 rows; usually 60", batch_id=0),
        check(DAY, "missing_columns", "warning", rows=300, passed=False, detail="some files have no column"),
        check(DAY, "left_the_contract", "info", rows=300, failed=30),
        check(DAY, EVIL, rows=10, failed=10, detail=EVIL, source=EVIL),
    ]
    empty.append("raw.checks", as_arrow(checks, CHECKS))
    files = [
        file("a.csv", rows=197, quarantined=3),
        file("b.csv", "held", reason=EVIL, rows=40),
        file("c.csv", "refused", day=DAY - timedelta(3), reason="Not a CSV."),
        file("mended.csv", "refused", day=DAY - timedelta(3)),
        file("mended.csv", day=DAY - timedelta(2), version=2, rows=7),
        *(file(f"quiet/{number:02}.csv", rows=1) for number in range(30)),
        file("evil.csv", source=EVIL, contract="gone", day=DAY - timedelta(1)),
    ]
    empty.append("raw.files", as_arrow(files, FILES))
    empty.execute("insert into core.file_fates values ('till', 'a.csv', 1, 150, 4, 30)")
    empty.execute("insert into core.file_waits values ('till', 'a.csv', 1, 10)")
    for reasons, number, day in (('["framing"]', 2, DAY), (f'["{RULE}", "sku_present"]', 5, DAY - timedelta(9))):
        for row in range(number):
            empty.execute(
                "insert into quarantine.rows (source, file, version, row, batch_id, day, reasons, content)"
                " values ('till', 'a.csv', 1, $row, 1, $day, $reasons, $content)",
                row=row,
                day=day,
                reasons=reasons,
                content='{"email": "ann@example.com"}',
            )
    empty.execute(
        "insert into marts.data_health values ('till', $day, 300, 150, 30, 4, 3, 50, 0, 'failed', $rule)",
        day=DAY,
        rule=RULE,
    )
    return publish.quality_page(empty, ABOUT, load_settings())


def check(day, rule, severity="critical", source="till", **given):
    filled = {"batch_id": 1, "rows": 0, "failed": 0, "passed": not given.get("failed"), "detail": ""}
    return (
        {"source": source, "contract": "order_lines", "day": day, "rule": rule, "severity": severity} | filled | given
    )


def file(name, status="loaded", **given):
    filled = {"source": "till", "contract": "order_lines", "version": 1, "day": DAY, "reason": None, "quarantined": 0}
    stamps = {"sha256": "", "bytes": 0, "landed_at": datetime(2026, 2, 1, tzinfo=UTC), "batch_id": 1, "rules": ""}
    return {"file": name, "status": status, "rows": 0, "accepted": 0, "newest_day": None} | filled | stamps | given


def row_of(html, name, heading="<code>{}</code>"):
    """The text of the table row that begins with this name."""
    (found,) = re.findall(rf'<tr[^>]*><th scope="row"[^>]*>{re.escape(heading.format(name))}.*?</tr>', html, re.DOTALL)
    return Page(found).text


def test_a_check_shows_its_day_and_its_history(html):
    text = row_of(html, RULE)
    assert text.startswith(f"{RULE} quantity is not 0. critical failed 300 3 1.00 %")
    assert (
        "90 days checked: 2 failed, at most 1.50 % on 21 Jan 2026" in text
    )  # 91 shown, one of them without rows; the 9 before are left out
    assert "; first failed 21 Jan 2026, last passed 30 Jan 2026" in text


def test_the_strip_tells_failed_passed_silent_and_not_run_apart(html):
    (drawn,) = re.findall(rf'aria-label="History of {RULE}, .*?</svg>', html, re.DOTALL)
    bars = {kind: path.count("M") for kind, path in re.findall(r'<path class="(\w+)" d="([^"]*)"', drawn)}
    assert bars == {"passed": 88, "failed": 2, "silent": 1}
    (other,) = re.findall(r'aria-label="History of volume, .*?</svg>', html, re.DOTALL)
    bars = {kind: path.count("M") for kind, path in re.findall(r'<path class="(\w+)" d="([^"]*)"', other)}
    assert bars == {"failed": 1, "silent": 90}


def test_every_rule_of_the_suite_is_shown_in_its_order_between_the_others(html):
    names = re.findall(r'<th scope="row" role="rowheader"><code>([a-z_]+)</code><div class="note">', html)
    suite = [rule.rule for rule in load_contracts(load_settings())["order_lines"].expectations]
    assert names == ["volume", "framing", "missing_columns", *suite, "left_the_contract"]
    assert "not checked" in row_of(html, "channel_known")


def test_a_verdict_about_the_day_has_no_share(html):
    assert "warning failed 5 rows; usually 60 5 1 \N{EN DASH} 1 day checked: 1 failed; first" in row_of(html, "volume")
    assert "failed some files have no column 300 0 \N{EN DASH}" in row_of(html, "missing_columns")
    assert "info failed 300 30 10.00" in row_of(html, "left_the_contract")


def test_files_show_their_fates_and_those_that_need_somebody_stand_first(html):
    files = re.findall(r'<th scope="row"><code>([^<]*\.csv)</code>', html)
    assert files[:3] == ["b.csv", "c.csv", "a.csv"]
    assert "mended.csv" not in html
    assert row_of(html, "a.csv") == "a.csv loaded 197 150 30 4 3 10 0"
    assert row_of(html, "c.csv").startswith("c.csv of 28 Jan 2026, not mended yet refused Not a CSV.")
    assert "And 8 more" in Page(html).text  # 33, of which 25 are shown


def test_quarantine_is_counted_by_reasons_with_the_command_to_look(html):
    assert row_of(html, f"{RULE}, sku_present") == f"{RULE}, sku_present 5 0 1 22 Jan 2026 22 Jan 2026"
    assert row_of(html, "framing", '<code>{}</code></th><td class="n">2') == "framing 2 2 1 31 Jan 2026 31 Jan 2026"
    assert "perennial quarantine show till" in Page(html).text
    assert "perennial quarantine replay till" in Page(html).text
    assert "ann@example.com" not in html


def test_a_source_that_never_brought_anything_says_so(html):
    assert "web_orders no files" in Page(html).text
    assert html.count("No file has come yet.") == 9


def test_page_stands_alone_and_nothing_breaks_out(html):
    assert outside_requests(html) == []
    page = Page(html)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = page.links
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert {link for link in links if not link.startswith("#")} == {"report.html", "dictionary.html"}
    assert "<script" not in html
    assert page.text.count("<script>alert(1)</script>") >= 5  # source, rule, detail, a file's reason: as they are
    assert "Ada & Bob <Garden>" in page.text


def test_page_can_be_read_by_a_program_that_reads_aloud(html):
    page = Page(html)
    assert page.tags.count("h1") == 1
    assert all(scope for tag, name, scope in page.attributes if tag == "th" and name == "scope")
    assert page.tags.count("th") == len([1 for tag, name, _ in page.attributes if tag == "th" and name == "scope"])
    drawings = re.findall(r"<svg [^>]*>", html)
    assert all('role="img" aria-label="' in svg or 'aria-hidden="true"' in svg for svg in drawings)


def test_same_tables_give_the_same_page(empty, html):
    assert publish.quality_page(empty, ABOUT, load_settings()) == html
    assert len(html.encode()) < 200_000
