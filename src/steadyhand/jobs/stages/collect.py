"""Stage ``collect``: record demonstrations in simulation as a LeRobot dataset."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.errors import UsageError, storage_error
from steadyhand.contracts.executor import Executor
from steadyhand.contracts.progress import Progress
from steadyhand.data.dataset import Dataset
from steadyhand.data.encoding import EncodedEpisode, encode_episode
from steadyhand.data.features import DatasetFeatures, features_from_specs
from steadyhand.data.recorder import DatasetRecorder
from steadyhand.data.trials import Trial
from steadyhand.jobs.families import family
from steadyhand.jobs.stage import Stage, StageContext, StageResult
from steadyhand.sim.catalog import make_environment
from steadyhand.sim.tasks.pick_place_expert import DemonstrationConfig, demonstrate

ROBOT = "panda"


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """What to record.

    Args:
        demonstrations: How demonstrations are given; its seed comes from the recipe.
        num_episodes: How many.
    """

    demonstrations: DemonstrationConfig
    num_episodes: int = 100

    def __post_init__(self) -> None:
        if self.num_episodes < 1:
            raise UsageError(f"num_episodes must be at least 1, got {self.num_episodes}")
        if self.demonstrations.seed != 0:
            raise UsageError("demonstrations.seed follows from the recipe's 'seed'; remove it here")


@dataclass(frozen=True, slots=True)
class Demonstrator:
    """Gives one demonstration, encoded; runs in workers.

    Args:
        config: How.
        features: Features of the dataset it is for.
    """

    config: DemonstrationConfig
    features: DatasetFeatures

    def __call__(self, index: int) -> EncodedEpisode:
        """Demonstrate and encode episode ``index``."""
        return encode_episode(demonstrate(self.config, index), self.features)


def record(
    root: Path,
    config: DemonstrationConfig,
    num_episodes: int,
    executor: Executor,
    progress: Progress,
) -> tuple[Trial, ...]:
    """Record episodes 0 to ``num_episodes - 1`` into a dataset; skip those that are there.

    Args:
        root: The dataset; created, or continued where a kill left it.
        config: How demonstrations are given, their seed included.
        num_episodes: How many there will be.
        executor: Where they are made; commits happen here, in order.
        progress: Told after each commit.

    Returns:
        The rows of the dataset's manifest.

    Raises:
        UsageError: If the directory holds episodes of another task or seed.
    """
    environment = make_environment(config.task, image_size=config.image_size)
    try:
        features = features_from_specs(
            environment.observation_specs,
            environment.action_spec,
            environment.step_period_s,
            ROBOT,
        )
        version = environment.task_version
    finally:
        environment.close()
    keys = [EpisodeKey(config.task, version, config.seed, i) for i in range(num_episodes)]
    with DatasetRecorder.open(root, features, progress) as recorder:
        foreign = sorted(recorder.committed_keys() - set(keys))
        if foreign and any(k.seed != config.seed or k.task != config.task for k in foreign):
            raise UsageError(
                f"{root} holds other episodes, e.g. {foreign[0]}; choose another directory, or "
                "the same task and seed"
            )
        missing = [key.index for key in keys if key not in recorder.committed_keys()]
        for encoded in executor.map(Demonstrator(config, features), missing):
            recorder.commit(encoded)
            progress.update("record", recorder.num_episodes, num_episodes, "episodes")
    return Dataset.open(root).trials()


def collect(context: StageContext, config: CollectConfig) -> StageResult:
    """Record the dataset in the stage's directory, then make it the artifact."""
    root = context.directory / "dataset"
    seeded = replace(config.demonstrations, seed=family(context.seed, "demonstrations"))
    trials = record(root, seeded, config.num_episodes, context.executor, context.progress)
    link_files(root, context.output)
    facts = describe(trials)
    return StageResult(
        f"{facts['num_episodes']} episodes, {facts['num_rows']} rows, "
        f"{facts['num_successes']} solved by the expert",
        facts,
    )


def describe(trials: Sequence[Trial]) -> dict[str, object]:
    """Return what is in a dataset, in numbers."""
    return {
        "num_episodes": len(trials),
        "num_rows": sum(trial.num_steps for trial in trials),
        "num_successes": sum(trial.outcome == "success" for trial in trials),
        "num_recoveries": sum(trial.is_recovery for trial in trials),
        "clusters": dict(sorted(Counter(trial.cluster for trial in trials).items())),
    }


def link_files(source: Path, target: Path) -> None:
    """Give the files of a finished directory a second name; no byte is copied.

    Raises:
        StorageError: If the file system refused.
    """
    try:
        shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)
    except OSError as error:
        raise storage_error(error, f"linking {source}") from error


STAGE = Stage(
    kind="collect",
    summary="Records demonstrations in simulation.",
    config=CollectConfig,
    slots={},
    packages=("data", "jobs.families", "kinematics", "sim", "store"),
    libraries=("av", "mujoco", "numpy", "pyarrow"),
    function=collect,
)
