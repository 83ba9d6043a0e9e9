"""What people do with a mail they got, over real HTTP: its links, its picture, its survey, its pages."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from website import call, page, recorded, served

from outbox import CAMPAIGN, NOW, context_of, freeze, later, new_message, run_in, settings_in
from perennial.delivery.tokens import seal, signing_secret
from perennial.flows.delivery import deliver
from perennial.flows.mirror import mirror_ledger
from perennial.flows.subscribing import subscribe
from perennial.foundation.settings import SHIPPED
from perennial.ledger import NewTemplate, Outcome, State, open_ledger
from perennial.ledger.tables import messages as messages_table
from perennial.ledger.visits import TOO_SOON
from perennial.templates.compile import compile_folder
from perennial.warehouse import open_warehouse

BODY = """{% extends "_shared/layout.mjml.j2" %}
{% block preheader %}Hello{% endblock %}
{% block content %}<mj-section><mj-column>
<mj-text>{% if first_name %}Dear {{ first_name }}{% endif %} <a href="https://shop.example/new?a=1&amp;b=2#top">New</a>
<a href="https://shop.example/{{ favourite_category }}/list">List</a> <a href="mailto:hello@shop.example">Write</a>
</mj-text>
{% with label = "Shop", url = shop_url %}{% include "_shared/button.mjml.j2" %}{% endwith %}
{% with lowest = "no", highest = "yes" %}{% include "_shared/nps.mjml.j2" %}
{% include "_shared/csat.mjml.j2" %}{% endwith %}
</mj-column></mj-section>{% endblock %}
"""
PERSON = {"User_Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


def _template(folder: Path) -> NewTemplate:
    folder = folder / "en"
    folder.mkdir()
    (folder / "subject.txt.j2").write_text("Hello")
    (folder / "body.mjml.j2").write_text(BODY)
    tags = "utm_source=perennial&utm_campaign=win_back"
    made = compile_folder("test/en", folder, (SHIPPED / "templates/_shared",), tags=tags)
    return NewTemplate(CAMPAIGN, "en", "a", made.subject, made.html, made.text)


@pytest.fixture
def settings(tmp_path, ledger_url):
    """Two people's mails, delivered into the mailbox a minute ago."""
    settings = settings_in(
        tmp_path / "home", ledger=ledger_url, track="opens,clicks", public_url="https://mail.shop.example"
    )
    template = _template(tmp_path)
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=2)
        ledger.freeze([], [template], run_in(settings).origin)
        rows = [
            new_message(
                number,
                settings,
                template_hash=template.hash,
                context=context_of("Ada <b>") | {"favourite_category": "tea&co"},
            )
            for number in range(2)
        ]
        ledger.queue(run_in(settings), CAMPAIGN, "mailbox", rows)
    assert deliver(settings) == {"accepted": 2}
    return later(settings, minutes=1)


@pytest.fixture
def mail(settings):
    """The mail of the first person: `html`, `text`, `id`."""

    class Mail:
        pass

    for path in settings.mailbox_dir.glob("*.eml"):
        read = message_from_bytes(path.read_bytes(), policy=policy.default)
        if read["To"] == "person0@mail.example":
            Mail.id = read["X-Perennial-Message"]
            Mail.html = read.get_body(("html",)).get_content()
            Mail.text = read.get_body(("plain",)).get_content()
            Mail.links = [link.replace("&amp;", "&") for link in re.findall(r'<a[^>]*\shref="([^"]*)"', Mail.html)]
    return Mail


@pytest.fixture
def site(settings):
    with served(settings) as address:
        yield address


def _clicks(mail):
    return [link for link in mail.links if "/c/" in link]


def _events(settings, message_id, expected=None):
    """Events of a message, oldest first; visits are noted after the answer."""
    for _ in range(100):
        with open_ledger(settings) as ledger:
            rows = [
                row for row in recorded(ledger, "message_events")["message_events"] if row["message_id"] == message_id
            ]
        if expected is None or len(rows) >= expected:
            break
        time.sleep(0.05)
    return [(row["kind"], row["machine"]) for row in rows]


def test_links_lead_where_they_said_and_carry_their_tags(site, settings, mail):
    led = [call(page(site, link), method="HEAD")[2]["Location"] for link in _clicks(mail)]
    tags = "utm_source=perennial&utm_campaign=win_back"
    assert set(led) == {
        f"https://shop.example/?{tags}",
        f"https://shop.example/new?a=1&b=2&{tags}#top",
        f"https://shop.example/tea&co/list?{tags}",
    }
    others = {urlsplit(link).path.split("/")[1] for link in mail.links if link.startswith("https://mail.shop.example/")}
    assert others == {"answer", "c", "preferences", "unsubscribe", "view"}
    assert f"https://shop.example/?{tags}" in mail.text  # people read it there: not hidden behind a click
    assert "/c/" not in mail.text
    assert "mailto:hello@shop.example" in mail.links


def test_nobody_is_led_elsewhere(site, settings, mail):
    token = _clicks(mail)[0].rpartition("/")[2]
    unsubscribe = seal(mail.id, signing_secret(settings))
    for forged in (token[:-2], token + "AAAA", "A" * 80, unsubscribe, "x", "%00", "https:%2f%2fevil.example"):
        status, _, headers = call(f"{site}/c/{forged}")
        assert (status, headers["Location"]) == (404, None)
    status, _, headers = call(f"{site}/c/{token}?url=https://evil.example/")
    assert (status, urlsplit(headers["Location"]).hostname) == (302, "shop.example")


def test_a_persons_click_counts_once_a_minute(site, settings, mail):
    link = page(site, _clicks(mail)[0])
    for _ in range(3):
        assert call(link, **PERSON)[0] == 302
    assert _events(settings, mail.id, 1) == [("clicked", False)]
    with open_ledger(settings) as ledger:
        (event,) = recorded(ledger, "message_events")["message_events"]
        assert event["details"]["url"].startswith("https://shop.example/")


def test_what_machines_do_is_kept_and_not_counted(site, settings, mail):
    headers = {"User_Agent": "Mozilla/5.0"}  # Apple's proxy
    open_picture = re.search(r'src="([^"]*/o/[^"]*)"', mail.html)[1]
    assert call(page(site, _clicks(mail)[0]), **headers)[0] == 302
    assert call(page(site, _clicks(mail)[1]), method="HEAD", **PERSON)[0] == 302
    status, _, answered = call(page(site, open_picture), **headers)
    assert (status, answered["Content-Type"], answered["Cache-Control"]) == (200, "image/gif", "no-store")
    assert sorted(_events(settings, mail.id, 3)) == [("clicked", True), ("clicked", True), ("opened", True)]


def test_many_links_within_a_second_are_a_scanner_however_it_calls_itself(site, settings, mail):
    links = [page(site, link) for link in dict.fromkeys(_clicks(mail))][:3]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda link: call(link, **PERSON)[0], links)) == [302] * 3
    for _ in range(100):
        if _events(settings, mail.id, 3) == [("clicked", True)] * 3:
            break
        time.sleep(0.05)
    assert _events(settings, mail.id) == [("clicked", True)] * 3


def test_nobody_clicks_right_after_the_mail_was_taken(settings, mail):
    from perennial.flows.listening import clicked

    with open_ledger(settings) as ledger:
        taken = ledger.message(mail.id)["accepted_at"]
    for seconds, machine in ((TOO_SOON.total_seconds() - 1, True), (TOO_SOON.total_seconds(), False)):
        then = settings.model_copy(update={"now": taken + timedelta(seconds=seconds)})
        with open_ledger(then) as ledger:
            clicked(mail.id, "https://shop.example/", ledger, user_agent=PERSON["User_Agent"], only_asked=False)
        assert ("clicked", machine) in _events(then, mail.id)


def test_a_persons_look_at_an_unknown_message_says_that_it_arrived(site, settings, mail):
    with open_ledger(settings) as ledger, ledger._writing() as connection:
        its = messages_table.update().where(messages_table.c.message_id == mail.id)
        connection.execute(its.values(state="unknown"))
    picture = re.search(r'src="([^"]*/o/[^"]*)"', mail.html)[1]
    call(page(site, picture), method="HEAD")
    assert _events(settings, mail.id, 1) == [("opened", True)]
    with open_ledger(settings) as ledger:
        assert ledger.message(mail.id)["state"] == "unknown"
    call(page(site, picture), **PERSON)
    assert _events(settings, mail.id, 2) == [("opened", True), ("opened", False)]
    with open_ledger(settings) as ledger:
        assert ledger.message(mail.id)["state"] == "delivered"


def test_without_tracking_links_are_tagged_only(tmp_path):
    settings = settings_in(tmp_path / "home")
    template = _template(tmp_path)
    with open_ledger(settings) as ledger:
        freeze(ledger, settings, send=1)
        ledger.freeze([], [template], run_in(settings).origin)
        ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(0, settings, template_hash=template.hash)])
    deliver(settings)
    (path,) = settings.mailbox_dir.glob("*.eml")
    html = message_from_bytes(path.read_bytes(), policy=policy.default).get_body(("html",)).get_content()
    assert 'href="https://shop.example/?utm_source=perennial&amp;utm_campaign=win_back"' in html
    assert "/c/" not in html
    assert "/o/" not in html


def test_one_tap_asks_and_the_button_answers(site, settings, mail):
    taps = {
        urlsplit(link).path.partition("/answer/")[2].partition("/")[2]: link
        for link in mail.links
        if "/answer/" in link
    }
    assert set(taps) == {*(f"nps/{n}" for n in range(11)), *(f"csat/{n}" for n in range(1, 6))}
    url = page(site, taps["nps/9"])
    for _ in range(2):
        status, html, _ = call(url)
        assert status == 200
        assert 'value="9" checked' in html
        assert html.count(" checked") == 1
    with open_ledger(settings) as ledger:
        assert ledger.answers(mail.id) == []
    hostile = "<script>alert(1)</script>\u2028\x00" + "很好" * 1500
    for form in ({"score": "10", "comment": hostile}, {"score": "10", "comment": hostile}, {"score": "3"}, {}):
        assert call(url, form or b"")[0] == 200
    assert call(page(site, taps["csat/2"]), {"score": "2", "comment": " "})[0] == 200
    with open_ledger(settings) as ledger:
        said = ledger.answers(mail.id)
        mirrored = recorded(ledger, "survey_answers")["survey_answers"]
    assert [(row["survey"], row["score"], row["superseded_at"] is None) for row in said] == [
        ("nps", 10, False),
        ("nps", 3, False),
        ("nps", 9, True),
        ("csat", 2, True),
    ]
    assert said[0]["comment"] == hostile.replace("\0", "\ufffd")[:2000]
    assert said[-1]["comment"] is None
    assert "comment" not in mirrored[0]
    token = urlsplit(url).path.split("/")[2]
    for wrong in ("nps/11", "nps/-1", "nps/x", "csat/0", "csat/6", "other/1", "nps/９"):  # noqa: RUF001
        assert call(f"{site}/answer/{token}/{wrong.replace('９', '%EF%BC%99')}")[0] == 404  # noqa: RUF001
        assert call(f"{site}/answer/{token}/{wrong.replace('９', '%EF%BC%99')}", b"")[0] == 404  # noqa: RUF001
    assert call(f"{site}/answer/{seal(mail.id, signing_secret(settings))}/nps/9", b"")[0] == 404
    assert call(url, b"comment=" + b"x" * 50_000)[0] == 413


def test_an_answer_may_change_and_does_not_fill_the_ledger(settings, mail):
    with open_ledger(settings) as ledger:
        for score in range(60):
            assert ledger.answer(mail.id, "nps", score % 11, None)
        assert not ledger.answer("0b9f1a52-6a0c-5c1e-9f3a-0d6c7b8e9f10", "nps", 1, None)
        said = ledger.answers(mail.id)
    assert len(said) == 20
    assert [row["score"] for row in said if row["superseded_at"] is None] == [19 % 11]


def test_the_mail_in_a_browser_is_the_mail_while_it_is_kept(site, settings, mail):
    (link,) = {link for link in mail.links if "/view/" in link}
    status, html, headers = call(page(site, link))
    assert status == 200
    assert "Dear Ada &lt;b&gt;" in html
    assert "/unsubscribe/" in html
    assert "/c/" not in html  # looking at it there is not counted again
    assert "/o/" not in html
    assert "script-src" not in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    with open_ledger(settings) as ledger, ledger._writing() as connection:
        connection.execute(messages_table.update().values(context=None))
    status, html, _ = call(page(site, link), Accept_Language="zh")
    assert (status, "不再保留" in html) == (410, True)


def test_people_choose_topics_and_may_come_back(site, settings, mail):
    (link,) = {link for link in mail.links if "/preferences/" in link}
    url = page(site, link)
    assert 'value="offers" checked' in call(url)[1]
    with open_ledger(settings) as ledger:
        assert recorded(ledger, "consents", "suppressions") == {"consents": [], "suppressions": []}
    assert call(url, {"topic": "offers"})[0] == 200  # as it was: nothing to note
    assert call(url, b"")[0] == 200
    assert 'value="offers">' in call(url)[1]
    assert call(url, b"")[0] == 200
    after = later(settings, minutes=5)
    with served(after) as later_site:
        url = page(later_site, link)
        assert call(url, {"topic": ["offers", "nothing", "offers"]})[0] == 200
        assert 'value="offers" checked' in call(url)[1]
    with open_ledger(after) as ledger:
        found = recorded(ledger, "consents", "suppressions")
    assert [(row["state"], row["topic"], row["method"]) for row in found["consents"]] == [
        ("denied", "offers", "preferences"),
        ("granted", "offers", "preferences"),
    ]
    (suppression,) = found["suppressions"]
    assert suppression["expires_at"] == after.now


def test_who_unsubscribed_sees_where_to_choose_otherwise(site, settings, mail):
    url = page(site, next(link for link in mail.links if "/unsubscribe/" in link))
    for _ in range(2):
        status, html, _ = call(url, b"List-Unsubscribe=One-Click")
        assert status == 200
    back = page(site, re.search(r'href="([^"]*/preferences/[^"]*)"', html)[1])
    assert 'value="offers">' in call(back)[1]
    after = later(settings, minutes=5)
    with served(after) as later_site:
        assert call(page(later_site, back), {"topic": "offers"})[0] == 200
        with open_ledger(after) as ledger:
            row = ledger.message(mail.id)
            again = new_message(0, after, occurrence="again", template_hash=row["template_hash"])
            ledger.queue(run_in(after), CAMPAIGN, "mailbox", [again])
            (claimed,) = ledger.claim("again", "mailbox", 5, timedelta(minutes=1)).messages
            assert ledger.objections("again") == {}
            ledger.settle("again", [Outcome(claimed.message_id, State.ACCEPTED)])


def test_a_bounce_or_a_complaint_is_not_taken_back_by_ticking_a_box(site, settings, mail):
    with open_ledger(settings) as ledger:
        for topic in ("", "offers"):
            ledger.suppress([ledger.message(mail.id)["address_hash"]], "complaint", topic=topic)
    url = page(site, next(link for link in mail.links if "/preferences/" in link))
    assert 'value="offers">' in call(url)[1]
    assert call(url, {"topic": "offers"})[0] == 200
    with open_ledger(settings) as ledger:
        assert [row["expires_at"] for row in recorded(ledger, "suppressions")["suppressions"]] == [None, None]


def _confirmations(settings):
    """The mails that ask to confirm: by receiver, with their subject and link."""
    found = []
    for path in sorted(settings.mailbox_dir.glob("*.eml")):
        read = message_from_bytes(path.read_bytes(), policy=policy.default)
        text = read.get_body(("plain",)).get_content()
        if link := re.search(r"https://\S*/confirm/\S+", text):
            found.append((read["To"], read["Subject"], link[0], read["List-Unsubscribe"]))
    return found


@pytest.mark.parametrize(
    ("locale", "subject"),
    [
        ("en", "Please confirm your subscription to Perennial Demo Shop"),
        ("zh-CN", "请确认订阅 Perennial Demo Shop 的邮件"),
    ],
)
def test_double_opt_in(site, settings, locale, subject):
    answers = set()
    for address in ("person0@mail.example", "Stranger@Other.example"):  # known, and unknown
        form = {"address": address, "topic": "offers", "locale": locale}
        answers.add(call(f"{site}/subscribe", form)[:2])
    assert len(answers) == 1
    assert answers.pop()[0] == 202
    assert deliver(settings) == {"accepted": 4}
    asked = _confirmations(settings)
    assert sorted((to, said, unsubscribe) for to, said, _, unsubscribe in asked) == [
        ("Stranger@Other.example", subject, None),
        ("person0@mail.example", subject, None),
    ]
    with open_ledger(settings) as ledger:
        assert recorded(ledger, "consents") == {"consents": []}
        assert [run.campaign for run in ledger.campaign_runs()] == [CAMPAIGN]  # it decides nothing
    url = page(site, next(link for to, _, link, _ in asked if to.startswith("Stranger")))
    for _ in range(2):
        assert 'name="confirm"' in call(url)[1]
    with open_ledger(settings) as ledger:
        assert recorded(ledger, "consents") == {"consents": []}
    for _ in range(2):
        assert call(url, b"confirm=yes")[0] == 200
    with open_ledger(settings) as ledger:
        (granted,) = recorded(ledger, "consents")["consents"]
    assert (granted["state"], granted["topic"], granted["method"]) == ("granted", "offers", "double_opt_in")
    assert granted["customer_ref"] is None
    assert call(url.replace("/confirm/", "/unsubscribe/"))[0] == 404


def test_a_confirmation_is_good_for_a_week(settings):
    with served(settings) as site:
        assert call(f"{site}/subscribe", {"address": "new@other.example", "topic": "offers"})[0] == 202
    deliver(settings)
    ((_, _, link, _),) = _confirmations(settings)
    with served(later(settings, days=8)) as site:
        assert call(page(site, link))[0] == 404
        assert call(page(site, link), b"")[0] == 404
        with open_ledger(settings) as ledger:
            assert recorded(ledger, "consents") == {"consents": []}


def test_subscribing_is_limited_and_tells_nothing(site, settings):
    form = {"address": "new@other.example", "topic": "offers"}
    answers = {call(f"{site}/subscribe", form)[:2] for _ in range(5)}
    assert len(answers) == 1  # as if there was a mail each time
    for wrong in (
        {"address": "no address"},
        {"address": "a@b.example\nBcc: c@d.example"},
        {"topic": "none"},
        {"address": ""},
    ):
        assert call(f"{site}/subscribe", form | wrong)[0] == 400
    others = [call(f"{site}/subscribe", form | {"address": f"new{n}@other.example"})[0] for n in range(9)]
    assert others == [202] * 7 + [429] * 2  # ten an hour, three of them above
    deliver(settings)
    to = [to for to, *_ in _confirmations(settings)]
    assert len(to) == 10
    assert to.count("new@other.example") == 3
    assert "new@other.example" not in call(f"{site}/subscribe")[1]


def test_who_complained_is_not_even_asked(site, settings):
    from perennial.ledger import address_hash

    with open_ledger(settings) as ledger:
        ledger.suppress([address_hash("new@other.example")], "complaint")
    assert call(f"{site}/subscribe", {"address": "new@other.example", "topic": "offers"})[0] == 202
    assert deliver(settings)["held"] == 1
    assert _confirmations(settings) == []


def test_looking_changes_nothing_whoever_looks(site, settings, mail):
    """Scanners follow links with GET and HEAD."""
    before = _state(settings)
    own = {
        page(site, link) for link in mail.links if link.startswith("https://mail.shop.example/") and "/c/" not in link
    }
    for url in own:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
            assert call(url, method=method)[0] in (200, 405)
    assert _state(settings) == before


def _state(settings):
    with open_ledger(settings) as ledger:
        return recorded(ledger, "message_events", "consents", "suppressions", "survey_answers", "messages")


def test_a_ledger_of_another_schema_is_not_ready(site, settings):
    assert call(f"{site}/ready")[:2] == (200, '{"status":"ready"}')
    with open_ledger(settings) as ledger:
        engine = ledger._engine
        with engine.execution_options(writes=True).begin() as connection:
            connection.execute(text("update alembic_version set version_num = '0999'"))
    status, said, _ = call(f"{site}/ready")
    assert (status, said) == (503, '{"status":"not ready"}')
    assert call(f"{site}/health")[0] == 200


def test_the_warehouse_has_the_scores_and_no_comment(warehouses, tmp_path):
    settings = warehouses.settings(tmp_path, now=NOW)
    with open_ledger(settings) as ledger:
        subscribe("new@other.example", "offers", "en", "client", ledger, settings)  # of a run without decisions
        (message_id,) = (row["message_id"] for row in recorded(ledger, "messages")["messages"])
        ledger.answer(message_id, "nps", 3, "nobody's business")
    with open_warehouse(settings) as warehouse:
        mirror_ledger(warehouse, settings)
        with open_ledger(later(settings, hours=2)) as ledger:
            ledger.answer(message_id, "nps", 9, None)
        mirror_ledger(warehouse, settings)
        rows = warehouse.query("select * from ledger.survey_answers order by answered_at").to_pylist()
    assert [(row["survey"], row["score"], row["superseded_at"] is None) for row in rows] == [
        ("nps", 3, False),
        ("nps", 9, True),
    ]
    assert {row["message_id"] for row in rows} == {message_id}
    assert "comment" not in rows[0]
