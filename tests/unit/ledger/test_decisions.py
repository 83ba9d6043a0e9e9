from datetime import timedelta

import pyarrow as pa
import pytest

from outbox import CAMPAIGN, OCCURRENCE, TEMPLATE, run_in
from perennial.foundation.days import Origin, current_time
from perennial.foundation.errors import BadData
from perennial.ledger import NewCampaignRun, open_ledger


def test_days_come_back_in_the_order_they_became_known_and_once(settings):
    run, now = run_in(settings), current_time(settings)
    with open_ledger(settings) as ledger:
        ledger.record_day(run, now)
        ledger.record_day(run, now - timedelta(hours=1))
        ledger.record_day(run, now)
        days = ledger.day_runs()
    assert [day.known_at for day in days] == [now - timedelta(hours=1), now]
    assert {(day.day, day.origin, day.finished_at) for day in days} == {(run.day, Origin.DEMO, now)}


def test_frozen_decisions_stay_as_they_were(settings):
    run = run_in(settings)
    first, second = pa.table({"customer_id": ["c1"]}), pa.table({"customer_id": ["c2"]})
    with open_ledger(settings) as ledger:
        for table, counts in ((first, {"send": 1}), (second, {"send": 9})):
            decisions = ledger.write_frozen(CAMPAIGN, run.send_day, table)
            new = NewCampaignRun(CAMPAIGN, run.send_day, OCCURRENCE, decisions, decisions, counts)
            (frozen,) = ledger.freeze([new], [TEMPLATE], run.origin)
            assert frozen.counts == {"send": 1}
        assert ledger.campaign_runs(send_day=run.send_day) == [frozen]
        assert ledger.campaign_runs(campaign="another") == []
        assert ledger.read_frozen(frozen.decisions) == first


def test_a_changed_or_missing_decisions_file_is_an_error_that_names_it(settings):
    run = run_in(settings)
    with open_ledger(settings) as ledger:
        decisions = ledger.write_frozen(CAMPAIGN, run.send_day, pa.table({"customer_id": ["c1"]}))
        new = NewCampaignRun(CAMPAIGN, run.send_day, OCCURRENCE, decisions, decisions, {"send": 1})
        (frozen,) = ledger.freeze([new], [TEMPLATE], run.origin)
        path = settings.ledger_dir / decisions.path
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(BadData, match=f"{path.name}: this frozen file was changed"):
            ledger.read_frozen(frozen.decisions)
        path.unlink()
        with pytest.raises(BadData, match=f"{path.name}: this frozen file is missing"):
            ledger.read_frozen(frozen.decisions)


def test_all_runs_of_a_plan_are_frozen_or_none(settings):
    run = run_in(settings)
    with open_ledger(settings) as ledger:
        decisions = ledger.write_frozen(CAMPAIGN, run.send_day, b"x")
        good = NewCampaignRun(CAMPAIGN, run.send_day, OCCURRENCE, decisions, decisions, {"send": 1})
        bad = NewCampaignRun("other", run.send_day, OCCURRENCE, decisions, decisions, {"send": object()})
        with pytest.raises(Exception, match="not JSON serializable"):
            ledger.freeze([good, bad], [TEMPLATE], run.origin)
        assert ledger.campaign_runs() == []
