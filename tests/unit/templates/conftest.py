import pytest

from perennial.campaigns.definition import Audience, Campaign, CampaignFile, Goal, Trigger
from perennial.campaigns.fields import AtMost
from perennial.segments.expressions import parse_condition
from perennial.templates.compile import compile_template
from perennial.templates.context import RenderContext

PAGE = "<mjml><mj-body>{}</mj-body></mjml>"
COLUMN = PAGE.format("<mj-section><mj-column>{}</mj-column></mj-section>")


@pytest.fixture
def campaign(tmp_path):
    """A function writing a campaign folder in English: `campaign(body=…, subject=…, shared={…})`."""

    def write(body="", *, subject="Hello", shared=(), purpose="promotional", **files):
        texts = {f"_shared/{name}": text for name, text in dict(shared).items()}
        texts |= {f"hello/en/{name.replace('_', '.')}.j2": text for name, text in files.items()}
        texts |= {"hello/en/subject.txt.j2": subject, "hello/en/body.mjml.j2": body or COLUMN.format("")}
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        file = CampaignFile(
            name="Hello",
            purpose=purpose,
            topic="offers",
            audience=Audience(where="true"),
            trigger=Trigger(schedule="0 9 * * *"),
            repeat=AtMost(at_most=1, every_days=60),
            goal=Goal(within_days=14),
        )
        shared = (tmp_path / "_shared",)
        return Campaign("hello", tmp_path / "hello", file, parse_condition("true", {}), ("en",), shared)

    return write


@pytest.fixture
def compiled(campaign):
    """Compile a campaign written like `campaign(…)` does."""
    return lambda *args, **kwargs: compile_template(campaign(*args, **kwargs), "en", "a")


@pytest.fixture
def context():
    """A function making a context from what the test is about."""

    def make(**values):
        return RenderContext(
            **{
                "locale": "en",
                "send_day": "2026-02-01",
                "currency": "EUR",
                "shop_name": "Shop",
                "shop_url": "https://shop.example/",
                "unsubscribe_url": "https://shop.example/u/1",
                "postal_address": "1 Garden Lane, Berlin",
            }
            | values
        )

    return make
