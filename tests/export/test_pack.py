"""Bundles: packed whole or not at all, refused by the gates, refused by the robot when changed."""

import dataclasses
import errno
import json
import os

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from steadyhand.contracts.bundle import BundleManifest
from steadyhand.contracts.errors import IntegrityError, RefusedError, StorageError, UsageError
from steadyhand.export.pack import (
    MIN_GOLDEN,
    SuccessEvidence,
    bundle_digest,
    pack_bundle,
    select_golden,
    sign_bundle,
)
from steadyhand.export.parity import ParityLimits
from steadyhand.export.samples import batched, run_parts
from steadyhand.export.variants import load_engines
from steadyhand.runtime.bundle import load_bundle
from steadyhand.store.signing import create_key, load_private_key
from steadyhand.store.tensors import read_tensors

GOOD = SuccessEvidence(num_episodes=100, num_success=99, num_reference_success=100)


@pytest.fixture(scope="module")
def shipped(variants):
    return {v.part: v.path for v in variants if v.precision == "int8"}


@pytest.fixture(scope="module")
def pack(policy, samples, description):
    def run(parts, directory, success=GOOD, golden=None, **more):
        chosen = samples[:MIN_GOLDEN] if golden is None else golden
        return pack_bundle(
            policy, parts, chosen, samples[8:24], success, description, directory, **more
        )

    return run


@pytest.fixture(scope="module")
def bundle(pack, shipped, tmp_path_factory):
    return pack(shipped, tmp_path_factory.mktemp("bundles") / "tiny", sensitivity={"rows": []})


@pytest.fixture
def key(tmp_path):
    create_key(tmp_path / "keys", "maker")
    return load_private_key(tmp_path / "keys" / "maker.private.json")


def copy_of(bundle, target):
    target.mkdir()
    for path in bundle.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_robot_loads_the_bundle_and_acts_as_the_policy_did(
    bundle, key, policy, samples, tmp_path
):
    signed = copy_of(bundle, tmp_path / "signed")
    sign_bundle(signed, key)
    loaded = load_bundle(signed, [key.public])
    assert loaded.digest == bundle_digest(bundle)
    assert {part.precision for part in loaded.manifest.parts} == {"int8"}
    for sample in samples[:8]:
        state = {"state.grip": sample["state.grip"]}
        found, _ = loaded.policy.act(sample, state, None)
        wanted, _ = policy.act(sample, state, None)
        assert found.period_s == wanted.period_s
        assert np.abs(found.actions - wanted.actions)[:, :4].mean() < 0.004


def test_signing_does_not_change_what_the_bundle_is(bundle, key, tmp_path):
    signed = copy_of(bundle, tmp_path / "signed")
    before = bundle_digest(signed)
    sign_bundle(signed, key)
    assert bundle_digest(signed) == before


@pytest.mark.parametrize(
    "name", ["manifest.json", "vision.onnx", "policy.onnx", "golden.safetensors"]
)
def test_a_flipped_bit_anywhere_is_refused_by_the_robot(name, bundle, key, tmp_path):
    signed = copy_of(bundle, tmp_path / "signed")
    sign_bundle(signed, key)
    data = bytearray((signed / name).read_bytes())
    data[len(data) // 2] ^= 1
    (signed / name).write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        load_bundle(signed, [key.public])


def test_the_manifest_says_what_was_measured_and_holds_no_timings(bundle, policy):
    text = (bundle / "manifest.json").read_text()
    manifest = BundleManifest.from_json(json.loads(text))
    assert manifest.evidence["parity"]["is_passed"]
    assert manifest.evidence["parity"]["num_samples"] == 16 + MIN_GOLDEN
    assert manifest.evidence["success"]["num_success"] == 99
    assert manifest.evidence["sensitivity"] == {"rows": []}
    assert manifest.state_bytes == 4
    assert manifest.chunk_length == 10
    assert [spec.name for spec in manifest.observation_specs] == [*policy.observation_specs]
    assert [part.file for part in manifest.parts] == ["vision.onnx", "policy.onnx"]
    assert "latency_ms" not in text
    assert "median" not in text


def test_golden_values_hold_inputs_outputs_and_state(bundle):
    golden, metadata = read_tensors(bundle / "golden.safetensors")
    assert metadata["num_samples"] == str(MIN_GOLDEN)
    assert {name: values.shape for name, values in golden.items()} == {
        "inputs/observation.images.wrist": (8, 64, 64, 3),
        "inputs/observation.images.scene": (8, 64, 64, 3),
        "inputs/observation.state": (8, 12),
        "inputs/state.grip": (8, 1),
        "outputs/actions": (8, 10, 5),
        "outputs/next.state.grip": (8, 1),
    }


def test_equal_inputs_give_equal_bundles(bundle, pack, shipped, tmp_path):
    again = pack(shipped, tmp_path / "again", sensitivity={"rows": []})
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in bundle.iterdir()
    }


def test_a_bundle_that_solves_less_is_refused_and_nothing_is_written(pack, shipped, tmp_path):
    worse = dataclasses.replace(GOOD, num_success=97)
    with pytest.raises(RefusedError, match="solves 97 of 100 episodes, the checkpoint 100"):
        pack(shipped, tmp_path / "bundle", success=worse)
    weak = dataclasses.replace(GOOD, num_success=50, num_reference_success=50, minimum_rate=0.9)
    with pytest.raises(RefusedError, match=r"at least a rate of 0\.9"):
        pack(shipped, tmp_path / "bundle", success=weak)
    assert not list(tmp_path.iterdir())


def test_a_broken_graph_is_refused_and_an_older_bundle_stays(pack, shipped, bundle, tmp_path):
    model = onnx.load(shipped["policy"])
    scale = next(t for t in model.graph.initializer if t.name.endswith("layers.4.weight_scale"))
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * 3, scale.name))
    onnx.save(model, tmp_path / "policy.onnx")
    place = copy_of(bundle, tmp_path / "bundle")
    with pytest.raises(RefusedError, match="differ from the network"):
        pack({**shipped, "policy": tmp_path / "policy.onnx"}, place)
    assert bundle_digest(place) == bundle_digest(bundle)
    assert {p.name for p in tmp_path.iterdir()} == {"policy.onnx", "bundle"}


def test_stricter_limits_refuse_the_same_graphs(pack, shipped, tmp_path):
    with pytest.raises(RefusedError, match="end_to_end position"):
        pack(shipped, tmp_path / "bundle", limits=ParityLimits(mean_position_m=1e-6))


def test_a_bundle_replaces_an_older_one_as_a_whole(pack, parts, shipped, tmp_path):
    place = pack(parts, tmp_path / "bundle")
    (place / "signature.json").write_text("{}")
    pack(shipped, place)
    assert sorted(p.name for p in place.iterdir()) == [
        "golden.safetensors",
        "manifest.json",
        "policy.onnx",
        "vision.onnx",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_full_disk_leaves_the_older_bundle_and_nothing_else(
    pack, shipped, bundle, tmp_path, monkeypatch
):
    place = copy_of(bundle, tmp_path / "bundle")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        pack(shipped, place)
    assert bundle_digest(place) == bundle_digest(bundle)
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_place_that_cannot_be_written_is_named(pack, shipped, tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(StorageError, match=r"packing bundle .*file/bundle"):
        pack(shipped, tmp_path / "file" / "bundle")


def test_golden_samples_keep_away_from_decisions_that_rounding_could_flip(policy, shipped, samples):
    golden = select_golden(policy, shipped, samples, 8)
    assert len(golden) == 8
    loader = load_engines(shipped)
    for sample in golden:
        state = {"state.grip": sample["state.grip"]}
        found = run_parts(loader.values(), batched(sample))["actions"][0]
        assert np.abs(found - policy.act(sample, state, None)[0].actions).max() < 0.01
    with pytest.raises(RefusedError, match=r"only \d+ of 32 samples"):
        select_golden(policy, shipped, samples, 32)


def test_too_few_golden_samples_or_another_period_are_refused(
    pack, policy, shipped, samples, description, tmp_path
):
    with pytest.raises(UsageError, match="at least 8 golden samples, got 7"):
        pack(shipped, tmp_path / "bundle", golden=samples[:7])
    other = dataclasses.replace(description, action_period_s=0.1)
    with pytest.raises(UsageError, match=r"0\.05 s, the description says 0\.1 s"):
        pack_bundle(policy, shipped, samples[:8], [], GOOD, other, tmp_path / "bundle")


@pytest.mark.parametrize("counts", [(0, 0, 0), (10, 11, 5), (10, 5, -1)])
def test_impossible_counts_are_no_evidence(counts):
    with pytest.raises(UsageError, match="no evidence"):
        SuccessEvidence(*counts)
