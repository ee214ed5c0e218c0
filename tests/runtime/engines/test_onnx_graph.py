"""Reading ONNX without the onnx library gives what the library would say."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from steadyhand.contracts.errors import DataError
from steadyhand.runtime.engines.onnx_graph import read_graph


def branch(name, tensor):
    node = helper.make_node("Constant", [], [name], value=tensor)
    return helper.make_graph(
        [node], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])]
    )


def model(nodes, initializers=(), domain=""):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_operators_of_the_graph_and_of_its_branches_are_found():
    inner = numpy_helper.from_array(np.zeros(1, np.float32), "t")
    chosen = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("a", inner), else_branch=branch("b", inner)
    )
    facts = read_graph(model([helper.make_node("Relu", ["x"], ["c"]), chosen]).SerializeToString())
    assert facts.operators == {"Relu", "If", "Constant"}
    assert facts.precision == "fp32"
    assert facts.custom_domains == ()


def test_external_data_is_found_even_inside_a_branch():
    inner = TensorProto(name="t", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    chosen = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("a", inner), else_branch=branch("b", inner)
    )
    assert read_graph(model([chosen]).SerializeToString()).has_external_data


def test_custom_domains_are_found_in_nodes_and_in_the_imports():
    node = helper.make_node("Relu", ["x"], ["y"])
    assert read_graph(model([node], domain="a.b").SerializeToString()).custom_domains == ("a.b",)
    node = helper.make_node("Relu", ["x"], ["y"], domain="c.d")
    assert read_graph(model([node]).SerializeToString()).custom_domains == ("c.d",)


@pytest.mark.parametrize(
    ("operator", "dtype", "precision"),
    [
        ("QLinearConv", np.float32, "int8"),
        ("QLinearMatMul", np.float16, "int8"),
        ("MatMul", np.float16, "fp16"),
        ("QuantizeLinear", np.float32, "fp32"),
    ],
)
def test_precision_is_what_multiplies(operator, dtype, precision):
    weight = numpy_helper.from_array(np.zeros(1, dtype), "w")
    data = model([helper.make_node(operator, ["x", "w"], ["y"])], [weight]).SerializeToString()
    assert read_graph(data).precision == precision


WHOLE = model([helper.make_node("Relu", ["x"], ["y"])]).SerializeToString()


@pytest.mark.parametrize("data", [b"", b"\x00", b"not onnx", b"\x80\x04K\x01.", b"\xff" * 40])
def test_what_is_no_model_is_refused(data):
    with pytest.raises(DataError, match=r"not an? .*ONNX file"):
        read_graph(data)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_damage_is_refused_or_read_but_never_crashes(position, byte):
    data = bytearray(WHOLE)
    data[position] = byte
    try:
        read_graph(bytes(data))
    except DataError:
        return


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_arbitrary_bytes_never_crash(data):
    try:
        read_graph(data)
    except DataError:
        return


def test_it_agrees_with_the_library():
    facts = read_graph(WHOLE)
    assert facts.operators == {n.op_type for n in onnx.load_from_string(WHOLE).graph.node}
