"""Every file a person edits, checked without running anything."""

from collections.abc import Callable, Iterator

from perennial.campaigns.definition import load_campaigns
from perennial.campaigns.seeds import load_seeds
from perennial.campaigns.topics import load_topics
from perennial.contracts import load_contracts
from perennial.flows.tables import all_models, rule_tables
from perennial.foundation.days import Origin, Run, yesterday
from perennial.foundation.settings import Settings
from perennial.segments.definitions import load_segments
from perennial.sources import load_sources
from perennial.templates.lint import require_sound

Check = tuple[str, Callable[[], str]]


def checks(settings: Settings) -> Iterator[Check]:
    """What is checked, and a call that checks it: it says what it found, or raises BadConfig naming the problem."""
    yield "contracts", lambda: f"{len(load_contracts(settings))} contracts"
    yield "sources", lambda: f"{len(load_sources(settings))} sources"
    yield "segments", lambda: f"{len(load_segments(settings))} segments"
    yield "rule books", lambda: f"{len(rule_tables(Run(yesterday(settings), Origin.REPLAY), settings))} tables"
    yield "topics", lambda: f"{len(load_topics(settings))} topics"
    yield "campaigns", lambda: _campaigns(settings)
    yield "tables", lambda: _tables(settings)


def _campaigns(settings: Settings) -> str:
    campaigns = load_campaigns(settings)
    load_seeds([campaign.id for campaign in campaigns], settings)
    require_sound(campaigns)
    return f"{len(campaigns)} campaigns, {sum(len(campaign.locales) for campaign in campaigns)} translations"


def _tables(settings: Settings) -> str:
    models = all_models(settings).values()
    personal = [model for model in models if model.pii]
    columns = sum(len(model.pii) for model in personal)
    return f"{len(models)} models; personal data in {columns} columns of {len(personal)}"
