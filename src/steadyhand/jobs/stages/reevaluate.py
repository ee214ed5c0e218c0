"""Stage ``reevaluate``: the signed bundle, as it will run, against the checkpoint, in pairs."""

from dataclasses import dataclass, field

from steadyhand.contracts.errors import RefusedError, UsageError
from steadyhand.evaluation.suite import Evaluation, compare
from steadyhand.jobs.signer import trusted_keys
from steadyhand.jobs.stage import Slot, Stage, StageContext, StageResult
from steadyhand.jobs.stages.evaluate import EVALUATION, LATENCY, headline
from steadyhand.jobs.trials import LoopConfig, Trials, assemble_bundle, bundle_candidate
from steadyhand.store.atomic import read_json, write_json

COMPARISON = "comparison.json"


@dataclass(frozen=True, slots=True)
class ReevaluateConfig:
    """What the bundle must show.

    Args:
        margin: Largest tolerated loss of success rate against the checkpoint.
        is_required: Stop if the 95% interval does not show that the loss is smaller; otherwise
            the report says so. A loss larger than the margin on these episodes always stops.
        min_lower_bounds: Per task, the smallest lower end of the 95% Wilson interval.
        loop: Settings of the control loop; those of the checkpoint's evaluation.
    """

    margin: float = 0.02
    is_required: bool = True
    min_lower_bounds: tuple[tuple[str, float], ...] = ()
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1:
            raise UsageError(f"margin must be between 0 and 1, got {self.margin}")


def reevaluate(context: StageContext, config: ReevaluateConfig) -> StageResult:
    """Run the bundle on the episodes of the checkpoint's evaluation and compare."""
    reference = Evaluation.from_json(read_json(context.inputs["reference"].directory / EVALUATION))
    bundle = assemble_bundle(context.inputs["bundle"], context.directory / "bundle")
    candidate = bundle_candidate(bundle, trusted_keys(context.keys), config.loop)
    trials = Trials(context.directory / "trials", context.executor, context.progress)
    found = trials.evaluate(candidate.name, reference.suite, candidate.episode)
    comparison = compare(found, reference, config.margin)
    is_worse = comparison.overall.difference.estimate < -config.margin
    if is_worse or (config.is_required and not comparison.is_not_inferior):
        raise RefusedError(f"the bundle is not released: {comparison.explain()}")
    rates = found.by_task()
    for task, bound in config.min_lower_bounds:
        if task not in rates or rates[task].interval.low < bound:
            raise RefusedError(
                f"the bundle is not released: {task} {rates.get(task)}, required lower bound "
                f"{100 * bound:g}%"
            )
    write_json(context.output / EVALUATION, found.to_json())
    write_json(context.output / COMPARISON, comparison.to_json())
    write_json(context.measurements / LATENCY, trials.measured)
    difference = comparison.overall.difference
    points = f"{100 * difference.estimate:+.1f} points [{100 * difference.low:+.1f}, "
    return StageResult(
        f"{headline(found)}; bundle - checkpoint {points}{100 * difference.high:+.1f}]",
        {
            "success": {task: rate.to_json() for task, rate in rates.items()},
            "is_not_inferior": comparison.is_not_inferior,
        },
    )


STAGE = Stage(
    kind="reevaluate",
    summary="Evaluates the bundle as it will run, paired against the checkpoint.",
    config=ReevaluateConfig,
    slots={"bundle": Slot(("export",)), "reference": Slot(("evaluate",))},
    packages=(
        "evaluation",
        "jobs.families",
        "jobs.signer",
        "jobs.stages.evaluate",
        "jobs.trials",
        "kinematics",
        "models",
        "runtime",
        "sim",
        "store",
    ),
    libraries=("mujoco", "numpy", "onnxruntime"),
    function=reevaluate,
)
