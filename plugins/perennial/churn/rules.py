"""The churn rule book, `include/rules/churn.yaml`."""

from typing import Self

from pydantic import Field, model_validator

from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings


class ChurnRules(Document):
    """When silence becomes a risk; see the file for what each number means."""

    prior_gaps: float = Field(gt=0)
    default_gap_days: float = Field(gt=0)
    medium_at: float = Field(gt=0)
    high_at: float = Field(gt=0)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.high_at <= self.medium_at:
            raise ValueError(f"high_at ({self.high_at}) must be above medium_at ({self.medium_at})")
        return self


def load_churn_rules(settings: Settings) -> ChurnRules:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "churn.yaml"), ChurnRules)
