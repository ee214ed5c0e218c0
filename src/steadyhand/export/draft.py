"""Run exported graphs as a policy before they are a bundle, with the code that a robot uses.

Nothing here is signed or proven: it is for measuring, never for a robot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steadyhand.contracts.bundle import ActionLimits, BundleManifest, BundlePart
from steadyhand.contracts.policy import state_bytes
from steadyhand.export.effective import read_effective_precision
from steadyhand.export.graphs import HEAD, PartitionedPolicy, part_interfaces
from steadyhand.runtime.bundle_policy import BundlePolicy
from steadyhand.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from steadyhand.store.canonical import digest_file


@dataclass(frozen=True, slots=True)
class BundleDescription:
    """What the policy and its graphs cannot say about themselves.

    Args:
        name: Name for people.
        robot: Arm the actions are for, e.g. ``panda``.
        task: Catalog name of the task.
        action_period_s: Time [s] each action of a chunk is executed.
        latency_budget_s: Largest age [s] of an observation whose chunk may still be executed.
        refill_threshold: Fraction of the chunk left at which the next inference is requested.
        limits: Action limits.
        statistics_sha256: Digest of the normalisation statistics folded into the graphs.
        provenance: Digests of the checkpoint and the dataset, and versions of what built it.
    """

    name: str
    robot: str
    task: str
    action_period_s: float
    latency_budget_s: float
    refill_threshold: float
    limits: ActionLimits
    statistics_sha256: str
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GraphPolicyLoader:
    """Loads graphs as a policy, in any process; picklable.

    Args:
        manifest: What the bundle would declare.
        paths: Graphs in the manifest's order.
    """

    manifest: BundleManifest
    paths: tuple[Path, ...]

    def __call__(self) -> BundlePolicy:
        """Load the graphs."""
        return BundlePolicy(self.manifest, [OnnxRuntimeEngine(path) for path in self.paths])


def draft_manifest(
    policy: PartitionedPolicy, parts: Mapping[str, Path], description: BundleDescription
) -> BundleManifest:
    """Describe graphs as a bundle that has no golden values and no evidence yet.

    Args:
        policy: The policy the graphs came from.
        parts: Graphs by part name, in execution order.
        description: What policy and graphs cannot say about themselves.
    """
    interfaces = {interface.name: interface for interface in part_interfaces(policy)}
    drafted = [
        BundlePart(
            name=name,
            file=f"{name}.onnx",
            sha256=digest_file(path),
            precision=read_effective_precision(path).precision,
            inputs=interfaces[name].inputs,
            outputs=interfaces[name].outputs,
        )
        for name, path in parts.items()
    ]
    return BundleManifest(
        name=description.name,
        robot=description.robot,
        task=description.task,
        parts=tuple(drafted),
        golden_sha256="",
        observation_specs=tuple(policy.observation_specs.values()),
        action_spec=policy.action_spec,
        state_specs=tuple(policy.state_specs.values()),
        state_bytes=state_bytes(policy),
        action_period_s=description.action_period_s,
        chunk_length=interfaces[HEAD].outputs[0].shape[1],
        latency_budget_s=description.latency_budget_s,
        refill_threshold=description.refill_threshold,
        limits=description.limits,
        statistics_sha256=description.statistics_sha256,
        evidence={},
        provenance=dict(description.provenance),
    )
