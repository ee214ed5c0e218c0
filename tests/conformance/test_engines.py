"""Every engine of the catalog keeps the contract of engines."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from steadyhand.contracts.conformance.engine import check_engine
from steadyhand.runtime.engines.catalog import CATALOG


def graph_of_two_inputs():
    """A picture and a state into two outputs, as vision and policy parts have them."""
    inputs = [
        helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, 8, 8, 3]),
        helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 4]),
    ]
    outputs = [
        helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 3]),
        helper.make_tensor_value_info("product", TensorProto.FLOAT, [1, 2]),
    ]
    nodes = [
        helper.make_node("Cast", ["picture"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["state", "weight"], ["product"]),
    ]
    weight = np.arange(8, dtype=np.float32).reshape(4, 2)
    graph = helper.make_graph(
        nodes, "two inputs", inputs, outputs, [numpy_helper.from_array(weight, "weight")]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString()


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_every_engine_conforms(name):
    check_engine(CATALOG[name](graph_of_two_inputs()))
