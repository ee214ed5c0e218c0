"""Stage ``export``: graphs, the sensitivity table, the choice made from it, a signed bundle.

The artifact is the bundle without its signature: the same inputs give the same bytes anywhere. The
signature, made with the key of this workspace, lies beside it among the measurements.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.policy import Policy
from steadyhand.data.dataset import Dataset
from steadyhand.data.loader import TrainingArrays, load_arrays
from steadyhand.evaluation.closed_loop import ClosedLoopEpisode
from steadyhand.evaluation.suite import Suite
from steadyhand.export.choice import ChoiceRule
from steadyhand.export.draft import BundleDescription, GraphPolicyLoader
from steadyhand.export.graphs import export_parts
from steadyhand.export.pack import (
    SIGNATURE,
    SuccessEvidence,
    pack_bundle,
    select_golden,
    sign_bundle,
)
from steadyhand.export.parity import ParityLimits
from steadyhand.export.quantise import QuantisationConfig
from steadyhand.export.samples import Sample, draw_samples
from steadyhand.export.sensitivity import (
    LatencyConfig,
    SensitivityBench,
    SensitivityTable,
    find_precisions,
    measure_timings,
)
from steadyhand.export.variants import build_variants
from steadyhand.jobs.families import family
from steadyhand.jobs.signer import signing_key
from steadyhand.jobs.stage import Slot, Stage, StageContext, StageResult
from steadyhand.jobs.stages.train import read_split
from steadyhand.jobs.trials import (
    LoopConfig,
    Trials,
    checkpoint_candidate,
    condition,
    policy_directory,
)
from steadyhand.jobs.versions import library_versions
from steadyhand.kinematics.controller import default_limits
from steadyhand.models.checkpoints import load_policy
from steadyhand.models.policies.chunking import GRIP, STATE, ChunkingPolicy
from steadyhand.store.atomic import write_file, write_json
from steadyhand.store.canonical import canonical_json, digest

BUNDLE, TABLE, LATENCY = "bundle", "sensitivity.json", "latency.json"
ROBOT = "panda"
LIBRARIES = ("mujoco", "numpy", "onnx", "onnxruntime", "torch")


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """How to export.

    Args:
        task: Catalog name of the task that success is measured on.
        num_episodes: Validation episodes per row of the sensitivity table.
        min_success: Smallest success rate of the bundle.
        num_calibration: Rows of the training split that INT8 ranges are taken from.
        num_parity: Rows that numeric errors are measured on.
        num_golden: Rows that a robot repeats before it trusts the bundle; the steadiest of
            ``num_parity`` rows are taken.
        loop: Settings of the control loop; the bundle declares budget and threshold.
        quantisation: How INT8 graphs are made.
        choice: What makes a precision admissible.
        latency: How latencies are measured.
    """

    task: str
    num_episodes: int = 50
    min_success: float = 0.0
    num_calibration: int = 256
    num_parity: int = 64
    num_golden: int = 8
    loop: LoopConfig = field(default_factory=LoopConfig)
    quantisation: QuantisationConfig = field(default_factory=QuantisationConfig)
    choice: ChoiceRule = field(default_factory=ChoiceRule)
    latency: LatencyConfig = field(default_factory=LatencyConfig)


@dataclass(frozen=True, slots=True)
class GraphSource:
    """Graphs that are no bundle yet; equal when their digests are.

    Args:
        digest: Digest of the graphs and of what they declare.
        loader: Loads them.
    """

    digest: str
    loader: GraphPolicyLoader = field(compare=False)

    def __call__(self) -> Policy:
        """Load the graphs."""
        return self.loader()


def export(context: StageContext, config: ExportConfig) -> StageResult:
    """Export, quantise, measure, choose, pack, sign."""
    given = context.inputs["policy"]
    policy = load_policy(policy_directory(given.directory))
    dataset = Dataset.open(context.inputs["dataset"].directory)
    split, statistics = read_split(context.inputs["split"])
    arrays = load_arrays(dataset, split.train, context.progress)
    description = BundleDescription(
        name=config.task,
        robot=ROBOT,
        task=config.task,
        action_period_s=policy.config.action_period_s,
        latency_budget_s=config.loop.latency_budget_ms / 1e3,
        refill_threshold=config.loop.refill_threshold,
        limits=default_limits(),
        statistics_sha256=statistics.sha256,
        provenance={
            "checkpoint": given.digest,
            "dataset": context.inputs["dataset"].digest,
            "split": context.inputs["split"].digest,
            "versions": library_versions(LIBRARIES),
        },
    )
    samples = _Samples(policy, arrays, context.seed)
    successes = _Successes(context, config)
    table = _measure(context, config, policy, description, samples, successes)
    chosen = table.chosen
    evidence = SuccessEvidence(
        num_episodes=config.num_episodes,
        num_success=sum(chosen.success),
        num_reference_success=successes.of_checkpoint(),
        margin=config.choice.success_margin,
        minimum_rate=config.min_success,
        details={"task": config.task, "family": family(context.seed, "validation")},
    )
    bundle = pack_bundle(
        policy,
        table.paths,
        select_golden(
            policy, table.paths, samples.draw(config.num_parity, "golden"), config.num_golden
        ),
        samples.draw(config.num_parity, "parity"),
        evidence,
        description,
        context.output / BUNDLE,
        sensitivity=table.to_json(has_timings=False),
    )
    write_json(context.output / TABLE, table.to_json(has_timings=False))
    write_json(context.measurements / TABLE, table.to_json(has_timings=True))
    write_json(context.measurements / LATENCY, successes.trials.measured)
    _sign(context, bundle)
    return StageResult(
        f"{chosen.describe()}, {chosen.num_bytes // 1024} KiB; "
        f"{sum(chosen.success)} of {config.num_episodes} validation episodes",
        {"precision": dict(chosen.combination), "num_bytes": chosen.num_bytes},
    )


def _measure(
    context: StageContext,
    config: ExportConfig,
    policy: ChunkingPolicy,
    description: BundleDescription,
    samples: "_Samples",
    successes: "_Successes",
) -> SensitivityTable:
    """Build every precision of every part and choose among them."""
    parts = export_parts(policy, context.directory / "parts")
    calibration = samples.draw(config.num_calibration, "calibration")
    variants = build_variants(
        parts, calibration, context.directory / "variants", config.quantisation
    )
    parity = samples.draw(config.num_parity, "parity")
    timings = measure_timings(variants, parity, config.latency, context.clock)
    bench = SensitivityBench(
        policy=policy,
        variants=variants,
        description=description,
        samples=parity,
        success=successes,
        limits=ParityLimits(),
        timings=timings,
    )
    return find_precisions(bench, config.choice, context.progress)


def _sign(context: StageContext, bundle: Path) -> None:
    """Sign the bundle, and move the signature out of what is compared by hash."""
    key = signing_key(context.keys)
    signature = sign_bundle(bundle, key)
    write_file(context.measurements / BUNDLE / SIGNATURE, signature.read_bytes())
    signature.unlink()


class _Samples:
    """Rows of the training split as single inputs of the policy."""

    def __init__(self, policy: ChunkingPolicy, arrays: TrainingArrays, seed: int) -> None:
        self._seed = seed
        self._columns: dict[str, NDArray[np.generic]] = {
            key: arrays.frames[key] for key in policy.config.image_keys
        }
        self._columns[STATE] = arrays.state
        self._columns[GRIP] = previous_grip(arrays)

    def draw(self, count: int, purpose: str) -> list[Sample]:
        """Draw rows for a purpose."""
        return draw_samples(self._columns, count, self._seed, purpose)


def previous_grip(arrays: TrainingArrays) -> NDArray[np.float32]:
    """Return the grip command before each row: 0 at the start of an episode; float32 (N, 1)."""
    closes = (arrays.action[:, -1] > 0.5).astype(np.float32)
    before = np.concatenate(([np.float32(0)], closes[:-1]))
    before[np.unique(arrays.episode_start)] = 0
    return before[:, None]


class _Successes:
    """Closed-loop success of graphs and of the checkpoint, on the same validation episodes."""

    def __init__(self, context: StageContext, config: ExportConfig) -> None:
        given = context.inputs["policy"]
        self._checkpoint = checkpoint_candidate(given.directory, given.digest, config.loop)
        seed = family(context.seed, "validation")
        self._suite = Suite((condition(config.task, seed, config.num_episodes),))
        self.trials = Trials(context.directory / "trials", context.executor, context.progress)

    def __call__(self, loader: GraphPolicyLoader) -> Sequence[bool]:
        """Return success per episode of some graphs."""
        name = "_".join(f"{part.name}-{part.precision}" for part in loader.manifest.parts)
        graphs = [part.sha256 for part in loader.manifest.parts]
        source = GraphSource(digest(canonical_json(graphs)), loader)
        episode = ClosedLoopEpisode(
            policy=source,
            timing=self._checkpoint.timing,
            runtime=self._checkpoint.runtime,
            delay_s=self._checkpoint.delay_ms / 1e3,
        )
        found = self.trials.evaluate(name, self._suite, episode)
        return [result.is_success for result in found.results]

    def of_checkpoint(self) -> int:
        """Return how many episodes the checkpoint solves."""
        episode = self._checkpoint.episode
        return self.trials.evaluate("checkpoint", self._suite, episode).rate.num_successes


STAGE = Stage(
    kind="export",
    summary="Exports graphs, chooses their precision by measurement, packs and signs a bundle.",
    config=ExportConfig,
    slots={
        "policy": Slot(("train",)),
        "dataset": Slot(("collect",)),
        "split": Slot(("check",)),
    },
    packages=(
        "data",
        "evaluation",
        "export",
        "jobs.families",
        "jobs.signer",
        "jobs.stages.check",
        "jobs.stages.train",
        "jobs.trials",
        "kinematics",
        "models",
        "runtime",
        "sim",
        "store",
        "training",
    ),
    libraries=("av", "pyarrow", *LIBRARIES),
    function=export,
    is_published=True,
)
