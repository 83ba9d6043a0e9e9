"""The processes of the local stack are stopped in the end, whatever happens to the one that started them."""

import os
import signal
import sys
import time
from subprocess import PIPE, Popen

import psutil
import pytest

from perennial.orchestration.processes import Processes, StackError


def sleeper_with_child():
    """A component that leaves the work to a child, as the scheduler does."""
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    time.sleep(60)


def members(session):
    def is_member(pid):
        try:
            return os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False

    return [pid for pid in psutil.pids() if is_member(pid)]


def eventually(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_leaving_stops_components_and_what_they_started(tmp_path):
    with Processes(tmp_path) as processes:
        processes.start("sleeper", sleeper_with_child)
        (session,) = processes._pids.values()
        eventually(lambda: len(members(session)) == 2)
        assert processes.memory() > 0
        processes.check()
    assert members(session) == []


def test_a_component_that_ends_by_itself_is_reported_with_its_last_words(tmp_path):
    def body():
        sys.stdout.write("port 8080 is taken\n")
        raise SystemExit(3)

    with Processes(tmp_path) as processes:
        processes.start("api-server", body)
        with pytest.raises(StackError, match=r"api-server ended with code 3:\nport 8080 is taken\nLog: "):
            eventually(processes.check)


def test_a_crash_leaves_its_traceback_in_the_log(tmp_path):
    def body():
        raise KeyError("no such pool")

    with Processes(tmp_path) as processes:
        processes.start("scheduler", body)
        eventually(lambda: processes.ended("scheduler") == 1)
        assert "KeyError: 'no such pool'" in processes.tail("scheduler")


def test_one_home_has_one_stack(tmp_path):
    with Processes(tmp_path), pytest.raises(StackError, match="Another local Airflow is running"), Processes(tmp_path):
        pass
    with Processes(tmp_path):
        pass


STARTER = """
import sys, time
from pathlib import Path
sys.path.insert(0, "tests/integration")
from test_processes import sleeper_with_child
from perennial.orchestration.processes import Processes
with Processes(Path(sys.argv[1])) as processes:
    processes.start("sleeper", sleeper_with_child)
    print(processes._pids["sleeper"], flush=True)
    time.sleep(60)
"""


def test_what_a_killed_start_left_running_is_ended_by_the_next(tmp_path):
    starter = Popen([sys.executable, "-c", STARTER, str(tmp_path)], stdout=PIPE, text=True)
    session = int(starter.stdout.readline())
    eventually(lambda: len(members(session)) == 2)
    starter.kill()
    starter.communicate()
    assert len(members(session)) == 2
    os.kill(session, signal.SIGKILL)  # even when the leader is gone, its child is known by its session
    eventually(lambda: len(members(session)) == 1)
    with Processes(tmp_path):
        assert members(session) == []


def test_a_record_cut_short_by_a_kill_and_a_number_that_means_another_process_do_no_harm(tmp_path):
    with Processes(tmp_path):
        pass
    record = tmp_path / "processes.json"
    record.write_text("[[12")
    with Processes(tmp_path):
        pass
    stranger = Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        record.write_text(f"[[{stranger.pid}, {psutil.Process(stranger.pid).create_time() - 100}]]")
        with Processes(tmp_path):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
