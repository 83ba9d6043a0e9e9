"""The pages as people see them: a real Chromium, on a phone and in two languages."""

import pytest
from website import page as at
from website import recorded, served

from browser import chromium
from outbox import fill, settings_in
from perennial.delivery.tokens import Purpose, seal, signing_secret
from perennial.flows.delivery import deliver
from perennial.ledger import open_ledger

pytestmark = pytest.mark.slow

WORDS = {
    "en": {
        "unsubscribe": ("Unsubscribe", "You are unsubscribed"),
        "preferences": ("Save", "Saved"),
        "subscribe": ("Subscribe", "Please look into your mailbox"),
        "confirm": ("Yes, subscribe me", "You are subscribed"),
        "answer": ("Send", "Thank you for your answer"),
        "offers": "Offers and news from our shop",
    },
    "zh-CN": {
        "unsubscribe": ("退订", "您已退订"),
        "preferences": ("保存", "已保存"),
        "subscribe": ("订阅", "请查看您的邮箱"),
        "confirm": ("是的，我要订阅", "订阅成功"),  # noqa: RUF001
        "answer": ("提交", "感谢您的反馈"),
        "offers": "优惠与新品资讯",
    },
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = settings_in(tmp_path_factory.mktemp("browser"))
    with open_ledger(settings) as ledger:
        fill(ledger, settings, 4)
    deliver(settings)
    return settings


@pytest.fixture(scope="module")
def site(settings):
    with served(settings) as address:
        yield address


@pytest.fixture(params=["en", "zh-CN"])
def locale(request):
    return request.param


@pytest.fixture
def tab(browser, locale):
    """A page on a phone. It fails where the page breaks its own policy, logs an error, or is wider than the screen."""
    context = browser.new_context(locale=locale, viewport={"width": 360, "height": 640})
    tab = context.new_page()
    problems = []
    tab.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    yield tab
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate("document.documentElement.lang") == locale
    assert [problem for problem in problems if "favicon" not in problem] == []
    context.close()


def _token(settings, customer, purpose):
    with open_ledger(settings) as ledger:
        (message,) = ledger.messages_of(customer)
    return seal(message["message_id"], signing_secret(settings), purpose)


def _customer(locale, first):
    return f"c{first + (locale != 'en')}"


def _press(tab, words):
    button, note = words
    tab.get_by_role("button", name=button, exact=True).click()
    tab.get_by_text(note).wait_for(timeout=10_000)


def test_unsubscribing_and_coming_back(tab, site, settings, locale):
    words = WORDS[locale]
    tab.goto(f"{site}/unsubscribe/{_token(settings, _customer(locale, 0), Purpose.UNSUBSCRIBE)}")
    _press(tab, words["unsubscribe"])
    back = tab.get_by_role("link").get_attribute("href")
    tab.goto(at(site, back))
    box = tab.get_by_label(words["offers"])
    assert not box.is_checked()
    box.check()
    _press(tab, words["preferences"])


def test_a_survey_of_one_tap(tab, site, settings, locale):
    customer = _customer(locale, 2)
    tab.goto(f"{site}/answer/{_token(settings, customer, Purpose.ANSWER)}/nps/9")
    assert tab.get_by_role("radio").count() == 11
    assert tab.get_by_role("radio", name="9", exact=True).is_checked()
    tab.get_by_role("radio", name="10", exact=True).check()
    tab.get_by_role("textbox").fill("很好 <b>&\n谢谢")
    _press(tab, WORDS[locale]["answer"])
    with open_ledger(settings) as ledger:
        (answer,) = ledger.answers(ledger.messages_of(customer)[0]["message_id"])
    assert (answer["score"], answer["comment"].splitlines()) == (10, ["很好 <b>&", "谢谢"])


def test_subscribing_by_a_form_and_confirming_by_mail(tab, site, settings, locale):
    words, address = WORDS[locale], f"{locale}@other.example".lower()
    tab.goto(f"{site}/subscribe?topic=offers")
    tab.get_by_role("textbox").fill(address)
    _press(tab, words["subscribe"])
    deliver(settings)
    with open_ledger(settings) as ledger:
        messages = recorded(ledger, "messages")["messages"]
        asked = next(row for row in messages if row["campaign"] == "confirm_subscription" and row["locale"] == locale)
    tab.goto(f"{site}/confirm/{seal(asked['message_id'], signing_secret(settings), Purpose.CONFIRM)}")
    _press(tab, words["confirm"])
    with open_ledger(settings) as ledger:
        consents = recorded(ledger, "consents")["consents"]
    assert [row["method"] for row in consents if row["address_hash"] == asked["address_hash"]] == ["double_opt_in"]


def test_a_mail_in_the_browser_looks_as_it_was_sent(browser, site, settings):
    """Its own styles count, nothing in it runs, and its picture may come from elsewhere."""
    with open_ledger(settings) as ledger:
        messages = recorded(ledger, "messages")["messages"]
    asked = next(row for row in messages if row["campaign"] == "confirm_subscription")
    tab = browser.new_page()
    tab.goto(f"{site}/view/{seal(asked['message_id'], signing_secret(settings), Purpose.VIEW)}")
    button = tab.get_by_role("link", name=WORDS[asked["locale"]]["confirm"][0])
    assert button.evaluate("link => getComputedStyle(link).color") == "rgb(255, 255, 255)"
    tab.close()
