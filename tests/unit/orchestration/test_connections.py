"""What an Airflow Connection says, as settings. Where there is none, the environment counts."""

import pytest

from perennial.foundation.errors import BadConfig
from perennial.orchestration.connections import connected_settings


@pytest.fixture
def connections(airflow, monkeypatch):
    """A function that defines a Connection for the test."""

    def define(conn_id, uri):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", uri)

    return define


@pytest.fixture(autouse=True)
def _inside_a_task(airflow, monkeypatch):
    """A task asks the execution API, which knows no Connection here; those of the test come from the environment."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend

    def get(conn_id):
        if uri := EnvironmentVariablesBackend().get_conn_value(conn_id):
            return Connection.from_uri(uri, conn_id=conn_id)
        raise AirflowNotFoundException(conn_id)

    monkeypatch.setattr(Connection, "get", get)


def test_without_connections_the_environment_counts(monkeypatch):
    monkeypatch.setenv("PERENNIAL_SMTP_HOST", "relay.internal")
    settings = connected_settings()
    assert settings.smtp_host == "relay.internal"
    assert settings.warehouse is None


def test_a_postgres_connection_becomes_a_url_that_survives_odd_passwords(connections):
    connections("perennial_warehouse", "postgres://etl:p%40ss%2Fword@db.internal:5433/shop")
    connections("perennial_ledger", "postgres://etl@db.internal/ledger")
    settings = connected_settings()
    assert settings.warehouse_url == "postgresql://etl:p%40ss%2Fword@db.internal:5433/shop"
    assert settings.ledger_url == "postgresql://etl:@db.internal:5432/ledger"


def test_a_connection_wins_over_the_environment(connections, monkeypatch):
    monkeypatch.setenv("PERENNIAL_SMTP_HOST", "relay.internal")
    connections("smtp_default", "smtp://me:secret@mail.example:465/?timeout=7&from_email=shop%40shop.example")
    settings = connected_settings()
    assert (settings.smtp_host, settings.smtp_port, settings.smtp_user) == ("mail.example", 465, "me")
    assert settings.smtp_password.get_secret_value() == "secret"
    assert (settings.smtp_timeout, settings.sender, settings.smtp_security) == (7, "shop@shop.example", "tls")


@pytest.mark.parametrize(
    ("extra", "security"),
    [("", "tls"), ("?disable_ssl=true", "starttls"), ("?disable_ssl=true&disable_tls=true", "none")],
)
def test_security_is_read_as_airflow_reads_it(connections, extra, security):
    connections("smtp_default", f"smtp://mail.example:25/{extra}")
    assert connected_settings().smtp_security == security


def test_an_smtp_connection_alone_never_turns_real_mail_on(connections):
    connections("smtp_default", "smtp://mail.example:25")
    assert connected_settings().delivery == "mailbox"


def test_another_kind_of_database_is_refused(connections):
    connections("perennial_warehouse", "mysql://db.internal/shop")
    with pytest.raises(BadConfig, match=r"perennial_warehouse: type 'mysql' is not supported; use postgres"):
        connected_settings()
