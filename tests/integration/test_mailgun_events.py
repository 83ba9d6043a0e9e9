"""Mailgun is asked for the events that a webhook may have lost, over real HTTP."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from website import recorded

from outbox import fill, later, settings_in
from perennial.flows.webhooks import poll_mailgun
from perennial.foundation.errors import BadConfig, Permanent, Retryable
from perennial.ledger import open_ledger

KEY = "reads-events-1234"


class FakeMailgun(ThreadingHTTPServer):
    """Pages of events; `script` may hold other answers, status and text, which come first."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.events, self.script, self.asked = [], [], []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        fake, parts = self.server, urlsplit(self.path)
        fake.asked.append((parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}))
        login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        page = int(parts.path.rpartition("/")[2]) if parts.path.count("/") == 4 else 0
        following = f"{fake.url}/v3/mg.shop.example/events/{page + 1}"
        content = json.dumps({"items": fake.events[page * 2 : page * 2 + 2], "paging": {"next": following}})
        status, content = fake.script.pop(0) if fake.script else (200 if login == f"api:{KEY}" else 401, content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def mailgun():
    with FakeMailgun() as fake:
        thread = threading.Thread(target=fake.serve_forever)
        thread.start()
        yield fake
        fake.shutdown()
        thread.join(10)


@pytest.fixture
def settings(tmp_path, ledger_url, mailgun):
    said = {"mailgun_url": mailgun.url, "mailgun_domain": "mg.shop.example", "mailgun_events_key": KEY}
    settings = settings_in(tmp_path, ledger=ledger_url, **said)
    with open_ledger(settings) as ledger:
        fill(ledger, settings, 5)
        mailgun.events = [
            {
                "event": "delivered",
                "id": f"e{number}",
                "timestamp": settings.now.timestamp() - 60,
                "user-variables": {"perennial_message": ledger.messages_of(f"c{number}")[0]["message_id"]},
            }
            for number in range(5)
        ]
    return settings


def test_all_pages_are_read_and_asked_for_again_from_a_little_before(settings, mailgun):
    assert poll_mailgun(settings) == {"events": 5, "new": 5}
    assert [path for path, _ in mailgun.asked] == [
        "/v3/mg.shop.example/events",
        *(f"/v3/mg.shop.example/events/{n}" for n in (1, 2, 3)),
    ]
    first = mailgun.asked[0][1]
    assert (float(first["begin"]), float(first["end"])) == (
        settings.now.timestamp() - 3 * 86400,
        settings.now.timestamp(),
    )
    mailgun.asked.clear()
    assert poll_mailgun(later(settings, minutes=10)) == {"events": 5, "new": 0}
    assert float(mailgun.asked[0][1]["begin"]) == settings.now.timestamp() - 3600
    with open_ledger(settings) as ledger:
        assert len(recorded(ledger, "message_events")["message_events"]) == 5


def test_a_poll_that_was_cut_off_is_asked_for_again(settings, mailgun):
    mailgun.script = [
        (200, json.dumps({"items": mailgun.events[:2], "paging": {"next": f"{mailgun.url}/v3/x/events/1"}})),
        (500, ""),
    ]
    with pytest.raises(Retryable, match="Mailgun answers 500"):
        poll_mailgun(settings)
    mailgun.asked.clear()
    assert poll_mailgun(later(settings, hours=5)) == {"events": 5, "new": 3}
    assert float(mailgun.asked[0][1]["begin"]) < settings.now.timestamp() - 86400


NO_PAGES = [
    (401, "{}", BadConfig),
    (404, "{}", BadConfig),
    (302, "", Retryable),
    (429, "", Retryable),
    (200, "", Retryable),
    (200, "[]", Retryable),
    (200, "[" * 100_000, Retryable),
    (200, '{"items": 5, "paging": {}}', Retryable),
    (200, '{"items": [{}], "paging": {"next": "http://evil.example/"}}', Permanent),
]


def test_what_is_no_page_is_told(settings, mailgun):
    for status, content, error in NO_PAGES:
        mailgun.script = [(status, content)]
        with pytest.raises(error) as refusal:
            poll_mailgun(settings)
        assert KEY not in str(refusal.value)
    assert len(mailgun.asked) == len(NO_PAGES)


def test_without_a_server_it_is_tried_again_later(settings):
    with pytest.raises(Retryable, match="Mailgun cannot be asked for events: ConnectionError"):
        poll_mailgun(settings.model_copy(update={"mailgun_url": "http://127.0.0.1:1"}))
