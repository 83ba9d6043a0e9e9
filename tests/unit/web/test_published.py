"""Published pages for who may read them: found by day and name only, and nothing else of the folder or the disk."""

from datetime import date

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from html_pages import Page, outside_requests
from perennial.flows.publications import PAGES
from perennial.web.published import create_published_app

DAYS = {"today": date(2026, 1, 31), "kept": date(2026, 1, 30), "gone": date(2026, 1, 2), "tomorrow": date(2026, 2, 1)}


@pytest.fixture
def home(tmp_path):
    """Two publications; that of the newer day was made twice."""
    home = tmp_path / "published"
    for name in ("2026-01-30-aaa", "2026-01-31-bbb", "2026-01-31-ccc"):
        (home / name).mkdir(parents=True)
        for page in PAGES:
            (home / name / page).write_text(f"{page} of {name}")
        (home / name / "perennial.duckdb").write_text("secret")
    (home / "latest").symlink_to("2026-01-31-bbb")
    (tmp_path / "secret.html").write_text("secret")
    return home


@pytest.fixture
def asked():
    """What the app was asked about whom."""
    return []


@pytest.fixture
def client(home, asked):
    def may_read():
        asked.append("pages")

    def may_read_run(dag_id: str):
        asked.append(dag_id)
        if dag_id == "theirs":
            raise HTTPException(403)

    app = create_published_app(lambda: home, lambda _, run: DAYS.get(run), may_read, may_read_run)
    return TestClient(app, root_path="/perennial", follow_redirects=False)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_a_day_and_of_the_newest(client, page):
    assert client.get(f"/2026-01-30/{page}").text == f"{page} of 2026-01-30-aaa"
    for day in ("latest", "2026-01-31"):
        answer = client.get(f"/{day}/{page}")
        assert answer.text == f"{page} of 2026-01-31-bbb"  # the link says which of the day's is the newest
        assert answer.headers["content-type"].startswith("text/html")


def test_a_run_leads_to_the_quality_page_of_its_day(client, asked):
    for run in ("today", "kept"):
        answer = client.get(f"/runs/ours/{run}")
        assert answer.status_code == 307
        assert answer.headers["location"] == f"/perennial/{DAYS[run]}/quality.html"
    assert asked == ["ours", "ours"]


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("of no day", "This run is about no day"),
        ("manual__2026-02-01T00:00:00+00:00/x", "This run is about no day"),
        ("gone", "There is no page of 2 Jan 2026 The last 3 publications are kept."),
        ("tomorrow", "1 Feb 2026 is not published yet"),
    ],
)
def test_a_run_without_a_page_says_why_and_where_the_newest_is(client, run, said):
    answer = client.get(f"/runs/ours/{run}")
    page = Page(answer.text)
    assert answer.status_code == 404
    assert said in page.text
    assert page.links == {"/perennial/latest/quality.html"}
    assert "The newest page, of 31 Jan 2026" in page.text
    assert outside_requests(answer.text) == []


def test_nothing_is_published_yet(client, home):
    (home / "latest").unlink()
    home.rename(home.with_name("elsewhere"))
    for path in ("/latest/report.html", "/2026-01-31/report.html", "/runs/ours/today"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "Nothing is published yet" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/latest/perennial.duckdb",
        "/latest/manifest.json",
        "/latest/..%2f..%2fsecret.html",
        "/..%2f..%2f/secret.html",
        "/..%2Flatest/report.html",
        "/2026-01-31-bbb/report.html",
        "/*/report.html",
        "/2026-01-3?/report.html",
        "/latest/%00",
        "/latest/",
        "/",
        "/docs/index.html",
        "/openapi.json",
    ],
)
def test_no_other_path_leads_anywhere(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_who_may_not_is_refused_before_anything_is_looked_at(client):
    answer = client.get("/runs/theirs/today")
    assert answer.status_code == 403
    assert "location" not in answer.headers


def test_only_a_page_that_frames_itself_may_hold_it_and_nothing_runs_in_it(client):
    for path in ("/latest/report.html", "/runs/ours/gone", "/runs/ours/today", "/nothing/at all"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "private, no-cache"


def test_it_only_reads(client):
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)("/latest/report.html").status_code == 405
