import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import settings_in
from perennial.delivery.tokens import Purpose, seal, seal_link, signing_secret, signing_secrets, unseal, unseal_link
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
    assert unseal_link(text, SECRET) is None


def test_the_links_in_mails_sent_before_still_open():
    """Sealed when there was one purpose and one secret."""
    token = "hRKp6nfxNmv9efmdFWQD_UPtY6xXzklICp9Q8CU8oDg"
    assert unseal(token, SECRET) == "0b9f1a52-6a0c-5c1e-9f3a-0d6c7b8e9f10"


@given(st.uuids(), st.sampled_from(Purpose), st.sampled_from(Purpose))
def test_a_token_is_good_for_its_purpose_only(message_id, purpose, other):
    token = seal(str(message_id), SECRET, purpose)
    assert (unseal(token, SECRET, purpose=other) == str(message_id)) is (purpose is other)


@given(st.uuids(), st.text(max_size=300))
def test_a_link_opens_to_its_message_and_address(message_id, url):
    url = "https://shop.example/" + url.encode(errors="replace").decode()
    token = seal_link(str(message_id), url, SECRET)
    assert unseal_link(token, SECRET) == (str(message_id), url)
    assert unseal_link(token, b"another secret of length") is None
    assert message_id.hex not in token
    assert unseal(token, SECRET, purpose=Purpose.CLICK) is None


def test_the_address_of_a_link_cannot_be_another():
    """Whoever has one link of ours makes no link of ours to elsewhere from it."""
    token = seal_link("0b9f1a52-6a0c-5c1e-9f3a-0d6c7b8e9f10", "https://shop.example/", SECRET)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for forged in (raw[:32] + b"https://evil.example/", raw[:32], raw + b".evil.example"):
        assert unseal_link(base64.urlsafe_b64encode(forged).rstrip(b"=").decode(), SECRET) is None


def test_a_new_secret_seals_and_the_old_ones_still_open(tmp_path):
    message_id = "0b9f1a52-6a0c-5c1e-9f3a-0d6c7b8e9f10"
    old = settings_in(tmp_path, secret="the secret of years")
    token = seal(message_id, signing_secret(old))
    both = settings_in(tmp_path, secret="a secret made today, the secret of years")
    assert signing_secret(both) == b"a secret made today"
    assert unseal(token, *signing_secrets(both)) == message_id
    assert unseal(seal(message_id, signing_secret(both)), *signing_secrets(old)) is None
    with pytest.raises(BadConfig, match="PERENNIAL_SECRET is too short"):
        signing_secrets(settings_in(tmp_path, secret="a secret made today, short"))


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
