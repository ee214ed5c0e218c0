"""One self-contained HTML page for a run: tables, plots and films, no external resource.

Equal findings give equal bytes. What was not found is left out; every number that is a rate
carries its interval.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from steadyhand.evaluation import page, plots
from steadyhand.evaluation.findings import (
    CheckRow,
    Findings,
    RuntimeFindings,
    SensitivityRow,
    StageRow,
    SummaryRow,
    format_bytes,
    format_points,
    summary,
)
from steadyhand.evaluation.page import Html
from steadyhand.evaluation.results import EpisodeResult
from steadyhand.evaluation.suite import Comparison, Evaluation
from steadyhand.store.atomic import write_file

_LANE_COLORS = {"good": plots.GREEN, "fallback": plots.ORANGE, "refused": plots.RED}
_STATUS_ROLES = {"ran": "good", "reused": "quiet", "failed": "bad"}
_MAX_FAILURES = 50


def write_report(path: Path, findings: Findings) -> None:
    """Write the page, all of it or nothing.

    Args:
        path: File to write.
        findings: What the run found.

    Raises:
        StorageError: If it cannot be written.
    """
    write_file(path, render(findings).encode())


def render(findings: Findings) -> str:
    """Return the page as HTML.

    Args:
        findings: What the run found.
    """
    sections = list(_sections(findings))
    notes = "".join(
        f"<dt>{page.escaped(name)}</dt><dd>{page.escaped(value)}</dd>"
        for name, value in findings.notes.items()
    )
    return page.page(
        findings.title, _header(findings), sections, Html(f"<dl>{notes}</dl>" if notes else "")
    )


def _header(findings: Findings) -> Html:
    rows = summary(findings)
    title = page.joined(
        (
            Html('<div class="brand">Steadyhand</div>'),
            Html(f"<h1>{page.escaped(findings.title)}</h1>"),
            page.paragraph(page.escaped(findings.subtitle), "lead"),
        )
    )
    film = [page.video(f.mp4, f.caption) for f in findings.films[:1]]
    tiles = page.grid((_tile(row) for row in rows), "tiles")
    hero = page.grid(
        (Html(f"<div>{title}</div>"), *film),
        "hero" if film else "hero plain",
    )
    return page.joined((hero, tiles))


def _tile(row: SummaryRow) -> Html:
    role = "quiet" if row.is_good is None else "good" if row.is_good else "bad"
    return page.tile(row.label, row.value, row.detail, role)


def _sections(findings: Findings) -> Iterator[tuple[str, str, Html]]:
    if findings.stages:
        yield "stages", "Stages", _stages(findings.stages)
    if findings.checklist:
        yield "dataset", "Dataset checks", _checks(findings.checklist)
    if findings.metrics or findings.candidates:
        yield "training", "Training", _training(findings)
    if findings.evaluations:
        yield "success", "Success", _success(findings.evaluations)
    if findings.comparison is not None:
        yield "comparison", "Paired comparison", _comparison(findings.comparison)
    if findings.sensitivity:
        yield "sensitivity", "Sensitivity to precision", _sensitivity(findings.sensitivity)
    if findings.runtime is not None:
        yield "runtime", "Real-time run", _runtime(findings.runtime)
    if findings.evaluations:
        yield "failures", "Failures", _failures(findings)
    if len(findings.films) > 1:
        films = (page.video(f.mp4, f.caption) for f in findings.films[1:])
        yield "films", "Films", page.grid(films)


def _stages(stages: Sequence[StageRow]) -> Html:
    rows = [
        (
            Html(f"<b>{page.escaped(row.name)}</b>"),
            page.badge(row.status, _STATUS_ROLES.get(row.status, "warn")),
            _seconds(row.duration_s),
            page.escaped(row.detail),
            page.code(row.artifact[:12]) if row.artifact else page.NOTHING,
        )
        for row in stages
    ]
    total_s = sum(row.duration_s or 0.0 for row in stages)
    rows.append((Html("<b>total</b>"), Html(""), _seconds(total_s), Html(""), Html("")))
    return page.table(("stage", "", "time", "result", "artifact"), rows, "ttntt")


def _checks(checks: Sequence[CheckRow]) -> Html:
    has_advice = any(row.advice for row in checks)
    rows = [
        (
            page.badge(*(("pass", "good") if row.is_passed else ("fail", "bad"))),
            page.escaped(row.check),
            page.escaped(row.measured),
            page.escaped(row.limit),
            *((page.escaped(row.advice),) if has_advice else ()),
        )
        for row in checks
    ]
    head = ("", "check", "measured", "limit", *(("what to do",) if has_advice else ()))
    return page.table(head, rows)


def _training(findings: Findings) -> Html:
    names = sorted({name for _, values in findings.metrics for name in values})
    losses = [name for name in names if "loss" in name]
    drawings = []
    if losses:
        svg = plots.curves(
            "losses", [_line(findings, n) for n in losses], "step", "loss", is_log=True
        )
        drawings.append(page.figure(svg, "Losses, logarithmic. The loss does not choose."))
    if findings.candidates:
        rates = [(label, "success", e.rate) for label, e in findings.candidates]
        svg = plots.rates("candidates", rates)
        drawings.append(
            page.figure(svg, "Closed-loop success per candidate: this chooses the checkpoint.")
        )
    for name in (n for n in names if n not in losses):
        svg = plots.curves(f"metric-{names.index(name)}", [_line(findings, name)], "step", name)
        drawings.append(page.figure(svg, name))
    first, others = drawings[:2], drawings[2:]
    folded = page.details(f"{len(others)} more curves", page.grid(others)) if others else Html("")
    return page.joined((page.grid(first), folded))


def _line(findings: Findings, name: str) -> plots.Line:
    points = [
        (float(step), value)
        for step, values in findings.metrics
        if (value := values.get(name)) is not None
    ]
    return plots.Line(name, [x for x, _ in points], [y for _, y in points])


def _success(evaluations: Sequence[Evaluation]) -> Html:
    tasks = [(t, e.candidate, r) for e in evaluations for t, r in e.by_task().items()]
    rows = [
        (
            page.escaped(task),
            page.escaped(candidate),
            Html(f"{rate.num_successes}/{rate.num_trials}"),
            Html(f"{100 * rate.value:.1f}%"),
            Html(f"{100 * rate.interval.low:.1f} &ndash; {100 * rate.interval.high:.1f}"),
        )
        for task, candidate, rate in sorted(
            tasks, key=lambda row: list(evaluations[0].by_task()).index(row[0])
        )
    ]
    head = ("task", "candidate", "successes", "rate", "95% interval [%]")
    settings = "; ".join(f"{k} {v}" for k, v in evaluations[-1].settings.items())
    drawings = [
        page.figure(plots.rates("by-task", tasks), "Success per task."),
        *_clusters(evaluations[-1]),
    ]
    return page.joined(
        (
            page.table(head, rows, "ttnnn"),
            page.paragraph(
                page.escaped(
                    "Every candidate meets the same episodes: same seeds, same starts, same "
                    f"policy noise. Settings: {settings or 'none stated'}."
                ),
                "muted",
            ),
            page.grid(drawings),
        )
    )


def _clusters(evaluation: Evaluation) -> Iterator[Html]:
    rows = [(cluster, task, rate) for (task, cluster), rate in evaluation.by_cluster().items()]
    if len({cluster for cluster, _, _ in rows}) > 1:
        rows.sort(key=lambda row: row[0])
        svg = plots.rates("by-cluster", rows)
        yield page.figure(svg, f"Success of the {evaluation.candidate} per start cluster.")


def _comparison(comparison: Comparison) -> Html:
    rows = [
        (
            page.escaped(row.name),
            Html(f"{row.candidate.num_successes}/{row.candidate.num_trials}"),
            Html(f"{row.reference.num_successes}/{row.reference.num_trials}"),
            Html(str(row.only_candidate)),
            Html(str(row.only_reference)),
            page.escaped(format_points(row.difference)),
            Html(f"{row.p_value:.3f}"),
            page.badge(*(("yes", "good") if row.is_not_inferior else ("not shown", "warn"))),
        )
        for row in (comparison.overall, *comparison.by_task)
    ]
    head = (
        "episodes",
        comparison.candidate,
        comparison.reference,
        f"only {comparison.candidate}",
        f"only {comparison.reference}",
        "difference [points, 95%]",
        "McNemar p",
        f"not inferior by {100 * comparison.margin:g} points",
    )
    role = "good" if comparison.is_not_inferior else "bad"
    return page.joined(
        (
            Html(f'<div class="callout {role}">{page.escaped(comparison.explain())}.</div>'),
            page.table(head, rows, "tnnnnnnt"),
            page.paragraph(
                Html("Score interval of the paired difference (Tango 1998); exact McNemar test."),
                "muted",
            ),
        )
    )


def _sensitivity(rows: Sequence[SensitivityRow]) -> Html:
    cells = [
        (
            page.badge("chosen", "good") if row.is_chosen else Html(""),
            page.escaped(row.part),
            page.escaped(row.precision),
            page.NOTHING if row.num_bytes is None else Html(format_bytes(row.num_bytes)),
            page.NOTHING if row.numeric_error is None else Html(f"{row.numeric_error:.2g}"),
            _milliseconds(row.latency_p50_s),
            _milliseconds(row.latency_p99_s),
            page.NOTHING if row.success is None else page.escaped(row.success),
            page.NOTHING if row.difference is None else Html(format_points(row.difference)),
            page.escaped(row.reason),
        )
        for row in rows
    ]
    head = (
        *("", "part", "precision", "size", "error", "p50 [ms]", "p99 [ms]"),
        *("success [95%]", "difference [points]", "reason"),
    )
    return page.table(head, cells, "tttnnnnnnt")


def _runtime(runtime: RuntimeFindings) -> Html:
    parts: list[Html] = []
    if runtime.checks:
        parts.append(_checks(runtime.checks))
    parts.append(
        Html(
            f'<p class="muted">{page.escaped(runtime.refill_rule)}; '
            f"{runtime.control_rate_hz:g} Hz for {runtime.duration_s:g} s, "
            f"worker restarts: {runtime.worker_restarts}.</p>"
        )
    )
    roles = {lane: runtime.verdict_roles.get(lane, "good") for lane in runtime.verdicts}
    if runtime.spans:
        colors = {lane: _LANE_COLORS.get(role, plots.GREY) for lane, role in roles.items()}
        svg = plots.timeline("timeline", runtime.spans, colors, runtime.faults)
        caption = "Verdict of every tick over time; dashed lines are injected faults."
        parts.append(page.figure(svg, caption, is_wide=True))
    badges = {"good": ("as planned", "good"), "fallback": ("fallback", "warn")}
    total = max(1, sum(runtime.verdicts.values()))
    counts = [
        (
            page.escaped(verdict),
            page.badge(*badges.get(roles[verdict], ("refused", "bad"))),
            Html(f"{count:,}"),
            Html(f"{100 * count / total:.2f}%"),
        )
        for verdict, count in runtime.verdicts.items()
    ]
    tables = [page.table(("verdict", "", "ticks", "share"), counts, "ttnn")]
    names = sorted({k for v in runtime.percentiles_ms.values() for k in v}, key=_percentile)
    if names:
        times = [
            (
                page.escaped(name),
                *(Html(f"{values[k]:.2f}") if k in values else page.NOTHING for k in names),
            )
            for name, values in runtime.percentiles_ms.items()
        ]
        tables.append(page.table(("[ms]", *names), times, "t" + "n" * len(names)))
    return page.joined((*parts, page.grid(tables), page.grid(_histograms(runtime))))


def _histograms(runtime: RuntimeFindings) -> Iterator[Html]:
    for name, data, x_label, color in (
        ("latency", runtime.latency_ms, "age of the observation when ready [ms]", plots.BLUE),
        ("jitter", runtime.jitter_ms, "lateness of a tick [ms]", plots.TEAL),
    ):
        if data is None:
            continue
        budget_ms = runtime.latency_budget_ms if name == "latency" else None
        markers = {} if budget_ms is None else {f"budget {budget_ms:g} ms": budget_ms}
        svg = plots.histogram(name, data, x_label, markers=markers, color=color)
        yield page.figure(svg, f"{name.capitalize()}; counts on a logarithmic axis.")


def _failures(findings: Findings) -> Html:
    rows = [
        (
            page.escaped(evaluation.candidate),
            page.escaped(result.key.task),
            page.escaped(result.cluster),
            page.escaped(result.ending.replace("_", " ")),
            Html(str(result.num_steps)),
            page.code(_replay(findings, result)),
        )
        for evaluation in findings.evaluations
        for result in evaluation.failures
    ]
    if not rows:
        return page.paragraph(Html("No episode failed."), "muted")
    head = ("candidate", "task", "cluster", "ending", "steps", "replay it as a video")
    shown = page.table(head, rows[:_MAX_FAILURES], "ttttnt")
    left = len(rows) - _MAX_FAILURES
    if left <= 0:
        return shown
    return page.joined(
        (shown, page.details(f"{left} more", page.table(head, rows[_MAX_FAILURES:])))
    )


def _replay(findings: Findings, result: EpisodeResult) -> str:
    return findings.replay_command.replace("{key}", str(result.key))


def _percentile(name: str) -> tuple[float, str]:
    """Return what orders ``p50`` before ``p99.9`` before ``max``."""
    digits = name.removeprefix("p")
    return (float(digits) if digits.replace(".", "").isdigit() else 100.0, name)


def _seconds(duration_s: float | None) -> Html:
    if duration_s is None:
        return page.NOTHING
    if duration_s < 60:
        return Html(f"{duration_s:.1f} s")
    return Html(f"{int(duration_s // 60)} min {duration_s % 60:02.0f} s")


def _milliseconds(duration_s: float | None) -> Html:
    return page.NOTHING if duration_s is None else Html(f"{1e3 * duration_s:.2f}")
