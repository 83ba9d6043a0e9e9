"""A ledger with messages in it, for tests of everything that comes after planning."""

from datetime import date, datetime, timedelta
from pathlib import Path

from perennial.foundation.days import Run, current_time, run_of
from perennial.foundation.settings import Settings, load_settings
from perennial.ledger import Ledger, NewCampaignRun, NewMessage, NewTemplate

NOW = "2026-02-01T09:30:00+01:00"
DAY = date(2026, 1, 31)
CAMPAIGN = "win_back"
OCCURRENCE = "2026-02-01"
TEMPLATE = NewTemplate(
    campaign=CAMPAIGN,
    locale="en",
    variant="a",
    subject="{{ first_name }}, we miss you",
    html='<p>Hello {{ first_name }}</p><a href="{{ unsubscribe_url }}">Unsubscribe</a>',
    text="Hello {{ first_name }}\nUnsubscribe: {{ unsubscribe_url }}",
)


def settings_in(home: Path, **overrides: object) -> Settings:
    return load_settings(**{"home": home, "now": NOW, **overrides})


def run_in(settings: Settings) -> Run:
    return run_of(DAY, settings)


def context_of(first_name: str) -> dict[str, object]:
    return {
        "locale": "en",
        "send_day": OCCURRENCE,
        "currency": "EUR",
        "shop_name": "Perennial Demo Shop",
        "shop_url": "https://shop.example/",
        "postal_address": "1 Garden Lane, Berlin",
        "first_name": first_name,
    }


def new_message(number: int, settings: Settings, **changes: object) -> NewMessage:
    fields: dict[str, object] = {
        "occurrence": OCCURRENCE,
        "customer_id": f"c{number}",
        "address": f"person{number}@mail.example",
        "locale": "en",
        "purpose": "promotional",
        "topic": "offers",
        "template_hash": TEMPLATE.hash,
        "context": context_of(f"Ada{number}"),
        "not_before": current_time(settings),
        "arm": "treated",
        "variant": "a",
    }
    return NewMessage(**{**fields, **changes})


def freeze(ledger: Ledger, settings: Settings, **counts: int) -> None:
    run = run_in(settings)
    decisions = ledger.write_frozen(CAMPAIGN, run.send_day, b"decisions")
    ledger.freeze(
        [NewCampaignRun(CAMPAIGN, run.send_day, OCCURRENCE, decisions, decisions, counts)], [TEMPLATE], run.origin
    )


def fill(ledger: Ledger, settings: Settings, count: int, provider: str = "mailbox") -> list[NewMessage]:
    """Freeze one campaign run and queue `count` messages of it."""
    freeze(ledger, settings, send=count)
    rows = [new_message(number, settings) for number in range(count)]
    assert ledger.queue(run_in(settings), CAMPAIGN, provider, rows) == count
    return rows


def later(settings: Settings, **delta: float) -> Settings:
    """The same settings under a clock moved on."""
    assert settings.now is not None
    moved: datetime = settings.now + timedelta(**delta)
    return settings.model_copy(update={"now": moved})
