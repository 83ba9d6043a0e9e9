"""One writer at a time: between real processes, and free as soon as the holder is gone."""

import os
import signal
import subprocess
import sys

import pytest

from perennial.foundation.errors import Retryable
from perennial.foundation.settings import load_settings
from perennial.warehouse import exchange, open_warehouse

HOLD = """
import sys
from perennial.foundation.settings import load_settings
from perennial.warehouse import open_warehouse

with open_warehouse(load_settings(home=sys.argv[1])) as warehouse:
    warehouse.create("core.x", {"a": "bigint"})
    with warehouse.transaction():
        warehouse.execute("insert into core.x values (1)")
    warehouse.connection.begin()
    warehouse.execute("insert into core.x values (2)")  # never committed
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path, lock_timeout=0.2)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the warehouse until it is told to stop, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_it(settings, holder):
    with pytest.raises(Retryable) as error, open_warehouse(settings):
        pass
    assert f"pid {holder.pid}" in str(error.value)
    assert "PERENNIAL_LOCK_TIMEOUT" in str(error.value)


def test_the_lock_is_free_when_the_holder_is_killed_and_only_what_was_committed_is_there(settings, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with open_warehouse(settings) as warehouse:
        assert warehouse.query("select a from core.x")["a"].to_pylist() == [1]


def test_the_lock_is_free_when_the_holder_is_done(settings, holder):
    holder.communicate("")
    with open_warehouse(settings) as warehouse:
        assert warehouse.has("core.x")


def test_nobody_exchanges_a_warehouse_that_is_being_written(settings, holder, tmp_path):
    new = tmp_path / "new.duckdb"
    new.touch()
    with pytest.raises(Retryable, match=f"pid {holder.pid}"):
        exchange(new, settings)
    assert new.exists()


def test_a_holder_nobody_can_read_is_unknown(settings, holder, tmp_path):
    notes = list(tmp_path.rglob("*.holder"))
    assert len(notes) == 1
    notes[0].write_text("{")
    with pytest.raises(Retryable, match="pid unknown"), open_warehouse(settings):
        pass


def test_an_error_inside_frees_it(settings):
    with pytest.raises(ZeroDivisionError), open_warehouse(settings):
        raise ZeroDivisionError
    with open_warehouse(settings) as warehouse:
        assert warehouse.value("select 1") == 1
