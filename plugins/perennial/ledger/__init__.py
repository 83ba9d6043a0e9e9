"""
The ledger: what we did to the world (decisions, messages) and what people told us (consents, events). Precious.

    with open_ledger(settings) as ledger:
        ledger.queue(run, "win_back", rows)

SQLite by default, PostgreSQL by URL; one code path for both.
"""

from perennial.ledger.decisions import CampaignRun, FrozenFile, NewCampaignRun, NewTemplate
from perennial.ledger.ledger import Ledger, open_ledger
from perennial.ledger.messages import Claim, Claimed, NewMessage, Outcome, message_id_of
from perennial.ledger.permissions import NewConsent, NewEvent, address_hash
from perennial.ledger.schema import migrate
from perennial.ledger.states import EventKind, State

__all__ = [
    "CampaignRun",
    "Claim",
    "Claimed",
    "EventKind",
    "FrozenFile",
    "Ledger",
    "NewCampaignRun",
    "NewConsent",
    "NewEvent",
    "NewMessage",
    "NewTemplate",
    "Outcome",
    "State",
    "address_hash",
    "message_id_of",
    "migrate",
    "open_ledger",
]
