"""Secrets come from files, and reach nothing but what needs them."""

import pytest

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import load_settings

SERVER = "postgresql://perennial_ledger@postgres:5432/perennial_ledger"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PERENNIAL_SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_a_file_named_as_a_setting_is_that_setting_without_its_newline(folder):
    (folder / "perennial_smtp_password").write_text("hunter2\n")
    (folder / "airflow_fernet_key").write_text("not ours")
    settings = load_settings()
    assert settings.smtp_password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


def test_the_environment_wins_over_a_file(folder, monkeypatch):
    (folder / "perennial_smtp_password").write_text("from the file")
    monkeypatch.setenv("PERENNIAL_SMTP_PASSWORD", "from the environment")
    assert load_settings().smtp_password.get_secret_value() == "from the environment"


def test_a_password_goes_into_a_url_that_names_only_its_user(folder):
    (folder / "perennial_ledger_password").write_text("p@ss/word")
    settings = load_settings(ledger=SERVER)
    assert settings.ledger_url == "postgresql://perennial_ledger:p%40ss%2Fword@postgres:5432/perennial_ledger"
    assert "p@ss" not in repr(settings)


@pytest.mark.parametrize(
    "url", ["postgresql://user:own@host/name", "postgresql://host/name", "sqlite:////var/l.sqlite"]
)
def test_a_url_with_a_password_or_without_a_user_stays_as_it_is(url):
    assert load_settings(ledger=url, ledger_password="other").ledger_url == url
    assert load_settings(warehouse=url, warehouse_password="other").warehouse_url == url


def test_a_missing_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PERENNIAL_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(BadConfig, match=r"PERENNIAL_SECRETS_DIR: .*nowhere is not a folder"):
        load_settings()


def test_a_file_that_cannot_be_read_is_named(folder):
    (folder / "perennial_smtp_password").write_bytes(b"\xff")
    with pytest.raises(BadConfig, match=r'PERENNIAL_SECRETS_DIR: .*"smtp_password"'):
        load_settings()
