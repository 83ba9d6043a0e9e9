"""Where the links of one mail lead."""

import pytest

from outbox import settings_in
from perennial.delivery.tokens import Purpose, seal, signing_secret, unseal_link
from perennial.flows.links import Links
from perennial.templates.compile import CompiledTemplate

ID = "0b9f1a52-6a0c-5c1e-9f3a-0d6c7b8e9f10"
PLAIN = CompiledTemplate("x/en", "1", "", "{{ unsubscribe_url }}", "")
FULL = CompiledTemplate("x/en", "2", "", "{{ 9 | nps_url }} {{ view_url }}", "{{ preferences_url }} {{ confirm_url }}")


def _links(tmp_path, provider, **settings):
    return Links(settings_in(tmp_path, public_url="https://mail.shop.example/", **settings), provider)


def test_a_mail_has_the_links_that_it_shows(tmp_path):
    links = _links(tmp_path, "smtp")
    assert set(links.of(ID, PLAIN)) == {"unsubscribe_url"}
    secret = signing_secret(settings_in(tmp_path))
    assert links.of(ID, FULL) == {
        name: f"https://mail.shop.example/{page}/{seal(ID, secret, purpose)}"
        for name, page, purpose in (
            ("unsubscribe_url", "unsubscribe", Purpose.UNSUBSCRIBE),
            ("answer_url", "answer", Purpose.ANSWER),
            ("view_url", "view", Purpose.VIEW),
            ("preferences_url", "preferences", Purpose.PREFERENCES),
            ("confirm_url", "confirm", Purpose.CONFIRM),
        )
    }


@pytest.mark.parametrize(
    ("provider", "track", "opens", "clicks"),
    [
        ("smtp", "opens,clicks", True, True),
        ("mailbox", "opens", True, False),
        ("smtp", "clicks", False, True),
        ("smtp", "none", False, False),
        ("sendgrid", "opens,clicks", False, False),
        ("mailgun", "opens,clicks", False, False),
        (None, "opens,clicks", False, False),
    ],
)
def test_what_is_noted_is_what_we_were_told_to_where_nobody_else_does(tmp_path, provider, track, opens, clicks):
    links = _links(tmp_path, provider, track=track)
    assert ("open_url" in links.of(ID, PLAIN)) is opens
    led = links.rewriter(ID)("https://shop.example/", "utm_source=x", True)
    assert led.startswith("https://mail.shop.example/c/") is clicks
    if clicks:
        token = led.rpartition("/")[2]
        assert unseal_link(token, signing_secret(settings_in(tmp_path))) == (ID, "https://shop.example/?utm_source=x")
    assert links.rewriter(ID)("https://shop.example/", "utm_source=x", False) == "https://shop.example/?utm_source=x"


@pytest.mark.parametrize(
    ("url", "tagged"),
    [
        ("https://shop.example", "https://shop.example?utm_source=p&utm_medium=email"),
        ("https://shop.example/a?b=%26&c#d", "https://shop.example/a?b=%26&c&utm_source=p&utm_medium=email#d"),
        ("https://shop.example/?utm_source=theirs", "https://shop.example/?utm_source=theirs&utm_medium=email"),
        ("https://shop.example/?utm_source=", "https://shop.example/?utm_source=&utm_medium=email"),
        ("https://[broken/", "https://[broken/"),
        ("https://mail.shop.example/unsubscribe/x", "https://mail.shop.example/unsubscribe/x"),
        ("mailto:x@shop.example", "mailto:x@shop.example"),
        ("javascript:alert(1)", "javascript:alert(1)"),
    ],
)
def test_tags_are_added_and_never_replaced(tmp_path, url, tagged):
    assert _links(tmp_path, "smtp").rewriter(ID)(url, "utm_source=p&utm_medium=email", True) == tagged
