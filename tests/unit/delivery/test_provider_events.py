"""What providers' events mean, event by event."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.delivery.machines import is_program
from perennial.delivery.webhooks import Aside, Forged, mailgun, sendgrid
from perennial.delivery.webhooks.report import elements_of
from perennial.foundation.errors import BadConfig

PAYLOADS = Path(__file__).resolve().parents[3].parent / "shared/data/webhook_payloads"
ID = "0b9f1a52-6a0c-5c1e-9f3a-0d6c7b8e9f10"
T = 1_513_299_569
NOW = datetime.fromtimestamp(T, UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = (KEY.public_key(),)


def _sendgrid(**event):
    event = {"perennial_message": ID, "timestamp": T, "sg_event_id": "e1", "event": "open", **event}
    return sendgrid.read(json.dumps([event]).encode())


def _mailgun(**event):
    event = {"user-variables": {"perennial_message": ID}, "timestamp": T + 0.5, "id": "e1", **event}
    return mailgun.read([event])


@pytest.mark.parametrize(
    ("event", "kind", "machine", "details"),
    [
        ({"event": "processed"}, "accepted", False, {}),
        (
            {"event": "deferred", "response": "400 try again later", "attempt": "5"},
            "deferred",
            False,
            {"reason": "400 try again later", "attempt": "5"},
        ),
        ({"event": "delivered", "response": "250 OK"}, "delivered", False, {"reason": "250 OK"}),
        (
            {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 <ada@mail.example> unknown"},
            "bounced",
            False,
            {"reason": "550 <…> unknown", "status": "5.1.1"},
        ),
        ({"event": "bounce", "type": "blocked", "reason": "554 spam"}, "soft_bounced", False, {"reason": "554 spam"}),
        (
            {"event": "dropped", "reason": "Bounced Address"},
            "dropped",
            False,
            {"reason": "Bounced Address", "suppressed": "hard_bounce"},
        ),
        (
            {"event": "dropped", "reason": "Spam Reporting Address"},
            "dropped",
            False,
            {"reason": "Spam Reporting Address", "suppressed": "complaint"},
        ),
        ({"event": "dropped", "reason": "Spam Content"}, "dropped", False, {"reason": "Spam Content"}),
        ({"event": "open", "useragent": "Mozilla/5.0 (iPhone)"}, "opened", False, {}),
        ({"event": "open", "useragent": "Mozilla/5.0 (iPhone)", "sg_machine_open": True}, "opened", True, {}),
        ({"event": "open", "useragent": "Mozilla/5.0"}, "opened", True, {}),
        (
            {"event": "click", "useragent": "Mozilla/5.0 (X11)", "url": "https://shop.example/a?b=c@d"},
            "clicked",
            False,
            {"url": "https://shop.example/a?b=c@d"},
        ),
        (
            {"event": "click", "useragent": "Barracuda Sentinel (EE)", "url": "https://shop.example/"},
            "clicked",
            True,
            {"url": "https://shop.example/"},
        ),
        ({"event": "spamreport"}, "complained", False, {}),
        ({"event": "unsubscribe"}, "unsubscribed", False, {}),
        ({"event": "group_unsubscribe"}, "unsubscribed", False, {}),
    ],
)
def test_what_sendgrid_says_in_our_words(event, kind, machine, details):
    (found,) = _sendgrid(**event).events
    assert (found.event_id, found.message_id, found.occurred_at) == ("sendgrid:e1", ID, NOW)
    assert (found.kind, found.machine, dict(found.details)) == (kind, machine, details)


@pytest.mark.parametrize(
    ("event", "kind", "machine", "details"),
    [
        ({"event": "accepted"}, "accepted", False, {}),
        ({"event": "rejected", "reason": "spam"}, "dropped", False, {"reason": "spam"}),
        ({"event": "delivered", "delivery-status": {"message": "OK", "code": 250}}, "delivered", False, None),
        (
            {"event": "failed", "severity": "temporary", "delivery-status": {"code": 451, "attempt-no": 2}},
            "deferred",
            False,
            {"status": "451", "attempt": "2"},
        ),
        (
            {"event": "failed", "severity": "permanent", "reason": "bounce", "delivery-status": {"code": 550}},
            "bounced",
            False,
            {"reason": "bounce", "status": "550"},
        ),
        (
            {
                "event": "failed",
                "severity": "permanent",
                "reason": "generic",
                "delivery-status": {"code": 554, "enhanced-code": "5.7.1"},
            },
            "soft_bounced",
            False,
            {"reason": "generic", "status": "5.7.1"},
        ),
        (
            {"event": "failed", "severity": "permanent", "reason": "suppress-unsubscribe"},
            "dropped",
            False,
            {"reason": "suppress-unsubscribe", "suppressed": "unsubscribed"},
        ),
        ({"event": "opened", "client-info": {"user-agent": "Mozilla/5.0 (X11)", "bot": ""}}, "opened", False, {}),
        ({"event": "opened", "client-info": {"user-agent": "Mozilla/5.0 (X11)", "bot": "apple"}}, "opened", True, {}),
        (
            {"event": "clicked", "url": "https://shop.example/", "client-info": {}},
            "clicked",
            False,
            {"url": "https://shop.example/"},
        ),
        ({"event": "complained"}, "complained", False, {}),
        ({"event": "unsubscribed"}, "unsubscribed", False, {}),
    ],
)
def test_what_mailgun_says_in_our_words(event, kind, machine, details):
    (found,) = _mailgun(**event).events
    assert (found.event_id, found.message_id, found.kind) == ("mailgun:e1", ID, kind)
    assert found.occurred_at == NOW + timedelta(seconds=0.5)
    assert found.machine is machine
    if details is not None:
        assert dict(found.details) == details


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"event": "group_resubscribe"}, "unknown_kind"),
        ({"event": None}, "not_an_event"),
        ({"event": {}}, "not_an_event"),
        ({"perennial_message": "../x"}, "no_message"),
        ({"perennial_message": ID.upper()}, "no_message"),
        ({"perennial_message": 5}, "no_message"),
        ({"timestamp": None}, "bad_time"),
        ({"timestamp": True}, "bad_time"),
        ({"timestamp": "soon"}, "bad_time"),
        ({"timestamp": "NaN"}, "bad_time"),
        ({"timestamp": float("inf")}, "bad_time"),
        ({"timestamp": -1}, "bad_time"),
        ({"timestamp": [T]}, "bad_time"),
    ],
)
def test_what_is_no_event_about_a_message_of_ours_is_kept_aside(event, reason):
    report = _sendgrid(**event)
    assert report.events == []
    assert [aside.reason for aside in report.aside] == [reason]
    assert "sg_event_id" in report.aside[0].body


@pytest.mark.parametrize("timestamp", [T, str(T), float(T), T * 1000])
def test_times_as_they_are_written(timestamp):
    assert _sendgrid(timestamp=timestamp).events[0].occurred_at == NOW


def test_an_event_without_an_id_has_one_made_of_what_it_says():
    first, same, other = (_sendgrid(sg_event_id=None, url=url).events[0] for url in ("a", "a", "b"))
    assert first.event_id == same.event_id != other.event_id


@pytest.mark.parametrize(
    "bad",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"event": "open", "timestamp": 1, }',
        b'{"event": "open" "timestamp"}',
        b"\xff\xfe",
        b'"\\x"',
        b"1" * 5000,
        b'{"event": "\xff',
    ],
)
def test_a_bad_element_loses_only_itself(bad):
    """Whatever is wrong with it, and whatever brackets and commas stand in the texts around it."""
    good = json.dumps({"perennial_message": ID, "timestamp": T, "event": "click", "url": 'x"],[{,\\'}).encode()
    tail = b"" if bad[:1] in b"[{" and bad[-1:] not in b"}]" else b"," + good
    report = sendgrid.read(b"[" + good + b", " + good + b"," + bad + tail + b"]")
    assert len(report.events) == (3 if tail else 2)
    assert [aside.reason for aside in report.aside] == ["not_json"]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_body_is_read(body):
    for element in elements_of(b"[" + body):
        assert isinstance(element, (Aside, dict, list, str, int, float, type(None)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.recursive(
            st.none() | st.text() | st.floats(allow_nan=False), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
        )
    )
)
def test_elements_are_the_same_split_or_parsed(elements):
    whole = json.dumps(elements).encode()
    assert list(elements_of(whole)) == elements
    *split, last = elements_of(whole[:-1] + (b"," if elements else b"") + b"!]")
    assert split == elements
    assert last == Aside("not_json", "!")


def _signed(timestamp, body, key=KEY):
    return base64.b64encode(key.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()


def test_what_sendgrid_signed_is_taken_and_nothing_else():
    body, timestamp = b'[{"event": "open"}]', str(T)
    signature = _signed(timestamp, body)
    sendgrid.verify(signature, timestamp, body, KEYS, NOW)
    sendgrid.verify(signature, timestamp, body, (ec.generate_private_key(ec.SECP256R1()).public_key(), *KEYS), NOW)
    forged = [
        (signature, timestamp, body + b" "),
        (signature, str(T + 1), body),
        (_signed(timestamp, body, ec.generate_private_key(ec.SECP256R1())), timestamp, body),
        ("", timestamp, body),
        ("%%%", timestamp, body),
        ("签名é", timestamp, body),
        (base64.b64encode(b"x" * 70).decode(), timestamp, body),
        (signature[:-4], timestamp, body),
        (signature, "", body),
        # The same bytes are signed: only where they are divided differs.
        (_signed(timestamp, b"1" + body), timestamp + "1", body),
        (_signed(timestamp, body), timestamp[:-1], timestamp[-1:].encode() + body),
        (_signed("１５１３２９９５６９", body), "１５１３２９９５６９", body),  # noqa: RUF001 - digits, and not ASCII
    ]
    for parts in forged:
        with pytest.raises(Forged):
            sendgrid.verify(*parts, KEYS, NOW)


@pytest.mark.parametrize(("age", "is_taken"), [(0, True), (24, True), (26, False), (-0.1, True), (-1, False)])
def test_a_signature_ages(age, is_taken):
    body, timestamp = b"[]", str(T)
    now = NOW + timedelta(hours=age)
    if is_taken:
        sendgrid.verify(_signed(timestamp, body), timestamp, body, KEYS, now)
    else:
        with pytest.raises(Forged):
            sendgrid.verify(_signed(timestamp, body), timestamp, body, KEYS, now)


def _setting(key):
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def test_keys_are_read_as_sendgrid_shows_them_and_nothing_of_a_bad_one_is_repeated():
    assert sendgrid.public_keys(_setting(KEY)) == KEYS
    other = ec.generate_private_key(ec.SECP256R1())
    assert len(sendgrid.public_keys(f"{_setting(KEY)},{_setting(other)}")) == 2
    wrong = ["a-secret", "", _setting(ec.generate_private_key(ec.SECP384R1())), f"{_setting(KEY)},a-secret"]
    for setting in [*wrong, _setting(ed25519.Ed25519PrivateKey.generate())]:
        with pytest.raises(BadConfig, match="PERENNIAL_SENDGRID_WEBHOOK_KEY") as refusal:
            sendgrid.public_keys(setting)
        assert not setting or setting not in str(refusal.value)


def _request(timestamp=str(T), token="a" * 50, key=b"key", event=None, **changes):
    mac = hmac.new(key, (timestamp + token).encode(), "sha256").hexdigest()
    signature = {"timestamp": timestamp, "token": token, "signature": mac} | changes
    return json.dumps({"signature": signature, "event-data": event or {"event": "opened"}}).encode()


def test_what_mailgun_signed_is_taken_and_nothing_else():
    signed = mailgun.verify(_request(), [b"other", b"key"], NOW)
    assert (signed.token, signed.event) == ("a" * 50, {"event": "opened"})
    forged = [
        _request(key=b"other"),
        _request(signature=""),
        _request(signature="签名"),
        _request(signature=None),
        _request(signature=["x"]),
        b"{}",
        _request(token="a" * 49),
        _request(timestamp=str(T) + "1", token="a" * 49),
        _request(timestamp=str(T - 100_000)),
        b"[]",
        b"",
        b'{"signature": 5}',
        b"[" * 100_000,
        b'{"signature":' * 100_000,
        b"\xff",
    ]
    for body in forged:
        with pytest.raises(Forged):
            mailgun.verify(body, [b"key"], NOW)


@pytest.mark.parametrize(
    ("user_agent", "program"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", False),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", False),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Chrome/131.0 Safari/537.36", False),
        ("Mozilla/5.0", True),
        ("", True),
        ("  ", True),
        ("python-requests/2.32", True),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", True),
        ("Mozilla/5.0 HeadlessChrome/131.0", True),
        ("x" * 100_000, False),
    ],
)
def test_programs_give_themselves_away(user_agent, program):
    assert is_program(user_agent) is program


def _events():
    """Each event of the shared payloads that a provider of ours sends, by file."""
    for path in sorted((PAYLOADS / "sendgrid").glob("example_*.json")):
        content = json.loads(path.read_text())
        for event in content if isinstance(content, list) else [content]:
            yield "sendgrid", event
    for case in json.loads((PAYLOADS / "other/sendgrid.json").read_text()):
        yield from (("sendgrid", event) for event in case["payload"])
    for event in json.loads((PAYLOADS / "mailgun/api-events.examples.json").read_text()):
        yield from (("mailgun", one) for one in event.get("items", [event]))


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason=f"{PAYLOADS} is not there")
def test_real_events_with_our_id_in_them_are_understood():
    """Every kind that is ours is recorded, and what is kept aside is kept for what it is."""
    found = {"events": 0, "unknown_kind": set(), "not_an_event": 0}
    for provider, event in _events():
        if provider == "sendgrid":
            report = sendgrid.read(json.dumps([event | {"perennial_message": ID}]).encode())
        else:
            report = mailgun.read([event | {"user-variables": {"perennial_message": ID}}])
        assert len(report.events) + len(report.aside) == 1
        assert all("@" not in text for one in report.events for name, text in one.details.items() if name != "url")
        found["events"] += len(report.events)
        for aside in report.aside:
            if aside.reason == "unknown_kind":
                found["unknown_kind"].add(event["event"])
            elif aside.reason == "bad_time":
                assert event["timestamp"] == "123456789"  # 1973, in an example somebody made up
            else:
                assert aside.reason == "not_an_event"
                assert "event" not in event
                found["not_an_event"] += 1
    assert found["events"] >= 40
    assert found["unknown_kind"] <= {
        "group_resubscribe", "stored", "list_member_uploaded", "list_uploaded", "account_status_change",
    }  # fmt: skip
