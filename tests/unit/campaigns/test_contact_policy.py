from datetime import time

import pytest

from perennial.campaigns.contact_policy import Detractors, SoftBounces, load_contact_policy
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import REPOSITORY, load_settings


def test_the_shipped_policy_is_readable():
    policy = load_contact_policy(load_settings(include=REPOSITORY / "include"))
    assert (policy.promotional.at_most, policy.promotional.every_days, policy.min_gap_days) == (3, 7, 2)
    assert policy.send_at.local_time == time(9)
    assert (policy.detractors, policy.soft_bounces) == (Detractors(), SoftBounces())  # a policy without them means this


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("promotional: {at_most: 3}", "promotional.every_days is missing"),
        ("min_gap_days: -1", r"field min_gap_days: .*\(got -1\)"),
        ("send_at: {local_time: noon}", "field send_at.local_time: .*'noon'"),
        ("soft_bounces: {after: 0}", r"field soft_bounces.after: .*\(got 0\)"),
        ("detractors: {nps_at_most: 11}", r"field detractors.nps_at_most: .*\(got 11\)"),
        ("quiet_hours: 8", "field quiet_hours: .*(got 8)"),
        ('quiet_hours: {from: 22:00, to: "08:00"}', 'field quiet_hours.from: .*in quotes, such as "09:00" .got 1320'),
        ("topics: [{at_most: 1, every_days: 7}]", "field topics.0.topic is missing"),
        ("global_holdout: 30%", "field global_holdout: .*0.2"),
        ("purchase_cycle: {share: 0.25}", "field purchase_cycle.share: .*such as 10%"),
        ("warm_up: [{domain: shop.example, starts: 2026-03-01, daily: []}]", "field warm_up.0.daily"),
        ("warm_up: [{domain: shop.example, starts: soon, daily: [5]}]", "field warm_up.0.starts: .*'soon'"),
        ("consent: sometimes", "field consent: .*'sometimes'"),
        ("silent_hours: 8", "unknown field silent_hours"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path, line, problem):
    good = {
        "promotional": "promotional: {at_most: 3, every_days: 7}",
        "min_gap_days": "min_gap_days: 2",
        "send_at": 'send_at: {local_time: "09:00"}',
    }
    (tmp_path / "rules").mkdir()
    path = tmp_path / "rules" / "contact_policy.yaml"
    path.write_text("\n".join((good | {line.split(":")[0]: line}).values()))
    with pytest.raises(BadConfig, match=problem):
        load_contact_policy(load_settings(home=tmp_path, include=tmp_path))
