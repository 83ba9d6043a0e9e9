from datetime import date

import pytest

from perennial.campaigns.contact_policy import ContactPolicy
from perennial.campaigns.laws import load_laws
from perennial.campaigns.seeds import load_seeds
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import REPOSITORY, load_settings

LAWS = load_laws(load_settings(include=REPOSITORY / "include"))


@pytest.mark.parametrize(
    ("country", "locale", "consent", "label"),
    [
        ("CN", "zh-CN", "express", "广告"),
        ("CN", "en", "express", "AD"),
        (None, "zh-CN", "express", "广告"),  # where the country is not known the locale's region tells
        ("DE", "zh-CN", "express", ""),
        ("US", "en-US", "opt_out", ""),
        (None, "en", "express", ""),
        ("BR", "pt-BR", "express", ""),
        ("NO", "nb-NO", "express", ""),  # YAML reads NO without quotes as false
    ],
)
def test_each_country_has_its_law(country, locale, consent, label):
    assert LAWS.of(country, locale).consent == consent
    assert LAWS.subject_label(country, locale, locale) == label


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("laws: {a: {countries: [DE], consent: express}}\nelsewhere: b", "there is no law 'b'"),
        (
            "laws: {a: {countries: [DE], consent: express}, b: {countries: [DE], consent: opt_out}}\nelsewhere: a",
            "DE has two laws",
        ),
        ("laws: {a: {countries: [Germany], consent: express}}\nelsewhere: a", "field laws.a.countries.0: .*'Germany'"),
    ],
)
def test_a_wrong_law_book_is_refused(tmp_path, text, problem):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "laws.yaml").write_text(text)
    with pytest.raises(BadConfig, match=f"laws.yaml.*{problem}"):
        load_laws(load_settings(home=tmp_path, include=tmp_path))


def test_a_seed_is_of_campaigns_that_there_are(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "seeds.yaml").write_text("seeds: [{address: A@b.example, campaigns: [hello]}]")
    settings = load_settings(home=tmp_path, include=tmp_path)
    seeds = load_seeds(["hello", "other"], settings)
    assert (seeds.addresses("hello"), seeds.addresses("other")) == (["a@b.example"], [])
    with pytest.raises(BadConfig, match=r"field seeds\.0\.campaigns: there is no campaign 'hello'. There are: other"):
        load_seeds(["other"], settings)


def test_a_new_domain_is_warmed_up_day_by_day_and_the_strictest_limit_holds():
    policy = ContactPolicy.model_validate(
        {
            "promotional": {"at_most": 3, "every_days": 7},
            "min_gap_days": 2,
            "send_at": {"local_time": "09:00"},
            "warm_up": [
                {"domain": "Shop.example", "starts": date(2026, 3, 1), "daily": [50, 100]},
                {"domain": "shop.example", "provider": "smtp", "starts": date(2026, 3, 2), "daily": [70]},
            ],
        }
    )
    days = [date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
    assert [policy.warm_up_limit("shop.example", "smtp", day) for day in days] == [None, 50, 70, None]
    assert [policy.warm_up_limit("shop.example", "sendgrid", day) for day in days] == [None, 50, 100, None]
    assert policy.warm_up_limit("other.example", "smtp", days[1]) is None
