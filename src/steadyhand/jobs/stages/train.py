"""Stage ``train``: behaviour cloning, then the candidate that solves the task most often.

The checkpoint is chosen by success on validation episodes in closed loop, not by loss: the loss
hardly tells a policy that grasps from one that misses by a centimetre.
"""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from steadyhand.contracts.errors import RefusedError, UsageError, storage_error
from steadyhand.data.dataset import Dataset
from steadyhand.data.loader import load_arrays
from steadyhand.data.splits import Split, Statistics
from steadyhand.evaluation.suite import Suite, choose_best
from steadyhand.jobs.families import family
from steadyhand.jobs.stage import Slot, Stage, StageContext, StageInput, StageResult
from steadyhand.jobs.stages.check import SPLIT, STATISTICS
from steadyhand.jobs.trials import LoopConfig, Trials, checkpoint_candidate, condition
from steadyhand.models.policies.chunking import ChunkingConfig
from steadyhand.store.atomic import read_json, write_json
from steadyhand.store.trees import hash_tree
from steadyhand.training.behaviour_cloning import BehaviourCloningConfig
from steadyhand.training.behaviour_cloning import train as train_policy

POLICY, CANDIDATES = "policy", "candidates.json"


@dataclass(frozen=True, slots=True)
class SelectionConfig:
    """How the checkpoint is chosen among the candidates.

    Args:
        task: Catalog name of the task.
        num_episodes: Validation episodes per candidate.
        min_success: Smallest success rate of the chosen one.
        loop: Settings of the control loop.
    """

    task: str
    num_episodes: int = 50
    min_success: float = 0.0
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What to train and how.

    Args:
        selection: How the checkpoint is chosen.
        policy: The policy.
        training: The algorithm; its seed comes from the recipe.
    """

    selection: SelectionConfig
    policy: ChunkingConfig = field(default_factory=ChunkingConfig)
    training: BehaviourCloningConfig = field(default_factory=BehaviourCloningConfig)

    def __post_init__(self) -> None:
        if self.training.seed != 0:
            raise UsageError("training.seed follows from the recipe's 'seed'; remove it here")


def train(context: StageContext, config: TrainConfig) -> StageResult:
    """Train in the stage's directory, evaluate the candidates, keep the best."""
    candidates = _train(context, config)
    selection = config.selection
    suite = Suite(
        (condition(selection.task, family(context.seed, "validation"), selection.num_episodes),)
    )
    trials = Trials(context.directory / "selection", context.executor, context.progress)
    evaluations = {}
    for directory in candidates:
        candidate = checkpoint_candidate(directory, hash_tree(directory), selection.loop)
        evaluations[directory.name] = trials.evaluate(directory.name, suite, candidate.episode)
    best = choose_best([*evaluations.values()])
    name = next(name for name, evaluation in evaluations.items() if evaluation is best)
    if best.rate.value < selection.min_success:
        raise RefusedError(
            f"the best candidate, {name}, solves {best.rate} of the validation episodes; "
            f"selection.min_success is {selection.min_success:g}. Train longer or record more"
        )
    chosen = next(directory for directory in candidates if directory.name == name)
    try:
        shutil.copytree(chosen, context.output / POLICY)
    except OSError as error:
        raise storage_error(error, "keeping the chosen policy") from error
    table = {n: evaluation.to_json() for n, evaluation in evaluations.items()}
    write_json(context.output / CANDIDATES, {"chosen": name, "candidates": table})
    return StageResult(
        f"{name} of {len(candidates)} candidates: {best.rate} on validation episodes",
        {"chosen": name, "success": {n: e.rate.to_json() for n, e in evaluations.items()}},
    )


def _train(context: StageContext, config: TrainConfig) -> tuple[Path, ...]:
    """Return the directories of the candidates."""
    dataset = Dataset.open(context.inputs["dataset"].directory)
    split, statistics = read_split(context.inputs["split"])
    arrays = load_arrays(dataset, split.train, context.progress)
    return train_policy(
        replace(config.training, seed=context.seed),
        config.policy,
        arrays,
        statistics,
        context.directory / "training",
        context.progress,
        clock=context.clock,
    )


def read_split(given: StageInput) -> tuple[Split, Statistics]:
    """Read what stage ``check`` wrote."""
    split = Split.from_json(read_json(given.directory / SPLIT))
    return split, Statistics.from_json(read_json(given.directory / STATISTICS))


STAGE = Stage(
    kind="train",
    summary="Trains a policy and keeps the candidate that solves the task most often.",
    config=TrainConfig,
    slots={"dataset": Slot(("collect",)), "split": Slot(("check",))},
    packages=(
        "data",
        "evaluation",
        "jobs.families",
        "jobs.stages.check",
        "jobs.trials",
        "kinematics",
        "models",
        "runtime",
        "sim",
        "store",
        "training",
    ),
    libraries=("av", "mujoco", "numpy", "pyarrow", "torch"),
    function=train,
)
