"""Stage ``evaluate``: success of a policy in closed loop, with intervals, on unseen episodes."""

from dataclasses import dataclass, field

from steadyhand.contracts.errors import RefusedError, UsageError
from steadyhand.evaluation.suite import Evaluation, Suite
from steadyhand.jobs.families import family
from steadyhand.jobs.signer import trusted_keys
from steadyhand.jobs.stage import Slot, Stage, StageContext, StageResult
from steadyhand.jobs.trials import (
    Candidate,
    LoopConfig,
    Trials,
    assemble_bundle,
    bundle_candidate,
    checkpoint_candidate,
    condition,
    is_bundle,
)
from steadyhand.store.atomic import write_json

EVALUATION, LATENCY = "evaluation.json", "latency.json"


@dataclass(frozen=True, slots=True)
class ConditionConfig:
    """Episodes of one task, and what is required of them.

    Args:
        task: Catalog name.
        num_episodes: How many.
        min_lower_bound: Smallest lower end of the 95% Wilson interval of success; 0 requires
            nothing.
    """

    task: str
    num_episodes: int = 200
    min_lower_bound: float = 0.0


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """What to evaluate on.

    Args:
        conditions: Tasks.
        loop: Settings of the control loop.
    """

    conditions: tuple[ConditionConfig, ...]
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if not self.conditions:
            raise UsageError("conditions must name at least one task")


def evaluate(context: StageContext, config: EvaluateConfig) -> StageResult:
    """Run the policy on the test episodes and check what is required of it."""
    candidate = _candidate(context, config.loop)
    seed = family(context.seed, "test")
    suite = Suite(tuple(condition(c.task, seed, c.num_episodes) for c in config.conditions))
    trials = Trials(context.directory / "trials", context.executor, context.progress)
    found = trials.evaluate(candidate.name, suite, candidate.episode)
    require(found, config.conditions)
    write_json(context.output / EVALUATION, found.to_json())
    write_json(context.measurements / LATENCY, trials.measured)
    return StageResult(headline(found), {t: r.to_json() for t, r in found.by_task().items()})


def _candidate(context: StageContext, loop: LoopConfig) -> Candidate:
    given = context.inputs["policy"]
    if not is_bundle(given.directory):
        return checkpoint_candidate(given.directory, given.digest, loop)
    bundle = assemble_bundle(given, context.directory / "bundle")
    return bundle_candidate(bundle, trusted_keys(context.keys), loop)


def require(found: Evaluation, conditions: tuple[ConditionConfig, ...]) -> None:
    """Stop if a lower bound is missed.

    Raises:
        RefusedError: Naming each task that misses its bound.
    """
    rates = found.by_task()
    missed = [
        f"{c.task}: {rates[c.task]}, required lower bound {100 * c.min_lower_bound:g}%"
        for c in conditions
        if rates[c.task].interval.low < c.min_lower_bound
    ]
    if missed:
        raise RefusedError(
            f"the {found.candidate} does not reach what is required: {'; '.join(missed)}. Train "
            "longer, record more, or lower min_lower_bound"
        )


def headline(found: Evaluation) -> str:
    """Return success per task in one line; the shared beginning of the names is left out."""
    return "; ".join(f"{task.partition('-')[2] or task} {r}" for task, r in found.by_task().items())


STAGE = Stage(
    kind="evaluate",
    summary="Measures success in closed loop, with intervals.",
    config=EvaluateConfig,
    slots={"policy": Slot(("train", "export"))},
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
    libraries=("mujoco", "numpy", "onnxruntime", "torch"),
    function=evaluate,
)
