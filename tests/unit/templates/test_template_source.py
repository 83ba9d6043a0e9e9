"""Which Jinja a template may use, and how layouts and includes are put in place."""

import re

import pytest

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import REPOSITORY
from perennial.templates.context import VARIABLES
from perennial.templates.filters import FILTERS
from rendering import render

COLUMN = "<mjml><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"
LAYOUT = COLUMN.format(
    "<mj-text>{% block top %}nothing new{% endblock %}</mj-text><mj-text>{% block end %}bye{% endblock %}</mj-text>"
)


def test_a_body_fills_the_blocks_of_its_layout_and_keeps_the_others(compiled, context):
    body = '{% extends "_shared/layout.mjml.j2" %}\n{% block top %}hello {{ first_name }}{% endblock %}'
    template = compiled(body, shared={"layout.mjml.j2": LAYOUT})
    assert render(template, context(first_name="Ada")).text == "hello Ada\n\nbye\n"


def test_the_locales_own_shared_file_goes_before_the_common_one(compiled, context):
    shared = {"bye.txt.j2": "common", "en/bye.txt.j2": "english", "de/bye.txt.j2": "deutsch"}
    template = compiled(COLUMN.format('<mj-text>{% include "_shared/bye.txt.j2" %}</mj-text>'), shared=shared)
    assert render(template, context()).text == "english\n"


def test_a_shared_piece_is_given_what_it_needs_by_with(compiled, context):
    body = '{% with label = "Go", url = shop_url %}{% include "_shared/button.mjml.j2" %}{% endwith %}'
    shared = {"button.mjml.j2": '<mj-button href="{{ url }}">{{ label }}</mj-button>'}
    assert render(compiled(COLUMN.format(body), shared=shared), context()).text == "Go: https://shop.example/\n"


def test_the_documentation_lists_every_variable_and_filter():
    text = (REPOSITORY / "docs" / "campaigns.md").read_text(encoding="utf-8")
    listed = text.partition("## What a template may say")[2].partition("\n## ")[0]
    names = {name for code in re.findall("`([^`]+)`", listed) for name in re.findall(r"[a-z_]+", code)}
    assert names >= VARIABLES | set(FILTERS)


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("{{ frist_name }}", "line 1: undefined variable 'frist_name'. Known variables: answer_url"),
        ("{% macro x() %}{% endmacro %}", "{% macro %} is not allowed"),
        ("{% call x() %}{% endcall %}", "{% call %} is not allowed"),
        ("{% filter upper %}x{% endfilter %}", "{% filter %} is not allowed"),
        ("{% set x %}y{% endset %}", "{% set %} is not allowed"),
        ("{% import 'x' as y %}", "{% import %} is not allowed"),
        ("{% raw %}x{% endraw %}", "{% raw %} is not allowed"),
        ("{{ 'a' * 100000000 }}", "mul is not allowed"),
        ("{{ 9 ** 9 ** 9 }}", "pow is not allowed"),
        ("{{ first_name ~ first_name }}", "concat is not allowed"),
        ("{{ range(10) }}", "call is not allowed"),
        ("{{ first_name.upper() }}", "call is not allowed"),
        ("{{ first_name | safe }}", "filter 'safe' is not allowed. Allowed: batch"),
        ("{{ first_name | center(1000000000) }}", "filter 'center' is not allowed"),
        ("{{ 'a' if first_name is callable }}", "test 'callable' is not allowed"),
        ("{% for x in [1, 2] %}{% endfor %}", "list is not allowed"),
        ("{% for a in products %}{% for b in products %}{% for c in products %}{% endfor %}{% endfor %}{% endfor %}",
         "loops nest at most 2 deep"),
        ("{{ '" + "x" * 501 + "' }}", "at most 500 characters"),
        ("{% if first_name %}", "line 1: "),
        ("{{ first_name", "line 1: {{ is not closed"),
        ("Two\nlines", "line 2: a subject is one line"),
        ("x" * 100_001, "at most 100000"),
        ('{% include "_shared/none.j2" %}', "there is neither"),
        ('{% include "../../secret.j2" %}', "name a file of _shared"),
        ("{% include first_name %}", "name a file of _shared"),
        ('Hi {% extends "_shared/layout.mjml.j2" %}', "extends comes first"),
    ],
)  # fmt: skip
def test_what_a_template_may_not_do_is_refused_by_file_and_line(compiled, subject, problem):
    with pytest.raises(BadConfig) as refusal:
        compiled(subject=subject, shared={"layout.mjml.j2": LAYOUT})
    assert "subject.txt.j2" in str(refusal.value)
    assert problem in str(refusal.value)


def test_an_error_in_a_shared_file_names_that_file_and_its_line(compiled):
    body = COLUMN.format(
        '\n<mj-text>\n{% include "_shared/en/x.j2" %}{% include "_shared/greeting.txt.j2" %}</mj-text>'
    )
    shared = {"greeting.txt.j2": "Hello\nand\nhello {{ nmae }}"}
    with pytest.raises(BadConfig, match=r"_shared/greeting\.txt\.j2, line 3: undefined variable 'nmae'"):
        compiled(body.replace('{% include "_shared/en/x.j2" %}', ""), shared=shared)


def test_an_error_in_a_body_keeps_its_line_behind_a_layout_and_includes(compiled):
    body = '{% extends "_shared/layout.mjml.j2" %}\n{% block end %}\n\n{{ nmae }}{% endblock %}'
    with pytest.raises(BadConfig, match=r"en/body\.mjml\.j2, line 4: undefined variable 'nmae'"):
        compiled(body, shared={"layout.mjml.j2": LAYOUT})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('{% extends "_shared/layout.mjml.j2" %}<mj-text/>', "stands outside the blocks"),
        (
            '{% extends "_shared/layout.mjml.j2" %}{% block middle %}x{% endblock %}',
            "no block 'middle'. It has: top, end",
        ),
        ('{% extends "_shared/layout.mjml.j2" %}{% block top %}x', "block top has no endblock"),
        ('{% extends "_shared/layout.mjml.j2" %}{% block top %}{% block end %}{% endblock %}{% endblock %}', "nested"),
        ('{% extends "_shared/loop.mjml.j2" %}', "includes itself"),
    ],
)
def test_a_layout_is_filled_by_its_own_blocks_only(compiled, body, problem):
    loop = '{% include "_shared/loop.mjml.j2" %}'
    with pytest.raises(BadConfig) as refusal:
        compiled(body, shared={"layout.mjml.j2": LAYOUT, "loop.mjml.j2": loop})
    assert problem in str(refusal.value)


def test_comments_are_left_out(compiled, context):
    template = compiled(COLUMN.format("<mj-text>a{# {% macro %} #}b</mj-text>"), subject="x{# y #}")
    assert "macro" not in template.html
    assert render(template, context()).text == "ab\n"
