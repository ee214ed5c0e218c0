"""``steady drive``: a bundle in real time on the simulated arm."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from steadyhand.apps.cli.options import AsJson, Seed, WorkspacePath
from steadyhand.apps.cli.session import Crew, lines_of
from steadyhand.apps.cli.terminal import show
from steadyhand.contracts.errors import UsageError


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A signed bundle.")],
    duration_s: Annotated[float, typer.Option("--duration", help="Longest time [s].")] = 20.0,
    rate_hz: Annotated[float, typer.Option("--rate", help="Control rate [Hz].")] = 50.0,
    is_async: Annotated[
        bool,
        typer.Option(
            "--async/--no-async", help="Infer in a process of its own, or wait for each inference."
        ),
    ] = True,
    episode: Annotated[int, typer.Option("--episode", min=0, help="Which start to take.")] = 0,
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="KIND@S[+S]",
            help="Break something, e.g. stall_inference@1+0.5 or kill_worker@2.5.",
            show_default=False,
        ),
    ] = None,
    film: Annotated[
        Path | None, typer.Option("--film", help="Write a video of the drive.", show_default=False)
    ] = None,
    keys: Annotated[
        list[Path] | None,
        typer.Option("--key", help="Public key to trust besides those of the workspace."),
    ] = None,
    seed: Seed = 0,
    workspace: WorkspacePath = Path("workspace"),
    as_json: AsJson = False,
) -> None:
    """Run a bundle in real time on the simulated arm, until the task is solved or time is over.

    For example:

      steady drive bundles/hard

      steady drive bundles/hard --rate 20 --no-async --film drive.mp4

      steady drive bundles/hard --fault stall_inference@1+0.5 --fault kill_worker@2.5
    """
    from steadyhand.jobs.signer import trusted_keys  # noqa: PLC0415  simulator and engine
    from steadyhand.jobs.stages.realtime import (  # noqa: PLC0415
        RealtimeConfig,
        check_promises,
        drive,
        film_drive,
        plain_report,
    )
    from steadyhand.runtime.bundle import verify_bundle  # noqa: PLC0415
    from steadyhand.runtime.config import RuntimeConfig  # noqa: PLC0415
    from steadyhand.store.atomic import write_file  # noqa: PLC0415
    from steadyhand.store.signing import load_public_key  # noqa: PLC0415

    trusted = (*trusted_keys(workspace / "keys"), *(load_public_key(k) for k in keys or []))
    config = RealtimeConfig(
        duration_s=duration_s,
        index=episode,
        runtime=replace(RuntimeConfig(), control_rate_hz=rate_hz, async_inference=is_async),
        faults=tuple(_read_fault(text) for text in faults or []),
    )
    with Crew(1) as crew:
        found = drive(bundle, trusted, seed, config, crew.display)
        if film is not None:
            task = verify_bundle(bundle, trusted).manifest.task
            write_file(film, film_drive(found, task, seed, episode))
    report = found.report
    loop = report.control.get("loop", {})
    facts: dict[str, Any] = {
        "task solved": "yes" if found.is_success else "no",
        "ended by": report.ended_by,
        "time [s]": round(report.wall_s, 2),
        "ticks": report.ticks,
        "late actions": report.late_actions_executed,
        "verdicts": report.verdicts,
        "worker restarts": report.worker_restarts,
        "inference [ms]": loop.get("inference_ms", {}),
        "tick jitter [ms]": report.control.get("tick_jitter_ms", {}),
        "refill rule": report.control.get("starvation", {}).get("text", ""),
        **{name: "yes" if kept else "NO" for name, kept in check_promises(found, config).items()},
    }
    value = {"is_success": found.is_success, "report": plain_report(report)}
    show(value, lines_of(facts), as_json=as_json)


def _read_fault(text: str) -> Any:
    """Read ``KIND@SECOND`` or ``KIND@SECOND+DURATION``.

    Raises:
        UsageError: If it is neither.
    """
    from steadyhand.runtime.faults import Fault  # noqa: PLC0415

    kind, _, times = text.partition("@")
    at, _, duration = times.partition("+")
    try:
        return Fault(kind, float(at), float(duration or 0))
    except ValueError as error:
        raise UsageError(
            f"fault {text!r} is not KIND@SECOND or KIND@SECOND+DURATION, e.g. kill_worker@2.5"
        ) from error
