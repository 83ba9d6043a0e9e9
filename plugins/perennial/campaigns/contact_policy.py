"""How much mail one person gets over all campaigns, and when: `include/rules/contact_policy.yaml`."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from perennial.campaigns.fields import AtMost, LocalTime, SendAt, Share
from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings


class SoftBounces(Document):
    """When an address rests: `after` mails came back for a reason that may pass, within `within_days` days."""

    after: int = Field(default=5, ge=1, le=100)
    within_days: int = Field(default=30, ge=1, le=365)
    rest_days: int = Field(default=30, ge=1, le=365, description="From the last of them on.")


class Detractors(Document):
    """Whose last answer to a survey is so low, and so new, is asked what is wrong before anything is sold to them."""

    csat_at_most: int = Field(default=2, ge=0, le=10)
    nps_at_most: int = Field(default=6, ge=0, le=10)
    hold_days: int = Field(default=30, ge=0, le=365, description="0 holds nobody.")


class TopicCap(AtMost):
    """A cap for promotional mails of one topic, beside that of all of them."""

    topic: str


class QuietHours(Document):
    """No mail is due at these hours of the receiver's own day; what would be waits for their end."""

    begin: LocalTime = Field(alias="from")
    end: LocalTime = Field(alias="to")


class BestHour(Document):
    """What must be known of a person before their own hour counts."""

    at_least: int = Field(default=5, ge=1, description="Opens, clicks and orders.")
    within_days: int = Field(default=180, ge=7, le=730)


class PurchaseCycle(Document):
    """Who buys seldom is written to seldom: not twice within this share of their mean gap between purchases."""

    share: Share
    at_most_days: int = Field(default=30, ge=1, le=365)


class WarmUp(Document):
    """A new sending domain earns its reputation: so many promotional mails on each of its first days."""

    domain: str = Field(description="The sender's domain.")
    provider: str | None = Field(default=None, description="As in PERENNIAL_DELIVERY. Default: whichever.")
    starts: date
    daily: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)

    def limit(self, day: date) -> int | None:
        """Mails of that day; None: no limit."""
        number = (day - self.starts).days
        return self.daily[number] if 0 <= number < len(self.daily) else None


class ContactPolicy(Document):
    """One policy for all campaigns, applied when all that are due on a day are planned together."""

    promotional: AtMost = Field(description="Promotional mails to one person, whatever the campaign.")
    min_gap_days: int = Field(ge=0, le=30, description="Days between two promotional mails; 0 allows two on one day.")
    send_at: SendAt = Field(description="When a mail goes out if its campaign does not say.")
    soft_bounces: SoftBounces = SoftBounces()
    detractors: Detractors = Detractors()
    topics: tuple[TopicCap, ...] = ()
    quiet_hours: QuietHours | None = None
    best_hour: BestHour = BestHour()
    purchase_cycle: PurchaseCycle | None = None
    global_holdout: Share = Field(
        default=Decimal(0), ge=0, le=Decimal("0.2"), description="People who get no promotional mail at all."
    )
    warm_up: tuple[WarmUp, ...] = ()
    consent: Literal["everywhere", "by_law"] = Field(
        default="everywhere", description="by_law: promotional mail needs consent only where rules/laws.yaml says so."
    )

    def warm_up_limit(self, domain: str, provider: str, day: date) -> int | None:
        """The strictest limit on promotional mails of that day; None where there is none."""
        limits = [
            one.limit(day)
            for one in self.warm_up
            if one.domain.lower() == domain.lower() and one.provider in (None, provider)
        ]
        return min((limit for limit in limits if limit is not None), default=None)


def load_contact_policy(settings: Settings) -> ContactPolicy:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "contact_policy.yaml"), ContactPolicy)
