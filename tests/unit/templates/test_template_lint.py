import pytest

from perennial.campaigns.definition import load_campaigns
from perennial.foundation.settings import REPOSITORY, load_settings
from perennial.templates.compile import compile_template
from perennial.templates.context import sample_contexts
from perennial.templates.lint import lint
from rendering import render

COLUMN = "<mjml><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"
FOOTER = '<mj-text>{{ postal_address }} <a href="{{ unsubscribe_url }}">Unsubscribe</a></mj-text>'
SHIPPED = [
    (campaign, locale, variant.name)
    for campaign in load_campaigns(load_settings(include=REPOSITORY / "include"))
    for locale in campaign.locales
    for variant in campaign.file.experiment.variants
]


def test_a_good_campaign_has_no_problems(campaign):
    assert lint(campaign(COLUMN.format(FOOTER))) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<mj-text>{{ postal_address }}</mj-text>", "needs a visible link to {{ unsubscribe_url }}"),
        ("<mj-text>{{ unsubscribe_url }} {{ postal_address }}</mj-text>", "needs a visible link"),
        ('<mj-text><a href="{{ unsubscribe_url }}">x</a></mj-text>', "HTML part lacks {{ postal_address }}"),
        (FOOTER + "<mj-text>{{ products[0].name }}</mj-text>", "cannot be rendered"),
        (FOOTER + "<mj-text>{{ nobody }}</mj-text>", "undefined variable 'nobody'"),
        (FOOTER + "<mj-text><script>x</script></mj-text>", "'<script' is active content"),
        (FOOTER + '<mj-text><b onclick="x">x</b></mj-text>', "active content"),
        (FOOTER + '<mj-button href="javascript:x">x</mj-button>', "active content"),
        (FOOTER + '<mj-button href="data:x">x</mj-button>', "href='data:x' must be http(s)"),
        (FOOTER + '<mj-button href="{{ first_name }}">x</mj-button>', "must be http(s), mailto, tel, or a variable"),
        (FOOTER + "<mj-text>" + "x" * 95_000 + "</mj-text>", "at most 95000"),
        (FOOTER + '<mj-text><img src="https://a.example/x"/></mj-text>', "an image has no alt text"),
    ],
)
def test_what_must_not_go_out_is_found(campaign, body, problem):
    found = lint(campaign(COLUMN.format(body)))
    assert any(problem in sentence for sentence in found), found


def test_a_long_subject_is_found(campaign):
    assert any("subject has 121" in sentence for sentence in lint(campaign(COLUMN.format(FOOTER), subject="x" * 121)))


def test_a_transactional_mail_needs_no_way_out(campaign):
    assert lint(campaign(COLUMN.format("<mj-text>Your receipt</mj-text>"), purpose="transactional")) == []


@pytest.mark.parametrize("campaign_id", ["win_back", "tier_upgrade"])
def test_the_shipped_campaigns_pass(campaign_id):
    assert lint(next(campaign for campaign, _, _ in SHIPPED if campaign.id == campaign_id)) == []


@pytest.mark.parametrize(
    ("campaign", "locale", "variant"), SHIPPED, ids=[f"{c.id}-{locale}-{name}" for c, locale, name in SHIPPED]
)
def test_a_shipped_mail_reads_well_for_the_known_and_the_unknown(campaign, locale, variant):
    template = compile_template(campaign, locale, variant)
    known, unknown = (render(template, context) for context in sample_contexts(locale))
    name = sample_contexts(locale)[0].first_name
    assert name in known.html
    assert name in known.text
    assert name not in unknown.html
    for mail in (known, unknown):
        assert f'lang="{locale}"' in mail.html
        assert "prefers-color-scheme: dark" in mail.html
        for leftover in ("{{", "{%", "JQ", "None", " ,", " ，", "「」", "  "):  # noqa: RUF001
            assert leftover not in mail.text, mail.text


def test_the_variants_of_win_back_differ_in_their_subject():
    subjects = {
        (locale, variant): render(compile_template(campaign, locale, variant), sample_contexts(locale)[0]).subject
        for campaign, locale, variant in SHIPPED
        if campaign.id == "win_back"
    }
    assert subjects == {
        ("en", "a"): "Ada, it has been a while",
        ("en", "b"): "What people are choosing in our garden range right now",
        ("zh-CN", "a"): "晓雨，好久不见",  # noqa: RUF001
        ("zh-CN", "b"): "最近大家常买的园艺用品，都在这里",  # noqa: RUF001
    }
