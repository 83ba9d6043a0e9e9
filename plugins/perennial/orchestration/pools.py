"""The pools: how many tasks may use a thing at once. They have to exist before the scheduler starts."""

from perennial.foundation.settings import Settings

WAREHOUSE = "warehouse"
LEDGER = "ledger"
LANDING = "landing"
DELIVERY = "delivery"


def pools(settings: Settings) -> dict[str, tuple[int, str]]:
    """
    Slots and description of every pool.

    Days go through the warehouse one after the other, so its writers take turns; on a server each of them makes several
    tables at once. SQLite has one writer, a server many.
    """
    return {
        WAREHOUSE: (1, "Writers of the warehouse"),
        LEDGER: (1 if settings.ledger_url.startswith("sqlite") else 8, "Writers of the ledger"),
        LANDING: (4, "Files being taken from the inbox"),
        DELIVERY: (settings.delivery_workers, "Workers that hand mail over"),
    }


def create_pools(settings: Settings) -> None:
    """Create or correct every pool: a task whose pool is missing waits for ever."""
    from airflow.models.pool import Pool

    for name, (slots, description) in pools(settings).items():
        Pool.create_or_update_pool(name, slots=slots, description=description, include_deferred=False)
