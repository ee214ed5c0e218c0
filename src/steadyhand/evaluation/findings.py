"""What a report is made of: plain values that a run hands over, and its one-screen summary.

Nothing here draws or writes; ``report.py`` turns it into a page, the command line into a table.
Every part is optional, because a run may hold only some of the stages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steadyhand.evaluation.results import Rate
from steadyhand.evaluation.statistics import Difference
from steadyhand.evaluation.suite import Comparison, Evaluation

_OUTCOMES = {True: "task done", False: "task not done", None: "robot stopped safely"}


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of the run.

    Args:
        name: Stage name.
        status: ``ran``, ``reused`` or ``failed``.
        duration_s: Wall-clock time [s] spent on it; None if it was reused.
        artifact: Hash of what it made.
        detail: One line for people, e.g. ``100 episodes, 6,312 steps``.
    """

    name: str
    status: str
    duration_s: float | None
    artifact: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One line of a checklist.

    Args:
        check: What was checked.
        is_passed: Whether it passed.
        measured: What was found.
        limit: What was required.
        advice: What to do if it failed.
    """

    check: str
    is_passed: bool
    measured: str
    limit: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class SensitivityRow:
    """What one precision of one part costs.

    Args:
        part: ``vision`` or ``policy``.
        precision: ``fp32``, ``fp16`` or ``int8``.
        numeric_error: Largest difference of an output from the network, in its own unit; None if
            the engine does not offer the precision.
        num_bytes: Size of the graph file.
        latency_p50_s: Median inference time [s] on this machine.
        latency_p99_s: 99th percentile [s].
        success: Closed-loop success.
        difference: Paired difference from the full-precision export.
        is_chosen: Whether the bundle uses it.
        reason: Why it was chosen or not, or why it is not offered.
    """

    part: str
    precision: str
    numeric_error: float | None = None
    num_bytes: int | None = None
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    success: Rate | None = None
    difference: Difference | None = None
    is_chosen: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between edges, e.g. of a telemetry histogram.

    Args:
        edges: Increasing bin edges, one more than counts.
        counts: Non-negative counts.
    """

    edges: Sequence[float]
    counts: Sequence[float]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the runtime timeline.

    Args:
        start_s: Where it begins [s].
        end_s: Where it ends [s].
        lane: Row it is drawn in, e.g. the verdict.
    """

    start_s: float
    end_s: float
    lane: str


@dataclass(frozen=True, slots=True)
class RuntimeFindings:
    """The real-time run of the bundle.

    Args:
        control_rate_hz: Ticks per second asked for.
        duration_s: Time it ran [s].
        is_success: Whether the task was solved; None if the runtime stopped the robot before.
        late_actions: Actions executed after their window closed.
        worker_restarts: How often the inference worker was replaced.
        refill_rule: The arithmetic ``latency <= g*n/f`` in numbers.
        verdicts: Ticks per verdict.
        verdict_roles: Per verdict ``good``, ``fallback`` or ``refused``: decides its colour.
        spans: Verdicts over time.
        faults: Time [s] of each injected fault by label.
        jitter_ms: Lateness of ticks [ms].
        latency_ms: Age of observations when their actions were ready [ms].
        percentiles_ms: Percentiles [ms] by name, then by percentile, e.g.
            ``{"inference latency": {"p50": 3.1, "p99": 5.2}}``.
        latency_budget_ms: The budget of the gate [ms].
        checks: What the run had to show.
    """

    control_rate_hz: float
    duration_s: float
    is_success: bool | None
    late_actions: int
    worker_restarts: int
    refill_rule: str
    verdicts: Mapping[str, int]
    verdict_roles: Mapping[str, str] = field(default_factory=dict)
    spans: Sequence[Span] = ()
    faults: Mapping[str, float] = field(default_factory=dict)
    jitter_ms: Histogram | None = None
    latency_ms: Histogram | None = None
    percentiles_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    latency_budget_ms: float | None = None
    checks: Sequence[CheckRow] = ()


@dataclass(frozen=True, slots=True)
class Film:
    """A video embedded in the report.

    Args:
        caption: What it shows.
        mp4: The file's bytes.
    """

    caption: str
    mp4: bytes


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything one run found.

    Args:
        title: Name of the run.
        subtitle: One line below it, e.g. the recipe and the date.
        stages: Stages in order.
        checklist: The dataset's quality gate.
        metrics: Training metrics as (step, values) in order of steps.
        candidates: Evaluations of the candidates during training, labelled by step.
        evaluations: Final evaluations, e.g. checkpoint and bundle; the last is what is shipped.
        comparison: Bundle against checkpoint.
        sensitivity: One row per part and precision.
        runtime: The real-time run.
        films: Videos; the first is shown at the top.
        replay_command: Command that replays an episode, with ``{key}`` in it.
        notes: Facts for the footer, e.g. machine and versions.
    """

    title: str
    subtitle: str = ""
    stages: Sequence[StageRow] = ()
    checklist: Sequence[CheckRow] = ()
    metrics: Sequence[tuple[int, Mapping[str, float | None]]] = ()
    candidates: Sequence[tuple[str, Evaluation]] = ()
    evaluations: Sequence[Evaluation] = ()
    comparison: Comparison | None = None
    sensitivity: Sequence[SensitivityRow] = ()
    runtime: RuntimeFindings | None = None
    films: Sequence[Film] = ()
    replay_command: str = "steady replay RUN --episode {key}"
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One line of the one-screen summary.

    Args:
        label: What it is about.
        value: The number.
        detail: Its context, e.g. the interval or the counts.
        is_good: Whether it is as it should be; None where there is no requirement.
    """

    label: str
    value: str
    detail: str
    is_good: bool | None = None


def summary(findings: Findings) -> list[SummaryRow]:
    """Return the figures that matter, in the order of the stages."""
    rows: list[SummaryRow] = []
    if findings.checklist:
        rows.append(_checklist_row(findings.checklist))
    rows += _success_rows(findings.evaluations)
    if findings.comparison is not None:
        rows.append(_comparison_row(findings.comparison))
    chosen = [row for row in findings.sensitivity if row.is_chosen]
    if chosen:
        sizes = sum(row.num_bytes or 0 for row in chosen)
        parts = " + ".join(f"{row.part} {row.precision}" for row in chosen)
        rows.append(SummaryRow("bundle", format_bytes(sizes), parts))
    if findings.runtime is not None:
        rows += _runtime_rows(findings.runtime)
    return rows


def format_bytes(count: int) -> str:
    """Return a size for people, in powers of 1024."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def format_points(difference: Difference) -> str:
    """Return a difference of success rates in percentage points with its interval."""
    low, high = 100 * difference.low, 100 * difference.high
    return f"{100 * difference.estimate:+.1f} [{low:+.1f}, {high:+.1f}]"


def _checklist_row(checklist: Sequence[CheckRow]) -> SummaryRow:
    failed = [row.check for row in checklist if not row.is_passed]
    detail = "failed: " + ", ".join(failed) if failed else "all passed"
    return SummaryRow(
        "dataset checks", f"{len(checklist) - len(failed)}/{len(checklist)}", detail, not failed
    )


def _success_rows(evaluations: Sequence[Evaluation]) -> list[SummaryRow]:
    if not evaluations:
        return []
    shipped = evaluations[-1]
    return [
        SummaryRow(
            f"success {task}",
            f"{100 * rate.value:.1f}%",
            f"{rate}, {shipped.candidate}",
        )
        for task, rate in shipped.by_task().items()
    ]


def _comparison_row(comparison: Comparison) -> SummaryRow:
    verdict = "not inferior" if comparison.is_not_inferior else "not shown to be as good"
    return SummaryRow(
        f"{comparison.candidate} vs {comparison.reference}",
        f"{100 * comparison.overall.difference.estimate:+.1f} points",
        f"{format_points(comparison.overall.difference)}; {verdict} "
        f"by {100 * comparison.margin:g} points",
        comparison.is_not_inferior,
    )


def _runtime_rows(runtime: RuntimeFindings) -> list[SummaryRow]:
    total = sum(runtime.verdicts.values())
    rows = [
        SummaryRow(
            "late actions executed",
            str(runtime.late_actions),
            f"of {total:,} ticks at {runtime.control_rate_hz:g} Hz",
            runtime.late_actions == 0,
        )
    ]
    for name, values in runtime.percentiles_ms.items():
        worst = list(values)[-1]
        detail = ", ".join(f"{key} {value:.2f}" for key, value in values.items())
        rows.append(SummaryRow(f"{name} {worst}", f"{values[worst]:.2f} ms", f"{detail} ms"))
    rows.append(
        SummaryRow(
            "faults injected",
            str(len(runtime.faults)),
            f"{_OUTCOMES[runtime.is_success]}; worker restarts: {runtime.worker_restarts}",
        )
    )
    return rows
