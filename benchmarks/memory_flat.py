"""Resident memory of every process of a running session: flat, or not.

Samples control loop, inference worker, watchdog and simulated robot for ten minutes, episode after
episode, and compares the last minute with the first one after warm-up.

    make bench NAME=memory_flat ARGS="--bundle DIR --key PUBLIC_KEY.json"
"""

import argparse
import statistics
import sys
from pathlib import Path

from result_file import Claim, describe_versions, write_result
from steadyhand.contracts.clock import MonotonicClock
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.session import SessionProcesses, run_session
from steadyhand.sim.robot import SimulatedRobot
from steadyhand.store.signing import load_public_key

EPISODE_S = 12.0
SAMPLE_EVERY_S = 2.0
# Ten minutes on a shared machine meet pauses that would rightly stop a robot; memory is the point.
CONFIG = RuntimeConfig(
    watchdog_interval_ms=2000.0, observation_budget_ms=2000.0, hold_ms=2000.0, safe_ms=60_000.0
)


def resident_mib(pid: int) -> float:
    """Read the resident memory [MiB] of a process from the kernel."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no resident memory; it has ended")


class Sampler:
    """Samples memory, and keeps the robot working."""

    def __init__(self, robot: SimulatedRobot) -> None:
        self.robot = robot
        self.clock = MonotonicClock()
        self.samples: dict[str, list[float]] = {}
        self.times_s: list[float] = []
        self.num_episodes = 0
        self.episode_s = 0.0

    def look(self, processes: SessionProcesses) -> None:
        """Sample when it is time, and go on to the next episode."""
        now_s = self.clock.now_s()
        if self.robot.is_success() or now_s - self.episode_s > EPISODE_S:
            self.robot.reset(1, self.num_episodes)
            self.num_episodes += 1
            self.episode_s = self.clock.now_s()
        if not processes.worker or (self.times_s and now_s - self.times_s[-1] < SAMPLE_EVERY_S):
            return
        self.times_s.append(now_s)
        pids = {
            "control": processes.control,
            "worker": processes.worker,
            "watchdog": processes.watchdog,
            "robot": self.robot.process_id or 0,
        }
        for name, pid in pids.items():
            self.samples.setdefault(name, []).append(resident_mib(pid))


def main() -> None:
    """Measure, print, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True, help="directory of a signed bundle")
    parser.add_argument("--key", type=Path, required=True, help="the signer's public key file")
    parser.add_argument("--task", default="pick_place-hard")
    parser.add_argument("--duration", type=float, default=600.0, help="seconds after warm-up")
    parser.add_argument("--warm-up", type=float, default=60.0, help="seconds before that")
    arguments = parser.parse_args()
    keys = [load_public_key(arguments.key)]
    robot = SimulatedRobot.start(arguments.task)
    sampler = Sampler(robot)
    try:
        report = run_session(
            robot,
            arguments.bundle,
            keys,
            CONFIG,
            duration_s=arguments.warm_up + arguments.duration,
            on_look=sampler.look,
        )
    finally:
        robot.close()
    if report.ended_by != "duration":
        sys.exit(f"the session ended early: {report.to_json()}")
    found = []
    window_s = min(60.0, arguments.duration / 4)
    begin_s = sampler.times_s[0] + arguments.warm_up
    for name, values in sampler.samples.items():
        pairs = list(zip(sampler.times_s, values, strict=True))
        first = [v for t, v in pairs if begin_s <= t < begin_s + window_s]
        last = [v for t, v in pairs if t > sampler.times_s[-1] - window_s]
        steady = [v for t, v in pairs if t >= begin_s]
        growth = statistics.median(last) / statistics.median(first) - 1
        peak = max(steady) / statistics.median(first) - 1
        print(
            f"{name:9} {statistics.median(first):7.2f} -> {statistics.median(last):7.2f} MiB, "
            f"growth {growth:+.3%}, peak {peak:+.3%}, {len(steady)} samples"
        )
        what = f"growth of the {name} process over {arguments.duration:.0f} s after warm-up"
        found.append(Claim(what, growth, "ratio", "<=", 0.02))
        found.append(Claim(f"peak of the {name} process over its start", peak, "ratio", "<=", 0.02))
    path = write_result(
        "memory_flat",
        found,
        describe_versions(("numpy", "onnxruntime", "mujoco")),
        report.wall_s,
        'make bench NAME=memory_flat ARGS="--bundle DIR --key PUBLIC_KEY.json"',
    )
    print(f"{sampler.num_episodes} episodes, {report.ticks} ticks\n{path}")


if __name__ == "__main__":
    main()
