"""
The ledger: what we did to the world (decisions, messages) and what people told us (consents, events). Precious.

    with open_ledger(settings) as ledger:
        ledger.queue(run, "win_back", rows)

SQLite by default, PostgreSQL by URL; one code path for both.
"""

from perennial.ledger.bounces import ReadReport, is_gone
from perennial.ledger.control import EVERYTHING, Approval, Pause
from perennial.ledger.decisions import CampaignRun, FrozenFile, NewCampaignRun, NewTemplate
from perennial.ledger.erasures import pseudonym
from perennial.ledger.ledger import Ledger, open_ledger
from perennial.ledger.messages import Claim, Claimed, NewMessage, Outcome, message_id_of
from perennial.ledger.permissions import NewConsent, NewEvent, address_hash
from perennial.ledger.reservations import SEED, Cap
from perennial.ledger.schema import migrate
from perennial.ledger.states import EventKind, State
from perennial.ledger.subscriptions import NewSubscription, TooMany
from perennial.ledger.webhooks import SetAside, TakenIn, UsedToken

__all__ = [
    "EVERYTHING",
    "SEED",
    "Approval",
    "CampaignRun",
    "Cap",
    "Claim",
    "Claimed",
    "EventKind",
    "FrozenFile",
    "Ledger",
    "NewCampaignRun",
    "NewConsent",
    "NewEvent",
    "NewMessage",
    "NewSubscription",
    "NewTemplate",
    "Outcome",
    "Pause",
    "ReadReport",
    "SetAside",
    "State",
    "TakenIn",
    "TooMany",
    "UsedToken",
    "address_hash",
    "is_gone",
    "message_id_of",
    "migrate",
    "open_ledger",
    "pseudonym",
]
