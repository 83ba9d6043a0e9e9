from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import settings_in
from perennial.delivery.tokens import seal, signing_secret, unseal
from perennial.foundation.errors import BadConfig

SECRET = b"a secret of some length"


@given(st.uuids())
def test_a_token_opens_to_its_message_and_with_no_other_secret(message_id: UUID):
    token = seal(str(message_id), SECRET)
    assert len(token) == 43
    assert unseal(token, SECRET) == str(message_id)
    assert unseal(token, b"another secret of length") is None
    assert message_id.hex not in token


@given(st.uuids(), st.integers(0, 42), st.sampled_from("AZaz09-_"))
def test_a_changed_token_is_no_token(message_id, position, char):
    token = seal(str(message_id), SECRET)
    changed = token[:position] + char + token[position + 1 :]
    opened = unseal(changed, SECRET)
    if changed == token:
        assert opened == str(message_id)
    elif position < 42:  # two bits of the last character mean nothing
        assert opened is None
    else:
        assert opened in (str(message_id), None)


@given(st.text(max_size=60))
def test_junk_is_no_token(text):
    assert unseal(text, SECRET) is None


def test_the_secret_is_made_once_for_its_owner_only(tmp_path):
    settings = settings_in(tmp_path)
    secret = signing_secret(settings)
    assert len(secret) >= 48
    assert signing_secret(settings) == secret
    beside_the_ledger = tmp_path / "ledger" / "secret"  # so that it is in its backup
    assert beside_the_ledger.stat().st_mode & 0o777 == 0o600
    assert list(beside_the_ledger.parent.iterdir()) == [beside_the_ledger]


def test_a_secret_from_the_settings_wins_and_must_be_long_enough(tmp_path):
    assert signing_secret(settings_in(tmp_path, secret="0123456789abcdef")) == b"0123456789abcdef"
    with pytest.raises(BadConfig, match="PERENNIAL_SECRET is too short"):
        signing_secret(settings_in(tmp_path, secret="short"))
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "secret").write_text("\n")
    with pytest.raises(BadConfig, match="secret is too short"):
        signing_secret(settings_in(tmp_path))
