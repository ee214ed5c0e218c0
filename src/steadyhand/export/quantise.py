"""Reduce the precision of an exported graph: static INT8, and FP16 where the engine has it.

INT8 is written as QDQ: activations unsigned and asymmetric per tensor, weights signed and symmetric
per channel, and only convolutions and products with a weight; never what reads a softmax. Signed
activations run 2.7 times slower on x86, and quantising everything destroys a policy (0 of 100
episodes in a prototype).

Weights use 7 of their 8 bits. On x86 processors without VNNI the kernels add pairs of products in
16 bits, and 255 * 127 * 2 does not fit: sums saturate without a word. Measured there, 8 bits made
the error of a policy head 2 to 10 times larger than the graph says, 7 bits made engine and graph
agree, on every processor, for one bit of resolution that nothing here needs.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from onnxruntime.transformers.float16 import convert_float_to_float16

from steadyhand.contracts.catalog import lookup
from steadyhand.contracts.errors import DataError, UsageError
from steadyhand.export.effective import session_options
from steadyhand.export.graphs import clean_bytes
from steadyhand.store.atomic import write_file

WEIGHT_OPERATORS = ("Conv", "Gemm", "MatMul")
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
# Histograms keep every activation of a block of samples in memory.
_BLOCK = 32

PartInputs = Sequence[dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class QuantisationConfig:
    """How to quantise.

    Args:
        method: How ranges are taken from the calibration inputs, one of ``METHODS``.
        operators: Operators to quantise; anything beyond ``WEIGHT_OPERATORS`` is for studies.
    """

    method: str = "minmax"
    operators: tuple[str, ...] = WEIGHT_OPERATORS

    def __post_init__(self) -> None:
        lookup("calibration method", self.method, METHODS)
        if not self.operators:
            raise UsageError(f"operators must not be empty; the default is {WEIGHT_OPERATORS}")


def quantise_int8(
    source: Path, calibration: PartInputs, target: Path, config: QuantisationConfig
) -> None:
    """Write the INT8 version of a graph. Equal inputs give equal bytes, in any process.

    The bytes may differ between CPU families, since ranges come from fp32 execution.

    Args:
        source: The fp32 graph.
        calibration: Inputs of this graph, from the training split only.
        target: Where to write.
        config: How.

    Raises:
        DataError: If there is no calibration input or the graph has nothing to quantise.
    """
    if not calibration:
        raise DataError(
            f"no calibration inputs for {source.name}; draw them from the training data"
        )
    model = onnx.load(source)
    if not any(node.op_type in config.operators for node in model.graph.node):
        raise DataError(f"{source.name} has none of the operators {config.operators}")
    add_pre_process_metadata(model)  # or the library logs advice that does not apply
    operators = list(config.operators)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        prepared, ranges, quantised = (place / n for n in ("in.onnx", "ranges.json", "out.onnx"))
        onnx.save(model, prepared)
        _write_ranges(prepared, calibration, ranges, config)
        quantize_static(
            prepared,
            quantised,
            op_types_to_quantize=operators,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[config.method],
            calibration_cache_path=ranges,
            nodes_to_exclude=_reads_probabilities(model, config),
            extra_options={"MatMulConstBOnly": True},
        )
        write_file(target, clean_bytes(onnx.load(quantised)))


def convert_fp16(source: Path, target: Path) -> None:
    """Write the FP16 version of a graph; its inputs and outputs keep their types.

    Whether an engine executes it in FP16 is another question: ask ``read_effective_precision``.

    Args:
        source: The fp32 graph.
        target: Where to write.
    """
    model = ONNXModel(convert_float_to_float16(onnx.load(source), keep_io_types=True))
    model.topological_sort()  # the converter appends the casts of the inputs at the end
    write_file(target, clean_bytes(model.model))


def _reads_probabilities(model: onnx.ModelProto, config: QuantisationConfig) -> list[str]:
    """Return the products that read a softmax; 8 bits cannot hold 1/256 beside 1."""
    if "Softmax" in config.operators:
        return []
    spread = {n.output[0] for n in model.graph.node if n.op_type == "Softmax"}
    return [n.name for n in model.graph.node if spread & set(n.input)]


def _write_ranges(
    model: Path, calibration: PartInputs, target: Path, config: QuantisationConfig
) -> None:
    augmented = model.with_name("augmented.onnx")
    # The library prints while it builds histograms; only applications print.
    with contextlib.redirect_stdout(io.StringIO()):
        calibrator = create_calibrator(
            model,
            list(config.operators),
            str(augmented),
            METHODS[config.method],
            extra_options={"symmetric": False},
        )
        # The library's own session uses every core; bits must not depend on their number.
        calibrator.infer_session = onnxruntime.InferenceSession(
            augmented,
            session_options(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL),
            providers=["CPUExecutionProvider"],
        )
        for start in range(0, len(calibration), _BLOCK):
            calibrator.collect_data(_Reader(calibration[start : start + _BLOCK]))
        save_tensors_data(calibrator.compute_data(), target)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    """Hands calibration inputs to the library."""

    def __init__(self, inputs: PartInputs) -> None:
        self._left: Iterator[dict[str, NDArray[Any]]] = iter(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next input, or None at the end."""
        return next(self._left, None)
