"""Addresses that a person blocks or frees by hand. They are never logged: the ledger keeps their hashes."""

from collections.abc import Iterable
from datetime import timedelta

from perennial.delivery.mime import clean_address
from perennial.delivery.provider import Unsendable
from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import address_hash, open_ledger
from perennial.ledger.store import Row

BY_HAND = "by_hand"


def suppress(
    addresses: Iterable[str], settings: Settings, *, by: str, why: str, topic: str = "", days: int | None = None
) -> dict[str, int]:
    """
    Send these addresses nothing more about `topic` (default: nothing at all), for some days or for good.

    Raises BadConfig naming the place of one that is no address; then none is blocked.
    """
    hashes = [hash_of(address, number) for number, address in enumerate(addresses, start=1)]
    expires_at = current_time(settings) + timedelta(days=days) if days else None
    with open_ledger(settings) as ledger:
        new = ledger.suppress(hashes, BY_HAND, topic=topic, expires_at=expires_at, by=by, why=why)
    return {"addresses": len(hashes), "new": new}


def lift(address: str, settings: Settings, *, by: str, why: str) -> dict[str, int]:
    """Send to this address again, unless the person unsubscribed or complained: that they take back themselves."""
    with open_ledger(settings) as ledger:
        return {"lifted": ledger.lift_suppressions(hash_of(address), by=by, why=why)}


def show(address: str, settings: Settings) -> list[Row]:
    """What keeps mail from this address, newest first."""
    with open_ledger(settings) as ledger:
        return ledger.suppressions_of(hash_of(address))


def hash_of(address: str, number: int = 1) -> str:
    """The hash of what somebody typed; raises BadConfig, without repeating it, when it is no address."""
    try:
        clean_address(address)
    except Unsendable as error:
        raise BadConfig(f"Address {number}: {error}") from None
    return address_hash(address)
