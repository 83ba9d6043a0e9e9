"""The quality gate: Great Expectations on the scratch database of a batch, and what is usual for a source."""

from perennial.quality.gate import FINDINGS, Check, validate
from perennial.quality.mix import mix
from perennial.quality.regularity import (
    IntakeRules,
    days_like,
    festivals,
    freshness,
    load_intake_rules,
    reference,
    volume,
)

__all__ = [
    "FINDINGS",
    "Check",
    "IntakeRules",
    "days_like",
    "festivals",
    "freshness",
    "load_intake_rules",
    "mix",
    "reference",
    "validate",
    "volume",
]
