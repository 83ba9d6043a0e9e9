"""The quality gate: Great Expectations on the scratch database of a batch, and what is usual for a source."""

from perennial.quality.gate import FINDINGS, Check, validate
from perennial.quality.regularity import festivals, freshness, load_intake_rules, volume

__all__ = ["FINDINGS", "Check", "festivals", "freshness", "load_intake_rules", "validate", "volume"]
