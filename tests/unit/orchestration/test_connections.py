"""What an Airflow Connection says, as settings. Where there is none, the environment counts."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from perennial.foundation.errors import BadConfig
from perennial.ledger.store import connect
from perennial.orchestration.connections import connected_settings, source_settings


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
    assert settings.ledger_url == "postgresql://etl@db.internal/ledger"


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        (
            "postgres://etl:%3Fp%20%C3%BC%25%23@db.internal/led%20ger",
            "postgresql://etl:%3Fp%20%C3%BC%25%23@db.internal/led%20ger",
        ),
        (
            "postgres://etl:pw@db.internal/ledger?sslmode=verify-full&sslrootcert=%2Fetc%2Fca%20x.pem&connect_timeout=5",
            "postgresql://etl:pw@db.internal/ledger?sslmode=verify-full&sslrootcert=%2Fetc%2Fca%20x.pem&connect_timeout=5",
        ),
        (
            "postgres://etl:pw@db.internal/ledger?options=-csearch_path%3Dmail",
            "postgresql://etl:pw@db.internal/ledger?options=-csearch_path%3Dmail",
        ),
        (
            "postgres://etl:pw@%2Fvar%2Frun%2Fpostgresql:5433/ledger",
            "postgresql://etl:pw@/ledger?host=%2Fvar%2Frun%2Fpostgresql&port=5433",
        ),
        ("postgres:///ledger", "postgresql:///ledger"),
        ("postgres://etl@[2001:db8::1]:5433/ledger", "postgresql://etl@[2001:db8::1]:5433/ledger"),
    ],
)
def test_a_connection_says_the_same_as_its_url_to_sqlalchemy_and_to_libpq(connections, uri, url):
    connections("perennial_ledger", uri)
    settings = connected_settings()
    assert settings.ledger_url == url
    read = conninfo_to_dict(url)
    engine = connect(settings)
    _, arguments = engine.dialect.create_connect_args(engine.url)
    arguments = {name: str(value) for name, value in arguments.items() if name != "context"}
    assert arguments == {name: str(value) for name, value in read.items()}


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("postgres://etl:s3cret@db.internal/", "perennial_ledger: it names no database"),
        (
            "postgres://etl:s3cret@db.internal/ledger?iam=true&sslpassword=s3cret",
            "extra iam, sslpassword is not supported",
        ),
        ("sqlite://", "perennial_ledger: it names no file"),
    ],
)
def test_a_connection_that_cannot_be_used_is_named_without_its_password(connections, uri, words):
    connections("perennial_ledger", uri)
    with pytest.raises(BadConfig, match=words) as refused:
        connected_settings()
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("executor", "named"),
    [
        ("CeleryExecutor", "CeleryExecutor"),
        ("LocalExecutor,airflow.providers.celery.executors.celery_executor.CeleryExecutor:far", "CeleryExecutor"),
        ("LocalExecutor;team1=KubernetesExecutor", "KubernetesExecutor"),
    ],
)
def test_a_sqlite_ledger_is_refused_where_tasks_may_run_on_other_hosts(connections, monkeypatch, executor, named):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    with pytest.raises(BadConfig, match=rf"SQLite file, and tasks run under {named},.*PERENNIAL_LEDGER"):
        connected_settings()
    connections("perennial_ledger", "postgres://etl@db.internal/ledger")
    assert connected_settings().ledger_url == "postgresql://etl@db.internal/ledger"


@pytest.mark.parametrize("executor", ["LocalExecutor", "airflow.executors.local_executor.LocalExecutor:here"])
def test_a_sqlite_ledger_is_fine_on_one_host(monkeypatch, executor):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    assert connected_settings().ledger is None


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


def test_keys_of_providers_come_from_connections_and_turn_nothing_on(connections, monkeypatch):
    connections("sendgrid_default", "generic://:SG.key@api.eu.sendgrid.com")
    connections("mailgun_default", "http://api:key@api.eu.mailgun.net/?domain=mg.shop.example")
    settings = connected_settings()
    assert (settings.delivery, settings.sendgrid_api_key, settings.mailgun_api_key) == ("mailbox", None, None)
    monkeypatch.setenv("PERENNIAL_DELIVERY", "sendgrid")
    monkeypatch.setenv("PERENNIAL_DELIVERY_FALLBACK", "mailgun")
    settings = connected_settings()
    assert settings.sendgrid_api_key.get_secret_value() == "SG.key"
    assert settings.sendgrid_url == "https://api.eu.sendgrid.com"
    assert settings.mailgun_api_key.get_secret_value() == "key"
    assert (settings.mailgun_url, settings.mailgun_domain) == ("https://api.eu.mailgun.net", "mg.shop.example")


def test_another_kind_of_database_is_refused(connections):
    connections("perennial_warehouse", "mysql://db.internal/shop")
    with pytest.raises(BadConfig, match=r"perennial_warehouse: type 'mysql' is not supported; use postgres"):
        connected_settings()


def test_a_source_reads_the_database_of_its_connection(connections, monkeypatch, tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "stock.yaml").write_text(
        "{source: stock, contract: products, format: jsonl, columns: {sku: sku},"
        " database: {connection: shop, table: stock, key: sku}}"
    )
    monkeypatch.setenv("PERENNIAL_INCLUDE", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_CONNECTIONS", '{"shop": "sqlite:////srv/shop.sqlite", "till": "sqlite://"}')
    settings = connected_settings()
    assert source_settings("stock", settings) == settings
    connections("perennial_source_shop", "postgres://me:s3cret@db.internal/shop")
    found = source_settings("stock", settings)
    assert {name: url.get_secret_value() for name, url in found.connections.items()} == {
        "shop": "postgresql://me:s3cret@db.internal/shop",
        "till": "sqlite://",
    }
    assert "s3cret" not in repr(found)


def test_a_source_that_joins_files_asks_for_no_connection(connections, monkeypatch, tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "stock.yaml").write_text(
        "{source: stock, contract: products, format: jsonl, columns: {sku: sku},"
        " database: {files: {stock: stock.csv}, query: from stock, key: sku}}"
    )
    monkeypatch.setenv("PERENNIAL_INCLUDE", str(tmp_path))
    settings = connected_settings()
    connections("perennial_source_None", "postgres://me@db.internal/shop")
    assert source_settings("stock", settings) == settings


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("http://ck_1:cs%2F2@shop.example/", "https://ck_1:cs%2F2@shop.example"),
        ("https://ck_1:cs_2@shop.example:8443/https", "https://ck_1:cs_2@shop.example:8443"),
        ("http://ck_1:cs_2@127.0.0.1:8080/http", "http://ck_1:cs_2@127.0.0.1:8080"),
        ("http://ck_1:cs_2@https%3A%2F%2Fshop.example%2Fstore", "https://ck_1:cs_2@shop.example/store"),
        ("http://shop.example", "https://:@shop.example"),
        ("http://ck_1:cs_2@shop.example/store", "schema 'store' is neither https nor http"),
        ("postgres://ck_1:cs_2@shop.example/store", "type 'postgres' is not supported for a shop"),
    ],
)
def test_a_source_reads_the_shop_of_its_connection(connections, monkeypatch, tmp_path, uri, url):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "web.yaml").write_text(
        "{source: web, contract: products, format: json, columns: {sku: sku},"
        " woocommerce: {connection: shop, resource: products}}"
    )
    monkeypatch.setenv("PERENNIAL_INCLUDE", str(tmp_path))
    connections("perennial_source_shop", uri)
    if "://" in url:
        found = source_settings("web", connected_settings()).connections
        assert {name: secret.get_secret_value() for name, secret in found.items()} == {"shop": url}
    else:
        with pytest.raises(BadConfig, match=url) as error:
            source_settings("web", connected_settings())
        assert "cs_2" not in str(error.value)
