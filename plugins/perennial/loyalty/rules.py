"""The loyalty rule book, `include/rules/loyalty.yaml`, as rows that SQL joins."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, model_validator

from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings

Rows = list[dict[str, object]]


class Tier(Document):
    """A level of the programme, reached from `from_points` qualifying points on."""

    tier: str = Field(min_length=1)
    from_points: int = Field(ge=0)


class EarningRule(Document):
    """What gives points: money spent (points a currency unit) or something done (points each time)."""

    rule: str = Field(pattern="^[a-z][a-z0-9_]*$")
    event: Literal["purchase", "review", "referral", "signup", "survey_nps", "survey_csat", "store_visit"]
    category: str | None = None
    points_per_unit: Decimal | None = Field(None, gt=0)
    points: int | None = Field(None, gt=0)
    from_day: date
    to_day: date | None = None

    @model_validator(mode="after")
    def _one_kind_of_points(self) -> Self:
        if self.event == "purchase" and (self.points_per_unit is None or self.points is not None):
            raise ValueError(f"rule {self.rule}: a purchase earns points_per_unit, and no points")
        if self.event != "purchase" and (self.points is None or self.points_per_unit is not None or self.category):
            raise ValueError(f"rule {self.rule}: {self.event} earns points, without points_per_unit and category")
        if self.to_day is not None and self.to_day <= self.from_day:
            raise ValueError(f"rule {self.rule}: to_day {self.to_day} is not after from_day {self.from_day}")
        return self


class LoyaltyRules(Document):
    """Tiers and how points are earned."""

    qualifying_days: int = Field(gt=0)
    expires_after_days: int | None = Field(default=None, gt=0)
    tiers: tuple[Tier, ...] = Field(min_length=1)
    earning: tuple[EarningRule, ...]

    @model_validator(mode="after")
    def _rising_tiers(self) -> Self:
        points = [tier.from_points for tier in self.tiers]
        if points[0] != 0 or points != sorted(set(points)):
            raise ValueError(f"tiers must start at 0 points and rise, got {points}")
        for what, names in (("tier", [t.tier for t in self.tiers]), ("rule", [r.rule for r in self.earning])):
            repeated = {name for name in names if names.count(name) > 1}
            if repeated:
                raise ValueError(f"{what} {', '.join(sorted(repeated))} is there twice")
        return self

    def tables(self) -> Mapping[str, Rows]:
        """The rows of `rules.loyalty`, `rules.tiers` (place 1 is the lowest) and `rules.earning`."""
        return {
            "rules.loyalty": [{"qualifying_days": self.qualifying_days, "expires_after_days": self.expires_after_days}],
            "rules.tiers": [{"place": place, **tier.model_dump()} for place, tier in enumerate(self.tiers, start=1)],
            "rules.earning": [rule.model_dump() for rule in self.earning],
        }


def load_loyalty_rules(settings: Settings) -> LoyaltyRules:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "loyalty.yaml"), LoyaltyRules)
