from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.delivery.reports import MAX_BYTES, Report, read_report
from reports import arf, dsn

ID = "01890000-0000-5000-8000-000000000001"
AT = datetime(2026, 2, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("report", "meaning", "status"),
    [
        (dsn(ID), "failed", "5.1.1"),
        (dsn(ID, status="5.0.0", diagnosis="550-5.2.1 this account was disabled"), "failed", "5.2.1"),  # as Exim
        (dsn(ID, status="5.0.0", diagnosis="550 rejected"), "failed", "5.0.0"),
        (dsn(ID, status="4.4.7 (expired)", diagnosis="x"), "failed", "4.4.7"),
        (dsn(ID, action="Delayed", status="4.4.1", diagnosis="451 busy"), "delayed", "4.4.1"),
        (dsn(ID, action="delivered", status="2.0.0", diagnosis="250 ok"), "delivered", "2.0.0"),
        (dsn(ID, action="relayed", status="2.0.0", diagnosis="250 ok"), "nothing", None),
        (dsn(ID, kind="text/rfc822-headers"), "failed", "5.1.1"),
        (dsn(ID, returned=f"Message-ID:\n <{ID}@shop.example>\n\n"), "failed", "5.1.1"),
        (dsn(ID).replace(b"\r\n", b"\n"), "failed", "5.1.1"),
    ],
)
def test_a_delivery_report_says_of_which_mail_and_what_became_of_it(report, meaning, status):
    assert read_report(report) == Report("dsn", meaning, ID, status, AT)


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [("abuse", "complaint"), ("fraud", "complaint"), ("virus", "complaint"), ("Other", "complaint"),
     ("not-spam", "nothing"), ("auth-failure", "nothing")],
)  # fmt: skip
def test_a_complaint_is_one_whatever_its_kind_and_not_spam_is_none(kind, meaning):
    assert read_report(arf(ID, kind=kind)) == Report("arf", meaning, ID, None, AT.replace(hour=7, minute=30))


def test_a_report_that_does_not_say_which_mail_says_none():
    assert read_report(dsn(ID, returned="Message-ID: <123@elsewhere.example>\n\n")).message_id is None
    assert read_report(dsn(ID, returned="X-Perennial-Message: 17; drop table\n\n")).message_id is None
    answering = dsn(ID, returned="").replace(
        b"To: bounces", f"In-Reply-To: <{ID}@shop.example>\r\nTo: bounces".encode()
    )
    assert read_report(answering).message_id == ID


@pytest.mark.parametrize(
    "mail",
    [b"", b"\0\xff" * 1000, b"Subject: I am away\r\n\r\nUntil Monday", b"From: a\r\n\r\n" + dsn(ID),
     b"Content-Type: multipart/report; boundary=a\r\n\r\n--a\r\n\r\nnothing\r\n--a--"],
)  # fmt: skip
def test_other_mail_is_no_report(mail):
    assert read_report(mail) is None


def test_a_hostile_mail_is_no_report_and_no_burden():
    deep = b"".join(b"Content-Type: multipart/report; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(100_000))
    folded = b"Content-Type:\r\n message/rfc822\r\n\r\n" * 100_000
    flat = b"Content-Type: multipart/report; boundary=a\r\n\r\n" + b"--a\r\n\r\n" * MAX_BYTES
    headers = b"Content-Type: multipart/report\r\n" + b"X: y\r\n" * MAX_BYTES
    assert [read_report(mail) for mail in (deep, folded, flat, headers)] == [None] * 4


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_report_never_raises(data):
    report = bytearray(data.draw(st.sampled_from([dsn(ID), arf(ID), dsn(ID, kind="text/rfc822-headers")])))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(report) - 1))
        report[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
        report = report or bytearray(b"x")
    found = read_report(bytes(report))
    assert found is None or found.message_id in (None, ID) or len(found.message_id) == len(ID)
