"""Read what matters of an ONNX file without the onnx library, which robots do not carry.

Walks the protobuf wire format and collects operators, domains and references to external data.
It does not execute, and knows nothing of engines.

Source: onnx.proto3 (field numbers), protobuf encoding specification (wire types).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from steadyhand.contracts.errors import DataError

# Operators that multiply in int8, after the engine has fused the quantised graph.
_INT8_OPERATORS = frozenset(
    {
        "QLinearConv",
        "QLinearMatMul",
        "QGemm",
        "ConvInteger",
        "MatMulInteger",
        "MatMulIntegerToFloat",
    }
)
_FLOAT16 = 10
_MAX_DEPTH = 16

# Field numbers of onnx.proto3.
_MODEL_GRAPH, _MODEL_OPSET = 7, 8
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_TENSOR_TYPE, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 2, 13, 14
_OPSET_DOMAIN = 1
_MODEL_FUNCTIONS = 25

# Domains whose operators are part of the engine, not of somebody's shared library.
_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft", "com.microsoft.nchwc", "ai.onnx.ml"})


@dataclass(slots=True)
class GraphFacts:
    """What a graph is made of.

    Args:
        operators: Operator types.
        domains: Operator domains in use.
        has_external_data: A tensor lies in another file.
        has_float16: A float16 tensor is in the graph.
        has_functions: The model defines functions of its own.
    """

    operators: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    has_external_data: bool = False
    has_float16: bool = False
    has_functions: bool = False

    @property
    def precision(self) -> str:
        """``int8``, ``fp16`` or ``fp32``: the lowest one that the operators compute in."""
        if self.operators & _INT8_OPERATORS:
            return "int8"
        return "fp16" if self.has_float16 else "fp32"

    @property
    def custom_domains(self) -> tuple[str, ...]:
        """Domains that the engine does not bring itself."""
        return tuple(sorted(self.domains - _KNOWN_DOMAINS))


def read_graph(data: bytes) -> GraphFacts:
    """Read the facts of an ONNX model.

    Raises:
        DataError: If the bytes are not a complete ONNX model.
    """
    facts = GraphFacts()
    try:
        found = False
        for number, value in _fields(memoryview(data)):
            if number == _MODEL_GRAPH and isinstance(value, memoryview):
                found = True
                _read_graph(value, facts, 0)
            elif number == _MODEL_OPSET and isinstance(value, memoryview):
                for inner, text in _fields(value):
                    if inner == _OPSET_DOMAIN and isinstance(text, memoryview):
                        facts.domains.add(bytes(text).decode())
            elif number == _MODEL_FUNCTIONS:
                facts.has_functions = True
    except (IndexError, ValueError) as error:
        raise DataError(f"not a complete ONNX file: {error}; copy or export it again") from error
    if not found:
        raise DataError("not an ONNX file: it holds no graph; copy or export it again")
    return facts


def _read_graph(data: memoryview, facts: GraphFacts, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("graphs nested too deeply")
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_NODE:
            _read_node(value, facts, depth)
        elif number == _GRAPH_INITIALIZER:
            _read_tensor(value, facts)
        elif number == _GRAPH_SPARSE:
            raise ValueError("sparse initializers are not supported")


def _read_node(data: memoryview, facts: GraphFacts, depth: int) -> None:
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE_OPERATOR:
            facts.operators.add(bytes(value).decode())
        elif number == _NODE_DOMAIN:
            facts.domains.add(bytes(value).decode())
        elif number == _NODE_ATTRIBUTE:
            for kind, inner in _fields(value):
                if not isinstance(inner, memoryview):
                    continue
                if kind in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                    _read_tensor(inner, facts)
                elif kind in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                    _read_graph(inner, facts, depth + 1)


def _read_tensor(data: memoryview, facts: GraphFacts) -> None:
    for number, value in _fields(data):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
            facts.has_external_data = True
        elif number == _TENSOR_TYPE and value == _FLOAT16:
            facts.has_float16 = True


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of one protobuf message; 32 and 64 bit numbers as bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"unknown wire type {wire} at byte {position}")
        if position + size > len(data):
            raise ValueError(f"ends within field {number} at byte {position}")
        yield number, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(f"a number is too long at byte {position}")
