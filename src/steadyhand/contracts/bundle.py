"""The bundle: what a robot runs. This is its manifest; the bytes lie beside it.

``manifest.json`` names every other file by its SHA-256 and is what the signature covers:

    manifest.json  vision.onnx  policy.onnx  golden.safetensors  signature.json
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from steadyhand.contracts.errors import DataError
from steadyhand.contracts.specs import ArraySpec

BUNDLE_SCHEMA = 1
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True, slots=True)
class BundlePart:
    """One graph of the bundle.

    Args:
        name: ``vision`` or ``policy``; parts run in the order of the manifest.
        file: File name inside the bundle; no directories.
        sha256: Digest of that file.
        precision: Effective precision, one of ``PRECISIONS``.
        inputs: Input specs in graph order.
        outputs: Output specs in graph order.
    """

    name: str
    file: str
    sha256: str
    precision: str
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]

    def __post_init__(self) -> None:
        if "/" in self.file or "\\" in self.file or self.file.startswith("."):
            raise DataError(f"bundle part {self.name!r}: {self.file!r} is not a plain file name")
        if self.precision not in PRECISIONS:
            raise DataError(f"bundle part {self.name!r}: precision {self.precision!r} unknown")


@dataclass(frozen=True, slots=True)
class ActionLimits:
    """What a commanded action may never exceed; on by default.

    Args:
        workspace_low_m: Smallest end-effector position (x, y, z) in the arm's base frame.
        workspace_high_m: Largest one.
        linear_speed_m_s: Largest end-effector speed.
        yaw_rate_rad_s: Largest rotation rate about the vertical.
        joint_low_rad: Smallest position per joint.
        joint_high_rad: Largest one.
        joint_speed_rad_s: Largest speed per joint.
        gripper_low_m: Smallest gripper opening.
        gripper_high_m: Largest one.
    """

    workspace_low_m: tuple[float, float, float]
    workspace_high_m: tuple[float, float, float]
    linear_speed_m_s: float
    yaw_rate_rad_s: float
    joint_low_rad: tuple[float, ...]
    joint_high_rad: tuple[float, ...]
    joint_speed_rad_s: tuple[float, ...]
    gripper_low_m: float
    gripper_high_m: float


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """Everything a robot must know about a policy before it runs it.

    Args:
        name: Name for people.
        robot: Arm the actions are for, e.g. ``panda``.
        task: Catalog name of the task it was trained for.
        parts: Graphs in execution order.
        golden_sha256: Digest of ``golden.safetensors`` (inputs and outputs of a self-test).
        observation_specs: What the policy reads.
        action_spec: One action: absolute end-effector target (x, y, z [m], yaw [rad], grip 0..1).
        state_specs: What the policy remembers.
        state_bytes: Sum of their sizes.
        action_period_s: Time [s] each action of a chunk is executed.
        chunk_length: Actions per chunk.
        latency_budget_s: Largest age [s] of an observation whose chunk may still be executed.
        refill_threshold: Fraction of the chunk left at which the next inference is requested.
        limits: Action limits.
        statistics_sha256: Digest of the normalisation statistics folded into the graphs.
        evidence: Parity and evaluation results (plain JSON; no timings, those differ per machine).
        provenance: Digests of the checkpoint and the dataset, and versions of what built it.
    """

    name: str
    robot: str
    task: str
    parts: tuple[BundlePart, ...]
    golden_sha256: str
    observation_specs: tuple[ArraySpec, ...]
    action_spec: ArraySpec
    state_specs: tuple[ArraySpec, ...]
    state_bytes: int
    action_period_s: float
    chunk_length: int
    latency_budget_s: float
    refill_threshold: float
    limits: ActionLimits
    statistics_sha256: str
    evidence: Mapping[str, Any]
    provenance: Mapping[str, Any]
    schema: int = BUNDLE_SCHEMA

    def __post_init__(self) -> None:
        total = sum(spec.nbytes for spec in self.state_specs)
        if total != self.state_bytes:
            raise DataError(f"bundle {self.name!r}: states {self.state_bytes} bytes, specs {total}")
        if not 0 < self.refill_threshold <= 1:
            raise DataError(f"bundle {self.name!r}: refill_threshold must be in (0, 1]")

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "BundleManifest":
        """Read a manifest.

        Raises:
            DataError: On another schema, or missing or unknown fields.
        """
        if value.get("schema") != BUNDLE_SCHEMA:
            raise DataError(
                f"bundle manifest has schema {value.get('schema')!r}; this version reads "
                f"{BUNDLE_SCHEMA}. Export the bundle again with this version"
            )
        _check_fields("bundle manifest", value, BundleManifest)
        given = dict(value)
        given["parts"] = tuple(_part(p) for p in value["parts"])
        given["observation_specs"] = _specs(value["observation_specs"])
        given["state_specs"] = _specs(value["state_specs"])
        given["action_spec"] = ArraySpec.from_json(value["action_spec"])
        _check_fields("bundle limits", value["limits"], ActionLimits)
        limits: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in value["limits"].items()
        }
        given["limits"] = ActionLimits(**limits)
        return BundleManifest(**given)


def _specs(values: list[Mapping[str, Any]]) -> tuple[ArraySpec, ...]:
    return tuple(ArraySpec.from_json(v) for v in values)


def _part(value: Mapping[str, Any]) -> BundlePart:
    _check_fields("bundle part", value, BundlePart)
    given = dict(value)
    return BundlePart(
        **{**given, "inputs": _specs(given["inputs"]), "outputs": _specs(given["outputs"])}
    )


def _check_fields(where: str, value: Mapping[str, Any], kind: type) -> None:
    expected = {f.name for f in fields(kind)}
    missing, unknown = expected - set(value), set(value) - expected
    if missing or unknown:
        raise DataError(f"{where}: missing {sorted(missing)}, unknown {sorted(unknown)}")
