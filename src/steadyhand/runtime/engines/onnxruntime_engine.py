"""ONNX Runtime on one CPU thread, without spinning.

With one other busy process, more threads than cores cost 60 times the latency, and spinning takes
the core from the control loop; so one thread, and it sleeps when idle.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from steadyhand.contracts.errors import DataError, SpecError, storage_error
from steadyhand.contracts.specs import Arrays, ArraySpec, Specs
from steadyhand.runtime.engines.onnx_graph import read_graph

_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "tensor(float)": "float32",
        "tensor(double)": "float64",
        "tensor(float16)": "float16",
        "tensor(uint8)": "uint8",
        "tensor(int8)": "int8",
        "tensor(int32)": "int32",
        "tensor(int64)": "int64",
        "tensor(bool)": "bool",
    }
)


@final
class OnnxRuntimeEngine:
    """One loaded ONNX graph with static shapes.

    Args:
        model: Path of the file, or its bytes (so that what was verified is what is loaded).
        num_threads: Threads inside one operator.

    Raises:
        DataError: If the file is damaged, or refers to other files or to operators that the
            engine does not bring itself.
        StorageError: If it cannot be read.
    """

    def __init__(self, model: Path | bytes, num_threads: int = 1) -> None:
        where = "the model" if isinstance(model, bytes) else str(model)
        try:
            data = model if isinstance(model, bytes) else model.read_bytes()
        except OSError as error:
            raise storage_error(error, "reading a model") from error
        facts = read_graph(data)
        if facts.has_external_data:
            raise DataError(f"{where} keeps tensors in other files; export it into one file")
        if facts.custom_domains or facts.has_functions:
            raise DataError(
                f"{where} needs custom operators {list(facts.custom_domains)}; a bundle may only "
                "hold operators that ONNX Runtime brings itself"
            )
        with tempfile.TemporaryDirectory(prefix="steadyhand-") as folder:
            optimised = Path(folder) / "optimised.onnx"
            try:
                self._session = onnxruntime.InferenceSession(
                    data, _options(num_threads, optimised), providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # the engine's exceptions have no common class
                raise DataError(f"{where} cannot be loaded by ONNX Runtime: {error}") from error
            self._precision = read_graph(optimised.read_bytes()).precision
        self._inputs = {i.name: _spec(i, where) for i in self._session.get_inputs()}
        self._outputs = {o.name: _spec(o, where) for o in self._session.get_outputs()}
        self._output_names = list(self._outputs)

    @property
    def input_specs(self) -> Specs:
        """Specs of the inputs, in graph order."""
        return self._inputs

    @property
    def output_specs(self) -> Specs:
        """Specs of the outputs, in graph order."""
        return self._outputs

    @property
    def precision(self) -> str:
        """The precision the engine computes in, read from the graph that it optimised."""
        return self._precision

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Execute the graph once.

        Args:
            inputs: One array per input spec; surplus names are ignored.

        Returns:
            One array per output spec.

        Raises:
            SpecError: If an input is missing or does not fit its spec.
        """
        for name, spec in self._inputs.items():
            value = inputs.get(name)
            if value is None:
                raise SpecError(f"input {name!r} is missing; given: {sorted(inputs)}")
            if value.shape != spec.shape or value.dtype != np.dtype(spec.dtype):
                spec.validate(value)
        given = {name: inputs[name] for name in self._inputs}
        return dict(
            zip(self._output_names, self._session.run(self._output_names, given), strict=True)
        )


def _options(num_threads: int, optimised: Path) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Layout optimisation would make the written graph depend on this machine.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(optimised)
    options.log_severity_level = 3
    return options


def _spec(value: Any, where: str) -> ArraySpec:
    if value.type not in _TYPES:
        raise DataError(f"{where}: {value.name!r} has type {value.type}; tensors only")
    if not all(isinstance(n, int) and n > 0 for n in value.shape):
        raise DataError(
            f"{where}: {value.name!r} has shape {value.shape}; export with static shapes, batch 1"
        )
    return ArraySpec(value.name, tuple(value.shape), _TYPES[value.type])
