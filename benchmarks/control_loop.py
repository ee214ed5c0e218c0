"""The control loop at 50 Hz with a real bundle and the simulated arm: deadlines, kept or missed.

Runs the processes of a real session (loop, inference, watchdog, robot) for two minutes, once on
the machine as it is and once beside one busy process per core, episode after episode.

    make bench NAME=control_loop ARGS="--bundle DIR --key PUBLIC_KEY.json"
"""

import argparse
import multiprocessing
import sys
from pathlib import Path
from typing import Any

from result_file import Claim, describe_versions, write_result
from steadyhand.contracts.clock import MonotonicClock
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.session import SessionProcesses, SessionReport, run_session
from steadyhand.sim.robot import SimulatedRobot
from steadyhand.store.signing import load_public_key

EPISODE_S = 12.0
WATCHDOG_MS = 500.0


def hog() -> None:
    """Keep one core busy until killed."""
    while True:
        sum(range(10_000))


class Episodes:
    """Starts the next episode when one is solved or over."""

    def __init__(self, robot: SimulatedRobot) -> None:
        self.robot = robot
        self.num_started = 0
        self.num_solved = 0
        self.started_s = MonotonicClock().now_s()
        self.next()

    def next(self) -> None:
        """Put the world back to the start of another episode."""
        self.robot.reset(0, self.num_started)
        self.num_started += 1
        self.started_s = MonotonicClock().now_s()

    def look(self, _: SessionProcesses) -> None:
        """Go on to the next episode when this one is solved or over."""
        is_solved = self.robot.is_success()
        if is_solved or MonotonicClock().now_s() - self.started_s > EPISODE_S:
            self.num_solved += is_solved
            self.next()


def measure(arguments: argparse.Namespace, num_hogs: int) -> tuple[SessionReport, Episodes]:
    """Run one session beside some busy processes."""
    context = multiprocessing.get_context("spawn")
    hogs = [context.Process(target=hog, daemon=True) for _ in range(num_hogs)]
    robot = SimulatedRobot.start(arguments.task)
    try:
        episodes = Episodes(robot)
        for process in hogs:
            process.start()
        report = run_session(
            robot,
            arguments.bundle,
            [load_public_key(arguments.key)],
            RuntimeConfig(control_rate_hz=50, watchdog_interval_ms=WATCHDOG_MS),
            duration_s=arguments.duration,
            on_look=episodes.look,
        )
    finally:
        for process in hogs:
            process.kill()
        robot.close()
    if not report.control:
        sys.exit(f"the control process died: {report.watchdog}")
    return report, episodes


def claims(report: SessionReport, episodes: Episodes, where: str) -> list[Claim]:
    """Turn one session into claims."""
    control: dict[str, Any] = report.control
    loop = control["loop"]
    seconds = report.ticks / 50
    print(f"\n{where}: {report.ticks} ticks in {seconds:.0f} s, scheduling {control['scheduling']}")
    print(f"  {control['starvation']['text']}")
    print(f"  tick jitter [ms]       {control['tick_jitter_ms']}")
    print(f"  tick duration [ms]     {control['tick_duration_ms']}")
    print(f"  inference latency [ms] {loop['inference_ms']}")
    print(f"  age at arrival [ms]    {loop['result_age_ms']}")
    print(f"  verdicts               {loop['verdicts']}")
    print(f"  results                {loop['results']}")
    print(f"  clips                  {loop['clips']}")
    print(f"  skipped cycles {control['skipped_cycles']}, dropped {control['dropped_records']}")
    print(f"  episodes {episodes.num_started}, solved {episodes.num_solved}")
    print(f"  watchdog {report.watchdog}, ended by {report.ended_by}")
    jitter, latency = control["tick_jitter_ms"], loop["inference_ms"]
    rows = [
        ("late actions executed", report.late_actions_executed, "actions", "==", 0),
        ("skipped cycles", control["skipped_cycles"], "cycles", "<=", report.ticks // 100),
        ("tick jitter p50", jitter["p50"], "ms", "<=", 1.0),
        ("tick jitter p99", jitter["p99"], "ms", "<=", 5.0),
        ("tick jitter p99.9", jitter["p99.9"], "ms", "<=", 20.0),
        ("inference latency p50", latency["p50"], "ms", "<=", 50.0),
        ("inference latency p95", latency["p95"], "ms", "<=", 100.0),
        ("inference latency p99", latency["p99"], "ms", "<=", control["starvation"]["limit_ms"]),
        ("fallbacks taken", loop["fallbacks_taken"], "times", "<=", 0),
    ]
    rows += [
        (f"share of ticks with verdict {name}", count / report.ticks, "ratio", relation, target)
        for name, relation, target in (
            ("executed", ">=", 0.99),
            ("held", "<=", 0.01),
            ("safe", "<=", 0.0),
            ("stopped", "<=", 0.0),
            ("expired", "<=", 0.01),
            ("failed", "<=", 0.0),
        )
        for count in (loop["verdicts"][name],)
    ]
    return [
        Claim(f"{where}, 50 Hz for {seconds:.0f} s: {name}", float(value), unit, relation, target)
        for name, value, unit, relation, target in rows
    ]


def main() -> None:
    """Measure, print, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True, help="directory of a signed bundle")
    parser.add_argument("--key", type=Path, required=True, help="the signer's public key file")
    parser.add_argument("--task", default="pick_place-hard")
    parser.add_argument("--duration", type=float, default=120.0, help="seconds per session")
    arguments = parser.parse_args()
    started_s = MonotonicClock().now_s()
    cores = multiprocessing.cpu_count()
    found = claims(*measure(arguments, 0), "quiet")
    # Under load the deadlines of the loop still hold; those of a starved simulator need not.
    busy = claims(*measure(arguments, cores), f"beside {cores} busy processes")
    found += [c for c in busy if "late actions" in c.claim or "tick jitter" in c.claim]
    path = write_result(
        "control_loop",
        found,
        describe_versions(("numpy", "onnxruntime", "mujoco")),
        MonotonicClock().now_s() - started_s,
        'make bench NAME=control_loop ARGS="--bundle DIR --key PUBLIC_KEY.json"',
    )
    print(f"\n{path}")


if __name__ == "__main__":
    main()
