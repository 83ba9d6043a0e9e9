from datetime import date, time
from decimal import Decimal

import pytest

from perennial.campaigns.definition import load_campaigns
from perennial.campaigns.festivals import FestivalBook
from perennial.campaigns.triggers import due_days
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import REPOSITORY, load_settings

SEGMENTS = "segments: {staff: {title: Staff, description: Us, kind: demographic, where: email_domain = 'shop.example'}}"
CAMPAIGN = """\
name: Hello
purpose: promotional
topic: offers
audience: {where: orders >= 1 and tier = 'gold', exclude: [staff]}
trigger: {schedule: "0 9 * * 2"}
repeat: {at_most: 1, every_days: 60}
goal: {within_days: 14}
"""
FILES = {"en/subject.txt.j2": "Hi", "en/body.mjml.j2": "<mjml/>", "campaign.yaml": CAMPAIGN}


@pytest.fixture
def load(tmp_path):
    """Write one campaign folder, hello, and load it."""

    def write_and_load(files=FILES, folder="hello", **changes):
        (tmp_path / "rules").mkdir(exist_ok=True)
        (tmp_path / "rules" / "segments.yaml").write_text(SEGMENTS)
        for name, text in (files | changes).items():
            path = tmp_path / "templates" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return load_campaigns(load_settings(home=tmp_path, include=tmp_path, now="2026-02-01T09:30:00+01:00"))[0]

    return write_and_load


def with_lines(text):
    """The campaign file with each line of `text` in place of the line with the same first word."""
    lines = {line.split(":")[0]: line for line in [*CAMPAIGN.splitlines(), *text.splitlines()]}
    return FILES | {"campaign.yaml": "\n".join(lines.values())}


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("", [False, False, True]),
        ("approval: always", [False, True, True]),
        ("approval: never", [False, False, False]),
        ("approval: {above: 9}", [False, True, True]),
    ],
)
def test_when_a_person_is_asked(load, line, asked):
    campaign = load(with_lines(line))
    assert [campaign.needs_approval(mails) for mails in (0, 10, 5001)] == asked


def test_the_smallest_campaign_has_one_variant_and_no_holdout(load):
    campaign = load()
    assert campaign.id == "hello"
    assert campaign.locales == ("en",)
    assert campaign.file.experiment.holdout == 0
    assert [variant.subject for variant in campaign.file.experiment.variants] == ["subject.txt.j2"]
    assert campaign.audience.sql == "orders >= 1 and tier = 'gold'"
    assert campaign.file.send_at is None


def test_shares_and_times_are_read_as_people_write_them(load):
    campaign = load(with_lines('send_at: {local_time: "10:30"}\nexperiment: {holdout: 12.5%}'))
    assert campaign.file.experiment.holdout == Decimal("0.125")
    assert campaign.file.send_at.local_time == time(10, 30)


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("0 9 * * *", {1, 2, 3, 4, 5, 6, 7, 8}),
        ("0 9 * * 2", {3}),
        ("0 0 * * 2", {3}),
        ("59 23 * * 2", {3}),
        ("0 9,17 * * 1-5", {2, 3, 4, 5, 6}),
        ("0 9 1 * *", {1}),
        ("0 9 1 * 0", {1, 8}),  # cron's own rule: either day field
        ("0 9 29 2 *", set()),
    ],
)
def test_a_campaign_is_due_on_the_days_its_schedule_names(load, schedule, due):
    campaign = load(with_lines(f'trigger: {{schedule: "{schedule}"}}'))
    found = due_days(campaign.file.trigger, date(2026, 2, 1), date(2026, 2, 8), FestivalBook(festivals={}))
    assert {one.day.day for one in found} == due


def test_people_are_written_to_in_their_language_or_the_default(load):
    zh = {"zh-CN/subject.txt.j2": "你好", "zh-CN/body.mjml.j2": "<mjml/>"}
    campaign = load(FILES | zh)
    asked = ["zh-CN", "zh-TW", "zh_CN", "en-GB", "de", "", None]
    assert [campaign.locale_for(locale) for locale in asked] == ["zh-CN", "zh-CN", "zh-CN", "en", "en", "en", "en"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("aproval: always", "unknown field aproval"),
        ("offer: {coupons: Win Back}", "field offer.coupons: .*'Win Back'"),
        ("utm: {mediun: email}", "field utm.mediun"),
        ("partner: Acme & Sons", "field partner: .*'Acme & Sons'"),
        ("send_at: best_time", "field send_at"),
        ("trigger: {}", "field trigger: .*exactly one of schedule, holiday, .*found none"),
        ("trigger: {schedule: 0 9 * * *, on_enter: {segment: staff}}", "found schedule, on_enter"),
        ("trigger: {schedule: 0 9 * * *, good_for_days: 31}", r"field trigger.good_for_days: .*\(got 31\)"),
        ("trigger: {on_enter: {segment: vip}}", "field trigger.on_enter.segment: unknown segment 'vip'"),
        ("trigger: {on_exit: {segment: vip}}", "field trigger.on_exit.segment: unknown segment 'vip'"),
        ("trigger: {on_event: {kind: Complaint}}", "field trigger.on_event.kind: .*'Complaint'"),
        ("trigger: {on_date: {field: wedding}}", "field trigger.on_date.field: .*'wedding'"),
        ("trigger: {holiday: {name: Qix}}", "field trigger.holiday.name: 'Qix' is not in rules/festivals.yaml"),
        (
            "trigger: {holiday: {name: Spring Break, country: DE}}",
            "nor a public holiday of DE. There are: .*Good Friday",
        ),
        ("trigger: {holiday: {name: Qix, country: XX}}", "none, the country is not known"),
        ("trigger: {on_tier_change: {change: sideways}}", "field trigger.on_tier_change.change: .*'sideways'"),
        ("trigger: {points_expiring: {within_days: 0}}", r"field trigger.points_expiring.within_days: .*\(got 0\)"),
        ("trigger: {replenishment_due: {per: shelf}}", "field trigger.replenishment_due.per: .*'shelf'"),
        ("trigger: {abandoned_cart: {after_hours: 100}}", r"field trigger.abandoned_cart.after_hours: .*\(got 100\)"),
        ("trigger: {after: {campaign: hullo, days: 7}}", "there is no campaign 'hullo'. There are: hello"),
        ("trigger: {after: {campaign: hello, days: 7}}", "this sequence has no beginning: hello after hello"),
        ("trigger: {after: {campaign: hello, days: 0}}", r"field trigger.after.days: .*\(got 0\)"),
        (
            "trigger: {after: {campaign: hello, days: 7, unless: {where: ordres > 1}}}",
            "field trigger.after.unless.where: .*Did you mean orders",
        ),
        ("purpose: spam", "field purpose: .*'spam'"),
        ("trigger: {schedule: 0 9 * *}", "field trigger.schedule: .*5 fields"),
        ("trigger: {schedule: 0 9 30 2 *}", "this schedule never comes"),
        ('trigger: {schedule: "61 9 * * *"}', "field trigger.schedule"),
        ("repeat: {at_most: 0, every_days: 60}", r"field repeat.at_most: .*\(got 0\)"),
        ("send_at: {local_time: 10:30}", 'in quotes, such as "09:00" .got 630'),
        ("approval: sometimes", r"field approval.*'always' or 'never'"),
        ("approval: {above: -1}", r"field approval.*above.*greater than or equal to 0"),
        ("experiment: {holdout: 10}", r"percentage, such as 10% \(got 10\)"),
        ("experiment: {holdout: 51%}", "field experiment.holdout: .*0.5"),
        ("experiment: {variants: []}", "field experiment.variants"),
        ("experiment: {variants: [{name: a, weight: 0}]}", "field experiment.variants.0.weight"),
        ("experiment: {variants: [{name: a}, {name: a}]}", "variant 'a' is defined twice"),
        ("experiment: {variants: [{name: a, subject: ../../x.j2}]}", "field experiment.variants.0.subject"),
        ("default_locale: english", "'english'"),
        ("default_locale: de", "there is no folder 'de' .found: en"),
        ("audience: {where: ordres > 1}", "field audience.where: .*Did you mean orders"),
        ("audience: {where: in_segment('vips')}", "unknown segment 'vips'. Known segments: staff"),
        ("audience: {where: orders > 1, exclude: [vips]}", "field audience.exclude: unknown segment 'vips'"),
    ],
)
def test_a_wrong_field_is_refused_by_file_field_and_value(load, text, problem):
    with pytest.raises(BadConfig, match=f"campaign.yaml.*{problem}"):
        load(with_lines(text))


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"notes.md": "x"}, "notes.md: nothing reads this file"),
        ({"en/body.html": "x"}, "body.html: nothing reads this file. Expected: body.mjml.j2, subject.txt.j2"),
        ({"en/subject.b.txt.j2": "x"}, "subject.b.txt.j2: nothing reads this file"),
        ({"english/body.mjml.j2": "x"}, "'english' is not a locale"),
        ({"zh-CN/body.mjml.j2": "x"}, "zh-CN/subject.txt.j2: no such file"),
        ({"../note.txt": "x"}, "note.txt: this folder holds campaign folders"),
    ],
)
def test_a_folder_holds_what_is_read_and_nothing_else(load, extra, problem):
    with pytest.raises(BadConfig, match=problem):
        load(FILES | extra)


def test_every_locale_needs_the_subject_of_every_variant(load):
    variants = "experiment: {variants: [{name: a}, {name: b, subject: subject.b.txt.j2}]}"
    with pytest.raises(BadConfig, match=r"en/subject\.b\.txt\.j2: no such file"):
        load(with_lines(variants))


def test_a_text_body_and_hidden_files_are_allowed(load):
    assert load(FILES | {"en/body.txt.j2": "Hi", ".DS_Store": "", "en/.keep": ""}).locales == ("en",)


def test_a_folder_without_a_campaign_file_or_with_an_odd_name_is_refused(load):
    with pytest.raises(BadConfig, match=r"Hello World: a campaign folder is named in lower case"):
        load(folder="Hello World")


def test_no_campaign_file_is_an_error(load):
    with pytest.raises(BadConfig, match=r"campaign\.yaml: no such file"):
        load({"en/body.mjml.j2": "<mjml/>"})


def test_the_shipped_campaigns():
    campaigns = load_campaigns(load_settings(include=REPOSITORY / "include"))
    assert [campaign.id for campaign in campaigns] == [
        "birthday", "post_purchase_survey", "spring_festival", "tier_upgrade",
        "welcome", "win_back", "win_back_2", "win_back_3",
    ]  # fmt: skip
    assert {campaign.locales for campaign in campaigns} == {("en", "zh-CN")}
    win_back = campaigns[5].file
    assert win_back.experiment.holdout == Decimal("0.1")
    assert [variant.name for variant in win_back.experiment.variants] == ["a", "b"]
    assert (win_back.repeat.at_most, win_back.repeat.every_days) == (1, 60)
