"""Which precision the engine really computes in, read back from its own optimised graph.

A file can ask for a precision the engine does not have: the CPU provider of ONNX Runtime has no
fp16 kernels and silently casts to fp32, and quantisation that it cannot fuse runs in fp32 between
conversions. So the graph is loaded, optimised by the engine, and its multiplications are counted.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime

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
_FLOAT_OPERATORS = frozenset({"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"})


@dataclass(frozen=True, slots=True)
class EffectivePrecision:
    """How many multiplication operators run in each precision.

    Args:
        num_fp32: Convolutions and matrix products in fp32.
        num_fp16: In fp16.
        num_int8: In int8.
    """

    num_fp32: int
    num_fp16: int
    num_int8: int

    @property
    def precision(self) -> str:
        """The lowest precision that any operator runs in."""
        if self.num_int8:
            return "int8"
        return "fp16" if self.num_fp16 else "fp32"

    def describe(self) -> str:
        """Say it in words."""
        total = self.num_fp32 + self.num_fp16 + self.num_int8
        counts = {"int8": self.num_int8, "fp16": self.num_fp16, "fp32": self.num_fp32}
        return f"the engine runs {counts[self.precision]} of {total} products in {self.precision}"


def session_options(level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.SessionOptions:
    """Return options of a session on one thread, whose results depend on nothing else."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def read_effective_precision(path: Path) -> EffectivePrecision:
    """Load a graph, let the engine optimise it, and count what it will execute.

    Args:
        path: An ONNX file.
    """
    # Layout optimisation (ALL) renames operators without changing their precision.
    options = session_options(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(optimised)
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        graph = onnx.shape_inference.infer_shapes(onnx.load(optimised)).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input)}
    types |= {t.name: t.data_type for t in graph.initializer}
    counts = {"fp32": 0, "fp16": 0, "int8": 0}
    for node in graph.node:
        if node.op_type in _INT8_OPERATORS:
            counts["int8"] += 1
        elif node.op_type in _FLOAT_OPERATORS:
            # Either operand tells: the inserted cast or the weight has a known type.
            is_half = onnx.TensorProto.FLOAT16 in {types.get(name) for name in node.input}
            counts["fp16" if is_half else "fp32"] += 1
    return EffectivePrecision(counts["fp32"], counts["fp16"], counts["int8"])
