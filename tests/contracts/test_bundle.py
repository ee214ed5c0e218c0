"""The bundle's manifest: every version that was ever written stays readable, or is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from steadyhand.contracts.bundle import ActionLimits, BundleManifest, BundlePart
from steadyhand.contracts.errors import DataError
from steadyhand.contracts.specs import ArraySpec
from steadyhand.store.canonical import canonical_json

GOLDEN = Path(__file__).with_name("golden") / "bundle_1.json"
STATE = ArraySpec("state.grip", (1,), "float32", low=0.0, high=1.0)
IMAGE = ArraySpec("observation.images.wrist", (64, 64, 3), "uint8")
FEATURES = ArraySpec("features", (1, 128), "float32")
ACTION = ArraySpec(
    "action",
    (5,),
    "float32",
    low=(-1.0, -1.0, 0.0, -3.2, 0.0),
    high=(1.0, 1.0, 1.0, 3.2, 1.0),
    names=("x", "y", "z", "yaw", "grip"),
)
MANIFEST = BundleManifest(
    name="demo",
    robot="panda",
    task="pick_place-hard",
    parts=(
        BundlePart("vision", "vision.onnx", "ab" * 32, "int8", (IMAGE,), (FEATURES,)),
        BundlePart("policy", "policy.onnx", "cd" * 32, "fp32", (FEATURES, STATE), (ACTION,)),
    ),
    golden_sha256="ef" * 32,
    observation_specs=(IMAGE,),
    action_spec=ACTION,
    state_specs=(STATE,),
    state_bytes=4,
    action_period_s=0.05,
    chunk_length=10,
    latency_budget_s=0.25,
    refill_threshold=0.5,
    limits=ActionLimits(
        workspace_low_m=(0.2, -0.4, 0.0),
        workspace_high_m=(0.7, 0.4, 0.6),
        linear_speed_m_s=0.5,
        yaw_rate_rad_s=2.0,
        joint_low_rad=(-2.9,) * 7,
        joint_high_rad=(2.9,) * 7,
        joint_speed_rad_s=(2.1,) * 7,
        gripper_low_m=0.0,
        gripper_high_m=0.08,
    ),
    statistics_sha256="12" * 32,
    evidence={"parity": {"max_abs": 1e-6}, "success": {"k": 199, "n": 200}},
    provenance={"checkpoint": "34" * 32},
)


def test_this_version_writes_the_golden_file_and_reads_it():
    """A signature covers these bytes: a change of form needs a new schema number."""
    assert canonical_json(MANIFEST.to_json()) == GOLDEN.read_bytes()
    assert BundleManifest.from_json(json.loads(GOLDEN.read_bytes())) == MANIFEST


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2; this version reads 1. Export the bundle again"),
        ({"schema": None}, "schema None"),
        ({"surplus": 1}, r"bundle manifest: missing \[\], unknown \['surplus'\]"),
        ({"limits": {}}, "bundle limits: missing"),
        ({"parts": [{}]}, "bundle part: missing"),
        ({"state_bytes": 5}, "states 5 bytes, specs 4"),
        ({"refill_threshold": 0.0}, r"refill_threshold must be in \(0, 1\]"),
        ({"refill_threshold": 1.1}, "refill_threshold"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    value = {**json.loads(GOLDEN.read_bytes()), **change}
    with pytest.raises(DataError, match=message):
        BundleManifest.from_json(value)


@pytest.mark.parametrize("field", sorted(MANIFEST.to_json()))
def test_a_manifest_that_lacks_a_field_is_refused(field):
    value = json.loads(GOLDEN.read_bytes())
    del value[field]
    with pytest.raises(DataError, match=field):
        BundleManifest.from_json(value)


@pytest.mark.parametrize("file", ["../policy.onnx", "/etc/passwd", "a\\b", ".hidden", ".."])
def test_a_part_cannot_lie_outside_of_its_bundle(file):
    with pytest.raises(DataError, match="is not a plain file name"):
        replace(MANIFEST.parts[0], file=file)


def test_an_unknown_precision_is_refused():
    with pytest.raises(DataError, match="precision 'fp8' unknown"):
        replace(MANIFEST.parts[0], precision="fp8")
