import pytest

from outbox import settings_in
from perennial.ledger import open_ledger


@pytest.fixture
def settings(tmp_path, ledger_url):
    """Settings of an empty home, once for each engine the ledger runs on."""
    return settings_in(tmp_path, ledger=ledger_url)


@pytest.fixture
def ledger(settings):
    with open_ledger(settings) as ledger:
        yield ledger
