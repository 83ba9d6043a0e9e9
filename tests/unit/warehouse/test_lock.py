"""One writer at a time: between real processes, and free as soon as the holder is gone."""

import os
import signal
import subprocess
import sys

import pytest

from perennial.foundation.errors import Retryable
from perennial.warehouse import create_scratch, exchange, open_warehouse, scratch_beside

HOLD = """
import sys
from perennial.foundation.settings import load_settings
from perennial.warehouse import open_warehouse

with open_warehouse(load_settings(home=sys.argv[1], warehouse=sys.argv[2])) as warehouse:
    warehouse.create("core.x", {"a": "bigint"})
    with warehouse.transaction():
        warehouse.execute("insert into core.x values (1)")
    with warehouse.transaction():
        warehouse.execute("insert into core.x values (2)")  # not yet committed
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def settings(warehouses, tmp_path):
    return warehouses.settings(tmp_path, lock_timeout=0.2)


@pytest.fixture
def holder(settings):
    """Another process that holds the warehouse until it is told to stop, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.home), settings.warehouse_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_it(settings, holder, warehouses):
    other = warehouses.empty()  # on the same server, held by this process
    with pytest.raises(Retryable) as error, open_warehouse(settings):
        pass
    assert f"pid {holder.pid}" in str(error.value)
    assert "PERENNIAL_LOCK_TIMEOUT" in str(error.value)
    other.close()


def test_the_lock_is_free_when_the_holder_is_killed_and_only_what_was_committed_is_there(settings, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with open_warehouse(settings) as warehouse:
        assert warehouse.query("select a from core.x")["a"].to_pylist() == [1]


def test_the_lock_is_free_when_the_holder_is_done(settings, holder):
    holder.communicate("")
    with open_warehouse(settings) as warehouse:
        assert warehouse.has("core.x")


def test_nobody_exchanges_a_warehouse_that_is_being_written(settings, holder):
    scratch = scratch_beside(settings)
    create_scratch(scratch, settings)
    with open_warehouse(scratch) as warehouse:
        warehouse.create("core.y", {"a": "bigint"})
    with pytest.raises(Retryable, match=f"pid {holder.pid}"):
        exchange(scratch, settings)
    with open_warehouse(scratch) as warehouse:
        assert warehouse.has("core.y")


def test_exchanged_is_what_the_scratch_warehouse_holds(settings):
    scratch = scratch_beside(settings)
    for other, table, value in ((settings, "core.x", 1), (settings, "core.gone", 1), (scratch, "core.x", 2)):
        if other is scratch:
            create_scratch(scratch, settings)
        with open_warehouse(other) as warehouse:
            warehouse.create(table, {"a": "bigint", "b": "decimal(12,2)"})
            warehouse.execute(f"insert into {table} values ({value}, 0.5)")
            warehouse.tune(table, ["a"])
    exchange(scratch, settings)
    with open_warehouse(settings) as warehouse:
        assert warehouse.query("select a from core.x")["a"].to_pylist() == [2]
        assert warehouse.columns("core.x") == {"a": "bigint", "b": "decimal(12,2)"}
        assert not warehouse.has("core.gone")


def test_an_error_inside_frees_it(settings):
    with pytest.raises(ZeroDivisionError), open_warehouse(settings):
        raise ZeroDivisionError
    with open_warehouse(settings) as warehouse:
        assert warehouse.value("select 1") == 1
