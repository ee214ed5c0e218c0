"""The exported graphs: what they take and give, and that their bytes are fixed."""

import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from steadyhand.contracts.errors import DataError
from steadyhand.contracts.specs import ArraySpec
from steadyhand.export.graphs import (
    OPSET,
    PartInterface,
    clean_bytes,
    export_parts,
    part_interfaces,
    trace,
)
from steadyhand.export.parity import ParityLimits, measure_parity
from steadyhand.export.samples import draw_samples
from steadyhand.export.variants import load_engines

CONFTEST = Path(__file__).with_name("conftest.py")


def test_graphs_take_raw_observations_and_return_absolute_actions_and_the_state(parts):
    engines = load_engines(parts)
    vision, head = engines["vision"], engines["policy"]
    images = ["observation.images.wrist", "observation.images.scene"]
    assert {k: (s.shape, s.dtype) for k, s in vision.input_specs.items()} == dict.fromkeys(
        images, ((1, 64, 64, 3), "uint8")
    )
    assert [*head.input_specs] == ["features", "observation.state", "state.grip"]
    assert {k: s.shape for k, s in head.output_specs.items()} == {
        "actions": (1, 10, 5),
        "next.state.grip": (1, 1),
    }
    assert vision.precision == head.precision == "fp32"


def test_interfaces_say_what_the_graphs_are(policy, parts):
    for interface in part_interfaces(policy):
        engine = load_engines(parts)[interface.name]
        for declared, found in (
            (interface.inputs, engine.input_specs),
            (interface.outputs, engine.output_specs),
        ):
            assert [(s.name, s.shape, s.dtype) for s in declared] == [
                (s.name, s.shape, s.dtype) for s in found.values()
            ]


def test_graphs_are_valid_self_contained_and_hold_no_names_of_people_or_places(parts):
    for path in parts.values():
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import[0].version == OPSET >= 17
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        assert not model.metadata_props
        assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
        assert str(Path.cwd()).encode() not in path.read_bytes()


def test_equal_weights_give_equal_bytes_also_in_a_new_process(
    policy, parts, from_a_new_process, tmp_path
):
    again = export_parts(policy, tmp_path / "again")
    other = export_parts(runpy.run_path(str(CONFTEST))["build_policy"](seed=1), tmp_path / "other")
    for name, path in parts.items():
        assert again[name].read_bytes() == path.read_bytes()
        assert (from_a_new_process / path.name).read_bytes() == path.read_bytes()
        assert other[name].read_bytes() != path.read_bytes()


def test_bytes_do_not_depend_on_the_number_of_threads(policy, parts, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = export_parts(policy, tmp_path)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert all(again[name].read_bytes() == path.read_bytes() for name, path in parts.items())


def test_a_module_whose_trace_depends_on_its_input_is_not_exported_silently():
    class Branching(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    interface = PartInterface(
        "branching", (ArraySpec("x", (1, 2), "float32"),), (ArraySpec("y", (1, 2), "float32"),)
    )
    with pytest.raises(DataError, match="'branching' decides in Python"):
        trace(Branching(), (torch.ones(1, 2),), interface)


def test_a_network_that_does_not_match_its_policy_is_refused():
    class Forgetful(nn.Module):
        def forward(self, features, state, grip):
            del state, grip
            return (torch.zeros(len(features), 10, 5),)

    class Short(nn.Module):
        def forward(self, features, state, grip):
            del state
            return torch.zeros(len(features), 10, 4), grip

    for head, message in ((Forgetful(), "0 states"), (Short(), r"actions \[1, 10, 4\]")):
        policy = runpy.run_path(str(CONFTEST))["build_policy"]()
        policy.network.head = head
        with pytest.raises(DataError, match=message):
            part_interfaces(policy)


def test_a_graph_that_is_not_valid_is_refused_with_the_reason(parts):
    model = onnx.load(parts["policy"])
    model.graph.node[-1].input[0] = "from nowhere"
    with pytest.raises(DataError, match="from nowhere"):
        clean_bytes(model)


def test_equal_weights_are_not_shared_where_quantisation_would_not_find_them(tmp_path):
    """The exporter hid biases that were all zero behind Identity nodes; int8 then lost them."""
    twin = runpy.run_path(str(CONFTEST))["build_policy"](seed=3)
    with torch.no_grad():
        for name, weight in twin.network.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
    for path in export_parts(twin, tmp_path).values():
        graph = onnx.load(path).graph
        names = {tensor.name for tensor in graph.initializer}
        products = [n for n in graph.node if n.op_type in {"Conv", "Gemm"}]
        assert products
        assert all(set(n.input[1:]) <= names for n in products)
    report = measure_parity(
        twin,
        load_engines({name: tmp_path / f"{name}.onnx" for name in ("vision", "policy")}),
        draw_samples(runpy.run_path(str(CONFTEST))["record"](4), 4, 0, "calibration"),
        ParityLimits(),
    )
    report.raise_if_failed()


def test_weights_in_other_files_are_refused(parts):
    model = onnx.load(parts["policy"])
    tensor = model.graph.initializer[0]
    tensor.external_data.add(key="location", value="elsewhere.bin")
    with pytest.raises(DataError, match="one file"):
        clean_bytes(model)


def test_images_go_to_the_camera_they_came_from(policy, parts):
    """Swapped camera inputs would pass every shape check and fail on the robot."""
    rng = np.random.default_rng(0)
    keys = list(load_engines(parts)["vision"].input_specs)
    first, second = (rng.integers(0, 256, (1, 64, 64, 3), np.uint8) for _ in keys)
    engine = load_engines(parts)["vision"]
    found = engine.run(dict(zip(keys, (first, second), strict=True)))["features"]
    with torch.inference_mode():
        wanted = policy.network.vision(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
    swapped = engine.run(dict(zip(keys, (second, first), strict=True)))["features"]
    assert np.abs(swapped - wanted.numpy()).max() > 0.01
