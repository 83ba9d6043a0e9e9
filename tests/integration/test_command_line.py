"""The command line as a person uses it."""

import pytest
from alembic import command
from typer.testing import CliRunner

from contents import tables
from perennial.cli import app
from perennial.foundation.days import Origin
from perennial.foundation.settings import load_settings
from perennial.ledger import SetAside, open_ledger
from perennial.ledger.schema import HEAD, _alembic
from perennial.ledger.store import connect


@pytest.fixture
def perennial(tmp_path, monkeypatch):
    """Run a command in an empty home, on 1 February 2026."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_NOW", "2026-02-01T09:30:00+01:00")
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.mark.slow
def test_a_shop_in_which_nothing_happened_yet(perennial, tmp_path):
    assert perennial("run").exit_code == 0
    with open_ledger(load_settings()) as ledger:
        ledger.take_in("sendgrid", [], [SetAside("no_message", "{}")])
    told = perennial("status")
    assert told.exit_code == 0, told.exception
    assert "Set aside   sendgrid no_message 1" in told.output
    assert "nothing was sold or heard yet" in told.output
    shown = perennial("query", "select '[/red] not markup' as \"[bold]\"")
    assert shown.exit_code == 0, shown.exception
    assert "[/red] not markup" in shown.output
    assert "[bold]" in shown.output
    replayed = perennial("replay", "--day", "2026-01-31", "--into", str(tmp_path / "then"))
    assert replayed.exit_code == 0, replayed.exception
    assert (tmp_path / "then" / "published" / "latest" / "report.html").is_file()
    assert "no day that was run" in str(perennial("replay", "--day", "2026-01-30", "--into", str(tmp_path)).exception)


@pytest.mark.slow
def test_several_days_are_published_once_as_of_the_last(perennial, tmp_path):
    assert perennial("run", "--from", "2026-01-28", "--to", "2026-01-30").exit_code == 0
    settings = load_settings()
    with open_ledger(settings) as ledger:
        assert [(run.day.day, run.origin) for run in ledger.day_runs()] == [(n, Origin.BACKFILL) for n in (28, 29, 30)]
    (published,) = [
        path.name for path in settings.published_dir.iterdir() if path.name[0] != "." and path.name != "latest"
    ]
    assert published.startswith("2026-01-30-")
    days = "select distinct day from marts.segment_daily"
    assert perennial("query", "--csv", f"{days} order by day").output.split()[1:] == [
        "2026-01-28",
        "2026-01-29",
        "2026-01-30",
    ]
    said = "select '=1+1' as a, '@x' as b, '-2' as c, -2 as d, 'a=b' as e, cast(null as text) as f"
    assert perennial("query", "--csv", said).output.splitlines()[1] == "'=1+1,'@x,'-2,-2,a=b,"
    before = tables(settings)
    assert perennial("run", "--from", "2026-01-27", "--to", "2026-01-28").exit_code == 0  # outdated: nothing is noted
    assert tables(settings) == before
    with open_ledger(settings) as ledger:
        assert len(ledger.day_runs()) == 3


def test_a_servers_ledger_is_raised_by_a_person(perennial, postgres, monkeypatch, tmp_path):
    monkeypatch.setenv("PERENNIAL_LEDGER", postgres.database())
    assert perennial("migrate").output == f"A new ledger was made, with schema {HEAD}.\n"
    assert perennial("migrate").output == f"The ledger has schema {HEAD} already.\n"
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "another"))
    monkeypatch.setenv("PERENNIAL_LEDGER", postgres.database())
    engine = connect(load_settings())
    with engine.execution_options(writes=True).begin() as connection:
        command.upgrade(_alembic(connection), "0001")
    engine.dispose()
    assert "run `perennial migrate`" in str(perennial("deliver").exception)
    assert perennial("migrate").output == f"The ledger was raised from schema 0001 to {HEAD}.\n"
    assert perennial("deliver").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--to", "2026-01-30"),
        ("--day", "2026-01-30", "--to", "2026-01-31"),
        ("--from", "2026-01-30", "--origin", "replay"),
    ],
)
def test_options_that_contradict_each_other_run_nothing(perennial, tmp_path, arguments):
    assert perennial("run", *arguments).exit_code == 2
    assert not (tmp_path / "ledger").exists()
