"""Loading a bundle: what was signed runs, everything else is refused in words."""

import json
import shutil

import numpy as np
import pytest
from onnx import TensorProto, helper

from steadyhand.contracts.bundle import BundlePart
from steadyhand.contracts.errors import DataError, IntegrityError, RefusedError, UsageError
from steadyhand.contracts.specs import ArraySpec
from steadyhand.runtime.bundle import load_bundle, verify_bundle
from steadyhand.store.canonical import canonical_json, digest
from steadyhand.store.signing import PrivateKey
from steadyhand.store.tensors import read_tensors, write_tensors

FILES = ("manifest.json", "signature.json", "golden.safetensors", "vision.onnx", "policy.onnx")


@pytest.fixture
def copy(bundle, tmp_path):
    shutil.copytree(bundle.directory, tmp_path / "copy")
    return tmp_path / "copy"


def change(directory, bundle, **fields):
    """Change the manifest and sign it again: what a careless exporter could do."""
    manifest = json.loads((directory / "manifest.json").read_text())
    bundle.seal(directory, canonical_json(manifest | fields))


def replace_part(directory, bundle, index, data, **fields):
    manifest = json.loads((directory / "manifest.json").read_text())
    part = manifest["parts"][index] | {"sha256": digest(data)} | fields
    (directory / part["file"]).write_bytes(data)
    parts = list(manifest["parts"])
    parts[index] = part
    change(directory, bundle, parts=parts)


def test_a_signed_bundle_loads_and_acts(bundle):
    loaded = load_bundle(bundle.directory, bundle.keys)
    assert loaded.digest == digest((bundle.directory / "manifest.json").read_bytes())
    assert loaded.key_id == bundle.keys[0].key_id
    policy = loaded.policy
    observation = {k: np.zeros(s.shape, s.dtype) for k, s in policy.observation_specs.items()}
    observation["observation.state"][8:] = (0.4, 0.1, 0.3, 0.7)
    state = {"state.grip": np.array([0.25], np.float32)}
    chunk, following = policy.act(observation, state, np.random.default_rng(0))
    assert chunk.actions.shape == (10, 5)
    np.testing.assert_allclose(chunk.actions[0], (0.4, 0.1, 0.3, 0.7, 0), atol=1e-6)
    np.testing.assert_allclose(chunk.actions[9, 2], 0.318, atol=1e-6)
    np.testing.assert_array_equal(following["state.grip"], state["state.grip"])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_flipped_byte_anywhere_is_refused(bundle, copy, name, where):
    data = bytearray((copy / name).read_bytes())
    data[{"first": 0, "middle": len(data) // 2, "last": -1}[where]] ^= 0x01
    (copy / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=r"copy: .*(changed|damaged|trusted|malformed|sign)"):
        load_bundle(copy, bundle.keys)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(bundle, copy, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError):
        load_bundle(copy, bundle.keys)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("manifest.json", UsageError, "is no bundle: it holds no manifest.json"),
        ("signature.json", IntegrityError, "is not signed: signature.json is missing"),
        ("golden.safetensors", IntegrityError, r"\['golden.safetensors'\] missing"),
        ("vision.onnx", IntegrityError, r"\['vision.onnx'\] missing"),
    ],
)
def test_a_missing_file_is_named(bundle, copy, name, error, message):
    (copy / name).unlink()
    with pytest.raises(error, match=message):
        load_bundle(copy, bundle.keys)


def test_a_file_nobody_vouches_for_is_refused(bundle, copy):
    (copy / "policy.pkl").write_bytes(b"surprise")
    with pytest.raises(IntegrityError, match=r"\['policy.pkl'\] is in no manifest"):
        load_bundle(copy, bundle.keys)


def test_another_key_is_refused_and_no_key_trusts_nothing(bundle, tmp_path):
    stranger = PrivateKey("stranger", b"\x07" * 32)
    other = bundle.write(tmp_path / "other", stranger)
    with pytest.raises(IntegrityError, match="which is not trusted here; trusted: tests"):
        load_bundle(other, bundle.keys)
    with pytest.raises(UsageError, match="no key is trusted"):
        load_bundle(bundle.directory, ())


def test_a_directory_that_is_no_bundle_is_named(bundle, tmp_path):
    with pytest.raises(UsageError, match=r"nothing is no bundle.*check the path"):
        verify_bundle(tmp_path / "nothing", bundle.keys)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": 99}, "schema 99; this version reads 1"),
        ({"surprise": 1}, r"unknown \['surprise'\]"),
        ({"state_bytes": 8}, "states 8 bytes, specs 4"),
        ({"parts": 3}, "manifest.json cannot be read"),
        ({"refill_threshold": 0}, "refill_threshold must be in"),
    ],
)
def test_a_signed_manifest_that_makes_no_sense_is_refused(bundle, copy, fields, message):
    change(copy, bundle, **fields)
    with pytest.raises(DataError, match=message):
        load_bundle(copy, bundle.keys)


def test_a_part_cannot_leave_the_bundle(bundle, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["parts"][0]["file"] = "../vision.onnx"
    change(copy, bundle, parts=manifest["parts"])
    with pytest.raises(DataError, match="is not a plain file name"):
        load_bundle(copy, bundle.keys)


def test_external_data_is_refused(bundle, copy):
    graph = bundle.model(bundle.policy_graph())
    weight = graph.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    weight.ClearField("raw_data")
    replace_part(copy, bundle, 1, graph.SerializeToString())
    with pytest.raises(DataError, match=r"'policy'.*keeps tensors in other files"):
        load_bundle(copy, bundle.keys)


def test_custom_operators_are_refused(bundle, copy):
    graph = bundle.policy_graph()
    graph.node.append(helper.make_node("Shell", ["features"], ["x2"], domain="evil.ops"))
    data = bundle.model(graph, domain="evil.ops").SerializeToString()
    replace_part(copy, bundle, 1, data)
    with pytest.raises(DataError, match=r"custom operators \['evil.ops'\]"):
        load_bundle(copy, bundle.keys)


def test_a_signed_file_that_is_no_graph_is_refused(bundle, copy):
    replace_part(copy, bundle, 1, b"\x80\x04K\x01.")
    with pytest.raises(DataError, match=r"'policy' .*not a.* ONNX file"):
        load_bundle(copy, bundle.keys)


def test_a_declared_precision_that_the_engine_does_not_compute_in_is_refused(bundle, copy):
    data = (copy / "policy.onnx").read_bytes()
    replace_part(copy, bundle, 1, data, precision="int8")
    with pytest.raises(RefusedError, match="declares int8, but this engine computes it in fp32"):
        load_bundle(copy, bundle.keys)


def test_other_inputs_than_declared_are_refused(bundle, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    inputs = manifest["parts"][1]["inputs"][:-1]
    data = (copy / "policy.onnx").read_bytes()
    replace_part(copy, bundle, 1, data, inputs=inputs)
    with pytest.raises(DataError, match="'policy': the manifest declares inputs"):
        load_bundle(copy, bundle.keys)


def test_wrong_golden_outputs_are_refused(bundle, copy):
    """Another weight, correctly hashed and signed: only computing it shows the difference."""
    golden, _ = read_tensors(copy / "golden.safetensors")
    golden["outputs/actions"][1, 3, 2] += 0.01
    write_tensors(copy / "golden.safetensors", golden, {})
    change(copy, bundle, golden_sha256=digest((copy / "golden.safetensors").read_bytes()))
    with pytest.raises(RefusedError, match=r"golden sample 1, output 'actions' differs by 0.01"):
        load_bundle(copy, bundle.keys)
    load_bundle(copy, bundle.keys, self_test=False)


def test_golden_values_that_hold_nothing_are_refused(bundle, copy):
    golden, _ = read_tensors(copy / "golden.safetensors")
    del golden["outputs/next.state.grip"]
    write_tensors(copy / "golden.safetensors", golden, {})
    change(copy, bundle, golden_sha256=digest((copy / "golden.safetensors").read_bytes()))
    with pytest.raises(DataError, match=r"lacks \['outputs/next.state.grip'\]"):
        load_bundle(copy, bundle.keys)


def test_parts_that_do_not_fit_together_are_refused(bundle, tmp_path):
    with pytest.raises(DataError, match="no part has output 'actions'"):
        load_bundle(bundle.write(tmp_path / "b", chunk_length=11), bundle.keys)


def test_a_plain_file_name_is_all_a_part_may_have():
    spec = ArraySpec("x", (1,), "float32")
    with pytest.raises(DataError, match="not a plain file name"):
        BundlePart("vision", "a/b.onnx", "0", "fp32", (spec,), (spec,))
