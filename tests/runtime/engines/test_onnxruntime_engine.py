"""The engine runs static graphs on one thread, and refuses what it cannot vouch for."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from steadyhand.contracts.errors import DataError, SpecError, StorageError
from steadyhand.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine


def double(shape=(1, 3)):
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString()


def quantised():
    """A fully quantised product, as static quantisation writes it."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "s", "z"], ["mq"]),
        helper.make_node("DequantizeLinear", ["mq", "s", "z"], ["y"]),
    ]
    constants = {
        "s": np.float32(0.1),
        "z": np.uint8(128),
        "zw": np.int8(0),
        "w": np.ones((3, 3), np.int8),
    }
    graph = helper.make_graph(
        nodes,
        "q",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString()


def test_it_runs_and_says_its_specs():
    engine = OnnxRuntimeEngine(double())
    assert engine.input_specs["x"].shape == (1, 3)
    assert engine.output_specs["y"].dtype == "float32"
    assert engine.precision == "fp32"
    result = engine.run({"x": np.array([[1, 2, 3]], np.float32), "surplus": np.zeros(1)})
    np.testing.assert_array_equal(result["y"], [[2, 4, 6]])


def test_int8_is_what_the_engine_fused_not_what_the_file_says():
    assert OnnxRuntimeEngine(quantised()).precision == "int8"


def test_wrong_inputs_are_named():
    engine = OnnxRuntimeEngine(double())
    with pytest.raises(SpecError, match=r"'x' must be float32\[1, 3\], got float64\[1, 3\]"):
        engine.run({"x": np.zeros((1, 3))})
    with pytest.raises(SpecError, match="input 'x' is missing; given: \\['z'\\]"):
        engine.run({"z": np.zeros(1)})


def test_dynamic_shapes_are_refused():
    with pytest.raises(DataError, match=r"'x' has shape .*static shapes, batch 1"):
        OnnxRuntimeEngine(double(("batch", 3)))


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"none\.onnx"):
        OnnxRuntimeEngine(tmp_path / "none.onnx")
    (tmp_path / "half.onnx").write_bytes(double()[:-9])
    with pytest.raises(DataError, match="ONNX"):
        OnnxRuntimeEngine(tmp_path / "half.onnx")
