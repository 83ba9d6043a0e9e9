"""Files and settings that people get wrong: each mistake is told with its file, its field and its value."""

import pytest
import yaml
from command import INCLUDE, perennial, refused, spoil

from contents import copies, messages
from outbox import CAMPAIGN, NOW, freeze, new_message, run_in, settings_in
from perennial.flows.validate import checks
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings
from perennial.ledger import NewTemplate, open_ledger

# Templates.


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        (
            "win_back/en/subject.b.txt.j2",
            None,
            "{{ nickname }}, come back",
            "subject.b.txt.j2, line 1: undefined variable 'nickname'",
        ),
        (
            "tier_upgrade/zh-CN/body.mjml.j2",
            "{{ first_name }}",
            "{{ nickname }}",
            "body.mjml.j2, line 9: undefined variable 'nickname'",
        ),
        (
            "_shared/product_card.mjml.j2",
            "product.name",
            "product.title",
            "win_back/en/a: the html part cannot be rendered: ",
        ),
    ],
)
def test_validate_finds_an_undefined_variable_in_a_template(include, file, before, after, words):
    path = include / "templates" / file
    spoil(path, path.read_text(encoding="utf-8") if before is None else before, after)
    with pytest.raises(BadConfig) as told:
        check("campaigns", include)
    assert words in str(told.value)


def test_a_frozen_template_with_an_undefined_variable_fails_its_own_mails_only(tmp_path):
    settings = settings_in(tmp_path)
    broken = NewTemplate(CAMPAIGN, "en", "b", "{{ nickname }}, come back", "<p></p>", "")
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=3)
        ledger.freeze([], [broken], run_in(settings).origin)
        rows = [new_message(n, settings, **({"template_hash": broken.hash} if n == 1 else {})) for n in range(3)]
        ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows)
    done = perennial(tmp_path, "deliver", PERENNIAL_NOW=NOW)
    assert done.returncode == 0
    assert "win_back/en/b: the subject cannot be rendered: 'nickname' is undefined." in done.stderr
    states = messages(settings)
    assert sorted(states.values()) == ["accepted", "accepted", "failed"]
    assert copies(settings) == {message_id: 1 for message_id, state in states.items() if state == "accepted"}
    [failed] = (message_id for message_id, state in states.items() if state == "failed")
    assert f"Message {failed} cannot be written" in done.stderr


# YAML.

YAML = {  # file -> the check that reads it, and a value of a wrong type: (before, after, field, value as told)
    "sources/app_interactions.yaml": ("sources", "format: jsonl", "format: 7", "field format: ", "(got 7)"),
    "expectations/consents.yaml": (
        "contracts",
        "key: [customer_ref, email, channel, topic, recorded_at]",
        "key: 7",
        "field key: ",
        "(got 7)",
    ),
    "rules/segments.yaml": (
        "segments",
        "title: VIP",
        "title: [VIP]",
        "field segments.vip.title: ",
        "(got ['VIP'])",
    ),
    "rules/loyalty.yaml": (
        "rule books",
        "qualifying_days: 365",
        "qualifying_days: a year",
        "field qualifying_days: ",
        "(got 'a year')",
    ),
    "rules/intake.yaml": ("rule books", "weeks: 8", "weeks: many", "field usual.weeks: ", "(got 'many')"),
    "rules/topics.yaml": ("topics", "zh-CN: 优惠", "zh: 优惠", "unknown field topics.offers.zh ", "优惠"),
    "rules/identity.yaml": ("rule books", "phone: 5", "phone: few", "field at_most.phone: ", "(got 'few')"),
    "rules/churn.yaml": ("rule books", "high_at: 3.0", "high_at: much", "field high_at: ", "(got 'much')"),
    "rules/rfm.yaml": ("rule books", "Lost: [111,", "Lost: [lost,", "field segments.Lost.0: ", "(got 'lost')"),
    "rules/metrics.yaml": (
        "rule books",
        "final_after_days: 10",
        "final_after_days: 2026-01-01",
        "field final_after_days: ",
        "2026",
    ),
    "rules/contact_policy.yaml": (
        "rule books",
        "min_gap_days: 2",
        "min_gap_days: two",
        "field min_gap_days: ",
        "(got 'two')",
    ),
    "rules/festivals.yaml": (
        "campaigns",
        'Qixi: {lunar: "07-07"}',
        'Qixi: {lunar: "7-7"}',
        "field festivals.Qixi.lunar: ",
        "(got '7-7')",
    ),
    "rules/laws.yaml": (
        "rule books",
        "consent: opt_out",
        "consent: no",
        "field laws.can_spam.consent: ",
        "(got False)",
    ),
    "rules/seeds.yaml": ("campaigns", "seeds: []", "seeds: [{address: me}]", "field seeds.0.address: ", "(got 'me')"),
    "templates/win_back/campaign.yaml": ("campaigns", "priority: 40", "priority: high", "field priority: ", "'high'"),
}


def check(name, include):
    """One check of `perennial validate`."""
    return dict(checks(load_settings(include=include)))[name]()


def test_every_yaml_file_is_of_a_kind_tried_here():
    kinds = {path.split("/")[-2:][0] if "campaign.yaml" not in path else "campaign" for path in YAML}
    assert kinds == {"sources", "expectations", "rules", "campaign"}
    assert {f"rules/{path.name}" for path in (INCLUDE / "rules").iterdir()} <= set(YAML)
    assert {path.name for path in INCLUDE.rglob("*.y*ml") if path.parent.parent.name == "templates"} == {
        "campaign.yaml"
    }


@pytest.mark.parametrize("file", YAML)
def test_an_unknown_key_is_named_with_its_file_and_value(include, file):
    path = include / file
    path.write_text(path.read_text(encoding="utf-8") + "\nsuprise: 42\n", encoding="utf-8")
    with pytest.raises(BadConfig) as told:
        check(YAML[file][0], include)
    assert f"{path}: unknown field suprise (value 42). Remove it or correct its spelling." in str(told.value)


@pytest.mark.parametrize(
    ("file", "before", "after", "field"),
    [
        ("sources/app_interactions.yaml", "jsonl\n", "jsonl\ncsv: {delimitr: ;}\n", "csv.delimitr (value ';')"),
        (
            "expectations/consents.yaml",
            "{type: text}",
            "{type: text, requird: true}",
            "columns.topic.requird (value True)",
        ),
        ("expectations/consents.yaml", "severity:", "severty:", "expectations.0.severty (value 'critical')"),
        ("rules/segments.yaml", "kind: value", "kind: value\n    owner: me", "segments.vip.owner (value 'me')"),
        ("rules/loyalty.yaml", "tier: leaf,", "tier: leaf, title: Leaf,", "tiers.1.title (value 'Leaf')"),
        ("rules/loyalty.yaml", "points: 20,", "points: 20, until: 2027,", "earning.2.until (value 2027)"),
        ("rules/contact_policy.yaml", "at_most: 3,", "at_most: 3, at_least: 1,", "promotional.at_least (value 1)"),
        ("rules/contact_policy.yaml", "after: 5,", "after: 5, at_most: 1,", "soft_bounces.at_most (value 1)"),
        ("rules/contact_policy.yaml", "hold_days: 30", "hold_day: 30", "detractors.hold_day (value 30)"),
        (
            "templates/win_back/campaign.yaml",
            "{name: a}",
            "{name: a, wieght: 2}",
            "experiment.variants.0.wieght (value 2)",
        ),
    ],
)
def test_an_unknown_key_deep_inside_is_named_with_its_path(include, file, before, after, field):
    spoil(include / file, before, after)
    with pytest.raises(BadConfig) as told:
        check(YAML[file][0], include)
    assert f"{include / file}: unknown field {field}. " in str(told.value)


@pytest.mark.parametrize("file", YAML)
def test_a_value_of_a_wrong_type_is_named_with_its_file_and_field(include, file):
    kind, before, after, field, value = YAML[file]
    spoil(include / file, before, after)
    with pytest.raises(BadConfig) as told:
        check(kind, include)
    assert f"{include / file}: {field}" in str(told.value)
    assert value in str(told.value)


@pytest.mark.parametrize("file", YAML)
def test_a_key_written_twice_is_named_with_its_file_and_line(include, file):
    path = include / file
    text = path.read_text(encoding="utf-8")
    first = next(iter(yaml.safe_load(text)))
    path.write_text(f"{text}\n{first}: again\n", encoding="utf-8")
    with pytest.raises(BadConfig) as told:
        check(YAML[file][0], include)
    assert str(path) in str(told.value)
    assert f"key {first!r} is written twice" in str(told.value)
    assert f"line {text.count(chr(10)) + 2}," in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a mapping of fields at the top, got nothing"),
        ("- high_at", "expected a mapping of fields at the top, got list"),
        ("high_at: [1", "not readable as YAML"),
        ("high_at: {{ nickname }}", "line 1, column 11"),
        ("high_at: 2026-02-30", "2026-02-30 is not a date: day is out of range for month"),
        ("high_at: !!python/object/apply:os.getcwd []", "not readable as YAML"),
        ("high_at: &a [*a]", "not readable as YAML"),
        ("1: 2", "1"),
        (b"high_at: \xff\xfe", "not readable as YAML"),
        (b"high_at: \0", "not readable as YAML"),
    ],
)
def test_what_is_no_yaml_of_ours_is_told_with_its_file(include, text, words):
    path = include / "rules" / "churn.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadConfig) as told:
        check("rule books", include)
    assert str(path) in str(told.value)
    assert words in str(told.value)


def test_validate_tells_all_that_is_wrong_at_once(include, tmp_path):
    for file, field in (
        ("sources/web_orders.yaml", "max_refusd: 1"),
        ("rules/churn.yaml", "higher_at: 5"),
        ("templates/win_back/en/subject.txt.j2", "{{ nickname }}"),
    ):
        path = include / file
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{field}\n", encoding="utf-8")
    done = perennial(tmp_path / "home", "validate", PERENNIAL_INCLUDE=str(include))
    assert done.returncode == 1
    for words in (
        f"{include}/sources/web_orders.yaml: unknown field max_refusd (value 1)",
        f"{include}/rules/churn.yaml: unknown field higher_at (value 5)",
        f"{include}/templates/win_back/en/subject.txt.j2, line 3: ",
    ):
        assert words in done.stdout
    assert "ok      contracts" in done.stdout
    assert not (tmp_path / "home").exists()


# Settings.


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PERENNIAL_HOEM", "elsewhere", "Unknown setting PERENNIAL_HOEM. Known settings: PERENNIAL_HOME, "),
        ("PERENNIAL_SMTP_PASWORD", "hunter2", "Unknown setting PERENNIAL_SMTP_PASWORD"),
        ("PERENNIAL_SMTP_PORT", "none", "PERENNIAL_SMTP_PORT: "),
        ("PERENNIAL_TIMEZONE", "Berlin", "PERENNIAL_TIMEZONE: Value error, is not an IANA time zone"),
        ("PERENNIAL_NOW", "yesterday", "PERENNIAL_NOW: "),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_done(tmp_path, name, value, words):
    done = perennial(tmp_path / "home", "run", **{name: value})
    refused(done, words)
    assert "hunter2" not in done.stderr
    assert not (tmp_path / "home").exists()
