"""The metrics rule book, `include/rules/metrics.yaml`."""

from pathlib import Path

from pydantic import Field

from perennial.foundation.documents import Document, read_document


class MetricRules(Document):
    """See the file for what each number means."""

    final_after_days: int = Field(ge=0)


def load_metric_rules(include: Path) -> MetricRules:
    """Raises BadConfig naming file, field and value."""
    return read_document(include / "rules" / "metrics.yaml", MetricRules)
