"""Which episodes train, which validate, which are held out; and the statistics of the first only.

A held-out cluster is a region the policy never sees. Within the others an episode's part depends on
its name and the seed alone, not on the order of recording.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steadyhand.contracts.errors import DatasetError
from steadyhand.contracts.seeds import stream
from steadyhand.data.dataset import Dataset
from steadyhand.data.feature_statistics import FeatureStatistics
from steadyhand.data.metadata import merge_all
from steadyhand.store.canonical import canonical_json, digest


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """How episodes are divided.

    Args:
        held_out_clusters: Clusters that neither train nor validate.
        validation_share: Share of the remaining episodes that validate, 0 <= share < 1.
        seed: Seed of the choice.
        use_failed: Whether episodes with outcome ``fail`` are used at all; imitating them
            teaches failing, so they are left out by default.
    """

    held_out_clusters: tuple[str, ...] = ()
    validation_share: float = 0.1
    seed: int = 0
    use_failed: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise DatasetError(
                f"validation_share must be at least 0 and below 1, got {self.validation_share}"
            )


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of episodes, each in one part only, in ascending order.

    Args:
        train: Episodes that training may see.
        validation: Episodes for choosing among policies.
        held_out: Episodes of held-out clusters.
        unused: Failed episodes that are left out.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    held_out: tuple[int, ...]
    unused: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the split as plain JSON values."""
        return {
            "train": list(self.train),
            "validation": list(self.validation),
            "held_out": list(self.held_out),
            "unused": list(self.unused),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Split":
        """Read a split written by :meth:`to_json`."""
        return Split(
            tuple(value["train"]),
            tuple(value["validation"]),
            tuple(value["held_out"]),
            tuple(value["unused"]),
        )


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of the training rows, bound to the episodes they were computed from.

    Args:
        features: Statistics by column and camera; frames scaled to 0..1, per colour channel.
        episodes: Names and file digests of the episodes, as a digest.
        sha256: Digest over episodes and values: what a policy carries to say how it normalises.
    """

    features: Mapping[str, FeatureStatistics]
    episodes: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as plain JSON values."""
        values = {name: value.to_json() for name, value in self.features.items()}
        return {"features": values, "episodes": self.episodes, "sha256": self.sha256}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Statistics":
        """Read statistics written by :meth:`to_json`.

        Raises:
            DatasetError: If the digest does not match the values.
        """
        features = {n: FeatureStatistics.from_json(v) for n, v in value["features"].items()}
        statistics = _hashed(features, value["episodes"])
        if statistics.sha256 != value["sha256"]:
            raise DatasetError(
                "the normalisation statistics were changed after they were computed; compute "
                "them again from the training split"
            )
        return statistics


def split(dataset: Dataset, config: SplitConfig) -> Split:
    """Divide the episodes of a dataset.

    Args:
        dataset: The dataset.
        config: How to divide.

    Returns:
        The split; equal for equal trials and config, in any process.

    Raises:
        DatasetError: If a held-out cluster does not occur, or nothing is left to train on.
    """
    trials = dataset.trials()
    clusters = {trial.cluster for trial in trials}
    if unknown := sorted(set(config.held_out_clusters) - clusters):
        raise DatasetError(
            f"held-out clusters {unknown} do not occur; there are {sorted(clusters)}"
        )
    unused = [t.episode for t in trials if t.outcome != "success" and not config.use_failed]
    held_out = [t.episode for t in trials if t.cluster in config.held_out_clusters]
    held_out = sorted(set(held_out) - set(unused))
    rest = [t for t in trials if t.episode not in {*unused, *held_out}]
    draws = {t.episode: stream("split", config.seed, str(t.key)).random() for t in rest}
    ordered = sorted(draws, key=lambda episode: (draws[episode], episode))
    count = round(config.validation_share * len(rest))
    validation, train = sorted(ordered[:count]), sorted(ordered[count:])
    if not train:
        raise DatasetError(
            f"no episode is left to train on: {len(trials)} episodes, {len(held_out)} held out, "
            f"{len(validation)} validate, {len(unused)} failed; record more or hold out less"
        )
    return Split(tuple(train), tuple(validation), tuple(held_out), tuple(unused))


def compute_statistics(dataset: Dataset, episodes: Sequence[int]) -> Statistics:
    """Merge the statistics of chosen episodes; never pass others than the training split.

    Args:
        dataset: The dataset.
        episodes: Positions of the training episodes.

    Returns:
        Statistics of their columns and cameras, hashed with the names of the episodes.

    Raises:
        DatasetError: If there are no episodes.
    """
    if not episodes:
        raise DatasetError("statistics need at least one episode; the training split is empty")
    names = (*(s.name for s in dataset.features.columns), *dataset.features.camera_names)
    total: dict[str, FeatureStatistics] = {}
    for episode in sorted(episodes):
        found = dataset.episode_statistics(episode)
        total = merge_all(total, {name: found[name] for name in names})
    trials = [dataset.trial(episode).to_json() for episode in sorted(episodes)]
    identity = [{k: t[k] for k in ("task", "task_version", "seed", "index")} for t in trials]
    files = [sorted(d["sha256"] for d in t["files"].values()) for t in trials]
    return _hashed(total, digest(canonical_json([identity, files])))


def _hashed(features: Mapping[str, FeatureStatistics], episodes: str) -> Statistics:
    values = {name: value.to_json() for name, value in features.items()}
    return Statistics(features, episodes, digest(canonical_json([episodes, values])))
