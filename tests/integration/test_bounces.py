"""What comes back: reports in a mailbox, refusals at the door, and a person at the command line."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from command import perennial, refused

from outbox import fill, later, settings_in
from perennial.flows.doctor import examine
from perennial.flows.reports import collect_reports
from perennial.foundation.errors import BadConfig
from perennial.ledger import Outcome, State, open_ledger
from perennial.ledger.bounces import Bounces
from reports import arf, dsn

STRANGER = "00000000-0000-5000-8000-000000000000"


@pytest.fixture
def mailbox(tmp_path):
    for part in ("new", "cur", "tmp"):
        (tmp_path / "bounces" / part).mkdir(parents=True)
    return tmp_path / "bounces"


@pytest.fixture
def settings(tmp_path, ledger_url, mailbox):
    return settings_in(tmp_path / "home", ledger=ledger_url, bounce_mailbox=mailbox)


def accepted(settings, count):
    """Ids of mails that a server took."""
    with open_ledger(settings) as ledger:
        fill(ledger, settings, count)
        messages = ledger.claim("lease", "mailbox", count, timedelta(minutes=15)).messages
        ledger.settle("lease", [Outcome(one.message_id, State.ACCEPTED) for one in messages])
    return [one.message_id for one in sorted(messages, key=lambda one: int(one.customer_id[1:]))]


def contents(settings):
    with open_ledger(settings) as ledger:
        told = {table: [row for batch in ledger.changes(table, None) for row in batch]
                for table in ("suppressions", "message_events")}  # fmt: skip
        return told, ledger.counts_by_state()


def test_reports_in_a_maildir_are_taken_in_once_and_left_there(settings, mailbox, caplog):
    gone, full, late, cross, unmoved = accepted(settings, 5)
    mails = {
        "new/1.host": dsn(gone),
        "new/2.host": dsn(full, status="5.2.2", diagnosis="552 5.2.2 over quota"),
        "new/3.host": dsn(late, action="delayed", status="4.4.1", diagnosis="451 busy"),
        "cur/4.host:2,S": arf(cross),
        "new/5.host": arf(unmoved, kind="not-spam"),
        "new/6.host": dsn(STRANGER),
        "new/7.host": b"Subject: hello\r\n\r\nfrom somebody@mail.example",
        "new/8.host": dsn(gone) + b"\r\n",  # the same, sent twice
        "tmp/9.host": arf(unmoved),  # still being written
    }
    for name, content in mails.items():
        (mailbox / name).write_bytes(content)
    os.mkfifo(mailbox / "new" / "pipe")
    (mailbox / "new" / "link").symlink_to("/etc/passwd")
    expected = {"recorded": 5, "ignored": 1, "unmatched": 1, "no_report": 1, "refusals": 0, "resting": 0}
    assert collect_reports(settings) == expected
    (mailbox / "new" / "1.host").rename(mailbox / "cur" / "1.host:2,S")  # seen by a mail program
    assert collect_reports(later(settings, hours=1)) == {"refusals": 0, "resting": 0}
    told, states = contents(settings)
    assert sorted(row["kind"] for row in told["message_events"]) == [
        "bounced",
        "complained",
        "deferred",
        "soft_bounced",
    ]
    assert {row["message_id"]: row["reason"] for row in told["suppressions"]} == {
        gone: "hard_bounce",
        cross: "complaint",
    }
    assert states == {"accepted": 3, "bounced": 2}
    assert len(list((mailbox / "new").iterdir())) == 8
    assert "1 mail(s) are no reports and 1 are about no message of ours" in caplog.text
    assert "@" not in caplog.text


def test_a_kill_between_two_batches_loses_and_doubles_nothing(settings, mailbox, monkeypatch):
    ids = accepted(settings, 3)
    for number, message_id in enumerate(ids):
        (mailbox / "new" / str(number)).write_bytes(dsn(message_id))
    monkeypatch.setattr("perennial.flows.reports._REPORTS_AT_ONCE", 1)
    take = Bounces.take_reports

    def killed(ledger, reports):
        if killed.left == 0:
            raise KeyboardInterrupt
        killed.left -= 1
        return take(ledger, reports)

    killed.left = 2
    with monkeypatch.context() as patch:
        patch.setattr(Bounces, "take_reports", killed)
        with pytest.raises(KeyboardInterrupt):
            collect_reports(settings)
    assert len(contents(settings)[0]["suppressions"]) == 2
    assert collect_reports(settings)["recorded"] == 1
    assert len(contents(settings)[0]["message_events"]) == 3


def test_a_folder_of_eml_files_will_do_and_no_folder_is_told(tmp_path):
    folder = tmp_path / "mails"
    settings = settings_in(tmp_path / "home", bounce_mailbox=folder)
    with pytest.raises(BadConfig, match=r"PERENNIAL_BOUNCE_MAILBOX: .*mails is not a folder"):
        collect_reports(settings)
    assert [one.state for one in examine(settings) if one.about == "bounces"] == ["wrong"]
    folder.mkdir()
    assert [one.state for one in examine(settings) if one.about == "bounces"] == ["ok"]
    [message_id] = accepted(settings, 1)
    (folder / "one.eml").write_bytes(dsn(message_id))
    (folder / "two.txt").write_bytes(arf(message_id))
    assert collect_reports(settings) == {"recorded": 1, "refusals": 0, "resting": 0}


def test_a_person_blocks_an_address_by_hand_and_nobody_reads_it(tmp_path):
    said = ("--by", "ann", "--why", "asked by phone")
    command = [Path(sys.executable).with_name("perennial"), "suppress", "-", *said, "--topic", "offers", "--days", "9"]
    environment = {"PERENNIAL_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    many = subprocess.run(
        command, env=environment, input="a@b.example\n\nB@b.example\n", capture_output=True, text=True, check=True
    )
    assert "2" in many.stdout
    assert perennial(tmp_path, "suppress", "A@B.example", *said).returncode == 0
    shown = perennial(tmp_path, "suppressions", "show", "a@b.example").stdout
    assert shown.count("by_hand") == 2
    assert "offers" in shown
    assert "2" in perennial(tmp_path, "suppressions", "lift", "a@b.example", *said).stdout
    refused(perennial(tmp_path, "suppress", "nobody", *said), "Address 1", "not one plain e-mail address")
    ledger = (tmp_path / "ledger" / "ledger.sqlite").read_bytes()
    assert b"b.example" not in ledger.lower()
