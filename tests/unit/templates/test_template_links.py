"""Links of a compiled template pass a filter, and nothing else changes."""

import re

import pytest

from perennial.foundation.errors import BadConfig
from perennial.templates.links import with_links, with_open_picture
from perennial.templates.lint import lint
from perennial.templates.render import render

COLUMN = "<mjml><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"
FOOTER = '<mj-text>{{ postal_address }} <a href="{{ unsubscribe_url }}">Unsubscribe</a></mj-text>'
TAGS = "utm_source=perennial&utm_medium=email&utm_campaign=hello&utm_content=a"


def _rewrite(url, tags, noted):
    return f"https://r.example/?to={url}&{tags}&{'noted' if noted else 'seen'}"


def _read(compiled, context):
    mail = render(compiled, context, _rewrite)
    html, text = "".join(mail.html), "".join(mail.text)
    return re.findall(r'<a[^>]*\shref="([^"]*)"', html), text


@pytest.mark.parametrize(
    ("href", "led"),
    [
        ("{{ shop_url }}", "https://shop.example/"),
        ("https://shop.example/a?b=1&amp;c=2#d", "https://shop.example/a?b=1&c=2#d"),
        ("https://shop.example/it's", "https://shop.example/it%27s"),
        ("https://shop.example/{{ tier }}/x", "https://shop.example/blossom/x"),
        ("{{ shop_url }}{{ tier | upper }}", "https://shop.example/BLOSSOM"),
        ("HTTPS://shop.example/", "HTTPS://shop.example/"),
    ],
)
def test_a_web_link_is_asked_for_in_both_parts(compiled, context, href, led):
    body = COLUMN.format(f'<mj-text><a href="{href}">See</a></mj-text>')
    links, text = _read(compiled(body), context(tier="blossom"))
    assert links == [f"https://r.example/?to={led}&{TAGS}&noted".replace("&", "&amp;")]
    assert f"See: https://r.example/?to={led}&{TAGS}&seen" in text


@pytest.mark.parametrize(
    "href",
    [
        "mailto:hello@shop.example",
        "tel:+49301234",
        "#top",
        "{{ unsubscribe_url }}",
        "https://shop.example/{% if tier %}{{ tier }}{% endif %}",
    ],
)
def test_other_addresses_stay_as_they_are(compiled, context, href):
    body = COLUMN.format(f'<mj-text><a href="{href}">See</a></mj-text>')
    assert f'href="{href}"' in compiled(body).html
    links, text = _read(compiled(body), context(tier="blossom"))
    assert "r.example" not in links[0] + text


def test_buttons_and_pictures_are_links_and_style_sheets_are_not(compiled, context):
    body = COLUMN.format(
        '<mj-button href="{{ shop_url }}">Go</mj-button>'
        '<mj-image src="https://shop.example/p.png" alt="" href="https://shop.example/p"/>'
    )
    assert len(_read(compiled(body), context())[0]) == 2
    assert with_links('<link href="https://a.example/x.css">', "") == '<link href="https://a.example/x.css">'


def test_without_delivery_links_are_as_they_were_written(compiled, context):
    mail = render(compiled(COLUMN.format('<mj-text><a href="https://shop.example/a">See</a></mj-text>')), context())
    assert 'href="https://shop.example/a"' in "".join(mail.html)
    assert "See: https://shop.example/a" in "".join(mail.text)


def test_a_value_cannot_add_to_a_link_or_leave_it(compiled, context):
    body = COLUMN.format('<mj-text><a href="https://shop.example/{{ first_name }}">x</a></mj-text>')
    hostile = "'\"><script>{{ 7*7 }}"
    links, _ = _read(compiled(body), context(first_name=hostile))
    assert links == [
        f"https://r.example/?to=https://shop.example/&#39;&#34;&gt;&lt;script&gt;{{{{ 7*7 }}}}&{TAGS}&noted".replace(
            "&utm", "&amp;utm"
        ).replace("&noted", "&amp;noted")
    ]


def test_what_the_campaign_file_says_of_utm_counts(campaign, context):
    from perennial.templates.compile import compile_template

    made = campaign(COLUMN.format('<mj-text><a href="{{ shop_url }}">x</a></mj-text>'))
    file = made.file.model_copy(update={"utm": {"campaign": "spring & more", "source": "shop"}})
    compiled = compile_template(type(made)(**{**vars(made), "file": file}), "en", "a")
    (link,), _ = _read(compiled, context())
    assert "utm_source=shop&amp;utm_medium=email&amp;utm_campaign=spring+%26+more&amp;utm_content=a" in link


def test_the_open_picture_is_there_when_it_has_an_address(compiled, context):
    made = compiled(COLUMN.format("<mj-text>Hello</mj-text>"))
    assert "<img" not in "".join(render(made, context()).html)
    html = "".join(render(made, context(open_url="https://shop.example/o/x.gif")).html)
    assert html.count('<img src="https://shop.example/o/x.gif" alt=""') == 1
    assert html.index("x.gif") < html.index("</body>")
    assert with_open_picture("<p>no body</p>") == "<p>no body</p>"


def test_scores_are_links(compiled, context):
    body = COLUMN.format(
        '<mj-text>{% with n = 10 %}<a href="{{ n | nps_url }}">x</a>{% endwith %}'
        '<a href="{{ 5 | csat_url }}">y</a></mj-text>'
    )
    links, text = _read(compiled(body), context(answer_url="https://shop.example/answer/t"))
    assert links == ["https://shop.example/answer/t/nps/10", "https://shop.example/answer/t/csat/5"]
    assert "r.example" not in text


@pytest.mark.parametrize(
    "score", ["11 | nps_url", "-1 | nps_url", "0 | csat_url", "6 | csat_url", "first_name | nps_url"]
)
def test_a_score_that_the_survey_does_not_have_is_refused(campaign, compiled, context, score):
    body = COLUMN.format(f'<mj-text><a href="{{{{ {score} }}}}">x</a></mj-text>{FOOTER}')
    with pytest.raises(BadConfig, match=r"cannot be rendered|nps|csat"):
        render(compiled(body), context(answer_url="https://shop.example/answer/t"))
    assert lint(campaign(body))


def test_the_filters_are_ours_alone(compiled):
    with pytest.raises(BadConfig, match="filter 'link' is not allowed"):
        compiled(COLUMN.format("<mj-text>{{ shop_url | link('x') }}</mj-text>"))
    with pytest.raises(BadConfig, match="undefined variable '_rewrite'"):
        compiled(COLUMN.format("<mj-text>{{ _rewrite }}</mj-text>"))


def test_a_campaign_with_links_and_scores_passes(campaign):
    body = '<mj-text><a href="{{ 9 | nps_url }}">9</a> <a href="https://shop.example/{{ tier }}">t</a></mj-text>'
    assert lint(campaign(COLUMN.format(body + '<mj-button href="{{ shop_url }}">x</mj-button>' + FOOTER))) == []
