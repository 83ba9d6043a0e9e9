"""How much mail one person gets over all campaigns: `include/rules/contact_policy.yaml`."""

from pydantic import Field

from perennial.campaigns.fields import AtMost, SendAt
from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings


class ContactPolicy(Document):
    """One policy for all campaigns, applied when all that are due on a day are planned together."""

    promotional: AtMost = Field(description="Promotional mails to one person, whatever the campaign.")
    min_gap_days: int = Field(ge=0, le=30, description="Days between two promotional mails; 0 allows two on one day.")
    send_at: SendAt = Field(description="When a mail goes out if its campaign does not say.")


def load_contact_policy(settings: Settings) -> ContactPolicy:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "contact_policy.yaml"), ContactPolicy)
