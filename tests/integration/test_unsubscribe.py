"""Unsubscribing over real HTTP."""

import pytest
from website import call as _call
from website import recorded, served

from outbox import fill, settings_in
from perennial.delivery.tokens import seal, signing_secret
from perennial.ledger import open_ledger
from perennial.web.choices import MAX_BODY


@pytest.fixture
def settings(tmp_path, ledger_url):
    settings = settings_in(tmp_path, ledger=ledger_url)
    with open_ledger(settings) as ledger:
        fill(ledger, settings, 2)
    return settings


@pytest.fixture
def site(settings):
    with served(settings) as address:
        yield address


def _token(settings, customer="c0"):
    with open_ledger(settings) as ledger:
        (message,) = ledger.messages_of(customer)
    return seal(message["message_id"], signing_secret(settings))


def _recorded(settings):
    with open_ledger(settings) as ledger:
        return recorded(ledger, "suppressions", "consents", "message_events")


def test_looking_changes_nothing(site, settings):
    for _ in range(2):
        status, page, headers = _call(f"{site}/unsubscribe/{_token(settings)}")
        assert status == 200
        assert '<form method="post">' in page
        assert '<html lang="en">' in page
        assert "mail.example" not in page
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert _recorded(settings) == {"suppressions": [], "consents": [], "message_events": []}


@pytest.mark.parametrize(
    ("accept", "lang", "word"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "退订"),
        ("de,en;q=0.5,zh;q=0.4", "en", "Unsubscribe"),
        ("fr;q=x, ,;;", "en", "Unsubscribe"),
    ],
)
def test_the_page_speaks_the_readers_language(site, settings, accept, lang, word):
    _, page, _ = _call(f"{site}/unsubscribe/{_token(settings)}", Accept_Language=accept)
    assert f'<html lang="{lang}">' in page
    assert word in page


@pytest.mark.parametrize(
    ("body", "content_type", "method"),
    [
        (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded", "one_click"),
        (
            b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            "one_click",
        ),
        (b"confirm=yes", "application/x-www-form-urlencoded", "page"),
    ],
)
def test_a_post_unsubscribes_at_once_and_once(site, settings, body, content_type, method):
    for _ in range(2):
        status, page, _ = _call(f"{site}/unsubscribe/{_token(settings)}", body, Content_Type=content_type)
        assert status == 200
        assert "You are unsubscribed" in page
    recorded = _recorded(settings)
    assert [(row["reason"], row["topic"]) for row in recorded["suppressions"]] == [("unsubscribed", "offers")]
    assert [(row["state"], row["method"]) for row in recorded["consents"]] == [("denied", method)]
    assert [row["kind"] for row in recorded["message_events"]] == ["unsubscribed"]


@pytest.mark.parametrize("token", ["x", "A" * 43, "%00", "..%2f..%2fsecret", "A" * 5000])
def test_an_unknown_token_is_told_nothing(site, settings, token):
    for body in (None, b"List-Unsubscribe=One-Click"):
        status, page, _ = _call(f"{site}/unsubscribe/{token}", body)
        assert status == 404
        assert "message" not in page.lower()
    assert _recorded(settings)["suppressions"] == []


def test_a_token_of_a_message_nobody_queued_is_told_the_same(site, settings):
    token = seal("00000000-0000-0000-0000-000000000000", signing_secret(settings))
    assert _call(f"{site}/unsubscribe/{token}")[:2] == _call(f"{site}/unsubscribe/{'A' * 43}")[:2]
    assert _call(f"{site}/unsubscribe/{token}", b"x")[0] == 404


def test_a_large_body_is_refused(site, settings):
    status, _, _ = _call(f"{site}/unsubscribe/{_token(settings)}", b"x" * (MAX_BODY + 1))
    assert status == 413
    assert _recorded(settings)["suppressions"] == []


def test_health_and_nothing_else(site):
    assert _call(f"{site}/health")[:2] == (200, '{"status":"ok"}')
    for path in ("/", "/docs", "/openapi.json", "/unsubscribe/"):
        assert _call(f"{site}{path}")[0] == 404
