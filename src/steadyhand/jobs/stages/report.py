"""Stage ``report``: one HTML page with plots and films, from whatever stages the recipe names.

The page shows measured times, so it lies among the measurements; the artifact is the summary of
what equal inputs make equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.bundle import PRECISIONS
from steadyhand.contracts.errors import SteadyError
from steadyhand.contracts.specs import Arrays
from steadyhand.evaluation.findings import (
    CheckRow,
    Film,
    Findings,
    Histogram,
    RuntimeFindings,
    SensitivityRow,
    Span,
    StageRow,
)
from steadyhand.evaluation.replay import film
from steadyhand.evaluation.report import write_report
from steadyhand.evaluation.results import Rate
from steadyhand.evaluation.suite import Evaluation, compare
from steadyhand.export.choice import REFERENCE
from steadyhand.jobs.metrics import read_metrics
from steadyhand.jobs.run_directory import REPORT
from steadyhand.jobs.stage import Slot, Stage, StageContext, StageInput, StageResult
from steadyhand.jobs.stages.check import QUALITY
from steadyhand.jobs.stages.evaluate import EVALUATION
from steadyhand.jobs.stages.export import BUNDLE, TABLE
from steadyhand.jobs.stages.realtime import FILM, SESSION, TICKS
from steadyhand.jobs.stages.reevaluate import COMPARISON
from steadyhand.jobs.stages.train import CANDIDATES
from steadyhand.jobs.trials import LoopConfig, checkpoint_candidate
from steadyhand.runtime.loop import Verdict
from steadyhand.store.atomic import read_json, write_json
from steadyhand.store.tensors import read_tensors

SUMMARY = "summary.json"
SLOTS = ("collect", "check", "train", "evaluate", "export", "reevaluate", "realtime")


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """What the page shows.

    Args:
        title: Its title.
        num_failure_films: Failures shown as films.
    """

    title: str = "Steadyhand"
    num_failure_films: int = 1


def report(context: StageContext, config: ReportConfig) -> StageResult:
    """Read what the other stages made and write the page."""
    given = context.inputs
    evaluations = [
        Evaluation.from_json(read_json(given[slot].directory / EVALUATION))
        for slot in ("evaluate", "reevaluate")
        if slot in given
    ]
    comparison = None
    if "reevaluate" in given and len(evaluations) == 2:
        margin = float(read_json(given["reevaluate"].directory / COMPARISON)["margin"])
        comparison = compare(evaluations[1], evaluations[0], margin)
    findings = Findings(
        title=config.title,
        subtitle=f"seed {context.seed}",
        stages=[_stage_row(slot, given[slot]) for slot in SLOTS if slot in given],
        checklist=_checklist(given.get("check")),
        metrics=_metrics(given.get("train")),
        candidates=_candidates(given.get("train")),
        evaluations=evaluations,
        comparison=comparison,
        sensitivity=_sensitivity(given.get("export")),
        runtime=_runtime(given.get("realtime")),
        films=_films(context, config, evaluations),
    )
    write_report(context.measurements / REPORT, findings)
    success = {e.candidate: {t: r.to_json() for t, r in e.by_task().items()} for e in evaluations}
    write_json(context.output / SUMMARY, {"title": config.title, "success": success})
    return StageResult(f"{len(findings.stages)} stages, {len(findings.films)} films", {})


def _stage_row(slot: str, given: StageInput) -> StageRow:
    return StageRow(given.stage or slot, "ran", given.seconds, given.digest, given.headline)


def _checklist(given: StageInput | None) -> list[CheckRow]:
    if given is None:
        return []
    rows = read_json(given.directory / QUALITY)["rows"]
    return [CheckRow(r["check"], r["passed"], r["measured"], r["limit"], r["advice"]) for r in rows]


def _metrics(given: StageInput | None) -> list[tuple[int, Mapping[str, float | None]]]:
    if given is None or given.measurements is None:
        return []
    lines = read_metrics(given.measurements / "metrics.jsonl")
    return [(line["step"], line["values"]) for line in lines]


def _candidates(given: StageInput | None) -> list[tuple[str, Evaluation]]:
    if given is None:
        return []
    table = read_json(given.directory / CANDIDATES)["candidates"]
    return [(name, Evaluation.from_json(value)) for name, value in sorted(table.items())]


def _sensitivity(given: StageInput | None) -> list[SensitivityRow]:
    """Return one row per part and precision, from the rows in which only that part is reduced."""
    if given is None:
        return []
    table = read_json((given.measurements or given.directory) / TABLE)
    singles = {
        (part, precision): row
        for row in table["rows"]
        for part, precision in row["precision"].items()
        if all(x == REFERENCE for p, x in row["precision"].items() if p != part)
    }
    chosen: Mapping[str, str] = table["chosen"]
    # The table knows sizes of whole combinations; the bundle knows those of the chosen parts.
    known = {part: (given.directory / BUNDLE / f"{part}.onnx").stat().st_size for part in chosen}
    rows = []
    for (part, precision), row in singles.items():
        saved = singles[part, chosen[part]]["num_bytes"] - row["num_bytes"]
        reason = _reason(row, table["reasons"]) or row["effective"].get(part, "")
        rows.append(
            replace(
                _sensitivity_row(part, precision, row),
                num_bytes=known[part] - saved,
                is_chosen=chosen[part] == precision,
                reason=reason,
            )
        )
    return sorted(rows, key=lambda r: (list(chosen).index(r.part), PRECISIONS.index(r.precision)))


def _sensitivity_row(part: str, precision: str, row: Mapping[str, Any]) -> SensitivityRow:
    parity = row["parity"]["rows"] if row["parity"] else []
    errors = [r["max_abs_error"] for r in parity if r["output"] == "position"]
    latency = row.get("latency", {}).get(part)
    return SensitivityRow(
        part=part,
        precision=precision,
        numeric_error=max(errors) if errors else None,
        latency_p50_s=latency["median_ms"] / 1e3 if latency else None,
        latency_p99_s=latency["p99_ms"] / 1e3 if latency else None,
        success=Rate(row["num_success"], row["num_episodes"]) if row["num_episodes"] else None,
    )


def _reason(row: Mapping[str, Any], reasons: Sequence[str]) -> str:
    """Return what the choice says about a row; nothing about the reference."""
    name = ", ".join(f"{part} {precision}" for part, precision in row["precision"].items())
    found = (r.removeprefix(f"{name}: ") for r in reasons if r.startswith(f"{name}: "))
    return next(found, "")


def _runtime(given: StageInput | None) -> RuntimeFindings | None:
    if given is None or given.measurements is None:
        return None
    session = read_json(given.measurements / SESSION)
    ticks, _ = read_tensors(given.measurements / TICKS)
    measured = session["report"]
    control = measured["control"]
    loop = control["loop"]
    was_stopped = measured["robot_stopped"]
    roles = dict.fromkeys(loop["verdicts"], "fallback") | {"executed": "good"}
    return RuntimeFindings(
        control_rate_hz=measured["config"]["control_rate_hz"],
        duration_s=measured["wall_s"],
        is_success=None if was_stopped and not session["is_success"] else session["is_success"],
        late_actions=loop["late_actions_executed"],
        worker_restarts=loop["worker_events"]["restarted"],
        refill_rule=control["starvation"]["text"],
        verdicts=loop["verdicts"],
        verdict_roles=roles,
        spans=_spans(ticks),
        faults={f["kind"].replace("_", " "): f["at_s"] for f in measured["faults"]},
        jitter_ms=_histogram(1e3 * ticks["lateness_s"]),
        percentiles_ms={
            "tick jitter": _percentiles(control["tick_jitter_ms"]),
            "inference latency": _percentiles(loop["inference_ms"]),
        },
        checks=[
            CheckRow(name, is_kept, "yes" if is_kept else "no", "yes")
            for name, is_kept in session["promises"].items()
        ],
    )


def _percentiles(values: Mapping[str, float | None]) -> dict[str, float]:
    return {k: v for k, v in values.items() if k.startswith("p") and v is not None}


def _spans(ticks: Arrays) -> list[Span]:
    """Return stretches of equal verdicts."""
    times = ticks["due_at_s"] - ticks["due_at_s"][0]
    codes = ticks["verdict"].astype(int)
    begins = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist()]
    ends = [*begins[1:], len(codes) - 1]
    names = [verdict.value for verdict in Verdict]
    return [
        Span(float(times[begin]), float(times[end]), names[codes[begin]])
        for begin, end in zip(begins, ends, strict=True)
    ]


def _histogram(milliseconds: NDArray[np.float64]) -> Histogram:
    """Count durations in 40 buckets up to the largest."""
    counts, edges = np.histogram(milliseconds, bins=40)
    return Histogram(edges.tolist(), counts.tolist())


def _films(
    context: StageContext, config: ReportConfig, evaluations: list[Evaluation]
) -> list[Film]:
    """Return the drive, a solved episode if there was no drive, and failures."""
    films: list[Film] = []
    realtime = context.inputs.get("realtime")
    if realtime is not None and realtime.measurements is not None:
        path = realtime.measurements / FILM
        if path.exists():
            films.append(Film("In real time, with faults injected", path.read_bytes()))
    given = context.inputs.get("train")
    if given is None or not evaluations:
        return films
    wanted = [(r.key, "Failure") for r in evaluations[0].failures[: config.num_failure_films]]
    if not films:
        solved = [r.key for r in evaluations[0].results if r.is_success]
        wanted = [(key, "Success") for key in solved[:1]] + wanted
    for key, word in wanted:
        try:
            episode = checkpoint_candidate(given.directory, given.digest, LoopConfig()).episode
            mp4, result = film(key, episode)
        except SteadyError as error:
            context.progress.say(f"no film of {key}: {error}")
            continue
        films.append(Film(f"{word} {key}, {result.num_steps} steps", mp4))
    return films


STAGE = Stage(
    kind="report",
    summary="Writes the HTML report.",
    config=ReportConfig,
    slots={slot: Slot((slot,), is_required=False) for slot in SLOTS},
    packages=(
        "data",
        "evaluation",
        "export",
        "jobs.families",
        "jobs.signer",
        "jobs.stages",
        "jobs.trials",
        "kinematics",
        "models",
        "runtime",
        "sim",
        "store",
        "training",
    ),
    libraries=("av", "matplotlib", "mujoco", "numpy", "torch"),
    function=report,
    is_published=True,
)
