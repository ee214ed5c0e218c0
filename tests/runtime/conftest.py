"""A tiny signed bundle: real ONNX graphs that move the arm slowly upwards."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from steadyhand.contracts.bundle import BundleManifest, BundlePart
from steadyhand.contracts.specs import ArraySpec
from steadyhand.kinematics.controller import ACTION_SPEC, default_limits
from steadyhand.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine
from steadyhand.runtime.robots.virtual import virtual_observation_specs
from steadyhand.store.atomic import write_file, write_json
from steadyhand.store.canonical import canonical_json, digest
from steadyhand.store.signing import PrivateKey, PublicKey, sign
from steadyhand.store.tensors import write_tensors

KEY = PrivateKey("tests", bytes(range(32)))
PICTURES = ("observation.images.wrist", "observation.images.scene")
CHUNK = 10


def tensor(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def model(graph, domain=""):
    opsets = [helper.make_opsetid("", 17)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def vision_graph():
    nodes = []
    for i, name in enumerate(PICTURES):
        nodes.append(helper.make_node("Cast", [name], [f"f{i}"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("ReduceMean", [f"f{i}"], [f"m{i}"], axes=[1, 2], keepdims=0))
    nodes.append(helper.make_node("Concat", ["m0", "m1"], ["features"], axis=1))
    inputs = [value(name, TensorProto.UINT8, [1, 64, 64, 3]) for name in PICTURES]
    return helper.make_graph(
        nodes, "vision", inputs, [value("features", TensorProto.FLOAT, [1, 6])]
    )


def policy_graph():
    """Actions = pose of the observation + a ramp upwards; the grip is what it was."""
    weight = np.zeros((12, CHUNK * 5), np.float32)
    bias = np.zeros((CHUNK, 5), np.float32)
    for i in range(CHUNK):
        for axis in range(4):
            weight[8 + axis, 5 * i + axis] = 1
        bias[i, 2] = 0.002 * i
    vision_weight = np.zeros((6, CHUNK * 5), np.float32)
    nodes = [
        helper.make_node("Gemm", ["observation.state", "w", "b"], ["s"]),
        helper.make_node("MatMul", ["features", "v"], ["x"]),
        helper.make_node("Add", ["s", "x"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["actions"]),
        helper.make_node("Identity", ["state.grip"], ["next.state.grip"]),
    ]
    return helper.make_graph(
        nodes,
        "policy",
        [
            value("features", TensorProto.FLOAT, [1, 6]),
            value("observation.state", TensorProto.FLOAT, [1, 12]),
            value("state.grip", TensorProto.FLOAT, [1, 1]),
        ],
        [
            value("actions", TensorProto.FLOAT, [1, CHUNK, 5]),
            value("next.state.grip", TensorProto.FLOAT, [1, 1]),
        ],
        [
            tensor("w", weight),
            tensor("b", bias.ravel()),
            tensor("v", vision_weight),
            tensor("shape", np.array([1, CHUNK, 5])),
        ],
    )


def write_bundle(directory: Path, key: PrivateKey = KEY, **changes) -> Path:
    """Write a signed bundle; ``changes`` replace fields of its manifest."""
    directory.mkdir(parents=True)
    graphs = {"vision": model(vision_graph()), "policy": model(policy_graph())}
    parts, engines = [], []
    for name, graph in graphs.items():
        data = graph.SerializeToString()
        write_file(directory / f"{name}.onnx", data)
        engine = OnnxRuntimeEngine(data)
        engines.append(engine)
        parts.append(
            BundlePart(
                name,
                f"{name}.onnx",
                digest(data),
                engine.precision,
                tuple(engine.input_specs.values()),
                tuple(engine.output_specs.values()),
            )
        )
    golden = golden_values(engines)
    write_tensors(directory / "golden.safetensors", golden, {})
    fields = {
        "name": "tiny",
        "robot": "panda",
        "task": "pick_place-plain",
        "parts": tuple(parts),
        "golden_sha256": digest((directory / "golden.safetensors").read_bytes()),
        "observation_specs": tuple(virtual_observation_specs().values()),
        "action_spec": ACTION_SPEC,
        "state_specs": (ArraySpec("state.grip", (1,), "float32"),),
        "state_bytes": 4,
        "action_period_s": 0.05,
        "chunk_length": CHUNK,
        "latency_budget_s": 0.2,
        "refill_threshold": 0.6,
        "limits": default_limits(),
        "statistics_sha256": "0" * 64,
        "evidence": {},
        "provenance": {},
    }
    manifest = BundleManifest(**(fields | changes))
    seal(directory, canonical_json(manifest.to_json()), key)
    return directory


def seal(directory: Path, manifest: bytes, key: PrivateKey = KEY) -> None:
    write_file(directory / "manifest.json", manifest)
    write_json(directory / "signature.json", sign(manifest, key))


def golden_values(engines, count=3):
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(count):
        given = {name: rng.integers(0, 255, (1, 64, 64, 3), np.uint8) for name in PICTURES}
        given["observation.state"] = rng.normal(size=(1, 12)).astype(np.float32)
        given["state.grip"] = rng.random((1, 1)).astype(np.float32)
        known = dict(given)
        for engine in engines:
            known |= engine.run(known)
        rows.append((given, {k: known[k] for k in ("actions", "next.state.grip")}))
    golden = {f"inputs/{k}": np.concatenate([g[k] for g, _ in rows]) for k in rows[0][0]}
    return golden | {f"outputs/{k}": np.concatenate([o[k] for _, o in rows]) for k in rows[0][1]}


@dataclass(frozen=True)
class Kit:
    """What bundle tests need."""

    directory: Path
    keys: tuple[PublicKey, ...]
    write: object
    seal: object
    model: object
    policy_graph: object


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Kit:
    """One bundle for all tests that only read it, and the means to make others."""
    directory = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    return Kit(directory, (KEY.public,), write_bundle, seal, model, policy_graph)
