"""What a value may do to a mail: appear in it, and nothing else."""

import html
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment
from pydantic import ValidationError

from perennial.foundation.errors import BadConfig
from perennial.templates.compile import CompiledTemplate
from perennial.templates.context import MAX_PRODUCTS, Product, RenderContext
from perennial.templates.render import MAX_OUTPUT
from perennial.templates.render import render as render_pieces
from rendering import render

COLUMN = "<mjml><mj-body><mj-section><mj-column>{}</mj-column></mj-section></mj-body></mjml>"
BODY = COLUMN.format(
    '<mj-text>[{{ first_name }}]</mj-text><mj-image src="https://a.example/x" alt="({{ first_name }})"/>'
)
HELLO = CompiledTemplate(
    "hello/en/a",
    "0",
    "{{ first_name }}!",
    '<p title="({{ first_name }})">[{{ first_name }}]</p>',
    "[{{ first_name }}]\n{% for product in products %}({{ product.name }})\n{% endfor %}",
)


def test_markup_and_jinja_in_a_value_stay_text(compiled, context):
    name = "<script>alert(1)</script> {{7*7}} {% if x %} \"'&"
    mail = render(compiled(BODY, subject="Hi {{ first_name }}"), context(first_name=name))
    assert mail.subject == f"Hi {name}"
    assert f"[{name}]" in mail.text
    assert "<script>" not in mail.html
    assert "[&lt;script&gt;alert(1)&lt;/script&gt; {{7*7}} {% if x %} &#34;&#39;&amp;]" in mail.html


def test_line_breaks_in_a_value_reach_neither_subject_nor_headers(context):
    mail = render(HELLO, context(first_name="Ada\r\nBcc: eve@evil.example\x00\u2028x\u202e"))
    assert mail.subject == "Ada  Bcc: eve@evil.example  x!"


def test_what_is_too_long_to_be_said_is_not_known(context):
    long = context(first_name="a" * 101, favourite_category="b" * 100_000)
    assert (long.first_name, long.favourite_category) == ("", "")
    assert context(first_name="a" * 100).first_name == "a" * 100


@pytest.mark.parametrize("subject", ["", "  ", "a\x07b", "{{ first_name }}"])
def test_a_subject_is_one_line_of_text(context, subject):
    template = CompiledTemplate("hello/en/a", "0", subject, "", "")
    unchecked = context().model_copy(update={"first_name": "Ada\nBcc: eve@evil.example"})
    with pytest.raises(BadConfig, match="hello/en/a: the subject must be one line"):
        render(template, unchecked)


# What a context keeps as it is: one line without control characters, without blanks around it.
LINES = (
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=60)
    .map(str.strip)
    .filter(lambda text: not any(mark in text for mark in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
)


VALUES = st.just("") | LINES.map("§{}".format)
LETTER = CompiledTemplate(
    "letter/en/a",
    "0",
    " {{ first_name }}{{ tier }} and {% if orders > 1 %}{{ orders }}{% else %}one{% endif %} ",
    "<p>{{ first_name }}</p>{% for product in products %}{% if loop.first %}<ul>{% endif %}<li>{{ product.name }}"
    "{{ '<b>' }}</li>{% else %}none{% endfor %}{{ first_name|upper }}",
    "\n {{ first_name }} \n\n{% if tier %}\n{{ tier }}\t\n{% endif %}\n \n{% for product in products %}\n"
    "- {{ product.name }}  {{ first_name }}\n\n\n{% endfor %}  {{ tier }}",
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(VALUES, max_size=4), name=VALUES, tier=VALUES, orders=st.integers(0, 3))
def test_the_pieces_are_what_jinja_writes_and_a_value_is_never_taken_for_our_text(context, names, name, tier, orders):
    goods = [Product(name=product, price="1", url="https://shop.example/") for product in names]
    values = context(first_name=name, tier=tier, orders=orders, products=goods)
    mail = render_pieces(LETTER, values)
    for part, pieces in (("subject", mail.subject), ("html", mail.html), ("text", mail.text)):
        environment = SandboxedEnvironment(autoescape=part == "html")
        plain = environment.from_string(getattr(LETTER, part)).render(values.model_dump())
        if part != "html":
            plain = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", plain)).strip()
        assert "".join(pieces) == plain + "\n" * (part == "text")
        assert {type(piece) for piece in pieces} == {str}
        assert not any("§" in text for text in pieces[::2])
        assert all(value == "" or "§" in value or value == str(orders) for value in pieces[1::2])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=LINES, product=LINES)
def test_any_value_appears_escaped_in_html_and_verbatim_in_text(context, name, product):
    goods = [{"name": product, "price": "1", "url": "https://shop.example/"}]
    stored = json.loads(context(first_name=name, products=goods).model_dump_json())
    mail = render(HELLO, RenderContext.model_validate(stored))
    assert mail.subject == f"{name}!".strip()
    assert mail.text == f"[{name}]\n({product})\n"
    escaped = html.escape(name).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    assert mail.html == f'<p title="({escaped})">[{escaped}]</p>'


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=60))
def test_no_name_can_stop_a_mail_or_add_a_line(context, name):
    mail = render(HELLO, context(first_name=name))
    assert "\n" not in mail.subject
    assert mail.text.count("\n") == 1


@pytest.mark.parametrize("locale", ["en", "zh-CN", "de"])
def test_numbers_money_and_days_are_written_as_the_locale_writes_them(context, locale):
    source = "{{ points_balance | number }} {{ products[0].price | money }} {{ send_day | day }}"
    goods = [{"name": "x", "price": "1234.5", "url": "https://shop.example/"}]
    mail = render(
        CompiledTemplate("x", "0", "x", "", source), context(locale=locale, points_balance=12345, products=goods)
    )
    assert mail.text == {
        "en": "12,345 €1,234.50 February 1, 2026\n",
        "zh-CN": "12,345 €1,234.50 2026年2月1日\n",
        "de": "12.345 1.234,50\xa0€ 1. Februar 2026\n",
    }[locale]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ products[0].nmae }}", "no attribute 'nmae'"),
        ("{{ first_name | money }}", r"cannot be rendered \("),
        ("{{ first_name.__class__.__mro__ }}", "cannot be rendered"),
        ("{{ first_name | nofilter }}", "nofilter"),
        ("{% if %}", "cannot be rendered"),
        ("{% for a in products %}" + "x" * 50_000 + "{% endfor %}", f"beyond {MAX_OUTPUT}"),
        ("{% macro a() %}x{% endmacro %}{{ a() }}", "macros"),
    ],
)
def test_what_cannot_be_rendered_is_named_without_the_value(context, source, problem):
    goods = [{"name": "x", "price": "1", "url": "https://shop.example/"}] * MAX_PRODUCTS
    template = CompiledTemplate("hello/en/a", "0", "x", source, "")
    with pytest.raises(BadConfig, match=f"hello/en/a: the html part .*{problem}") as refusal:
        render(template, context(first_name="Secretname", products=goods))
    assert "Secretname" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//shop.example", "https://a b", 'https://"', ""]
)
def test_an_address_is_a_web_address(url):
    with pytest.raises(ValidationError):
        Product(name="x", price=1, url=url)


def test_a_refused_context_does_not_show_the_value(context):
    with pytest.raises(ValidationError) as refusal:
        context(tier="Secretname" * 100)
    assert "Secretname" not in str(refusal.value)
