"""The quality gate: Great Expectations on the scratch database of a batch."""

from perennial.quality.gate import FINDINGS, Check, validate

__all__ = ["FINDINGS", "Check", "validate"]
