from datetime import time

import pytest

from perennial.campaigns.contact_policy import load_contact_policy
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import REPOSITORY, load_settings


def test_the_shipped_policy_is_readable():
    policy = load_contact_policy(load_settings(include=REPOSITORY / "include"))
    assert (policy.promotional.at_most, policy.promotional.every_days, policy.min_gap_days) == (3, 7, 2)
    assert policy.send_at.local_time == time(9)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("promotional: {at_most: 3}", "promotional.every_days is missing"),
        ("min_gap_days: -1", r"field min_gap_days: .*\(got -1\)"),
        ("send_at: {local_time: noon}", "field send_at.local_time: .*'noon'"),
        ("quiet_hours: 8", "unknown field quiet_hours"),
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
