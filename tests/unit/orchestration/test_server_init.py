"""The init job says what a person must do, before it touches anything; tests/e2e/test_compose.py runs it for real."""

import pytest

from perennial.orchestration.server import main


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read: No such file"), ("\n", "is empty")])
def test_an_admin_without_a_password_is_not_made(tmp_path, capsys, content, said):
    file = tmp_path / "airflow_admin_password"
    if content is not None:
        file.write_text(content)
    assert main(["--admin-password-file", str(file)]) == 1
    assert f"Error: The admin's password file {file} {said}" in capsys.readouterr().err


def test_a_wrong_setting_is_told_without_a_traceback(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PERENNIAL_SMTP_HOSTS", "mail.shop.example")
    assert main(["--admin-password-file", str(tmp_path / "any")]) == 1
    assert capsys.readouterr().err.startswith("Error: Unknown setting PERENNIAL_SMTP_HOSTS")
