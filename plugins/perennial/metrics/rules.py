"""The metrics rule book, `include/rules/metrics.yaml`."""

from pydantic import Field

from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings


class MetricRules(Document):
    """See the file for what each number means."""

    final_after_days: int = Field(ge=0)


def load_metric_rules(settings: Settings) -> MetricRules:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "metrics.yaml"), MetricRules)
