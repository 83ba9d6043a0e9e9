"""Providers' webhooks over real HTTP: what they signed is counted once, nothing else is, and nothing is lost."""

import base64
import gzip
import hashlib
import hmac
import json
import random
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from website import call, recorded, served

from homes import environment
from outbox import CAMPAIGN, NOW, fill, new_message, run_in, settings_in
from perennial.delivery.webhooks import sendgrid
from perennial.ledger import Outcome, State, open_ledger
from perennial.web.webhooks import MAX_BODY

PAYLOADS = Path(__file__).resolve().parents[2].parent / "shared/data/webhook_payloads"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
AT = int(datetime.fromisoformat(NOW).timestamp())
COUNT = 20


@pytest.fixture
def settings(tmp_path, ledger_url):
    keys = {"sendgrid_webhook_key": PUBLIC, "mailgun_webhook_key": "mailgun-key", "metrics_token": "scrape-me"}
    settings = settings_in(tmp_path, ledger=ledger_url, **keys)
    with open_ledger(settings) as ledger:
        fill(ledger, settings, COUNT)
        claim = ledger.claim("lease", "mailbox", COUNT, timedelta(minutes=1))
        ledger.settle("lease", [Outcome(message.message_id, State.ACCEPTED) for message in claim.messages])
    return settings


@pytest.fixture
def site(settings):
    with served(settings) as address:
        yield address


@pytest.fixture
def ids(settings):
    with open_ledger(settings) as ledger:
        return [ledger.messages_of(f"c{number}")[0]["message_id"] for number in range(COUNT)]


def _sendgrid(site, events, timestamp=str(AT), **headers):
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    signature = base64.b64encode(KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    named = {sendgrid.SIGNATURE.replace("-", "_"): signature, sendgrid.TIMESTAMP.replace("-", "_"): timestamp}
    return call(f"{site}/webhooks/sendgrid", body, Content_Type="application/json", **(named | headers))[0]


def _mailgun(site, event, token="t" * 50, key=b"mailgun-key"):
    mac = hmac.new(key, f"{AT}{token}".encode(), "sha256").hexdigest()
    signature = {"timestamp": str(AT), "token": token, "signature": mac}
    return call(f"{site}/webhooks/mailgun", json.dumps({"signature": signature, "event-data": event}).encode())[0]


def _event(message_id, number=0, **changes):
    return {"perennial_message": message_id, "timestamp": AT, "sg_event_id": f"e{number}", "event": "open", **changes}


def _recorded(settings):
    with open_ledger(settings) as ledger:
        found = recorded(ledger, "message_events")["message_events"]
        return sorted((row["message_id"], row["kind"], row["machine"]) for row in found)


def _aside(settings):
    with open_ledger(settings) as ledger:
        return {(row["provider"], row["reason"]): row["events"] for row in ledger.set_aside_counts()}


def test_events_are_recorded_and_states_and_suppressions_follow(site, settings, ids):
    told = ["delivered", "bounce", "spamreport", "unsubscribe", "open", "click", "processed", "deferred"]
    events = [_event(message_id, n, event=kind) for n, (message_id, kind) in enumerate(zip(ids, told, strict=False))]
    events.append(_event(ids[8], 8, event="dropped", reason="Invalid"))
    assert _sendgrid(site, events) == 200
    assert (
        _mailgun(
            site, {"event": "delivered", "id": "m", "timestamp": AT, "user-variables": {"perennial_message": ids[9]}}
        )
        == 200
    )
    kinds = [kind for _, kind, _ in sorted(_recorded(settings), key=lambda row: ids.index(row[0]))]
    assert kinds == [
        "delivered",
        "bounced",
        "complained",
        "unsubscribed",
        "opened",
        "clicked",
        "accepted",
        "deferred",
        "dropped",
        "delivered",
    ]
    with open_ledger(settings) as ledger:
        assert ledger.counts_by_state() == {"accepted": COUNT - 4, "bounced": 1, "delivered": 2, "failed": 1}
        found = recorded(ledger, "suppressions", "consents")
    whose = {row["message_id"]: (row["reason"], row["topic"]) for row in found["suppressions"]}
    assert whose == {
        ids[1]: ("hard_bounce", ""),
        ids[2]: ("complaint", ""),
        ids[3]: ("unsubscribed", "offers"),
        ids[8]: ("hard_bounce", ""),
    }
    assert [(row["state"], row["topic"], row["method"]) for row in found["consents"]] == [
        ("denied", "offers", "sendgrid")
    ]
    status, text, _ = call(f"{site}/metrics", Authorization="Bearer scrape-me")
    assert status == 200
    assert 'perennial_events_total{kind="bounced",provider="sendgrid"} 1.0' in text
    assert 'perennial_messages{state="delivered"} 2.0' in text
    assert 'perennial_requests_total{method="POST",route="/webhooks/sendgrid",status="200"} 1.0' in text
    assert [call(f"{site}/metrics", Authorization=shown)[0] for shown in ("", "Bearer x", "Bearer é")] == [401] * 3


def test_46_copies_half_of_them_with_new_ids_in_reversed_order_are_one(site, settings, ids):
    events = [_event(ids[0], 0, event="click", url="https://shop.example/"), _event(ids[0], 1, event="delivered")]
    for copy in range(46):
        known = [event | ({"sg_event_id": f"new-{copy}-{event['event']}"} if copy % 2 else {}) for event in events]
        assert _sendgrid(site, known[::-1] if copy % 3 else known) == 200
    assert _sendgrid(site, events * 23) == 200
    assert _recorded(settings) == [(ids[0], "clicked", False), (ids[0], "delivered", False)]


def test_an_event_before_its_message_is_settled_counts_all_the_same(site, settings, ids):
    """A provider is quick: it tells that a mail was delivered while its worker still sends the rest of the batch."""
    with open_ledger(settings) as ledger:
        ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(99, settings)])
        (message,) = ledger.claim("late", "mailbox", 1, timedelta(minutes=1)).messages
        assert _sendgrid(site, [_event(message.message_id, event="delivered")]) == 200
        assert ledger.message(message.message_id)["state"] == "sending"
        ledger.settle("late", [Outcome(message.message_id, State.ACCEPTED)])
        assert ledger.message(message.message_id)["state"] == "delivered"


def test_what_was_not_signed_leaves_nothing(site, settings, ids):
    event = _event(ids[0])
    body = json.dumps([event]).encode()
    signature = base64.b64encode(KEY.sign(str(AT).encode() + body, ec.ECDSA(SHA256()))).decode()
    assert _sendgrid(site, [event], X_Twilio_Email_Event_Webhook_Signature="") == 401
    for garbage in (
        "garbage",
        "é".encode().decode("latin-1"),
        "=" * 9,
        "A" * 20_000,
        base64.b64encode(b"\0" * 71).decode(),
    ):
        assert _sendgrid(site, [event], X_Twilio_Email_Event_Webhook_Signature=garbage) == 401
    assert call(f"{site}/webhooks/sendgrid", body)[0] == 401  # neither header
    stale = str(AT - 100_000)
    assert _sendgrid(site, [event], timestamp=stale) == 401
    moved = {"X_Twilio_Email_Event_Webhook_Signature": signature, "X_Twilio_Email_Event_Webhook_Timestamp": str(AT)[:9]}
    assert call(f"{site}/webhooks/sendgrid", str(AT)[9:].encode() + body, **moved)[0] == 401
    assert _mailgun(site, {"event": "opened"}, key=b"another") == 401
    assert call(f"{site}/webhooks/mailgun", b'{"event-data": {"event": "opened"}}')[0] == 401
    assert (_recorded(settings), _aside(settings)) == ([], {})
    _, text, _ = call(f"{site}/metrics", Authorization="Bearer scrape-me")
    assert 'perennial_webhooks_forged_total{provider="mailgun"} 2.0' in text


def test_a_replay_adds_nothing_and_a_token_is_good_for_one_event(site, settings, ids):
    event = {"event": "opened", "id": "m", "timestamp": AT, "user-variables": {"perennial_message": ids[0]}}
    complaint = event | {"event": "complained", "id": "forged", "user-variables": {"perennial_message": ids[1]}}
    assert [_mailgun(site, event) for _ in range(3)] == [200, 200, 200]
    assert _mailgun(site, complaint) == 401  # the body is not signed: whoever saw a request could send this
    assert _mailgun(site, event, token="u" * 50) == 200  # told again by Mailgun itself
    assert [_sendgrid(site, [_event(ids[2])]) for _ in range(3)] == [200, 200, 200]
    assert _recorded(settings) == sorted([(ids[0], "opened", False), (ids[2], "opened", False)])


def test_without_a_key_there_is_no_webhook(tmp_path):
    with served(settings_in(tmp_path)) as site:
        for provider in ("sendgrid", "mailgun", "other"):
            assert call(f"{site}/webhooks/{provider}", b"[]")[0] == 404
        assert call(f"{site}/metrics")[0] == 404


def test_one_bad_event_among_500_loses_only_itself(site, settings, ids):
    texts = [json.dumps(_event(ids[number % COUNT], number, timestamp=AT + number)) for number in range(499)]
    texts.insert(250, "[" * 100_000 + "]" * 100_000)
    assert _sendgrid(site, f"[{','.join(texts)}]".encode()) == 200
    assert len(_recorded(settings)) == 499
    assert _aside(settings) == {("sendgrid", "not_json"): 1}
    for bad in (b"[" * 100_000, b"[", b"[{]", b'["x", 5, null]'):
        assert _sendgrid(site, bad) == 200
    assert _aside(settings) == {("sendgrid", "not_json"): 3, ("sendgrid", "not_an_event"): 3}


def _raw(site, head, chunks=()):
    """The status that a server answers while the body is still being sent, and how much of it was."""
    parts = urlsplit(site)
    sent = 0
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head.encode())
        try:
            for chunk in chunks:
                connection.sendall(chunk)
                sent += len(chunk)
            answer = connection.recv(200)
        except (ConnectionResetError, BrokenPipeError):
            return None, sent
    return int(answer.split()[1]), sent


def test_bodies_beyond_any_honest_size_are_refused_early(site, settings):
    head = "POST /webhooks/sendgrid HTTP/1.1\r\nHost: x\r\n"
    assert _raw(site, head + "Content-Length: 50000000\r\n\r\n") == (413, 0)
    chunk = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"
    status, sent = _raw(site, head + "Transfer-Encoding: chunked\r\n\r\n", [chunk] * 800)
    assert status in (413, None)
    assert sent < 40_000_000  # of 52: what the sockets hold
    bomb = gzip.compress(b"[" + b" " * 50_000_000)
    assert len(bomb) < MAX_BODY
    for body, headers in ((bomb, {"Content_Encoding": "gzip"}), (b"[" + b" " * MAX_BODY, {})):
        with suppress(URLError):  # closed while we were still sending
            assert _sendgrid(site, body, **headers) in (413, 415)
    assert _sendgrid(site, bomb) == 401  # as it is, it is no array
    assert (_recorded(settings), _aside(settings)) == ([], {})


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")
def test_every_payload_we_have_is_taken_whole(site, settings, ids):
    """Whoever sent it, signed as if it were for us: each event is recorded or kept aside, and none is both or lost."""
    told = set()
    for path in sorted(PAYLOADS.rglob("*.*")):
        body = path.read_bytes()
        if not body.startswith(b"["):
            assert _sendgrid(site, body) == 401
            continue
        assert _sendgrid(site, body) == 200
        told |= {json.dumps(event) for event in json.loads(body)}
        for number, event in enumerate(json.loads(body)):
            token = hashlib.sha256(f"{path} {number}".encode()).hexdigest()[:50]
            assert _mailgun(site, event, token=token) == 200
    assert _recorded(settings) == []
    aside = _aside(settings)
    assert sum(number for (provider, _), number in aside.items() if provider == "sendgrid") == len(told)
    assert {reason for _, reason in aside} <= {"no_message", "unknown_kind", "not_an_event"}


_DIES = """
    import os, signal, sys
    import uvicorn
    from perennial.ledger import webhooks
    from perennial.web.app import create_app

    real = webhooks.Webhooks.take_in

    def take_in(*arguments):
        real(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    if sys.argv[2] == "dies":
        webhooks.Webhooks.take_in = take_in
    uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""


def test_a_kill_between_write_and_reply_counts_once(settings, ids, tmp_path):
    program = tmp_path / "serve.py"
    program.write_text(textwrap.dedent(_DIES))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = environment(settings) | {
        "PERENNIAL_NOW": NOW,
        "PERENNIAL_SENDGRID_WEBHOOK_KEY": PUBLIC,
        "PATH": "",
        "PYTHONPATH": ":".join(sys.path),
    }
    events = [_event(message_id, number, event="delivered") for number, message_id in enumerate(ids)]
    answers = []
    for way in ("dies", "lives"):
        process = subprocess.Popen([sys.executable, str(program), str(port), way], env=told)
        try:
            for _ in range(600):
                try:
                    assert call(f"http://127.0.0.1:{port}/ready")[0] == 200
                    break
                except URLError:
                    time.sleep(0.1)
            try:
                answers.append(_sendgrid(f"http://127.0.0.1:{port}", events))
            except (URLError, ConnectionError):
                answers.append(None)
        finally:
            process.kill()
            process.wait(10)
    assert answers == [None, 200]
    assert _recorded(settings) == sorted((message_id, "delivered", False) for message_id in ids)
    with open_ledger(settings) as ledger:
        assert ledger.counts_by_state() == {"delivered": COUNT}


def test_while_the_ledger_cannot_be_written_providers_are_asked_to_come_again(tmp_path, ledger_url):
    settings = settings_in(tmp_path, ledger=ledger_url, sendgrid_webhook_key=PUBLIC)
    with open_ledger(settings):
        pass
    gone = settings.model_copy(update={"ledger": "postgresql://nobody@127.0.0.1:1/none"})
    with served(gone) as site:
        assert call(f"{site}/health")[0] == 200
        assert call(f"{site}/ready")[0] == 503
        assert _sendgrid(site, [_event("0b9f1a52-6a0c-5c1e-9f3a-0d6c7b8e9f10")]) == 503


def test_whatever_is_posted_is_answered(site, settings, ids):
    """Signed, and of any shape: never an error of ours, and never an event that is not there."""
    rng = random.Random(5)
    pieces = [
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b'"perennial_message":"%s"' % ids[0].encode(),
        b'"event":"open"',
        b":",
        b"1e999",
        b"\\u0000",
        b"\xff",
        b'"',
    ]
    for _ in range(60):
        body = b"[" + b"".join(rng.choices(pieces, k=rng.randrange(12)))
        assert _sendgrid(site, body) == 200
    assert _recorded(settings) == []
