"""A campaign that needs a yes, from planning to the mailbox; and one that is stopped in the middle."""

import shutil
from datetime import date

import pytest

from homes import run_newest_day
from outbox import CAMPAIGN, fill, later, settings_in
from perennial.flows import approval, demo, reading
from perennial.flows.delivery import deliver
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings
from perennial.ledger import open_ledger

SEND_DAY = date(2026, 2, 1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A demo shop, its newest day run, where win_back always needs a yes. Not to be written to: copy it."""
    home = tmp_path_factory.mktemp("shop")
    include = home / "include"
    shutil.copytree(load_settings().include, include)
    with (include / "templates" / CAMPAIGN / "campaign.yaml").open("a", encoding="utf-8") as file:
        file.write("\napproval: always\n")
    settings = load_settings(home=home / "home", include=include)
    demo.build(settings, 500, date(2025, 11, 1), date(2026, 1, 31))
    settings = load_settings(home=home / "home", include=include)
    run_newest_day(settings)
    return settings


@pytest.fixture
def planned(shop, tmp_path):
    shutil.copytree(shop.home, tmp_path / "home", symlinks=True)
    return shop.model_copy(update={"home": tmp_path / "home"})


def decide(settings, *, approved, **shown):
    return approval.decide(
        CAMPAIGN, SEND_DAY, settings, approved=approved, by="ann", why="it is our best offer", **shown
    )


def sent(settings):
    with open_ledger(settings) as ledger:
        return ledger.counts_by_state(campaign=CAMPAIGN)


@pytest.mark.slow
def test_a_yes_to_what_was_shown_sends_it(planned):
    (request,) = approval.waiting(planned)
    with open_ledger(planned) as ledger:
        (run,) = ledger.campaign_runs(campaign=CAMPAIGN)
        people = ledger.read_frozen(run.outbox).to_pylist()
    assert request.subject == f"Send win_back to {run.counts['send']} people on 2026-02-01?"
    assert f"| send | {run.counts['send']} | never sent |" in request.body
    assert "**en, variant " in request.body
    assert not any(row["address"] in request.body for row in people)
    assert reading.status(planned)["waiting_for_approval"] == ["win_back for 2026-02-01"]
    assert sent(planned) == {}

    with pytest.raises(BadConfig, match="planned anew"):
        decide(planned, approved=True, outbox_sha256="0" * 64)
    assert decide(planned, approved=True, outbox_sha256=request.outbox_sha256)["queued"] == len(people) > 0
    assert decide(planned, approved=True)["queued"] == 0
    assert approval.waiting(planned) == []
    deliver(planned)
    assert sent(planned) == {"accepted": len(people)}


@pytest.mark.slow
def test_a_no_sends_nothing_and_a_late_yes_neither(planned):
    next_day = planned.model_copy(update={"now": later(planned, hours=25).now})
    with pytest.raises(BadConfig, match=r"25 hours ago, and a yes counts for 24 hours\. Reject it"):
        decide(next_day, approved=True)
    assert decide(next_day, approved=False)["approved"] is False
    run_newest_day(planned)
    assert sent(planned) == {}
    with pytest.raises(BadConfig, match="does not wait: approval rejected"):
        decide(planned, approved=True)


def test_what_was_never_planned_cannot_be_approved(tmp_path):
    with pytest.raises(BadConfig, match="'win_back' is not planned for 2026-02-01: there is nothing to approve"):
        decide(settings_in(tmp_path), approved=True)


def test_the_switch_for_everything_stops_a_delivery_between_two_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("perennial.delivery.mailbox.MailboxProvider.at_once", 10)
    settings = settings_in(tmp_path)
    with open_ledger(settings) as ledger:
        fill(ledger, settings, 30)
    settle = type(ledger).settle

    def settle_and_pause(ledger, *arguments):
        approval.pause(None, settings, by="ann", why="wrong price")
        return settle(ledger, *arguments)

    monkeypatch.setattr(type(ledger), "settle", settle_and_pause)
    assert deliver(settings) == {"accepted": 10, "queued": 20}
    monkeypatch.undo()
    assert deliver(settings) == {"accepted": 10, "queued": 20}
    approval.resume(None, settings, by="ann", why="right price")
    assert approval.cancel(CAMPAIGN, SEND_DAY, settings, by="ann", why="too late") == {"cancelled": 20, "too_late": 0}
    assert deliver(settings) == {"accepted": 10, "cancelled": 20}


def test_a_campaign_nobody_knows_cannot_be_stopped(tmp_path):
    with pytest.raises(BadConfig, match=r"There is no campaign 'win_bakc'. There are: .*win_back"):
        approval.pause("win_bakc", settings_in(tmp_path), by="ann", why="typo")
