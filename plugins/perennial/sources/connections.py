"""Where a connection that a source names leads to: a setting, because it holds a password or key."""

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings


def connection_url(field: str, name: str, settings: Settings) -> str:
    """The URL of the connection `name`, for what `field` says. Raises BadConfig for one that no setting knows."""
    if name not in settings.connections:
        raise BadConfig(
            f"{field} is not known. Put its URL into PERENNIAL_CONNECTIONS, or into the Airflow Connection "
            f"perennial_source_{name}."
        )
    return settings.connections[name].get_secret_value()
