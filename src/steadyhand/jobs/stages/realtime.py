"""Stage ``realtime``: the bundle on the simulated arm in real time, with faults injected.

What was measured differs each time and lies among the measurements; the artifact says which
promises were kept, and the stage stops if one was not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.errors import RefusedError, SteadyError, UsageError
from steadyhand.contracts.progress import Progress
from steadyhand.evaluation.replay import encode_film
from steadyhand.jobs.families import family
from steadyhand.jobs.signer import trusted_keys
from steadyhand.jobs.stage import Slot, Stage, StageContext, StageResult
from steadyhand.jobs.trials import assemble_bundle
from steadyhand.runtime.bundle import verify_bundle
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.faults import Fault
from steadyhand.runtime.session import SessionProcesses, SessionReport, run_session
from steadyhand.sim.film import FilmCamera
from steadyhand.sim.robot import SimulatedRobot
from steadyhand.sim.tasks.pick_place import PickPlace
from steadyhand.store.atomic import write_file, write_json
from steadyhand.store.signing import PublicKey

PROMISES, SESSION, TICKS, FILM = "promises.json", "session.json", "ticks.safetensors", "film.mp4"
FILM_RATE_HZ = 20
SETTLE_S = 2.0
DEMO_FAULTS = (Fault("stall_inference", 1.0, 0.5), Fault("kill_worker", 2.0))


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    """What to run.

    Args:
        duration_s: Longest time.
        index: Episode of the family of real-time episodes.
        runtime: Settings of the robot side.
        faults: What to break.
    """

    duration_s: float = 15.0
    index: int = 0
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    faults: tuple[Fault, ...] = DEMO_FAULTS

    def __post_init__(self) -> None:
        if not self.duration_s > 0 or self.index < 0:
            raise UsageError("duration_s must be positive and index at least 0")


@dataclass(frozen=True, slots=True)
class Drive:
    """What a drive in real time led to.

    Args:
        report: What the session measured.
        is_success: Whether the task was solved.
        snapshots: The world about 20 times a second, for the film.
        overruns: Physics ticks the simulated robot dropped because the machine was too slow.
    """

    report: SessionReport
    is_success: bool
    snapshots: tuple[NDArray[np.float64], ...]
    overruns: int


def drive(
    bundle: Path,
    keys: Sequence[PublicKey],
    seed: int,
    config: RealtimeConfig,
    progress: Progress,
    *,
    record_path: Path | None = None,
) -> Drive:
    """Run a bundle on the simulated arm in real time, until the task is solved or time is over.

    It goes on for a moment after the last fault, so that recovery from it is seen, too.

    Args:
        bundle: A signed bundle.
        keys: Keys whose signature is accepted.
        seed: Family of the episode.
        config: What to run.
        progress: Told the seconds.
        record_path: Where the recorded ticks are written.

    Raises:
        SteadyError: Whatever the session raises.
    """
    task = verify_bundle(bundle, keys).manifest.task
    snapshots: list[NDArray[np.float64]] = []
    robot = SimulatedRobot.start(task)
    solved, began_s = False, 0.0
    settled_s = max((f.at_s + f.duration_s + SETTLE_S for f in config.faults), default=0.0)

    def look(_: SessionProcesses) -> None:
        nonlocal solved, began_s
        began_s = began_s or robot.elapsed_s()
        solved = solved or robot.is_success()
        snapshots.append(robot.snapshot().copy())

    def is_over() -> bool:
        return solved and robot.elapsed_s() > began_s + settled_s

    try:
        robot.reset(seed, config.index)
        report = run_session(
            robot,
            bundle,
            keys,
            config.runtime,
            duration_s=config.duration_s,
            until=is_over,
            faults=config.faults,
            progress=progress,
            record_path=record_path,
            on_look=look,
        )
        return Drive(report, solved, tuple(snapshots), robot.num_overruns)
    finally:
        robot.close()


def film_drive(found: Drive, task: str, seed: int, index: int) -> bytes:
    """Return the film of a drive as mp4 bytes.

    Raises:
        RenderingError: If this machine has no OpenGL.
        DataError: If nothing was seen.
    """
    world = PickPlace(task)
    try:
        world.reset(seed, index)
        camera = FilmCamera(world)
        try:
            frames = [camera.shoot_snapshot(snapshot) for snapshot in found.snapshots]
        finally:
            camera.close()
    finally:
        world.close()
    return encode_film(frames, Fraction(FILM_RATE_HZ))


def realtime(context: StageContext, config: RealtimeConfig) -> StageResult:
    """Drive with faults and check the promises."""
    bundle = assemble_bundle(context.inputs["bundle"], context.directory / "bundle")
    keys = trusted_keys(context.keys)
    seed = family(context.seed, "realtime")
    found = drive(
        bundle,
        keys,
        seed,
        config,
        context.progress,
        record_path=context.measurements / TICKS,
    )
    report = found.report
    promises = check_promises(found, config)
    write_json(context.output / PROMISES, promises)
    measured = {
        "report": plain_report(report),
        "is_success": found.is_success,
        "overruns": found.overruns,
        "promises": promises,
    }
    write_json(context.measurements / SESSION, measured)
    task = verify_bundle(bundle, keys).manifest.task
    try:
        film = film_drive(found, task, seed, config.index)
    except SteadyError as error:
        context.progress.say(f"no film of the drive: {error}")
    else:
        write_file(context.measurements / FILM, film)
    broken = [name for name, is_kept in promises.items() if not is_kept]
    if broken:
        raise RefusedError(
            f"the drive broke its promises ({', '.join(broken)}); verdicts {report.verdicts}, "
            f"ended by {report.ended_by}"
        )
    how = "by the fallback" if report.ended_by == "stopped" else "at the end"
    done = "task done" if found.is_success else f"robot stopped {how}"
    return StageResult(
        f"{done} in {report.wall_s:.1f} s; late actions {report.late_actions_executed}, fallback "
        f"ticks {_fallbacks(report)}, worker restarts {report.worker_restarts}",
        {
            "late_actions_executed": report.late_actions_executed,
            "verdicts": report.verdicts,
            "worker_restarts": report.worker_restarts,
            "is_success": found.is_success,
        },
    )


def check_promises(found: Drive, config: RealtimeConfig) -> dict[str, bool]:
    """Return which promises a drive with these faults has kept."""
    report, kinds = found.report, {fault.kind for fault in config.faults}
    promises = {
        "the control loop lived to the end": bool(report.control),
        "no late action was executed": report.late_actions_executed == 0,
        "the task was done or the robot was stopped": found.is_success or report.robot_stopped,
    }
    if kinds & {"stall_inference", "kill_worker", "nan_chunk"}:
        promises["a fallback took over"] = _fallbacks(report) > 0
    if "kill_worker" in kinds:
        promises["the killed worker was restarted"] = report.worker_restarts > 0
    return promises


def _fallbacks(report: SessionReport) -> int:
    return sum(n for name, n in report.verdicts.items() if name != "executed")


def plain_report(report: SessionReport) -> dict[str, Any]:
    """Return a session's report as JSON values; NaN, which JSON does not have, becomes null."""
    return dict(_plain(report.to_json()))


def _plain(value: Any) -> Any:
    """Return JSON values without NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


STAGE = Stage(
    kind="realtime",
    summary="Runs the bundle in real time on the simulated arm, with faults.",
    config=RealtimeConfig,
    slots={"bundle": Slot(("export",))},
    packages=(
        "evaluation",
        "jobs.families",
        "jobs.signer",
        "jobs.trials",
        "kinematics",
        "models",
        "runtime",
        "sim",
        "store",
    ),
    libraries=("mujoco", "numpy", "onnxruntime"),
    function=realtime,
)
