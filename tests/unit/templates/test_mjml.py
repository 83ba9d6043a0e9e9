"""MJML with Jinja in it: both branches, loops, text part, and what is refused."""

from html.parser import HTMLParser

import pytest

from perennial.foundation.errors import BadConfig
from rendering import render

PAGE = "<mjml><mj-body>{}</mj-body></mjml>"
COLUMN = PAGE.format("<mj-section><mj-column>{}</mj-column></mj-section>")
GOODS = [{"name": f"Tea {n}", "price": "4.90", "url": f"https://shop.example/{n}"} for n in range(3)]
VOID = {"meta", "img", "br", "link", "hr"}


class Balance(HTMLParser):
    """Whether every element that opens closes, in order, for Outlook (which reads [if mso]) or for all others."""

    def __init__(self, html, *, outlook):
        super().__init__()
        self.open = []
        html = html.replace("<!--[if !mso]><!-->", "").replace("<!--<![endif]-->", "")
        if outlook:
            html = html.replace("<![endif]-->", "")
            for start in ("<!--[if mso | IE]>", "<!--[if mso]>", "<!--[if lte mso 11]>"):
                html = html.replace(start, "")
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Opens nothing."""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def balanced(html):
    Balance(html, outlook=True)
    Balance(html, outlook=False)
    return html


def test_both_branches_around_a_text(compiled, context):
    body = "{% if first_name %}<mj-text>yes {{ first_name }}</mj-text>{% else %}<mj-text>no name</mj-text>{% endif %}"
    template = compiled(COLUMN.format(body))
    yes, no = (render(template, context(first_name=name)) for name in ("Ada", ""))
    assert ("yes Ada" in balanced(yes.html), "no name" in yes.html, yes.text) == (True, False, "yes Ada\n")
    assert ("yes" in balanced(no.html), "no name" in no.html, no.text) == (False, True, "no name\n")


def test_both_branches_inside_a_text_beside_an_inlined_style(compiled, context):
    body = (
        '<mjml><mj-head><mj-style inline="inline">.x { color: red }</mj-style></mj-head><mj-body>'
        "<mj-section><mj-column>"
        '<mj-text>{% if orders > 1 %}<span class="x">many</span>{% else %}few{% endif %} &amp; more</mj-text>'
        "</mj-column></mj-section></mj-body></mjml>"
    )
    template = compiled(body)
    many, few = render(template, context(orders=2)), render(template, context(orders=1))
    assert '<span class="x" style="color: red;">many</span> &amp; more' in balanced(many.html)
    assert "few" not in many.html
    assert "few &amp; more" in balanced(few.html)
    assert (many.text, few.text) == ("many & more\n", "few & more\n")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_loop_around_sections_columns_and_inside_a_text(compiled, context, count):
    body = (
        "{% for product in products %}"
        "<mj-section><mj-column><mj-text>S{{ product.name }}</mj-text></mj-column></mj-section>{% endfor %}"
        "<mj-section>{% for product in products %}<mj-column><mj-text>C{{ product.name }}</mj-text></mj-column>"
        "{% endfor %}</mj-section><mj-section><mj-column><mj-text><ul>{% for product in products %}"
        "<li>{{ product.name }}</li>{% endfor %}</ul></mj-text></mj-column></mj-section>"
    )
    mail = render(compiled(PAGE.format(body)), context(products=GOODS[:count]))
    html = balanced(mail.html)
    for mark in (">STea", ">CTea", "<li>Tea"):
        assert html.count(mark) == count
    assert mail.text.count("Tea") == 3 * count
    assert mail.text.count("- Tea") == count


def test_nested_loops_make_rows(compiled, context):
    body = (
        "{% for row in products | batch(2) %}<mj-section>{% for product in row %}<mj-column><mj-text>{{ product.name }}"
        "</mj-text></mj-column>{% endfor %}</mj-section>{% endfor %}"
    )
    mail = render(compiled(PAGE.format(body)), context(products=GOODS))
    assert mail.text == "Tea 0\n\nTea 1\n\nTea 2\n"
    balanced(mail.html)


def test_jinja_in_attributes_and_addresses(compiled, context):
    body = (
        '<mj-button href="{{ shop_url }}?a=1&amp;tier={{ tier | urlencode }}">Go</mj-button>'
        '<mj-button href="{% if orders > 1 %}https://a.example{% else %}https://b.example{% endif %}">Or</mj-button>'
        '<mj-image src="{{ shop_url }}x.png" alt="{{ tier }}"/>'
    )
    mail = render(compiled(COLUMN.format(body)), context(tier='g"<&', orders=2))
    assert 'href="https://shop.example/?a=1&amp;tier=g%22%3C%26"' in mail.html
    assert 'href="https://a.example"' in mail.html
    assert 'alt="g&#34;&lt;&amp;"' in mail.html
    assert mail.text == 'Go: https://shop.example/?a=1&tier=g%22%3C%26\n\nOr: https://a.example\n\ng"<&\n'


def test_the_text_part_reads_like_the_mail(compiled, context):
    body = (
        "<mjml><mj-head><mj-title>Title</mj-title><mj-preview>Hidden</mj-preview><mj-attributes>"
        '<mj-text color="#111111"/></mj-attributes><mj-style>p { color: red }</mj-style></mj-head><mj-body><mj-section>'
        '<mj-column><mj-image src="https://a.example/x.png" alt="A tree"/>'
        "<mj-text><p>One\n  two,&nbsp;three<br/>four</p>"
        '<p>See <a href="{{ shop_url }}">the shop</a>.</p></mj-text><mj-divider/>'
        '<mj-image src="https://a.example/y.png" alt="{{ tier }}"/>'
        '<mj-text>{{ tier }}</mj-text><mj-spacer height="9px"/>'
        "<mj-table><tr><td>Points</td><td>{{ points_balance | number }}</td></tr></mj-table>"
        '<mj-button href="{{ shop_url }}">Go</mj-button></mj-column></mj-section></mj-body></mjml>'
    )
    mail = render(compiled(body), context(tier="gold", points_balance=1240))
    assert mail.text == (
        "A tree\n\nOne two,\xa0three\nfour\n\nSee the shop: https://shop.example/.\n\ngold\n\n"
        "Points 1,240\n\nGo: https://shop.example/\n"
    )


def test_a_text_body_of_its_own_replaces_the_derived_one(compiled, context):
    template = compiled(COLUMN.format("<mj-text>html</mj-text>"), body_txt="Own {{ shop_name }}\n\n\n\nwords")
    assert render(template, context()).text == "Own Shop\n\nwords\n"


def test_equal_sources_have_equal_hashes(compiled):
    assert compiled(subject="A").hash == compiled(subject="A").hash
    assert compiled(subject="A").hash != compiled(subject="B").hash


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (COLUMN.format("{{ tier }}"), "{{ tier }} cannot stand here; put it into mj-text"),
        (COLUMN.format("loose words"), "'loose words' stands outside mj-text"),
        (COLUMN.format("<mj-txt>x</mj-txt>"), "<mj-txt> is not an element templates may use"),
        (COLUMN.format("<mj-text>x"), "closes nothing that is open|cannot stand inside|not closed"),
        (COLUMN.format("<mj-text><mj-text>x</mj-text></mj-text>"), "<mj-text> cannot stand inside <mj-text>"),
        (COLUMN.format("<mj-text>JQ0001Z</mj-text>"), "kept for internal use"),
        (COLUMN.format("<!-- {{ tier }} -->"), "write comments as {# … #}"),
        (COLUMN.format('<mj-image {% if orders %}src="x"{% endif %}/>'), "stands between attributes"),
        (COLUMN.format('<mj-image src="x">'), "is written <mj-image …/>"),
        (PAGE.format("<mj-wrapper>{% if tier %}x{% endif %}</mj-wrapper>"), "<mj-wrapper> is not an element"),
        ("<mjml>{% if tier %}<mj-body></mj-body>{% endif %}</mjml>", "cannot stand directly in <mjml>"),
        ("<mjml><mj-head><mj-style>{{ tier }}</mj-style></mj-head><mj-body></mj-body></mjml>", "in a style sheet"),
        (COLUMN.format("<mj-text><b>x</mj-text>"), "not readable as MJML"),
        ("<mjml><mj-body>", "<mj-body> is not closed"),
    ],
)
def test_what_would_be_lost_or_broken_is_refused(compiled, body, problem):
    with pytest.raises(BadConfig) as refusal:
        compiled(body)
    assert "body.mjml.j2" in str(refusal.value)
    assert any(part in str(refusal.value) for part in problem.split("|"))


def test_an_mjml_error_names_the_line(compiled):
    with pytest.raises(BadConfig, match=r"body\.mjml\.j2, line 4: 'stray' stands outside"):
        compiled(COLUMN.format("\n{% if tier %}<mj-text>a</mj-text>{% endif %}\n\nstray"))
