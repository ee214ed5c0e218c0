"""Rules of :class:`steadyhand.contracts.robot.Robot`."""

import multiprocessing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.clock import Clock
from steadyhand.contracts.conformance.findings import Findings, frozen
from steadyhand.contracts.robot import Reading, Robot
from steadyhand.contracts.specs import validate_arrays

_NUM_READINGS = 5
_JOIN_S = 60.0


def check_robot(
    robot: Robot, target: NDArray[np.float64], clock: Clock, *, is_shared: bool = True
) -> None:
    """Try every rule of a robot; at the end it is stopped and closed.

    Args:
        robot: A robot that is ready and not stopped. It is commanded to ``target`` only.
        target: Command that is safe now, e.g. the measured positions.
        clock: The clock that its readings are stamped with.
        is_shared: Whether other processes can attach to it; False leaves those rules untried.

    Raises:
        ConformanceError: Lists the rules that do not hold.
    """
    findings = Findings(f"robot {type(robot).__name__}")
    try:
        with findings.rule("command_spec"):
            robot.command_spec.validate(target)
        with findings.rule("observe()"):
            _check_readings(robot, clock, findings)
        findings.expect(not robot.is_stopped, "is_stopped must be False before stop()")
        with findings.rule("command()"):
            robot.command(target)
        if is_shared:
            with findings.rule("stop() from another process"):
                _stop_elsewhere(robot, findings)
        with findings.rule("stop()"):
            _check_stop(robot, target, findings)
    finally:
        with findings.rule("stop() at the end"):
            robot.stop()
        with findings.rule("close() twice"):
            robot.close()
            robot.close()
    findings.raise_if_any()


def _check_readings(robot: Robot, clock: Clock, findings: Findings) -> None:
    before: tuple[Reading, dict[str, Any]] | None = None
    for _ in range(_NUM_READINGS):
        reading = robot.observe()
        values = {name: reading.values[name] for name in robot.observation_specs}
        with findings.rule("observe() must fit observation_specs"):
            validate_arrays(robot.observation_specs, values, "reading")
        now_s = clock.now_s()
        findings.expect(
            reading.observed_at_s <= now_s,
            f"a reading cannot be of the future: {reading.observed_at_s} s, now is {now_s} s",
        )
        current = frozen(values)
        if before is not None:
            _check_order(before, (reading, current), findings)
        before = reading, current


def _check_order(
    before: tuple[Reading, dict[str, Any]],
    after: tuple[Reading, dict[str, Any]],
    findings: Findings,
) -> None:
    earlier, later = before[0], after[0]
    findings.expect(later.sequence >= earlier.sequence, "sequence must not go back")
    findings.expect(later.observed_at_s >= earlier.observed_at_s, "observed_at_s must not go back")
    if later.sequence == earlier.sequence:
        findings.expect(
            after[1] == before[1], "readings of the same sequence number must hold the same bytes"
        )


def _check_stop(robot: Robot, target: NDArray[np.float64], findings: Findings) -> None:
    robot.stop()
    robot.stop()
    findings.expect(robot.is_stopped, "is_stopped must be True after stop()")
    with findings.rule("command() after stop() must be ignored"):
        robot.command(target)
    findings.expect(robot.is_stopped, "a command must not end a stop")
    with findings.rule("observe() after stop()"):
        robot.observe()


def _stop_elsewhere(robot: Robot, findings: Findings) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_attach_and_stop, args=(robot.handle(),))
    process.start()
    process.join(_JOIN_S)
    if process.is_alive():
        process.kill()
        process.join()
    findings.expect(
        process.exitcode == 0,
        f"stop() must work in another process; it ended with exit code {process.exitcode}",
    )
    findings.expect(robot.is_stopped, "a stop from another process must show here at once")


def _attach_and_stop(handle: Any) -> None:
    attached: Robot = handle.attach()
    attached.stop()
    attached.close()
