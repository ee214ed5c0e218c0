"""Whole sessions in real time: processes that die, hang and fall silent, and what is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steadyhand.contracts.errors import IntegrityError, RefusedError, SpecError, UsageError
from steadyhand.contracts.progress import Silent
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.faults import Fault
from steadyhand.runtime.recorder import COLUMNS
from steadyhand.runtime.robots.virtual import VirtualRobot
from steadyhand.runtime.session import run_session
from steadyhand.store.signing import PublicKey
from steadyhand.store.tensors import read_tensors

# A loaded machine may pause any process for a while; faults under test last much longer.
CONFIG = RuntimeConfig(watchdog_interval_ms=600, hold_ms=200, observation_budget_ms=1000)


@pytest.fixture
def robot():
    robot = VirtualRobot.create()
    yield robot
    robot.close()


def run(robot, bundle, *faults, config=CONFIG, duration_s=1.0, **options):
    return run_session(
        robot,
        bundle.directory,
        bundle.keys,
        config,
        duration_s=duration_s,
        faults=faults,
        **options,
    )


class Heard(Silent):
    """Progress that remembers."""

    def __init__(self):
        self.lines, self.updates = [], []

    def say(self, message):
        self.lines.append(message)

    def update(self, phase, done, total, unit):
        self.updates.append((phase, done, total, unit))


def test_a_healthy_session_executes_records_and_ends_stopped(robot, bundle, tmp_path):
    heard, pids = Heard(), set()
    report = run(robot, bundle, progress=heard, record_path=tmp_path / "ticks", on_look=pids.add)
    assert (report.ended_by, report.robot_stopped) == ("duration", True)
    assert report.late_actions_executed == 0
    assert report.verdicts["executed"] > 0.5 * report.ticks
    assert sum(report.verdicts.values()) == report.ticks == report.control["loop"]["ticks"]
    skipped = report.control["skipped_cycles"]
    assert report.ticks + skipped == pytest.approx(50, abs=1)
    assert report.watchdog["alarm"] == "none"
    assert report.control["loop"]["inference_ms"]["count"] > 0
    assert "= 300.0 ms" in heard.lines[0]
    assert heard.updates[-1][0] == "run"
    recorded, metadata = read_tensors(tmp_path / "ticks")
    assert set(recorded) == set(COLUMNS)
    assert len(recorded["due_at_s"]) == report.ticks - report.control["dropped_records"]
    assert metadata == {"bundle": report.bundle["digest"]}
    assert_gone(*(p for look in pids for p in (look.control, look.watchdog, look.worker)))


def test_a_stalled_inference_and_a_killed_worker_cost_time_never_a_late_action(robot, bundle):
    report = run(
        robot,
        bundle,
        Fault("stall_inference", 0.4, 0.9),
        Fault("kill_worker", 2.6),
        config=RuntimeConfig(watchdog_interval_ms=600, hold_ms=200, safe_ms=20_000),
        duration_s=6.0,
    )
    events = report.control["loop"]["worker_events"]
    assert report.late_actions_executed == 0
    assert events["died"] == 1  # the kill; the stall ends as a hang, by the budget
    assert events["hung"] == 1
    assert report.worker_restarts == 2
    # One if the machine is so busy that the second fault finds the first one not yet over.
    assert report.control["loop"]["fallbacks_taken"] >= 1
    assert report.verdicts["held"] > 0
    assert report.verdicts["safe"] > 0
    assert report.verdicts["executed"] > 0
    assert (report.ended_by, report.robot_stopped) == ("duration", True)


def test_nan_and_silence_never_reach_the_robot(robot, bundle):
    report = run(
        robot,
        bundle,
        Fault("nan_chunk", 0.3, 0.4),
        Fault("robot_silent", 1.1, 0.1),
        duration_s=1.8,
    )
    loop = report.control["loop"]
    assert loop["results"]["not_finite"] > 0
    assert loop["troubles"]["robot_silent"] > 0
    assert loop["troubles"]["internal"] == 0
    assert report.late_actions_executed == 0
    assert report.ended_by == "duration"


def test_a_killed_control_process_is_stopped_by_the_watchdog(robot, bundle):
    looks = set()
    report = run(robot, bundle, Fault("kill_control", 0.5), duration_s=9.0, on_look=looks.add)
    assert report.ended_by == "control_died"
    assert report.watchdog["alarm"] == "too_late"
    assert report.robot_stopped
    assert report.wall_s < 5
    assert_gone(*(p for look in looks for p in (look.control, look.watchdog, look.worker)))
    assert_no_memory_of(os.getpid(), robot)


def test_a_control_loop_that_hangs_is_stopped_by_the_watchdog(robot, bundle):
    report = run(robot, bundle, Fault("stall_control", 0.4, 1.2), duration_s=4.0)
    assert report.watchdog["alarm"] == "too_late"
    assert report.ended_by == "stopped"
    assert report.verdicts["stopped"] == 1
    assert report.control["loop"]["troubles"]["stopped_outside"] == 1
    assert report.late_actions_executed == 0


def test_inference_in_the_loop_is_a_flag(robot, bundle):
    config = RuntimeConfig(async_inference=False, watchdog_interval_ms=600)
    looks = set()
    report = run(robot, bundle, config=config, duration_s=0.6, on_look=looks.add)
    assert report.verdicts["executed"] > 0
    assert report.late_actions_executed == 0
    assert {look.worker for look in looks} <= {0}


def test_a_session_ends_when_its_owner_has_seen_enough(robot, bundle):
    looks = []
    report = run(robot, bundle, duration_s=60.0, until=lambda: looks.append(1) or len(looks) > 5)
    assert report.ended_by == "until"
    assert report.wall_s < 10
    assert robot.is_stopped


def test_an_error_of_the_owner_leaves_nothing_behind(robot, bundle):
    looks = set()

    def fail():
        raise RuntimeError("owner")

    with pytest.raises(RuntimeError, match="owner"):
        run(robot, bundle, duration_s=60.0, until=fail, on_look=looks.add)
    assert robot.is_stopped
    assert_gone(*(p for look in looks for p in (look.control, look.watchdog, look.worker)))
    assert_no_memory_of(os.getpid(), robot)


OWNER = """
import sys, pathlib
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.robots.virtual import VirtualRobotHandle
from steadyhand.runtime.session import run_session
from steadyhand.store.signing import PublicKey

def tell(look):
    if look.worker:
        print(look.control, look.watchdog, look.worker, flush=True)

if __name__ == "__main__":
    robot = VirtualRobotHandle(sys.argv[1], 64).attach()
    keys = (PublicKey("tests", bytes.fromhex(sys.argv[3])),)
    config = RuntimeConfig(watchdog_interval_ms=600)
    run_session(
        robot, pathlib.Path(sys.argv[2]), keys, config, duration_s=60.0, on_look=tell
    )
"""


def test_a_killed_owner_leaves_a_stopped_robot_no_process_and_no_memory(robot, bundle, tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    before = shared_memory()
    owner = subprocess.Popen(
        [
            sys.executable,
            script,
            robot.handle().name,
            str(bundle.directory),
            bundle.keys[0].raw.hex(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pids = [int(p) for p in owner.stdout.readline().split()]
    assert len(pids) == 3
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.read()  # until the last process that shares it has ended
    owner.stderr.read()
    owner.stdout.close()
    owner.stderr.close()
    assert_gone(*pids)
    assert robot.is_stopped
    assert shared_memory() <= before


def shared_memory():
    return {p.name for p in Path("/dev/shm").glob("steadyhand-*")}


def assert_no_memory_of(pid, robot):
    """No segment but the robot's is mapped by this process any more."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    names = {
        line.split("/dev/shm/")[1].split()[0] for line in maps.splitlines() if "/dev/shm/" in line
    }
    ours = {n for n in names if n.startswith("steadyhand-")}
    assert all(n.startswith((robot.handle().name, "steadyhand-test")) for n in ours)


def assert_gone(*pids):
    assert any(pids)
    for pid in filter(None, pids):
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"declared_latency_p99_ms": 340.0}, RefusedError, "the robot would starve: .*340"),
        ({"latency_budget_ms": 0.01}, RefusedError, "exceeds the latency budget"),
        ({"latency_budget_ms": 900.0}, UsageError, "within the chunk's 500 ms"),
        ({"model_partition": ("policy",)}, UsageError, r"bundle 'tiny' has the parts \['vision'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_moves(robot, bundle, config, error, message):
    with pytest.raises(error, match=message):
        run(robot, bundle, config=RuntimeConfig(**config))
    assert robot.observe().sequence == 1


def test_a_robot_that_does_not_fit_and_a_wrong_key_are_refused(bundle):
    small = VirtualRobot.create(image_size=32)
    with pytest.raises(SpecError, match=r"reads 'observation.images.wrist' as uint8\[64, 64, 3\]"):
        run(small, bundle)
    with pytest.raises(IntegrityError, match="not trusted here"):
        run_session(small, bundle.directory, (PublicKey("x", b"1" * 32),), CONFIG, duration_s=1.0)
    small.close()


def test_faults_are_named_and_need_a_process_to_break(robot, bundle):
    with pytest.raises(UsageError, match="unknown fault 'kill_wroker'; did you mean 'kill_worker'"):
        Fault("kill_wroker", 1.0)
    with pytest.raises(UsageError, match="times must not be negative"):
        Fault("kill_worker", -1.0)
    with pytest.raises(UsageError, match=r"inference faults need runtime.async_inference"):
        run(robot, bundle, Fault("kill_worker", 1.0), config=RuntimeConfig(async_inference=False))
