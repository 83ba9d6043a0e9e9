"""Reports as mail servers write them, for tests of what comes back."""

POSTFIX_DSN = """\
Date: Sun,  1 Feb 2026 08:00:00 +0000 (UTC)
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: bounces@shop.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4BnZ.1769932800/mx.example"
Message-Id: <20260201080000.4BnZ@mx.example>

--4BnZ.1769932800/mx.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

<person0@mail.example>: host mx.mail.example said: {diagnosis}

--4BnZ.1769932800/mx.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
X-Postfix-Queue-ID: 4BnZ
Arrival-Date: Sun,  1 Feb 2026 07:59:58 +0000 (UTC)

Final-Recipient: rfc822; person0@mail.example
Original-Recipient: rfc822;person0@mail.example
Action: {action}
Status: {status}
Remote-MTA: dns; mx.mail.example
Diagnostic-Code: smtp; {diagnosis}

--4BnZ.1769932800/mx.example
Content-Description: Undelivered Message {part}
Content-Type: {kind}

{returned}
--4BnZ.1769932800/mx.example--
"""
ARF = """\
From: <abusedesk@mailbox.example>
Date: Sun, 1 Feb 2026 07:40:00 +0000
Subject: FW: Come back
To: <abuse@shop.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report for an email message received from IP 192.0.2.1.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
Arrival-Date: Sun, 1 Feb 2026 07:30:00 +0000

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

{returned}
--part1_13d.2e68ed54_boundary--
"""


def returned_mail(message_id: str) -> str:
    """The beginning of a mail of ours, as it comes back."""
    return (
        "From: Shop <hello@shop.example>\nTo: person0@mail.example\nSubject: Come back\n"
        f"Message-ID: <{message_id}@shop.example>\nX-Perennial-Message: {message_id}\n\nHello Ada"
    )


def dsn(
    message_id: str,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnosis: str = "550 5.1.1 no such user",
    kind: str = "message/rfc822",
    returned: str | None = None,
) -> bytes:
    fields = {"action": action, "status": status, "diagnosis": diagnosis, "kind": kind}
    text = POSTFIX_DSN.format(**fields, part="", returned=returned_mail(message_id) if returned is None else returned)
    return text.replace("\n", "\r\n").encode()


def arf(message_id: str, *, kind: str = "abuse", returned: str | None = None) -> bytes:
    text = ARF.format(kind=kind, returned=returned_mail(message_id) if returned is None else returned)
    return text.replace("\n", "\r\n").encode()
