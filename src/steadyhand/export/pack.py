"""Pack graphs, golden values and evidence into a bundle, or refuse to.

    manifest.json  vision.onnx  policy.onnx  golden.safetensors  [signature.json]

``golden.safetensors`` holds for N samples the tensors ``inputs/<name>`` (observation and state
keys) and ``outputs/<name>`` (``actions`` and the next state), each of shape (N, ...) without the
graphs' batch dimension. The manifest names every file by its SHA-256, so the digest of
``manifest.json`` is the digest of the bundle, whoever signs it. Nothing in it is a timing.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from steadyhand.contracts.engine import Engine
from steadyhand.contracts.errors import RefusedError, UsageError, storage_error
from steadyhand.contracts.seeds import stream
from steadyhand.export.draft import BundleDescription, draft_manifest
from steadyhand.export.graphs import ACTIONS, NEXT, PartitionedPolicy
from steadyhand.export.parity import ParityLimits, measure_parity
from steadyhand.export.samples import Sample, batched, run_parts
from steadyhand.export.variants import load_engines
from steadyhand.store.atomic import replace_directory, write_file, write_json
from steadyhand.store.canonical import digest_file
from steadyhand.store.signing import PrivateKey, sign
from steadyhand.store.tensors import write_tensors

MANIFEST, GOLDEN, SIGNATURE = "manifest.json", "golden.safetensors", "signature.json"
MIN_GOLDEN = 8
_STEADY = 0.01  # half of what a robot's self-test allows an int8 graph


@dataclass(frozen=True, slots=True)
class SuccessEvidence:
    """Closed-loop success of the graphs that are packed, paired with the policy's own.

    Args:
        num_episodes: Episodes, the same for both.
        num_success: Solved by the graphs.
        num_reference_success: Solved by the policy they came from.
        margin: Largest drop of the success rate.
        minimum_rate: Smallest success rate of the graphs.
        details: More evidence as plain JSON (intervals, conditions); no timings.
    """

    num_episodes: int
    num_success: int
    num_reference_success: int
    margin: float = 0.02
    minimum_rate: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = (self.num_success, self.num_reference_success)
        if self.num_episodes < 1 or not all(0 <= n <= self.num_episodes for n in counts):
            raise UsageError(f"success {counts} of {self.num_episodes} episodes is no evidence")

    @property
    def is_passed(self) -> bool:
        """Whether the graphs are good enough, and no worse than the policy by the margin."""
        drop = self.num_reference_success - self.num_success
        is_enough = self.num_success >= self.minimum_rate * self.num_episodes
        return is_enough and drop <= self.margin * self.num_episodes

    def raise_if_failed(self) -> None:
        """Stop here if success does not allow to ship.

        Raises:
            RefusedError: With the counts.
        """
        if not self.is_passed:
            raise RefusedError(
                f"the exported policy solves {self.num_success} of {self.num_episodes} episodes, "
                f"the checkpoint {self.num_reference_success}; at least a rate of "
                f"{self.minimum_rate:g} and a drop of at most {self.margin:g} are required. Keep "
                "more parts in fp32, or train longer"
            )


def pack_bundle(
    policy: PartitionedPolicy,
    parts: Mapping[str, Path],
    golden: Sequence[Sample],
    compared: Sequence[Sample],
    success: SuccessEvidence,
    description: BundleDescription,
    directory: Path,
    *,
    sensitivity: Mapping[str, Any] | None = None,
    limits: ParityLimits | None = None,
) -> Path:
    """Write a bundle, atomically, if its parity and its success hold.

    Args:
        policy: The policy the graphs came from.
        parts: Graphs by part name, in execution order.
        golden: At least ``MIN_GOLDEN`` samples; a robot repeats them before it trusts the bundle.
        compared: More samples to compare graphs and policy with, e.g. the calibration samples; a
            mean over golden samples alone would hang on single frames.
        success: Closed-loop evidence of exactly these graphs.
        description: Everything else.
        directory: The bundle; an older one there is replaced.
        sensitivity: The sensitivity table as JSON without timings, if there is one.
        limits: Parity limits; the defaults if None.

    Returns:
        ``directory``.

    Raises:
        RefusedError: If parity or success fails; nothing is written.
        StorageError: If writing fails; nothing is left behind.
    """
    if len(golden) < MIN_GOLDEN:
        raise UsageError(f"a bundle needs at least {MIN_GOLDEN} golden samples, got {len(golden)}")
    _check_period(policy, golden[0], description)
    success.raise_if_failed()
    engines = load_engines(parts)
    parity = measure_parity(policy, engines, [*golden, *compared], limits or ParityLimits())
    parity.raise_if_failed()
    staging = directory.with_name(f".{directory.name}.staging")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        for name, path in parts.items():
            write_file(staging / f"{name}.onnx", path.read_bytes())
        values = golden_values(engines, golden)
        write_tensors(staging / GOLDEN, values, {"num_samples": str(len(golden))})
        evidence = {
            "parity": parity.to_json(),
            "success": {**asdict(success), "is_passed": success.is_passed},
            "sensitivity": dict(sensitivity or {}),
        }
        manifest = replace(
            draft_manifest(policy, parts, description),
            golden_sha256=digest_file(staging / GOLDEN),
            evidence=evidence,
        )
        write_json(staging / MANIFEST, manifest.to_json())
        replace_directory(staging, directory)
    except OSError as error:
        raise storage_error(error, f"packing bundle {directory}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return directory


def select_golden(
    policy: PartitionedPolicy, parts: Mapping[str, Path], candidates: Sequence[Sample], count: int
) -> list[Sample]:
    """Return samples whose outputs another processor will repeat.

    Another processor rounds differently. Where even reduced precision does not move an action,
    least of all across the threshold of the grip, rounding does not either.

    Args:
        policy: The policy the graphs came from.
        parts: Graphs by part name, in execution order.
        candidates: Samples to select from, in order.
        count: How many.

    Raises:
        RefusedError: If too few are steady.
    """
    engines = load_engines(parts)
    steady = [s for s in candidates if _worst_error(policy, engines, s) < _STEADY]
    if len(steady) < count:
        raise RefusedError(
            f"only {len(steady)} of {len(candidates)} samples give the same actions in the policy "
            f"and in the graphs to within {_STEADY:g}, {count} are needed; give more candidates, "
            "or keep more parts in fp32"
        )
    return steady[:count]


def _worst_error(policy: PartitionedPolicy, engines: Mapping[str, Engine], sample: Sample) -> float:
    observation = {key: sample[key] for key in policy.observation_specs}
    state = {key: sample[key] for key in policy.state_specs}
    chunk, _ = policy.act(observation, state, stream("export", "golden"))
    found = run_parts(engines.values(), batched(sample))[ACTIONS][0]
    return float(np.abs(found - chunk.actions).max())


def golden_values(engines: Mapping[str, Engine], samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the golden inputs and outputs of some graphs.

    Args:
        engines: The graphs that are packed, in execution order.
        samples: Inputs.

    Returns:
        ``inputs/<name>`` and ``outputs/<name>``, each of shape (N, ...).
    """
    results = [run_parts(engines.values(), batched(sample)) for sample in samples]
    outputs = [k for k in results[0] if k == ACTIONS or k.startswith(NEXT)]
    values = {f"inputs/{k}": np.stack([s[k] for s in samples]) for k in samples[0]}
    return values | {f"outputs/{k}": np.concatenate([r[k] for r in results]) for k in outputs}


def bundle_digest(directory: Path) -> str:
    """Return the digest of a bundle's content, which is that of its manifest.

    Args:
        directory: The bundle.
    """
    return digest_file(directory / MANIFEST)


def sign_bundle(directory: Path, key: PrivateKey) -> Path:
    """Sign a bundle's manifest and write ``signature.json`` into it.

    Args:
        directory: The bundle.
        key: The private key.

    Returns:
        The path of the signature.

    Raises:
        StorageError: If reading or writing fails.
    """
    try:
        signature = sign((directory / MANIFEST).read_bytes(), key)
    except OSError as error:
        raise storage_error(error, f"signing bundle {directory}") from error
    write_json(directory / SIGNATURE, signature)
    return directory / SIGNATURE


def _check_period(
    policy: PartitionedPolicy, sample: Sample, description: BundleDescription
) -> None:
    observation = {key: sample[key] for key in policy.observation_specs}
    chunk, _ = policy.act(observation, policy.initial_state(), stream("export", "pack"))
    if chunk.period_s != description.action_period_s:
        raise UsageError(
            f"the policy's actions last {chunk.period_s:g} s, the description says "
            f"{description.action_period_s:g} s; give the policy's period"
        )
